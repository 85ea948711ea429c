from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import pytest

from lab.analysis import stats
from lab.analysis.verdicts import leader, verdict
from lab.runs.records import MEASUREMENT_COLUMNS


def rows(label: str, values: Sequence[float], *, metric: str = "write_bandwidth", phase: str = "seq-write",
         target: str = "layer", storage: str | None = None) -> list[tuple[object, ...]]:
    return [("r", f"{label}.{target}.w", storage or label, target, "w", phase, repetition, "candidate", metric, value,
             "B/s", "measured") for repetition, value in enumerate(values, 1)]


def frame(*parts: list[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame([row for part in parts for row in part], columns=list(MEASUREMENT_COLUMNS))


@pytest.mark.parametrize(("values", "centre", "low", "high"), [
    ([5.0], 5.0, None, None),
    ([5.0, 7.0], 6.0, None, None),
    ([3.0, 1.0, 2.0], 2.0, 1.0, 3.0),
    ([float(x) for x in range(1, 11)], 5.5, 2.0, 9.0),      # n = 10: ranks 2 and 9 in every table of this interval
    ([float(x) for x in range(1, 21)], 10.5, 6.0, 15.0),    # n = 20: ranks 6 and 15
])
def test_median_interval_is_between_the_tabulated_order_statistics(
        values: list[float], centre: float, low: float | None, high: float | None) -> None:
    found = stats.median_interval(values)
    assert (found.centre, found.low, found.high, found.n) == (centre, low, high, len(values))


@pytest.mark.parametrize(("n", "coverage"), [(3, 0.75), (5, 0.9375), (6, 0.96875), (10, 0.978515625)])
def test_the_median_interval_says_what_it_covers(n: int, coverage: float) -> None:
    assert stats.median_interval([float(x) for x in range(n)]).coverage == pytest.approx(coverage)


def test_the_ratio_is_a_geometric_mean_with_students_interval() -> None:
    found = stats.ratio_interval([math.exp(1), math.exp(2), math.exp(3)], [1.0, 1.0, 1.0])
    assert found.low is not None
    assert found.high is not None
    assert math.log(found.centre) == pytest.approx(2)
    assert math.log(found.high) - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)     # t(0.975; 2)
    assert 2 - math.log(found.low) == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_pairing_removes_what_all_storages_of_a_repetition_share() -> None:
    load = [1.0, 0.2, 3.0, 0.5, 2.0]        # a noisy host slows both alike
    a, b = [200 * x for x in load], [100 * x * y for x, y in zip(load, [1, 1.02, 0.98, 1.01, 0.99], strict=True)]
    row = stats.ratios(frame(rows("a", a), rows("b", b))).iloc[0]
    assert row["ratio"] == pytest.approx(2, rel=0.01)
    assert row["low"] > 1.9


def test_only_repetitions_that_both_have_are_paired() -> None:
    row = stats.ratios(frame(rows("a", [4, 4, 4]), rows("b", [2, 2]))).iloc[0]
    assert (row["n"], row["ratio"]) == (2, pytest.approx(2))
    assert pd.isna(row["low"])


@pytest.mark.parametrize(("a", "b", "winner", "reason"), [
    ([200.0], [100.0], None, "n = 1 < 3"),
    ([200.0, 201.0], [100.0, 101.0], None, "n = 2 < 3"),
    ([100, 120, 80, 110, 95], [105, 100, 102, 90, 108], None, "includes 1"),
    ([200, 210, 190, 205, 195], [100, 101, 99, 102, 98], "a", "excludes 1"),
    ([0.0, 1.0, 1.0], [1.0, 1.0, 1.0], None, "zero or below"),
])
def test_a_winner_is_named_only_where_the_evidence_does(
        a: list[float], b: list[float], winner: str | None, reason: str) -> None:
    table = stats.ratios(frame(rows("a", a), rows("b", b)))
    found = leader(table, ["a", "b"], "write_bandwidth")
    assert found.winner == winner
    assert reason in found.reason


def test_lower_wins_where_lower_is_better() -> None:
    ratio = stats.Estimate(2.0, 1.5, 2.5, 5, 0.95)
    assert verdict(ratio, "a", "b", higher=False).winner == "b"
    assert verdict(ratio, "a", "b", higher=None).winner is None


def test_three_storages_need_one_that_beats_all() -> None:
    clear, close = [200, 210, 190, 205, 195], [199, 212, 188, 206, 196]
    slow = [100, 101, 99, 102, 98]
    table = stats.ratios(frame(rows("a", clear), rows("b", close), rows("c", slow)))
    assert leader(table, ["a", "b", "c"], "write_bandwidth").winner is None
    table = stats.ratios(frame(rows("a", clear), rows("b", slow), rows("c", [x / 2 for x in slow])))
    assert leader(table, ["a", "b", "c"], "write_bandwidth").winner == "a"


def test_rewrite_is_compared_with_the_first_pass_only() -> None:
    table = stats.rewrite_against_first(frame(
        rows("a", [10, 10, 10]), rows("a", [40, 41, 39], phase="seq-write#2"),
        rows("a", [90, 90, 90], phase="seq-write#3")))
    assert len(table) == 1
    assert table.iloc[0]["phase"] == "seq-write"
    assert table.iloc[0]["ratio"] == pytest.approx(4, rel=0.01)
    assert table.iloc[0]["numerator"] == "rewrite"


def test_layer_is_compared_with_volume_of_the_same_storage() -> None:
    table = stats.layer_against_volume(frame(rows("a", [10, 11, 9]), rows("a", [100, 110, 90], target="volume")))
    assert table["ratio"].tolist() == [pytest.approx(0.1)]
    assert table["label"].tolist() == ["a"]


def test_storages_with_the_same_driver_are_told_apart_by_label() -> None:
    summary = stats.summarise(frame(rows("direct-lvm", [1]), rows("direct-64k", [2], storage="direct-lvm")))
    assert summary["label"].tolist() == ["direct-lvm", "direct-64k"]


def test_an_empty_table_and_values_that_are_no_numbers_pass() -> None:
    empty = frame()
    for function in (stats.summarise, stats.ratios, stats.layer_against_volume, stats.rewrite_against_first):
        assert function(empty).empty
    assert stats.summarise(frame(rows("a", [math.nan, 3.0, math.inf]))).iloc[0]["n"] == 1


def test_the_coefficient_of_variation_is_of_the_sample() -> None:
    """Of 1, 2, 3: mean 2, deviation 1."""
    table = stats.variation(frame(rows("a", [1, 2, 3]), rows("b", [5.0]), rows("c", [1, -1])))
    assert table.set_index("label")["variation"].to_dict() == {"a": pytest.approx(0.5), "c": pytest.approx(math.nan,
                                                                                                          nan_ok=True)}


def test_the_arms_are_paired_on_the_same_storage_in_the_same_repetition() -> None:
    def of(arm: str, part: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
        return [(*row[:7], arm, *row[8:]) for row in part]

    table = stats.candidate_against_baseline(frame(
        of("candidate", rows("a", [2, 4, 6])), of("baseline", rows("a", [1, 2])), of("candidate", rows("b", [9]))))
    assert table[["label", "numerator", "denominator", "n", "ratio"]].to_numpy().tolist() == [
        ["a", "candidate", "baseline", 2, pytest.approx(2)]]


def test_a_running_ratio_ends_where_the_whole_ratio_is() -> None:
    a, b = [2.0, 2.2, 1.9, 2.1], [1.0, 1.0, 1.0, 1.0]
    running = stats.running_ratio(a, b)
    assert [found.n for found in running] == [1, 2, 3, 4]
    assert [found.low is None for found in running] == [True, True, False, False]
    assert running[-1] == stats.ratio_interval(a, b)
