"""Metadata blocks that a thin pool uses: exactly, and by the two rules of thumb.

``PoolMetadata`` keeps what the kernel keeps on the metadata device, as far as it decides the number
of blocks: the superblock, two space maps with their bitmaps and reference counts, the tree of device
details, and the two-level mapping tree whose nodes snapshots share.  Source: the comment at the head
of drivers/md/dm-thin-metadata.c and the functions named below, Linux 6.1.

The rules of thumb, and where they are wrong:

``tool_rule_bytes`` (thin_metadata_size) counts one leaf for every 126 data blocks, that is 32.5 bytes
a data block.  A leaf holds up to 252 mappings, and insertion keeps it about 98 % full where blocks are
first written in order (16.6 bytes a mapping) and about 86 % full where they are written at random
(18.8).  So the rule asks for 1.7 to 2 times what one device that fills the pool needs.

``kernel_rule_bytes`` (thin-provisioning.rst) gives 48 bytes a data block, 2.5 to 2.9 times what that
device needs, and at least 2 MiB.

Both count data blocks, and metadata follows mappings.  A snapshot costs nothing by itself, but the first
write to each leaf after it copies that leaf, and one leaf maps over 200 blocks: a snapshot written
sparsely at random soon has all of its origin's leaves once more, and hardly any data of its own.  The
tool's rule is too small from the first such snapshot on, where the origin was written at random; the
kernel's from the second.  Neither counts the reserve, min(4096, a tenth) blocks, which the kernel shows
as used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lab.model.btree import LAST_KEY, Node, SmallTree, Tree, count_nodes, max_entries
from lab.model.spacemap import SpaceMap
from lab.units import METADATA_BLOCK_BYTES

BITMAP_ENTRIES = (METADATA_BLOCK_BYTES - 16) * 4
"""Blocks that one bitmap block describes, two bits each (``sm_ll_init``): 16320."""

MAX_METADATA_BLOCKS = 255 * BITMAP_ENTRIES
"""More metadata than this is not used (``DM_SM_METADATA_MAX_BLOCKS``)."""

RESERVE_MAX_BLOCKS = 4096
MAPPING_VALUE_BYTES, DETAILS_VALUE_BYTES, INDEX_VALUE_BYTES, COUNT_VALUE_BYTES = 8, 24, 16, 4
_CACHED_ENTRIES = 64
_HASH_FACTOR = 4294967291


class MetadataFull(RuntimeError):
    """No metadata block can be allocated, not even out of the reserve.  The pool catches it."""


def reserve_blocks(total_blocks: int) -> int:
    """Metadata blocks kept for the commit itself, shown as used (``__set_metadata_reserve``).

    >>> reserve_blocks(512), reserve_blocks(262144)
    (51, 4096)
    """
    return min(RESERVE_MAX_BLOCKS, total_blocks // 10)


def empty_pool_blocks(metadata_blocks: int, data_blocks: int) -> int:
    """Metadata blocks that a pool just created shows as used.

    >>> empty_pool_blocks(8192, 16384)
    829
    """
    return PoolMetadata(metadata_blocks, data_blocks).used_blocks


def tool_rule_bytes(data_size_bytes: int, chunk_size_bytes: int, thins: int) -> int:
    """Metadata size by the rule of thin_metadata_size: (1 + ⌈blocks / 126⌉ + thins) x 4 KiB.

    >>> tool_rule_bytes(1 << 40, 65536, 1) // 1048576
    520
    """
    blocks = -(-data_size_bytes // chunk_size_bytes)
    return (1 + -(-blocks // 126) + thins) * METADATA_BLOCK_BYTES


def kernel_rule_bytes(data_size_bytes: int, chunk_size_bytes: int) -> int:
    """Metadata size by thin-provisioning.rst: 48 x data size / block size, 2 MiB to 16 GiB.

    >>> kernel_rule_bytes(1 << 40, 65536) // 1048576
    768
    """
    return min(max(48 * data_size_bytes // chunk_size_bytes, 2 << 20), 16 << 30)


class Mappings(Protocol):
    """Mappings of one thin device, as the trees ask for them (it is a KeySource)."""

    def keys_at(self, low: int, high: int, ranks: Sequence[int]) -> list[int]:
        """Mapped virtual blocks of the given ranks in [low, high)."""
        ...

    def data_in(self, low: int, high: int) -> NDArray[np.int64]:
        """Data blocks mapped in [low, high), in the order of the virtual blocks."""
        ...

    def __contains__(self, key: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class Census:
    """Metadata blocks by what they hold.  ``total`` leaves out the reserve."""

    superblock: int
    metadata_space_map: int
    data_bitmaps: int
    data_index: int
    data_counts: int
    details: int
    devices: int
    mapping_leaves: int
    mapping_inner: int

    @property
    def total(self) -> int:
        """All of them."""
        return (
            self.superblock + self.metadata_space_map + self.data_bitmaps + self.data_index + self.data_counts
            + self.details + self.devices + self.mapping_leaves + self.mapping_inner
        )  # fmt: skip


class PoolMetadata:
    """The metadata device of one pool, in blocks of 4 KiB.

    Methods raise MetadataFull when the device, its reserve included, has no block left.
    """

    def __init__(self, metadata_blocks: int, data_blocks: int) -> None:
        self._space = SpaceMap(min(metadata_blocks, MAX_METADATA_BLOCKS))
        self.transaction = 0
        self._committed_used = 0
        self._allocated = 0
        self._touched: set[int] = set()
        self._index_changed = False
        self._bitmaps: list[int] = []
        self._superblock = self._take()
        self._index_block = self._take()
        self._counts = SmallTree(self, COUNT_VALUE_BYTES)
        self._add_bitmaps()
        self._data = _DataSpace(self)
        self._devices = SmallTree(self, MAPPING_VALUE_BYTES)
        self._details = SmallTree(self, DETAILS_VALUE_BYTES)
        self._tree: Tree[Mappings] = Tree(self, max_entries(MAPPING_VALUE_BYTES), self._leaf_copied)
        self._roots: dict[int, Node] = {}
        self._written: set[int] = set()
        self._leaf: Node | None = None
        self._leaf_thin = -1
        self._leaf_low = self._leaf_high = 0
        self.commit([])
        self._data.extend(data_blocks)
        self.commit([])

    # -- what the status says -----------------------------------------------------------------------

    @property
    def total_blocks(self) -> int:
        """Size of the metadata device."""
        return self._space.blocks

    @property
    def live_blocks(self) -> int:
        """Blocks that hold something now, without the reserve."""
        return self._space.used

    @property
    def reserve(self) -> int:
        """Blocks kept for commits."""
        return reserve_blocks(self._space.blocks)

    @property
    def free_blocks(self) -> int:
        """Free blocks as the pool sees them: the reserve is not free, nor is what this transaction took
        or gave back (``dm_pool_get_free_metadata_block_count``, ``sm_metadata_get_nr_free``)."""
        return max(self._space.blocks - self._committed_used - self._allocated - self.reserve, 0)

    @property
    def used_blocks(self) -> int:
        """Used blocks as ``dmsetup status`` prints them."""
        return self._space.blocks - self.free_blocks

    @property
    def most_blocks_a_mapping(self) -> int:
        """More blocks than one mapping can take: two spines with splits, bitmaps, and where a shared leaf is
        copied as much of the tree of counts as its data blocks reach."""
        return 32 + min(2 * max_entries(MAPPING_VALUE_BYTES), self._data.shared_counts // 50 + 4)

    def census(self) -> Census:
        """What the blocks in use hold now.  Walks all trees."""
        seen: dict[int, Node] = {}
        stack = list(self._roots.values())
        while stack:
            node = stack.pop()
            if id(node) not in seen:
                seen[id(node)] = node
                stack.extend(node.children or ())
        inner = sum(node.children is not None for node in seen.values())
        return Census(
            superblock=1,
            metadata_space_map=1 + len(self._bitmaps) + sum(count_nodes(self._counts.root)),
            data_bitmaps=len(self._data.bitmaps),
            data_index=sum(count_nodes(self._data.index.root)),
            data_counts=sum(count_nodes(self._data.counts.root)),
            details=sum(count_nodes(self._details.root)),
            devices=sum(count_nodes(self._devices.root)),
            mapping_leaves=len(seen) - inner,
            mapping_inner=inner,
        )

    # -- the metadata space map (NodeSpace) -----------------------------------------------------------

    def new_block(self) -> int:
        """Allocate a block (``sm_metadata_new_block``)."""
        block = self._take()
        self._touch(block)
        return block

    def free_block(self, block: int) -> None:
        """Free a block."""
        self._space.release(block)
        self._touch(block)

    def add_reference(self, node: Node) -> None:
        """A node gets one owner more; from three on, its count has an entry in a tree (``sm_ll_inc``)."""
        node.references += 1
        self._touch(node.block)
        if node.references > 2:
            self._counts.put(node.block)

    def drop_reference(self, node: Node) -> None:
        """A node gets one owner less, and keeps at least one (``sm_ll_dec``)."""
        if node.references == 3:
            self._counts.remove(node.block)
        elif node.references > 3:
            self._counts.put(node.block)
        node.references -= 1
        self._touch(node.block)

    def _take(self) -> int:
        block = self._space.take()
        if block is None:
            raise MetadataFull(f"all {self._space.blocks} metadata blocks are in use")
        self._allocated += 1
        return block

    def _touch(self, block: int) -> None:
        """The bitmap of a block is written: it moves, once a transaction (``shadow_bitmap``)."""
        index = block // BITMAP_ENTRIES
        if index in self._touched:
            return
        self._touched.add(index)
        self._index_changed = True
        if index < len(self._bitmaps):
            old = self._bitmaps[index]
            self._bitmaps[index] = self.new_block()
            self.free_block(old)

    def _add_bitmaps(self) -> None:
        for _ in range(len(self._bitmaps), -(-self._space.blocks // BITMAP_ENTRIES)):
            self._bitmaps.append(self._take())
        self._index_changed = True

    # -- transactions ---------------------------------------------------------------------------------

    def commit(self, changed_thins: Iterable[int]) -> None:
        """Write changed device details and all indexes; what was freed can be used again
        (``__commit_transaction``)."""
        for thin in changed_thins:
            self._details.put(thin)
        self._data.commit()
        if self._index_changed:
            old = self._index_block
            self._index_block = self.new_block()
            self.free_block(old)
            self._index_changed = False
        self._space.commit()
        self._committed_used = self._space.used
        self._allocated = 0
        self._touched.clear()
        self._written.clear()
        self._leaf = None
        self.transaction += 1

    def reopen(self) -> None:
        """The pool was deactivated and activated: allocation starts at block 0 again."""
        self._space.rewind()

    def extend(self, metadata_blocks: int) -> None:
        """Grow the metadata device; the next commit makes it count (``sm_metadata_extend``)."""
        old_blocks = self._space.blocks
        self._space.extend(min(metadata_blocks, MAX_METADATA_BLOCKS))
        self._space.pointer = old_blocks
        self._add_bitmaps()
        self._touch(old_blocks)

    def extend_data(self, data_blocks: int) -> None:
        """The data device grew: more bitmaps (``sm_ll_extend``)."""
        self._data.extend(data_blocks)

    # -- devices --------------------------------------------------------------------------------------

    def create_thin(self, thin: int) -> None:
        """A device without mappings (``__create_thin``)."""
        self._roots[thin] = self._tree.empty()
        self._devices.put(thin)

    def create_snapshot(self, thin: int, origin: int) -> None:
        """A device that shares its origin's whole tree (``__create_snap``)."""
        root = self._roots[origin]
        self.add_reference(root)
        self._roots[thin] = root
        self._devices.put(thin)
        self._leaf = None

    def delete_thin(self, thin: int, mappings: Mappings) -> None:
        """Nodes that nobody else has are freed, and so are their data blocks' counts (``__delete_device``)."""
        self._details.remove(thin)
        self._devices.remove(thin)
        self._tree.delete(self._roots.pop(thin), lambda low, high: self._data.drop(mappings.data_in(low, high)))
        self._leaf = None

    # -- mappings -------------------------------------------------------------------------------------

    def allocate_data(self, data_blocks: NDArray[np.int64]) -> None:
        """Data blocks were allocated: their bitmaps are written (``sm_disk_new_block``)."""
        if data_blocks.size == 1:
            self._data.touch(int(data_blocks[0]) // BITMAP_ENTRIES)
            return
        for index in np.unique(data_blocks // BITMAP_ENTRIES).tolist():
            self._data.touch(index)

    def insert(
        self,
        thin: int,
        virtual_blocks: NDArray[np.int64],
        old_data_blocks: NDArray[np.int64],
        mappings: MappingsInProgress,
    ) -> None:
        """Map virtual blocks, or map them elsewhere, in this order (``__insert``).

        ``old_data_blocks`` are -1 for new mappings; ``mappings`` shows the first ``position`` of them.
        """
        if thin not in self._written:
            self._devices.put(thin)
            self._written.add(thin)
        tree = self._tree
        full = tree.leaf_entries
        if thin != self._leaf_thin:
            self._leaf = None
        leaf, low, high = self._leaf, self._leaf_low, self._leaf_high
        root = self._roots[thin]
        starts, ends, keys, is_new = _runs(virtual_blocks, old_data_blocks)
        old = old_data_blocks.tolist()
        for start, end, key, new in zip(starts, ends, keys, is_new, strict=True):
            position = start
            while position < end:
                if leaf is None or not low <= key < high or (new and leaf.count >= full):
                    mappings.position = position
                    root, leaf, low, high = tree.insert(root, key, new, mappings)
                    taken = 1
                    if end - position > 1:
                        room = high - key if not new else min(high - key, full - leaf.count + 1)
                        taken = min(end - position, room)
                        if new:
                            leaf.count += taken - 1
                else:
                    taken = 1
                    if end - position > 1:
                        room = high - key if not new else min(high - key, full - leaf.count)
                        taken = min(end - position, room)
                    if new:
                        leaf.count += taken
                if not new:
                    mappings.position = position
                    if taken == 1:
                        self._data.drop_one(old[position])
                    else:
                        self._data.drop(old_data_blocks[position : position + taken])
                position += taken
                key += taken
        self._roots[thin] = root
        self._leaf, self._leaf_thin, self._leaf_low, self._leaf_high = leaf, thin, low, high

    def remove_range(self, thin: int, virtual_blocks: NDArray[np.int64], mappings: RemovableMappings) -> None:
        """Unmap the given virtual blocks, all those mapped in some range (``__remove_range``).

        Takes them out of ``mappings`` one by one.  A walk more, to the block behind each run, finds out
        that the run has ended (``dm_btree_remove_leaves``).
        """
        self._leaf = None
        root = self._roots[thin]
        self.add_reference(root)
        self._devices.remove(thin)
        self.drop_reference(root)
        blocks = virtual_blocks.tolist()
        for place, block in enumerate(blocks):
            root, leaf, *_ = self._tree.remove(root, block, mappings)
            leaf.count -= 1
            self._data.drop_one(mappings.unmap(block))
            if place + 1 == len(blocks) or blocks[place + 1] != block + 1:
                root, *_ = self._tree.remove(root, block + 1, mappings)
        self._roots[thin] = root
        self._devices.put(thin)

    def hold_data(self, data_blocks: NDArray[np.int64]) -> None:
        """Unmapped blocks that others still own get an owner more while a discard is passed down
        (``dm_pool_inc_data_range``).  Those that nobody owns need none: their count was one."""
        self._data.own(data_blocks)

    def release_data(self, data_blocks: NDArray[np.int64]) -> None:
        """The discard is done: each block loses the owner that held it (``dm_pool_dec_data_range``)."""
        self._data.drop(data_blocks)

    def _leaf_copied(self, mappings: Mappings, low: int, high: int) -> None:
        self._data.own(mappings.data_in(low, high))


class MappingsInProgress(Mappings, Protocol):
    """Mappings in the middle of a batch: the first ``position`` of the new ones are in place."""

    position: int


class RemovableMappings(Mappings, Protocol):
    """Mappings that can be taken out."""

    def unmap(self, key: int) -> int:
        """Take one virtual block out; returns its data block."""
        ...


class _DataSpace:
    """The space map of the data blocks as it lies in the metadata: bitmaps, their index, counts above two.

    A data block's count is the number of mapping leaves that hold it: a snapshot adds none until a
    leaf is copied.
    """

    def __init__(self, metadata: PoolMetadata) -> None:
        self._metadata = metadata
        self.index = SmallTree(metadata, INDEX_VALUE_BYTES)
        self.counts = SmallTree(metadata, COUNT_VALUE_BYTES)
        self.bitmaps: list[int] = []
        self._extra: NDArray[np.uint16] | None = None
        """Owners beyond the first, by data block."""
        self._data_blocks = 0
        self._touched: set[int] = set()
        self._last = -1
        self._slots: list[int] = [-1] * _CACHED_ENTRIES
        self._dirty: list[bool] = [False] * _CACHED_ENTRIES

    @property
    def shared_counts(self) -> int:
        """Data blocks with more than two owners."""
        return len(self.counts.keys.keys)

    def extend(self, data_blocks: int) -> None:
        for index in range(len(self.bitmaps), -(-data_blocks // BITMAP_ENTRIES)):
            self.bitmaps.append(self._metadata.new_block())
            self._touched.add(index)
            self._save(index)
        if self._extra is not None:
            self._extra = np.concatenate([self._extra, np.zeros(data_blocks - self._data_blocks, np.uint16)])
        self._data_blocks = data_blocks
        self._last = -1

    def touch(self, index: int) -> None:
        """A bitmap is written: it moves, once a transaction, and so will its entry in the index."""
        if index == self._last:
            return
        self._last = index
        slot = (index * _HASH_FACTOR) & (_CACHED_ENTRIES - 1)
        if self._dirty[slot] and self._slots[slot] == index and index in self._touched:
            return
        self._load(index)
        if index not in self._touched:
            self._touched.add(index)
            old = self.bitmaps[index]
            self.bitmaps[index] = self._metadata.new_block()
            self._metadata.free_block(old)
        self._save(index)

    def own(self, blocks: NDArray[np.int64]) -> None:
        """Each block gets one owner more."""
        if not blocks.size:
            return
        if self._extra is None:
            self._extra = np.zeros(self._data_blocks, np.uint16)
        for index in np.unique(blocks // BITMAP_ENTRIES).tolist():
            self.touch(index)
        self._extra[blocks] += 1
        for block in blocks[self._extra[blocks] >= 2].tolist():
            self.counts.put(block)

    def drop(self, blocks: NDArray[np.int64]) -> None:
        """Each block gets one owner less; the last one frees it."""
        if not blocks.size:
            return
        for index in np.unique(blocks // BITMAP_ENTRIES).tolist():
            self.touch(index)
        if self._extra is None:
            return
        extra = self._extra[blocks]
        for block in blocks[extra >= 2].tolist():
            self._drop_count(block)
        self._extra[blocks] = np.where(extra > 0, extra - 1, 0)

    def drop_one(self, block: int) -> None:
        """As ``drop``, for one block."""
        self.touch(block // BITMAP_ENTRIES)
        if self._extra is None:
            return
        extra = int(self._extra[block])
        if extra >= 2:
            self._drop_count(block)
        if extra:
            self._extra[block] = extra - 1

    def _drop_count(self, block: int) -> None:
        if self._extra is not None and self._extra[block] == 2:
            self.counts.remove(block)
        else:
            self.counts.put(block)

    def commit(self) -> None:
        """Write the changed entries of the index (``disk_ll_commit``)."""
        for slot, dirty in enumerate(self._dirty):
            if dirty:
                self._write_back(slot)
        self._touched.clear()
        self._last = -1

    # The index is cached in 64 slots; what a slot loses to another entry is written at once
    # (disk_ll_load_ie, disk_ll_save_ie).  Only the order of first insertion matters here.

    def _load(self, index: int) -> None:
        slot = _slot(index)
        if self._slots[slot] == index:
            return
        if self._dirty[slot]:
            self._write_back(slot)
        self._slots[slot] = index

    def _save(self, index: int) -> None:
        slot = _slot(index)
        if self._slots[slot] != index and self._dirty[slot]:
            self._write_back(slot)
        self._slots[slot] = index
        self._dirty[slot] = True

    def _write_back(self, slot: int) -> None:
        self._dirty[slot] = False
        self.index.put(self._slots[slot])


def _runs(
    virtual_blocks: NDArray[np.int64], old_data_blocks: NDArray[np.int64]
) -> tuple[list[int], list[int], list[int], list[bool]]:
    """Stretches of consecutive virtual blocks, all new or all old: start, end, first block, whether new."""
    new = old_data_blocks < 0
    breaks = (np.diff(virtual_blocks) != 1) | (new[1:] != new[:-1])
    starts = np.concatenate([np.zeros(1, np.int64), np.flatnonzero(breaks) + 1])
    ends = np.concatenate([starts[1:], np.array([virtual_blocks.size])])
    return starts.tolist(), ends.tolist(), virtual_blocks[starts].tolist(), new[starts].tolist()


def _slot(index: int) -> int:
    """``dm_hash_block``: multiplication by a prime just below 2**32."""
    return (index * _HASH_FACTOR) & (_CACHED_ENTRIES - 1)


__all__ = [
    "BITMAP_ENTRIES",
    "LAST_KEY",
    "Census",
    "MetadataFull",
    "PoolMetadata",
    "empty_pool_blocks",
    "kernel_rule_bytes",
    "reserve_blocks",
    "tool_rule_bytes",
]
