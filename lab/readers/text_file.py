"""Files that may be gzipped, told by their first bytes: whole as text, or as a stream of bytes."""

from __future__ import annotations

import gzip
import zlib
from io import BufferedIOBase
from pathlib import Path

from lab.errors import ReaderError

_GZIP = b"\x1f\x8b"


def open_bytes(path: Path) -> BufferedIOBase:
    """The file's bytes, unzipped, as a stream.

    Opening and reading raise OSError, EOFError and zlib.error: the reader knows the line it had come to.
    """
    with path.open("rb") as file:
        zipped = file.read(len(_GZIP)) == _GZIP
    return gzip.open(path, "rb") if zipped else path.open("rb")


def load_text(path: str, source: str) -> str:
    """The file's text (UTF-8); ``source`` names it in a ReaderError: unreadable, damaged gzip, or binary."""
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ReaderError(f"cannot be read: {why}", where=source) from None
    if raw.startswith(_GZIP):
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise ReaderError(f"truncated or damaged gzip file: {error}", where=source) from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ReaderError(f"not text: byte {raw[error.start]:#04x}; is it binary?", where=f"{source}:{line}") from None
    return text
