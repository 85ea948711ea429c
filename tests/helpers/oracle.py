"""The thin pool once more, with dicts and sets and none of the model's code: what the tests compare with."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Oracle:
    """Rules of thin-provisioning.rst and of the ground truth's README, one block at a time, error_if_no_space."""

    chunk: int
    blocks: int
    time: int = 0
    pointer: int = 0
    full: bool = False
    maps: dict[int, dict[int, tuple[int, int]]] = field(default_factory=dict)
    snapped: dict[int, int] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)

    def used(self) -> set[int]:
        return {data for mapping in self.maps.values() for data, _ in mapping.values()}

    def commit(self) -> None:
        self.committed = self.used()
        if self.full and len(self.committed) < self.blocks:
            self.full = False

    def create(self, thin: int) -> None:
        self.maps[thin], self.snapped[thin] = {}, self.time
        self.commit()

    def snap(self, thin: int, origin: int) -> None:
        self.time += 1
        self.maps[thin] = dict(self.maps[origin])
        self.snapped[thin] = self.snapped[origin] = self.time
        self.commit()

    def delete(self, thin: int) -> None:
        del self.maps[thin], self.snapped[thin]
        self.commit()

    def grow(self, blocks: int) -> None:
        self.commit()
        self.blocks += blocks
        self.commit()

    def reactivate(self) -> None:
        self.commit()
        self.pointer, self.full = 0, False

    def allocate(self) -> int | None:
        if self.full:
            return None
        if len(self.used()) == self.blocks:
            self.commit()
        taken = self.used() | self.committed
        for step in range(self.blocks):
            block = (self.pointer + step) % self.blocks
            if block not in taken:
                self.pointer = block + 1
                return block
        self.full = True
        return None

    def write(self, thin: int, offset: int, length: int) -> bool:
        fine = True
        mapping = self.maps[thin]
        for block in range(offset // self.chunk, (offset + length - 1) // self.chunk + 1):
            if block in mapping and mapping[block][1] >= self.snapped[thin]:
                continue
            data = self.allocate()
            if data is None:
                fine = False
            else:
                mapping[block] = (data, self.time)
        return fine

    def discard(self, thin: int, offset: int, length: int) -> None:
        for block in range(-(-offset // self.chunk), (offset + length) // self.chunk):
            self.maps[thin].pop(block, None)
