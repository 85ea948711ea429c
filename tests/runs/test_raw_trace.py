"""A real traced cell: its raw folder becomes a case, and the case replays as the kernel counted."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.cli.replay import replay
from lab.errors import AnswerIsNo, InputError, ReaderError, RigError
from lab.report.replay_tables import format_replay
from lab.rig.machine import Completed
from lab.rig.trace import thin_device_id
from lab.runs.raw_trace import read_raw_trace, write_case
from lab.simulate.replay import replay_case

RECORDED = Path(__file__).parent.parent / "data" / "traced_cell"
"""The file work of one container on direct-lvm with online discard, as a run recorded it."""

DUMP = "thin_dump-begin.xml.gz"


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    return shutil.copytree(RECORDED, tmp_path / "cell")


def change(path: Path, **values: Any) -> Path:
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **values}))
    return path.parent


def change_dump(cell: Path, old: str, new: str) -> Path:
    path = cell / "trace" / DUMP
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(old.encode(), new.encode())))
    return path.parent


def test_the_replay_is_the_kernel_at_every_step() -> None:
    result = replay_case(RECORDED / "trace")
    assert [step.title for step in result.steps] == [
        "write", "update", "small_files", "delete", "write#2", "delete#2", "trim"]
    for step in result.steps:
        assert step.expect is not None
        assert step.mapped_blocks == step.expect["mapped_blocks"], step.title
        assert step.used_data_blocks == step.expected_data_blocks, step.title
    assert [step.used_data_blocks for step in result.steps] == [344, 408, 410, 378, 394, 330, 342]
    assert result.data_blocks_agree


def test_metadata_is_not_compared_and_that_is_said() -> None:
    result = replay_case(RECORDED / "trace")
    assert result.document()["metadata_compared"] is False
    assert result.document()["metadata_error_max_blocks"] is None
    shown = format_replay(result)
    assert "agree at every step; metadata is not compared" in shown


def test_the_case_is_made_of_the_raw_folder_again(cell: Path) -> None:
    recorded = {path.name: path.read_bytes() for path in (cell / "trace").iterdir()}
    for path in (cell / "trace").glob("*.iolog.gz"):
        path.write_bytes(b"old")
    (cell / "trace" / "99-01-thin0.iolog.gz").write_bytes(b"old")
    (cell / "trace" / "case.json").unlink()
    write_case(cell)
    assert {path.name: path.read_bytes() for path in (cell / "trace").iterdir()} == recorded


def test_what_the_case_says_of_the_pool() -> None:
    case, _ = read_raw_trace(RECORDED)
    assert case["pool"] == {"chunk_size_bytes": 524_288, "data_size_bytes": 4_072_669_184,
                            "metadata_size_bytes": 41_943_040, "features": []}
    assert (case["thin_size_bytes"], case["traced_device"], case["requests_outside"]) == (10 << 30, 7, 0)


def test_a_cell_that_says_what_was_traced_is_believed(cell: Path) -> None:
    thin = "docker-254:32-8193-b933b2b1f9f3f422f9bb55153153176e91c831b8370931811748e8a599a20e6b"
    told = {"thin": thin, "device_id": 6, "offset_bytes": 0, "first_phase": 2, "end_phase": 4}
    change(cell / "cell.json", trace=told)
    case, _ = read_raw_trace(cell)
    assert case["traced_device"] == 6
    assert [step["title"] for step in case["steps"]] == ["update", "small_files"]


def test_a_disk_without_a_pool_is_recorded_and_its_replay_refused(cell: Path) -> None:
    told = {"thin": None, "device_id": None, "offset_bytes": 512, "first_phase": 1, "end_phase": 8}
    change(cell / "cell.json", trace=told)
    case, logs = read_raw_trace(cell)
    folder = write_case(cell)
    assert (case["pool"], case["steps"][0]["expect"]) == (None, None)
    first = next(iter(logs))
    with pytest.raises(InputError, match="disk without a pool") as caught:
        replay_case(folder)
    assert str(caught.value.remedy).endswith(f"{folder / first}.gz`")


@pytest.mark.parametrize(("trace", "message"), [
    ({"thin": None}, "KeyError"),
    ({"thin": None, "device_id": None, "offset_bytes": 0, "first_phase": 3, "end_phase": 99}, "phases 3 to 99 of 9"),
    ({"thin": None, "device_id": None, "offset_bytes": 0, "first_phase": "1", "end_phase": 2}, "TypeError"),
    ([], "TypeError"),
])
def test_a_cell_that_says_what_cannot_be(cell: Path, trace: Any, message: str) -> None:
    change(cell / "cell.json", trace=trace)
    with pytest.raises(ReaderError, match=message):
        read_raw_trace(cell)


@pytest.mark.parametrize("name", ["cell.json", "boundaries.jsonl.gz", "trace/blkparse.txt.gz"])
def test_a_missing_file_is_named_and_the_old_case_stays(cell: Path, name: str) -> None:
    (cell / name).unlink()
    with pytest.raises(ReaderError, match=name):
        write_case(cell)
    assert (cell / "trace" / "case.json").read_bytes() == (RECORDED / "trace" / "case.json").read_bytes()


# -- replaying what is damaged ------------------------------------------------------------------------------------


def test_a_case_without_its_thin_dump(cell: Path) -> None:
    (cell / "trace" / DUMP).unlink()
    with pytest.raises(ReaderError, match=f"{DUMP}: cannot be read"):
        replay_case(cell / "trace")


def test_a_dump_of_another_pool(cell: Path) -> None:
    with pytest.raises(ReaderError, match="has data blocks of 65536 bytes; 524288 expected"):
        replay_case(change_dump(cell, 'data_block_size="1024"', 'data_block_size="128"'))


def test_a_dump_with_a_block_outside_the_pool(cell: Path) -> None:
    with pytest.raises(ReaderError, match=f"{DUMP}: thin device 1 maps data block 9000"):
        replay_case(change_dump(cell, 'origin_block="20479" data_block="0"', 'origin_block="20479" data_block="9000"'))


@pytest.mark.parametrize(("values", "message"), [
    ({"traced_device": 99}, "does not hold device 99, the traced_device of case.json; there are: 1, 2"),
    ({"traced_device": None}, "traced_device is 'None'; int expected"),
    ({"initial_thin_dump": 3}, "initial_thin_dump is '3'; str expected"),
    ({"initial_thin_dump": "a\0b"}, "NUL"),
    ({"thin_size_bytes": 1 << 20}, "of 2 blocks maps its block"),
    ({"steps": [{"title": "a", "ops": [{"op": "delete", "thin": 0}]}]}, "op 'delete' in a case that starts from"),
    ({"steps": [{"title": "a", "ops": [{"op": "discard", "thin": 1, "offset": 0, "length": 0}]}]}, "thin is 1; 0 exp"),
])
def test_a_damaged_case(cell: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ReaderError, match=message):
        replay_case(change(cell / "trace" / "case.json", **values))


def test_a_count_that_is_not_the_kernels_is_found(cell: Path) -> None:
    path = cell / "trace" / "case.json"
    steps = json.loads(path.read_text())["steps"]
    steps[3]["expect"]["used_data_blocks"] += 1
    assert not replay_case(change(path, steps=steps)).data_blocks_agree
    with pytest.raises(AnswerIsNo):
        replay(path.parent)


# -- the machine's side ---------------------------------------------------------------------------------------------


class Table:
    """A machine that says one line, to whatever it is asked."""

    def __init__(self, line: str) -> None:
        self.line = line

    def run(self, argv: Sequence[str], *, timeout: float = 1, check: bool = True,
            stdin: bytes | None = None) -> Completed:
        return Completed(tuple(argv), 0, self.line, "", 0.0)

    def get(self, folder: str, into: Path) -> None:
        raise AssertionError(folder)


def test_the_devices_id_is_the_one_in_its_table() -> None:
    assert thin_device_id(Table("0 20971520 thin 254:2 7\n"), "docker-254:32-8193-b933") == 7
    with pytest.raises(RigError, match="no thin device"):
        thin_device_id(Table("0 81920 linear 254:32 2048\n"), "x")
