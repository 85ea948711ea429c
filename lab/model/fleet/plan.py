"""What a simulated host is made of and what happens to it: the inputs of ``lab.model.fleet.fleet``."""

from __future__ import annotations

from dataclasses import dataclass

from lab.model.container.footprint import Amount, Footprint
from lab.model.drivers.face import build_storage
from lab.model.fleet.arrivals import Arrivals
from lab.model.fleet.distributions import Distribution, check_not_negative, check_positive
from lab.model.parameters import LogCosts
from lab.model.pool.min_free_space import MIN_FREE_PERCENT
from lab.model.pool.volume_group import VolumeGroup
from lab.scenario.scenario import StorageSpec


@dataclass(frozen=True, slots=True)
class Capacity:
    """A storage's sizes in bytes, and what it holds when it was just set up.

    ``metadata_bytes`` is 0 without a pool.  An overlay2 storage is as large as its disk: what the file system keeps
    for itself is not counted (``build_storage``), nor does the disk of the volumes have an end.

    ``min_free_percent``, below 100: what the daemon keeps free of a pool's data and metadata (``dm.min_free_space``).
    """

    spec: StorageSpec
    data_bytes: int
    metadata_bytes: int
    chunk_bytes: int
    empty: Amount
    data_extents: int = 0
    metadata_extents: int = 0
    extents: int = 0
    min_free_percent: int = MIN_FREE_PERCENT

    @property
    def is_pool(self) -> bool:
        """Whether it is a thin pool, and no file system."""
        return self.metadata_bytes > 0

    def group(self) -> VolumeGroup | None:
        """A volume group as it was set up; None without LVM.  Each call makes one: it changes when it is extended."""
        return VolumeGroup(self.extents, self.data_extents, self.metadata_extents) if self.extents else None


def capacity_of(spec: StorageSpec, pool_disk_bytes: int, costs: LogCosts | None = None) -> Capacity:
    """The capacity of a storage on a disk of that length, by setting it up in the exact model."""
    storage = build_storage(spec, pool_disk_bytes, costs)
    levels = storage.levels()
    empty = Amount(levels.storage_used, levels.pool_metadata_used or 0, levels.volume_used)
    if storage.mapper is None:
        return Capacity(spec, pool_disk_bytes, 0, 1, empty)
    pool, group = storage.mapper.pool, storage.group
    assert pool.metadata is not None
    extents = (group.data_extents, group.metadata_extents, group.extents) if group is not None else (0, 0, 0)
    return Capacity(spec, pool.data_blocks * pool.chunk_size_bytes, pool.metadata.total_blocks * 4096,
                    pool.chunk_size_bytes, empty, *extents)


@dataclass(frozen=True, slots=True)
class ContainerClass:
    """Containers that do the same, at sizes that may differ.

    ``lifetime`` in seconds, from ``docker run`` until the process ends.  ``footprints``: by size, in rising order.
    With one, every container costs that.  With more, ``size`` is drawn for each container in whatever unit the sizes
    have, and its cost is interpolated linearly between the two exactly computed footprints around it, beyond the first
    or last size carried on along the line, and never below 0: what lies between is as linear as the work is.

    ``log_bytes_per_day``: what the daemon's json-file log of one container grows by, evenly.  ``kept_share``: of the
    containers, those that stop without being removed; a prune removes them.  ``image``: of which series.

    Raises ValueError for no footprint, for sizes that do not rise, for sizes without a distribution, for footprints
    whose actions differ, and for a share outside 0 to 1.
    """

    name: str
    arrivals: Arrivals
    lifetime: Distribution
    footprints: tuple[tuple[float, Footprint], ...]
    size: Distribution | None = None
    image: str | None = None
    log_bytes_per_day: float = 0.0
    kept_share: float = 0.0

    def __post_init__(self) -> None:
        if not self.footprints:
            raise ValueError(f"class {self.name}: footprints is empty; at least one needed")
        sizes = [number for number, _ in self.footprints]
        if sizes != sorted(set(sizes)):
            raise ValueError(f"class {self.name}: footprints' sizes are {sizes}; rising ones allowed")
        if len(sizes) > 1 and self.size is None:
            raise ValueError(f"class {self.name}: size is None; with {len(sizes)} footprints a distribution is needed")
        orders = {tuple(action.name for action in one.schedule) for _, one in self.footprints}
        if len(orders) > 1:
            raise ValueError(f"class {self.name}: footprints' actions are {sorted(orders)}; the same ones in the same "
                             "order allowed: sizes so far apart that XFS's worker comes before other steps are not")
        check_not_negative("log_bytes_per_day", self.log_bytes_per_day)
        check_not_negative("kept_share", self.kept_share)
        if self.kept_share > 1:
            raise ValueError(f"class {self.name}: kept_share is {self.kept_share}; 0 to 1 allowed")


@dataclass(frozen=True, slots=True)
class ImageSeries:
    """An image whose tags follow one another: a class starts its containers from the newest.

    ``layers``: what each costs (``image_costs``), lowest first.  ``shared_layers``: so many of the lowest are the same
    in all tags and are paid for once.  ``interval``: seconds between new tags; None for the first one alone, which is
    there from the start.  Old tags stay until a prune finds them without a container.

    Raises ValueError for more shared layers than layers, and for an interval of 0.
    """

    name: str
    layers: tuple[Amount, ...]
    shared_layers: int = 0
    interval: Distribution | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.shared_layers <= len(self.layers):
            raise ValueError(f"image {self.name}: shared_layers is {self.shared_layers}; 0 to {len(self.layers)} "
                             "allowed")
        if self.interval is not None:
            check_positive("interval's mean", self.interval.mean)


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What is done to the host by schedule, in seconds from one time to the next; None for never.

    ``prune_seconds``: stopped containers, then images without a container but for the newest tag of each.
    ``trim_seconds``: fstrim in all running containers; takes footprints with their ``trimmed`` rows.
    """

    prune_seconds: float | None = None
    trim_seconds: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("prune_seconds", self.prune_seconds), ("trim_seconds", self.trim_seconds)):
            if value is not None:
                check_positive(name, value)


@dataclass(frozen=True, slots=True)
class Plan:
    """A host: its storage, who works on it, and its upkeep.

    Raises ValueError for two classes, or two images, of one name, for a class of an image that is not there, and for a
    trim where a footprint has no trimmed rows.
    """

    capacity: Capacity
    classes: tuple[ContainerClass, ...] = ()
    images: tuple[ImageSeries, ...] = ()
    upkeep: Upkeep = Upkeep()

    def __post_init__(self) -> None:
        _no_twice("class", [one.name for one in self.classes])
        _no_twice("image", [one.name for one in self.images])
        known = {one.name for one in self.images}
        for one in self.classes:
            if one.image is not None and one.image not in known:
                raise ValueError(f"class {one.name}: image is {one.image}; allowed: {', '.join(sorted(known)) or None}")
            if self.upkeep.trim_seconds is not None and not all(told.trimmed for _, told in one.footprints):
                raise ValueError(f"class {one.name}: trim_seconds is {self.upkeep.trim_seconds}, and a footprint has "
                                 "no trimmed rows; footprints with trims=True allowed")


def _no_twice(what: str, names: list[str]) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ValueError(f"{what} {name} stands there twice; allowed once")
