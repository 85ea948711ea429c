"""What is measured with what: versions, processor, emulation, and the lab's own commit."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from lab.rig.machine import Machine
from lab.runs.records import LabRef, Manifest

_PACKAGES = ("docker.io", "containerd", "runc", "lvm2", "dmsetup", "thin-provisioning-tools", "fio", "e2fsprogs",
             "xfsprogs")


@dataclass(frozen=True)
class Provided:
    """How the machine is provided, as who provides it tells.  Sizes in bytes; 0 where they are not known yet.

    ``accelerator``: kvm, uml or tcg of a VM; hardware, or another hypervisor's name, of a user's host.
    ``uml_package``: the version of Debian's package of user-mode Linux, where that is the guest's kernel.
    """

    accelerator: str = "unknown"
    cache: str = "unknown"
    cpus: int = 0
    memory_bytes: int = 0
    disks: str = "unknown"
    pool_disk_bytes: int = 0
    spare_disk_bytes: int = 0
    uml_package: str | None = None

    @property
    def emulated(self) -> bool:
        return self.accelerator in ("tcg", "unknown")


@dataclass(frozen=True)
class Identity:
    """The machine as it shows itself."""

    provided: Provided = Provided()
    cpu_model: str = "unknown"
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> Identity:
        """What an earlier part of the run had found."""
        machine = manifest.machine
        provided = Provided(machine.accelerator, machine.cache, machine.cpus, machine.memory_bytes, machine.disks,
                            machine.pool_disk_bytes, machine.spare_disk_bytes)
        return cls(provided, machine.cpu_model, manifest.versions)


def identify(machine: Machine, provided: Provided) -> Identity:
    """Asks the machine for its versions and its processor."""
    listed = machine.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *_PACKAGES], check=False).stdout
    versions = dict(line.split(" ", 1) for line in listed.splitlines() if line.count(" ") == 1)
    versions["kernel"] = machine.run(["uname", "-rv"]).stdout.strip()
    if provided.disks != "host":        # a user's host has none below it that this computer would know
        versions["qemu"] = _first_line(["qemu-system-x86_64", "--version"]).removeprefix("QEMU emulator version ")
    if provided.uml_package is not None:
        versions["user-mode-linux"] = provided.uml_package
    model = machine.run(["grep", "-m1", "model name", "/proc/cpuinfo"], check=False).stdout.partition(":")[2].strip()
    return Identity(provided, model or "unknown", versions)


def lab_ref() -> LabRef:
    """Version and commit of the lab; the commit is null outside a checkout."""
    here = ["git", "-C", str(Path(__file__).parent)]
    commit = _first_line([*here, "rev-parse", "HEAD"]) or None
    dirty = bool(_first_line([*here, "status", "--porcelain", "--untracked-files=no"])) if commit else None
    return LabRef(version=version("thinpool-lab"), commit=commit, dirty=dirty)


def _first_line(argv: list[str]) -> str:
    if not shutil.which(argv[0]):
        return ""
    lines = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()
    return lines[0] if lines else ""
