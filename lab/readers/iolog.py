"""I/O logs of fio (``--write_iolog``), versions 2 and 3, plain or gzipped, streamed.

Format: fio's HOWTO, "Trace file format".  Version 2 has ``file action [offset bytes]`` a line, version 3
puts a time in microseconds in front (iolog.c, ``log_io_u``).  A ``wait`` line of version 2 has a time
in microseconds in place of the offset.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.errors import ReaderError
from lab.readers.text_file import open_bytes
from lab.units import SECTOR_BYTES

_BLOCK_BYTES = 4 << 20
_LINE_BYTES = 1 << 16
_MAX_DIGITS = 18
_FILE_ACTIONS = (b"add", b"open", b"close")
_SHOWN = 80
_MARK = b"\xef\xbb\xbf"


class IoAction(IntEnum):
    """What a line does."""

    READ = 0
    WRITE = 1
    TRIM = 2
    SYNC = 3
    DATASYNC = 4
    WAIT = 5
    SYNC_FILE_RANGE = 6
    SYNCFS = 7


_ACTIONS = {action.name.lower().encode(): action for action in IoAction}


@dataclass(frozen=True, slots=True)
class IoBatch:
    """Some lines of a log, in their order.

    ``files`` are indexes into ``names``, which grows from batch to batch and is shared by all of one log.
    ``times_us`` are microseconds, None in version 2.  ``lengths`` are bytes, and so are ``offsets``
    (microseconds for WAIT).
    """

    names: list[str]
    files: NDArray[np.int32]
    actions: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    times_us: NDArray[np.int64] | None

    def only(self, action: IoAction) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Offsets and lengths of one action's lines."""
        chosen = self.actions == action
        if chosen.all():
            return self.offsets, self.lengths
        return self.offsets[chosen], self.lengths[chosen]


def is_iolog(path: Path) -> bool:
    """Whether a file begins as an I/O log does, gzipped or not.  Raises ReaderError if it cannot be read."""
    try:
        with open_bytes(path) as file:
            return file.read(len(_MARK) + 11).removeprefix(_MARK)[:11] == b"fio version"
    except (OSError, EOFError, zlib.error) as error:
        raise ReaderError(f"cannot be read: {error}", where=str(path)) from error


def read_iolog(path: Path) -> Iterator[IoBatch]:
    """All I/O lines of a log, some hundred thousand at a time.

    Lines may end with a carriage return, and the last one without a line feed if it is whole: one that adds, opens or
    closes a file, or whose length is one of 512-byte sectors.  Raises ReaderError with file:line for a line that is
    malformed or cut off.
    """
    names: list[str] = []
    known: dict[bytes, int] = {}
    line = 1
    version = 0
    rest = b""
    try:
        with open_bytes(path) as file:
            while True:
                part = file.read(_BLOCK_BYTES)
                block, feed, rest = (rest + part).rpartition(b"\n")
                block += feed
                if not part and _is_whole(rest):
                    block, rest = block + rest + b"\n", b""
                block = block.replace(b"\r\n", b"\n")
                if len(rest) > _LINE_BYTES:
                    raise ReaderError(f"a line of more than {_LINE_BYTES} bytes", where=f"{path}:{line}")
                if not version and (block or not part):
                    head, _, block = block.removeprefix(_MARK).partition(b"\n")
                    version = _version(head or rest, f"{path}:1")
                    line += 1
                if block:
                    yield _parse(block, version, names, known, path, line)
                    line += block.count(b"\n")
                if not part:
                    break
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        line += rest.count(b"\n")
        raise ReaderError(f"the gzipped file is damaged or cut off: {error}", where=f"{path}:{line}") from error
    except OSError as error:
        raise ReaderError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if rest:
        raise ReaderError(f"the last line is cut off: {_shown(rest)}", where=f"{path}:{line}")


def read_writes(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets and lengths in bytes of all ``write`` lines of a log.  Raises ReaderError as ``read_iolog``."""
    parts = [batch.only(IoAction.WRITE) for batch in read_iolog(path)]
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate([offsets for offsets, _ in parts]), np.concatenate([lengths for _, lengths in parts])


def _is_whole(last: bytes) -> bool:
    """Whether a last line without a line feed is likely to be whole: a number that is cut off is seldom a multiple of a
    sector, since lengths are mostly powers of two."""
    fields = last.split()
    if fields and fields[-1] in _FILE_ACTIONS:
        return True
    return (len(fields) in (4, 5) and fields[-3] in _ACTIONS and len(fields[-1]) <= _MAX_DIGITS
            and fields[-1].isdigit() and int(fields[-1]) % SECTOR_BYTES == 0)


def _version(head: bytes, where: str) -> int:
    versions = {b"fio version 2 iolog": 2, b"fio version 3 iolog": 3}
    if head not in versions:
        raise ReaderError(f"begins with {_shown(head)}; 'fio version 2 iolog' or 'fio version 3 iolog' expected",
                          where=where)
    return versions[head]


def _shown(text: bytes) -> str:
    return repr(text[:_SHOWN].decode("utf-8", "replace"))


def _parse(block: bytes, version: int, names: list[str], known: dict[bytes, int], path: Path, line: int) -> IoBatch:
    columns = _alike(_without_file_lines(block, version), version)
    if columns is None:
        return _one_by_one(block, version, names, known, path, line)
    name, actions, offsets, lengths, times = columns
    files = np.full(offsets.size, _file(name, names, known), np.int32)
    return IoBatch(names, files, actions, offsets, lengths, times)


def _without_file_lines(block: bytes, version: int) -> bytes:
    """Without the lines at both ends that add, open or close a file."""
    while _is_file_line(head := block[: block.find(b"\n") + 1], version):
        block = block[len(head) :]
    while _is_file_line(tail := block[block.rfind(b"\n", 0, -1) + 1 :], version):
        block = block[: -len(tail)]
    return block


def _is_file_line(text: bytes, version: int) -> bool:
    if len(text) > _LINE_BYTES:
        return False
    fields = text.split()
    return len(fields) == version and fields[-1] in _FILE_ACTIONS and (version == 2 or fields[0].isdigit())


def _file(name: bytes, names: list[str], known: dict[bytes, int]) -> int:
    if name not in known:
        known[name] = len(names)
        names.append(name.decode("utf-8", "surrogateescape"))
    return known[name]


# -- many lines of one file at once -------------------------------------------------------------------

_Columns = tuple[bytes, NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64] | None]


def _alike(block: bytes, version: int) -> _Columns | None:
    """Columns of lines that all name the same file; None where some line is of another kind."""
    text = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(text == 10)
    begins = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    places = np.flatnonzero(text == 32)
    per_line = version + 1
    if not ends.size or places.size != ends.size * per_line:
        return None
    spaces = places.reshape(ends.size, per_line)
    if not ((spaces[:, 0] > begins).all() and (spaces[:, -1] < ends).all()):
        return None
    name_begins = begins if version == 2 else spaces[:, 0] + 1
    name_ends = spaces[:, -3]
    name = block[int(name_begins[0]) : int(name_ends[0])]
    if not name or not _equal(text, name_begins, name_ends, name):
        return None
    actions = _actions(text, spaces[:, -3] + 1, spaces[:, -2])
    offsets = _numbers(text, spaces[:, -2] + 1, spaces[:, -1])
    lengths = _numbers(text, spaces[:, -1] + 1, ends)
    times = _numbers(text, begins, spaces[:, 0]) if version == 3 else None
    if actions is None or offsets is None or lengths is None or (version == 3 and times is None):
        return None
    return name, actions, offsets, lengths, times


def _equal(text: NDArray[np.uint8], begins: NDArray[np.int64], ends: NDArray[np.int64], word: bytes) -> bool:
    if not (ends - begins == len(word)).all():
        return False
    return all((text[begins + place] == byte).all() for place, byte in enumerate(word))


def _actions(text: NDArray[np.uint8], begins: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.uint8] | None:
    actions = np.full(begins.size, 255, np.uint8)
    for word, action in _ACTIONS.items():
        chosen = np.flatnonzero((ends - begins == len(word)) & (text[begins] == word[0]))
        if chosen.size == begins.size:
            if _equal(text, begins, ends, word):
                actions[:] = action
        elif chosen.size and _equal(text, begins[chosen], ends[chosen], word):
            actions[chosen] = action
    return None if (actions == 255).any() else actions


def _numbers(text: NDArray[np.uint8], begins: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64] | None:
    widths = ends - begins
    if widths.min() < 1 or widths.max() > _MAX_DIGITS:
        return None
    values = np.zeros(begins.size, np.int64)
    for place in range(int(widths.max())):
        digits = text[np.maximum(ends - 1 - place, 0)] - np.uint8(48)
        present = widths > place
        if (digits[present] > 9).any():
            return None
        values += np.where(present, digits, 0).astype(np.int64) * 10**place
    return values


# -- any lines -----------------------------------------------------------------------------------------


def _one_by_one(block: bytes, version: int, names: list[str], known: dict[bytes, int], path: Path,
                line: int) -> IoBatch:
    files: list[int] = []
    actions: list[int] = []
    numbers: list[tuple[int, int]] = []
    times: list[int] = []
    for number, text in enumerate(block.splitlines(), line):
        fields = text.split()
        if not fields:
            continue
        time = _number(fields.pop(0), "time", path, number) if version == 3 else 0
        if len(fields) == 2 and fields[1] in _FILE_ACTIONS:
            continue
        if len(fields) != 4:
            raise ReaderError(
                f"{_shown(text)} has {len(fields) + version - 2} fields; "
                f"'{'time ' if version == 3 else ''}file action offset bytes' expected",
                where=f"{path}:{number}",
            )
        if fields[1] not in _ACTIONS:
            known_actions = ", ".join(word.decode() for word in (*_ACTIONS, *_FILE_ACTIONS))
            raise ReaderError(f"action {_shown(fields[1])}; one of {known_actions} expected", where=f"{path}:{number}")
        files.append(_file(fields[0], names, known))
        actions.append(_ACTIONS[fields[1]])
        numbers.append((_number(fields[2], "offset", path, number), _number(fields[3], "length", path, number)))
        times.append(time)
    table = np.array(numbers, np.int64).reshape(len(numbers), 2)
    return IoBatch(names=names, files=np.array(files, np.int32), actions=np.array(actions, np.uint8),
                   offsets=table[:, 0].copy(), lengths=table[:, 1].copy(),
                   times_us=np.array(times, np.int64) if version == 3 else None)


def _number(text: bytes, what: str, path: Path, line: int) -> int:
    if not text.isdigit() or len(text) > _MAX_DIGITS:
        raise ReaderError(f"{what} is {_shown(text)}; a whole number expected", where=f"{path}:{line}")
    return int(text)
