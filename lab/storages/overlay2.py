"""Docker's overlay of folders on a file system: a shared file that is written to is copied up whole."""

from __future__ import annotations

from typing import Literal

from lab.storages.kind import Granularity, StorageKind


def _on(backing: Literal["ext4", "xfs"]) -> StorageKind:
    return StorageKind(
        name=f"overlay2-{backing}", rig_face="lab.rig.storages.overlay2", model_face="lab.model.drivers.overlay2",
        driver="overlay2", granularity=Granularity.FILE, layers=backing, backing=backing,
        space_from="statfs of the pool disk's file system",
        documentation="preferred for all Linux distributions that have it: \"Select a storage driver\" of Docker's "
                      "documentation; on XFS with ftype=1 alone")


EXT4 = _on("ext4")
XFS = _on("xfs")
