"""The host in counts against the exact model: the same containers at the same times give the same levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.model.container.footprint import Footprint, act, container_footprint, image_costs, total_of
from lab.model.container.host import Host
from lab.model.container.schedule import Action, alone
from lab.model.drivers.face import build_storage
from lab.model.fleet.arrivals import DAY_SECONDS, every
from lab.model.fleet.distributions import Constant, Distribution, LogNormal, stream
from lab.model.fleet.fleet import Fleet
from lab.model.fleet.plan import ContainerClass, ImageSeries, Plan, capacity_of
from lab.model.fleet.result import FleetRun
from lab.model.parameters import Timing
from lab.readers.image_archive import box_image
from lab.scenario.scenario import MachineSpec, StepsWorkload, StorageSpec, load_scenario
from lab.scenario.steps import Delete, Start, Update, Write

MIB, GIB = 1024**2, 1024**3


def spec(storage: str) -> StorageSpec:
    return StorageSpec.model_validate({"storage": storage})


def one_class(interval_seconds: float, lifetime: Distribution, table: Footprint) -> ContainerClass:
    return ContainerClass("web", every(interval_seconds), lifetime, ((0.0, table),), image="app")


@pytest.mark.parametrize("storage", ["direct-lvm", "loop-lvm", "overlay2-ext4", "overlay2-xfs"])
def test_a_fleet_of_equal_containers_is_the_exact_sum(storage: str) -> None:
    image, asked, disk = box_image("lab/app:1"), spec(storage), 16 * GIB
    told = container_footprint(asked, disk, image, alone((Start(), Write(amount=8 * MIB, files=2), Update(amount=MIB),
                                                          Delete(what="written")), Timing()))
    capacity, costs = capacity_of(asked, disk), image_costs(asked, disk, image)
    plan = Plan(capacity, (one_class(100.0, Constant(1e6), told),), (ImageSeries("app", costs),))
    fleet = Fleet(plan, 1)
    run = fleet.run(1090 / DAY_SECONDS)
    assert run.started["web"] == 10
    assert fleet.level.amount == capacity.empty + total_of(costs) + told.last.times(10)


def exact_levels(asked: StorageSpec, disk: int, table: Footprint, run: FleetRun, lives: list[float]) -> Any:
    """Data of the exact storage at the run's sample times: the same containers, each action at its time."""
    image, storage = box_image("lab/app:1"), build_storage(asked, disk)
    storage.load(image)
    todo: list[tuple[float, int, Action | None]] = []
    for number, (at, life) in enumerate(zip(run.arrived["web"].tolist(), lives, strict=False)):
        todo += [(at + action.age_seconds, number, action) for action in table.schedule if action.age_seconds < life]
        todo.append((at + life, number, None))
    todo.sort(key=lambda one: one[:2])
    levels, place = [], 0
    for when in run.seconds:
        while place < len(todo) and todo[place][0] <= when:
            _, number, action = todo[place]
            if action is None:
                storage.stop(f"c{number}")
            elif action.kind == "start":
                storage.start(f"c{number}", image, volume=False)
            else:
                act(storage, storage.running[f"c{number}"], action, 0)
            storage.flush()
            place += 1
        levels.append(storage.levels().storage_used)
    return np.array(levels, dtype=np.float64)


@pytest.mark.parametrize("storage", ["direct-lvm", "loop-lvm", "overlay2-ext4", "overlay2-xfs"])
def test_containers_that_come_and_go_leave_the_exact_levels_at_every_moment(storage: str) -> None:
    asked, disk, image = spec(storage), 16 * GIB, box_image("lab/app:1")
    table = container_footprint(asked, disk, image, alone((Start(), Write(amount=8 * MIB, files=2),
                                                           Update(amount=MIB), Delete(what="written")), Timing()))
    lifetime = LogNormal(60.0, 1.0)
    plan = Plan(capacity_of(asked, disk), (one_class(31.0, lifetime, table),),
                (ImageSeries("app", image_costs(asked, disk, image)),))
    run = Fleet(plan, 4, sample_seconds=7.0).run(1500 / DAY_SECONDS)
    theirs = exact_levels(asked, disk, table, run, lifetime.sample(stream(4, "web lifetimes"), 60).tolist())[1:]
    ours = run.data_used[1:]
    if plan.capacity.is_pool:
        assert (ours == theirs).all()
    else:
        above = theirs - plan.capacity.empty.data_bytes
        assert (np.abs(ours - theirs) <= np.maximum(0.01 * above, MIB if storage == "overlay2-xfs" else 0)).all()
    assert len(set(ours)) > 10


def test_lvm_extends_as_often_and_as_far_as_on_the_exact_host() -> None:
    scenario = load_scenario(Path(__file__).parents[2] / "scenarios" / "autoextend.yaml")
    workload, machine, asked = scenario.workload[0], scenario.machine, scenario.storages[1]
    assert isinstance(workload, StepsWorkload)
    assert isinstance(machine, MachineSpec)
    image, disk = box_image(workload.image), machine.pool_disk_bytes
    host = Host(build_storage(asked, disk), Timing())
    host.storage.load(image)
    host.run_cell(host.steps(workload, image, scenario.seed, volume=False))
    table = container_footprint(asked, disk, image, alone(workload.steps, Timing()), seed=scenario.seed)
    plan = Plan(capacity_of(asked, disk), (one_class(1e5, Constant(500.0), table),),
                (ImageSeries("app", image_costs(asked, disk, image)),))
    fleet = Fleet(plan, 1, sample_seconds=1.0)
    run = fleet.run(1e5 / DAY_SECONDS + 0.01)
    theirs = [sample.levels.pool_data_total for sample in host.samples]
    assert set(run.data_total.tolist()) == set(theirs)
    assert len(set(theirs)) > 1
    assert fleet.level.group == host.storage.group
