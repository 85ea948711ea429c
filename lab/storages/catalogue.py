"""All storages, in the order in which help and errors list them."""

from __future__ import annotations

from lab.errors import InputError
from lab.storages import direct_lvm, direct_lvm_docker, loop_lvm, overlay2
from lab.storages.kind import StorageKind

STORAGES: dict[str, StorageKind] = {kind.name: kind for kind in (
    loop_lvm.KIND, direct_lvm.KIND, direct_lvm_docker.KIND, overlay2.EXT4, overlay2.XFS)}

REFERENCE = "overlay2-ext4"
"""The storage that the others are set against, where a run has it."""

COMMON = ("loop-lvm", "direct-lvm", "overlay2-ext4")
"""Those that tables and figures begin with, in this order; the others follow by their names."""


def find_storage(name: str, *, where: str | None = None) -> StorageKind:
    """The storage of that name.  Raises InputError for a name that is none; ``where`` is the file that has it."""
    if name not in STORAGES:
        raise InputError(f"no storage is named {name!r}", where=where,
                         remedy=f"the storages are {', '.join(STORAGES)}")
    return STORAGES[name]
