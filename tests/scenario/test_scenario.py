"""Scenario files: what is read, what is refused and where, and what a content key depends on."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.errors import InputError
from lab.scenario.key import setup_text
from lab.scenario.scenario import (
    FioWorkload,
    MachineSpec,
    Pause,
    Scenario,
    StepsWorkload,
    StorageSpec,
    Update,
    _metadata_fits,
    load_scenario,
)

SCENARIOS = Path(__file__).parents[2] / "scenarios"
JOBS = "[global]\nioengine=psync\n\n[first]\nrw=write\n; a comment\n[second]\nrw=read\n"
GOOD = """\
name: good
question: What is it?
seed: 7
repetitions: 2
machine:
  memory: 1GiB
  disks: sparse
storages:
  - loop-lvm
  - {storage: direct-lvm, label: direct-64k, chunk_size: 64KiB}
targets: [layer, volume]
workload:
  - name: fio
    fio: jobs.fio
    repeats: 2
  - name: files
    targets: [layer]
    image: lab/app:1
    steps:
      - start
      - write: {amount: 32MiB, files: 4}
      - update: {file: large.bin, amount: 4MiB, drop_caches: true}
      - delete: written
      - pause: 5s
      - remove
      - remove_image
  - name: own
    command: [sh, -c, "echo hello > /data/x"]
    timeout: 5min
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jobs.fio").write_text(JOBS)
    return tmp_path


def load(folder: Path, text: str | bytes) -> Scenario:
    file = folder / "s.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_scenario(file)


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1, old
    return GOOD.replace(old, new, 1)


@pytest.mark.parametrize("file", sorted(file for file in SCENARIOS.rglob("*.yaml")
                                        if file.parent.name not in ("plans", "profiles")), ids=lambda file: file.name)
def test_every_scenario_of_the_repository_loads(file: Path) -> None:
    scenario = load_scenario(file)
    ids = [cell.id for cell in scenario.cells()]
    assert scenario.name == file.stem
    assert len(set(ids)) == len(ids) > 0


def test_the_proof_is_its_baseline_but_for_two_throttles_of_which_one_is_tighter() -> None:
    plain, slowed = load_scenario(SCENARIOS / "proof-baseline.yaml"), load_scenario(SCENARIOS / "proof.yaml")

    def limits(scenario: Scenario) -> dict[str, int]:
        return {spec.label: spec.throttle.operations or 0 for spec in scenario.storages if spec.throttle is not None}

    before, after = limits(plain), limits(slowed)
    assert before["detectable"] == before["twice"] > after["detectable"] > after["twice"]
    same = {"storages": plain.storages,
            **{key: getattr(plain, key) for key in ("name", "question", "path", "text", "sha256")}}
    assert slowed.model_copy(update=same) == plain
    alike = {spec.model_copy(update={"label": "x", "throttle": None}) for spec in (*plain.storages, *slowed.storages)}
    assert len(alike) == 1, "one build serves all"


def test_values_units_and_defaults(folder: Path) -> None:
    scenario = load(folder, GOOD)
    assert scenario.machine == MachineSpec.model_validate({"memory_bytes": 1024**3, "disks": "sparse"})
    assert scenario.machine.pool_disk_bytes == 4 * 1024**3
    loop, direct = scenario.storages
    assert (loop.label, loop.chunk_size_bytes, loop.data_percent) == ("loop-lvm", 65536, None)
    assert (direct.chunk_size_bytes, direct.data_percent, direct.metadata_percent) == (65536, 95, 1)
    assert (direct.autoextend_threshold, direct.autoextend_percent, direct.discard) == (80, 20, False)
    fio, files, own = scenario.workload
    assert isinstance(fio, FioWorkload)
    assert (fio.sections, fio.jobs, fio.jobs_text) == (("first", "second"), folder / "jobs.fio", JOBS)
    assert isinstance(files, StepsWorkload)
    assert isinstance(files.steps[2], Update)
    assert files.steps[2].drop_caches
    assert isinstance(files.steps[4], Pause)
    assert files.steps[4].seconds == 5
    assert own.targets == ("layer", "volume")
    assert scenario.text == GOOD
    assert [cell.id for cell in scenario.cells()][:3] == ["loop-lvm.layer.fio", "loop-lvm.volume.fio",
                                                          "loop-lvm.layer.files"]


def test_a_storage_made_in_code_has_the_same_defaults_as_one_from_a_file() -> None:
    spec = StorageSpec.model_validate({"storage": "direct-lvm", "chunk_size_bytes": 131072})
    assert (spec.label, spec.chunk_size_bytes, spec.data_percent) == ("direct-lvm", 131072, 95)


KEYS_OF_FIRST_RUNS = {"direct-64k.layer.fio": "84c410d99dee007a", "loop-lvm.layer.files": "0a409f42ae1302e4"}


def test_the_daemons_own_set_up_takes_everything_but_a_chunk_size(folder: Path) -> None:
    named = changed("{storage: direct-lvm, label: direct-64k, chunk_size: 64KiB}",
                    "{storage: direct-lvm-docker, data_percent: 60, metadata_percent: 2, autoextend_threshold: 70, "
                    "autoextend_percent: 10, force: true}")
    spec = load(folder, named).storages[1]
    assert (spec.chunk_size_bytes, spec.data_percent, spec.metadata_percent) == (512 * 1024, 60, 2)
    assert (spec.autoextend_threshold, spec.autoextend_percent, spec.force) == (70, 10, True)
    assert StorageSpec.model_validate(spec.model_dump()) == spec
    with pytest.raises(InputError, match="chunk_size '64KiB' does not apply to direct-lvm-docker"):
        load(folder, changed("storage: direct-lvm", "storage: direct-lvm-docker"))


def test_a_content_key_stays_what_it_was_before_options_were_added(folder: Path) -> None:
    """A run that was begun then can still be resumed."""
    cells = {cell.id: cell for cell in load(folder, GOOD).cells()}
    keys = {name: cells[name].content_key(MachineSpec(), 7, 1, "box") for name in
            ("direct-64k.layer.fio", "loop-lvm.layer.files")}
    assert keys == KEYS_OF_FIRST_RUNS


def test_a_throttle_is_part_of_a_cells_key_and_no_part_of_a_set_ups(folder: Path) -> None:
    text = changed("chunk_size: 64KiB}", "chunk_size: 64KiB, throttle: {bandwidth: 4MiB, iops: 300}}")
    slow, plain = load(folder, text), load(folder, GOOD)
    spec = slow.storages[1]
    assert spec.throttle is not None
    assert (spec.throttle.bandwidth_bytes, spec.throttle.operations) == (4 * 2**20, 300)
    assert spec.throttle.sentence == "4 MiB/s, 300 operations/s"
    assert setup_text(spec) == setup_text(plain.storages[1])
    assert StorageSpec.model_validate(spec.model_dump()) == spec
    keys = [[cell.content_key(MachineSpec(), 7, 1, "box") for cell in one.cells()] for one in (slow, plain)]
    same = [ours == theirs for ours, theirs in zip(*keys, strict=True)]
    assert same == [cell.storage.label != "direct-64k" for cell in plain.cells()]


def test_rounds_need_containers_that_go(folder: Path) -> None:
    rounds = GOOD.replace("      - remove_image\n", "").replace("    steps:", "    rounds: 3\n    steps:")
    files = load(folder, rounds).workload[1]
    assert isinstance(files, StepsWorkload)
    assert files.rounds == 3
    with pytest.raises(InputError, match="with rounds the steps must remove"):
        load(folder, GOOD.replace("    steps:", "    rounds: 3\n    steps:"))
    with pytest.raises(InputError, match="a trace is of one round"):
        load(folder, rounds.replace("    rounds: 3", "    rounds: 3\n    trace: true"))


BAD = {
    "unknown top key": (changed("seed: 7", "seeds: 7"), 3, ["'seeds'", "did you mean 'seed'", "repetitions"]),
    "unknown machine key": (changed("memory: 1GiB", "ram: 1GiB"), 6, ["'ram'", "memory", "pool_disk"]),
    "unknown storage key": (changed("chunk_size: 64KiB", "chunksize: 64KiB"), 10, ["'chunksize'", "'chunk_size'"]),
    "unknown workload key": (changed("repeats: 2", "repeat: 2"), 15, ["'repeat'", "'repeats'"]),
    "unknown step": (changed("- pause: 5s", "- sleep: 5s"), 24, ["'sleep'", "pause", "remove_image"]),
    "unknown step key": (changed("{amount: 32MiB, files: 4}", "{size: 32MiB}"), 21, ["'size'", "amount", "files"]),
    "derived key": (changed("seed: 7", "seed: 7\npath: /x"), 4, ["'path'"]),
    "kind in a step": (changed("{amount: 32MiB, files: 4}", "{amount: 1MiB, kind: log}"), 21, ["'kind'"]),
    "duplicate key": (changed("seed: 7", "seed: 7\nseed: 8"), 4, ["duplicate key 'seed'", "line 3"]),
    "missing key": (changed("seed: 7\n", ""), 1, ["'seed' is missing"]),
    "unit of no size": (changed("1GiB", "1GB"), 6, ["'1GB'", "KiB", "GiB"]),
    "size without unit": (changed("1GiB", "1024"), 6, ["1024", "no unit", "KiB"]),
    "duration without unit": (changed("5min", "5"), 29, ["timeout", "5", "min"]),
    "little memory": (changed("1GiB", "511MiB"), 6, ["'511MiB'", "512MiB"]),
    "small disk": (changed("memory: 1GiB", "pool_disk: 1023MiB"), 6, ["'1023MiB'", "1GiB"]),
    "huge size": (changed("1GiB", "9" * 400 + ".0GiB"), 6, ["memory"]),
    "unit hidden behind blanks": (changed("1GiB", "'1GiB" + " " * 80 + "x'"), 6, ["is not a size"]),
    "odd chunk": (changed("64KiB", "65KiB"), 10, ["65 KiB", "64KiB", "1GiB"]),
    "large chunk": (changed("64KiB", "2GiB"), 10, ["2 GiB", "1GiB"]),
    "no room for the spare": (changed("64KiB}", "64KiB, metadata_percent: 3}"), 10, ["95", "3", "101", "100"]),
    "option of another storage": (changed("storage: direct-lvm", "storage: overlay2-ext4"), 10,
                                  ["chunk_size", "'64KiB'", "overlay2-ext4"]),
    "unknown storage": (changed("- loop-lvm", "- loop"), 9, ["'loop'", "'loop-lvm'", "overlay2-ext4"]),
    "unknown target": (changed("[layer, volume]", "[layer, disk]"), 11, ["'disk'", "layer", "volume"]),
    "two of one target": (changed("[layer, volume]", "[layer, layer]"), 11, ["'layer'", "once"]),
    "no storages": (changed("  - loop-lvm\n  - {storage: direct-lvm, label: direct-64k, chunk_size: 64KiB}\n",
                            "  []\n"), 8, ["[]", "one entry or more"]),
    "no steps": (changed("    command: [sh, -c, \"echo hello > /data/x\"]", "    command: []"), 28, ["[]"]),
    "empty throttle": (changed("64KiB}", "64KiB, throttle: {}}"), 10, ["needs bandwidth, iops, or both"]),
    "no operations": (changed("64KiB}", "64KiB, throttle: {iops: 0}}"), 10, ["0", "at least 1"]),
    "throttle without unit": (changed("64KiB}", "64KiB, throttle: {bandwidth: 4}}"), 10, ["4", "no unit"]),
    "unknown throttle key": (changed("64KiB}", "64KiB, throttle: {speed: 4MiB}}"), 10, ["'speed'", "bandwidth"]),
    "throttle that is a text": (changed("64KiB}", "64KiB, throttle: 4MiB}"), 10, ["'4MiB'", "bandwidth, iops"]),
    "two labels": (changed("label: direct-64k", "label: loop-lvm"), 10, ["'loop-lvm'", "label"]),
    "two workload names": (changed("name: own", "name: fio"), 27, ["'fio'", "once"]),
    "reserved name": (changed("name: own", "name: setup"), 27, ["'setup'"]),
    "bad name": (changed("name: own", "name: My Own"), 27, ["'My Own'", "a-z"]),
    "yes for true": (changed("repeats: 2", "drop_caches: yes"), 15, ["'yes'", "true, false"]),
    "text for a number": (changed("seed: 7", "seed: seven"), 3, ["'seven'"]),
    "negative seed": (changed("seed: 7", "seed: -1"), 3, ["-1", "at least 0"]),
    "no repetition": (changed("repetitions: 2", "repetitions: 0"), 4, ["0", "at least 1"]),
    "missing job file": (changed("jobs.fio", "nowhere.fio"), 14, ["'nowhere.fio'"]),
    "job file is a number": (changed("jobs.fio", "3"), 14, ["3"]),
    "two kinds": (changed("    fio: jobs.fio", "    fio: jobs.fio\n    command: [ls]"), 15, ["fio and command"]),
    "no kind": (changed("    fio: jobs.fio\n    repeats: 2\n", ""), 13, ["fio, steps, command"]),
    "unknown image": (changed("lab/app:1", "alpine"), 18, ["'alpine'", "lab/app:1"]),
    "number in a command": (changed("[sh, -c,", "[sh, 1,"), 28, ["1"]),
    "delete of nothing": (changed("delete: written", "delete: small_files"), 23, ["small_files", "large.bin"]),
    "delete of an unknown": (changed("delete: written", "delete: all"), 23, ["'all'", "written"]),
    "write after remove": (changed("- remove_image", "- log: {lines: 3}"), 26, ["log", "removed"]),
    "image with containers": (changed("      - remove\n", ""), 25, ["remove_image", "remove must"]),
    "no start": (changed("- start", "- pause: 1s"), 21, ["write", "start"]),
    "path in update": (changed("file: large.bin", "file: ../x"), 22, ["'../x'"]),
    "part of a block": (changed("amount: 4MiB", "amount: 4097B"), 22, ["4097", "4KiB"]),
    "two keys in a step": (changed("- pause: 5s", "- {pause: 5s, trim: {}}"), 24, ["one-key"]),
    "step that is a number": (changed("- pause: 5s", "- 5"), 24, ["5", "pause"]),
    "infinite pause": (changed("5s", "9" * 400 + "s"), 24, ["pause"]),
    "syntax": (changed("[layer, volume]", "[layer, volume"), 12, ["not YAML"]),
    "tab": (changed("  memory", "\tmemory"), 6, ["not YAML"]),
    "tag": (changed("seed: 7", "seed: !!python/name:os.system 7"), 3, ["tag"]),
    "unknown alias": (changed("seed: 7", "seed: *x"), 3, ["'*x'"]),
    "alias of itself": (changed("storages:", "storages: &x\n  - *x"), 9, ["'*x'"]),
    "no text key": (changed("seed: 7", "seed: 7\n1: 2"), 4, ["key 1"]),
    "half a surrogate": (changed("What is it?", '"\\uD800"'), 2, ["surrogate"]),
    "huge escape": (changed("What is it?", '"\\UFFFFFFFF"'), 1, ["not YAML"]),
    "second document": (GOOD + "---\nname: x\n", 30, ["second document"]),
    "deep": ("a: " + "[" * 200_000, 1, ["deeper than 32"]),
    "many values": ("- a\n" * 30_000, 20_000, ["20000"]),
    "bomb": ("a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
             5, ["aliases"]),
    "list": ("- a\n- b\n", 1, ["no mapping", "name"]),
    "word": ("hello", 1, ["'hello'", "name"]),
    "empty": ("", 1, ["empty"]),
    "comments only": ("# nothing\n", 1, ["comments"]),
    "null": ("a: \n", 1, ["'a'"]),
}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case)
def test_bad_input_is_one_line_with_the_place_and_the_value(folder: Path, case: str) -> None:
    text, line, words = BAD[case]
    with pytest.raises(InputError) as caught:
        load(folder, text)
    message = str(caught.value)
    assert caught.value.where == f"{folder / 's.yaml'}:{line}", message
    assert [word for word in words if word not in message] == [], message
    assert len(message.splitlines()) == 1
    assert len(message) < 1500


def test_metadata_that_cannot_map_the_pool_is_refused() -> None:
    spec = StorageSpec.model_construct(storage="direct-lvm", label="d", chunk_size_bytes=4096, data_percent=95,
                                       metadata_percent=1)
    with pytest.raises(ValueError, match="metadata_percent 1 gives"):
        _metadata_fits(spec, MachineSpec(), ("storages", 0))


@pytest.mark.parametrize(("data", "line", "words"), [
    (b"\x7fELF\x02\x01\x01\x00\x00", 1, "UTF-8"),
    (b"name: x\nquestion: \xff\n", 2, "0xff"),
    (b"name: x\nquestion: a\x00b\n", 2, "byte 0"),
    ("name: x\nquestion: héé\nseed: \0".encode(), 3, "byte"),
])
def test_binary_is_refused_with_its_first_bad_line(folder: Path, data: bytes, line: int, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        load(folder, data)
    assert caught.value.where == f"{folder / 's.yaml'}:{line}"


def test_a_file_above_1_mib_a_folder_and_no_file_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="10 MiB large; at most 1 MiB"):
        load(folder, b"#" * (10 * 1024**2))
    with pytest.raises(InputError, match="not a regular file"):
        load_scenario(folder)
    with pytest.raises(InputError, match="no such file"):
        load_scenario(folder / "nowhere.yaml")


@pytest.mark.parametrize(("jobs", "line", "words"), [
    ("", 1, "empty"),
    ("[global]\nrw=read\n", 1, "no section besides"),
    ("rw=read\n[a]\n", 1, "'rw=read'"),
    ("[a]\nrw=read\n[a]\n", 3, "duplicate section 'a', first on line 1"),
    ("[a b]\nrw=read\n", 1, "'a b'"),
    ("[a]\ninclude other.fio\n", 2, "include other.fio"),
    ("[a]\ndirectory=/etc\n", 2, "directory=/etc"),
    ("[a]\nrandseed=3\n", 2, "randseed=3"),
    ("; \0\n[a]\n", 1, "UTF-8"),
])
def test_a_bad_job_file_is_named_with_its_own_line(folder: Path, jobs: str, line: int, words: str) -> None:
    (folder / "jobs.fio").write_text(jobs)
    with pytest.raises(InputError) as caught:
        load(folder, GOOD)
    assert caught.value.where == f"{folder / 'jobs.fio'}:{line}"
    assert words in str(caught.value)


def archive(path: Path, *names: str) -> None:
    with tarfile.open(path, "w") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())


def test_an_image_of_the_user_is_a_docker_archive_and_its_content_decides_the_key(folder: Path) -> None:
    text = changed('command: [sh, -c, "echo hello > /data/x"]', "command: [ls]\n    image: my.tar")
    keys = set()
    for names in (("manifest.json",), ("manifest.json", "layer.tar")):
        archive(folder / "my.tar", *names)
        scenario = load(folder, text)
        assert scenario.workload[2].image_file == folder / "my.tar"
        keys.add(scenario.cells()[-1].content_key(scenario.machine, 1, 1, "box"))
    assert len(keys) == 2
    archive(folder / "my.tar", "etc/passwd")
    with pytest.raises(InputError, match=r"'my\.tar' is no docker archive: it has no manifest\.json"):
        load(folder, text)
    (folder / "my.tar").write_bytes(b"\x1f\x8b nothing")
    with pytest.raises(InputError, match=r"'my\.tar' is no docker archive"):
        load(folder, text)


def test_a_command_may_hold_anything_as_it_stands(folder: Path) -> None:
    scenario = load(folder, changed('"echo hello > /data/x"', '"; rm -rf / $(x) `y` \\n é \'"'))
    assert scenario.workload[2].model_dump()["command"][2] == "; rm -rf / $(x) `y` \n é '"


def test_an_anchor_within_reason_is_read(folder: Path) -> None:
    scenario = load(folder, changed("targets: [layer, volume]", "targets: &t [layer, volume]").replace(
        "targets: [layer]", "targets: *t"))
    assert scenario.workload[1].targets == ("layer", "volume")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_gives_a_scenario_or_bad_input_and_nothing_else(folder: Path, data: st.DataObject) -> None:
    good = GOOD.encode()
    start = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(start, min(len(good), start + 30)))
    middle = data.draw(st.one_of(
        st.binary(max_size=20), st.text(max_size=20).map(lambda text: text.encode()),
        st.text("[]{}&*!|>%@`'\"#-:?, \n\t~0a<.", max_size=12).map(str.encode),
    ))
    text = good[:start] + middle + (b"" if data.draw(st.booleans()) else good[end:])
    try:
        load(folder, text)
    except InputError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - either outcome is right
        assert error.where is not None  # noqa: PT017


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_random_bytes_are_bad_input(folder: Path, data: bytes) -> None:
    with pytest.raises(InputError):
        load(folder, data)


def keys_of(folder: Path, text: str, repetition: int = 1, box: str = "box") -> list[str]:
    scenario = load(folder, text)
    return [cell.content_key(scenario.machine, scenario.seed, repetition, box) for cell in scenario.cells()]


def test_every_cell_has_a_key_of_its_own(folder: Path) -> None:
    keys = keys_of(folder, GOOD)
    assert len(set(keys)) == len(keys) == 10
    assert all(len(key) == 16 and int(key, 16) >= 0 for key in keys)


@pytest.mark.parametrize(("old", "new"), [
    ("# nothing", ""),
    ("name: good", "name: other  # and a comment"),
    ("What is it?", "What else?"),
    ("repetitions: 2", "repetitions: 3"),
    ("1GiB", "1024MiB"),
])
def test_the_key_does_not_depend_on_words_or_place(folder: Path, tmp_path: Path, old: str, new: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "jobs.fio").write_text(JOBS)
    assert keys_of(folder, GOOD) == keys_of(elsewhere, GOOD.replace(old, new))


@pytest.mark.parametrize(("cell", "old", "new"), [
    (5, "seed: 7", "seed: 8"),
    (5, "memory: 1GiB", "memory: 2GiB"),
    (5, "disks: sparse", "disks: full"),
    (5, "memory: 1GiB", "memory: 1GiB\n  cpus: 1"),
    (5, "memory: 1GiB", "memory: 1GiB\n  pool_disk: 5GiB"),
    (5, "memory: 1GiB", "memory: 1GiB\n  spare_disk: 5GiB"),
    (5, "chunk_size: 64KiB", "chunk_size: 128KiB"),
    (5, "64KiB}", "64KiB, data_percent: 94}"),
    (5, "64KiB}", "64KiB, metadata_percent: 2}"),
    (5, "64KiB}", "64KiB, autoextend_threshold: 81}"),
    (5, "64KiB}", "64KiB, autoextend_percent: 21}"),
    (5, "64KiB}", "64KiB, discard: true}"),
    (5, "repeats: 2", "repeats: 3"),
    (5, "repeats: 2", "repeats: 2\n    drop_caches: true"),
    (5, "repeats: 2", "repeats: 2\n    image: lab/app:1"),
    (7, "amount: 32MiB", "amount: 33MiB"),
    (7, "files: 4", "files: 5"),
    (7, "pause: 5s", "pause: {duration: 5s, drop_caches: true}"),
    (7, "steps:", "containers: 2\n    steps:"),
    (7, "steps:", "trace: true\n    steps:"),
    (9, "hello", "bye"),
    (9, "5min", "6min"),
])
def test_the_key_changes_with_all_that_decides_the_result(folder: Path, cell: int, old: str, new: str) -> None:
    assert keys_of(folder, GOOD)[cell] != keys_of(folder, changed(old, new))[cell]


def test_the_key_changes_with_the_job_file_the_repetition_and_the_box(folder: Path) -> None:
    before = keys_of(folder, GOOD)
    assert not set(before) & set(keys_of(folder, GOOD, repetition=2))
    assert not set(before) & set(keys_of(folder, GOOD, box="another"))
    (folder / "jobs.fio").write_text(JOBS + "bs=8k\n")
    after = keys_of(folder, GOOD)
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True, True, True] * 2
