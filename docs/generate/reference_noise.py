"""The reference page on noise: how much repetitions vary, what an A/A run tells apart, whether space figures agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from written_page import Section

from lab.analysis import stats
from lab.analysis.comparisons import GROWTH_FLOOR_BYTES
from lab.analysis.facts import Facts, before_freeing, percent
from lab.analysis.noise import half_width
from lab.analysis.pace import at_one_pace, pace_of_rows
from lab.metrics import BANDWIDTHS, GROWTHS, TAIL_LATENCIES, growth_of
from lab.report.markdown import code, paragraph, table
from lab.text import MIB, counted, joined, number, records, unique

if TYPE_CHECKING:
    import pandas as pd

AGREE = 0.01
"""Space figures agree where they differ by at most this share of the largest."""

AGREE_FLOOR_BYTES = 1 * MIB
"""Phases that moved less than this in every repetition are not compared."""

_SETUP = "setup"


def _is_space(target: str, metric: str) -> bool:
    return metric == growth_of(target)


KINDS: tuple[tuple[str, Callable[[str, str], bool]], ...] = (
    ("space", _is_space),
    ("bandwidth", lambda target, metric: metric in BANDWIDTHS),
    ("p99 latency", lambda target, metric: metric in TAIL_LATENCIES),
    ("duration", lambda target, metric: metric == "duration"),
)
"""The kinds of number whose noise is told, and what belongs to each."""


def kind_rows(frame: pd.DataFrame, belongs: Callable[[str, str], bool]) -> pd.DataFrame:
    """The rows of one kind, of any frame with the columns ``target`` and ``metric``; the set-up is none."""
    chosen = [belongs(str(target), str(metric)) and workload != _SETUP for target, metric, workload
              in zip(frame["target"], frame["metric"], frame["workload"], strict=True)]
    rows: pd.DataFrame = frame[chosen]
    return rows


def variation_blocks(facts: Facts) -> list[str]:
    """Coefficients of variation, a row a storage: median and worst of each kind of number."""
    spread = stats.variation(at_one_pace(facts.frame))
    spread = spread[spread["variation"].notna()]
    spread = spread[~spread["metric"].isin(GROWTHS) | (spread["mean"].abs() > GROWTH_FLOOR_BYTES)]
    parts = {name: kind_rows(spread, belongs) for name, belongs in KINDS}
    if all(part.empty for part in parts.values()):
        return ["No cell was measured twice yet, so that nothing can be said about noise."]
    rows = [[label, *(_spread_text(part[part["label"] == label]) for part in parts.values())]
            for label in facts.labels if any((part["label"] == label).any() for part in parts.values())]
    if len(rows) > 1:
        rows.append(["all", *(_spread_text(part) for part in parts.values())])
    counts = [int(count) for part in parts.values() for count in part["n"]]
    said = f"n = {min(counts)}" if min(counts) == max(counts) else f"n = {min(counts)} to {max(counts)}"
    worst = [f"worst of {name} was `{row['phase']}` on {row['label']}, {row['target']}"
             for name, part in parts.items() if len(part)
             for row in [max(records(part), key=lambda row: float(row["variation"]))]]
    return [pace_sentence(pace_of_rows(facts.frame)),
            "Coefficient of variation over the repetitions, %, timings at one pace: the median over phases and jobs, "
            "and the worst:",
            table(["storage", *parts], rows),
            paragraph([f"Over the repetitions, {said}.", f"The {'; the '.join(worst)}."])]


def pace_sentence(pace: Mapping[int, float]) -> str:
    """How much longer than the first the other repetitions took for the same work."""
    others = [f"repetition {repetition} took {number(value)} times as long" for repetition, value in pace.items()
              if repetition != min(pace)]
    return (f"Repetitions have their own pace, since the hour differs, and the computer may: against the first, "
            f"{joined(others)}, on the median of all that both timed. Ratios within a repetition do not feel that.")


def _spread_text(part: pd.DataFrame) -> str:
    if part.empty:
        return "–"
    return f"{number(100 * float(part['variation'].median()))} (worst {number(100 * float(part['variation'].max()))})"


# -- a scenario against itself -----------------------------------------------------------------------------------


def aa_blocks(frame: pd.DataFrame) -> list[str]:
    """Of a run whose arms are the same: how many comparisons tell them apart, and how narrow the intervals are."""
    ratios = stats.candidate_against_baseline(frame)
    ratios = ratios[ratios["low"].notna()]
    rows, apart, moved, counts = [], 0, 0, []
    for name, belongs in KINDS:
        found = [stats.estimate(row) for row in records(kind_rows(ratios, belongs))]
        if not found:
            continue
        varied = [one for one in found if not one.low == one.high == 1]
        settled = sum(one.settled for one in varied)
        widths = sorted(width for one in found if (width := half_width(one)) is not None)
        middle = stats.median_interval(widths).centre
        apart, moved = apart + settled, moved + len(varied)
        counts += [one.n for one in found]
        rows.append([name, str(len(found)), str(len(found) - len(varied)), str(settled),
                     f"±{number(100 * middle)}", f"±{number(100 * widths[-1])}"])
    if not rows:
        return [f"**A scenario against itself.** An A/A run needs {stats.MIN_N} pairs before it has intervals; there "
                "are fewer."]
    pairs = f"{counts[0]}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    return ["**A scenario against itself.** The A/A run measures one scenario as both arms, so that every difference "
            f"is noise. Intervals of the ratio candidate ÷ baseline, {percent(stats.LEVEL)}, {pairs} pairs:",
            table(["of", "comparisons", "that never differed", "whose interval excludes 1", "half-width, median, %",
                   "half-width, widest, %"], rows),
            chance_sentence(apart, moved)]


def chance_sentence(apart: int, compared: int) -> str:
    """How many intervals exclude 1 against what chance gives, with the exact (Clopper-Pearson) binomial interval."""
    if not compared:
        return "Nothing differed in any pair, so that there is nothing to tell apart."
    from scipy.stats import binomtest

    wanted = 1 - stats.LEVEL
    interval = binomtest(apart, compared).proportion_ci(stats.LEVEL, method="exact")
    low, high = float(interval.low), float(interval.high)
    verdict = ("which chance explains" if low <= wanted <= high else
               "more than chance explains" if low > wanted else "fewer than chance gives")
    return (f"Of {counted(compared, 'comparison')} that differed at all, {apart} told the arms apart: "
            f"{percent(apart / compared, 1)} ({percent(stats.LEVEL)} binomial interval {percent(low, 1)} to "
            f"{percent(high, 1)}), where chance gives {percent(wanted)}: {verdict}. The comparisons share their "
            "repetitions, so that the binomial interval is narrower than it ought to be.")


# -- do the space figures agree? ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Disagreement:
    """A phase of a cell whose growth differs by more than ``AGREE`` over repetitions; bytes.

    ``before``: the same cell's growth summed over the phases ahead of the first trim or remove, by repetition.
    """

    label: str
    target: str
    workload: str
    phase: str
    values: dict[int, float]
    chunk_bytes: int | None
    before: dict[int, float]

    @property
    def difference_bytes(self) -> float:
        return max(self.values.values()) - min(self.values.values())

    @property
    def blocks(self) -> int | None:
        """The difference in data blocks of the pool; None where it is no whole number of them, or no pool's."""
        if self.chunk_bytes is None or self.target == "volume":
            return None
        blocks = self.difference_bytes / self.chunk_bytes
        return round(blocks) if blocks == round(blocks) else None


def disagreements(facts: Facts) -> tuple[int, list[Disagreement]]:
    """How many phases of cells were compared, and those that do not agree."""
    frame = facts.frame
    frame = frame[[_is_space(str(target), str(metric)) and workload != _SETUP for target, metric, workload
                   in zip(frame["target"], frame["metric"], frame["workload"], strict=True)]]
    compared, found = 0, []
    order = {label: place for place, label in enumerate(facts.labels)}
    for (label, target, workload), cell in frame.groupby(["label", "target", "workload"], sort=False):
        before = _before_freeing(cell)
        for phase in unique(cell["phase"]):
            values = _by_repetition(cell[cell["phase"] == phase])
            largest = max(abs(value) for value in values.values())
            if len(values) < 2 or largest < AGREE_FLOOR_BYTES:
                continue
            compared += 1
            if not agree(values):
                found.append(Disagreement(str(label), str(target), str(workload), str(phase), values,
                                          facts.chunk_bytes(str(label)), before))
    return compared, sorted(found, key=lambda one: (one.target, order.get(one.label, len(order))))


def _by_repetition(rows: pd.DataFrame) -> dict[int, float]:
    return {int(row["repetition"]): float(row["value"])
            for row in sorted(records(rows), key=lambda row: int(row["repetition"]))}


def _before_freeing(cell: pd.DataFrame) -> dict[int, float]:
    """Growth by repetition, summed over the phases up to the first trim or remove."""
    early = before_freeing(unique(cell["phase"]), ("trim", "remove", "remove_image"))
    rows = cell[cell["phase"].isin(early)].groupby("repetition", sort=True)["value"].sum()
    return {int(str(repetition)): float(value) for repetition, value in rows.items()}


def agreement_section(facts: Facts) -> Section:
    title = f"Do the space figures of the repetitions agree within {percent(AGREE)}?"
    compared, found = disagreements(facts)
    if not compared:
        return Section(title, ["No cell was measured twice yet."])
    good = compared - len(found)
    counts = sorted(int(n) for n in facts.frame.groupby(["label", "target", "workload"])["repetition"].nunique()
                    if n > 1)
    ns = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    share = (f"Of {counted(compared, 'phase')} that took or gave back 1 MiB or more, {good} "
             f"({percent(good / compared, 1)}) agree within {percent(AGREE)} over {ns} repetitions.")
    if not found:
        return Section(title, [share])
    rows = [[one.label, one.target, f"{one.workload}: {one.phase}", _values(one.values.values()),
             number(one.difference_bytes / MIB), _blocks_text(one), _values(one.before.values()), _agrees(one.before)]
            for one in found]
    return Section(title, [
        share, "Those that do not, growth in MiB by repetition:",
        table(["storage", "written to", "phase", "growth", "difference", "in data blocks", "sum before trim or remove",
               "those agree?"], rows, words=3),
        paragraph([_whole_blocks(found), _sums_agree(found)])])


def _values(values: Iterable[float]) -> str:
    return ", ".join(number(value / MIB) for value in values)


def _blocks_text(one: Disagreement) -> str:
    if one.chunk_bytes is None or one.target == "volume":
        return "–"
    return "not whole" if one.blocks is None else str(one.blocks)


def agree(values: dict[int, float]) -> bool:
    """Whether the repetitions' values lie within ``AGREE`` of the largest."""
    return relative_difference(values) <= AGREE


def relative_difference(values: dict[int, float]) -> float:
    """Largest less smallest, over the largest magnitude."""
    largest = max(abs(value) for value in values.values())
    return (max(values.values()) - min(values.values())) / largest if largest else 0.0


def _agrees(values: dict[int, float]) -> str:
    return f"{'yes' if agree(values) else 'no'}, {percent(relative_difference(values), 2)}"


def _whole_blocks(found: Sequence[Disagreement]) -> str:
    whole = sum(one.blocks is not None for one in found)
    if not whole:
        return ""
    are = "is a whole number" if whole == 1 else "are whole numbers"
    return (f"{whole} of these differences {are} of data blocks: a pool counts whole data blocks only, and the XFS in "
            "a container writes its log and its inodes back late, after up to 30 s, so that a phase may or may not "
            "contain them.")


def _sums_agree(found: Sequence[Disagreement]) -> str:
    cells = {(one.label, one.target, one.workload): one.before for one in found if one.before}
    good = sum(agree(before) for before in cells.values())
    which = code("trim") + " or " + code("remove")
    return (f"Summed over all phases before {which}, {good} of these {counted(len(cells), 'cell')} "
            f"{'agrees' if good == 1 else 'agree'} within {percent(AGREE)}.")
