"""A user's log -> answers: when the pool is full if it goes on as it did, and which size would keep the risk.

Nothing of the model is in it: growth is drawn from the log (``lab.answers.forecast``).  So it knows what the host
really does, and nothing of what it would do with another data block, another schedule of prunes, or twice the
containers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from lab.answers.forecast.forecast import MOST_PATHS, Chance, ObservedForecast, forecast
from lab.answers.forecast.growth import growth_of
from lab.answers.plan.host import reserve_bytes, whole_extents
from lab.answers.plan.sizing import Layout, layout, size_with_reserve
from lab.errors import InputError
from lab.model.pool.min_free_space import MIN_FREE_SHARE
from lab.model.pool.volume_group import EXTENT_BYTES, VolumeGroup
from lab.monitoring.readings import read_observed
from lab.scenario.scenario import StorageSpec
from lab.storages.metadata_size import kernel_rule_bytes
from lab.units import CHUNK_MAX_BYTES, CHUNK_STEP_BYTES

LEAST_PATHS = 4000
"""Drawn from a log, whatever the risk."""

MOST_BYTES = 1 << 60
"""Of a pool, its metadata, or a volume group."""

MOST_RISK = 0.5
"""Of what may be accepted, as in a plan."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a log.  Sizes in bytes; None for what the log has, or does not tell.

    ``free_bytes``: what the volume group has besides the pool.  Raises InputError for a risk, a size, or a data
    block, that cannot be.
    """

    days: float = 30.0
    risk: float = 0.01
    seed: int = 1
    pool_name: str | None = None
    data_bytes: int | None = None
    metadata_bytes: int | None = None
    chunk_bytes: int | None = None
    free_bytes: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.risk <= MOST_RISK:
            raise InputError(f"--risk is {100 * self.risk:g}; more than 0 and up to {100 * MOST_RISK:g} percent "
                             "allowed")
        for flag, size_bytes in (("--pool", self.data_bytes), ("--metadata", self.metadata_bytes),
                                 ("--vg-free", self.free_bytes)):
            if size_bytes is not None and size_bytes > MOST_BYTES:
                raise InputError(f"{flag} is {size_bytes} B; at most 1 EiB allowed")
        chunk = self.chunk_bytes
        if chunk is not None and (not CHUNK_STEP_BYTES <= chunk <= CHUNK_MAX_BYTES or chunk % CHUNK_STEP_BYTES):
            raise InputError(f"--chunk-size is {chunk} B; a multiple of 64KiB up to 1GiB allowed")


@dataclass(frozen=True)
class Extended:
    """The same forecast for the size that the pool ends at once LVM has extended it as often as it can."""

    layout: Layout
    full: tuple[Chance, ...]


@dataclass(frozen=True)
class ObservedAnswers:
    """All that is told of a log.  ``extended``: None where nothing is said of a volume group."""

    asked: Asked
    forecast: ObservedForecast
    extended: Extended | None

    @property
    def chance(self) -> Chance:
        """Of data or metadata being full by the horizon, when LVM has extended the data as often as it can."""
        return self.forecast.full[-1] if self.extended is None else self.extended.full[-1]

    @property
    def holds(self) -> bool | None:
        """Whether the pool is within the accepted risk; None where the paths leave it open."""
        if self.chance.high <= self.asked.risk:
            return True
        return False if self.chance.low > self.asked.risk else None

    @property
    def data_bytes(self) -> int | None:
        """The smallest data size that is full with no more than the accepted risk, in whole extents.

        By the upper end of what the number of paths leaves open; None where they are too few to tell.
        """
        high = self.forecast.data.highest.high_bytes
        return None if high is None else whole_extents(high + 1)

    @property
    def data_bytes_with_a_tenth_free(self) -> int | None:
        """The smallest in which the tenth is free below which Docker makes no container (``dm.min_free_space``)."""
        high = self.forecast.data.highest.high_bytes
        return None if high is None else whole_extents(high / (1 - MIN_FREE_SHARE))

    @property
    def metadata_bytes(self) -> int | None:
        """The smallest metadata, likewise with a tenth free, and with the kernel's reserve of that size; None if not
        told.

        Kernels before 4.20 keep no reserve and show none as used.  Where the log does not tell which kernel it was, the
        larger answer is given.
        """
        metadata = self.forecast.metadata
        if metadata is None or metadata.highest.high_bytes is None:
            return None
        shown, has_reserve = metadata.highest.high_bytes, self.forecast.growth.observed.has_reserve
        without = shown / (1 - MIN_FREE_SHARE)
        own = max(shown - reserve_bytes(metadata.total_bytes), 0.0)
        within = size_with_reserve(own, 1 - MIN_FREE_SHARE)
        return max(whole_extents(without if has_reserve is False else
                                 within if has_reserve else max(within, without)), EXTENT_BYTES)

    @property
    def metadata_by_rule(self) -> int | None:
        """By the kernel's rule for the data size that is told; None without a data block."""
        size_bytes, chunk = self.data_bytes_with_a_tenth_free, self.asked.chunk_bytes
        return None if size_bytes is None or chunk is None else kernel_rule_bytes(size_bytes, chunk)


def answer_from_log(path: Path, asked: Asked) -> ObservedAnswers:
    """All answers.  Raises ReaderError for a log that cannot be read, InputError for one that does not tell enough."""
    growth = growth_of(read_observed(path, asked.pool_name))
    if asked.metadata_bytes is not None and not growth.has_metadata:
        raise InputError("the log does not tell how full the metadata are", where=str(path),
                         remedy="leave --metadata out")

    paths = paths_for(asked.risk, 2 if growth.has_metadata else 1)

    def told(data_bytes: int | None) -> ObservedForecast:
        return forecast(growth, horizon_days=asked.days, paths=paths, seed=asked.seed, risk=asked.risk,
                        data_total_bytes=data_bytes, metadata_total_bytes=asked.metadata_bytes)

    found = told(asked.data_bytes)
    if asked.free_bytes is None:
        return ObservedAnswers(asked, found, None)
    can = extensions(found.data.total_bytes, asked.free_bytes)
    return ObservedAnswers(asked, found, Extended(can, told(can.last_bytes).full if can.steps else found.full))


def paths_for(risk: float, shares: int = 1) -> int:
    """So many that none of them full tells that a share of the risk (0 to 1) is met: one for data, one for metadata.

    The upper end of no hit in n is about z²/n = 3.84/n (Wilson, 95 %); twice as many leave room for some hits.  Raises
    InputError for a risk that no number of paths allowed can tell.

    >>> paths_for(0.01), paths_for(0.0005)
    (4000, 16000)
    """
    # a risk of 0 is refused by the forecast
    wanted = max(LEAST_PATHS, math.ceil(8 * shares / risk)) if risk > 0 else LEAST_PATHS
    if wanted > MOST_PATHS:
        raise InputError(f"--risk: {100 * risk:g} % cannot be told from {MOST_PATHS:,} paths",
                         remedy=f"at least {800 * shares / MOST_PATHS:g} %")
    return wanted


def lvm_spec() -> StorageSpec:
    """A pool on LVM with the lab's threshold and step of autoextend."""
    return StorageSpec.model_validate({"storage": "direct-lvm"})


def extensions(data_bytes: int, free_bytes: int) -> Layout:
    """What LVM can extend a pool to that has so much free beside it; only data are extended."""
    data, percent = whole_extents(data_bytes) // EXTENT_BYTES, lvm_spec().autoextend_percent or 0
    return layout("as observed", VolumeGroup(data + free_bytes // EXTENT_BYTES, data, 0), percent)
