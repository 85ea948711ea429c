"""Advice from runs whose answer is known: evidence, scores, places, checks against the documentation, exit codes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import cli
from lab.analysis.noise import parse_repeat_until
from lab.answers.advise.advice import Advice, advise
from lab.answers.advise.constraints import applicable
from lab.answers.advise.evidence import find_measured, read_measured
from lab.answers.advise.forecast import Forecast, forecast
from lab.answers.advise.jobs import job_shares
from lab.answers.advise.options import OPTIONS, STORAGES, Option, label_of
from lab.answers.advise.profile import Profile
from lab.answers.advise.ranking import rank
from lab.answers.advise.scores import Scores, score
from lab.answers.advise.text import format_advice
from lab.errors import InputError
from lab.runs.records import MEASURED, SIMULATED, CellRecord, CellResult, LabRef, MachineRecord, Manifest, ScenarioRef
from lab.runs.store import RunWriter, open_run
from lab.scenario.order import Arms, plan
from lab.scenario.scenario import load_scenario
from lab.simulate.parameters import read_parameters

MIB = 1024**2
ROOT = Path(__file__).parents[2]
PROFILES = ROOT / "scenarios" / "profiles"
LABELS = tuple(spec.label for spec in STORAGES)
JOBS = {"rand-read-4k": "read", "rand-write-4k": "write", "rand-write-4k#2": "write",
        "rand-write-4k-fdatasync": "write", "seq-write-1m": "write", "seq-write-1m#2": "write"}
Row = dict[str, Any]
Speed = Callable[[str, str, str], float]
Growth = dict[str, tuple[float, float, float]]

GROWTH: Growth = {"loop-lvm": (66.0, 57.0, 0.0), "direct-lvm": (80.0, 64.0, 0.0),
                  "direct-discard": (80.0, 64.0, -64.0), "overlay2-ext4": (64.0, 64.0, -64.0),
                  "overlay2-xfs": (64.0, 63.0, -64.0)}
"""Label -> MiB at write, update and delete."""


def profile(write: float = 0.5, *, purpose: str = "test", space: dict[str, Any] | None = None,
            host: dict[str, Any] | None = None, **writes: float) -> Profile:
    return Profile.model_validate({"purpose": purpose, "reads": {"share": 1 - write},
                                   "writes": {"share": write, **writes}, "space": space, "host": host or {}})


def build(path: Path, speed: Speed, *, repetitions: int = 3, labels: Sequence[str] = LABELS, noise: float = 0.0,
          accelerator: str = "tcg", growth: Growth | None = None, version: int = 1,
          jobs: Sequence[str] = tuple(JOBS)) -> Path:
    """A run with those bandwidths, each repetition on a machine of another speed, and optionally container steps."""
    random_, writer = random.Random(3), RunWriter(path)
    cells: dict[str, CellRecord] = {}
    results: list[CellResult] = []
    specs = {spec.label: spec for spec in STORAGES}
    for repetition in range(1, repetitions + 1):
        pace, rows = random_.lognormvariate(0, 0.5), []
        for label in labels:
            spec = specs[label]
            options = spec.model_dump(exclude={"storage", "label", "force"}, exclude_none=True)
            work: list[tuple[str, str]] = [("fio", "layer"), ("fio", "volume"), ("image", "layer")]
            for workload, target in work + ([("files", "layer")] if growth and label in growth else []):
                cell = f"{label}.{target}.{workload}"
                cells[cell] = CellRecord(storage=spec.storage, target=target, workload=workload, options=options)
                keys: Row = {"run": path.name, "cell": cell, "storage": spec.storage, "target": target,
                             "workload": workload, "repetition": repetition, "arm": "candidate", "source": MEASURED}
                ways = {"image": {"image-write-4k": "write"}, "fio": {job: JOBS[job] for job in jobs}}
                for phase, way in ways.get(workload, {}).items():
                    value = speed(label, target, phase) * pace * random_.lognormvariate(0, noise) * MIB
                    rows.append(keys | {"phase": phase, "metric": f"{way}_bandwidth", "value": value, "unit": "B/s"})
                if workload == "files" and growth:
                    for phase, taken in zip(("start", "write", "update", "delete"), (1.0, *growth[label]), strict=True):
                        rows.append(keys | {"phase": phase, "metric": "storage_growth", "value": taken * MIB,
                                            "unit": "B"})
        # one folder a repetition, whatever the cells: the tables are the same, and sooner written
        result = CellResult(cell="all", repetition=repetition, key=f"{repetition:016x}", status="done",
                            started_utc="2024-11-07T10:00:00Z", seconds=1.0)
        writer.begin(result.key)
        writer.finish(result, rows, [])
        results.append(result)
    machine = MachineRecord(emulated=True, accelerator=accelerator, cpu_model="x", cpus=2, memory_bytes=2**31,
                            box="none", disks="full", pool_disk_bytes=2**32, spare_disk_bytes=2**32, cache="none",
                            host_kernel="6.1.0", host_cpus=2)
    writer.close(Manifest(
        schema_version=version, run=path.name, status="complete",
        scenario=ScenarioRef(name="reference", question="?", file="reference.yaml", sha256="ab" * 32),
        lab=LabRef(version="0.1.0", commit=None, dirty=None), machine=machine, versions={}, clock=[], seed=1,
        repetitions=repetitions, order=[result.key for result in results], started_utc="2024-11-07T09:58:00Z",
        ended_utc="2024-11-07T10:40:00Z", cells=cells, results=results))
    return path


def winner(label: str, target: str, times: float = 2.0) -> Speed:
    """All alike but one option, which is that much faster in every job."""
    return lambda own, where, phase: 100.0 * (times if (own, where) == (label, target) else 1.0)


def advised(told: Profile, *runs: Path, options: Sequence[Option] = OPTIONS) -> Advice:
    return advise(told, list(runs), None, options)


def order(advice: Advice) -> list[tuple[int, Option]]:
    return [(one.place, one.option) for one in advice.ranking.ranked]


# -- ranking -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("label", "target"), [("direct-64k", "layer"), ("overlay2-xfs", "volume"),
                                               ("loop-discard", "layer"), ("direct-lvm-docker", "volume")])
def test_the_known_winner_of_a_synthetic_run_is_first_alone(tmp_path: Path, label: str, target: Any) -> None:
    advice = advised(profile(), build(tmp_path / "r", winner(label, target), noise=0.02))
    assert [one.option for one in advice.ranking.first] == [Option(label, target)]
    ahead = [one for one in advice.ranking.ranked if one.place > 1]
    assert all(one.to_fastest is not None and one.to_fastest.high is not None and one.to_fastest.high < 1
               for one in ahead)
    assert next(one for one in ahead if one.place == 2).decided_by == "measurement"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=4, max_size=8))
def test_no_option_stands_before_one_that_is_told_to_be_faster(logs: list[list[float]]) -> None:
    by_option = {option: dict(enumerate(values, 1)) for option, values in zip(OPTIONS, logs, strict=False)}
    scores = Scores(None, (), (), by_option, (1, 2, 3))
    ranking = rank(tuple(by_option), applicable(profile(0.8, space={"small_files": 9})), scores, None)
    place = {one.option: one.place for one in ranking.ranked}
    for first in place:
        for second in place:
            assert not (scores.better(first, second) and place[first] >= place[second]), (first, second)
    for one in ranking.ranked:
        before = {other.option for other in ranking.ranked if other.place < one.place}
        if one.decided_by == "measurement":
            assert any(scores.better(other, one.option) for other in before)


def test_the_documentation_orders_what_is_not_told_apart_and_never_the_rest() -> None:
    """B is faster than C in every repetition alike; A is on average, and in none of them by as much."""
    a, b, c = Option("direct-lvm", "volume"), Option("direct-lvm", "layer"), Option("overlay2-ext4", "volume")
    logs = {a: {1: 0.3, 2: 0.0, 3: 0.3}, b: dict.fromkeys((1, 2, 3), 0.1), c: dict.fromkeys((1, 2, 3), 0.05)}
    ranking = rank((a, b, c), applicable(profile(0.8)), Scores(None, (), (), logs, (1, 2, 3)), None)
    balance = {one.option: one.balance for one in ranking.ranked}
    assert balance[c] > balance[b], "the documentation alone would turn them round"
    place = {one.option: one.place for one in ranking.ranked}
    assert place[b] < place[c]


def test_the_score_is_the_weighted_geometric_mean_of_the_jobs(tmp_path: Path) -> None:
    def speed(label: str, target: str, phase: str) -> float:
        slow = label == "direct-lvm" and target == "layer"
        return 100.0 * ({"rand-read-4k": 0.5, "rand-write-4k#2": 0.1}.get(phase, 1.0) if slow else 1.0)

    told = profile(0.25)
    advice = advised(told, build(tmp_path / "r", speed))
    slow = next(one for one in advice.ranking.ranked if one.option == Option("direct-lvm", "layer"))
    assert slow.to_fastest is not None
    assert slow.to_fastest.centre == pytest.approx(0.5**0.75 * 0.1**0.25)
    assert [share.weight for share in job_shares(told)] == [0.75, 0.25]


def test_one_repetition_tells_nothing_apart_and_says_what_would(tmp_path: Path) -> None:
    advice = advised(profile(), build(tmp_path / "r", winner("direct-64k", "layer"), repetitions=1))
    assert all(one.to_fastest is None or one.to_fastest.low is None for one in advice.ranking.ranked)
    assert {one.decided_by for one in advice.ranking.ranked} <= {None, "documentation"}
    assert {one.option.label for one in advice.ranking.first} == {"overlay2-ext4", "overlay2-xfs"}
    assert "n = 1," in format_advice(advice)
    assert any("--repeat-until" in gap.command for gap in advice.gaps)


def test_three_repetitions_of_a_noisy_machine_settle_less_than_twelve(tmp_path: Path) -> None:
    def speed(label: str, target: str, phase: str) -> float:
        return 100.0 * (1.6 if label == "direct-lvm" else 1.0)

    few, many = (advised(profile(), build(tmp_path / str(n), speed, repetitions=n, noise=0.3)) for n in (3, 12))
    few_open, many_open = ([one for one in advice.ranking.ranked
                            if one.to_fastest is not None and not one.to_fastest.settled] for advice in (few, many))
    assert len(few_open) > len(many_open)
    assert {one.option.label for one in many.ranking.first} == {"direct-lvm"}


@settings(max_examples=8, deadline=None)
@given(st.permutations(OPTIONS))
def test_the_ranking_does_not_hang_on_the_order_of_the_storages(
        tmp_path_factory: pytest.TempPathFactory, options: list[Option]) -> None:
    folder = tmp_path_factory.getbasetemp() / "order"
    if not folder.exists():
        build(folder, winner("direct-lvm", "layer", 1.1), noise=0.1)
    measured = find_measured([folder]).measured[0]
    told = profile(0.8)
    assert score(measured, job_shares(told), options).logs == score(measured, job_shares(told), OPTIONS).logs
    assert order(advised(told, folder, options=options)) == order(advised(told, folder))


def test_a_volume_is_advised_part_by_part(tmp_path: Path) -> None:
    def speed(label: str, target: str, phase: str) -> float:
        return 100.0 * (0.3 if target == "layer" and "fdatasync" in phase else 1.0)

    advice = advised(profile(0.8, sync=0.5), build(tmp_path / "r", speed))
    verdicts = {part.share.phase: part.verdict for part in advice.volumes}
    assert verdicts["rand-write-4k-fdatasync"] == "into a volume"
    assert verdicts["rand-read-4k"] == "not told apart"
    assert {one.option.target for one in advice.ranking.first} == {"volume"}


# -- documentation against measurement ---------------------------------------------------------------------------


def statement(advice: Advice, rule: str, option: Option) -> Any:
    ranked = next(one for one in advice.ranking.ranked if one.option == option)
    return next((one for one in ranked.statements if one.rule.id == rule), None)


def test_where_the_runs_show_that_direct_lvm_keeps_deleted_space_they_count(tmp_path: Path) -> None:
    run = build(tmp_path / "r", winner("none", "layer"), growth=GROWTH, repetitions=1)
    advice = advised(profile(space={"written": "32MiB", "deletes": True}), run)
    kept = statement(advice, "delete-may-not-free", Option("direct-lvm", "layer"))
    assert (kept.documented, kept.disagree, kept.counts) == (False, True, -1)
    assert str(kept.finding.folder) in format_advice(advice)
    assert "a run shows otherwise" in format_advice(advice)
    assert statement(advice, "delete-may-not-free", Option("loop-lvm", "layer")).counts == -1
    assert statement(advice, "delete-may-not-free", Option("direct-discard", "layer")) is None
    assert statement(advice, "delete-may-not-free", Option("direct-lvm", "volume")) is None


def test_without_container_steps_the_documentation_counts(tmp_path: Path) -> None:
    advice = advised(profile(space={"written": "32MiB", "deletes": True}), build(tmp_path / "r", winner("x", "layer")))
    assert statement(advice, "delete-may-not-free", Option("direct-lvm", "layer")) is None
    told = statement(advice, "delete-may-not-free", Option("loop-lvm", "layer"))
    assert (told.counts, told.finding) == (-1, None)


def test_the_layer_that_grew_most_is_the_one_that_was_measured_so(tmp_path: Path) -> None:
    run = build(tmp_path / "r", winner("none", "layer"), growth=GROWTH, repetitions=1)
    advice = advised(profile(0.9), run)
    assert statement(advice, "layer-grows-in-writes", Option("overlay2-ext4", "layer")).disagree
    assert statement(advice, "layer-grows-in-writes", Option("direct-lvm", "layer")).counts == -1


def test_an_update_copies_least_where_it_was_measured_so(tmp_path: Path) -> None:
    run = build(tmp_path / "r", winner("none", "layer"), growth=GROWTH, repetitions=1)
    advice = advised(profile(0.9, image=0.5), run)
    assert statement(advice, "blocks-are-copied-not-files", Option("loop-lvm", "layer")).counts == 1
    assert statement(advice, "blocks-are-copied-not-files", Option("direct-lvm", "volume")).disagree


# -- evidence ------------------------------------------------------------------------------------------------------


def test_runs_that_are_no_evidence_are_left_out_by_name(tmp_path: Path) -> None:
    build(tmp_path / "good", winner("direct-lvm", "layer"))
    build(tmp_path / "model", winner("loop-lvm", "layer"), accelerator=SIMULATED)
    build(tmp_path / "old", winner("loop-lvm", "layer"), version=99)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "manifest.json").write_text("{")
    advice = advised(profile(), tmp_path)
    assert advice.scores.measured is not None
    assert advice.scores.measured.run.path == tmp_path / "good"
    told = "\n".join(advice.found.refused)
    assert "simulated" in told
    assert "schema version 99" in told
    assert "bad" in told
    assert "schema version 99" in format_advice(advice)


def test_counts_of_space_rest_on_the_run_with_most_repetitions_and_say_how_many(tmp_path: Path) -> None:
    build(tmp_path / "a", winner("none", "layer"), growth=GROWTH, repetitions=2)
    build(tmp_path / "b", winner("none", "layer"), growth=GROWTH, repetitions=1)
    advice = advised(profile(0.9), tmp_path)
    finding = statement(advice, "layer-grows-in-writes", Option("direct-lvm", "layer")).finding
    assert (Path(finding.folder).resolve(), finding.n) == ((tmp_path / "a").resolve(), 2)
    assert f"({finding.folder}, n = 2)" in " ".join(format_advice(advice).split())


def test_two_repetitions_of_a_clear_winner_claim_nothing_by_speed(tmp_path: Path) -> None:
    text = format_advice(advised(profile(), build(tmp_path / "r", winner("direct-64k", "layer"), repetitions=2)))
    assert "Speed decides nothing here: n = 2" in text
    assert "lab run scenarios/reference.yaml --repetitions 3" in text
    assert "Speed sets" not in text


def test_a_winner_of_three_repetitions_is_named_with_n_and_the_number_behind_it(tmp_path: Path) -> None:
    run = build(tmp_path / "r", winner("direct-64k", "layer"), noise=0.02)
    advice = advised(profile(), run)
    text = " ".join(format_advice(advice).split())
    assert "First: direct-64k, data in the layer. Speed sets" in text
    assert f"of {len(advice.ranking.ranked) - 1} behind it (95 % intervals, n = {advice.scores.n})" in text


def test_only_useless_runs_are_refused_with_a_remedy(tmp_path: Path) -> None:
    build(tmp_path / "model", winner("loop-lvm", "layer"), accelerator=SIMULATED)
    with pytest.raises(InputError, match=r"--runs .*simulated.*lab run scenarios/reference\.yaml"):
        advised(profile(), tmp_path)


@pytest.mark.parametrize(("make", "words"), [(False, "no such folder"), (True, "no run in this folder")])
def test_folders_without_runs_are_refused(tmp_path: Path, make: bool, words: str) -> None:
    if make:
        (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match=words):
        advised(profile(), tmp_path / "x")


def test_of_several_runs_the_one_with_most_of_the_work_carries_the_advice(tmp_path: Path) -> None:
    build(tmp_path / "two", winner("direct-lvm", "layer"), labels=["direct-lvm", "overlay2-ext4"], repetitions=5)
    build(tmp_path / "all", winner("direct-lvm", "layer"))
    measured = advised(profile(), tmp_path).scores.measured
    assert measured is not None
    assert measured.run.path.name == "all"


def test_storages_that_the_run_lacks_are_named_and_not_placed(tmp_path: Path) -> None:
    run = build(tmp_path / "r", winner("direct-lvm", "layer"), labels=["direct-lvm", "overlay2-ext4"])
    advice = advised(profile(), run)
    assert {one.option.label for one in advice.ranking.ranked} == {"direct-lvm", "overlay2-ext4"}
    assert Option("direct-64k", "volume") in advice.ranking.unmeasured
    assert [gap.command for gap in advice.gaps if "direct-64k" in gap.says] == ["lab run scenarios/reference.yaml"]


def test_sequential_reads_that_no_job_measured_are_named_with_the_scenario_that_would(tmp_path: Path) -> None:
    told = Profile.model_validate({"reads": {"share": 0.6, "random": 0.5}, "writes": {"share": 0.4}})
    advice = advised(told, build(tmp_path / "r", winner("direct-lvm", "layer")))
    assert advice.scores.coverage == pytest.approx(0.7)
    assert [gap.command for gap in advice.gaps if "seq-read-1m" in gap.says] == [
        "lab run scenarios/reference-reads.yaml"]


def test_kinds_that_one_scenario_would_measure_are_one_gap(tmp_path: Path) -> None:
    run = build(tmp_path / "r", winner("direct-lvm", "layer"), jobs=["rand-read-4k"])
    told = [gap for gap in advised(profile(0.5, sync=0.5), run).gaps if "are not in the run" in gap.says]
    assert [gap.command for gap in told] == ["lab run scenarios/reference.yaml"]
    assert "rand-write-4k#2 and rand-write-4k-fdatasync would measure them" in told[0].says


@pytest.mark.parametrize("told", [profile(0.9, sync=0.6), profile(0.1), profile(0.6, image=0.4, first=0.5)])
def test_every_command_that_is_printed_would_run(tmp_path: Path, told: Profile) -> None:
    import shlex

    run = build(tmp_path / "r", winner("none", "layer"), noise=0.2,
                labels=[label for label in LABELS if label != "direct-128k"])
    commands = [shlex.split(gap.command) for gap in advised(told, run).gaps]
    assert commands
    for words in commands:
        assert words[:2] == ["lab", "run"]
        scenario = load_scenario(ROOT / words[2])
        only = [value for name, value in pairwise(words) if name == "--only"]
        assert plan(Arms(scenario), "box", only=only)
        if "--repeat-until" in words:
            parse_repeat_until(words[words.index("--repeat-until") + 1], {"candidate": scenario}, max_repetitions=10,
                               only=only)


def test_values_that_no_advice_can_rest_on_are_left_out_and_counted(tmp_path: Path) -> None:
    run = open_run(build(tmp_path / "r", winner("none", "layer"), noise=0.1, labels=["direct-lvm", "overlay2-ext4"]))
    table = run.measurements
    reads = table.index[table["metric"] == "read_bandwidth"]
    table.loc[reads[0], "value"] = float("nan")
    table.loc[reads[1], "value"] = -5.0
    copied = (table["cell"] == "overlay2-ext4.volume.fio") & (table["phase"] == "rand-write-4k")
    table.loc[copied, "value"] = 7.0
    run.manifest.cells["direct-lvm.layer.image"] = CellRecord(
        storage="direct-lvm", target="layer", workload="image", options={"chunk_size_bytes": 256 * 1024})
    measured = read_measured(run)
    assert list(measured.repairs.values()) == [1, 3, 1, 3]
    told = "\n".join(measured.repairs_told)
    assert "measurements.parquet: 1 value left out: no finite number" in told
    assert "3 values left out: on a storage that is not advised on" in told
    assert "1 value left out: a bandwidth of zero or below" in told
    assert "3 values left out: the same bandwidth in every repetition" in told
    share = next(share for share in job_shares(profile(0.5, first=1.0)) if share.phase == "rand-write-4k")
    assert measured.job(Option("overlay2-ext4", "volume"), share) == {}
    assert len(measured.job(Option("overlay2-ext4", "layer"), share)) == 3


def test_a_pool_of_other_options_is_not_taken_for_one_that_is_advised_on() -> None:
    options = STORAGES[2].model_dump(exclude={"storage", "label", "force"}, exclude_none=True)
    record = CellRecord(storage="direct-lvm", target="layer", workload="w", options=options)
    assert label_of(record) == "direct-lvm"
    assert label_of(record.model_copy(update={"options": options | {"data_percent": 75}})) is None
    assert label_of(record.model_copy(update={"options": options | {"throttle": "40 MiB/s"}})) is None
    assert label_of(record.model_copy(update={"options": options | {"chunk_size_bytes": 65536}})) == "direct-64k"


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the command line here and gives its exit code."""
    monkeypatch.setattr("signal.signal", lambda number, handler: None)

    def run(*argv: str | Path) -> int:
        monkeypatch.setattr("sys.argv", ["lab", "advise", *map(str, argv)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return 0 if code is None else int(code)

    return run


def described(folder: Path, write: float, more: str = "") -> Path:
    """A profile's file."""
    file = folder / "mine.yaml"
    file.write_text(f"reads: {{share: {1 - write:g}}}\nwrites: {{share: {write:g}, sync: 0.5}}\n{more}")
    return file


def test_json_is_one_document_without_nan_and_text_has_the_same_places(
        tmp_path: Path, lab: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    run = build(tmp_path / "r", winner("direct-64k", "volume"), noise=0.02, growth=GROWTH)
    file = described(tmp_path, 0.8, "purpose: test\nspace: {written: 8MiB}\nhost: {docker: '20.10', containers: 3}\n")
    assert lab(file, "--runs", run, "--json") == 0
    told = json.loads(capsys.readouterr().out, parse_constant=lambda text: pytest.fail(text))
    first = told["ranking"][0]
    assert (first["place"], first["label"], first["data"]) == (1, "direct-64k", "volume")
    assert first["forecast"]["taken_bytes"] > 8 * MIB
    assert told["evidence"]["run"].endswith("r")
    assert sum(job["weight"] for job in told["evidence"]["jobs"]) == pytest.approx(1)
    assert all(statement["source"] for one in told["ranking"] for statement in one["statements"])
    assert lab(file, "--runs", run) == 0
    text = capsys.readouterr().out
    assert "1      direct-64k" in text
    assert "times 3" in text
    assert max(len(line) for line in text.splitlines() if not line.lstrip().startswith("lab run")) < 220


def test_the_command_exits_with_the_code_of_its_answer(
        tmp_path: Path, lab: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    run = build(tmp_path / "r", winner("none", "layer"), noise=0.1, repetitions=1)
    assert lab(described(tmp_path, 0.2, "host: {docker: '25.0', backing: zfs}\n"), "--runs", run) == 1
    seen = capsys.readouterr()
    assert "excludes every storage" in seen.err
    assert "devicemapper" in seen.out
    assert lab(described(tmp_path, 1.2), "--runs", run) == 2
    assert capsys.readouterr().err.startswith(f"lab: {tmp_path / 'mine.yaml'}:1: ")
    assert lab(described(tmp_path, 0.2, "host: {docker: '25.0'}\n"), "--runs", run) == 4
    assert "lab run scenarios/reference.yaml" in capsys.readouterr().out


def test_the_one_storage_that_is_left_is_an_answer_though_its_places_for_data_are_not_told_apart(
        tmp_path: Path, lab: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    run = build(tmp_path / "r", winner("none", "layer"), noise=0.1, repetitions=1)
    assert lab(described(tmp_path, 0.2, "host: {docker: '25.0', backing: ext4}\n"), "--runs", run) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "First: overlay2-ext4, data in" in text
    assert "The documentation excludes every other storage." in text


def test_the_only_storage_that_was_measured_is_no_answer_where_others_are_left(
        tmp_path: Path, lab: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    run = build(tmp_path / "r", winner("none", "layer"), labels=("direct-lvm",))
    assert lab(described(tmp_path, 0.2), "--runs", run) == 4
    assert "lab run scenarios/reference.yaml" in capsys.readouterr().out


def test_the_run_is_chosen_for_the_storages_that_are_left(
        tmp_path: Path, lab: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    pools = ("loop-lvm", "direct-lvm", "direct-64k", "direct-128k")
    build(tmp_path / "runs" / "pools", winner("none", "layer"), labels=pools)
    build(tmp_path / "runs" / "overlays", winner("overlay2-xfs", "volume", 3.0),
          labels=("overlay2-ext4", "overlay2-xfs"))
    assert lab(described(tmp_path, 0.2, "host: {docker: '25.0'}\n"), "--runs", tmp_path / "runs", "--json") == 0
    assert json.loads(capsys.readouterr().out)["evidence"]["run"].endswith("overlays")


@pytest.mark.parametrize("name", ["database", "web", "ci", "logs"])
def test_the_shipped_profiles_get_advice_from_the_committed_runs(
        name: str, lab: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert lab(PROFILES / f"{name}.yaml", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["evidence"]["run"].endswith("results/reference/reference")
    assert told["ranking"][0]["place"] == 1
    assert [one["label"] for one in told["ranking"] if one["forecast"]["failed"] is not None] == []
    labels = {one["label"] for one in told["ranking"]}
    assert name == "ci" or not labels & {"loop-lvm", "loop-discard"}


def test_the_reference_runs_are_missed_with_a_remedy(
        tmp_path: Path, lab: Callable[..., int], monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("lab.__file__", str(tmp_path / "lab" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    assert lab(described(tmp_path, 0.5)) == 2
    assert "lab run scenarios/reference.yaml" in capsys.readouterr().err


# -- what the forecast counts ------------------------------------------------------------------------------------


def forecast_of(told: Profile, *options: Option) -> dict[Option, Forecast]:
    found = forecast(told, options, read_parameters(None))
    assert found is not None
    return dict(found.by_option)


def test_only_the_json_file_driver_keeps_logs_where_containers_are() -> None:
    option, space = Option("overlay2-ext4", "layer"), {"log_lines": 100_000, "log_width": 200}
    taken = {driver: forecast_of(profile(space=space, host={"log_driver": driver}), option)[option].taken_bytes
             for driver in ("json-file", "journald")}
    assert taken["json-file"] - taken["journald"] == pytest.approx(100_000 * 269, rel=0.02)


def test_a_layer_that_is_full_says_nothing_of_work_in_a_volume() -> None:
    """12 GiB do not fit into a device of 10 GiB, and do into a volume."""
    layer, volume = Option("direct-lvm", "layer"), Option("direct-lvm", "volume")
    found = forecast_of(profile(space={"written": 12 * 1024**3, "files": 12}), layer, volume)
    assert found[layer].failed
    assert found[volume].failed is None
    assert found[volume].taken_bytes >= 12 * 1024**3
