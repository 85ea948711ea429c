"""Metadata blocks that a thin pool uses: exactly, and by the two rules of thumb.

``PoolMetadata`` keeps what the kernel keeps on the metadata device, as far as it decides the number
of blocks: the superblock, two space maps with their bitmaps and reference counts, the tree of device
details, and the two-level mapping tree whose nodes snapshots share.  Source: the comment at the head
of drivers/md/dm-thin-metadata.c and the functions named below, Linux 6.1.

The rules of thumb, and where they are wrong, in a pool of 131,072 data blocks (8 GiB at 64 KiB) with 128 MiB
of metadata.  What it needs is counted by this model, without the reserve; the rules are given as multiples:

=================================================  ========  =====  ======
what the pool holds                                needs     tool   kernel
=================================================  ========  =====  ======
one device that fills it, written in order         2.16 MiB  1.89   2.78
one device that fills it, written at random        2.43 MiB  1.68   2.47
an image of half the pool and 1 snapshot of it     1.69 MiB  2.41   3.56
the image and 3 snapshots                          3.27 MiB  1.25   1.84
the image and 10 snapshots                         7.61 MiB  0.54   0.79
the image and 30 snapshots                         18.8 MiB  0.22   0.32
=================================================  ========  =====  ======

(each snapshot with 200 random writes, 12.5 MiB of data blocks).

``tool_rule_bytes`` (thin_metadata_size) counts one leaf for every 126 data blocks, that is 32.5 bytes a data
block.  A leaf holds up to 252 mappings, and insertion keeps it about 98 % full where blocks are first
written in order (16.6 bytes a mapping) and about 86 % full where they are written at random (18.8).  So the
rule asks for 1.7 to 2 times what one device that fills a large pool needs.  Below 2,200 data blocks it
is too small even then, since an empty pool takes 9 blocks before the first mapping is made.

``kernel_rule_bytes`` (thin-provisioning.rst) gives 48 bytes a data block, 2.5 to 2.9 times what that device
needs, and at least 2 MiB.

Both count data blocks, and metadata follows mappings.  A snapshot costs nothing by itself, but the first
write to each leaf after it copies that leaf, and one leaf maps over 200 blocks: 200 scattered writes give a
container half of this image's leaves once more, and hardly any data of its own.  From the third owner of a
data block on its count takes room as well (12 bytes in a tree of counts, ``DataSpace``).  With many
snapshots that are written here and there neither rule is of any use, and the tool's number of thins hardly
moves it: it adds one block for each.  Neither counts the reserve, min(4096, a tenth) blocks, which the
kernel shows as used.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lab.model.metadata.btree import Tree
from lab.model.metadata.btree_remove import remove
from lab.model.metadata.data_space import BITMAP_ENTRIES, DataSpace
from lab.model.metadata.mappings import Mappings, MappingsInProgress, RemovableMappings
from lab.model.metadata.metadata_space import MetadataFull, MetadataSpace, reserve_blocks
from lab.model.metadata.nodes import LAST_KEY, Node, max_entries
from lab.model.metadata.small_tree import SmallTree
from lab.storages.metadata_size import kernel_rule_bytes, tool_rule_bytes

MAPPING_VALUE_BYTES, DETAILS_VALUE_BYTES = 8, 24
"""Of a mapping (data block and time) or a tree's root, and of a device's details."""


class PoolMetadata:
    """The metadata device of one pool, in blocks of 4 KiB.

    Methods raise MetadataFull when the device, its reserve included, has no block left.

    >>> PoolMetadata(8192, 16384).used_blocks
    829
    """

    def __init__(self, metadata_blocks: int, data_blocks: int) -> None:
        self.space = MetadataSpace(metadata_blocks)
        self._data = DataSpace(self.space)
        self._devices = SmallTree(self.space, MAPPING_VALUE_BYTES)
        self._details = SmallTree(self.space, DETAILS_VALUE_BYTES)
        self._tree: Tree[Mappings] = Tree(self.space, max_entries(MAPPING_VALUE_BYTES), self._leaf_copied)
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
        return self.space.blocks

    @property
    def live_blocks(self) -> int:
        """Blocks that hold something now, without the reserve."""
        return self.space.used

    @property
    def free_blocks(self) -> int:
        """Free blocks as the pool sees them: the reserve is not free, nor is what this transaction took
        or gave back (``dm_pool_get_free_metadata_block_count``)."""
        return max(self.space.free_in_transaction - reserve_blocks(self.space.blocks), 0)

    @property
    def used_blocks(self) -> int:
        """Used blocks as ``dmsetup status`` prints them."""
        return self.space.blocks - self.free_blocks

    @property
    def most_blocks_a_mapping(self) -> int:
        """More blocks than one mapping can take: two spines with splits, bitmaps, and where a shared leaf is
        copied as much of the tree of counts as its data blocks reach."""
        return 32 + min(2 * max_entries(MAPPING_VALUE_BYTES), self._data.shared_counts // 50 + 4)

    # -- transactions ---------------------------------------------------------------------------------

    def commit(self, changed_thins: Iterable[int]) -> None:
        """Write changed device details and all indexes; what was freed can be used again
        (``__commit_transaction``)."""
        for thin in changed_thins:
            self._details.put(thin)
        self._data.commit()
        self.space.commit()
        self._written.clear()
        self._leaf = None

    def reopen(self) -> None:
        """The pool was deactivated and activated: allocation starts at block 0 again."""
        self.space.rewind()

    def extend(self, metadata_blocks: int) -> None:
        """Grow the metadata device; the next commit makes it count (``sm_metadata_extend``)."""
        self.space.extend(metadata_blocks)

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
        self.space.add_reference(root)
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

    def insert(self, thin: int, virtual_blocks: NDArray[np.int64], old_data_blocks: NDArray[np.int64],
               mappings: MappingsInProgress) -> None:
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
        self.space.add_reference(root)
        self._devices.remove(thin)
        self.space.drop_reference(root)
        blocks = virtual_blocks.tolist()
        for place, block in enumerate(blocks):
            root, leaf, *_ = remove(self._tree, root, block, mappings)
            leaf.count -= 1
            self._data.drop_one(mappings.unmap(block))
            if place + 1 == len(blocks) or blocks[place + 1] != block + 1:
                root, *_ = remove(self._tree, root, block + 1, mappings)
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


def _runs(virtual_blocks: NDArray[np.int64],
          old_data_blocks: NDArray[np.int64]) -> tuple[list[int], list[int], list[int], list[bool]]:
    """Stretches of consecutive virtual blocks, all new or all old: start, end, first block, whether new."""
    new = old_data_blocks < 0
    breaks = (np.diff(virtual_blocks) != 1) | (new[1:] != new[:-1])
    starts = np.concatenate([np.zeros(1, np.int64), np.flatnonzero(breaks) + 1])
    ends = np.concatenate([starts[1:], np.array([virtual_blocks.size])])
    return starts.tolist(), ends.tolist(), virtual_blocks[starts].tolist(), new[starts].tolist()


__all__ = [
    "BITMAP_ENTRIES",
    "LAST_KEY",
    "MetadataFull",
    "PoolMetadata",
    "kernel_rule_bytes",
    "reserve_blocks",
    "tool_rule_bytes",
]
