"""The pace of a repetition: how long it took for the same work, against the first one.

A shared machine is faster in one hour than in another, and a run that was resumed may have gone on elsewhere.  All
that a repetition times then moves together.  Ratios within a repetition do not feel it; means over repetitions do, so
that they are taken after each was divided by its pace.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

from lab.metrics import metric
from lab.text import records

if TYPE_CHECKING:
    import pandas as pd

Times = Mapping[Hashable, Mapping[int, float]]
"""What was timed -> repetition -> seconds, or anything else that grows with them."""

_KEY = ("cell", "arm", "phase", "metric")


def paces(times: Times) -> dict[int, float]:
    """Each repetition's pace: 1 for the earliest, 2 for one in which things took twice as long.

    The exponential of the median, over all that both timed, of ln(its time ÷ the earliest's).  A repetition that
    timed nothing of what the earliest did has pace 1.  Values of zero or below are skipped.

    >>> paces({"a": {1: 2.0, 2: 3.0}, "b": {1: 4.0, 2: 6.0, 3: 2.0}})
    {1: 1.0, 2: 1.5, 3: 0.5}
    """
    repetitions = sorted({repetition for values in times.values() for repetition in values})
    logs: dict[int, list[float]] = {repetition: [] for repetition in repetitions}
    for values in times.values():
        first = values.get(repetitions[0], 0.0)
        for repetition, value in values.items():
            if value > 0 and first > 0:
                logs[repetition].append(math.log(value / first))
    return {repetition: math.exp(median(told)) if told else 1.0 for repetition, told in logs.items()}


def pace_of_rows(measurements: pd.DataFrame) -> dict[int, float]:
    """The paces by all bandwidths, latencies and durations of a run's table; {} for a table without any."""
    times: dict[Hashable, dict[int, float]] = {}
    for row in _timed(records(measurements)):
        seconds = float(row["value"])
        if metric(str(row["metric"])).higher_is_better and seconds > 0:
            seconds = 1 / seconds
        times.setdefault(tuple(str(row[word]) for word in _KEY), {})[int(row["repetition"])] = seconds
    return paces(times) if times else {}


def at_one_pace(measurements: pd.DataFrame) -> pd.DataFrame:
    """The table with its timings as they would be, had every repetition had the earliest one's pace."""
    found = pace_of_rows(measurements)
    factor = [1.0 if not metric(str(name)).paced else
              found[int(repetition)] if metric(str(name)).higher_is_better else 1 / found[int(repetition)]
              for name, repetition in zip(measurements["metric"], measurements["repetition"], strict=True)]
    return measurements.assign(value=measurements["value"].astype(float) * factor)


def _timed(rows: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    return (row for row in rows if metric(str(row["metric"])).paced)
