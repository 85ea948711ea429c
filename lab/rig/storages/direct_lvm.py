"""direct-lvm in a machine: LVM's thin pool on the whole pool disk, made by the commands of Docker's documentation."""

from __future__ import annotations

from lab.errors import StorageMismatch
from lab.readers.docker_info import DockerInfo
from lab.readers.lvm import LogicalVolume, VolumeGroup, parse_lvs, parse_vgs
from lab.rig.disks import Disks
from lab.rig.machine import Machine
from lab.rig.storages.devicemapper import DeviceMapperContainers, refuse_other_pool
from lab.rig.storages.disks import DATA_ROOT, PROFILE, VOLUME_GROUP, mount_new
from lab.scenario.scenario import StorageSpec


class DirectLvm(DeviceMapperContainers):
    """The daemon's own files and the volumes share the spare disk."""

    layers_mount = None
    volumes_mount = DATA_ROOT
    loop_folder = None

    def build(self, machine: Machine, spec: StorageSpec, disks: Disks) -> list[str]:
        """A file system for the daemon, and a pool.  Returns the daemon's options."""
        mount_new(machine, "ext4", disks.spare, DATA_ROOT)
        options = self.pool_options(machine, spec, disks)
        return [*options, "dm.mountopt=discard"] if spec.discard else options

    def pool_options(self, machine: Machine, spec: StorageSpec, disks: Disks) -> list[str]:
        """Makes the pool.  Returns the daemon's options for it."""
        return _make_pool(machine, spec, disks)

    def read_back(self, machine: Machine, spec: StorageSpec, info: DockerInfo) -> None:
        """Raises StorageMismatch unless daemon and LVM show the pool that was asked for."""
        refuse_other_pool(spec, info, name="docker-thinpool", data_file=None)
        _refuse_other_volume(machine, spec)


def _make_pool(machine: Machine, storage: StorageSpec, disks: Disks) -> list[str]:
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


def _refuse_other_volume(machine: Machine, storage: StorageSpec) -> None:
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
    if storage.kind.pool_made_by == "the lab":
        asked.append(("monitored", pool.monitored, True))
    return asked


FACE = DirectLvm()
