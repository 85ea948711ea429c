"""The guest's clock against the host's: a clock that lies makes every timing a lie.

Under emulation a guest has been seen to take 822 MHz for 2,594, so that all its
times were three times off.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from lab.errors import RigError
from lab.rig.machine import Machine
from lab.runs.records import ClockCheck

LIMIT = 0.01
"""Beyond this drift timings are refused."""

_MIN_SECONDS = 15.0
_QUESTIONS = 5


@dataclass(frozen=True)
class Clocks:
    """Both clocks at one moment, in seconds; ``noise``: how far apart in time they may have been read."""

    guest: float
    host: float
    noise: float


def read_clocks(machine: Machine) -> Clocks:
    """Asks the guest for its time: the quickest answer of five."""
    pairs = []
    for _ in range(_QUESTIONS):
        before = time.monotonic()
        guest = float(machine.run(["date", "+%s.%N"]).stdout)
        after = time.monotonic()
        pairs.append(Clocks(guest, (before + after) / 2, (after - before) / 2))
    return min(pairs, key=lambda pair: pair.noise)


def drift(began: Clocks, now: Clocks) -> tuple[float, float]:
    """The guest's seconds over the host's, less 1; and how far off that may be from reading the clocks."""
    elapsed = now.host - began.host
    return (now.guest - began.guest) / elapsed - 1, (now.noise + began.noise) / elapsed


def compare_clocks(machine: Machine, began: Clocks) -> ClockCheck:
    """The drift since ``began``, over at least 15 s.

    Raises RigError where it is surely beyond `LIMIT`.
    """
    time.sleep(max(0.0, began.host + _MIN_SECONDS - time.monotonic()))
    now = read_clocks(machine)
    off, doubt = drift(began, now)
    if abs(off) - doubt > LIMIT:
        raise RigError(f"the guest's clock is {off:+.1%} off the host's: timings are refused",
                       remedy="run on a quieter host, and look at tsc_early_khz in vagrant_qemu.rb")
    return ClockCheck(at_utc=datetime.now(UTC).isoformat(timespec="seconds"),
                      guest_seconds=round(now.guest - began.guest, 4), host_seconds=round(now.host - began.host, 4),
                      drift=round(off, 6))
