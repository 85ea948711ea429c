"""How much worse the candidate is: the mean log-ratio with its interval.

Paired: Student's t on the logarithms of the pairs' ratios, as in
``lab.analysis.stats``.  Unpaired: Welch's t on the logarithms of both sides'
values.  An effect is the factor of worsening less 1: 0.05 where the candidate
takes 1.05 times as long, or moves 1/1.05 in the same time.

Source: B. L. Welch, Biometrika 34 (1947) 28, for the degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lab.analysis import stats

PAIRED_METHOD = f"{stats.LEVEL:.0%} interval: Student's t on the logarithms of the pairs' ratios"
UNPAIRED_METHOD = f"{stats.LEVEL:.0%} interval: Welch's t on the logarithms of both sides' values"


@dataclass(frozen=True)
class Effect:
    """The mean log-ratio, worse above zero, and its interval; None below 3 repetitions."""

    log: float
    low: float | None
    high: float | None

    def as_share(self) -> tuple[float, float | None, float | None]:
        """The factor less 1, and its interval."""
        return (math.expm1(self.log), None if self.low is None else math.expm1(self.low),
                None if self.high is None else math.expm1(self.high))


def worse_logs(values: Sequence[float], *, higher_is_better: bool) -> list[float]:
    """Logarithms, turned so that more is worse.  Raises ValueError for values of zero or below."""
    return [-math.log(value) if higher_is_better else math.log(value) for value in values]


def paired_effect(differences: Sequence[float]) -> Effect:
    """Of the pairs' differences of logarithms, candidate - baseline.  Raises ValueError where there are none."""
    n = len(differences)
    if not n:
        raise ValueError("no pairs")
    mean = math.fsum(differences) / n
    return _with_interval(mean, math.sqrt(_variance(differences) / n), n - 1, n)


def unpaired_effect(baseline: Sequence[float], candidate: Sequence[float]) -> Effect:
    """Of both sides' logarithms.  Raises ValueError where a side has none."""
    if not baseline or not candidate:
        raise ValueError("a side has no values")
    mean = math.fsum(candidate) / len(candidate) - math.fsum(baseline) / len(baseline)
    parts = [_variance(side) / len(side) for side in (baseline, candidate)]
    total = sum(parts)
    below = sum(part**2 / (len(side) - 1) for part, side in zip(parts, (baseline, candidate), strict=True) if part)
    return _with_interval(mean, math.sqrt(total), total**2 / below if below else 1.0,
                          min(len(baseline), len(candidate)))


def _variance(values: Sequence[float]) -> float:
    n = len(values)
    if n < 2:
        return 0.0
    mean = math.fsum(values) / n
    return math.fsum((value - mean) ** 2 for value in values) / (n - 1)


def _with_interval(mean: float, error: float, freedom: float, n: int) -> Effect:
    if n < stats.MIN_N:
        return Effect(mean, None, None)
    from scipy.stats import t

    half = float(t.ppf(1 - (1 - stats.LEVEL) / 2, freedom)) * error
    return Effect(mean, mean - half, mean + half)
