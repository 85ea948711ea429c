"""What `lab plan -o FOLDER` writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lab.cli.base import say
from lab.runs.files import write_output


def write_files(folder: Path, texts: Mapping[str, str], fan_png: bytes) -> None:
    """The texts by their names, and the fan chart; says what is there.  Raises InputError."""
    for name, text in texts.items():
        write_output(folder / name, text)
    write_output(folder / "fan.png", fan_png)
    say(f"{folder}: fan.png, {', '.join(texts)}")
