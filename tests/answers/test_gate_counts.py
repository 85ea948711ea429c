"""Counts: what is within the tolerance, what has only moved, and what is larger."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.answers.gate.counts import (
    WHOLE_CELL,
    different_work,
    judge_counts,
    late_bytes,
    with_totals,
    without_different_work,
    without_other_amounts,
)
from lab.answers.gate.rows import Row, Status
from lab.answers.gate.rules import Rules
from lab.answers.gate.sides import Comparison, Quantity

MIB = 1024**2
BLOCK = 512 * 1024
Values = Sequence[float]
USUAL = Rules()


def growth(phase: str, baseline: Values, candidate: Values, metric: str = "storage_growth") -> Comparison:
    return Comparison(Quantity("c", phase, metric, "B"), dict(enumerate(baseline, 1)), dict(enumerate(candidate, 1)))


def judged(*made: Comparison, rules: Rules = USUAL) -> dict[tuple[str, str], Row]:
    rows = judge_counts(with_totals(made), rules, {"c": BLOCK})
    return {(row.quantity.phase, row.quantity.metric): row for row in rows}


def test_the_same_counts_are_exactly_the_same() -> None:
    rows = judged(growth("write", [64 * MIB] * 3, [64 * MIB] * 3), growth("remove", [-64 * MIB] * 3, [-64 * MIB] * 3))
    assert {row.status for row in rows.values()} == {Status.NONE}
    assert {row.reason for row in rows.values()} == {"exactly the same"}
    assert rows[WHOLE_CELL, "storage_growth_peak"].baseline == 64 * MIB
    assert rows[WHOLE_CELL, "storage_growth_left"].baseline == 0


@pytest.mark.parametrize("repetitions", [1, 3])
@pytest.mark.parametrize(("blocks", "status"), [(2, Status.NONE), (3, Status.REGRESSION), (-2, Status.NONE),
                                                (-3, Status.BETTER)])
def test_two_data_blocks_are_tolerated_in_a_phase_and_not_a_third(blocks: int, status: Status,
                                                                 repetitions: int) -> None:
    more = 8 * MIB + blocks * BLOCK
    rows = judged(growth("write", [8 * MIB] * repetitions, [more] * repetitions),
                  rules=Rules(ignore=("storage_growth_peak", "storage_growth_left")))
    assert rows["write", "storage_growth"].status is status


def test_the_baselines_own_spread_counts_fully() -> None:
    baseline = [8 * MIB, 12 * MIB, 9 * MIB]
    only = Rules(ignore=("storage_growth_peak", "storage_growth_left"))
    within = judged(growth("write", baseline, [13 * MIB] * 3), rules=only)["write", "storage_growth"]
    beyond = judged(growth("write", baseline, [14 * MIB] * 3), rules=only)["write", "storage_growth"]
    assert (within.status, beyond.status) == (Status.NONE, Status.REGRESSION)
    assert "2 MiB above the baseline's largest, where 1 MiB is tolerated" in beyond.reason


def test_what_a_neighbour_phase_lacks_has_moved_and_is_no_regression() -> None:
    moved = 5 * MIB         # XFS wrote its inodes back a phase later: seen with blocks of 512 KiB
    assert moved <= late_bytes(BLOCK)
    rows = judged(growth("write", [64 * MIB] * 2, [64 * MIB - moved] * 2), growth("read", [0] * 2, [moved] * 2))
    assert rows["read", "storage_growth"].status is Status.NONE
    assert "written later or earlier" in rows["read", "storage_growth"].reason


def test_what_the_whole_cell_shows_has_not_moved() -> None:
    rows = judged(growth("write", [64 * MIB] * 2, [64 * MIB] * 2), growth("read", [0] * 2, [5 * MIB] * 2))
    assert rows["read", "storage_growth"].status is Status.REGRESSION
    assert rows[WHOLE_CELL, "storage_growth_peak"].status is Status.REGRESSION
    assert rows[WHOLE_CELL, "storage_growth_left"].status is Status.REGRESSION


def test_a_delete_that_no_longer_frees_is_a_regression_though_the_remove_makes_up_for_it() -> None:
    rows = judged(growth("write", [64 * MIB] * 3, [64 * MIB] * 3), growth("delete", [-64 * MIB] * 3, [0] * 3),
                  growth("remove", [0] * 3, [-64 * MIB] * 3))
    assert rows["delete", "storage_growth"].status is Status.REGRESSION
    assert rows[WHOLE_CELL, "storage_growth_left"].status is Status.NONE


def test_a_tolerance_of_the_users_own_is_exact() -> None:
    rules = Rules(tolerances={"storage_growth": 0})
    rows = judged(growth("write", [64 * MIB] * 2, [63 * MIB] * 2), growth("read", [0] * 2, [MIB] * 2), rules=rules)
    assert rows["read", "storage_growth"].status is Status.REGRESSION
    assert judged(growth("write", [MIB], [2 * MIB], "disk_written")) == {}      # no count unless a file says so
    asked = judged(growth("write", [MIB], [2 * MIB], "disk_written"), rules=Rules(tolerances={"disk_written": 65536}))
    assert asked["write", "disk_written"].status is Status.REGRESSION


def test_work_that_only_its_median_has_in_common_is_not_the_same() -> None:
    (row,) = judge_counts([growth("write", [100 * MIB] * 3, [50 * MIB, 100 * MIB, 150 * MIB], "application_bytes")],
                          Rules(), {"c": BLOCK})
    assert row.status is Status.INCONCLUSIVE


def test_different_work_is_not_compared() -> None:
    rows = judge_counts(with_totals([growth("write", [64 * MIB] * 2, [96 * MIB] * 2),
                                     growth("write", [64 * MIB] * 2, [96 * MIB] * 2, "application_bytes"),
                                     growth("read", [0, 0], [0, 0])]), Rules(), {"c": BLOCK})
    told = {(row.quantity.phase, row.quantity.metric): row
            for row in without_different_work(rows, different_work(rows))}
    assert told["write", "application_bytes"].status is Status.INCONCLUSIVE
    assert told["write", "storage_growth"].status is Status.INCONCLUSIVE
    assert told[WHOLE_CELL, "storage_growth_peak"].status is Status.INCONCLUSIVE
    assert told["read", "storage_growth"].status is Status.NONE


@pytest.mark.parametrize(("moved", "grew", "status"), [
    (1.2, 1.2, Status.INCONCLUSIVE), (0.8, 0.8, Status.INCONCLUSIVE), (1.0, 1.2, Status.REGRESSION),
    (0.8, 1.2, Status.REGRESSION), (1.2, 0.8, Status.BETTER), (1.2, 1.0, Status.NONE)])
def test_a_job_that_moved_more_and_grew_more_is_open_and_one_that_grew_all_the_same_is_a_regression(
        moved: float, grew: float, status: Status) -> None:
    """Jobs that are limited by time: the faster storage takes more, which is no fault of its."""
    usual = [500 * MIB] * 3
    made = [growth("job", usual, [grew * one for one in usual]),
            growth("job", usual, [moved * one for one in usual], "io_bytes")]
    rows = without_other_amounts(judge_counts(with_totals(made), Rules(), {"c": BLOCK}), made)
    told = {(row.quantity.phase, row.quantity.metric): row.status for row in rows}
    assert told["job", "storage_growth"] is status
    assert told[WHOLE_CELL, "storage_growth_peak"] is status


def test_a_job_that_only_reads_excuses_no_growth() -> None:
    usual = [500 * MIB] * 3
    made = [growth("job", usual, [1.2 * one for one in usual]),
            growth("job", usual, [1.3 * one for one in usual], "io_bytes"),
            growth("job", usual, [1.3 * one for one in usual], "read_bandwidth"),
            growth("job", [0] * 3, [0] * 3, "write_bandwidth")]
    rows = without_other_amounts(judge_counts(with_totals(made), Rules(), {"c": BLOCK}), made)
    assert {row.status for row in rows if row.quantity.metric == "storage_growth"} == {Status.REGRESSION}


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_inconclusive_and_so_are_the_totals(odd: float) -> None:
    rows = judged(growth("write", [64 * MIB] * 2, [64 * MIB, odd]), growth("read", [0, 0], [0, 0]))
    assert rows["write", "storage_growth"].status is Status.INCONCLUSIVE
    assert "candidate's value in repetition 2 is no number" in rows["write", "storage_growth"].reason
    assert rows[WHOLE_CELL, "storage_growth_peak"].status is Status.INCONCLUSIVE
    assert rows["read", "storage_growth"].status is Status.NONE


def test_a_cell_whose_repetitions_all_lack_a_phase_has_no_totals() -> None:
    rows = judged(Comparison(Quantity("c", "write", "storage_growth", "B"), {1: 0.0}, {1: 0.0}),
                  Comparison(Quantity("c", "read", "storage_growth", "B"), {1: 0.0}, {2: 0.0}))
    peak = rows[WHOLE_CELL, "storage_growth_peak"]
    assert peak.status is Status.INCONCLUSIVE
    assert "no repetition of the candidate has all its phases" in peak.reason


def test_the_metadatas_peak_is_the_largest_level_of_any_phase() -> None:
    rows = judged(growth("write", [40 * 4096] * 2, [40 * 4096] * 2, "pool_metadata_used"),
                  growth("remove", [30 * 4096] * 2, [46 * 4096] * 2, "pool_metadata_used"))
    assert set(rows) == {(WHOLE_CELL, "pool_metadata_peak")}
    row = rows[WHOLE_CELL, "pool_metadata_peak"]
    assert (row.baseline, row.candidate, row.status) == (40 * 4096, 46 * 4096, Status.REGRESSION)


@given(st.lists(st.integers(-200, 200), min_size=1, max_size=6))
def test_a_larger_candidate_is_never_less_of_a_regression(blocks: list[int]) -> None:
    order = [Status.BETTER, Status.NONE, Status.REGRESSION]
    found = [judged(growth("write", [64 * MIB] * 2, [64 * MIB + more * BLOCK] * 2))["write", "storage_growth"].status
             for more in sorted(blocks)]
    assert [order.index(status) for status in found] == sorted(order.index(status) for status in found)
