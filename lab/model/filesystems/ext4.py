"""ext4 as statfs counts it: how many blocks its files and folders hold.

Where they lie does not matter here: nothing below it allocates by block.  Journal, inode tables and bitmaps are made
with the file system and never counted as used (statfs's ``minixdf``).  Source: ext4(5); Documentation/filesystems/ext4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lab.model.filesystems.filesystem import BLOCK_BYTES, blocks_of, parent_of

_ENTRY_BYTES = 20
"""A folder's entry with a name of usual length: 8 bytes and the name, rounded up to 4."""


class Ext4:
    """One file system.  ``discard_bytes`` takes what ``discard`` or a trim gives back, in bytes."""

    def __init__(self, *, discard: bool = False, discard_bytes: Callable[[int], None] | None = None) -> None:
        self.discard = discard
        self._discard_bytes = discard_bytes or (lambda length: None)
        self._lengths: dict[str, int] = {}
        self._held: dict[str, range | set[int]] = {}        # the blocks of each file that are there
        self._folders: dict[str, int] = {"": 0}             # entries
        self._blocks = 1
        self._freed_blocks = 0

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of that name."""
        return path in self._lengths or path in self._folders

    def make_folders(self, path: str) -> None:
        """Makes a folder, and all above it that do not exist."""
        if path in self._folders:
            return
        self.make_folders(parent_of(path))
        self._folders[path] = 0
        self._blocks += 1
        self._enter(path, 1)

    def create(self, path: str, size_bytes: int) -> None:
        """Makes a file, or gives an old one new content, written from start to end."""
        if parent_of(path) not in self._folders:
            raise KeyError(parent_of(path))
        if path in self._lengths:
            self.remove(path)
        self._lengths[path], self._held[path] = size_bytes, range(blocks_of(size_bytes))
        self._blocks += blocks_of(size_bytes)
        self._enter(path, 1)

    def overwrite(self, path: str, blocks: Iterable[int]) -> None:
        """Writes whole blocks of a file, in place or into a hole."""
        held, written = self._held[path], set(blocks)
        added = written.difference(held)
        if added:
            self._held[path] = added.union(held)
            self._lengths[path] = max(self._lengths[path], (max(added) + 1) * BLOCK_BYTES)
            self._blocks += len(added)

    def touch(self, path: str) -> None:
        """Changes nothing that is counted here."""

    def held_blocks(self, blocks: int) -> int:
        """Blocks that a file holds while a program goes on appending to it."""
        return blocks

    def size_bytes(self, path: str) -> int:
        """A file's length."""
        return self._lengths[path]

    def remove(self, path: str) -> None:
        """Removes a file, or a folder with all in it."""
        if path in self._lengths:
            self._unlink(path)
            return
        if path not in self._folders:
            raise KeyError(path)
        below = f"{path}/"
        for file in [file for file in self._lengths if file.startswith(below)]:
            self._unlink(file)
        for folder in sorted((f for f in self._folders if f == path or f.startswith(below)), reverse=True):
            self._give(1 + self._more(self._folders.pop(folder)))
            self._enter(folder, -1)

    def fsync(self, path: str) -> None:
        """Changes nothing: what lies in the page cache is counted as written."""

    def sync(self) -> None:
        """Changes nothing: what lies in the page cache is counted as written."""

    def trim(self) -> None:
        """Discards all free space."""
        self._discard_bytes(self._freed_blocks * BLOCK_BYTES)
        self._freed_blocks = 0

    @property
    def used_bytes(self) -> int:
        """Blocks in use, as statfs counts them, in bytes."""
        return self._blocks * BLOCK_BYTES

    def _unlink(self, path: str) -> None:
        del self._lengths[path]
        self._give(len(self._held.pop(path)))
        self._enter(path, -1)

    def _enter(self, path: str, step: int) -> None:
        """One entry more or fewer in the folder above; it grows by whole blocks, and never shrinks."""
        folder = parent_of(path)
        if folder not in self._folders:
            return                      # it goes as well
        before, self._folders[folder] = self._folders[folder], self._folders[folder] + step
        if step > 0:
            self._blocks += self._more(self._folders[folder]) - self._more(before)

    @staticmethod
    def _more(entries: int) -> int:
        """Blocks of a folder beyond its first."""
        return max(0, -(-entries * _ENTRY_BYTES // BLOCK_BYTES) - 1)

    def _give(self, blocks: int) -> None:
        self._blocks -= blocks
        if self.discard:
            self._discard_bytes(blocks * BLOCK_BYTES)
        else:
            self._freed_blocks += blocks
