"""A thin device as a disk: takes writes one by one, and hands them to the pool in batches."""

from __future__ import annotations

from lab.model.pool.thinpool import ThinPool


class PoolFull(Exception):
    """The pool has no space for what is to be written; what was not written waits in the disk.

    ``waits``: the writer is queued until there is space or ``no_space_timeout`` is over; else it has failed.
    """

    def __init__(self, *, waits: bool) -> None:
        super().__init__("the pool has no free data block")
        self.waits = waits


class ThinDisk:
    """One device of a pool."""

    def __init__(self, pool: ThinPool, device_id: int) -> None:
        self.device_id = device_id
        self._pool = pool
        self._offsets: list[int] = []
        self._lengths: list[int] = []

    def write(self, offset_bytes: int, length_bytes: int) -> None:
        """Takes a write; it reaches the pool at the next ``flush``."""
        self._offsets.append(offset_bytes)
        self._lengths.append(length_bytes)

    def discard(self, offset_bytes: int, length_bytes: int) -> None:
        """Discards a range, after all writes before it."""
        self.flush()
        self._pool.discard(self.device_id, offset_bytes, length_bytes)

    def flush(self) -> None:
        """Hands all writes to the pool.  Raises PoolFull."""
        if not self._offsets:
            return
        result = self._pool.write(self.device_id, self._offsets, self._lengths)
        self._offsets, self._lengths = self._offsets[result.done:], self._lengths[result.done:]
        if result.waits or result.failed.size:
            raise PoolFull(waits=result.waits)

    def forget(self) -> None:
        """Drops what has not reached the pool."""
        self._offsets, self._lengths = [], []
