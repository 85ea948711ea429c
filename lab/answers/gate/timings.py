"""Timings: a permutation test over repetitions, Holm's correction over all of them, and a minimum effect.

A regression is worse in a way that chance does not explain, *and* by more than
the metric's minimum effect.  Worse by more than that, but not settled, is
inconclusive; and so is a timing of too few repetitions for the test to reach
the level at all, however it came out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lab.answers.gate.effects import Effect, paired_effect, unpaired_effect, worse_logs
from lab.answers.gate.holm import holm
from lab.answers.gate.permutation import (
    Resampling,
    paired_p,
    pairs_needed,
    repetitions_needed,
    smallest_paired_p,
    smallest_unpaired_p,
    unpaired_p,
)
from lab.answers.gate.rows import TIMING, Row, Status
from lab.answers.gate.rules import Rules, covered_by_bandwidth
from lab.answers.gate.sides import Comparison
from lab.metrics import metric
from lab.text import counted, short


@dataclass(frozen=True)
class LogSample:
    """A timing that can be tested: logarithms, turned so that more is worse.  Paired ones are in the same order."""

    comparison: Comparison
    baseline: tuple[float, ...]
    candidate: tuple[float, ...]
    limit: float
    dropped: tuple[int, ...] = ()
    """Repetitions that only one side of a pair has."""

    @property
    def differences(self) -> list[float]:
        return [after - before for before, after in zip(self.baseline, self.candidate, strict=True)]


def timings_among(comparisons: Iterable[Comparison], rules: Rules) -> list[Comparison]:
    """Those that the rules gate as timings; not the duration of a job with a bandwidth, nor a job's idle direction."""
    listed = list(comparisons)
    metrics: dict[tuple[str, str], set[str]] = {}
    for one in listed:
        if not _idle(one):
            metrics.setdefault((one.quantity.cell, one.quantity.phase), set()).add(one.quantity.metric)
    return [one for one in listed
            if rules.minimum_effect(one.quantity.metric) is not None and not _idle(one)
            and not covered_by_bandwidth(metrics[one.quantity.cell, one.quantity.phase], one.quantity.metric)]


def _idle(one: Comparison) -> bool:
    """Whether it is all zero on both sides: what a job that only writes has for its reads."""
    return not any((*one.baseline.values(), *one.candidate.values()))


def log_sample(one: Comparison, rules: Rules, *, paired: bool) -> LogSample | str:
    """The timing's logarithms, or why it has none."""
    limit, higher = rules.minimum_effect(one.quantity.metric), metric(one.quantity.metric).higher_is_better
    assert limit is not None
    assert higher is not None
    for side, values in (("baseline", one.baseline), ("candidate", one.candidate)):
        for repetition, value in values.items():
            if not math.isfinite(value):
                return f"the {side}'s value in repetition {repetition} is no number"
            if value <= 0:
                return f"the {side}'s value in repetition {repetition} is {short(value)}: it has no logarithm"
    before, after = dict(one.baseline), dict(one.candidate)
    dropped: tuple[int, ...] = ()
    if paired:
        shared = before.keys() & after.keys()
        dropped = tuple(sorted((before.keys() | after.keys()) - shared))
        before, after = ({r: side[r] for r in sorted(shared)} for side in (before, after))
        if not shared:
            return "no repetition has both sides"
    return LogSample(one, tuple(worse_logs(list(before.values()), higher_is_better=higher)),
                tuple(worse_logs(list(after.values()), higher_is_better=higher)), limit, dropped)


def judge_timings(comparisons: Iterable[Comparison], rules: Rules, *, paired: bool, seed: int) -> list[Row]:
    """Each of ``timings_among`` them, judged together: the correction counts all that can be tested."""
    rows: list[Row] = []
    tests: list[LogSample] = []
    for one in timings_among(comparisons, rules):
        made = log_sample(one, rules, paired=paired)
        if isinstance(made, LogSample):
            tests.append(made)
        else:
            rows.append(Row(one.quantity, TIMING, Status.INCONCLUSIVE, made, len(one.baseline), len(one.candidate),
                            limit=rules.minimum_effect(one.quantity.metric)))
    if not tests:
        return rows
    needed = rules.alpha_a_look / len(tests)
    how = Resampling.reaching(needed, seed)
    found = [_p(test, how, paired=paired) for test in tests]
    adjusted = holm(found)
    judged = [_judge(test, p, float(p_holm), rules, how, len(tests), paired=paired)
              for test, p, p_holm in zip(tests, found, adjusted, strict=True)]
    return [*judged, *rows]


def _p(test: LogSample, how: Resampling, *, paired: bool) -> float:
    return paired_p(test.differences, how) if paired else unpaired_p(test.baseline, test.candidate, how)


def _judge(test: LogSample, p: float, p_holm: float, rules: Rules, how: Resampling, tests: int, *, paired: bool) -> Row:
    effect = paired_effect(test.differences) if paired else unpaired_effect(test.baseline, test.candidate)
    worse, low, high = effect.as_share()
    n = (len(test.baseline), len(test.candidate))
    row = Row(test.comparison.quantity, TIMING, Status.NONE, "", *n, baseline=_mean(test.comparison.baseline.values()),
              candidate=_mean(test.comparison.candidate.values()), worse=worse, low=low, high=high, p=p, p_holm=p_holm,
              limit=test.limit)
    smallest = smallest_paired_p(n[0], how) if paired else smallest_unpaired_p(*n, how)
    status, reason = _settle(effect, test.limit, p_holm, rules.alpha_a_look, smallest, tests, paired=paired)
    if test.dropped:
        reason += f"; only one side has repetition {', '.join(map(str, test.dropped))}"
    if effect.low == effect.high == 0:
        reason += "; identical in every repetition"
    return replace(row, status=status, reason=reason)


def _settle(effect: Effect, limit: float, p_holm: float, alpha: float, smallest: float, tests: int, *,
            paired: bool) -> tuple[Status, str]:
    least = math.log1p(limit)
    size = f"{_percent(effect.log)} {'worse' if effect.log >= 0 else 'better'}"
    if p_holm <= alpha and effect.log >= least:
        return Status.REGRESSION, f"{size}, p = {short(p_holm, 2)} after correction"
    if smallest * tests > alpha:
        wanted = alpha / tests
        count = f"{pairs_needed(wanted)} pairs" if paired else f"{repetitions_needed(wanted)} repetitions of each run"
        return Status.INCONCLUSIVE, (f"{size}, too few repetitions: no p-value can fall below {short(smallest, 2)}, "
                                     f"and {counted(tests, 'timing')} at {short(alpha, 2)} need {short(wanted, 2)}, "
                                     f"from {count} on")
    if effect.log >= least:
        return Status.INCONCLUSIVE, f"{size}, not settled: p = {short(p_holm, 2)} after correction"
    if p_holm <= alpha:
        return Status.NONE, f"{size}, which is settled, and below the minimum effect of {short(100 * limit)} %"
    if effect.high is not None and effect.high < 0 and -effect.log >= least:
        return Status.BETTER, size
    if effect.high is not None and effect.high >= least:
        return Status.NONE, f"{size}; up to {_percent(effect.high)} worse is not excluded"
    return Status.NONE, f"{size}; more than the minimum effect is excluded"


def _percent(log: float) -> str:
    return f"{short(round(100 * math.expm1(abs(log)), 2))} %"


def _mean(values: Iterable[float]) -> float:
    logs: Sequence[float] = [math.log(value) for value in values]
    return math.exp(math.fsum(logs) / len(logs))
