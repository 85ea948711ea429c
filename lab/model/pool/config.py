"""What a pool is told to be: its table, and the modes it can fall into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from lab.errors import InputError
from lab.units import CHUNK_MAX_BYTES, CHUNK_STEP_BYTES, METADATA_BLOCK_BYTES

MAX_BLOCKS = 1 << 30
"""Data blocks of a pool, or virtual blocks of a device, beyond which the model would need too much memory."""

MAX_DEVICE_ID = (1 << 24) - 1
"""``MAX_DEV_ID`` in dm-thin.c."""

FEATURES = ("skip_block_zeroing", "ignore_discard", "no_discard_passdown", "error_if_no_space")
"""Features of a thin-pool table that the model knows (thin-provisioning.rst)."""


TOO_MANY = f"the model takes at most {MAX_BLOCKS}"


class PoolMode(Enum):
    """Modes of a pool (``enum pool_mode`` in dm-thin.c); ``shown`` is how the status prints it."""

    WRITE = "rw"
    OUT_OF_DATA_SPACE = "out_of_data_space"
    OUT_OF_METADATA_SPACE = "out_of_metadata_space"
    READ_ONLY = "ro"
    FAIL = "fail"

    @property
    def shown(self) -> str:
        """``rw``, ``out_of_data_space``, ``ro`` or ``fail``."""
        return "ro" if self is PoolMode.OUT_OF_METADATA_SPACE else self.value

    @property
    def commits(self) -> bool:
        """Whether metadata can be written."""
        return self in (PoolMode.WRITE, PoolMode.OUT_OF_DATA_SPACE)


class PoolRefused(InputError):
    """The pool does not do it: no such device, an id in use, a mode that allows no change."""


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """A ``thin-pool`` table.  ``metadata_blocks`` are of 4 KiB; None leaves metadata out of the model.

    Raises InputError for a data block size that the kernel refuses, for a pool without blocks, and for
    metadata too small for an empty pool.
    """

    chunk_size_bytes: int
    data_blocks: int
    metadata_blocks: int | None = None
    skip_block_zeroing: bool = False
    ignore_discard: bool = False
    no_discard_passdown: bool = False
    error_if_no_space: bool = False
    low_water_blocks: int = 0

    def __post_init__(self) -> None:
        chunk = self.chunk_size_bytes
        if not CHUNK_STEP_BYTES <= chunk <= CHUNK_MAX_BYTES or chunk % CHUNK_STEP_BYTES:
            raise InputError(f"chunk_size_bytes is {chunk}; a multiple of 64 KiB from 64 KiB to 1 GiB expected")
        if self.data_blocks < 1:
            raise InputError(f"data_blocks is {self.data_blocks}; at least 1 expected")
        if self.data_blocks > MAX_BLOCKS or (self.metadata_blocks or 0) > MAX_BLOCKS:
            raise InputError(f"data_blocks is {self.data_blocks}, metadata_blocks {self.metadata_blocks}; {TOO_MANY}")
        if self.low_water_blocks < 0:
            raise InputError(f"low_water_blocks is {self.low_water_blocks}; 0 or more expected")

    @classmethod
    def from_sizes(cls, chunk_size_bytes: int, data_size_bytes: int, metadata_size_bytes: int | None = None,
                   features: Sequence[str] = (), low_water_blocks: int = 0) -> PoolConfig:
        """From sizes in bytes and a table's features.  Raises InputError for an unknown feature."""
        unknown = [feature for feature in features if feature not in FEATURES]
        if unknown:
            raise InputError(f"pool feature {unknown[0]!r} is unknown; {', '.join(FEATURES)} expected")
        return cls(chunk_size_bytes=chunk_size_bytes, data_blocks=data_size_bytes // max(chunk_size_bytes, 1),
                   metadata_blocks=None if metadata_size_bytes is None else metadata_size_bytes // METADATA_BLOCK_BYTES,
                   skip_block_zeroing="skip_block_zeroing" in features, ignore_discard="ignore_discard" in features,
                   no_discard_passdown="no_discard_passdown" in features,
                   error_if_no_space="error_if_no_space" in features, low_water_blocks=low_water_blocks)
