"""Counts of space: no statistics, but a tolerance that says what it is made of.

A candidate's count is larger where its median lies above the largest of the
baseline's repetitions by more than the tolerance.  The baseline's own spread
thus counts fully, and of a baseline measured once there is only the tolerance:

- what a phase added (``storage_growth``, ``volume_growth``): 2 data blocks, at least 64 KiB;
- of a cell as a whole, the most that it held and what it left behind: 4 data blocks, at least 64 KiB, or 1 % of the
  baseline's, whichever is more;
- a pool's metadata: 4 metadata blocks or 2 %; the containers' writable layers: 64 KiB or 1 %.

A file system writes its log and inodes back late, so that space moves from one
phase to a later one: a phase that is larger by at most 1 MiB and 10 data blocks,
in a cell that as a whole is not, has taken from a neighbour.  Sides whose
workloads wrote different amounts in a phase are not compared there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import accumulate
from statistics import median

from lab.answers.gate.rows import COUNT, Row, Status
from lab.answers.gate.rules import WORK, Rules
from lab.answers.gate.sides import Comparison, Quantity, Values
from lab.metrics import GROWTHS, metric
from lab.runs.records import CellRecord
from lab.text import amount, signed

WHOLE_CELL = "whole cell"
"""The phase of counts derived from all phases of a cell."""

_MOVED, _READ, _WRITTEN = "io_bytes", "read_bandwidth", "write_bandwidth"
MOVING = (_MOVED, _READ, _WRITTEN)
"""What tells whether an fio job wrote more on one side."""
_LATE_BYTES, _LATE_BLOCKS = 1024**2, 10


def late_bytes(block_bytes: int) -> int:
    """The most that a file system's late writes are taken to move between phases."""
    return _LATE_BYTES + _LATE_BLOCKS * block_bytes


def with_totals(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """The comparisons, and those derived of whole cells: peak and left of each growth, peak of the metadata.

    A total is of the repetitions in which all of a side's phases have a value.
    """
    listed = list(comparisons)
    made = list(listed)
    phases: dict[tuple[str, str], list[Comparison]] = {}
    for one in listed:
        if totals_of(one.quantity.metric):
            phases.setdefault((one.quantity.cell, one.quantity.metric), []).append(one)
    for (cell, name), own in phases.items():
        ways = [_peak, math.fsum] if name in GROWTHS else [_peak_level]
        totals = list(zip(totals_of(name), ways, strict=True))
        sides = [_by_repetition([getattr(one, side) for one in own]) for side in ("baseline", "candidate")]
        for derived, total in totals:
            made.append(Comparison(Quantity(cell, WHOLE_CELL, derived, metric(derived).unit),
                                   *({r: total(values) for r, values in side.items()} for side in sides)))
    return made


def totals_of(name: str) -> list[str]:
    """The counts of a whole cell that are derived of a metric.

    >>> totals_of("storage_growth"), totals_of("duration")
    (['storage_growth_peak', 'storage_growth_left'], [])
    """
    one = metric(name)
    return [derived for derived in (one.peak, one.left) if derived is not None]


def _by_repetition(phases: list[Values]) -> dict[int, list[float]]:
    common = set.intersection(*(set(values) for values in phases))
    return {r: [values[r] for values in phases] for r in sorted(common)}


def _peak(growths: list[float]) -> float:
    return max(0.0, *accumulate(growths)) if all(map(math.isfinite, growths)) else math.nan


def _peak_level(levels: list[float]) -> float:
    return max(levels) if all(map(math.isfinite, levels)) else math.nan


def block_bytes_of(records: Iterable[CellRecord | None]) -> int:
    """The largest data block of a cell's two sides; 0 where no side is on a pool."""
    sizes = [record.options.get("chunk_size_bytes") for record in records if record is not None]
    return max((size for size in sizes if isinstance(size, int)), default=0)


def tolerance(quantity: Quantity, largest: float, block_bytes: int, rules: Rules) -> float:
    """How far above the largest of the baseline's values, which is ``largest``, a count may lie."""
    if quantity.metric in rules.tolerances:
        return float(rules.tolerances[quantity.metric])
    usual = metric(quantity.metric).tolerance
    assert usual is not None
    return usual.size_bytes(largest, block_bytes)


def judge_counts(comparisons: Iterable[Comparison], rules: Rules, blocks: Mapping[str, int]) -> list[Row]:
    """Each count that the rules gate, of ``comparisons`` with their totals; ``blocks``: bytes of each cell's block."""
    counts = [one for one in comparisons if rules.is_count(one.quantity.metric)]
    rows = [_judge(one, rules, blocks.get(one.quantity.cell, 0)) for one in counts]
    larger = {(row.quantity.cell, row.quantity.metric) for row in rows if row.status is not Status.NONE
              and row.status is not Status.BETTER and row.quantity.phase == WHOLE_CELL}
    totals = {(row.quantity.cell, row.quantity.metric) for row in rows if row.quantity.phase == WHOLE_CELL}
    return [_moved(row, rules, blocks.get(row.quantity.cell, 0), larger, totals) for row in rows]


def different_work(rows: Iterable[Row]) -> set[tuple[str, str]]:
    """Cells and phases in which the two sides' workloads wrote different amounts."""
    return {(row.quantity.cell, row.quantity.phase) for row in rows
            if row.quantity.metric in WORK and row.status is Status.INCONCLUSIVE}


def comparable(rows: Iterable[Row], counts: Iterable[Row], comparisons: Iterable[Comparison]) -> list[Row]:
    """The rows, but inconclusive where the sides' workloads did not do the same.  ``counts``: the judged counts."""
    return without_other_amounts(without_different_work(rows, different_work(counts)), comparisons)


def without_different_work(rows: Iterable[Row], different: set[tuple[str, str]]) -> list[Row]:
    """The rows, but inconclusive in those phases, and in all of their cells' totals."""
    cells = {cell for cell, _ in different}
    return [replace(row, status=Status.INCONCLUSIVE, reason=f"the two sides did different work; {row.reason}")
            if row.quantity.metric not in WORK and (
                (row.quantity.cell, row.quantity.phase) in different
                or (row.quantity.phase == WHOLE_CELL and row.quantity.cell in cells)) else row for row in rows]


def without_other_amounts(rows: Iterable[Row], comparisons: Iterable[Comparison]) -> list[Row]:
    """The rows, but inconclusive where an fio job that moved more grew more, or one that moved less grew less.

    A job that is limited by time moves what its storage lets it: the faster side writes more.  Jobs that only read
    excuse nothing.
    """
    listed = [one for one in comparisons if one.quantity.metric in MOVING]

    def moving(name: str) -> set[tuple[str, str]]:
        return {(one.quantity.cell, one.quantity.phase) for one in listed if one.quantity.metric == name
                and any((*one.baseline.values(), *one.candidate.values()))}

    only_read = moving(_READ) - moving(_WRITTEN)
    more: set[tuple[str, str]] = set()
    less: set[tuple[str, str]] = set()
    for one in listed:
        if one.quantity.metric == _MOVED and one.baseline and one.candidate and (
                (one.quantity.cell, one.quantity.phase) not in only_read):
            moved = median(one.candidate.values())
            if moved > max(one.baseline.values()):
                more.add((one.quantity.cell, one.quantity.phase))
            elif moved < min(one.baseline.values()):
                less.add((one.quantity.cell, one.quantity.phase))
    return [_excused(_excused(row, Status.REGRESSION, more, "more"), Status.BETTER, less, "less") for row in rows]


def _excused(row: Row, status: Status, phases: set[tuple[str, str]], word: str) -> Row:
    own = {phase for cell, phase in phases if cell == row.quantity.cell}
    concerned = row.quantity.phase in own or (bool(own) and row.quantity.phase == WHOLE_CELL)
    if row.kind != COUNT or row.status is not status or not concerned:
        return row
    return replace(row, status=Status.INCONCLUSIVE,
                   reason=f"the candidate's job moved {word} bytes, as one limited by time may; {row.reason}")


def _judge(one: Comparison, rules: Rules, block_bytes: int) -> Row:
    before, after = list(one.baseline.values()), list(one.candidate.values())
    row = Row(one.quantity, COUNT, Status.INCONCLUSIVE, "", len(before), len(after))
    if not before or not after:
        return replace(row, reason=f"no repetition of the {'candidate' if before else 'baseline'} has all its phases")
    for side, values in (("baseline", one.baseline), ("candidate", one.candidate)):
        if odd := [repetition for repetition, value in values.items() if not math.isfinite(value)]:
            return replace(row, reason=f"the {side}'s value in repetition {odd[0]} is no number")
    row = replace(row, baseline=median(before), candidate=median(after), worse=median(after) - median(before))
    if one.quantity.metric in WORK:
        return _judge_work(row, before, after)
    limit = tolerance(one.quantity, max(before, key=abs), block_bytes, rules)
    row = replace(row, limit=limit)
    above, below = median(after) - max(before), min(before) - median(after)
    told = f"{signed(median(after) - median(before), 'B')}, the median of {_ns(before, after)}"
    if above > limit:
        return replace(row, status=Status.REGRESSION,
                       reason=f"{told}; {amount(above, 'B')} above the baseline's largest, where "
                              f"{amount(limit, 'B')} is tolerated")
    if below > limit:
        return replace(row, status=Status.BETTER, reason=told)
    exact = min(before) == max(before) == min(after) == max(after)
    return replace(row, status=Status.NONE, reason="exactly the same" if exact else f"{told}; within the tolerance")


def _judge_work(row: Row, before: list[float], after: list[float]) -> Row:
    if min(before) <= min(after) and max(after) <= max(before):
        return replace(row, status=Status.NONE, reason="the same work", limit=0.0)
    return replace(row, limit=0.0, reason=f"the workload wrote {amount(median(before), 'B')} in the baseline and "
                                          f"{amount(median(after), 'B')} in the candidate, on the median: this is not "
                                          "the same work")


def _moved(row: Row, rules: Rules, block_bytes: int, larger: set[tuple[str, str]],
           totals: set[tuple[str, str]]) -> Row:
    """A phase's growth that its cell as a whole does not show."""
    name = row.quantity.metric
    if row.status is not Status.REGRESSION or name not in GROWTHS or name in rules.tolerances or row.worse is None:
        return row
    own = {(row.quantity.cell, derived) for derived in totals_of(name)}
    usual = metric(name).tolerance
    of_pool = block_bytes if usual is not None and usual.blocks else 0
    if row.worse > late_bytes(of_pool) or own & larger or not own <= totals:
        return row
    return replace(row, status=Status.NONE,
                   reason=f"{signed(row.worse, 'B')}, which the cell as a whole does not show: written later or "
                          "earlier")


def _ns(before: list[float], after: list[float]) -> str:
    return f"{len(after)}" if len(before) == len(after) else f"{len(after)} against {len(before)}"
