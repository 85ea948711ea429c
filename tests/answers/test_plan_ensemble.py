"""The ensemble: against counts, closed forms and runs by hand; it does not depend on who does the work."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from helpers.fleet_plans import footprint, kind, pool, spec
from scipy.stats import norm

from lab.answers.plan.answers import days_of, risks
from lab.answers.plan.ensemble import NEVER, Replication, Study, run_batch, seed_of
from lab.answers.plan.host import UNBOUNDED_BYTES, bounded
from lab.answers.plan.workers import Workers, batches_until, workers
from lab.errors import RigError
from lab.model.fleet.arrivals import every, poisson
from lab.model.fleet.distributions import Constant, Exponential
from lab.model.fleet.fleet import Fleet
from lab.model.fleet.plan import Capacity, ContainerClass, Plan

MIB = 1024**2


def study(capacity: Capacity, *classes: ContainerClass, days: float = 2.0, others: tuple[tuple[str, Plan], ...] = (),
          min_free: int = 10) -> Study:
    endless = replace(capacity, data_bytes=UNBOUNDED_BYTES, metadata_bytes=UNBOUNDED_BYTES, data_extents=0,
                      metadata_extents=0, extents=0)
    return Study(Plan(endless, classes), replace(capacity, min_free_percent=min_free), others, days, 3, (0.8, 0.9))


def busy(data_mib: int, **options: Any) -> Study:
    """Some five containers at a time, each of 8 MiB."""
    return study(pool(data_mib, autoextend_threshold=100), kind(poisson(60.0), Exponential(7200.0)), **options)


def all_of(told: Study, n: int) -> list[Replication]:
    return run_batch(told, tuple(range(n)))


# -- against what is known -----------------------------------------------------------------------------------

def test_constant_growth_reaches_each_mark_on_the_day_that_a_division_gives() -> None:
    """10 MiB, and 5 MiB more each hour for ever: 1000 MiB are reached with the 198th container."""
    one = kind(every(3600.0), Constant(1e9), footprint((0.0, 5)))
    found = all_of(study(pool(1000, autoextend_threshold=100), one, days=10.0, min_free=0), 3)
    for mark, share in enumerate((0.8, 0.9, 1.0)):
        hours = math.ceil((share * 1000 - 10) / 5)
        assert {round(each.planned.marks[mark], 3) for each in found} == {hours * 3600.0}
        told = days_of("", [each.planned.marks[mark] for each in found])
        assert (told.low, told.median, told.high) == pytest.approx((hours / 24,) * 3)
    full = next(risk for risk in risks(found, 10.0) if risk.name == "data full")
    assert [chance.hits for chance in full.chances] == [0, 0, 0, 3]          # by 2.5, 5, 7.5 and 10 days; full on 8.25


def test_the_probability_of_a_full_pool_is_the_count_over_the_replications() -> None:
    told = busy(84, days=1.0, min_free=0)
    full = next(risk for risk in risks(all_of(told, 30), 1.0) if risk.name == "data full").by_horizon
    runs = [Fleet(bounded(told.demand, told.capacity), seed_of(3, number)).run(1.0) for number in range(30)]
    assert full.hits == sum(run.peak.data_bytes >= told.capacity.data_bytes for run in runs)
    assert 0 < full.hits < 30
    assert full.low < full.value < full.high


def test_the_peak_of_many_independent_containers_is_near_the_normal_approximation() -> None:
    """Containers that stay: a Poisson number N of them at the end, so P(10 + 8 N > size) is that of a Poisson law,
    and nearly that of a normal one (mean 10 + 8 m, variance 64 m), with a correction for continuity."""
    mean, days = 400.0, 2.0
    told = study(pool(10**6), kind(poisson(mean / days), Constant(1e9), footprint((0.0, 8))), days=days)
    peaks = np.array([one.demand.data_bytes / MIB for one in all_of(told, 100)])
    for share in (0.2, 0.5, 0.8):
        size = 10 + 8 * (round(mean + norm.ppf(1 - share) * math.sqrt(mean)) + 0.5)
        expected = norm.sf((size - 10) / 8, mean, math.sqrt(mean))
        assert (peaks > size).mean() == pytest.approx(expected, abs=3.3 * math.sqrt(expected * (1 - expected) / 100))


# -- what sizing rests on ------------------------------------------------------------------------------------

@pytest.mark.parametrize("data_mib", [60, 80, 100, 120])
def test_a_pool_that_nobody_noticed_saw_the_unbounded_demand(data_mib: int) -> None:
    told = busy(data_mib)
    for one in all_of(told, 12):
        if one.planned.limited_at == NEVER:
            assert one.planned.peaks == one.demand == told._outcome(told.demand, seed_of(3, one.number)).peaks
        else:
            assert one.demand.data_bytes > 0.9 * told.capacity.data_bytes


def test_logs_that_fill_a_file_system_show_its_size_though_no_write_fails() -> None:
    """Lines are lost then, so the run is not that of a storage without bounds."""
    from lab.model.container.footprint import Amount

    small = Capacity(spec("overlay2-ext4"), 100 * MIB, 0, 1, Amount(10 * MIB), min_free_percent=0)
    alone = kind(every(3600.0), Constant(1e9), footprint((0.0, 1)), log_bytes_per_day=5000.0 * MIB)
    told = Study(Plan(replace(small, data_bytes=UNBOUNDED_BYTES), (alone,)), small, (), 1.8 / 24, 3, (0.8,))
    found = all_of(told, 1)[0]
    assert set(found.planned.first.values()) == {NEVER}
    assert 3600.0 < found.planned.limited_at < NEVER
    assert found.demand.data_bytes > small.data_bytes


def test_a_larger_pool_is_never_more_often_too_small() -> None:
    sizes = (40, 60, 80, 100, 400)
    hits = []
    for data_mib in sizes:
        found = all_of(busy(data_mib), 20)
        hits.append({one.number for one in found if one.planned.limited_at < NEVER})
        full = next(risk for risk in risks(found, 2.0) if risk.name == "any of these")
        assert [chance.hits for chance in full.chances] == sorted(chance.hits for chance in full.chances)
    for smaller, larger in pairwise(hits):
        assert larger <= smaller                                            # replication by replication
    assert (len(hits[0]), len(hits[-1])) == (20, 0)


def test_another_min_free_space_refuses_at_another_level() -> None:
    for percent, started in ((0, 10), (10, 9), (50, 5)):
        one = kind(every(10.0), Constant(1e9), footprint((0.0, 100)))
        told = study(pool(1010, autoextend_threshold=100), one, days=0.005, min_free=percent)
        outcome = all_of(told, 1)[0].planned
        assert outcome.first["refused"] == (pytest.approx(10.0 * (started + 1)) if percent else NEVER)
        assert outcome.peaks.devices > 2 * started


# -- who does the work ---------------------------------------------------------------------------------------

@pytest.fixture
def varied() -> Study:
    base = busy(90)
    return replace(base, others=(("twice", replace(base.demand, classes=(kind(poisson(120.0), Exponential(7200.0)),))),
                                 ))


def same(first: list[Replication], second: list[Replication]) -> bool:
    return len(first) == len(second) and all(
        (one.number, one.demand, one.others, one.planned.first, one.planned.marks, one.planned.alerts)
        == (two.number, two.demand, two.others, two.planned.first, two.planned.marks, two.planned.alerts)
        and np.array_equal(one.planned.curves, two.planned.curves) for one, two in zip(first, second, strict=True))


def ensemble(crew: Workers, told: Study, n: int) -> list[Replication]:
    return batches_until(crew, run_batch, (told,), replications=n, deadline=0.0, progress=lambda *told: None)


def test_one_process_and_two_give_the_same(varied: Study) -> None:
    with workers(1) as alone, workers(2) as pair:
        assert (alone.count, pair.count) == (1, 2)
        one, two = ensemble(alone, varied, 11), ensemble(pair, varied, 11)
    assert same(one, two)
    assert same(one, all_of(varied, 11))
    assert [each.number for each in one if each.others] == [0, 4, 8]
    assert not same(one, all_of(replace(varied, seed=4), 11))


def test_fewer_replications_are_the_first_of_more(varied: Study) -> None:
    assert same(all_of(varied, 12)[:5], all_of(varied, 5))


def test_when_the_time_is_over_whole_waves_are_done_and_their_number_is_told(varied: Study) -> None:
    seen: list[tuple[int, int | None]] = []
    with workers(1) as crew:
        found = batches_until(crew, run_batch, (varied,), replications=None, deadline=0.0,
                              progress=lambda done, of, *rest: seen.append((done, of)))
    assert seen == [(0, None), (4, None)]
    assert same(found, all_of(varied, 4))


@pytest.fixture
def cluster() -> Iterator[str]:
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as local:
        yield local.scheduler_address


def test_a_dask_cluster_gives_the_same(varied: Study, cluster: str) -> None:
    with workers(None, cluster) as crew:
        assert crew.count == 2
        assert same(ensemble(crew, varied, 9), all_of(varied, 9))


def test_a_cluster_that_cannot_be_reached_is_told_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.answers.plan.workers.CONNECT_SECONDS", 1)
    with pytest.raises(RigError) as caught, workers(None, "tcp://127.0.0.1:9"):
        pass
    assert "tcp://127.0.0.1:9" in str(caught.value)
    assert caught.value.remedy


def test_seeds_are_those_of_spawned_children() -> None:
    children = np.random.SeedSequence(7).spawn(3)
    words = [child.generate_state(2, np.uint64).tolist() for child in children]
    assert [seed_of(7, number) for number in range(3)] == [low | high << 64 for low, high in words]
    assert seed_of(7, 1) != seed_of(8, 1)


