"""Verdicts on ratios: who is better, and silence where the evidence is silent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab import metrics
from lab.analysis.stats import MIN_N, Estimate, estimate

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Verdict:
    """``winner`` is None where none may be named; ``reason`` says why, or by how much."""

    winner: str | None
    reason: str


def higher_is_better(metric: str) -> bool | None:
    """Which way is good; None where neither is.  Raises InputError for an unknown metric.

    >>> higher_is_better("write_bandwidth"), higher_is_better("duration"), higher_is_better("io_bytes")
    (True, False, None)
    """
    return metrics.metric(metric).higher_is_better


def verdict(ratio: Estimate, numerator: str, denominator: str, *, higher: bool | None) -> Verdict:
    """Who wins a comparison of two.

    Nobody does where fewer than 3 pairs were measured, where the interval of
    the ratio includes 1, or where neither direction is better.
    """
    if higher is None:
        return Verdict(None, "no winner named: neither direction is better")
    if math.isnan(ratio.centre):
        return Verdict(None, "no winner named: a value of zero or below has no ratio" if ratio.n else
                       "no winner named: no pairs")
    if ratio.n < MIN_N:
        return Verdict(None, f"no winner named: n = {ratio.n} < {MIN_N}")
    if not ratio.settled:
        return Verdict(None, "no winner named: the interval of the ratio includes 1")
    winner = numerator if (ratio.centre > 1) == higher else denominator
    return Verdict(winner, "the interval of the ratio excludes 1")


def leader(ratio_rows: pd.DataFrame, labels: Sequence[str], metric: str) -> Verdict:
    """The one storage that beats every other in one comparison's rows of ``ratios``, or why none is named."""
    higher = higher_is_better(metric)
    if len(labels) < 2:
        return Verdict(None, "no winner named: one storage only")
    wins: dict[str, int] = dict.fromkeys(labels, 0)
    reasons: list[str] = []
    for row in ratio_rows.to_dict("records"):
        found = verdict(estimate(row), str(row["numerator"]), str(row["denominator"]), higher=higher)
        if found.winner is None:
            reasons.append(found.reason)
        else:
            wins[found.winner] = wins.get(found.winner, 0) + 1
    best = [label for label, count in wins.items() if count == len(labels) - 1]
    if best:
        return Verdict(best[0], "the interval of the ratio to every other excludes 1")
    unsettled = [reason for reason in dict.fromkeys(reasons)] or ["no winner named: no pairs"]
    few = [reason for reason in unsettled if "n = " in reason]
    return Verdict(None, (few or unsettled)[0])
