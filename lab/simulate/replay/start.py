"""The pool that a recorded case starts from: an empty one, or one that held devices when thin_dump was run."""

from __future__ import annotations

from pathlib import Path

from lab.errors import ReaderError
from lab.model.pool.restore import RestoredThin, restore_pool
from lab.model.pool.thinpool import PoolConfig, PoolRefused, ThinPool
from lab.readers.thin_dump import DumpedThin, read_thin_dump
from lab.readers.trace_case import THIN
from lab.simulate.replay.case import MOST_BLOCKS, Case
from lab.units import sectors_to_bytes


def first_pool(case: Case) -> tuple[ThinPool, dict[int, int]]:
    """The pool before the first step, and the ids of devices that are not the case's own numbers for them.

    Raises ReaderError as ``pool_from_dump`` does.
    """
    if case.start is None:
        return ThinPool(case.config), {}
    traced = case.start.traced_device
    return pool_from_dump(case.start.dump, case.config, traced, case.thin_size_bytes), {THIN: traced}


def pool_from_dump(path: Path, config: PoolConfig, traced_device: int, thin_size_bytes: int) -> ThinPool:
    """The pool of a thin_dump.  ``traced_device`` is the id of the device that has ``thin_size_bytes``.

    Its metadata is not modelled: mappings do not tell how the trees came to lie.  Raises ReaderError for a dump that
    is missing, damaged or of another pool, and where it does not hold the device.
    """
    dump = read_thin_dump(path)
    chunk = sectors_to_bytes(dump.superblock.data_block_sectors)
    if chunk != config.chunk_size_bytes:
        raise ReaderError(f"has data blocks of {chunk} bytes; {config.chunk_size_bytes} expected, "
                          "the pool's in case.json", where=str(path))
    if traced_device not in dump.thins:
        known = ", ".join(map(str, dump.thins)) or "none"
        raise ReaderError(f"does not hold device {traced_device}, the traced_device of case.json; there are: {known}",
                          where=str(path))
    for number, thin in dump.thins.items():
        if thin.virtual_blocks.size and int(thin.virtual_blocks[-1]) >= MOST_BLOCKS:
            raise ReaderError(f"device {number} maps its block {int(thin.virtual_blocks[-1])}; at most {MOST_BLOCKS} "
                              "blocks of a device are replayed", where=str(path))
    thins = [_restored(thin, thin_size_bytes if number == traced_device else None)
             for number, thin in dump.thins.items()]
    try:
        return restore_pool(config, dump.superblock.time, dump.superblock.transaction, thins)
    except PoolRefused as error:
        raise ReaderError(error.message, where=str(path)) from error


def _restored(thin: DumpedThin, size_bytes: int | None) -> RestoredThin:
    device = thin.device
    return RestoredThin(device.device_id, thin.virtual_blocks, thin.data_blocks, thin.times, device.creation_time,
                        device.snapshot_time, device.transaction, size_bytes)
