"""Writes cut at data block boundaries.

The steady state, where every block is mapped and nobody's snapshot, is most of what is fast here: one
shift, one look-up, one test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.model.pool.config import PoolRefused
from lab.model.pool.device import BlockArray, ThinDevice


@dataclass(frozen=True, slots=True)
class Pieces:
    """Writes cut at data block boundaries (``dm_set_target_max_io_len`` in ``pool_ctr``)."""

    virtual_blocks: BlockArray
    whole: NDArray[np.bool_] | bool
    writes: BlockArray | None
    """Index of the write that each piece belongs to; None where each write is one piece."""

    def write_of(self, piece: int) -> int:
        """Index of the write that a piece belongs to."""
        return piece if self.writes is None else int(self.writes[piece])

    def writes_of(self, pieces: BlockArray) -> BlockArray:
        """Indexes of the writes that some pieces belong to, ascending, each once."""
        return pieces if self.writes is None else np.unique(self.writes[pieces])

    def is_whole(self, pieces: BlockArray) -> NDArray[np.bool_]:
        """Which of some pieces cover their data block."""
        if isinstance(self.whole, bool):
            return np.full(pieces.size, self.whole)
        return self.whole[pieces]


def cut(thin: ThinDevice, starts: BlockArray, sizes: BlockArray, chunk: int) -> Pieces:
    """Writes as pieces of one data block each.  ``sizes`` is one size, or one a write.  Bytes.

    Raises PoolRefused for a write outside the device.
    """
    first = _block_of(starts, chunk)
    within = _stay_within(starts, sizes, chunk)
    if within is None:
        check_range(thin, starts, sizes)
        last = _block_of(starts + (sizes - 1), chunk)
        if (last != first).any():
            return _split(starts, sizes, first, last, chunk)
    elif within is False or int(first.max()) >= thin.size_bytes // chunk:
        check_range(thin, starts, sizes)
    return Pieces(first, _covers(sizes, chunk), None)


def check_range(thin: ThinDevice, starts: BlockArray, sizes: BlockArray) -> None:
    """Raises PoolRefused unless all requests lie within the device and have at least one byte."""
    end = thin.size_bytes
    if sizes.ndim:
        fine = int(starts.min()) >= 0 and int(sizes.min()) > 0 and int((end - sizes - starts).min()) >= 0
    else:  # as unsigned numbers, negative offsets are the largest: one look at a long array is enough
        room = end - int(sizes)
        fine = int(sizes) > 0 and room >= 0 and int(starts.view(np.uint64).max()) <= room
    if not fine:
        raise PoolRefused(f"a request lies outside thin device {thin.device_id}, which has {end} bytes")


def bytes_in(starts: BlockArray, sizes: BlockArray, chosen: NDArray[np.bool_], chunk: int) -> int:
    """Bytes of some requests that lie in chosen blocks."""
    blocks, requests = _spans(starts // chunk, (starts + (sizes - 1)) // chunk)
    begins = np.maximum(blocks * chunk, starts[requests])
    ends = np.minimum((blocks + 1) * chunk, (starts + sizes)[requests])
    return int((ends - begins)[chosen[blocks]].sum())


def _block_of(offsets: BlockArray, chunk: int) -> BlockArray:
    """Block of each byte offset (``get_bio_block``)."""
    if chunk & (chunk - 1):
        return offsets // chunk
    return offsets >> (chunk.bit_length() - 1)


def _stay_within(starts: BlockArray, sizes: BlockArray, chunk: int) -> bool | None:
    """Whether all writes are known to stay within one data block; None: unknown; False: one is negative.

    Writes of one size, a power of two, that all begin at multiples of it.
    """
    if sizes.ndim:
        return None
    size = int(sizes)
    if size <= 0 or size & (size - 1) or chunk % size:
        return None
    bits = int(np.bitwise_or.reduce(starts))
    if bits < 0:
        return False
    return None if bits & (size - 1) else True


def _covers(sizes: BlockArray, chunk: int) -> NDArray[np.bool_] | bool:
    """Which writes, each within one block, cover it."""
    if sizes.ndim:
        return np.asarray(sizes == chunk)
    return int(sizes) == chunk


def _spans(first: BlockArray, last: BlockArray) -> tuple[BlockArray, BlockArray]:
    """All blocks from first to last of each write, in order, and the write that each belongs to."""
    counts = last - first + 1
    writes = np.repeat(np.arange(first.size), counts)
    begins = np.cumsum(counts) - counts
    return np.arange(writes.size) - begins[writes] + first[writes], writes


def _split(starts: BlockArray, sizes: BlockArray, first: BlockArray, last: BlockArray, chunk: int) -> Pieces:
    """Cut writes at block boundaries."""
    blocks, writes = _spans(first, last)
    ends = starts + sizes
    whole = (blocks * chunk >= starts[writes]) & ((blocks + 1) * chunk <= ends[writes])
    return Pieces(blocks, whole, writes)
