"""The self-test against gates that are really run on exchanged and shifted data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import gate_runs as runs
from scipy.stats import beta

from lab.answers.gate.gate import judge_rows
from lab.answers.gate.rows import Status
from lab.answers.gate.rules import Rules
from lab.answers.gate.self_test import alarm_rate, read_self_test, self_test
from lab.answers.gate.sides import Sides, two_arms
from lab.errors import InputError
from lab.runs.store import open_run

SEED = 7


def test_the_interval_is_clopper_and_pearsons() -> None:
    found = alarm_rate(3, 200)
    assert (found.low, found.high) == pytest.approx((beta.ppf(0.025, 3, 198), beta.ppf(0.975, 4, 197)))
    assert (alarm_rate(0, 50).low, alarm_rate(50, 50).high) == (0.0, 1.0)


def exchanged(sides: Sides, repetitions: frozenset[int]) -> Sides:
    return Sides(True, tuple(one.swapped(repetitions) for one in sides.comparisons), (), sides.cells, sides.manifests,
                 sides.paths)


@pytest.mark.parametrize("repetitions", [8, 15])       # exact flips, and random ones
def test_the_shortcut_over_trials_counts_what_whole_gates_find(tmp_path: Path, repetitions: int) -> None:
    def late(row: dict[str, Any]) -> dict[str, Any]:     # one repetition of one arm leaves space behind
        told = tuple(row[name] for name in ("metric", "phase", "repetition", "arm"))
        odd = told == ("storage_growth", "remove", 3, "baseline")
        return {**row, "value": row["value"] + 30 * runs.MIB} if odd else row

    rules = Rules(alpha=0.4, looks=1, minimum_effects={"write_bandwidth": 0.0, "duration": 0.0,
                                                      "write_latency_p99": 0.0})
    run = open_run(runs.build(tmp_path / "aa", repetitions=repetitions, edit=late))
    trials = 40
    found = self_test([run], rules, seed=SEED, trials=trials, draws=20)
    swapped = np.random.default_rng([SEED, repetitions]).integers(0, 2, size=(trials, repetitions)).astype(bool)
    sides, alarms, by_timing = two_arms(run), 0, 0
    for row in swapped:
        chosen = frozenset(int(r) + 1 for r in np.flatnonzero(row))
        judged = [one for one in judge_rows(exchanged(sides, chosen), rules, seed=SEED)
                  if one.status is Status.REGRESSION]
        alarms += bool(judged)
        by_timing += any(one.kind == "timing" for one in judged)
    slack = 0 if repetitions == 8 else 2        # random flips, drawn anew around each exchanged set
    assert abs(found.gate.alarms - alarms) <= slack
    assert abs(found.by_timings.alarms - by_timing) <= slack
    assert 0 < found.by_timings.alarms < trials


def test_a_bimodal_count_is_told_with_its_alarms_and_the_growth_that_is_found(tmp_path: Path) -> None:
    def late(row: dict[str, Any]) -> dict[str, Any]:
        odd = row["metric"] == "storage_growth" and row["phase"] == "remove" and row["repetition"] % 2 \
            and row["arm"] == "candidate"
        return {**row, "value": row["value"] + 30 * runs.MIB} if odd else row

    run = open_run(runs.build(tmp_path / "aa", repetitions=3, edit=late))
    found = self_test([run], Rules(), seed=SEED, trials=400, draws=20)
    by_metric = {(one.phase, one.metric): one for one in found.counts}
    assert set(by_metric) == {("remove", "storage_growth"), ("whole cell", "storage_growth_left")}
    # the median moves where both odd repetitions stay on the side of the candidate: 1 in 4
    assert by_metric["remove", "storage_growth"].false_alarms.rate == pytest.approx(0.25, abs=0.08)
    assert found.by_counts.alarms == by_metric["remove", "storage_growth"].false_alarms.alarms


def test_several_runs_count_as_one_of_all_their_repetitions(tmp_path: Path) -> None:
    made = [open_run(runs.build(tmp_path / name, repetitions=5, seed=seed)) for seed, name in ((1, "a"), (2, "b"))]
    found = self_test(made, Rules(), seed=SEED, trials=50, draws=50)
    assert found.repetitions == 10
    assert {one.n for one in found.metrics} == {10}
    assert found.runs == ["a", "b"]


def test_the_power_can_be_told_for_another_number_of_repetitions(tmp_path: Path) -> None:
    run = open_run(runs.build(tmp_path / "aa", repetitions=10, noise=0.1))
    few, usual, many = (self_test([run], Rules(), seed=SEED, trials=10, draws=100, repetitions=n) for n in (4, 10, 20))
    assert all(one.smallest_effect is None and "4 pairs cannot give" in one.reason for one in few.metrics)
    for before, after in zip(usual.metrics, many.metrics, strict=True):
        assert before.smallest_effect is not None
        assert after.smallest_effect is not None
        assert after.smallest_effect <= before.smallest_effect


def test_what_is_found_is_found_by_the_gate_too(tmp_path: Path) -> None:
    found = self_test([open_run(runs.build(tmp_path / "aa", repetitions=10))], Rules(), seed=SEED, trials=10)
    effect = max(one.smallest_effect or 0 for one in found.metrics if one.metric == "write_bandwidth")
    verdicts = []
    for seed in range(20, 30):
        for scale, name in ((1.5, "larger"), (0.2, "smaller")):
            run = open_run(runs.build(tmp_path / f"{name}-{seed}", seed=seed, workloads=("fio",),
                                      edit=runs.worse("write_bandwidth", 1 / (1 + scale * effect), phase="seq-write")))
            rows = judge_rows(two_arms(run), Rules(), seed=SEED)
            verdicts.append((name, any(row.status is Status.REGRESSION for row in rows)))
    assert verdicts.count(("larger", True)) >= 8
    assert verdicts.count(("smaller", True)) == 0


@pytest.mark.parametrize("metric", ["write_bandwidth", "storage_growth"])
def test_a_value_that_is_no_number_is_refused_by_name(tmp_path: Path, metric: str) -> None:
    def edit(row: dict[str, Any]) -> dict[str, Any]:
        odd = row["metric"] == metric and row["repetition"] == 1 and row["arm"] == "baseline"
        return {**row, "value": float("nan")} if odd else row

    run = open_run(runs.build(tmp_path / "run", edit=edit))
    with pytest.raises(InputError, match=f"{metric}: .*repetition 1 is no number") as caught:
        self_test([run], Rules(), seed=1)
    assert f"ignore: [{metric}]" in (caught.value.remedy or "")


def test_a_result_reads_back_as_it_was(tmp_path: Path) -> None:
    run = open_run(runs.build(tmp_path / "aa", repetitions=5))
    found = self_test([run], Rules(), seed=SEED, trials=10, draws=10)
    (tmp_path / "self.json").write_text(found.model_dump_json())
    assert read_self_test(tmp_path / "self.json") == found
    assert self_test([run], Rules(), seed=SEED, trials=10, draws=10) == found
