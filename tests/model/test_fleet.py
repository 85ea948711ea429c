"""The host in counts: what is conserved, what closed forms say, and that it does as the exact host does."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson as poisson_law

from lab.model.arrivals import DAY_SECONDS, Arrivals, every, poisson
from lab.model.container_schedule import Action, alone
from lab.model.distributions import Constant, Distribution, Exponential, Gamma, LogNormal
from lab.model.fleet import Fleet
from lab.model.fleet_plan import Capacity, ContainerClass, ImageSeries, Plan, Upkeep, capacity_of
from lab.model.fleet_result import FleetRun
from lab.model.footprint import Amount, Footprint, container_footprint, image_costs, total_of
from lab.model.parameters import Timing
from lab.model.volume_group import VolumeGroup
from lab.readers.image_archive import box_image
from lab.scenario import StorageSpec
from lab.scenario_steps import Delete, Start, Update, Write

MIB, GIB = 1024**2, 1024**3
EMPTY = Amount(10 * MIB, 64 * 4096, 4096)


def spec(storage: str = "direct-lvm", **options: object) -> StorageSpec:
    return StorageSpec.model_validate({"storage": storage, **options})


def pool(data_mib: int = 1000, metadata_blocks: int = 100_000, free_mib: int = 0, autoextend_threshold: int = 80
         ) -> Capacity:
    """A pool on LVM of so much, and so much more in its volume group."""
    extents = data_mib // 4
    asked = spec(autoextend_threshold=autoextend_threshold)
    return Capacity(asked, extents * 4 * MIB, metadata_blocks * 4096, 512 * 1024, EMPTY, extents, 10,
                    extents + 20 + free_mib // 4)


def footprint(*changes: tuple[float, int], trimmed: bool = False) -> Footprint:
    """Ages with MiB that are added or given back; metadata of one block each.

    ``trimmed``: with rows of a container of which a trim leaves half.
    """
    held = np.cumsum([mib for _, mib in changes]).tolist()
    amounts = tuple(Amount(mib * MIB, 4096 * (number + 1), 1024 * number) for number, mib in enumerate(held))
    halves = tuple(Amount(one.data_bytes // 2, one.metadata_bytes, one.volume_bytes) for one in amounts)
    schedule = tuple(Action(age, "start" if not number else "sync") for number, (age, _) in enumerate(changes))
    rows = tuple(amounts[:number] + halves[number:] for number in range(len(amounts))) if trimmed else ()
    return Footprint(schedule, amounts, rows)


def kind(arrivals: Arrivals, lifetime: Distribution, *told: Footprint, name: str = "web", **options: object
         ) -> ContainerClass:
    sizes = tuple((float(number), one) for number, one in enumerate(told or (footprint((0.0, 3), (20.0, 5)),)))
    return ContainerClass(name, arrivals, lifetime, sizes, **options)  # type: ignore[arg-type]


def conserved(fleet: Fleet, every_seconds: float = 997.0) -> list[int]:
    """Has the levels compared with what all hold again and again while it runs; a list with one entry each time."""
    seen: list[int] = []

    def look() -> Generator[simpy.Event, Any, None]:
        while True:
            yield fleet.env.timeout(every_seconds)
            assert fleet.held() == fleet.level.amount
            seen.append(len(fleet.live))

    fleet.env.process(look())
    return seen


def ran(plan: Plan, seed: int = 1, days: float = 3.0, sample_seconds: float = 600.0) -> tuple[Fleet, FleetRun]:
    fleet = Fleet(plan, seed, sample_seconds=sample_seconds)
    seen = conserved(fleet)
    run = fleet.run(days)
    assert seen or run.ended_seconds < 1000
    assert fleet.held() == fleet.level.amount
    return fleet, run


# -- what is conserved ------------------------------------------------------------------------------------

IMAGE = ImageSeries("app", (Amount(20 * MIB, 4096, 0), Amount(6 * MIB, 4096, 0)), 1, Exponential(DAY_SECONDS / 3))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.integers(300, 20_000), st.integers(0, 4000), st.floats(0, 1), st.floats(50, 900),
       st.booleans())
def test_levels_are_what_is_held_whatever_happens(seed: int, data_mib: int, free_mib: int, kept: float,
                                                  per_day: float, small_metadata: bool) -> None:
    tables = (footprint((0.0, 3), (5.0, 20), (9.0, -12), (40.0, 7), trimmed=True),
              footprint((0.0, 6), (6.0, 90), (9.0, -40), (80.0, 7), trimmed=True))
    plan = Plan(pool(data_mib, 500 if small_metadata else 100_000, free_mib),
                (kind(poisson(per_day), LogNormal(1800, 1.5), *tables, size=Gamma(2, 0.7), image="app",
                      kept_share=kept, log_bytes_per_day=1e6),
                 kind(every(700.0), Exponential(60.0), tables[0], name="batch")),
                (IMAGE,), Upkeep(prune_seconds=20_000.0, trim_seconds=30_000.0))
    fleet, run = ran(plan, seed, 1.0)
    assert run.data_used.min() >= 0
    assert (run.data_used <= run.data_total).all()
    assert run.peak.data_bytes >= run.data_used.max()
    group = fleet.level.group
    assert group is not None
    assert group.free_extents >= 0
    assert run.data_total[-1] <= group.data_bytes


@pytest.mark.parametrize("storage", ["overlay2-ext4", "overlay2-xfs", "loop-lvm"])
def test_levels_are_what_is_held_on_other_storages(storage: str) -> None:
    plan = Plan(capacity_of(spec(storage), 2 * GIB),
                (kind(poisson(800), Exponential(7200), log_bytes_per_day=3e6, kept_share=0.3, image="app"),), (IMAGE,),
                Upkeep(prune_seconds=50_000.0))
    fleet, run = ran(plan, days=4.0)
    assert run.count("refused") == 0 or fleet.level.capacity.is_pool
    assert (run.volume_used.max() > run.volume_used[0]) == (run.started["web"] > 0)


def test_without_arrivals_nothing_grows() -> None:
    _, run = ran(Plan(pool(), (kind(poisson(0.0), Constant(60.0)),)))
    assert set(run.data_used) == {float(EMPTY.data_bytes)}
    assert set(run.metadata_used) == {float(EMPTY.metadata_bytes)}
    assert set(run.volume_used) == {float(EMPTY.volume_bytes)}
    assert (run.peak, run.changes, run.mean_live, run.events) == (EMPTY, 0, 0.0, {})
    assert run.reached == {0.8: None, 0.9: None, 1.0: None}


def test_after_the_last_container_all_is_given_back() -> None:
    fleet, run = ran(Plan(pool(), (kind(every(86_000.0), Constant(100.0)),)), days=1.5)
    assert (fleet.level.amount, run.started) == (EMPTY, {"web": 1})
    assert run.peak.data_bytes == EMPTY.data_bytes + 8 * MIB


# -- closed forms -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("lifetime", [Exponential(3000), LogNormal(2000, 1.0), Gamma(3, 2500), Constant(2500)],
                         ids=lambda one: type(one).__name__)
def test_littles_law(lifetime: Distribution) -> None:
    """Mean number = rate x mean lifetime, less what the empty start takes; the sum of lifetimes is compound Poisson."""
    days, per_day = 60.0, 500.0
    _, run = ran(Plan(pool(10**6), (kind(poisson(per_day), lifetime),)), seed=11, days=days)
    second_moment = float(np.mean(lifetime.sample(np.random.default_rng(0), 100_000) ** 2))
    rate, seconds = per_day / DAY_SECONDS, days * DAY_SECONDS
    expected = rate * (lifetime.mean - second_moment / (2 * seconds))
    assert abs(run.mean_live - expected) <= 3 * math.sqrt(rate * second_moment / seconds)


@pytest.mark.parametrize("lifetime", [Exponential(3600), LogNormal(2200, 1.0)], ids=lambda one: type(one).__name__)
def test_m_g_infinity_is_poisson_whatever_the_lifetimes(lifetime: Distribution) -> None:
    """The number in M/G/infinity is Poisson (Takacs 1962): mean, variance, and the peak of independent looks."""
    apart, days = 10 * 3600.0, 200.0
    _, run = ran(Plan(pool(10**6), (kind(poisson(600), lifetime),)), seed=3, days=days, sample_seconds=apart)
    seen = run.live[2:-1]
    load = 600 / DAY_SECONDS * lifetime.mean
    assert seen.mean() == pytest.approx(load, abs=4 * math.sqrt(load / seen.size))
    assert seen.var() / seen.mean() == pytest.approx(1, abs=4 * math.sqrt(2 / seen.size))
    low, high = (poisson_law.ppf(share ** (1 / seen.size), load) for share in (0.001, 0.999))
    assert low / load <= seen.max() / load <= high / load
    assert run.peak_live >= seen.max()


# -- limits -----------------------------------------------------------------------------------------------

def test_the_daemon_refuses_while_less_than_a_tenth_is_free() -> None:
    big = footprint((0.0, 100))
    _, run = ran(Plan(pool(1000, autoextend_threshold=100), (kind(every(10.0), Constant(1e6), big),)), days=0.02)
    assert run.started["web"] == 9                      # 10 + 9 x 100 of 1000 MiB; the tenth finds 90 free
    assert run.count("refused") == run.arrived["web"].size - 9
    assert run.events["refused"][0] == pytest.approx(100.0)
    assert run.reached[0.8] == pytest.approx(80.0)
    assert run.reached[0.9] == pytest.approx(90.0)
    assert run.reached[1.0] is None


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


# -- images, prunes, trims --------------------------------------------------------------------------------

def test_tags_pile_up_until_a_prune_and_shared_layers_are_paid_for_once() -> None:
    image = ImageSeries("app", (Amount(20 * MIB, 4096, 0), Amount(6 * MIB, 4096, 0)), 1, Constant(10_000.0))
    _, run = ran(Plan(pool(), (), (image,), Upkeep(prune_seconds=45_000.0)), days=0.6, sample_seconds=1000.0)
    level = dict(zip(run.seconds.tolist(), ((run.data_used - EMPTY.data_bytes) / MIB).tolist(), strict=True))
    assert (level[1000.0], level[11_000.0], level[44_000.0]) == (26, 32, 50)
    assert (level[46_000.0], level[51_000.0]) == (26, 32)


def test_a_tag_in_use_and_the_newest_survive_a_prune() -> None:
    image = ImageSeries("app", (Amount(6 * MIB, 0, 0),), 0, Constant(10_000.0))
    plan = Plan(pool(), (kind(every(15_000.0), Constant(1e6), footprint((0.0, 1)), image="app"),), (image,),
                Upkeep(prune_seconds=45_000.0))
    fleet, _ = ran(plan, days=46_000 / DAY_SECONDS)
    assert [tag.users for tag in fleet.images["app"].tags] == [1, 1, 1]    # made at 10, 30 and 40 thousand seconds


def test_stopped_containers_stay_until_a_prune() -> None:
    plan = Plan(pool(), (kind(every(1000.0), Constant(100.0), kept_share=1.0),), (), Upkeep(prune_seconds=20_450.0))
    fleet, run = ran(plan, days=0.24, sample_seconds=500.0)
    at = dict(zip(run.seconds.tolist(), ((run.data_used - EMPTY.data_bytes) / MIB).tolist(), strict=True))
    assert (at[19_500.0], at[20_500.0]) == (19 * 8, 0)
    assert not fleet.stopped


def test_a_trim_leaves_what_the_trimmed_row_says() -> None:
    table = footprint((0.0, 3), (20.0, 5), (5000.0, 40), trimmed=True)
    plan = Plan(pool(), (kind(every(1000.0), Constant(1e6), table),), (), Upkeep(trim_seconds=3500.0))
    fleet, _ = ran(plan, days=4000.5 / DAY_SECONDS)
    assert fleet.level.amount.data_bytes == EMPTY.data_bytes + 3 * 4 * MIB + 3 * MIB     # three halved, a new one
    later, _ = ran(plan, days=6500 / DAY_SECONDS)
    assert later.level.amount.data_bytes == EMPTY.data_bytes + (24 + 2 * 4 + 3 * 8) * MIB  # the first one's third step


def test_logs_grow_with_the_containers_that_run() -> None:
    plan = Plan(pool(), (kind(every(1000.0), Constant(5000.0), log_bytes_per_day=DAY_SECONDS),))
    _, run = ran(plan, days=0.5, sample_seconds=500.0)
    ages = [500.0 + 1000 * number for number in range(5)]
    at = dict(zip(run.seconds.tolist(), run.volume_used.tolist(), strict=True))
    assert at[20_500.0] == EMPTY.volume_bytes + sum(ages) + 5 * 1024


# -- random streams ---------------------------------------------------------------------------------------

def varied(name: str = "web", per_day: float = 300.0) -> ContainerClass:
    return kind(poisson(per_day), LogNormal(900, 1.0), footprint((0.0, 3), (9.0, 4)), footprint((0.0, 4), (9.0, 40)),
                size=Exponential(0.5), name=name, kept_share=0.2)


def test_the_same_seed_gives_the_same_run() -> None:
    plan = Plan(pool(2000), (varied(), varied("batch")), (IMAGE,), Upkeep(prune_seconds=40_000.0))
    (_, first), (_, second), (_, other) = ran(plan, 5), ran(plan, 5), ran(plan, 6)
    assert (first.data_used == second.data_used).all()
    assert (first.arrived["web"] == second.arrived["web"]).all()
    assert first.changes == second.changes != other.changes


def test_storages_see_the_same_arrivals() -> None:
    small, large = pool(60), capacity_of(spec("overlay2-ext4"), 8 * GIB)
    (_, first), (_, second) = ran(Plan(small, (varied(),))), ran(Plan(large, (varied(),)))
    assert (first.arrived["web"] == second.arrived["web"]).all()
    assert first.count("refused") > 0 == second.count("refused")


def test_a_class_more_leaves_the_others_as_they_were() -> None:
    (_, alone_), (_, both) = ran(Plan(pool(10**5), (varied(),))), ran(Plan(pool(10**5), (varied("new"), varied())))
    assert (alone_.arrived["web"] == both.arrived["web"]).all()
    assert not np.array_equal(both.arrived["new"], both.arrived["web"])


# -- against the exact model ------------------------------------------------------------------------------

@pytest.mark.parametrize("storage", ["direct-lvm", "loop-lvm", "overlay2-ext4", "overlay2-xfs"])
def test_a_fleet_of_equal_containers_is_the_exact_sum(storage: str) -> None:
    image, asked, disk = box_image("lab/app:1"), spec(storage), 16 * GIB
    told = container_footprint(asked, disk, image, alone((Start(), Write(amount=8 * MIB, files=2), Update(amount=MIB),
                                                          Delete(what="written")), Timing()))
    capacity, costs = capacity_of(asked, disk), image_costs(asked, disk, image)
    plan = Plan(capacity, (kind(every(100.0), Constant(1e6), told, image="app"),), (ImageSeries("app", costs),))
    fleet, run = ran(plan, days=1090 / DAY_SECONDS)
    assert run.started["web"] == 10
    assert fleet.level.amount == capacity.empty + total_of(costs) + told.last.times(10)


# -- what is refused --------------------------------------------------------------------------------------

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
