"""What each data block size would make of a trace from a user's own machine.

A trace is a fio I/O log or blkparse text.  Each file of a log is a thin device of its own.  Two pools are
tried for each block size: one that is empty at first, and one where every block that the trace touches
is mapped and shared with a snapshot, so that first writes copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.errors import InputError, ReaderError
from lab.model.metadata.metadata import kernel_rule_bytes
from lab.model.pool.thinpool import PoolConfig, ThinPool, WriteResult
from lab.readers.blktrace import is_blkparse, read_blkparse
from lab.readers.iolog import IoAction, is_iolog, read_iolog

_LOST = np.iinfo(np.int64).max // 4

MOST_BLOCKS = 1 << 25
"""Blocks of all devices of a trace, or of the pool, that are held in memory: 2 TiB of 64 KiB."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Writes and discards of a trace in order: device, byte offset, byte length."""

    name: str
    devices: NDArray[np.int32]
    discards: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def bytes_written(self) -> int:
        """Bytes that the writes ask to write."""
        return int(self.lengths[~self.discards].sum())

    def bytes_distinct(self) -> int:
        """Bytes written at least once."""
        total = 0
        for device in range(int(self.devices.max(initial=-1)) + 1):
            chosen = (self.devices == device) & ~self.discards
            total += _union_bytes(self.offsets[chosen], self.lengths[chosen])
        return total


@dataclass(frozen=True, slots=True)
class ChunkSizeResult:
    """One block size.  Bytes; ``metadata`` in blocks of 4 KiB, its reserve included.

    ``bytes_wasted`` is what was allocated less the distinct bytes written.  ``bytes_copied_after_snapshot`` is what the
    same writes copy where everything was mapped and has a snapshot.
    """

    chunk_size_bytes: int
    data_blocks_allocated: int
    bytes_allocated: int
    bytes_wasted: int
    bytes_zeroed: int
    blocks_copied_after_snapshot: int
    bytes_copied_after_snapshot: int
    bytes_allocated_after_snapshot: int
    used_metadata_blocks: int
    failed_writes: int
    first_failed_write: int | None


@dataclass(frozen=True, slots=True)
class TraceResult:
    """A trace, tried with several block sizes on pools of one size in bytes."""

    trace: str
    pool_size_bytes: int
    writes: int
    discards: int
    bytes_written: int
    bytes_distinct: int
    chunk_sizes: tuple[ChunkSizeResult, ...]

    def document(self) -> dict[str, Any]:
        """As in ``lab replay TRACE --json``."""
        return asdict(self)


def load_trace(path: Path) -> Trace:
    """A fio I/O log or blkparse text.  Raises ReaderError for anything else, and with file:line for a bad line."""
    if is_iolog(path):
        return _from_iolog(path)
    if is_blkparse(path):
        return _from_blkparse(path)
    raise ReaderError("is neither a fio I/O log (version 2 or 3) nor blkparse text", where=str(path))


def _from_iolog(path: Path) -> Trace:
    parts = []
    for batch in read_iolog(path):
        chosen = (batch.actions == IoAction.WRITE) | (batch.actions == IoAction.TRIM)
        actions = batch.actions[chosen]
        parts.append((batch.files[chosen], actions == IoAction.TRIM, batch.offsets[chosen], batch.lengths[chosen]))
    if not parts:
        return _trace(path, [], [], [], [])
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return _trace(path, *columns)


def _from_blkparse(path: Path) -> Trace:
    discards: list[bool] = []
    offsets: list[int] = []
    lengths: list[int] = []
    for item in read_blkparse(path):
        if item.action != "read":
            discards.append(item.action == "discard")
            offsets.append(item.offset_bytes)
            lengths.append(item.length_bytes)
    return _trace(path, [0] * len(offsets), discards, offsets, lengths)


def _trace(path: Path, devices: Any, discards: Any, offsets: Any, lengths: Any) -> Trace:
    sizes = np.asarray(lengths, np.int64)
    real = sizes > 0
    trace = Trace(
        path.name,
        np.asarray(devices, np.int32)[real],
        np.asarray(discards, np.bool_)[real],
        np.asarray(offsets, np.int64)[real],
        sizes[real],
    )
    if trace.offsets.size and int((trace.offsets + trace.lengths).max()) > _LOST:
        raise ReaderError("has an offset beyond 2 EiB", where=str(path))
    return trace


def compare_chunk_sizes(trace: Trace, chunk_sizes: Sequence[int], pool_size_bytes: int) -> TraceResult:
    """Try a trace with each block size in bytes.  Raises InputError for sizes that no pool can have."""
    if not chunk_sizes:
        raise InputError("no block size is given", remedy="--chunk-size 64KiB,512KiB")
    for chunk in chunk_sizes:
        _refuse_too_many(trace, chunk, pool_size_bytes)
    distinct = trace.bytes_distinct()
    return TraceResult(
        trace=trace.name,
        pool_size_bytes=pool_size_bytes,
        writes=int(np.count_nonzero(~trace.discards)),
        discards=int(np.count_nonzero(trace.discards)),
        bytes_written=trace.bytes_written,
        bytes_distinct=distinct,
        chunk_sizes=tuple(_try(trace, chunk, pool_size_bytes, distinct) for chunk in chunk_sizes),
    )


def _try(trace: Trace, chunk_size_bytes: int, pool_size_bytes: int, distinct_bytes: int) -> ChunkSizeResult:
    metadata_size = kernel_rule_bytes(pool_size_bytes, max(chunk_size_bytes, 1))
    config = PoolConfig.from_sizes(chunk_size_bytes, pool_size_bytes, metadata_size, ["error_if_no_space"])
    pool = _pool_with_devices(trace, config)
    failed = _play(trace, pool)
    pool.commit()
    allocated = pool.counters.bytes_allocated
    written = _written_bytes(trace, failed) if failed.size else distinct_bytes
    shared = _shared_pool(trace, pool, chunk_size_bytes)
    before = shared.counters.bytes_allocated
    _play(trace, shared)
    return ChunkSizeResult(
        chunk_size_bytes=chunk_size_bytes,
        data_blocks_allocated=allocated // chunk_size_bytes,
        bytes_allocated=allocated,
        bytes_wasted=allocated - written,
        bytes_zeroed=pool.counters.bytes_zeroed,
        blocks_copied_after_snapshot=shared.counters.copies,
        bytes_copied_after_snapshot=shared.counters.bytes_copied,
        bytes_allocated_after_snapshot=shared.counters.bytes_allocated - before,
        used_metadata_blocks=pool.used_metadata_blocks or 0,
        failed_writes=int(failed.size),
        first_failed_write=int(failed[0]) if failed.size else None,
    )


def _written_bytes(trace: Trace, failed: NDArray[np.int64]) -> int:
    """Distinct bytes of the writes that did not fail."""
    kept = np.flatnonzero(~trace.discards)
    kept = np.delete(kept, failed)
    done = Trace(trace.name, trace.devices[kept], trace.discards[kept], trace.offsets[kept], trace.lengths[kept])
    return done.bytes_distinct()


def _pool_with_devices(trace: Trace, config: PoolConfig) -> ThinPool:
    pool = ThinPool(config)
    for device, size in _sizes(trace, config.chunk_size_bytes).items():
        pool.create_thin(device, size)
    return pool


def _sizes(trace: Trace, chunk_size_bytes: int) -> dict[int, int]:
    """The sizes of the trace's devices in bytes: each ends with the last block that is touched."""
    ends = np.zeros(int(trace.devices.max(initial=-1)) + 1, np.int64)
    np.maximum.at(ends, trace.devices, trace.offsets + trace.lengths)
    return {device: -(-end // chunk_size_bytes) * chunk_size_bytes for device, end in enumerate(ends.tolist()) if end}


def _refuse_too_many(trace: Trace, chunk_size_bytes: int, pool_size_bytes: int) -> None:
    step = max(chunk_size_bytes, 1)
    for what, size_bytes in (("--pool-size", pool_size_bytes),
                             (f"{trace.name}: what it touches", sum(_sizes(trace, step).values()))):
        if size_bytes // step > MOST_BLOCKS:
            raise InputError(f"{what} has {size_bytes // step} blocks of {chunk_size_bytes} bytes; at most "
                             f"{MOST_BLOCKS} are tried", remedy="try larger blocks, or cut out a part of the trace")


def _shared_pool(trace: Trace, first: ThinPool, chunk_size_bytes: int) -> ThinPool:
    """Every block that the trace writes is mapped, and each device has a snapshot."""
    touched = {device: _touched(trace, device, chunk_size_bytes) for device in first.thins}
    blocks = 2 * sum(found.size for found in touched.values()) + 1
    pool = _pool_with_devices(trace, PoolConfig(chunk_size_bytes, blocks))
    for device, found in touched.items():
        pool.write(device, found * chunk_size_bytes, chunk_size_bytes)
    spare = max(touched, default=0) + 1
    for device in touched:
        pool.create_snapshot(spare + device, origin=device)
    return pool


def _touched(trace: Trace, device: int, chunk_size_bytes: int) -> NDArray[np.int64]:
    chosen = (trace.devices == device) & ~trace.discards
    first = trace.offsets[chosen] // chunk_size_bytes
    counts = (trace.offsets[chosen] + trace.lengths[chosen] - 1) // chunk_size_bytes - first + 1
    steps = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.unique(np.repeat(first, counts) + steps)


def _play(trace: Trace, pool: ThinPool) -> NDArray[np.int64]:
    """Do it all; returns the writes that failed, counted among the writes."""
    failed: list[NDArray[np.int64]] = []
    writes = 0
    for begin, end in _runs(trace):
        device = int(trace.devices[begin])
        if trace.discards[begin]:
            for place in range(begin, end):
                pool.discard(device, int(trace.offsets[place]), int(trace.lengths[place]))
            continue
        result: WriteResult = pool.write(device, trace.offsets[begin:end], trace.lengths[begin:end])
        failed.append(result.failed + writes)
        writes += end - begin
    return np.concatenate(failed) if failed else np.zeros(0, np.int64)


def _runs(trace: Trace) -> list[tuple[int, int]]:
    """Stretches of one device and one kind."""
    if not trace.devices.size:
        return []
    changes = (np.diff(trace.devices) != 0) | (trace.discards[1:] != trace.discards[:-1])
    bounds = [0, *(np.flatnonzero(changes) + 1).tolist(), trace.devices.size]
    return list(pairwise(bounds))


def _union_bytes(offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> int:
    """Bytes covered by some extents."""
    if not offsets.size:
        return 0
    order = np.argsort(offsets, kind="stable")
    starts = offsets[order]
    ends = np.maximum.accumulate(starts + lengths[order])
    before = np.concatenate([[0], ends[:-1]])
    return int(np.maximum(ends - np.maximum(starts, before), 0).sum())
