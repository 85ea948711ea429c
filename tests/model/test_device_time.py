"""A synchronous job's time from its service times."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.model.times.device_time import JobCounts, ServiceTimes, job_seconds, mixture_quantile, predict, within_runtime

TIMES = ServiceTimes(write_seconds=1e-4, write_seconds_per_byte=1e-10, read_seconds=8e-5, read_seconds_per_byte=2e-10,
                     first_seconds=5e-5, first_seconds_per_byte=3e-10, provision_seconds=2e-4,
                     copy_seconds_per_byte=1e-9, sync_seconds=3e-4, between_seconds=1e-5,
                     between_seconds_per_byte=2.5e-10, spread=0.4)
MIB = 1 << 20
small = st.floats(0, 1e-2)
counts = st.builds(
    JobCounts, reads=st.integers(0, 1000).map(float), writes=st.integers(500, 1000).map(float),
    read_bytes=st.integers(0, 1 << 30).map(float), written_bytes=st.integers(0, 1 << 30).map(float),
    first_writes=st.integers(0, 500).map(float), first_bytes=st.integers(0, 1 << 30).map(float),
    provisioned_blocks=st.integers(0, 2000).map(float), copied_blocks=st.integers(0, 2000).map(float),
    copied_bytes=st.integers(0, 1 << 30).map(float), copied_up_bytes=st.integers(0, 1 << 25).map(float),
    syncs=st.integers(0, 1000).map(float))


def test_a_sequential_first_write_by_hand() -> None:
    job = JobCounts(writes=256, written_bytes=256 * MIB, first_writes=256, first_bytes=256 * MIB,
                    provisioned_blocks=512, syncs=1)
    found = predict(TIMES, job)
    latency = 256 * (1e-4 + 5e-5) + 256 * MIB * 4e-10 + 512 * 2e-4
    assert found.seconds == pytest.approx(latency + 3e-4 + 256 * 1e-5 + 256 * MIB * 2.5e-10)
    assert found.write_bandwidth == pytest.approx(256 * MIB / found.seconds)
    assert found.write_iops == pytest.approx(256 / found.seconds)
    assert found.write_latency is not None
    assert found.write_latency.mean == pytest.approx(latency / 256)
    assert found.read_latency is None
    assert found.read_bandwidth is None


def test_latencies_of_one_class_are_the_lognormals() -> None:
    found = predict(TIMES, JobCounts(reads=1000)).read_latency
    assert found is not None
    centre = math.log(8e-5) - 0.4**2 / 2
    assert found.p50 == pytest.approx(math.exp(centre))
    assert found.p95 == pytest.approx(math.exp(centre + 0.4 * 1.6448536))
    assert found.p999 == pytest.approx(math.exp(centre + 0.4 * 3.0902323))


def test_copies_are_seen_in_the_tail_and_not_in_the_middle() -> None:
    plain = predict(TIMES, JobCounts(writes=1000)).write_latency
    mixed = predict(TIMES, JobCounts(writes=1000, copied_blocks=20, provisioned_blocks=20,
                                     copied_bytes=20 * 512 * 1024)).write_latency
    assert plain is not None
    assert mixed is not None
    assert mixed.p50 == pytest.approx(plain.p50, rel=0.02)
    assert mixed.p99 > 3 * plain.p99


def test_quantiles_of_a_mixture_agree_with_samples() -> None:
    random = np.random.default_rng(7)
    slow = random.random(400_000) < 0.2
    means = np.where(slow, 5e-3, 1e-4)
    samples = np.exp(random.normal(np.log(means) - 0.5**2 / 2, 0.5))
    for fraction in (0.5, 0.9, 0.99):
        assert mixture_quantile(((0.8, 1e-4), (0.2, 5e-3)), 0.5, fraction) == pytest.approx(
            float(np.quantile(samples, fraction)), rel=0.02)


def test_without_spread_a_quantile_is_a_class() -> None:
    classes = ((0.9, 1.0), (0.1, 7.0))
    assert [mixture_quantile(classes, 0.0, fraction) for fraction in (0.5, 0.9, 0.95)] == [1.0, 1.0, 7.0]


@given(counts, st.sampled_from([each.name for each in fields(ServiceTimes) if each.name != "spread"]), small)
def test_time_is_linear_in_each_service_time(job: JobCounts, name: str, value: float) -> None:
    without, unit = replace(TIMES, **{name: 0.0}), replace(ServiceTimes(), **{name: 1.0})
    assert job_seconds(replace(TIMES, **{name: value}), job) == pytest.approx(
        job_seconds(without, job) + value * job_seconds(unit, job), rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(counts, st.floats(0, 2))
def test_percentiles_rise_and_the_mean_is_the_service_time(job: JobCounts, spread: float) -> None:
    found = predict(replace(TIMES, spread=spread), job).write_latency
    assert found is not None
    assert 0 < found.p50 <= found.p95 * (1 + 1e-9) <= found.p99 * (1 + 2e-9) <= found.p999 * (1 + 3e-9)
    assert found.mean * job.writes <= job_seconds(TIMES, job) * (1 + 1e-9)


@given(counts, st.floats(1e-4, 10))
def test_a_runtime_cuts_to_itself(job: JobCounts, runtime: float) -> None:
    cut = within_runtime(TIMES, job, runtime)
    opening = job.copied_up_bytes * TIMES.copy_seconds_per_byte
    assert job_seconds(TIMES, cut) <= max(runtime, opening) * (1 + 1e-9)
    assert cut == job or job_seconds(TIMES, cut) == pytest.approx(max(runtime, opening))


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_refuses_what_is_no_time_or_count(bad: float) -> None:
    with pytest.raises(ValueError, match="sync_seconds"):
        ServiceTimes(sync_seconds=bad)
    with pytest.raises(ValueError, match="reads"):
        JobCounts(reads=bad)
    with pytest.raises(ValueError, match="more than the writes"):
        JobCounts(writes=1, first_writes=2)
    with pytest.raises(ValueError, match="between 0 and 1"):
        mixture_quantile((), 1.0, 0.5)


def test_a_job_without_operations_has_no_rates() -> None:
    nothing = predict(TIMES, JobCounts())
    assert nothing.seconds == 0
    assert nothing.write_iops is None
    assert nothing.sync_latency is None
