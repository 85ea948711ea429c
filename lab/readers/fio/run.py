"""What a run of fio did: its jobs, their directions and latencies, the disks below; and why a number is missing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lab.errors import ReaderError
from lab.readers.fio.histogram import check_fraction, percentile_from_bins

if TYPE_CHECKING:
    import pandas as pd

Direction = Literal["read", "write", "trim", "sync", "mixed"]
LatencyKind = Literal["slat", "clat", "lat"]

DIRECTIONS: tuple[Direction, ...] = ("read", "write", "trim", "sync", "mixed")
"""``sync`` is fsync and fdatasync; ``mixed`` replaces read, write and trim under unified_rw_reporting."""

LATENCY_KINDS: tuple[LatencyKind, ...] = ("slat", "clat", "lat")


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution of latencies, in seconds.

    ``percentiles`` maps a fraction (0.99) to seconds, as fio printed them; ``bins`` maps the
    middle of a histogram's bin, in seconds, to its count, and is empty unless fio wrote json+.
    ``samples`` is None where an older fio does not tell it.
    """

    samples: int | None
    min_seconds: float
    max_seconds: float
    mean_seconds: float
    stddev_seconds: float
    percentiles: Mapping[float, float]
    bins: Mapping[float, int]


@dataclass(frozen=True, slots=True)
class DirectionStats:
    """What one direction of one job did.

    ``sync`` counts calls and their latencies only: bytes, rates and runtime are None.
    Rates and runtime are None too when the whole direction took less than fio's clock tick of 1 ms.
    """

    direction: Direction
    total_ios: int
    io_bytes: int | None
    runtime_seconds: float | None
    bandwidth_bytes_per_second: float | None
    iops: float | None
    short_ios: int | None
    dropped_ios: int | None
    slat: Latency | None
    clat: Latency | None
    lat: Latency | None


@dataclass(frozen=True, slots=True)
class FioJob:
    """One job (or one group of jobs, under group_reporting).

    ``error`` is an errno, 0 for none; ``total_errors`` is known under continue_on_error only.
    CPU use is in percent of the job's runtime, faults and context switches are counts.
    ``directions`` holds only the directions that did I/O.
    """

    name: str
    source: str
    groupid: int | None
    error: int
    total_errors: int | None
    elapsed_seconds: float | None
    runtime_seconds: float | None
    options: Mapping[str, str]
    global_options: Mapping[str, str]
    directions: Mapping[str, DirectionStats]
    usr_cpu_percent: float | None
    sys_cpu_percent: float | None
    context_switches: int | None
    major_faults: int | None
    minor_faults: int | None

    @property
    def read(self) -> DirectionStats | None:
        """Reads, or None if there were none."""
        return self.directions.get("read")

    @property
    def write(self) -> DirectionStats | None:
        """Writes, or None if there were none."""
        return self.directions.get("write")

    @property
    def trim(self) -> DirectionStats | None:
        """Trims (discards), or None if there were none."""
        return self.directions.get("trim")

    @property
    def sync(self) -> DirectionStats | None:
        """fsync and fdatasync calls, or None if there were none (end_fsync is not counted by fio)."""
        return self.directions.get("sync")

    def option(self, name: str) -> str | None:
        """The job's own option, else the global one, else None (fio's default was used)."""
        return self.options.get(name, self.global_options.get(name))

    def stats(self, direction: Direction) -> DirectionStats:
        """The statistics of a direction.  Raises ReaderError if the job did no such I/O."""
        found = self.directions.get(direction)
        if found is None:
            did = ", ".join(self.directions) or "nothing"
            raise ReaderError(f"job {self.name!r} did no {direction}; it did {did}", where=self.source)
        return found

    def bandwidth_bytes_per_second(self, direction: Direction) -> float:
        """Bytes per second.  Raises ReaderError if that was not measured, and says why."""
        stats = self.stats(direction)
        if stats.bandwidth_bytes_per_second is None:
            raise ReaderError(_why_no_rate(self, stats), where=self.source)
        return stats.bandwidth_bytes_per_second

    def latency(self, direction: Direction, kind: LatencyKind | None = None) -> Latency:
        """The latencies of a direction: completion (``clat``) unless told otherwise, ``lat`` for sync.

        Raises ReaderError if none were measured, and says why.
        """
        stats = self.stats(direction)
        kind = kind or _default_kind(direction)
        found: Latency | None = getattr(stats, kind)
        if found is None:
            raise ReaderError(_why_no_latency(self, stats, kind), where=self.source)
        return found

    def percentile(self, direction: Direction, fraction: float, kind: LatencyKind | None = None) -> float:
        """Latency in seconds that ``fraction`` (0 to 1) of the I/Os did not exceed.

        From the histogram if fio wrote json+, else from the percentiles that it printed.
        Raises ReaderError if no latencies were measured (and says why), or if fio did not print
        that percentile; ValueError if fraction is outside 0 to 1.
        """
        latency = self.latency(direction, kind)
        check_fraction(fraction)
        if latency.bins:
            return percentile_from_bins(latency.bins, fraction)
        for printed, seconds in latency.percentiles.items():
            if math.isclose(printed, fraction, abs_tol=1e-9):
                return seconds
        has = ", ".join(f"{printed:g}" for printed in latency.percentiles) or "none"
        what = f"job {self.name!r} {direction} {kind or _default_kind(direction)}"
        raise ReaderError(f"{what}: percentile {fraction:g} was not printed; printed: {has}", where=self.source,
                          remedy="run fio with --output-format=json+")


@dataclass(frozen=True, slots=True)
class DiskUtil:
    """A block device's counters over the run (fio's ``disk_util``); ``utilisation`` is a fraction.

    fio samples them a few times a second and prints zeros for a run that was shorter.  All zero thus
    means idle or not sampled, and nothing tells which: such a device is left out of ``FioRun.disk_util``.
    """

    name: str
    read_ios: int
    write_ios: int
    read_merges: int
    write_merges: int
    read_seconds: float
    write_seconds: float
    in_queue_seconds: float
    utilisation: float


@dataclass(frozen=True, slots=True)
class FioRun:
    """One JSON document of fio.

    ``timestamp`` is in seconds since 1970.  ``messages`` are lines that fio printed outside of the
    document, such as ``fio: io_u error on file …: No space left on device``.
    """

    source: str
    version: str
    timestamp: float | None
    global_options: Mapping[str, str]
    jobs: tuple[FioJob, ...]
    disk_util: tuple[DiskUtil, ...]
    messages: tuple[str, ...]

    @property
    def failed_jobs(self) -> tuple[FioJob, ...]:
        """The jobs that ended with an error."""
        return tuple(job for job in self.jobs if job.error)

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """One line for each rate or latency that a job's I/O should have and fio did not measure."""
        return tuple(
            line for job in self.jobs for stats in job.directions.values() for line in _unmeasured_lines(job, stats)
        )

    def job(self, name: str) -> FioJob:
        """The only job of that name.  Raises ReaderError if there is none, or several (numjobs)."""
        found = [job for job in self.jobs if job.name == name]
        if len(found) != 1:
            names = ", ".join(repr(job.name) for job in self.jobs)
            raise ReaderError(f"{len(found)} jobs are named {name!r}; jobs: {names}", where=self.source)
        return found[0]

    def to_frame(self) -> pd.DataFrame:
        """Tidy rows: job, direction, metric, value, unit, job_index (one name can stand for several jobs).

        What was not measured has no row.  Metrics: io_bytes, total_ios, runtime, bandwidth, iops,
        and for each kind of latency ``clat_mean``, ``clat_min``, ``clat_max``, ``clat_stddev``,
        ``clat_p99`` (as printed by fio).
        """
        import pandas as pd

        columns = ["job", "direction", "metric", "value", "unit", "job_index"]
        rows = [
            (job.name, stats.direction, metric, float(value), unit, index)
            for index, job in enumerate(self.jobs)
            for stats in job.directions.values()
            for metric, value, unit in _metrics(stats)
            if value is not None
        ]
        return pd.DataFrame(rows, columns=columns)


def _default_kind(direction: str) -> LatencyKind:
    return "lat" if direction == "sync" else "clat"


def _why_no_rate(job: FioJob, stats: DirectionStats) -> str:
    what = f"job {job.name!r} {stats.direction}"
    if stats.direction == "sync":
        return f"{what} has no bandwidth: fio counts these calls and their latency only"
    return f"{what}: {stats.io_bytes} bytes in a runtime of 0 ms: bandwidth and IOPS are not known"


def _why_no_latency(job: FioJob, stats: DirectionStats, kind: str) -> str:
    what = f"job {job.name!r}"
    if stats.direction == "sync":
        return f"{what}: fio measures lat of sync, not {kind}"
    if _is_on(job.option("gtod_reduce")):
        return f"{what} ran with gtod_reduce, no latencies were measured"
    if _is_on(job.option(f"disable_{kind}")):
        return f"{what} ran with disable_{kind}, no {kind} was measured"
    if kind == "slat":
        return f"{what} {stats.direction}: no slat was measured, as with any synchronous ioengine"
    return f"{what} {stats.direction}: no {kind} was measured (fio counts 0 samples)"


def _is_on(option: str | None) -> bool:
    return option is not None and option.strip().lower() not in {"0", "false"}


def _unmeasured_lines(job: FioJob, stats: DirectionStats) -> Iterator[str]:
    if stats.direction != "sync" and stats.bandwidth_bytes_per_second is None:
        yield _why_no_rate(job, stats)
    kind = _default_kind(stats.direction)
    if getattr(stats, kind) is None:
        yield _why_no_latency(job, stats, kind)


def _metrics(stats: DirectionStats) -> Iterator[tuple[str, float | None, str]]:
    yield "io_bytes", stats.io_bytes, "bytes"
    yield "total_ios", stats.total_ios, "1"
    yield "runtime", stats.runtime_seconds, "s"
    yield "bandwidth", stats.bandwidth_bytes_per_second, "bytes/s"
    yield "iops", stats.iops, "1/s"
    for kind in LATENCY_KINDS:
        latency: Latency | None = getattr(stats, kind)
        if latency is not None:
            yield f"{kind}_mean", latency.mean_seconds, "s"
            yield f"{kind}_min", latency.min_seconds, "s"
            yield f"{kind}_max", latency.max_seconds, "s"
            yield f"{kind}_stddev", latency.stddev_seconds, "s"
            for fraction, seconds in latency.percentiles.items():
                yield f"{kind}_p{fraction * 100:.10g}", seconds, "s"
