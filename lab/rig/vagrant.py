"""A machine of the lab's own: a Vagrant VM that is found again, resumed, and never left running.

Each machine has a folder in the lab's state folder, named by what makes it
(box, memory, processors, disks), with a lock that its runner holds.  A QEMU
process in a folder whose lock is free belongs to a runner that was killed: the
next command ends it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from lab.errors import RigError
from lab.rig.box import VAGRANT_FOLDER, install_box
from lab.rig.disks import VM_DISKS
from lab.rig.identity import Provided
from lab.rig.machine import GUEST_FOLDER, put
from lab.rig.process import call
from lab.rig.ssh import SshMachine, sweep_sockets
from lab.rig.throttle import throttled
from lab.scenario import MachineSpec, Throttle

READY = "ready"
_GUEST_PROGRAMS = Path(__file__).with_name("guest")


@dataclass(frozen=True)
class VmSettings:
    """All that decides what a VM is; machines of equal settings are the same machine."""

    box: str
    memory_bytes: int
    cpus: int
    pool_disk_bytes: int
    spare_disk_bytes: int
    disks: str
    programs: str       # hash of the programs put into it

    @property
    def name(self) -> str:
        return "vm-" + hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


def state_folder() -> Path:
    """Where machines live: ``$XDG_STATE_HOME/thinpool-lab`` or ``~/.local/state/thinpool-lab``."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "thinpool-lab"


def settings_for(spec: MachineSpec, box: str) -> VmSettings:
    """The VM that a scenario's ``machine:`` block asks for."""
    digest = hashlib.sha256()
    for program in sorted(_GUEST_PROGRAMS.iterdir()):
        if program.is_file():
            digest.update(program.read_bytes())
    for file in ("Vagrantfile", "vagrant_qemu.rb"):
        digest.update((VAGRANT_FOLDER / file).read_bytes())
    return VmSettings(box, spec.memory_bytes, spec.cpus, spec.pool_disk_bytes, spec.spare_disk_bytes, spec.disks,
                      digest.hexdigest()[:12])


class Vm:
    """One VM by its folder.  `up`, then `machine`; `stop` at the end."""

    disks = VM_DISKS

    def __init__(self, settings: VmSettings, folder: Path, say: Callable[[str], None]) -> None:
        self.settings = settings
        self.folder = folder
        self._say = say
        self._ssh: SshMachine | None = None

    @property
    def machine(self) -> SshMachine:
        if self._ssh is None:
            raise RigError("the machine is not up")
        return self._ssh

    @property
    def data_folder(self) -> Path:
        """The provider's own folder: disks, sockets, console log."""
        return self.folder / "vagrant" / "machines" / "default" / "qemu"

    @property
    def provided(self) -> Provided:
        """What it was made with, and what the provider's record (``qemu.json``) says of how it is run."""
        wanted, told = self.settings, json.loads((self.data_folder / "qemu.json").read_text())
        return Provided(told["accel"], told["cache"], wanted.cpus, wanted.memory_bytes, wanted.disks,
                        wanted.pool_disk_bytes, wanted.spare_disk_bytes)

    def pool_allocated_bytes(self) -> int | None:
        """What the pool disk's file occupies on the host; None where it was written full and cannot change."""
        if self.settings.disks != "sparse":
            return None
        return (self.data_folder / "pool.raw").stat().st_blocks * 512

    def throttled(self, limit: Throttle | None) -> AbstractContextManager[None]:
        """Holds both disks to the limit for a while."""
        return throttled(self.data_folder, ("pool", "spare"), limit)

    def up(self) -> float:
        """Boots it, or resumes it from its ``ready`` snapshot; makes the snapshot where there is none.

        Returns the seconds until ssh answered.
        """
        began = time.monotonic()
        self._vagrant("up", "--provider", "qemu", timeout=900)
        self._connect()
        self.machine.run(["true"])
        seconds = time.monotonic() - began
        if READY not in self._snapshots():
            self._prepare()
        return seconds

    def stop(self) -> None:
        """Cuts the power: the next run starts from ``ready`` anyway.  May be called twice."""
        try:
            if self._ssh is not None and (complaint := self._ssh.close()):
                self._say(complaint)
            self._ssh = None
        finally:
            end_qemu(self.folder)

    def abandon(self) -> None:
        """Leaves it as it is, however broken: the next `up` gives a fresh one."""
        self.stop()

    def _prepare(self) -> None:
        self._say("first boot: preparing the machine and saving its ready state")
        for program in sorted(_GUEST_PROGRAMS.iterdir()):
            if program.is_file():
                put(self.machine, f"{GUEST_FOLDER}/{program.name}", program.read_bytes())
        for module in ("dm_thin_pool", "loop", "overlay", "xfs", "ext4", "br_netfilter"):
            self.machine.run(["modprobe", module])
        self.machine.run(["sync"])
        self._vagrant("snapshot", "save", READY, timeout=300)

    def _connect(self) -> None:
        config = self.folder / "ssh-config"
        config.write_text(self._vagrant("ssh-config", timeout=60))
        self._ssh = SshMachine(["-F", str(config)], "default")

    def _snapshots(self) -> list[str]:
        return [line.strip() for line in self._vagrant("snapshot", "list", timeout=60).splitlines()]

    def _vagrant(self, *arguments: str, timeout: float) -> str:
        wanted = self.settings
        env = {
            "VAGRANT_CWD": str(VAGRANT_FOLDER), "VAGRANT_DOTFILE_PATH": str(self.folder / "vagrant"),
            "VAGRANT_DEFAULT_PROVIDER": "qemu", "VAGRANT_CHECKPOINT_DISABLE": "1", "VAGRANT_NO_COLOR": "1",
            "LAB_BOX": wanted.box, "LAB_POOL": f"{wanted.pool_disk_bytes // 2**20}M",
            "LAB_SPARE": f"{wanted.spare_disk_bytes // 2**20}M", "QEMU_MEMORY": str(wanted.memory_bytes // 2**20),
            "QEMU_CPUS": str(wanted.cpus), "QEMU_DISK_MODE": wanted.disks, "QEMU_RESUME": READY,
        }
        return call(["vagrant", *arguments], env=env, timeout=timeout, log=self.folder / "vagrant.log",
                    remedy=f"see {self.folder / 'vagrant.log'}; `lab destroy` starts afresh")


@contextmanager
def vm(spec: MachineSpec, say: Callable[[str], None]) -> Iterator[Vm]:
    """The scenario's VM, locked for this process, not yet up; stopped whatever happens."""
    reap(say)
    settings = settings_for(spec, install_box())
    _forget_outdated(settings)
    folder = state_folder() / "machines" / settings.name
    folder.mkdir(parents=True, exist_ok=True)
    _need_space(settings, folder)
    with (folder / "lock").open("a+") as lock:
        if not _take(lock):
            raise RigError(f"the machine {settings.name} is in use by another `lab`", remedy="wait until it has ended")
        (folder / "settings.json").write_text(json.dumps(asdict(settings), indent=2) + "\n")
        machine = Vm(settings, folder, say)
        try:
            yield machine
        finally:
            machine.stop()


def reap(say: Callable[[str], None]) -> list[str]:
    """Ends every QEMU whose runner is gone.  Returns the names of their machines."""
    ended = []
    sweep_sockets()
    for folder in _machine_folders():
        with _unlocked(folder) as free:
            if free and end_qemu(folder):
                say(f"ended {folder.name}, which a killed run had left running")
                ended.append(folder.name)
    return ended


def destroy_all(say: Callable[[str], None]) -> list[str]:
    """Removes every machine that no running `lab` holds, with its disks.  Returns their names."""
    removed = []
    for folder in _machine_folders():
        with _unlocked(folder) as free:
            if not free:
                say(f"{folder.name} is in use by another `lab`: left alone")
                continue
            end_qemu(folder)
            shutil.rmtree(folder)
            removed.append(folder.name)
    return removed


def _forget_outdated(settings: VmSettings) -> None:
    """Removes machines of another box or other programs: no scenario can ask for them again, and they hold GiBs."""
    for folder in _machine_folders():
        with _unlocked(folder) as free:
            try:
                was = json.loads((folder / "settings.json").read_text())
            except (OSError, ValueError):
                continue
            if free and (was["box"], was["programs"]) != (settings.box, settings.programs):
                end_qemu(folder)
                shutil.rmtree(folder)


def end_qemu(folder: Path) -> bool:
    """Ends the QEMU of that machine folder, known by the uuid on its command line.  True if there was one."""
    try:
        uuid = (folder / "vagrant" / "machines" / "default" / "qemu" / "id").read_text().strip()
    except FileNotFoundError:
        return False
    pids = _processes_with(uuid) if uuid else []
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 15
    while uuid and _processes_with(uuid):
        if time.monotonic() > deadline:
            raise RigError(f"QEMU {pids} of {folder.name} does not end")
        time.sleep(0.05)
    return bool(pids)


def _processes_with(uuid: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                if uuid.encode() in arguments and b"qemu-system" in arguments[0]:
                    found.append(int(entry.name))
    return found


def _machine_folders() -> list[Path]:
    machines = state_folder() / "machines"
    return sorted(path for path in machines.iterdir() if path.is_dir()) if machines.is_dir() else []


@contextmanager
def _unlocked(folder: Path) -> Iterator[bool]:
    with (folder / "lock").open("a+") as lock:
        yield _take(lock)


def _take(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _need_space(settings: VmSettings, folder: Path) -> None:
    if (folder / "vagrant").exists():
        return
    disks = settings.pool_disk_bytes + settings.spare_disk_bytes if settings.disks == "full" else 0
    needed = disks + settings.memory_bytes + 4 * 2**30
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RigError(f"{folder} has {free / 2**30:.1f} GiB free, the machine needs {needed / 2**30:.1f} GiB",
                       remedy="free some, make the scenario's disks smaller, or set XDG_STATE_HOME to a larger disk")
