"""The section "Measured against simulated" of a page: findings, figures and tables of one pair of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.analysis import comparison as overlay
from lab.analysis.comparison import DURATION, FLOOR_BYTES, INCREMENT, METADATA, SPACE, Coverage, Pair, Score
from lab.report import plots
from lab.report.comparison_plots import measured_against_simulated
from lab.report.drawings import Drawing, slug
from lab.report.findings import Finding, place_phrase
from lab.report.tables import Table
from lab.text import MIB, clean, counted, joined, number, unique
from lab.units import format_bytes

if TYPE_CHECKING:
    import pandas as pd

_FLOOR = format_bytes(FLOOR_BYTES)


@dataclass(frozen=True)
class Overlaid:
    """What the page says of a pair."""

    pair: Pair
    title: str
    findings: list[Finding]
    drawings: list[Drawing] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def overlaid(pair: Pair, style: dict[str, plots.Style]) -> Overlaid:
    """Compares the runs; without figures and tables where they have no phase in common."""
    compared = overlay.compare(pair)
    measured, simulated = pair.measured.manifest, pair.simulated.manifest
    title = clean(f"{measured.scenario.name}: run {measured.run} (measured) and run {simulated.run} (simulated)")
    covered = Finding("What was compared", coverage_sentences(overlay.coverage(pair)))
    if compared.empty:
        return Overlaid(pair, title, [covered])
    found = [Finding("Space", _space_sentences(compared)), Finding("Metadata", _metadata_sentences(compared)),
             Finding("Time", _time_sentences(compared)), covered]
    tables = [_bytes_table(overlay.scores(compared, INCREMENT), "What each phase added or gave back", "in"),
              _bytes_table(overlay.scores(compared, SPACE), "Space above the cell's begin, after each phase", "after"),
              _metadata_table(overlay.scores(compared, METADATA))]
    return Overlaid(pair, title, [one for one in found if one.sentences], _drawings(compared, style), tables)


def _drawings(compared: pd.DataFrame, style: dict[str, plots.Style]) -> list[Drawing]:
    drawings: list[Drawing] = []
    own = compared[compared["quantity"] == SPACE]
    for workload in unique(own["workload"]):
        for target in sorted(own.loc[own["workload"] == workload, "target"].unique()):
            figure = measured_against_simulated(compared, workload, target, style)
            if figure is not None:
                name = clean(workload)
                drawings.append(Drawing(
                    slug(f"measured-against-simulated {name} {target}", {one.name for one in drawings}), name,
                    f"Measured against simulated: {name}, {clean(target)}", _caption(target), figure))
    return drawings


def _caption(target: str) -> str:
    what = "volumes' file system" if target == "volume" else "storage"
    return (f"Space used on the {what} after each phase, above its level at the cell's begin: points are measured, "
            "lines simulated, one of each a repetition. Bars below: simulated − measured; above zero the simulation "
            "takes more. All storages share both scales; n counts repetitions that both runs have.")


def _space_sentences(compared: pd.DataFrame) -> list[str]:
    """For each workload and target: how many increments agree to the byte, and how far the rest is off."""
    increments, levels = overlay.scores(compared, INCREMENT), overlay.scores(compared, SPACE)
    sentences = []
    for workload, target in dict.fromkeys((one.workload, one.target) for one in increments):
        own = [one for one in increments if (one.workload, one.target) == (workload, target)]
        text = (f"{place_phrase(clean(target), clean(workload))}, {_equal(own)} agree to the byte in what they added "
                f"or gave back ({_n(own)})")
        if (worst := _worst(own)).largest:
            text += f"; the largest difference, simulated − measured, is {_amount(worst)}, in {_where(worst)}"
        sentences.append(text + ".")
        above = [one for one in levels if (one.workload, one.target) == (workload, target)]
        if above:
            sentences.append(_level_sentence(above, clean(target), clean(workload)))
    return sentences


def _level_sentence(own: Sequence[Score], target: str, workload: str) -> str:
    text = f"{place_phrase(target, workload)}, the space above the cell's begin agrees to the byte after {_equal(own)}"
    if (worst := _worst(own)).largest:
        text += f"; it differs most, by {_amount(worst)}, after {_where(worst)}"
    total = sum(one.counted for one in own)
    if total:
        error = sum(one.error * one.counted for one in own if one.error is not None) / total
        text += f"; its mean absolute error is {_percent(error)} %, of {counted(total, 'phase')} with at least {_FLOOR}"
    return text + "."


def _metadata_sentences(compared: pd.DataFrame) -> list[str]:
    own = overlay.scores(compared, METADATA)
    if not own:
        return []
    text = f"The pool's metadata blocks in use are equal after {_equal(own)}"
    if (worst := _worst(own)).largest:
        text += (f"; the largest difference is {_blocks(worst.largest / overlay.METADATA_BLOCK_BYTES)} of 4 KiB, after "
                 f"{_where(worst)}, written to the {clean(worst.target)}")
    return [text + "."]


def _time_sentences(compared: pd.DataFrame) -> list[str]:
    """The model's times are its parameters': said in one ratio, no more."""
    own = compared[(compared["quantity"] == DURATION) & (compared["measured"] > 0)]
    if own.empty:
        return []
    ratios = own["simulated"] / own["measured"]
    low, middle, high = (float(ratios.quantile(q)) for q in (0.25, 0.5, 0.75))
    return [f"A phase took in the model a median of {number(middle)} × its measured duration (middle half: "
            f"{number(low)} to {number(high)} ×, {counted(len(own), 'phase')}); the model's times are its parameters."]


def coverage_sentences(covered: Coverage) -> list[str]:
    """What was compared, and what was not, and why."""
    sentences = [f"The runs have {counted(len(covered.both), 'cell run')} in common (a storage, target, workload and "
                 "repetition each)." if covered.both else "The runs have no cell run in common: nothing was compared."]
    for kind, keys, failed in (("measured", covered.only_measured, covered.failed_simulated),
                               ("simulated", covered.only_simulated, covered.failed_measured)):
        rest = [key for key in keys if key not in failed]
        if rest:
            counts = Counter(cell.rsplit(".", 1)[-1] for cell, _ in rest)
            told = joined([f"{count} of {clean(workload)}" for workload, count in sorted(counts.items())])
            sentences.append(f"Only the {kind} run has {counted(len(rest), 'cell run')}: {told}.")
    for kind, failed in (("measured", covered.failed_measured), ("simulated", covered.failed_simulated)):
        if failed:
            told = joined([f"{clean(cell)} (repetition {repetition})" for cell, repetition in failed])
            sentences.append(f"In the {kind} run failed: {told}.")
    if covered.phases:
        told = joined([f"{clean(phase)} of {clean(cell)} (repetition {repetition}, only {kind})"
                       for cell, repetition, phase, kind in covered.phases[:6]])
        more = f", and {len(covered.phases) - 6} more" if len(covered.phases) > 6 else ""
        sentences.append(f"Phases that only one of the runs has were left out: {told}{more}.")
    return sentences


def _bytes_table(rows: Sequence[Score], caption: str, when: str) -> Table:
    head = ["storage", "written to", "workload", "phases compared", "equal to the byte",
            "median |difference|, MiB", "largest difference, MiB", f"mean |error| where ≥ {_FLOOR}, %"]
    return Table(caption, head, [[*_keys(one), *_counts(one), _median_cell(one), _largest_cell(one, when),
                                  _error_cell(one)] for one in rows], keys=3)


def _metadata_table(rows: Sequence[Score]) -> Table:
    head = ["storage", "written to", "workload", "phases compared", "equal", "median |difference|, blocks",
            "largest difference, blocks"]
    block = overlay.METADATA_BLOCK_BYTES
    return Table("The pool's metadata in use, in blocks of 4 KiB", head, [
        [*_keys(one), *_counts(one), (_signed(one.median / block).lstrip("+"), ""),
         (_signed(one.largest / block), f"after {clean(one.phase)}" if one.largest else "")] for one in rows], keys=3)


def _keys(one: Score) -> list[tuple[str, str]]:
    return [(clean(one.label), ""), (clean(one.target), ""), (clean(one.workload), "")]


def _counts(one: Score) -> list[tuple[str, str]]:
    return [(str(one.phases), f"n = {one.repetitions}"), (str(one.equal), f"{one.equal / one.phases:.0%}")]


def _median_cell(one: Score) -> tuple[str, str]:
    small = "" if one.block_bytes is None else _blocks(one.median / one.block_bytes)
    return number(one.median / MIB), small


def _largest_cell(one: Score, when: str) -> tuple[str, str]:
    if not one.largest:
        return "0", ""
    blocks = "" if one.largest_blocks is None else f"{_blocks(one.largest_blocks)}, "
    return _signed(one.largest / MIB), f"{blocks}{when} {clean(one.phase)}"


def _error_cell(one: Score) -> tuple[str, str]:
    return ("–", "") if one.error is None else (_percent(one.error), counted(one.counted, "phase"))


def _percent(share: float) -> str:
    return "0" if share == 0 else "< 0.01" if share < 0.0001 else f"{100 * share:.2f}"


def _signed(value: float) -> str:
    """
    >>> _signed(0.5), _signed(-2.0), _signed(0.0)
    ('+0.500', '−2', '0')
    """
    told = str(int(abs(value))) if float(value).is_integer() else number(abs(value))
    return "0" if value == 0 else ("+" if value > 0 else "−") + told


def _blocks(value: float) -> str:
    told = _signed(value) if value < 0 else _signed(value).lstrip("+")
    return f"{told} block" + ("" if abs(value) == 1 else "s")


def _amount(one: Score) -> str:
    small = abs(one.largest) < 0.1 * MIB
    text = f"{_signed(one.largest / 1024)} KiB" if small else f"{_signed(one.largest / MIB)} MiB"
    return text if one.largest_blocks is None else f"{text} ({_blocks(one.largest_blocks)})"


def _where(one: Score) -> str:
    return f"{clean(one.phase)} on {clean(one.label)} (repetition {one.repetition})"


def _worst(own: Sequence[Score]) -> Score:
    return max(own, key=lambda one: abs(one.largest))


def _equal(own: Sequence[Score]) -> str:
    return f"{sum(one.equal for one in own):,} of {counted(sum(one.phases for one in own), 'phase')}"


def _n(own: Sequence[Score]) -> str:
    low, high = min(one.repetitions for one in own), max(one.repetitions for one in own)
    return f"n = {low}" if low == high else f"n = {low} to {high}"
