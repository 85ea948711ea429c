"""Writing what the gate says into files that the user named."""

from __future__ import annotations

import os
from pathlib import Path

from lab.errors import InputError
from lab.store import write_atomically

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The environment variable that names the file which GitHub shows below a job."""


def write_file(text: str, file: Path) -> None:
    """Raises InputError where the file cannot be written."""
    try:
        write_atomically(file, text)
    except (OSError, ValueError) as error:      # a path without a name, or one that no file system can hold
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot be written: {why}", where=str(file),
                         remedy="name a file in a folder that exists") from None


def add_step_summary(text: str) -> Path | None:
    """Adds the page to the file that GitHub names in the environment; None outside of GitHub.

    Raises InputError where that file cannot be written.
    """
    name = os.environ.get(STEP_SUMMARY)
    if not name:
        return None
    file = Path(name)
    try:
        with file.open("a", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=f"{STEP_SUMMARY}={file}",
                         remedy="unset it outside of a GitHub workflow") from None
    return file
