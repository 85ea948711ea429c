"""A host of one's own in a scenario: what is read, what is refused and where, and the keys of old runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import InputError
from lab.scenario.order import Arms, plan
from lab.scenario.scenario import HostSpec, MachineSpec, Scenario, load_scenario

HOST = """\
name: pinned
question: Does an old run resume?
seed: 7
machine:
  ssh: me@box
  disk: /dev/disk/by-id/ata-SOME_DISK_S123
  consent: erase S123
storages: [direct-lvm]
targets: [layer]
workload:
  - name: files
    steps: [start, write: {amount: 4MiB}, remove]
"""
BLOCK = HOST[HOST.index("machine:"):HOST.index("storages:")]


def load(folder: Path, text: str) -> Scenario:
    (folder / "s.yaml").write_text(text)
    return load_scenario(folder / "s.yaml")


def keys(scenario: Scenario, box: str) -> list[str]:
    (block,) = plan(Arms(scenario), box)
    return [block.setup.key, *(job.key for job in block.jobs)]


def test_the_keys_of_runs_in_a_vm_are_those_of_old_runs(tmp_path: Path) -> None:
    scenario = load(tmp_path, HOST.replace(BLOCK, "machine: {memory: 1GiB, disks: sparse}\n"))
    assert isinstance(scenario.machine, MachineSpec)
    assert keys(scenario, "thinpool-lab-000000000000") == ["393db99f544e9cb1", "55e6f62de93a8f2e"]


def test_a_host_is_read_with_its_files_and_its_consent(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    (tmp_path / "config").touch()
    scenario = load(tmp_path, HOST.replace("  consent:", "  port: 2222\n  identity_file: key\n"
                                                         "  ssh_config: config\n  consent:"))
    assert scenario.machine == HostSpec(
        ssh="me@box", disk="/dev/disk/by-id/ata-SOME_DISK_S123", consent="erase S123", port=2222,
        identity_file=tmp_path / "key", ssh_config=tmp_path / "config")
    assert (scenario.machine.host, scenario.machine.serial) == ("box", "S123")


def test_the_keys_depend_on_host_and_serial_and_not_on_the_way_to_them(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    plain = keys(load(tmp_path, HOST), "host:box")
    for old, new in (("me@box", "root@box"), ("  consent:", "  port: 22\n  identity_file: key\n  consent:"),
                     ("ata-SOME_DISK_S123", "wwn-0x1")):
        assert keys(load(tmp_path, HOST.replace(old, new)), "host:box") == plain
    for old, new in (("me@box", "me@other"), ("erase S123", "erase S124")):
        assert not set(keys(load(tmp_path, HOST.replace(old, new)), "host:box")) & set(plain)


@pytest.mark.parametrize(("old", "new", "line", "words"), [
    ("me@box", "-oProxyCommand=id", 5, ["machine.ssh", "'-oProxyCommand=id' is no host"]),
    ("me@box", "-x@box", 5, ["is no host"]),
    ("me@box", "me@-x", 5, ["is no host"]),
    ("me@box", "'box; reboot'", 5, ["is no host"]),
    ("me@box", "7", 5, ["machine.ssh", "7"]),
    ("/dev/disk/by-id/ata-SOME_DISK_S123", "/dev/sdb", 6, ["'/dev/sdb'", "/dev/disk/by-id/", "ls -l"]),
    ("/dev/disk/by-id/ata-SOME_DISK_S123", "/dev/disk/by-id/../../sda", 6, ["no name of a disk directly below"]),
    ("/dev/disk/by-id/ata-SOME_DISK_S123", "/dev/disk/by-id/", 6, ["no name of a disk"]),
    ("S123\n", "S123-part1\n", 6, ["is a partition", "whole disk"]),
    ("erase S123", "S123", 7, ["machine.consent", "'S123' is no consent", "erase <serial>"]),
    ("erase S123", "yes", 7, ["is no consent"]),
    ("erase S123", "erase", 7, ["is no consent"]),
    ("erase S123", "'erase  '", 7, ["is no consent"]),
    ("erase S123", "'erase S123 '", 7, ["is no consent"]),
    ("erase S123", "Erase S123", 7, ["is no consent"]),
    ("  consent: erase S123\n", "", 4, ["consent", "missing"]),
    ("  disk: /dev/disk/by-id/ata-SOME_DISK_S123\n", "", 4, ["disk", "missing"]),
    ("  consent:", "  memory: 2GiB\n  consent:", 7, ["memory is for the lab's own VM", "allowed here: ssh, disk"]),
    ("  consent:", "  disks: full\n  consent:", 7, ["disks is for the lab's own VM"]),
    ("  consent:", "  prot: 22\n  consent:", 7, ["unknown key 'prot'", "did you mean 'port'"]),
    ("  consent:", "  port: 70000\n  consent:", 7, ["70000 is too large, at most 65535"]),
    ("  consent:", "  identity_file: none\n  consent:", 7, ["'none': no such file"]),
    ("  consent:", "  ssh_config: 3\n  consent:", 7, ["3 is no file name"]),
    ("  ssh: me@box\n", "", 5, ["disk is for a host of your own", "allowed here: memory, cpus"]),
    ("  ssh: me@box\n", "  memory: 1GiB\n", 6, ["disk is for a host of your own"]),
])
def test_what_the_block_gets_wrong_is_refused_with_its_line(tmp_path: Path, old: str, new: str, line: int,
                                                            words: list[str]) -> None:
    assert old in HOST
    with pytest.raises(InputError) as caught:
        load(tmp_path, HOST.replace(old, new, 1))
    message = str(caught.value)
    assert caught.value.where == f"{tmp_path / 's.yaml'}:{line}", message
    assert [word for word in words if word not in message] == [], message
    assert len(message.splitlines()) == 1
    assert caught.value.exit_code == 2
