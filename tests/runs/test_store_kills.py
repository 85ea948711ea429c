"""A writer of a run that is killed, or whose disk is full or broken, at every single call of the system.

Whatever happens when, the run is opened again, no finished cell is lost, and what is left can be done.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers.store_runs import closed_run, finish, manifest, measurement

from lab.errors import InputError
from lab.runs.store import RunWriter, open_run

CALLS = ("open", "write", "fsync", "ftruncate", "replace", "rename", "unlink", "rmdir", "mkdir", "fchmod", "fchown")


class Killed(BaseException):
    pass


@contextmanager
def failing_at(number: int, error: Callable[[], BaseException], *, half: bool) -> Iterator[list[int]]:
    """From the call of that number on, every call that changes something fails; the first write may be done by half.

    Yields a list that grows by one a call.
    """
    made: list[int] = []
    whole = {name: getattr(os, name) for name in CALLS}

    def failing(name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if name == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR):
                return whole[name](*arguments, **options)
            made.append(1)
            if len(made) >= number:
                if half and name == "write" and len(made) == number:
                    whole[name](arguments[0], arguments[1][: len(arguments[1]) // 2])
                raise error()
            return whole[name](*arguments, **options)
        return call

    try:
        for name in CALLS:
            setattr(os, name, failing(name))
        yield made
    finally:
        for name in CALLS:
            setattr(os, name, whole[name])


class Work:
    """Something that is done to a run; ``done`` are the cells that were reported as finished, with their values."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: dict[str, float] = {}

    def finish(self, writer: RunWriter, key: str, value: float) -> None:
        finish(writer, key, value)
        self.done[key] = value


def begun(work: Work) -> None:
    writer = RunWriter(work.folder)
    for key, value in (("k1", 1.0), ("k2", 2.0)):
        work.finish(writer, key, value)
    writer.close(manifest(writer.journal(), work.folder.name))


def gone_on(work: Work) -> None:
    """A run with two cells gets a third."""
    writer = RunWriter(work.folder)
    work.finish(writer, "k3", 3.0)
    writer.close(manifest(writer.journal(), work.folder.name))


def asked_for_fewer(work: Work) -> None:
    writer = RunWriter(work.folder)
    writer.close(manifest(writer.journal()[:1], work.folder.name))


def read_again(work: Work) -> None:
    """As `lab reread` writes it: the same cells, with the same values, from their raw output."""
    writer = RunWriter(work.folder)
    run = open_run(work.folder)
    for result in run.manifest.results:
        writer.replace(result.key, [measurement(result.key, work.done[result.key])], [])
    writer.close(run.manifest)


WORKS: dict[Callable[[Work], None], dict[str, float]] = {
    begun: {}, gone_on: {"k1": 0.0, "k2": 1.0}, asked_for_fewer: {"k1": 0.0, "k2": 1.0},
    read_again: {"k1": 0.0, "k2": 1.0}}


def check_resumed(work: Work) -> None:
    """A resumed run finds every finished cell with its value, does the rest, and is whole."""
    writer = RunWriter(work.folder)
    found = [item.key for item in writer.journal()]
    assert set(work.done) <= set(found), "a finished cell is lost"
    values = writer.measurements(found).set_index("cell")["value"]
    for key, value in work.done.items():
        assert values[f"loop-lvm.layer.{key}"] == value
    if "k3" not in found:
        finish(writer, "k3", 3.0)
    writer.close(manifest(writer.journal(), work.folder.name))
    run = open_run(work.folder)
    assert len(run.measurements) == len(run.manifest.results)
    assert {"k3", *work.done} <= {result.key for result in run.manifest.results}
    assert run.samples.empty
    assert not [path for key in found for path in (work.folder / "raw" / key).glob("*.parquet")]
    assert not [path for path in work.folder.rglob("*") if path.name.startswith(".") or path.suffix == ".part"]


def fail_everywhere(start: Callable[[Work], None], tmp_path: Path, error: Callable[[], BaseException],
                    *, half: bool = False) -> int:
    """How many places there were to fail at."""
    template = tmp_path / "template"
    if WORKS[start]:
        closed_run(template)
    for number in range(1, 500):
        work = Work(tmp_path / f"run-{number}")
        if template.exists():
            shutil.copytree(template, work.folder)
        work.done |= WORKS[start]
        raised: BaseException | None = None
        with failing_at(number, error, half=half) as made:
            try:
                start(work)
            except (Killed, OSError) as failure:
                raised = failure
        if raised is None:
            assert len(made) < number
            return number - 1
        assert isinstance(raised, type(error())), raised
        check_resumed(work)
        shutil.rmtree(work.folder)
    raise AssertionError("it never ends")


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("start", WORKS)
def test_killed_at_any_call_no_finished_cell_is_lost(start: Callable[[Work], None], tmp_path: Path, half: bool) -> None:
    assert fail_everywhere(start, tmp_path, Killed, half=half) > 20


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("start", WORKS)
def test_a_disk_full_or_broken_at_any_call_is_said_as_such_and_the_run_goes_on_later(
        start: Callable[[Work], None], tmp_path: Path, number: int) -> None:
    assert fail_everywhere(start, tmp_path, lambda: OSError(number, os.strerror(number)), half=True) > 20


def test_a_cell_whose_own_rows_are_damaged_is_measured_again_and_the_others_stay(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    for key in ("k1", "k2"):
        finish(writer, key, 5.0)
    table = tmp_path / "raw/k1/measurements.parquet"
    whole = table.read_bytes()
    chance = random.Random(1)
    for damaged in (b"", b"PAR1", whole[:-1], whole[: len(whole) // 2], b"\0" * len(whole),
                    *(_hit(whole, chance) for _ in range(100))):
        table.write_bytes(damaged)
        found = [item.key for item in RunWriter(tmp_path).journal()]
        assert found in (["k2"], ["k1", "k2"])          # a byte that nobody reads may be hit
        assert len(RunWriter(tmp_path).measurements(found)) == len(found)
    table.write_bytes(b"PAR1")
    again = RunWriter(tmp_path)
    assert [item.key for item in again.journal()] == ["k2"]
    finish(again, "k1", 6.0)
    again.close(manifest(again.journal(), tmp_path.name))
    assert sorted(open_run(tmp_path).measurements["value"]) == [5.0, 6.0]


def _hit(whole: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(whole))
    return whole[:place] + bytes([whole[place] ^ (1 << chance.randrange(8))]) + whole[place + 1:]


def test_damaged_rows_of_a_cell_that_stands_in_the_tables_leave_it_as_it_stands_there(tmp_path: Path) -> None:
    """As an older lab left them that was killed while it read a run again."""
    folder = closed_run(tmp_path / "r")
    for name in ("measurements", "samples"):
        (folder / "raw/k1" / f"{name}.parquet").write_bytes(b"PAR1")
    writer = RunWriter(folder)
    assert [item.key for item in writer.journal()] == ["k1", "k2"]
    writer.close(manifest(writer.journal(), folder.name))
    assert list(open_run(folder).measurements["value"]) == [0.0, 1.0]


_VICTIM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from helpers.store_runs import finish, manifest, measurement
from lab.runs.store import RunWriter, open_run
import pandas, pyarrow.parquet
folder = Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for turn in range(int(sys.argv[3]), 1000):
    writer = RunWriter(folder)
    finish(writer, f"k{turn}", float(turn))
    print(f"k{turn}", flush=True)
    writer.close(manifest(writer.journal(), folder.name))
    run = open_run(folder)
    for result in run.manifest.results[-3:]:
        writer.replace(result.key, [measurement(result.key, float(result.key[1:]))], [])
    writer.close(run.manifest)
    del writer
"""


def test_killed_for_real_at_any_time_no_finished_cell_is_lost(tmp_path: Path) -> None:
    folder, done, chance = tmp_path / "r", [], random.Random(7)
    for turn in range(240):
        if turn >= 24 and len(done) > 20:      # a loaded machine does less in the same time
            break
        program = [sys.executable, "-c", _VICTIM, str(Path(__file__).parents[1]), str(folder), str(1 + 40 * turn)]
        with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as victim:
            assert victim.stdout is not None
            assert victim.stdin is not None
            assert victim.stdout.readline() == "ready\n"
            victim.stdin.write("go\n")
            victim.stdin.flush()
            with pytest.raises(subprocess.TimeoutExpired):
                victim.wait(chance.uniform(0.01, 0.2))
            victim.kill()
            done += [line.strip() for line in victim.stdout if line.endswith("\n")]
        writer = RunWriter(folder)
        found = [item.key for item in writer.journal()]
        assert set(done) <= set(found)
        values = writer.measurements(found)
        assert dict(zip(values["cell"], values["value"], strict=True)) == {
            f"loop-lvm.layer.{key}": float(key[1:]) for key in found}
        del writer
    assert len(done) > 20


# -- folders that are not ours, and folders that somebody else writes to ---

def test_a_folder_that_is_no_run_is_refused_and_nothing_in_it_is_touched(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "raw" / "holiday.part").mkdir(parents=True)
    (folder / "raw" / "holiday.part" / "one.raw").write_text("dear")
    (folder / ".notes.1234").write_text("dear")
    (folder / "scenario.yaml").write_text("mine")
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    with pytest.raises(InputError, match="neither empty nor a run"):
        RunWriter(folder)
    (folder / "manifest.json").write_text('{"name": "an extension of a browser"}')
    with pytest.raises(InputError):
        RunWriter(folder)
    (folder / "manifest.json").unlink()
    (folder / "journal.jsonl").write_text('{"what": "a diary"}\n')
    with pytest.raises(InputError, match="damaged journal line"):
        RunWriter(folder)
    (folder / "journal.jsonl").unlink()
    os.utime(folder, ns=(before[0][1], before[0][1]))
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before


def test_in_a_run_only_what_the_lab_left_is_removed(tmp_path: Path) -> None:
    folder = closed_run(tmp_path / "r")
    (folder / ".notes.1234").write_text("dear")
    (folder / ".manifest.json.1234").write_text("half")
    (folder / "raw" / "elsewhere.part").symlink_to(tmp_path)
    RunWriter(folder)
    assert (folder / ".notes.1234").exists()
    assert not (folder / ".manifest.json.1234").exists()
    assert folder.exists()


def test_a_second_process_is_refused_by_the_name_of_the_first_and_touches_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    program = ("import sys; from pathlib import Path; from lab.runs.store import RunWriter; "
               "writer = RunWriter(Path(sys.argv[1])); writer.begin('k9'); print('held', flush=True); "
               "sys.stdin.readline()")
    with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Exception, match=f"process {other.pid} .*is writing to this run") as caught:
            RunWriter(folder)
        assert getattr(caught.value, "exit_code", None) == 3
        assert (folder / "raw" / "k9.part").is_dir(), "the cell that the first is at"
        other.kill()
    assert RunWriter(folder).journal() == []


def test_a_run_that_is_being_written_is_not_read_again(tmp_path: Path) -> None:
    folder = closed_run(tmp_path / "r")
    writer = RunWriter(folder)
    program = ("from pathlib import Path; from lab.runs.reread import reread; from lab.runs.store import open_run\n"
               f"reread(open_run(Path({str(folder)!r})))")
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"process {os.getpid()} " in told.stderr
    del writer
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "is writing" not in told.stderr
