"""A storage of a scenario: which one, and its options, checked and filled in."""

from __future__ import annotations

from typing import Any

from pydantic import Field, StrictBool, StrictInt, ValidationInfo, model_validator

from lab.scenario.steps import KiB, Part, Size, TiB
from lab.scenario.yaml_text import check_keys, problem, show
from lab.storages.catalogue import STORAGES
from lab.storages.kind import Pool, StorageKind
from lab.units import CHUNK_MAX_BYTES, CHUNK_STEP_BYTES, format_bytes

LABEL = r"^[a-z0-9][a-z0-9-]{0,40}$"

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

    storage: str
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
    def kind(self) -> StorageKind:
        """What the storage is."""
        return STORAGES[self.storage]

    @property
    def driver(self) -> str:
        """Docker's storage driver."""
        return self.kind.driver

    @property
    def in_pool(self) -> bool:
        """Whether containers' layers are thin devices of a pool."""
        return self.kind.pool is not None

    @property
    def on_lvm(self) -> bool:
        """Whether LVM made the pool: it takes the whole pool disk, and dmeventd watches it."""
        return self.kind.pool is Pool.LVM

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
        name = given.get("storage")
        if not isinstance(name, str) or name not in STORAGES:
            raise problem(f"unknown storage {show(name)}; allowed: {', '.join(map(repr, STORAGES))}", key="storage")
        kind = STORAGES[name]
        takes = ["label", "discard", "throttle", *kind.options]
        fixed = kind.fixed_chunk_bytes
        if fixed is not None and given.get("chunk_size") == fixed:      # a spec read back
            del given["chunk_size"]
        for key in given:
            if key != "storage" and key not in takes:
                raise problem(f"{key} {show(given[key])} does not apply to {name}; it takes {', '.join(takes)}",
                              key=key)
        filled = {"label": name, **kind.options, **given}
        chunk_bytes = fixed if fixed is not None else kind.options.get("chunk_size")
        if "chunk_size" not in given and chunk_bytes is not None:
            filled["chunk_size"] = f"{chunk_bytes}B"
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
