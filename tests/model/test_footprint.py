"""Footprints against the exact model: added up, they must give its levels."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.schedules import phases_of

from lab.model.container.footprint import Amount, Footprint, container_footprint, image_costs, total_of
from lab.model.container.host import Host
from lab.model.container.schedule import Action, Schedule, alone
from lab.model.drivers.face import build_storage
from lab.model.drivers.storage import Storage
from lab.model.filesystems.image_content import ImageContent
from lab.model.filesystems.xfs_space import NoRoom
from lab.model.fleet.plan import capacity_of
from lab.model.parameters import Timing
from lab.readers.image_archive import box_image
from lab.scenario.scenario import Cell, MachineSpec, Scenario, StepsWorkload, StorageSpec, load_scenario
from lab.scenario.steps import AnyStep, Delete, Log, Pause, Remove, SmallFiles, Start, Trim, Update, Write

KIB, MIB, GIB = 1024, 1024**2, 1024**3
SCENARIO_FOLDER = Path(__file__).parents[2] / "scenarios"
FILES = [*sorted(SCENARIO_FOLDER.glob("*.yaml")), *sorted((SCENARIO_FOLDER / "validation").glob("*.yaml"))]
SCENARIOS = {path.stem: load_scenario(path) for path in FILES}
CELLS = [(name, cell.id) for name, scenario in SCENARIOS.items() for cell in scenario.cells()
         if isinstance(cell.workload, StepsWorkload)]
TIMING = Timing()

ONCE = Amount(8 * KIB, 16 * KIB, 12 * KIB)
"""What differs beside the 1 %.  Folders above the first containers' own that stay when they are gone: two blocks, with
volumes three.  Metadata: two blocks of trees that do not shrink again; and up to four while the first containers break
their image's blocks, where reference counts of three and more begin, in another order than in the footprint."""

INODES_BYTES = 704 * KIB
"""overlay2-xfs: containers share chunks of 64 inodes, those of the root's group stay, and a container takes the inodes
of files that another one has deleted before: one after the other, as footprints are measured, they take fewer."""


def spec(storage: str, **options: object) -> StorageSpec:
    return StorageSpec.model_validate({"storage": storage, **options})


def empty_level(asked: StorageSpec, disk_bytes: int) -> Amount:
    return capacity_of(asked, disk_bytes).empty


def held_by(cell: Cell, disk_bytes: int, seed: int, place: int, part: Schedule, whole: Schedule) -> Amount:
    """Of the container in that place, after the last action of ``part``, with which ``whole`` begins."""
    assert whole[:len(part)] == part
    told = container_footprint(cell.storage, disk_bytes, box_image(cell.workload.image), whole,
                               volume=cell.target == "volume", seed=seed)
    return told.of(place)[len(part) - 1]


def exact(scenario: Scenario, cell: Cell, disk_bytes: int) -> list[tuple[str, Amount]]:
    """The levels that ``Host`` has after each phase."""
    assert isinstance(cell.workload, StepsWorkload)
    host, image = Host(build_storage(cell.storage, disk_bytes), TIMING), box_image(cell.workload.image)
    host.storage.load(image)
    host.run_cell(host.steps(cell.workload, image, scenario.seed, volume=cell.target == "volume"))
    return [(phase.name, Amount(phase.after.storage_used, phase.after.pool_metadata_used or 0,
                                phase.after.volume_used)) for phase in host.phases]


def aggregate(scenario: Scenario, cell: Cell, disk_bytes: int) -> list[tuple[str, Amount]]:
    """The same levels, as the empty storage, the image and each container's footprint."""
    workload = cell.workload
    assert isinstance(workload, StepsWorkload)
    phases = phases_of(workload, TIMING, pool=cell.storage.driver == "devicemapper")
    image = total_of(image_costs(cell.storage, disk_bytes, box_image(workload.image)))
    told: list[tuple[str, Amount]] = []
    for number, phase in enumerate(phases):
        level = empty_level(cell.storage, disk_bytes)
        if phase.name != "remove_image":
            level = level + image
        later = [other.done for other in phases[number:]]
        last = later[next((at for at, done in enumerate(later) if not done), len(later)) - 1]
        parts = [held_by(cell, disk_bytes, scenario.seed, place, part, whole)
                 for place, (part, whole) in enumerate(zip(phase.done, last, strict=bool(phase.done)))]
        told.append((phase.name, level + total_of(parts)))
    return told


def far_off(ours: Amount, theirs: Amount, empty: Amount, once: Amount) -> list[str]:
    """What differs by more than 1 % of the level above the empty storage, or by what is there once."""
    pairs = {"data": (ours.data_bytes, theirs.data_bytes, empty.data_bytes, once.data_bytes),
             "metadata": (ours.metadata_bytes, theirs.metadata_bytes, empty.metadata_bytes, once.metadata_bytes),
             "volume": (ours.volume_bytes, theirs.volume_bytes, empty.volume_bytes, once.volume_bytes)}
    return [f"{what}: {mine} instead of {real} bytes" for what, (mine, real, before, slack) in pairs.items()
            if abs(mine - real) > max(0.01 * (real - before), slack)]


@pytest.mark.parametrize(("name", "cell_id"), CELLS)
def test_footprints_add_up_to_the_exact_levels_after_each_phase(name: str, cell_id: str) -> None:
    scenario = SCENARIOS[name]
    assert isinstance(scenario.machine, MachineSpec)
    cell = next(cell for cell in scenario.cells() if cell.id == cell_id)
    disk = scenario.machine.pool_disk_bytes
    ours, theirs = aggregate(scenario, cell, disk), exact(scenario, cell, disk)
    assert [phase for phase, _ in ours] == [phase for phase, _ in theirs]
    empty, pool = empty_level(cell.storage, disk), cell.storage.driver == "devicemapper"
    once = ONCE if cell.storage.storage != "overlay2-xfs" else Amount(INODES_BYTES, 0, ONCE.volume_bytes)
    for (phase, mine), (_, real) in zip(ours, theirs, strict=True):
        assert not far_off(mine, real, empty, once), phase
        if pool:
            assert mine.data_bytes == real.data_bytes, phase     # containers share data blocks with their image only


STEPS: tuple[AnyStep, ...] = (Start(), Write(amount=12 * MIB, files=3), Update(amount=2 * MIB),
                              SmallFiles(count=120, each=6 * KIB), Log(lines=500), Pause(duration=60.0),
                              Delete(what="written"), Write(amount=4 * MIB))


def many(storage: Storage, image: ImageContent, count: int, steps: tuple[AnyStep, ...]) -> Amount:
    """The exact level with so many containers that have done their steps one after the other."""
    storage.load(image)
    for number in range(count):
        running = storage.start(f"c{number}", image, volume=False)
        work, name = storage.work(running), running.name
        for step in steps:
            if isinstance(step, Write):
                work.write(step.amount_bytes, step.files, "written1")
            elif isinstance(step, Update):
                work.update(step.file, step.amount_bytes, 1)
        running.layer.sync()
        storage.flush()
        storage.push(name)
    storage.sync()
    storage.flush()
    levels = storage.levels()
    return Amount(levels.storage_used, levels.pool_metadata_used or 0, levels.volume_used)


@pytest.mark.parametrize("asked", [spec("loop-lvm"), spec("direct-lvm"), spec("overlay2-ext4"), spec("overlay2-xfs")],
                         ids=lambda asked: asked.label)
def test_sixty_containers_are_sixty_footprints(asked: StorageSpec) -> None:
    image, disk = box_image("lab/app:1"), 16 * GIB
    steps: tuple[AnyStep, ...] = (Start(), Write(amount=4 * MIB, files=2), Update(amount=MIB))
    told = container_footprint(asked, disk, image, alone(steps, TIMING))
    ours = empty_level(asked, disk) + total_of(image_costs(asked, disk, image)) + told.last.times(60)
    theirs = many(build_storage(asked, disk), image, 60, steps)
    once = Amount(MIB if asked.storage == "overlay2-xfs" else 64 * KIB, 20 * KIB, 64 * KIB)
    assert not far_off(ours, theirs, empty_level(asked, disk), once)


@pytest.mark.parametrize("asked", [spec("loop-lvm"), spec("direct-lvm"), spec("direct-lvm", discard=True),
                                   spec("overlay2-xfs")], ids=lambda asked: f"{asked.label}-{asked.discard}")
def test_a_size_between_two_is_on_the_line_between_their_footprints(asked: StorageSpec) -> None:
    image = box_image("lab/app:1")

    def of(mebibytes: int) -> Footprint:
        steps = (Start(), Write(amount=mebibytes * MIB, files=4), SmallFiles(count=3 * mebibytes))
        return container_footprint(asked, 4 * GIB, image, alone(steps, TIMING))

    low, middle, high = (of(mebibytes).last.data_bytes for mebibytes in (16, 80, 144))
    assert middle == pytest.approx((low + high) / 2, rel=0.01)


@pytest.mark.parametrize("disk_bytes", [GIB, 8 * GIB])
def test_what_a_container_allocates_does_not_depend_on_the_pools_size(disk_bytes: int) -> None:
    image = box_image("lab/app:1")
    told = container_footprint(spec("direct-lvm"), disk_bytes, image, alone(STEPS[:3], TIMING)).last
    theirs = many(build_storage(spec("direct-lvm"), disk_bytes), image, 1, STEPS[:3])
    above = theirs - empty_level(spec("direct-lvm"), disk_bytes) - total_of(
        image_costs(spec("direct-lvm"), disk_bytes, image))
    assert told.data_bytes == above.data_bytes


@pytest.mark.parametrize("storage", ["loop-lvm", "direct-lvm"])
def test_a_trim_from_outside_is_the_trim_that_the_steps_could_have_had(storage: str) -> None:
    image, asked = box_image("lab/app:1"), spec(storage)
    schedule = alone(STEPS, TIMING)
    told = container_footprint(asked, GIB, image, schedule, trims=True, copies=1)
    deleted = next(number for number, action in enumerate(schedule) if action.name == "delete") + 1
    with_trim = alone((*STEPS[:7], Trim(), *STEPS[7:]), TIMING)
    theirs = container_footprint(asked, GIB, image, with_trim, copies=1)
    trimmed = next(number for number, action in enumerate(with_trim) if action.kind == "trim")
    assert told.trimmed[deleted][deleted].data_bytes == theirs.held[trimmed].data_bytes
    assert told.trimmed[deleted][-1].data_bytes == theirs.last.data_bytes
    assert told.trimmed[deleted][deleted].data_bytes <= told.held[deleted].data_bytes - 8 * MIB
    assert told.trimmed[0][0].data_bytes <= told.held[0].data_bytes


def test_a_stop_writes_what_was_in_memory() -> None:
    schedule = alone(STEPS, TIMING)
    told = container_footprint(spec("direct-lvm"), GIB, box_image("lab/app:1"), schedule, stops=True)
    assert len(told.stopped) == len(schedule)
    assert all(end.data_bytes >= held.data_bytes for end, held in zip(told.stopped, told.held, strict=True))
    assert told.stopped[1].data_bytes > told.held[1].data_bytes         # before the worker's first push
    overlay = container_footprint(spec("overlay2-ext4"), GIB, box_image("lab/app:1"), schedule, stops=True)
    assert overlay.stopped == overlay.held


def test_later_containers_hold_whole_data_blocks_and_the_first_ones_stand_by_themselves() -> None:
    told = container_footprint(spec("direct-lvm"), GIB, box_image("lab/app:1"), alone(STEPS, TIMING))
    assert (told.of(0), told.of(5)) == (told.first[0], told.held)
    assert [action.name for action in told.schedule][:2] == ["start", "write"]
    assert told.last.data_bytes % (512 * KIB) == 0


def test_images_pay_for_shared_layers_once() -> None:
    asked, app = spec("direct-lvm"), box_image("lab/app:1")
    other = ImageContent("other", (*app.layers[:-1], box_image("lab/large:1").layers[-1]))
    storage = build_storage(asked, 4 * GIB)
    storage.load(app)
    storage.load(other)
    costs, others = image_costs(asked, GIB, app), image_costs(asked, GIB, other)
    ours = empty_level(asked, 4 * GIB) + total_of(costs) + total_of(others[-1:])
    assert ours.data_bytes == storage.levels().storage_used
    assert others[:-1] == costs[:-1]
    assert total_of(costs).data_bytes > 32 * MIB


def test_a_schedule_has_pushes_every_half_minute_until_all_is_written() -> None:
    schedule = alone(STEPS, TIMING)
    ages = [action.age_seconds for action in schedule]
    assert ages == sorted(ages)
    pushes = [action.age_seconds for action in schedule if action.kind == "push"]
    mounted = TIMING.mount_share * TIMING.start_seconds
    assert pushes == pytest.approx([mounted + 30 * number for number in (1, 2, 3)])
    assert schedule[-1].kind == "push"
    assert [action.kind for action in alone((Start(), Remove()), TIMING)] == ["start", "push"]


def test_what_cannot_be_is_refused() -> None:
    image = box_image("lab/app:1")
    with pytest.raises(ValueError, match="'start' expected"):
        alone((), TIMING)
    with pytest.raises(ValueError, match="'start' expected"):
        alone((Pause(duration=1.0),), TIMING)
    with pytest.raises(ValueError, match="begins with start"):
        container_footprint(spec("direct-lvm"), GIB, image, (Action(0.0, "push"),))
    with pytest.raises(ValueError, match="no file work"):
        container_footprint(spec("direct-lvm"), GIB, image, (Action(0.0, "start"), Action(1.0, "step", Remove())))
    with pytest.raises(NoRoom):
        container_footprint(spec("direct-lvm"), GIB, image, alone((Start(), Write(amount=11 * GIB)), TIMING))
