"""A machine that lies: cells' raw output and `timed:` lines in which something was changed.

What comes of a changed cell makes sense, or is refused by an InputError of one line that names a file below the cell's
folder; the runner makes a failed cell of it.  An input is made of its seed alone, which a failure names:

    FUZZ_SEED=… FUZZ_INPUTS=3000 pytest tests/runs/test_fuzz_raw.py       # another seed, or more
"""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from lab.errors import InputError, OutputRefused, ReaderError
from lab.rig.storages.daemon import timed_seconds, timed_span
from lab.runs.raw_cell import CellRows, read_raw_cell
from lab.runs.raw_timing import read_timings
from lab.runs.raw_trace import read_raw_trace
from lab.runs.reread import reread
from lab.runs.store import open_run

ROOT = Path(__file__).parents[2]
TRACED = ROOT / "tests" / "data" / "traced_cell"
SEED = os.environ.get("FUZZ_SEED", "2026")
INPUTS = int(os.environ.get("FUZZ_INPUTS", "400"))
MOST_SECONDS = 10.0
_MOST = 1 << 84             # bytes: 2^64 blocks of 2^20

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**63, 2**64, 10**30, int("9" * 4000), 1e308, -1e308, 1e-320, 1.5, -0.5, math.nan,
    math.inf, -math.inf, "", "x", "0", "NaN", "\ud800", "a\nb", "../../etc/passwd", "\0", "٣", [], {}, [[]], [1],
    {"a": 1}, ["x", "y"], "1 2 3")
NUMBERS = ("0", "-1", "1e400", "NaN", "Infinity", "-Infinity", "1e308", "9" * 30, "9" * 5000, "true", "null", '"x"',
           "[]", "{}", "1.5", "0x10", str(2**63), str(2**64 - 1), "[" * 100_000, '{"a":' * 990 + "1" + "}" * 990)


def source(name: str) -> Path:
    """A shipped cell's folder: of file work, or of fio."""
    if name == "traced":
        return TRACED
    return next(file.parent for file in sorted((ROOT / "results" / name).glob("raw/*/cell.json"))
                if name != "quickstart" or json.loads(file.read_text())["kind"] == "direct-lvm")


SOURCES = ("quickstart", "proof", "traced")


def files_of(folder: Path) -> list[Path]:
    """The files whose content counts."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and (
        path.name in ("cell.json", "boundaries.jsonl.gz", "samples.jsonl.gz", "blkparse.txt.gz")
        or (path.name.startswith("fio-") and path.name.endswith(".json.gz"))))


# -- changes -------------------------------------------------------------------------------------------------

def changed(choose: random.Random, path: Path) -> bytes:
    """The file's bytes, changed one to three times as text, lines or trees, or as bytes of the file itself."""
    raw = path.read_bytes()
    zipped = path.suffix == ".gz"
    content = gzip.decompress(raw) if zipped else raw
    for _ in range(choose.randint(1, 3)):
        kind = choose.randrange(10)
        if kind == 0:
            content = _bytes(choose, content)
        elif kind == 1:
            content = _lines(choose, content)
        elif kind == 2:
            content = _number(choose, content)
        else:
            content = _tree(choose, content, by_line=".jsonl" in path.name)
    if not zipped:
        return content
    packed = gzip.compress(content, 1)
    kind = choose.randrange(30)
    if kind == 0:
        return packed[:choose.randrange(len(packed))]
    if kind == 1:
        return _bytes(choose, packed)
    return content if kind == 2 else packed


def _bytes(choose: random.Random, content: bytes) -> bytes:
    place = choose.randrange(len(content) + 1)
    return content[:place] + choose.randbytes(choose.randrange(4)) + content[place + choose.randrange(4):]


def _lines(choose: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    one, other = choose.randrange(len(lines)), choose.randrange(len(lines))
    kind = choose.randrange(5)
    if kind == 0:
        del lines[one]
    elif kind == 1:
        lines[one:one] = [lines[other]]
    elif kind == 2:
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == 3:
        lines[one] = lines[one][:choose.randrange(len(lines[one]) + 1)]
    else:
        return content[:choose.randrange(len(content) + 1)]
    return b"\n".join(lines)


def _number(choose: random.Random, content: bytes) -> bytes:
    places = [place for place, byte in enumerate(content[:-1]) if chr(byte).isdigit()]
    if not places:
        return content
    place = end = choose.choice(places)
    while end < len(content) and chr(content[end]) in "0123456789.":
        end += 1
    return content[:place] + choose.choice(NUMBERS).encode() + content[end:]


def _tree(choose: random.Random, content: bytes, *, by_line: bool) -> bytes:
    lines = content.split(b"\n") if by_line else [content]
    place = choose.randrange(len(lines))
    try:
        tree = json.loads(lines[place])
    except (ValueError, RecursionError):
        return content
    places = list(_places(tree))
    if not places:
        return content
    inside, key = choose.choice(places)
    kind = choose.randrange(4)
    if kind == 0:
        del inside[key]
    elif kind == 1 and isinstance(inside[key], int | float):
        inside[key] = choose.choice((inside[key] * -1, inside[key] + 1, inside[key] * 1000, inside[key] - 1))
    elif kind == 2:
        inside[key] = deepcopy(choose.choice(places)[0])
    else:
        inside[key] = deepcopy(choose.choice(VALUES))
    lines[place] = json.dumps(tree).encode()
    return b"\n".join(lines)


def _places(tree: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys if depth < 20 else ():
        yield tree, key
        yield from _places(tree[key], depth + 1)


# -- what makes sense ------------------------------------------------------------------------------------------

def sane_rows(rows: CellRows) -> None:
    for row in (*rows.measurements, *rows.samples):
        value = row["value"]
        assert math.isfinite(value), row
        assert abs(value) < _MOST, row
        assert row["metric"].endswith(("_growth", "amplification")) or value >= 0, row
        assert 0 <= row.get("t_seconds", 0) < 1 << 34, row
        for name in ("cell", "storage", "target", "workload", "phase", "metric", "unit"):
            assert row[name].isprintable(), row
    for seconds in (*rows.sampler_cpu_seconds, *rows.sampler_elapsed_seconds):
        assert math.isfinite(seconds)
        assert seconds >= 0


def sane_case(folder: Path) -> None:
    case, logs = read_raw_trace(folder)
    json.dumps(case, allow_nan=False).encode()
    for name, log in logs.items():
        assert Path(name).name == name
        log.encode("ascii")


def sane_timings(folder: Path) -> None:
    for took in read_timings(folder, 1):
        assert math.isfinite(took.seconds), took
        assert 0 <= took.seconds < 1 << 34, took


@contextmanager
def in_time(what: str) -> Iterator[None]:
    """Raises AssertionError for what takes too long, or for ever."""
    def late(_: int, __: FrameType | None) -> None:
        raise AssertionError(f"{what}: more than {MOST_SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def tried(seed: str, read: Callable[[], None], folder: Path) -> bool:
    """Whether the cell was read; else it was refused in one line that names a place in its folder."""
    with in_time(seed):
        try:
            read()
        except InputError as error:
            said = str(error)
            assert str(folder) in said, (seed, said)
            assert "\n" not in said, (seed, said)
            assert len(said) < 3000, (seed, said[:200])
            said.encode()
            return False
        except BaseException as error:
            error.add_note(f"input {seed}")
            raise
    return True


@pytest.mark.parametrize("name", SOURCES)
def test_a_changed_cell_is_read_or_refused(tmp_path: Path, name: str) -> None:
    reads: list[Callable[[], None]] = [lambda: sane_case(folder), lambda: sane_timings(folder)]
    if name != "traced":            # it has no samples
        reads = [lambda: sane_rows(read_raw_cell(folder, "r", 1)), lambda: sane_timings(folder)][:2 - (name == "proof")]
    folder = tmp_path / "cell"
    shutil.copytree(source(name), folder)
    for read in reads:
        assert tried(f"{name}, unchanged", read, folder)
    files = files_of(folder)
    right = {path: path.read_bytes() for path in files}
    told: Counter[str] = Counter()
    for number in range(INPUTS // len(SOURCES)):
        seed = f"{SEED}/{name}/{number}"
        choose = random.Random(seed)
        path = choose.choice(files)
        path.write_bytes(changed(choose, path))
        for read in reads:
            told["read" if tried(seed, read, folder) else "refused"] += 1
        path.write_bytes(right[path])
    print(f"{name}: {INPUTS // len(SOURCES)} inputs of seed {SEED}, {dict(told)}")
    assert told["read"] > 0
    assert told["refused"] > 0


@pytest.mark.parametrize("line", [
    "", "timed:", "timed: 1 2", "timed: 1.5 nan", "timed: nan 1.5", "timed: 5.000000 4.000000", "timed: -1.5 1.5",
    "timed: 1.000000 inf", "timed: 1.000000 9999999999.000000", f"timed: 1.0 {'9' * 5000}.0", "timed: 1.0 2.0 3.0",
    "timed: 1e5 1e6", "timed: ١.٥ ٢.٥", "timed: 1.0 2.0\ufeff", "x timed: 1.0 2.0", "timed: 1.0"])
def test_a_time_that_cannot_be_is_refused(line: str) -> None:
    with pytest.raises(OutputRefused) as caught:
        timed_seconds(f"other output\n{line}\n")
    assert "\n" not in str(caught.value)


def test_a_time_is_read_with_a_point_or_a_comma_and_after_what_the_command_said() -> None:
    assert timed_span("noise\ntimed: 10.500000 12.250000\n") == (10.5, 12.25)
    assert timed_seconds("timed: 1795506381,500000 1795506383,000000\n") == 1.5


def test_a_changed_line_of_a_time_is_read_or_refused() -> None:
    right = b"pulling\nlayer 3/7\ntimed: 1795506381.068083 1795506387.442471\n"
    taken = 0
    for number in range(INPUTS):
        seed = f"{SEED}/timed/{number}"
        choose = random.Random(seed)
        content = right
        for _ in range(choose.randint(1, 3)):
            content = choose.choice((_bytes, _lines, _number))(choose, content)
        try:
            began, ended = timed_span(content.decode(errors="replace"))
        except OutputRefused:
            continue
        except BaseException as error:
            error.add_note(f"input {seed}")
            raise
        assert 0 <= began <= ended <= began + 30 * 86400, seed
        taken += 1
    print(f"timed: {INPUTS} inputs of seed {SEED}, {taken} read, {INPUTS - taken} refused")
    assert taken > 0


# -- wrong numbers ---------------------------------------------------------------------------------------------

def rewrite(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    path = folder / name
    if name == "cell.json":
        told = json.loads(path.read_text())
        change(told)
        path.write_text(json.dumps(told))
        return
    records = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    change(records)
    path.write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode()))


def back(records: Any) -> None:
    records[-1]["diskstats"] = records[-1]["diskstats"].replace(
        records[-1]["diskstats"].split()[9], "1")


@pytest.mark.parametrize(("file", "change", "message"), [
    ("cell.json", lambda told: told.update(storage="other"), "is not that of storage 'other'"),
    ("cell.json", lambda told: told["phases"][0].update(ended=1.0), "not one after the other"),
    ("cell.json", lambda told: told["phases"][0].update(duration_seconds=math.nan), "not a number of 0 or more"),
    ("cell.json", lambda told: told["phases"][0].update(duration_seconds=9999.0), "s of work and sync in a phase of"),
    ("cell.json", lambda told: told["phases"][0].update(fio_file="../x.json"), "fio_file is '../x.json'"),
    ("cell.json", lambda told: told.update(chunk_size_bytes=1), "chunk_size_bytes is 1"),
    ("cell.json", lambda told: told["phases"].reverse(), "began before"),
    ("boundaries.jsonl.gz", back, "it only rises"),
    ("boundaries.jsonl.gz", lambda told: told.reverse(), "expected"),
    ("boundaries.jsonl.gz", lambda told: told[1]["mounts"]["volumes"].update(free_blocks=2**40), "more than blocks"),
    ("boundaries.jsonl.gz", lambda told: told[1].update(disks={"pool": "vdz"}), "is no device of its diskstats"),
    ("boundaries.jsonl.gz", lambda told: told[1].update(daemon=[]), "'daemon' is \\[\\], not an object"),
    ("samples.jsonl.gz", lambda told: told.reverse(), "it only rises"),
    ("samples.jsonl.gz", lambda told: told[0].update(meminfo="Dirty: 1 kB\n"), "meminfo has no MemAvailable"),
    ("samples.jsonl.gz", lambda told: told[0].update(cgroups={"a": {"current": -1}}), "'current' is -1"),
])
def test_what_cannot_be_is_refused_with_its_place(
        tmp_path: Path, file: str, change: Callable[[Any], Any], message: str) -> None:
    folder = Path(shutil.copytree(source("quickstart"), tmp_path / "cell"))
    rewrite(folder, file, change)
    with pytest.raises(ReaderError, match=message) as caught:
        read_raw_cell(folder, "r", 1)
    assert str(folder / file) in str(caught.value)


def test_reading_a_run_again_refuses_a_cell_that_says_it_is_another(tmp_path: Path) -> None:
    run = Path(shutil.copytree(ROOT / "results" / "quickstart", tmp_path / "run",
                               ignore=shutil.ignore_patterns("figures")))
    table = (run / "measurements.parquet").read_bytes()

    def other(told: Any) -> None:
        told.update(workload="other", cell=f"{told['storage']}.{told['target']}.other")

    rewrite(next(run.glob("raw/*/cell.json")).parent, "cell.json", other)
    with pytest.raises(ReaderError, match="the run's list has"):
        reread(open_run(run))
    assert (run / "measurements.parquet").read_bytes() == table
