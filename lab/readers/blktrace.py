"""Text of blkparse: block I/O that blktrace recorded on a user's machine, streamed.

Format: blkparse(1), default output ``major,minor cpu sequence seconds pid action rwbs sector + sectors``;
sectors are of 512 bytes.  Whatever the lines of other actions say is skipped, and so are messages and the
summary at the end.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab.errors import ReaderError
from lab.readers.text_file import open_bytes
from lab.units import SECTOR_BYTES

_LINE_BYTES = 1 << 16
_HEAD = re.compile(
    rb"\s*(\d{1,9}),(\d{1,9})\s+(\d{1,9})\s+(\d{1,18})\s+(\d{1,12}\.\d{1,9})\s+(\d{1,12})\s+(\S{1,2})(?:\s+(.*))?"
)
_EXTENT = re.compile(rb"([A-Z]{1,8})\s+(\d{1,17})\s+\+\s+(\d{1,12})(?:\s.*)?")
_NO_EXTENT = re.compile(rb"([A-Z]{1,8})(?:\s+\[.*|\s+\d{1,17}(?:\s+\[.*)?)?|\[.*")
"""A flush: only who asked for it, whose name may hold a plus."""

_INPUT = re.compile(rb"Input file .* added")
"""What blkparse says first, on standard error."""

_SUMMARY = re.compile(rb"\s*(CPU\d|CPU +\d|Total|Throughput|Events|Skips)")

BlockAction = Literal["read", "write", "discard"]


@dataclass(frozen=True, slots=True)
class BlockIo:
    """One request: seconds since the trace began, bytes."""

    device: str
    time_seconds: float
    action: BlockAction
    offset_bytes: int
    length_bytes: int


def is_blkparse(path: Path) -> bool:
    """Whether a file begins as blkparse text does, gzipped or not.  Raises ReaderError if it cannot be read."""
    try:
        with open_bytes(path) as file:
            for _ in range(50):
                line = file.readline(_LINE_BYTES)
                if not line:
                    return False
                if _INPUT.fullmatch(line.strip()):
                    continue
                if _HEAD.fullmatch(line.strip()):
                    return True
                if line.strip():
                    return False
            return False
    except (OSError, EOFError, zlib.error) as error:
        raise ReaderError(f"cannot be read: {error}", where=str(path)) from error


def read_blkparse(path: Path, event: str = "Q") -> Iterator[BlockIo]:
    """Reads, writes and discards with one action: Q queued (as the applications asked), D sent to the driver,
    C completed.  Plain or gzipped.  Requests without data (flushes) are left out.

    Raises ReaderError with file:line for a line that is malformed or cut off, or a trace of several devices.
    """
    number = 0
    device: str | None = None
    wanted = event.encode()
    try:
        with open_bytes(path) as file:
            while line := file.readline(_LINE_BYTES):
                number += 1
                where = f"{path}:{number}"
                if not line.endswith(b"\n"):
                    raise ReaderError(f"the line is cut off, or longer than {_LINE_BYTES} bytes", where=where)
                if not line.strip() or _INPUT.fullmatch(line.strip()):
                    continue
                head = _HEAD.fullmatch(line.rstrip())
                if head is None:
                    if number > 1 and _SUMMARY.match(line):
                        return
                    raise ReaderError(
                        f"{line[:80].decode('utf-8', 'replace')!r}; "
                        "'major,minor cpu sequence seconds pid action rwbs sector + sectors' expected",
                        where=where,
                    )
                if head[7] != wanted:
                    continue
                item = _item(head, where)
                if item is None:
                    continue
                if device is not None and item.device != device:
                    raise ReaderError(f"device {item.device} after {device}: one device a trace expected", where=where,
                                      remedy=f"blkparse -i for one device, or grep '^ *{device}'")
                device = item.device
                yield item
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReaderError(f"the gzipped file is damaged or cut off: {error}", where=f"{path}:{number}") from error
    except OSError as error:
        raise ReaderError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def _item(head: re.Match[bytes], where: str) -> BlockIo | None:
    rest = head[8] or b""
    if not rest or _NO_EXTENT.fullmatch(rest):
        return None
    extent = _EXTENT.fullmatch(rest)
    if extent is None:
        shown = rest[:80].decode("utf-8", "replace")
        raise ReaderError(f"{shown!r} is no 'rwbs sector + sectors'", where=where)
    action = _action(extent[1])
    sectors = int(extent[3])
    if action is None or not sectors:
        return None
    return BlockIo(device=f"{head[1].decode()},{head[2].decode()}", time_seconds=float(head[5]), action=action,
                   offset_bytes=int(extent[2]) * SECTOR_BYTES, length_bytes=sectors * SECTOR_BYTES)


def _action(rwbs: bytes) -> BlockAction | None:
    """D discard, W write, R read; F (flush), S (sync), M (metadata), A (ahead), B, N only qualify."""
    if b"D" in rwbs:
        return "discard"
    if b"W" in rwbs:
        return "write"
    return "read" if b"R" in rwbs else None
