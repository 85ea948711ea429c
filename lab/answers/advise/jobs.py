"""From a profile's shares to the measured fio jobs that stand for them, each with its weight.

The jobs are those of scenarios/jobs/, told by their names; a job's second pass, ``name#2``, overwrites what the first
wrote.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.answers.advise.profile import Profile
from lab.scenario.scenario import Target
from lab.scenario.steps import KiB, MiB
from lab.units import format_bytes


@dataclass(frozen=True)
class JobShare:
    """A kind of I/O of the profile, the phase that measures it, and its weight: its share of all reads and writes."""

    kind: str
    phase: str
    metric: str
    block_bytes: int
    weight: float
    size_bytes: int
    """Of the profile's operations."""
    of_image: bool = False
    """In files of the image, which stay in the layer."""

    def target(self, data: Target) -> Target:
        """Where it is done when the containers' own data are in ``data``."""
        return "layer" if self.of_image else data

    @property
    def caveat(self) -> str | None:
        """How the measured job differs from the profile in the size of operations; None where it does not."""
        if self.size_bytes == self.block_bytes:
            return None
        return (f"{self.kind}: the profile's are of {format_bytes(self.size_bytes)}, and {self.phase} has blocks of "
                f"{format_bytes(self.block_bytes)}")


def job_shares(profile: Profile) -> list[JobShare]:
    """The kinds with a weight above zero, the heaviest first; weights are 1 together."""
    reads, writes = profile.reads, profile.writes
    image = writes.share * writes.image
    data = writes.share - image
    waiting = data * writes.sync
    free = data - waiting
    sequential = free * (1 - writes.random)
    scattered = free * writes.random

    def read(kind: str, phase: str, block_bytes: int, weight: float) -> JobShare:
        return JobShare(kind, phase, "read_bandwidth", block_bytes, weight, reads.size_bytes)

    def write(kind: str, phase: str, block_bytes: int, weight: float, of_image: bool = False) -> JobShare:
        return JobShare(kind, phase, "write_bandwidth", block_bytes, weight, writes.size_bytes, of_image)

    every = [
        read("random reads", "rand-read-4k", 4 * KiB, reads.share * reads.random),
        read("sequential reads", "seq-read-1m", MiB, reads.share * (1 - reads.random)),
        write("first writes into files of the image", "image-write-4k", 4 * KiB, image, of_image=True),
        write("writes that wait for the disk", "rand-write-4k-fdatasync", 4 * KiB, waiting),
        write("sequential writes to new places", "seq-write-1m", MiB, sequential * writes.first),
        write("sequential overwrites", "seq-write-1m#2", MiB, sequential * (1 - writes.first)),
        write("random writes to new places", "rand-write-4k", 4 * KiB, scattered * writes.first),
        write("random overwrites", "rand-write-4k#2", 4 * KiB, scattered * (1 - writes.first)),
    ]
    return sorted((one for one in every if one.weight > 0), key=lambda one: (-one.weight, one.phase))
