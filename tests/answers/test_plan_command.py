"""`lab plan` as a user meets it: tables, one JSON document, files to use, exit codes, and the shipped plans."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from lab.answers.plan.document import document
from lab.answers.plan.fan_chart import BANDS, fans
from lab.answers.plan.plan_file import load_plan, read_plan
from lab.answers.plan.planning import Answers, Effort, answer, group_for
from lab.answers.plan.words import verdict
from lab.answers.plan.workers import workers
from lab.cli import app
from lab.errors import AnswerIsNo, InputError, RigError
from lab.model.pool.volume_group import EXTENT_BYTES
from lab.simulate.parameters import read_parameters

PLANS = sorted((Path(__file__).parents[2] / "scenarios" / "plans").glob("*.yaml"))
RESULTS = Path(__file__).parents[2] / "results" / "plans"
LEAST_REPLICATIONS = 300
GOLDEN = Path(__file__).parents[1] / "data" / "plans.json"
SMALL = """\
name: small
horizon_days: 4
storage: {storage: direct-lvm, chunk_size: 128KiB}
pool: {data: 3GiB, free: 128MiB}
workload:
  - name: web
    image: lab/app:1
    steps: [start, write: {amount: 24MiB}, update: {amount: 1MiB}, delete: written]
    starts_per_day: 120
    lifetime: {exponential: 3h}
    kept_share: 0.1
images: [{image: lab/app:1, tags_per_month: 60}]
upkeep: {prune_every: 2d}
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", *arguments], env={"COLUMNS": "220"})


def answers_of(text: str, replications: int) -> Answers:
    with workers(1) as crew:
        return answer(read_plan(text, Path("plan.yaml")), read_parameters(None), crew,
                      Effort(replications=replications), lambda unit: lambda *told: None)


@pytest.fixture(scope="module")
def small() -> Answers:
    return answers_of(SMALL, 12)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    folder = tmp_path_factory.mktemp("plan")
    (folder / "small.yaml").write_text(SMALL)
    result = run(str(folder / "small.yaml"), "--replications", "5", "--workers", "1", "-o", str(folder / "out"))
    return result, folder / "out"


# -- what is told --------------------------------------------------------------------------------------------

def test_tables_say_all_there_is_to_say(told: tuple[Result, Path]) -> None:
    result, _ = told
    assert result.exit_code == 0, result.output
    for words in ("Risks", "When", "Smallest sizes", "Chunk sizes", "Layouts, tested in the model", "fstrim daily",
                  "discard mounts", "volumes for all that", "overlay2 on ext4", "Alerts", "kernel's rule",
                  "thin_metadata_size", "not within the", "--replications 5"):
        assert words in result.stdout, words


def test_one_json_document_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    result = run(str(tmp_path / "small.yaml"), "--replications", "2", "--workers", "1", "--json")
    found = json.loads(result.stdout)
    assert (found["replications"], found["source"], found["seed"]) == (2, "simulated", 1)
    assert len(found["risks"]) == 5
    for risk in found["risks"]:
        for one in risk["by"]:
            assert 0 <= one["low"] <= one["probability"] <= one["high"] <= 1
            assert one["probability"] == one["hits"] / one["n"]


def test_the_answers_fit_together(small: Answers) -> None:
    found = document(small)
    refused = {one["what"]: one["by"][-1]["hits"] for one in found["risks"]}
    assert refused["any of these"] >= max(refused.values())
    days = [one["reached"] for one in found["days"]]
    assert days == sorted(days, reverse=True)
    assert (found["needed"]["data"]["low"], found["needed"]["data"]["high"]) == (None, None), "12 replications"
    assert small.data.low <= small.data.estimate <= small.data.high
    peaks = [one.demand.data_bytes for one in small.replications]
    assert found["needed"]["data_bytes"] >= max(peaks) / 0.9
    assert found["needed"]["metadata"]["wanted_bytes"] >= found["needed"]["metadata"]["kernel_bytes"]
    assert [one.chunk_bytes // 1024 for one in small.chunks] == [128, 64, 256, 512, 1024]


def test_the_size_that_is_told_refuses_nothing_in_the_replications_behind_it(small: Answers) -> None:
    sized, planned, documented, working = small.tested
    assert sized.limited.hits == 0
    assert planned.limited.hits == small.chance.hits
    assert (documented.layout is not None and documented.layout.steps, documented.extended.hits) == (0, 0)
    assert working.layout is not None
    assert working.layout.steps >= 2
    group = group_for(small)
    assert group is not None
    assert (group.extend(20), group.extend(20), group.free_extents >= 0) == (True, True, True)


def test_a_working_layout_is_extended_where_the_documented_one_is_not() -> None:
    crowded = SMALL.replace("120", "400").replace("data: 3GiB, free: 128MiB", "data: 2GiB, free: 2GiB")
    _, _, documented, working = answers_of(crowded, 4).tested
    assert documented.extended.hits == 0
    assert working.extended.hits > 0


def test_levers_do_what_is_known_of_them(small: Answers) -> None:
    effects = {one.name: one for one in small.effects}
    assert effects["prune daily"].data.mean <= 0
    assert effects["fstrim daily"].data.mean <= 0
    for name in ("discard mounts", "volumes for all that writes"):
        assert effects[name].data.mean < 0, name
    assert effects["volumes for all that writes"].volume.mean > 0
    assert effects["discard mounts"].volume.mean == 0
    assert {one.data.n for one in small.effects} == {3}


def test_more_growth_and_longer_lives_need_more() -> None:
    def asked(text: str) -> int:
        return sum(one.demand.data_bytes for one in answers_of(text, 4).replications)

    base = asked(SMALL)
    assert asked(SMALL + "growth_percent_a_month: 900\n") > base
    assert asked(SMALL.replace("3h", "6h")) > base


def test_overlay2_is_planned_as_a_file_system() -> None:
    text = SMALL.replace("{storage: direct-lvm, chunk_size: 128KiB}", "overlay2-ext4").replace(
        "data: 3GiB, free: 128MiB", "data: 3GiB").replace("kept_share: 0.1", "log_per_day: 50MiB")
    found = answers_of(text, 5)
    assert (found.metadata, found.chunks, group_for(found)) == (None, (), None)
    assert {one.name for one in found.effects} == {"prune daily", "volumes for all that writes", "another log driver"}
    assert next(one for one in found.effects if one.name == "another log driver").data.mean < 0


def test_the_fan_holds_every_level_between_its_ends(small: Answers) -> None:
    import numpy as np

    curves = fans(small)["data_used"]
    assert curves.shape == (len(BANDS), 201)
    assert (np.diff(curves, axis=0) >= 0).all()
    every = np.stack([one.planned.curves[0] for one in small.replications])
    assert (curves[0] >= every.min(axis=0)).all()
    assert (curves[-1] <= every.max(axis=0)).all()


# -- files -------------------------------------------------------------------------------------------------

def test_the_files_can_be_used(told: tuple[Result, Path]) -> None:
    _, folder = told
    assert {path.name for path in folder.iterdir()} == {
        "fan.png", "answers.json", "plan.yaml", "create-pool.sh", "docker-thinpool.profile", "daemon.json",
        "alerts.yaml"}
    assert (folder / "fan.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    subprocess.run(["sh", "-n", str(folder / "create-pool.sh")], check=True)
    daemon = json.loads((folder / "daemon.json").read_text())
    assert daemon["storage-driver"] == "devicemapper"
    assert "dm.thinpooldev=/dev/mapper/docker-thinpool" in daemon["storage-opts"]
    assert "dm.min_free_space=10%" in daemon["storage-opts"]
    assert load_plan(folder / "plan.yaml").name == "small"
    rules = YAML(typ="safe").load(folder / "alerts.yaml")["groups"][0]["rules"]
    assert [rule["expr"] for rule in rules] == [f"thin_pool_{what}_percent > {level}" for level in (80, 90)
                                                for what in ("data", "metadata")]
    profile = (folder / "docker-thinpool.profile").read_text()
    assert re.search(r"activation \{\n\tthin_pool_autoextend_threshold=80\n\tthin_pool_autoextend_percent=20\n\}",
                     profile)


def test_the_script_makes_the_pool_that_was_told(small: Answers, tmp_path: Path) -> None:
    """Run with commands of LVM that only say what they were asked for."""
    from lab.answers.plan.ready_files import ready_files

    for name, text in ready_files(small).items():
        (tmp_path / name).write_text(text)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("lvcreate", "lvconvert", "lvchange", "lvs", "install"):
        (tools / name).write_text('#!/bin/sh\necho "$(basename "$0") $*"\n')
        (tools / name).chmod(0o755)
    dirname = shutil.which("dirname")
    assert dirname is not None
    done = subprocess.run(["/bin/sh", str(tmp_path / "create-pool.sh")], capture_output=True, text=True, check=True,
                          env={"PATH": f"{tools}:{Path(dirname).parent}"})
    group = group_for(small)
    assert group is not None
    lines = done.stdout.splitlines()
    assert f"-n thinpool -L {4 * group.data_extents}m docker" in lines[0]
    assert f"-n thinpoolmeta -L {4 * group.metadata_extents}m docker" in lines[1]
    assert lines[2] == "lvconvert -y --zero n -c 128K --thinpool docker/thinpool --poolmetadata docker/thinpoolmeta"
    assert lines[-2] == "lvchange --monitor y docker/thinpool"


def test_what_erases_stands_in_comments(told: tuple[Result, Path]) -> None:
    script = (told[1] / "create-pool.sh").read_text()
    for line in script.splitlines():
        if "/dev/" in line or "pvcreate" in line or "vgcreate" in line:
            assert line.startswith("#")


@pytest.mark.parametrize("storage", ["direct-lvm-docker", "loop-lvm", "{storage: direct-lvm, discard: true}"])
def test_other_pools_have_a_daemon_json_of_their_own(storage: str) -> None:
    from lab.answers.plan.ready_files import ready_files

    text = SMALL.replace("{storage: direct-lvm, chunk_size: 128KiB}", storage)
    found = answers_of(text.replace(", free: 128MiB", "") if storage == "loop-lvm" else text, 1)
    files = ready_files(found)
    options = json.loads(files["daemon.json"])["storage-opts"]
    wanted = {"direct-lvm-docker": "dm.directlvm_device=/dev/DISK", "loop-lvm": "dm.blocksize=64K"}
    assert wanted.get(storage, "dm.mountopt=discard") in options
    if storage == "direct-lvm-docker":
        shares = dict(option.split("=") for option in options if "percent" in option)
        group = group_for(found)
        assert group is not None
        assert found.metadata is not None
        assert int(shares["dm.thinp_percent"]) * group.extents // 100 * EXTENT_BYTES >= found.data_bytes
        assert int(shares["dm.thinp_metapercent"]) * group.extents // 100 * EXTENT_BYTES >= found.metadata.wanted
    assert ("create-pool.sh" in files) == storage.startswith("{")


def test_logs_are_rotated_unless_the_plan_says_how_they_grow() -> None:
    from lab.answers.plan.ready_files import ready_files

    rotated = json.loads(ready_files(answers_of(SMALL, 1))["daemon.json"])
    assert rotated["log-opts"] == {"max-size": "10m", "max-file": "3"}
    counted = SMALL.replace("    starts_per_day:", "    log_per_day: 1MiB\n    starts_per_day:", 1)
    assert "log-opts" not in json.loads(ready_files(answers_of(counted, 1))["daemon.json"])


def test_too_few_replications_have_no_interval_in_the_verdict() -> None:
    assert "of 2 replications: too few for an interval" in verdict(answers_of(SMALL, 2))


@pytest.mark.parametrize("chunk", ["192KiB", "48MiB"])
def test_a_data_block_that_does_not_divide_dockers_device_is_planned_too(chunk: str) -> None:
    assert answers_of(SMALL.replace("chunk_size: 128KiB", f"chunk_size: {chunk}").replace("3GiB", "30GiB"), 1).n == 1


# -- what is refused ---------------------------------------------------------------------------------------

def test_bad_input_is_told_by_file_and_line_and_writes_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(SMALL.replace("120", "-1"))
    result = run(str(bad), "-o", str(tmp_path / "out"))
    assert isinstance(result.exception, InputError)
    assert f"{bad}:9: " in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_a_plan_and_flags_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    for flags in (["--pool", "10GiB"], ["--risk", "2"]):
        result = run(str(tmp_path / "small.yaml"), *flags)
        assert isinstance(result.exception, InputError)
        assert flags[0] in str(result.exception)


def test_options_that_would_be_ignored_are_refused(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    for flags, words in ((["--seconds", "5", "--replications", "4"], "--seconds does not go with --replications"),
                         (["--workers", "1", "--cluster", "tcp://127.0.0.1:1"], "--workers does not go with --cluster"),
                         (["--seconds", "inf"], "--seconds inf")):
        result = run(str(tmp_path / "small.yaml"), *flags)
        assert isinstance(result.exception, InputError), flags
        assert words in str(result.exception)
    assert run(str(tmp_path / "small.yaml"), "--seconds", "nan").exit_code == 2


def test_what_shows_only_when_the_host_is_made_is_told_by_the_flag() -> None:
    for flags, words in ((["--pool", "1TiB", "--chunk-size", "64KiB", "--metadata", "4MiB"],
                          "--metadata: metadata of 4 MiB do not hold"),
                         (["--writes", "20GiB"], "--writes: workload containers: its steps fill")):
        result = run(*flags, "--replications", "1", "--workers", "1")
        assert isinstance(result.exception, InputError), flags
        assert str(result.exception).startswith(words), result.exception


def test_what_the_model_cannot_do_is_named() -> None:
    for there, instead, words in (
            ("amount: 24MiB", "amount: 20GiB", r"plan\.yaml:\d+: workload web: its steps fill"),
            ("free: 128MiB", "metadata: 2MiB", None),
            ("    starts_per_day:", "    size: {lognormal: {median: 1, sigma: 50}}\n    starts_per_day:",
             r"plan\.yaml:\d+: workload web: one container in ten has .* up to 1000 allowed"),
            ("tags_per_month: 60", "shared_layers: 9",
             r"plan\.yaml:\d+: image lab/app:1: shared_layers is 9; it has")):
        text = SMALL.replace(there, instead)
        if words is None:
            answers_of(text, 1)
            continue
        with pytest.raises(InputError, match=words):
            answers_of(text, 1)


def test_check_turns_the_answer_into_an_exit_code(tmp_path: Path) -> None:
    (tmp_path / "full.yaml").write_text(SMALL.replace("data: 3GiB, free: 128MiB", "data: 512MiB"))
    result = run(str(tmp_path / "full.yaml"), "--replications", "3", "--workers", "1", "--check")
    assert isinstance(result.exception, AnswerIsNo)
    assert "does not hold" in str(result.exception)


def test_a_cluster_without_dask_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)       # as Python has it for what cannot be imported
    with pytest.raises(RigError, match="distributed") as caught, workers(None, "tcp://127.0.0.1:1"):
        pass
    assert "thinpool-lab[cluster]" in (caught.value.remedy or "")


# -- the shipped plans -------------------------------------------------------------------------------------

def golden_of(found: Answers) -> dict[str, Any]:
    """What is kept of a plan's answers: whole numbers, and times to the second."""
    return {"demand": [[one.demand.data_bytes, one.demand.metadata_bytes, one.demand.volume_bytes, one.demand.devices]
                       for one in found.replications],
            "any": [hits.hits for hits in found.risks[-1].chances],
            "levers": {one.name: round(one.data.mean) for one in found.effects}}


CHEAP_LEVERS = ("prune daily", "volumes for all that writes", "another log driver", "overlay2 on ext4")


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_the_shipped_plans_give_what_they_gave(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the levers whose footprints take least; a change of the model shows in these as well."""
    from lab.answers.plan import levers

    every = levers.variants
    monkeypatch.setattr("lab.answers.plan.levers.variants",
                        lambda plan: tuple(one for one in every(plan) if one.name in CHEAP_LEVERS))
    assert golden_of(answers_of(path.read_text(), 1)) == json.loads(GOLDEN.read_text())[path.stem]


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_the_committed_answers_are_of_todays_plans_and_parameters(path: Path) -> None:
    folder = RESULTS / path.stem
    told = json.loads((folder / "answers.json").read_text())
    assert (folder / "plan.yaml").read_text() == path.read_text(), "make plans"
    assert told["parameters_sha256"] == read_parameters(None).growth_digest(), "make plans"
    assert told["replications"] >= LEAST_REPLICATIONS


def test_files_of_a_made_image_add_up_to_its_size() -> None:
    from lab.answers.plan.host import synthetic_image

    for size_bytes, layers in ((700 * 1024**2, 9), (2 * 1024**3, 12), (1024**2, 1), (3 * 1024**2, 7)):
        lengths = list(synthetic_image("x", size_bytes, layers).files().values())
        assert sum(lengths) == pytest.approx(size_bytes, rel=1e-3)
        assert len(set(lengths)) in {1, 5}


def test_a_storage_as_large_as_what_would_do_holds_without_a_count() -> None:
    """20 replications without a refusal do not yet tell a risk of 1 %; the size does, by the law that is told."""
    from dataclasses import replace

    from lab.answers.plan.words import notes, verdict

    large = answers_of(SMALL.replace("data: 3GiB", "data: 8GiB, metadata: 32MiB"), 20)
    assert (large.chance.hits, large.holds, large.holds_by_size) == (0, True, True)
    assert "holds (by the size that would do" in verdict(large)
    enough = large.data.high
    assert replace(large, replications=large.replications[:19]).holds is None
    less = replace(large, capacity=replace(large.capacity, data_bytes=int(enough) - 1))
    assert less.holds is None
    scarce = replace(large, capacity=replace(large.capacity, metadata_bytes=8192))
    assert scarce.holds is None
    assert "may hold" in verdict(scarce)
    told = [any("extensions add data, not metadata" in note for note in notes(one)) for one in (large, scarce)]
    assert told == [False, True]
