"""The command line: the only place that prints or exits."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from lab.errors import AnswerIsNo, InputError, LabError, RigError

if TYPE_CHECKING:
    from lab.rig.doctor import Check
    from lab.runner import Block
    from lab.scenario import Scenario

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  rich_markup_mode="markdown",
                  help="Measure container storage in real VMs, and read what was measured.")

_JSON = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; all else on stderr.")]


def main() -> None:
    """Runs a command and exits with the code of its error, if it meets one."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    try:
        app()
    except LabError as error:
        _say(f"lab: {error}")
        sys.exit(error.exit_code)
    except Interrupted:
        _say("lab: interrupted; what was measured is kept, and no machine is left running")
        sys.exit(3)


class Interrupted(BaseException):
    """^C or SIGTERM.  No LabError, so that nothing takes it for a cell's failure."""


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


@app.callback()
def _before_any_command() -> None:
    from lab.rig.vagrant import reap

    reap(_say)


@app.command(epilog="Example: `lab doctor --install`")
def doctor(
    install: Annotated[bool, typer.Option("--install", help="Install it (apt-get; sudo if not root).")] = False,
    as_json: _JSON = False,
) -> None:
    """Say what this machine lacks for real runs, and the command that installs it."""
    from lab.rig import doctor as rig_doctor

    checks = rig_doctor.examine()
    packages = rig_doctor.missing_packages(checks)
    if install and packages:
        rig_doctor.install(packages)
        checks = rig_doctor.examine()
        packages = rig_doctor.missing_packages(checks)
    lacking = [check.name for check in checks if check.needed and not check.ok]
    if as_json:
        print(json.dumps({"checks": [vars(check) for check in checks], "packages": packages, "ready": not lacking}))
    else:
        _print_checks(checks)
    if lacking:
        raise RigError(f"this machine lacks {', '.join(lacking)}",
                       remedy="lab doctor --install" if packages else None)


def _print_checks(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "check", "found", "Debian package")
    for check in checks:
        mark = "ok" if check.ok else ("MISSING" if check.needed else "note")
        table.add_row(mark, check.name, check.detail, check.package or "")
    Console().print(table)


@app.command(epilog="Example: `lab run scenarios/quickstart.yaml`")
def run(
    scenario: Annotated[Path, typer.Argument(help="A scenario file.", metavar="SCENARIO")],
    resume: Annotated[Path | None, typer.Option(help="Go on with this run's folder: only what is left.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run; start nothing.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only this cell (may be given more than once).")] = None,
    repetitions: Annotated[int | None, typer.Option(min=1, help="Instead of the scenario's.")] = None,
    results: Annotated[Path, typer.Option(help="Where the run's folder is made.")] = Path("results"),
) -> None:
    """Provision, drive and measure a scenario in a VM.  Prints the run's folder on the last line."""
    from lab.rig.provide import needs_vm, provider_name
    from lab.runner import Runner, new_run_folder, plan
    from lab.scenario import load_scenario

    wanted = load_scenario(scenario)
    if repetitions is not None:
        wanted = wanted.model_copy(update={"repetitions": repetitions})
    if dry_run:
        _print_plan(wanted, plan(wanted, provider_name(wanted.machine), only=only or ()))
        return
    if resume is not None and not resume.is_dir():
        raise InputError("no such run", where=str(resume), remedy="name the folder that `lab run` printed")
    if needs_vm(wanted.machine):
        _need_tools()
    plan(wanted, provider_name(wanted.machine), only=only or ())       # bad names are refused before a folder is made
    folder = resume or new_run_folder(results, wanted)
    _say(f"run folder: {folder}")
    try:
        manifest = Runner(wanted, folder, only=only or (), say=_say, progress=_progress()).run()
    except (Interrupted, RigError):
        _say(f"go on with: lab run {scenario} --resume {folder}")
        print(folder)
        raise
    print(folder)
    failed = [result for result in manifest.results if result.status == "failed"]
    if failed:
        raise AnswerIsNo(f"{len(failed)} of {len(manifest.results)} cells failed: "
                         + ", ".join(sorted({result.cell for result in failed})),
                         remedy=f"lab report {folder} shows why")


def _need_tools() -> None:
    from lab.rig.doctor import examine, missing_packages

    if packages := missing_packages(examine()):
        raise RigError(f"this machine lacks {', '.join(packages)}", remedy="lab doctor --install")


def _print_plan(scenario: Scenario, blocks: list[Block]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("repetition", "storage", "cell", "key", title=scenario.question)
    for block in blocks:
        for job in block.jobs:
            table.add_row(str(job.repetition), job.storage.label, job.cell_id, job.key)
    Console().print(table)


def _progress() -> Callable[[int, int, str, float | None], None]:
    began = time.monotonic()

    def show(done: int, total: int, cell: str, seconds_left: float | None) -> None:
        left = "" if seconds_left is None else f", about {seconds_left / 60:.0f} min left"
        _say(f"[{time.monotonic() - began:5.0f} s] {done}/{total} cells done{left}; now {cell}")

    return show


@app.command(epilog="Example: `lab report results/quickstart`")
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders above some.", metavar="RUN...")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where the page goes.")] = None,
) -> None:
    """Write one self-contained HTML page, and its figures as PNG.  Prints the page's path."""
    from lab.analysis.report import write_report
    from lab.store import find_runs

    print(write_report([run for path in runs for run in find_runs(path)], output))


@app.command(epilog="Examples: `lab replay tests/ground_truth/snap-64k`; "
                    "`lab replay my-trace.log.gz --chunk-size 64KiB,512KiB --pool-size 100GiB`")
def replay(
    case: Annotated[Path, typer.Argument(
        metavar="CASE|TRACE", help="A case's folder, a fio I/O log, or blkparse text.")],
    as_json: _JSON = False,
    thin_dump: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Write the final mappings of a case as XML for thin_restore.")] = None,
    chunk_size: Annotated[str, typer.Option(
        metavar="SIZES", help="Block sizes to try on a trace, separated by commas.")] = "64KiB,128KiB,512KiB",
    pool_size: Annotated[str, typer.Option(metavar="SIZE", help="Size of the pool for a trace.")] = "100GiB",
) -> None:
    """Replay a recorded case and compare with the kernel, or try block sizes on a trace of your own.

    Exit code 0: data blocks agree at every step; 1: they do not; 2: bad input.
    """
    from lab.replay import replay_case, save_pool_dump
    from lab.replay_text import format_replay, format_trace
    from lab.trace import compare_chunk_sizes, load_trace

    if case.is_dir() or not case.exists():
        result = replay_case(case)
        if thin_dump is not None:
            save_pool_dump(result.pool, thin_dump)
        print(json.dumps(result.document(), indent=1) if as_json else format_replay(result))
        if not result.data_blocks_agree:
            raise AnswerIsNo(f"{result.case}: the model and the kernel disagree")
        return
    if thin_dump is not None:
        raise InputError("--thin-dump is for a case: a trace is tried on several pools", where=str(case))
    sizes = [_size(text, "--chunk-size") for text in chunk_size.split(",")]
    compared = compare_chunk_sizes(load_trace(case), sizes, _size(pool_size, "--pool-size"))
    print(json.dumps(compared.document(), indent=1) if as_json else format_trace(compared))


def _size(text: str, option: str) -> int:
    from lab.units import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise InputError(str(error), where=option) from None


@app.command(epilog="Example: `lab destroy`")
def destroy(as_json: _JSON = False) -> None:
    """Remove every VM that a run left behind, with its disks.  The box stays."""
    from lab.rig.vagrant import destroy_all

    removed = destroy_all(_say)
    if as_json:
        print(json.dumps({"removed": removed}))
    else:
        print("\n".join(f"removed {name}" for name in removed) or "no machine was there")
