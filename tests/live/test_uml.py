"""User-mode Linux as a machine of the lab: what breaks it is found at once, and nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lab.errors import ConnectionLost, RigError
from lab.rig.disks import VM_DISKS
from lab.rig.vm.accelerator import UML, choose
from lab.rig.vm.box import VAGRANT_FOLDER
from lab.rig.vm.vagrant import Vm, processes, session_of, vm
from lab.scenario.scenario import MachineSpec

pytestmark = pytest.mark.live

GiB = 2**30
FOUND_WITHIN_SECONDS = 15
KERNEL, NETWORK, KEEPER = b"./linux", b"qemu-system-x86_64", b"keep"


@pytest.fixture(scope="module", autouse=True)
def _only_where_it_runs(cli: Any) -> None:
    try:
        choose(UML, GiB)
    except RigError as error:
        pytest.skip(f"no user-mode Linux here: {error}")


def uml(disks: str) -> Any:
    return vm(MachineSpec.model_validate({"memory_bytes": GiB, "pool_disk_bytes": GiB, "spare_disk_bytes": GiB,
                                          "disks": disks, "accelerator": UML}), print)


@pytest.fixture
def machine(cli: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vm]:
    monkeypatch.setenv("XDG_STATE_HOME", str(cli.state))
    with uml("sparse") as guest:
        guest.up()
        yield guest


class Process(NamedTuple):
    session: int
    line: bytes


def processes_of(data_folder: Path) -> dict[int, Process]:
    """Every process of that machine that is alive, those of the guest included.

    The session is looked at once: a process of the guest may end between two looks.
    """
    uuid = (data_folder / "id").read_bytes().strip()
    lines = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (session := session_of(int(entry.name))) is not None:
            try:
                lines[int(entry.name)] = Process(session, (entry / "cmdline").read_bytes())
            except OSError:
                continue
    sessions = {process.session for process in lines.values() if uuid in process.line}
    return {pid: process for pid, process in lines.items() if process.session in sessions}


def one(guest: Vm, word: bytes) -> int:
    """The process whose command line has that word, and which is the first of its session."""
    (pid,) = (pid for pid, process in processes_of(guest.data_folder).items()
              if word in process.line.split(b"\0") and process.session == pid)
    return pid


def wait_until_none_is_left(sessions: set[int]) -> None:
    """Until no process of those sessions lives: the processes of a guest are among them."""
    deadline = time.monotonic() + FOUND_WITHIN_SECONDS
    while left := [pid for pid in processes() if session_of(pid) in sessions]:
        assert time.monotonic() < deadline, f"processes {left} live on without their machine"
        time.sleep(0.1)


def the_guest_panics(guest: Vm) -> None:
    guest.machine.run(["sh", "-c", "(sleep 0.5; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &"])


@pytest.mark.parametrize("break_it", [
    the_guest_panics,
    lambda guest: os.kill(one(guest, KERNEL), signal.SIGKILL),
    lambda guest: os.kill(one(guest, NETWORK), signal.SIGKILL),
    lambda guest: os.kill(one(guest, KEEPER), signal.SIGKILL),
], ids=["its kernel panics", "its kernel is killed", "its network dies", "its keeper is killed"])
def test_a_machine_that_broke_is_found_within_seconds_and_leaves_no_process_and_no_socket(machine: Vm,
                                                                                         break_it: Any) -> None:
    before = processes_of(machine.data_folder)
    assert len(before) > 3
    sessions = {process.session for process in before.values()}
    break_it(machine)
    began = time.monotonic()
    with pytest.raises(ConnectionLost):
        machine.machine.run(["sleep", "100"])
    assert time.monotonic() - began < FOUND_WITHIN_SECONDS
    uuid = (machine.data_folder / "id").read_text().strip()
    wait_until_none_is_left(sessions)
    machine.stop()
    assert not (machine.data_folder / uuid).exists()
    assert not (machine.data_folder / "qmp.sock").exists()


def test_a_power_cut_keeps_what_was_synced_to_a_disk_byte_for_byte(machine: Vm) -> None:
    where = machine.machine
    where.run(["mkfs.ext4", "-q", "-F", VM_DISKS.pool])
    where.run(["mount", VM_DISKS.pool, "/mnt"])
    where.run(["sh", "-c", "head -c 20000000 /dev/urandom >/mnt/kept; sync /mnt/kept; sync"])
    digest = where.run(["sha256sum", "/mnt/kept"]).stdout
    where.run(["sh", "-c", "head -c 9000000 /dev/urandom >/mnt/being-written"])
    os.kill(one(machine, KERNEL), signal.SIGKILL)
    machine.abandon()
    machine.up()
    where = machine.machine
    assert where.run(["fsck.ext4", "-p", VM_DISKS.pool], check=False).returncode in (0, 1)
    where.run(["mount", VM_DISKS.pool, "/mnt"])
    assert where.run(["sha256sum", "/mnt/kept"]).stdout == digest


@pytest.mark.parametrize(("disks", "left_mib"), [("full", 1024), ("sparse", 0)])
def test_a_discard_reaches_the_hosts_file_where_disks_are_sparse_and_there_alone(
        cli: Any, monkeypatch: pytest.MonkeyPatch, disks: str, left_mib: int) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(cli.state))
    with uml(disks) as guest:
        guest.up()
        guest.machine.run(["dd", "if=/dev/zero", f"of={VM_DISKS.pool}", "bs=1M", "count=64", "oflag=direct"])
        guest.machine.run(["blkdiscard", VM_DISKS.pool])
        allocated = (guest.data_folder / "pool.raw").stat().st_blocks * 512
        assert allocated // 2**20 == left_mib


def test_zeroes_that_a_guest_asks_for_are_written_on_a_disk_that_was_written_full(
        cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(cli.state))
    with uml("full") as guest:
        guest.up()
        where = guest.machine
        where.run(["sh", "-c", f"yes | dd of={VM_DISKS.pool} bs=1M count=64 iflag=fullblock oflag=direct"])
        where.run(["blkdiscard", "-z", "-l", "33554432", VM_DISKS.pool])
        pool = guest.data_folder / "pool.raw"
        with pool.open("rb") as disk:
            assert disk.read(32 << 20).count(0) == 32 << 20
            assert disk.read(32 << 20).count(0) == 0
        assert pool.stat().st_blocks * 512 // 2**20 == 1024
        extents = subprocess.run(["filefrag", "-v", str(pool)], capture_output=True, text=True, check=False)
        assert "unwritten" not in extents.stdout


def test_vagrant_by_hand_goes_up_and_down_keeps_the_root_disk_and_leaves_nothing(tmp_path: Path) -> None:
    def vagrant(*arguments: str) -> str:
        environment = {**os.environ, "VAGRANT_CWD": str(VAGRANT_FOLDER), "VAGRANT_DOTFILE_PATH": str(tmp_path / "v"),
                       "VAGRANT_CHECKPOINT_DISABLE": "1", "QEMU_ACCEL": UML, "QEMU_MEMORY": "1024",
                       "LAB_POOL": "1G", "LAB_SPARE": "1G", "VAGRANT_DEFAULT_PROVIDER": "qemu"}
        done = subprocess.run(["vagrant", *arguments], env=environment, capture_output=True, text=True, timeout=200,
                              check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    data = tmp_path / "v" / "machines" / "default" / "qemu"
    machines = []

    def up() -> None:
        vagrant("up")
        alive = processes_of(data)
        assert {KERNEL, NETWORK, KEEPER} <= {word for process in alive.values() for word in process.line.split(b"\0")}
        machines.append({process.session for process in alive.values()})
        assert len(machines[-1]) == 3
        (kernel,) = (pid for pid, process in alive.items()
                     if KERNEL in process.line.split(b"\0") and process.session == pid)
        assert "Max core file size 0 0" in " ".join(Path(f"/proc/{kernel}/limits").read_text().split())

    try:
        up()
        vagrant("ssh", "-c", "echo kept >note; sync")
        assert "HostName 127.0.0.1" in vagrant("ssh-config")
        assert "running" in vagrant("status")
        vagrant("halt")
        assert "poweroff" in vagrant("status")
        wait_until_none_is_left(machines[0])
        up()
        assert vagrant("ssh", "-c", "cat note").strip() == "kept"
        assert json.loads((data / "qemu.json").read_text())["accel"] == UML
    finally:
        vagrant("destroy", "-f")
    wait_until_none_is_left(machines[1])
    assert not [path for path in tmp_path.rglob("*") if path.is_socket()]
