"""The box: a Debian 12 image with all that the runs need, cached by the hash of what makes it."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

from lab.errors import RigError
from lab.rig.process import call

VAGRANT_FOLDER = Path(__file__).resolve().parents[3] / "vagrant"


def _builder() -> Path:
    script = VAGRANT_FOLDER / "build-box.sh"
    if not script.exists():
        raise RigError(f"{script} is missing: the lab drives machines from a checkout of its repository",
                       remedy="clone the repository and run `make quickstart` there")
    return script


@cache
def box_name() -> str:
    """``thinpool-lab-<hash>``, by the hash of the scripts that make the box."""
    return f"thinpool-lab-{call([str(_builder()), '--hash'], timeout=60).strip()[:12]}"


_installed: set[str] = set()
"""Boxes that Vagrant was seen to have: asking it takes seconds."""


def box_is_installed() -> bool:
    """Whether Vagrant has the box of these scripts."""
    if box_name() not in _installed:
        listed = call(["vagrant", "box", "list", "--machine-readable"], timeout=60)
        if any(line.rstrip().endswith(f",box-name,{box_name()}") for line in listed.splitlines()):
            _installed.add(box_name())
    return box_name() in _installed


def install_box() -> str:
    """Builds and adds the box unless it is there (minutes; its progress goes to stderr).  Returns its name.

    Raises RigError with the builder's remedy where a tool, root or disk space lacks.
    """
    if not box_is_installed():
        status = subprocess.run(["setpriv", "--pdeathsig", "TERM", str(_builder()), "--install"],
                                stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
        if status.returncode:
            raise RigError(f"the box could not be built (status {status.returncode}; its reason stands above)",
                           remedy="lab doctor --install, then `make box`")
    return box_name()
