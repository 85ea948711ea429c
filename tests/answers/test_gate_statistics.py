"""The gate's statistics against enumeration by brute force, tables, and data of known truth."""

from __future__ import annotations

import math
import random
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, permutation_test, ttest_ind

from lab.analysis import stats
from lab.answers.gate.effects import paired_effect, unpaired_effect
from lab.answers.gate.holm import holm
from lab.answers.gate.permutation import (
    MAX_EXACT,
    RESAMPLES,
    Resampling,
    paired_p,
    pairs_needed,
    repetitions_needed,
    smallest_paired_p,
    smallest_unpaired_p,
    unpaired_p,
)
from lab.answers.gate.power import smallest_effect
from lab.answers.gate.rows import Row, Status
from lab.answers.gate.rules import Rules
from lab.answers.gate.sides import Comparison, Quantity
from lab.answers.gate.timings import judge_timings

HOW = Resampling()
LOGS = st.floats(-2, 2, allow_nan=False).map(lambda x: round(x, 6))
ONE = Rules(looks=1)


def compared(baseline: list[float], candidate: list[float], metric: str = "write_bandwidth", phase: str = "p",
             ) -> Comparison:
    return Comparison(Quantity("c", phase, metric, "B/s"), dict(enumerate(baseline, 1)), dict(enumerate(candidate, 1)))


def judged(one: Comparison, rules: Rules = ONE, *, paired: bool = True) -> Row:
    (row,) = judge_timings([one], rules, paired=paired, seed=1)
    return row


# -- permutation ---------------------------------------------------------------------------------------------------


@given(st.lists(LOGS, min_size=1, max_size=9))
def test_the_paired_p_is_the_share_of_all_flips(differences: list[float]) -> None:
    observed = math.fsum(differences)
    reached = [math.fsum(s * d for s, d in zip(signs, differences, strict=True)) >= observed - 1e-9
               for signs in product((1, -1), repeat=len(differences))]
    assert paired_p(differences, HOW) == pytest.approx(sum(reached) / len(reached))


@given(st.lists(LOGS, min_size=1, max_size=5), st.lists(LOGS, min_size=1, max_size=5))
def test_the_unpaired_p_is_the_share_of_all_splits(before: list[float], after: list[float]) -> None:
    pool = [*before, *after]

    def gap(chosen: tuple[int, ...]) -> float:
        rest = [x for place, x in enumerate(pool) if place not in chosen]
        return math.fsum(pool[i] for i in chosen) / len(after) - math.fsum(rest) / len(before)

    observed = gap(tuple(range(len(before), len(pool))))
    reached = [gap(chosen) >= observed - 1e-9 for chosen in combinations(range(len(pool)), len(after))]
    assert unpaired_p(before, after, HOW) == pytest.approx(sum(reached) / len(reached))


def test_the_paired_p_agrees_with_scipys_permutation_test() -> None:
    random_ = random.Random(3)
    differences = [random_.gauss(0.1, 0.2) for _ in range(10)]
    told = permutation_test((np.array(differences),), np.mean, permutation_type="samples", alternative="greater",
                            n_resamples=np.inf)
    assert paired_p(differences, HOW) == pytest.approx(told.pvalue)


def test_beyond_the_exact_size_random_flips_come_near_and_repeat_with_the_seed() -> None:
    random_ = random.Random(5)
    differences = [random_.gauss(0.05, 0.2) for _ in range(16)]
    values = np.array(differences)
    signs = 1 - 2 * ((np.arange(2**16)[:, None] >> np.arange(16)) & 1)
    truth = float(np.mean(signs @ values >= values.sum() - 1e-12))
    found = paired_p(differences, HOW)
    assert MAX_EXACT < 2**16
    assert found == paired_p(differences, Resampling()) != paired_p(differences, Resampling(seed=2))
    assert abs(found - truth) < 4 * math.sqrt(truth * (1 - truth) / RESAMPLES)


def test_no_data_reach_a_smaller_p_than_the_number_of_repetitions_allows() -> None:
    for n in (1, 5, 13, 14, 20):
        assert paired_p([1.0] * n, HOW) >= smallest_paired_p(n, HOW) - 1e-15
    assert paired_p([1.0, 2.0, 3.0], HOW) == smallest_paired_p(3, HOW) == 1 / 8
    assert unpaired_p([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], HOW) == pytest.approx(1 / 20)
    assert smallest_unpaired_p(3, 3, HOW) == 1 / 20


@given(st.floats(1e-6, 0.5))
def test_so_many_repetitions_are_needed_and_one_fewer_is_too_few(p: float) -> None:
    how = Resampling.reaching(p, 1)
    n, m = pairs_needed(p), repetitions_needed(p)
    assert smallest_paired_p(n, how) <= p * (1 + 1e-6) or 2**n > MAX_EXACT
    assert 2.0**-n <= p * (1 + 1e-6) < 2.0 ** -(n - 1) * (1 + 1e-5)
    assert 1 / math.comb(2 * m, m) <= p * (1 + 1e-6)
    assert m == 1 or 1 / math.comb(2 * m - 2, m - 1) > p


# -- Holm ----------------------------------------------------------------------------------------------------------


def test_holm_against_a_table_by_hand() -> None:
    # 4 p-values: 0.005 x 4 = 0.020; 0.011 x 3 = 0.033; 0.02 x 2 = 0.04; 0.04 x 1 = 0.04
    assert holm([0.02, 0.005, 0.04, 0.011]) == pytest.approx([0.04, 0.02, 0.04, 0.033])
    # a later step never falls below an earlier one: 0.01 x 3 = 0.03; 0.012 x 2 = 0.024 -> 0.03
    assert holm([0.01, 0.012, 0.9]) == pytest.approx([0.03, 0.03, 0.9])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([]).size == 0


def test_holm_refuses_what_is_no_probability() -> None:
    for wrong in ([1.2], [-0.1], [math.nan]):
        with pytest.raises(ValueError, match="outside"):
            holm(wrong)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms())
def test_holm_does_not_depend_on_the_order(p_values: list[float], random_: random.Random) -> None:
    order = list(range(len(p_values)))
    random_.shuffle(order)
    assert holm([p_values[i] for i in order]) == pytest.approx(holm(p_values)[order])
    assert np.all(holm(p_values) >= np.array(p_values))
    assert holm(np.array([p_values, p_values])) == pytest.approx(np.array([holm(p_values)] * 2))


# -- effects -------------------------------------------------------------------------------------------------------


def test_the_paired_interval_is_that_of_the_reports() -> None:
    after, before = [110.0, 95.0, 130.0, 101.0], [100.0, 99.0, 111.0, 104.0]
    told = stats.ratio_interval(after, before)
    found = paired_effect([math.log(a / b) for a, b in zip(after, before, strict=True)])
    assert (math.exp(found.log), math.exp(found.low or 0), math.exp(found.high or 0)) == pytest.approx(
        (told.centre, told.low, told.high))


def test_the_unpaired_interval_is_welchs() -> None:
    before, after = [0.1, 0.5, 0.3, 0.2], [0.9, 0.4, 1.5, 0.7, 0.6]
    told = ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    found = unpaired_effect(before, after)
    assert (found.low, found.high) == pytest.approx((told.low, told.high))


def test_below_three_repetitions_there_is_no_interval_and_without_variance_it_has_no_width() -> None:
    assert paired_effect([0.1, 0.2]).low is None
    assert unpaired_effect([0.1, 0.2, 0.3], [0.1]).high is None
    assert unpaired_effect([0.1] * 3, [0.3] * 3).low == pytest.approx(0.2)
    for wrong in (lambda: paired_effect([]), lambda: unpaired_effect([], [1.0])):
        with pytest.raises(ValueError, match="no "):
            wrong()


VALUES = st.lists(st.floats(0.5, 2), min_size=3, max_size=8)


@given(VALUES, st.data(), st.sampled_from(["write_bandwidth", "write_latency_p99"]), st.booleans())
@settings(max_examples=50)
def test_exchanged_sides_turn_the_effect_round(before: list[float], data: st.DataObject, metric: str,
                                               paired: bool) -> None:
    after = data.draw(st.lists(st.floats(0.5, 2), min_size=len(before), max_size=len(before)))
    one = judged(compared(before, after, metric), paired=paired)
    other = judged(compared(after, before, metric), paired=paired)
    assert one.worse is not None
    assert other.worse is not None
    assert math.log1p(one.worse) == pytest.approx(-math.log1p(other.worse), abs=1e-9)
    assert {one.status, other.status} != {Status.REGRESSION}


@given(VALUES, st.floats(1e-6, 1e9), st.booleans())
@settings(max_examples=50)
def test_the_unit_of_a_timing_does_not_matter(values: list[float], scale: float, paired: bool) -> None:
    before, after = values, [value * 1.2 for value in reversed(values)]
    one = judged(compared(before, after), paired=paired)
    other = judged(compared([x * scale for x in before], [x * scale for x in after]), paired=paired)
    assert (one.status, one.p, one.p_holm) == (other.status, other.p, other.p_holm)
    assert one.worse == pytest.approx(other.worse)


# -- known truth ---------------------------------------------------------------------------------------------------


def alarms(seeds: range, *, n: int, timings: int, rules: Rules, factor: float = 1.0, paired: bool = True) -> int:
    """In how many worlds any of so many timings is a regression, where the first is really worse by the factor."""
    found = 0
    for seed in seeds:
        random_ = random.Random(seed)
        made = []
        for timing in range(timings):
            load = [random_.lognormvariate(0, 0.3 if paired else 0.0) for _ in range(n)]
            before, after = ([load[r] * random_.lognormvariate(0, 0.05) for r in range(n)] for _ in range(2))
            if timing == 0:
                after = [value / factor for value in after]
            made.append(compared(before, after, phase=f"p{timing}"))
        rows = judge_timings(made, rules, paired=paired, seed=1)
        found += any(row.status is Status.REGRESSION for row in rows)
    return found


@pytest.mark.parametrize("paired", [True, False])
def test_false_alarms_come_as_often_as_the_level_says(paired: bool) -> None:
    # no minimum effect and one timing: the rate is that of the test, floor(0.05 x 256)/256 or floor(0.05 x 252)/252
    worlds, rules = 400, Rules(looks=1, minimum_effects={"write_bandwidth": 0.0})
    found = alarms(range(worlds), n=8 if paired else 5, timings=1, rules=rules, paired=paired)
    level = 12 / 256 if paired else 12 / 252
    assert binom.ppf(0.0005, worlds, level) <= found <= binom.ppf(0.9995, worlds, level)


def test_many_timings_together_alarm_no_more_often_than_the_level() -> None:
    worlds, rules = 200, Rules(looks=1, minimum_effects={"write_bandwidth": 0.0})
    found = alarms(range(worlds), n=10, timings=8, rules=rules)
    assert found <= binom.ppf(0.9995, worlds, 0.05)
    uncorrected = alarms(range(worlds), n=10, timings=1, rules=Rules(alpha=0.3, looks=1, minimum_effects={
        "write_bandwidth": 0.0}))
    assert uncorrected > found      # the level, and not the noise, holds the alarms down


def test_power_grows_with_the_effect_and_with_the_repetitions() -> None:
    by_effect = [alarms(range(80), n=8, timings=2, rules=ONE, factor=factor) for factor in (1.0, 1.06, 1.1, 1.2)]
    assert by_effect == sorted(by_effect)
    assert by_effect[0] <= 4
    assert by_effect[-1] >= 76
    by_n = [alarms(range(80), n=n, timings=2, rules=ONE, factor=1.09) for n in (6, 9, 13)]
    assert by_n == sorted(by_n)
    assert by_n[-1] > by_n[0]


def test_the_smallest_effect_found_is_the_one_that_four_in_five_worlds_show() -> None:
    random_ = random.Random(9)
    noise = [random_.gauss(0, 0.07) for _ in range(400)]        # as good as the whole population
    n, level = 9, 0.025
    effect = smallest_effect(noise, 0.05, level, n=n, seed=1, draws=2000)
    assert effect is not None
    found, worlds = 0, 1000
    for _ in range(worlds):
        drawn = [random_.choice(noise) * random_.choice((-1, 1)) + math.log1p(effect) for _ in range(n)]
        found += paired_p(drawn, HOW) <= level and sum(drawn) / n >= math.log1p(0.05)
    assert binom.ppf(0.0005, worlds, 0.77) <= found <= binom.ppf(0.9995, worlds, 0.83)


def test_the_smallest_effect_shrinks_with_repetitions_and_never_below_the_minimum_effect() -> None:
    random_ = random.Random(4)
    noise = [random_.gauss(0, 0.1) for _ in range(20)]
    found = [smallest_effect(noise, 0.05, 0.004, n=n, seed=1) for n in (8, 12, 20, 40)]
    assert all(one is not None for one in found)
    assert found == sorted(found, reverse=True)     # type: ignore[type-var]
    assert smallest_effect(noise, 0.05, 0.004, n=7, seed=1) is None      # 1/128 > 0.004
    assert smallest_effect([0.0] * 9, 0.05, 0.004, n=9, seed=1) == pytest.approx(0.05)


# -- outcomes ------------------------------------------------------------------------------------------------------

BASE = [100.0, 103.0, 98.0, 101.0, 99.0, 102.0]


@pytest.mark.parametrize(("candidate", "status", "reason"), [
    ([value / 1.5 for value in BASE], Status.REGRESSION, "50 % worse"),
    ([value * 1.5 for value in BASE], Status.BETTER, "50 % better"),
    ([value / 1.02 for value in BASE], Status.NONE, "below the minimum effect of 5 %"),
    (BASE, Status.NONE, "identical in every repetition"),
    ([60.0, 140.0, 97.0, 60.0, 140.0, 60.0], Status.INCONCLUSIVE, "not settled"),
    ([0.0, *BASE[1:]], Status.INCONCLUSIVE, "repetition 1 is 0: it has no logarithm"),
    ([math.nan, *BASE[1:]], Status.INCONCLUSIVE, "repetition 1 is no number"),
    ([math.inf, *BASE[1:]], Status.INCONCLUSIVE, "repetition 1 is no number"),
    ([value / 2 for value in BASE[:4]], Status.INCONCLUSIVE, "from 5 pairs on; only one side has repetition 5, 6"),
    ([50.0], Status.INCONCLUSIVE, "too few repetitions"),
])
def test_every_case_has_its_outcome(candidate: list[float], status: Status, reason: str) -> None:
    row = judged(compared(BASE, candidate))
    assert row.status is status
    assert reason in row.reason


def test_a_large_effect_that_no_correction_lets_through_is_inconclusive_not_a_pass() -> None:
    made = [compared(BASE, [value / 2 for value in BASE], phase=f"p{number}") for number in range(4)]
    rows = judge_timings(made, Rules(), paired=True, seed=1)        # 1/64 x 4 > 0.025
    assert {row.status for row in rows} == {Status.INCONCLUSIVE}
    assert "from 8 pairs on" in rows[0].reason
    enough = judge_timings([compared(BASE + BASE, [value / 2 for value in BASE + BASE], phase=f"p{number}")
                            for number in range(4)], Rules(), paired=True, seed=1)
    assert {row.status for row in enough} == {Status.REGRESSION}


def test_the_pass_says_what_it_does_not_exclude() -> None:
    noisy = [100.0, 120.0, 85.0, 109.0, 92.0, 95.0]
    row = judged(compared(noisy, [*noisy[1:], noisy[0]]))
    assert row.status is Status.NONE
    assert "worse is not excluded" in row.reason


def test_an_idle_direction_and_the_duration_of_a_job_with_a_bandwidth_are_not_gated() -> None:
    made = [compared(BASE, BASE), compared([0.0] * 6, [0.0] * 6, "read_bandwidth"), compared(BASE, BASE, "duration"),
            compared(BASE, BASE, "duration", "other"), compared(BASE, BASE, "write_iops")]
    rows = judge_timings(made, ONE, paired=True, seed=1)
    assert [(row.quantity.phase, row.quantity.metric) for row in rows] == [("p", "write_bandwidth"),
                                                                         ("other", "duration")]


def test_one_side_that_stands_still_is_inconclusive() -> None:
    row = judged(compared(BASE, [0.0] * 6, "read_bandwidth"))
    assert row.status is Status.INCONCLUSIVE
