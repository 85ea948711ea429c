"""Docker's overlay2 driver: layers as folders of one file system, and a container's view of them.

A write to a file of a lower layer copies the whole file up first; a removal of one leaves a whiteout, a device node
without blocks (Documentation/filesystems/overlayfs.rst).  On a file system with reflinks the copy shares its blocks
until they are written.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from itertools import count

from lab.model.filesystems.filesystem import FileSystem, parent_of
from lab.model.filesystems.image_content import ImageContent, Layer, unpack
from lab.model.filesystems.xfs import Xfs

_ROOT = "overlay2"


class OverlayView:
    """What a container sees, as a file system of its own; all that it writes goes to ``upper``."""

    def __init__(self, below: FileSystem, upper: str, lowers: tuple[str, ...], whiteouts: Container[str]) -> None:
        """``lowers``: the layers' folders, the highest first; ``whiteouts``: what in them hides, and is no file."""
        self._below, self._upper, self._lowers, self._whiteouts = below, upper, lowers, whiteouts
        self.discard = below.discard
        self._hidden: set[str] = set()
        self._own: set[str] = set()

    def exists(self, path: str) -> bool:
        return path in self._own or self._lower(path) is not None

    def make_folders(self, path: str) -> None:
        if path and path not in self._own:
            self.make_folders(parent_of(path))
            self._below.make_folders(f"{self._upper}/{path}")
            self._own.add(path)
            self._hidden.discard(path)

    def create(self, path: str, size_bytes: int) -> None:
        self.make_folders(parent_of(path))
        self._below.create(f"{self._upper}/{path}", size_bytes)
        self._own.add(path)
        self._hidden.discard(path)

    def overwrite(self, path: str, blocks: Iterable[int]) -> None:
        if path not in self._own:
            self._copy_up(path)
        self._below.overwrite(f"{self._upper}/{path}", blocks)

    def touch(self, path: str) -> None:
        if path in self._own:
            self._below.touch(f"{self._upper}/{path}")

    def held_blocks(self, blocks: int) -> int:
        return self._below.held_blocks(blocks)

    def size_bytes(self, path: str) -> int:
        place = f"{self._upper}/{path}" if path in self._own else self._lower(path)
        if place is None:
            raise KeyError(path)
        return self._below.size_bytes(place)

    def remove(self, path: str) -> None:
        lower = self._lower(path)
        own = [one for one in self._own if one == path or one.startswith(f"{path}/")]
        if lower is None and not own:
            raise KeyError(path)
        if path in self._own:
            self._below.remove(f"{self._upper}/{path}")
            self._own.difference_update(own)
        if lower is not None:
            self.make_folders(parent_of(path))
            self._below.create(f"{self._upper}/{path}", 0)
            self._hidden.add(path)

    def fsync(self, path: str) -> None:
        if path in self._own:
            self._below.fsync(f"{self._upper}/{path}")

    def sync(self) -> None:
        self._below.sync()

    def trim(self) -> None:
        self._below.trim()

    @property
    def used_bytes(self) -> int:
        return self._below.used_bytes

    def _lower(self, path: str) -> str | None:
        """Where the highest lower layer that has it keeps it; None where none has, or where it was removed."""
        if any(one in self._hidden for one in _with_parents(path)):
            return None
        for lower in self._lowers:
            if any(f"{lower}/{one}" in self._whiteouts for one in _with_parents(path)):
                return None
            if self._below.exists(f"{lower}/{path}"):
                return f"{lower}/{path}"
        return None

    def _copy_up(self, path: str) -> None:
        lower = self._lower(path)
        if lower is None:
            raise KeyError(path)
        self.make_folders(parent_of(path))
        place = f"{self._upper}/{path}"
        if isinstance(self._below, Xfs):
            self._below.reflink(lower, place)
        else:
            self._below.create(place, self._below.size_bytes(lower))
        self._own.add(path)


def _with_parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = parent_of(path)


class Overlay2:
    """The driver: images' layers, and containers on them."""

    def __init__(self, below: FileSystem) -> None:
        self.below = below
        self._layers: dict[tuple[Layer, ...], str] = {}      # a layer and all below it -> its folder
        self._users: dict[str, int] = {}
        self._whiteouts: set[str] = set()
        self._numbers = count(1)

    def load(self, image: ImageContent) -> None:
        """The image's layers, those that are not there yet."""
        for height in range(1, len(image.layers) + 1):
            chain = image.layers[:height]
            if chain not in self._layers:
                self._layers[chain] = folder = self._folder(f"layer{next(self._numbers)}", "committed")
                unpack(chain[-1], self.below, f"{folder}/diff", whiteouts=True)
                self._whiteouts.update(f"{folder}/diff/{entry.hides}" for entry in chain[-1] if entry.hides)
                self._users[folder] = 0
            self._users[self._layers[chain]] += 1
        self.below.sync()

    def unload(self, image: ImageContent) -> None:
        """The image's layers, those that no other image has."""
        for height in range(len(image.layers), 0, -1):
            folder = self._layers[image.layers[:height]]
            self._users[folder] -= 1
            if not self._users[folder]:
                self.below.remove(folder)
                del self._layers[image.layers[:height]], self._users[folder]
        self.below.sync()

    def create(self, name: str, image: ImageContent, mount_points: Iterable[str]) -> OverlayView:
        """A container's layers, the init layer's and its own, with the folders that its mounts need."""
        lowers = tuple(f"{self._layers[image.layers[:height]]}/diff" for height in range(len(image.layers), 0, -1))
        init = OverlayView(self.below, f"{self._folder(f'{name}-init', 'committed')}/diff", lowers, self._whiteouts)
        for folder in INIT_FOLDERS:
            if not init.exists(folder):
                init.make_folders(folder)
        for file in INIT_FILES:
            init.create(file, 0)
        own = self._folder(name)
        self.below.make_folders(f"{own}/merged")
        view = OverlayView(self.below, f"{own}/diff", (f"{_ROOT}/{name}-init/diff", *lowers), self._whiteouts)
        for folder in mount_points:
            if not view.exists(folder):
                view.make_folders(folder)
        return view

    def delete(self, name: str) -> None:
        """Both layers of a container."""
        self.below.remove(f"{_ROOT}/{name}")
        self.below.remove(f"{_ROOT}/{name}-init")

    def _folder(self, name: str, *more: str) -> str:
        """A layer's folder with what the driver keeps in it."""
        folder = f"{_ROOT}/{name}"
        self.below.make_folders(f"{folder}/diff")
        self.below.make_folders(f"{folder}/work/work")
        for file in ("link", "lower", *more):
            self.below.create(f"{folder}/{file}", 100)
        return folder


INIT_FOLDERS = ("dev/pts", "dev/shm", "proc", "sys")
INIT_FILES = (".dockerenv", "etc/resolv.conf", "etc/hosts", "etc/hostname", "dev/console", "etc/mtab")
"""What the daemon puts below every container, so that it can mount on it (initlayer.Setup of Docker 20.10)."""
