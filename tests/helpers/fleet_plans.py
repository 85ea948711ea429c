"""Pools, tables and classes with round numbers, for the tests of the host in counts."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from lab.model.container.footprint import Amount, Footprint
from lab.model.container.schedule import Action
from lab.model.fleet.arrivals import Arrivals
from lab.model.fleet.distributions import Distribution
from lab.model.fleet.fleet import Fleet
from lab.model.fleet.plan import Capacity, ContainerClass, Plan
from lab.model.fleet.result import FleetRun
from lab.scenario.scenario import StorageSpec

MIB = 1024**2
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
