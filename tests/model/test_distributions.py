"""Distributions, streams and arrivals: closed forms, what is refused, and that nothing depends on anything else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.model.fleet.arrivals import DAY_SECONDS, Arrivals, every, poisson
from lab.model.fleet.distributions import Constant, Distribution, Empirical, Exponential, Gamma, LogNormal, stream

COUNT = 20_000
POSITIVE = st.floats(0.01, 1e6)
DISTRIBUTIONS: st.SearchStrategy[Distribution] = st.one_of(
    st.builds(Constant, POSITIVE), st.builds(Exponential, POSITIVE), st.builds(LogNormal, POSITIVE, st.floats(0, 1)),
    st.builds(Gamma, st.floats(0.3, 50), POSITIVE),
    st.builds(Empirical, st.lists(st.floats(0, 1e6), min_size=1, max_size=20).map(tuple)))


@settings(max_examples=60, deadline=None)
@given(DISTRIBUTIONS, st.integers(0, 2**40))
def test_values_are_not_negative_and_their_mean_is_the_distributions(told: Distribution, seed: int) -> None:
    values = told.sample(stream(seed, "x"), COUNT)
    assert values.shape == (COUNT,)
    assert (values >= 0).all()
    assert np.isfinite(values).all()
    error = values.std() / math.sqrt(COUNT)
    assert abs(values.mean() - told.mean) <= 6 * error + 1e-9 * told.mean


@settings(max_examples=60, deadline=None)
@given(DISTRIBUTIONS, st.integers(0, 2**40), st.text(max_size=20))
def test_the_same_stream_gives_the_same_values(told: Distribution, seed: int, name: str) -> None:
    first, second = told.sample(stream(seed, name), 50), told.sample(stream(seed, name), 50)
    assert (first == second).all()


def test_the_forms_are_those_of_the_books() -> None:
    draw = stream(3, "forms")
    assert np.median(LogNormal(7.0, 0.8).sample(draw, COUNT)) == pytest.approx(7.0, rel=0.03)
    assert np.log(LogNormal(7.0, 0.8).sample(draw, COUNT)).std() == pytest.approx(0.8, rel=0.03)
    gamma = Gamma(4.0, 10.0).sample(draw, COUNT)
    assert gamma.std() / gamma.mean() == pytest.approx(0.5, rel=0.04)          # 1 / sqrt(shape)
    exponential = Exponential(5.0).sample(draw, COUNT)
    assert (exponential > 5.0).mean() == pytest.approx(math.exp(-1), rel=0.04)
    assert set(Empirical((1.0, 2.0, 2.0)).sample(draw, 1000)) == {1.0, 2.0}


@settings(max_examples=40, deadline=None)
@given(st.floats(max_value=-1e-9))
def test_negative_parameters_are_refused(value: float) -> None:
    for make in (Constant, Exponential, lambda v: LogNormal(v, 1.0), lambda v: LogNormal(1.0, v),
                 lambda v: Gamma(v, 1.0), lambda v: Gamma(1.0, v), lambda v: Empirical((1.0, v)), poisson, every):
        with pytest.raises(ValueError, match=r" is .*allowed"):
            make(value)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "3", True])
def test_missing_and_other_parameters_are_refused_by_name(value: Any) -> None:
    with pytest.raises(ValueError, match=f"value is {value}"):
        Constant(value)
    with pytest.raises(ValueError, match=f"mean is {value}"):
        Exponential(value)
    with pytest.raises(ValueError, match=f"median is {value}"):
        LogNormal(value, 1.0)
    with pytest.raises(ValueError, match=f"sigma is {value}"):
        LogNormal(1.0, value)
    with pytest.raises(ValueError, match=f"shape is {value}"):
        Gamma(value, 1.0)
    with pytest.raises(ValueError, match=rf"values\[1\] is {value}"):
        Empirical((1.0, value))


def test_what_makes_no_sense_is_refused() -> None:
    for make in (lambda: Exponential(0.0), lambda: Gamma(0.0, 1.0), lambda: LogNormal(0.0, 1.0), lambda: Empirical(()),
                 lambda: stream(-1, "x"), lambda: every(0.0), lambda: poisson(10, (1.0,) * 23),
                 lambda: poisson(10, (0.0,) * 24), lambda: poisson(10, (1.0,) * 23 + (-1.0,)),
                 lambda: Arrivals(Constant(0.0))):
        with pytest.raises(ValueError, match=r"allowed|needed"):
            make()


def first_days(arrivals: Arrivals, days: int, seed: int = 5) -> Any:
    parts = []
    for times in arrivals.times(stream(seed, "a")):
        parts.append(times)
        if times[-1] > days * DAY_SECONDS:
            break
    told = np.concatenate(parts) if parts else np.empty(0)
    return told[told <= days * DAY_SECONDS]


@settings(max_examples=30, deadline=None)
@given(st.floats(1, 2000), st.integers(0, 1000),
       st.one_of(st.just(()), st.lists(st.floats(0, 9), min_size=24, max_size=24).map(tuple).filter(
           lambda weights: sum(weights) > 0.1)))
def test_a_rate_is_a_rate_with_or_without_a_profile(per_day: float, seed: int, profile: tuple[float, ...]) -> None:
    times = first_days(poisson(per_day, profile), 40, seed)
    expected = 40 * per_day
    assert abs(times.size - expected) <= 6 * math.sqrt(expected)
    assert (np.diff(times) >= 0).all()


def test_a_profile_puts_arrivals_where_its_weights_are() -> None:
    profile = tuple(3.0 if 8 <= hour < 18 else 0.0 if hour < 6 else 1.0 for hour in range(24))
    times = first_days(poisson(2400, profile), 30)
    hours = (times % DAY_SECONDS // 3600).astype(int)
    counts = np.bincount(hours, minlength=24)
    assert counts[:6].sum() == 0
    expected = np.array(profile) / sum(profile) * times.size
    assert (np.abs(counts - expected) <= 5 * np.sqrt(np.maximum(expected, 1))).all()


def test_fixed_intervals_are_fixed_and_no_rate_is_no_arrivals() -> None:
    assert first_days(every(3600.0), 1).tolist() == pytest.approx([3600.0 * hour for hour in range(1, 25)])
    assert first_days(poisson(0.0), 1).size == 0
    assert (poisson(0.0).per_day, every(60.0).per_day) == (0.0, 1440.0)
