"""Unpacking what a machine sends: plain files and folders, none outside of the folder that they go to, and a bound."""

from __future__ import annotations

import errno
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from lab.errors import OutputRefused

LIMIT_BYTES = 2 * 2**30
"""Of all files of an archive together."""

_LIMIT_FILES = 10_000
_HEADERS_BYTES = 2**20          # between two files' contents: headers, and what is read ahead
_PIECE_BYTES = 2**20
_NAME_BYTES, _PATH_BYTES = 250, 4096    # a name gets an ending of three bytes more
_BLOCK_BYTES = 512
_END_BYTES = 2 * _BLOCK_BYTES   # an archive ends with two blocks of zeros
_NAMES = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}


def unpack(stream: IO[bytes], into: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
    """Reads a tar archive from a stream and writes its files, piece by piece; memory stays small whatever comes.

    Raises OutputRefused where the archive is damaged, cut off or empty, has more than ``limit_bytes`` of contents, or
    anything but plain files and folders with names below ``into``.  OSError where the disk cannot take it.
    """
    source = _Source(stream)
    try:
        end = _unpack(source, into, limit_bytes)
    except (tarfile.TarError, ValueError, EOFError, OverflowError, LookupError, RecursionError) as error:
        raise OutputRefused(f"what the machine sent is no whole archive: {error}") from None
    except OSError as error:
        if error.errno in _NAMES:
            raise OutputRefused(f"the machine sent a file that cannot be made: {error.strerror}") from None
        raise
    source.end(end)


def _unpack(source: _Source, into: Path, limit_bytes: int) -> int:
    """Where the archive's last file ends, in bytes."""
    contents, files, end = 0, 0, 0
    with tarfile.open(fileobj=source, mode="r|", encoding="utf-8",      # type: ignore[call-overload]
                      errors="surrogateescape") as tar:
        for number, member in enumerate(tar):
            contents += member.size
            if number >= _LIMIT_FILES or contents > limit_bytes:
                raise OutputRefused(f"the machine sent more than {limit_bytes} bytes or {_LIMIT_FILES} files")
            path = into / _checked(member)
            source.allow(member.size + _HEADERS_BYTES)
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    for piece in _pieces(tar, member):
                        file.write(piece)
                files += 1
            source.allow(_HEADERS_BYTES)
            end = member.offset_data + -(-member.size // _BLOCK_BYTES) * _BLOCK_BYTES
    if not files:
        raise OutputRefused("the machine sent an archive with nothing in it")
    return end


def _checked(member: tarfile.TarInfo) -> PurePosixPath:
    """The member's path below the folder.  Raises OutputRefused where it leads out, or is no plain file or folder."""
    path = PurePosixPath(member.name)
    name = repr(member.name[:200])
    if path.is_absolute() or ".." in path.parts:
        raise OutputRefused(f"the machine sent a file that lies outside of its folder: {name}")
    encoded = [part.encode("utf-8", "surrogateescape") for part in path.parts]
    if any(len(part) > _NAME_BYTES or b"\0" in part for part in encoded) or sum(map(len, encoded)) > _PATH_BYTES:
        raise OutputRefused(f"the machine sent a name that no file can have: {name}")
    if not (member.isdir() or member.isreg()) or member.issparse() or member.size < 0:
        raise OutputRefused(f"the machine sent something that is neither a plain file nor a folder: {name}")
    return path


def _pieces(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    content = tar.extractfile(member)
    assert content is not None
    left = member.size
    while left:
        piece = content.read(min(left, _PIECE_BYTES))
        if not piece:
            raise tarfile.ReadError("unexpected end of data")
        left -= len(piece)
        yield piece


class _Source:
    """The stream as tarfile reads it: no more than was allowed, so that no header can fill the memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = _HEADERS_BYTES
        self._read = 0
        self._content_end = 0       # after the last byte that is not zero

    def allow(self, size: int) -> None:
        self._left = size

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise OutputRefused("the machine sent an archive whose headers are too long")
        if content := len(data.rstrip(b"\0")):
            self._content_end = self._read + content
        self._read += len(data)
        return data

    def end(self, end: int) -> None:
        """Reads the rest.  Raises OutputRefused unless it is what follows the last file, which ended there."""
        self.allow(_HEADERS_BYTES)
        while self.read(_BLOCK_BYTES):
            pass
        if self._content_end > end or self._read < end + _END_BYTES:
            raise OutputRefused("what the machine sent is no whole archive: it does not end as one does")
