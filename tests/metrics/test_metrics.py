"""The registry of metrics: every metric of a run has its entry, and the gate's rules are made of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lab import metrics
from lab.answers.gate import rules
from lab.answers.gate.counts import tolerance, totals_of
from lab.answers.gate.sides import Quantity
from lab.errors import InputError
from lab.metrics import METRICS, Better, metric

RESULTS = Path(__file__).parents[2] / "results"
TABLES = sorted([*RESULTS.rglob("measurements.parquet"), *RESULTS.rglob("samples.parquet")])
KIB, BLOCK = 1024, 512 * 1024


def test_there_are_committed_tables_to_look_at() -> None:
    assert len(TABLES) > 20


@pytest.mark.parametrize("path", TABLES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_every_metric_of_a_committed_table_has_an_entry_with_its_unit(path: Path) -> None:
    told = pd.read_parquet(path, columns=["metric", "unit"]).drop_duplicates()
    assert {str(name): str(unit) for name, unit in zip(told["metric"], told["unit"], strict=True)} == {
        str(name): metric(str(name)).unit for name in told["metric"]}


def test_an_unknown_metric_is_an_error_with_the_list() -> None:
    with pytest.raises(InputError, match="no metric 'write_bandwith'") as told:
        metric("write_bandwith")
    assert all(name in str(told.value) for name in METRICS)


def test_every_entry_says_what_it_counts_and_how_it_is_written() -> None:
    for one in METRICS.values():
        assert one.counts
        assert "_" not in one.words
        assert one.unit in ("B", "B/s", "s", "1/s", "ratio", "count")
    assert len({one.words for one in METRICS.values()}) == len(METRICS)


def test_more_is_better_of_what_is_moved_a_second_and_less_of_time_and_space() -> None:
    assert {name for name, one in METRICS.items() if one.better is Better.HIGHER} == {
        "write_bandwidth", "read_bandwidth", "write_iops", "read_iops", "memory_available"}
    assert {name for name, one in METRICS.items() if one.better is Better.NEITHER} == {
        "application_bytes", "disk_written", "spare_written", "io_bytes", "container_size", "disk_discarded",
        "pool_data_total", "loop_data_allocated", "loop_metadata_allocated", "host_disk_allocated", "disk_read",
        "spare_read", "spare_discarded", "memory_dirty"}
    assert all(one.better is Better.LOWER for one in METRICS.values() if one.unit == "s")


def test_the_gated_timings_and_their_minimum_effects() -> None:
    assert rules.MINIMUM_EFFECTS == {
        "write_bandwidth": 0.05, "read_bandwidth": 0.05, "write_latency_p99": 0.10, "read_latency_p99": 0.10,
        "sync_latency_p99": 0.10, "duration": 0.05}
    statistics = ("mean", "p50", "p95", "p99", "p999")
    assert set(rules.TIMINGS) == {
        "write_bandwidth", "read_bandwidth", "write_iops", "read_iops", "runtime", "sync_duration", "duration",
        *(f"{way}_latency_{name}" for way in ("write", "read", "sync") for name in statistics)}


def test_the_gated_counts_and_their_tolerances() -> None:
    assert set(rules.COUNTS) == {
        "storage_growth", "volume_growth", "storage_growth_peak", "storage_growth_left", "volume_growth_peak",
        "volume_growth_left", "pool_metadata_peak", "container_size", "application_bytes"}
    assert rules.WORK == ("application_bytes",)
    large = 100 * 1024**2
    expected = {"storage_growth": 2 * BLOCK, "volume_growth": 64 * KIB, "storage_growth_peak": 4 * BLOCK,
                "storage_growth_left": 4 * BLOCK, "volume_growth_peak": 0.01 * large,
                "volume_growth_left": 0.01 * large, "pool_metadata_peak": 0.02 * large,
                "container_size": 0.01 * large}
    assert expected == {name: tolerance(Quantity("c", "p", name, "B"), large, BLOCK, rules.Rules())
                        for name in expected}
    assert tolerance(Quantity("c", "p", "pool_metadata_peak", "B"), 0, BLOCK, rules.Rules()) == 16 * KIB
    assert tolerance(Quantity("c", "p", "storage_growth", "B"), 0, 0, rules.Rules()) == 64 * KIB


def test_rules_may_gate_other_counts_and_none_that_is_no_count_of_a_run() -> None:
    may = {name for name, one in METRICS.items() if one.may_tolerate}
    assert may == {"disk_written", "spare_written", "storage_used", "volume_used", "loop_growth", "io_bytes",
                   "pool_metadata_used"}
    assert not may & set(rules.COUNTS)


def test_the_counts_of_a_whole_cell_have_entries_too() -> None:
    derived = [name for one in METRICS for name in totals_of(one)]
    assert sorted(derived) == sorted(["storage_growth_peak", "storage_growth_left", "volume_growth_peak",
                                      "volume_growth_left", "pool_metadata_peak"])
    assert all(metric(name).unit == "B" for name in derived)


def test_what_is_compared_stands_in_the_registry() -> None:
    assert metrics.BANDWIDTHS == ("write_bandwidth", "read_bandwidth")
    assert metrics.TAIL_LATENCIES == ("write_latency_p99", "read_latency_p99", "sync_latency_p99")
    assert {*metrics.SPEEDS, *metrics.SPACE, *metrics.GROWTHS} <= set(METRICS)
    assert (metrics.growth_of("layer"), metrics.used_of("volume")) == ("storage_growth", "volume_used")
