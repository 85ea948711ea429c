"""The one opener of files that a user names: regular files only, plain or gzipped, of bounded size.

A device or a named pipe is refused before it is read, so that nothing waits for a writer or reads without end.  A
gzipped file may not hold more than ``most_bytes``, and no more than ``MOST_RATIO`` times what was read of it.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from pathlib import Path

from lab.errors import ReaderError
from lab.units import format_bytes

MOST_TEXT_BYTES = 512 << 20
"""Of a file that is read as a whole, unzipped."""

MOST_STREAM_BYTES = 64 << 30
"""Of a file that is read as a stream, unzipped."""

MOST_RATIO = 300
"""Unzipped bytes for each byte of a gzipped file: logs and dumps have 5 to 60, and line feeds alone 1,030."""

_FREE_BYTES = 4 << 20
"""Unzipped before the ratio is looked at."""

_PART_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFDIR: "a folder",
          stat.S_IFSOCK: "a socket"}
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


def open_bytes(path: Path, most_bytes: int = MOST_STREAM_BYTES) -> io.BufferedReader:
    """The file's bytes, unzipped, as a stream.

    Opening raises ReaderError for what is no regular file or too large, OSError where it cannot be opened.  Reading
    raises ReaderError for too much in a gzipped file; OSError, EOFError and zlib.error for a damaged one: the reader
    knows the line it had come to.
    """
    file = _open_regular(path, most_bytes)
    try:
        if file.peek(len(_GZIP))[:len(_GZIP)] != _GZIP:
            return file
    except BaseException:
        file.close()
        raise
    return io.BufferedReader(_Unzipped(path, file, most_bytes), _PART_BYTES)


def _open_regular(path: Path, most_bytes: int) -> io.BufferedReader:
    if "\0" in str(path):
        raise ReaderError("a name of a file has no NUL character", where=repr(str(path))[:200])
    # a named pipe without a writer would wait
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        told = os.fstat(number)
        if not stat.S_ISREG(told.st_mode):
            kind = _KINDS.get(stat.S_IFMT(told.st_mode), "something else")
            raise ReaderError(f"is {kind}, not a regular file", where=str(path),
                              remedy="write what it gives to a file, and name that")
        if told.st_size > most_bytes:
            raise _too_large(path, most_bytes)
        return io.BufferedReader(io.FileIO(number), _PART_BYTES)
    except BaseException:
        os.close(number)
        raise


class _Unzipped(io.RawIOBase):
    """A gzipped file's bytes, counted."""

    def __init__(self, path: Path, file: io.BufferedReader, most_bytes: int) -> None:
        super().__init__()
        self._path, self._file, self._most_bytes = path, file, most_bytes
        self._gzip = gzip.GzipFile(fileobj=file)
        self._bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self._gzip.read1(len(buffer))
        buffer[:len(part)] = part
        self._bytes += len(part)
        if self._bytes > self._most_bytes:
            raise _too_large(self._path, self._most_bytes)
        if self._bytes > _FREE_BYTES and self._bytes > MOST_RATIO * max(self._file.tell(), 1):
            raise ReaderError(f"the gzipped file holds more than {MOST_RATIO} times its own size: no log or dump does",
                              where=str(self._path), remedy="zcat FILE | head shows what is in it")
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._gzip.close()
            self._file.close()
        super().close()


def _too_large(path: Path, most_bytes: int) -> ReaderError:
    return ReaderError(f"more than {format_bytes(most_bytes)}; that much is not read", where=str(path),
                       remedy="cut it into parts")


def load_text(path: str | os.PathLike[str], source: str, most_bytes: int = MOST_TEXT_BYTES) -> str:
    """The file's text: UTF-8, or UTF-16 with a byte-order mark, which is left out.

    ``source`` names it in a ReaderError: unreadable, not a regular file, too large, damaged gzip, or binary.
    """
    raw = load_bytes(path, source, most_bytes)
    mark, encoding = next(((mark, encoding) for mark, encoding in _MARKS if raw.startswith(mark)), (b"", "utf-8"))
    try:
        return raw[len(mark):].decode(encoding)
    except UnicodeDecodeError as error:
        at = error.start + len(mark)
        line = raw.count(b"\n", 0, at) + 1
        remedy = None if encoding == "utf-8" else f"its first bytes say {encoding}; write it as UTF-8"
        raise ReaderError(f"not text: byte {raw[at]:#04x}; is it binary?", where=f"{source}:{line}",
                          remedy=remedy) from None


def load_bytes(path: str | os.PathLike[str], source: str, most_bytes: int = MOST_TEXT_BYTES) -> bytes:
    """All bytes of a file, unzipped.  Raises ReaderError as ``load_text`` does, but takes any bytes."""
    try:
        with open_bytes(Path(path), most_bytes) as file:
            return file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReaderError(f"truncated or damaged gzip file: {error}", where=source) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ReaderError(f"cannot be read: {why}", where=source) from None
