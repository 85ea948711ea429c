"""Lesson 10 on runs of known noise: against enumeration, the gate's own functions, and edits of known size."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import gate_runs as runs

from lab.answers.gate.gate import Gate, judge
from lab.answers.gate.holm import holm
from lab.answers.gate.permutation import Resampling, paired_p
from lab.answers.gate.power import smallest_effect
from lab.answers.gate.rows import Status
from lab.answers.gate.rules import Rules
from lab.answers.gate.self_test import self_test
from lab.answers.gate.sides import Sides, two_arms
from lab.lessons import gating
from lab.lessons.checks import answers as checks
from lab.lessons.figures import gating as gating_figures
from lab.runs.store import Run, open_run

SEED, N = 7, 10
RULES = Rules()
ASKED = ("rand-write", "write_bandwidth")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return open_run(runs.build(tmp_path_factory.mktemp("gate") / "aa", repetitions=N))


@pytest.fixture
def sides(run: Run) -> Sides:
    return two_arms(run)


@pytest.fixture
def gate(sides: Sides) -> Gate:
    return judge(gating.slowed(sides, *ASKED, 1.5), RULES, seed=SEED)


def values(run: Run, phase: str, metric: str, arm: str) -> list[float]:
    """In the order of the repetitions, from the run's own rows."""
    rows = run.measurements
    own = rows[(rows["phase"] == phase) & (rows["metric"] == metric) & (rows["arm"] == arm)]
    return [float(value) for value in own.sort_values("repetition")["value"]]


# -- noise ---------------------------------------------------------------------------------------------------

def test_noise_is_the_logarithms_of_the_pairs_ratios(run: Run, sides: Sides) -> None:
    tests = gating.tests_of(sides, RULES)
    assert [gating.name_of(one) for one in tests] == [
        "seq-write, write bandwidth", "seq-write, write latency p99", "rand-write, write bandwidth",
        "rand-write, write latency p99", "start, duration", "write, duration", "remove, duration"]
    logs = np.log(values(run, *ASKED, "baseline")) - np.log(values(run, *ASKED, "candidate"))
    test = gating.test_of(tests, *ASKED)
    assert test.differences == pytest.approx(logs.tolist())
    row = gating.noise(tests).loc["rand-write, write bandwidth"]
    assert row["spread"] == pytest.approx(logs.std(ddof=1))
    assert str(row["candidate worse by, % (95 % interval)"]).endswith(f"n = {N})")
    with pytest.raises(ValueError, match="there are seq-write, write bandwidth; "):
        gating.test_of(tests, "no-such", "duration")


def test_flips_are_all_signs_of_the_pairs(sides: Sides) -> None:
    test = gating.tests_of(gating.first_half(sides), RULES)[0]
    by_hand = [float(np.dot(signs, test.differences)) / 5 for signs in product((-1, 1), repeat=5)]
    found = gating.flip_means(test, Resampling(SEED))
    assert sorted(found.tolist()) == pytest.approx(sorted(by_hand))
    assert found[0] == pytest.approx(np.mean(test.differences))
    share = np.mean(np.array(by_hand) >= np.mean(test.differences) - 1e-12)
    assert paired_p(test.differences, Resampling(SEED)) == share


# -- many timings --------------------------------------------------------------------------------------------

def test_many_timings_cry_wolf_more_often_and_holm_brings_it_back(sides: Sides) -> None:
    table = gating.alarms(gating.tests_of(sides, RULES), 0.05, trials=300, seed=SEED)
    one, uncorrected, corrected = table["false alarms, %"].tolist()
    assert one == pytest.approx(100 * 51 / 1024, abs=3.5)           # of 1,024 flips, 51 are a share of at most 0.05
    assert uncorrected > 3 * one
    assert corrected < uncorrected / 2
    assert (table["low, %"] <= table["false alarms, %"]).all()
    assert (table["false alarms, %"] <= table["high, %"]).all()
    assert table["trials"].tolist() == [300] * 3


def test_holms_steps_end_at_the_gates_corrected_values(gate: Gate) -> None:
    table = gating.holm_steps(gate)
    assert table["p"].is_monotonic_increasing
    assert table["times"].tolist() == [7, 6, 5, 4, 3, 2, 1]
    assert table["corrected p"].tolist() == pytest.approx(holm(table["p"].tolist()).tolist())
    assert table["product"].tolist() == pytest.approx((table["p"] * table["times"]).tolist())
    assert table.index[0] == "rand-write, write bandwidth"
    assert table["at most 0.025"].tolist() == [True] + [False] * 6


# -- power ---------------------------------------------------------------------------------------------------

def test_too_few_pairs_find_nothing_and_more_find_less(sides: Sides) -> None:
    tests = gating.tests_of(sides, RULES)
    table = gating.detectable(tests, RULES, [5, 10, 16], seed=SEED, draws=60)
    assert table[5].isna().all()
    assert table[16].mean() < table[10].mean()
    assert (table[16] <= 1.1 * table[10]).all(), "beyond what the draws leave open"
    first = smallest_effect(tests[0].differences, tests[0].limit, RULES.alpha_a_look / 7, n=10, seed=SEED, draws=60)
    assert first is not None
    assert table.iloc[0][10] == 100 * first
    assert gating_figures.detectable(table).png().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="nothing to draw"):
        gating_figures.detectable(table[[5]])


# -- a slow-down that is made up -----------------------------------------------------------------------------

@pytest.mark.parametrize(("phase", "metric", "scale"), [("rand-write", "write_bandwidth", 0.5),
                                                        ("start", "duration", 2.0)])
def test_only_the_candidate_of_one_timing_becomes_worse(sides: Sides, phase: str, metric: str, scale: float) -> None:
    slowed = gating.slowed(sides, phase, metric, 2.0)
    for before, after in zip(sides.comparisons, slowed.comparisons, strict=True):
        hit = (before.quantity.phase, before.quantity.metric) == (phase, metric)
        assert after.baseline == before.baseline
        assert after.candidate == {repetition: value * (scale if hit else 1)
                                   for repetition, value in before.candidate.items()}


@pytest.mark.parametrize(("phase", "metric", "factor"), [
    ("no-such", "duration", 2.0), ("start", "storage_growth", 2.0), ("start", "duration", 0.0)])
def test_what_cannot_be_slowed_is_refused(sides: Sides, phase: str, metric: str, factor: float) -> None:
    with pytest.raises(ValueError, match="a timing of the run and a factor above 0"):
        gating.slowed(sides, phase, metric, factor)


def test_the_gate_finds_the_slow_down_and_nothing_without_it(sides: Sides, gate: Gate) -> None:
    found = gating.row_of(gate, *ASKED)
    assert found is not None
    assert found.status is Status.REGRESSION
    assert gating.timing_rows(gate).index[0] == "regression"
    assert len(gating.timing_rows(gate)) == 7
    assert judge(sides, RULES, seed=SEED).verdict is not Status.REGRESSION
    assert gating.row_of(gate, "no-such", "duration") is None


def test_the_self_tests_table_has_a_row_a_timing(run: Run) -> None:
    found = self_test([run], RULES, seed=SEED, trials=20, draws=20)
    assert len(gating.self_test_table(found)) == 7


# -- two arms, or two runs -----------------------------------------------------------------------------------

def test_halves_hold_the_runs_own_values(sides: Sides) -> None:
    arms, two = gating.first_half(sides), gating.as_two_runs(sides)
    assert (arms.paired, two.paired) == (True, False)
    for whole, early, split in zip(sides.comparisons, arms.comparisons, two.comparisons, strict=True):
        assert early.baseline == split.baseline == {r: whole.baseline[r] for r in range(1, 6)}
        assert early.candidate == {r: whole.candidate[r] for r in range(1, 6)}
        assert split.candidate == {r: whole.candidate[r] for r in range(6, 11)}
    lone = Sides(True, (), (), sides.cells, sides.manifests, sides.paths)
    with pytest.raises(ValueError, match="two at least"):
        gating.first_half(lone)


def test_drift_is_no_noise_for_two_arms_and_all_the_more_for_two_runs(tmp_path: Path) -> None:
    def drift(row: dict[str, Any]) -> dict[str, Any]:
        late = row["metric"] == "duration" and row["phase"] == "start"
        return {**row, "value": row["value"] * 1.05 ** row["repetition"]} if late else row

    found = gating.arms_and_runs(two_arms(open_run(runs.build(tmp_path / "aa", repetitions=N, edit=drift))), RULES)
    name, n, arms, two = next(one for one in found if one[0] == "start, duration")
    assert n == 5
    assert abs(arms.log) < 0.05
    assert two.log == pytest.approx(5 * math.log(1.05), abs=0.05)
    table = gating.arms_and_runs_table(found)
    assert table.loc[name, "interval wider by a factor of"] > 1.5
    drawing = gating_figures.arms_and_runs(found)
    assert drawing.png().startswith(b"\x89PNG")


def test_every_figure_is_drawn(sides: Sides, gate: Gate) -> None:
    tests = gating.tests_of(sides, RULES)
    slow = gating.tests_of(gating.slowed(sides, *ASKED, 1.5), RULES)
    asked = [("as measured", gating.test_of(tests, *ASKED)), ("made up", gating.test_of(slow, *ASKED))]
    flipped = gating_figures.permutation(asked, Resampling(SEED))
    assert len(flipped.figure.axes) == 2
    assert [axes.get_title(loc="left").split(":")[0] for axes in flipped.figure.axes] == ["as measured", "made up"]
    for drawing in (flipped, gating_figures.noise(tests)):
        assert drawing.png().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="nothing to draw"):
        gating_figures.noise([])


# -- exercises -----------------------------------------------------------------------------------------------

ABSURD: list[Any] = [float("nan"), 10**400, "seven", "", [1], object, 1j]


def test_numbers_are_graded(gate: Gate) -> None:
    smallest = min(row.p for row in gate.rows if row.p is not None)
    for check, right in ((lambda a: checks.pairs_at_least(7, 0.025, a), 9),
                         (lambda a: checks.smallest_corrected(gate, a), 7 * smallest)):
        assert check(right).startswith("Right: it is ")
        assert check(None) == "No answer yet."
        for wrong in (right + 2, -right, 1e12):
            assert check(wrong).startswith("Not yet. ")
        for absurd in [*ABSURD, True]:
            assert check(absurd).startswith("Not yet")


def test_a_regression_is_asked_for_as_true_or_false(sides: Sides, gate: Gate) -> None:
    def check(answer: Any) -> str:
        return checks.is_regression(gate, answer, phase="rand-write", metric="write_bandwidth")

    assert check(True).startswith("Right: ")
    assert check(np.bool_(True)).startswith("Right: ")
    assert check(False).startswith("Not yet. A regression is both")
    assert check(None) == "No answer yet."
    for absurd in [*ABSURD, 1, "True"]:
        assert "is neither True nor False" in check(absurd)
    quiet = judge(sides, RULES, seed=SEED)
    assert checks.is_regression(quiet, False, phase="start", metric="duration").startswith("Right: ")
    assert checks.is_regression(gate, True, phase="no-such", metric="duration").startswith("The gate has no")
