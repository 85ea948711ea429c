"""A storage as a scenario names it, built from the model's parts: a driver on its pool or file system, and volumes.

It mirrors the measured machine: the pool disk holds the layers, the spare disk, ext4, the volumes; the daemon's own
files lie on the pool disk where that has a file system, else on the spare disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.model.drivers.devicemapper import ROOT, Container, DeviceMapper
from lab.model.drivers.overlay import Overlay2
from lab.model.filesystems.ext4 import Ext4
from lab.model.filesystems.file_work import Done, FileWork, log_line_bytes
from lab.model.filesystems.filesystem import FileSystem, blocks_of
from lab.model.filesystems.image_content import ImageContent
from lab.model.filesystems.job_counts import Surface
from lab.model.pool.min_free_space import MIN_FREE_PERCENT, least_free_blocks
from lab.model.pool.thin_disk import PoolFull, ThinDisk
from lab.model.pool.thinpool import PoolMode, ThinPool
from lab.model.pool.volume_group import VolumeGroup
from lab.scenario.scenario import StorageSpec
from lab.scenario.steps import AnyStep
from lab.units import METADATA_BLOCK_BYTES

MOUNT_POINTS = ("usr", "opt/lab", "run/lab")
"""What the lab mounts into every container."""

_DAEMON_FILES = ("config.v2.json", "hostconfig.json", "hostname", "hosts", "resolv.conf", "resolv.conf.hash")
_DAEMON_FILE_BYTES = 3000


class Refused(Exception):
    """The daemon makes no container: too little of the pool's data or metadata is free, its text says of which."""


@dataclass(frozen=True, slots=True)
class Levels:
    """What a boundary record tells, in bytes; None where the storage has no such thing."""

    storage_used: int
    volume_used: int
    pool_metadata_used: int | None = None
    pool_data_total: int | None = None


@dataclass
class Running:
    """A container that runs: its file system, and the folder of it that holds the root."""

    name: str
    image: ImageContent
    layer: FileSystem
    root: str
    volume: bool
    device: Container | None = None
    logged_bytes: int = 0


@dataclass
class Storage:
    """One build of a storage.  Of ``mapper`` and ``overlay`` just one is there."""

    spec: StorageSpec
    volumes: Ext4
    daemon: FileSystem
    mapper: DeviceMapper | None = None
    overlay: Overlay2 | None = None
    group: VolumeGroup | None = None
    images: set[str] = field(default_factory=set)
    running: dict[str, Running] = field(default_factory=dict)

    # -- images and containers --------------------------------------------------------------------------

    def load(self, image: ImageContent) -> None:
        """An image, unless it is there.  Raises PoolFull."""
        if image.name in self.images:
            return
        self.images.add(image.name)
        if self.mapper is not None:
            self.mapper.load(image)
        elif self.overlay is not None:
            self.overlay.load(image)

    def unload(self, image: ImageContent) -> None:
        """An image, and its layers where no other image has them."""
        self.images.remove(image.name)
        if self.mapper is not None:
            self.mapper.unload(image)
        elif self.overlay is not None:
            self.overlay.unload(image)

    def start(self, name: str, image: ImageContent, *, volume: bool) -> Running:
        """Makes and starts a container.  Raises Refused, and PoolFull."""
        points = (*MOUNT_POINTS, "data") if volume else MOUNT_POINTS
        if self.mapper is not None:
            _check_free(self.mapper.pool)
            device = self.mapper.create(image)
            self.mapper.start(device, points, copied="data" if volume else None)
            running = Running(name, image, device.own.files, ROOT, volume, device)
        else:
            assert self.overlay is not None
            running = Running(name, image, self.overlay.create(name, image, points), "", volume)
        self._daemon_files(name)
        if volume:
            self._fill_volume(name, image)
        self.running[name] = running
        return running

    def stop(self, name: str) -> None:
        """Removes a container with its volume."""
        running = self.running.pop(name)
        if self.mapper is not None and running.device is not None:
            self.mapper.delete(running.device)
        elif self.overlay is not None:
            self.overlay.delete(name)
        self.daemon.remove(f"containers/{name}")
        self.daemon.remove(f"mounts/{name}")
        if running.volume:
            self.volumes.remove(f"volumes/{name}")

    def _daemon_files(self, name: str) -> None:
        for folder in (f"containers/{name}/checkpoints", f"containers/{name}/mounts", f"mounts/{name}"):
            self.daemon.make_folders(folder)
        for file in _DAEMON_FILES:
            self.daemon.create(f"containers/{name}/{file}", _DAEMON_FILE_BYTES)
        for file in ("init-id", "mount-id", "parent"):
            self.daemon.create(f"mounts/{name}/{file}", 64)
        if self.mapper is not None:
            for device in (name, f"{name}-init"):
                self.daemon.make_folders(f"containers/{name}/mnt/{device}")
                self.daemon.create(f"containers/{name}/metadata-{device}", 200)

    def _fill_volume(self, name: str, image: ImageContent) -> None:
        """A new volume takes what the image has where it is mounted."""
        self.volumes.make_folders(f"volumes/{name}/_data")
        for path, size_bytes in image.files().items():
            if path.startswith("data/"):
                self.volumes.create(f"volumes/{name}/_data/{path.removeprefix('data/')}", size_bytes)

    def surface(self, running: Running) -> Surface:
        """What a job of fio in the container meets."""
        if running.volume:
            return Surface(None, "ext4", from_image=False)
        return Surface(self.spec.chunk_size_bytes, self.spec.kind.layers,
                       from_image=True)

    # -- work -------------------------------------------------------------------------------------------

    def work(self, running: Running) -> FileWork:
        """File work in a container's /data: its volume's or its layer's."""
        if running.volume:
            return FileWork(self.volumes, f"volumes/{running.name}/_data")
        return FileWork(running.layer, f"{running.root}/data".strip("/"))

    def do(self, running: Running, step: AnyStep, seed: int, nth: int) -> Done:
        """One step of file work in a container; ``nth`` counts its kind from 1.

        Raises ValueError for a step that is no file work, KeyError for a file that is not there.
        """
        task = step.task(nth, seed)
        if task is None:
            raise ValueError(f"a step of kind {step.kind} is no file work")
        if task.work == "log":
            self.log(running, task.files, task.amount_bytes)
            return Done(task.files * task.amount_bytes)
        return self.work(running).do(task)

    def log(self, running: Running, lines: int, width: int) -> int:
        """Lines to the container's standard output.  Returns the bytes that the daemon wrote."""
        running.logged_bytes += lines * log_line_bytes(width)
        held = self.daemon.held_blocks(blocks_of(running.logged_bytes))
        path = f"containers/{running.name}/json.log"
        if not self.daemon.exists(path):
            self.daemon.create(path, 0)
        self.daemon.overwrite(path, range(held))
        return lines * log_line_bytes(width)

    def trim(self) -> None:
        """fstrim of all that the running containers write to."""
        if any(running.volume for running in self.running.values()):
            self.volumes.trim()
        elif self.mapper is None:
            self.daemon.trim()
        else:
            for running in self.running.values():
                running.layer.trim()

    def sync(self) -> None:
        """``sync`` of the machine; what has to reach the pool does so at the next ``flush``."""
        self.daemon.sync()
        for running in self.running.values():
            running.layer.sync()

    def push(self, name: str) -> None:
        """What a container's XFS writes by itself every half minute.  Raises PoolFull."""
        device = self.running[name].device
        if device is not None:
            device.own.files.push()
            device.own.disk.flush()

    def measure(self) -> None:
        """What the daemon does when it is asked for the containers' sizes.  Raises PoolFull."""
        if self.mapper is not None:
            for running in self.running.values():
                if running.device is not None:
                    self.mapper.measure(running.device)

    def flush(self) -> None:
        """All writes that reached a device so far reach the pool.  Raises PoolFull."""
        for disk in self._disks():
            disk.flush()

    def _disks(self) -> Sequence[ThinDisk]:
        return [running.device.own.disk for running in self.running.values() if running.device is not None]

    @property
    def failed(self) -> bool:
        """Whether the pool takes no more writes at all."""
        return self.mapper is not None and self.mapper.pool.mode in (PoolMode.FAIL, PoolMode.READ_ONLY)

    # -- space ------------------------------------------------------------------------------------------

    def levels(self) -> Levels:
        """As a boundary record tells them."""
        if self.mapper is None:
            return Levels(self.daemon.used_bytes, self.volumes.used_bytes)
        pool = self.mapper.pool
        pool.commit()                   # the kernel does it within a second
        metadata = pool.used_metadata_blocks
        return Levels(pool.used_data_blocks * pool.chunk_size_bytes, self.volumes.used_bytes,
                      None if metadata is None else metadata * METADATA_BLOCK_BYTES,
                      pool.data_blocks * pool.chunk_size_bytes)

    def extend(self) -> bool:
        """LVM's autoextend at its next look: a step where the pool is fuller than the threshold and the step fits."""
        if self.mapper is None or self.group is None:
            return False
        pool = self.mapper.pool
        if 100 * pool.used_data_blocks <= (self.spec.autoextend_threshold or 100) * pool.data_blocks:
            return False
        if not self.group.extend(self.spec.autoextend_percent or 0):
            return False
        return pool.resize_data(self.group.data_bytes // pool.chunk_size_bytes)


def _check_free(pool: ThinPool) -> None:
    """Raises Refused as the daemon does before it makes a device."""
    sides = [("pool", pool.free_data_blocks, pool.data_blocks)]
    if pool.metadata is not None:
        total = pool.metadata.total_blocks
        sides.append(("pool's metadata", total - pool.metadata.used_blocks, total))
    for name, free, total in sides:
        if free < least_free_blocks(total):
            raise Refused(f"less than {MIN_FREE_PERCENT} % of the {name} is free")


__all__ = ["Levels", "PoolFull", "Refused", "Running", "Storage"]
