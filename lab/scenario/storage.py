"""A storage of a scenario: which one, and its options, checked and filled in."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, StrictBool, StrictInt, ValidationInfo, model_validator

from lab.errors import InputError
from lab.scenario.steps import KiB, Part, Size, TiB
from lab.scenario.yaml_text import check_keys, problem, show
from lab.units import CHUNK_MAX_BYTES, CHUNK_STEP_BYTES, format_bytes

Storage = Literal["loop-lvm", "direct-lvm", "direct-lvm-docker", "overlay2-ext4", "overlay2-xfs"]

LABEL = r"^[a-z0-9][a-z0-9-]{0,40}$"

_LVM_DEFAULTS: dict[str, int] = {"data_percent": 95, "metadata_percent": 1,
                                 "autoextend_threshold": 80, "autoextend_percent": 20}
_STORAGE_DEFAULTS: dict[str, dict[str, int]] = {
    "loop-lvm": {"chunk_size": 64 * KiB},
    "direct-lvm": {"chunk_size": 512 * KiB, **_LVM_DEFAULTS},
    "direct-lvm-docker": {**_LVM_DEFAULTS, "force": False},
    "overlay2-ext4": {},
    "overlay2-xfs": {},
}
"""The options that a storage takes besides label, discard and throttle, with their defaults."""

_FIXED_CHUNK_BYTES = {"direct-lvm-docker": 512 * KiB}
"""Storages whose data block nobody chooses: the daemon's own set-up always takes 512 KiB."""


def driver_of(storage: str, *, where: str | None = None) -> Literal["devicemapper", "overlay2"]:
    """Docker's storage driver for a storage's name.

    Raises InputError for a name that is none; ``where`` is the file that has it.
    """
    if storage not in _STORAGE_DEFAULTS:
        raise InputError(f"no storage is named {show(storage)}", where=where,
                         remedy=f"the storages are {', '.join(_STORAGE_DEFAULTS)}")
    return "overlay2" if storage.startswith("overlay2") else "devicemapper"


NEVER_EXTENDED = 100
"""The threshold of autoextend, in percent, that turns it off."""


class Throttle(Part):
    """What the VM's two disks are held to while a cell runs: a second, of reads and writes together."""

    bandwidth_bytes: Size | None = Field(default=None, alias="bandwidth", ge=64 * KiB, le=TiB)
    operations: StrictInt | None = Field(default=None, alias="iops", ge=1, le=10_000_000)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, raw: Any, info: ValidationInfo) -> Any:
        return raw if info.context is None else check_keys(raw, cls.keys(), "a throttle")

    @model_validator(mode="after")
    def _limits_something(self) -> Throttle:
        if self.bandwidth_bytes is None and self.operations is None:
            raise problem("a throttle needs bandwidth, iops, or both, as in {bandwidth: 40MiB}")
        return self

    @property
    def sentence(self) -> str:
        """As in ``40MiB/s, 300 operations/s``."""
        told = [f"{format_bytes(self.bandwidth_bytes)}/s"] if self.bandwidth_bytes is not None else []
        return ", ".join([*told, *([f"{self.operations} operations/s"] if self.operations is not None else [])])


class StorageSpec(Part):
    """A storage with its effective options; None where an option does not apply."""

    storage: Storage
    label: str = Field(pattern=LABEL)
    chunk_size_bytes: Size | None = Field(default=None, alias="chunk_size")
    data_percent: StrictInt | None = Field(default=None, ge=1, le=99)
    metadata_percent: StrictInt | None = Field(default=None, ge=1, le=50)
    autoextend_threshold: StrictInt | None = Field(default=None, ge=50, le=100)
    autoextend_percent: StrictInt | None = Field(default=None, ge=1, le=1000)
    force: StrictBool | None = None
    """``dm.directlvm_device_force``: take the disk although it carries a file system."""
    discard: StrictBool = False
    """File systems below the containers are mounted with the option ``discard``."""
    throttle: Throttle | None = None
    """How QEMU slows the disks down while a cell runs; the storage is set up at full speed."""

    @property
    def extension_percent(self) -> int:
        """What LVM adds to the pool at a time; 0 where it never does: no LVM, or a threshold of 100 % (lvmthin(7))."""
        return 0 if self.autoextend_threshold == NEVER_EXTENDED else self.autoextend_percent or 0

    @property
    def driver(self) -> Literal["devicemapper", "overlay2"]:
        """Docker's storage driver."""
        return driver_of(self.storage)

    @property
    def on_lvm(self) -> bool:
        """Whether LVM made the pool: it takes the whole pool disk, and dmeventd watches it."""
        return self.storage.startswith("direct-lvm")

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, raw: Any, info: ValidationInfo) -> Any:
        if isinstance(raw, str):
            raw = {"storage": raw}
        if isinstance(raw, StorageSpec):
            return raw
        given = check_keys(raw, cls.keys(), "a storage") if info.context is not None else dict(raw)
        if "chunk_size_bytes" in given:
            given["chunk_size"] = given.pop("chunk_size_bytes")
        given = {key: value for key, value in given.items() if value is not None}
        storage = given.get("storage")
        if not isinstance(storage, str) or storage not in _STORAGE_DEFAULTS:
            return {"label": "x", **given}      # the complaint is about the storage
        defaults = _STORAGE_DEFAULTS[storage]
        takes = ["label", "discard", "throttle", *defaults]
        if given.get("chunk_size") == _FIXED_CHUNK_BYTES.get(storage):      # a spec read back
            given.pop("chunk_size", None)
        for key in given:
            if key != "storage" and key not in takes:
                raise problem(f"{key} {show(given[key])} does not apply to {storage}; it takes {', '.join(takes)}",
                              key=key)
        filled = {"label": storage, **defaults, **given}
        if "chunk_size" not in given and "chunk_size" in defaults:
            filled["chunk_size"] = f"{defaults['chunk_size']}B"
        if storage in _FIXED_CHUNK_BYTES:
            filled["chunk_size"] = f"{_FIXED_CHUNK_BYTES[storage]}B"
        return filled

    @model_validator(mode="after")
    def _possible(self) -> StorageSpec:
        chunk = self.chunk_size_bytes
        if chunk is not None and (chunk % CHUNK_STEP_BYTES or not 0 < chunk <= CHUNK_MAX_BYTES):
            raise problem(f"{format_bytes(chunk)} is no possible chunk; allowed: multiples of 64KiB up to 1GiB",
                          key="chunk_size")
        if self.data_percent is not None and self.metadata_percent is not None:
            total = self.data_percent + 2 * self.metadata_percent
            if total > 100:
                raise problem(f"data_percent {self.data_percent} + 2 x metadata_percent {self.metadata_percent} is "
                              f"{total}; at most 100, because LVM keeps a spare as large as the metadata",
                              key="data_percent")
        return self
