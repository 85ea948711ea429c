"""What one container costs its storage, and what an image costs: measured once by the exact model, and remembered.

A footprint is a table: after each action of the container's schedule, how many bytes of the pool (or of overlay2's
file system), of the pool's metadata and of the disk of volumes and daemon it holds.  All in bytes, so that pools and
file systems are counted alike; a pool's data are whole data blocks.

What the table rests on: a container's blocks are its own.  Its snapshots share blocks with its image only, and a
block that it breaks from the image is its own from then on; no container frees or takes another one's.  So containers
add up, exactly in data blocks.  What is shared by all does not quite:

- the first two containers of an image add up to six blocks of metadata for reference counts above two, and all later
  ones the same: so the first ones stand by themselves in a footprint, and the later ones' mean is what it tells;
- on overlay2-xfs containers share chunks of 64 inodes, and take those that another one's deleted files have left;
- folders that the first container made stay when it is gone (and on overlay2-xfs up to 700 KiB of inodes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lab.model.container.schedule import Action, Schedule
from lab.model.drivers.face import build_storage
from lab.model.drivers.storage import Levels, Running, Storage
from lab.model.filesystems.image_content import ImageContent
from lab.model.parameters import LogCosts
from lab.scenario.scenario import StorageSpec

FIRST = 2
"""Containers that run before, and are not counted."""

POOL_COPIES, OVERLAY_COPIES = 2, 16
"""Containers that a footprint is the mean of: in a pool they are all alike."""

ROOM_BYTES = 128 * 1024**3
"""The disk of a pool that footprints are measured in.  What a container allocates does not depend on it."""


@dataclass(frozen=True, slots=True, order=True)
class Amount:
    """Bytes, of one container or of many."""

    data_bytes: int = 0
    """In the pool's data, or in the file system below overlay2."""
    metadata_bytes: int = 0
    """In the pool's metadata: 4096 a block.  0 without a pool."""
    volume_bytes: int = 0
    """On the disk of volumes; with LVM the daemon's own files and logs are there as well."""

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.data_bytes + other.data_bytes, self.metadata_bytes + other.metadata_bytes,
                      self.volume_bytes + other.volume_bytes)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.data_bytes - other.data_bytes, self.metadata_bytes - other.metadata_bytes,
                      self.volume_bytes - other.volume_bytes)

    def times(self, count: int) -> Amount:
        """So many of it."""
        return Amount(self.data_bytes * count, self.metadata_bytes * count, self.volume_bytes * count)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one container holds, action by action.

    ``held``: one Amount for each action of ``schedule``, after it.  ``trimmed``: for a container that fstrim visited
    right after action ``i``, row ``i`` has what it holds then and after each later action (entries before ``i`` are
    those of ``held``); empty where it was not asked for.  ``stopped``: what it holds once it has been stopped after
    action ``i``; empty likewise.  ``first``: what the first containers of the image hold, one row each, if nothing
    else is there; ``held`` is that of all later ones.
    """

    schedule: Schedule
    held: tuple[Amount, ...]
    trimmed: tuple[tuple[Amount, ...], ...] = ()
    stopped: tuple[Amount, ...] = ()
    first: tuple[tuple[Amount, ...], ...] = ()

    def of(self, place: int) -> tuple[Amount, ...]:
        """What a container holds, action by action, before which there are ``place`` others."""
        return self.first[place] if place < len(self.first) else self.held

    @property
    def last(self) -> Amount:
        """What it holds until it is removed."""
        return self.held[-1]


@lru_cache(maxsize=512)
def container_footprint(spec: StorageSpec, pool_disk_bytes: int, image: ImageContent, schedule: Schedule, *,
                        volume: bool = False, costs: LogCosts | None = None, seed: int = 0, trims: bool = False,
                        stops: bool = False, copies: int | None = None) -> Footprint:
    """The footprint of a container with that image and schedule.

    ``seed`` draws the places of updates, as a scenario's does.  ``trims`` and ``stops`` ask for the tables of those
    names, ``copies`` for another number of containers than usual.  Raises ValueError where ``schedule`` does not begin
    with a start, and PoolFull, NoRoom or KeyError as the exact model does where a container cannot do those steps.
    """
    if not schedule or schedule[0].kind != "start":
        raise ValueError(f"a schedule of {[action.name for action in schedule[:3]]}; one that begins with start "
                         "expected")
    count = copies or (POOL_COPIES if spec.in_pool else OVERLAY_COPIES)

    def each(actions: Schedule) -> list[list[Amount]]:
        return _each_of(spec, pool_disk_bytes, image, actions, volume, costs, seed, FIRST + count)

    def mean(actions: Schedule) -> tuple[Amount, ...]:
        return _mean(each(actions)[FIRST:])

    told = each(schedule)
    held = _mean(told[FIRST:])
    rows = tuple(_with_trim(schedule, number, held, mean) for number in range(len(schedule))) if trims else ()
    ends = tuple(mean((*schedule[:number + 1], Action(schedule[number].age_seconds, "stop")))[-1]
                 for number in range(len(schedule))) if stops else ()
    return Footprint(schedule, held, rows, ends, tuple(map(tuple, told[:FIRST])))


def _with_trim(schedule: Schedule, after: int, held: tuple[Amount, ...],
               mean: Callable[[Schedule], tuple[Amount, ...]]) -> tuple[Amount, ...]:
    """The row of a trim after one action: entries before it as they were, its own and later ones with the trim."""
    trim = Action(schedule[after].age_seconds, "trim")
    return held[:after] + mean((*schedule[:after + 1], trim, *schedule[after + 1:]))[after + 1:]


def _each_of(spec: StorageSpec, pool_disk_bytes: int, image: ImageContent, schedule: Schedule, volume: bool,
             costs: LogCosts | None, seed: int, containers: int) -> list[list[Amount]]:
    """What each of some containers that run one after the other holds after each action."""
    storage = _with_image(spec, pool_disk_bytes, image, costs)
    told = []
    for number in range(containers):
        before = _amount(storage.levels())
        told.append([level - before for level in _run(storage, f"lab-{number + 1}", image, schedule, volume, seed)])
    return told


def _mean(rows: Sequence[Sequence[Amount]]) -> tuple[Amount, ...]:
    """Action by action, rounded to bytes."""
    sums = [total_of(column) for column in zip(*rows, strict=True)]
    return tuple(Amount(round(total.data_bytes / len(rows)), round(total.metadata_bytes / len(rows)),
                        round(total.volume_bytes / len(rows))) for total in sums)


def _with_image(spec: StorageSpec, pool_disk_bytes: int, image: ImageContent, costs: LogCosts | None) -> Storage:
    storage = _roomy(spec, pool_disk_bytes, costs)
    storage.load(image)
    storage.sync()
    return storage


def _roomy(spec: StorageSpec, pool_disk_bytes: int, costs: LogCosts | None) -> Storage:
    """A pool in which all that is measured fits; a file system of its own size, which decides where its files go."""
    return build_storage(spec, ROOM_BYTES if spec.on_lvm else pool_disk_bytes, costs)


def _run(storage: Storage, name: str, image: ImageContent, schedule: Schedule, volume: bool,
         seed: int) -> list[Amount]:
    """The storage's levels after each action of a container that runs by itself."""
    levels: list[Amount] = []
    for action in schedule:
        if action.kind == "start":
            storage.start(name, image, volume=volume)
        else:
            act(storage, storage.running[name], action, seed)
        storage.flush()
        levels.append(_amount(storage.levels()))
    return levels


def act(storage: Storage, running: Running, action: Action, seed: int) -> None:
    """Does an action other than a start in a container; its writes reach the pool at the storage's next ``flush``.

    Raises ValueError for a step that is no file work, and PoolFull, NoRoom or KeyError as the exact model does.
    """
    device = running.device
    if action.kind == "step":
        assert action.step is not None
        storage.do(running, action.step, seed, action.nth)
    elif action.kind == "sync":
        running.layer.sync()
        storage.daemon.sync()
    elif action.kind == "push":
        storage.push(running.name)
    elif action.kind == "trim":
        (storage.volumes if running.volume else running.layer).trim()
    elif action.kind == "measure" and device is not None and storage.mapper is not None:
        storage.mapper.measure(device)
    elif action.kind == "stop" and device is not None:
        device.own.files.unmount()


def _amount(levels: Levels) -> Amount:
    return Amount(levels.storage_used, levels.pool_metadata_used or 0, levels.volume_used)


@lru_cache(maxsize=128)
def image_costs(spec: StorageSpec, pool_disk_bytes: int, image: ImageContent,
                costs: LogCosts | None = None) -> tuple[Amount, ...]:
    """What each of an image's layers costs, lowest first, on the layers below it.

    Two images that share their lowest layers pay for those once: add up the others' alone.  Raises PoolFull.
    """
    storage = _roomy(spec, pool_disk_bytes, costs)
    levels = [_amount(storage.levels())]
    for height in range(1, len(image.layers) + 1):
        storage.load(ImageContent(f"{image.name}-{height}", image.layers[:height]))
        storage.sync()
        levels.append(_amount(storage.levels()))
    return tuple(after - before for after, before in zip(levels[1:], levels[:-1], strict=True))


def total_of(amounts: Sequence[Amount]) -> Amount:
    """Their sum."""
    total = Amount()
    for amount in amounts:
        total = total + amount
    return total
