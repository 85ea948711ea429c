"""Tables of bandwidth ratios and of times, measured against predicted."""

from __future__ import annotations

from collections.abc import Sequence

from lab.analysis.facts import job_name
from lab.calibration.goals import share
from lab.calibration.ratios import RateCheck, RateScore
from lab.text import counted, number

RATE_HEAD = ("job", "target", "storages", "overlap", "n", "measured ratio (95 %)", "predicted ratio (90 %)",
             "predicted ÷ measured")


def rate_rows(checks: Sequence[RateCheck]) -> list[list[str]]:
    """A row a ratio: ``RATE_HEAD``."""
    return [[job_name(one.phase, one.metric), one.target, f"{one.numerator} ÷ {one.denominator}",
             "yes" if one.overlaps else "**no**", str(one.n), _interval(one.measured, one.low, one.high),
             _interval(one.predicted, one.predicted / one.factor, one.predicted * one.factor),
             number(one.predicted / one.measured)] for one in checks]


def rate_sentence(score: RateScore) -> str:
    """What the ratios give together."""
    return (f"Of {counted(score.n, 'ratio')} {score.overlapping:,} overlap ({share(score.overlapping / score.n)}), and "
            f"{score.same_side:,} name the same storage as the faster ({share(score.same_side / score.n)}). The median "
            f"of |ln(predicted ÷ measured)| is {number(score.median_ln_error)}.")


def _interval(value: float, low: float | None, high: float | None) -> str:
    return number(value) if low is None or high is None else f"{number(value)} ({number(low)} to {number(high)})"
