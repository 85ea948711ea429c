"""A plan's host in the model's terms: what containers and images cost on a storage, and who comes when.

The host is made without bounds first.  Until a pool refuses, or lets a writer wait, nobody on it can tell how large it
is: so what an unbounded host asks for says of every size whether it would have been enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from lab.answers.plan.distribution_keys import MAX_FACTOR
from lab.answers.plan.growing import MONTH_DAYS, arrivals_of
from lab.answers.plan.plan_file import Containers, ImageTags, PlanFile
from lab.errors import InputError
from lab.model.container.footprint import ROOM_BYTES, Amount, Footprint, container_footprint, image_costs
from lab.model.container.schedule import Action, Schedule, alone
from lab.model.drivers.storage import PoolFull
from lab.model.filesystems.image_content import Entry, ImageContent, Kind
from lab.model.filesystems.xfs_space import NoRoom
from lab.model.fleet.distributions import Distribution, stream
from lab.model.fleet.plan import Capacity, ContainerClass, ImageSeries, Plan, Upkeep, capacity_of
from lab.model.metadata.metadata_space import reserve_blocks
from lab.model.parameters import LogCosts, Parameters
from lab.model.pool.volume_group import EXTENT_BYTES, VolumeGroup
from lab.readers.image_archive import image_of
from lab.scenario.scenario import StorageSpec
from lab.scenario.steps import UPDATE_STEP_BYTES, AnyStep, Log, SmallFiles, Update, Write
from lab.storages.kind import Pool
from lab.units import METADATA_BLOCK_BYTES, format_bytes

UNBOUNDED_BYTES = 2**50
"""More than anything asks for, and exact in a float with all that is added to it."""

SIZE_SHARES = (0.1, 0.9)
"""Of the size's distribution: where footprints are computed.  In between and beyond, costs lie on the line."""

PUSHES_KEPT = 3
"""Of the pushes of XFS's worker that follow one another with nothing in between: later ones find nothing to write."""

DAY_SECONDS = 86_400.0
_SIZE_DRAWS = 4096
_SMALLEST_DISK_BYTES = 1024**3          # of less, a percent for metadata would not be an extent
_FILE_BYTES, _MAX_FILES, _FILES_A_FOLDER = 128 * 1024, 400, 50
_LENGTHS = (0.1, 0.3, 0.6, 1.3, 2.7)
"""Of a made image's files, times their mean; they have a mean of 1."""


@dataclass(frozen=True)
class Variant:
    """One way to run the plan's host.  Seconds; None for never."""

    name: str
    spec: StorageSpec
    prune_seconds: float | None = None
    trim_seconds: float | None = None
    on_volumes: bool = False
    """All that writes, writes to volumes."""
    logs: bool = True
    """Containers have json-file logs."""


def as_planned(plan: PlanFile) -> Variant:
    """The host as it stands in the file."""
    return Variant("as planned", plan.storage, plan.upkeep.prune_every_seconds, plan.upkeep.trim_every_seconds)


def unbounded_host(plan: PlanFile, variant: Variant, parameters: Parameters) -> Plan:
    """The host on a storage that is never full.

    Raises InputError where the exact model cannot do a workload's steps, or an image does not fit.
    """
    pool = variant.spec.in_pool
    data_bytes, metadata_bytes = planned_sizes(plan)
    empty = empty_storage(variant.spec, data_bytes, metadata_bytes if pool else 0, parameters)
    capacity = Capacity(variant.spec, UNBOUNDED_BYTES, UNBOUNDED_BYTES if pool else 0,
                        variant.spec.chunk_size_bytes or 1, empty, min_free_percent=0)
    trims = variant.trim_seconds if pool else None
    return Plan(capacity, tuple(_class(plan, one, variant, parameters) for one in plan.workload),
                tuple(_images(plan, variant, parameters)), Upkeep(variant.prune_seconds, trims))


def planned_sizes(plan: PlanFile) -> tuple[int, int]:
    """The storage's data and metadata in bytes: the plan's, which LVM rounds up to whole extents."""
    if not plan.storage.on_lvm:
        return plan.pool.data_bytes, plan.metadata_bytes
    return whole_extents(plan.pool.data_bytes), whole_extents(plan.metadata_bytes)


def whole_extents(size_bytes: float) -> int:
    """Bytes, rounded up to whole extents."""
    return math.ceil(size_bytes / EXTENT_BYTES) * EXTENT_BYTES


def reserve_bytes(metadata_bytes: int) -> int:
    """What the kernel keeps of a pool's metadata for its own commits, and shows as used: a tenth, at most 16 MiB.

    >>> reserve_bytes(75 * 1024**2) // 4096, reserve_bytes(1024**3) // 4096
    (1920, 4096)
    """
    return reserve_blocks(metadata_bytes // METADATA_BLOCK_BYTES) * METADATA_BLOCK_BYTES


def empty_storage(spec: StorageSpec, data_bytes: int, metadata_bytes: int, parameters: Parameters) -> Amount:
    """What a storage of those sizes holds that was just set up; without the reserve for ``metadata_bytes`` = 0.

    A larger pool has more bitmaps in its metadata, and larger metadata a larger reserve.
    """
    disk = max(_SMALLEST_DISK_BYTES, data_bytes * 100 // (spec.data_percent or 100) + 2 * EXTENT_BYTES)
    if spec.kind.pool is Pool.LOOP:     # which the model has with the sizes of Docker's defaults only
        spec = StorageSpec.model_validate({"storage": "direct-lvm", "chunk_size": spec.chunk_size_bytes})
    bare = _without_reserve(spec, disk, parameters.log)
    return replace(bare, metadata_bytes=bare.metadata_bytes + reserve_bytes(metadata_bytes))


@lru_cache(maxsize=64)
def _without_reserve(spec: StorageSpec, disk_bytes: int, costs: LogCosts | None) -> Amount:
    """Of a storage on that disk, whose metadata have the size that its shares give, and not the plan's."""
    built = capacity_of(spec, disk_bytes, costs)
    return replace(built.empty, metadata_bytes=built.empty.metadata_bytes - reserve_bytes(built.metadata_bytes))


def planned_capacity(plan: PlanFile, parameters: Parameters) -> Capacity:
    """The storage's sizes as the file has them.  Raises InputError where the metadata do not hold an empty pool."""
    data_bytes, metadata_bytes = planned_sizes(plan)
    if not plan.is_pool:
        return Capacity(plan.storage, data_bytes, 0, 1, empty_storage(plan.storage, data_bytes, 0, parameters),
                        min_free_percent=plan.min_free_percent)
    group = None
    if plan.storage.on_lvm:
        data, metadata = data_bytes // EXTENT_BYTES, metadata_bytes // EXTENT_BYTES
        group = VolumeGroup(data + 2 * metadata + plan.pool.free_bytes // EXTENT_BYTES, data, metadata)
    found = pool_capacity(plan, data_bytes, metadata_bytes, group, parameters)
    if found.empty.metadata_bytes >= found.metadata_bytes:
        raise InputError(f"metadata of {format_bytes(found.metadata_bytes)} do not hold an empty pool, which takes "
                         f"{format_bytes(found.empty.metadata_bytes)}", where=plan.where("pool", "metadata"),
                         remedy="leave metadata out: the kernel's rule is used then")
    return found


def pool_capacity(plan: PlanFile, data_bytes: int, metadata_bytes: int, group: VolumeGroup | None,
                  parameters: Parameters) -> Capacity:
    """The plan's pool with those sizes, or, on LVM, as its volume group is laid out."""
    spec, chunk = plan.storage, plan.storage.chunk_size_bytes or 1
    if group is not None:
        data_bytes, metadata_bytes = group.data_bytes, group.metadata_bytes
    empty = empty_storage(spec, data_bytes, metadata_bytes, parameters)
    extents = (group.data_extents, group.metadata_extents, group.extents) if group is not None else (0, 0, 0)
    return Capacity(spec, data_bytes // chunk * chunk, metadata_bytes // METADATA_BLOCK_BYTES * METADATA_BLOCK_BYTES,
                    chunk, empty, *extents, min_free_percent=plan.min_free_percent)


def bounded(host: Plan, capacity: Capacity) -> Plan:
    """The same host on another capacity."""
    return replace(host, capacity=capacity)


# -- containers -------------------------------------------------------------------------------------------

def _class(plan: PlanFile, work: Containers, variant: Variant, parameters: Parameters) -> ContainerClass:
    image = image_of(work)
    schedule = without_idle_pushes(alone(work.steps, parameters.timing))
    volume = work.on_volume or variant.on_volumes
    trims = variant.trim_seconds is not None and variant.spec.in_pool
    factors = _factors(work.size, plan.seed)
    number = plan.workload.index(work)
    if factors[-1] > MAX_FACTOR:
        raise InputError(f"workload {work.name}: one container in ten has {factors[-1]:.3g} times its amounts, or "
                         f"more; up to {MAX_FACTOR:g} allowed", where=plan.where("workload", number, "size"),
                         remedy="lower the spread of size")
    try:
        told = tuple((one, _footprint(plan, variant, image, scaled(schedule, one, image), volume, trims,
                                      work.kept_share > 0, parameters)) for one in factors)
    except (PoolFull, NoRoom):
        raise InputError(f"workload {work.name}: its steps fill the container's own file system, or 128 GiB of pool, "
                         f"at {factors[-1]:.3g} times their amounts", where=plan.where("workload", number, "steps"),
                         remedy="lower the amounts, or the spread of size") from None
    except KeyError as error:
        raise InputError(f"workload {work.name}: file {error} is not there when a step needs it",
                         where=plan.where("workload", number, "steps")) from None
    arrivals = arrivals_of(work.starts_per_day, work.busy_hours, regular=work.arrivals == "regular",
                           growth=plan.growth_percent_a_month / 100)
    return ContainerClass(work.name, arrivals, work.lifetime, told, work.size if len(told) > 1 else None, work.image,
                          float(work.log_bytes_per_day) if variant.logs else 0.0, work.kept_share)


def _footprint(plan: PlanFile, variant: Variant, image: ImageContent, schedule: Schedule, volume: bool, trims: bool,
               stops: bool, parameters: Parameters) -> Footprint:
    """Where containers are kept: an unmount writes as much after every action as it does after the last one."""
    asked = (*schedule, Action(schedule[-1].age_seconds, "stop")) if stops else schedule
    told = container_footprint(variant.spec, _room(plan), image, asked, volume=volume, costs=parameters.log,
                               seed=plan.seed, trims=trims)
    if not stops:
        return told
    held, written = told.held[:-1], told.held[-1] - told.held[-2]
    return Footprint(schedule, held, tuple(row[:-1] for row in told.trimmed[:-1]),
                     tuple(one + written for one in held), tuple(row[:-1] for row in told.first))


def without_idle_pushes(schedule: Schedule) -> Schedule:
    """The schedule without the pushes that come while nothing else happens, but for the first few."""
    kept: list[Action] = []
    idle = 0
    for action in schedule:
        idle = idle + 1 if action.kind == "push" else 0
        if idle <= PUSHES_KEPT:
            kept.append(action)
    return tuple(kept)


def scaled(schedule: Schedule, factor: float, image: ImageContent) -> Schedule:
    """The same actions at the same ages, with the amounts of their steps times a factor.

    An update touches no more than its file has, as far as the image tells its length.
    """
    lengths = image.files()
    return tuple(action if action.step is None else replace(action, step=_scaled(action.step, factor, lengths))
                 for action in schedule)


def _scaled(step: AnyStep, factor: float, lengths: dict[str, int]) -> AnyStep:
    if isinstance(step, Write):
        return step.model_copy(update={"amount_bytes": max(step.files, round(step.amount_bytes * factor))})
    if isinstance(step, Update):
        most = lengths.get(f"data/{step.file}", step.amount_bytes)
        asked = min(max(UPDATE_STEP_BYTES, round(step.amount_bytes * factor)), most)
        return step.model_copy(update={"amount_bytes": asked // UPDATE_STEP_BYTES * UPDATE_STEP_BYTES})
    if isinstance(step, SmallFiles):
        return step.model_copy(update={"count": max(1, round(step.count * factor))})
    if isinstance(step, Log):
        return step.model_copy(update={"lines": max(1, round(step.lines * factor))})
    return step


def _factors(size: Distribution | None, seed: int) -> tuple[float, ...]:
    """Where footprints are computed; one where all sizes are alike."""
    if size is None:
        return (1.0,)
    draws = sorted(size.sample(stream(seed, "where footprints are computed"), _SIZE_DRAWS).tolist())
    return tuple(sorted({draws[round(share * (_SIZE_DRAWS - 1))] for share in SIZE_SHARES}))


# -- images -----------------------------------------------------------------------------------------------

def _images(plan: PlanFile, variant: Variant, parameters: Parameters) -> list[ImageSeries]:
    """One series for each image of the workload; without an entry under ``images``, of one tag."""
    told = {one.image: one for one in plan.images}
    series = []
    for work in {one.image: one for one in plan.workload}.values():
        entry = told.get(work.image, ImageTags(image=work.image))
        content = image_of(work) if entry.size_bytes is None else synthetic_image(
            work.image, entry.size_bytes, entry.layers or 1)
        layers = _layer_costs(plan, variant, content, parameters)
        if entry.shared_layers > len(layers):
            raise InputError(f"image {work.image}: shared_layers is {entry.shared_layers}; it has {len(layers)} layers",
                             where=plan.where("images", plan.images.index(entry), "shared_layers"))
        rate = entry.tags_per_month / MONTH_DAYS
        found = arrivals_of(rate, (), regular=False, growth=0.0).interval
        series.append(ImageSeries(work.image, layers, entry.shared_layers, found))
    return series


def _layer_costs(plan: PlanFile, variant: Variant, content: ImageContent, parameters: Parameters) -> tuple[Amount, ...]:
    try:
        return image_costs(variant.spec, _room(plan), content, parameters.log)
    except (PoolFull, NoRoom):
        entries = [number for number, one in enumerate(plan.images) if one.image == content.name]
        raise InputError(f"image {content.name}: it does not fit into a container's file system",
                         where=plan.where("images", *entries), remedy="lower its size") from None


def synthetic_image(name: str, size_bytes: int, layers: int) -> ImageContent:
    """Equal layers, of files none of which hides another, on average of 128 KiB or longer.

    Files have several lengths: all alike would fit each data block either well or badly.
    """
    share = size_bytes // layers
    count = max(1, min(_MAX_FILES, share // _FILE_BYTES // len(_LENGTHS) * len(_LENGTHS)))
    lengths = _LENGTHS if count % len(_LENGTHS) == 0 else (1.0,)

    def layer(number: int) -> tuple[Entry, ...]:
        folders = [f"layer{number}-{place}" for place in range(-(-count // _FILES_A_FOLDER))]
        return (*(Entry(folder, Kind.FOLDER) for folder in folders),
                *(Entry(f"{folders[file // _FILES_A_FOLDER]}/{file}", Kind.FILE,
                        math.ceil(share / count * lengths[file % len(lengths)])) for file in range(count)))

    return ImageContent(name, tuple(layer(number) for number in range(layers)))


def _room(plan: PlanFile) -> int:
    """The disk of a file system below overlay2 in which all that is measured fits."""
    return max(plan.pool.data_bytes, ROOM_BYTES)
