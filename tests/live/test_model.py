"""The exact model against a real kernel: a random program that nobody has seen, on a fresh pool in the VM."""

from __future__ import annotations

import gzip
import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.model.metadata.metadata import PoolMetadata
from lab.readers.thin_dump import read_thin_dump
from lab.rig.disks import VM_DISKS
from lab.rig.machine import Machine, put
from lab.rig.storages.disks import tear_down
from lab.rig.vm.accelerator import AUTO, TCG, UML, choose
from lab.rig.vm.vagrant import vm
from lab.scenario.scenario import MachineSpec

pytestmark = pytest.mark.live

KIB, MIB = 1024, 2**20
FOLDER = "/run/lab-model"
SCRIPT = f"{FOLDER}/pool_program.py"
METADATA = "/var/tmp/lab-model-metadata"
"""On a disk: thin_restore opens it O_DIRECT, which a file system in memory refuses."""

PROGRAMS = int(os.environ.get("LAB_RANDOM_PROGRAMS", "2"))
LEAST_METADATA_ERROR_BLOCKS, METADATA_ERROR_SHARE = 4, 0.02


@contextmanager
def a_machine(cli: Any, accelerator: str) -> Iterator[Machine]:
    """The tests' VM, in the state folder that the command line's tests use as well."""
    spec = MachineSpec.model_validate({"memory_bytes": 1024 * MIB, "pool_disk_bytes": 2048 * MIB,
                                       "spare_disk_bytes": 2048 * MIB, "accelerator": accelerator})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(cli.state))
        with vm(spec, print) as guest:
            guest.up()
            tear_down(guest.machine, VM_DISKS)
            put(guest.machine, SCRIPT, Path(__file__).with_name("pool_program.py").read_bytes())
            yield guest.machine


@pytest.fixture(scope="module")
def machine(cli: Any) -> Iterator[Machine]:
    with a_machine(cli, AUTO) as machine:
        yield machine


def dump_after(machine: Machine, program: dict[str, Any]) -> str:
    """The pool's mappings, as thin_dump has them, after the program."""
    machine.run(["python3", SCRIPT, VM_DISKS.pool, FOLDER], stdin=json.dumps(program).encode(), timeout=600)
    return machine.run(["cat", f"{FOLDER}/thin_dump-end.xml"], timeout=120).stdout


def test_the_boxs_own_kernel_and_user_mode_linux_do_the_same_to_fresh_random_programs_byte_for_byte(
        machine: Machine, cli: Any) -> None:
    if choose(AUTO, 1024 * MIB).name != UML:
        pytest.skip("the machine runs the box's own kernel here: there is no second one to compare it with")
    seed = time.time_ns()
    print(f"random programs from seed {seed}")
    programs = [random_program(seed + number) for number in range(PROGRAMS)]
    with a_machine(cli, TCG) as other:
        kernels = {where.run(["uname", "-r"]).stdout for where in (machine, other)}
        assert len(kernels) == 2
        for program in programs:
            assert dump_after(machine, program) == dump_after(other, program)


def random_program(seed: int) -> dict[str, Any]:
    """A pool with room for all it will be asked, devices and snapshots that come and go, writes large and small.

    The pointer of next fit never wraps, so that the moment of the kernel's own commits, once a second, does not
    matter; what does depend on it is in the recorded cases, which say when each commit came.
    """
    draw = random.Random(seed)
    chunk = draw.choice([64, 128, 192, 512]) * KIB
    thin_size = draw.choice([32, 96, 256]) * MIB // chunk * chunk
    features = [name for name in ("skip_block_zeroing", "no_discard_passdown") if draw.random() < 0.5]
    alive, steps = [0], [{"title": "create 0", "ops": [{"op": "create_thin", "thin": 0}]}]
    for number in range(1, 26):
        device, kind = draw.choice(alive), draw.choices(["write", "snap", "create", "discard", "delete"],
                                                        [12, 4, 1, 3, 1])[0]
        if kind == "snap" and len(alive) < 6:
            op: dict[str, Any] = {"op": "create_snap", "thin": number, "origin": device}
            alive.append(number)
        elif kind == "create" and len(alive) < 6:
            op = {"op": "create_thin", "thin": number}
            alive.append(number)
        elif kind == "delete" and len(alive) > 1:
            op = {"op": "delete", "thin": device}
            alive.remove(device)
        elif kind == "discard":
            offset = draw.randrange(thin_size // (4 * KIB)) * 4 * KIB
            length = min(draw.choice([4 * KIB, chunk, 3 * chunk + 4 * KIB, 40 * chunk]), thin_size - offset)
            op = {"op": "discard", "thin": device, "offset": offset, "length": length}
        else:
            op = {"op": "write", "thin": device, "extents": extents(draw, chunk, thin_size)}
        steps.append({"title": f"{number}: {op['op']} {op['thin']}", "ops": [op]})
    steps.append({"title": "end", "ops": [{"op": "thin_dump", "file": "thin_dump-end.xml"}]})
    return {"pool": {"chunk_size_bytes": chunk, "data_size_bytes": 1280 * MIB // chunk * chunk,
                     "metadata_size_bytes": 16 * MIB, "features": features},
            "thin_size_bytes": thin_size, "steps": steps}


def extents(draw: random.Random, chunk: int, thin_size: int) -> list[list[int]]:
    """4 KiB aligned; mostly small, some of whole blocks, some across blocks; at most 40 MiB allocated."""
    found = []
    for _ in range(draw.randrange(1, 40 * MIB // chunk // 4 + 2)):
        length = draw.choice([4 * KIB, 4 * KIB, 16 * KIB, chunk, 2 * chunk, chunk + 8 * KIB])
        align = chunk if length % chunk == 0 else 4 * KIB
        found.append([draw.randrange((thin_size - length) // align + 1) * align, length])
    return found


def as_case(program: dict[str, Any], seen: list[dict[str, str]], folder: Path) -> None:
    """The program and what the kernel said, in the format of the recorded cases."""
    folder.mkdir()
    chunk_sectors = program["pool"]["chunk_size_bytes"] // 512
    steps = []
    for number, (step, told) in enumerate(zip(program["steps"], seen, strict=True)):
        ops = []
        for op in step["ops"]:
            if op["op"] == "write":
                log = f"{number:02d}-thin{op['thin']}.iolog.gz"
                lines = ["fio version 2 iolog"]
                lines += [f"/dev/thin write {offset} {length}" for offset, length in op["extents"]]
                (folder / log).write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
                op = {"op": "write", "thin": op["thin"], "iolog": log}
            ops.append(op)
        status = told["pool"].strip().partition(": ")[2]
        used = [int(part.split("/")[0]) for part in status.split()[4:6]]
        mapped = {line.partition(":")[0].removeprefix("labtest-thin"): int(line.split()[4]) // chunk_sectors
                  for line in told["thins"].splitlines() if line.strip()}
        steps.append({"title": step["title"], "ops": ops, "expect": {
            "used_metadata_blocks": used[0], "used_data_blocks": used[1], "mapped_blocks": mapped, "status": status}})
    (folder / "case.json").write_text(json.dumps({
        "case": folder.name, "description": "a random program", "pool": program["pool"],
        "thin_size_bytes": program["thin_size_bytes"], "steps": steps}, indent=1))


@pytest.mark.parametrize("number", range(PROGRAMS))
def test_the_kernel_does_to_a_fresh_random_program_what_the_model_says(
        machine: Machine, cli: Any, tmp_path: Path, number: int) -> None:
    seed = time.time_ns() + number
    print(f"random program of seed {seed}")
    program = random_program(seed)
    done = machine.run(["python3", SCRIPT, VM_DISKS.pool, FOLDER], stdin=json.dumps(program).encode(), timeout=600)
    case = tmp_path / f"seed-{seed}"
    as_case(program, [json.loads(line) for line in done.stdout.splitlines()], case)
    dumped = machine.run(["cat", f"{FOLDER}/thin_dump-end.xml"], timeout=120).stdout
    (case / "thin_dump-end.xml").write_text(dumped)

    replayed = cli("replay", str(case), "--json", "--thin-dump", str(tmp_path / "model.xml"))
    assert replayed.returncode == 0, replayed.stdout[-6000:] + replayed.stderr
    document = json.loads(replayed.stdout)
    print(f"metadata at most {document['metadata_error_max_blocks']} blocks off")
    for step in document["steps"]:
        empty = PoolMetadata(program["pool"]["metadata_size_bytes"] // 4096,
                             program["pool"]["data_size_bytes"] // program["pool"]["chunk_size_bytes"]).used_blocks
        expected = step["expect"]["used_metadata_blocks"]
        allowed = max(LEAST_METADATA_ERROR_BLOCKS, METADATA_ERROR_SHARE * (expected - empty))
        assert abs(step["used_metadata_blocks"] - expected) <= allowed, step["title"]

    kernel, model = read_thin_dump(case / "thin_dump-end.xml"), read_thin_dump(tmp_path / "model.xml")
    assert kernel.superblock.time == model.superblock.time
    assert set(kernel.thins) == set(model.thins)
    for device_id, thin in kernel.thins.items():
        other = model.thins[device_id]
        np.testing.assert_array_equal(thin.virtual_blocks, other.virtual_blocks)
        np.testing.assert_array_equal(thin.data_blocks, other.data_blocks)
        np.testing.assert_array_equal(thin.times, other.times)
        assert thin.device.snapshot_time == other.device.snapshot_time

    put(machine, f"{FOLDER}/model.xml", (tmp_path / "model.xml").read_bytes())
    machine.run(["dd", "if=/dev/zero", f"of={METADATA}", "bs=1M", "count=16", "status=none"])
    machine.run(["thin_restore", "-q", "-i", f"{FOLDER}/model.xml", "-o", METADATA])
    machine.run(["thin_check", "-q", METADATA])
    machine.run(["rm", METADATA])
