"""Shape of the kernel's B-trees: how many nodes an insertion order gives, and which of them are shared.

Source: drivers/md/persistent-data/dm-btree.c and dm-btree-spine.c, Linux 6.1; each rule names its
function.  Removal is in ``btree_remove``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Generic, TypeVar

from lab.model.metadata.nodes import (
    INTERNAL_ENTRIES,
    LAST_KEY,
    NO_KEYS,
    KeySource,
    Node,
    NodeSpace,
    children_of,
    halves,
    size_of,
)

SPACE_THRESHOLD = 8
"""A sibling takes entries over only if it has room for this many (``SPACE_THRESHOLD``)."""

S = TypeVar("S", bound=KeySource)


class Tree(Generic[S]):
    """Rules of one kind of tree.  Roots are handed in and out, since snapshots share them.

    ``leaf_entries`` and ``inner_entries`` are the most that a leaf and an inner node hold.
    ``copied(low, high)`` is told that a shared leaf with the keys in [low, high) got a copy (mappings: the
    data blocks gain an owner).
    """

    def __init__(self, space: NodeSpace, leaf_entries: int, copied: Callable[[S, int, int], None] | None = None,
                 inner_entries: int = INTERNAL_ENTRIES) -> None:
        self.space = space
        self.leaf_entries = leaf_entries
        self.inner_entries = inner_entries
        self._copied = copied

    def empty(self) -> Node:
        """A new tree: one leaf (``dm_btree_empty``)."""
        return Node(self.space.new_block(), self.space.transaction)

    # -- copy on write ------------------------------------------------------------------------------

    def shadow(self, node: Node, source: S, low: int, high: int) -> Node:
        """The node, writable in this transaction (``dm_tm_shadow_block``, ``inc_children``).

        An unshared node moves to a new block once a transaction; a shared one is copied, and its
        children gain an owner.
        """
        space = self.space
        if node.references == 1:
            if node.transaction != space.transaction:
                old = node.block
                node.block = space.new_block()
                node.transaction = space.transaction
                space.free_block(old)
            return node
        copy = Node(space.new_block(), space.transaction, node.count)
        space.drop_reference(node)
        self.copy_content(node, copy, source, low, high)
        return copy

    def copy_content(self, node: Node, copy: Node, source: S, low: int, high: int) -> None:
        """Entries of a node, now in two nodes (``inc_children``)."""
        copy.count = node.count
        if node.children is None:
            copy.keys, copy.children = NO_KEYS, None
            if self._copied is not None:
                self._copied(source, low, high)
            return
        copy.keys, copy.children = node.keys.copy(), node.children.copy()
        for child in node.children:
            self.space.add_reference(child)

    # -- insertion ----------------------------------------------------------------------------------

    def insert(self, root: Node, key: int, is_new: bool, source: S) -> tuple[Node, Node, int, int]:
        """Insert or overwrite a key (``btree_insert_raw``).

        ``source`` does not hold a new key yet.  Returns the root, the leaf and the leaf's bounds.
        """
        low, high = 0, LAST_KEY
        node = root = self.shadow(root, source, low, high)
        if self._is_full(node) and (is_new or node.children is not None):
            self._split_beneath(node, source)
        while node.children is not None:
            index = bisect_right(node.keys, key) - 1
            if index < 0:
                node.keys[0] = key
                index = 0
            low = node.keys[index]
            upper = node.keys[index + 1] if index + 1 < len(node.keys) else high
            child = node.children[index]
            if child.references != 1 or child.transaction != self.space.transaction:
                child = node.children[index] = self.shadow(child, source, low, upper)
            if (is_new or child.children is not None) and self._is_full(child):
                index = self._rebalance_or_split(node, index, key, high, source)
                child = node.children[index]
                low = node.keys[index]
                upper = node.keys[index + 1] if index + 1 < len(node.keys) else high
            node, high = child, upper
        if is_new:
            node.count += 1
        return root, node, low, high

    def _is_full(self, node: Node) -> bool:
        if node.children is None:
            return node.count >= self.leaf_entries
        return len(node.keys) >= self.inner_entries

    def _split_beneath(self, node: Node, source: S) -> None:
        """A full root gets two children with half its entries each (``btree_split_beneath``)."""
        space = self.space
        left = Node(space.new_block(), space.transaction)
        right = Node(space.new_block(), space.transaction)
        if node.children is None:
            left.count = node.count // 2
            right.count = node.count - left.count
            keys = source.keys_at(0, LAST_KEY, [0, left.count])
        else:
            half = len(node.keys) // 2
            left.keys, right.keys = node.keys[:half], node.keys[half:]
            left.children, right.children = node.children[:half], node.children[half:]
            keys = [left.keys[0], right.keys[0]]
        node.count = 0
        node.keys = keys
        node.children = [left, right]

    def _rebalance_or_split(self, parent: Node, index: int, key: int, high: int, source: S) -> int:
        """Make room in a full child; returns the child that now takes ``key`` (``rebalance_or_split``).

        A sibling that a snapshot shares is left alone.  Both ends of a node split one into two, the
        middle two into three.
        """
        children = children_of(parent)
        shared = False
        for sibling in (index - 1, index + 1):
            if not 0 <= sibling < len(children):
                continue
            if children[sibling].references > 1:
                shared = True
            elif self._room(children[sibling]) >= SPACE_THRESHOLD:
                first = min(sibling, index)
                self.shadow_child(parent, sibling, high, source)
                self.spread(parent, first, halves(self.entries(parent, first, 2)), high, source)
                return _child_for(parent, key, first, 2)
        space = self.space
        at_end = index == 0 or index + 1 == len(children)
        if shared or len(children) <= 2 or at_end:
            self._add_child(parent, index + 1, Node(space.new_block(), space.transaction))
            self.spread(parent, index, halves(self.entries(parent, index, 2)), high, source)
            return _child_for(parent, key, index, 2)
        self.shadow_child(parent, index - 1, high, source)
        self._add_child(parent, index, Node(space.new_block(), space.transaction))
        total = self.entries(parent, index - 1, 3)
        left = total // 3
        center = (total - left) // 2
        self.spread(parent, index - 1, [left, center, total - left - center], high, source)
        return _child_for(parent, key, index - 1, 3)

    def _room(self, node: Node) -> int:
        if node.children is None:
            return self.leaf_entries - node.count
        return self.inner_entries - len(node.keys)

    def _add_child(self, parent: Node, index: int, child: Node) -> None:
        """An empty sibling, of the kind of the child before it; its key is set by ``spread``."""
        children = children_of(parent)
        if children[index - 1].children is not None:
            child.children = []
        children.insert(index, child)
        parent.keys.insert(index, parent.keys[index - 1])

    def shadow_child(self, parent: Node, index: int, high: int, source: S) -> None:
        """``shadow_child`` and ``init_child``."""
        upper = parent.keys[index + 1] if index + 1 < len(parent.keys) else high
        children = children_of(parent)
        children[index] = self.shadow(children[index], source, parent.keys[index], upper)

    def entries(self, parent: Node, first: int, count: int) -> int:
        """Entries of some neighbouring children together."""
        return sum(size_of(child) for child in children_of(parent)[first : first + count])

    def spread(self, parent: Node, first: int, targets: list[int], high: int, source: S) -> None:
        """Give neighbouring children the target numbers of entries (``redistribute2``, ``redistribute3``)."""
        children = children_of(parent)[first : first + len(targets)]
        rest = parent.keys[first + 1 : first + len(targets)]
        if [size_of(child) for child in children] == targets and all(key in source for key in rest):
            return
        bounds = [sum(targets[:place]) for place in range(1, len(targets))]
        if children[0].children is None:
            last = first + len(targets)
            upper = parent.keys[last] if last < len(parent.keys) else high
            parent.keys[first + 1 : last] = source.keys_at(parent.keys[first], upper, bounds)
            for child, target in zip(children, targets, strict=True):
                child.count = target
            return
        keys = [key for child in children for key in child.keys]
        below = [node for child in children for node in children_of(child)]
        start = 0
        for place, (child, target) in enumerate(zip(children, targets, strict=True)):
            child.keys, child.children = keys[start : start + target], below[start : start + target]
            if place:
                parent.keys[first + place] = child.keys[0]
            start += target

    # -- deletion -----------------------------------------------------------------------------------

    def delete(self, root: Node, dropped: Callable[[int, int], None] | None = None) -> None:
        """Give a whole tree up (``dm_btree_del``): what others share stays.

        ``dropped(low, high)`` is told of each leaf that really goes.
        """
        self._delete(root, 0, LAST_KEY, dropped)

    def _delete(self, node: Node, low: int, high: int, dropped: Callable[[int, int], None] | None) -> None:
        if node.references > 1:
            self.space.drop_reference(node)
            return
        if node.children is None:
            if dropped is not None:
                dropped(low, high)
        else:
            uppers = [*node.keys[1:], high]
            for child, lower, upper in zip(node.children, node.keys, uppers, strict=True):
                self._delete(child, lower, upper, dropped)
        self.space.free_block(node.block)


def _child_for(parent: Node, key: int, first: int, count: int) -> int:
    """Which of some neighbouring children takes a key."""
    return first + bisect_right(parent.keys[first + 1 : first + count], key)
