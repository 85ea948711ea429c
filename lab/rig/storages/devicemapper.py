"""What Docker's devicemapper driver shows of a pool and of its containers, whatever the pool stands on."""

from __future__ import annotations

from lab.readers.docker_info import DockerInfo
from lab.rig.machine import Machine
from lab.rig.storages.disks import DATA_ROOT
from lab.rig.storages.face import refuse
from lab.scenario.scenario import StorageSpec


class DeviceMapperContainers:
    """Each container has a thin device of its own, which the daemon mounts."""

    def container_mount(self, machine: Machine, container: str) -> str:
        """Where the daemon has mounted the device (``/proc/PID/root`` would be the machine's own)."""
        full = machine.run(["docker", "inspect", "--format", "{{.Id}}", container]).stdout.strip()
        mount = machine.run(["cat", f"{DATA_ROOT}/image/devicemapper/layerdb/mounts/{full}/mount-id"])
        return f"{DATA_ROOT}/devicemapper/mnt/{mount.stdout.strip()}"

    def container_device(self, machine: Machine, container: str) -> str:
        """The device-mapper name of the container's thin device."""
        return machine.run(["docker", "inspect", "--format", "{{.GraphDriver.Data.DeviceName}}",
                            container]).stdout.strip()


def refuse_other_pool(spec: StorageSpec, info: DockerInfo, *, name: str | None, data_file: str | None) -> None:
    """Raises StorageMismatch unless the daemon's pool has the block size, the name and the sparse file asked for.

    ``name``: None where the daemon chooses it.  ``data_file``: None where the pool stands on no sparse file.
    """
    pool = info.devicemapper
    if pool is None:
        return
    seen: list[tuple[str, object, object]] = [("block size", pool.block_size_bytes, spec.chunk_size_bytes)]
    if name is not None:
        seen.append(("pool", pool.pool_name, name))
    refuse(spec, [*seen, ("data loop file", pool.data_loop_file, data_file)])
