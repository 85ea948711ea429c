"""With which code a command ends: 1 is a no and nothing else, and there is never a traceback."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import cli
from lab.cli import base
from lab.errors import AnswerIsNo, CommandFailed, Inconclusive, InputError, RigError
from lab.rig import interrupts
from lab.rig.interrupts import Interrupted

ROOT = Path(__file__).parents[2]
PROGRAM = "import sys; sys.argv[0] = 'lab'; from lab.cli import main; main()"


def started(*argv: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *argv], cwd=ROOT, stderr=subprocess.PIPE, text=True,
                            **options)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
         capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """What the command line makes of an error: its code, and what it said."""
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def end(error: BaseException | None, *argv: str, command: str | None = None) -> tuple[int, str]:
        def app() -> None:
            monkeypatch.setattr(base, "_started", command)
            if error is not None:
                raise error

        monkeypatch.setattr(base, "app", app)
        monkeypatch.setattr("sys.argv", ["lab", *argv])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, capfd.readouterr().err

    return end


@pytest.mark.parametrize(("error", "code"), [
    (None, 0), (AnswerIsNo("no"), 1), (InputError("bad"), 2), (RigError("cannot"), 3), (Inconclusive("open"), 4),
    (CommandFailed(["fio"], 1, "", "x"), 3),
    (SystemExit(), 0), (SystemExit(2), 2), (SystemExit(1), 3), (SystemExit(130), 3), (SystemExit("text"), 3),
    (OSError(errno.ENOSPC, "No space left on device", "/x"), 3), (OSError(errno.EIO, "I/O error"), 3),
    (BrokenPipeError(errno.EPIPE, "Broken pipe"), 3), (PermissionError(errno.EACCES, "Permission denied", "/x"), 3),
    (FileNotFoundError(errno.ENOENT, "No such file", "/x"), 3), (MemoryError(), 3), (Interrupted(), 3),
    (KeyError("x"), 70), (AssertionError(), 70), (ValueError("two\nlines"), 70), (KeyboardInterrupt(), 3),
    (RecursionError("deep"), 70),
])
def test_no_error_but_a_no_ends_with_1_and_each_is_said_in_one_line(
        ends: Callable[..., tuple[int, str]], error: BaseException | None, code: int) -> None:
    got, said = ends(error)
    assert got == code
    assert said.count("\n") <= 1
    assert "Traceback" not in said


def test_a_fault_of_the_lab_says_where_its_traceback_is(ends: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, said = ends(KeyError("x"), "run", "a b.yaml")
    assert code == 70
    assert "a fault of the lab itself: KeyError: 'x'; please report it" in said
    (file,) = (tmp_path / "state" / "thinpool-lab" / "crashes").iterdir()
    assert str(file) in said
    told = file.read_text()
    assert told.startswith("lab run 'a b.yaml'\nTraceback")
    assert "KeyError" in told


def test_a_fault_whose_traceback_cannot_be_kept_shows_it_after_the_line(
        ends: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    code, said = ends(KeyError("x"))
    assert code == 70
    assert "please report it" in said.splitlines()[0]
    assert said.splitlines()[1].startswith("Traceback")


@pytest.mark.parametrize("argv", [["reread", ""], ["run", "s.yaml", "--resume="], ["gate", "r", "--junit", ""]])
def test_an_empty_argument_is_never_the_current_folder(ends: Callable[..., tuple[int, str]], argv: list[str]) -> None:
    code, said = ends(AssertionError("it was started"), *argv)
    assert code == 2
    assert "is empty" in said


@pytest.mark.parametrize("argv", [["--help"], ["run", "--help"], ["gate", "results/aa"]])
def test_a_closed_pipe_is_no_no(argv: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with started(*argv, stdout=writing) as lab:
        os.close(writing)
        assert lab.stderr is not None
        said = lab.stderr.read()
    assert lab.returncode == 3
    assert said == "lab: nobody reads the output any more\n"


@pytest.mark.parametrize("argv", [["--help"], ["collect"], ["gate", "results/aa", "--json"]])
def test_a_full_disk_behind_the_output_is_no_no(argv: list[str]) -> None:
    with open("/dev/full", "w") as full, started(*argv, stdout=full) as lab:
        assert lab.stderr is not None
        said = lab.stderr.read()
    assert lab.returncode in (3, 4)         # 4: the verdict was reached before its text was to be written
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert "No space left on device" in said or lab.returncode == 4


def test_nobody_who_hears_what_is_said_changes_nothing() -> None:
    for redirected in ("2>/dev/full", "2>&-"):
        told = subprocess.run(["bash", "-c", f'"$0" -c "$1" collect {redirected}', sys.executable, PROGRAM],
                              cwd=ROOT, stdout=subprocess.PIPE, check=False)
        assert told.returncode == 0
        assert told.stdout.startswith(b"#!")


def test_folders_that_cannot_be_made_are_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for argv in (["simulate", "scenarios/quickstart.yaml", "--results", str(tmp_path / "file")],
                 ["report", "results/quickstart", "-o", str(tmp_path)],
                 ["gate", "--self-test", "results/aa", "-o", str(tmp_path)]):
        with started(*argv, stdout=subprocess.DEVNULL) as lab:
            assert lab.stderr is not None
            said = lab.stderr.read()
        assert lab.returncode == 2, said
        assert "Traceback" not in said


def test_the_help_names_every_code() -> None:
    with started("--help", stdout=subprocess.PIPE) as lab:
        assert lab.stdout is not None
        text = " ".join(lab.stdout.read().split())
    for code in ("0 done", "1 done", "2 bad input", "3 the environment", "4 inconclusive", "70 a fault"):
        assert code in text


# -- interrupts --------------------------------------------------------------------------------------------------------

@pytest.fixture(autouse=True)
def fresh() -> None:
    interrupts.reset()


def test_a_second_signal_is_ignored() -> None:
    with pytest.raises(Interrupted):
        interrupts.arrived()
    interrupts.arrived()


def test_a_signal_during_cleaning_up_takes_effect_at_its_end() -> None:
    done = []

    def clean() -> None:
        with interrupts.cleaning_up(), interrupts.cleaning_up():
            interrupts.arrived()
            interrupts.arrived()
            done.append(1)

    with pytest.raises(Interrupted):
        clean()
    assert done == [1]


def test_a_signal_during_cleaning_up_does_not_hide_why_that_failed() -> None:
    def clean() -> None:
        with interrupts.cleaning_up():
            interrupts.arrived()
            raise RigError("QEMU does not end")

    with pytest.raises(RigError, match="QEMU"):
        clean()


def test_two_signals_to_a_command_leave_its_cleaning_up_whole(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from contextlib import contextmanager
from lab.cli import base
from lab.rig.interrupts import Cleaned
@contextmanager
def machine():
    try:
        yield
    finally:
        print("cleaning", flush=True)
        time.sleep(1)
        Path({str(tmp_path / 'cleaned')!r}).touch()
def app():
    with Cleaned(machine()):
        print("started", flush=True)
        time.sleep(60)
base.app = app
base.main()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as lab:
        assert lab.stdout is not None
        assert lab.stderr is not None
        assert lab.stdout.readline() == "started\n"
        lab.send_signal(signal.SIGINT)
        assert lab.stdout.readline() == "cleaning\n"
        for number in (signal.SIGINT, signal.SIGTERM):
            lab.send_signal(number)
            time.sleep(0.1)
        said = lab.stderr.read()
    assert lab.returncode == 3
    assert (tmp_path / "cleaned").exists()
    assert said.endswith("lab: interrupted\n")
    assert "cleaning up; this ends by itself" in said


def test_that_no_vm_is_left_is_said_only_after_a_look(
        ends: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    monkeypatch.setattr("lab.rig.vm.vagrant.reap", lambda say: looked.append(1))
    assert "no VM" not in ends(Interrupted(), command="plan")[1]
    assert not looked
    assert "what was measured is kept, and no VM is left running" in ends(Interrupted(), command="run")[1]
    assert looked == [1]

    def hangs(say: object) -> None:
        raise RigError("QEMU [17] of vm-1 does not end")

    monkeypatch.setattr("lab.rig.vm.vagrant.reap", hangs)
    code, said = ends(Interrupted(), command="run")
    assert code == 3
    assert "no VM is left" not in said
    assert "a VM may be left running: QEMU [17]" in said
