"""Runs inside the machine: a line of JSON a second, verbatim where a text is to be had.

It must not change what it measures: ``dmsetup status --noflush`` neither
flushes nor commits metadata, nothing is written to the disks under test, and
the daemon is not asked (but for ``--once --docker``, between phases).

usage: sampler.py --disk pool=/dev/disk/by-id/virtio-pool --mount layers=/var/lib/docker
       [--loops FOLDER] [--out FILE] [--once [--docker]]
"""

from __future__ import annotations

import argparse
import glob
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

MEMINFO = ("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "Dirty", "Writeback", "Slab", "SReclaimable")


def read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def pair(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    if not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, path


def command(*argv: str) -> dict[str, Any]:
    done = subprocess.run(argv, capture_output=True, text=True)
    return {"argv": argv, "returncode": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def disk_lines(disks: Sequence[tuple[str, str]]) -> tuple[dict[str, str], str]:
    names = {name: os.path.basename(os.path.realpath(path)) for name, path in disks}
    wanted = set(names.values())
    lines = [line for line in read("/proc/diskstats").splitlines(True) if line.split()[2] in wanted]
    return names, "".join(lines)


def space(path: str) -> dict[str, int]:
    at = os.statvfs(path)
    return {"block_bytes": at.f_frsize, "blocks": at.f_blocks, "free_blocks": at.f_bfree,
            "files": at.f_files, "free_files": at.f_ffree}


def cgroups() -> dict[str, Any]:
    found = {}
    for folder in glob.glob("/sys/fs/cgroup/system.slice/docker-*.scope"):
        name = os.path.basename(folder)[len("docker-"):-len(".scope")]
        with suppress(OSError):             # the container has just ended
            found[name] = {"current": int(read(os.path.join(folder, "memory.current"))),
                           "stat": read(os.path.join(folder, "memory.stat"))}
    return found


def sample(options: argparse.Namespace) -> dict[str, Any]:
    began = time.monotonic()
    names, diskstats = disk_lines(options.disk)
    taken: dict[str, Any] = {"t": time.time(), "disks": names, "diskstats": diskstats}
    if glob.glob("/sys/block/dm-*"):
        taken["dmsetup"] = command("dmsetup", "status", "--noflush")["stdout"]
    taken["mounts"] = {name: space(path) for name, path in options.mount if os.path.ismount(path)}
    if options.loops and os.path.isdir(options.loops):
        taken["loops"] = {entry.name: entry.stat().st_blocks * 512
                          for entry in os.scandir(options.loops) if entry.is_file()}
    taken["meminfo"] = "".join(line for line in read("/proc/meminfo").splitlines(True)
                               if line.split(":")[0] in MEMINFO)
    taken["cgroups"] = cgroups()
    taken["elapsed"] = time.monotonic() - began
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    taken["cpu"] = sum(use.ru_utime + use.ru_stime for use in spent)
    return taken


class DockerSocket(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect("/var/run/docker.sock")


def ask(path: str) -> dict[str, Any]:
    connection = DockerSocket("localhost")
    connection.request("GET", "/v1.41" + path)
    answer = connection.getresponse()
    return {"status": answer.status, "body": json.loads(answer.read() or b"null")}


def daemon() -> dict[str, Any]:
    try:
        # /system/df has what `docker ps -s` shows, too: asked for once, since the daemon walks every layer for it
        told: dict[str, Any] = {"info": ask("/info"), "df": ask("/system/df")}
    except OSError as error:
        told = {"error": str(error)}
    if any(read(uuid).startswith("LVM-") for uuid in glob.glob("/sys/block/dm-*/dm/uuid")):
        told["lvs"] = command("lvs", "-a", "--reportformat", "json", "--units", "b",
                              "-o", "+seg_monitor,chunk_size,lv_metadata_size")
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--disk", type=pair, action="append", default=[])
    parser.add_argument("--mount", type=pair, action="append", default=[])
    parser.add_argument("--loops")
    parser.add_argument("--out")
    parser.add_argument("--every", type=float, default=1.0)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--docker", action="store_true")
    options = parser.parse_args()
    if options.once:
        taken = sample(options)
        if options.docker:
            taken["daemon"] = daemon()
        taken["ended"] = time.time()
        print(json.dumps(taken))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with open(options.out, "a", buffering=1, encoding="utf-8") as out:
        due = time.monotonic()
        while True:
            out.write(json.dumps(sample(options)) + "\n")
            due = max(due + options.every, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
