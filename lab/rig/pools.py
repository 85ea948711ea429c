"""Building and tearing down what a storage stands on, inside the machine.

Every storage has the pool disk for its layers and the spare disk, ext4, for
volumes; both are equal, and known by their serial numbers (`Disks`).
"""

from __future__ import annotations

from lab.errors import RigError
from lab.readers.lvm import parse_lvs
from lab.rig.disks import Disks
from lab.rig.machine import GUEST_FOLDER, Machine
from lab.scenario import StorageSpec

DATA_ROOT = "/var/lib/docker"
VOLUMES = f"{DATA_ROOT}/volumes"
VOLUME_GROUP = "docker"
PROFILE = "docker-thinpool"

_EXT4 = ["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"]



def tear_down(machine: Machine, disks: Disks) -> None:
    """Takes every storage off the two disks: daemon, mounts, pools, signatures.  May be called at any time."""
    machine.run(["bash", f"{GUEST_FOLDER}/tear-down.sh", DATA_ROOT, VOLUME_GROUP, disks.pool, disks.spare],
                timeout=300)


def build(machine: Machine, storage: StorageSpec, disks: Disks) -> list[str]:
    """Makes the storage's disks ready for a daemon.  Returns the daemon's storage options.

    Raises CommandFailed as the machine said it.
    """
    if storage.storage == "direct-lvm":
        _ext4_on(machine, disks.spare, DATA_ROOT)
        return _direct_lvm(machine, storage, disks)
    _ext4_on(machine, disks.pool, DATA_ROOT)
    _ext4_on(machine, disks.spare, VOLUMES)
    if storage.storage == "loop-lvm":
        return ["dm.mountopt=discard"] if storage.discard else []
    return []


def layers_mount(storage: StorageSpec) -> str | None:
    """The mount point of the file system on the pool disk, or None where the pool takes the whole disk."""
    return None if storage.storage == "direct-lvm" else DATA_ROOT


def volumes_mount(storage: StorageSpec) -> str:
    """The mount point of the file system on the spare disk."""
    return DATA_ROOT if storage.storage == "direct-lvm" else VOLUMES


def _ext4_on(machine: Machine, disk: str, mount: str) -> None:
    machine.run([*_EXT4, disk], timeout=300)
    machine.run(["mkdir", "-p", mount])
    machine.run(["mount", disk, mount])


def _direct_lvm(machine: Machine, storage: StorageSpec, disks: Disks) -> list[str]:
    """Docker's manual procedure, step by step ("Configure direct-lvm mode manually")."""
    thinpool, metadata = f"{VOLUME_GROUP}/thinpool", f"{VOLUME_GROUP}/thinpoolmeta"
    machine.run(["pvcreate", "-y", disks.pool])
    machine.run(["vgcreate", VOLUME_GROUP, disks.pool])
    for name, percent in (("thinpool", storage.data_percent), ("thinpoolmeta", storage.metadata_percent)):
        machine.run(["lvcreate", "-y", "--wipesignatures", "y", "-n", name, VOLUME_GROUP, "-l", f"{percent}%VG"])
    machine.run(["lvconvert", "-y", "--zero", "n", "-c", f"{(storage.chunk_size_bytes or 0) // 1024}K",
                 "--thinpool", thinpool, "--poolmetadata", metadata])
    profile = ("activation {\n"
               f"  thin_pool_autoextend_threshold={storage.autoextend_threshold}\n"
               f"  thin_pool_autoextend_percent={storage.autoextend_percent}\n"
               "}\n")
    machine.run(["install", "-D", "-m", "0644", "/dev/stdin", f"/etc/lvm/profile/{PROFILE}.profile"],
                stdin=profile.encode())
    machine.run(["lvchange", "--metadataprofile", PROFILE, thinpool])
    # `lvs -o+seg_monitor` only displays; without this the documented step leaves a pool unmonitored
    machine.run(["lvchange", "--monitor", "y", thinpool])
    rows = parse_lvs(machine.run(["lvs", "--reportformat", "json", "--units", "b", "-o+seg_monitor",
                                 thinpool]).stdout)
    if not rows or not rows[0].monitored:
        raise RigError(f"{thinpool} is not monitored after lvchange --monitor y: it would never autoextend")
    options = ["dm.thinpooldev=/dev/mapper/docker-thinpool", "dm.use_deferred_removal=true",
               "dm.use_deferred_deletion=true"]
    return [*options, "dm.mountopt=discard"] if storage.discard else options
