"""Nodes of the kernel's B-trees, and what the trees ask of whoever keeps their keys and blocks.

A node is one metadata block.  A leaf keeps only how many keys it has: which ones is known to whoever
owns the keys (``KeySource``), since a leaf holds exactly the keys between its bounds.  So a tree of a
million mappings takes some hundred kilobytes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Protocol

from lab.units import METADATA_BLOCK_BYTES

NODE_HEADER_BYTES = 32
KEY_BYTES = 8

LAST_KEY = 1 << 63
"""Above every key."""


def max_entries(value_bytes: int) -> int:
    """Entries of a node, a multiple of three (``calc_max_entries``).

    >>> max_entries(8), max_entries(24), max_entries(4)  # mappings, device details, reference counts
    (252, 126, 336)
    """
    return (METADATA_BLOCK_BYTES - NODE_HEADER_BYTES) // (KEY_BYTES + value_bytes) // 3 * 3

INTERNAL_ENTRIES = max_entries(8)


class KeySource(Protocol):
    """Whoever knows which keys a tree holds."""

    def keys_at(self, low: int, high: int, ranks: Sequence[int]) -> list[int]:
        """The keys of the given ranks (0 = lowest) among those with low <= key < high."""
        ...

    def __contains__(self, key: int) -> bool: ...


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


NO_KEYS: list[int] = []
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
        self.keys = NO_KEYS
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


def count_nodes(root: Node) -> tuple[int, int]:
    """Leaves and inner nodes below and including a root, shared or not."""
    if root.children is None:
        return 1, 0
    below = [count_nodes(child) for child in root.children]
    return sum(leaves for leaves, _ in below), 1 + sum(inner for _, inner in below)


def children_of(node: Node) -> list[Node]:
    """Children of an inner node.  Raises TypeError for a leaf."""
    if node.children is None:
        raise TypeError("a leaf has no children")
    return node.children


def size_of(node: Node) -> int:
    """Entries of a node."""
    return node.count if node.children is None else len(node.keys)


def halves(total: int) -> list[int]:
    """A number in two parts, the right one larger where it is odd."""
    return [total // 2, total - total // 2]
