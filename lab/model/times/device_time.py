"""How long a synchronous job takes: service times that add up, and a lognormal spread around them.

One operation is under way at a time, so that a job's time is the sum of its operations' times and of what lies
between them (the utilisation law with one customer: Lazowska et al., Quantitative System Performance (1984), ch. 3).
Seconds and bytes throughout; no queue, no cache, no other load.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import ClassVar

from pydantic import ConfigDict

QUANTILES = (0.5, 0.95, 0.99, 0.999)
_BISECTIONS = 60


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """What each piece of work takes on one kind of storage and target.  All are 0 or more, ValueError else.

    Every field but ``spread`` enters a job's time linearly, which ``lab.calibration.times`` relies on.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    write_seconds: float = 0.0
    """s for each write, whatever its size.  From rewrites in place with small blocks."""
    write_seconds_per_byte: float = 0.0
    """s/B of a write.  From rewrites in place with large blocks, against those with small ones."""
    read_seconds: float = 0.0
    """s for each read, whatever its size.  From reads with small blocks."""
    read_seconds_per_byte: float = 0.0
    """s/B of a read.  From reads with large blocks, against those with small ones."""
    first_seconds: float = 0.0
    """s that a write takes longer where the file system allocates its bytes: from first small writes ÷ rewrites."""
    first_seconds_per_byte: float = 0.0
    """s/B, the same, by size.  From first large writes, against first small ones, at several data block sizes."""
    provision_seconds: float = 0.0
    """s for each data block that a pool provisions, copies included.  From first writes at several data block sizes."""
    copy_seconds_per_byte: float = 0.0
    """s/B copied: a pool's data block whose sharing ends, overlay2's copy-up, a reflinked block.

    From first writes to a file of the image, against second ones.
    """
    sync_seconds: float = 0.0
    """s for each fdatasync or fsync.  From the latency of fdatasync after each small write."""
    between_seconds: float = 0.0
    """s between two operations, in the job itself, which no latency holds.  From runtime less the latencies' sum."""
    between_seconds_per_byte: float = 0.0
    """s/B written, the same: fio fills its buffers.  From runtime less the latencies' sum, with large blocks."""
    spread: float = 0.0
    """Standard deviation of ln(latency) of one operation, no unit.  From p95 ÷ p50 of rewrites and reads."""

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class JobCounts:
    """What a job does.  Expected values may be fractions; all are 0 or more, ValueError else."""

    reads: float = 0.0
    writes: float = 0.0
    read_bytes: float = 0.0
    written_bytes: float = 0.0
    first_writes: float = 0.0
    """Writes whose bytes the file system allocates; at most ``writes``."""
    first_bytes: float = 0.0
    provisioned_blocks: float = 0.0
    """Data blocks that a pool takes from its free ones, those that it copies included."""
    copied_blocks: float = 0.0
    """Times that a write ends the sharing of a block."""
    copied_bytes: float = 0.0
    copied_up_bytes: float = 0.0
    """Copied when the file is opened, before the first operation and in no latency."""
    syncs: float = 0.0

    def __post_init__(self) -> None:
        _check(self)
        if self.first_writes > self.writes:
            raise ValueError(f"first_writes {self.first_writes} are more than the writes, {self.writes}")

    def times(self, factor: float) -> JobCounts:
        """All counts multiplied."""
        return replace(self, **{each.name: getattr(self, each.name) * factor for each in fields(self)})


@dataclass(frozen=True, slots=True)
class LatencyEstimate:
    """Seconds."""

    mean: float
    p50: float
    p95: float
    p99: float
    p999: float


@dataclass(frozen=True, slots=True)
class JobTimes:
    """A job's prediction: s, B/s and 1/s; None where the job has no such operation, or takes no time.

    Rates are over the whole job, as fio's are.
    """

    seconds: float
    read_bandwidth: float | None
    write_bandwidth: float | None
    read_iops: float | None
    write_iops: float | None
    read_latency: LatencyEstimate | None
    write_latency: LatencyEstimate | None
    sync_latency: LatencyEstimate | None


def read_seconds(times: ServiceTimes, counts: JobCounts) -> float:
    """All reads' latencies together."""
    return counts.reads * times.read_seconds + counts.read_bytes * times.read_seconds_per_byte


def plain_write_seconds(times: ServiceTimes, counts: JobCounts) -> float:
    """All writes' latencies together, without what provisioning and copying add."""
    return (counts.writes * times.write_seconds + counts.written_bytes * times.write_seconds_per_byte
            + counts.first_writes * times.first_seconds + counts.first_bytes * times.first_seconds_per_byte)


def extra_write_seconds(times: ServiceTimes, counts: JobCounts) -> float:
    """What provisioning and copying add to the writes that meet them."""
    return counts.provisioned_blocks * times.provision_seconds + counts.copied_bytes * times.copy_seconds_per_byte


def write_seconds(times: ServiceTimes, counts: JobCounts) -> float:
    """All writes' latencies together."""
    return plain_write_seconds(times, counts) + extra_write_seconds(times, counts)


def sync_seconds(times: ServiceTimes, counts: JobCounts) -> float:
    """All syncs' latencies together."""
    return counts.syncs * times.sync_seconds


def outside_seconds(times: ServiceTimes, counts: JobCounts) -> float:
    """The job's time that is in no latency: copying up when the file is opened, and what lies between operations."""
    return (counts.copied_up_bytes * times.copy_seconds_per_byte
            + (counts.reads + counts.writes) * times.between_seconds
            + counts.written_bytes * times.between_seconds_per_byte)


def job_seconds(times: ServiceTimes, counts: JobCounts) -> float:
    """The job's time, fio's ``runtime``."""
    return (read_seconds(times, counts) + write_seconds(times, counts) + sync_seconds(times, counts)
            + outside_seconds(times, counts))


def within_runtime(times: ServiceTimes, counts: JobCounts, runtime_seconds: float) -> JobCounts:
    """What of a job fits into its runtime: all, or the same share of every count.

    Copying up is not cut: it comes first.  First writes and copies are thickest at a job's start, so that a job that
    is cut short meets more of them than this says.
    """
    opening = replace(counts.times(0.0), copied_up_bytes=counts.copied_up_bytes)
    before, total = job_seconds(times, opening), job_seconds(times, counts)
    if total <= runtime_seconds:
        return counts
    share = max(0.0, runtime_seconds - before) / (total - before) if total > before else 0.0
    return replace(counts.times(share), copied_up_bytes=counts.copied_up_bytes)


def predict(times: ServiceTimes, counts: JobCounts) -> JobTimes:
    """Time, rates and latencies of a job.

    Latencies are lognormal about the mean that the service times fix, exp(mu + spread^2/2) = mean.  Writes are of two
    classes of the same spread: those that provision or copy, one block each until there are no more writes, and the
    ordinary ones; what the file system's allocation adds is spread evenly over both.  Real tails are longer than a
    lognormal's where the machine pauses, so that p99 and above tend to come out too low.
    """
    seconds = job_seconds(times, counts)

    def rate(amount: float) -> float | None:
        return amount / seconds if amount and seconds > 0 else None

    return JobTimes(
        seconds=seconds, read_bandwidth=rate(counts.read_bytes), write_bandwidth=rate(counts.written_bytes),
        read_iops=rate(counts.reads), write_iops=rate(counts.writes),
        read_latency=_latency(read_seconds(times, counts), 0.0, counts.reads, 0.0, times.spread),
        write_latency=_latency(plain_write_seconds(times, counts), extra_write_seconds(times, counts), counts.writes,
                               max(counts.provisioned_blocks, counts.copied_blocks), times.spread),
        sync_latency=_latency(sync_seconds(times, counts), 0.0, counts.syncs, 0.0, times.spread))


def mixture_quantile(classes: tuple[tuple[float, float], ...], spread: float, fraction: float) -> float:
    """Seconds that ``fraction`` of the operations do not exceed.

    ``classes``: (share, mean in seconds) of each, shares adding up to 1, all lognormal of that spread.  By bisection
    of the mixture's distribution on ln(seconds), between the quantiles of its classes.  ValueError where a share or
    the fraction is outside of 0 to 1, or where there is no class.

    >>> mixture_quantile(((1.0, 2.0),), 0.0, 0.5)
    2.0
    """
    kept = sorted((mean, share) for share, mean in classes if share > 0)
    if not kept or not 0 < fraction < 1 or any(share > 1 for _, share in kept):
        raise ValueError(f"{fraction} of {classes}: shares and the fraction lie between 0 and 1")
    if spread == 0 or kept[0][0] == 0:
        reached = 0.0
        for mean, share in kept:
            reached += share
            if reached >= fraction - 1e-12:
                return mean
        return kept[-1][0]
    centres = [(math.log(mean) - spread**2 / 2, share) for mean, share in kept]
    distance = spread * _normal_quantile(fraction)
    low, high = centres[0][0] + distance, centres[-1][0] + distance
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if sum(share * _normal(middle, centre, spread) for centre, share in centres) < fraction:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def _latency(plain: float, extra: float, operations: float, slow: float, spread: float) -> LatencyEstimate | None:
    """The latencies of operations of which ``slow`` share ``extra`` seconds; None where there are none."""
    if operations <= 0:
        return None
    ordinary, slow = plain / operations, min(slow, operations)
    share = slow / operations if extra > 0 else 0.0
    classes = ((1 - share, ordinary), (share, ordinary + extra / slow if share else 0.0))
    return LatencyEstimate((plain + extra) / operations,
                           *(mixture_quantile(classes, spread, fraction) for fraction in QUANTILES))


def _normal(x: float, centre: float, spread: float) -> float:
    return 0.5 * math.erfc((centre - x) / (spread * math.sqrt(2)))


def _normal_quantile(fraction: float) -> float:
    low, high = -40.0, 40.0
    for _ in range(_BISECTIONS + 10):
        middle = (low + high) / 2
        low, high = (middle, high) if _normal(middle, 0.0, 1.0) < fraction else (low, middle)
    return (low + high) / 2


def _check(values: ServiceTimes | JobCounts) -> None:
    for each in fields(values):
        value = getattr(values, each.name)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{each.name} is {value}; allowed: 0 or more")
