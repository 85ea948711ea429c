"""What the model was asked to reach, and whether the numbers reach it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.analysis.facts import percent
from lab.calibration.ratios import RateScore
from lab.calibration.residuals import Coverage, Score
from lab.text import number


@dataclass(frozen=True)
class Goal:
    """A share that is to lie between ``low`` and ``high``; None where that side is open."""

    name: str
    low: float | None
    high: float | None

    @property
    def wanted(self) -> str:
        """The goal in words.

        >>> Goal("coverage", 0.85, 0.95).wanted, Goal("errors", None, 0.03).wanted
        ('85 % to 95 %', 'at most 3 %')
        """
        if self.low is None or self.high is None:
            return f"at least {percent(self.low)}" if self.low is not None else f"at most {percent(self.high or 0.0)}"
        return f"{percent(self.low)} to {percent(self.high)}"


OCCUPANCY = Goal("growth: mean error of the space in use, over the empty storage (MAPE)", None, 0.03)
INCREMENTS = Goal("growth: mean error of what one phase adds (MAPE)", None, 0.10)
COVERAGE = Goal("intervals: increments that lie within theirs", 0.85, 0.95)
RATES = Goal("bandwidth ratios whose intervals overlap", 0.90, None)


@dataclass(frozen=True)
class Judged:
    """A goal and the share found over ``n`` things, NaN for none; ``told`` is the share in words."""

    goal: Goal
    found: float
    n: int
    told: str

    @property
    def beyond(self) -> float:
        """How far the share lies outside the goal; 0 within."""
        low = self.goal.low - self.found if self.goal.low is not None else 0.0
        high = self.found - self.goal.high if self.goal.high is not None else 0.0
        return max(low, high, 0.0)

    @property
    def met(self) -> bool | None:
        """None where nothing was judged."""
        return None if not self.n or self.found != self.found else self.beyond <= 0

    @property
    def verdict(self) -> str:
        """As ``missed by 3.94 percentage points, above``."""
        if self.met is None:
            return "not judged"
        if self.met:
            return "met"
        side = "above" if self.goal.high is not None and self.found > self.goal.high else "below"
        return f"missed by {number(100 * self.beyond)} percentage points, {side}"


def judge(score: Score, coverage: Coverage, rates: RateScore) -> tuple[Judged, ...]:
    """The four goals, each with what was found."""
    overlapping = rates.overlapping / rates.n if rates.n else float("nan")
    return (Judged(OCCUPANCY, score.level_mape, score.phases, share(score.level_mape)),
            Judged(INCREMENTS, score.increment_mape, score.judged, share(score.increment_mape)),
            Judged(COVERAGE, coverage.share, coverage.n,
                   f"{share(coverage.share)} ({share(coverage.low)} to {share(coverage.high)})"),
            Judged(RATES, overlapping, rates.n, share(overlapping)))


def goal_rows(judged: Sequence[Judged], told: str) -> list[list[str]]:
    """A row a goal: its name, what is wanted, what was found in ``told``, over how many, and the verdict."""
    return [[one.goal.name, one.goal.wanted, told, one.told, f"{one.n:,}", one.verdict] for one in judged]


def share(value: float) -> str:
    """A share in percent with three digits; a dash for NaN.

    >>> share(0.98889), share(0.0004767), share(float("nan"))
    ('98.9 %', '0.0477 %', '–')
    """
    return "–" if value != value else f"{number(100 * value)} %"


def coverage_text(coverage: Coverage) -> str:
    """As ``89 of 90 (94.0 % to 100 %)``; a dash for none."""
    if not coverage.n:
        return "–"
    return f"{coverage.covered:,} of {coverage.n:,} ({share(coverage.low)} to {share(coverage.high)})"
