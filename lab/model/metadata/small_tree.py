"""Trees that nobody shares, with their keys: devices, device details, bitmaps, reference counts."""

from __future__ import annotations

from lab.model.metadata.btree import Tree
from lab.model.metadata.btree_remove import remove
from lab.model.metadata.nodes import KeyList, NodeSpace, max_entries


class SmallTree:
    """One such tree, of values of some bytes."""

    def __init__(self, space: NodeSpace, value_bytes: int) -> None:
        self._tree: Tree[KeyList] = Tree(space, max_entries(value_bytes))
        self.keys = KeyList()
        self.root = self._tree.empty()

    def put(self, key: int) -> None:
        """Insert a key, or overwrite its value."""
        is_new = key not in self.keys
        self.root, *_ = self._tree.insert(self.root, key, is_new, self.keys)
        if is_new:
            self.keys.add(key)

    def remove(self, key: int) -> None:
        """Remove a key that is there."""
        self.root, leaf, *_ = remove(self._tree, self.root, key, self.keys)
        leaf.count -= 1
        self.keys.remove(key)
