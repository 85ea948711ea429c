"""Writing what the gate says into files that the user named."""

from __future__ import annotations

import os
from pathlib import Path

from lab.errors import InputError
from lab.runs.files import append_output

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The environment variable that names the file which GitHub shows below a job."""


def add_step_summary(text: str) -> Path | None:
    """Adds the page to the file that GitHub names in the environment; None outside of GitHub.

    Raises InputError where that file cannot be written.
    """
    name = os.environ.get(STEP_SUMMARY)
    if not name:
        return None
    file = Path(name)
    try:
        append_output(file, text)
    except InputError as error:
        raise InputError(error.message, where=STEP_SUMMARY, remedy="unset it outside of a GitHub workflow") from None
    return file
