"""The one way in which the lab writes a file: it appears whole or not at all, and only a plain file is replaced.

A symbolic link stays, and the file that it leads to is replaced.  What is no plain file is written through: a terminal,
``/dev/null``, a pipe, a descriptor as in ``/dev/stdout``.  Folders, disks and links to nothing are refused.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lab.errors import InputError, LabError, RigError

_BUFFER_BYTES = 2**20
_NAME_CHARACTERS = 40
_LINKS = 40
_DESCRIPTORS = re.compile(r"/proc/\d+(/task/\d+)?/fd")
_ENVIRONMENT = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EPIPE, errno.ENOMEM, errno.EMFILE,
                errno.ENFILE}
"""Errors that no other name would mend: the disk is full or broken, the reader is gone."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file so that a reader, or a crash, sees the old content or the new, never a part.

    Raises OSError where it cannot be written; nothing is left beside it then.
    """
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_output(path: Path, content: str | bytes) -> None:
    """``write_atomically`` of a file that a user named.

    Raises InputError where the name is wrong, RigError where the disk is full or broken, or a reader is gone.
    """
    with told_as_output(path):
        write_atomically(path, content)


def append_output(path: Path, text: str) -> None:
    """Adds text at the end of a file that a user named; it is made where there is none.  Raises as ``write_output``."""
    with told_as_output(path):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC,
                         0o666)
        try:
            _refuse_disk(os.fstat(handle), path)
            os.set_blocking(handle, True)
            write_all(handle, text.encode())
        finally:
            os.close(handle)


def make_output_folder(path: Path, what: str = "the folder cannot be made") -> None:
    """Makes a folder that a user named, and those above it, where they are not there.  Raises as ``write_output``."""
    with told_as_output(path, what):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def told_as_output(path: Path, what: str = "cannot be written") -> Iterator[None]:
    """Turns what the system says of an output into InputError (exit code 2), or RigError (3) where no name helps."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error, what) from None
    except ValueError as error:         # a name, or a text, that no file system can hold
        raise InputError(f"{what}: {error}", where=str(path)) from None


def cannot_write(path: Path, error: OSError, what: str = "cannot be written") -> LabError:
    """What to raise where a file of that path cannot be written: RigError for a full disk and its kind, InputError."""
    why = error.strerror or str(error)
    if error.errno in _ENVIRONMENT:
        return RigError(f"{path}: {what}: {why}")
    return InputError(f"{what}: {why}", where=str(path), remedy="name a file in a folder that exists"
                      if error.errno in (errno.ENOENT, errno.EISDIR, errno.ENOTDIR) else None)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to; it takes the place of ``path`` when the block ends, and nothing is left of it if that fails.

    What is no plain file is written through as it goes.  Mode and, where allowed, owner of a file that was there stay.
    Raises OSError; for a pipe that nobody reads from, at once.
    """
    known = _state(path)
    if known is not None and (not stat.S_ISREG(known.st_mode) or _is_descriptor(path)):
        with _written(_open_through(path)) as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    if known is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    handle, scratch = _scratch(target)
    try:
        with _written(handle, os.fsync) as file:
            if known is not None:
                with suppress(PermissionError):
                    os.fchown(handle, known.st_uid, known.st_gid)
                with suppress(PermissionError):
                    os.fchmod(handle, stat.S_IMODE(known.st_mode))
            yield file
        os.replace(scratch, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(scratch)
        raise


def write_all(handle: int, data: bytes | memoryview) -> None:
    """All of the bytes, however many calls of the system that takes.  Raises OSError."""
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left):]


class _Sink(io.RawIOBase):
    """Writes to a descriptor by ``os.write``, until it is closed."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(data)     # type: ignore[arg-type]
        write_all(self._handle, view)
        return view.nbytes

    def drop(self) -> None:
        self._handle = -1           # a buffer that is collected later must not write into another file


@contextmanager
def _written(handle: int, finish: Callable[[int], None] | None = None) -> Iterator[BinaryIO]:
    """A buffered file on the descriptor, which is closed in the end; ``finish`` is called on it when all is written."""
    sink = _Sink(handle)
    file = io.BufferedWriter(sink, _BUFFER_BYTES)
    try:
        yield file
        file.flush()
        if finish is not None:
            finish(handle)
    finally:
        sink.drop()
        os.close(handle)


def _state(path: Path) -> os.stat_result | None:
    """What the path leads to; None where nothing is there.  Raises OSError for a folder, and for a link to nothing."""
    try:
        state = os.stat(path)
    except FileNotFoundError:
        if os.path.islink(path):
            raise FileNotFoundError(errno.ENOENT, "it is a link to nothing", str(path)) from None
        return None
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    _refuse_disk(state, path)
    return state


def _refuse_disk(state: os.stat_result, path: Path) -> None:
    if stat.S_ISBLK(state.st_mode):
        raise PermissionError(errno.EPERM, "it is a disk", str(path))


def _is_descriptor(path: Path) -> bool:
    """Whether the path names an open file of a process, as ``/dev/stdout`` does: its name says nothing of the file."""
    place = str(path)
    for _ in range(_LINKS):
        if not os.path.islink(place):
            return False
        folder = os.path.realpath(os.path.dirname(place) or ".")
        if _DESCRIPTORS.fullmatch(folder):
            return True
        place = os.path.join(folder, os.readlink(place))
    return False


def _open_through(path: Path) -> int:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "nobody reads from it", str(path)) from None
        raise
    os.set_blocking(handle, True)
    return handle


def _scratch(target: Path) -> tuple[int, Path]:
    """A new file beside the target, open to write, and its path: ``.NAME.PID``, or with a number more."""
    start = f".{target.name[:_NAME_CHARACTERS]}.{os.getpid()}"
    for name in (start, *(f"{start}{number:03}" for number in range(1000))):
        scratch = target.with_name(name)
        with suppress(FileExistsError):
            return os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
                           0o666), scratch
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(scratch))
