"""What `lab plan -o FOLDER` writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lab.cli.base import say
from lab.errors import InputError


def make_folder(folder: Path) -> None:
    """Makes it before anything is worked out.  Raises InputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder cannot be made: {error.strerror}", where=str(folder)) from None


def write_files(folder: Path, texts: Mapping[str, str], fan_png: bytes) -> None:
    """The texts by their names, and the fan chart; says what is there.  Raises InputError."""
    try:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / "fan.png").write_bytes(fan_png)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=error.filename or str(folder)) from None
    say(f"{folder}: fan.png, {', '.join(texts)}")
