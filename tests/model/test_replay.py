"""Cases from disk, the command, the JSON document, XML for thin_restore, and traces of a user's own."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lab.cli import app
from lab.errors import AnswerIsNo, InputError, LabError, ReaderError
from lab.model.pool.thinpool import PoolConfig, ThinPool
from lab.readers.thin_dump import read_thin_dump
from lab.simulate.replay import replay_case, save_pool_dump
from lab.simulate.replay.block_sizes import compare_chunk_sizes, load_trace

ROOT = Path(__file__).parent.parent / "ground_truth"
KIB = 1024


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["replay", *arguments])
    if isinstance(result.exception, AnswerIsNo):
        return result.exception.exit_code, result.output
    if isinstance(result.exception, LabError):
        raise result.exception
    return result.exit_code, result.output


def changed_case(tmp_path: Path, **step: object) -> Path:
    folder = tmp_path / "case"
    shutil.copytree(ROOT / "snap-64k", folder)
    for path in [folder, *folder.iterdir()]:
        path.chmod(0o755)
    document = json.loads((folder / "case.json").read_text())
    document["steps"][3].update(step)
    (folder / "case.json").write_text(json.dumps(document))
    return folder


def test_json_document() -> None:
    code, output = run(str(ROOT / "snap-64k"), "--json")
    document = json.loads(output)
    assert code == 0
    assert document["case"] == "snap-64k"
    assert document["data_blocks_agree"] is True
    assert document["metadata_error_max_blocks"] == 0
    for step in document["steps"]:
        assert step["mapped_blocks"] == step["expect"]["mapped_blocks"]
        assert step["used_metadata_blocks"] == step["expect"]["used_metadata_blocks"]


def test_table_and_exit_code(tmp_path: Path) -> None:
    code, output = run(str(ROOT / "full-error-64k"))
    assert code == 0
    assert "agree at every step" in output
    folder = changed_case(
        tmp_path, expect={"used_data_blocks": 1, "used_metadata_blocks": 1, "mapped_blocks": {}, "status": ""}
    )
    code, output = run(str(folder))
    assert code == 1
    assert "DISAGREE" in output


def test_a_step_without_expectation(tmp_path: Path) -> None:
    result = replay_case(changed_case(tmp_path, expect=None))
    assert result.data_blocks_agree
    assert "expect" not in result.document()["steps"][3]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"ops": [{"op": "explode"}]}, "explode"),
        ({"ops": [{"op": "write", "thin": 0}]}, "iolog is missing"),
        ({"ops": [{"op": "write", "thin": "0", "iolog": "x"}]}, "thin is '0'; int expected"),
        ({"ops": [{"op": "write", "thin": 0, "iolog": "none.gz"}]}, "cannot be read"),
        ({"ops": [{"op": "delete", "thin": 77}]}, "thin device 77"),
        ({"expect": {"mapped_blocks": {}}}, "used_data_blocks"),
        ({"title": None}, "title"),
    ],
)
def test_bad_cases(tmp_path: Path, step: dict[str, object], message: str) -> None:
    with pytest.raises(ReaderError, match=message) as caught:
        replay_case(changed_case(tmp_path, **step))
    assert "case" in str(caught.value).split(": ")[0]


def test_no_case(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match=r"no case\.json"):
        run(str(tmp_path))
    (tmp_path / "case.json").write_text("{\n\n")
    with pytest.raises(ReaderError, match=r"case\.json:3: malformed or truncated JSON"):
        run(str(tmp_path))


def test_mutated_cases(tmp_path: Path) -> None:
    folder = changed_case(tmp_path)
    content = (folder / "case.json").read_text()
    chooser = random.Random(4)
    places: list[str | None] = []
    for _ in range(300):
        text = content
        for _ in range(2):
            place = chooser.randrange(len(text))
            text = text[:place] + chooser.choice(["", "{", "null", '"', "-1", "9" * 19, "[", ","]) + text[place + 1 :]
        (folder / "case.json").write_text(text)
        places.append(refusal(folder))
    assert sum(place is not None for place in places) > 100
    assert all(place is None or place.startswith(str(folder)) for place in places)


def refusal(folder: Path) -> str | None:
    try:
        replay_case(folder)
    except InputError as error:
        return str(error)
    return None


def test_thin_dump_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "out.xml"
    code, _ = run(str(ROOT / "tree-64k"), "--thin-dump", str(path))
    assert code == 0
    written, recorded = read_thin_dump(path), read_thin_dump(ROOT / "tree-64k" / "thin_dump-end.xml.gz")
    assert written.superblock.time == recorded.superblock.time
    assert set(written.thins) == set(recorded.thins)
    for device, thin in recorded.thins.items():
        assert written.thins[device].device == thin.device
        np.testing.assert_array_equal(written.thins[device].virtual_blocks, thin.virtual_blocks)
        np.testing.assert_array_equal(written.thins[device].data_blocks, thin.data_blocks)
        np.testing.assert_array_equal(written.thins[device].times, thin.times)


def test_thin_dump_that_cannot_be_written(tmp_path: Path) -> None:
    pool = ThinPool(PoolConfig(65536, 10))
    with pytest.raises(InputError, match="cannot be written"):
        save_pool_dump(pool, tmp_path / "no" / "file")


@pytest.mark.parametrize("case", ["tree-64k", "wrap-64k", "snap-512k", "metadata-full-2m"])
def test_thin_restore_takes_it_and_thin_check_passes_it(tmp_path: Path, case: str) -> None:
    """And thin_dump gives back what the model wrote."""
    names = ("thin_restore", "thin_check", "thin_dump")
    tools = [shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin") for name in names]
    if None in tools:
        pytest.skip("thin_restore, thin_check or thin_dump is missing: apt install thin-provisioning-tools")
    restore, check, dump = map(str, tools)
    xml, metadata, again = tmp_path / "out.xml", tmp_path / "metadata", tmp_path / "again.xml"
    assert run(str(ROOT / case), "--thin-dump", str(xml))[0] == 0
    with metadata.open("wb") as file:
        file.truncate(64 << 20)
    for argv in (
        [restore, "-i", str(xml), "-o", str(metadata)],
        [check, str(metadata)],
        [dump, str(metadata), "-o", str(again)],
    ):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    written, read = read_thin_dump(xml), read_thin_dump(again)
    assert written.superblock == read.superblock
    assert set(written.thins) == set(read.thins)
    for device, thin in written.thins.items():
        assert read.thins[device].device == thin.device
        for column in ("virtual_blocks", "data_blocks", "times"):
            np.testing.assert_array_equal(getattr(read.thins[device], column), getattr(thin, column))


def test_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.log"
    lines = [f"/dev/x write {place * 128 * KIB} 4096" for place in range(100)]
    lines += ["/dev/x write 0 65536", "/dev/x trim 0 65536"]
    path.write_text("fio version 2 iolog\n/dev/x add\n/dev/x open\n" + "\n".join(lines) + "\n/dev/x close\n")
    result = compare_chunk_sizes(load_trace(path), [64 * KIB, 128 * KIB, 512 * KIB], 1 << 30)
    small, middle, large = result.chunk_sizes
    assert (result.writes, result.discards) == (101, 1)
    assert [size.data_blocks_allocated for size in result.chunk_sizes] == [100, 100, 25]
    assert result.bytes_distinct == 100 * 4096 + 60 * KIB
    assert small.bytes_wasted == 100 * 64 * KIB - result.bytes_distinct
    assert middle.bytes_copied_after_snapshot == 100 * 128 * KIB
    assert large.bytes_copied_after_snapshot == 25 * 512 * KIB
    code, output = run(str(path), "--chunk-size", "64KiB,512KiB", "--pool-size", "1GiB")
    assert code == 0
    assert "512 KiB" in output
    code, output = run(str(path), "--json")
    assert json.loads(output)["chunk_sizes"][0]["data_blocks_allocated"] == 100


def test_trace_of_reads_only(tmp_path: Path) -> None:
    path = tmp_path / "trace.log"
    path.write_text("fio version 2 iolog\nx read 0 4096\n")
    result = compare_chunk_sizes(load_trace(path), [65536], 1 << 30)
    assert (result.writes, result.bytes_distinct, result.chunk_sizes[0].bytes_allocated) == (0, 0, 0)
    with pytest.raises(InputError, match="no block size"):
        compare_chunk_sizes(load_trace(path), [], 1 << 30)


def test_trace_that_fills_the_pool(tmp_path: Path) -> None:
    path = tmp_path / "trace.log"
    path.write_text("fio version 2 iolog\n" + "".join(f"x write {place * 65536} 65536\n" for place in range(50)))
    (size,) = compare_chunk_sizes(load_trace(path), [65536], 40 * 65536).chunk_sizes
    assert (size.failed_writes, size.first_failed_write, size.bytes_wasted) == (10, 40, 0)


def test_blkparse_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text(
        "  8,0    1       11     0.001000000   697  Q  WS 128 + 128 [dd]\n"
        "  8,0    1       12     0.002000000   697  Q   D 128 + 128 [fstrim]\n"
        "  8,0    1       13     0.003000000   697  Q   W 0 + 8 [dd]\n"
    )
    (size,) = compare_chunk_sizes(load_trace(path), [65536], 1 << 30).chunk_sizes
    assert size.data_blocks_allocated == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--chunk-size", "64kB"], "64kB"),
        (["--chunk-size", "5KiB"], "multiple of 64 KiB"),
        (["--pool-size", "big"], "big"),
        (["--pool-size", "1KiB"], "at least 1"),
        (["--thin-dump", "x"], "--thin-dump"),
    ],
)
def test_bad_options(arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(str(ROOT / "snap-64k" / "01-thin0.iolog.gz"), *arguments)


def test_neither_log_nor_trace(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("something\n")
    with pytest.raises(ReaderError, match="neither"):
        run(str(path))


def test_imports_are_light() -> None:
    heavy = "pandas", "scipy", "matplotlib", "simpy", "pyarrow", "rich.table", "lxml"
    code = ("import sys, lab.cli, lab.simulate.replay, lab.report.replay_tables, lab.simulate.replay.block_sizes\n"
            f"print([name for name in {heavy!r} if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_writes_beyond_a_devices_end_and_of_no_length_are_answered_as_the_kernel_does(tmp_path: Path) -> None:
    """A device of 1 MiB: what lies within is written, the rest ends with ENOSPC, and nothing is nothing."""
    writes = [(0, 65536), (983_040, 131_072), (2_097_152, 4096), (65_536, 0), (131_072, 4096)]
    (tmp_path / "w.log").write_text("fio version 2 iolog\n" + "".join(f"/d write {o} {n}\n" for o, n in writes))
    ops = [{"op": "create_thin", "thin": 0}, {"op": "write", "thin": 0, "iolog": "w.log"}]
    ends = [{"op": "discard", "thin": 0, "offset": 0, "length": 0}, {"op": "discard", "thin": 0, "offset": 983_040,
            "length": 1 << 40}, {"op": "discard", "thin": 0, "offset": 1 << 40, "length": 512}]
    case = {"thin_size_bytes": 1 << 20, "steps": [{"title": "write", "ops": ops}, {"title": "discard", "ops": ends}],
            "pool": {"chunk_size_bytes": 65536, "data_size_bytes": 1 << 24, "metadata_size_bytes": 1 << 21,
                     "features": []}}
    (tmp_path / "case.json").write_text(json.dumps(case))
    written, discarded = replay_case(tmp_path).steps
    assert written.mapped_blocks == {"0": 3}
    assert (written.writes[0].failed_indexes, written.writes[0].error) == ((1, 2), "ENOSPC")
    assert discarded.mapped_blocks == {"0": 2}
