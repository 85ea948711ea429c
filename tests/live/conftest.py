"""Live tests boot real VMs.  They skip only where the machine truly cannot, and say why."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.rig.vm.doctor import examine


class Cli:
    """The command line as a user calls it, in a state folder of the tests' own: the user's machines stay untouched."""

    _LAB = (sys.executable, "-c", "from lab.cli import main; main()")

    def __init__(self, state: Path) -> None:
        self.state = state
        self._environment = {**os.environ, "XDG_STATE_HOME": str(state)}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._LAB, *arguments], env=self._environment, capture_output=True, text=True,
                              timeout=1500, check=False)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self._LAB, *arguments], env=self._environment, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, start_new_session=True)

    def machines_running(self) -> list[int]:
        """Process ids of QEMU and of user-mode Linux of machines below the state folder, told by their uuid."""
        uuids = {path.read_text().strip() for path in self.state.rglob("machines/default/qemu/id")}
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_text(errors="replace").split("\0")
                except OSError:
                    continue
                if uuids & {word.removeprefix("umid=") for word in words}:
                    found.append(int(entry.name))
        return found


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    lacking = [f"{check.name}: {check.detail}" for check in examine() if check.needed and not check.ok]
    if lacking:
        pytest.skip("this machine cannot run a VM: " + "; ".join(lacking))
    lab = Cli(tmp_path_factory.mktemp("state"))
    yield lab
    lab("destroy")
