"""Requests as arrays: where each begins, and how long it is, in bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lab.model.pool.config import PoolRefused
from lab.model.pool.device import BlockArray
from lab.model.pool.provision import WriteResult

Offsets = ArrayLike
"""One number of bytes, or an array of them."""


def as_requests(offsets: Offsets, lengths: Offsets) -> tuple[BlockArray, BlockArray]:
    """Offsets as an array, lengths as one number where they are all the same.  Raises PoolRefused."""
    starts = np.atleast_1d(_whole_numbers(offsets, "offsets"))
    sizes = _whole_numbers(lengths, "lengths")
    if sizes.ndim and sizes.shape != starts.shape:
        raise PoolRefused(f"{starts.size} offsets and {sizes.size} lengths: as many, or one length, expected")
    if sizes.ndim and sizes.size and (sizes == sizes[0]).all():
        sizes = sizes[0]
    return starts, sizes


def _whole_numbers(values: Offsets, name: str) -> BlockArray:
    """Raises PoolRefused for numbers that are not whole, or too large for 64 bits."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise PoolRefused(f"{name} are of type {array.dtype}; whole numbers of bytes expected")
    return array.astype(np.int64, copy=False)


def total_bytes(sizes: BlockArray, count: int) -> int:
    """Bytes of ``count`` requests.  ``sizes`` is one size, or one a request."""
    return int(sizes.sum()) if sizes.ndim else int(sizes) * count


def bytes_written(sizes: BlockArray, result: WriteResult) -> int:
    """Bytes of the writes that ended well; ``sizes`` as in ``total_bytes``."""
    ended = total_bytes(sizes[: result.done] if sizes.ndim else sizes, result.done)
    lost = total_bytes(sizes[result.failed] if sizes.ndim else sizes, result.failed.size)
    return ended - lost
