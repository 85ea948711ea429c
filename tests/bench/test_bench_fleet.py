"""Speed and memory of the host in counts: ``pytest tests/bench --benchmark-only`` prints all of it in one run.

An event is a change of a container: its start, each later change of what it holds, its end.  In a plain SimPy model
each would be a timeout, so it is held against bare SimPy: 1,000 processes that wait again and again.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest
import simpy
from pytest_benchmark.fixture import BenchmarkFixture

from lab.model.container.footprint import container_footprint, image_costs
from lab.model.container.schedule import Schedule, alone
from lab.model.fleet.arrivals import poisson
from lab.model.fleet.distributions import Exponential, Gamma, LogNormal
from lab.model.fleet.fleet import Fleet
from lab.model.fleet.plan import ContainerClass, ImageSeries, Plan, Upkeep, capacity_of
from lab.model.fleet.result import FleetRun
from lab.model.parameters import Timing
from lab.readers.image_archive import box_image
from lab.scenario.scenario import StorageSpec
from lab.scenario.steps import Delete, Log, SmallFiles, Start, Update, Write

MIB, GIB, DAY = 1024**2, 1024**3, 86_400.0
PROFILE = tuple(2.0 if 8 <= hour < 18 else 0.5 for hour in range(24))


@pytest.fixture(autouse=True)
def _only_on_demand(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("benchmark_only"):
        pytest.skip("measures speed: run with --benchmark-only")


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    def out(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", end="")

    return out


def schedule(mebibytes: int) -> Schedule:
    return alone((Start(), Write(amount=mebibytes * MIB, files=4), Update(amount=4 * MIB), SmallFiles(count=300),
                  Log(lines=1000), Delete(what="written")), Timing())


def host_year() -> Plan:
    """1,000 container starts a day of two classes, sizes at random, tags, logs, prunes and trims."""
    spec, image = StorageSpec.model_validate("direct-lvm"), box_image("lab/app:1")
    told = [container_footprint(spec, GIB, image, schedule(mebibytes), trims=True, stops=True)
            for mebibytes in (8, 64)]
    web = ContainerClass("web", poisson(700, PROFILE), LogNormal(3600, 1.2), ((8.0, told[0]), (64.0, told[1])),
                         Gamma(2, 30), "app", 1e6, 0.1)
    batch = ContainerClass("batch", poisson(300), Exponential(7200), ((8.0, told[0]),), image="app")
    series = ImageSeries("app", image_costs(spec, GIB, image), 1, Exponential(7 * DAY))
    return Plan(capacity_of(spec, 200 * GIB), (web, batch), (series,), Upkeep(DAY, 7 * DAY))


def plain() -> Plan:
    """One class of one size."""
    spec = StorageSpec.model_validate("direct-lvm")
    told = container_footprint(spec, GIB, box_image("lab/app:1"), schedule(32))
    return Plan(capacity_of(spec, 200 * GIB), (ContainerClass("web", poisson(1000), LogNormal(3600, 1.2),
                                                              ((32.0, told),)),))


def bare_seconds() -> float:
    """Seconds an event of SimPy alone: 1,000 processes, about 100,000 timeouts."""
    env, count = simpy.Environment(), [0]

    def waits(seconds: float) -> Generator[simpy.Event, Any, None]:
        while True:
            yield env.timeout(seconds)
            count[0] += 1

    for number in range(1000):
        env.process(waits(1 + number / 1000))
    start = time.perf_counter()
    env.run(until=150)
    return (time.perf_counter() - start) / count[0]


@pytest.mark.parametrize("plan", [plain, host_year], ids=["one size", "sizes, trims, prunes, tags, logs"])
def test_event_rate(benchmark: BenchmarkFixture, say: Callable[[str], None], plan: Callable[[], Plan],
                    request: pytest.FixtureRequest) -> None:
    """The best of some rounds each, in turn, so that what else the machine does meets both."""
    made, bare = plan(), list[float]()

    def fresh() -> tuple[tuple[object, ...], dict[str, object]]:
        bare.append(bare_seconds())
        return (Fleet(made, 1), 30.0), {}

    run: FleetRun = benchmark.pedantic(Fleet.run, setup=fresh, rounds=7)  # type: ignore[no-untyped-call]
    assert benchmark.stats is not None
    rate = run.changes / benchmark.stats.stats.min
    ratio = rate * min(bare)
    benchmark.extra_info.update(events_per_second=rate, of_simpy=ratio)
    say(f"fleet, {request.node.callspec.id}: {rate / 1e6:.2f} million events/s, {ratio:.2f} of bare SimPy; "
        f"{run.changes / sum(run.started.values()):.1f} events a container")
    assert ratio >= 0.5


def test_host_year(benchmark: BenchmarkFixture, say: Callable[[str], None]) -> None:
    fleet = Fleet(host_year(), 1)
    run: FleetRun = benchmark.pedantic(fleet.run, (365.0,), rounds=1)  # type: ignore[no-untyped-call]
    assert benchmark.stats is not None
    seconds = benchmark.stats.stats.min
    started = sum(run.started.values())
    benchmark.extra_info.update(seconds=seconds)
    say(f"a host-year: {seconds:.1f} s, {started} containers, {run.changes} events")
    assert abs(started - 365_000) < 5 * 365_000**0.5
    assert seconds <= 15


MEMORY = """
import importlib.util, re, sys, tracemalloc
from pathlib import Path
spec = importlib.util.spec_from_file_location("bench", sys.argv[1])
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

plan, before = bench.host_year(), peak()
fleet = bench.Fleet(plan, 1)
run = fleet.run(365.0)
assert sum(run.started.values()) > 350_000
print(peak() - before, peak())
"""


def test_memory(benchmark: BenchmarkFixture, say: Callable[[str], None]) -> None:
    """A host-year in a process of its own: what it takes beside the imports and the footprints."""
    def measure() -> list[int]:
        done = subprocess.run([sys.executable, "-c", MEMORY, __file__], capture_output=True, text=True, check=True)
        return [int(number) for number in done.stdout.split()]

    taken, whole = benchmark.pedantic(measure, rounds=1)  # type: ignore[no-untyped-call]
    benchmark.extra_info["bytes"] = taken
    say(f"a host-year: {taken / 1e6:.0f} MB beside the imports and footprints; the process {whole / 1e6:.0f} MB")
    assert taken <= 100e6
