"""Shape of the kernel's B-trees: how many nodes an insertion order gives, and which of them are shared.

A node is one metadata block.  A leaf keeps only how many keys it has: which ones is known to whoever
owns the keys (``KeySource``), since a leaf holds exactly the keys between its bounds.  So a tree of a
million mappings takes some hundred kilobytes.

Source: drivers/md/persistent-data/dm-btree.c, dm-btree-remove.c and dm-btree-spine.c, Linux 6.1; each
rule names its function.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

NODE_HEADER_BYTES = 32
NODE_BYTES = 4096
KEY_BYTES = 8
SPACE_THRESHOLD = 8
"""A sibling takes entries over only if it has room for this many (``SPACE_THRESHOLD``)."""

LAST_KEY = 1 << 63
"""Above every key."""


def max_entries(value_bytes: int) -> int:
    """Entries of a node, a multiple of three (``calc_max_entries``).

    >>> max_entries(8), max_entries(24), max_entries(4)  # mappings, device details, reference counts
    (252, 126, 336)
    """
    return (NODE_BYTES - NODE_HEADER_BYTES) // (KEY_BYTES + value_bytes) // 3 * 3


INTERNAL_ENTRIES = max_entries(8)


class KeySource(Protocol):
    """Whoever knows which keys a tree holds."""

    def keys_at(self, low: int, high: int, ranks: Sequence[int]) -> list[int]:
        """The keys of the given ranks (0 = lowest) among those with low <= key < high."""
        ...

    def __contains__(self, key: int) -> bool: ...


S = TypeVar("S", bound=KeySource)


class KeyList:
    """Keys of a small tree, sorted."""

    def __init__(self) -> None:
        self.keys: list[int] = []

    def __contains__(self, key: int) -> bool:
        place = bisect_left(self.keys, key)
        return place < len(self.keys) and self.keys[place] == key

    def add(self, key: int) -> None:
        """Add a key that is not there."""
        insort(self.keys, key)

    def remove(self, key: int) -> None:
        """Remove a key that is there."""
        del self.keys[bisect_left(self.keys, key)]

    def keys_at(self, low: int, high: int, ranks: Sequence[int]) -> list[int]:
        """See KeySource."""
        base = bisect_left(self.keys, low)
        return [self.keys[base + rank] for rank in ranks]


_NO_KEYS: list[int] = []
"""The keys of every leaf; never changed."""


class Node:
    """One node: a leaf with ``count`` keys, or an inner node with ``keys`` and ``children``."""

    __slots__ = ("block", "children", "count", "keys", "references", "transaction")

    def __init__(self, block: int, transaction: int, count: int = 0) -> None:
        self.block = block
        self.transaction = transaction
        """The transaction that wrote this block: it need not be copied again in it."""
        self.references = 1
        self.count = count
        self.keys = _NO_KEYS
        self.children: list[Node] | None = None


class NodeSpace(Protocol):
    """Where nodes live: the metadata space map."""

    transaction: int

    def new_block(self) -> int:
        """A metadata block for a node."""
        ...

    def free_block(self, block: int) -> None:
        """Give a metadata block back."""
        ...

    def add_reference(self, node: Node) -> None:
        """One owner more."""
        ...

    def drop_reference(self, node: Node) -> None:
        """One owner less; at least one stays."""
        ...


class Tree(Generic[S]):
    """Rules of one kind of tree.  Roots are handed in and out, since snapshots share them.

    ``leaf_entries`` is the most a leaf holds.  ``copied(low, high)`` is told that a shared leaf with
    the keys in [low, high) got a copy (mappings: the data blocks gain an owner).
    """

    def __init__(
        self, space: NodeSpace, leaf_entries: int, copied: Callable[[S, int, int], None] | None = None
    ) -> None:
        self.space = space
        self.leaf_entries = leaf_entries
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
        self._copy_content(node, copy, source, low, high)
        return copy

    def _copy_content(self, node: Node, copy: Node, source: S, low: int, high: int) -> None:
        copy.count = node.count
        if node.children is None:
            copy.keys, copy.children = _NO_KEYS, None
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
        return len(node.keys) >= INTERNAL_ENTRIES

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
        children = _children(parent)
        shared = False
        for sibling in (index - 1, index + 1):
            if not 0 <= sibling < len(children):
                continue
            if children[sibling].references > 1:
                shared = True
            elif self._room(children[sibling]) >= SPACE_THRESHOLD:
                first = min(sibling, index)
                self._shadow_child(parent, sibling, high, source)
                self._spread(parent, first, _halves(self._entries(parent, first, 2)), high, source)
                return _child_for(parent, key, first, 2)
        space = self.space
        at_end = index == 0 or index + 1 == len(children)
        if shared or len(children) <= 2 or at_end:
            self._add_child(parent, index + 1, Node(space.new_block(), space.transaction))
            self._spread(parent, index, _halves(self._entries(parent, index, 2)), high, source)
            return _child_for(parent, key, index, 2)
        self._shadow_child(parent, index - 1, high, source)
        self._add_child(parent, index, Node(space.new_block(), space.transaction))
        total = self._entries(parent, index - 1, 3)
        left = total // 3
        center = (total - left) // 2
        self._spread(parent, index - 1, [left, center, total - left - center], high, source)
        return _child_for(parent, key, index - 1, 3)

    def _room(self, node: Node) -> int:
        if node.children is None:
            return self.leaf_entries - node.count
        return INTERNAL_ENTRIES - len(node.keys)

    def _add_child(self, parent: Node, index: int, child: Node) -> None:
        """An empty sibling, of the kind of the child before it; its key is set by ``_spread``."""
        children = _children(parent)
        if children[index - 1].children is not None:
            child.children = []
        children.insert(index, child)
        parent.keys.insert(index, parent.keys[index - 1])

    def _shadow_child(self, parent: Node, index: int, high: int, source: S) -> None:
        """``shadow_child`` and ``init_child``."""
        upper = parent.keys[index + 1] if index + 1 < len(parent.keys) else high
        children = _children(parent)
        children[index] = self.shadow(children[index], source, parent.keys[index], upper)

    def _entries(self, parent: Node, first: int, count: int) -> int:
        return sum(_size(child) for child in _children(parent)[first : first + count])

    def _spread(self, parent: Node, first: int, targets: list[int], high: int, source: S) -> None:
        """Give neighbouring children the target numbers of entries (``redistribute2``, ``redistribute3``)."""
        children = _children(parent)[first : first + len(targets)]
        rest = parent.keys[first + 1 : first + len(targets)]
        if [_size(child) for child in children] == targets and all(key in source for key in rest):
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
        below = [node for child in children for node in _children(child)]
        start = 0
        for place, (child, target) in enumerate(zip(children, targets, strict=True)):
            child.keys, child.children = keys[start : start + target], below[start : start + target]
            if place:
                parent.keys[first + place] = child.keys[0]
            start += target

    # -- removal ------------------------------------------------------------------------------------

    def remove(self, root: Node, key: int, source: S) -> tuple[Node, Node, int, int]:
        """Walk to the leaf of ``key`` as a removal does, and evenly fill the nodes passed.

        The caller lowers the leaf's count, and takes the key out of ``source``, afterwards, if the key
        is there at all.  Returns the root, the leaf and its bounds (``remove_raw``, ``remove_nearest``).
        """
        low, high = 0, LAST_KEY
        node = root = self.shadow(root, source, low, high)
        while node.children is not None:
            self._rebalance_children(node, key, low, high, source)
            if node.children is None:
                break
            index = bisect_right(node.keys, key) - 1
            low = node.keys[index]
            upper = node.keys[index + 1] if index + 1 < len(node.keys) else high
            child = node.children[index] = self.shadow(node.children[index], source, low, upper)
            node, high = child, upper
        return root, node, low, high

    def _rebalance_children(self, node: Node, key: int, low: int, high: int, source: S) -> None:
        """``rebalance_children``: an only child is taken in, others are merged or evenly filled."""
        children = _children(node)
        if len(children) == 1:
            self._take_in(node, children[0], source, low, high)
            return
        index = bisect_right(node.keys, key) - 1
        if index == 0:
            self._rebalance_two(node, 0, high, source)
        elif index == len(children) - 1:
            self._rebalance_two(node, index - 1, high, source)
        else:
            self._rebalance_three(node, index - 1, high, source)

    def _take_in(self, node: Node, child: Node, source: S, low: int, high: int) -> None:
        if child.references > 1:
            self._copy_content(child, node, source, low, high)
            self.space.drop_reference(child)
            return
        node.count, node.keys, node.children = child.count, child.keys, child.children
        self.space.free_block(child.block)

    def _merge_threshold(self, node: Node) -> int:
        return (self.leaf_entries if node.children is None else INTERNAL_ENTRIES) // 3

    def _rebalance_two(self, parent: Node, left: int, high: int, source: S) -> None:
        """``rebalance2``."""
        self._shadow_child(parent, left, high, source)
        self._shadow_child(parent, left + 1, high, source)
        self._merge_or_even(parent, left, high, source)

    def _merge_or_even(self, parent: Node, left: int, high: int, source: S) -> None:
        """``__rebalance2``: merge where both together are small, else halve."""
        children = _children(parent)
        total = self._entries(parent, left, 2)
        if total < 2 * (self._merge_threshold(children[left]) + 1):
            self._merge(parent, left)
        else:
            self._spread(parent, left, _halves(total), high, source)

    def _merge(self, parent: Node, left: int) -> None:
        """The right neighbour's entries go to the left one, and its block is freed."""
        children = _children(parent)
        keep, gone = children[left], children[left + 1]
        if keep.children is None:
            keep.count += gone.count
        else:
            keep.keys = keep.keys + gone.keys
            keep.children = keep.children + _children(gone)
        del parent.keys[left + 1]
        del children[left + 1]
        self.space.free_block(gone.block)

    def _rebalance_three(self, parent: Node, left: int, high: int, source: S) -> None:
        """``rebalance3``: the middle node goes where all three are small, else all are evenly filled."""
        for index in (left, left + 1, left + 2):
            self._shadow_child(parent, index, high, source)
        children = _children(parent)
        total = self._entries(parent, left, 3)
        if total >= 4 * self._merge_threshold(children[left]) + 1:
            right = total // 3
            first = right + (right * 3 != total)
            self._spread(parent, left, [first, total - first - right, right], high, source)
            return
        limit = self.leaf_entries if children[left].children is None else INTERNAL_ENTRIES
        to_left = min(limit - _size(children[left]), _size(children[left + 1]))
        sizes = [_size(children[left]) + to_left, 0, total - _size(children[left]) - to_left]
        self._empty_center(parent, left, sizes, high, source)
        self._merge_or_even(parent, left, high, source)

    def _empty_center(self, parent: Node, left: int, sizes: list[int], high: int, source: S) -> None:
        """``delete_center_node``."""
        children = _children(parent)
        center = children[left + 1]
        if center.children is None:
            last = left + 3
            upper = parent.keys[last] if last < len(parent.keys) else high
            if sizes[2]:
                parent.keys[left + 2] = source.keys_at(parent.keys[left], upper, [sizes[0]])[0]
            children[left].count, children[left + 2].count = sizes[0], sizes[2]
        else:
            keys = [key for child in children[left : left + 3] for key in child.keys]
            below = [node for child in children[left : left + 3] for node in _children(child)]
            for index, part in ((left, slice(0, sizes[0])), (left + 2, slice(sizes[0], None))):
                children[index].keys, children[index].children = keys[part], below[part]
            parent.keys[left + 2] = children[left + 2].keys[0]
        del parent.keys[left + 1]
        del children[left + 1]
        self.space.free_block(center.block)

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


class SmallTree:
    """A tree nobody shares, with its keys: devices, device details, bitmaps, reference counts."""

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
        self.root, leaf, *_ = self._tree.remove(self.root, key, self.keys)
        leaf.count -= 1
        self.keys.remove(key)


def count_nodes(root: Node) -> tuple[int, int]:
    """Leaves and inner nodes below and including a root, shared or not."""
    if root.children is None:
        return 1, 0
    below = [count_nodes(child) for child in root.children]
    return sum(leaves for leaves, _ in below), 1 + sum(inner for _, inner in below)


def _children(node: Node) -> list[Node]:
    if node.children is None:
        raise TypeError("a leaf has no children")
    return node.children


def _size(node: Node) -> int:
    return node.count if node.children is None else len(node.keys)


def _halves(total: int) -> list[int]:
    return [total // 2, total - total // 2]


def _child_for(parent: Node, key: int, first: int, count: int) -> int:
    """Which of some neighbouring children takes a key."""
    return first + bisect_right(parent.keys[first + 1 : first + count], key)
