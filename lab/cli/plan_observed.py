"""`lab plan --observed LOG`: the answers that a user's log gives, as tables, files and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cli.base import size_of
from lab.cli.plan_files import write_files
from lab.errors import AnswerIsNo, Inconclusive
from lab.runs.files import make_output_folder

if TYPE_CHECKING:
    from rich.table import Table

    from lab.answers.forecast.answers import Asked, ObservedAnswers

_SIZES = {"pool": "data_bytes", "metadata": "metadata_bytes", "chunk_size": "chunk_bytes", "vg_free": "free_bytes"}
_NUMBERS = ("days", "seed", "pool_name")


def answer_log(log: Path, given: Mapping[str, Any], output: Path | None, *, as_json: bool, check: bool) -> None:
    """Answers from a log; ``given`` has the flags that were typed, by their parameters' names.

    Raises InputError for flags that cannot be, ReaderError for such a log, and what ``--check`` asks for.
    """
    from lab.answers.forecast.answers import answer_from_log
    from lab.answers.forecast.output import document
    from lab.answers.forecast.words import verdict

    asked = _asked(given)
    found = answer_from_log(log, asked)
    if output is not None:
        make_output_folder(output)
        _write(found, output)
    if as_json:
        print(json.dumps(document(found), indent=1, allow_nan=False))
    else:
        _print(found)
    if check and found.holds is False:
        raise AnswerIsNo(verdict(found))
    if check and found.holds is None:
        raise Inconclusive(verdict(found), remedy="its size is just about at the accepted risk: try a larger --pool")


def _asked(given: Mapping[str, Any]) -> Asked:
    from lab.answers.forecast.answers import Asked

    options: dict[str, Any] = {name: given[name] for name in _NUMBERS if name in given}
    options |= {field: size_of(given[name], f"--{name.replace('_', '-')}") for name, field in _SIZES.items()
                if name in given}
    if "risk" in given:
        options["risk"] = given["risk"] / 100
    return Asked(**options)


def _write(found: ObservedAnswers, folder: Path) -> None:
    from lab.answers.forecast.chart import observed_chart_png
    from lab.answers.forecast.output import document, ready_files_of

    texts = {**ready_files_of(found), "answers.json": json.dumps(document(found), indent=1, allow_nan=False) + "\n"}
    write_files(folder, texts, observed_chart_png(found))


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
    from rich.table import Table

    from lab.answers.forecast.words import share

    rows = [("data full", found.forecast.data.chances)]
    if found.forecast.metadata is not None:
        rows += [("metadata full", found.forecast.metadata.chances), ("any of these", found.forecast.full)]
    if found.extended is not None:
        rows.append(("any of these, extended by LVM", found.extended.full))
    table = Table("probability of", *(f"by {chance.t_days:g} d" for chance in found.forecast.full), title="Risks")
    for name, chances in rows:
        table.add_row(name, *(share(chance) for chance in chances))
    return table


def _reaches(found: ObservedAnswers) -> Table:
    from rich.table import Table

    from lab.answers.forecast.words import reached

    table = Table("days to", "median", "90 % interval", "not within the horizon", "by a straight line", title="When")
    for level in (found.forecast.data, found.forecast.metadata):
        if level is not None:
            for reach in level.reaches:
                table.add_row(f"{reach.share:.0%} of {level.what}", *reached(reach, found.forecast.horizon_days))
    return table


def _sizes(found: ObservedAnswers) -> Table:
    from rich.table import Table

    from lab.units import format_bytes

    table = Table("of", "now", "full with the accepted risk", "and with a tenth free",
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
