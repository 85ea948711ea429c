"""A thin pool as a state machine without a clock: what dm-thin does, block for block.

Nothing here takes time: commits that the kernel makes about once a second are ``ThinPool.commit``,
which the caller calls.  Sizes are bytes, and blocks are data blocks unless a name says otherwise.
Each rule of the kernel is one short function that names its source; file names without a path are in
drivers/md/ of Linux 6.1, thin-provisioning.rst in Documentation/admin-guide/device-mapper/.

Here are devices, resize and what the status says.  The other rules: ``provision`` (writes: allocation,
copies, what fails or waits), ``discards``, ``pool_state`` (commits, modes, owners of blocks), ``spacemap``
(which block is next), ``requests`` (offsets and lengths as arrays), ``pieces`` (writes cut at block boundaries),
``device`` (one device's mappings), ``metadata`` with the trees below it.

>>> pool = ThinPool(PoolConfig(chunk_size_bytes=65536, data_blocks=1024, metadata_blocks=8192))
>>> pool.create_thin(0, size_bytes=1 << 26)
>>> pool.write(0, [0, 4096, 70000], 4096).done
3
>>> pool.create_snapshot(1, origin=0)
>>> pool.write(0, 0, 4096).done, pool.used_data_blocks, pool.thin(0).mapped_blocks
(1, 3, 2)
>>> pool.counters.bytes_copied
65536
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lab.model.pool import discards
from lab.model.pool.config import FEATURES, MAX_BLOCKS, MAX_DEVICE_ID, TOO_MANY, PoolConfig, PoolMode, PoolRefused
from lab.model.pool.counters import Counters
from lab.model.pool.device import ThinDevice
from lab.model.pool.pieces import bytes_in, check_range, cut
from lab.model.pool.provision import NO_INDEXES, WriteResult, write_pieces
from lab.model.pool.requests import Offsets, as_requests, bytes_written, total_bytes
from lab.model.pool.state import PoolState
from lab.units import SECTOR_BYTES

_BATCH_WRITES = 1 << 15


class ThinPool(PoolState):
    """A pool with its thin devices.

    What it does not model: external origins; user-space's transaction ids; the roll-back to the last commit
    when metadata fails in mid-transaction.  The kernel commits before it uses up the metadata reserve, so
    that nothing but the mapping that failed is lost, unless one deletion or discard takes the whole reserve.
    """

    # -- what there is ------------------------------------------------------------------------------

    @property
    def data_blocks(self) -> int:
        """Size of the pool in data blocks."""
        return self.data.blocks

    @property
    def used_data_blocks(self) -> int:
        """Data blocks in use now (``dmsetup status``)."""
        return self.data.used

    @property
    def free_data_blocks(self) -> int:
        """Free data blocks, those freed since the last commit included."""
        return self.data.free

    @property
    def allocatable_data_blocks(self) -> int:
        """Free data blocks that can be allocated before the next commit."""
        return self.data.allocatable

    @property
    def used_metadata_blocks(self) -> int | None:
        """Used metadata blocks of 4 KiB as ``dmsetup status --noflush`` shows them; commit first for
        ``dmsetup status``.  None where metadata is not modelled."""
        return None if self.metadata is None else self.metadata.used_blocks

    @property
    def thins(self) -> Mapping[int, ThinDevice]:
        """Thin devices and snapshots by id.  Look only: changes go through the pool."""
        return MappingProxyType(self.devices)

    def thin(self, device_id: int) -> ThinDevice:
        """One thin device.  Raises PoolRefused if there is none."""
        if device_id not in self.devices:
            known = ", ".join(map(str, self.devices)) or "none"
            raise PoolRefused(f"thin device {device_id} does not exist; there are: {known}")
        return self.devices[device_id]

    def shared_data_blocks(self, device_id: int) -> int:
        """Data blocks of a device that another device maps as well."""
        blocks = self.thin(device_id).blocks
        return int(np.count_nonzero(self.sharers[blocks[blocks >= 0]]))

    def exclusive_data_blocks(self, device_id: int) -> int:
        """Data blocks that only this device maps: what its deletion would free."""
        return self.thin(device_id).mapped_blocks - self.shared_data_blocks(device_id)

    def status_line(self) -> str:
        """The pool's line of ``dmsetup status`` (``pool_status``).  Metadata 0/0 where not modelled."""
        sectors = self.data_blocks * self.chunk_size_bytes // SECTOR_BYTES
        if self.mode is PoolMode.FAIL:
            return f"0 {sectors} thin-pool Fail"
        metadata = self.metadata
        used, total = (metadata.used_blocks, metadata.total_blocks) if metadata is not None else (0, 0)
        discard = "ignore_discard" if self.config.ignore_discard else "discard_passdown"
        if self.config.no_discard_passdown and not self.config.ignore_discard:
            discard = "no_discard_passdown"
        policy = "error_if_no_space" if self.errors_when_full else "queue_if_no_space"
        check = "needs_check" if self.needs_check else "-"
        return (
            f"0 {sectors} thin-pool {self.transaction_id} {used}/{total} {self.data.used}/{self.data.blocks} - "
            f"{self.mode.shown} {discard} {policy} {check} {min(1024, total // 4)}"
        )

    # -- devices ------------------------------------------------------------------------------------

    def create_thin(self, device_id: int, size_bytes: int) -> None:
        """A new, empty thin device; commits.  Raises PoolRefused (``process_create_thin_mesg``)."""
        self._refuse_unless_writable()
        self._refuse_known(device_id)
        if size_bytes <= 0:
            raise PoolRefused(f"size_bytes is {size_bytes}; a thin device has at least one byte")
        if size_bytes > MAX_BLOCKS * self.chunk_size_bytes:
            raise PoolRefused(f"size_bytes is {size_bytes}: {size_bytes // self.chunk_size_bytes} blocks; {TOO_MANY}")
        thin = ThinDevice(device_id, size_bytes, self.chunk_size_bytes, self.time, self.transaction_id)
        if self.change_metadata(lambda metadata: metadata.create_thin(device_id)):
            self.devices[device_id] = thin
            self.commit()

    def create_snapshot(self, device_id: int, origin: int) -> None:
        """A snapshot of a device as it is now; commits.  Raises PoolRefused (``__create_snap``).

        It costs nothing but metadata.  From now on the first write of either device to each of their
        blocks copies it, whatever becomes of the other one.
        """
        self._refuse_unless_writable()
        self._refuse_known(device_id)
        source = self.thin(origin)
        if not self.change_metadata(lambda metadata: metadata.create_snapshot(device_id, origin)):
            return
        self.time += 1
        self.devices[device_id] = source.snapshot(device_id, self.time, self.transaction_id)
        self.share(source.data_in(0, source.blocks.size))
        self.commit()

    def delete_thin(self, device_id: int) -> None:
        """Delete a device: blocks that nobody else maps become free; commits.  Raises PoolRefused."""
        self._refuse_unless_writable()
        thin = self.thin(device_id)
        if not self.change_metadata(lambda metadata: metadata.delete_thin(device_id, thin)):
            return
        self.disown(thin.data_in(0, thin.blocks.size))
        del self.devices[device_id]
        self.commit()

    def _refuse_unless_writable(self) -> None:
        """``pool_message``: no changes in read-only and fail mode."""
        if not self.mode.commits:
            raise PoolRefused(f"the pool is in mode {self.mode.shown}: it takes no messages")

    def _refuse_known(self, device_id: int) -> None:
        if not 0 <= device_id <= MAX_DEVICE_ID:
            raise PoolRefused(f"thin device id {device_id}; 0 to {MAX_DEVICE_ID} expected")
        if device_id in self.devices:
            raise PoolRefused(f"thin device {device_id} exists already")

    def flush(self, device_id: int) -> bool:
        """A flush of a device: commits if, and only if, that device changed (``bio_triggers_commit``)."""
        return self.thin(device_id).changed and self.commit()

    # -- resize, activation -------------------------------------------------------------------------

    def resize_data(self, data_blocks: int) -> bool:
        """Reload the table with a larger data device; commits.  False where the kernel refuses: needs_check
        or failed (``maybe_resize_data_dev``).  Raises PoolRefused for a smaller size."""
        if data_blocks < self.data.blocks:
            raise PoolRefused(f"data_blocks is {data_blocks}; a pool cannot shrink below {self.data.blocks}")
        if data_blocks > MAX_BLOCKS:
            raise PoolRefused(f"data_blocks is {data_blocks}; {TOO_MANY}")
        if not self.mode.commits or self.needs_check:
            return False
        self.commit()  # the suspend before the reload
        extra = data_blocks - self.data.blocks
        if not self.change_metadata(lambda metadata: metadata.extend_data(data_blocks)):
            return False
        self.data.extend(data_blocks)
        self.sharers = np.concatenate([self.sharers, np.zeros(extra, self.sharers.dtype)])
        self.low_water_reached = False
        return self.commit()

    def resize_metadata(self, metadata_blocks: int) -> bool:
        """Reload the table with a larger metadata device; commits.  A pool that went read-only for want
        of metadata is writable again.  False where the kernel refuses (``maybe_resize_metadata_dev``).
        Raises PoolRefused for a smaller size, and where metadata is not modelled."""
        metadata = self.metadata
        if metadata is None:
            raise PoolRefused("this pool is modelled without metadata")
        if metadata_blocks < metadata.total_blocks:
            raise PoolRefused(f"metadata_blocks is {metadata_blocks}; metadata cannot shrink")
        if metadata_blocks > MAX_BLOCKS:
            raise PoolRefused(f"metadata_blocks is {metadata_blocks}; {TOO_MANY}")
        if self.mode in (PoolMode.FAIL, PoolMode.READ_ONLY) or self.needs_check:
            return False
        self.commit()
        if self.mode is PoolMode.OUT_OF_METADATA_SPACE:
            self.set_writable()
        if not self.change_metadata(lambda metadata: metadata.extend(metadata_blocks)):
            return False
        self.low_water_reached = False
        return self.commit()

    def reactivate(self, data_blocks: int | None = None, metadata_blocks: int | None = None) -> None:
        """Deactivate and activate, perhaps with larger devices: allocation starts at block 0 again, and
        the mode is ``rw`` unless the metadata needs a check (``dm_sm_disk_open``, ``pool_create``).

        Raises PoolRefused for smaller devices.
        """
        self.commit()
        self.data.commit()
        self.data.rewind()
        for thin in self.devices.values():
            thin.changed = False
        if self.metadata is not None:
            self.metadata.reopen()
        self.mode = PoolMode.READ_ONLY if self.needs_check else PoolMode.WRITE
        self.errors_when_full = self.config.error_if_no_space
        self.low_water_reached = False
        if data_blocks is not None and data_blocks != self.data.blocks:
            self.resize_data(data_blocks)
        if metadata_blocks is not None:
            self.resize_metadata(metadata_blocks)

    # -- writes -------------------------------------------------------------------------------------

    def write(self, device_id: int, offsets: Offsets, lengths: Offsets) -> WriteResult:
        """Writes in the given order: one, or an array of offsets with one length or an array of them.

        Bytes.  Commits only where the kernel must to find space; hand in the writes up to a commit, call
        ``commit``, hand in the rest.  Raises PoolRefused for a device that does not exist and for writes
        outside it: then none of them is done.
        """
        thin = self.thin(device_id)
        starts, sizes = as_requests(offsets, lengths)
        written = 0
        failed: list[NDArray[np.int64]] = []
        error: str | None = None
        unchanged = True
        for begin in range(0, starts.size, _BATCH_WRITES):
            part = starts[begin : begin + _BATCH_WRITES]
            part_sizes = sizes[begin : begin + _BATCH_WRITES] if sizes.ndim else sizes
            pieces = cut(thin, part, part_sizes, self.chunk_size_bytes)
            if self.mode is not PoolMode.FAIL and thin.ready.take(pieces.virtual_blocks).all():
                written += total_bytes(part_sizes, part.size)
                continue
            if unchanged:  # before the first change, so that a bad write refuses all of them
                check_range(thin, starts, sizes)
                unchanged = False
            result = write_pieces(self, thin, pieces, part.size)
            if result.failed.size:
                failed.append(result.failed + begin)
                error = result.error
            written += bytes_written(part_sizes, result)
            if result.waits:
                self.counters.bytes_written += written
                return WriteResult(begin + result.done, _joined(failed), error, waits=True)
        self.counters.bytes_written += written
        return WriteResult(starts.size, _joined(failed), error)

    # -- reads --------------------------------------------------------------------------------------

    def read(self, device_id: int, offsets: Offsets, lengths: Offsets) -> int:
        """Reads; returns how many bytes of them reach the data device.  The rest lies in holes and is
        zeroes (``provision_block``).  Reads allocate nothing; on a failed pool they end with EIO, and none
        reaches it (``process_bio_fail``).  Raises PoolRefused as ``write`` does."""
        thin = self.thin(device_id)
        starts, sizes = as_requests(offsets, lengths)
        if not starts.size:
            return 0
        check_range(thin, starts, sizes)
        if self.mode is PoolMode.FAIL:
            return 0
        reached = bytes_in(starts, sizes, thin.blocks >= 0, self.chunk_size_bytes)
        self.counters.bytes_read += reached
        return reached

    # -- discards -----------------------------------------------------------------------------------

    def discard(self, device_id: int, offset_bytes: int, length_bytes: int,
                commit_meanwhile: bool = False) -> str | None:
        """Discard a range: only whole blocks inside it are unmapped (``get_bio_block_range``).

        ``commit_meanwhile`` is for a commit that the kernel makes as soon as the blocks are unmapped, as it
        does for the first change after a quiet second.  A discard that is passed down frees its blocks
        only when the data device has done it, so that such a commit does not see them free.

        Returns None, or the error: ``EOPNOTSUPP`` with ignore_discard, ``EIO`` on a failed pool.  A
        read-only pool says yes and does nothing (``process_bio_success``).  Raises PoolRefused.
        """
        thin = self.thin(device_id)
        if offset_bytes < 0 or length_bytes < 0 or offset_bytes + length_bytes > thin.size_bytes:
            raise PoolRefused(f"a discard lies outside thin device {device_id}, which has {thin.size_bytes} bytes")
        if self.config.ignore_discard:
            return "EOPNOTSUPP"
        if self.mode is PoolMode.FAIL:
            return "EIO"
        unmapped = discards.discard(self, thin, offset_bytes, length_bytes, commit_meanwhile)
        return None if unmapped else "EIO"

    # -- mappings -----------------------------------------------------------------------------------

    def mappings(self, device_id: int) -> Iterator[tuple[int, int, int, int]]:
        """Runs of a device's mappings: virtual block, data block, length, time, as thin_dump has them."""
        thin = self.thin(device_id)
        virtual_blocks = thin.mapped()
        data_blocks = thin.blocks[virtual_blocks].astype(np.int64)
        times = thin.times[virtual_blocks]
        if not virtual_blocks.size:
            return
        breaks = (np.diff(virtual_blocks) != 1) | (np.diff(data_blocks) != 1) | (times[1:] != times[:-1])
        starts = np.concatenate([[0], np.flatnonzero(breaks) + 1])
        lengths = np.diff(np.concatenate([starts, [virtual_blocks.size]]))
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            yield int(virtual_blocks[start]), int(data_blocks[start]), length, int(times[start])


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else NO_INDEXES


__all__ = [
    "FEATURES",
    "MAX_BLOCKS",
    "MAX_DEVICE_ID",
    "Counters",
    "PoolConfig",
    "PoolMode",
    "PoolRefused",
    "ThinPool",
    "WriteResult",
]
