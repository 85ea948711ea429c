"""overlay2 in the model: folders on ext4 or XFS."""

from __future__ import annotations

from lab.model.drivers.overlay import Overlay2
from lab.model.drivers.storage import Storage
from lab.model.filesystems.ext4 import Ext4
from lab.model.filesystems.filesystem import FileSystem
from lab.model.filesystems.xfs import Xfs
from lab.model.filesystems.xfs_geometry import xfs_geometry
from lab.model.parameters import LogCosts
from lab.scenario.scenario import StorageSpec


class OnFileSystem:
    """The daemon's own files lie in the same file system."""

    def build(self, spec: StorageSpec, pool_disk_bytes: int, costs: LogCosts | None) -> Storage:
        """A file system without images."""
        below: FileSystem = Ext4(discard=spec.discard) if spec.kind.backing == "ext4" else Xfs(
            xfs_geometry(pool_disk_bytes, None), _nowhere, _nowhere, costs=costs, discard=spec.discard)
        return Storage(spec, Ext4(), below, overlay=Overlay2(below))


def _nowhere(offset_bytes: int, length_bytes: int) -> None:
    """Where the blocks of a file system go that nothing below counts."""


FACE = OnFileSystem()
