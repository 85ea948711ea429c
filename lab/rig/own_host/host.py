"""A user's own host as the machine: one disk of it for a while, and all as it was afterwards.

Nothing is changed before `host_check.check` has passed.  Then a marker file is
written, the disk is cut into two equal partitions, and the lab's programs and
images are put in place; `stop` takes all that away again, the marker last.  A
lock on the host, held by an ssh session, keeps a second lab out.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from subprocess import Popen, TimeoutExpired

from lab.errors import CommandFailed, ConnectionLost, RigError
from lab.rig.disks import Disks
from lab.rig.identity import Provided
from lab.rig.machine import GUEST_FOLDER, put
from lab.rig.own_host.host_check import (
    DAEMON_CONFIGURATION,
    DROP_IN,
    LVM_PROFILE,
    MARKER,
    OWN_FOLDERS,
    POOL_LABEL,
    SPARE_LABEL,
    UNITS,
    Disk,
    Marker,
    check,
    check_again,
    look_at_disk,
    own_partitions,
    read_marker,
)
from lab.rig.own_host.images import images_for, install_images
from lab.rig.ssh import SshMachine
from lab.rig.storages import disks as ground
from lab.rig.storages.daemon import daemon_without_network
from lab.scenario.scenario import HostSpec, Throttle

LOCK = "/run/lock/thinpool-lab.lock"

_MIB = 2**20
_FIRST_MIB = 8      # a linear volume at the disk's very start shows the same physical volume twice
_LOCK_SECONDS = 5
_RETURN_SECONDS = 300.0
"""How long a host that was there may be away: a reboot."""
_GUEST_PROGRAMS = Path(__file__).parents[1] / "guest"
_HOLD = "echo held; exec cat >/dev/null"
_MODULES = ("dm_thin_pool", "loop", "overlay", "xfs", "ext4")


def halves(size_bytes: int) -> int:
    """The size in MiB of either partition on a disk: 8 MiB stay free before them, and as much behind."""
    return (size_bytes // _MIB - 2 * _FIRST_MIB) // 2


def table_script(size_bytes: int, table: str) -> str:
    """What sfdisk is told: two equal partitions with the lab's labels, on a GPT of that UUID."""
    half = halves(size_bytes)
    return (f"label: gpt\nlabel-id: {table}\n"
            f'start={_FIRST_MIB}MiB, size={half}MiB, name="{POOL_LABEL}"\n'
            f'start={_FIRST_MIB + half}MiB, size={half}MiB, name="{SPARE_LABEL}"\n')


def ssh_options(spec: HostSpec) -> list[str]:
    """Options of ssh that the block asks for; the checking of host keys is as the user's configuration says."""
    options = ["-o", "ControlPersist=120"]      # a killed lab must leave no connection for long
    if spec.ssh_config is not None:
        options += ["-F", str(spec.ssh_config)]
    if spec.port is not None:
        options += ["-p", str(spec.port)]
    if spec.identity_file is not None:
        options += ["-i", str(spec.identity_file)]
    return options


class Host:
    """The host.  `up`, then `machine` and `disks`; `abandon` and `up` where it broke; `stop` at the end."""

    def __init__(self, spec: HostSpec, say: Callable[[str], None],
                 connect: Callable[[list[str], str], SshMachine] = SshMachine) -> None:
        self._spec = spec
        self._say = say
        self._connect_by = connect
        self._ssh: SshMachine | None = None
        self._lock: Popen[bytes] | None = None
        self._disk: Disk | None = None
        self._owned = False     # the marker may be there: something may have to be taken away

    @property
    def machine(self) -> SshMachine:
        if self._ssh is None:
            raise RigError("the host is not connected")
        return self._ssh

    @property
    def disks(self) -> Disks:
        """The two partitions."""
        if self._disk is None or not self._disk.partitions:
            raise RigError("the disk of the host is not cut yet")
        (pool, _), (spare, _) = self._disk.partitions
        return Disks(f"{self._spec.disk}-part1", f"{self._spec.disk}-part2", pool, spare)

    @property
    def provided(self) -> Provided:
        """What the host says of itself."""
        machine, disk = self.machine, self._disk
        if disk is None or not disk.partitions:
            raise RigError("the disk of the host is not cut yet")
        virtual = machine.run(["systemd-detect-virt"], check=False).stdout.strip() or "unknown"
        cache = machine.run(["cat", f"/sys/class/block/{Path(disk.name).name}/queue/write_cache"], check=False).stdout
        pages, page = (int(machine.run(["getconf", name]).stdout) for name in ("_PHYS_PAGES", "PAGE_SIZE"))
        return Provided({"none": "hardware", "qemu": "tcg"}.get(virtual, virtual), cache.strip() or "unknown",
                        int(machine.run(["nproc"]).stdout), pages * page, "host",
                        disk.partitions[0][1], disk.partitions[1][1])

    def pool_allocated_bytes(self) -> None:
        """Nothing: what is below the host's disk is not to be seen."""

    def throttled(self, limit: Throttle | None) -> AbstractContextManager[None]:
        """Nothing without a limit.  Raises RigError for one: the disk is no QEMU's."""
        if limit is not None:
            raise RigError("a host's own disk cannot be throttled", remedy="leave throttle out, or name no ssh host")
        return nullcontext()

    def up(self) -> float:
        """Connects, checks, and takes host and disk; what an earlier run left is torn down.

        Returns the seconds until ssh answered.  Raises RigError where the host
        cannot be reached or must not be taken; then nothing was changed on it.
        """
        seconds = self._connect()
        self._hold_lock()
        allowed = check(self.machine, self._spec)
        images = images_for(self.machine)
        marker = allowed.marker
        if marker is None:
            marker = Marker(allowed.disk.serial, str(uuid.uuid4()), allowed.units, allowed.absent)
            self._say(f"{self._spec.host}: checked; erasing {self._spec.disk}, serial number {marker.serial}")
            self._owned = True
            put(self.machine, MARKER, marker.text())
            self.machine.run(["sync", MARKER])
        self._owned = True
        self._disk = allowed.disk
        self._prepare(images)
        if not allowed.disk.partitions:
            self._cut(allowed.disk, marker)
        ground.tear_down(self.machine, self.disks)
        return seconds

    def abandon(self) -> None:
        """Drops the connection and leaves all as it is, however broken: the next `up` tears down what stands there."""
        self._release()

    def stop(self) -> None:
        """Takes away all that the lab made, puts Docker's units back, and ends the connection.  May be called twice.

        Raises RigError where that cannot be done; the marker then stays, and a later run does it.
        """
        try:
            if self._owned:
                if self._ssh is None:
                    self._connect()
                if self._lock is None or self._lock.poll() is not None:
                    self._hold_lock()
                self._clean_up()
                self._owned = False
        except RigError as error:
            raise RigError(f"{self._spec.host} could not be cleaned up: {error}",
                           remedy="when it answers again, run the scenario again: that cleans up at its end") from None
        finally:
            self._release()

    # -- connection ---------------------------------------------------------------

    def _connect(self) -> float:
        """Connects unless it is connected.  A host that was there before may take a while to come back."""
        began = time.monotonic()
        deadline = began + (_RETURN_SECONDS if self._owned else 0.0)
        while self._ssh is None:
            machine = self._connect_by(ssh_options(self._spec), self._spec.ssh)
            try:
                machine.run(["true"], timeout=30)
                self._ssh = machine
            except CommandFailed as error:
                machine.close()
                raise RigError(f"{self._spec.ssh}: no command can be run as root: {error}",
                               remedy=f"`ssh {self._spec.ssh} sudo -n true` must work without a question") from None
            except ConnectionLost as error:
                machine.close()
                if time.monotonic() > deadline:
                    raise RigError(f"{self._spec.ssh} cannot be reached: {error}",
                                   remedy=f"`ssh {self._spec.ssh} sudo -n true` must work without a question") from None
                time.sleep(5)
        return time.monotonic() - began

    def _hold_lock(self) -> None:
        """Takes the lock on the host; it is free again as soon as the session that holds it ends."""
        self._free_lock()
        # a session of ours that was cut off may need a while to be noticed by the host
        seconds = 120 if self._owned else _LOCK_SECONDS
        self._lock = self.machine.hold(["flock", "-w", str(seconds), LOCK, "sh", "-c", _HOLD])
        assert self._lock.stdout is not None
        if self._lock.stdout.readline().strip() != b"held":
            self._free_lock()
            self.machine.run(["true"])      # ConnectionLost, if it was that
            raise RigError(f"{self._spec.host} is in use by another `lab`", remedy="wait until it has ended")

    def _free_lock(self) -> None:
        if self._lock is not None:
            assert self._lock.stdin is not None
            assert self._lock.stdout is not None
            self._lock.stdin.close()
            try:
                self._lock.wait(10)
            except TimeoutExpired:      # its connection is dead
                self._lock.kill()
                self._lock.wait()
            self._lock.stdout.close()
            self._lock = None

    def _release(self) -> None:
        try:
            self._free_lock()
        finally:
            if self._ssh is not None and (complaint := self._ssh.close()):
                self._say(complaint)
            self._ssh = None

    # -- taking and giving back ---------------------------------------------------

    def _prepare(self, images: Path) -> None:
        machine = self.machine
        enabled = [unit for unit in UNITS if self._marker().units[unit][1] == "enabled"]
        if enabled:     # a daemon that a reboot starts would write where the lab's disk is not mounted any more
            machine.run(["systemctl", "disable", "--quiet", *enabled])
        for program in sorted(_GUEST_PROGRAMS.iterdir()):
            if program.is_file():
                put(machine, f"{GUEST_FOLDER}/{program.name}", program.read_bytes())
        for module in _MODULES:
            machine.run(["modprobe", module])
        dockerd = machine.run(["sh", "-c", "command -v dockerd"]).stdout.strip()
        machine.run(["install", "-D", "-m", "0644", "/dev/stdin", DROP_IN],
                    stdin=daemon_without_network(dockerd))
        machine.run(["systemctl", "daemon-reload"])
        install_images(machine, images)

    def _marker(self) -> Marker:
        marker = read_marker(self.machine)
        if marker is None or marker.serial != self._spec.serial:
            raise RigError(f"{MARKER} on {self._spec.host} is no longer this run's", remedy="see docs/own-host.md")
        return marker

    def _cut(self, disk: Disk, marker: Marker) -> None:
        machine, path = self.machine, self._spec.disk
        check_again(machine, self._spec, disk)      # minutes may have passed: programs and images were copied
        machine.run(["sfdisk", "--quiet", "--wipe", "always", "--wipe-partitions", "always", path],
                    stdin=table_script(disk.size_bytes, marker.table).encode())
        machine.run(["udevadm", "settle"])
        partitions = own_partitions(look_at_disk(machine, path), marker.table)
        if not partitions or partitions[0][1] != partitions[1][1]:
            raise RigError(f"{path} does not show the two partitions that sfdisk was told to make")
        self._disk = Disk(disk.name, disk.serial, disk.size_bytes, partitions)
        for number, device in enumerate((self.disks.pool, self.disks.spare)):
            machine.run(["test", "-b", device])     # the names that every later command takes
            start = machine.run(["lsblk", "-dnbo", "START", device]).stdout.strip()
            if int(start) * 512 != partitions[number][0]:
                raise RigError(f"{device} is not the partition that was just made on {path}")

    def _clean_up(self) -> None:
        """The reverse of taking; each step may have been done already."""
        machine, path = self.machine, self._spec.disk
        if self._disk is None and read_marker(machine) is None:
            return      # it ended before the marker was there, and so before anything else was
        marker = self._marker()
        if self._look_for_own(marker):
            ground.tear_down(machine, self.disks)
            if not self._look_for_own(marker):
                raise RigError(f"{path} does not carry the lab's partition table any more")
            machine.run(["wipefs", "-a", "-q", self.disks.pool, self.disks.spare])
            if not self._look_for_own(marker):
                raise RigError(f"{path} does not carry the lab's partition table any more")
            machine.run(["wipefs", "-a", "-q", path])
            machine.run(["udevadm", "settle"])
        self._disk = None
        machine.run(["rm", "-f", DAEMON_CONFIGURATION, LVM_PROFILE, DROP_IN])
        machine.run(["rm", "-rf", "--one-file-system", *OWN_FOLDERS])
        self._empty_folders([str(Path(DROP_IN).parent)])
        machine.run(["systemctl", "daemon-reload"])
        if "/etc/docker/key.json" in marker.absent:
            machine.run(["rm", "-f", "/etc/docker/key.json"])
        self._empty_folders([folder for folder in ("/etc/docker", ground.DATA_ROOT) if folder in marker.absent])
        for unit, (active, enabled) in marker.units.items():
            if enabled == "enabled":
                machine.run(["systemctl", "enable", "--quiet", unit])
            if active == "active":
                machine.run(["systemctl", "start", unit], timeout=300)
        machine.run(["rm", "-f", MARKER])
        self._empty_folders([str(Path(MARKER).parent)])

    def _look_for_own(self, marker: Marker) -> bool:
        """Whether the disk carries the lab's table; its partitions are known then.

        Raises RigError where it has another serial number than the marker's.
        """
        tree = look_at_disk(self.machine, self._spec.disk)
        if tree.get("serial") != marker.serial:
            raise RigError(f"{self._spec.disk} has another serial number now: {tree.get('serial')!r}")
        partitions = own_partitions(tree, marker.table)
        if partitions:
            self._disk = Disk(str(tree["name"]), marker.serial, int(tree["size"]), partitions)
        return bool(partitions)

    def _empty_folders(self, folders: list[str]) -> None:
        for folder in folders:      # one that others have put something into stays
            self.machine.run(["rmdir", "--ignore-fail-on-non-empty", folder], check=False)


@contextmanager
def host(spec: HostSpec, say: Callable[[str], None]) -> Iterator[Host]:
    """The scenario's host, not yet up; cleaned up whatever happens, or else the error says what stayed."""
    machine = Host(spec, say)
    try:
        yield machine
    except BaseException:
        try:
            machine.stop()
        except RigError as error:
            say(str(error))
        raise
    machine.stop()
