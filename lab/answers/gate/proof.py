"""How often the gate finds a slow-down that was made on purpose.

A run whose candidate was slowed down by a known cause, such as a throttled disk, is drawn from: each draw takes some
of its pairs without replacement, and the gate judges the timings of one storage as a run of their own.  Draws from one
run share pairs, so that their number says less than as many runs would; the binomial interval is of independent ones.

A storage that has the same options in both arms is the *control*: where the workloads are the same too, what is found
there was not made, and is a false alarm.

What should have been found is told from the same pairs, less their mean: the noise of the very hour in which the
slow-down was there (``lab.answers.gate.power``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean, stdev

import numpy as np
from pydantic import BaseModel, ConfigDict

from lab.answers.gate.gate import judge_rows
from lab.answers.gate.power import POWER, smallest_effect
from lab.answers.gate.rows import TIMING, Row, Status, overall
from lab.answers.gate.rules import Rules
from lab.answers.gate.self_test import AlarmRate, alarm_rate
from lab.answers.gate.sides import Comparison, Quantity, Sides, two_arms
from lab.answers.gate.timings import LogSample, log_sample, timings_among
from lab.errors import InputError
from lab.runs.store import Run, table_digest
from lab.scenario.arms import BASELINE, CANDIDATE
from lab.text import counted, metric_words

SCHEMA_VERSION = 2
DRAWS = 20


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FoundTiming(_Record):
    """One timing.  ``worse``: the candidate, over all pairs (0.1: a factor of 1.1).  ``spread``: what one pair is off
    by, the standard deviation of the log-ratios.  ``smallest_effect``: the worsening that a draw would find with a
    power of 80 % in that spread; null where none would be.  ``found``: the draws that called it a regression."""

    cell: str
    phase: str
    metric: str
    worse: float | None
    spread: float | None
    smallest_effect: float | None
    found: int


class StorageProof(_Record):
    """One storage's timings.  ``held_back``: the candidate's limit, and ``before`` the baseline's; null for none.

    ``found``: draws with a regression in any timing.  ``left_open``: draws without one in which a timing is
    inconclusive, so that more pairs would be asked for.  ``whole``: what the gate says of the timings of all pairs.
    """

    storage: str
    control: bool
    held_back: str | None
    before: str | None
    found: AlarmRate
    left_open: int
    whole: Status
    timings: list[FoundTiming]


class Proof(_Record):
    """``pairs``: those of one draw, out of ``measured`` ones."""

    schema_version: int = SCHEMA_VERSION
    run: str
    digest: str
    pairs: int
    measured: int
    seed: int
    power: float = POWER
    storages: list[StorageProof]


def prove(run: Run, rules: Rules, *, pairs: int, seed: int, draws: int = DRAWS) -> Proof:
    """Draws so many pairs so often, the same ones for all storages.

    Raises InputError where the run has too few for so many different draws, or one arm.
    """
    sides = two_arms(run)
    every = sorted({repetition for one in sides.comparisons
                    for repetition in one.baseline.keys() & one.candidate.keys()})
    if (different := math.comb(len(every), pairs)) < draws:
        what = (f"{pairs} are to be drawn" if not different else
                f"{counted(different, 'different draw')} of {pairs} are in them, and {draws} are to be made")
        raise InputError(f"the run has {counted(len(every), 'pair')}; {what}", where=str(run.path),
                         remedy="measure more pairs, or draw fewer with --pairs")
    random = np.random.default_rng([seed, pairs, len(every)])
    drawn = [frozenset(int(one) for one in random.choice(every, size=pairs, replace=False)) for _ in range(draws)]
    labels = dict.fromkeys(_label(one.quantity.cell) for one in sides.comparisons)
    return Proof(run=run.manifest.run, digest=table_digest(run), pairs=pairs, measured=len(every), seed=seed,
                 storages=[_storage(label, _on(sides, label), rules, drawn, pairs, seed) for label in labels])


def _storage(label: str, sides: Sides, rules: Rules, drawn: list[frozenset[int]], pairs: int,
             seed: int) -> StorageProof:
    hits: Counter[Quantity] = Counter()
    verdicts: Counter[Status] = Counter()
    for chosen in drawn:
        judged = _timings(_of(sides, chosen), rules, seed)
        hits.update(row.quantity for row in judged if row.status is Status.REGRESSION)
        verdicts[overall(judged, [])] += 1
    rows = _timings(sides, rules, seed)
    samples = _samples(sides, rules)
    level = rules.alpha_a_look / max(1, len(samples))

    def told(row: Row) -> FoundTiming:
        noise = _noise(samples.get(row.quantity))
        limit = row.limit or 0.0
        return FoundTiming(
            cell=row.quantity.cell, phase=row.quantity.phase, metric=row.quantity.metric, worse=row.worse,
            spread=stdev(noise) if len(noise) > 1 else None, found=hits[row.quantity],
            smallest_effect=smallest_effect(noise, limit, level, n=pairs, seed=seed) if len(noise) > 1 else None)

    options = {side: {cell: record.options for cell, record in sides.cells[side].items()} for side in sides.cells}
    limits = {side: dict.fromkeys(str(own["throttle"]) for own in options[side].values() if "throttle" in own)
              for side in options}
    return StorageProof(storage=label, control=options[BASELINE] == options[CANDIDATE],
                        held_back="; ".join(limits[CANDIDATE]) or None, before="; ".join(limits[BASELINE]) or None,
                        found=alarm_rate(verdicts[Status.REGRESSION], len(drawn)),
                        left_open=verdicts[Status.INCONCLUSIVE], whole=overall(rows, []),
                        timings=[told(row) for row in rows])


def pair_spreads(run: Run, rules: Rules) -> dict[Quantity, float]:
    """What one pair of two arms is off by, of every timing with two pairs or more: the standard deviation of the
    log-ratios.  What the gate can find grows with it in proportion."""
    noise = {quantity: _noise(sample) for quantity, sample in _samples(two_arms(run), rules).items()}
    return {quantity: stdev(values) for quantity, values in noise.items() if len(values) > 1}


def _samples(sides: Sides, rules: Rules) -> dict[Quantity, LogSample]:
    made = (log_sample(one, rules, paired=True) for one in timings_among(sides.comparisons, rules))
    return {one.comparison.quantity: one for one in made if isinstance(one, LogSample)}


def _noise(sample: LogSample | None) -> list[float]:
    """The pairs' log-ratios less their mean: without the slow-down, as far as it was the same in every pair."""
    if sample is None:
        return []
    mean = fmean(sample.differences)
    return [one - mean for one in sample.differences]


def _timings(sides: Sides, rules: Rules, seed: int) -> list[Row]:
    return [row for row in judge_rows(sides, rules, seed=seed) if row.kind == TIMING]


def _label(cell: str) -> str:
    """The storage's, which a cell's id begins with."""
    return cell.partition(".")[0]


def _on(sides: Sides, label: str) -> Sides:
    """The sides on that storage alone."""
    return replace(sides, comparisons=tuple(one for one in sides.comparisons if _label(one.quantity.cell) == label),
                   cells={side: {cell: record for cell, record in cells.items() if _label(cell) == label}
                          for side, cells in sides.cells.items()})


def _of(sides: Sides, repetitions: frozenset[int]) -> Sides:
    """The sides in those repetitions alone."""
    def kept(values: Mapping[int, float]) -> dict[int, float]:
        return {repetition: value for repetition, value in values.items() if repetition in repetitions}

    chosen = tuple(Comparison(one.quantity, kept(one.baseline), kept(one.candidate)) for one in sides.comparisons)
    return replace(sides, comparisons=tuple(one for one in chosen if one.baseline and one.candidate))


def sentences(told: Proof) -> list[str]:
    """What was found, a sentence a storage."""
    return [_sentence(one, told) for one in told.storages]


def _than(one: StorageProof) -> str:
    return f" and to {one.before} in the baseline" if one.before else ""


def _sentence(one: StorageProof, told: Proof) -> str:
    worst = max((timing for timing in one.timings if timing.worse is not None),
                key=lambda timing: timing.worse or 0.0, default=None)
    most = (f"worst in {worst.phase} {metric_words(worst.metric)}, by {100 * (worst.worse or 0.0):+.1f} %" if worst
            else "timed in nothing")
    what = ("of the same options in both arms" if one.control else
            f"held to {one.held_back} in the candidate{_than(one)}" if one.held_back else
            "of other options in the candidate")
    rate = one.found
    return (f"{one.storage}, {what}: {most}; the gate found a regression in {rate.alarms} of {rate.trials} "
            f"draws of {told.pairs} from {told.measured} pairs ({100 * rate.low:.0f} to {100 * rate.high:.0f} %, if "
            f"draws were independent), more pairs asked for in {one.left_open}; of all pairs it says "
            f"{one.whole.value}.")
