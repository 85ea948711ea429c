"""A private mount namespace, in which root changes nothing of the computer's own files."""

from __future__ import annotations

import shutil
import subprocess

import pytest

UNSHARE = ("unshare", "--mount", "--map-root-user", "--propagation", "private")


def need_unshare() -> None:
    """Skips the test, with the reason, where a private mount namespace with a tmpfs is not to be had."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare (Debian: util-linux) is not installed")
    tried = subprocess.run([*UNSHARE, "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True, text=True,
                           check=False)
    if tried.returncode:
        pytest.skip(f"no private mount namespace here: {tried.stderr.strip()[:200]}")
