"""Docker's daemon: its configuration, its start, and how long a command in the machine takes."""

from __future__ import annotations

import json
import re

from lab.errors import OutputRefused
from lab.readers.docker_info import DockerInfo, parse_docker_info
from lab.rig.machine import GUEST_FOLDER, Machine


def daemon_without_network(dockerd: str) -> bytes:
    """A drop-in for docker.service: the daemon of that path leaves the network alone, and containers have none."""
    return f"""\
# Of thinpool-lab, for the time of a run: the daemon leaves the network alone.
[Service]
ExecStart=
ExecStart={dockerd} -H fd:// --containerd=/run/containerd/containerd.sock \
--bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false
""".encode()


def start_daemon(machine: Machine, driver: str, options: list[str]) -> tuple[DockerInfo, float]:
    """Configures and starts dockerd.  Returns what it says of itself, and the seconds by the machine's clock.

    Raises CommandFailed, and ReaderError where it does not answer.
    """
    configuration = {"storage-driver": driver, "storage-opts": options}
    machine.run(["install", "-D", "-m", "0644", "/dev/stdin", "/etc/docker/daemon.json"],
                stdin=(json.dumps(configuration, indent=2) + "\n").encode())
    seconds = timed(machine, ["systemctl", "start", "docker.service"], timeout=300)
    return parse_docker_info(machine.run(["docker", "info", "--format", "{{json .}}"]).stdout), seconds


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
