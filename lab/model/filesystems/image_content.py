"""What an image holds, layer by layer: names, kinds and lengths, no content."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lab.model.filesystems.filesystem import FileSystem, parent_of

WHITEOUT_PREFIX = ".wh."
"""A file of that name hides, in a layer, the one without it (OCI image layer specification, Whiteouts)."""

OPAQUE = ".wh..wh..opq"
"""Hides all that lower layers have in its folder."""


class Kind(Enum):
    """What a layer's entry is; the values are those of the shipped list."""

    FILE = "f"
    FOLDER = "d"
    LINK = "l"
    """A symbolic link, or anything else that takes an inode and no blocks."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a layer, in the archive's order.  ``path`` has no leading slash."""

    path: str
    kind: Kind
    size_bytes: int = 0

    @property
    def hides(self) -> str | None:
        """The path that this entry hides in the layers below; None for one that is there."""
        folder, leaf = parent_of(self.path), self.path.rpartition("/")[2]
        if leaf == OPAQUE or not leaf.startswith(WHITEOUT_PREFIX):
            return None
        hidden = leaf.removeprefix(WHITEOUT_PREFIX)
        return f"{folder}/{hidden}" if folder else hidden


Layer = tuple[Entry, ...]


@dataclass(frozen=True)
class ImageContent:
    """The layers, lowest first.  Two images that share a layer hold equal tuples."""

    name: str
    layers: tuple[Layer, ...]

    def files(self) -> dict[str, int]:
        """Length in bytes of each file that a container of the image sees."""
        seen: dict[str, int] = {}
        for entry in (entry for layer in self.layers for entry in layer):
            if (hidden := entry.hides) is not None:
                for path in [path for path in seen if path == hidden or path.startswith(f"{hidden}/")]:
                    del seen[path]
            elif entry.kind is Kind.FILE:
                seen[entry.path] = entry.size_bytes
        return seen


def unpack(layer: Layer, onto: FileSystem, root: str, *, whiteouts: bool) -> None:
    """Writes a layer below ``root``, in the archive's order.

    With ``whiteouts`` an entry that hides another is kept as a file of its own, as overlay2 keeps it (a device
    node); without, what it hides is removed.
    """
    for entry in layer:
        path = f"{root}/{entry.path}"
        if (hidden := entry.hides) is not None:
            target = f"{root}/{hidden}"
            if whiteouts:
                onto.make_folders(parent_of(target))
                onto.create(target, 0)
            elif onto.exists(target):
                onto.remove(target)
        elif entry.kind is Kind.FOLDER and onto.exists(path):
            onto.touch(path)
        elif entry.kind is Kind.FOLDER:
            onto.make_folders(path)
        else:
            onto.make_folders(parent_of(path))
            onto.create(path, entry.size_bytes)
