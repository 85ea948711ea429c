"""Lesson 10: what noise looks like in an A/A run, and what the gate makes of it and of a slow-down that is made up.

A *test* is one timing of one phase, as the gate has it: logarithms of both arms, turned so that more is worse.  Effects
are told as factors less 1, in %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from lab.analysis import stats
from lab.analysis.verdicts import higher_is_better
from lab.answers.gate import shown
from lab.answers.gate.effects import Effect, paired_effect, unpaired_effect
from lab.answers.gate.gate import Gate
from lab.answers.gate.holm import holm
from lab.answers.gate.permutation import Floats, Resampling, flips, paired_p
from lab.answers.gate.power import smallest_effect
from lab.answers.gate.rows import TIMING, Row
from lab.answers.gate.rules import TIMINGS, Rules
from lab.answers.gate.self_test import SelfTest, alarm_rate
from lab.answers.gate.sides import Comparison, Sides, Values
from lab.answers.gate.timings import LogSample, log_sample, timings_among
from lab.lessons.intervals import indexed, interval_text
from lab.text import metric_words, short


def tests_of(sides: Sides, rules: Rules) -> list[LogSample]:
    """Each timing that the gate can test, in the tables' order."""
    found = (log_sample(one, rules, paired=sides.paired) for one in timings_among(sides.comparisons, rules))
    return [one for one in found if isinstance(one, LogSample)]


def name_of(test: LogSample) -> str:
    """Phase and metric, as ``start, duration``."""
    return f"{test.comparison.quantity.phase}, {metric_words(test.comparison.quantity.metric)}"


def test_of(tests: Sequence[LogSample], phase: str, metric: str) -> LogSample:
    """One of them.  Raises ValueError where there is none."""
    for one in tests:
        if (one.comparison.quantity.phase, one.comparison.quantity.metric) == (phase, metric):
            return one
    raise ValueError(f"no test of {metric} in {phase}; there are {'; '.join(map(name_of, tests))}")


# -- noise ---------------------------------------------------------------------------------------------------

def noise(tests: Sequence[LogSample]) -> pd.DataFrame:
    """A row a test: how much worse the candidate seems, and how far one pair strays; ``spread``: of the logs."""
    rows = []
    for one in tests:
        spread = float(np.std(one.differences, ddof=1)) if len(one.differences) > 1 else math.nan
        rows.append((name_of(one), effect_text(paired_effect(one.differences), len(one.differences)),
                     100 * math.expm1(spread), spread))
    return indexed(rows, ["timing", "candidate worse by, % (95 % interval)", "spread of a pair, %", "spread"])


def effect_text(effect: Effect, n: int) -> str:
    """In %, with its interval."""
    share, low, high = effect.as_share()
    return interval_text(stats.Estimate(100 * share, None if low is None else 100 * low,
                                        None if high is None else 100 * high, n, None))


def flip_means(test: LogSample, how: Resampling) -> Floats:
    """The mean difference of the logs under each flip of the pairs' signs; the first one is the observed one."""
    sums: Floats = flips(len(test.differences), how) @ np.asarray(test.differences)
    return sums / len(test.differences)


# -- many timings --------------------------------------------------------------------------------------------

def alarms(tests: Sequence[LogSample], level: float, *, trials: int, seed: int) -> pd.DataFrame:
    """How often chance alone gives a p-value of at most ``level``: in one test, in any of them, in any after Holm.

    In each trial the arms of random repetitions change places, in all tests together.  No minimum effect is asked for.
    The intervals of 95 % cover the number of trials.
    """
    how = Resampling.reaching(level / len(tests), seed)
    pairs = [_repetitions(one.comparison) for one in tests]
    every = sorted({repetition for one in pairs for repetition in one})
    signs = np.random.default_rng([seed, len(every)]).choice([-1.0, 1.0], (trials, len(every)))
    p = np.empty((trials, len(tests)))
    for place, (one, own) in enumerate(zip(tests, pairs, strict=True)):
        flipped = signs[:, [every.index(repetition) for repetition in own]] * np.asarray(one.differences)
        p[:, place] = [paired_p(row, how) for row in flipped.tolist()]
    kinds = [(f"one timing: {name_of(tests[0])}", p[:, 0] <= level),
             (f"any of {len(tests)}, uncorrected", (p <= level).any(axis=1)),
             (f"any of {len(tests)}, after Holm's correction", (holm(p) <= level).any(axis=1))]
    rates = [alarm_rate(int(hits.sum()), trials) for _, hits in kinds]
    return pd.DataFrame([(name, rate.alarms, trials, 100 * rate.rate, 100 * rate.low, 100 * rate.high)
                         for (name, _), rate in zip(kinds, rates, strict=True)],
                        columns=["asked for", "alarms", "trials", "false alarms, %", "low, %", "high, %"]
                        ).set_index("asked for")


def _repetitions(one: Comparison) -> list[int]:
    """Those of the pairs, in the order of a paired ``LogSample``."""
    return sorted(one.baseline.keys() & one.candidate.keys())


def holm_steps(gate: Gate) -> pd.DataFrame:
    """The gate's timings by their p-values: by how many each is multiplied, and what becomes of it."""
    tested = sorted(_tested(gate), key=lambda row: row.p or 0.0)
    level = gate.rules.alpha_a_look
    return pd.DataFrame([(f"{row.quantity.phase}, {metric_words(row.quantity.metric)}", row.p, len(tested) - place,
                          (row.p or 0.0) * (len(tested) - place), row.p_holm, (row.p_holm or 0.0) <= level)
                         for place, row in enumerate(tested)],
                        columns=["timing", "p", "times", "product", "corrected p", f"at most {short(level, 6)}"]
                        ).set_index("timing")


def _tested(gate: Gate) -> list[Row]:
    return [row for row in gate.rows if row.p is not None]


# -- power ---------------------------------------------------------------------------------------------------

def detectable(tests: Sequence[LogSample], rules: Rules, pairs: Sequence[int], *, seed: int,
               draws: int) -> pd.DataFrame:
    """A row a test, a column a number of pairs: the smallest worsening found with a power of 80 %, in %.

    At the level that the gate leaves the first of so many tests; NaN where so few pairs find nothing, however large.
    """
    level = rules.alpha_a_look / len(tests)

    def found(one: LogSample, n: int) -> float:
        effect = smallest_effect(one.differences, one.limit, level, n=n, seed=seed, draws=draws)
        return math.nan if effect is None else 100 * effect

    return pd.DataFrame([[found(one, n) for n in pairs] for one in tests], index=[name_of(one) for one in tests],
                        columns=pd.Index(list(pairs), name="pairs"))


# -- a slow-down that is made up -----------------------------------------------------------------------------

def slowed(sides: Sides, phase: str, metric: str, factor: float) -> Sides:
    """The same sides with one timing of the candidate made worse by a factor, in memory: nothing of it was measured.

    Raises ValueError for a factor of 0 or less, and where there is no such timing.
    """
    hit = [one for one in sides.comparisons if (one.quantity.phase, one.quantity.metric) == (phase, metric)]
    if factor <= 0 or metric not in TIMINGS or not hit:
        raise ValueError(f"{metric} in {phase} by {short(factor, 6)}; a timing of the run and a factor above 0 "
                         "expected")
    scale = 1 / factor if higher_is_better(metric) else factor
    changed = tuple(one if one not in hit else replace(one, candidate={
        repetition: value * scale for repetition, value in one.candidate.items()}) for one in sides.comparisons)
    return replace(sides, comparisons=changed)


def timing_rows(gate: Gate) -> pd.DataFrame:
    """The gate's timings as it prints them, the worst first."""
    rows = [shown.line(row) for row in shown.sorted_rows(gate.rows) if row.kind == TIMING]
    return pd.DataFrame(rows, columns=list(shown.HEAD)).drop(columns="cell").set_index("verdict")


def row_of(gate: Gate, phase: str, metric: str) -> Row | None:
    """What the gate says of a timing; None where it says nothing."""
    return next((row for row in gate.rows if row.kind == TIMING
                 and (row.quantity.phase, row.quantity.metric) == (phase, metric)), None)


def self_test_table(found: SelfTest) -> pd.DataFrame:
    """A row a timing: its own false alarms, and the smallest effect found."""
    return pd.DataFrame(shown.self_test_lines(found), columns=list(shown.SELF_TEST_HEAD)).drop(columns="cell"
                        ).set_index(["phase", "quantity"])


# -- two arms, or two runs -----------------------------------------------------------------------------------

def first_half(sides: Sides) -> Sides:
    """Two arms in the first half of the repetitions."""
    early, _ = _halves(sides)
    return replace(sides, comparisons=tuple(replace(one, baseline=_of(one.baseline, early),
                                                    candidate=_of(one.candidate, early)) for one in sides.comparisons))


def as_two_runs(sides: Sides) -> Sides:
    """One arm of the first half against the other arm of the second: as if each had been a run of its own.

    The values are the run's; that they are two runs is made up.
    """
    early, late = _halves(sides)
    return replace(sides, paired=False,
                   comparisons=tuple(replace(one, baseline=_of(one.baseline, early), candidate=_of(one.candidate, late))
                                     for one in sides.comparisons))


def _halves(sides: Sides) -> tuple[set[int], set[int]]:
    """The repetitions that both arms have, an odd last one left out.  Raises ValueError for fewer than two."""
    every = sorted({repetition for one in sides.comparisons for repetition in _repetitions(one)})
    half = len(every) // 2
    if not half:
        raise ValueError(f"{len(every)} repetitions; two at least")
    return set(every[:half]), set(every[half:2 * half])


def _of(values: Values, repetitions: set[int]) -> dict[int, float]:
    return {repetition: value for repetition, value in values.items() if repetition in repetitions}


Both = list[tuple[str, int, Effect, Effect]]
"""Test, n, what two arms say, what two runs say."""


def arms_and_runs(sides: Sides, rules: Rules) -> Both:
    """Of each test that both ways have: half of the repetitions as two arms, and as many as two runs."""
    arms = {one.comparison.quantity: one for one in tests_of(first_half(sides), rules)}
    runs = {one.comparison.quantity: one for one in tests_of(as_two_runs(sides), rules)}
    return [(name_of(arm), len(arm.differences), paired_effect(arm.differences),
             unpaired_effect(runs[quantity].baseline, runs[quantity].candidate))
            for quantity, arm in arms.items() if quantity in runs]


def arms_and_runs_table(found: Both) -> pd.DataFrame:
    """A row a test: both effects in %, and how many times as wide the interval of two runs is."""
    rows = [(name, effect_text(arms, n), effect_text(runs, n), _width(runs) / (_width(arms) or math.nan))
            for name, n, arms, runs in found]
    return indexed(rows, ["timing", "two arms: worse by, %", "two runs: worse by, %", "interval wider by a factor of"])


def _width(effect: Effect) -> float:
    """Of the interval of the logs; NaN without one."""
    return math.nan if effect.low is None or effect.high is None else effect.high - effect.low
