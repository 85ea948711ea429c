"""Discards: what is unmapped, what is freed, and what reaches the data device.

Functions of drivers/md/dm-thin.c, Linux 6.1, are named where a rule is theirs.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from lab.model.metadata.metadata import PoolMetadata
from lab.model.pool.device import BlockArray, ThinDevice
from lab.model.pool.state import PoolState


def discard(pool: PoolState, thin: ThinDevice, offset_bytes: int, length_bytes: int, commit_meanwhile: bool) -> bool:
    """Unmap the whole blocks inside a range (``get_bio_block_range``); False where metadata ran out.

    A read-only pool says yes and does nothing (``process_bio_success``).
    """
    begin = -(-offset_bytes // pool.chunk_size_bytes)
    end = (offset_bytes + length_bytes) // pool.chunk_size_bytes
    if begin >= end or not pool.mode.commits:
        if commit_meanwhile:
            pool.commit()
        return True
    unmap = _unmap if pool.config.no_discard_passdown else _unmap_and_pass_down
    return unmap(pool, thin, thin.mapped(begin, end), commit_meanwhile)


def _unmap(pool: PoolState, thin: ThinDevice, virtual_blocks: BlockArray, commit: bool) -> bool:
    """Without passdown, blocks that nobody else maps are free at once
    (``process_prepared_discard_no_passdown``)."""
    data_blocks = _remove_mappings(pool, thin, virtual_blocks)
    if data_blocks is None:
        return False
    pool.disown(data_blocks)
    if commit:
        pool.commit()
    return True


def _unmap_and_pass_down(pool: PoolState, thin: ThinDevice, virtual_blocks: BlockArray, commit: bool) -> bool:
    """With passdown, blocks are unmapped range by range and held while the data device discards those
    that nobody else maps (``process_prepared_discard_passdown_pt1``); then they are let go
    (``process_prepared_discard_passdown_pt2``)."""
    held: list[BlockArray] = []
    for part in _alike(virtual_blocks, thin.blocks[virtual_blocks].astype(np.int64), thin.ready[virtual_blocks]):
        data_blocks = _remove_mappings(pool, thin, part)
        if data_blocks is None:
            return False
        owned = data_blocks[pool.sharers[data_blocks] > 0]
        if not pool.change_metadata(partial(PoolMetadata.hold_data, data_blocks=owned)):
            return False
        held.append(data_blocks)
    if commit:
        pool.commit()
    for data_blocks in held:
        unowned = pool.disown(data_blocks)
        pool.counters.bytes_passed_down += unowned.size * pool.chunk_size_bytes
        if not pool.change_metadata(partial(PoolMetadata.release_data, data_blocks=data_blocks)):
            return False
    return True


def _remove_mappings(pool: PoolState, thin: ThinDevice, virtual_blocks: BlockArray) -> BlockArray | None:
    """Unmap blocks; returns their data blocks, None where metadata ran out (``dm_thin_remove_range``)."""
    data_blocks = thin.blocks[virtual_blocks].astype(np.int64)
    thin.changed = True
    device_id = thin.device_id
    if not pool.change_metadata(lambda metadata: metadata.remove_range(device_id, virtual_blocks, thin)):
        return None
    thin.unmap_many(virtual_blocks)
    thin.mapped_blocks -= virtual_blocks.size
    pool.counters.bytes_discarded += virtual_blocks.size * pool.chunk_size_bytes
    return data_blocks


def _alike(virtual: BlockArray, data: BlockArray, ready: NDArray[np.bool_]) -> list[BlockArray]:
    """Ranges contiguous in both kinds of blocks and alike in sharing (``__find_mapped_range``)."""
    if not virtual.size:
        return []
    breaks = (np.diff(virtual) != 1) | (np.diff(data) != 1) | (ready[1:] != ready[:-1])
    return np.split(virtual, np.flatnonzero(breaks) + 1)
