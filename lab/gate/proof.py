"""How often the gate finds a slow-down that was made on purpose.

A run whose candidate was slowed down by a known cause, such as a throttled disk, is drawn from: each draw takes some
of its pairs without replacement, and the whole gate judges them as a run of their own.  Draws from one run share
pairs, so that their number says less than as many runs would; the binomial interval is of independent ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from statistics import stdev

import numpy as np
from pydantic import BaseModel, ConfigDict

from lab.analysis.words import metric_words
from lab.errors import InputError
from lab.gate.gate import judge_rows
from lab.gate.rows import TIMING, Status
from lab.gate.rules import Rules
from lab.gate.self_test import AlarmRate, alarm_rate
from lab.gate.sides import Comparison, Sides, two_arms
from lab.store import Run, table_digest

SCHEMA_VERSION = 1
DRAWS = 20


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FoundTiming(_Record):
    """One timing: how much worse the candidate was over all pairs (0.1: a factor of 1.1), and in how many draws the
    gate called it a regression.  ``spread``: as ``pair_spread`` has it, of all pairs."""

    cell: str
    phase: str
    metric: str
    worse: float | None
    spread: float | None
    found: int


class Proof(_Record):
    """``found``: draws with a regression in any timing.  ``pairs``: those of one draw, out of ``measured`` ones."""

    schema_version: int = SCHEMA_VERSION
    run: str
    digest: str
    pairs: int
    measured: int
    seed: int
    found: AlarmRate
    timings: list[FoundTiming]


def prove(run: Run, rules: Rules, *, pairs: int, seed: int, draws: int = DRAWS) -> Proof:
    """Draws so many pairs so often.  Raises InputError where the run has fewer, or one arm."""
    sides = two_arms(run)
    every = sorted({repetition for one in sides.comparisons
                    for repetition in one.baseline.keys() & one.candidate.keys()})
    if len(every) < pairs:
        raise InputError(f"the run has {len(every)} pairs; {pairs} are to be drawn", where=str(run.path),
                         remedy=f"measure more, or draw fewer: --pairs {max(2, len(every) // 2)}")
    random = np.random.default_rng([seed, pairs, len(every)])
    hits: Counter[tuple[str, str, str]] = Counter()
    found = 0
    for _ in range(draws):
        chosen = frozenset(int(one) for one in random.choice(every, size=pairs, replace=False))
        worse = [row.quantity for row in judge_rows(_of(sides, chosen), rules, seed=seed)
                 if row.kind == TIMING and row.status is Status.REGRESSION]
        hits.update((one.cell, one.phase, one.metric) for one in worse)
        found += bool(worse)
    rows = [row for row in judge_rows(sides, rules, seed=seed) if row.kind == TIMING]
    spreads = {one.quantity: pair_spread(one) for one in sides.comparisons}
    timings = [FoundTiming(cell=row.quantity.cell, phase=row.quantity.phase, metric=row.quantity.metric,
                           worse=row.worse, spread=spreads.get(row.quantity),
                           found=hits[row.quantity.cell, row.quantity.phase, row.quantity.metric])
               for row in rows]
    return Proof(run=run.manifest.run, digest=table_digest(run), pairs=pairs, measured=len(every), seed=seed,
                 found=alarm_rate(found, draws), timings=timings)


def pair_spread(comparison: Comparison) -> float | None:
    """The standard deviation of the pairs' log-ratios: what one pair is off by.  None for fewer than two pairs.

    Its effect on the gate: what can be found grows with it in proportion.
    """
    ratios = [math.log(comparison.candidate[number] / comparison.baseline[number])
              for number in sorted(comparison.baseline.keys() & comparison.candidate.keys())
              if 0 < comparison.baseline[number] < math.inf and 0 < comparison.candidate[number] < math.inf]
    return stdev(ratios) if len(ratios) > 1 else None


def _of(sides: Sides, repetitions: frozenset[int]) -> Sides:
    """The sides in those repetitions alone."""
    def kept(values: Mapping[int, float]) -> dict[int, float]:
        return {repetition: value for repetition, value in values.items() if repetition in repetitions}

    chosen = tuple(Comparison(one.quantity, kept(one.baseline), kept(one.candidate)) for one in sides.comparisons)
    return replace(sides, comparisons=tuple(one for one in chosen if one.baseline and one.candidate))


def sentence(told: Proof) -> str:
    """What was found, in one sentence."""
    worst = max((one for one in told.timings if one.worse is not None), key=lambda one: one.worse or 0.0, default=None)
    most = (f"worst in {worst.phase} {metric_words(worst.metric)}, by {100 * (worst.worse or 0.0):+.1f} %" if worst
            else "timed in nothing")
    rate = told.found
    return (f"{told.run}: the candidate was {most}; the gate found a regression in {rate.alarms} of "
            f"{rate.trials} draws of {told.pairs} from {told.measured} pairs ({100 * rate.low:.0f} to "
            f"{100 * rate.high:.0f} %, if draws were independent).")
