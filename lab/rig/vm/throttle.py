"""Holding a VM's disks to a speed while a cell runs: by QEMU's own I/O limits, or by the guest's control groups.

QEMU is spoken to on its monitor socket (QMP, docs/interop/qmp-spec.rst of QEMU), one client at a time.  The limit is
that of ``block_set_io_throttle``: bytes and operations a second, of reads and writes together, without a burst.

User-mode Linux has no such limit on its disks.  There the guest's kernel holds all control groups at the top to it
(``io.max``, Documentation/admin-guide/cgroup-v2.rst): reads and writes each by themselves, of all processes; what the
kernel's own threads write (a journal, a pool's metadata) is not held.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.errors import RigError
from lab.rig.disks import Disks
from lab.rig.machine import GUEST_FOLDER, Machine
from lab.scenario.scenario import Throttle

SOCKET = "qmp.sock"
_SECONDS = 20.0
_DEVICES = "/machine/peripheral-anon"


class Monitor:
    """A conversation with QEMU."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rw", encoding="utf-8")
        self._read()                                    # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """What QEMU returns.  Raises RigError where it refuses."""
        self._file.write(json.dumps({"execute": command, "arguments": arguments or {}}) + "\n")
        self._file.flush()
        while True:
            reply = self._read()
            if "error" in reply:
                raise RigError(f"QEMU refuses {command}: {reply['error'].get('desc', reply['error'])}")
            if "return" in reply:
                return reply["return"]                  # else an event, of which there may be any number

    def _read(self) -> dict[str, Any]:
        line = self._file.readline()
        if not line:
            raise RigError("QEMU ended the conversation on its monitor")
        reply: dict[str, Any] = json.loads(line)
        return reply


@contextmanager
def monitor(folder: Path) -> Iterator[Monitor]:
    """The monitor of the QEMU that keeps its socket in that folder.  Raises RigError where nobody answers."""
    handle = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_SECONDS)
            connection.connect(f"/proc/self/fd/{handle}/{SOCKET}")      # a socket's own path may be too long
            yield Monitor(connection)
    except (OSError, ValueError) as error:
        raise RigError(f"QEMU does not answer on {folder / SOCKET}: {error}") from None
    finally:
        os.close(handle)


@contextmanager
def throttled(folder: Path, serials: Sequence[str], limit: Throttle | None) -> Iterator[None]:
    """Holds the disks of those serial numbers to the limit, and lets them go whatever happens.  None: does nothing.

    Raises RigError where QEMU has no such disk, or refuses.
    """
    if limit is None:
        yield
        return
    _set(folder, serials, limit.bandwidth_bytes or 0, limit.operations or 0)
    try:
        yield
    finally:
        _set(folder, serials, 0, 0)


@contextmanager
def throttled_in_guest(machine: Machine, disks: Disks, limit: Throttle | None) -> Iterator[None]:
    """Has the guest hold both disks to the limit, and lets them go whatever happens.  None: does nothing.

    Raises CommandFailed where the guest's kernel refuses.
    """
    if limit is None:
        yield
        return
    hold = ["bash", f"{GUEST_FOLDER}/hold-disks.sh"]
    machine.run([*hold, str(limit.bandwidth_bytes or "max"), str(limit.operations or "max"), disks.pool, disks.spare])
    try:
        yield
    finally:
        machine.run([*hold, "max", "max", disks.pool, disks.spare])


def _set(folder: Path, serials: Sequence[str], bandwidth_bytes: int, operations: int) -> None:
    with monitor(folder) as qemu:
        disks = _disks(qemu)
        for serial in serials:
            if serial not in disks:
                raise RigError(f"QEMU has no disk with the serial number {serial!r}; it has {sorted(disks)}")
            qemu.execute("block_set_io_throttle", {
                "id": disks[serial], "bps": bandwidth_bytes, "bps_rd": 0, "bps_wr": 0,
                "iops": operations, "iops_rd": 0, "iops_wr": 0})


def _disks(qemu: Monitor) -> dict[str, str]:
    """The serial number of each virtio disk, with the path by which ``block_set_io_throttle`` knows its device."""
    found = {}
    for child in qemu.execute("qom-list", {"path": _DEVICES}):
        if child["type"] == "child<virtio-blk-pci>":
            path = f"{_DEVICES}/{child['name']}"
            found[qemu.execute("qom-get", {"path": path, "property": "serial"})] = f"{path}/virtio-backend"
    return found
