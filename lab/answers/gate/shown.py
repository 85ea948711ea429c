"""A gate's rows and self-test in words and numbers, the same on the terminal, in Markdown and in JUnit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.answers.gate.gate import Gate
from lab.answers.gate.rows import TIMING, Row, Status
from lab.answers.gate.self_test import AlarmRate, SelfTest
from lab.metrics import metric
from lab.text import amount, counted, metric_words, short, signed

HEAD = ("verdict", "cell", "phase", "quantity", "baseline", "candidate", "worse by", "p", "limit", "n", "why")
ORDER = (Status.REGRESSION, Status.INCONCLUSIVE, Status.BETTER, Status.NONE)
"""What a reader wants to see first."""

_TITLES = {Status.REGRESSION: "Regression", Status.INCONCLUSIVE: "Inconclusive", Status.NONE: "No regression"}


def title(gate: Gate) -> str:
    """The verdict and what it rests on, in one line."""
    counts = [counted(len(own), str(status)) if status is Status.REGRESSION else f"{len(own)} {status}"
              for status in ORDER if (own := gate.having(status))]
    return f"{_TITLES[gate.verdict]}: {', '.join(counts) if counts else 'nothing was compared'}"


def sorted_rows(rows: Iterable[Row]) -> list[Row]:
    """The worst first, else in the order of the tables."""
    return sorted(rows, key=lambda row: ORDER.index(row.status))


def line(row: Row) -> list[str]:
    """The texts below ``HEAD``."""
    one = row.quantity
    n = f"{row.n_baseline}" if row.n_baseline == row.n_candidate else f"{row.n_baseline}, {row.n_candidate}"
    p = "–" if row.p_holm is None else f"{short(row.p_holm, 2)}"
    return [str(row.status), one.cell, one.phase, metric_words(one.metric), amount(row.baseline, one.unit),
            amount(row.candidate, one.unit), worse_by(row), p, limit(row), n, row.reason]


def worse_by(row: Row) -> str:
    """How much worse the candidate is; below zero it is better."""
    if row.worse is None:
        return "–"
    if row.kind != TIMING:
        return signed(row.worse, row.quantity.unit)
    centre = f"{100 * row.worse:+.1f} %"
    if row.low is None or row.high is None:
        return centre
    return f"{centre} ({100 * row.low:+.1f} to {100 * row.high:+.1f})"


def limit(row: Row) -> str:
    if row.limit is None:
        return "–"
    return _percent(row.limit) if row.kind == TIMING else amount(row.limit, row.quantity.unit)


def document(gate: Gate, told: SelfTest | None) -> dict[str, Any]:
    """The whole gate as JSON takes it.  ``schema_version`` changes with the meaning of what is here."""
    return {
        "schema_version": 1, "verdict": str(gate.verdict), "title": title(gate), "method": gate.method,
        "paired": gate.paired, "seed": gate.seed, "alpha": gate.rules.alpha, "looks": gate.rules.looks,
        "runs": dict(gate.runs), "commands": list(gate.commands),
        "notices": [{"name": one.name, "text": one.text, "inconclusive": one.inconclusive} for one in gate.notices],
        "rows": [_row(row) for row in gate.rows], "environment": gate.environment,
        "self_test": None if told is None else {"result": told.model_dump(), "differs": differs(gate, told)},
    }


def _row(row: Row) -> dict[str, Any]:
    one = row.quantity
    names = ("kind", "n_baseline", "n_candidate", "baseline", "candidate", "worse", "low", "high", "p", "p_holm",
             "limit", "reason")
    return {"cell": one.cell, "phase": one.phase, "metric": one.metric, "unit": one.unit, "status": str(row.status),
            **{name: getattr(row, name) for name in names}}


def differs(gate: Gate, told: SelfTest) -> list[str]:
    """In what a self-test differs from the gate that it is shown with; empty where it speaks of the same."""
    found = []
    environment = [name for name in {**told.environment, **gate.environment}
                   if told.environment.get(name) != gate.environment.get(name)]
    if environment:
        found.append(f"it was measured in another environment ({', '.join(environment)})")
    if (told.alpha, told.looks) != (gate.rules.alpha, gate.rules.looks):
        found.append(f"its level was {short(told.alpha)} over {counted(told.looks, 'look')}")
    if told.scenario != gate.scenario:
        found.append("it was measured with another scenario than the baseline's")
    pairs = max((row.n_candidate for row in gate.rows if row.kind == TIMING), default=0)
    if gate.rows and pairs != told.repetitions:
        found.append(f"its power is for {counted(told.repetitions, 'pair')}, and here there are {pairs}")
    if not gate.paired:
        found.append("it tells of two arms in one run, and here are two runs")
    known = {(one.cell, one.phase, one.metric): one.minimum_effect for one in told.metrics}
    gated = {(row.quantity.cell, row.quantity.phase, row.quantity.metric): row.limit
             for row in gate.rows if row.kind == TIMING}
    if known != gated:
        found.append("its timings or their minimum effects are others")
    return found


def self_test_sentences(told: SelfTest) -> list[str]:
    """What a self-test found, sentence by sentence."""
    gate, missed = told.gate, [one for one in told.metrics if one.smallest_effect is None]
    found = sorted(one.smallest_effect for one in told.metrics if one.smallest_effect is not None)
    sentences = [
        f"A/A data ({', '.join(told.runs)}), arms exchanged at random {gate.trials:,} times: {_rate(gate)} gave a "
        f"regression (timings {_rate(told.by_timings)}, counts {_rate(told.by_counts)}).",
        "As measured, the gate found "
        + (f"{counted(len(told.as_measured), 'regression')}: {'; '.join(told.as_measured)}." if told.as_measured
           else "none.")]
    if found:
        middle = found[len(found) // 2]
        sentences.append(f"Smallest effect found with {told.power:.0%} power at {counted(told.repetitions, 'pair')}: "
                         f"{_percent(found[0])} to {_percent(found[-1])}, median {_percent(middle)}, over "
                         f"{counted(len(found), 'timing')}.")
    if missed:
        sentences.append(f"Nothing can be found in {len(missed)} of {counted(len(told.metrics), 'timing')}: "
                         f"{missed[0].reason}.")
    return sentences


def self_test_lines(told: SelfTest) -> list[list[str]]:
    """A line a timing: cell, phase, quantity, false alarms, minimum effect, smallest effect found."""
    return [[one.cell, one.phase, metric_words(one.metric), _rate(one.false_alarms), _percent(one.minimum_effect),
             "none" if one.smallest_effect is None else _percent(one.smallest_effect)] for one in told.metrics]


SELF_TEST_HEAD = ("cell", "phase", "quantity", "false alarms", "minimum effect", "smallest effect found")


def count_lines(told: SelfTest) -> list[list[str]]:
    """A line a count that varied: cell, phase, quantity, false alarms, smallest growth found."""
    return [[one.cell, one.phase, metric_words(one.metric), _rate(one.false_alarms),
             amount(one.smallest_growth, metric(one.metric).unit)] for one in told.counts]


COUNT_HEAD = ("cell", "phase", "quantity", "false alarms", "smallest growth found")


def _rate(rate: AlarmRate) -> str:
    return f"{short(100 * rate.rate, 2)} % ({short(100 * rate.low, 2)} to {short(100 * rate.high, 2)})"


def _percent(share: float) -> str:
    return f"{short(100 * share)} %"
