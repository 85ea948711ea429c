"""fio's JSON, JSON+ and log files.

Formats: fio(1) 3.33, sections "JSON OUTPUT", "JSON+ OUTPUT" and "LOG FILE FORMATS".
Everything is converted once, here: KiB/s to bytes/s, ms and ns to seconds, percentages of a
distribution to fractions.  What fio prints as zero because it was not measured is ``None``.

>>> run = read_fio('{"fio version": "fio-3.33", "jobs": [{"jobname": "a", "error": 0, "read":'
...                ' {"io_bytes": 4096, "bw_bytes": 2048, "iops": 0.5, "runtime": 2000, "total_ios": 1}}]}')
>>> run.jobs[0].read.bandwidth_bytes_per_second, run.jobs[0].write
(2048.0, None)
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from lab.errors import ReaderError
from lab.readers.fio_log import LogKind as LogKind
from lab.readers.fio_log import read_log as read_log
from lab.readers.text_file import load_text

if TYPE_CHECKING:
    import pandas as pd

Direction = Literal["read", "write", "trim", "sync", "mixed"]
LatencyKind = Literal["slat", "clat", "lat"]

DIRECTIONS: tuple[Direction, ...] = ("read", "write", "trim", "sync", "mixed")
"""``sync`` is fsync and fdatasync; ``mixed`` replaces read, write and trim under unified_rw_reporting."""

KIB = 1024
_TOO_LARGE = 2**64
_LATENCY_KINDS: tuple[LatencyKind, ...] = ("slat", "clat", "lat")
_TEXT = re.compile(r"\n|\{|\A(fio|note): ")
_DOCUMENT_START = re.compile(r"^[ \t]*(?=\{)", re.MULTILINE)


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
        _check_fraction(fraction)
        if latency.bins:
            return percentile_from_bins(latency.bins, fraction)
        for printed, seconds in latency.percentiles.items():
            if math.isclose(printed, fraction, abs_tol=1e-9):
                return seconds
        has = ", ".join(f"{printed:g}" for printed in latency.percentiles) or "none"
        what = f"job {self.name!r} {direction} {kind or _default_kind(direction)}"
        raise ReaderError(
            f"{what}: percentile {fraction:g} was not printed; printed: {has}",
            where=self.source,
            remedy="run fio with --output-format=json+",
        )


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


def read_fio(
    path_or_text: str | os.PathLike[str], *, name: str | None = None, allow_job_errors: bool = False
) -> FioRun:
    """Reads the one JSON (or json+) document that a run of fio wrote; a gzipped file is taken too.

    A string that holds a line feed or ``{``, or is a message of fio, is the text itself; any other is
    a path.  ``name``
    stands for the source in messages.  Raises ReaderError for anything but one whole document with
    at least one job, and, unless ``allow_job_errors``, for a job that ended with an error.
    """
    runs = _runs(path_or_text, name, allow_job_errors)
    if len(runs) > 1:
        raise ReaderError(
            f"{len(runs)} JSON documents, one expected: fio was run with --status-interval",
            where=runs[0].source,
            remedy="read_fio_intervals reads them all",
        )
    return runs[0]


def read_fio_intervals(
    path_or_text: str | os.PathLike[str], *, name: str | None = None, allow_job_errors: bool = False
) -> tuple[FioRun, ...]:
    """Reads the concatenated documents of ``fio --status-interval``, oldest first.

    Each counts from the start of its job, and the last one is the final result.  Raises ReaderError
    as ``read_fio`` does.
    """
    return _runs(path_or_text, name, allow_job_errors)


def percentile_from_bins(bins: Mapping[float, int], fraction: float) -> float:
    """Middle of the first bin, in seconds, up to which at least ``fraction`` of the counts lie (as fio counts).

    Raises ReaderError if the histogram is empty, ValueError if fraction is outside 0 to 1.

    >>> percentile_from_bins({0.001: 98, 0.002: 1, 0.5: 1}, 0.99)
    0.002
    """
    _check_fraction(fraction)
    total = sum(bins.values())
    if total <= 0:
        raise ReaderError("the latency histogram is empty: there is no percentile to tell")
    wanted = Fraction(str(fraction)) * total
    counted = 0
    for seconds, count in sorted(bins.items()):
        counted += count
        if count and counted >= wanted:
            return seconds
    raise AssertionError("counts of a histogram do not add up")  # fraction <= 1 is reached by the last bin


def merge_bins(*histograms: Mapping[float, int]) -> dict[float, int]:
    """One histogram (seconds -> count, ascending) of several jobs; fio's bins are the same in each."""
    merged: dict[float, int] = {}
    for bins in histograms:
        for seconds, count in bins.items():
            merged[seconds] = merged.get(seconds, 0) + count
    return dict(sorted(merged.items()))


def _check_fraction(fraction: float) -> None:
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction(={fraction}) must be within 0 and 1, as in 0.99")


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
    for kind in _LATENCY_KINDS:
        latency: Latency | None = getattr(stats, kind)
        if latency is not None:
            yield f"{kind}_mean", latency.mean_seconds, "s"
            yield f"{kind}_min", latency.min_seconds, "s"
            yield f"{kind}_max", latency.max_seconds, "s"
            yield f"{kind}_stddev", latency.stddev_seconds, "s"
            for fraction, seconds in latency.percentiles.items():
                yield f"{kind}_p{fraction * 100:.10g}", seconds, "s"


# --- from bytes to documents


def _load(path_or_text: str | os.PathLike[str], name: str | None) -> tuple[str, str]:
    """(text, name of the source)"""
    if isinstance(path_or_text, str) and (not path_or_text or _TEXT.search(path_or_text)):
        source, text = name or "<text>", path_or_text
    else:
        source = name or os.fspath(path_or_text)
        text = load_text(os.fspath(path_or_text), source)
    if not text.strip():
        raise ReaderError("empty: fio wrote nothing; did it start?", where=source)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ReaderError("not text: it holds a NUL byte; is it binary?", where=f"{source}:{line}")
    return text, source


def _runs(path_or_text: str | os.PathLike[str], name: str | None, allow_job_errors: bool) -> tuple[FioRun, ...]:
    text, source = _load(path_or_text, name)
    documents, trailing = _documents(text, source)
    runs = [_run(document, messages, f"{source}:{line}", source) for document, messages, line in documents]
    if trailing:
        runs[-1] = replace(runs[-1], messages=runs[-1].messages + trailing)
    failed = {job.name: job.error for run in runs for job in run.failed_jobs}
    if failed and not allow_job_errors:
        ended = "; ".join(f"job {job!r} ended with error {error} ({_strerror(error)})" for job, error in failed.items())
        raise ReaderError(ended, where=source, remedy="allow_job_errors=True reads it all the same")
    return tuple(runs)


def _strerror(error: int) -> str:
    return os.strerror(error) if error < 4096 else "no errno"


def _documents(text: str, source: str) -> tuple[list[tuple[Any, tuple[str, ...], int]], tuple[str, ...]]:
    """The documents with the messages before each and the line it starts at; and the messages after the last."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    documents: list[tuple[Any, tuple[str, ...], int]] = []
    position = 0
    while (start := _DOCUMENT_START.search(text, position)) is not None:
        line = text.count("\n", 0, start.end()) + 1
        try:
            document, end = decoder.raw_decode(text, start.end())
        except json.JSONDecodeError as error:
            raise _broken(text, start.end(), line, error, len(documents), source) from None
        except (ValueError, RecursionError) as error:
            raise ReaderError(f"malformed JSON: {error}", where=f"{source}:{line}") from None
        documents.append((document, _message_lines(text[position : start.start()]), line))
        position = end
    rest = _message_lines(text[position:])
    if not documents:
        raise ReaderError(_why_no_document(rest[0]), where=f"{source}:1", remedy="run fio with --output-format=json")
    stray = next((line for line in rest if line[0] in '{}[]",'), None)
    if stray is not None:
        raise ReaderError(f"malformed JSON: {stray[:60]!r} follows the end of the document", where=source)
    return documents, rest


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is no number; fio measured nothing there")


def _message_lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _why_no_document(first: str) -> str:
    if first.startswith("fio: ") or first.startswith("note: "):
        return f"fio printed messages and no JSON document: {first[:200]}"
    return f"not fio's JSON: it starts with {first[:60]!r}, not with '{{'"


def _broken(
    text: str, start: int, start_line: int, error: json.JSONDecodeError, whole: int, source: str
) -> ReaderError:
    before = f" ({whole} whole documents before it)" if whole else ""
    rest = text[error.pos :].strip()
    at_end = not rest or error.msg.startswith("Unterminated string") or re.fullmatch(r"[-+.\w]{1,20}", rest)
    if at_end and _open_brackets(text, start):
        last = text.rstrip().count("\n") + 1
        return ReaderError(
            f"truncated JSON: the document that starts at line {start_line} is not closed{before}",
            where=f"{source}:{last}",
        )
    found = f", found {rest.splitlines()[0][:60]!r}" if rest else ""
    return ReaderError(f"malformed JSON: {error.msg}{found}{before}", where=f"{source}:{error.lineno}")


def _open_brackets(text: str, start: int) -> bool:
    bare = re.sub(r'"(\\.|[^"\\])*("|$)', "", text[start:])
    return bare.count("{") + bare.count("[") > bare.count("}") + bare.count("]")


# --- from documents to records


def _run(document: Any, messages: tuple[str, ...], where: str, source: str) -> FioRun:
    version = _field(document, "fio version", str, where) if "fio version" in document else None
    if version is None:
        keys = ", ".join(list(document)[:5]) or "none"
        raise ReaderError(f"JSON, but not fio's: no 'fio version'; keys: {keys}", where=where)
    if "client_stats" in document:
        raise ReaderError("output of fio --client ('client_stats'); run fio on the machine itself", where=where)
    jobs = _field(document, "jobs", list, where)
    if not jobs:
        raise ReaderError("the document has no jobs: fio ran nothing", where=where)
    global_options = _options(document, "global options", where)
    milliseconds, seconds = (_optional(document, key, where) for key in ("timestamp_ms", "timestamp"))
    disks = document.get("disk_util", [])
    if not isinstance(disks, list):
        raise ReaderError(f"'disk_util' is {type(disks).__name__}, not a list", where=where)
    return FioRun(
        source=source,
        version=version,
        timestamp=milliseconds / 1000 if milliseconds is not None else seconds,
        global_options=global_options,
        jobs=tuple(_job(job, index, global_options, where, source) for index, job in enumerate(jobs)),
        disk_util=tuple(disk for told in disks if (disk := _disk(told, where)) is not None),
        messages=messages,
    )


def _job(job: Any, index: int, global_options: Mapping[str, str], where: str, source: str) -> FioJob:
    if not isinstance(job, dict):
        raise ReaderError(f"job {index} is {type(job).__name__}, not an object", where=where)
    name = _field(job, "jobname", str, f"{where}: job {index}")
    at = f"{where}: job {name!r}"
    if not any(direction in job for direction in DIRECTIONS):
        raise ReaderError(f"none of {', '.join(DIRECTIONS)} is told", where=at)
    parsed = {direction: _direction(job, direction, at) for direction in DIRECTIONS if direction in job}
    runtime_ms = _optional(job, "job_runtime", at)
    return FioJob(
        name=name,
        source=source,
        groupid=_optional_count(job, "groupid", at),
        error=_count(job, "error", at),
        total_errors=_optional_count(job, "total_err", at),
        elapsed_seconds=_optional(job, "elapsed", at),
        runtime_seconds=runtime_ms / 1000 if runtime_ms is not None else None,
        options=_options(job, "job options", at),
        global_options=global_options,
        directions={direction: stats for direction, stats in parsed.items() if stats is not None},
        usr_cpu_percent=_optional(job, "usr_cpu", at),
        sys_cpu_percent=_optional(job, "sys_cpu", at),
        context_switches=_optional_count(job, "ctx", at),
        major_faults=_optional_count(job, "majf", at),
        minor_faults=_optional_count(job, "minf", at),
    )


def _direction(job: Mapping[str, Any], direction: Direction, at: str) -> DirectionStats | None:
    told = _field(job, direction, dict, at)
    at = f"{at} {direction}"
    if any(kind in told and f"{kind}_ns" not in told for kind in _LATENCY_KINDS):
        raise ReaderError("latencies in microseconds, as fio 2 wrote them; fio 3.0 or later is read", where=at)
    slat, clat, lat = (_latency(told, f"{kind}_ns", at) for kind in _LATENCY_KINDS)
    total_ios = _count(told, "total_ios", at)
    if direction == "sync":
        calls = (lat.samples if lat else None) or total_ios  # fio 3.33 prints total_ios 0 here
        if not calls:
            return None
        return DirectionStats(direction, calls, None, None, None, None, None, None, slat, clat, lat)
    io_bytes, runtime = _count(told, "io_bytes", at), _number(told, "runtime", at)
    if not io_bytes and not total_ios:
        return None
    bandwidth = _number(told, "bw_bytes", at) if "bw_bytes" in told else _number(told, "bw", at) * KIB
    iops = _number(told, "iops", at)
    return DirectionStats(
        direction=direction,
        total_ios=total_ios,
        io_bytes=io_bytes,
        runtime_seconds=runtime / 1000 if runtime else None,
        bandwidth_bytes_per_second=bandwidth if runtime else None,
        iops=iops if runtime else None,
        short_ios=_optional_count(told, "short_ios", at),
        dropped_ios=_optional_count(told, "drop_ios", at),
        slat=slat,
        clat=clat,
        lat=lat,
    )


def _latency(told: Mapping[str, Any], key: str, at: str) -> Latency | None:
    """None if fio took no samples: it prints zeros then."""
    if key not in told:
        return None
    values, at = _field(told, key, dict, at), f"{at} {key}"
    samples = _optional_count(values, "N", at)
    low, high, mean, stddev = (_number(values, name, at) / 1e9 for name in ("min", "max", "mean", "stddev"))
    if samples == 0 or (samples is None and not high):
        return None
    percentiles = _table(values, "percentile", at)
    bins = _table(values, "bins", at)
    return Latency(
        samples=samples,
        min_seconds=low,
        max_seconds=high,
        mean_seconds=mean,
        stddev_seconds=stddev,
        percentiles={round(percent / 100, 9): ns / 1e9 for percent, ns in percentiles.items()},
        bins={ns / 1e9: int(count) for ns, count in bins.items() if count},
    )


def _table(values: Mapping[str, Any], key: str, at: str) -> dict[float, float]:
    if key not in values:
        return {}
    table, at = _field(values, key, dict, at), f"{at} {key}"
    try:
        keys = {name: float(name) for name in table}
    except ValueError as error:
        raise ReaderError(f"a key is no number: {error}", where=at) from None
    return {number: _number(table, name, at) for name, number in sorted(keys.items(), key=lambda item: item[1])}


def _disk(disk: Any, where: str) -> DiskUtil | None:
    at = f"{where}: disk_util"
    if not isinstance(disk, dict):
        raise ReaderError(f"an entry is {type(disk).__name__}, not an object", where=at)
    name = _field(disk, "name", str, at)
    counters = ("read_ios", "write_ios", "read_ticks", "write_ticks", "in_queue")
    if not any(_number(disk, counter, at) for counter in counters):
        return None
    return DiskUtil(
        name=name,
        read_ios=_count(disk, "read_ios", at),
        write_ios=_count(disk, "write_ios", at),
        read_merges=_count(disk, "read_merges", at),
        write_merges=_count(disk, "write_merges", at),
        read_seconds=_number(disk, "read_ticks", at) / 1000,
        write_seconds=_number(disk, "write_ticks", at) / 1000,
        in_queue_seconds=_number(disk, "in_queue", at) / 1000,
        utilisation=_number(disk, "util", at) / 100,
    )


def _options(values: Mapping[str, Any], key: str, at: str) -> dict[str, str]:
    if key not in values:
        return {}
    return {name: str(value) for name, value in _field(values, key, dict, at).items()}


def _field(values: Any, key: str, kind: type, at: str) -> Any:
    if key not in values:
        raise ReaderError(f"{key!r} is missing", where=at)
    if not isinstance(values[key], kind):
        raise ReaderError(f"{key!r} is {values[key]!r:.60}, not of type {kind.__name__}", where=at)
    return values[key]


def _number(values: Mapping[str, Any], key: str, at: str) -> float:
    if key not in values:
        raise ReaderError(f"{key!r} is missing", where=at)
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _TOO_LARGE:
        raise ReaderError(f"{key!r} is {value!r:.60}, not a number of 0 or more", where=at)
    return float(value)


def _optional(values: Mapping[str, Any], key: str, at: str) -> float | None:
    return _number(values, key, at) if key in values else None


def _count(values: Mapping[str, Any], key: str, at: str) -> int:
    number = _number(values, key, at)
    if number != int(number):
        raise ReaderError(f"{key!r} is {number}, not a whole number", where=at)
    return int(values[key])


def _optional_count(values: Mapping[str, Any], key: str, at: str) -> int | None:
    return _count(values, key, at) if key in values else None
