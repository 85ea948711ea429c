"""The limits of the host in counts: refusals, full pools, LVM's extensions, and plans that cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.fleet_plans import footprint, kind, pool, ran, spec

from lab.model.container.footprint import Amount, Footprint
from lab.model.container.schedule import Action
from lab.model.fleet.arrivals import every, poisson
from lab.model.fleet.distributions import Constant, Exponential
from lab.model.fleet.fleet import Fleet
from lab.model.fleet.level import Level
from lab.model.fleet.plan import Capacity, ContainerClass, ImageSeries, Plan, Upkeep
from lab.model.pool.volume_group import VolumeGroup

MIB = 1024**2


def test_the_daemon_refuses_while_less_than_a_tenth_is_free() -> None:
    big = footprint((0.0, 100))
    _, run = ran(Plan(pool(1000, autoextend_threshold=100), (kind(every(10.0), Constant(1e6), big),)), days=0.02)
    assert run.started["web"] == 9                      # 10 + 9 x 100 of 1000 MiB; the tenth finds 90 free
    assert run.count("refused") == run.arrived["web"].size - 9
    assert run.events["refused"][0] == pytest.approx(100.0)
    assert run.reached[0.8] == pytest.approx(80.0)
    assert run.reached[0.9] == pytest.approx(90.0)
    assert run.reached[1.0] is None


@pytest.mark.parametrize(("percent", "started"), [(0, 10), (30, 7), (99, 1)])
def test_another_share_may_have_to_be_free(percent: int, started: int) -> None:
    capacity = replace(pool(1010, autoextend_threshold=100), min_free_percent=percent)
    _, run = ran(Plan(capacity, (kind(every(10.0), Constant(1e6), footprint((0.0, 100))),)), days=105 / 86_400)
    assert run.started["web"] == started            # 10 MiB and 100 each, of 1008 MiB in whole extents


def test_205_free_blocks_of_2056_are_the_tenth_that_docker_asks_for_and_204_are_not() -> None:
    """Docker rounds the tenth down to whole blocks, of data and of metadata."""
    chunk, blocks = 64 * 1024, 2056
    for data, metadata, refuses in ((205, 205, False), (204, 205, True), (205, 204, True)):
        capacity = replace(pool(1000), data_bytes=blocks * chunk, metadata_bytes=blocks * 4096, chunk_bytes=chunk,
                           data_extents=0, metadata_extents=0, extents=0,
                           empty=Amount((blocks - data) * chunk, (blocks - metadata) * 4096, 0))
        assert Level(capacity).refuses is refuses


def test_a_file_system_refuses_nothing_whatever_the_share() -> None:
    capacity = Capacity(spec("overlay2-ext4"), 100 * MIB, 0, 1, Amount(MIB, 0, 0), min_free_percent=90)
    _, run = ran(Plan(capacity, (kind(every(100.0), Constant(1e5), footprint((0.0, 10))),)), days=0.005)
    assert (run.started["web"], run.count("refused")) == (4, 0)


def test_the_daemon_refuses_for_want_of_metadata_as_well() -> None:
    _, run = ran(Plan(pool(10_000, metadata_blocks=100), (kind(every(10.0), Constant(1e6), footprint((0.0, 1))),)),
                 days=0.02)
    assert run.started["web"] == 100 - 64 - 10 + 1
    assert run.count("refused") > 0


def test_a_writer_at_a_full_pool_waits_a_minute_and_fails() -> None:
    one = footprint((0.0, 10), (20.0, 2000), (30.0, 50))
    _, run = ran(Plan(pool(1000), (kind(every(100.0), Constant(1000.0), one),)), days=0.0035)
    assert (run.events["full"].tolist(), run.events["stalled"].tolist()) == ([120.0], [120.0])
    assert run.events["failed"].tolist() == [180.0]
    assert run.reached[1.0] == 120.0
    assert run.peak.data_bytes == run.data_used[-1] == run.data_total[0]
    assert run.count("refused") == 2


def test_a_writer_goes_on_when_there_is_space_and_is_as_much_later() -> None:
    long, short = footprint((0.0, 10), (20.0, 960), (30.0, 5)), footprint((0.0, 30))
    plan = Plan(pool(1000), (kind(every(100.0), Constant(250.0), long), kind(every(90.0), Constant(60.0), short,
                                                                          name="short")))
    fleet, run = ran(plan, days=0.0025, sample_seconds=1.0)
    assert run.events["stalled"].tolist() == [120.0]
    assert run.count("failed") == 0
    level = dict(zip(run.seconds.tolist(), run.data_used.tolist(), strict=True))
    assert level[149.0] == 1000 * MIB
    assert level[151.0] == (10 + 10 + 960) * MIB        # the short one is gone at 150; the long one has all
    assert level[159.0] == level[151.0]
    assert level[161.0] == (10 + 10 + 960 + 5) * MIB    # ten seconds after it went on
    assert fleet.held() == fleet.level.amount


def test_a_full_file_system_fails_a_writer_at_once() -> None:
    capacity = Capacity(spec("overlay2-ext4"), 100 * MIB, 0, 1, Amount(MIB, 0, 0))
    _, run = ran(Plan(capacity, (kind(every(100.0), Constant(1e5), footprint((0.0, 10), (5.0, 70), (9.0, 1))),)),
                 days=0.003)
    assert run.count("refused") == 0
    assert run.events["failed"].tolist() == [205.0]
    assert run.data_used[-1] == run.data_total[-1]


def test_full_metadata_ends_the_run() -> None:
    heavy = Footprint((Action(0.0, "start"), Action(5.0, "sync")), (Amount(MIB, 4096, 0), Amount(MIB, 31 * 4096, 0)))
    _, run = ran(Plan(pool(10_000, metadata_blocks=180), (kind(every(10.0), Constant(1e6), heavy),)), days=1.0)
    assert run.events["metadata full"].tolist() == [45.0]
    assert run.ended_seconds == run.seconds[-1] == 45.0


def test_dmeventd_extends_at_its_next_look_and_never_beyond_the_group() -> None:
    plan = Plan(pool(400, free_mib=250), (kind(every(33.0), Constant(1e6), footprint((0.0, 20))),))
    fleet, run = ran(plan, days=0.05, sample_seconds=1.0)
    above = run.seconds[np.flatnonzero(run.data_used > 0.8 * 400 * MIB)[0]]
    assert run.events["extended"][0] - above <= 10
    assert all(when % 10 == 0 for when in run.events["extended"])
    group = VolumeGroup(100 + 20 + 62, 100, 10)
    sizes = [float(group.data_bytes) for _ in range(5) if group.extend(20)]
    assert sorted(set(run.data_total))[1:] == sizes
    assert run.count("extended") == len(sizes)
    assert run.count("not extended") == 1               # and no look after it: the group gains nothing
    assert fleet.level.group == group


def test_looks_that_can_find_nothing_are_not_done() -> None:
    plan = Plan(pool(10**6), (kind(poisson(100), Exponential(600)),))
    fleet, run = ran(plan, days=20.0)
    assert run.count("extended") == run.count("not extended") == 0
    assert not fleet.level.poll_due


def test_what_cannot_be_is_refused() -> None:
    one, two = footprint((0.0, 1)), footprint((0.0, 1), (1.0, 2))
    for make, told in (
            (lambda: ContainerClass("web", poisson(1), Constant(1), ()), "footprints is empty"),
            (lambda: kind(poisson(1), Constant(1), one, one), "size is None"),
            (lambda: kind(poisson(1), Constant(1), one, two, size=Constant(1)), "actions are"),
            (lambda: kind(poisson(1), Constant(1), kept_share=1.5), "kept_share is 1.5"),
            (lambda: kind(poisson(1), Constant(1), log_bytes_per_day=-1.0), "log_bytes_per_day is -1.0"),
            (lambda: ContainerClass("web", poisson(1), Constant(1), ((1.0, one), (1.0, one)), Constant(1)), "rising"),
            (lambda: ImageSeries("app", (), 1), "shared_layers is 1"),
            (lambda: Upkeep(prune_seconds=0.0), "prune_seconds is 0.0"),
            (lambda: Plan(pool(), (kind(poisson(1), Constant(1)),) * 2), "class web stands there twice"),
            (lambda: Plan(pool(), (kind(poisson(1), Constant(1), image="app"),)), "image is app"),
            (lambda: Plan(pool(), (kind(poisson(1), Constant(1)),), (), Upkeep(trim_seconds=60.0)), "trimmed rows"),
            (lambda: Fleet(Plan(pool()), -1), "seed is -1"),
            (lambda: Fleet(Plan(pool()), 1, sample_seconds=0.0), "sample_seconds is 0.0"),
            (lambda: Fleet(Plan(pool()), 1).run(0.0), "days is 0.0")):
        with pytest.raises(ValueError, match=told):
            make()


def test_without_an_image_no_container_starts() -> None:
    image = ImageSeries("app", (Amount(2000 * MIB, 0, 0),))
    _, run = ran(Plan(pool(1000), (kind(every(100.0), Constant(100.0), image="app"),), (image,)), days=0.02)
    assert (run.events["failed"].tolist(), run.started["web"]) == ([0.0], 0)
    assert run.count("refused") == run.arrived["web"].size > 0
