"""`lab plan`: how large a pool must be, when it is full, and what each lever changes."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from lab.answers.plan.flags import Flags, plan_of_flags, told_by_flag
from lab.cli.base import JSON, app, judge, new_table, progress, write_answers
from lab.errors import InputError
from lab.runs.files import make_output_folder

if TYPE_CHECKING:
    from rich.table import Table

    from lab.answers.plan.planning import Answers

_POOL = "The pool, where no PLAN is given"
_WORK = "The work on it, where no PLAN is given"
_QUESTION = "The question, where no PLAN is given"
_HOW = "How it is worked out"

SECONDS = 60.0
"""For the replications, unless said otherwise."""

_MOVED = {"--observed": "lab forecast RECORDING", "--pool-name": "lab forecast RECORDING --pool-name NAME",
          "--collect": "lab collect > collect.sh"}
"""Flags that `lab plan` once had, and the commands that have their place."""


@dataclass(frozen=True)
class Asked:
    """What a user asks for: a host, in a file or else in flags, and how the answer is worked out and given.

    Raises InputError for what does not go together.
    """

    plan_file: Path | None
    host: Flags
    host_flags: tuple[str, ...]
    """Those of the host's flags that were typed."""
    seconds: float | None
    replications: int | None
    workers: int | None
    cluster: str | None
    params: Path | None
    output: Path | None
    as_json: bool
    check: bool

    def __post_init__(self) -> None:
        for one, other, both in (
                ("--seconds", "--replications", self.seconds is not None and self.replications is not None),
                ("--workers", "--cluster", self.workers is not None and self.cluster is not None)):
            if both:
                raise InputError(f"{one} does not go with {other}", remedy=f"leave out {one}")
        if self.seconds is not None and not math.isfinite(self.seconds):
            raise InputError(f"--seconds {self.seconds}; a number of seconds expected", remedy="--seconds 60")
        if self.plan_file is not None and self.host_flags:
            raise InputError(f"{self.host_flags[0]} describes a host, and so does the plan", where=str(self.plan_file),
                             remedy="change the plan, or leave it out")


class _Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Says where a flag went that is not here any more."""
        for word in args:
            if (instead := _MOVED.get(word.partition("=")[0])) is not None:
                raise InputError(f"{word.partition('=')[0]} is no option of lab plan", remedy=instead)
        return super().parse_args(ctx, args)


def _flag(panel: str, help_: str, metavar: str | None = None, show_default: str | bool = True) -> Any:
    return typer.Option(help=help_, metavar=metavar, rich_help_panel=panel, show_default=show_default)


@app.command(cls=_Command, epilog="Examples: `lab plan scenarios/plans/ci-host.yaml -o out`; `lab plan --pool 100GiB "
                                  "--chunk-size 64KiB --starts-per-day 200 --lifetime 1h --writes 20MiB`")
def plan(
    context: typer.Context,
    plan_file: Annotated[Path | None, typer.Argument(
        metavar="[PLAN]", help="A plan file.  Without one, the flags below describe the host.")] = None,
    storage: Annotated[str, _flag(_POOL, "The storage, by its name in a scenario.", "NAME")] = Flags.storage,
    pool: Annotated[str, _flag(_POOL, "The size of the pool's data.", "SIZE")] = Flags.pool,
    metadata: Annotated[str | None, _flag(_POOL, "The size of the pool's metadata.", "SIZE",
                                          "by the kernel's rule")] = Flags.metadata,
    vg_free: Annotated[str | None, _flag(_POOL, "What the volume group has free beside the pool.", "SIZE",
                                         "nothing")] = Flags.vg_free,
    chunk_size: Annotated[str | None, _flag(_POOL, "The size of a data block (LVM and Docker say chunk).", "SIZE",
                                            "the storage's own")] = Flags.chunk_size,
    starts_per_day: Annotated[float, _flag(_WORK, "How many containers start in a day, at random times.")
                              ] = Flags.starts_per_day,
    lifetime: Annotated[str, _flag(_WORK, "How long a container runs on average; exponentially distributed.", "TIME")
                        ] = Flags.lifetime,
    writes: Annotated[str, _flag(_WORK, "How much each container writes to new files.", "SIZE")] = Flags.writes,
    updates: Annotated[str, _flag(_WORK, "How much each container overwrites of a file of its image, in pieces of "
                                         "4 KiB.", "SIZE")] = Flags.updates,
    kept_share: Annotated[float, _flag(_WORK, "The share of stopped containers that stay until the next prune.")
                          ] = Flags.kept_share,
    tags_per_month: Annotated[float, _flag(_WORK, "How many new tags of the image are pulled in a month.")
                              ] = Flags.tags_per_month,
    prune_every: Annotated[str, _flag(_WORK, "How often stopped containers and unused images are pruned, or `never`.",
                                      "TIME")] = Flags.prune_every,
    days: Annotated[float, _flag(_QUESTION, "How many days the answer looks ahead.")] = Flags.days,
    risk: Annotated[float, _flag(_QUESTION, "The accepted probability, in percent, that anything is refused or has to "
                                            "wait by then.")] = Flags.risk_percent,
    seed: Annotated[int, _flag(_QUESTION, "The seed of all random draws.")] = Flags.seed,
    seconds: Annotated[float | None, typer.Option(
        min=1.0, help="Simulate the host as often as fits into these seconds.", show_default=f"{SECONDS:g}",
        rich_help_panel=_HOW)] = None,
    replications: Annotated[int | None, typer.Option(
        min=1, max=1_000_000, help="Simulate the host this often, however long it takes.",
        rich_help_panel=_HOW)] = None,
    workers: Annotated[int | None, typer.Option(
        min=1, max=1024, help="How many processes share the work.", show_default="all cores",
        rich_help_panel=_HOW)] = None,
    cluster: Annotated[str | None, typer.Option(
        metavar="ADDRESS", help="Share the work with a Dask scheduler, as tcp://host:8786.",
        rich_help_panel=_HOW)] = None,
    params: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Parameters that `lab calibrate` wrote.", show_default="those that came with the lab",
        rich_help_panel=_HOW)] = None,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="FOLDER", help="Write the answers, the fan chart, LVM's commands and profile, "
                                                 "daemon.json and alert rules into this folder.")] = None,
    as_json: JSON = False,
    check: Annotated[bool, typer.Option(
        "--check", help="End with exit code 1 if the storage does not hold, and with 4 if that is left open.")] = False,
) -> None:
    """Say how large a pool must be, when it is full, and what each lever changes.

    The lab's model simulates the host many times.  Each answer has the interval that the number of runs allows.

    Exit code 0: answered; with --check 1: the storage does not hold; 4: that is left open; 2: bad input.
    """
    asked = Asked(
        plan_file,
        Flags(storage=storage, pool=pool, metadata=metadata, vg_free=vg_free, chunk_size=chunk_size,
              starts_per_day=starts_per_day, lifetime=lifetime, writes=writes, updates=updates, kept_share=kept_share,
              tags_per_month=tags_per_month, prune_every=prune_every, days=days, risk_percent=risk, seed=seed),
        _typed(context, (_POOL, _WORK, _QUESTION)), seconds, replications, workers, cluster, params, output, as_json,
        check)
    _tell(_answers(asked), asked)


def _typed(context: typer.Context, panels: tuple[str, ...]) -> tuple[str, ...]:
    """The flags of these panels that were typed, in the order of the help."""
    return tuple(one.opts[0] for one in context.command.params
                 if getattr(one, "rich_help_panel", None) in panels and one.name is not None
                 and getattr(context.get_parameter_source(one.name), "name", "") == "COMMANDLINE")


def _answers(asked: Asked) -> Answers:
    """The folder is made before the work is done, and after the plan was found to be one."""
    from lab.answers.plan.plan_file import load_plan
    from lab.answers.plan.planning import Effort, answer
    from lab.answers.plan.workers import workers
    from lab.simulate.parameters import read_parameters

    planned = plan_of_flags(asked.host) if asked.plan_file is None else load_plan(asked.plan_file)
    parameters = read_parameters(asked.params)
    if asked.output is not None:
        make_output_folder(asked.output)
    with (told_by_flag(asked.host) if asked.plan_file is None else nullcontext(),
          workers(asked.workers, asked.cluster) as crew, progress() as steps):
        return answer(planned, parameters, crew, Effort(asked.seconds or SECONDS, asked.replications), steps)


def _tell(found: Answers, asked: Asked) -> None:
    from lab.answers.plan.document import document
    from lab.answers.plan.words import more_replications, verdict

    if asked.output is not None:
        _write(found, asked.output)
    if asked.as_json:
        print(json.dumps(document(found), indent=1, allow_nan=False))
    else:
        _print(found)
    if asked.check:
        judge(found.holds, verdict(found), f"--replications {more_replications(found)}")


def _write(found: Answers, folder: Path) -> None:
    """Everything that the answers come to."""
    from lab.answers.plan.document import document
    from lab.answers.plan.fan_chart import fan_chart_png
    from lab.answers.plan.ready_files import ready_files

    texts = {**ready_files(found), "answers.json": json.dumps(document(found), indent=1, allow_nan=False) + "\n",
             "plan.yaml": found.plan.text}
    write_answers(folder, texts, fan_chart_png(found))


def _print(found: Answers) -> None:
    from rich.console import Console

    from lab.answers.plan.words import notes, verdict

    console = Console()
    console.print(verdict(found), highlight=False)
    for table in (_risks(found), _days(found), _sizes(found), _chunks(found), _layouts(found), _levers(found),
                  _alerts(found)):
        if table.row_count:
            console.print()
            console.print(table)
    console.print()
    for note in notes(found):
        console.print(f"- {note}", highlight=False)
    console.print(f"{found.n} replications in {found.seconds:.0f} s; the same again: --replications {found.n}. "
                  "All simulated; intervals are of 90 %.", highlight=False)


def _risks(found: Answers) -> Table:
    from lab.answers.plan.words import short

    table = new_table("probability of", *(f"by {day:.3g} d" for day in found.risks[0].days), title="Risks")
    for risk in found.risks:
        if risk.name == "metadata full" and not found.plan.is_pool:
            continue
        table.add_row(risk.name, *(short(chance) for chance in risk.chances))
    return table


def _days(found: Answers) -> Table:
    from lab.answers.plan.words import range_of, when

    horizon = found.plan.horizon_days
    table = new_table("days to", "median", "its interval", "90 % of replications", "not within the horizon",
                      title="When")
    for one in found.days:
        inner = f"{when(one.median_low, horizon)} to {when(one.median_high, horizon)}" if one.reached else ""
        table.add_row(one.name, when(one.median, horizon), inner, range_of(one, horizon),
                      f"{one.n - one.reached} of {one.n}")
    return table


def _sizes(found: Answers) -> Table:
    from lab.answers.plan.words import interval
    from lab.units import format_bytes

    table = new_table("of", "size", "how", title=f"Smallest sizes within {found.plan.accepted_risk_percent:g} % risk")
    table.add_row("data", format_bytes(found.data_bytes), f"{interval(found.data)}; {found.data.how}")
    if (sizes := found.metadata) is not None:
        table.add_row("metadata", format_bytes(sizes.wanted), "the largest of these:")
        table.add_row("", format_bytes(sizes.kernel), "kernel's rule: 48 B a data block, 2 MiB to 15.9 GiB")
        table.add_row("", format_bytes(sizes.tool), f"thin_metadata_size, {sizes.devices} thin devices")
        if sizes.simulated is not None:
            table.add_row("", format_bytes(sizes.simulated.high), f"simulated: {interval(sizes.simulated)}")
    return table


def _chunks(found: Answers) -> Table:
    from lab.answers.plan.words import change
    from lab.units import format_bytes

    runs = f"Chunk sizes, of {found.chunks[0].data.n} replications with each" if found.chunks else ""
    table = new_table("data block", "data", "metadata", "data + 2 x metadata, to the planned", title=runs)
    for one in sorted(found.chunks, key=lambda chunk: chunk.chunk_bytes):
        told = "planned" if one.difference is None else change(one.difference)
        mark = " *" if one is found.best_chunk else ""
        table.add_row(f"{format_bytes(one.chunk_bytes)}{mark}", format_bytes(one.data.high),
                      format_bytes(one.metadata.wanted), told)
    return table


def _layouts(found: Answers) -> Table:
    from lab.answers.plan.words import short
    from lab.units import format_bytes

    table = new_table("layout", "data", "metadata", "free", "extensions that fit", "refuses or waits", "LVM extended",
                      title="Layouts, tested in the model")
    for one in found.tested:
        room = ("", "") if one.layout is None else (format_bytes(one.layout.free_bytes), str(one.layout.steps))
        metadata = format_bytes(one.capacity.metadata_bytes) if one.capacity.is_pool else ""
        table.add_row(one.name, format_bytes(one.capacity.data_bytes), metadata, *room, short(one.limited),
                      "" if one.layout is None else short(one.extended))
    return table


def _levers(found: Answers) -> Table:
    from lab.answers.plan.words import change

    table = new_table("lever", "peak of data", "disk of volumes", "asks for more than the pool grants",
                      title="What each lever changes, on average")
    for one in found.effects:
        table.add_row(one.name, change(one.data), change(one.volume),
                      f"{one.passed_before} -> {one.passed_with} of {one.data.n}")
    return table


def _alerts(found: Answers) -> Table:
    from lab.answers.plan.words import short

    table = new_table("alert at", "raised", "then refused or waiting", "days left, median", "soonest",
                      "refused or waiting before it, or without it", title="Alerts")
    for one in found.alerts:
        left = ["" if value is None else f"{value:.2g}" for value in (one.median, one.soonest)]
        table.add_row(f"{one.percent} %", short(one.raised), f"{one.in_time} of {one.raised.hits}", *left,
                      str(one.missed))
    return table
