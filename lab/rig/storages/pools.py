"""Building and tearing down what a storage stands on, inside the machine.

Every storage has the pool disk for its layers and the spare disk, ext4, for
volumes; both are equal, and known by their serial numbers (`Disks`).
"""

from __future__ import annotations

from lab.errors import StorageMismatch
from lab.readers.lvm import LogicalVolume, VolumeGroup, parse_lvs, parse_vgs
from lab.rig.disks import Disks
from lab.rig.machine import GUEST_FOLDER, Machine
from lab.scenario.scenario import StorageSpec

DATA_ROOT = "/var/lib/docker"
VOLUMES = f"{DATA_ROOT}/volumes"
VOLUME_GROUP = "docker"
PROFILE = "docker-thinpool"

_EXT4 = ["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"]
_XFS = ["mkfs.xfs", "-q", "-f", "-K", "-n", "ftype=1"]      # Docker refuses overlay2 on XFS without ftype


def tear_down(machine: Machine, disks: Disks) -> None:
    """Takes every storage off the two disks: daemon, mounts, pools, signatures.  May be called at any time."""
    machine.run(["bash", f"{GUEST_FOLDER}/tear-down.sh", DATA_ROOT, VOLUME_GROUP, disks.pool, disks.spare],
                timeout=300)


def build(machine: Machine, storage: StorageSpec, disks: Disks) -> list[str]:
    """Makes the storage's disks ready for a daemon.  Returns the daemon's storage options.

    Raises CommandFailed as the machine said it.
    """
    if storage.on_lvm:
        _file_system_on(machine, _EXT4, disks.spare, DATA_ROOT)
        set_up = _direct_lvm if storage.storage == "direct-lvm" else _by_docker
        options = set_up(machine, storage, disks)
        return [*options, "dm.mountopt=discard"] if storage.discard else options
    file_system = _XFS if storage.storage == "overlay2-xfs" else _EXT4
    online_discard = storage.discard and storage.driver == "overlay2"
    _file_system_on(machine, file_system, disks.pool, DATA_ROOT, discard=online_discard)
    _file_system_on(machine, _EXT4, disks.spare, VOLUMES)
    if storage.storage == "loop-lvm":
        return ["dm.mountopt=discard"] if storage.discard else []
    return []


def layers_mount(storage: StorageSpec) -> str | None:
    """The mount point of the file system on the pool disk, or None where the pool takes the whole disk."""
    return None if storage.on_lvm else DATA_ROOT


def volumes_mount(storage: StorageSpec) -> str:
    """The mount point of the file system on the spare disk."""
    return DATA_ROOT if storage.on_lvm else VOLUMES


def _file_system_on(machine: Machine, make: list[str], disk: str, mount: str, *, discard: bool = False) -> None:
    machine.run([*make, disk], timeout=300)
    machine.run(["mkdir", "-p", mount])
    machine.run(["mount", *(["-o", "discard"] if discard else []), disk, mount])


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
    return ["dm.thinpooldev=/dev/mapper/docker-thinpool", "dm.use_deferred_removal=true",
            "dm.use_deferred_deletion=true"]


def _by_docker(machine: Machine, storage: StorageSpec, disks: Disks) -> list[str]:
    """The daemon's own set-up ("Allow Docker to configure direct-lvm mode").

    The daemon looks for the disk's name in the output of lvmdiskscan, which knows no links.
    """
    disk = machine.run(["readlink", "-e", disks.pool]).stdout.strip()
    return [f"dm.directlvm_device={disk}", f"dm.thinp_percent={storage.data_percent}",
            f"dm.thinp_metapercent={storage.metadata_percent}",
            f"dm.thinp_autoextend_threshold={storage.autoextend_threshold}",
            f"dm.thinp_autoextend_percent={storage.autoextend_percent}",
            f"dm.directlvm_device_force={'true' if storage.force else 'false'}"]


def refuse_other_pool(machine: Machine, storage: StorageSpec) -> None:
    """Raises StorageMismatch unless LVM shows the pool that was asked for: sizes, data block, profile, monitoring.

    Monitoring is asked only of the pool that the lab made: what the daemon's own set-up leaves is a finding.
    """
    told = ["--reportformat", "json", "--units", "b"]
    group = parse_vgs(machine.run(["vgs", *told, "-o", "+vg_extent_size", VOLUME_GROUP]).stdout)[0]
    columns = "+seg_monitor,chunk_size,lv_metadata_size,lv_profile"
    volumes = parse_lvs(machine.run(["lvs", *told, "-o", columns, f"{VOLUME_GROUP}/thinpool"]).stdout)
    profile = machine.run(["cat", f"/etc/lvm/profile/{PROFILE}.profile"]).stdout
    for what, got, wanted in _asked_of_pool(storage, group, volumes[0], profile):
        if got != wanted:
            raise StorageMismatch(f"LVM shows {what} {got!r} where {storage.label} asks for {wanted!r}")


def _asked_of_pool(storage: StorageSpec, group: VolumeGroup, pool: LogicalVolume,
                   profile: str) -> list[tuple[str, object, object]]:
    extent, whole = group.extent_size_bytes or 1, group.size_bytes or 0

    def share(percent: int | None) -> int:
        """What ``-l PERCENT%VG`` gives: whole extents, rounded down."""
        return whole // extent * (percent or 0) // 100 * extent

    settings = dict(line.strip().split("=") for line in profile.splitlines() if "=" in line)
    asked: list[tuple[str, object, object]] = [
        ("data size", pool.size_bytes, share(storage.data_percent)),
        ("metadata size", pool.metadata_size_bytes, share(storage.metadata_percent)),
        ("chunk size", pool.chunk_size_bytes, storage.chunk_size_bytes),
        ("profile", pool.columns.get("lv_profile"), PROFILE),
        ("autoextend threshold", settings.get("thin_pool_autoextend_threshold"), str(storage.autoextend_threshold)),
        ("autoextend percent", settings.get("thin_pool_autoextend_percent"), str(storage.autoextend_percent)),
    ]
    if storage.storage == "direct-lvm":
        asked.append(("monitored", pool.monitored, True))
    return asked
