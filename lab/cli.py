"""The command line: the only place that prints or exits."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from lab.errors import AnswerIsNo, Inconclusive, InputError, LabError, RigError

if TYPE_CHECKING:
    from lab.analysis.noise import RepeatUntil
    from lab.model.parameters import Parameters
    from lab.order import Arms, Block
    from lab.records import Manifest
    from lab.rig.doctor import Check
    from lab.validation import Validation

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  rich_markup_mode="markdown",
                  help="Measure container storage in real VMs, and read what was measured.")

_MAX_REPETITIONS = 10

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


_PURE = ("replay", "report", "simulate", "calibrate", "validate")
"""Commands that touch no machine, and start at once."""


@app.callback()
def _before_any_command(context: typer.Context) -> None:
    if context.invoked_subcommand in _PURE:
        return
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


@app.command(epilog="Examples: `lab run scenarios/quickstart.yaml`; `lab run new.yaml --against old.yaml`; "
                    "`lab run scenarios/loop-vs-direct.yaml --repeat-until "
                    "'direct-lvm/loop-lvm write_bandwidth seq-write layer ±10 %'`")
def run(
    scenario: Annotated[Path, typer.Argument(help="A scenario file; with --against, the candidate.",
                                             metavar="SCENARIO")],
    against: Annotated[Path | None, typer.Option(
        metavar="BASELINE", help="Measure this scenario too, interleaved on the same machine; the same file for A/A.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run's folder: only what is left.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run; start nothing.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only this cell (may be given more than once).")] = None,
    repetitions: Annotated[int | None, typer.Option(min=1, help="Instead of the scenario's.")] = None,
    repeat_until: Annotated[str | None, typer.Option(
        metavar="RATIO", help="Add repetitions until the interval of a ratio is that narrow: "
                              "'A/B METRIC [WORKLOAD:]PHASE TARGET ±N %', A and B labels of storages; with --against "
                              "'candidate/baseline METRIC [WORKLOAD:]PHASE TARGET LABEL ±N %'.")] = None,
    max_repetitions: Annotated[int | None, typer.Option(
        min=1, help=f"With --repeat-until: no more than these ({_MAX_REPETITIONS}).")] = None,
    results: Annotated[Path, typer.Option(help="Where the run's folder is made.")] = Path("results"),
) -> None:
    """Provision, drive and measure a scenario in a VM, or on a host of yours.  Prints the run's folder last.

    Exit code 0: all cells done; 1: a cell failed; 3: it ended early, and --resume goes on; 4: the maximum of
    repetitions was reached, and the ratio's interval is still too wide.
    """
    from lab.order import plan
    from lab.rig.provide import needs_vm, provider_name
    from lab.runner import Runner, new_run_folder, refuse_other_arms

    arms = _arms(scenario, against, repetitions)
    until = _until(repeat_until, max_repetitions, arms, only or ())
    # bad names are refused before a folder is made
    blocks = plan(arms, provider_name(arms.candidate.machine), only=only or ())
    if dry_run:
        _print_plan(arms, blocks, until)
        return
    if resume is not None:
        if not resume.is_dir():
            raise InputError("no such run", where=str(resume), remedy="name the folder that `lab run` printed")
        refuse_other_arms(resume, arms)
    if needs_vm(arms.candidate.machine):
        _need_tools()
    folder = resume or new_run_folder(results, arms.candidate)
    _say(f"run folder: {folder}")
    again = _again(scenario, against, folder, only or (), repetitions, repeat_until)
    try:
        manifest = Runner(arms, folder, only=only or (), say=_say, progress=_progress(), until=until).run()
    except (Interrupted, RigError):
        _say("go on with: " + again + (f" --max-repetitions {max_repetitions}" if max_repetitions else ""))
        print(folder)
        raise
    print(folder)
    _settle(manifest, folder, again)


@app.command(epilog="Examples: `lab simulate scenarios/quickstart.yaml`; "
                    "`lab simulate scenarios/quickstart.yaml --params my-params.json --only direct-lvm.layer.files`")
def simulate(
    scenario: Annotated[Path, typer.Argument(help="A scenario file, as `lab run` takes it.", metavar="SCENARIO")],
    params: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Parameters of `lab calibrate`; those that came with the lab by default.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this cell (may be given more than once).")] = None,
    repetitions: Annotated[int | None, typer.Option(min=1, help="Instead of the scenario's.")] = None,
    results: Annotated[Path, typer.Option(help="Where the run's folder is made.")] = Path("results"),
) -> None:
    """Do a scenario in the model instead of a machine.  Prints the run's folder last.

    The folder is like that of a measured run; its rows have ``source = simulated``.  Exit code 0: done; 1: a cell
    failed, as where the pool is full; 2: the model cannot express the scenario.
    """
    from lab.order import Arms, plan
    from lab.readers.parameters import read_parameters
    from lab.scenario import load_scenario
    from lab.simulate import ACCELERATOR, check_expressible, new_folder
    from lab.simulate import simulate as run_model

    asked = load_scenario(scenario)
    plan(Arms(asked), ACCELERATOR, only=only or ())         # bad names are refused before a folder is made
    check_expressible(asked, only or ())
    parameters = read_parameters(params)
    folder = new_folder(results, asked)
    show = _progress()
    manifest = run_model(asked, folder, parameters, repetitions=repetitions or asked.repetitions, only=only or (),
                         progress=lambda done, total, cell: show(done, total, cell, None))
    print(folder)
    _settle(manifest, folder, "")


@app.command(epilog="Example: `lab calibrate results/reference -o params.json`")
def calibrate(
    runs: Annotated[list[Path], typer.Argument(help="Measured runs, or folders above some.", metavar="RUN...")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PARAMS", help="Where the parameters go.")],
    screening: Annotated[bool, typer.Option("--screen", help="Say what each parameter does to growth, too.")] = False,
    as_json: _JSON = False,
) -> None:
    """Fit the model to measured runs.  Prints the parameters with their intervals, and what the runs leave open."""
    from lab.calibration import run_calibration
    from lab.readers.parameters import write_parameters
    from lab.store import find_runs

    parameters = run_calibration([run for path in runs for run in find_runs(path)], _say,
                                 screening=screening)
    write_parameters(parameters, output)
    if as_json:
        print(parameters.model_dump_json(indent=1))
    else:
        _print_parameters(parameters)


def _print_parameters(parameters: Parameters) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("parameter", "value", "90 % interval", "n", "identified", "why")
    for one in parameters.fitted:
        interval = "" if one.low is None or one.high is None else f"{one.low:.4g} to {one.high:.4g}"
        table.add_row(one.name, f"{one.value:.4g}", interval, str(one.n), "yes" if one.identified else "NO", one.reason)
    Console().print(table)
    if parameters.effects:
        effects = Table("parameter", "effect on the space taken, MiB", "its spread, MiB",
                        title="Morris screening: over each parameter's whole range")
        for effect in parameters.effects:
            effects.add_row(effect.name, *(f"{bytes_ / 2**20:.3g}" for bytes_ in (effect.mean_absolute_bytes,
                                                                                  effect.spread_bytes)))
        Console().print(effects)


@app.command(epilog="Example: `lab validate params.json results/validation`")
def validate(
    params: Annotated[Path, typer.Argument(help="Parameters of `lab calibrate`.", metavar="PARAMS")],
    runs: Annotated[list[Path], typer.Argument(help="Measured runs that the fit has not seen.", metavar="RUN...")],
    as_json: _JSON = False,
) -> None:
    """Judge the model on runs that it has not seen: simulate their scenarios and compare growth phase by phase."""
    from lab.readers.parameters import read_parameters
    from lab.store import find_runs
    from lab.validation import run_validation

    found = run_validation(read_parameters(params), [run for path in runs for run in find_runs(path)], _say)
    if as_json:
        print(json.dumps(found.document(), indent=1))
    else:
        _print_validation(found)


def _print_validation(found: Validation) -> None:
    from rich.console import Console
    from rich.table import Table

    from lab.analysis.validate_rates import rate_score

    table = Table("run", "phases", "equal to the byte", "increments, MAPE", "straight line", "in use, MAPE",
                  "since the begin", "straight line", "in 90 % intervals", "bandwidth ratios that overlap")
    for name, score, coverage, rates in [
            *((one.run, one.score, one.coverage, rate_score(one.rates)) for one in found.runs),
            ("all", found.score, found.coverage, found.rates)]:
        growth = [str(score.phases), str(score.exact), f"{score.increment_mape:.1%}",
                  f"{score.straight_increment_mape:.0%}", f"{score.level_mape:.2%}", f"{score.occupancy_mape:.2%}",
                  f"{score.straight_occupancy_mape:.0%}",
                  f"{coverage.covered} of {coverage.n} ({coverage.low:.0%} to {coverage.high:.0%})"]
        table.add_row(name, *(growth if score.phases else [""] * len(growth)),
                      f"{rates.overlapping} of {rates.n}" if rates.n else "")
    Console().print(table)


def _arms(candidate: Path, baseline: Path | None, repetitions: int | None) -> Arms:
    from lab.order import Arms
    from lab.scenario import load_scenario

    wanted = load_scenario(candidate)
    other = load_scenario(baseline) if baseline is not None else None
    if repetitions is not None:
        wanted = wanted.model_copy(update={"repetitions": repetitions})
    elif other is not None and other.repetitions != wanted.repetitions:
        _say(f"{candidate} asks for {wanted.repetitions} repetitions and {baseline} for {other.repetitions}: "
             f"both arms get {wanted.repetitions}")
    return Arms(wanted, other)


def _until(text: str | None, maximum: int | None, arms: Arms, only: Sequence[str]) -> RepeatUntil | None:
    from lab.analysis.noise import parse_repeat_until

    if text is None:
        if maximum is not None:
            raise InputError("there is nothing to repeat until", where="--max-repetitions",
                             remedy="add --repeat-until RATIO, or use --repetitions")
        return None
    return parse_repeat_until(text, arms.scenarios, max_repetitions=maximum or _MAX_REPETITIONS, only=only)


def _again(scenario: Path, against: Path | None, folder: Path, only: Sequence[str], repetitions: int | None,
           repeat_until: str | None) -> str:
    """The command that goes on with a run."""
    import shlex

    words = ["lab", "run", str(scenario), *(["--against", str(against)] if against is not None else []),
             *(word for cell in only for word in ("--only", cell)),
             *(["--repetitions", str(repetitions)] if repetitions is not None else []),
             *(["--repeat-until", repeat_until] if repeat_until is not None else []), "--resume", str(folder)]
    return shlex.join(words)


def _settle(manifest: Manifest, folder: Path, again: str) -> None:
    """Says how the run ended.  Raises AnswerIsNo where a cell failed, Inconclusive where a ratio stayed too wide."""
    from lab.analysis.noise import Judgement

    told = manifest.repeat_until
    if told is not None:
        _say(f"{Judgement(told, True).sentence}; ended after {manifest.repetitions} repetitions: {told.reason}")
    failed = [result for result in manifest.results if result.status == "failed"]
    if failed:
        raise AnswerIsNo(f"{len(failed)} of {len(manifest.results)} cells failed: "
                         + ", ".join(sorted({result.cell for result in failed})),
                         remedy=f"lab report {folder} shows why")
    if told is not None and not told.reached:
        raise Inconclusive(f"{told.ratio} is not known within ±{100 * told.wanted:.3g} %: {told.reason}",
                           remedy=f"go on with: {again} --max-repetitions {2 * told.max_repetitions}"
                           if told.estimate is not None else "name a metric that both sides have, above zero")


def _need_tools() -> None:
    from lab.rig.doctor import examine, missing_packages

    if packages := missing_packages(examine()):
        raise RigError(f"this machine lacks {', '.join(packages)}", remedy="lab doctor --install")


def _print_plan(arms: Arms, blocks: list[Block], until: RepeatUntil | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from lab.analysis.noise import FIRST_LOOK

    two = arms.baseline is not None
    table = Table("repetition", "storage", *(["arm"] if two else []), "cell", "key", title=arms.candidate.question)
    for block in blocks:
        for job in block.jobs:
            table.add_row(str(job.repetition), job.storage.label, *([job.arm] if two else []), job.cell_id, job.key)
    Console().print(table)
    if until is not None:
        _say(f"then, from {FIRST_LOOK} repetitions on and up to {until.max_repetitions}, until {until.text} is known "
             f"within ±{100 * until.wanted:.3g} %")


def _progress() -> Callable[[int, int, str, float | None], None]:
    began = time.monotonic()

    def show(done: int, total: int, cell: str, seconds_left: float | None) -> None:
        left = "" if seconds_left is None else f", about {seconds_left / 60:.0f} min left"
        _say(f"[{time.monotonic() - began:5.0f} s] {done}/{total} cells done{left}; now {cell}")

    return show


@app.command(epilog="Examples: `lab report results/quickstart`; `lab report MEASURED SIMULATED`")
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders above some.", metavar="RUN...")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where the page goes.")] = None,
) -> None:
    """Write one self-contained HTML page, and its figures as PNG.  Prints the page's path.

    A measured run and a simulated one of the same scenario file are laid over each other, phase by phase.
    """
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
