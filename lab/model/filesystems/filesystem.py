"""What file systems have in common: files and folders in, writes and discards of a device out.

Paths are relative to the file system's root, without a leading slash; the root is the empty path.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

BLOCK_BYTES = 4096
"""Blocks of ext4 and XFS as they are made by default."""


def blocks_of(size_bytes: int) -> int:
    """Blocks that hold so many bytes."""
    return -(-size_bytes // BLOCK_BYTES)


def parent_of(path: str) -> str:
    """The folder that a path lies in."""
    return path.rpartition("/")[0]


class FileSystem(Protocol):
    """File work as an application does it.

    Data lie in the page cache until ``fsync`` or ``sync``; folders that do not exist raise KeyError.
    """

    discard: bool
    """Mounted with ``discard``: what is freed is discarded as soon as the log has it."""

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of that name."""
        ...

    def make_folders(self, path: str) -> None:
        """A folder and all above it that do not exist."""
        ...

    def create(self, path: str, size_bytes: int) -> None:
        """A new file, or new content of an old one, written from start to end."""
        ...

    def overwrite(self, path: str, blocks: Iterable[int]) -> None:
        """Writes whole blocks of a file, counted from its start, in place or into a hole."""
        ...

    def touch(self, path: str) -> None:
        """Changes a file's or folder's times."""
        ...

    def held_blocks(self, blocks: int) -> int:
        """Blocks that a file of so many holds while a program goes on appending to it."""
        ...

    def size_bytes(self, path: str) -> int:
        """A file's length."""
        ...

    def remove(self, path: str) -> None:
        """A file, or a folder with all in it."""
        ...

    def fsync(self, path: str) -> None:
        """Writes a file's data, and the log."""
        ...

    def sync(self) -> None:
        """Writes all data, and the log."""
        ...

    def trim(self) -> None:
        """Discards all free space (fstrim)."""
        ...

    @property
    def used_bytes(self) -> int:
        """Blocks in use, as statfs counts them, in bytes."""
        ...
