"""The model's free parameters: few, named, with their units, and with what each can be told from.

All else is the kernel's, mkfs.xfs's or Docker's and stands in the modules that use it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from lab.model.times.device_time import ServiceTimes
from lab.storages.catalogue import STORAGES

SCHEMA_VERSION = 1
"""Raised when a parameter's meaning changes; files of another version are refused."""

Bytes = Annotated[StrictInt, Field(ge=0, le=1024**2)]
Count = Annotated[StrictInt, Field(ge=0, le=100)]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]
Blocks = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Correlation = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LogCosts(_Part):
    """What changes add to the log of XFS.

    All four can be told from thin dumps of image layers and init layers, where the log's head moves by whole units;
    of the bytes only within what a unit's rounding leaves open.
    """

    inode_bytes: Bytes = 110
    """A changed inode."""
    folder_block_bytes: Bytes = 130
    """A changed block of a folder."""
    clean_records: Count = 2
    """An unmount's records where nothing was changed since the mount."""
    changed_records: Count = 3
    """An unmount's records where something was, besides those of the change itself."""


class Timing(_Part):
    """How long things take, in seconds: medians of the phases' durations.

    They matter to growth only through the clock: XFS writes its inodes back every half minute, dmeventd looks every ten
    seconds.  ``mount_share`` shows only in when the inodes of a container are first written.
    """

    start_seconds: Seconds = 3.1
    """Of one ``docker run``."""
    mount_share: Share = 0.3
    """The part of that after which the container's file system is mounted."""
    check_seconds: Seconds = 1.7
    """Of reading back how the first container's file system is mounted."""
    exec_seconds: Seconds = 1.2
    """Of entering a container for one piece of work."""
    remove_seconds: Seconds = 0.6
    """Of removing one container."""
    boundary_seconds: Seconds = 0.6
    """Of one boundary record."""
    measure_seconds: Seconds = 0.5
    """What the daemon adds to a boundary record for the size of one container on devicemapper."""
    write_seconds_per_mib: Seconds = 0.007
    """Of file work, with its fsync."""
    sync_seconds: Seconds = 0.04
    """Of one ``sync``."""

    def scaled(self, speed: float, mount_share: float) -> Timing:
        """The same on a machine on which all takes ``speed`` times as long."""
        seconds = {name: value * speed for name, value in self.model_dump(exclude={"mount_share"}).items()}
        return Timing(mount_share=mount_share, **seconds)


class Fitted(_Part):
    """A parameter with what the data say of it."""

    name: str
    """As ``log.inode_bytes``."""
    value: float
    low: float | None = None
    high: float | None = None
    """The interval of 90 %; null where the data give none."""
    n: StrictInt = 0
    """Phases, or durations, that it was told from."""
    identified: bool = True
    reason: str = ""
    """Why not, or what limits it."""


class ScreenedEffect(_Part):
    """Morris's elementary effects on the space taken before the first removal, over the parameter's whole range."""

    name: str
    mean_absolute_bytes: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    spread_bytes: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class RunRef(_Part):
    """A run that a fit has used."""

    run: str
    scenario_sha256: str
    started_utc: str
    measurements_sha256: str
    accelerator: str


class Provenance(_Part):
    """Where parameters come from."""

    runs: tuple[RunRef, ...] = ()
    seed: StrictInt = 0
    lab_version: str = ""
    lab_commit: str | None = None


class Parameters(_Part):
    """Everything that a simulation takes besides the scenario, and what is known of it."""

    schema_version: StrictInt = SCHEMA_VERSION
    log: LogCosts = LogCosts()
    timing: Timing = Timing()
    service: dict[str, ServiceTimes] = Field(default_factory=dict)
    """By kind of storage and target, as ``direct-lvm layer`` (``storage_kind``)."""
    rate_half_width: Ratio = 0.0
    """Half-width of the 90 % interval of the logarithm of a ratio of two storages' bandwidths."""
    speed_spread: Annotated[float, Field(ge=0, le=3, allow_inf_nan=False)] = 0.0
    """Standard deviation of the logarithm of how long the same takes from one time to another."""
    growth_half_widths: dict[str, Blocks] = Field(default_factory=dict)
    """What 90 % intervals of a phase's growth are widened by beyond what the clock leaves open, in data blocks a
    container, by kind of phase; "" for any other."""
    growth_per_byte: dict[str, Ratio] = Field(default_factory=dict)
    """Bytes taken for each byte written, by storage and target: what a straight line goes by."""
    fitted: tuple[Fitted, ...] = ()
    correlations: dict[str, Correlation] = Field(default_factory=dict)
    """Between pairs of parameters, as ``a b``, where the fit tells them."""
    effects: tuple[ScreenedEffect, ...] = ()
    """What each parameter does to the space taken, where ``lab calibrate --screen`` has looked."""
    provenance: Provenance = Provenance()

    def growth_digest(self) -> str:
        """SHA-256 of those that a host's growth depends on."""
        return sha256(self.model_dump_json(include={"log", "timing"}).encode()).hexdigest()


def storage_kind(storage: str) -> str:
    """Storages that share their service times: LVM's pool is one kind, whoever made it and whatever its data block.

    >>> storage_kind("direct-lvm-docker"), storage_kind("overlay2-xfs")
    ('direct-lvm', 'overlay2-xfs')
    """
    return STORAGES[storage].service_times
