"""The tree that only counts keys has the nodes of one that holds them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.model.metadata.btree import Tree
from lab.model.metadata.btree_remove import remove
from lab.model.metadata.nodes import KeyList, Node, max_entries

Kids = list["Plain"]


class Plain:
    """A node with its keys, and children unless it is a leaf."""

    def __init__(self, keys: list[int], kids: Kids | None = None) -> None:
        self.keys, self.kids = keys, kids


class PlainTree:
    """dm-btree.c and dm-btree-remove.c with explicit keys, nothing shared; limits as small as one likes."""

    def __init__(self, leaf: int, inner: int) -> None:
        self.limits = leaf, inner
        self.root = Plain([])

    def limit(self, node: Plain) -> int:
        return self.limits[node.kids is not None]

    def insert(self, key: int) -> None:
        node = self.root
        if len(node.keys) >= self.limit(node) and not (node.kids is None and key in node.keys):
            half = len(node.keys) // 2
            parts = [
                Plain(node.keys[part], None if node.kids is None else node.kids[part])
                for part in (slice(0, half), slice(half, None))
            ]
            node.keys, node.kids = [part.keys[0] for part in parts], parts
        while node.kids is not None:
            index = bisect_right(node.keys, key) - 1
            if index < 0:
                node.keys[0], index = key, 0
            child = node.kids[index]
            if len(child.keys) >= self.limit(child) and not (child.kids is None and key in child.keys):
                self.make_room(node, index)
                index = max(bisect_right(node.keys, key) - 1, 0)
            node = node.kids[index]
        if key not in node.keys:
            node.keys.insert(bisect_left(node.keys, key), key)

    def spread(self, parent: Plain, first: int, targets: list[int]) -> None:
        assert parent.kids is not None
        nodes = parent.kids[first : first + len(targets)]
        keys = [key for node in nodes for key in node.keys]
        kids = None if nodes[0].kids is None else [kid for node in nodes for kid in node.kids or ()]
        start = 0
        for place, (node, target) in enumerate(zip(nodes, targets, strict=True)):
            node.keys = keys[start : start + target]
            node.kids = None if kids is None else kids[start : start + target]
            if place:
                parent.keys[first + place] = node.keys[0]
            start += target

    def make_room(self, parent: Plain, index: int) -> None:
        kids = parent.kids
        assert kids is not None
        for sibling in (index - 1, index + 1):
            if 0 <= sibling < len(kids) and self.limit(kids[sibling]) - len(kids[sibling].keys) >= 8:
                first = min(sibling, index)
                total = len(kids[first].keys) + len(kids[first + 1].keys)
                self.spread(parent, first, [total // 2, total - total // 2])
                return
        fresh = Plain([], None if kids[index].kids is None else [])
        if len(kids) <= 2 or index in (0, len(kids) - 1):
            kids.insert(index + 1, fresh)
            parent.keys.insert(index + 1, 0)
            total = len(kids[index].keys)
            self.spread(parent, index, [total // 2, total - total // 2])
            return
        kids.insert(index, fresh)
        parent.keys.insert(index, 0)
        total = sum(len(kid.keys) for kid in kids[index - 1 : index + 2])
        left = total // 3
        center = (total - left) // 2
        self.spread(parent, index - 1, [left, center, total - left - center])

    def remove(self, key: int) -> None:
        node = self.root
        while node.kids is not None:
            self.rebalance(node, key)
            if node.kids is None:
                break
            node = node.kids[bisect_right(node.keys, key) - 1]
        if key in node.keys:
            node.keys.remove(key)

    def rebalance(self, node: Plain, key: int) -> None:
        kids = node.kids
        assert kids is not None
        if len(kids) == 1:
            node.keys, node.kids = kids[0].keys, kids[0].kids
            return
        index = bisect_right(node.keys, key) - 1
        if index in (0, len(kids) - 1):
            self.two(node, min(index, len(kids) - 2))
            return
        left = index - 1
        sizes = [len(kid.keys) for kid in kids[left : left + 3]]
        total = sum(sizes)
        if total >= self.limit(kids[left]) // 3 * 4 + 1:
            right = total // 3
            first = right + (right * 3 != total)
            self.spread(node, left, [first, total - first - right, right])
            return
        moved = min(self.limit(kids[left]) - sizes[0], sizes[1])
        center = kids.pop(left + 1)
        node.keys.pop(left + 1)
        kids[left].keys = kids[left].keys + center.keys[:moved]
        kids[left + 1].keys = center.keys[moved:] + kids[left + 1].keys
        if center.kids is not None:
            kids[left].kids = [*(kids[left].kids or ()), *center.kids[:moved]]
            kids[left + 1].kids = [*center.kids[moved:], *(kids[left + 1].kids or ())]
        node.keys[left + 1] = kids[left + 1].keys[0]
        self.two(node, left)

    def two(self, parent: Plain, left: int) -> None:
        assert parent.kids is not None
        one, other = parent.kids[left : left + 2]
        total = len(one.keys) + len(other.keys)
        if total < 2 * (self.limit(one) // 3 + 1):
            one.keys = one.keys + other.keys
            one.kids = None if one.kids is None else [*one.kids, *(other.kids or ())]
            del parent.keys[left + 1], parent.kids[left + 1]
        else:
            self.spread(parent, left, [total // 2, total - total // 2])


class Blocks:
    """A space without end."""

    transaction = 0

    def __init__(self) -> None:
        self.next = 0
        self.used: set[int] = set()

    def new_block(self) -> int:
        self.next += 1
        self.used.add(self.next)
        return self.next

    def free_block(self, block: int) -> None:
        self.used.remove(block)

    def add_reference(self, node: Node) -> None:
        raise AssertionError("nothing is shared here")

    drop_reference = add_reference


def shape(node: Plain) -> object:
    return len(node.keys) if node.kids is None else (list(node.keys), [shape(kid) for kid in node.kids])


def counted(node: Node) -> object:
    return node.count if node.children is None else (list(node.keys), [counted(kid) for kid in node.children])


def play(steps: list[tuple[bool, int]], leaf: int, inner: int) -> None:
    blocks, keys = Blocks(), KeyList()
    tree: Tree[KeyList] = Tree(blocks, leaf, inner_entries=inner)
    root, plain = tree.empty(), PlainTree(leaf, inner)
    for number, (insert, key) in enumerate(steps):
        if insert:
            is_new = key not in keys
            root, *_ = tree.insert(root, key, is_new, keys)
            plain.insert(key)
            if is_new:
                keys.add(key)
        elif keys.keys:
            gone = keys.keys[key % len(keys.keys)]
            root, found, *_ = remove(tree, root, gone, keys)
            found.count -= 1
            keys.remove(gone)
            plain.remove(gone)
        if number % 7 == 0 or number > len(steps) - 20:
            assert counted(root) == shape(plain.root)
        blocks.transaction += number % 5 == 0
    assert counted(root) == shape(plain.root)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 30), mix=st.floats(0.35, 0.9), leaf=st.sampled_from([12, 18, 30]))
def test_random_programs(seed: int, mix: float, leaf: int) -> None:
    generator = np.random.default_rng(seed)
    inserts = (generator.random(900) < mix).tolist()
    inserts += (generator.random(600) < 0.2).tolist()
    keys = generator.integers(0, 5000, len(inserts)).tolist()
    play(list(zip(inserts, keys, strict=True)), leaf, 12)


@pytest.mark.parametrize("order", ["ascending", "descending", "zigzag"])
def test_orders(order: str) -> None:
    keys = list(range(3000))
    if order == "descending":
        keys.reverse()
    elif order == "zigzag":
        keys = [key // 2 if key % 2 else 3000 - key // 2 for key in keys]
    play([(True, key) for key in keys] + [(False, 7 * key) for key in keys], 18, 12)


def test_entries_of_a_node() -> None:
    assert [max_entries(size) for size in (4, 8, 16, 24)] == [336, 252, 168, 126]
