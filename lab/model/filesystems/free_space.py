"""Free extents of one allocation group, and the choice among them."""

from __future__ import annotations

from bisect import bisect_left, insort


class FreeSpace:
    """Free extents, in file system blocks counted from the group's start; each is (first, end).

    >>> space = FreeSpace([(10, 100)])
    >>> space.take_near(target=3, blocks=8, align=16), space.take_near(target=3, blocks=4)
    (16, 10)
    >>> space.give(16, 8), space.extents
    (None, [(14, 100)])
    """

    def __init__(self, extents: list[tuple[int, int]]) -> None:
        self.extents = sorted(extents)

    def copy(self) -> FreeSpace:
        """Another one that changes by itself."""
        return FreeSpace(list(self.extents))

    @property
    def blocks(self) -> int:
        """Free blocks in all."""
        return sum(end - first for first, end in self.extents)

    @property
    def longest(self) -> int:
        """Length of the longest extent; 0 where nothing is free."""
        return max((end - first for first, end in self.extents), default=0)

    def take_near(self, target: int, blocks: int, align: int = 1) -> int | None:
        """Takes ``blocks`` in one piece, as near to ``target`` as can be, at a multiple of ``align``.

        Returns the first, or None where no extent has room (``xfs_alloc_ag_vextent_near``: of the extents that
        are long enough, the one whose start is nearest).
        """
        best: tuple[int, int, int, int] | None = None
        for first, end in self.extents:
            lowest, highest = -(-first // align) * align, (end - blocks) // align * align
            if lowest > highest:
                continue
            spot = min(max(-(-target // align) * align, lowest), highest)
            if best is None or abs(spot - target) < best[0]:
                best = (abs(spot - target), spot, first, end)
            elif first > target:
                break                   # from here on it only gets further away
        if best is None:
            return None
        _, spot, first, end = best
        self._cut(first, end, spot, blocks)
        return spot

    def take_at(self, spot: int, blocks: int) -> bool:
        """Takes just these blocks.  False, and nothing taken, where they are not all free."""
        for first, end in self.extents:
            if first <= spot and spot + blocks <= end:
                self._cut(first, end, spot, blocks)
                return True
        return False

    def give(self, spot: int, blocks: int) -> None:
        """Gives blocks back; neighbours are joined."""
        first, end = spot, spot + blocks
        at = bisect_left(self.extents, (first, end))
        if at < len(self.extents) and self.extents[at][0] == end:
            end = self.extents.pop(at)[1]
        if at and self.extents[at - 1][1] == first:
            first = self.extents.pop(at - 1)[0]
        insort(self.extents, (first, end))

    def _cut(self, first: int, end: int, spot: int, blocks: int) -> None:
        self.extents.remove((first, end))
        if first < spot:
            insort(self.extents, (first, spot))
        if spot + blocks < end:
            insort(self.extents, (spot + blocks, end))
