"""Which hosts and disks are refused, told from what their tools answer; and that asking changes nothing."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CommandFailed, ConnectionLost, RigError
from lab.rig.disks import Disks
from lab.rig.machine import Completed, checked
from lab.rig.own_host.host import Host, halves, ssh_options, table_script
from lab.rig.own_host.host_check import (
    DAEMON_CONFIGURATION,
    KEPT_PATHS,
    MARKER,
    UNITS,
    Allowed,
    Marker,
    check,
    own_partitions,
)
from lab.rig.own_host.images import is_static
from lab.scenario.scenario import HostSpec

DISK = "/dev/disk/by-id/ata-SOME_DISK_S123"
SPEC = HostSpec(ssh="me@box", disk=DISK, consent="erase S123")
TABLE = "0f0e0d0c-0000-4000-8000-000000000001"
UNITS_OFF = {unit: ("inactive", "disabled") for unit in UNITS}
MARKED = Marker("S123", TABLE, UNITS_OFF, KEPT_PATHS)
MIB = 2**20

READ_ONLY = {"test", "lsblk", "blkid", "findmnt", "pvs", "systemctl", "docker", "ctr", "sh", "python3"}


class FakeHost:
    """A host by its answers; whatever could change it is no question and fails the test."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {"name": "/dev/sdb", "type": "disk", "size": 4096 * MIB, "serial": "S123",
                                     "mountpoints": [None], "partlabel": None, "pttype": None, "ptuuid": None,
                                     "ro": False, "start": None}
        self.is_there = True
        self.signatures: list[str] = []
        self.blkid = 2
        self.exclusive = ""
        self.missing: list[str] = []
        self.paths: list[str] = []
        self.marker = ""
        self.data_root_source = ""
        self.data_root_inside = ""
        self.volumes: list[str] = []
        self.mapped = "No devices found\n"
        self.units = dict(UNITS_OFF)
        self.containers = ""
        self.images = ""
        self.namespaces: dict[str, str] = {}

    def run(self, argv: Sequence[str], *, timeout: float = 1.0, check: bool = True,
            stdin: bytes | None = None) -> Completed:
        assert stdin is None
        status, out, err = self._answer(list(argv))
        done = Completed(tuple(argv), status, out, err, 0.0)
        return checked(done) if check else done

    def _answer(self, argv: list[str]) -> tuple[int, str, str]:
        text = " ".join(argv)
        if argv[0] == "sh":
            if "command -v" in text:
                return 0, "\n".join(self.missing), ""
            if MARKER in argv:
                return 0, self.marker, ""
            if "find" in argv[2]:
                return 0, self.data_root_inside, ""
            return 0, "\n".join(path for path in argv[4:] if path in self.paths), ""
        if argv[0] == "wipefs":
            assert "-n" in argv
            return 0, json.dumps({"signatures": [{"type": kind} for kind in self.signatures]}), ""
        if argv[:2] == ["dmsetup", "ls"]:
            return 0, self.mapped, ""
        assert argv[0] in READ_ONLY, text
        if argv[0] == "test":
            return (0 if self.is_there else 1), "", ""
        if argv[0] == "lsblk":
            return 0, json.dumps({"blockdevices": [self.tree]}), ""
        if argv[0] == "blkid":
            return self.blkid, "", ""
        if argv[0] == "python3":
            assert "O_RDONLY | os.O_EXCL" in text
            return (1 if self.exclusive else 0), "", self.exclusive
        if argv[0] == "findmnt":
            return (0 if self.data_root_source else 1), self.data_root_source, ""
        if argv[0] == "pvs":
            return 0, "\n".join(self.volumes), ""
        if argv[0] == "systemctl":
            assert argv[1] == "show"
            active, enabled = self.units.get(argv[-1], ("", ""))
            load = "loaded" if active else "not-found"
            return 0, f"LoadState={load}\nActiveState={active}\nUnitFileState={enabled}\n", ""
        if argv[0] == "docker":
            assert self.units["docker.service"][0] == "active", "a question would start the daemon"
            assert argv[1] in ("ps", "images")
            return 0, self.containers if argv[1] == "ps" else self.images, ""
        assert self.units["containerd.service"][0] == "active"
        assert argv[-2] == "list"
        if argv[1] == "namespaces":
            return 0, "\n".join(self.namespaces), ""
        return 0, self.namespaces[argv[2]] if argv[3] == "containers" else "", ""


def part(number: int, label: str, **more: Any) -> dict[str, Any]:
    return {"name": f"/dev/sdb{number}", "type": "part", "size": 2040 * MIB, "serial": None, "partlabel": label,
            "mountpoints": [None], "start": (8 + 2040 * (number - 1)) * 2048, **more}


def cut(host: FakeHost) -> None:
    """The lab's own table, on a host that holds its marker."""
    host.tree |= {"ptuuid": TABLE, "pttype": "gpt",
                  "children": [part(1, "thinpool-lab-pool"), part(2, "thinpool-lab-spare")]}
    host.signatures = ["gpt", "gpt", "PMBR"]
    host.marker = MARKED.text()
    host.paths = [DAEMON_CONFIGURATION, "/opt/lab", "/etc/docker"]


def test_an_empty_disk_on_a_host_without_docker_is_taken() -> None:
    allowed = check(FakeHost(), SPEC)
    assert isinstance(allowed, Allowed)
    assert (allowed.disk.name, allowed.disk.size_bytes, allowed.disk.partitions) == ("/dev/sdb", 4096 * MIB, ())
    assert allowed.units == UNITS_OFF
    assert (allowed.absent, allowed.marker) == (KEPT_PATHS, None)


def set_(**values: Any) -> Callable[[FakeHost], None]:
    def change(host: FakeHost) -> None:
        for name, value in values.items():
            assert hasattr(host, name)
            setattr(host, name, value)
    return change


def tree(**values: Any) -> Callable[[FakeHost], None]:
    return lambda host: host.tree.update(values)


def active(unit: str, **values: Any) -> Callable[[FakeHost], None]:
    def change(host: FakeHost) -> None:
        host.units[unit] = ("active", "enabled")
        set_(**values)(host)
    return change


@pytest.mark.parametrize(("change", "complaint"), [
    (set_(is_there=False), "no disk /dev/disk/by-id/ata-SOME_DISK_S123"),
    (tree(type="part"), "of type 'part'"),
    (tree(type="loop"), "of type 'loop'"),
    (tree(type="mpath"), "of type 'mpath'"),
    (tree(serial=None), "no serial number"),
    (tree(serial="  "), "no serial number"),
    (tree(serial="S1234"), "the serial number 'S1234', and the consent names 'S123'"),
    (tree(serial="s123"), "the serial number 's123'"),
    (tree(ro=True), "read-only"),
    (tree(size=512 * MIB), "at least 1040"),
    (tree(mountpoints=["/srv"]), "/dev/sdb is mounted on /srv"),
    (tree(mountpoints=[None, "/srv"]), "/dev/sdb is mounted on /srv"),
    (tree(mountpoints=["[SWAP]"]), "used as swap"),
    (tree(mountpoints=["/var/lib/docker"]), "mounted on /var/lib/docker"),
    (tree(children=[part(1, "data")]), r"carries /dev/sdb1 \(type part\)"),
    (tree(children=[part(1, "data", mountpoints=["/home"])]), "/dev/sdb1 is mounted on /home"),
    (tree(children=[part(1, "data", children=[{"name": "/dev/mapper/vg-lv", "type": "lvm", "mountpoints": ["/x"]}])]),
     "/dev/mapper/vg-lv is mounted on /x"),
    (tree(children=[{"name": "/dev/md0", "type": "raid1", "mountpoints": [None]}]), r"/dev/md0 \(type raid1\)"),
    (tree(children=[{"name": "/dev/mapper/c", "type": "crypt", "mountpoints": [None]}]), r"\(type crypt\)"),
    (tree(children=[{"name": "/dev/mapper/m", "type": "mpath", "mountpoints": [None]}]), r"\(type mpath\)"),
    # labels alone prove nothing: the marker of this host must hold the table's UUID
    (tree(ptuuid=TABLE, children=[part(1, "thinpool-lab-pool"), part(2, "thinpool-lab-spare")]), "carries /dev/sdb1"),
    (set_(exclusive="Traceback\nOSError: [Errno 16] Device or resource busy"), "in use: OSError"),
    (set_(signatures=["ext4"]), "a signature: ext4"),
    (set_(signatures=["LVM2_member"]), "a signature: LVM2_member"),
    (set_(signatures=["linux_raid_member"]), "a signature: linux_raid_member"),
    (set_(signatures=["gpt", "PMBR"]), "a signature: gpt, PMBR"),
    (set_(signatures=["dos"]), "a signature: dos"),
    (set_(blkid=0), "a signature"),
    (set_(blkid=8), "a signature: something that blkid answers 8 to"),
    (set_(missing=["thin_dump", "blktrace", "blkparse"]),
     "lacks thin_dump, blktrace, blkparse .*apt-get install .*blktrace thin-provisioning-tools"),
    (set_(paths=["/etc/docker/daemon.json"]), "/etc/docker/daemon.json, and not from the lab"),
    (set_(paths=["/opt/lab"]), "/opt/lab, and not from the lab"),
    (set_(paths=["/run/lab"]), "/run/lab, and not from the lab"),
    (set_(paths=["/etc/lvm/profile/docker-thinpool.profile"]), "docker-thinpool.profile"),
    (set_(data_root_inside="/var/lib/docker/overlay2\n/var/lib/docker/image\n"), "not empty.*/var/lib/docker/overlay2"),
    (set_(data_root_source="/dev/sdc1"), "/dev/sdc1 is mounted on /var/lib/docker"),
    (set_(volumes=["vg0|/dev/sda3", "docker|/dev/sdc"]), "a volume group 'docker' on /dev/sdc"),
    (set_(mapped="vg0-root\t(254:0)\ndocker-thinpool\t(254:1)\n"), "docker-thinpool"),
    (active("docker.service", containers="db\nweb\n"), "containers: db, web"),
    (active("docker.service", containers="lab-1\n"), "containers: lab-1"),
    (active("docker.service", images="0123\n4567\n"), "holds 2 images"),
    (active("containerd.service", namespaces={"k8s.io": "abc\n"}), "containers in the namespace 'k8s.io'"),
    (set_(units={**UNITS_OFF, "docker.service": ("inactive", "masked")}), "docker.service is masked"),
    (set_(units={"docker.socket": ("inactive", "disabled")}), "no unit docker.service"),
    (set_(marker="{}"), "no marker of the lab"),
    (set_(marker="not json"), "no marker of the lab"),
    (set_(marker=Marker("S9", TABLE, UNITS_OFF, ()).text()), "on the disk of serial number 'S9'"),
])
def test_what_is_not_provably_free_is_refused(change: Callable[[FakeHost], None], complaint: str) -> None:
    host = FakeHost()
    change(host)
    with pytest.raises(RigError, match=complaint) as caught:
        check(host, SPEC)
    assert caught.value.exit_code == 3
    assert not isinstance(caught.value, CommandFailed)


def test_docker_that_runs_with_nothing_in_it_is_taken_and_remembered() -> None:
    host = FakeHost()
    host.units = dict.fromkeys(UNITS, ("active", "enabled"))
    host.namespaces = {"moby": ""}
    assert check(host, SPEC).units == dict.fromkeys(UNITS, ("active", "enabled"))


def test_what_an_earlier_run_left_is_recognised_by_the_marker() -> None:
    host = FakeHost()
    cut(host)
    host.tree["children"][0]["children"] = [
        {"name": "/dev/mapper/docker-thinpool_tdata", "type": "lvm", "mountpoints": [None], "children": [
            {"name": "/dev/mapper/docker-thinpool", "type": "lvm", "mountpoints": [None]}]}]
    host.tree["children"][1]["mountpoints"] = ["/var/lib/docker"]
    host.data_root_source = "/dev/sdb2\n"
    host.volumes = ["docker|/dev/sdb1"]
    host.mapped = "docker-thinpool\t(254:1)\n"
    host.units["docker.service"] = host.units["containerd.service"] = ("active", "disabled")
    host.containers, host.namespaces = "lab-1\n", {"moby": "0123\n"}
    allowed = check(host, SPEC)
    assert allowed.marker == MARKED
    assert allowed.disk.partitions == ((8 * MIB, 2040 * MIB), (2048 * MIB, 2040 * MIB))


def test_a_marker_without_a_table_is_that_of_a_run_killed_before_the_cut() -> None:
    host = FakeHost()
    host.marker = MARKED.text()
    assert check(host, SPEC).disk.partitions == ()


@pytest.mark.parametrize(("change", "complaint"), [
    (tree(ptuuid="0f0e0d0c-0000-4000-8000-000000000002"), "carries /dev/sdb1"),
    (tree(children=[part(1, "thinpool-lab-pool"), part(2, "thinpool-lab-spare"), part(3, "x")]), "carries /dev/sdb1"),
    (tree(children=[part(1, "thinpool-lab-pool"), part(2, "mine")]), "carries /dev/sdb1"),
    (tree(children=[part(1, "thinpool-lab-pool", mountpoints=["/srv"]), part(2, "thinpool-lab-spare")]),
     "/dev/sdb1 is mounted on /srv"),
    (tree(children=[part(1, "thinpool-lab-pool", mountpoints=["/var/lib/dockers"]), part(2, "thinpool-lab-spare")]),
     "/dev/sdb1 is mounted on /var/lib/dockers"),
    (set_(signatures=["gpt", "ext4"]), "a signature: ext4"),
    (set_(data_root_inside="/var/lib/docker/image\n"), "not empty"),
    (set_(data_root_source="/dev/sdc1\n"), "/dev/sdc1 is mounted"),
    (set_(volumes=["docker|/dev/sdb1", "docker|/dev/sdc1"]), "on /dev/sdc1"),
    (active("docker.service", containers="lab-1\ndb\n"), "containers: db"),
    (active("containerd.service", namespaces={"moby": "0", "k8s.io": "1"}), "'k8s.io'"),
])
def test_the_marker_covers_nothing_that_others_added_since(change: Callable[[FakeHost], None], complaint: str) -> None:
    host = FakeHost()
    cut(host)
    change(host)
    with pytest.raises(RigError, match=complaint):
        check(host, SPEC)


def test_a_marker_is_read_as_it_was_written() -> None:
    assert Marker.parse(MARKED.text()) == MARKED


def test_the_disk_is_cut_into_two_equal_parts_that_start_at_8_mib() -> None:
    assert halves(2048 * MIB) == 1016
    assert halves(4097 * MIB + 511) == 2040
    text = table_script(2048 * MIB, TABLE)
    assert f"label-id: {TABLE}\n" in text
    assert 'start=8MiB, size=1016MiB, name="thinpool-lab-pool"' in text
    assert 'start=1024MiB, size=1016MiB, name="thinpool-lab-spare"' in text


def test_own_partitions_need_table_and_labels() -> None:
    host = FakeHost()
    cut(host)
    assert len(own_partitions(host.tree, TABLE.upper())) == 2
    other = copy.deepcopy(host.tree)
    other["children"].reverse()
    assert own_partitions(other, TABLE) == ()


def test_ssh_gets_what_the_block_says_and_nothing_that_weakens_the_check_of_host_keys(tmp_path: Path) -> None:
    spec = HostSpec(ssh="me@box", disk=DISK, consent="erase S123", port=2222, identity_file=tmp_path / "key",
                    ssh_config=tmp_path / "config")
    options = ssh_options(spec)
    assert options[options.index("-p") + 1] == "2222"
    assert options[options.index("-i") + 1] == str(tmp_path / "key")
    assert options[options.index("-F") + 1] == str(tmp_path / "config")
    assert not any("StrictHostKeyChecking" in word or "UserKnownHosts" in word for word in options)
    assert "-F" not in ssh_options(SPEC)


def elf(*kinds: int) -> bytes:
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    head[32:40] = (64).to_bytes(8, "little")
    head[54:58] = (56).to_bytes(2, "little") + len(kinds).to_bytes(2, "little")
    return bytes(head) + b"".join(kind.to_bytes(4, "little") + bytes(52) for kind in kinds)


@pytest.mark.parametrize(("program", "static"), [
    (elf(1, 1), True), (elf(1, 3), False), (elf(), False), (elf(1)[:100], False), (b"", False), (b"#!/bin/sh\n", False),
])
def test_a_static_program_asks_for_no_interpreter(program: bytes, static: bool) -> None:
    assert is_static(program) is static


# -- taking and giving back -------------------------------------------------------------------------------------------

class LivingHost(FakeHost):
    """A host that remembers what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []
        self.away = 0           # connections that fail
        self.fails = ""         # the command that begins so fails
        self.closed = 0

    def run(self, argv: Sequence[str], *, timeout: float = 1.0, check: bool = True,
            stdin: bytes | None = None) -> Completed:
        text = " ".join(argv)
        if self.away:
            self.away -= 1
            raise ConnectionLost("gone")
        if self.fails and text.startswith(self.fails):
            raise CommandFailed(argv, 1, "", "it broke")
        if argv[0] in ("true", "sync", "install", "modprobe", "sfdisk", "udevadm", "bash", "rm", "rmdir", "cat") or (
                text.startswith(("systemctl disable", "systemctl enable", "systemctl start", "systemctl daemon-reload",
                                 "wipefs -a", "lsblk -dnbo START", "sh -c command -v dockerd"))):
            out = self._change(list(argv), stdin)
            return Completed(tuple(argv), 0, out, "", 0.0)
        return super().run(argv, timeout=timeout, check=check, stdin=stdin)

    def _change(self, argv: list[str], stdin: bytes | None) -> str:
        text = " ".join(argv)
        if argv[0] not in ("true", "cat", "udevadm", "lsblk") and "command -v" not in text:
            self.done.append(text)
        if argv[-1] == MARKER and argv[0] == "install":
            assert stdin is not None
            self.marker = stdin.decode()
        elif argv[0] == "rm" and MARKER in argv:
            self.marker = ""
        elif argv[0] == "sfdisk":
            assert stdin is not None
            table = stdin.decode().split("label-id: ")[1].split("\n")[0]
            self.tree |= {"ptuuid": table, "children": [part(1, "thinpool-lab-pool"), part(2, "thinpool-lab-spare")]}
            self.signatures = ["gpt", "PMBR"]
        elif text == f"wipefs -a -q {DISK}":
            self.tree |= {"ptuuid": None, "children": []}
            self.signatures = []
        elif argv[0] == "lsblk":
            return str(8 * 2048 if argv[-1].endswith("-part1") else 2048 * 2048)
        return "/usr/sbin/dockerd" if "command -v" in text else ""

    def hold(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        assert argv[0] == "flock"
        return subprocess.Popen(["sh", "-c", "echo held; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def living(monkeypatch: pytest.MonkeyPatch) -> LivingHost:
    monkeypatch.setattr("lab.rig.own_host.host.images_for", lambda machine: Path("images"))
    monkeypatch.setattr("lab.rig.own_host.host.install_images", lambda machine, folder: None)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return LivingHost()


def own(living: LivingHost) -> Host:
    return Host(SPEC, lambda text: None, lambda options, name: living)     # type: ignore[arg-type, return-value]


def test_the_marker_is_the_first_change_and_its_removal_the_last(living: LivingHost) -> None:
    living.units = dict.fromkeys(UNITS, ("active", "enabled"))
    machine = own(living)
    machine.up()
    assert machine.disks == Disks(f"{DISK}-part1", f"{DISK}-part2", 8 * MIB, 2048 * MIB)
    assert living.done[0] == f"install -D -m 0755 /dev/stdin {MARKER}"
    assert living.done[-1] == f"bash /opt/lab/tear-down.sh /var/lib/docker docker {DISK}-part1 {DISK}-part2"
    assert Marker.parse(living.marker).units == dict.fromkeys(UNITS, ("active", "enabled"))
    living.done.clear()
    machine.stop()
    assert living.done[-2:] == [f"rm -f {MARKER}", "rmdir --ignore-fail-on-non-empty /var/lib/thinpool-lab"]
    for unit in UNITS:
        assert f"systemctl enable --quiet {unit}" in living.done
        assert f"systemctl start {unit}" in living.done
    assert (living.marker, living.tree["children"], living.closed) == ("", [], 1)
    living.done.clear()
    machine.stop()
    assert living.done == []


def test_a_refused_host_is_not_changed_and_not_cleaned_up(living: LivingHost) -> None:
    living.signatures = ["ext4"]
    machine = own(living)
    with pytest.raises(RigError, match="a signature: ext4"):
        machine.up()
    machine.stop()
    assert living.done == []
    assert living.closed == 1


def test_a_folder_that_was_there_before_stays(living: LivingHost) -> None:
    living.paths = ["/etc/docker", "/etc/docker/key.json", "/var/lib/docker"]
    machine = own(living)
    machine.up()
    machine.stop()
    assert not any(line.startswith(("rmdir", "rm -f /etc/docker/key")) and
                   line.endswith(("/etc/docker", "/var/lib/docker", "key.json")) for line in living.done)


def test_a_host_that_comes_back_is_taken_again_without_a_new_cut(living: LivingHost) -> None:
    machine = own(living)
    machine.up()
    marker = living.marker
    machine.abandon()
    living.done.clear()
    living.away = 3
    machine.up()
    assert living.marker == marker
    assert not any(line.startswith(("sfdisk", "wipefs")) for line in living.done)
    assert living.done[-1].startswith("bash /opt/lab/tear-down.sh")
    machine.stop()
    assert living.marker == ""


def test_a_host_that_never_answered_is_not_waited_for(living: LivingHost) -> None:
    living.away = 1
    with pytest.raises(RigError, match=r"me@box cannot be reached: gone \(`ssh me@box sudo -n true`"):
        own(living).up()


def test_what_cannot_be_cleaned_up_is_said_and_the_marker_stays(living: LivingHost) -> None:
    machine = own(living)
    machine.up()
    living.fails = "bash /opt/lab/tear-down.sh"
    with pytest.raises(RigError, match="box could not be cleaned up: bash ended with status 1: it broke"):
        machine.stop()
    assert living.marker
    living.fails = ""
    machine.stop()
    assert not living.marker


@pytest.mark.parametrize(("change", "complaint"), [
    (tree(serial="S999"), "serial number 'S999'"),
    (tree(name="/dev/sdc"), "is another disk now: /dev/sdc"),
    (tree(size=8192 * MIB), "is another disk now"),
    (tree(mountpoints=["/srv"]), "is mounted on /srv"),
    (tree(children=[part(1, "data")]), "carries /dev/sdb1"),
    (set_(signatures=["ext4"]), "a signature: ext4"),
    (set_(exclusive="Device or resource busy"), "in use"),
])
def test_a_disk_that_changed_since_it_was_looked_at_is_not_cut(
        living: LivingHost, monkeypatch: pytest.MonkeyPatch, change: Callable[[FakeHost], None],
        complaint: str) -> None:
    """Between the two, programs and images are copied, which takes a while."""
    monkeypatch.setattr("lab.rig.own_host.host.install_images", lambda machine, folder: change(living))
    machine = own(living)
    with pytest.raises(RigError, match=complaint):
        machine.up()
    assert not any(line.startswith(("sfdisk", "wipefs", "bash")) for line in living.done)


@pytest.mark.parametrize("change", [
    tree(serial="S999"), tree(ptuuid="0f0e0d0c-0000-4000-8000-000000000002"), tree(children=[part(1, "data")])])
def test_a_disk_that_changed_during_the_tear_down_is_not_wiped(
        living: LivingHost, change: Callable[[FakeHost], None]) -> None:
    machine = own(living)
    machine.up()
    living.done.clear()
    tear_down = living._change

    def changed(argv: list[str], stdin: bytes | None) -> str:
        if argv[0] == "bash":
            change(living)
        return tear_down(argv, stdin)

    living._change = changed    # type: ignore[method-assign]
    with pytest.raises(RigError, match=r"another serial number now|does not carry the lab's partition table"):
        machine.stop()
    assert not any(line.startswith("wipefs") for line in living.done)
    assert living.marker


def test_a_disk_whose_serial_number_changed_meanwhile_is_not_wiped(living: LivingHost) -> None:
    machine = own(living)
    machine.up()
    living.tree["serial"] = "S999"
    living.done.clear()
    with pytest.raises(RigError, match="another serial number now: 'S999'"):
        machine.stop()
    assert living.done == []
