"""Readings of a pool brought into the order of their times, and told apart where the pool is another one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from lab.monitoring.pool import PoolReading
from lab.monitoring.repairs import Repairs

GAP_INTERVALS = 3
"""Samples further apart than this many median intervals have a gap between them."""

NEAR_EMPTY_SHARE = 0.1
"""A level at most this share of the one before it is 'near empty' ..."""

FULL_ENOUGH_SHARE = 0.05
"""... where the one before was at least this share of the total."""


@dataclass(frozen=True, slots=True)
class TimedReading:
    """A reading, its time in seconds since 1970 UTC, and the line where its sample begins."""

    epoch_seconds: float
    line: int
    reading: PoolReading


def in_order(readings: Sequence[TimedReading], repairs: Repairs) -> list[TimedReading]:
    """The readings with times that increase: duplicates left out, stretches re-ordered or samples cut."""
    distinct = _without_duplicates(readings, repairs)
    stretches = _stretches(distinct)
    if len(stretches) < 2:
        return distinct
    sorted_stretches = sorted(stretches, key=lambda stretch: stretch[0].epoch_seconds)
    if _follow_each_other(sorted_stretches):
        for before, after in pairwise(stretches):
            if after[0].epoch_seconds < before[-1].epoch_seconds:
                repairs.add("clock backwards", "re-ordered: what follows lies wholly before other samples, as in logs "
                            "put together in another order", after[0].line)
        return [reading for stretch in sorted_stretches for reading in stretch]
    kept = _longest_increasing(distinct)
    chosen = {id(reading) for reading in kept}
    for reading in distinct:
        if id(reading) not in chosen:
            repairs.add("clock backwards", "cut: the fewest samples were left out with which all times increase",
                        reading.line)
    return kept


def lives(readings: Sequence[TimedReading], repairs: Repairs) -> list[int]:
    """For each reading the number of the pool's life, from 0: one more where the pool was made anew.

    A pool was made anew if it has another name or block size, a transaction id or a total below the one before
    (neither ever shrinks), or another total and a level near empty.
    """
    numbers: list[int] = []
    number = 0
    for index, now in enumerate(readings):
        if index:
            number += _made_anew(readings[index - 1].reading, now, repairs)
        numbers.append(number)
    return numbers


def gap_seconds(times: Sequence[float]) -> float:
    """The interval beyond which two samples have a gap between them."""
    return GAP_INTERVALS * median(after - before for before, after in pairwise(times))


def _without_duplicates(readings: Sequence[TimedReading], repairs: Repairs) -> list[TimedReading]:
    kept: list[TimedReading] = []
    seen: set[tuple[float, PoolReading]] = set()
    for reading in readings:
        if (reading.epoch_seconds, reading.reading) in seen:
            repairs.add("duplicate time", "left out: the same sample again", reading.line)
            continue
        if kept and kept[-1].epoch_seconds == reading.epoch_seconds:
            repairs.add("duplicate time", "left out: the next sample has the same time and other values", kept[-1].line)
            kept.pop()
        seen.add((reading.epoch_seconds, reading.reading))
        kept.append(reading)
    return kept


def _stretches(readings: Sequence[TimedReading]) -> list[list[TimedReading]]:
    stretches: list[list[TimedReading]] = []
    for reading in readings:
        if stretches and stretches[-1][-1].epoch_seconds < reading.epoch_seconds:
            stretches[-1].append(reading)
        else:
            stretches.append([reading])
    return stretches


def _follow_each_other(stretches: Sequence[Sequence[TimedReading]]) -> bool:
    """Whether none overlaps the next, nor lies further from it than all of them are long (a clock that was not set)."""
    joints = [after[0].epoch_seconds - before[-1].epoch_seconds
              for before, after in pairwise(stretches)]
    long = sum(stretch[-1].epoch_seconds - stretch[0].epoch_seconds for stretch in stretches)
    return all(0 < joint <= long for joint in joints)


def _longest_increasing(readings: Sequence[TimedReading]) -> list[TimedReading]:
    """Patience sorting: the longest subsequence whose times increase (Schensted 1961; Fredman 1975)."""
    tails: list[float] = []
    at: list[int] = []
    before: list[int] = []
    for index, reading in enumerate(readings):
        pile = bisect_left(tails, reading.epoch_seconds)
        before.append(at[pile - 1] if pile else -1)
        if pile == len(tails):
            tails.append(reading.epoch_seconds)
            at.append(index)
        else:
            tails[pile], at[pile] = reading.epoch_seconds, index
    chain, index = list[TimedReading](), at[-1]
    while index >= 0:
        chain.append(readings[index])
        index = before[index]
    return chain[::-1]


def _made_anew(before: PoolReading, now: TimedReading, repairs: Repairs) -> bool:
    after = now.reading
    tolerance = before.data_total_error_bytes + after.data_total_error_bytes
    if before.source != after.source:  # lvs without chunk_size tells of a last part that is no whole block
        tolerance += max(before.block_bytes or 0, after.block_bytes or 0)
    change = after.data_total_bytes - before.data_total_bytes
    near_empty = (after.data_used_bytes <= NEAR_EMPTY_SHARE * before.data_used_bytes
                  and before.data_used_bytes >= FULL_ENOUGH_SHARE * before.data_total_bytes)
    why = _another_pool(before, after) or ("its total went down" if change < -tolerance else "")
    if not why and near_empty and change > tolerance:
        why = "it is near empty and has another total"
    if why:
        repairs.add("counter reset", "the pool was made anew: no growth is taken across", now.line, why)
        return True
    if near_empty:
        repairs.add("drop to empty", "kept as a drop: nothing shows that the pool was made anew", now.line)
    if change > tolerance:
        repairs.add("pool extended", "kept: the total grew", now.line,
                    f"data {before.data_total_bytes} to {after.data_total_bytes} bytes")
    one, other = before.metadata_total_bytes, after.metadata_total_bytes
    if one is not None and other is not None and abs(other - one) > _rounding(before, after, max(one, other)):
        repairs.add("pool extended", "kept: the metadata's total changed", now.line, f"{one} to {other} bytes")
    return False


def _another_pool(before: PoolReading, after: PoolReading) -> str:
    if before.pool and after.pool and before.pool != after.pool:
        return f"{before.pool!r} became {after.pool!r}"
    if (before.block_bytes and after.block_bytes
            and abs(after.block_bytes - before.block_bytes) > _rounding(before, after, before.block_bytes)):
        return f"blocks of {before.block_bytes} bytes became {after.block_bytes}"
    if (before.transaction_id is not None and after.transaction_id is not None
            and after.transaction_id < before.transaction_id):
        return f"transaction id {before.transaction_id} became {after.transaction_id}"
    return ""


def _rounding(before: PoolReading, after: PoolReading, size_bytes: int) -> int:
    """How far two tellings of ``size_bytes`` may lie apart by rounding alone: docker info has four digits."""
    return size_bytes // 1000 if "docker" in (before.source, after.source) else 0
