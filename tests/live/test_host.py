"""A user's own host, with a VM in its place: the same runs over ssh, every refusal, and nothing left behind."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.errors import RigError
from lab.rig.ssh import SshMachine
from lab.rig.vm.accelerator import UML
from lab.rig.vm.vagrant import vm
from lab.runs.store import Run, open_run
from lab.scenario.scenario import MachineSpec

pytestmark = pytest.mark.live

DISK = "/dev/disk/by-id/virtio-spare"
OTHER_DISK = "/dev/disk/by-id/virtio-pool"
GiB = 1024**3
ALLOW = "--allow-ssh-config"
SCENARIO = """\
name: own-host
question: Does a host of one's own give the same runs?
seed: 7
machine:
  ssh: default
  ssh_config: ssh-config
  disk: /dev/disk/by-id/virtio-spare
  consent: erase spare
storages: [overlay2-ext4, direct-lvm]
targets: [layer]
workload:
  - name: files
    trace: true
    steps: [start, write: {amount: 16MiB, files: 2}, delete: written, trim, remove]
"""
STATE = r"""
lsblk -nro NAME,TYPE /dev/disk/by-id/virtio-spare
wipefs -n /dev/disk/by-id/virtio-spare
systemctl show -p Id,ActiveState,UnitFileState docker.socket docker.service containerd.service
find /etc/docker /etc/lvm/profile /etc/systemd/system /run/systemd/system /opt/lab /run/lab /run/lab-trace \
     /var/lib/docker /var/lib/thinpool-lab 2>/dev/null | sort
findmnt -rno TARGET | grep -e docker -e lab
dmsetup ls; vgs --noheadings; losetup -n
ip -o link show | cut -d: -f2; sysctl -n net.ipv4.ip_forward; iptables-save | grep -i docker
true
"""


class OwnHost:
    """The VM that is taken for a user's host, and scenarios that name it."""

    def __init__(self, machine: SshMachine, config: Path, can_trace: bool) -> None:
        self.machine = machine
        self.config = config
        # as QEMU or user-mode Linux names them
        self.root, self.spare = self.sh("readlink -f /dev/disk/by-id/virtio-root-part1 "
                                        f"{DISK}").split()
        self.can_trace = can_trace

    def state(self) -> list[str]:
        return self.sh(STATE).splitlines()

    def sh(self, script: str) -> str:
        return self.machine.run(["bash", "-c", script]).stdout

    def scenario(self, folder: Path, **changes: str) -> Path:
        text = SCENARIO.replace("ssh-config", str(self.config))
        if not self.can_trace:
            text = text.replace("trace: true", "trace: false")
        for key, value in changes.items():
            text, count = re.subn(rf"^  {key}: .*$", f"  {key}: {value}", text, flags=re.M)
            assert count == 1, key
        (folder / "own-host.yaml").write_text(text)
        return folder / "own-host.yaml"


def _with_sfdisk(machine: SshMachine, scratch: Path) -> None:
    """The box has no sfdisk (Debian's package fdisk): this computer's, with all its libraries."""
    program = shutil.which("sfdisk") or "/usr/sbin/sfdisk"
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"(/\S+) \(0x", listed)
    place = "/usr/local/lib/sfdisk"
    for file in (program, *libraries):
        machine.run(["install", "-D", "-m", "0755", "/dev/stdin", f"{place}/{Path(file).name}"],
                    stdin=Path(file).read_bytes())
    (loader,) = (Path(file).name for file in libraries if Path(file).name.startswith("ld-"))
    wrapper = f'#!/bin/sh\nexec {place}/{loader} --library-path {place} {place}/sfdisk "$@"\n'
    machine.run(["install", "-m", "0755", "/dev/stdin", "/usr/local/sbin/sfdisk"], stdin=wrapper.encode())


@pytest.fixture(scope="module")
def own_host(cli: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHost]:
    spec = MachineSpec.model_validate({"memory_bytes": GiB, "pool_disk_bytes": 2 * GiB, "spare_disk_bytes": 2 * GiB})
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(cli.state)
    try:
        with vm(spec, print) as machine:
            machine.up()
            host = OwnHost(machine.machine, machine.folder / "ssh-config", machine.provided.accelerator != UML)
            host.sh("rm -rf /opt/lab")      # a host that the lab has never seen
            _with_sfdisk(host.machine, tmp_path_factory.mktemp("sfdisk"))
            yield host
    finally:
        os.environ.pop("XDG_STATE_HOME")
        if before is not None:
            os.environ["XDG_STATE_HOME"] = before


@pytest.fixture(scope="module")
def clean_state(own_host: OwnHost) -> list[str]:
    """Of a host that the lab has not touched yet."""
    return own_host.state()


# What is prepared for one is undone; those that need nothing come last, and find the host as it was at first.
@pytest.mark.parametrize(("changes", "prepare", "undo", "status", "words"), [
    ({"disk": "/dev/disk/by-id/hidden"}, "ln -s {root} /dev/disk/by-id/hidden", "rm /dev/disk/by-id/hidden",
     3, ["no whole disk but of type 'part'"]),
    ({}, f"mkfs.ext4 -q -F {DISK}; mount {DISK} /mnt", f"umount /mnt; wipefs -aq {DISK}", 3, ["is mounted on /mnt"]),
    ({}, f"mkfs.ext4 -q -F {DISK}", f"wipefs -aq {DISK}", 3, ["carries a signature: ext4"]),
    ({}, f"mkswap -q {DISK}; swapon {DISK}", f"swapoff {DISK}; wipefs -aq {DISK}", 3, ["used as swap"]),
    ({}, f"pvcreate -qy {DISK}", f"wipefs -aq {DISK}", 3, ["carries a signature: LVM2_member"]),
    ({}, f"pvcreate -qy {DISK}; vgcreate -q v {DISK}; lvcreate -qn l -L 1G v; udevadm settle",
     f"vgremove -qff -y v; wipefs -aq {DISK}", 3, ["carries /dev/mapper/v-l (type lvm)"]),
    ({}, f"echo 'label: gpt' | sfdisk -q {DISK}", f"wipefs -aq {DISK}", 3, ["carries a signature", "gpt"]),
    ({}, f'printf \'label: gpt\\nstart=8MiB, size=900MiB, name="thinpool-lab-pool"\\n'
         f'size=900MiB, name="thinpool-lab-spare"\\n\' | sfdisk -q {DISK}; udevadm settle',
     f"wipefs -aq {DISK}", 3, ["carries {spare}1 (type part)"]),
    ({}, "mkdir -p /var/lib/docker/overlay2", "rm -r /var/lib/docker", 3, ["/var/lib/docker is not empty"]),
    ({}, "echo '{}' >/etc/docker/daemon.json", "rm /etc/docker/daemon.json", 3, ["/etc/docker/daemon.json"]),
    ({}, f"vgcreate -qy docker {OTHER_DISK}", f"vgremove -qff docker; wipefs -aq {OTHER_DISK}", 3,
     ["volume group 'docker'"]),
    ({}, "dmsetup create docker-x --table '0 8 zero'", "dmsetup remove docker-x", 3, ["docker-x"]),
    ({}, "mv /usr/bin/fio /usr/bin/fio.away", "mv /usr/bin/fio.away /usr/bin/fio", 3, ["lacks fio", "apt-get install"]),
    ({"ssh": "nobody-at-home.invalid"}, "", "", 3, ["cannot be reached"]),
    ({"consent": "erase pool"}, "", "", 3, ["serial number 'spare'", "consent names 'pool'"]),
    ({"disk": "/dev/vdc"}, "", "", 2, ["own-host.yaml:7", "'/dev/vdc'", "/dev/disk/by-id/"]),
    ({"disk": "/dev/disk/by-id/virtio-none"}, "", "", 3, ["no disk /dev/disk/by-id/virtio-none"]),
    ({"disk": "/dev/disk/by-id/virtio-root", "consent": "erase root"}, "", "", 3, ["{root} is mounted on /"]),
])
def test_what_is_not_provably_free_is_refused_and_left_alone(
        own_host: OwnHost, clean_state: list[str], cli: Any, tmp_path: Path, changes: dict[str, str], prepare: str,
        undo: str, status: int, words: list[str]) -> None:
    try:
        before = clean_state
        if prepare:
            own_host.sh("set -e\n" + prepare.replace("{root}", own_host.root))
            before = own_host.state()
        done = cli("run", str(own_host.scenario(tmp_path, **changes)), ALLOW, "--results", str(tmp_path / "results"))
        assert own_host.state() == before
    finally:
        if undo:
            own_host.sh(f"{undo}\nudevadm settle")
    assert done.returncode == status, done.stderr[-2000:]
    for word in words:
        assert word.replace("{root}", own_host.root).replace("{spare}", own_host.spare) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_lab_waits_for_no_host_but_is_refused(own_host: OwnHost, cli: Any, tmp_path: Path) -> None:
    lock = own_host.machine.hold(["flock", "/run/lock/thinpool-lab.lock", "sh", "-c", "echo held; exec cat"])
    assert lock.stdout is not None
    assert lock.stdin is not None
    assert lock.stdout.readline() == b"held\n"
    done = cli("run", str(own_host.scenario(tmp_path)), ALLOW, "--results", str(tmp_path / "results"))
    lock.stdin.close()
    lock.wait(30)
    assert (done.returncode, "in use by another `lab`" in done.stderr) == (3, True), done.stderr


@pytest.fixture(scope="module")
def measured(own_host: OwnHost, clean_state: list[str], cli: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("own-host")
    done = cli("run", str(own_host.scenario(folder)), ALLOW, "--results", str(folder / "results"))
    assert done.returncode == 0, done.stderr[-4000:]
    return open_run(Path(done.stdout.splitlines()[-1]))


def test_the_run_is_complete_and_says_where_it_was_made(measured: Run, own_host: OwnHost) -> None:
    manifest = measured.manifest
    assert manifest.status == "complete"
    assert {result.status for result in manifest.results} == {"done"}
    assert (manifest.machine.box, manifest.machine.disks) == ("host:default", "host")
    assert manifest.machine.pool_disk_bytes == manifest.machine.spare_disk_bytes == 1016 * 2**20
    assert manifest.machine.cpus == int(own_host.sh("nproc"))
    assert 0.8 * GiB < manifest.machine.memory_bytes <= GiB
    assert manifest.machine.cache in ("write back", "write through")
    table = measured.measurements
    growth = table[(table.phase == "write") & (table.metric == "storage_growth")].set_index("storage").value
    assert (growth >= 16 * 2**20).all()
    assert (growth <= 2.5 * 16 * 2**20).all()


def test_a_trace_counts_from_the_partitions_begin(measured: Run, own_host: OwnHost) -> None:
    if not own_host.can_trace:
        pytest.skip("the machine that stands for the host is user-mode Linux, whose kernel has no blktrace")
    (key,) = (result.key for result in measured.manifest.results if result.cell == "overlay2-ext4.layer.files")
    offsets = []
    for log in (measured.path / "raw" / key / "trace").glob("*.iolog.gz"):
        for line in gzip.decompress(log.read_bytes()).decode().splitlines():
            words = line.split()
            if len(words) == 5 and words[2] in ("write", "trim"):
                offsets.append(int(words[3]) + int(words[4]))
    assert offsets
    assert min(offsets) >= 0
    assert max(offsets) <= 1016 * 2**20


def test_nothing_is_left_on_the_host(measured: Run, own_host: OwnHost, clean_state: list[str]) -> None:
    assert measured.manifest.status == "complete"
    assert own_host.state() == clean_state


def test_destroy_leaves_hosts_alone(own_host: OwnHost, cli: Any) -> None:
    before = own_host.state()
    assert cli("destroy").returncode == 0
    assert own_host.state() == before


def test_a_killed_run_is_resumed_by_its_marker_and_a_host_that_reboots_then_is_waited_for(
        own_host: OwnHost, clean_state: list[str], cli: Any, tmp_path: Path) -> None:
    scenario, one = own_host.scenario(tmp_path), "--only=overlay2-ext4.layer.files"
    process = cli.start("run", str(scenario), ALLOW, one, f"--results={tmp_path / 'results'}")
    deadline = time.monotonic() + 300
    while "/var/lib/docker" not in own_host.sh("findmnt -rno TARGET"):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    marker = json.loads(own_host.sh("cat /var/lib/thinpool-lab/owner"))
    assert marker["serial"] == "spare"
    assert own_host.state() != clean_state
    (folder,) = (tmp_path / "results").iterdir()
    process = cli.start("run", str(scenario), ALLOW, one, f"--resume={folder}")
    deadline = time.monotonic() + 600
    while ".scope" not in own_host.sh("ls -d /sys/fs/cgroup/system.slice/docker-*.scope || true"):  # a container's
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(1)
    with contextlib.suppress(RigError):
        own_host.machine.run(["sh", "-c", "sync; echo b >/proc/sysrq-trigger"], timeout=10)
    assert process.wait(1200) == 0
    assert open_run(folder).manifest.status == "complete"
    assert own_host.state() == clean_state


def test_an_interrupted_run_cleans_up_at_once(own_host: OwnHost, clean_state: list[str], cli: Any,
                                              tmp_path: Path) -> None:
    process = cli.start("run", str(own_host.scenario(tmp_path)), ALLOW, f"--results={tmp_path / 'results'}")
    deadline = time.monotonic() + 300
    while "virtio-spare-part2" not in own_host.sh("ls /dev/disk/by-id"):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(1)
    process.terminate()
    assert process.wait(180) == 3
    assert own_host.state() == clean_state
