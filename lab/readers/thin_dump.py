"""XML of thin_dump and thin_restore, read and written as a stream.

Format: what ``thin_dump`` of thin-provisioning-tools prints, version 2 of the metadata.  Blocks are data
blocks except ``data_block_size``, which is in sectors of 512 bytes.  ``nr_data_blocks`` is 0 in a dump of a
metadata snapshot.  Since 1.0 what several devices share stands once, in ``def``, and each of them, and other ``def``,
has a ``ref`` to it by its name.
"""

from __future__ import annotations

import gzip
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from lab.errors import ReaderError
from lab.readers.text_file import open_bytes
from lab.units import CHUNK_MAX_BYTES, CHUNK_STEP_BYTES, SECTOR_BYTES

_PART_BYTES = 1 << 16
_MAX_DIGITS = 18

MOST_MAPPED_BLOCKS = 1 << 25
"""Of all devices together: what is mapped is held in memory, block by block."""

_MOST_SILENT_PARTS = 16
"""Parts of a file in which no element ends or begins: an attribute without an end would fill the memory."""

_MOST_DEFS = 1 << 20


@dataclass(frozen=True, slots=True)
class DumpSuperblock:
    """Attributes of the pool.  ``time`` is its number of snapshots, ``data_block_sectors`` of 512 bytes."""

    uuid: str
    time: int
    transaction: int
    data_block_sectors: int
    data_blocks: int
    flags: int = 0
    version: int = 2


@dataclass(frozen=True, slots=True)
class DumpDevice:
    """A thin device; its mappings follow."""

    device_id: int
    mapped_blocks: int
    transaction: int
    creation_time: int
    snapshot_time: int


@dataclass(frozen=True, slots=True)
class DumpMapping:
    """A run of mappings of the device before it: ``length`` blocks, all mapped at ``time``."""

    device_id: int
    virtual_block: int
    data_block: int
    length: int
    time: int


DumpItem = DumpSuperblock | DumpDevice | DumpMapping


@dataclass(slots=True)
class _Shared:
    """Runs that stand once, in their order: mappings without a device, and others' runs."""

    parts: list[DumpMapping | _Shared] = field(default_factory=list)
    first_block: int = 0
    next_block: int = 0
    blocks: int = 0

    def add(self, part: DumpMapping | _Shared, first_block: int, next_block: int, blocks: int) -> None:
        self.first_block = self.first_block if self.parts else first_block
        self.parts.append(part)
        self.next_block, self.blocks = next_block, self.blocks + blocks

    def mappings(self) -> Iterator[DumpMapping]:
        """All runs, without recursion: definitions may be nested as deeply as the file is long."""
        stack: list[Iterator[DumpMapping | _Shared]] = [iter(self.parts)]
        while stack:
            for part in stack[-1]:
                if isinstance(part, _Shared):
                    stack.append(iter(part.parts))
                    break
                yield part
            else:
                stack.pop()


@dataclass(frozen=True, slots=True)
class _Reference:
    """Shared runs as those of a device."""

    device_id: int
    shared: _Shared


@dataclass(frozen=True, slots=True)
class DumpedThin:
    """A thin device with its mappings, one entry a block, by ascending virtual block."""

    device: DumpDevice
    virtual_blocks: NDArray[np.int64]
    data_blocks: NDArray[np.int64]
    times: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ThinDump:
    """A whole dump."""

    superblock: DumpSuperblock
    thins: dict[int, DumpedThin]


def read_thin_dump(path: Path) -> ThinDump:
    """A whole dump, plain or gzipped.  Raises ReaderError with file:line for what is malformed or cut off."""
    superblock: DumpSuperblock | None = None
    devices: dict[int, DumpDevice] = {}
    runs: dict[int, array[int]] = {}
    for item in iterate_thin_dump(path):
        if isinstance(item, DumpSuperblock):
            superblock = item
        elif isinstance(item, DumpDevice):
            devices[item.device_id] = item
            runs[item.device_id] = array("q")
        else:
            runs[item.device_id].extend((item.virtual_block, item.data_block, item.time, item.length))
    if superblock is None:
        raise ReaderError("has no superblock", where=str(path))
    thins = {device_id: _expanded(device, runs[device_id]) for device_id, device in devices.items()}
    return ThinDump(superblock, thins)


def _expanded(device: DumpDevice, runs: array[int]) -> DumpedThin:
    table = np.array(runs, np.int64).reshape(len(runs) // 4, 4)
    lengths = table[:, 3]
    steps = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    virtual, data, times = (np.repeat(table[:, column], lengths) for column in range(3))
    return DumpedThin(device, virtual + steps, data + steps, times)


def iterate_thin_dump(path: Path) -> Iterator[DumpItem]:
    """Superblock, then each device with its mappings behind it.  Raises ReaderError as above."""
    reader = _Reader(path)
    try:
        with open_bytes(path) as file:
            while part := file.read(_PART_BYTES):
                for item in reader.feed(part):
                    yield from _items_of(item)
            for item in reader.feed(b"", final=True):
                yield from _items_of(item)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReaderError(f"the gzipped file is damaged or cut off: {error}", where=reader.where) from error
    except OSError as error:
        raise ReaderError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def _items_of(item: DumpItem | _Reference) -> Iterator[DumpItem]:
    if isinstance(item, _Reference):
        for run in item.shared.mappings():
            yield DumpMapping(item.device_id, run.virtual_block, run.data_block, run.length, run.time)
    else:
        yield item


class _Reader:
    """Turns XML into items as it comes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._items: list[DumpItem | _Reference] = []
        self._data_blocks = 0
        self._mapped = 0
        self._defs: dict[str, _Shared] = {}
        self._open_def: _Shared | None = None
        self._open_name = ""
        self._silent_parts = 0
        self._superblock = False
        self._device: DumpDevice | None = None
        self._left = 0
        self._next_block = 0
        self._seen: set[int] = set()
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.DefaultHandler = self._other

    @property
    def where(self) -> str:
        return f"{self._path}:{self._parser.CurrentLineNumber}"

    def feed(self, part: bytes, final: bool = False) -> list[DumpItem | _Reference]:
        self._items = []
        self._silent_parts += 1
        if self._silent_parts > _MOST_SILENT_PARTS:
            raise ReaderError(f"more than {_MOST_SILENT_PARTS * _PART_BYTES} bytes without an element's begin or end: "
                              "an attribute without an end?", where=self.where)
        try:
            self._parser.Parse(part, final)
        except expat.ExpatError as error:
            cut = " (the file is cut off)" if final else ""
            raise ReaderError(f"is no XML: {expat.ErrorString(error.code)}{cut}",
                              where=f"{self._path}:{error.lineno}") from error
        return self._items

    def _doctype(self, *_: object) -> None:
        raise ReaderError("has a document type; thin_dump writes none", where=self.where)

    def _other(self, _: str) -> None:
        """White space and comments."""
        self._silent_parts = 0

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._silent_parts = 0
        inside = self._device is not None or self._open_def is not None
        if name == "superblock" and not self._superblock:
            self._start_superblock(attributes)
        elif name == "device" and self._superblock and not inside:
            self._start_device(attributes)
        elif name == "def" and self._superblock and not inside:
            self._start_def(attributes)
        elif name in ("single_mapping", "range_mapping") and inside:
            self._mapping(name, attributes)
        elif name == "ref" and inside:
            self._ref(attributes)
        else:
            raise ReaderError(f"element {name[:40]!r} is unknown, or not expected here", where=self.where)

    def _start_superblock(self, attributes: dict[str, str]) -> None:
        sectors, blocks = self._number(attributes, "data_block_size"), self._number(attributes, "nr_data_blocks")
        step, most = CHUNK_STEP_BYTES // SECTOR_BYTES, CHUNK_MAX_BYTES // SECTOR_BYTES
        if not step <= sectors <= most or sectors % step:
            raise ReaderError(f"data_block_size is {sectors} sectors; {step} to {most} in steps of {step} expected",
                              where=self.where)
        self._superblock, self._data_blocks = True, blocks
        self._items.append(
            DumpSuperblock(uuid=attributes.get("uuid", ""), time=self._number(attributes, "time"),
                           transaction=self._number(attributes, "transaction"), data_block_sectors=sectors,
                           data_blocks=blocks, flags=self._number(attributes, "flags", 0),
                           version=self._number(attributes, "version", 2))
        )

    def _start_def(self, attributes: dict[str, str]) -> None:
        name = attributes.get("name", "")
        if not name or name in self._defs:
            raise ReaderError(f"def {name[:40]!r}: a name that no other has expected", where=self.where)
        if len(self._defs) >= _MOST_DEFS:
            raise ReaderError(f"more than {_MOST_DEFS} def", where=self.where)
        self._open_name, self._open_def = name, _Shared()
        self._next_block = 0

    def _ref(self, attributes: dict[str, str]) -> None:
        name = attributes.get("name", "")
        shared = self._defs.get(name)
        if shared is None:
            raise ReaderError(f"ref to {name[:40]!r}, which no def before it has", where=self.where)
        if not shared.blocks:
            return
        self._take(shared.first_block, shared.next_block, shared.blocks)
        if self._open_def is not None:
            self._open_def.add(shared, shared.first_block, shared.next_block, shared.blocks)
        elif self._device is not None:
            self._items.append(_Reference(self._device.device_id, shared))

    def _start_device(self, attributes: dict[str, str]) -> None:
        device = DumpDevice(device_id=self._number(attributes, "dev_id"),
                            mapped_blocks=self._number(attributes, "mapped_blocks"),
                            transaction=self._number(attributes, "transaction"),
                            creation_time=self._number(attributes, "creation_time"),
                            snapshot_time=self._number(attributes, "snap_time"))
        if device.device_id in self._seen:
            raise ReaderError(f"device {device.device_id} is there twice", where=self.where)
        self._seen.add(device.device_id)
        self._mapped += device.mapped_blocks
        if self._mapped > MOST_MAPPED_BLOCKS:
            raise ReaderError(f"mapped_blocks is {device.mapped_blocks}, {self._mapped} up to here; at most "
                              f"{MOST_MAPPED_BLOCKS} in all are read", where=self.where)
        self._device, self._left, self._next_block = device, device.mapped_blocks, 0
        self._items.append(device)

    def _mapping(self, name: str, attributes: dict[str, str]) -> None:
        single = name == "single_mapping"
        virtual_block = self._number(attributes, "origin_block" if single else "origin_begin")
        length = 1 if single else self._number(attributes, "length")
        self._take(virtual_block, virtual_block + length, length)
        data_block = self._number(attributes, "data_block" if single else "data_begin")
        if self._data_blocks and data_block + length > self._data_blocks:
            raise ReaderError(f"data blocks {data_block} to {data_block + length - 1}: the pool has "
                              f"{self._data_blocks}", where=self.where)
        time = self._number(attributes, "time")
        if self._open_def is not None:
            self._open_def.add(DumpMapping(-1, virtual_block, data_block, length, time), virtual_block,
                               self._next_block, length)
        elif self._device is not None:
            self._items.append(DumpMapping(self._device.device_id, virtual_block, data_block, length, time))

    def _take(self, first_block: int, next_block: int, blocks: int) -> None:
        """Some more blocks, which have to lie behind those before."""
        if first_block < self._next_block or blocks < 1:
            raise ReaderError(
                f"mapping of {blocks} blocks at {first_block}: blocks from {self._next_block} on expected",
                where=self.where,
            )
        self._next_block = next_block
        if self._device is None:
            return
        self._left -= blocks
        if self._left < 0:
            raise ReaderError(f"device {self._device.device_id} maps more than {self._device.mapped_blocks} blocks",
                              where=self.where)

    def _end(self, name: str) -> None:
        self._silent_parts = 0
        if name == "def" and self._open_def is not None:
            only = self._open_def.parts[0] if len(self._open_def.parts) == 1 else None
            # a chain of names for the same would be walked for each device
            self._defs[self._open_name] = only if isinstance(only, _Shared) else self._open_def
            self._open_def = None
        if name != "device" or self._device is None:
            return
        if self._left:
            raise ReaderError(
                f"device {self._device.device_id} says mapped_blocks={self._device.mapped_blocks} "
                f"and lists {self._device.mapped_blocks - self._left}",
                where=self.where,
            )
        self._device = None

    def _number(self, attributes: dict[str, str], name: str, default: int | None = None) -> int:
        if name not in attributes and default is not None:
            return default
        text = attributes.get(name)
        if text is None or not (text.isascii() and text.isdigit()) or len(text) > _MAX_DIGITS:
            raise ReaderError(f"{name} is {str(text)[:40]!r}; a whole number expected", where=self.where)
        return int(text)


def write_thin_dump(file: TextIO, superblock: DumpSuperblock,
                    thins: Iterable[tuple[DumpDevice, Iterable[DumpMapping]]]) -> None:
    """Write XML that thin_restore takes.  Raises ValueError for a uuid that is no plain word."""
    if superblock.uuid and not (superblock.uuid.isascii() and superblock.uuid.replace("-", "").isalnum()):
        raise ValueError(f"uuid {superblock.uuid!r} has characters other than letters, digits and -")
    file.write(
        f'<superblock uuid="{superblock.uuid}" time="{superblock.time}" transaction="{superblock.transaction}" '
        f'flags="{superblock.flags}" version="{superblock.version}" '
        f'data_block_size="{superblock.data_block_sectors}" nr_data_blocks="{superblock.data_blocks}">\n'
    )
    for device, mappings in thins:
        file.write(
            f'  <device dev_id="{device.device_id}" mapped_blocks="{device.mapped_blocks}" '
            f'transaction="{device.transaction}" creation_time="{device.creation_time}" '
            f'snap_time="{device.snapshot_time}">\n'
        )
        file.writelines(map(_mapping_line, mappings))
        file.write("  </device>\n")
    file.write("</superblock>\n")


def _mapping_line(mapping: DumpMapping) -> str:
    if mapping.length == 1:
        return (
            f'    <single_mapping origin_block="{mapping.virtual_block}" data_block="{mapping.data_block}" '
            f'time="{mapping.time}"/>\n'
        )
    return (
        f'    <range_mapping origin_begin="{mapping.virtual_block}" data_begin="{mapping.data_block}" '
        f'length="{mapping.length}" time="{mapping.time}"/>\n'
    )
