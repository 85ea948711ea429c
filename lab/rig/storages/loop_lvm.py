"""loop-lvm in a machine: the daemon makes its pool by itself, on sparse files in its folder."""

from __future__ import annotations

from lab.readers.docker_info import DockerInfo
from lab.rig.disks import Disks
from lab.rig.machine import Machine
from lab.rig.storages.devicemapper import DeviceMapperContainers, refuse_other_pool
from lab.rig.storages.disks import DATA_ROOT, VOLUMES, mount_new
from lab.scenario.scenario import StorageSpec


class LoopLvm(DeviceMapperContainers):
    """Sparse files on the pool disk's ext4."""

    layers_mount = DATA_ROOT
    volumes_mount = VOLUMES
    loop_folder = f"{DATA_ROOT}/devicemapper/devicemapper"

    def build(self, machine: Machine, spec: StorageSpec, disks: Disks) -> list[str]:
        """Two file systems.  Returns the daemon's options."""
        mount_new(machine, "ext4", disks.pool, DATA_ROOT)
        mount_new(machine, "ext4", disks.spare, VOLUMES)
        return ["dm.mountopt=discard"] if spec.discard else []

    def read_back(self, machine: Machine, spec: StorageSpec, info: DockerInfo) -> None:
        """Raises StorageMismatch unless the daemon's pool stands on the sparse file."""
        refuse_other_pool(spec, info, name=None, data_file=f"{self.loop_folder}/data")


FACE = LoopLvm()
