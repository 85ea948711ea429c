"""Ratios of two storages' bandwidths, measured and predicted, each with its interval: do they overlap?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lab.analysis import stats
from lab.analysis.comparisons import BANDWIDTHS


@dataclass(frozen=True)
class RateCheck:
    """``numerator`` ÷ ``denominator``, storages by their labels.

    ``measured`` is over ``n`` repetitions; ``low`` and ``high`` are its 95 % interval, None below 3.  The prediction's
    interval is ``predicted`` times and over ``factor``.
    """

    target: str
    phase: str
    metric: str
    numerator: str
    denominator: str
    n: int
    measured: float
    low: float | None
    high: float | None
    predicted: float
    factor: float

    @property
    def overlaps(self) -> bool:
        """Whether the intervals have a point in common; without one of its own, the measured ratio is a point."""
        low, high = self.low or self.measured, self.high or self.measured
        return low <= self.predicted * self.factor and high >= self.predicted / self.factor

    @property
    def ln_error(self) -> float:
        """ln(predicted ÷ measured)."""
        return math.log(self.predicted / self.measured)


def rate_checks(measured: pd.DataFrame, simulated: pd.DataFrame, half_width: float) -> tuple[RateCheck, ...]:
    """Every two storages on the same target, phase and metric, where both runs have both.

    ``half_width`` is that of the prediction's ln(ratio).
    """
    keys = ["target", "workload", "phase", "metric", "numerator", "denominator"]
    ours, theirs = stats.ratios(measured, BANDWIDTHS), stats.ratios(simulated, BANDWIDTHS)
    both = ours.merge(theirs[[*keys, "ratio"]], on=keys, suffixes=("", "_predicted"))
    both = both[both["ratio"].notna() & both["ratio_predicted"].notna()]
    found = []
    for row in both.to_dict("records"):
        known = stats.estimate(row)
        found.append(RateCheck(str(row["target"]), str(row["phase"]), str(row["metric"]), str(row["numerator"]),
                               str(row["denominator"]), known.n, known.centre, known.low, known.high,
                               float(row["ratio_predicted"]), math.exp(half_width)))
    return tuple(found)


@dataclass(frozen=True)
class RateScore:
    """How many of ``n`` ratios overlap, how many name the same storage as faster, and the median |ln error|."""

    n: int
    overlapping: int
    same_side: int
    median_ln_error: float


def rate_score(checks: Sequence[RateCheck]) -> RateScore:
    """NaN for the error of none."""
    errors = sorted(abs(check.ln_error) for check in checks)
    return RateScore(len(checks), sum(check.overlaps for check in checks),
                     sum((check.measured > 1) == (check.predicted > 1) for check in checks),
                     errors[len(errors) // 2] if errors else math.nan)
