"""Runs inside a container: one piece of file work, timed where it happens.

Prints a line of JSON: seconds, application_bytes.  Data are written through the
page cache and then forced out file by file (fsync), as a careful application does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import time
from collections.abc import Callable

PAGE = 4096
MIB = 1024 * 1024


def force(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def write(options: argparse.Namespace) -> int:
    """New files of equal length, in order."""
    os.makedirs(os.path.join(options.folder, "written"), exist_ok=True)
    share: int = options.bytes // options.files
    files: int = options.files
    block = os.urandom(MIB)
    for index in range(files):
        with open(os.path.join(options.folder, "written", f"{options.tag}-{index}"), "wb") as file:
            left = share
            while left:
                left -= file.write(block[:min(left, MIB)])
            file.flush()
            os.fsync(file.fileno())
    return share * files


def update(options: argparse.Namespace) -> int:
    """Overwrites pages of a file in place, at seeded places, each page at most once."""
    path = os.path.join(options.folder, options.file)
    pages = os.path.getsize(path) // PAGE
    count: int = options.bytes // PAGE
    if count > pages:
        raise SystemExit(f"{path} has {pages} pages of 4 KiB, {count} were to be updated")
    data = os.urandom(PAGE)
    descriptor = os.open(path, os.O_RDWR)
    for page in random.Random(options.seed).sample(range(pages), count):
        os.pwrite(descriptor, data, page * PAGE)
    os.fsync(descriptor)
    os.close(descriptor)
    return count * PAGE


def small_files(options: argparse.Namespace) -> int:
    """Many small files, a hundred a folder."""
    top = os.path.join(options.folder, "small")
    data = os.urandom(options.bytes)
    for index in range(options.files):
        folder = os.path.join(top, str(index // 100))
        if index % 100 == 0:
            os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"{options.tag}-{index}"), "wb") as file:
            file.write(data)
    descriptor = os.open(top, os.O_RDONLY)
    os.fsync(descriptor)                         # the journal's commit takes the new files along
    os.close(descriptor)
    return int(options.bytes * options.files)


def log(options: argparse.Namespace) -> int:
    """Lines to the container's standard output, where the log driver reads them."""
    line = ("x" * (options.bytes - 1) + "\n").encode()
    with open("/proc/1/fd/1", "wb", buffering=0) as out:
        for _ in range(options.files):
            out.write(line)
    return int(len(line) * options.files)


def delete(options: argparse.Namespace) -> None:
    path = os.path.join(options.folder, options.file)
    if os.path.isdir(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)
    force(options.folder)


WORK: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "write": write, "update": update, "small_files": small_files, "log": log, "delete": delete,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", choices=WORK)
    parser.add_argument("--folder", default="/data")
    parser.add_argument("--file", default="")
    parser.add_argument("--bytes", type=int, default=0)
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tag", default="file")
    options = parser.parse_args()
    began = time.monotonic()
    application_bytes = WORK[options.work](options)
    print(json.dumps({"seconds": time.monotonic() - began, "application_bytes": application_bytes}))


if __name__ == "__main__":
    main()
