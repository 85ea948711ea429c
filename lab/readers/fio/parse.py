"""From a JSON document to the records of a run, in bytes and seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lab.errors import ReaderError
from lab.readers.fio.fields import get_count, get_field, get_number, get_optional_count, get_optional_number
from lab.readers.fio.run import DIRECTIONS, LATENCY_KINDS, Direction, DirectionStats, DiskUtil, FioJob, FioRun, Latency

_KIB = 1024
_MOST_NS = 2**64
_KEY = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")


def parse_run(document: Any, messages: tuple[str, ...], where: str, source: str) -> FioRun:
    """The run that one document tells of.

    ``messages`` are the lines before it, ``where`` is its place in ``source``.  Raises ReaderError for a document that
    is not fio's, holds no jobs, or tells something that cannot be.
    """
    version = get_field(document, "fio version", str, where) if "fio version" in document else None
    if version is None:
        keys = ", ".join(list(document)[:5]) or "none"
        raise ReaderError(f"JSON, but not fio's: no 'fio version'; keys: {keys}", where=where)
    if "client_stats" in document:
        raise ReaderError("output of fio --client ('client_stats'); run fio on the machine itself", where=where,
                          remedy="or make one host's of it: jq '.jobs = [.client_stats[] | select(.hostname == "
                                 "\"HOST\")] | del(.client_stats)'")
    jobs = get_field(document, "jobs", list, where)
    if not jobs:
        raise ReaderError("the document has no jobs: fio ran nothing", where=where)
    global_options = _options(document, "global options", where)
    milliseconds, seconds = (get_optional_number(document, key, where) for key in ("timestamp_ms", "timestamp"))
    disks = document.get("disk_util", [])
    if not isinstance(disks, list):
        raise ReaderError(f"'disk_util' is {type(disks).__name__}, not a list", where=where)
    return FioRun(source=source, version=version,
                  timestamp=milliseconds / 1000 if milliseconds is not None else seconds, global_options=global_options,
                  jobs=tuple(_job(job, index, global_options, where, source) for index, job in enumerate(jobs)),
                  disk_util=tuple(disk for told in disks if (disk := _disk(told, where)) is not None),
                  messages=messages)


def _job(job: Any, index: int, global_options: Mapping[str, str], where: str, source: str) -> FioJob:
    if not isinstance(job, dict):
        raise ReaderError(f"job {index} is {type(job).__name__}, not an object", where=where)
    name = get_field(job, "jobname", str, f"{where}: job {index}")
    at = f"{where}: job {name!r}"
    if not any(direction in job for direction in DIRECTIONS):
        raise ReaderError(f"none of {', '.join(DIRECTIONS)} is told", where=at)
    parsed = {direction: _direction(job, direction, at) for direction in DIRECTIONS if direction in job}
    runtime_ms = get_optional_number(job, "job_runtime", at)
    return FioJob(name=name, source=source, groupid=get_optional_count(job, "groupid", at),
                  error=get_count(job, "error", at), total_errors=get_optional_count(job, "total_err", at),
                  elapsed_seconds=get_optional_number(job, "elapsed", at),
                  runtime_seconds=runtime_ms / 1000 if runtime_ms is not None else None,
                  options=_options(job, "job options", at), global_options=global_options,
                  directions={direction: stats for direction, stats in parsed.items() if stats is not None},
                  usr_cpu_percent=get_optional_number(job, "usr_cpu", at),
                  sys_cpu_percent=get_optional_number(job, "sys_cpu", at),
                  context_switches=get_optional_count(job, "ctx", at), major_faults=get_optional_count(job, "majf", at),
                  minor_faults=get_optional_count(job, "minf", at))


def _direction(job: Mapping[str, Any], direction: Direction, at: str) -> DirectionStats | None:
    told = get_field(job, direction, dict, at)
    at = f"{at} {direction}"
    if any(kind in told and f"{kind}_ns" not in told for kind in LATENCY_KINDS):
        raise ReaderError("latencies in microseconds, as fio 2 wrote them; fio 3.0 or later is read", where=at)
    slat, clat, lat = (_latency(told, f"{kind}_ns", at) for kind in LATENCY_KINDS)
    total_ios = get_count(told, "total_ios", at)
    if direction == "sync":
        calls = (lat.samples if lat else None) or total_ios  # fio 3.33 prints total_ios 0 here
        if not calls:
            return None
        return DirectionStats(direction, calls, None, None, None, None, None, None, slat, clat, lat)
    io_bytes, runtime = get_count(told, "io_bytes", at), get_number(told, "runtime", at)
    if not io_bytes and not total_ios:
        return None
    bandwidth = get_number(told, "bw_bytes", at) if "bw_bytes" in told else get_number(told, "bw", at) * _KIB
    iops = get_number(told, "iops", at)
    return DirectionStats(direction=direction, total_ios=total_ios, io_bytes=io_bytes,
                          runtime_seconds=runtime / 1000 if runtime else None,
                          bandwidth_bytes_per_second=bandwidth if runtime else None, iops=iops if runtime else None,
                          short_ios=get_optional_count(told, "short_ios", at),
                          dropped_ios=get_optional_count(told, "drop_ios", at), slat=slat, clat=clat, lat=lat)


def _latency(told: Mapping[str, Any], key: str, at: str) -> Latency | None:
    """None if fio took no samples: it prints zeros then."""
    if key not in told:
        return None
    values, at = get_field(told, key, dict, at), f"{at} {key}"
    samples = get_optional_count(values, "N", at)
    low, high, mean, stddev = (get_number(values, name, at) / 1e9 for name in ("min", "max", "mean", "stddev"))
    if samples == 0 or (samples is None and not high):
        return None
    percentiles = _table(values, "percentile", at, most=100)
    percentiles.pop(0.0, None)      # fio 3.0 and 3.1 fill their list up with "0.00": 0
    bins = _table(values, "bins", at, most=_MOST_NS)
    return Latency(samples=samples, min_seconds=low, max_seconds=high, mean_seconds=mean, stddev_seconds=stddev,
                   percentiles={round(percent / 100, 9): ns / 1e9 for percent, ns in percentiles.items()},
                   bins={ns / 1e9: int(count) for ns, count in bins.items() if count})


def _table(values: Mapping[str, Any], key: str, at: str, most: float) -> dict[float, float]:
    """Numbers by keys that are numbers, in ascending order."""
    if key not in values:
        return {}
    table, at = get_field(values, key, dict, at), f"{at} {key}"
    for name in table:
        if not _KEY.fullmatch(name) or float(name) > most:
            raise ReaderError(f"the key {name[:40]!r} is no number from 0 to {most:g}", where=at)
    keys = {name: float(name) for name in table}
    return {number: get_number(table, name, at) for name, number in sorted(keys.items(), key=lambda item: item[1])}


def _disk(disk: Any, where: str) -> DiskUtil | None:
    at = f"{where}: disk_util"
    if not isinstance(disk, dict):
        raise ReaderError(f"an entry is {type(disk).__name__}, not an object", where=at)
    name = get_field(disk, "name", str, at)
    counters = ("read_ios", "write_ios", "read_ticks", "write_ticks", "in_queue")
    if not any(get_number(disk, counter, at) for counter in counters):
        return None
    return DiskUtil(name=name, read_ios=get_count(disk, "read_ios", at), write_ios=get_count(disk, "write_ios", at),
                    read_merges=get_count(disk, "read_merges", at), write_merges=get_count(disk, "write_merges", at),
                    read_seconds=get_number(disk, "read_ticks", at) / 1000,
                    write_seconds=get_number(disk, "write_ticks", at) / 1000,
                    in_queue_seconds=get_number(disk, "in_queue", at) / 1000,
                    utilisation=get_number(disk, "util", at) / 100)


def _options(values: Mapping[str, Any], key: str, at: str) -> dict[str, str]:
    if key not in values:
        return {}
    return {name: str(value) for name, value in get_field(values, key, dict, at).items()}
