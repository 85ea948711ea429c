"""A thin pool as a state machine without a clock: what dm-thin does, block for block.

Nothing here takes time: commits that the kernel makes about once a second are ``ThinPool.commit``,
which the caller calls.  Sizes are bytes, and blocks are data blocks unless a name says otherwise.
Each rule of the kernel is one short function that names its source; file names without a path are in
drivers/md/ of Linux 6.1, thin-provisioning.rst in Documentation/admin-guide/device-mapper/.

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

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lab.errors import InputError
from lab.model.device import BlockArray, PartlyMapped, ThinDevice
from lab.model.metadata import MetadataFull, PoolMetadata
from lab.model.spacemap import SpaceMap
from lab.units import CHUNK_MAX_BYTES, CHUNK_STEP_BYTES, SECTOR_BYTES

_BATCH_WRITES = 1 << 15
MAX_BLOCKS = 1 << 30
"""Data blocks of a pool, or virtual blocks of a device, beyond which the model would need too much memory."""

_TOO_MANY = f"the model takes at most {MAX_BLOCKS}"
MAX_DEVICE_ID = (1 << 24) - 1
"""``MAX_DEV_ID`` in dm-thin.c."""

FEATURES = ("skip_block_zeroing", "ignore_discard", "no_discard_passdown", "error_if_no_space")
"""Features of a thin-pool table that the model knows (thin-provisioning.rst)."""

Offsets = ArrayLike


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
            raise InputError(f"data_blocks is {self.data_blocks}, metadata_blocks {self.metadata_blocks}; {_TOO_MANY}")
        if self.low_water_blocks < 0:
            raise InputError(f"low_water_blocks is {self.low_water_blocks}; 0 or more expected")

    @classmethod
    def from_sizes(
        cls,
        chunk_size_bytes: int,
        data_size_bytes: int,
        metadata_size_bytes: int | None = None,
        features: Sequence[str] = (),
        low_water_blocks: int = 0,
    ) -> PoolConfig:
        """From sizes in bytes and a table's features.  Raises InputError for an unknown feature."""
        unknown = [feature for feature in features if feature not in FEATURES]
        if unknown:
            raise InputError(f"pool feature {unknown[0]!r} is unknown; {', '.join(FEATURES)} expected")
        return cls(
            chunk_size_bytes=chunk_size_bytes,
            data_blocks=data_size_bytes // max(chunk_size_bytes, 1),
            metadata_blocks=None if metadata_size_bytes is None else metadata_size_bytes // 4096,
            skip_block_zeroing="skip_block_zeroing" in features,
            ignore_discard="ignore_discard" in features,
            no_discard_passdown="no_discard_passdown" in features,
            error_if_no_space="error_if_no_space" in features,
            low_water_blocks=low_water_blocks,
        )


@dataclass(slots=True)
class Counters:
    """What has passed through a pool.  Bytes, or counts."""

    bytes_written: int = 0
    """Written by the applications."""
    bytes_read: int = 0
    """Read by the applications from mapped blocks."""
    bytes_copied: int = 0
    """Copied to break sharing; each is read and written."""
    bytes_zeroed: int = 0
    """Zeroed before a partial first write."""
    bytes_allocated: int = 0
    """Size of the data blocks allocated, copies included."""
    bytes_discarded: int = 0
    """Size of the mappings discarded."""
    bytes_passed_down: int = 0
    """Discards that reached the data device."""
    copies: int = 0
    """Data blocks copied."""
    shares_broken: int = 0
    """Mappings made anew because they were older than a snapshot, whether or not that took a copy."""
    commits: int = 0
    low_water_events: int = 0

    @property
    def write_amplification(self) -> float:
        """Bytes written to the data device for each byte that the application wrote."""
        below = self.bytes_written + self.bytes_copied + self.bytes_zeroed
        return below / self.bytes_written if self.bytes_written else float("nan")

    @property
    def allocation_amplification(self) -> float:
        """Bytes allocated for each byte that the application wrote."""
        return self.bytes_allocated / self.bytes_written if self.bytes_written else float("nan")


_NO_INDEXES: NDArray[np.int64] = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of some writes, in their order.

    ``done`` writes have ended, well or not.  ``failed`` are the indexes of those that ended with
    ``error``.  Where ``waits``, the write with index ``done`` waits for space (queue_if_no_space) and those
    behind it have not begun: hand them in again once there is space, or after ``expire_no_space``.
    """

    done: int
    failed: NDArray[np.int64] = field(default_factory=lambda: _NO_INDEXES)
    error: str | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Writes cut at data block boundaries (``dm_set_target_max_io_len`` in ``pool_ctr``)."""

    virtual_blocks: BlockArray
    whole: NDArray[np.bool_] | bool
    writes: BlockArray | None
    """Index of the write that each piece belongs to; None where each write is one piece."""

    def write_of(self, piece: int) -> int:
        return piece if self.writes is None else int(self.writes[piece])

    def writes_of(self, pieces: BlockArray) -> BlockArray:
        return pieces if self.writes is None else np.unique(self.writes[pieces])

    def is_whole(self, pieces: BlockArray) -> NDArray[np.bool_]:
        """Which of some pieces cover their data block."""
        if isinstance(self.whole, bool):
            return np.full(pieces.size, self.whole)
        return self.whole[pieces]


class ThinPool:
    """A pool with its thin devices.

    What it does not model: external origins; user-space's transaction ids; the roll-back to the last commit
    when metadata fails in mid-transaction.  The kernel commits before it uses up the metadata reserve, so
    that nothing but the mapping that failed is lost, unless one deletion or discard takes the whole reserve.

    ``metadata_blocks=None`` in the configuration leaves metadata out: data blocks are the same, except
    that metadata never fills.
    """

    def __init__(self, config: PoolConfig) -> None:
        self.config = config
        self.counters = Counters()
        self.mode = PoolMode.WRITE
        self.needs_check = False
        self.time = 0
        """Number of snapshots so far: what the kernel calls time."""
        self.transaction_id = 0
        self._error_if_no_space = config.error_if_no_space
        self._low_water_reached = False
        self._thins: dict[int, ThinDevice] = {}
        self._data = SpaceMap(config.data_blocks)
        self._sharers: NDArray[np.unsignedinteger[Any]] = np.zeros(config.data_blocks, np.uint8)
        """Devices that map a data block, beyond the first."""
        self._metadata: PoolMetadata | None = None
        if config.metadata_blocks is not None:
            try:
                self._metadata = PoolMetadata(config.metadata_blocks, config.data_blocks)
            except MetadataFull as full:
                raise InputError(f"metadata_blocks is {config.metadata_blocks}: too small, {full}") from full

    # -- what there is ------------------------------------------------------------------------------

    @property
    def chunk_size_bytes(self) -> int:
        """Size of a data block."""
        return self.config.chunk_size_bytes

    @property
    def data_blocks(self) -> int:
        """Size of the pool in data blocks."""
        return self._data.blocks

    @property
    def used_data_blocks(self) -> int:
        """Data blocks in use now (``dmsetup status``)."""
        return self._data.used

    @property
    def free_data_blocks(self) -> int:
        """Free data blocks, those freed since the last commit included."""
        return self._data.free

    @property
    def allocatable_data_blocks(self) -> int:
        """Free data blocks that can be allocated before the next commit."""
        return self._data.allocatable

    @property
    def metadata(self) -> PoolMetadata | None:
        """The metadata device; None where it is not modelled."""
        return self._metadata

    @property
    def used_metadata_blocks(self) -> int | None:
        """Used metadata blocks of 4 KiB as ``dmsetup status --noflush`` shows them; commit first for
        ``dmsetup status``.  None where metadata is not modelled."""
        return None if self._metadata is None else self._metadata.used_blocks

    @property
    def errors_when_full(self) -> bool:
        """Whether a write without space fails now: so configured, or after no_space_timeout."""
        return self._error_if_no_space

    @property
    def thins(self) -> Mapping[int, ThinDevice]:
        """Thin devices and snapshots by id.  Look only: changes go through the pool."""
        return MappingProxyType(self._thins)

    def thin(self, device_id: int) -> ThinDevice:
        """One thin device.  Raises PoolRefused if there is none."""
        if device_id not in self._thins:
            known = ", ".join(map(str, self._thins)) or "none"
            raise PoolRefused(f"thin device {device_id} does not exist; there are: {known}")
        return self._thins[device_id]

    def shared_data_blocks(self, device_id: int) -> int:
        """Data blocks of a device that another device maps as well."""
        blocks = self.thin(device_id).blocks
        return int(np.count_nonzero(self._sharers[blocks[blocks >= 0]]))

    def exclusive_data_blocks(self, device_id: int) -> int:
        """Data blocks that only this device maps: what its deletion would free."""
        return self.thin(device_id).mapped_blocks - self.shared_data_blocks(device_id)

    def status_line(self) -> str:
        """The pool's line of ``dmsetup status`` (``pool_status``).  Metadata 0/0 where not modelled."""
        sectors = self.data_blocks * self.chunk_size_bytes // SECTOR_BYTES
        if self.mode is PoolMode.FAIL:
            return f"0 {sectors} thin-pool Fail"
        metadata = self._metadata
        used, total = (metadata.used_blocks, metadata.total_blocks) if metadata is not None else (0, 0)
        discard = "ignore_discard" if self.config.ignore_discard else "discard_passdown"
        if self.config.no_discard_passdown and not self.config.ignore_discard:
            discard = "no_discard_passdown"
        policy = "error_if_no_space" if self._error_if_no_space else "queue_if_no_space"
        check = "needs_check" if self.needs_check else "-"
        return (
            f"0 {sectors} thin-pool {self.transaction_id} {used}/{total} {self._data.used}/{self._data.blocks} - "
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
            raise PoolRefused(f"size_bytes is {size_bytes}: {size_bytes // self.chunk_size_bytes} blocks; {_TOO_MANY}")
        thin = ThinDevice(device_id, size_bytes, self.chunk_size_bytes, self.time, self.transaction_id)
        if self._change_metadata(lambda metadata: metadata.create_thin(device_id)):
            self._thins[device_id] = thin
            self.commit()

    def create_snapshot(self, device_id: int, origin: int) -> None:
        """A snapshot of a device as it is now; commits.  Raises PoolRefused (``__create_snap``).

        It costs nothing but metadata.  From now on the first write of either device to each of their
        blocks copies it, whatever becomes of the other one.
        """
        self._refuse_unless_writable()
        self._refuse_known(device_id)
        source = self.thin(origin)
        if not self._change_metadata(lambda metadata: metadata.create_snapshot(device_id, origin)):
            return
        self.time += 1
        self._thins[device_id] = source.snapshot(device_id, self.time, self.transaction_id)
        self._share(source.data_in(0, source.blocks.size))
        self.commit()

    def delete_thin(self, device_id: int) -> None:
        """Delete a device: blocks that nobody else maps become free; commits.  Raises PoolRefused."""
        self._refuse_unless_writable()
        thin = self.thin(device_id)
        if not self._change_metadata(lambda metadata: metadata.delete_thin(device_id, thin)):
            return
        self._disown(thin.data_in(0, thin.blocks.size))
        del self._thins[device_id]
        self.commit()

    def _refuse_unless_writable(self) -> None:
        """``pool_message``: no changes in read-only and fail mode."""
        if not self.mode.commits:
            raise PoolRefused(f"the pool is in mode {self.mode.shown}: it takes no messages")

    def _refuse_known(self, device_id: int) -> None:
        if not 0 <= device_id <= MAX_DEVICE_ID:
            raise PoolRefused(f"thin device id {device_id}; 0 to {MAX_DEVICE_ID} expected")
        if device_id in self._thins:
            raise PoolRefused(f"thin device {device_id} exists already")

    # -- owners of data blocks ----------------------------------------------------------------------

    def _share(self, blocks: BlockArray) -> None:
        """One device more maps each block."""
        if blocks.size and int(self._sharers[blocks].max()) == np.iinfo(self._sharers.dtype).max:
            self._sharers = self._sharers.astype(np.uint16 if self._sharers.itemsize == 1 else np.uint32)
        self._sharers[blocks] += 1

    def _disown(self, blocks: BlockArray) -> BlockArray:
        """One device less maps each block; returns the blocks that became free."""
        others = self._sharers[blocks]
        unowned: BlockArray = blocks[others == 0]
        self._sharers[blocks[others > 0]] -= 1
        self._data.release_many(unowned)
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
        changed = [thin for thin in self._thins.values() if thin.changed]
        if not self._change_metadata(lambda metadata: metadata.commit(thin.device_id for thin in changed)):
            return False
        for thin in changed:
            thin.changed = False
        self._data.commit()
        self.counters.commits += 1
        self._check_metadata_space()
        self._check_data_space()
        return True

    def flush(self, device_id: int) -> bool:
        """A flush of a device: commits if, and only if, that device changed (``bio_triggers_commit``)."""
        return self.thin(device_id).changed and self.commit()

    def _check_metadata_space(self) -> None:
        """``check_for_metadata_space``: without free metadata the pool becomes read-only."""
        if self._metadata is not None and self._metadata.free_blocks == 0:
            self.mode = PoolMode.OUT_OF_METADATA_SPACE

    def _check_data_space(self) -> None:
        """``check_for_data_space``: a full pool with a free block is writable again."""
        if self.mode is PoolMode.OUT_OF_DATA_SPACE and self._data.free:
            self._set_writable()

    def _set_writable(self) -> None:
        """``set_pool_mode(PM_WRITE)``: the configured policy is in force again; needs_check forbids it."""
        if self.needs_check or self.mode is PoolMode.FAIL:
            return
        self.mode = PoolMode.WRITE
        self._error_if_no_space = self.config.error_if_no_space

    def expire_no_space(self) -> None:
        """no_space_timeout has passed on a full pool: what waits fails, and so do new writes
        (``do_no_space_timeout``)."""
        if self.mode is PoolMode.OUT_OF_DATA_SPACE:
            self._error_if_no_space = True

    def _change_metadata(self, change: Callable[[PoolMetadata], None]) -> bool:
        """Do something to the metadata; where it fails, so does the pool."""
        if self._metadata is None:
            return True
        try:
            change(self._metadata)
        except MetadataFull:
            self._metadata_failed()
            return False
        return True

    def _metadata_failed(self) -> None:
        """``metadata_operation_failed``: the transaction is aborted; needs_check cannot be written,
        since metadata is read-only already, and that is fail mode (6.1)."""
        self.mode = PoolMode.FAIL

    # -- resize, activation -------------------------------------------------------------------------

    def resize_data(self, data_blocks: int) -> bool:
        """Reload the table with a larger data device; commits.  False where the kernel refuses: needs_check
        or failed (``maybe_resize_data_dev``).  Raises PoolRefused for a smaller size."""
        if data_blocks < self._data.blocks:
            raise PoolRefused(f"data_blocks is {data_blocks}; a pool cannot shrink below {self._data.blocks}")
        if data_blocks > MAX_BLOCKS:
            raise PoolRefused(f"data_blocks is {data_blocks}; {_TOO_MANY}")
        if not self.mode.commits or self.needs_check:
            return False
        self.commit()  # the suspend before the reload
        extra = data_blocks - self._data.blocks
        if not self._change_metadata(lambda metadata: metadata.extend_data(data_blocks)):
            return False
        self._data.extend(data_blocks)
        self._sharers = np.concatenate([self._sharers, np.zeros(extra, self._sharers.dtype)])
        self._low_water_reached = False
        return self.commit()

    def resize_metadata(self, metadata_blocks: int) -> bool:
        """Reload the table with a larger metadata device; commits.  A pool that went read-only for want
        of metadata is writable again.  False where the kernel refuses (``maybe_resize_metadata_dev``).
        Raises PoolRefused for a smaller size, and where metadata is not modelled."""
        metadata = self._metadata
        if metadata is None:
            raise PoolRefused("this pool is modelled without metadata")
        if metadata_blocks < metadata.total_blocks:
            raise PoolRefused(f"metadata_blocks is {metadata_blocks}; metadata cannot shrink")
        if metadata_blocks > MAX_BLOCKS:
            raise PoolRefused(f"metadata_blocks is {metadata_blocks}; {_TOO_MANY}")
        if self.mode in (PoolMode.FAIL, PoolMode.READ_ONLY) or self.needs_check:
            return False
        self.commit()
        if self.mode is PoolMode.OUT_OF_METADATA_SPACE:
            self._set_writable()
        if not self._change_metadata(lambda metadata: metadata.extend(metadata_blocks)):
            return False
        self._low_water_reached = False
        return self.commit()

    def reactivate(self, data_blocks: int | None = None, metadata_blocks: int | None = None) -> None:
        """Deactivate and activate, perhaps with larger devices: allocation starts at block 0 again, and
        the mode is ``rw`` unless the metadata needs a check (``dm_sm_disk_open``, ``pool_create``).

        Raises PoolRefused for smaller devices.
        """
        self.commit()
        self._data.commit()
        self._data.rewind()
        for thin in self._thins.values():
            thin.changed = False
        if self._metadata is not None:
            self._metadata.reopen()
        self.mode = PoolMode.READ_ONLY if self.needs_check else PoolMode.WRITE
        self._error_if_no_space = self.config.error_if_no_space
        self._low_water_reached = False
        if data_blocks is not None and data_blocks != self._data.blocks:
            self.resize_data(data_blocks)
        if metadata_blocks is not None:
            self.resize_metadata(metadata_blocks)

    # -- writes -------------------------------------------------------------------------------------

    def write(self, device_id: int, offsets: Offsets, lengths: Offsets) -> WriteResult:
        """Writes in the given order: one, or an array of offsets with one length or an array of them.

        Bytes.  Commits only where the kernel must to find space; hand in the writes up to a commit, call
        ``commit``, hand in the rest.  Raises PoolRefused for a device that does not exist and for writes
        outside it.
        """
        thin = self.thin(device_id)
        starts = np.atleast_1d(np.asarray(offsets, np.int64))
        sizes = np.asarray(lengths, np.int64)
        if sizes.ndim:
            if sizes.shape != starts.shape:
                raise PoolRefused(f"{starts.size} offsets and {sizes.size} lengths: as many, or one length, expected")
            if sizes.size and (sizes == sizes[0]).all():
                sizes = sizes[0]
        failed: list[NDArray[np.int64]] = []
        error: str | None = None
        for begin in range(0, starts.size, _BATCH_WRITES):
            part = starts[begin : begin + _BATCH_WRITES]
            part_sizes = sizes[begin : begin + _BATCH_WRITES] if sizes.ndim else sizes
            pieces = self._cut(thin, part, part_sizes)
            if pieces is None:
                self.counters.bytes_written += _total(part_sizes, part.size)
                continue
            result = self._write_pieces(thin, pieces, part.size)
            if result.failed.size:
                failed.append(result.failed + begin)
                error = result.error
            self._count_written(part_sizes, result)
            if result.waits:
                return WriteResult(begin + result.done, _joined(failed), error, waits=True)
        return WriteResult(starts.size, _joined(failed), error)

    def _cut(self, thin: ThinDevice, starts: BlockArray, sizes: BlockArray) -> _Pieces | None:
        """Writes as pieces of one data block each; None where none needs anything of the pool.

        That is the steady state, and most of what is fast here: one shift, one look-up, one test.
        """
        chunk = self.chunk_size_bytes
        first = _block_of(starts, chunk)
        within = _stay_within(starts, sizes, chunk)
        if within is None:
            self._check_range(thin, starts, sizes)
            last = _block_of(starts + (sizes - 1), chunk)
            if (last != first).any():
                return _split(starts, sizes, first, last, chunk)
        elif within is False or int(first.max()) >= thin.size_bytes // chunk:
            self._check_range(thin, starts, sizes)
        if self.mode is not PoolMode.FAIL and thin.ready.take(first).all():
            return None
        return _Pieces(first, _covers(sizes, chunk), None)

    def _check_range(self, thin: ThinDevice, starts: BlockArray, sizes: BlockArray) -> None:
        if int(starts.min()) < 0 or int(sizes.min()) < 1 or int((starts + sizes).max()) > thin.size_bytes:
            raise PoolRefused(f"a write lies outside thin device {thin.device_id}, which has {thin.size_bytes} bytes")

    def _count_written(self, sizes: BlockArray, result: WriteResult) -> None:
        written = _total(sizes[: result.done] if sizes.ndim else sizes, result.done)
        lost = _total(sizes[result.failed] if sizes.ndim else sizes, result.failed.size)
        self.counters.bytes_written += written - lost

    def _write_pieces(self, thin: ThinDevice, pieces: _Pieces, writes: int) -> WriteResult:
        """Pieces in order: as many allocations at once as are sure to succeed, then one by one."""
        if self.mode is not PoolMode.WRITE:
            return self._refuse(thin, pieces, 0, writes)
        blocks = pieces.virtual_blocks
        missing = np.flatnonzero(~thin.ready.take(blocks))
        needed = missing[_first_of_each(blocks[missing])]
        done = 0
        while done < needed.size:
            sure = min(needed.size - done, self._data.allocatable, self._sure_insertions())
            if sure <= 1:
                sure = 1
                if not self._make_room():
                    return self._refuse(thin, pieces, int(needed[done]), writes)
            self._map(thin, needed[done : done + sure], pieces)
            if self.mode is not PoolMode.WRITE:
                return self._refuse(thin, pieces, int(needed[done]), writes)
            done += sure
        return WriteResult(writes)

    def _sure_insertions(self) -> int:
        """Mappings for which there is metadata enough, so that none forces a commit; at least one."""
        metadata = self._metadata
        if metadata is None:
            return self._data.blocks
        return max(1, metadata.free_blocks // metadata.most_blocks_a_mapping)

    def _make_room(self) -> bool:
        """``alloc_data_block``, up to the allocation itself: False where there is no block to be had.

        Without a free block it commits and looks again.  With free blocks that were all freed since the
        last commit it does **not** commit: it gives up.
        """
        self._check_low_water(1)
        if not self._data.free and not self.commit():
            return False
        if self._data.allocatable:
            return True
        self.mode = PoolMode.OUT_OF_DATA_SPACE
        return False

    def _check_low_water(self, allocations: int) -> None:
        """``check_low_water_mark``: one event, at the first allocation with this few free blocks."""
        if self._data.free - (allocations - 1) <= self.config.low_water_blocks and not self._low_water_reached:
            self._low_water_reached = True
            self.counters.low_water_events += 1

    def _map(self, thin: ThinDevice, places: BlockArray, pieces: _Pieces) -> None:
        """Allocate a data block for each of some pieces and map it (``provision_block``, ``break_sharing``)."""
        self._check_low_water(places.size)
        virtual_blocks = pieces.virtual_blocks[places]
        old_blocks = thin.blocks[virtual_blocks].astype(np.int64)
        new_blocks = self._data.take_many(places.size)
        self.counters.bytes_allocated += places.size * self.chunk_size_bytes
        if not self._insert_mappings(thin, virtual_blocks, new_blocks, old_blocks):
            return
        thin.map(virtual_blocks, new_blocks, self.time)
        thin.changed = True
        replaced = old_blocks >= 0
        copies = int(np.count_nonzero(replaced))
        thin.mapped_blocks += places.size - copies
        if copies:
            self._disown(old_blocks[replaced])
        self._count_preparation(pieces.is_whole(places), replaced)

    def _count_preparation(self, whole: NDArray[np.bool_], replaced: NDArray[np.bool_]) -> None:
        """A write that covers its whole block copies and zeroes nothing (``io_overwrites_block``); any
        other copies a block that sharing forbids to write, or zeroes a new one (``schedule_copy``,
        ``schedule_zero``)."""
        copies = int(np.count_nonzero(replaced & ~whole))
        self.counters.copies += copies
        self.counters.bytes_copied += copies * self.chunk_size_bytes
        self.counters.shares_broken += int(np.count_nonzero(replaced))
        if not self.config.skip_block_zeroing:
            zeroed = int(np.count_nonzero(~replaced & ~whole))
            self.counters.bytes_zeroed += zeroed * self.chunk_size_bytes

    def _insert_mappings(
        self, thin: ThinDevice, virtual_blocks: BlockArray, new_blocks: BlockArray, old_blocks: BlockArray
    ) -> bool:
        """The mapping tree's part; False where metadata ran out and the pool failed.

        ``alloc_data_block`` commits when no metadata is free.  If that does not help the pool is
        read-only, and the insertion that follows fails (``process_prepared_mapping``).
        """
        metadata = self._metadata
        if metadata is None:
            return True
        try:
            metadata.allocate_data(new_blocks)
            if virtual_blocks.size == 1 and metadata.free_blocks == 0:  # of more, there is enough: _sure_insertions
                self.commit()
                if self.mode is not PoolMode.WRITE:
                    self._metadata_failed()
                    return False
            metadata.insert(thin.device_id, virtual_blocks, old_blocks, PartlyMapped(thin, virtual_blocks, new_blocks))
        except MetadataFull:
            self._metadata_failed()
            return False
        return True

    def _refuse(self, thin: ThinDevice, pieces: _Pieces, position: int, writes: int) -> WriteResult:
        """What happens to pieces from ``position`` on in a mode that allocates nothing
        (``process_bio_read_only``, ``handle_unserviceable_bio``, ``process_bio_fail``)."""
        blocks = pieces.virtual_blocks[position:]
        if self.mode is PoolMode.FAIL:
            return WriteResult(writes, pieces.writes_of(np.arange(position, position + blocks.size)), "EIO")
        refused = np.flatnonzero(~thin.ready.take(blocks)) + position
        if not refused.size:
            return WriteResult(writes)
        if self.mode is not PoolMode.OUT_OF_DATA_SPACE:
            return WriteResult(writes, pieces.writes_of(refused), "EIO")
        if self._error_if_no_space:
            return WriteResult(writes, pieces.writes_of(refused), "ENOSPC")
        return WriteResult(pieces.write_of(int(refused[0])), waits=True)

    # -- reads --------------------------------------------------------------------------------------

    def read(self, device_id: int, offsets: Offsets, lengths: Offsets) -> int:
        """Reads; returns how many bytes of them reach the data device.  The rest lies in holes and is
        zeroes (``provision_block``).  Reads allocate nothing.  Raises PoolRefused as ``write`` does."""
        thin = self.thin(device_id)
        starts = np.atleast_1d(np.asarray(offsets, np.int64))
        sizes = np.broadcast_to(np.asarray(lengths, np.int64), starts.shape)
        if not starts.size:
            return 0
        self._check_range(thin, starts, sizes)
        chunk = self.chunk_size_bytes
        first, last = starts // chunk, (starts + (sizes - 1)) // chunk
        blocks, writes = _spans(first, last)
        begins = np.maximum(blocks * chunk, starts[writes])
        ends = np.minimum((blocks + 1) * chunk, (starts + sizes)[writes])
        reached = int((ends - begins)[thin.blocks[blocks] >= 0].sum())
        self.counters.bytes_read += reached
        return reached

    # -- discards -----------------------------------------------------------------------------------

    def discard(
        self, device_id: int, offset_bytes: int, length_bytes: int, commit_meanwhile: bool = False
    ) -> str | None:
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
        begin = -(-offset_bytes // self.chunk_size_bytes)
        end = (offset_bytes + length_bytes) // self.chunk_size_bytes
        unmap = self._unmap if self.config.no_discard_passdown else self._unmap_and_pass_down
        if begin >= end or not self.mode.commits:
            if commit_meanwhile:
                self.commit()
            return None
        return None if unmap(thin, thin.mapped(begin, end), commit_meanwhile) else "EIO"

    def _unmap(self, thin: ThinDevice, virtual_blocks: BlockArray, commit: bool) -> bool:
        """Without passdown, blocks that nobody else maps are free at once
        (``process_prepared_discard_no_passdown``)."""
        data_blocks = self._remove_mappings(thin, virtual_blocks)
        if data_blocks is None:
            return False
        self._disown(data_blocks)
        if commit:
            self.commit()
        return True

    def _unmap_and_pass_down(self, thin: ThinDevice, virtual_blocks: BlockArray, commit: bool) -> bool:
        """With passdown, blocks are unmapped range by range and held while the data device discards those
        that nobody else maps (``process_prepared_discard_passdown_pt1``); then they are let go
        (``process_prepared_discard_passdown_pt2``)."""
        held: list[BlockArray] = []
        for part in _alike(virtual_blocks, thin.blocks[virtual_blocks].astype(np.int64), thin.ready[virtual_blocks]):
            data_blocks = self._remove_mappings(thin, part)
            if data_blocks is None:
                return False
            owned = data_blocks[self._sharers[data_blocks] > 0]
            if not self._change_metadata(partial(PoolMetadata.hold_data, data_blocks=owned)):
                return False
            held.append(data_blocks)
        if commit:
            self.commit()
        for data_blocks in held:
            unowned = self._disown(data_blocks)
            self.counters.bytes_passed_down += unowned.size * self.chunk_size_bytes
            if not self._change_metadata(partial(PoolMetadata.release_data, data_blocks=data_blocks)):
                return False
        return True

    def _remove_mappings(self, thin: ThinDevice, virtual_blocks: BlockArray) -> BlockArray | None:
        """Unmap blocks; returns their data blocks, None where metadata ran out (``dm_thin_remove_range``)."""
        data_blocks = thin.blocks[virtual_blocks].astype(np.int64)
        thin.changed = True
        device_id = thin.device_id
        if not self._change_metadata(lambda metadata: metadata.remove_range(device_id, virtual_blocks, thin)):
            return None
        thin.unmap_many(virtual_blocks)
        thin.mapped_blocks -= virtual_blocks.size
        self.counters.bytes_discarded += virtual_blocks.size * self.chunk_size_bytes
        return data_blocks

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


def _split(starts: BlockArray, sizes: BlockArray, first: BlockArray, last: BlockArray, chunk: int) -> _Pieces:
    """Cut writes at block boundaries."""
    blocks, writes = _spans(first, last)
    ends = starts + sizes
    whole = (blocks * chunk >= starts[writes]) & ((blocks + 1) * chunk <= ends[writes])
    return _Pieces(blocks, whole, writes)


def _first_of_each(values: BlockArray) -> NDArray[np.int64]:
    """Where each value occurs first, ascending."""
    _, first = np.unique(values, return_index=True)
    first.sort()
    return first


def _alike(virtual: BlockArray, data: BlockArray, ready: NDArray[np.bool_]) -> list[BlockArray]:
    """Ranges contiguous in both kinds of blocks and alike in sharing (``__find_mapped_range``)."""
    if not virtual.size:
        return []
    breaks = (np.diff(virtual) != 1) | (np.diff(data) != 1) | (ready[1:] != ready[:-1])
    return np.split(virtual, np.flatnonzero(breaks) + 1)


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else _NO_INDEXES


def _total(sizes: BlockArray, count: int) -> int:
    return int(sizes.sum()) if sizes.ndim else int(sizes) * count
