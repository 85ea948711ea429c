"""How often the gate cries wolf, and what it finds: told from an A/A run, one scenario measured as both arms.

*False alarms.*  In each trial the arms of random repetitions change places, all
quantities of a repetition together, and the whole gate judges.  The share of
trials with a regression has a Clopper-Pearson interval, which covers the number
of trials, not the choice of the run: a run of few repetitions, or of a quiet
hour, knows little of other hours.

*Power.*  The smallest effect that the gate finds: ``lab.answers.gate.power``.

Source: C. J. Clopper & E. S. Pearson, Biometrika 26 (1934) 404.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from lab.answers.gate.aa_runs import aa_sides
from lab.answers.gate.counts import MOVING, comparable, judge_counts, with_totals
from lab.answers.gate.fingerprint import fingerprint
from lab.answers.gate.gate import blocks_of, judge_rows
from lab.answers.gate.holm import holm
from lab.answers.gate.permutation import Resampling, flips
from lab.answers.gate.power import DRAWS, POWER, smallest_effect
from lab.answers.gate.rows import Status
from lab.answers.gate.rules import Rules
from lab.answers.gate.sides import Comparison, Sides
from lab.answers.gate.timings import LogSample, log_sample, timings_among
from lab.errors import InputError, ReaderError
from lab.readers.text_file import load_text
from lab.runs.store import Run, table_digest

_MOST_BYTES = 64 << 20

Progress = Callable[[int, int, str], None]
"""Called with timings done, of how many, and the one that is next."""

TRIALS = 1_000
LEVEL = 0.95
SCHEMA_VERSION = 1

Bools = NDArray[np.bool_]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AlarmRate(_Record):
    """False alarms among trials, and the exact interval of their rate."""

    alarms: int
    trials: int
    rate: float
    low: float
    high: float


class MetricTest(_Record):
    """One timing: its own false alarms within the gate, and the smallest effect found (0.1: a factor of 1.1).

    ``smallest_effect`` is null where not even an unlimited one would be found, and ``reason`` says why.
    """

    cell: str
    phase: str
    metric: str
    n: int
    minimum_effect: float
    false_alarms: AlarmRate
    smallest_effect: float | None
    reason: str


class CountTest(_Record):
    """One count that varied in the run: its false alarms, and the growth above the median that is still none."""

    cell: str
    phase: str
    metric: str
    unit: str
    false_alarms: AlarmRate
    smallest_growth: float


class SelfTest(_Record):
    """``as_measured``: what the gate said of the runs as they are, arms in their places."""

    schema_version: int = SCHEMA_VERSION
    runs: list[str]
    digests: list[str]
    scenario: str
    repetitions: int
    seed: int
    alpha: float
    looks: int
    power: float
    draws: int
    as_measured: list[str]
    gate: AlarmRate
    by_timings: AlarmRate
    by_counts: AlarmRate
    metrics: list[MetricTest]
    counts: list[CountTest]
    environment: dict[str, str]


@dataclass(frozen=True)
class _Trials:
    """Which repetitions change places: a row a trial, a column a repetition (in order)."""

    repetitions: tuple[int, ...]
    swapped: Bools


def self_test(runs: Sequence[Run], rules: Rules, *, seed: int, trials: int = TRIALS, draws: int = DRAWS,
              repetitions: int | None = None, progress: Progress | None = None) -> SelfTest:
    """The self-test from A/A runs; several count as one of all their repetitions.

    ``repetitions``: those that the power is told for; None: as many as the runs have together.
    ``progress`` is told of each timing whose smallest effect is sought.  Raises InputError
    where a run is no A/A run, where two runs differ in environment or scenario, and where nothing can be tested.
    """
    sides = aa_sides(runs)
    tests = _tests(sides, rules, runs[0].path)
    every = tuple(sorted({r for one in sides.comparisons for r in one.baseline.keys() & one.candidate.keys()}))
    if not tests or len(every) < 2:
        raise InputError(
            "an A/A run of one repetition, or without timings, tells nothing of noise", where=str(runs[0].path),
            remedy=f"go on with the run: lab run SCENARIO --against SCENARIO --resume {runs[0].path} --repetitions "
                   f"{rules.max_repetitions}")
    random = np.random.default_rng([seed, len(every)])
    drawn = _Trials(every, random.integers(0, 2, size=(trials, len(every))).astype(bool))
    timing_alarms = _timing_alarms(tests, rules, drawn, seed)
    count_alarms = _count_alarms(sides, rules, drawn)
    by_timings = np.any(timing_alarms, axis=1)
    by_counts = np.any([alarms for _, alarms in count_alarms], axis=0) if count_alarms else np.zeros(trials, dtype=bool)
    wanted = repetitions or len(every)

    def tested(place: int, test: LogSample) -> MetricTest:
        if progress is not None:
            progress(place, len(tests), str(test.comparison.quantity))
        return _metric_test(test, timing_alarms[:, place], rules, len(tests), wanted, draws, seed)

    return SelfTest(
        runs=[run.manifest.run for run in runs], digests=[table_digest(run) for run in runs],
        scenario=runs[0].manifest.scenario.sha256, repetitions=wanted, seed=seed, alpha=rules.alpha,
        looks=rules.looks, power=POWER, draws=draws,
        as_measured=[f"{row.quantity}: {row.status}" for row in judge_rows(sides, rules, seed=seed)
                     if row.status is Status.REGRESSION],
        gate=alarm_rate(int(np.sum(by_timings | by_counts)), trials),
        by_timings=alarm_rate(int(by_timings.sum()), trials), by_counts=alarm_rate(int(by_counts.sum()), trials),
        metrics=[tested(place, test) for place, test in enumerate(tests)],
        counts=[_count_test(one, alarms, rules, sides) for one, alarms in count_alarms],
        environment=fingerprint(runs[0].manifest))


def alarm_rate(alarms: int, trials: int) -> AlarmRate:
    """The rate with its Clopper-Pearson interval of 95 %.

    >>> alarm_rate(0, 100).high.__round__(4)
    0.0362
    """
    from scipy.stats import binomtest

    interval = binomtest(alarms, trials).proportion_ci(LEVEL, method="exact")
    return AlarmRate(alarms=alarms, trials=trials, rate=alarms / trials, low=float(interval.low),
                     high=float(interval.high))


def _metric_test(test: LogSample, alarms: Bools, rules: Rules, tests: int,
                 n: int, draws: int, seed: int) -> MetricTest:
    quantity, level = test.comparison.quantity, rules.alpha_a_look / tests
    found = smallest_effect(test.differences, test.limit, level, n=n, seed=seed, draws=draws)
    return MetricTest(
        cell=quantity.cell, phase=quantity.phase, metric=quantity.metric, n=len(test.baseline),
        minimum_effect=test.limit, false_alarms=alarm_rate(int(alarms.sum()), len(alarms)), smallest_effect=found,
        reason="" if found is not None else f"{n} pairs cannot give a p-value of {level:.2g}, as {tests} timings need")


def _tests(sides: Sides, rules: Rules, where: Path) -> list[LogSample]:
    """The timings' logarithms.  Raises InputError for a timing that has none, and for a count that is no number."""
    def refused(one: Comparison, why: str) -> InputError:
        quantity = one.quantity
        return InputError(f"{quantity.cell}, {quantity.phase}, {quantity.metric}: {why}", where=str(where),
                          remedy=f"leave it out with --rules and ignore: [{quantity.metric}], or measure again")

    made = []
    for one in timings_among(sides.comparisons, rules):
        found = log_sample(one, rules, paired=True)
        if isinstance(found, str):
            raise refused(one, found)
        made.append(found)
    for one in sides.comparisons:
        if rules.is_count(one.quantity.metric):
            for repetition, value in (*one.baseline.items(), *one.candidate.items()):
                if not math.isfinite(value):
                    raise refused(one, f"the value in repetition {repetition} is no number")
    return made


def _timing_alarms(tests: Sequence[LogSample], rules: Rules, drawn: _Trials,
                   seed: int) -> Bools:
    """Whether each timing is a regression: a row a trial, a column a timing.

    The flips of flipped pairs are those of the pairs, so that one sorted list of sums serves all trials.
    """
    how = Resampling.reaching(rules.alpha_a_look / len(tests), seed)
    trials = len(drawn.swapped)
    p, large = np.empty((trials, len(tests))), np.empty((trials, len(tests)), dtype=bool)
    for place, test in enumerate(tests):
        pairs = np.asarray(test.differences)
        shared = sorted(test.comparison.baseline.keys() & test.comparison.candidate.keys())
        columns = [drawn.repetitions.index(repetition) for repetition in shared]
        sums = (1.0 - 2.0 * drawn.swapped[:, columns]) @ pairs
        signs, slack = flips(len(pairs), how), 1e-12 * float(np.abs(pairs).sum())
        exact = len(signs) == 2 ** len(pairs)
        every = np.sort(signs @ pairs if exact else signs[1:] @ pairs)
        above = len(every) - np.searchsorted(every, sums - slack, side="left")
        p[:, place] = above / len(every) if exact else (1 + above) / (1 + len(every))
        large[:, place] = sums / len(pairs) >= math.log1p(test.limit)
    alarms: Bools = (holm(p) <= rules.alpha_a_look) & large
    return alarms


def _count_alarms(sides: Sides, rules: Rules,
                  drawn: _Trials) -> list[tuple[Comparison, Bools]]:
    """Whether each count that varied is a regression, a value a trial."""
    counts = [one for one in with_totals(sides.comparisons) if rules.is_count(one.quantity.metric)]
    varied = [one for one in counts if len({*one.baseline.values(), *one.candidate.values()}) > 1]
    cells = {one.quantity.cell for one in varied}
    counts = [one for one in counts if one.quantity.cell in cells]      # a cell's totals excuse its phases
    moved = [one for one in sides.comparisons if one.quantity.metric in MOVING]
    blocks = blocks_of(sides)
    alarms = {one.quantity: np.zeros(len(drawn.swapped), dtype=bool) for one in varied}
    for trial, row in enumerate(drawn.swapped):
        swapped = frozenset(r for r, change in zip(drawn.repetitions, row, strict=True) if change)
        judged = judge_counts([one.swapped(swapped) for one in counts], rules, blocks)
        for found in comparable(judged, judged, [one.swapped(swapped) for one in moved]):
            if found.status is Status.REGRESSION and found.quantity in alarms:
                alarms[found.quantity][trial] = True
    return [(one, alarms[one.quantity]) for one in varied]


def _count_test(one: Comparison, alarms: Bools, rules: Rules,
                sides: Sides) -> CountTest:
    (row,) = judge_counts([one], rules, blocks_of(sides))
    values = list(one.baseline.values())
    return CountTest(cell=one.quantity.cell, phase=one.quantity.phase, metric=one.quantity.metric,
                     unit=one.quantity.unit, false_alarms=alarm_rate(int(alarms.sum()), len(alarms)),
                     smallest_growth=max(values) + (row.limit or 0.0) - (row.baseline or 0.0))


def read_self_test(path: Path) -> SelfTest:
    """A stored result.  Raises InputError where it cannot be read, or is of another version."""
    try:
        text = load_text(path, str(path), _MOST_BYTES)
    except ReaderError as error:
        why = error.message.removeprefix(f"{path}: ")
        raise InputError(f"the self-test's result cannot be read: {why}", where=str(path),
                         remedy="make one: lab gate --self-test RUN -o FILE") from None
    try:
        found = SelfTest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        spot = ".".join(map(str, first["loc"])) or "the document"
        raise InputError(f"no result of a self-test: {spot}: {first['msg']}", where=str(path),
                         remedy="make one: lab gate --self-test RUN -o FILE") from None
    if found.schema_version != SCHEMA_VERSION:
        raise InputError(f"the result has schema version {found.schema_version}, this lab reads {SCHEMA_VERSION}",
                         where=str(path), remedy="make it again: lab gate --self-test RUN -o FILE")
    return found
