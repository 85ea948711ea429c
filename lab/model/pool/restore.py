"""A pool that holds devices already, from their mappings as thin_dump tells them.

What mappings do not tell: where the allocator's pointer stands, which moves no count and is at block 0 here; and how
the trees of the metadata have grown, so that metadata is not modelled in a restored pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lab.model.pool.config import MAX_BLOCKS, TOO_MANY, PoolConfig, PoolRefused
from lab.model.pool.device import BlockArray, ThinDevice
from lab.model.pool.thinpool import ThinPool


@dataclass(frozen=True, slots=True)
class RestoredThin:
    """One thin device: ``data_blocks[n]`` is mapped at ``virtual_blocks[n]`` since the pool's time ``times[n]``.

    ``virtual_blocks`` ascend.  ``snapshot_time`` is the pool's time at the device's last snapshot.  Without a
    ``size_bytes``, which no dump tells, the device ends behind its last mapped block.
    """

    device_id: int
    virtual_blocks: BlockArray
    data_blocks: BlockArray
    times: BlockArray
    created_at: int
    snapshot_time: int
    transaction_id: int
    size_bytes: int | None = None


def restore_pool(config: PoolConfig, time: int, transaction_id: int, thins: Sequence[RestoredThin]) -> ThinPool:
    """A pool as it was committed: ``time`` is its number of snapshots.  Its metadata is not modelled.

    Raises PoolRefused for a device that is there twice, for mappings outside their device or the pool, and for a
    data block that one device maps twice.
    """
    pool = ThinPool(replace(config, metadata_blocks=None))
    pool.time, pool.transaction_id = time, transaction_id
    for thin in thins:
        if thin.device_id in pool.devices:
            raise PoolRefused(f"thin device {thin.device_id} is there twice")
        pool.devices[thin.device_id] = _device(pool, thin)
    owners = np.zeros(pool.data_blocks, np.int64)
    for thin in thins:
        owners[thin.data_blocks] += 1
    pool.sharers = np.maximum(owners - 1, 0).astype(np.min_scalar_type(len(thins)))
    pool.data.occupy(np.flatnonzero(owners))
    return pool


def _device(pool: ThinPool, told: RestoredThin) -> ThinDevice:
    """One device with its mappings.  A write copies what is older than its last snapshot (``__snapshotted_since``)."""
    chunk = pool.chunk_size_bytes
    ends_at = int(told.virtual_blocks[-1]) + 1 if told.virtual_blocks.size else 1
    size_bytes = ends_at * chunk if told.size_bytes is None else told.size_bytes
    blocks = -(-size_bytes // chunk)
    if not 0 < blocks <= MAX_BLOCKS:
        raise PoolRefused(f"thin device {told.device_id} has {size_bytes} bytes, {blocks} blocks; {TOO_MANY}")
    if ends_at > blocks:
        raise PoolRefused(f"thin device {told.device_id} of {blocks} blocks maps its block {ends_at - 1}")
    if told.data_blocks.size and int(told.data_blocks.max()) >= pool.data_blocks:
        raise PoolRefused(f"thin device {told.device_id} maps data block {int(told.data_blocks.max())}; "
                          f"the pool has {pool.data_blocks}")
    if np.unique(told.data_blocks).size != told.data_blocks.size:
        raise PoolRefused(f"thin device {told.device_id} maps a data block twice")
    device = ThinDevice(told.device_id, size_bytes, chunk, told.created_at, told.transaction_id)
    device.blocks[told.virtual_blocks] = told.data_blocks
    device.times = np.zeros(blocks, np.min_scalar_type(max(pool.time, int(told.times.max(initial=0)))))
    device.times[told.virtual_blocks] = told.times
    device.ready[told.virtual_blocks] = told.times >= told.snapshot_time
    device.mapped_blocks = told.virtual_blocks.size
    device.snapshot_time = told.snapshot_time
    device.changed = False
    return device
