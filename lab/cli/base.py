"""What all commands share: the application, how it exits, and how it speaks."""

from __future__ import annotations

import errno
import math
import os
import shlex
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from lab.errors import AnswerIsNo, Inconclusive, InputError, LabError, RigError
from lab.rig import interrupts
from lab.rig.interrupts import Interrupted

if TYPE_CHECKING:
    from rich.table import Table

    from lab.runs.records import Manifest
    from lab.runs.store import Run

app = typer.Typer(invoke_without_command=True, pretty_exceptions_enable=False, rich_markup_mode="markdown")

RUNS = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, or folders that hold some.")]
RESULTS = Annotated[Path, typer.Option(help="The folder in which the run's own folder is made.")]
JSON = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and everything else on stderr.")]


def main() -> None:
    """Runs a command and exits with its code: 0, that of the error that it met, or 70 for a fault of the lab itself.

    1 is nobody's but a command's that says no.
    """
    interrupts.reset()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _on_signal)
    sys.exit(_code())


def _code() -> int:
    try:
        code = _run()
        if sys.stdout is not None:
            sys.stdout.flush()          # here, where it can be said that nobody reads, or that the disk is full
        return code
    except LabError as error:
        say(f"lab: {error}")
        _give_up_stdout(flush=True)
        return error.exit_code
    except (Interrupted, KeyboardInterrupt):
        return _say_interrupted()
    except OSError as error:
        _give_up_stdout()
        said = "nobody reads the output any more" if error.errno == errno.EPIPE else error.strerror or str(error)
        say(f"lab: {error.filename}: {said}" if error.filename is not None else f"lab: {said}")
        return RigError.exit_code
    except MemoryError:
        say("lab: this computer has not enough memory for it")
        return RigError.exit_code
    except BaseException as error:  # noqa: BLE001  the outermost edge: whatever is left is a fault of the lab
        return _say_crash(error)


def _run() -> int:
    """The command, by Typer.  Its own code 1 is no answer: the reader of the output has gone, or a prompt was left."""
    for number, word in enumerate(sys.argv[1:], 1):
        if not word or (word.startswith("--") and word.endswith("=")):
            raise InputError(f"argument {number} is empty", remedy="in a script: is a variable unset?")
    try:
        app()
    except SystemExit as ended:
        if ended.code == 1 and isinstance(ended.__context__, OSError):      # so Typer and Rich end at a closed pipe
            raise ended.__context__ from None
        if ended.code is None or ended.code in (0, InputError.exit_code):
            return int(ended.code or 0)
        if isinstance(ended.code, str):
            say(ended.code)
        return RigError.exit_code
    return 0


def _on_signal(_signal: int, _frame: FrameType | None) -> None:
    interrupts.arrived()
    with suppress(OSError):             # not by print: it may be printing
        os.write(2, b"lab: cleaning up; this ends by itself\n")


def _say_interrupted() -> int:
    """Says what is left.  That no VM is left running is said after a look; of a host, its own cleaning up speaks."""
    _give_up_stdout(flush=True)
    kept = "; what was measured is kept" if _started == "run" else ""
    if _started not in _OF_MACHINES:
        say("lab: interrupted")
        return RigError.exit_code
    from lab.rig.vm.vagrant import reap

    try:
        reap(say)
    except (LabError, OSError) as error:
        say(f"lab: interrupted{kept}; a VM may be left running: {error} (lab destroy)")
    else:
        say(f"lab: interrupted{kept}, and no VM is left running")
    return RigError.exit_code


def _say_crash(error: BaseException) -> int:
    """Says in one line what happened and where to report it; the traceback goes to a file, or else follows the line."""
    _give_up_stdout(flush=True)
    told = "".join(traceback.format_exception(error))
    what = (f"lab: a fault of the lab itself: {type(error).__name__}: {' '.join(str(error).split())[:200]}; please "
            f"report it in the project's issue tracker, with ")
    try:
        from lab.rig.vm.vagrant import state_folder
        from lab.runs.files import make_output_folder, write_output

        file = state_folder() / "crashes" / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.txt"
        make_output_folder(file.parent)
        write_output(file, shlex.join(sys.argv) + "\n" + told)
    except (LabError, OSError, ImportError):
        say(f"{what}what follows\n{told}")
    else:
        say(f"{what}{file}")
    return FAULT


def _give_up_stdout(*, flush: bool = False) -> None:
    """What cannot be written is let go, so that Python does not complain of it at its end."""
    with suppress(OSError, ValueError, AttributeError):
        if flush:
            try:
                sys.stdout.flush()
                return
            except OSError:
                pass
        handle = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(handle, sys.stdout.fileno())
        os.close(handle)


def say(message: str) -> None:
    """To stderr: stdout is for results.  Work goes on where nobody hears it."""
    if sys.stderr is not None:
        _clear_bar()
        with suppress(OSError):
            print(message, file=sys.stderr, flush=True)


FAULT = 70
"""Exit code of a fault of the lab itself: EX_SOFTWARE of sysexits.h."""

_BAR_WIDTH = 24

_bar_is_shown = False

_BEGAN = time.monotonic()

_started: str | None = None
"""The command that is running."""

_OF_MACHINES = ("doctor", "run", "destroy")
"""Commands that touch machines; before them, what a killed run left behind is ended."""

_QUESTIONS = """\
What does my work take on each storage, and what does it cost?
    lab run scenarios/quickstart.yaml            measured in a VM; lab simulate: the same file in the model
    lab report results/quickstart                a run that is there already
How large must the pool be, and when is it full?
    lab plan scenarios/plans/ci-host.yaml        from a plan of the host
    lab forecast RECORDING                       from what lab collect recorded on it
Which storage for this work, and what belongs into a volume?
    lab advise scenarios/profiles/database.yaml
Did this change make storage slower, or larger?
    lab gate RUN                                 of lab run NEW --against OLD, two arms in one run

lab --help shows all commands, lab COMMAND --help an example of each; lab doctor says what this machine lacks."""


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"thinpool-lab {version('thinpool-lab')}")
        raise typer.Exit


@app.callback(epilog="Exit codes: 0 done; 1 done, and the answer is no; 2 bad input or usage; 3 the environment "
                     "cannot do it, or it ended early (disk full, output closed, interrupted), and what was measured "
                     "is kept; 4 inconclusive; 70 a fault of the lab itself, to be reported.")
def _before_any_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True,
                                          help="Print the lab's version.")] = False,
) -> None:
    """Measure container storage in real VMs, simulate it, and answer questions from the results."""
    global _started
    _started = context.invoked_subcommand
    if context.invoked_subcommand is None:
        print(_QUESTIONS)
    elif context.invoked_subcommand in _OF_MACHINES:
        from lab.rig.vm.vagrant import reap

        reap(say)


def settle(manifest: Manifest, folder: Path, again: str) -> None:
    """Says how the run ended.  Raises AnswerIsNo where a cell failed, Inconclusive where a ratio stayed too wide."""
    from lab.analysis.noise import Judgement

    told = manifest.repeat_until
    if told is not None:
        say(f"{Judgement(told, True).sentence}; ended after {manifest.repetitions} repetitions: {told.reason}")
    failed = [result for result in manifest.results if result.status == "failed"]
    if failed:
        raise AnswerIsNo(f"{len(failed)} of {len(manifest.results)} cells failed: "
                         + ", ".join(sorted({result.cell for result in failed})),
                         remedy=f"lab report {folder} shows why")
    if told is not None and not told.reached:
        raise Inconclusive(f"{told.ratio} is not known within ±{100 * told.wanted:.3g} %: {told.reason}",
                           remedy=f"go on with: {again} --max-repetitions {2 * told.max_repetitions}"
                           if told.estimate is not None else "name a metric that both sides have, above zero")


class Steps:
    """Tells how far long work has come, and about how long the rest takes: as a bar on a terminal, else a line a step.

    Steps that follow one another within a second share a line.
    """

    def __init__(self, unit: str) -> None:
        self._unit, self._told_at = unit, -math.inf
        self._first: tuple[float, int] | None = None

    def __call__(self, done: int, total: int | None, now: str = "", seconds_left: float | None = None) -> None:
        """Steps done, of all if that is known, what comes next, and the seconds left if somebody knows better."""
        moment = time.monotonic()
        self._first = self._first or (moment, done)
        took, more = moment - self._first[0], done - self._first[1]
        if seconds_left is None and total is not None and more > 0 and done < total:
            seconds_left = took * (total - done) / more
        if moment - self._told_at < 1 and done != total:
            return
        self._told_at = moment
        words = f"{done}{'' if total is None else f'/{total}'} {self._unit} done{_left(seconds_left)}"
        words += f"; now {now}" if now else ""
        if sys.stderr is not None and sys.stderr.isatty():
            _show_bar(done / total if total else took / (took + seconds_left) if took and seconds_left else 0.0, words)
        else:
            say(f"[{moment - _BEGAN:5.0f} s] {words}")


def _left(seconds: float | None) -> str:
    """
    >>> _left(12.3), _left(150.0), _left(None)
    (', about 12 s left', ', about 2 min left', '')
    """
    if seconds is None:
        return ""
    return f", about {seconds:.0f} s left" if seconds < 100 else f", about {seconds / 60:.0f} min left"


@contextmanager
def progress() -> Iterator[type[Steps]]:
    """What tells of steps of a kind: ``steps("cells")``.  When the work ends, the bar is gone from the terminal."""
    try:
        yield Steps
    finally:
        _clear_bar()


def _show_bar(share: float, words: str) -> None:
    global _bar_is_shown
    filled = round(_BAR_WIDTH * min(share, 1.0))
    line = f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {words}"[:shutil.get_terminal_size().columns - 1]
    with suppress(OSError):
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
    _bar_is_shown = True


def _clear_bar() -> None:
    global _bar_is_shown
    if _bar_is_shown:
        _bar_is_shown = False
        with suppress(OSError):
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def write_answers(folder: Path, texts: Mapping[str, str], fan_png: bytes) -> None:
    """The texts by their names, and the fan chart; says what is there.  Raises InputError."""
    from lab.runs.files import write_output

    for name, text in texts.items():
        write_output(folder / name, text)
    write_output(folder / "fan.png", fan_png)
    say(f"{folder}: fan.png, {', '.join(texts)}")


def new_table(*head: str, title: str | None = None) -> Table:
    """A table with these columns."""
    from rich.table import Table

    return Table(*head, title=title)


def judge(holds: bool | None, verdict: str, remedy: str) -> None:
    """What ``--check`` ends with.  Raises AnswerIsNo where it does not hold, Inconclusive where that is left open."""
    if holds is False:
        raise AnswerIsNo(verdict)
    if holds is None:
        raise Inconclusive(verdict, remedy=remedy)


def runs_in(paths: Iterable[Path]) -> list[Run]:
    """The runs in these folders, in their order.  Raises InputError where one holds none."""
    from lab.runs.store import find_runs

    return [run for path in paths for run in find_runs(path)]


def size_of(text: str, option: str) -> int:
    """Bytes of an option's size.  Raises InputError that names the option."""
    from lab.units import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise InputError(str(error), where=option) from None
