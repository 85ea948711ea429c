"""The daemon per storage: its configuration, its start, and the proof that it is what was asked."""

from __future__ import annotations

import json
import re

from lab.errors import OutputRefused, StorageMismatch
from lab.readers.docker_info import DockerInfo, parse_docker_info
from lab.rig.machine import GUEST_FOLDER, Machine
from lab.rig.storages import pools
from lab.scenario.scenario import StorageSpec

_BACKING = {"overlay2-ext4": "extfs", "overlay2-xfs": "xfs"}
"""The words of ``docker info`` for the file system below overlay2."""


def daemon_without_network(dockerd: str) -> bytes:
    """A drop-in for docker.service: the daemon of that path leaves the network alone, and containers have none."""
    return f"""\
# Of thinpool-lab, for the time of a run: the daemon leaves the network alone.
[Service]
ExecStart=
ExecStart={dockerd} -H fd:// --containerd=/run/containerd/containerd.sock \
--bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false
""".encode()


def start_daemon(machine: Machine, storage: StorageSpec, options: list[str]) -> tuple[DockerInfo, float]:
    """Configures and starts dockerd, and reads back what it says of itself.

    Returns ``docker info`` and the seconds that the start took inside the machine.
    Raises StorageMismatch where driver, pool, block size or backing file system
    is not what was asked.
    """
    configuration = {"storage-driver": storage.driver, "storage-opts": options}
    machine.run(["install", "-D", "-m", "0644", "/dev/stdin", "/etc/docker/daemon.json"],
                stdin=(json.dumps(configuration, indent=2) + "\n").encode())
    seconds = timed(machine, ["systemctl", "start", "docker.service"], timeout=300)
    info = parse_docker_info(machine.run(["docker", "info", "--format", "{{json .}}"]).stdout)
    refuse_other_storage(info, storage)
    if storage.on_lvm:
        pools.refuse_other_pool(machine, storage)
    elif storage.driver == "overlay2":
        refuse_other_mounts(machine, [pools.DATA_ROOT], storage)
    return info, seconds


def refuse_other_storage(info: DockerInfo, storage: StorageSpec) -> None:
    """Raises StorageMismatch unless ``docker info`` shows the storage that was asked for."""
    seen: list[tuple[str, object, object]] = [("driver", info.driver, storage.driver)]
    if (told := info.devicemapper) is not None:
        seen.append(("block size", told.block_size_bytes, storage.chunk_size_bytes))
        if storage.storage == "loop-lvm":
            seen.append(("data loop file", told.data_loop_file, f"{pools.DATA_ROOT}/devicemapper/devicemapper/data"))
        else:
            seen.append(("pool", told.pool_name, "docker-thinpool"))
            seen.append(("data loop file", told.data_loop_file, None))
    if info.overlay2 is not None:
        seen.append(("backing file system", info.overlay2.backing_filesystem, _BACKING[storage.storage]))
        seen.append(("d_type", info.overlay2.supports_d_type, True))
    for what, got, wanted in seen:
        if got != wanted:
            raise StorageMismatch(f"docker info shows {what} {got!r} where {storage.label} asks for {wanted!r}")


def refuse_other_mounts(machine: Machine, mounts: list[str], storage: StorageSpec) -> None:
    """Raises StorageMismatch unless the file systems are mounted with ``discard`` just where that was asked for."""
    for mount in mounts:
        options = machine.run(["findmnt", "-rno", "OPTIONS", "--mountpoint", mount]).stdout.strip().split(",")
        if ("discard" in options) != storage.discard:
            raise StorageMismatch(f"{mount} is mounted with {','.join(options)!r} where {storage.label} asks for "
                                  f"{'discard' if storage.discard else 'no discard'}")


def timed(machine: Machine, argv: list[str], *, timeout: float) -> float:
    """Runs the command and returns its seconds by the machine's own clock."""
    ran = machine.run(["bash", GUEST_TIMED, *argv], timeout=timeout)
    return timed_seconds(ran.stderr)


GUEST_TIMED = f"{GUEST_FOLDER}/timed.sh"


def timed_seconds(stderr: str) -> float:
    """Seconds that timed.sh reported on the last line of standard error.  Raises OutputRefused where it did not."""
    began, ended = timed_span(stderr)
    return ended - began


def timed_span(stderr: str) -> tuple[float, float]:
    """When a timed command began and ended, by the machine's clock.

    Raises OutputRefused where timed.sh told no time, or an end before the begin or more than 30 days after it.
    """
    last = stderr[-_TIMED_CHARACTERS:].removesuffix("\n").rpartition("\n")[2]
    told = _TIMED.fullmatch(last)
    if told is None:
        raise OutputRefused(f"no time was reported: the last line is {last[-200:]!r}, `timed: BEGAN ENDED` expected")
    began, ended = (float(time.replace(",", ".")) for time in told.groups())
    if not began <= ended <= began + _MOST_SECONDS:
        raise OutputRefused(f"a command began at {began} and ended at {ended} by the machine's clock: not one after "
                            "the other, or more than 30 days")
    return began, ended


_TIMED_CHARACTERS = 1000
_TIMED = re.compile(r"timed: ([0-9]{1,10}[.,][0-9]{1,9}) ([0-9]{1,10}[.,][0-9]{1,9})", re.ASCII)
"""As bash prints its EPOCHREALTIME, with the comma of the machine's language."""
_MOST_SECONDS = 30 * 86400.0
