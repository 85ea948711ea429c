"""The pace of repetitions: found from what both timed, and taken out of timings alone."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.analysis.pace import at_one_pace, pace_of_rows, paces
from lab.runs.records import MEASUREMENT_COLUMNS


def row(metric: str, repetition: int, value: float, cell: str = "direct-lvm.layer.fio") -> tuple[object, ...]:
    return ("run", cell, "direct-lvm", "layer", "fio", "seq", repetition, "candidate", metric, value, "", "measured")


def table(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(MEASUREMENT_COLUMNS))


@given(st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=20), st.floats(0.2, 5.0))
def test_a_repetition_that_is_slower_by_a_factor_has_that_pace(seconds: list[float], factor: float) -> None:
    found = paces({number: {1: value, 2: factor * value} for number, value in enumerate(seconds)})
    assert found[1] == 1
    assert math.isclose(found[2], factor, rel_tol=1e-9)


def test_a_single_odd_value_does_not_move_the_pace() -> None:
    times = {number: {1: 1.0, 2: 2.0} for number in range(5)} | {9: {1: 1.0, 2: 1000.0}}
    assert paces(times)[2] == pytest.approx(2.0)


def test_what_the_first_repetition_did_not_time_says_nothing() -> None:
    assert paces({"a": {2: 3.0}, "b": {1: 1.0}}) == {1: 1.0, 2: 1.0}
    assert pace_of_rows(table(row("storage_growth", 1, 5.0), row("storage_growth", 2, 9.0))) == {}


def test_bandwidths_and_durations_come_to_one_pace_and_counts_stay_what_they_are() -> None:
    frame = table(row("write_bandwidth", 1, 100.0), row("write_bandwidth", 2, 50.0),
                  row("duration", 1, 3.0), row("duration", 2, 6.0),
                  row("write_latency_p99", 1, 0.1), row("write_latency_p99", 2, 0.2),
                  row("storage_growth", 1, 7.0), row("storage_growth", 2, 8.0))
    assert pace_of_rows(frame) == {1: 1.0, 2: pytest.approx(2.0)}
    assert at_one_pace(frame)["value"].tolist() == pytest.approx([100, 100, 3, 3, 0.1, 0.1, 7, 8])


def test_arms_are_not_taken_for_one_another() -> None:
    other = ("run", "c", "direct-lvm", "layer", "fio", "seq", 1, "baseline", "duration", 9.0, "s", "measured")
    assert pace_of_rows(table(row("duration", 1, 3.0, "c"), row("duration", 2, 3.0, "c"), other))[2] == 1.0
