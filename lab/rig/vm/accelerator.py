"""What a VM's guest runs on: hardware (kvm), user-mode Linux (uml), or QEMU in software (tcg).

``vagrant/uml.py`` chooses, for Vagrant by hand and for the lab alike.  What a scenario asks for and user-mode Linux
does not have is known here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from lab.errors import InputError, RigError
from lab.rig.vm.box import VAGRANT_FOLDER
from lab.scenario.scenario import MachineSpec, Scenario, StepsWorkload

AUTO, KVM, UML, TCG = "auto", "kvm", "uml", "tcg"
NAMES = (KVM, UML, TCG)
VARIABLE = "QEMU_ACCEL"
"""The environment's word on the accelerator, which Vagrant's provider takes too.  It wins over a scenario's."""


@dataclass(frozen=True)
class Accelerator:
    """What was chosen, and why it was that."""

    name: str
    why: str


def beyond_uml(scenarios: Iterable[Scenario]) -> list[str]:
    """What the scenarios ask for and user-mode Linux does not have, a phrase each."""
    traced = any(isinstance(workload, StepsWorkload) and workload.trace
                 for scenario in scenarios for workload in scenario.workload)
    return ["`trace: true` needs blktrace, which its kernel is built without"] if traced else []


def choose(wanted: str, memory_bytes: int, beyond: Iterable[str] = ()) -> Accelerator:
    """The accelerator for a machine of that memory; ``wanted`` is a scenario's word.

    ``auto`` takes what is fastest and can do all that is asked for; ``beyond`` names what user-mode Linux cannot.
    Raises RigError where the one that was asked for by name cannot be had.
    """
    wanted = _asked(wanted)
    if wanted not in (AUTO, *NAMES):
        raise InputError(f"{wanted!r} is no accelerator; allowed: {', '.join((AUTO, *NAMES))}", where=VARIABLE)
    lacks = "; ".join(beyond)
    if wanted == UML and lacks:
        raise RigError(f"user-mode Linux was asked for, but {lacks}",
                       remedy="leave out `accelerator: uml` (and QEMU_ACCEL), or what it cannot do")
    found = _chosen(wanted, memory_bytes // 2**20)
    if found.name == UML and lacks:
        return Accelerator(TCG, f"software emulation, and not user-mode Linux: {lacks}")
    return found


def as_begun(spec: MachineSpec, began: str | None, where: str) -> MachineSpec:
    """The machine of a run that goes on: on the accelerator that it began on; None where nothing was measured yet.

    Raises InputError where another is asked for by name: the numbers of two machines would stand in one run.
    """
    if began is None or began not in NAMES:
        return spec
    asked = _asked(spec.accelerator)
    if asked not in (AUTO, began):
        raise InputError(f"this run began on {began}, and {asked} is asked for now", where=where,
                         remedy="start a new run: leave out --resume")
    return spec.model_copy(update={"accelerator": began})


def _asked(wanted: str) -> str:
    """The environment's word, if it names an accelerator; ``auto`` there leaves the choice to who else names one."""
    word = os.environ.get(VARIABLE)
    return wanted if word in (None, "", AUTO) else word


def best_here(memory_bytes: int) -> Accelerator:
    """What a machine of that memory gets where nobody names an accelerator."""
    return _chosen(AUTO, memory_bytes // 2**20)


@cache
def _chosen(wanted: str, memory_mib: int) -> Accelerator:
    """Asked once a process: it starts the kernel to see whether it runs, which takes a second."""
    asked = subprocess.run([sys.executable, str(VAGRANT_FOLDER / "uml.py"), "choose", wanted, str(memory_mib)],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if asked.returncode:
        lines = asked.stderr.strip().splitlines() or ["uml.py said nothing"]
        raise RigError(lines[-1].removeprefix("uml.py: "), remedy="lab doctor says what this machine can use")
    told = json.loads(asked.stdout)
    return Accelerator(told["accelerator"], told["why"])


def kernel_versions() -> str | None:
    """Which kernel of user-mode Linux is there, and whether it is the pinned one; None where there is none."""
    asked = subprocess.run([sys.executable, str(VAGRANT_FOLDER / "get-kernel.py"), "--versions"],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return None if asked.returncode else asked.stdout.strip()


def install_kernel() -> None:
    """Fetches the kernel of user-mode Linux where it is missing.  Raises RigError with the reason where that fails."""
    fetched = subprocess.run([sys.executable, str(VAGRANT_FOLDER / "get-kernel.py"), "--install"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                             check=False)
    print(fetched.stderr, end="", file=sys.stderr)      # it says where another version than the pinned one is taken
    _chosen.cache_clear()
    if fetched.returncode:
        lines = fetched.stderr.strip().splitlines() or ["no output"]
        raise RigError(f"the kernel of user-mode Linux could not be fetched: {lines[-1]}")
