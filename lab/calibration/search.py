"""Fits: times as medians, log costs by a search over whole numbers whose profile gives the intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from scipy.stats import f

from lab.analysis import stats
from lab.model.parameters import Fitted
from lab.runs.raw_timing import Took

LEVEL = 0.9
LOG_RANGES: dict[str, tuple[int, ...]] = {
    "inode_bytes": (20, 40, 60, 80, 90, 100, 110, 120, 130, 140, 160, 200, 260, 340),
    "folder_block_bytes": (0, 60, 100, 130, 160, 200, 260, 400, 600),
    "clean_records": (1, 2, 3, 4),
    "changed_records": (1, 2, 3, 4, 5),
}
"""The values that are tried, within the bounds of the search."""

_TOGETHER = (("clean_records", "changed_records"), ("inode_bytes",), ("folder_block_bytes",))
"""A record more for one kind of unmount and one fewer for the other may fit alike: they are searched together."""

Progress = Callable[[int, int, str], None]
"""Called with steps done, of how many, and what is done next."""

Loss = Callable[[Mapping[str, int]], tuple[float, int]]
"""Sum of squared residuals in data blocks, and their number, for log costs by name."""


@dataclass(frozen=True)
class LogFit:
    """The best log costs, and for each what else fits about as well."""

    best: dict[str, int]
    fitted: tuple[Fitted, ...]
    squares: float
    n: int


def fit_log(loss: Loss, begin: Mapping[str, int], progress: Progress) -> LogFit:
    """Search over ``LOG_RANGES``, the two counts of records together; the loss is a step function, so no gradient
    would do.  ``progress`` is told of settings up to the end of the round; another follows where it found a better one.

    The interval of a parameter is the range of values whose loss, all else at its best, stays below
    best × (1 + F(0.9; 1, n - p) / (n - p)), the limit of a least-squares fit (Seber and Wild, Nonlinear Regression,
    1989, 5.3).  Where the loss is zero at its best, it is the values whose loss is zero as well.
    """
    best, known = dict(begin), dict[tuple[int, ...], tuple[float, int]]()

    def at(values: Mapping[str, int]) -> tuple[float, int]:
        key = tuple(values[name] for name in LOG_RANGES)
        if key not in known:
            known[key] = loss(values)
        return known[key]

    settings = [dict(zip(names, values, strict=True)) for names in _TOGETHER
                for values in product(*(LOG_RANGES[name] for name in names))]
    done, moved = 0, True
    while moved:
        moved, end = False, done + len(settings)
        for setting in settings:
            progress(done, end, ", ".join(f"log.{name} = {value}" for name, value in setting.items()))
            tried, done = {**best, **setting}, done + 1
            if at(tried)[0] < at(best)[0]:
                best, moved = tried, True
    squares, n = at(best)
    freedom = max(n - len(best), 1)
    limit = squares * (1 + float(f.ppf(LEVEL, 1, freedom)) / freedom)
    fitted = []
    for name, every in LOG_RANGES.items():
        fits = sorted({value for value in (best[name], *every) if at({**best, name: value})[0] <= limit + 1e-9})
        open_end = fits[0] == every[0] or fits[-1] == every[-1]
        fitted.append(Fitted(
            name=f"log.{name}", value=best[name], low=fits[0], high=fits[-1], n=n, identified=not open_end,
            reason=f"the runs hold no more than {fits[0]} to {fits[-1]}, the end of what was tried" if open_end else
            "records are whole units of the log, so values that round alike cannot be told apart"))
    return LogFit(best, tuple(fitted), squares, n)


def fit_timing(took: Sequence[Took]) -> dict[str, Fitted]:
    """Medians with intervals of order statistics, by the names of ``parameters.Timing``.

    ``measure_seconds`` is the median of what boundary records of n containers take beyond those of none, over n.
    """
    by_name: dict[str, list[float]] = {}
    for one in took:
        by_name.setdefault(one.name, []).append(one.seconds)
    empty = stats.median_interval(by_name.get("boundary_seconds", [])).centre
    if not math.isnan(empty):
        by_name["measure_seconds"] = [max(0.0, (seconds - empty) / int(name.rpartition(" ")[2]))
                                      for name, values in by_name.items() if name.startswith("boundary of ")
                                      for seconds in values]
    found = {}
    for name, values in by_name.items():
        if values and not name.startswith("boundary of "):
            interval = stats.median_interval(values, LEVEL)
            found[name] = Fitted(name=f"timing.{name}", value=interval.centre, low=interval.low, high=interval.high,
                                 n=interval.n, reason="median of the phases")
    return found
