"""What every storage stands on: the pool disk for its layers and the spare disk, ext4, for volumes.

Both are equal, and known by their serial numbers (`Disks`).
"""

from __future__ import annotations

from lab.rig.disks import Disks
from lab.rig.machine import GUEST_FOLDER, Machine

DATA_ROOT = "/var/lib/docker"
VOLUMES = f"{DATA_ROOT}/volumes"
VOLUME_GROUP = "docker"
PROFILE = "docker-thinpool"

_MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-K", "-n", "ftype=1"],      # Docker refuses overlay2 on XFS without ftype
}


def tear_down(machine: Machine, disks: Disks) -> None:
    """Takes every storage off the two disks: daemon, mounts, pools, signatures.  May be called at any time."""
    machine.run(["bash", f"{GUEST_FOLDER}/tear-down.sh", DATA_ROOT, VOLUME_GROUP, disks.pool, disks.spare],
                timeout=300)


def mount_new(machine: Machine, file_system: str, disk: str, mount: str, *, discard: bool = False) -> None:
    """Makes a file system, ext4 or xfs, on the disk and mounts it.  Raises CommandFailed as the machine said it."""
    machine.run([*_MAKE[file_system], disk], timeout=300)
    machine.run(["mkdir", "-p", mount])
    machine.run(["mount", *(["-o", "discard"] if discard else []), disk, mount])
