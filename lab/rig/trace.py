"""A block trace of one container's device: what the file system above asked of the blocks below.

On devicemapper the device is the container's thin device; overlay2 has none of
its own, so the pool disk is traced; a volume lives on the spare disk.
"""

from __future__ import annotations

from lab.errors import RigError
from lab.readers.dmsetup import ThinTable, parse_table_line
from lab.rig.disks import Disks
from lab.rig.machine import GUEST_FOLDER, Machine
from lab.rig.storages.face import rig_face
from lab.scenario.scenario import Cell

FOLDER = "/run/lab-trace"
BLKPARSE_FORMAT = "%T.%9t %a %d %S %N\\n"
"""Seconds since the first event, action, direction, first sector, bytes."""


def traced_device(machine: Machine, cell: Cell, container: str, disks: Disks) -> tuple[str, str | None, int]:
    """The device to trace; its thin device's name where it is one; and the byte that its trace counts from."""
    if cell.target == "volume":
        return disks.spare, None, disks.spare_offset_bytes
    name = rig_face(cell.storage.kind).container_device(machine, container)
    if name is None:
        return disks.pool, None, disks.pool_offset_bytes
    return f"/dev/mapper/{name}", name, 0


def thin_device_id(machine: Machine, name: str) -> int:
    """The id of a thin device in its pool, as its table says.  Raises RigError where it is none."""
    table = parse_table_line(machine.run(["dmsetup", "table", name]).stdout, where=f"dmsetup table {name}")
    if not isinstance(table, ThinTable):
        raise RigError(f"the container's device {name} is no thin device")
    return table.device_id


def start_trace(machine: Machine, device: str) -> None:
    """Traces the device from now on."""
    machine.run(["mkdir", "-p", FOLDER])
    machine.run(["systemd-run", "--quiet", "--unit=lab-trace", "--collect", "blktrace", "-d", device, "-a", "queue",
                 "-D", FOLDER, "-o", "trace"])


def stop_trace(machine: Machine, device: str) -> str:
    """Ends the trace with a read whose time is told.  Returns that line and blkparse's, in `BLKPARSE_FORMAT`."""
    return machine.run(["bash", f"{GUEST_FOLDER}/stop-trace.sh", FOLDER, device, BLKPARSE_FORMAT], timeout=300).stdout
