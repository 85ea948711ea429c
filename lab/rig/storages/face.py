"""A storage's face in a machine: built, read back, and taken down."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, runtime_checkable

from lab.errors import StorageMismatch
from lab.readers.docker_info import DockerInfo
from lab.rig.disks import Disks
from lab.rig.machine import Machine
from lab.rig.storages.daemon import start_daemon
from lab.rig.storages.disks import tear_down
from lab.scenario.scenario import StorageSpec
from lab.storages.kind import StorageKind


@runtime_checkable
class RigFace(Protocol):
    """What each module of a storage in a machine offers as ``FACE``."""

    @property
    def layers_mount(self) -> str | None:
        """Where the pool disk's file system is mounted; None where a pool takes the whole disk."""
        ...

    @property
    def volumes_mount(self) -> str:
        """Where the spare disk's file system is mounted."""
        ...

    @property
    def loop_folder(self) -> str | None:
        """The folder of the sparse files that the storage stands on; None where there are none."""
        ...

    def build(self, machine: Machine, spec: StorageSpec, disks: Disks) -> list[str]:
        """Makes the disks ready for a daemon.  Returns the daemon's options.  Raises CommandFailed."""
        ...

    def read_back(self, machine: Machine, spec: StorageSpec, info: DockerInfo) -> None:
        """Raises StorageMismatch unless daemon and machine show what was asked for."""
        ...

    def container_mount(self, machine: Machine, container: str) -> str | None:
        """Where a running container's own file system is mounted; None where it shares that of the layers."""
        ...

    def container_device(self, machine: Machine, container: str) -> str | None:
        """The name of a running container's own block device; None where it has none."""
        ...


def rig_face(kind: StorageKind) -> RigFace:
    """The face that the storage names.  Raises TypeError where its module has none."""
    face = import_module(kind.rig_face).FACE
    if not isinstance(face, RigFace):
        raise TypeError(f"{kind.rig_face} has no FACE that can be built, read back and taken down")
    return face


def set_up(machine: Machine, spec: StorageSpec, disks: Disks) -> float:
    """Takes down what is there, builds the storage, starts its daemon, and reads back what it is.

    Returns the seconds that the daemon's start took inside the machine.  Raises CommandFailed, and StorageMismatch
    where driver, pool, block size or backing file system is not what was asked.
    """
    tear_down(machine, disks)
    face = rig_face(spec.kind)
    info, seconds = start_daemon(machine, spec.driver, face.build(machine, spec, disks))
    if info.driver != spec.driver:
        refuse(spec, [("driver", info.driver, spec.driver)])
    face.read_back(machine, spec, info)
    return seconds


def refuse(spec: StorageSpec, seen: list[tuple[str, object, object]], who: str = "docker info") -> None:
    """Raises StorageMismatch at the first of (what, seen, asked for) that differs."""
    for what, got, wanted in seen:
        if got != wanted:
            raise StorageMismatch(f"{who} shows {what} {got!r} where {spec.label} asks for {wanted!r}")


def refuse_other_mount(machine: Machine, mount: str, spec: StorageSpec) -> None:
    """Raises StorageMismatch unless the file system is mounted with ``discard`` just where that was asked for."""
    options = machine.run(["findmnt", "-rno", "OPTIONS", "--mountpoint", mount]).stdout.strip().split(",")
    if ("discard" in options) != spec.discard:
        raise StorageMismatch(f"{mount} is mounted with {','.join(options)!r} where {spec.label} asks for "
                              f"{'discard' if spec.discard else 'no discard'}")
