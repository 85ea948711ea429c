"""One thin device: where each of its virtual blocks lies, since when, and what a write to it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNMAPPED = -1
BlockArray = NDArray[np.int64]


class ThinDevice:
    """Mappings of one thin device or snapshot.  Six bytes a virtual block, with more than
    255 snapshots seven.

    ``blocks[v]`` is the data block of virtual block ``v``, or -1.  ``times[v]`` is the pool's time when
    it was mapped.  ``ready[v]`` says that a write to ``v`` needs neither a new block nor a copy.
    """

    __slots__ = (
        "blocks",
        "changed",
        "created_at",
        "device_id",
        "mapped_blocks",
        "ready",
        "size_bytes",
        "snapshot_time",
        "times",
        "transaction_id",
    )

    def __init__(self, device_id: int, size_bytes: int, chunk_size_bytes: int, time: int, transaction_id: int) -> None:
        virtual_blocks = -(-size_bytes // chunk_size_bytes)
        self.device_id = device_id
        self.size_bytes = size_bytes
        self.created_at = time
        """The pool's time at creation."""
        self.snapshot_time = time
        """The pool's time at the last snapshot of it, or of which it is one."""
        self.transaction_id = transaction_id
        self.changed = True
        """Whether its metadata changed since the last commit."""
        self.mapped_blocks = 0
        self.blocks: NDArray[np.int32] = np.full(virtual_blocks, UNMAPPED, np.int32)
        self.times: NDArray[np.unsignedinteger[Any]] = np.zeros(virtual_blocks, np.uint8)
        self.ready: NDArray[np.bool_] = np.zeros(virtual_blocks, np.bool_)

    def snapshot(self, device_id: int, time: int, transaction_id: int) -> ThinDevice:
        """A snapshot: the same mappings, none of which either may write in place (``__create_snap``)."""
        copy = object.__new__(ThinDevice)
        copy.device_id = device_id
        copy.size_bytes = self.size_bytes
        copy.created_at = copy.snapshot_time = self.snapshot_time = time
        copy.transaction_id = transaction_id
        copy.changed = self.changed = True
        copy.mapped_blocks = self.mapped_blocks
        copy.blocks = self.blocks.copy()
        copy.times = self.times.copy()
        copy.ready = np.zeros_like(self.ready)
        self.ready[:] = False
        return copy

    def map(self, virtual_blocks: BlockArray, data_blocks: BlockArray, time: int) -> None:
        """Map virtual blocks, each listed once, at the pool's time."""
        self.blocks[virtual_blocks] = data_blocks
        if time > np.iinfo(self.times.dtype).max:
            self.times = self.times.astype(np.min_scalar_type(time))
        self.times[virtual_blocks] = time
        self.ready[virtual_blocks] = True

    def unmap(self, key: int) -> int:
        """Forget one virtual block; returns its data block."""
        data_block = int(self.blocks[key])
        self.blocks[key] = UNMAPPED
        self.ready[key] = False
        return data_block

    def unmap_many(self, virtual_blocks: BlockArray) -> None:
        """Forget virtual blocks."""
        self.blocks[virtual_blocks] = UNMAPPED
        self.ready[virtual_blocks] = False

    def mapped(self, begin: int = 0, end: int | None = None) -> BlockArray:
        """Mapped virtual blocks in [begin, end), ascending."""
        return np.flatnonzero(self.blocks[begin:end] >= 0).astype(np.int64, copy=False) + begin

    # -- KeySource of the mapping tree (lab.model.metadata.btree) ----------------------------------------------

    def keys_at(self, low: int, high: int, ranks: Sequence[int]) -> list[int]:
        """Mapped virtual blocks of the given ranks among those in [low, high)."""
        end = min(high, self.blocks.size)
        last = max(ranks)
        keys: list[int] = []
        width = 2 * (last + 1)  # look further and further: the last leaf's range may be the whole rest
        while len(keys) <= last:
            found = np.flatnonzero(self.blocks[low : low + width] >= 0) + low
            keys += found[: last + 1 - len(keys)].tolist()
            low += width
            width *= 2
            if low >= end and len(keys) <= last:
                raise ValueError(f"rank {last} of {len(keys)} mapped blocks below {end}")
        return [keys[rank] for rank in ranks]

    def data_in(self, low: int, high: int) -> BlockArray:
        """Data blocks of the mapped virtual blocks in [low, high), in their order."""
        blocks = self.blocks[low : min(high, self.blocks.size)]
        return blocks[blocks >= 0].astype(np.int64)

    def __contains__(self, key: int) -> bool:
        return bool(self.blocks[key] >= 0)


class PartlyMapped:
    """A device in the middle of a batch: the first ``position`` of some new mappings are in place.

    Puts them into the device only when somebody asks for keys, that is when a leaf splits or is copied.
    """

    def __init__(self, thin: ThinDevice, virtual_blocks: BlockArray, data_blocks: BlockArray) -> None:
        self._thin = thin
        self._virtual_blocks = virtual_blocks
        self._data_blocks = data_blocks
        self._done = 0
        self.position = 0

    def _settle(self) -> ThinDevice:
        if self._done < self.position:
            part = slice(self._done, self.position)
            self._thin.blocks[self._virtual_blocks[part]] = self._data_blocks[part]
            self._done = self.position
        return self._thin

    def keys_at(self, low: int, high: int, ranks: Sequence[int]) -> list[int]:
        """See ThinDevice."""
        return self._settle().keys_at(low, high, ranks)

    def data_in(self, low: int, high: int) -> BlockArray:
        """See ThinDevice."""
        return self._settle().data_in(low, high)

    def __contains__(self, key: int) -> bool:
        return key in self._settle()
