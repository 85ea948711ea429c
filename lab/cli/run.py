"""`lab run`: a scenario, measured in a VM or on a host of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.base import RESULTS, app, new_table, progress, say, settle
from lab.errors import InputError, RigError
from lab.rig.interrupts import Interrupted

if TYPE_CHECKING:
    from lab.analysis.noise import RepeatUntil
    from lab.scenario.order import Arms, Block

_MAX_REPETITIONS = 10


@app.command(epilog="Examples: `lab run scenarios/quickstart.yaml`; `lab run new.yaml --against old.yaml`; "
                    "`lab run scenarios/loop-vs-direct.yaml --repeat-until "
                    "'direct-lvm/loop-lvm write_bandwidth seq-write-1m layer ±10 %'`")
def run(
    scenario: Annotated[Path, typer.Argument(help="A scenario file.  With --against it is the candidate.",
                                             metavar="SCENARIO")],
    against: Annotated[Path | None, typer.Option(
        metavar="BASELINE", help="Measure this scenario too, cell by cell in turn on the same machine.  The same "
                                 "file makes an A/A run.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(
        metavar="RUN", help="Go on with the run in this folder, and measure what is left.")] = None,
    dry_run: Annotated[bool, typer.Option(
        "--dry-run", help="Print what would be measured, and start nothing.")] = False,
    only: Annotated[list[str] | None, typer.Option(
        metavar="CELL", help="Measure this cell only (may be given more than once).")] = None,
    repetitions: Annotated[int | None, typer.Option(
        min=1, help="How often each cell is measured.", show_default="as the scenario says")] = None,
    repeat_until: Annotated[str | None, typer.Option(
        metavar="RATIO", help="Add repetitions until the interval of a ratio is narrow enough: "
                              "'A/B METRIC [WORKLOAD:]PHASE TARGET ±N %', where A and B are labels of storages.  With "
                              "--against: 'candidate/baseline METRIC [WORKLOAD:]PHASE TARGET LABEL ±N %'.")] = None,
    max_repetitions: Annotated[int | None, typer.Option(
        min=1, help="With --repeat-until: how many repetitions there are at most.",
        show_default=str(_MAX_REPETITIONS))] = None,
    results: RESULTS = Path("results"),
    allow_ssh_config: Annotated[bool, typer.Option(
        "--allow-ssh-config", help="Take the scenario's ssh_config, which may run commands on this computer.")] = False,
) -> None:
    """Measure a scenario in a VM, or on a host of your own.  The last line printed is the run's folder.

    Exit code 0: all cells done; 1: a cell failed; 3: the run ended early, and --resume goes on; 4: the
    maximum of repetitions was reached, and the ratio's interval is still too wide.
    """
    from lab.measure.runner import Runner, new_run_folder, refuse_other_arms
    from lab.rig.provide import needs_vm, provider_name, refuse_impossible, refuse_ssh_config
    from lab.runs.store import refuse_foreign
    from lab.scenario.order import plan

    arms = _arms(scenario, against, repetitions)
    until = _until(repeat_until, max_repetitions, arms, only or ())
    # bad names are refused before a folder is made
    blocks = plan(arms, provider_name(arms.candidate.machine), only=only or ())
    if dry_run:
        _print_plan(arms, blocks, until)
        return
    if not allow_ssh_config:
        refuse_ssh_config(arms.scenarios.values())
    if resume is not None:
        if not resume.is_dir():
            raise InputError("no such run", where=str(resume), remedy="name the folder that `lab run` printed")
        refuse_other_arms(resume, arms)
        refuse_foreign(resume)
    if needs_vm(arms.candidate.machine):
        _need_tools()
        if resume is None:      # a run that goes on takes what it began on
            refuse_impossible(arms.candidate.machine, arms.scenarios.values())
    folder = resume or new_run_folder(results, arms.candidate)
    say(f"run folder: {folder}")
    again = _again(scenario, against, folder, only or (), repetitions, repeat_until) + (
        " --allow-ssh-config" if allow_ssh_config else "")
    try:
        with progress() as steps:
            manifest = Runner(arms, folder, only=only or (), say=say, progress=steps("cells"), until=until).run()
    except (Interrupted, RigError, OSError):
        say("go on with: " + again + (f" --max-repetitions {max_repetitions}" if max_repetitions else ""))
        print(folder)
        raise
    print(folder)
    settle(manifest, folder, again)


def _arms(candidate: Path, baseline: Path | None, repetitions: int | None) -> Arms:
    from lab.scenario.order import Arms
    from lab.scenario.scenario import load_scenario

    wanted = load_scenario(candidate)
    other = load_scenario(baseline) if baseline is not None else None
    if repetitions is not None:
        wanted = wanted.model_copy(update={"repetitions": repetitions})
    elif other is not None and other.repetitions != wanted.repetitions:
        say(f"{candidate} asks for {wanted.repetitions} repetitions and {baseline} for {other.repetitions}: "
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


def _need_tools() -> None:
    from lab.rig.vm.doctor import examine, missing_packages

    if packages := missing_packages(examine()):
        raise RigError(f"this machine lacks {', '.join(packages)}", remedy="lab doctor --install")


def _print_plan(arms: Arms, blocks: list[Block], until: RepeatUntil | None) -> None:
    from rich.console import Console

    from lab.analysis.noise import FIRST_LOOK

    two = arms.baseline is not None
    table = new_table("repetition", "storage", *(["arm"] if two else []), "cell", "key", title=arms.candidate.question)
    for block in blocks:
        for job in block.jobs:
            table.add_row(str(job.repetition), job.storage.label, *([job.arm] if two else []), job.cell_id, job.key)
    Console().print(table)
    if until is not None:
        say(f"then, from {FIRST_LOOK} repetitions on and up to {until.max_repetitions}, until {until.text} is known "
             f"within ±{100 * until.wanted:.3g} %")
