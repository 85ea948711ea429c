"""May the lab have this host and this disk?  Looks, changes nothing, and refuses whatever is not provably free.

The lab's tear-down empties Docker's data root, removes the daemon's
configuration and the volume group ``docker``, and wipes the disk.  So each of
these must be absent when the lab first comes, and from then on a marker file on
the host (`MARKER`) says that they are the lab's: it is written after all checks
have passed, and removed last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from lab.errors import RigError
from lab.rig.machine import GUEST_FOLDER, Machine
from lab.rig.storages.disks import DATA_ROOT, PROFILE, VOLUME_GROUP
from lab.scenario.scenario import HostSpec

MARKER = "/var/lib/thinpool-lab/owner"
POOL_LABEL, SPARE_LABEL = "thinpool-lab-pool", "thinpool-lab-spare"
DROP_IN = "/run/systemd/system/docker.service.d/zz-thinpool-lab.conf"
DAEMON_CONFIGURATION = "/etc/docker/daemon.json"
LVM_PROFILE = f"/etc/lvm/profile/{PROFILE}.profile"
OWN_FOLDERS = (GUEST_FOLDER, "/run/lab", "/run/lab-trace")
UNITS = ("docker.socket", "docker.service", "containerd.service")
KEPT_PATHS = ("/etc/docker", "/etc/docker/key.json", DATA_ROOT)
"""Paths that the daemon makes; the lab takes away again those that were absent when it came."""

_RESERVED = (DAEMON_CONFIGURATION, LVM_PROFILE, DROP_IN, *OWN_FOLDERS)
_PACKAGES = {
    "docker": "docker.io", "dockerd": "docker.io", "containerd": "containerd", "fio": "fio", "lvcreate": "lvm2",
    "dmsetup": "dmsetup", "thin_dump": "thin-provisioning-tools", "blktrace": "blktrace", "blkparse": "blktrace",
    "mkfs.ext4": "e2fsprogs", "mkfs.xfs": "xfsprogs", "sfdisk": "fdisk", "lsblk": "util-linux",
    "wipefs": "util-linux", "flock": "util-linux", "findmnt": "util-linux", "losetup": "mount", "fstrim": "util-linux",
    "udevadm": "udev", "systemd-run": "systemd", "modprobe": "kmod", "python3": "python3-minimal",
}
_LSBLK = "NAME,TYPE,SIZE,SERIAL,MOUNTPOINTS,PARTLABEL,PTTYPE,PTUUID,RO,START"
_OWN_TABLE = {"gpt", "PMBR"}
_MISSING = 'for item; do command -v "$item" >/dev/null || echo "$item"; done'
_THERE = 'for item; do if [ -e "$item" ] || [ -L "$item" ]; then echo "$item"; fi; done'
_EXCLUSIVE = "import os, sys; os.close(os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL))"
_MIN_DISK_BYTES = 1040 * 2**20

LOOK = "look what it is; what belongs to others is not the lab's to remove (docs/own-host.md)"


@dataclass(frozen=True)
class Marker:
    """What the lab knew of the host before it changed anything.

    ``table`` is the UUID of the partition table that it gives to the disk;
    ``units`` has the ActiveState and UnitFileState of `UNITS`, ``absent`` those of `KEPT_PATHS` that were not there.
    """

    serial: str
    table: str
    units: dict[str, tuple[str, str]]
    absent: tuple[str, ...]

    def text(self) -> str:
        return json.dumps({"made_by": "thinpool-lab", **asdict(self)}, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str) -> Marker:
        """Raises RigError where the lab cannot have written it."""
        try:
            told = json.loads(text)
            if told.pop("made_by") != "thinpool-lab":
                raise ValueError("not made by the lab")
            return cls(str(told["serial"]), str(told["table"]), {unit: (str(state[0]), str(state[1]))
                       for unit, state in told["units"].items()}, tuple(map(str, told["absent"])))
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise RigError(f"{MARKER} on the host is no marker of the lab: {text[:80]!r}", remedy=LOOK) from None


@dataclass(frozen=True)
class Disk:
    """The disk as the host shows it.  ``partitions``: the lab's two, (start, size) in bytes, or none."""

    name: str
    serial: str
    size_bytes: int
    partitions: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Allowed:
    """The host passed: its disk, what its units are, which paths are absent, and the marker of an earlier run."""

    disk: Disk
    units: dict[str, tuple[str, str]]
    absent: tuple[str, ...]
    marker: Marker | None = field(default=None)


def check(machine: Machine, spec: HostSpec) -> Allowed:
    """Whether the lab may have host and disk.  Raises RigError, with what stands against it, where it may not."""
    _need_tools(machine)
    marker = read_marker(machine)
    if marker is not None and marker.serial != spec.serial:
        raise RigError(f"{spec.host} holds what a run on the disk of serial number {marker.serial!r} left",
                       remedy="resume that run, or run its scenario again: it cleans up at its end")
    disk, tree = _check_disk(machine, spec, marker)
    units = _units(machine)
    _check_paths(machine, spec, marker)
    _check_data_root(machine, spec, marker, [node["name"] for node in _walk(tree)])
    _check_lvm(machine, spec, marker, [node["name"] for node in _walk(tree)])
    _check_containers(machine, spec, marker, units)
    there = _lines(machine, ["sh", "-c", _THERE, "sh", *KEPT_PATHS])
    return Allowed(disk, units, tuple(path for path in KEPT_PATHS if path not in there), marker)


def check_again(machine: Machine, spec: HostSpec, disk: Disk) -> None:
    """Right before the disk is erased: that it is the same as it was, and still free.  Raises RigError otherwise."""
    now, _ = _check_disk(machine, spec, None)
    if (now.name, now.serial, now.size_bytes) != (disk.name, disk.serial, disk.size_bytes):
        raise RigError(f"{spec.disk} of {spec.host} is another disk now: {now.name} of {now.size_bytes} bytes, "
                       f"where {disk.name} of {disk.size_bytes} bytes was", remedy=LOOK)


def read_marker(machine: Machine) -> Marker | None:
    """The marker on the host, or None where there is none."""
    found = machine.run(["sh", "-c", '[ ! -e "$1" ] || cat "$1"', "sh", MARKER]).stdout
    return Marker.parse(found) if found.strip() else None


def look_at_disk(machine: Machine, path: str) -> dict[str, Any]:
    """``lsblk`` of the disk and all that stands on it.  Raises RigError where it is not exactly one block device."""
    if machine.run(["test", "-b", path], check=False).returncode:
        raise RigError(f"the host has no disk {path}", remedy="`ls -l /dev/disk/by-id/` on the host shows the names")
    text = machine.run(["lsblk", "-J", "-b", "-p", "-o", _LSBLK, path]).stdout
    try:
        (tree,) = json.loads(text)["blockdevices"]
    except (ValueError, KeyError, TypeError):
        raise RigError(f"lsblk shows no single device for {path}: {text[:200]!r}") from None
    assert isinstance(tree, dict)
    return tree


def own_partitions(tree: dict[str, Any], table: str) -> tuple[tuple[int, int], ...]:
    """Start and size in bytes of the lab's pool and spare partition; none where the table is not the lab's."""
    parts = [node for node in tree.get("children") or () if node.get("type") == "part"]
    labels = [node.get("partlabel") for node in parts]
    if str(tree.get("ptuuid")).lower() != table.lower() or labels != [POOL_LABEL, SPARE_LABEL]:
        return ()
    return tuple((int(node["start"]) * 512, int(node["size"])) for node in parts)


def _need_tools(machine: Machine) -> None:
    missing = _lines(machine, ["sh", "-c", _MISSING, "sh", *_PACKAGES])
    if missing:
        packages = sorted({_PACKAGES.get(tool, tool) for tool in missing})
        raise RigError(f"the host lacks {', '.join(missing)}",
                       remedy=f"on the host: apt-get install --no-install-recommends {' '.join(packages)}")


def _check_disk(machine: Machine, spec: HostSpec, marker: Marker | None) -> tuple[Disk, dict[str, Any]]:
    tree = look_at_disk(machine, spec.disk)
    where = f"{spec.disk} of {spec.host}"
    if tree.get("type") != "disk":
        raise RigError(f"{where} is no whole disk but of type {tree.get('type')!r}", remedy="name a disk of its own")
    serial = str(tree.get("serial") or "").strip()
    if not serial:
        raise RigError(f"{where} has no serial number, so no consent can name it", remedy="take another disk")
    if serial != spec.serial:
        raise RigError(f"{where} has the serial number {serial!r}, and the consent names {spec.serial!r}",
                       remedy="correct `disk:`, or `consent:` if this is truly the disk to be erased")
    if tree.get("ro") not in (False, "0", 0):
        raise RigError(f"{where} is read-only", remedy="take another disk")
    size = int(tree["size"])
    if size < _MIN_DISK_BYTES:
        raise RigError(f"{where} has {size // 2**20} MiB; at least {_MIN_DISK_BYTES // 2**20} are needed")
    partitions = own_partitions(tree, marker.table) if marker is not None else ()
    for node in _walk(tree):
        for place in filter(None, node.get("mountpoints") or ()):
            if not partitions or not (place == DATA_ROOT or place.startswith(f"{DATA_ROOT}/")):
                what = "used as swap" if place == "[SWAP]" else f"mounted on {place}"
                raise RigError(f"{where}: {node['name']} is {what}", remedy="take a disk that nothing uses")
    if not partitions:
        for node in tree.get("children") or ():
            raise RigError(f"{where} carries {node['name']} (type {node.get('type')})",
                           remedy="take an empty disk, or empty this one yourself")
        held = machine.run(["python3", "-c", _EXCLUSIVE, spec.disk], check=False)
        if held.returncode:
            raise RigError(f"{where} is in use: {(held.stderr.strip().splitlines() or ['it cannot be opened'])[-1]}",
                           remedy="take a disk that nothing uses")
    _refuse_signatures(machine, spec, where, _OWN_TABLE if partitions else set())
    return Disk(str(tree["name"]), serial, size, partitions), tree


def _refuse_signatures(machine: Machine, spec: HostSpec, where: str, own: set[str]) -> None:
    """wipefs knows every signature; blkid may know what wipefs does not, and answers 2 where there is none."""
    text = machine.run(["wipefs", "-n", "-J", spec.disk]).stdout
    try:
        kinds = [str(item["type"]) for item in json.loads(text)["signatures"]] if text.strip() else []
    except (ValueError, KeyError, TypeError):
        raise RigError(f"{where}: what wipefs says is not understood: {text[:200]!r}") from None
    foreign = [kind for kind in kinds if kind not in own]
    if not foreign and not own:
        probed = machine.run(["blkid", "-p", "-o", "export", spec.disk], check=False)
        if probed.returncode != 2:
            foreign = probed.stdout.split() or [f"something that blkid answers {probed.returncode} to"]
    if foreign:
        raise RigError(f"{where} carries a signature: {', '.join(foreign)}",
                       remedy="if nothing on it is needed any more, `wipefs -a` on the host removes it")


def _check_paths(machine: Machine, spec: HostSpec, marker: Marker | None) -> None:
    if marker is None and (there := _lines(machine, ["sh", "-c", _THERE, "sh", *_RESERVED])):
        raise RigError(f"{spec.host} has {', '.join(there)}, and not from the lab", remedy=LOOK)


def _check_data_root(machine: Machine, spec: HostSpec, marker: Marker | None, own: list[str]) -> None:
    """Mounted from the lab's disk, or empty: what lies on another file system was not put there by the lab."""
    source = machine.run(["findmnt", "-nro", "SOURCE", "--mountpoint", DATA_ROOT], check=False).stdout.split()
    if source:
        if marker is None or any(name not in own for name in source):
            raise RigError(f"{spec.host}: {source[-1]} is mounted on {DATA_ROOT}", remedy=LOOK)
        return
    inside = machine.run(["sh", "-c", '[ ! -e "$1" ] || find "$1/" -mindepth 1 -maxdepth 1', "sh", DATA_ROOT]).stdout
    if inside.strip():
        raise RigError(f"{spec.host}: {DATA_ROOT} is not empty, and not from the lab: {inside.split()[0]}",
                       remedy="a Docker of others lives there; if none does, stop docker and remove it yourself")


def _check_lvm(machine: Machine, spec: HostSpec, marker: Marker | None, own: list[str]) -> None:
    rows = _lines(machine, ["pvs", "--noheadings", "--separator", "|", "-o", "vg_name,pv_name"])
    for row in rows:
        group, _, volume = row.strip().partition("|")
        if group == VOLUME_GROUP and (marker is None or volume not in own):
            raise RigError(f"{spec.host} has a volume group {VOLUME_GROUP!r} on {volume}, and not from the lab",
                           remedy="rename it (`vgrename`), or take another host")
    named = [line.split()[0] for line in _lines(machine, ["dmsetup", "ls"]) if line.startswith("docker-")]
    if marker is None and named:
        raise RigError(f"{spec.host} has device-mapper devices of Docker's: {', '.join(named)}", remedy=LOOK)


def _check_containers(machine: Machine, spec: HostSpec, marker: Marker | None,
                      units: dict[str, tuple[str, str]]) -> None:
    """Asks only daemons that run: a question would start others."""
    for unit, (_, state) in units.items():
        if state.startswith("masked"):
            raise RigError(f"{spec.host}: {unit} is masked", remedy=f"on the host: systemctl unmask {unit}")
    if units["docker.service"][0] not in ("inactive", "failed"):
        # a daemon of the lab's own that hangs (a full pool) holds nothing of others: its data root was looked at
        names = machine.run(["docker", "ps", "-a", "--format", "{{.Names}}"], timeout=60,
                            check=marker is None).stdout.split()
        foreign = [name for name in names if marker is None or not name.startswith("lab-")]
        if foreign:
            raise RigError(f"{spec.host} runs Docker for others; containers: {', '.join(foreign[:5])}", remedy=LOOK)
        if marker is None and (images := _lines(machine, ["docker", "images", "-aq"])):
            raise RigError(f"{spec.host} runs Docker for others: it holds {len(images)} images", remedy=LOOK)
    if units["containerd.service"][0] not in ("inactive", "failed"):
        for space in _lines(machine, ["ctr", "namespaces", "list", "-q"]):
            if marker is not None and space == "moby":
                continue
            for what in ("containers", "images"):
                if _lines(machine, ["ctr", "-n", space, what, "list", "-q"]):
                    raise RigError(f"{spec.host} runs containerd for others: {what} in the namespace {space!r}",
                                   remedy=LOOK)


def _units(machine: Machine) -> dict[str, tuple[str, str]]:
    """ActiveState and UnitFileState of each of `UNITS`."""
    found = {}
    for unit in UNITS:
        told = dict(line.split("=", 1) for line in
                    _lines(machine, ["systemctl", "show", "-p", "LoadState,ActiveState,UnitFileState", unit]))
        if told.get("LoadState") == "not-found":
            raise RigError(f"the host has no unit {unit}", remedy="on the host: apt-get install docker.io containerd")
        found[unit] = (told.get("ActiveState", "unknown"), told.get("UnitFileState", "unknown"))
    return found


def _walk(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield tree
    for child in tree.get("children") or ():
        yield from _walk(child)


def _lines(machine: Machine, argv: list[str]) -> list[str]:
    return [line.strip() for line in machine.run(argv).stdout.splitlines() if line.strip()]
