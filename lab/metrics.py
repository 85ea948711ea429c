"""What is measured: one entry a metric.  Nothing else tells a metric's unit, direction or wording.

The measurements of a run hold the metrics of phases, and ``daemon_start`` and ``image_load`` of the set-up; its
samples hold levels and counters over time; the gate derives counts of a whole cell.  Pure data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from lab.errors import InputError
from lab.units import METADATA_BLOCK_BYTES

KIB = 1024
WAYS = ("write", "read")
"""How a job moves data."""

STATISTICS = {"mean": "mean", "p50": "p50", "p95": "p95", "p99": "p99", "p999": "p99.9"}
"""What is told of a job's latencies, in a metric's name and in words."""


class Better(StrEnum):
    """Which direction is better."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


class Kind(StrEnum):
    """What sort of number it is; a report has a table for each."""

    BANDWIDTH = "Throughput"
    RATE = "Operations"
    LATENCY = "Latency"
    TIME = "Time"
    SPACE = "Space and bytes"
    NUMBER = "Ratios and counts"


@dataclass(frozen=True)
class Tolerance:
    """How far above the baseline's largest a count may lie: the largest of the three."""

    least_bytes: int
    blocks: int = 0
    """Data blocks of the pool."""
    share: float = 0.0
    """Of the baseline's largest."""

    def size_bytes(self, largest: float, block_bytes: int) -> float:
        """What is tolerated, in bytes, above a baseline's largest (bytes) in a pool with blocks of ``block_bytes``."""
        return max(self.least_bytes, self.blocks * block_bytes, self.share * abs(largest))


@dataclass(frozen=True)
class Metric:
    """``counts`` says what it is."""

    name: str
    kind: Kind
    unit: str
    counts: str
    better: Better = Better.NEITHER
    written: str = ""
    """In words, where these are not the name's own."""
    way: str = ""
    """``write``, ``read`` or ``sync``, where it is of one of these; a job that does none has a zero."""
    statistic: str = ""
    """Of latencies."""
    of_jobs: bool = False
    """Every phase of an fio job that does it has it."""
    of_steps: bool = False
    """Every phase of container steps that it applies to has it."""
    paced: bool = False
    """It grows or shrinks with the speed of the machine while a workload runs."""
    minimum_effect: float | None = None
    """As a timing, the gate takes it for worse from this factor less 1 on; None: not gated unless rules say so."""
    tolerance: Tolerance | None = None
    """As a count, the gate tolerates this; None: not gated unless rules say so."""
    same_work: bool = False
    """It has to be the same on both sides of a gate, or they did different work."""
    may_tolerate: bool = False
    """Rules may gate it as a count."""
    peak: str | None = None
    """The derived metric of a whole cell: the most that it held at the end of a phase."""
    left: str | None = None
    """The derived metric of a whole cell: what its last phase left behind."""

    @property
    def words(self) -> str:
        """How it is written for a person.

        >>> metric("write_latency_p999").words, metric("storage_growth").words
        ('write latency p99.9', 'storage growth')
        """
        return self.written or self.name.replace("_", " ")

    @property
    def higher_is_better(self) -> bool | None:
        """None where neither direction is better.

        >>> [metric(name).higher_is_better for name in ("write_bandwidth", "duration", "io_bytes")]
        [True, False, None]
        """
        return None if self.better is Better.NEITHER else self.better is Better.HIGHER

    @property
    def timing(self) -> bool:
        """Whether rules may gate it as a timing: a job or a step has it, and it grows with time or speed."""
        return self.paced and self.better is not Better.NEITHER and (self.of_jobs or self.of_steps)

    @property
    def count(self) -> bool:
        """Whether it is gated as a count unless rules ignore it."""
        return self.tolerance is not None or self.same_work


def _job(way: str, what: str, unit: str, kind: Kind, counts: str, better: Better, effect: float | None = None,
         statistic: str = "", written: str = "") -> Metric:
    return Metric(f"{way}_{what}", kind, unit, counts, better, written=written, way=way, statistic=statistic,
                  of_jobs=True, paced=True, minimum_effect=effect)


def _latencies(way: str) -> Iterator[Metric]:
    for name, told in STATISTICS.items():
        yield _job(way, f"latency_{name}", "s", Kind.LATENCY, f"from submission to completion of a {way}: {told}",
                   Better.LOWER, 0.10 if name == "p99" else None, name, f"{way} latency {told}")


def _jobs() -> Iterator[Metric]:
    for way in WAYS:
        done = {"write": "wrote", "read": "read"}[way]
        yield _job(way, "bandwidth", "B/s", Kind.BANDWIDTH, f"bytes that fio {done} a second", Better.HIGHER, 0.05)
        yield _job(way, "iops", "1/s", Kind.RATE, f"{way}s that fio ended a second", Better.HIGHER)
        yield from _latencies(way)
    yield from _latencies("sync")
    yield Metric("runtime", Kind.TIME, "s", "how long fio says that its job ran", Better.LOWER, of_jobs=True,
                 paced=True)


_SPACE, _LOWER = Kind.SPACE, Better.LOWER
_WHOLE = Tolerance(64 * KIB, blocks=4, share=0.01)
_WHOLE_VOLUME = Tolerance(64 * KIB, share=0.01)

_EVERY = (
    *_jobs(),
    Metric("duration", Kind.TIME, "s", "a step or a job from its start to its end", _LOWER, of_steps=True, paced=True,
           minimum_effect=0.05),
    Metric("application_bytes", _SPACE, "B", "what the workload itself wrote", of_steps=True, same_work=True),
    Metric("allocation_amplification", Kind.NUMBER, "ratio", "space taken ÷ what the workload wrote", _LOWER,
           of_steps=True),
    Metric("write_amplification", Kind.NUMBER, "ratio", "bytes that reached the disk ÷ what the workload wrote", _LOWER,
           of_steps=True),
    Metric("sync_duration", Kind.TIME, "s", "the sync after a phase", _LOWER, of_jobs=True, of_steps=True, paced=True),
    Metric("storage_growth", _SPACE, "B", "space that a phase took on the storage, below zero what it gave back",
           _LOWER, of_jobs=True, of_steps=True, tolerance=Tolerance(64 * KIB, blocks=2), peak="storage_growth_peak",
           left="storage_growth_left"),
    Metric("volume_growth", _SPACE, "B", "space that a phase took on the volumes' file system, below zero what it gave "
           "back", _LOWER, of_jobs=True, of_steps=True, tolerance=Tolerance(64 * KIB), peak="volume_growth_peak",
           left="volume_growth_left"),
    Metric("storage_used", _SPACE, "B", "space in use on the storage", _LOWER, of_jobs=True, of_steps=True,
           may_tolerate=True),
    Metric("volume_used", _SPACE, "B", "space in use on the volumes' file system", _LOWER, of_jobs=True, of_steps=True,
           may_tolerate=True),
    Metric("disk_written", _SPACE, "B", "bytes that reached the storage's disk", of_jobs=True, of_steps=True,
           may_tolerate=True),
    Metric("spare_written", _SPACE, "B", "bytes that reached the spare disk, which the volumes are on", of_jobs=True,
           of_steps=True, may_tolerate=True),
    Metric("loop_growth", _SPACE, "B", "space that a phase took in the loop device's sparse file", _LOWER,
           may_tolerate=True),
    Metric("io_bytes", _SPACE, "B", "bytes that fio moved", written="bytes moved", may_tolerate=True),
    Metric("pool_metadata_used", _SPACE, "B", "the thin pool's metadata in use", _LOWER, may_tolerate=True,
           peak="pool_metadata_peak"),
    Metric("container_size", _SPACE, "B", "the containers' writable layers, as docker system df tells",
           tolerance=Tolerance(64 * KIB, share=0.01)),
    Metric("disk_discarded", _SPACE, "B", "bytes that the storage's disk was told to forget"),
    Metric("pool_data_total", _SPACE, "B", "size of the thin pool's data"),
    Metric("loop_data_allocated", _SPACE, "B", "what the data's sparse loop file occupies"),
    Metric("host_disk_allocated", _SPACE, "B", "what the disk's file occupies on the host"),
    Metric("host_disk_growth", _SPACE, "B", "space that a phase took in the disk's file on the host", _LOWER),
    Metric("inodes_used", Kind.NUMBER, "count", "inodes in use on the storage's file system", _LOWER),
    Metric("daemon_start", Kind.TIME, "s", "the daemon from its start to its first answer", _LOWER),
    Metric("image_load", Kind.TIME, "s", "docker load of an image", _LOWER),
    # only in samples
    Metric("disk_read", _SPACE, "B", "bytes read from the storage's disk"),
    Metric("spare_read", _SPACE, "B", "bytes read from the spare disk"),
    Metric("spare_discarded", _SPACE, "B", "bytes that the spare disk was told to forget"),
    Metric("loop_metadata_allocated", _SPACE, "B", "what the metadata's sparse loop file occupies"),
    Metric("memory_available", _SPACE, "B", "memory that the guest could still give out", Better.HIGHER),
    Metric("memory_dirty", _SPACE, "B", "pages that wait to be written"),
    Metric("containers_memory", _SPACE, "B", "memory of the containers' control groups", _LOWER),
    # derived by the gate, of a whole cell
    Metric("storage_growth_peak", _SPACE, "B", "the most that a cell took on the storage", _LOWER, tolerance=_WHOLE),
    Metric("storage_growth_left", _SPACE, "B", "what a cell left behind on the storage", _LOWER, tolerance=_WHOLE),
    Metric("volume_growth_peak", _SPACE, "B", "the most that a cell took in volumes", _LOWER, tolerance=_WHOLE_VOLUME),
    Metric("volume_growth_left", _SPACE, "B", "what a cell left behind in volumes", _LOWER, tolerance=_WHOLE_VOLUME),
    Metric("pool_metadata_peak", _SPACE, "B", "the most metadata that a cell had in use", _LOWER,
           tolerance=Tolerance(4 * METADATA_BLOCK_BYTES, share=0.02)),
)

METRICS = {one.name: one for one in _EVERY}

BANDWIDTHS = tuple(one.name for one in _EVERY if one.kind is Kind.BANDWIDTH)
GROWTHS = ("storage_growth", "volume_growth")
TAIL_LATENCIES = tuple(one.name for one in _EVERY if one.statistic == "p99")
SPEEDS = (*BANDWIDTHS, *TAIL_LATENCIES, "duration")
"""What tells one storage's speed from another's; the others repeat these (iops, runtime) or are noisier."""

SPACE = (*GROWTHS, "allocation_amplification", "write_amplification", "disk_written")
"""What tells one storage's space from another's."""


def metric(name: str) -> Metric:
    """The entry.  Raises InputError, with the list, where there is none."""
    found = METRICS.get(name)
    if found is None:
        raise InputError(f"no metric {name!r}", remedy=f"the metrics are {', '.join(METRICS)}")
    return found


def growth_of(target: str) -> str:
    """The metric that tells where a target's work takes its space."""
    return "volume_growth" if target == "volume" else "storage_growth"


def used_of(target: str) -> str:
    """The level whose changes ``growth_of`` tells."""
    return "volume_used" if target == "volume" else "storage_used"
