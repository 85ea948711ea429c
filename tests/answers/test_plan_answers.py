"""A plan's arithmetic: intervals, quantiles, sizes, layouts and differences, against counts and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from lab.answers.plan.answers import Chance, alerts, days_of, rank_interval
from lab.answers.plan.ensemble import LIMITS, NEVER, Outcome, Peaks, Replication
from lab.answers.plan.growing import MONTH_DAYS, arrivals_of
from lab.answers.plan.levers import difference
from lab.answers.plan.sizing import (
    documented_layout,
    layout,
    needed,
    replications_to_count,
    whole_percents,
    working_layout,
)
from lab.model.fleet.arrivals import DAY_SECONDS
from lab.model.pool.volume_group import VolumeGroup
from lab.scenario.scenario import StorageSpec

INF = math.inf


def limited(alert: float, at: float) -> Replication:
    """A replication whose alert came, and whose first refusal was, so many days after its begin."""
    first = {name: NEVER for name in LIMITS} | {"refused": at * DAY_SECONDS}
    outcome = Outcome(first, (NEVER,) * 3, (alert * DAY_SECONDS,), Peaks(1, 1, 0, 1), 0, np.zeros((3, 2)))
    return Replication(0, outcome, outcome.peaks, {})


def test_an_alert_is_worth_what_comes_after_it_and_what_came_before_it_is_told_apart() -> None:
    runs = [limited(2.0, 5.0), limited(3.0, 3.0), limited(4.0, 1.0), limited(NEVER, 6.0), limited(7.0, NEVER),
            limited(NEVER, NEVER)]
    (found,) = alerts(runs, [80])
    assert (found.raised.hits, found.raised.n) == (4, 6)
    assert (found.in_time, found.missed) == (2, 2), "at the same moment counts as after it"
    assert (found.soonest, found.median) == (0.0, 0.0)
    assert alerts(runs[2:4], [80])[0].median is None


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_solves_its_equation(told: tuple[int, int]) -> None:
    """Its ends are the shares p at which the observed one is just z standard errors of p away."""
    chance, z = Chance(*told), norm.ppf(0.95)
    assert 0 <= chance.low <= chance.value <= chance.high <= 1
    for end in (chance.low, chance.high):
        assert abs(chance.value - end) == pytest.approx(z * math.sqrt(end * (1 - end) / chance.n), abs=1e-9)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [20, 100, 700])
def test_rank_intervals_cover_as_they_say(n: int, share: float) -> None:
    low, high = rank_interval(n, share)
    assert binom.cdf(high - 1, n, share) - binom.cdf(low - 1, n, share) >= 0.9


def test_days_know_nothing_of_what_lies_beyond_the_horizon() -> None:
    told = days_of("x", [DAY_SECONDS * day for day in range(1, 13)] + [INF] * 8)
    assert (told.reached, told.n, told.low, told.median, told.high) == (12, 20, 1.0, 10.0, None)
    assert told.median_low is not None
    assert told.median_low < 10
    assert told.median_high is None
    few = days_of("x", [DAY_SECONDS, INF])
    assert (few.median, few.median_low, few.median_high) == (1.0, 0.0, None)
    with pytest.raises(ValueError, match="one replication at least"):
        days_of("x", [])


# -- sizes ------------------------------------------------------------------------------------------------

def test_with_enough_peaks_a_size_is_counted() -> None:
    peaks = list(range(1, 1001))
    told = needed(peaks, 0.05)
    assert (told.how, told.estimate) == ("counted", 950.0)
    assert told.low <= 950 <= told.high
    assert binom.cdf(told.high - 1, 1000, 0.95) >= 0.95


def test_the_interval_of_a_counted_size_covers_the_true_quantile() -> None:
    draw = np.random.default_rng(5)
    truth = norm.ppf(0.9, 100, 10)
    hits = sum((told := needed(draw.normal(100, 10, 60).tolist(), 0.1)).low <= truth <= told.high for _ in range(400))
    assert hits >= 350


def test_gumbels_law_is_carried_on_as_it_is() -> None:
    draw = np.random.default_rng(7)
    truth = 100 - 5 * math.log(-math.log(0.99))
    told = [needed(draw.gumbel(100, 5, 120).tolist(), 0.01) for _ in range(40)]
    assert {one.how for one in told} == {"extrapolated"}
    assert np.mean([one.estimate for one in told]) == pytest.approx(truth, rel=0.01)
    assert sum(one.low <= truth <= one.high for one in told) >= 30


def test_too_few_peaks_are_said_to_be() -> None:
    count = replications_to_count(0.01)
    assert needed([1.0] * count, 0.01).how == "counted"
    few = needed([1.0] * (count - 1), 0.01)
    assert (few.how, few.estimate, few.low, few.high) == ("extrapolated", 1.0, 1.0, 1.0)
    assert few.high >= 1.0
    assert needed([7.0], 0.01).estimate == 7.0
    with pytest.raises(ValueError, match="0 peaks"):
        needed([], 0.01)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1, 1e12), min_size=2, max_size=60), st.floats(0.001, 0.4), st.floats(0.001, 0.4))
def test_less_risk_never_needs_less(peaks: list[float], one: float, other: float) -> None:
    small, large = sorted((one, other))
    strict, loose = needed(peaks, small), needed(peaks, large)
    if strict.how == loose.how:
        assert strict.estimate >= loose.estimate * (1 - 1e-12)
    assert strict.low <= strict.estimate <= strict.high


# -- LVM's layouts ----------------------------------------------------------------------------------------

@settings(max_examples=60, deadline=None)
@given(st.integers(300, 500_000), st.integers(5, 60))
def test_the_documented_layout_has_no_room_and_the_working_one_has(extents: int, percent: int) -> None:
    group = VolumeGroup(extents, 1, 1)
    assert documented_layout(group, percent).steps == 0
    told = working_layout(group, percent, 512 * 1024, 4 * 1024**2)
    assert told is not None
    assert told.steps >= 2
    assert told.group.extents == extents
    assert told.group.free_extents >= 0
    larger = VolumeGroup(extents, told.group.data_extents + 4 + extents // 100, told.group.metadata_extents)
    assert layout("", larger, percent).steps < 2                        # nor is it needlessly small


def test_lvm_that_extends_nothing_has_no_steps_whatever_is_free() -> None:
    group = VolumeGroup(10_000, 100, 10)
    assert layout("", group, 20).steps > 2
    assert (layout("", group, 0).steps, layout("", group, 0).last_bytes) == (0, group.data_bytes)
    assert working_layout(group, 0, 512 * 1024, 4 * 1024**2) is None


@pytest.mark.parametrize(("options", "percent"), [
    ({"storage": "direct-lvm", "autoextend_threshold": 100}, 0), ({"storage": "direct-lvm"}, 20),
    ({"storage": "direct-lvm", "autoextend_threshold": 99, "autoextend_percent": 7}, 7), ({"storage": "loop-lvm"}, 0),
    ({"storage": "overlay2-ext4"}, 0)])
def test_a_threshold_of_100_percent_turns_autoextend_off(options: dict[str, object], percent: int) -> None:
    assert StorageSpec.model_validate(options).extension_percent == percent


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200_000), st.integers(1, 4096), st.sampled_from([0, 5, 20, 50, 100]))
def test_a_group_of_whole_percents_is_large_enough_and_not_much_larger(data: int, metadata: int, percent: int) -> None:
    told = whole_percents(data, metadata, percent)
    by_data, by_metadata = (-(-100 * one // told.extents) for one in (told.data_extents, told.metadata_extents))
    again = VolumeGroup(told.extents, told.extents * by_data // 100, told.extents * by_metadata // 100)
    assert again == told                                        # Docker, given these percents, makes just this pool
    assert (told.data_extents >= data, told.metadata_extents >= metadata) == (True, True)
    steps = 2 if percent else 0
    assert layout("", told, percent).steps >= steps
    exact = data * (1 + percent / 100) ** steps + 2 * metadata
    assert told.extents <= 1.12 * exact + 200                   # a percent more or less here and there


def test_a_group_too_small_for_a_pool_has_no_working_layout() -> None:
    assert working_layout(VolumeGroup(4, 1, 1), 20, 64 * 1024, 16 * 1024**2) is None


# -- levers -----------------------------------------------------------------------------------------------

def test_differences_are_those_of_pairs() -> None:
    told = difference([10, 20, 30], [11, 22, 33])
    assert told.mean == 2
    assert told.low is not None
    assert told.high is not None
    half = 2.919986 / math.sqrt(3)                       # Student's t, 2 degrees of freedom, 95 %
    assert (told.low, told.high) == pytest.approx((2 - half, 2 + half), rel=1e-6)
    assert difference([1], [3]).low is None
    with pytest.raises(ValueError, match="pairs expected"):
        difference([1], [1, 2])


# -- growth -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("profile", [(), tuple(2.0 if 8 <= hour < 18 else 0.0 for hour in range(24))])
def test_growing_arrivals_grow_by_so_much_a_month(profile: tuple[float, ...]) -> None:
    arrivals = arrivals_of(1000.0, profile, regular=True, growth=0.2)
    taken: list[float] = []
    for some in arrivals.times(np.random.default_rng(0)):
        taken += some.tolist()
        if taken[-1] > 4 * MONTH_DAYS * DAY_SECONDS:
            break
    assert taken == sorted(taken)
    per_day = np.bincount((np.array(taken) / DAY_SECONDS).astype(int))
    assert per_day[0] == pytest.approx(1000, abs=2)
    assert per_day[61] / per_day[0] == pytest.approx(1.2 ** (61 / MONTH_DAYS), rel=0.01)
    if profile:
        hours = np.array(taken) % DAY_SECONDS / 3600
        assert ((hours >= 8 - 1e-6) & (hours <= 18 + 1e-6)).all()


def test_without_growth_arrivals_are_the_plain_ones() -> None:
    first = next(arrivals_of(50.0, (), regular=False, growth=0.0).times(np.random.default_rng(3)))
    again = next(arrivals_of(50.0, (), regular=False, growth=1e-9).times(np.random.default_rng(3)))
    assert np.allclose(first, again, rtol=1e-6)
