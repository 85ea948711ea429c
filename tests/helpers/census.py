"""What a pool's metadata blocks hold, counted by walking the model's trees: the tests compare it with its counters."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from lab.model.metadata.metadata import PoolMetadata
from lab.model.metadata.nodes import Node, count_nodes


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
        return sum(astuple(self))


def census(metadata: PoolMetadata) -> Census:
    """What the blocks in use hold now."""
    seen: dict[int, Node] = {}
    stack = list(metadata._roots.values())
    while stack:
        node = stack.pop()
        if id(node) not in seen:
            seen[id(node)] = node
            stack.extend(node.children or ())
    inner = sum(node.children is not None for node in seen.values())
    return Census(
        superblock=1,
        metadata_space_map=metadata.space.count_blocks(),
        data_bitmaps=len(metadata._data.bitmaps),
        data_index=sum(count_nodes(metadata._data.index.root)),
        data_counts=sum(count_nodes(metadata._data.counts.root)),
        details=sum(count_nodes(metadata._details.root)),
        devices=sum(count_nodes(metadata._devices.root)),
        mapping_leaves=len(seen) - inner,
        mapping_inner=inner,
    )
