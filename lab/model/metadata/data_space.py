"""The space map of the data blocks as it lies in the metadata: bitmaps, their index, counts above two.

Source: drivers/md/persistent-data/dm-space-map-common.c and dm-space-map-disk.c, Linux 6.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lab.model.metadata.nodes import NodeSpace
from lab.model.metadata.small_tree import SmallTree
from lab.units import METADATA_BLOCK_BYTES

BITMAP_ENTRIES = (METADATA_BLOCK_BYTES - 16) * 4
"""Blocks that one bitmap block describes, two bits each (``sm_ll_init``): 16320."""

INDEX_VALUE_BYTES, COUNT_VALUE_BYTES = 16, 4
"""Of an entry in the index of bitmaps (``disk_index_entry``), and of a reference count."""

_CACHED_ENTRIES = 64
_HASH_FACTOR = 4294967291


class DataSpace:
    """Data blocks' counts, in metadata blocks that ``space`` gives.

    A data block's count is the number of mapping leaves that hold it: a snapshot adds none until a
    leaf is copied.
    """

    def __init__(self, space: NodeSpace) -> None:
        self._space = space
        self.index = SmallTree(space, INDEX_VALUE_BYTES)
        self.counts = SmallTree(space, COUNT_VALUE_BYTES)
        self.bitmaps: list[int] = []
        self._extra: NDArray[np.uint16] | None = None
        """Owners beyond the first, by data block."""
        self._data_blocks = 0
        self._touched: set[int] = set()
        self._last = -1
        self._slots: list[int] = [-1] * _CACHED_ENTRIES
        self._dirty: list[bool] = [False] * _CACHED_ENTRIES

    @property
    def shared_counts(self) -> int:
        """Data blocks with more than two owners."""
        return len(self.counts.keys.keys)

    def extend(self, data_blocks: int) -> None:
        """The device has so many data blocks now: more bitmaps, and counts for the new blocks (``sm_ll_extend``)."""
        for index in range(len(self.bitmaps), -(-data_blocks // BITMAP_ENTRIES)):
            self.bitmaps.append(self._space.new_block())
            self._touched.add(index)
            self._save(index)
        if self._extra is not None:
            self._extra = np.concatenate([self._extra, np.zeros(data_blocks - self._data_blocks, np.uint16)])
        self._data_blocks = data_blocks
        self._last = -1

    def touch(self, index: int) -> None:
        """A bitmap is written: it moves, once a transaction, and so will its entry in the index."""
        if index == self._last:
            return
        self._last = index
        slot = (index * _HASH_FACTOR) & (_CACHED_ENTRIES - 1)
        if self._dirty[slot] and self._slots[slot] == index and index in self._touched:
            return
        self._load(index)
        if index not in self._touched:
            self._touched.add(index)
            old = self.bitmaps[index]
            self.bitmaps[index] = self._space.new_block()
            self._space.free_block(old)
        self._save(index)

    def own(self, blocks: NDArray[np.int64]) -> None:
        """Each block gets one owner more."""
        if not blocks.size:
            return
        if self._extra is None:
            self._extra = np.zeros(self._data_blocks, np.uint16)
        for index in np.unique(blocks // BITMAP_ENTRIES).tolist():
            self.touch(index)
        self._extra[blocks] += 1
        for block in blocks[self._extra[blocks] >= 2].tolist():
            self.counts.put(block)

    def drop(self, blocks: NDArray[np.int64]) -> None:
        """Each block gets one owner less; the last one frees it."""
        if not blocks.size:
            return
        for index in np.unique(blocks // BITMAP_ENTRIES).tolist():
            self.touch(index)
        if self._extra is None:
            return
        extra = self._extra[blocks]
        for block in blocks[extra >= 2].tolist():
            self._drop_count(block)
        self._extra[blocks] = np.where(extra > 0, extra - 1, 0)

    def drop_one(self, block: int) -> None:
        """As ``drop``, for one block."""
        self.touch(block // BITMAP_ENTRIES)
        if self._extra is None:
            return
        extra = int(self._extra[block])
        if extra >= 2:
            self._drop_count(block)
        if extra:
            self._extra[block] = extra - 1

    def _drop_count(self, block: int) -> None:
        if self._extra is not None and self._extra[block] == 2:
            self.counts.remove(block)
        else:
            self.counts.put(block)

    def commit(self) -> None:
        """Write the changed entries of the index (``disk_ll_commit``)."""
        for slot, dirty in enumerate(self._dirty):
            if dirty:
                self._write_back(slot)
        self._touched.clear()
        self._last = -1

    # The index is cached in 64 slots; what a slot loses to another entry is written at once
    # (disk_ll_load_ie, disk_ll_save_ie).  Only the order of first insertion matters here.

    def _load(self, index: int) -> None:
        slot = _slot(index)
        if self._slots[slot] == index:
            return
        if self._dirty[slot]:
            self._write_back(slot)
        self._slots[slot] = index

    def _save(self, index: int) -> None:
        slot = _slot(index)
        if self._slots[slot] != index and self._dirty[slot]:
            self._write_back(slot)
        self._slots[slot] = index
        self._dirty[slot] = True

    def _write_back(self, slot: int) -> None:
        self._dirty[slot] = False
        self.index.put(self._slots[slot])


def _slot(index: int) -> int:
    """``dm_hash_block``: multiplication by a prime just below 2**32."""
    return (index * _HASH_FACTOR) & (_CACHED_ENTRIES - 1)
