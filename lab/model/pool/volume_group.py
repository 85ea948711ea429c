"""An LVM volume group with one thin pool: its sizes, and what it can still be extended by.

Source: lvmthin(7), lvm.conf(5); the sizes of extensions as measured: ⌈size × 1.2⌉ extents at 20 %.
"""

from __future__ import annotations

from dataclasses import dataclass

EXTENT_BYTES = 4 * 1024**2
_RESERVED_BYTES = 1024**2
"""Before the first extent of a physical volume (``default_data_alignment``)."""


@dataclass
class VolumeGroup:
    """All in extents of 4 MiB.  LVM keeps a spare as large as the pool's metadata."""

    extents: int
    data_extents: int
    metadata_extents: int

    @classmethod
    def on_disk(cls, disk_bytes: int, data_percent: int, metadata_percent: int) -> VolumeGroup:
        """One physical volume, with ``-l PERCENT%VG`` for data and metadata, rounded down."""
        extents = (disk_bytes - _RESERVED_BYTES) // EXTENT_BYTES
        return cls(extents, extents * data_percent // 100, extents * metadata_percent // 100)

    @property
    def free_extents(self) -> int:
        """What no volume has."""
        return self.extents - self.data_extents - 2 * self.metadata_extents

    @property
    def data_bytes(self) -> int:
        """The pool's data size."""
        return self.data_extents * EXTENT_BYTES

    @property
    def metadata_bytes(self) -> int:
        """The pool's metadata size."""
        return self.metadata_extents * EXTENT_BYTES

    def extend(self, percent: int) -> bool:
        """Extends the data by a share of its size.  False, and nothing is added, where that does not fit.

        >>> group = VolumeGroup(extents=400, data_extents=256, metadata_extents=2)
        >>> group.extend(20), group.data_extents, group.extend(20), group.extend(20), group.data_extents
        (True, 308, True, False, 370)
        """
        more = -(-self.data_extents * (100 + percent) // 100) - self.data_extents
        if more > self.free_extents:
            return False
        self.data_extents += more
        return True
