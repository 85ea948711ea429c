"""What a run was measured with: versions, processor, emulation, as the machine shows itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.rig.machine import Machine
from lab.runs.provenance import first_line
from lab.runs.records import Manifest

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
        versions["qemu"] = first_line(["qemu-system-x86_64", "--version"]).removeprefix("QEMU emulator version ")
    if provided.uml_package is not None:
        versions["user-mode-linux"] = provided.uml_package
    model = machine.run(["grep", "-m1", "model name", "/proc/cpuinfo"], check=False).stdout.partition(":")[2].strip()
    return Identity(provided, model or "unknown", versions)
