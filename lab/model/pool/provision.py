"""How a write gets its blocks: allocation, breaking of sharing, and what happens when there are none left.

Functions of drivers/md/dm-thin.c, Linux 6.1, are named where a rule is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lab.model.metadata.metadata import MetadataFull
from lab.model.pool.config import PoolMode
from lab.model.pool.device import BlockArray, PartlyMapped, ThinDevice
from lab.model.pool.pieces import Pieces
from lab.model.pool.state import PoolState

NO_INDEXES: NDArray[np.int64] = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of some writes, in their order.

    ``done`` writes have ended, well or not.  ``failed`` are the indexes of those that ended with
    ``error``.  Where ``waits``, the write with index ``done`` waits for space (queue_if_no_space) and those
    behind it have not begun: hand them in again once there is space, or after ``expire_no_space``.
    """

    done: int
    failed: NDArray[np.int64] = field(default_factory=lambda: NO_INDEXES)
    error: str | None = None
    waits: bool = False


def write_pieces(pool: PoolState, thin: ThinDevice, pieces: Pieces, writes: int) -> WriteResult:
    """Pieces in order: as many allocations at once as are sure to succeed, then one by one."""
    if pool.mode is not PoolMode.WRITE:
        return _refuse(pool, thin, pieces, 0, writes)
    blocks = pieces.virtual_blocks
    missing = np.flatnonzero(~thin.ready.take(blocks))
    needed = missing[_first_of_each(blocks[missing])]
    done = 0
    while done < needed.size:
        sure = min(needed.size - done, pool.data.allocatable, _sure_insertions(pool))
        if sure <= 1:
            sure = 1
            if not _make_room(pool):
                return _refuse(pool, thin, pieces, int(needed[done]), writes)
        _map(pool, thin, needed[done : done + sure], pieces)
        if pool.mode is not PoolMode.WRITE:
            return _refuse(pool, thin, pieces, int(needed[done]), writes)
        done += sure
    return WriteResult(writes)


def _sure_insertions(pool: PoolState) -> int:
    """Mappings for which there is metadata enough, so that none forces a commit; at least one."""
    metadata = pool.metadata
    if metadata is None:
        return pool.data.blocks
    return max(1, metadata.free_blocks // metadata.most_blocks_a_mapping)


def _make_room(pool: PoolState) -> bool:
    """``alloc_data_block``, up to the allocation itself: False where there is no block to be had.

    Without a free block it commits and looks again.  With free blocks that were all freed since the
    last commit it does **not** commit: it gives up.
    """
    _check_low_water(pool, 1)
    if not pool.data.free and not pool.commit():
        return False
    if pool.data.allocatable:
        return True
    pool.mode = PoolMode.OUT_OF_DATA_SPACE
    return False


def _check_low_water(pool: PoolState, allocations: int) -> None:
    """``check_low_water_mark``: one event, at the first allocation with this few free blocks."""
    if pool.data.free - (allocations - 1) <= pool.config.low_water_blocks and not pool.low_water_reached:
        pool.low_water_reached = True
        pool.counters.low_water_events += 1


def _map(pool: PoolState, thin: ThinDevice, places: BlockArray, pieces: Pieces) -> None:
    """Allocate a data block for each of some pieces and map it (``provision_block``, ``break_sharing``)."""
    _check_low_water(pool, places.size)
    virtual_blocks = pieces.virtual_blocks[places]
    old_blocks = thin.blocks[virtual_blocks].astype(np.int64)
    new_blocks = pool.data.take_many(places.size)
    pool.counters.bytes_allocated += places.size * pool.chunk_size_bytes
    if not _insert_mappings(pool, thin, virtual_blocks, new_blocks, old_blocks):
        return
    thin.map(virtual_blocks, new_blocks, pool.time)
    thin.changed = True
    replaced = old_blocks >= 0
    copies = int(np.count_nonzero(replaced))
    thin.mapped_blocks += places.size - copies
    if copies:
        pool.disown(old_blocks[replaced])
    _count_preparation(pool, pieces.is_whole(places), replaced)


def _count_preparation(pool: PoolState, whole: NDArray[np.bool_], replaced: NDArray[np.bool_]) -> None:
    """A write that covers its whole block copies and zeroes nothing (``io_overwrites_block``); any
    other copies a block that sharing forbids to write, or zeroes a new one (``schedule_copy``,
    ``schedule_zero``)."""
    copies = int(np.count_nonzero(replaced & ~whole))
    pool.counters.copies += copies
    pool.counters.bytes_copied += copies * pool.chunk_size_bytes
    pool.counters.shares_broken += int(np.count_nonzero(replaced))
    if not pool.config.skip_block_zeroing:
        zeroed = int(np.count_nonzero(~replaced & ~whole))
        pool.counters.bytes_zeroed += zeroed * pool.chunk_size_bytes


def _insert_mappings(pool: PoolState, thin: ThinDevice, virtual_blocks: BlockArray, new_blocks: BlockArray,
                     old_blocks: BlockArray) -> bool:
    """The mapping tree's part; False where metadata ran out and the pool failed.

    ``alloc_data_block`` commits when no metadata is free.  If that does not help the pool is
    read-only, and the insertion that follows fails (``process_prepared_mapping``).
    """
    metadata = pool.metadata
    if metadata is None:
        return True
    try:
        metadata.allocate_data(new_blocks)
        if virtual_blocks.size == 1 and metadata.free_blocks == 0:  # of more, there is enough: _sure_insertions
            pool.commit()
            if pool.mode is not PoolMode.WRITE:
                pool.metadata_failed()
                return False
        metadata.insert(thin.device_id, virtual_blocks, old_blocks, PartlyMapped(thin, virtual_blocks, new_blocks))
    except MetadataFull:
        pool.metadata_failed()
        return False
    return True


def _refuse(pool: PoolState, thin: ThinDevice, pieces: Pieces, position: int, writes: int) -> WriteResult:
    """What happens to pieces from ``position`` on in a mode that allocates nothing
    (``process_bio_read_only``, ``handle_unserviceable_bio``, ``process_bio_fail``)."""
    blocks = pieces.virtual_blocks[position:]
    if pool.mode is PoolMode.FAIL:
        return WriteResult(writes, pieces.writes_of(np.arange(position, position + blocks.size)), "EIO")
    refused = np.flatnonzero(~thin.ready.take(blocks)) + position
    if not refused.size:
        return WriteResult(writes)
    if pool.mode is not PoolMode.OUT_OF_DATA_SPACE:
        return WriteResult(writes, pieces.writes_of(refused), "EIO")
    if pool.errors_when_full:
        return WriteResult(writes, pieces.writes_of(refused), "ENOSPC")
    return WriteResult(pieces.write_of(int(refused[0])), waits=True)


def _first_of_each(values: BlockArray) -> NDArray[np.int64]:
    """Where each value occurs first, ascending."""
    _, first = np.unique(values, return_index=True)
    first.sort()
    return first
