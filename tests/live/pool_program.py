"""Runs inside the machine, as root: does to a real thin pool what a program says, and tells what the kernel shows.

usage: pool_program.py DISK FOLDER < program.json

The program: ``pool`` and ``thin_size_bytes`` as in a recorded case, and ``steps`` of ``ops``, whose writes have
``extents`` [[offset, length], ...] in place of an I/O log.  Prints a line of JSON a step: the status lines.
Writes are O_DIRECT, one at a time.  ``thin_dump`` goes to ``FOLDER/thin_dump-end.xml``.
"""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
from typing import Any

SECTOR = 512
METADATA, DATA, POOL = "labtest-metadata", "labtest-data", "labtest-pool"
FIRST_SECTOR = 8 * 2**20 // SECTOR


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def create(name: str, table: str) -> None:
    run("dmsetup", "create", name, "--table", table)


def build(disk: str, program: dict[str, Any]) -> None:
    pool = program["pool"]
    metadata, data = pool["metadata_size_bytes"] // SECTOR, pool["data_size_bytes"] // SECTOR
    create(METADATA, f"0 {metadata} linear {disk} {FIRST_SECTOR}")
    create(DATA, f"0 {data} linear {disk} {FIRST_SECTOR + metadata}")
    run("dd", "if=/dev/zero", f"of=/dev/mapper/{METADATA}", "bs=4096", "count=1", "oflag=direct", "status=none")
    features = pool["features"]
    words = [f"0 {data} thin-pool", f"/dev/mapper/{METADATA}", f"/dev/mapper/{DATA}",
             str(pool["chunk_size_bytes"] // SECTOR), "0", str(len(features)), *features]
    create(POOL, " ".join(words))


def message(text: str) -> None:
    run("dmsetup", "message", POOL, "0", text)


def thin(device_id: int) -> str:
    return f"labtest-thin{device_id}"


def activate(device_id: int, size_bytes: int) -> None:
    create(thin(device_id), f"0 {size_bytes // SECTOR} thin /dev/mapper/{POOL} {device_id}")


def write(device_id: int, extents: list[list[int]]) -> None:
    buffer = mmap.mmap(-1, max(length for _, length in extents))
    buffer.write(os.urandom(4096))
    view = memoryview(buffer)
    descriptor = os.open(f"/dev/mapper/{thin(device_id)}", os.O_RDWR | os.O_DIRECT)
    for offset, length in extents:
        if os.pwrite(descriptor, view[:length], offset) != length:
            raise SystemExit(f"short write at {offset}")
    os.close(descriptor)


def do(op: dict[str, Any], size_bytes: int, folder: str) -> None:
    kind, device_id = op["op"], op.get("thin")
    if kind == "create_thin":
        message(f"create_thin {device_id}")
        activate(op["thin"], size_bytes)
    elif kind == "create_snap":
        origin = thin(op["origin"])
        run("dmsetup", "suspend", origin)
        message(f"create_snap {device_id} {op['origin']}")
        run("dmsetup", "resume", origin)
        activate(op["thin"], size_bytes)
    elif kind == "delete":
        run("dmsetup", "remove", "--retry", thin(op["thin"]))
        message(f"delete {device_id}")
    elif kind == "discard":
        run("blkdiscard", "-o", str(op["offset"]), "-l", str(op["length"]), f"/dev/mapper/{thin(op['thin'])}")
    elif kind == "write":
        write(op["thin"], op["extents"])
    elif kind == "thin_dump":
        message("reserve_metadata_snap")
        with open(os.path.join(folder, op["file"]), "w") as out:
            subprocess.run(["thin_dump", "-m", f"/dev/mapper/{METADATA}"], check=True, stdout=out)
        message("release_metadata_snap")
    else:
        raise SystemExit(f"unknown op {kind}")


def remove_all() -> None:
    names = [line.split()[0] for line in run("dmsetup", "ls").splitlines() if line.startswith("labtest-")]
    for name in sorted(names, key=lambda name: ("thin" not in name, name != POOL)):
        run("dmsetup", "remove", "--retry", name)


def main() -> None:
    disk, folder = sys.argv[1:]
    program = json.load(sys.stdin)
    os.makedirs(folder, exist_ok=True)
    remove_all()
    build(disk, program)
    try:
        for step in program["steps"]:
            for op in step["ops"]:
                do(op, program["thin_size_bytes"], folder)
            lines = run("dmsetup", "status", "--target", "thin-pool"), run("dmsetup", "status", "--target", "thin")
            print(json.dumps({"pool": lines[0], "thins": lines[1]}), flush=True)
    finally:
        remove_all()


if __name__ == "__main__":
    main()
