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
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from lab.errors import RigError
from lab.rig.disks import VM_DISKS
from lab.rig.identity import Provided
from lab.rig.machine import GUEST_FOLDER, put
from lab.rig.process import call
from lab.rig.ssh import SshMachine, sweep_sockets
from lab.rig.storages.daemon import daemon_without_network
from lab.rig.vm.accelerator import UML, choose
from lab.rig.vm.box import VAGRANT_FOLDER, install_box
from lab.rig.vm.throttle import throttled, throttled_in_guest
from lab.scenario.scenario import MachineSpec, Throttle

READY = "ready"
_DROP_IN = "/etc/systemd/system/docker.service.d/50-no-network.conf"
_GUEST_PROGRAMS = Path(__file__).parents[1] / "guest"


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
    accelerator: str

    @property
    def name(self) -> str:
        return "vm-" + hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


def state_folder() -> Path:
    """Where machines live: ``$XDG_STATE_HOME/thinpool-lab`` or ``~/.local/state/thinpool-lab``."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "thinpool-lab"


def settings_for(spec: MachineSpec, box: str, accelerator: str) -> VmSettings:
    """The VM that a scenario's ``machine:`` block asks for, on that accelerator."""
    digest = hashlib.sha256()
    for program in sorted(_GUEST_PROGRAMS.iterdir()):
        if program.is_file():
            digest.update(program.read_bytes())
    for file in ("Vagrantfile", "vagrant_qemu.rb", "uml.py"):
        digest.update((VAGRANT_FOLDER / file).read_bytes())
    return VmSettings(box, spec.memory_bytes, spec.cpus, spec.pool_disk_bytes, spec.spare_disk_bytes, spec.disks,
                      digest.hexdigest()[:12], accelerator)


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
        wanted, told = self.settings, json.loads((self.data_folder / "qemu.json").read_text("utf-8"))
        return Provided(told["accel"], told["cache"], told["cpus"], wanted.memory_bytes, wanted.disks,
                        wanted.pool_disk_bytes, wanted.spare_disk_bytes, told["uml_package"])

    def pool_allocated_bytes(self) -> int | None:
        """What the pool disk's file occupies on the host; None where it was written full and cannot change."""
        if self.settings.disks != "sparse":
            return None
        return (self.data_folder / "pool.raw").stat().st_blocks * 512

    def throttled(self, limit: Throttle | None) -> AbstractContextManager[None]:
        """Holds both disks to the limit for a while."""
        if self._on_uml:
            return throttled_in_guest(self.machine, self.disks, limit)
        return throttled(self.data_folder, ("pool", "spare"), limit)

    def up(self) -> float:
        """Boots it, or resumes it from its ``ready`` snapshot; makes the snapshot where there is none.

        On user-mode Linux it boots from the box's own root disk, which is as quick.  Returns the seconds until ssh
        answered.
        """
        began = time.monotonic()
        self._vagrant("up", "--provider", "qemu", timeout=900)
        self._connect()
        self.machine.run(["true"])
        seconds = time.monotonic() - began
        if self._on_uml:
            self._prepare()
            # its kernel has no nf_tables for IPv4; no container of the lab's has a network
            put(self.machine, _DROP_IN, daemon_without_network("/usr/sbin/dockerd"))
            self.machine.run(["systemctl", "daemon-reload"])
        elif READY not in self._snapshots():
            self._say("first boot: preparing the machine and saving its ready state")
            self._prepare()
            self.machine.run(["sync"])
            self._vagrant("snapshot", "save", READY, timeout=300)
        return seconds

    def stop(self) -> None:
        """Cuts the power: the next run starts from ``ready`` anyway.  May be called twice."""
        try:
            if self._ssh is not None and (complaint := self._ssh.close()):
                self._say(complaint)
            self._ssh = None
        finally:
            end_machine(self.folder)

    def abandon(self) -> None:
        """Leaves it as it is, however broken: the next `up` gives a fresh one."""
        self.stop()

    @property
    def _on_uml(self) -> bool:
        return self.settings.accelerator == UML

    def _prepare(self) -> None:
        for program in sorted(_GUEST_PROGRAMS.iterdir()):
            if program.is_file():
                put(self.machine, f"{GUEST_FOLDER}/{program.name}", program.read_bytes())
        self.machine.run(["modprobe", "-a", "dm_thin_pool", "loop", "overlay", "xfs", "ext4", "br_netfilter"])

    def _connect(self) -> None:
        config = self.folder / "ssh-config"
        config.write_text(self._vagrant("ssh-config", timeout=60), "utf-8")
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
            "QEMU_ACCEL": wanted.accelerator, "QEMU_FRESH": "1",
        }
        return call(["vagrant", *arguments], env=env, timeout=timeout, log=self.folder / "vagrant.log",
                    remedy=f"see {self.folder / 'vagrant.log'}; `lab destroy` starts afresh")


@contextmanager
def vm(spec: MachineSpec, say: Callable[[str], None], beyond_uml: Sequence[str] = ()) -> Iterator[Vm]:
    """The scenario's VM, locked for this process, not yet up; stopped whatever happens.

    ``beyond_uml``: what is asked of it that user-mode Linux cannot do.  Raises RigError where the accelerator that the
    scenario names cannot be had.
    """
    reap(say)
    accelerator = choose(spec.accelerator, spec.memory_bytes, beyond_uml)
    settings = settings_for(spec, install_box(), accelerator.name)
    say(f"the machine runs on {accelerator.name}: {accelerator.why}")
    _forget_outdated(settings)
    folder = state_folder() / "machines" / settings.name
    folder.mkdir(parents=True, exist_ok=True)
    _need_space(settings, folder)
    with (folder / "lock").open("a+", encoding="utf-8") as lock:
        if not _take(lock):
            raise RigError(f"the machine {settings.name} is in use by another `lab`", remedy="wait until it has ended")
        (folder / "settings.json").write_text(json.dumps(asdict(settings), indent=2) + "\n", "utf-8")
        machine = Vm(settings, folder, say)
        try:
            yield machine
        finally:
            machine.stop()


def reap(say: Callable[[str], None]) -> list[str]:
    """Ends every machine whose runner is gone.  Returns their names."""
    ended = []
    sweep_sockets()
    for folder in _machine_folders():
        with _unlocked(folder) as free:
            if free and end_machine(folder):
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
            end_machine(folder)
            shutil.rmtree(folder)
            removed.append(folder.name)
    return removed


def _forget_outdated(settings: VmSettings) -> None:
    """Removes machines of another box or other programs: no scenario can ask for them again, and they hold GiBs."""
    for folder in _machine_folders():
        with _unlocked(folder) as free:
            try:
                was = json.loads((folder / "settings.json").read_text("utf-8"))
            except (OSError, ValueError):
                continue
            if free and (was["box"], was["programs"]) != (settings.box, settings.programs):
                end_machine(folder)
                shutil.rmtree(folder)


def end_machine(folder: Path) -> bool:
    """Ends all processes of that machine folder, known by the uuid on their command lines.  True if there were any.

    Those of user-mode Linux end in order when their keeper is asked to; what is left after some seconds is killed, with
    the guest's own processes, which are of the session of its kernel.
    """
    data = folder / "vagrant" / "machines" / "default" / "qemu"
    try:
        uuid = (data / "id").read_text("utf-8").strip()
    except FileNotFoundError:
        return False
    if not uuid:
        return False
    found = _processes_with(uuid)
    deadline = time.monotonic() + 15
    gentle = time.monotonic() + 5
    while left := [pid for pid in processes() if pid in found or session_of(pid) in found]:
        if time.monotonic() > deadline:
            raise RigError(f"the processes {left} of {folder.name} do not end")
        keeper = (data / "uml.json").exists() and time.monotonic() < gentle
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if keeper else signal.SIGKILL)
        time.sleep(0.05)
    shutil.rmtree(data / uuid, ignore_errors=True)      # where a kernel of user-mode Linux keeps its sockets
    for name in ("qmp.sock", "qemu.pid"):
        (data / name).unlink(missing_ok=True)
    return bool(found)


def processes() -> list[int]:
    """The ids of all processes of this computer that are no zombies."""
    return [pid for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
            if session_of(pid) is not None]


def session_of(pid: int) -> int | None:
    """The session of a process; None of a zombie, and of one that is gone."""
    try:
        told = Path("/proc", str(pid), "stat").read_text("utf-8", "replace")
        state, _, _, session = told.rsplit(")", 1)[1].split()[:4]
    except OSError:
        return None
    return None if state == "Z" else int(session)


def _processes_with(uuid: str) -> list[int]:
    """Those of a machine: QEMU, or the keeper, the kernel and the network of user-mode Linux."""
    found = []
    for pid in processes():
        with suppress(OSError):
            arguments = Path("/proc", str(pid), "cmdline").read_bytes().decode(errors="replace").split("\0")
            program = Path(arguments[0]).name
            if (uuid in arguments and (program.startswith("qemu-system") or {"start", "keep"} & set(arguments))) or (
                    program == "linux" and f"umid={uuid}" in arguments):
                found.append(pid)
    return found


def _machine_folders() -> list[Path]:
    machines = state_folder() / "machines"
    return sorted(path for path in machines.iterdir() if path.is_dir()) if machines.is_dir() else []


@contextmanager
def _unlocked(folder: Path) -> Iterator[bool]:
    with (folder / "lock").open("a+", encoding="utf-8") as lock:
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
