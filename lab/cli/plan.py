"""`lab plan`: how large a pool must be, when it is full, and what each lever changes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lab.cli.base import JSON, app
from lab.cli.plan_files import write_files
from lab.cli.plan_modes import as_names, refuse_mixed, typed
from lab.cli.plan_observed import answer_log
from lab.errors import AnswerIsNo, Inconclusive
from lab.runs.files import make_output_folder

if TYPE_CHECKING:
    from rich.table import Table

    from lab.answers.plan.flags import Flags
    from lab.answers.plan.plan_file import PlanFile
    from lab.answers.plan.planning import Answers

_HOST = "The host, where no PLAN is given"
_LOG = "A log of your own host, in the place of a host described"
_HOW = "How it is worked out"

SECONDS = 60.0
"""For the replications, unless said otherwise."""


def _flag(help_: str, default: str, metavar: str | None = None) -> Any:
    return typer.Option(help=help_, show_default=default, metavar=metavar, rich_help_panel=_HOST)


@app.command(epilog="Examples: `lab plan scenarios/plans/ci-host.yaml -o out`; "
                    "`lab plan --pool 100GiB --chunk-size 64KiB --starts-per-day 200 --lifetime 1h --writes 20MiB`; "
                    "`lab plan --observed thin-pool.log --days 90`")
def plan(
    plan_file: Annotated[Path | None, typer.Argument(
        metavar="[PLAN]", help="A plan file; without one, the flags below describe the host.")] = None,
    storage: Annotated[str | None, _flag("As in a scenario.", "direct-lvm", "NAME")] = None,
    pool: Annotated[str | None, _flag("The pool's data size.", "100GiB; a log's own", "SIZE")] = None,
    metadata: Annotated[str | None, _flag("The pool's metadata size.", "the kernel's rule; a log's own",
                                          "SIZE")] = None,
    vg_free: Annotated[str | None, _flag("What the volume group has besides.", "nothing", "SIZE")] = None,
    chunk_size: Annotated[str | None, _flag("The pool's data block.", "the storage's", "SIZE")] = None,
    starts_per_day: Annotated[float | None, _flag("Containers, at random times.", "200")] = None,
    lifetime: Annotated[str | None, _flag("Mean; exponential.", "1h", "TIME")] = None,
    writes: Annotated[str | None, _flag("New files of each container.", "20MiB", "SIZE")] = None,
    updates: Annotated[str | None, _flag("Of a file of its image, in 4 KiB pieces.", "4MiB", "SIZE")] = None,
    kept_share: Annotated[float | None, _flag("Of stopped containers, until a prune.", "0.1")] = None,
    tags_per_month: Annotated[float | None, _flag("New tags of the image.", "4")] = None,
    prune_every: Annotated[str | None, _flag("Or never.", "7d", "TIME")] = None,
    days: Annotated[float | None, _flag("How far ahead.", "30")] = None,
    risk: Annotated[float | None, _flag("Accepted, in percent.", "1")] = None,
    seed: Annotated[int | None, _flag("Of all that is drawn.", "1")] = None,
    collect: Annotated[bool, typer.Option(
        "--collect", help="Print the shell script that records a log.", rich_help_panel=_LOG)] = False,
    observed: Annotated[Path | None, typer.Option(
        metavar="LOG", help="Answer from a log: the script's, or dmsetup status, lvs or docker info with times.",
        rich_help_panel=_LOG)] = None,
    pool_name: Annotated[str | None, typer.Option(
        metavar="NAME", help="Of several pools in the log, this one.", rich_help_panel=_LOG)] = None,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="FOLDER", help="Write the fan chart, the answers, alerts and LVM's profile into a "
                                                 "folder; from a plan LVM's commands and daemon.json as well.")] = None,
    as_json: JSON = False,
    seconds: Annotated[float | None, typer.Option(
        min=1.0, help="As many replications as fit.", show_default=f"{SECONDS:g}", rich_help_panel=_HOW)] = None,
    replications: Annotated[int | None, typer.Option(
        min=1, max=1_000_000, help="Just so many, however long they take.", rich_help_panel=_HOW)] = None,
    workers: Annotated[int | None, typer.Option(
        min=1, max=1024, help="Processes.", show_default="all cores", rich_help_panel=_HOW)] = None,
    cluster: Annotated[str | None, typer.Option(
        metavar="ADDRESS", help="A Dask scheduler, as tcp://host:8786.", rich_help_panel=_HOW)] = None,
    params: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Parameters of `lab calibrate`; those that came with the lab by default.",
        rich_help_panel=_HOW)] = None,
    check: Annotated[bool, typer.Option(
        "--check", help="Exit code 1 if the storage does not hold, 4 if that is left open.",
        rich_help_panel=_HOW)] = False,
) -> None:
    """Say how large a pool must be, when it is full, and what each lever changes.

    From a plan or flags everything is simulated: many runs of the host.  With --observed nothing is: growth is drawn
    from the log.  Either way with the intervals that the number of runs allows.
    """
    from lab.answers.forecast import collect_script

    given = typed({
        "PLAN": plan_file, "--storage": storage, "--pool": pool, "--metadata": metadata, "--vg-free": vg_free,
        "--chunk-size": chunk_size, "--starts-per-day": starts_per_day, "--lifetime": lifetime, "--writes": writes,
        "--updates": updates, "--kept-share": kept_share, "--tags-per-month": tags_per_month,
        "--prune-every": prune_every, "--days": days, "--risk": risk, "--seed": seed, "--collect": collect,
        "--observed": observed, "--pool-name": pool_name, "--output": output, "--json": as_json, "--seconds": seconds,
        "--replications": replications, "--workers": workers, "--cluster": cluster, "--params": params,
        "--check": check})
    refuse_mixed(given)
    if collect:
        print(collect_script(), end="")
        return
    if observed is not None:
        answer_log(observed, as_names(given), output, as_json=as_json, check=check)
        return
    from lab.answers.plan.flags import told_by_flag

    host = None if plan_file is not None else _host(as_names(given))
    planned = _planned(plan_file, host)
    with nullcontext() if host is None else told_by_flag(host):
        found = _answers(planned, params, output, seconds or SECONDS, replications, workers, cluster)
    _tell(found, output, as_json=as_json, check=check)


def _planned(plan_file: Path | None, host: Flags | None) -> PlanFile:
    from lab.answers.plan.flags import Flags, plan_of_flags
    from lab.answers.plan.plan_file import load_plan

    return load_plan(plan_file) if plan_file is not None else plan_of_flags(host or Flags())


def _host(flags: dict[str, Any]) -> Flags:
    from lab.answers.plan.flags import Flags

    if "risk" in flags:
        flags["risk_percent"] = flags.pop("risk")
    if flags.get("prune_every") == "never":
        flags["prune_every"] = None
    return Flags(**flags)


def _answers(planned: PlanFile, params: Path | None, output: Path | None, seconds: float, replications: int | None,
             workers: int | None, cluster: str | None) -> Answers:
    """The folder is made before the work is done, and after the plan was found to be one."""
    from lab.answers.plan.planning import Effort, answer
    from lab.answers.plan.workers import workers as crew_of
    from lab.simulate.parameters import read_parameters

    parameters = read_parameters(params)
    if output is not None:
        make_output_folder(output)
    with crew_of(workers, cluster) as crew:
        progress = _progress()
        found = answer(planned, parameters, crew, Effort(seconds, replications), progress)
        progress("")
    return found


def _tell(found: Answers, output: Path | None, *, as_json: bool, check: bool) -> None:
    from lab.answers.plan.document import document
    from lab.answers.plan.words import more_replications, verdict

    if output is not None:
        _write(found, output)
    if as_json:
        print(json.dumps(document(found), indent=1, allow_nan=False))
    else:
        _print(found)
    if check and found.holds is False:
        raise AnswerIsNo(verdict(found))
    if check and found.holds is None:
        raise Inconclusive(verdict(found), remedy=f"--replications {more_replications(found)}")


def _progress() -> Callable[[str], None]:
    """One line that is written over, on a terminal only; an empty message clears it."""
    if not sys.stderr.isatty():
        return lambda message: None

    def show(message: str) -> None:
        print(f"\r\x1b[K{message}", end="", file=sys.stderr, flush=True)

    return show


def _write(found: Answers, folder: Path) -> None:
    """Everything that the answers come to."""
    from lab.answers.plan.document import document
    from lab.answers.plan.fan_chart import fan_chart_png
    from lab.answers.plan.ready_files import ready_files

    texts = {**ready_files(found), "answers.json": json.dumps(document(found), indent=1, allow_nan=False) + "\n",
             "plan.yaml": found.plan.text}
    write_files(folder, texts, fan_chart_png(found))


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
    from rich.table import Table

    from lab.answers.plan.words import short

    table = Table("probability of", *(f"by {day:.3g} d" for day in found.risks[0].days), title="Risks")
    for risk in found.risks:
        if risk.name == "metadata full" and not found.plan.is_pool:
            continue
        table.add_row(risk.name, *(short(chance) for chance in risk.chances))
    return table


def _days(found: Answers) -> Table:
    from rich.table import Table

    from lab.answers.plan.words import range_of, when

    horizon = found.plan.horizon_days
    table = Table("days to", "median", "its interval", "90 % of replications", "not within the horizon", title="When")
    for one in found.days:
        inner = f"{when(one.median_low, horizon)} to {when(one.median_high, horizon)}" if one.reached else ""
        table.add_row(one.name, when(one.median, horizon), inner, range_of(one, horizon),
                      f"{one.n - one.reached} of {one.n}")
    return table


def _sizes(found: Answers) -> Table:
    from rich.table import Table

    from lab.answers.plan.words import interval
    from lab.units import format_bytes

    table = Table("of", "size", "how", title=f"Smallest sizes within {found.plan.accepted_risk_percent:g} % risk")
    table.add_row("data", format_bytes(found.data_bytes), f"{interval(found.data)}; {found.data.how}")
    if (sizes := found.metadata) is not None:
        table.add_row("metadata", format_bytes(sizes.wanted), "the largest of these:")
        table.add_row("", format_bytes(sizes.kernel), "kernel's rule: 48 B a data block, 2 MiB to 15.9 GiB")
        table.add_row("", format_bytes(sizes.tool), f"thin_metadata_size, {sizes.devices} thin devices")
        if sizes.simulated is not None:
            table.add_row("", format_bytes(sizes.simulated.high), f"simulated: {interval(sizes.simulated)}")
    return table


def _chunks(found: Answers) -> Table:
    from rich.table import Table

    from lab.answers.plan.words import change
    from lab.units import format_bytes

    runs = f"Chunk sizes, of {found.chunks[0].data.n} replications with each" if found.chunks else ""
    table = Table("data block", "data", "metadata", "data + 2 x metadata, to the planned", title=runs)
    for one in sorted(found.chunks, key=lambda chunk: chunk.chunk_bytes):
        told = "planned" if one.difference is None else change(one.difference)
        mark = " *" if one is found.best_chunk else ""
        table.add_row(f"{format_bytes(one.chunk_bytes)}{mark}", format_bytes(one.data.high),
                      format_bytes(one.metadata.wanted), told)
    return table


def _layouts(found: Answers) -> Table:
    from rich.table import Table

    from lab.answers.plan.words import short
    from lab.units import format_bytes

    table = Table("layout", "data", "metadata", "free", "extensions that fit", "refuses or waits", "LVM extended",
                  title="Layouts, tested in the model")
    for one in found.tested:
        room = ("", "") if one.layout is None else (format_bytes(one.layout.free_bytes), str(one.layout.steps))
        metadata = format_bytes(one.capacity.metadata_bytes) if one.capacity.is_pool else ""
        table.add_row(one.name, format_bytes(one.capacity.data_bytes), metadata, *room, short(one.limited),
                      "" if one.layout is None else short(one.extended))
    return table


def _levers(found: Answers) -> Table:
    from rich.table import Table

    from lab.answers.plan.words import change

    table = Table("lever", "peak of data", "disk of volumes", "asks for more than the pool grants",
                  title="What each lever changes, on average")
    for one in found.effects:
        table.add_row(one.name, change(one.data), change(one.volume),
                      f"{one.passed_before} -> {one.passed_with} of {one.data.n}")
    return table


def _alerts(found: Answers) -> Table:
    from rich.table import Table

    from lab.answers.plan.words import short

    table = Table("alert at", "raised", "then refused or waiting", "days left, median", "soonest",
                  "refused or waiting before it, or without it", title="Alerts")
    for one in found.alerts:
        left = ["" if value is None else f"{value:.2g}" for value in (one.median, one.soonest)]
        table.add_row(f"{one.percent} %", short(one.raised), f"{one.in_time} of {one.raised.hits}", *left,
                      str(one.missed))
    return table
