"""A pool's mappings as XML, as thin_dump writes them and thin_restore takes them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from lab.model.pool.thinpool import ThinPool
from lab.readers.thin_dump import DumpDevice, DumpMapping, DumpSuperblock, write_thin_dump
from lab.runs.files import replacing, told_as_output
from lab.units import SECTOR_BYTES


def pool_dump(pool: ThinPool) -> tuple[DumpSuperblock, Iterator[tuple[DumpDevice, Iterator[DumpMapping]]]]:
    """A pool's mappings as ``lab.readers.thin_dump.write_thin_dump`` takes them."""
    superblock = DumpSuperblock(
        uuid="",
        time=pool.time,
        transaction=pool.transaction_id,
        data_block_sectors=pool.chunk_size_bytes // SECTOR_BYTES,
        data_blocks=pool.data_blocks,
    )
    return superblock, (_device_dump(pool, device_id) for device_id in sorted(pool.thins))


def _device_dump(pool: ThinPool, device_id: int) -> tuple[DumpDevice, Iterator[DumpMapping]]:
    thin = pool.thin(device_id)
    device = DumpDevice(device_id, thin.mapped_blocks, thin.transaction_id, thin.created_at, thin.snapshot_time)
    runs = pool.mappings(device_id)
    return device, (DumpMapping(device_id, virtual, data, length, time) for virtual, data, length, time in runs)


def save_pool_dump(pool: ThinPool, path: Path) -> None:
    """Write a pool's mappings as XML for thin_restore.

    Raises InputError if the file cannot be written, RigError if the disk is full.
    """
    with told_as_output(path), replacing(path) as file:
        text = io.TextIOWrapper(file, encoding="ascii", newline="\n")
        write_thin_dump(text, *pool_dump(pool))
        text.detach()
