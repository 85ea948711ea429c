"""What a container's steps do to its file system: the same files, in the same order, as in a measured run.

The measured work is ``lab/rig/guest/work.py``; where that draws at random, this draws the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from lab.model.filesystems.filesystem import BLOCK_BYTES, FileSystem
from lab.scenario.steps import FileTask

_FILES_A_FOLDER = 100


@dataclass(frozen=True, slots=True)
class Done:
    """What a piece of work wrote, and how often it waited for the disk."""

    application_bytes: int = 0
    syncs: int = 0


class FileWork:
    """Work below one folder of a file system."""

    def __init__(self, files: FileSystem, folder: str) -> None:
        self._files, self._folder = files, folder

    def do(self, task: FileTask) -> Done:
        """A piece of file work.  Raises ValueError for lines of a log, KeyError for a file that is not there."""
        if task.work == "write":
            return self.write(task.amount_bytes, task.files, task.tag)
        if task.work == "update":
            return self.update(task.file, task.amount_bytes, task.seed)
        if task.work == "small_files":
            return self.small_files(task.files, task.amount_bytes, task.tag)
        if task.work == "delete":
            return self.delete(task.file)
        raise ValueError(f"{task.work} is no work in a file system")

    def write(self, amount_bytes: int, files: int, tag: str) -> Done:
        """New files of equal length, each forced out."""
        self._files.make_folders(f"{self._folder}/written")
        share = amount_bytes // files
        for number in range(files):
            path = f"{self._folder}/written/{tag}-{number}"
            self._files.create(path, share)
            self._files.fsync(path)
        return Done(share * files, files)

    def update(self, file: str, amount_bytes: int, seed: int) -> Done:
        """Overwrites pages of a file in place, at the places that the seed draws.  Raises KeyError for no such file."""
        path = f"{self._folder}/{file}"
        count = amount_bytes // BLOCK_BYTES
        self._files.overwrite(path, random.Random(seed).sample(range(self._files.size_bytes(path) // BLOCK_BYTES),
                                                                count))
        self._files.fsync(path)
        return Done(count * BLOCK_BYTES, 1)

    def small_files(self, count: int, each_bytes: int, tag: str) -> Done:
        """Many small files, a hundred a folder; the folder above is forced out, the data are not."""
        top = f"{self._folder}/small"
        for number in range(count):
            folder = f"{top}/{number // _FILES_A_FOLDER}"
            self._files.make_folders(folder)
            self._files.create(f"{folder}/{tag}-{number}", each_bytes)
        self._files.fsync(top)
        return Done(count * each_bytes, 1)

    def delete(self, what: str) -> Done:
        """A file or folder; the folder above is forced out.  Raises KeyError where it is not there."""
        self._files.remove(f"{self._folder}/{what}")
        self._files.fsync(self._folder)
        return Done(syncs=1)

    def write_blocks(self, file: str, blocks: Iterable[int]) -> None:
        """Writes blocks of 4 KiB of a file, which is made where there is none, past the page cache."""
        path = f"{self._folder}/{file}"
        if not self._files.exists(path):
            self._files.make_folders(self._folder)
            self._files.create(path, 0)
        self._files.overwrite(path, blocks)
        self._files.fsync(path)


def log_line_bytes(width: int) -> int:
    """Bytes that the json-file log driver keeps of a line of ``width`` bytes: its text and its time of day.

    >>> log_line_bytes(100)
    169
    """
    return width + 69
