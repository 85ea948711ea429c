"""overlay2 in a machine: the daemon's folder on the pool disk's ext4 or XFS."""

from __future__ import annotations

from lab.readers.docker_info import DockerInfo
from lab.rig.disks import Disks
from lab.rig.machine import Machine
from lab.rig.storages.disks import DATA_ROOT, VOLUMES, mount_new
from lab.rig.storages.face import refuse, refuse_other_mount
from lab.scenario.scenario import StorageSpec

_IN_DOCKER = {"ext4": "extfs", "xfs": "xfs"}
"""The words of ``docker info`` for the file system below."""


class Overlay2:
    """Containers share the file system of the layers."""

    layers_mount = DATA_ROOT
    volumes_mount = VOLUMES
    loop_folder = None

    def build(self, machine: Machine, spec: StorageSpec, disks: Disks) -> list[str]:
        """Two file systems.  Returns the daemon's options: none."""
        mount_new(machine, spec.kind.backing or "", disks.pool, DATA_ROOT, discard=spec.discard)
        mount_new(machine, "ext4", disks.spare, VOLUMES)
        return []

    def read_back(self, machine: Machine, spec: StorageSpec, info: DockerInfo) -> None:
        """Raises StorageMismatch unless the daemon shows the file system asked for, mounted as asked."""
        if info.overlay2 is not None:
            refuse(spec, [("backing file system", info.overlay2.backing_filesystem,
                           _IN_DOCKER[spec.kind.backing or ""]),
                          ("d_type", info.overlay2.supports_d_type, True)])
        refuse_other_mount(machine, DATA_ROOT, spec)

    def container_mount(self, machine: Machine, container: str) -> None:
        """None: a container has no file system of its own."""

    def container_device(self, machine: Machine, container: str) -> None:
        """None: a container has no block device of its own."""


FACE = Overlay2()
