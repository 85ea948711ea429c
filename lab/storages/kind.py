"""What a storage is: the facts that the rest of the lab asks for, in place of its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class Granularity(StrEnum):
    """What a write to a shared file copies: one data block of it, or the whole file."""

    BLOCK = "block"
    FILE = "file"


class Pool(StrEnum):
    """What a thin pool stands on."""

    LOOP = "loop files"
    LVM = "LVM"


@dataclass(frozen=True)
class StorageKind:
    """One storage.  Data only: its faces in machine and model are named here and live elsewhere.

    ``rig_face`` and ``model_face`` are modules that have an object ``FACE`` (``lab.rig.storages.face``,
    ``lab.model.drivers.face``).  ``options``: those that it takes besides label, discard and throttle, with their
    defaults; sizes in bytes.  ``fixed_chunk_bytes``: the data block where nobody chooses it.  ``layers``: the file
    system that a container's own files lie on; ``backing``: that of the pool disk, None where a pool takes all of it.
    ``times_as``: the storage whose service times it shares.
    """

    name: str
    rig_face: str
    model_face: str
    driver: str
    granularity: Granularity
    layers: Literal["ext4", "xfs"]
    backing: Literal["ext4", "xfs"] | None
    space_from: str
    documentation: str
    pool: Pool | None = None
    pool_made_by: Literal["the lab", "Docker"] | None = None
    options: Mapping[str, int] = field(default_factory=dict)
    fixed_chunk_bytes: int | None = None
    times_as: str = ""

    @property
    def service_times(self) -> str:
        """The storage under whose name service times are fitted."""
        return self.times_as or self.name
