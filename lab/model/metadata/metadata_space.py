"""The space map of the metadata blocks themselves, which lies among them.

Source: drivers/md/persistent-data/dm-space-map-metadata.c and dm-space-map-common.c, Linux 6.1.
"""

from __future__ import annotations

from lab.model.metadata.data_space import BITMAP_ENTRIES, COUNT_VALUE_BYTES
from lab.model.metadata.nodes import Node, count_nodes
from lab.model.metadata.small_tree import SmallTree
from lab.model.metadata.spacemap import SpaceMap
from lab.units import METADATA_MAX_BLOCKS

RESERVE_MAX_BLOCKS = 4096
"""Most blocks of the reserve, 16 MiB (``__set_metadata_reserve``)."""


class MetadataFull(RuntimeError):
    """No metadata block can be allocated, not even out of the reserve.  The pool catches it."""


def reserve_blocks(total_blocks: int) -> int:
    """Metadata blocks kept for the commit itself, shown as used (``__set_metadata_reserve``).

    >>> reserve_blocks(512), reserve_blocks(262144)
    (51, 4096)
    """
    return min(RESERVE_MAX_BLOCKS, total_blocks // 10)


class MetadataSpace:
    """Metadata blocks of 4 KiB: superblock, index, bitmaps and counts, and room for nodes (it is a NodeSpace).

    Methods that take a block raise MetadataFull when there is none.
    """

    def __init__(self, metadata_blocks: int) -> None:
        self._map = SpaceMap(min(metadata_blocks, METADATA_MAX_BLOCKS))
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

    @property
    def blocks(self) -> int:
        """Size of the metadata device."""
        return self._map.blocks

    @property
    def used(self) -> int:
        """Blocks that hold something now."""
        return self._map.used

    @property
    def free_in_transaction(self) -> int:
        """Blocks free at the last commit, less those taken since: what was given back does not count
        (``sm_metadata_get_nr_free``)."""
        return self._map.blocks - self._committed_used - self._allocated

    def count_blocks(self) -> int:
        """Blocks that this space map takes itself: its index, bitmaps, and the tree of counts."""
        return 1 + len(self._bitmaps) + sum(count_nodes(self._counts.root))

    def new_block(self) -> int:
        """Allocate a block (``sm_metadata_new_block``)."""
        block = self._take()
        self._touch(block)
        return block

    def free_block(self, block: int) -> None:
        """Free a block."""
        self._map.release(block)
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

    def commit(self) -> None:
        """Write the index; what was freed can be allocated from now on (``sm_metadata_commit``)."""
        if self._index_changed:
            old = self._index_block
            self._index_block = self.new_block()
            self.free_block(old)
            self._index_changed = False
        self._map.commit()
        self._committed_used = self._map.used
        self._allocated = 0
        self._touched.clear()
        self.transaction += 1

    def rewind(self) -> None:
        """Allocation starts at block 0 again."""
        self._map.rewind()

    def extend(self, metadata_blocks: int) -> None:
        """Grow the metadata device; the next commit makes it count (``sm_metadata_extend``)."""
        old_blocks = self._map.blocks
        self._map.extend(min(metadata_blocks, METADATA_MAX_BLOCKS))
        self._map.pointer = old_blocks
        self._add_bitmaps()
        self._touch(old_blocks)

    def _take(self) -> int:
        block = self._map.take()
        if block is None:
            raise MetadataFull(f"all {self._map.blocks} metadata blocks are in use")
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
        for _ in range(len(self._bitmaps), -(-self._map.blocks // BITMAP_ENTRIES)):
            self._bitmaps.append(self._take())
        self._index_changed = True
