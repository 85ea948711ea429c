"""Changes of XFS that only memory holds: headers, inodes and folders wait there until something pushes them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Changes:
    """``blocks`` wait to be written, counted from the device's start."""

    blocks: set[int] = field(default_factory=set)
    since_mount: bool = False
    """Whether something was changed since the mount, pushed or not."""

    def add(self, block: int) -> None:
        """A block was changed."""
        self.blocks.add(block)
        self.since_mount = True

    def copy(self) -> Changes:
        """Others that change by themselves."""
        return Changes(set(self.blocks), self.since_mount)
