"""Mappings of a thin device, as the metadata asks for them: it keeps the shape of trees, not their content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Mappings(Protocol):
    """Mappings of one thin device, as the trees ask for them (it is a KeySource)."""

    def keys_at(self, low: int, high: int, ranks: Sequence[int]) -> list[int]:
        """Mapped virtual blocks of the given ranks in [low, high)."""
        ...

    def data_in(self, low: int, high: int) -> NDArray[np.int64]:
        """Data blocks mapped in [low, high), in the order of the virtual blocks."""
        ...

    def __contains__(self, key: int) -> bool: ...


class MappingsInProgress(Mappings, Protocol):
    """Mappings in the middle of a batch: the first ``position`` of the new ones are in place."""

    position: int


class RemovableMappings(Mappings, Protocol):
    """Mappings that can be taken out."""

    def unmap(self, key: int) -> int:
        """Take one virtual block out; returns its data block."""
        ...
