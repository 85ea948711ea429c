"""Removal from the kernel's B-trees: on the way to a key, nodes passed are merged or evenly filled.

Source: drivers/md/persistent-data/dm-btree-remove.c, Linux 6.1; each rule names its function.
"""

from __future__ import annotations

from bisect import bisect_right

from lab.model.metadata.btree import S, Tree
from lab.model.metadata.nodes import LAST_KEY, Node, children_of, halves, size_of


def remove(tree: Tree[S], root: Node, key: int, source: S) -> tuple[Node, Node, int, int]:
    """Walk to the leaf of ``key`` as a removal does, and evenly fill the nodes passed.

    The caller lowers the leaf's count, and takes the key out of ``source``, afterwards, if the key
    is there at all.  Returns the root, the leaf and its bounds (``remove_raw``, ``remove_nearest``).
    """
    low, high = 0, LAST_KEY
    node = root = tree.shadow(root, source, low, high)
    while node.children is not None:
        _rebalance_children(tree, node, key, low, high, source)
        if node.children is None:
            break
        index = bisect_right(node.keys, key) - 1
        low = node.keys[index]
        upper = node.keys[index + 1] if index + 1 < len(node.keys) else high
        child = node.children[index] = tree.shadow(node.children[index], source, low, upper)
        node, high = child, upper
    return root, node, low, high


def _rebalance_children(tree: Tree[S], node: Node, key: int, low: int, high: int, source: S) -> None:
    """``rebalance_children``: an only child is taken in, others are merged or evenly filled."""
    children = children_of(node)
    if len(children) == 1:
        _take_in(tree, node, children[0], source, low, high)
        return
    index = bisect_right(node.keys, key) - 1
    if index == 0:
        _rebalance_two(tree, node, 0, high, source)
    elif index == len(children) - 1:
        _rebalance_two(tree, node, index - 1, high, source)
    else:
        _rebalance_three(tree, node, index - 1, high, source)


def _take_in(tree: Tree[S], node: Node, child: Node, source: S, low: int, high: int) -> None:
    if child.references > 1:
        tree.copy_content(child, node, source, low, high)
        tree.space.drop_reference(child)
        return
    node.count, node.keys, node.children = child.count, child.keys, child.children
    tree.space.free_block(child.block)


def _merge_threshold(tree: Tree[S], node: Node) -> int:
    return (tree.leaf_entries if node.children is None else tree.inner_entries) // 3


def _rebalance_two(tree: Tree[S], parent: Node, left: int, high: int, source: S) -> None:
    """``rebalance2``."""
    tree.shadow_child(parent, left, high, source)
    tree.shadow_child(parent, left + 1, high, source)
    _merge_or_even(tree, parent, left, high, source)


def _merge_or_even(tree: Tree[S], parent: Node, left: int, high: int, source: S) -> None:
    """``__rebalance2``: merge where both together are small, else halve."""
    children = children_of(parent)
    total = tree.entries(parent, left, 2)
    if total < 2 * (_merge_threshold(tree, children[left]) + 1):
        _merge(tree, parent, left)
    else:
        tree.spread(parent, left, halves(total), high, source)


def _merge(tree: Tree[S], parent: Node, left: int) -> None:
    """The right neighbour's entries go to the left one, and its block is freed."""
    children = children_of(parent)
    keep, gone = children[left], children[left + 1]
    if keep.children is None:
        keep.count += gone.count
    else:
        keep.keys = keep.keys + gone.keys
        keep.children = keep.children + children_of(gone)
    del parent.keys[left + 1]
    del children[left + 1]
    tree.space.free_block(gone.block)


def _rebalance_three(tree: Tree[S], parent: Node, left: int, high: int, source: S) -> None:
    """``rebalance3``: the middle node goes where all three are small, else all are evenly filled."""
    for index in (left, left + 1, left + 2):
        tree.shadow_child(parent, index, high, source)
    children = children_of(parent)
    total = tree.entries(parent, left, 3)
    if total >= 4 * _merge_threshold(tree, children[left]) + 1:
        right = total // 3
        first = right + (right * 3 != total)
        tree.spread(parent, left, [first, total - first - right, right], high, source)
        return
    limit = tree.leaf_entries if children[left].children is None else tree.inner_entries
    to_left = min(limit - size_of(children[left]), size_of(children[left + 1]))
    sizes = [size_of(children[left]) + to_left, 0, total - size_of(children[left]) - to_left]
    _empty_center(tree, parent, left, sizes, high, source)
    _merge_or_even(tree, parent, left, high, source)


def _empty_center(tree: Tree[S], parent: Node, left: int, sizes: list[int], high: int, source: S) -> None:
    """``delete_center_node``."""
    children = children_of(parent)
    center = children[left + 1]
    if center.children is None:
        last = left + 3
        upper = parent.keys[last] if last < len(parent.keys) else high
        if sizes[2]:
            parent.keys[left + 2] = source.keys_at(parent.keys[left], upper, [sizes[0]])[0]
        children[left].count, children[left + 2].count = sizes[0], sizes[2]
    else:
        keys = [key for child in children[left : left + 3] for key in child.keys]
        below = [node for child in children[left : left + 3] for node in children_of(child)]
        for index, part in ((left, slice(0, sizes[0])), (left + 2, slice(sizes[0], None))):
            children[index].keys, children[index].children = keys[part], below[part]
        parent.keys[left + 2] = children[left + 2].keys[0]
    del parent.keys[left + 1]
    del children[left + 1]
    tree.space.free_block(center.block)
