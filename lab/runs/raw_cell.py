"""A cell's raw folder -> the rows of its two tables.

Reading is apart from running, so that a mended reader can read old runs again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from lab import metrics
from lab.errors import ReaderError
from lab.readers.dmsetup import PoolStatus, parse_first_status
from lab.readers.fio import DirectionStats, read_fio
from lab.readers.fio.fields import get_count, get_field
from lab.readers.pool_block import block_bytes
from lab.readers.proc import parse_diskstats, parse_meminfo
from lab.runs.raw_told import Record, ToldCell, ToldPhase, checked, read_boundaries, read_cell, read_samples
from lab.runs.records import MEASURED
from lab.scenario.arms import ARM
from lab.storages.catalogue import find_storage
from lab.units import METADATA_BLOCK_BYTES

Row = dict[str, Any]
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}
_COUNTERS = ("disk_written", "disk_read", "disk_discarded", "spare_written", "spare_read", "spare_discarded")
"""What only rises while a machine is up."""


@dataclass(frozen=True)
class CellRows:
    measurements: list[Row]
    samples: list[Row]
    sampler_cpu_seconds: list[float]
    """Processor seconds of each sample after the first."""
    sampler_elapsed_seconds: list[float]


def read_raw_cell(folder: Path, run: str, repetition: int, *, arm: str = ARM, cell: str | None = None) -> CellRows:
    """The rows of one cell's folder.  ``cell``: whose it has to be, where that is known.

    Raises ReaderError where a file is missing, damaged, tells what cannot be, or holds less than the phases need,
    InputError for a storage that is none.
    """
    return checked(str(folder), lambda: _cell_rows(folder, run, repetition, arm, cell))


def _cell_rows(folder: Path, run: str, repetition: int, arm: str, cell: str | None) -> CellRows:
    told = read_cell(folder)
    if cell is not None and told.cell != cell:
        raise ReaderError(f"it is of the cell {told.cell!r}; the run's list has {cell!r} here", where=told.where)
    keys = {"run": run, "cell": told.cell, "storage": told.storage, "target": told.target,
            "workload": told.workload, "repetition": repetition, "arm": arm, "source": MEASURED}
    boundaries = read_boundaries(folder, told)
    samples = read_samples(folder)
    levels = list(_levels(boundaries, told))
    measurements: list[Row] = []
    for number, phase in enumerate(told.phases):
        values = _phase_values(phase, boundaries[number + 1], *levels[number:number + 2])
        if phase.fio_file is not None:
            values += _fio_values(folder / f"{phase.fio_file}.gz")
        measurements += [{**keys, "phase": phase.name, "metric": metric, "value": float(value),
                          "unit": metrics.metric(metric).unit} for metric, value in values]
    return CellRows(measurements, list(_sample_rows(samples, told, keys)),
                    [after.number("cpu") - before.number("cpu") for before, after in pairwise(samples)],
                    [sample.number("elapsed") for sample in samples])


def _levels(records: Sequence[Record], told: ToldCell) -> Iterator[dict[str, float]]:
    """``space_of`` each record.  Raises ReaderError where a counter goes back."""
    before: dict[str, float] = {}
    for record in records:
        values = space_of(record.values, told.kind, told.chunk_size_bytes, where=record.where)
        for name in _COUNTERS:
            if values.get(name, 0) < before.get(name, 0) and name in values:
                raise ReaderError(f"{name} is {values[name]} bytes after {before[name]} in the record before; it only "
                                  "rises while a machine is up", where=record.where)
        yield values
        before = values


def _phase_values(phase: ToldPhase, after: Record, first: Mapping[str, float],
                  last: Mapping[str, float]) -> list[tuple[str, float]]:
    values: list[tuple[str, float]] = []
    for metric, seconds in (("duration", phase.duration_seconds), ("sync_duration", phase.sync_seconds)):
        if seconds is not None:
            values.append((metric, seconds))
    if (written := phase.application_bytes) is not None:
        values.append(("application_bytes", written))
    for metric in ("storage_used", "volume_used", "pool_metadata_used", "pool_data_total", "loop_data_allocated",
                   "host_disk_allocated"):
        if metric in last:
            values.append((metric, last[metric]))
    for metric, level in (("storage_growth", "storage_used"), ("volume_growth", "volume_used"),
                          ("loop_growth", "loop_data_allocated"), ("disk_written", "disk_written"),
                          ("disk_discarded", "disk_discarded"), ("spare_written", "spare_written"),
                          ("host_disk_growth", "host_disk_allocated")):
        if level in first and level in last:
            values.append((metric, last[level] - first[level]))
    if written:
        for metric, level in (("allocation_amplification", "storage_used"), ("write_amplification", "disk_written")):
            if level in first and level in last:
                values.append((metric, (last[level] - first[level]) / written))
    if "inodes_used" in last:
        values.append(("inodes_used", last["inodes_used"]))
    if (sizes := _container_sizes(after)) is not None:
        values.append(("container_size", sizes))
    return values


def _container_sizes(boundary: Record) -> int | None:
    """Sum of the writable layers, as ``docker system df -v`` gives them; None where the daemon said nothing.

    The daemon leaves SizeRw out where it is zero.
    """
    where = boundary.where
    answer = boundary.objects("daemon").get("df")
    if answer is None:
        return None
    if get_count(_object(answer, "the daemon's answer", where), "status", where) != 200:
        return None
    body = get_field(answer, "body", dict, where)
    containers = [] if body.get("Containers") is None else get_field(body, "Containers", list, where)
    return sum(get_count({"SizeRw": 0, **_object(container, "a container", where)}, "SizeRw", where)
               for container in containers)


def space_of(sample: Mapping[str, Any], kind: str, chunk_size_bytes: int | None, *,
             where: str = "<sample>") -> dict[str, float]:
    """Levels and counters of one sample, in bytes (``inodes_used``: a count).

    ``chunk_size_bytes`` is what the pool was made with; None where there is none.  ``where`` names the sample.  Raises
    ReaderError where it is damaged, or the pool's status says otherwise.
    """
    values: dict[str, float] = {}
    for name, mount in get_field(sample, "mounts", dict, where).items():
        blocks, files = (_used(mount, what, where) for what in ("blocks", "files"))
        used = blocks * get_count(mount, "block_bytes", where)
        if name == "volumes":
            values["volume_used"] = used
        elif find_storage(kind).pool is None:
            values["storage_used"] = used
            values["inodes_used"] = files
    if find_storage(kind).pool is not None and (status := get_field({"dmsetup": "", **sample}, "dmsetup", str, where)):
        values |= _pool_space(status, chunk_size_bytes, where)
    loops = get_field({"loops": {}, **sample}, "loops", dict, where)
    for name in loops:
        values[f"loop_{name}_allocated"] = get_count(loops, name, where)
    if sample.get("host_allocated") is not None:
        values["host_disk_allocated"] = get_count(sample, "host_allocated", where)
    disks = parse_diskstats(get_field(sample, "diskstats", str, where), name=f"{where}: diskstats")
    for name, device in get_field(sample, "disks", dict, where).items():
        if not isinstance(device, str) or device not in disks:
            raise ReaderError(f"{device!r:.60}, of {name!r:.60}, is no device of its diskstats", where=where)
        prefix = "disk" if name == "pool" else name
        values[f"{prefix}_written"] = disks[device].written_bytes
        values[f"{prefix}_read"] = disks[device].read_bytes
        if (discarded := disks[device].discarded_bytes) is not None:
            values[f"{prefix}_discarded"] = discarded
    for name in values:
        if not name.isprintable():
            raise ReaderError(f"{name!r:.60} is no name of a disk or loop file", where=where)
    return values


def _used(mount: Any, what: str, where: str) -> int:
    """Of what a file system has, blocks or files, those that are not free."""
    told = _object(mount, "a mount", where)
    there, free = get_count(told, what, where), get_count(told, f"free_{what}", where)
    if free > there:
        raise ReaderError(f"free_{what} is {free}, more than {what}, {there}", where=where)
    return there - free


def _object(told: Any, what: str, where: str) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise ReaderError(f"{what} is {told!r:.60}, not an object", where=where)
    return told


def _pool_space(status: str, chunk_size_bytes: int | None, where: str) -> dict[str, float]:
    statuses = parse_first_status(status, name=f"{where}: dmsetup")
    pools = [told for told in statuses.values() if isinstance(told, PoolStatus)]
    if not pools:
        return {}
    pool = pools[0]
    if pool.used_data_blocks is None or not pool.total_data_blocks or pool.used_metadata_blocks is None:
        return {}       # `Fail`: the kernel gives no counts, and nor do we
    block = block_bytes(pool.length_sectors, pool.total_data_blocks, chunk_size_bytes, where=where)
    return {"storage_used": pool.used_data_blocks * block,
            "pool_data_total": pool.total_data_blocks * block,
            "pool_metadata_used": pool.used_metadata_blocks * METADATA_BLOCK_BYTES}


def _fio_values(path: Path) -> list[tuple[str, float]]:
    values: list[tuple[str, float]] = []
    for job in read_fio(path, allow_job_errors=True).jobs:
        if job.error:
            raise ReaderError(f"job {job.name} ended with error {job.error}", where=str(path))
        for stats in (job.read, job.write):
            if stats is not None:
                values += _direction_values(stats)
        if job.sync is not None and job.sync.lat is not None:
            values.append(("sync_latency_mean", job.sync.lat.mean_seconds))
            values += [(f"sync_latency_{name}", job.percentile("sync", fraction))
                       for name, fraction in _QUANTILES.items()]
    return values


def _direction_values(stats: DirectionStats) -> Iterator[tuple[str, float]]:
    way = stats.direction
    for metric, value in ((f"{way}_bandwidth", stats.bandwidth_bytes_per_second), (f"{way}_iops", stats.iops),
                          ("runtime", stats.runtime_seconds), ("io_bytes", stats.io_bytes)):
        if value is not None:
            yield metric, value
    latency = stats.lat if stats.lat is not None and stats.lat.bins else stats.clat
    if latency is None:
        return
    yield f"{way}_latency_mean", latency.mean_seconds
    for name, fraction in _QUANTILES.items():
        if fraction in latency.percentiles:
            yield f"{way}_latency_{name}", latency.percentiles[fraction]


def _sample_rows(samples: Sequence[Record], told: ToldCell, keys: Mapping[str, Any]) -> Iterator[Row]:
    if not samples:
        return
    start = min(samples[0].t, told.phases[0].began) if told.phases else samples[0].t
    for sample, space in zip(samples, _levels(samples, told), strict=True):
        phase = next((p.name for p in told.phases if p.began <= sample.t <= p.ended), "between")
        values = dict(space)
        memory = parse_meminfo(sample.text("meminfo"), name=f"{sample.where}: meminfo")
        for metric, key in (("memory_available", "MemAvailable"), ("memory_dirty", "Dirty")):
            if key not in memory:
                raise ReaderError(f"meminfo has no {key}", where=sample.where)
            values[metric] = memory[key]
        groups = get_field(sample.values, "cgroups", dict, sample.where).values()
        values["containers_memory"] = sum(get_count(_object(group, "a cgroup", sample.where), "current", sample.where)
                                          for group in groups)
        for metric, value in values.items():
            yield {**keys, "phase": phase, "t_seconds": sample.t - start, "metric": metric,
                   "value": float(value), "unit": metrics.metric(metric).unit}
