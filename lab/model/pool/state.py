"""A pool between two requests: its blocks and their owners, its mode, and what a commit decides.

Functions of drivers/md/dm-thin.c, Linux 6.1, are named where a rule is theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.errors import InputError
from lab.model.metadata.metadata import MetadataFull, PoolMetadata
from lab.model.metadata.spacemap import SpaceMap
from lab.model.pool.config import PoolConfig, PoolMode
from lab.model.pool.counters import Counters
from lab.model.pool.device import BlockArray, ThinDevice


class PoolState:
    """What the requests to a pool change; ``ThinPool`` adds the requests.  Its attributes are for the modules of
    this package: whoever uses a pool reads ``ThinPool``'s properties.

    ``metadata_blocks=None`` in the configuration leaves metadata out: data blocks are the same, except
    that metadata never fills.  Raises InputError for metadata too small for an empty pool.
    """

    def __init__(self, config: PoolConfig) -> None:
        self.config = config
        self.counters = Counters()
        self.mode = PoolMode.WRITE
        self.needs_check = False
        """Metadata is to be repaired (thin_check) before the pool can be writable again."""
        self.time = 0
        """Number of snapshots so far: what the kernel calls time."""
        self.transaction_id = 0
        self.errors_when_full = config.error_if_no_space
        """Whether a write without space fails now: so configured, or after no_space_timeout."""
        self.low_water_reached = False
        self.devices: dict[int, ThinDevice] = {}
        self.data = SpaceMap(config.data_blocks)
        self.sharers: NDArray[np.unsignedinteger[Any]] = np.zeros(config.data_blocks, np.uint8)
        """Devices that map a data block, beyond the first."""
        self.metadata: PoolMetadata | None = None
        """The metadata device; None where it is not modelled."""
        if config.metadata_blocks is not None:
            try:
                self.metadata = PoolMetadata(config.metadata_blocks, config.data_blocks)
            except MetadataFull as full:
                raise InputError(f"metadata_blocks is {config.metadata_blocks}: too small, {full}") from full

    @property
    def chunk_size_bytes(self) -> int:
        """Size of a data block."""
        return self.config.chunk_size_bytes

    # -- owners of data blocks ----------------------------------------------------------------------

    def share(self, blocks: BlockArray) -> None:
        """One device more maps each block."""
        if blocks.size and int(self.sharers[blocks].max()) == np.iinfo(self.sharers.dtype).max:
            self.sharers = self.sharers.astype(np.uint16 if self.sharers.itemsize == 1 else np.uint32)
        self.sharers[blocks] += 1

    def disown(self, blocks: BlockArray) -> BlockArray:
        """One device less maps each block; returns the blocks that became free."""
        others = self.sharers[blocks]
        unowned: BlockArray = blocks[others == 0]
        self.sharers[blocks[others > 0]] -= 1
        self.data.release_many(unowned)
        return unowned

    # -- commits ------------------------------------------------------------------------------------

    def commit(self) -> bool:
        """Commit metadata: blocks freed so far can be allocated from now on.  False where the mode
        allows none (``commit`` in dm-thin.c).

        The kernel does it for every message, for ``dmsetup status`` without --noflush, for a flush of a
        device that changed, and about once a second while something has changed.
        """
        if not self.mode.commits:
            return False
        changed = [thin for thin in self.devices.values() if thin.changed]
        if not self.change_metadata(lambda metadata: metadata.commit(thin.device_id for thin in changed)):
            return False
        for thin in changed:
            thin.changed = False
        self.data.commit()
        self.counters.commits += 1
        self._check_metadata_space()
        self._check_data_space()
        return True

    def _check_metadata_space(self) -> None:
        """``check_for_metadata_space``: without free metadata the pool becomes read-only."""
        if self.metadata is not None and self.metadata.free_blocks == 0:
            self.mode = PoolMode.OUT_OF_METADATA_SPACE

    def _check_data_space(self) -> None:
        """``check_for_data_space``: a full pool with a free block is writable again."""
        if self.mode is PoolMode.OUT_OF_DATA_SPACE and self.data.free:
            self.set_writable()

    def set_writable(self) -> None:
        """``set_pool_mode(PM_WRITE)``: the configured policy is in force again; needs_check forbids it."""
        if self.needs_check or self.mode is PoolMode.FAIL:
            return
        self.mode = PoolMode.WRITE
        self.errors_when_full = self.config.error_if_no_space

    def expire_no_space(self) -> None:
        """no_space_timeout has passed on a full pool: what waits fails, and so do new writes
        (``do_no_space_timeout``)."""
        if self.mode is PoolMode.OUT_OF_DATA_SPACE:
            self.errors_when_full = True

    def change_metadata(self, change: Callable[[PoolMetadata], None]) -> bool:
        """Do something to the metadata; where it fails, so does the pool."""
        if self.metadata is None:
            return True
        try:
            change(self.metadata)
        except MetadataFull:
            self.metadata_failed()
            return False
        return True

    def metadata_failed(self) -> None:
        """``metadata_operation_failed``: the transaction is aborted; needs_check cannot be written,
        since metadata is read-only already, and that is fail mode (6.1)."""
        self.mode = PoolMode.FAIL
