"""Provisioning replayed from transcripts that real machines left: the same commands, in the same order, or a failure.

Each transcript is a set-up's, as `lab run` keeps it under ``raw/<key>/transcript.jsonl.gz``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import CommandFailed, RigError, StorageMismatch
from lab.rig.disks import VM_DISKS
from lab.rig.machine import ReplayMachine
from lab.rig.storages.face import set_up
from lab.scenario.scenario import StorageSpec

TRANSCRIPTS = Path(__file__).with_name("transcripts")
OPTIONS: dict[str, dict[str, object]] = {
    "loop-lvm": {}, "direct-lvm": {}, "direct-lvm-docker": {}, "overlay2-ext4": {}, "overlay2-xfs": {},
    "direct-64k": {"storage": "direct-lvm", "chunk_size_bytes": 65536},
    "direct-discard": {"storage": "direct-lvm", "discard": True},
    "overlay2-discard": {"storage": "overlay2-ext4", "discard": True},
}
"""What each transcript was asked for, besides the storage of its name."""


def transcript(storage: str, change: Callable[[dict[str, Any]], None] | None = None) -> list[str]:
    packed = (TRANSCRIPTS / f"{storage}.jsonl.gz").read_bytes()
    lines = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    for line in lines:
        if change is not None:
            change(line)
    return [json.dumps(line) for line in lines]


def provision(machine: ReplayMachine, spec: StorageSpec) -> None:
    set_up(machine, spec, VM_DISKS)


def spec(storage: str, **options: object) -> StorageSpec:
    return StorageSpec.model_validate({"storage": storage, "label": storage, **OPTIONS[storage], **options})


@pytest.mark.parametrize("storage", OPTIONS)
def test_a_storage_is_built_by_the_recorded_commands_and_accepted(storage: str) -> None:
    machine = ReplayMachine(transcript(storage))
    provision(machine, spec(storage))
    left = [json.loads(line)["argv"] for line in transcript(storage)][-machine.left:]
    assert all(argv[2:4] == ["docker", "load"] for argv in left), "only the images may be left to load"


def test_another_chunk_size_than_the_recorded_one_gives_another_command() -> None:
    with pytest.raises(RigError, match="512K"):
        provision(ReplayMachine(transcript("direct-lvm")), spec("direct-lvm", chunk_size_bytes=65536))


@pytest.mark.parametrize(("storage", "was", "is_now", "complaint"), [
    ("direct-lvm", "524.3kB", "65.54kB", "block size 65536"),
    ("direct-lvm", "docker-thinpool", "another-pool", "pool 'another-pool'"),
    ("loop-lvm", "65.54kB", "524.3kB", "block size 524288"),
    ("overlay2-ext4", "extfs", "xfs", "backing file system 'xfs'"),
    ("overlay2-xfs", "xfs", "extfs", "backing file system 'extfs'"),
    ("direct-lvm-docker", "524.3kB", "65.54kB", "block size 65536"),
    ("overlay2-ext4", '"Driver":"overlay2"', '"Driver":"vfs"', "driver 'vfs'"),
])
def test_a_daemon_on_another_storage_is_refused(storage: str, was: str, is_now: str, complaint: str) -> None:
    refused(storage, ["docker", "info"], was, is_now, complaint)


@pytest.mark.parametrize(("storage", "command", "was", "is_now", "complaint"), [
    ("direct-lvm", "lvs", '"monitored"', '"not monitored"', "LVM shows monitored False where direct-lvm"),
    ("direct-lvm", "lvs", '"4072669184B"', '"4076863488B"', "data size 4076863488 where .* 4072669184"),
    ("direct-lvm-docker", "lvs", '"41943040B"', '"46137344B"', "metadata size 46137344"),
    ("direct-64k", "lvs", '"65536B"', '"131072B"', "chunk size 131072"),
    ("direct-lvm", "lvs", '"docker-thinpool"', '""', "profile ''"),
    ("direct-lvm-docker", "cat", "threshold=80", "threshold=90", "autoextend threshold '90' where .* '80'"),
    ("direct-lvm", "cat", "percent=20", "percent=10", "autoextend percent '10'"),
    ("overlay2-discard", "findmnt", "discard", "nodiscard", "asks for discard"),
    ("overlay2-xfs", "findmnt", "rw", "rw,discard", "asks for no discard"),
])
def test_a_pool_or_mount_that_is_not_what_was_asked_is_refused(storage: str, command: str, was: str, is_now: str,
                                                               complaint: str) -> None:
    refused(storage, [command], was, is_now, complaint)


def refused(storage: str, command: list[str], was: str, is_now: str, complaint: str) -> None:
    def change(line: dict[str, Any]) -> None:
        if line["argv"][:len(command)] == command:
            assert was in line["stdout"]
            line["stdout"] = line["stdout"].replace(was, is_now)

    with pytest.raises(StorageMismatch, match=complaint):
        provision(ReplayMachine(transcript(storage, change)), spec(storage))


def test_a_step_that_fails_ends_the_building_with_its_own_words() -> None:
    def change(line: dict[str, Any]) -> None:
        if line["argv"][0] == "vgcreate":
            line.update(returncode=5, stderr="A volume group called docker already exists.")

    with pytest.raises(CommandFailed, match="vgcreate ended with status 5: A volume group called docker"):
        provision(ReplayMachine(transcript("direct-lvm", change)), spec("direct-lvm"))


@pytest.mark.parametrize("storage", OPTIONS)
def test_no_disk_is_named_but_by_its_serial_number(storage: str) -> None:
    """The daemon, which knows no links, is told the name in its configuration only."""
    for line in transcript(storage):
        for word in json.loads(line)["argv"]:
            assert not word.startswith(("/dev/sd", "/dev/vd", "/dev/hd"))
