"""How large a thin pool's data blocks are, which its status does not tell."""

from __future__ import annotations

from lab.errors import ReaderError
from lab.units import CHUNK_MAX_BYTES, CHUNK_STEP_BYTES, SECTOR_BYTES, format_bytes, sectors_to_bytes


def block_range(length_sectors: int, total_blocks: int, *, where: str | None = None) -> tuple[int, int]:
    """The least and the largest data block, in bytes, of which ``total_blocks`` fill a pool of that length.

    The kernel counts length // block whole blocks (dm-thin.c, maybe_resize_data_dev), so that a block lies in
    (length / (total + 1), length / total], in steps of 64 KiB: one value, but for pools of fewer blocks than one has
    steps.  Raises ReaderError where no size gives that.

    >>> mib = 2048
    >>> block_range(3892 * mib, 20757), block_range(3892 * mib, 60)
    ((196608, 196608), (66912256, 67960832))
    """
    length_bytes = sectors_to_bytes(length_sectors)
    if total_blocks > 0:
        largest = min(length_bytes // total_blocks, CHUNK_MAX_BYTES) // CHUNK_STEP_BYTES * CHUNK_STEP_BYTES
        smallest = (length_bytes // (total_blocks + 1) // CHUNK_STEP_BYTES + 1) * CHUNK_STEP_BYTES
        if smallest <= largest:
            return smallest, largest
    raise ReaderError(f"{total_blocks} data blocks on {length_sectors} sectors of {SECTOR_BYTES} bytes: no block size "
                      "that is a multiple of 64 KiB gives that", where=where)


def block_bytes(length_sectors: int, total_blocks: int, chunk_size_bytes: int | None = None, *,
                where: str | None = None) -> int:
    """The pool's data block in bytes.  ``chunk_size_bytes`` is what the pool was made with, None if nobody knows.

    What it was made with holds wherever so many blocks fit: a pool that has become read-only counts fewer blocks than
    its device, once extended, has room for.  Raises ReaderError where they do not fit, and where only a range is known.
    """
    if chunk_size_bytes is not None:
        if total_blocks * chunk_size_bytes <= sectors_to_bytes(length_sectors):
            return chunk_size_bytes
        raise ReaderError(f"{total_blocks} data blocks of {format_bytes(chunk_size_bytes)} do not fit on "
                          f"{length_sectors} sectors: the pool was made with other blocks", where=where)
    smallest, largest = block_range(length_sectors, total_blocks, where=where)
    if smallest < largest:
        raise ReaderError(f"{total_blocks} data blocks on {length_sectors} sectors can be of {format_bytes(smallest)} "
                          f"to {format_bytes(largest)}; one size expected", where=where)
    return largest
