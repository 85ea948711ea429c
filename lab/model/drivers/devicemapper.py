"""Docker's devicemapper driver: images' layers and containers as snapshots in a thin pool, each with an XFS.

A layer is a snapshot of the one below it; a container has two, its init layer and its own (Docker 20.10,
daemon/graphdriver/devmapper).  Each mount of one costs the pool 2 MiB of log (``xfs.CLEARED_AT_MOUNT_BYTES``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

from lab.model.drivers.overlay import INIT_FILES, INIT_FOLDERS
from lab.model.filesystems.filesystem import parent_of
from lab.model.filesystems.image_content import ImageContent, Layer, unpack
from lab.model.filesystems.xfs import Xfs
from lab.model.filesystems.xfs_geometry import xfs_geometry
from lab.model.parameters import LogCosts
from lab.model.pool.thin_disk import ThinDisk
from lab.model.pool.thinpool import ThinPool

BASE_DEVICE_BYTES = 10 * 1024**3
"""``dm.basesize``'s default."""

ROOT = "rootfs"
"""Where a device has the layer's files."""

_UNPACKING = (f"{ROOT}/.pivot_root", f"{ROOT}/temp-docker-extract")
"""Folders that exist while a layer is unpacked: they take groups from the rotor (pkg/chrootarchive)."""

_TOUCHED_AT_CREATE = ("dev/shm", "dev", "etc")
"""Folders whose times change when the container is made."""


@dataclass
class Device:
    """A thin device with its file system."""

    disk: ThinDisk
    files: Xfs


@dataclass
class Container:
    """A container's two devices.  ``walked``: the daemon has asked for its size already."""

    init: Device
    own: Device
    walked: bool = False


class DeviceMapper:
    """The driver on a pool; makes the base device."""

    def __init__(self, pool: ThinPool, *, discard: bool = False, costs: LogCosts | None = None) -> None:
        self.pool = pool
        self._ids = count(1)
        self._layers: dict[tuple[Layer, ...], Device] = {}
        self._users: dict[tuple[Layer, ...], int] = {}
        number = next(self._ids)
        pool.create_thin(number, BASE_DEVICE_BYTES)
        disk = ThinDisk(pool, number)
        geometry = xfs_geometry(BASE_DEVICE_BYTES, pool.chunk_size_bytes)
        self._base = Device(disk, Xfs(geometry, disk.write, disk.discard, costs=costs, discard=discard))
        disk.flush()

    def load(self, image: ImageContent) -> None:
        """The image's layers, those that are not there yet."""
        below = self._base
        for height in range(1, len(image.layers) + 1):
            chain = image.layers[:height]
            if chain not in self._layers:
                self._layers[chain] = self._unpacked(below, chain[-1])
                self._users[chain] = 0
            self._users[chain] += 1
            below = self._layers[chain]

    def unload(self, image: ImageContent) -> None:
        """The image's layers, those that no other image has."""
        for height in range(len(image.layers), 0, -1):
            chain = image.layers[:height]
            self._users[chain] -= 1
            if not self._users[chain]:
                del self._users[chain]
                self._delete(self._layers.pop(chain))

    def create(self, image: ImageContent) -> Container:
        """The container's two devices, its own unmounted."""
        init = self._snapshot(self._layers[image.layers])
        files = init.files
        files.mount()
        for path in INIT_FOLDERS:
            files.make_folders(f"{ROOT}/{path}")
        for path in INIT_FILES:
            files.make_folders(f"{ROOT}/{parent_of(path)}".rstrip("/"))
            files.create(f"{ROOT}/{path}", 0)
        files.unmount()
        own = self._snapshot(init)
        own.files.mount()
        own.files.unmount()
        return Container(init, own)

    def start(self, container: Container, mount_points: Iterable[str], *, copied: str | None = None) -> None:
        """Mounts the container's device and makes the folders that its mounts need.

        ``copied``: a folder that the daemon reads into a new volume first, for which it mounts the device by itself.
        """
        files = container.own.files
        if copied is not None:
            files.mount()
            if files.exists(f"{ROOT}/{copied}"):
                files.touch(f"{ROOT}/{copied}", logged=False)
            files.unmount()
        files.mount()
        for path in _TOUCHED_AT_CREATE:
            if files.exists(f"{ROOT}/{path}"):
                files.touch(f"{ROOT}/{path}")
        for path in mount_points:
            files.make_folders(f"{ROOT}/{path}")
        container.own.disk.flush()

    def measure(self, container: Container) -> None:
        """What a question for the container's size does (``docker ps -s``, ``docker system df``).

        The daemon mounts the init layer and walks both file systems; the first walk changes the times of every
        folder (relatime).
        """
        container.init.files.mount()
        if not container.walked:
            for files in (container.init.files, container.own.files):
                for path in files.folders():
                    files.touch(path)
            container.walked = True
        container.init.files.unmount()
        container.init.disk.flush()

    def delete(self, container: Container) -> None:
        """Both devices, whatever was not written yet."""
        self._delete(container.own)
        self._delete(container.init)

    def _unpacked(self, below: Device, layer: Layer) -> Device:
        device = self._snapshot(below)
        files = device.files
        files.mount()
        for path in (ROOT, *_UNPACKING):
            files.make_folders(path)
        unpack(layer, files, ROOT, whiteouts=False)
        for path in _UNPACKING:
            files.remove(path)
        files.unmount()
        device.disk.flush()
        return device

    def _snapshot(self, of: Device) -> Device:
        of.disk.flush()
        number = next(self._ids)
        self.pool.create_snapshot(number, of.disk.device_id)
        disk = ThinDisk(self.pool, number)
        return Device(disk, of.files.copy(disk.write, disk.discard))

    def _delete(self, device: Device) -> None:
        device.disk.forget()
        self.pool.delete_thin(device.disk.device_id)
