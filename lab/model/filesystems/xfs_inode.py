"""The inode of XFS: where it is written, and where its file's blocks lie."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Extent:
    """``blocks`` of a file from ``offset`` on lie at ``first``, counted from the device's start."""

    offset: int
    first: int
    blocks: int
    shared: bool = False


@dataclass(slots=True)
class Inode:
    """A file or folder.  ``entries`` counts a folder's names."""

    group: int
    cluster: int
    """First of the four blocks that this inode is written with."""
    folder: bool = False
    size_bytes: int = 0
    entries: int = 0
    extents: list[Extent] = field(default_factory=list)

    def copy(self) -> Inode:
        """Another one that changes by itself."""
        return Inode(self.group, self.cluster, self.folder, self.size_bytes, self.entries,
                     [Extent(e.offset, e.first, e.blocks, e.shared) for e in self.extents])
