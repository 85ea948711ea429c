"""Which blocks are in use: reference counting aside, the kernel's space maps.

A block can be allocated only if it is free now **and** was free at the last commit, so that a crash
finds the last committed state intact.  Source: drivers/md/persistent-data/dm-space-map-disk.c and
dm-space-map-metadata.c (``sm_disk_new_block``, ``sm_metadata_new_block_``), Linux 6.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

USED_NOW = 1
"""Bit of a block's state: somebody owns the block."""

USED_AT_COMMIT = 2
"""Bit of a block's state: somebody owned the block at the last commit."""

_SCAN_BLOCKS = 1 << 16
_AT_COMMIT = np.array([0, USED_NOW | USED_AT_COMMIT, 0, USED_NOW | USED_AT_COMMIT], np.uint8)
"""What a commit makes of each state."""


class SpaceMap:
    """Blocks of a device, allocated next fit and committed now and then.

    The pointer moves on from the block last allocated, wraps to 0 at the end, and survives commits.
    One byte a block.

    >>> space = SpaceMap(4)
    >>> space.take(), space.take()
    (0, 1)
    >>> space.commit(); space.release(0)
    >>> space.take(), space.take(), space.take()  # 0 is free, and was not at the last commit
    (2, 3, None)
    >>> space.commit(); space.take()
    0
    """

    def __init__(self, blocks: int) -> None:
        self._bytes = bytearray(blocks)
        self._state: NDArray[np.uint8] = np.frombuffer(self._bytes, np.uint8)
        self._changed: list[int] = []
        self._changed_arrays: list[NDArray[np.int64]] = []
        self._changed_count = 0
        self._changed_everywhere = False
        self.pointer = 0
        self.used = 0
        """Blocks in use now."""
        self.allocatable = blocks
        """Blocks that are free now and were free at the last commit."""

    @property
    def blocks(self) -> int:
        """Size in blocks."""
        return len(self._bytes)

    @property
    def free(self) -> int:
        """Blocks free now, those freed since the last commit included (``sm_disk_get_nr_free``)."""
        return self.blocks - self.used

    def used_mask(self) -> NDArray[np.bool_]:
        """One bool a block: owned now."""
        return (self._state & USED_NOW).astype(np.bool_)

    def take(self) -> int | None:
        """Allocate the next allocatable block; None if there is none."""
        block = self._bytes.find(0, self.pointer)
        if block < 0:
            block = self._bytes.find(0, 0, self.pointer)
        if block < 0:
            return None
        self._bytes[block] = USED_NOW
        self._changed.append(block)
        self.pointer = block + 1
        self.used += 1
        self.allocatable -= 1
        return block

    def take_many(self, count: int) -> NDArray[np.int64]:
        """Allocate ``count`` blocks, in the order in which single calls would.

        Raises ValueError where fewer are allocatable.
        """
        if count > self.allocatable:
            raise ValueError(f"count(={count}) must be <= allocatable(={self.allocatable})")
        parts: list[NDArray[np.int64]] = []
        missing = count
        start = self.pointer
        while missing:
            if start >= self.blocks:
                start = 0
            found = self._scan(start, missing)
            if found.size:
                self._state[found] = USED_NOW
                parts.append(found)
                missing -= found.size
            start = min(start + max(missing + found.size, _SCAN_BLOCKS), self.blocks)
        taken = np.concatenate(parts) if len(parts) != 1 else parts[0]
        if count:
            self.pointer = int(taken[-1]) + 1
            self._remember(taken)
        self.used += count
        self.allocatable -= count
        return taken

    def _scan(self, start: int, wanted: int) -> NDArray[np.int64]:
        """Allocatable blocks of one stretch from ``start``, at most ``wanted``."""
        run = self._state[start : start + wanted]
        if run.size == wanted and not run.any():
            return np.arange(start, start + wanted, dtype=np.int64)
        stretch = self._state[start : start + max(wanted, _SCAN_BLOCKS)]
        return np.flatnonzero(stretch == 0)[:wanted].astype(np.int64) + start

    def release(self, block: int) -> None:
        """Free a block.  If it was free at the last commit it can be taken again at once."""
        state = self._bytes[block] & ~USED_NOW
        self._bytes[block] = state
        self.used -= 1
        if state:
            self._changed.append(block)
        else:
            self.allocatable += 1

    def release_many(self, blocks: NDArray[np.int64]) -> None:
        """Free blocks, each listed once."""
        if not blocks.size:
            return
        state = self._state[blocks] & USED_AT_COMMIT
        self._state[blocks] = state
        self.used -= blocks.size
        self.allocatable += int(np.count_nonzero(state == 0))
        self._remember(blocks)

    def _remember(self, blocks: NDArray[np.int64]) -> None:
        """Note what a commit must look at; where that is much, it looks at everything."""
        if self._changed_everywhere:
            return
        self._changed_arrays.append(blocks)
        self._changed_count += blocks.size
        if self._changed_count > max(self.blocks // 32, _SCAN_BLOCKS):
            self._changed_everywhere = True
            self._changed_arrays = []

    def commit(self) -> None:
        """What is free now can be allocated from now on."""
        if self._changed_everywhere:
            for start in range(0, self.blocks, _SCAN_BLOCKS):
                part = self._state[start : start + _SCAN_BLOCKS]
                part[:] = _AT_COMMIT.take(part)
        else:
            for blocks in (*self._changed_arrays, np.array(self._changed, np.int64)):
                self._state[blocks] = _AT_COMMIT.take(self._state[blocks])
        self._changed, self._changed_arrays = [], []
        self._changed_count, self._changed_everywhere = 0, False
        self.allocatable = self.blocks - self.used

    def extend(self, blocks: int) -> None:
        """Grow to ``blocks``; the new ones can be allocated at once (``sm_ll_extend``).

        Raises ValueError for a smaller size.
        """
        extra = blocks - self.blocks
        if extra < 0:
            raise ValueError(f"blocks(={blocks}) must be >= {self.blocks}: a space map cannot shrink")
        self._bytes = bytearray(bytes(self._bytes) + bytes(extra))
        self._state = np.frombuffer(self._bytes, np.uint8)
        self.allocatable += extra

    def occupy(self, blocks: NDArray[np.int64]) -> None:
        """Some free blocks, each listed once, have been in use since before the last commit."""
        self._state[blocks] = USED_NOW | USED_AT_COMMIT
        self.used += blocks.size
        self.allocatable -= blocks.size

    def rewind(self) -> None:
        """The pointer goes to block 0, as when the pool is activated (``dm_sm_disk_open``)."""
        self.pointer = 0
