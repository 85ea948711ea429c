"""The log of XFS: what it has to hold, and where its head is.

Names in brackets are functions in fs/xfs/ of Linux 6.1.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.model.filesystems.filesystem import BLOCK_BYTES
from lab.model.filesystems.xfs_geometry import XfsGeometry

CLEARED_AT_MOUNT_BYTES = 2 * 1024**2
"""``XLOG_TOTAL_REC_SHIFT``: as much as the log's buffers in memory may hold."""

Sink = Callable[[int, int], None]
"""Takes an offset and a length in bytes."""


class XfsLog:
    """The log of one file system.  ``write`` takes what reaches the device."""

    def __init__(self, geometry: XfsGeometry, write: Sink) -> None:
        self._geometry, self._write = geometry, write
        self._head_bytes = geometry.log_unit_bytes
        self._pending_bytes = 0

    def copy(self, write: Sink) -> XfsLog:
        """The same log on a snapshot."""
        other = XfsLog(self._geometry, write)
        other._head_bytes, other._pending_bytes = self._head_bytes, self._pending_bytes
        return other

    def add(self, length_bytes: int) -> None:
        """A change that the log has to hold; it is in memory until ``force``."""
        self._pending_bytes += length_bytes

    def force(self) -> None:
        """Writes what was added, in whole records."""
        if self._pending_bytes:
            self.write_records(-(-self._pending_bytes // self._geometry.log_unit_bytes))
            self._pending_bytes = 0

    def write_records(self, count: int) -> None:
        """Writes records, each a multiple of the log's stripe unit, and moves the head behind them."""
        for _ in range(count):
            self._write_at_head(self._geometry.log_unit_bytes)
            self._head_bytes += self._geometry.log_unit_bytes

    def clear_stale_blocks(self) -> None:
        """Overwrites what lies ahead of the head (``xlog_clear_stale_blocks``)."""
        self._write_at_head(CLEARED_AT_MOUNT_BYTES)

    def _write_at_head(self, length_bytes: int) -> None:
        start, whole = self._geometry.log_first * BLOCK_BYTES, self._geometry.log_blocks * BLOCK_BYTES
        at = self._head_bytes % whole
        part = min(length_bytes, whole - at)
        self._write(start + at, part)
        if length_bytes > part:
            self._write(start, length_bytes - part)
