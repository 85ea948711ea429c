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
from lab.rig import drivers, pools
from lab.rig.disks import VM_DISKS
from lab.rig.machine import ReplayMachine
from lab.scenario import StorageSpec

TRANSCRIPTS = Path(__file__).with_name("transcripts")
STORAGES = ("loop-lvm", "direct-lvm", "overlay2-ext4")


def transcript(storage: str, change: Callable[[dict[str, Any]], None] | None = None) -> list[str]:
    packed = (TRANSCRIPTS / f"{storage}.jsonl.gz").read_bytes()
    lines = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    for line in lines:
        if change is not None:
            change(line)
    return [json.dumps(line) for line in lines]


def provision(machine: ReplayMachine, spec: StorageSpec) -> None:
    pools.tear_down(machine, VM_DISKS)
    options = pools.build(machine, spec, VM_DISKS)
    drivers.start_daemon(machine, spec, options)


def spec(storage: str, **options: object) -> StorageSpec:
    return StorageSpec.model_validate({"storage": storage, "label": storage, **options})


@pytest.mark.parametrize("storage", STORAGES)
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
    ("overlay2-ext4", '"Driver":"overlay2"', '"Driver":"vfs"', "driver 'vfs'"),
])
def test_a_daemon_on_another_storage_is_refused(storage: str, was: str, is_now: str, complaint: str) -> None:
    def change(line: dict[str, Any]) -> None:
        if line["argv"][:2] == ["docker", "info"]:
            assert was in line["stdout"]
            line["stdout"] = line["stdout"].replace(was, is_now)

    with pytest.raises(StorageMismatch, match=complaint):
        provision(ReplayMachine(transcript(storage, change)), spec(storage))


def test_a_pool_that_is_not_monitored_is_refused() -> None:
    def change(line: dict[str, Any]) -> None:
        if line["argv"][0] == "lvs":
            line["stdout"] = line["stdout"].replace('"seg_monitor":"monitored"', '"seg_monitor":"not monitored"')

    with pytest.raises(RigError, match="not monitored"):
        provision(ReplayMachine(transcript("direct-lvm", change)), spec("direct-lvm"))


def test_a_step_that_fails_ends_the_building_with_its_own_words() -> None:
    def change(line: dict[str, Any]) -> None:
        if line["argv"][0] == "vgcreate":
            line.update(returncode=5, stderr="A volume group called docker already exists.")

    with pytest.raises(CommandFailed, match="vgcreate ended with status 5: A volume group called docker"):
        provision(ReplayMachine(transcript("direct-lvm", change)), spec("direct-lvm"))


@pytest.mark.parametrize("storage", STORAGES)
def test_no_disk_is_named_but_by_its_serial_number(storage: str) -> None:
    for line in transcript(storage):
        for word in json.loads(line)["argv"]:
            assert not word.startswith(("/dev/sd", "/dev/vd", "/dev/hd"))
