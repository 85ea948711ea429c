"""Which lab made a run: its version, and the commit that git tells."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from lab.runs.records import LabRef


def lab_ref() -> LabRef:
    """Version and commit of the lab; the commit is null outside a checkout."""
    here = ["git", "-C", str(Path(__file__).parent)]
    commit = first_line([*here, "rev-parse", "HEAD"]) or None
    dirty = bool(first_line([*here, "status", "--porcelain", "--untracked-files=no"])) if commit else None
    return LabRef(version=version("thinpool-lab"), commit=commit, dirty=dirty)


def first_line(argv: list[str]) -> str:
    """The first line that a program of this computer prints; empty where there is none, of either."""
    if not shutil.which(argv[0]):
        return ""
    lines = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()
    return lines[0] if lines else ""
