"""The space of XFS: free blocks by allocation group, and those freed that the log does not have yet.

Blocks are counted from the device's start.  Names in brackets are functions in fs/xfs/ of Linux 6.1.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.model.filesystems.free_space import FreeSpace
from lab.model.filesystems.xfs_changes import Changes
from lab.model.filesystems.xfs_geometry import HEADER_BLOCKS, XfsGeometry


class NoRoom(Exception):
    """The file system has no space left."""


class XfsSpace:
    """The space of one file system.  ``changes`` is told of the headers of groups that are taken from or given to."""

    def __init__(self, geometry: XfsGeometry, changes: Changes) -> None:
        """All is free but the groups' headers and the log."""
        self._geometry, self._changes = geometry, changes
        self.groups: list[FreeSpace] = []
        """Blocks in these are counted from the group's start."""
        self._busy: list[tuple[int, int]] = []
        for group in range(geometry.groups):
            log = geometry.log_first - group * geometry.group_blocks
            end = geometry.blocks_of(group)
            whole = [(HEADER_BLOCKS, end)]
            if group == geometry.log_group:
                whole = [(log + geometry.log_blocks, end)]
                if log > HEADER_BLOCKS:
                    whole.append((HEADER_BLOCKS, log))
            self.groups.append(FreeSpace(whole))

    def copy(self, changes: Changes) -> XfsSpace:
        """The same space on a snapshot."""
        other = object.__new__(XfsSpace)
        other._geometry, other._changes = self._geometry, changes
        other.groups = [space.copy() for space in self.groups]
        other._busy = list(self._busy)
        return other

    @property
    def free_blocks(self) -> int:
        """Free blocks, those included that are freed and not yet in the log."""
        return sum(space.blocks for space in self.groups) + sum(blocks for _, blocks in self._busy)

    def change_header(self, group: int) -> None:
        """The group's header is to be written."""
        self._changes.add(group * self._geometry.group_blocks)

    def take(self, near: int, blocks: int, *, aligned: bool = False) -> int:
        """The first of ``blocks`` in one piece: as near to a block as its group has them, else in the next group.

        ``aligned``: from a stripe unit's length on at a multiple of the stripe unit, if there is one.  Raises NoRoom.
        """
        stripe, home = self._geometry.stripe_blocks, near // self._geometry.group_blocks
        for group in [(home + step) % self._geometry.groups for step in range(self._geometry.groups)]:
            base = group * self._geometry.group_blocks
            target = near - base if group == home else HEADER_BLOCKS
            spot = self.groups[group].take_near(target, blocks, stripe) if aligned and blocks >= stripe else None
            if spot is None:
                spot = self.groups[group].take_near(target, blocks)
            if spot is not None:
                self.change_header(group)
                return base + spot
        raise NoRoom

    def take_pieces(self, near: int, blocks: int, *, aligned: bool) -> Iterable[tuple[int, int]]:
        """Firsts and lengths: in one piece as ``take`` has it, else in the longest there are.  Raises NoRoom."""
        try:
            return [(self.take(near, blocks, aligned=aligned), blocks)]
        except NoRoom:
            pieces: list[tuple[int, int]] = []
        while blocks:
            group = max(range(self._geometry.groups), key=lambda number: self.groups[number].longest)
            piece = min(blocks, self.groups[group].longest)
            spot = self.groups[group].take_near(HEADER_BLOCKS, piece) if piece else None
            if spot is None:
                for first, taken in pieces:
                    self.free_later(first, taken)
                raise NoRoom
            self.change_header(group)
            pieces.append((group * self._geometry.group_blocks + spot, piece))
            blocks -= piece
        return pieces

    def free_later(self, first: int, blocks: int) -> None:
        """Frees blocks, which can be taken again after ``settle``."""
        self._busy.append((first, blocks))
        self.change_header(first // self._geometry.group_blocks)

    def settle(self) -> list[tuple[int, int]]:
        """The log has it: what was freed is free (``xfs_extent_busy_clear``).  Returns firsts and lengths."""
        freed, self._busy = self._busy, []
        for first, blocks in freed:
            self.groups[first // self._geometry.group_blocks].give(first % self._geometry.group_blocks, blocks)
        return freed
