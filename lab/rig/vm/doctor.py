"""What this machine lacks for real runs, and the command that installs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.errors import RigError
from lab.rig.vm import box
from lab.rig.vm.accelerator import AUTO, TCG, best_here, choose, kernel_versions
from lab.rig.vm.vagrant import state_folder

_TOOLS = {
    "vagrant": "vagrant", "qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "sfdisk": "fdisk", "grub-mkimage": "grub-common",
    "ssh": "openssh-client", "setpriv": "util-linux", "flock": "util-linux", "git": "git",
}
_FILES = {"/usr/lib/grub/i386-pc/boot.img": "grub-pc-bin"}
_DISK_BYTES = 16 * 2**30
_MEMORY_BYTES = 3 * 2**30
_QUICK_QEMU = 10
"""The first major version of QEMU whose emulation was seen to be a third quicker than that of version 7."""
_TYPICAL_MEMORY_BYTES = 2 * 2**30
"""What a scenario's machine has unless it asks for another."""


@dataclass(frozen=True)
class Check:
    """One thing that real runs need.  ``package`` is Debian's name of what brings it, where one does."""

    name: str
    ok: bool
    detail: str
    package: str | None = None
    needed: bool = True


def examine() -> list[Check]:
    """Looks at tools, disk space, memory, acceleration and the box.  Changes nothing."""
    checks = [Check(tool, _path(tool) is not None, _path(tool) or "not found", package)
              for tool, package in _TOOLS.items()]
    checks += [Check(file, Path(file).exists(), "found" if Path(file).exists() else "not found", package)
               for file, package in _FILES.items()]
    place = state_folder()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    checks.append(Check("disk space", free >= _DISK_BYTES, f"{free / 2**30:.0f} GiB free for machines, 16 wanted"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    checks.append(Check("memory", memory >= _MEMORY_BYTES, f"{memory / 2**30:.1f} GiB, 3 wanted"))
    checks.append(_acceleration())
    if kernel := kernel_versions():
        checks.append(Check("kernel of uml", kernel.endswith("as pinned"), kernel, needed=False))
    if all(check.ok for check in checks if check.name in ("vagrant", "mmdebstrap")):
        there = box.box_is_installed()
        hint = "" if there else ": not built yet; `make box`, or the first run, does it"
        checks.append(Check("box", there, box.box_name() + hint, needed=False))
    return checks


def missing_packages(checks: list[Check]) -> list[str]:
    """Debian's packages that bring what the checks did not find."""
    return sorted({check.package for check in checks if not check.ok and check.package})


def kernel_is_missing() -> bool:
    """Whether a VM would be emulated here, and the kernel of user-mode Linux might change that."""
    return best_here(_TYPICAL_MEMORY_BYTES).name == TCG


def install(packages: list[str]) -> None:
    """Installs Debian packages by apt-get, through sudo where the user is not root.  Raises RigError where it fails."""
    if not shutil.which("apt-get"):
        raise RigError("apt-get is missing: this is no Debian", remedy="install by hand: " + " ".join(packages))
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    if prefix and not shutil.which("sudo"):
        raise RigError("sudo is missing", remedy="as root: apt-get install " + " ".join(packages))
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        status = subprocess.run([*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *arguments],
                                stdout=sys.stderr, check=False)
        if status.returncode:
            raise RigError(f"apt-get {arguments[0]} ended with status {status.returncode}")


def _path(tool: str) -> str | None:
    return shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")


def _acceleration() -> Check:
    try:
        found = choose(AUTO, _TYPICAL_MEMORY_BYTES)
    except RigError as error:       # the environment names one that cannot be had: what is missing is told all the same
        return Check("acceleration", False, str(error), needed=False)
    advice = ""
    if found.name == TCG:
        advice = "; read ratios, not absolute times"
        if (version := _qemu_version()) and version < _QUICK_QEMU:
            advice += f"; QEMU {version} emulates slower than {_QUICK_QEMU}, which Debian 12 has in its backports"
    return Check("acceleration", found.name != TCG, f"{found.name}: {found.why}{advice}", needed=False)


def _qemu_version() -> int | None:
    """QEMU's major version; None without QEMU."""
    program = _path("qemu-system-x86_64")
    if program is None:
        return None
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\d+)\.", told)
    return int(found[1]) if found else None
