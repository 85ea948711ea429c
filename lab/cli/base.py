"""What all commands share: the application, how it exits, and how it speaks."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from lab.errors import AnswerIsNo, Inconclusive, InputError, LabError

if TYPE_CHECKING:
    from lab.records import Manifest

app = typer.Typer(invoke_without_command=True, pretty_exceptions_enable=False, rich_markup_mode="markdown")

JSON = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; all else on stderr.")]


def main() -> None:
    """Runs a command and exits with the code of its error, if it meets one."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    try:
        app()
    except LabError as error:
        say(f"lab: {error}")
        sys.exit(error.exit_code)
    except Interrupted:
        say("lab: interrupted; what was measured is kept, and no machine is left running")
        sys.exit(3)


class Interrupted(BaseException):
    """^C or SIGTERM.  No LabError, so that nothing takes it for a cell's failure."""


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted


def say(message: str) -> None:
    """To stderr: stdout is for results."""
    print(message, file=sys.stderr, flush=True)


_OF_MACHINES = ("doctor", "run", "destroy")
"""Commands that touch machines; before them, what a killed run left behind is ended."""

_QUESTIONS = """\
What does my work take on each storage, and what does it cost?
    lab run scenarios/quickstart.yaml            measured in a VM; lab simulate: the same file in the model
    lab report results/quickstart                a run that is there already
How large must the pool be, and when is it full?
    lab plan scenarios/plans/ci-host.yaml        or your own host's log: lab plan --observed LOG
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


@app.callback(epilog="Exit codes: 0 done; 1 done, and the answer is no; 2 bad input; 3 the environment cannot do it; "
                     "4 inconclusive.")
def _before_any_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True,
                                          help="Print the lab's version.")] = False,
) -> None:
    """Measure container storage in real VMs, simulate it, and answer from what was found."""
    if context.invoked_subcommand is None:
        print(_QUESTIONS)
    elif context.invoked_subcommand in _OF_MACHINES:
        from lab.rig.vagrant import reap

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


def progress() -> Callable[[int, int, str, float | None], None]:
    """What tells of cells done, of all, the one that is next, and the seconds left if they are known."""
    began = time.monotonic()

    def show(done: int, total: int, cell: str, seconds_left: float | None) -> None:
        left = "" if seconds_left is None else f", about {seconds_left / 60:.0f} min left"
        say(f"[{time.monotonic() - began:5.0f} s] {done}/{total} cells done{left}; now {cell}")

    return show


def size_of(text: str, option: str) -> int:
    """Bytes of an option's size.  Raises InputError that names the option."""
    from lab.units import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise InputError(str(error), where=option) from None
