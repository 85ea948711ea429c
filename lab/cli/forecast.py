"""`lab forecast`: when the pool is full and how large it must be, from a recording of how full it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.base import JSON, app, judge, new_table, size_of, write_answers
from lab.runs.files import make_output_folder

if TYPE_CHECKING:
    from rich.table import Table

    from lab.answers.forecast.answers import ObservedAnswers

_POOL = "The pool"
_QUESTION = "The question"


@app.command(epilog="Examples: `lab forecast thin-pool.log --days 90`; `lab forecast thin-pool.log --pool 200GiB "
                    "--check`")
def forecast(
    recording: Annotated[Path, typer.Argument(
        metavar="RECORDING", help="What the script of `lab collect` recorded, or the output of dmsetup status, lvs or "
                                  "docker info with a time before each sample.")],
    pool_name: Annotated[str | None, typer.Option(
        metavar="NAME", help="The pool that is meant, where the recording has several.", rich_help_panel=_POOL)] = None,
    pool: Annotated[str | None, typer.Option(
        metavar="SIZE", help="Ask about this size of the pool's data.", show_default="as recorded",
        rich_help_panel=_POOL)] = None,
    metadata: Annotated[str | None, typer.Option(
        metavar="SIZE", help="Ask about this size of the pool's metadata.", show_default="as recorded",
        rich_help_panel=_POOL)] = None,
    vg_free: Annotated[str | None, typer.Option(
        metavar="SIZE", help="What the volume group has free beside the pool, for LVM to extend it by.",
        rich_help_panel=_POOL)] = None,
    chunk_size: Annotated[str | None, typer.Option(
        metavar="SIZE", help="The size of a data block, to tell the kernel's rule for the metadata.",
        rich_help_panel=_POOL)] = None,
    days: Annotated[float, typer.Option(
        help="How many days the answer looks ahead.", rich_help_panel=_QUESTION)] = 30.0,
    risk: Annotated[float, typer.Option(
        help="The accepted probability, in percent, that data or metadata are full by then.",
        rich_help_panel=_QUESTION)] = 1.0,
    seed: Annotated[int, typer.Option(help="The seed of all random draws.", rich_help_panel=_QUESTION)] = 1,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="FOLDER", help="Write the answers, the fan chart and alert rules into this folder; "
                                                 "with --vg-free, LVM's profile as well.")] = None,
    as_json: JSON = False,
    check: Annotated[bool, typer.Option(
        "--check", help="End with exit code 1 if the pool does not hold, and with 4 if that is left open.")] = False,
) -> None:
    """Say when a recorded pool is full, and how large it must be.

    The lab draws growth from the recording and simulates nothing.  `lab collect` prints the script that records.

    Exit code 0: answered; with --check 1: the pool does not hold; 4: that is left open; 2: bad input.
    """
    from lab.answers.forecast.answers import Asked, answer_from_log
    from lab.answers.forecast.output import document
    from lab.answers.forecast.words import verdict

    def size(text: str | None, option: str) -> int | None:
        return None if text is None else size_of(text, option)

    found = answer_from_log(recording, Asked(
        days, risk / 100, seed, pool_name, data_bytes=size(pool, "--pool"),
        metadata_bytes=size(metadata, "--metadata"), chunk_bytes=size(chunk_size, "--chunk-size"),
        free_bytes=size(vg_free, "--vg-free")))
    if output is not None:
        make_output_folder(output)
        _write(found, output)
    if as_json:
        print(json.dumps(document(found), indent=1, allow_nan=False))
    else:
        _print(found)
    if check:
        judge(found.holds, verdict(found), "its size is just about at the accepted risk: try a larger --pool")


def _write(found: ObservedAnswers, folder: Path) -> None:
    from lab.answers.forecast.chart import observed_chart_png
    from lab.answers.forecast.output import document, ready_files_of

    texts = {**ready_files_of(found), "answers.json": json.dumps(document(found), indent=1, allow_nan=False) + "\n"}
    write_answers(folder, texts, observed_chart_png(found))


def _print(found: ObservedAnswers) -> None:
    from rich.console import Console

    from lab.answers.forecast.words import notes, repairs, source, verdict

    console = Console()
    console.print(verdict(found), highlight=False, markup=False)
    for table in (_chances(found), _reaches(found), _sizes(found)):
        console.print()
        console.print(table)
    console.print()
    for note in notes(found):
        console.print(f"- {note}", highlight=False, markup=False)
    console.print("Repairs of the log:", highlight=False)
    for repair in repairs(found):
        console.print(f"- {repair}", highlight=False, markup=False)
    console.print(source(found), highlight=False, markup=False)


def _chances(found: ObservedAnswers) -> Table:
    from lab.answers.forecast.words import share

    rows = [("data full", found.forecast.data.chances)]
    if found.forecast.metadata is not None:
        rows += [("metadata full", found.forecast.metadata.chances), ("any of these", found.forecast.full)]
    if found.extended is not None:
        rows.append(("any of these, extended by LVM", found.extended.full))
    table = new_table("probability of", *(f"by {chance.t_days:g} d" for chance in found.forecast.full), title="Risks")
    for name, chances in rows:
        table.add_row(name, *(share(chance) for chance in chances))
    return table


def _reaches(found: ObservedAnswers) -> Table:
    from lab.answers.forecast.words import reached

    table = new_table("days to", "median", "90 % interval", "not within the horizon", "by a straight line",
                      title="When")
    for level in (found.forecast.data, found.forecast.metadata):
        if level is not None:
            for reach in level.reaches:
                table.add_row(f"{reach.share:.0%} of {level.what}", *reached(reach, found.forecast.horizon_days))
    return table


def _sizes(found: ObservedAnswers) -> Table:
    from lab.units import format_bytes

    table = new_table("of", "now", "full with the accepted risk", "and with a tenth free",
                      title=f"Smallest sizes within {100 * found.asked.risk:g} % risk")

    def size(size_bytes: int | None) -> str:
        return "not told" if size_bytes is None else format_bytes(size_bytes)

    table.add_row("data", format_bytes(found.forecast.data.total_bytes), size(found.data_bytes),
                  size(found.data_bytes_with_a_tenth_free))
    if found.forecast.metadata is not None:
        table.add_row("metadata", format_bytes(found.forecast.metadata.total_bytes), "", size(found.metadata_bytes))
    if found.metadata_by_rule is not None:
        table.add_row("metadata, kernel's rule", "", "", size(found.metadata_by_rule))
    return table
