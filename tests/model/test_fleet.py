"""The host in counts: what is conserved, what closed forms say, and that streams do not depend on each other."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from helpers.fleet_plans import EMPTY, footprint, kind, pool, ran, spec
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson as poisson_law

from lab.model.container.footprint import Amount
from lab.model.container.schedule import Action
from lab.model.fleet.arrivals import DAY_SECONDS, every, poisson
from lab.model.fleet.distributions import Constant, Distribution, Exponential, Gamma, LogNormal
from lab.model.fleet.lots import Costs
from lab.model.fleet.plan import ContainerClass, ImageSeries, Plan, Upkeep, capacity_of

MIB, GIB = 1024**2, 1024**3


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
    assert run.peak_devices >= 1 + 2 * seen.max()


# -- costs ------------------------------------------------------------------------------------------------

@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 3), min_size=1, max_size=5))
def test_a_size_costs_what_the_line_between_its_neighbours_says_and_never_less_than_nothing(sizes: list[float]) -> None:
    tables = [replace(one, schedule=(*one.schedule, Action(9.0, "sync")), held=(*one.held, one.held[-1]))
              for one in (footprint((0.0, 3), (5.0, 7)), footprint((0.0, 3), (6.0, 90)))]
    costs = Costs(kind(poisson(1), Constant(1), *tables, size=Constant(1)))
    assert costs.held.shape == (2, 2, 3)                                        # what changes nothing is left out
    for size, flat in zip(sizes, costs.changes(np.array(sizes)), strict=True):
        changes = np.array(flat).reshape(-1, 4)
        assert changes[:, 0].tolist() == pytest.approx([0.0, 5.0 + size])
        assert changes[0, 1] == 3 * MIB
        assert changes[:, 1].sum() == pytest.approx((10 + 83 * size) * MIB, abs=1)
    least = costs.changes(np.array([-5.0]))[0]
    assert least[1] + least[5] == 0


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


def test_thin_devices_are_those_of_all_tags_and_of_containers_that_run_or_are_kept() -> None:
    """A tag of 2 shared layers and 3 of its own every 10,000 s; a container every 1,000 s for 100 s, all kept."""
    image = ImageSeries("app", (Amount(MIB, 4096, 0),) * 5, 2, Constant(10_000.0))
    host = (kind(every(1000.0), Constant(100.0), image="app", kept_share=1.0),)
    for prune, seconds, devices in (
            (None, 500.0, 1 + 5),                               # the base device, and the first tag
            (None, 35_500.0, 1 + 2 + 4 * 3 + 2 * 35),
            # before the prune: 25 containers of three tags; after it the newest tag and ten containers more
            (25_500.0, 35_400.0, 1 + 2 + 3 * 3 + 2 * 25)):
        _, run = ran(Plan(pool(10_000), host, (image,), Upkeep(prune_seconds=prune)), days=seconds / DAY_SECONDS,
                     sample_seconds=400.0)
        assert run.peak_devices == devices


def test_stopped_containers_stay_until_a_prune() -> None:
    plan = Plan(pool(), (kind(every(1000.0), Constant(100.0), kept_share=1.0),), (), Upkeep(prune_seconds=20_450.0))
    fleet, run = ran(plan, days=0.24, sample_seconds=500.0)
    at = dict(zip(run.seconds.tolist(), ((run.data_used - EMPTY.data_bytes) / MIB).tolist(), strict=True))
    assert (at[19_500.0], at[20_500.0]) == (19 * 8, 0)
    assert not fleet.stopped


def test_a_stop_adds_what_the_unmount_writes() -> None:
    one = footprint((0.0, 3), (20.0, 5))
    told = replace(one, stopped=tuple(held + Amount(2 * MIB, 4096, 0) for held in one.held))
    fleet, _ = ran(Plan(pool(), (kind(every(1000.0), Constant(10.0), told, kept_share=1.0),)), days=2500 / DAY_SECONDS)
    assert fleet.level.amount.data_bytes == EMPTY.data_bytes + 2 * (3 + 2) * MIB        # stopped before the second step


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


def test_the_log_of_a_container_that_is_kept_stays_until_the_prune_and_grows_no_more() -> None:
    """Ten containers a day's part, each a byte a second for 500 s; a prune at 6,000 s takes the six logs then there."""
    plan = Plan(pool(), (kind(every(1000.0), Constant(500.0), log_bytes_per_day=DAY_SECONDS, kept_share=1.0),),
                upkeep=Upkeep(prune_seconds=6_100.0))
    _, run = ran(plan, days=0.2, sample_seconds=100.0)
    logs = dict(zip(run.seconds.tolist(), run.volume_used.tolist(), strict=True))
    starts = {at: sum(start <= at for start in run.arrived["web"]) for at in (6_000.0, 6_200.0, 8_700.0)}
    writes = {at: logs[at] - EMPTY.volume_bytes for at in starts}
    settled = sum(start + 500 <= 6_000.0 for start in run.arrived["web"])
    assert writes[6_000.0] >= 500.0 * settled > 0
    assert writes[6_200.0] < 500.0 + 2 * 1024, "all but the one that still runs are gone"
    later = [start for start in run.arrived["web"] if 6_100.0 < start + 500 <= 8_700.0]
    assert writes[8_700.0] >= 500.0 * len(later)


# -- random streams ---------------------------------------------------------------------------------------

def varied(name: str = "web", per_day: float = 300.0) -> ContainerClass:
    made: ContainerClass = kind(poisson(per_day), LogNormal(900, 1.0), footprint((0.0, 3), (9.0, 4)),
                                footprint((0.0, 4), (9.0, 40)), size=Exponential(0.5), name=name, kept_share=0.2)
    return made


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
