"""A cell's raw folder -> the rows of its two tables.

Reading is apart from running, so that a mended reader can read old runs again.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from lab.errors import ReaderError
from lab.metrics import metric
from lab.readers.dmsetup import PoolStatus, parse_first_status
from lab.readers.fio import DirectionStats, read_fio
from lab.readers.pool_block import block_bytes
from lab.readers.proc import parse_diskstats, parse_meminfo
from lab.runs.records import MEASURED
from lab.scenario.arms import ARM
from lab.storages.catalogue import find_storage
from lab.units import METADATA_BLOCK_BYTES

Row = dict[str, Any]
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}


@dataclass(frozen=True)
class CellRows:
    measurements: list[Row]
    samples: list[Row]
    sampler_cpu_seconds: list[float]
    """Processor seconds of each sample after the first."""
    sampler_elapsed_seconds: list[float]


def read_raw_cell(folder: Path, run: str, repetition: int, *, arm: str = ARM) -> CellRows:
    """The rows of one cell's folder.

    Raises ReaderError where a file is missing, damaged, or holds less than the phases need, InputError for a storage
    that is none.
    """
    told = _json(folder / "cell.json")
    find_storage(told["kind"], where=str(folder / "cell.json"))
    keys = {"run": run, "cell": told["cell"], "storage": told["storage"], "target": told["target"],
            "workload": told["workload"], "repetition": repetition, "arm": arm, "source": MEASURED}
    boundaries = list(_lines(folder / "boundaries.jsonl.gz"))
    samples = list(_lines(folder / "samples.jsonl.gz"))
    phases = told["phases"]
    if len(boundaries) != len(phases) + 1:
        raise ReaderError(f"{len(boundaries)} boundary records for {len(phases)} phases", where=str(folder))
    measurements: list[Row] = []
    for number, phase in enumerate(phases):
        values = _phase_values(phase, told, boundaries[number], boundaries[number + 1])
        if phase["fio_file"]:
            values += _fio_values(folder / f"{phase['fio_file']}.gz")
        measurements += [{**keys, "phase": phase["name"], "metric": name, "value": float(value),
                          "unit": metric(name).unit} for name, value in values]
    return CellRows(measurements, list(_sample_rows(samples, told, keys)),
                    [after["cpu"] - before["cpu"] for before, after in pairwise(samples)],
                    [sample["elapsed"] for sample in samples])


def _phase_values(phase: Mapping[str, Any], told: Mapping[str, Any], before: Mapping[str, Any],
                  after: Mapping[str, Any]) -> list[tuple[str, float]]:
    values: list[tuple[str, float]] = []
    for name, key in (("duration", "duration_seconds"), ("sync_duration", "sync_seconds")):
        if phase[key] is not None:
            values.append((name, phase[key]))
    if (written := phase["application_bytes"]) is not None:
        values.append(("application_bytes", written))
    first, last = (space_of(one, told["kind"], told["chunk_size_bytes"]) for one in (before, after))
    for name in ("storage_used", "volume_used", "pool_metadata_used", "pool_data_total", "loop_data_allocated",
                 "host_disk_allocated"):
        if name in last:
            values.append((name, last[name]))
    for name, level in (("storage_growth", "storage_used"), ("volume_growth", "volume_used"),
                        ("loop_growth", "loop_data_allocated"), ("disk_written", "disk_written"),
                        ("disk_discarded", "disk_discarded"), ("spare_written", "spare_written"),
                        ("host_disk_growth", "host_disk_allocated")):
        if level in first and level in last:
            values.append((name, last[level] - first[level]))
    if written:
        for name, level in (("allocation_amplification", "storage_used"), ("write_amplification", "disk_written")):
            if level in first and level in last:
                values.append((name, (last[level] - first[level]) / written))
    if "inodes_used" in last:
        values.append(("inodes_used", last["inodes_used"]))
    if (sizes := _container_sizes(after)) is not None:
        values.append(("container_size", sizes))
    return values


def _container_sizes(boundary: Mapping[str, Any]) -> int | None:
    """Sum of the writable layers, as ``docker system df -v`` gives them; None where the daemon said nothing.

    The daemon leaves SizeRw out where it is zero.
    """
    answer = boundary.get("daemon", {}).get("df")
    if answer is None or answer["status"] != 200:
        return None
    return sum(int(container.get("SizeRw", 0)) for container in answer["body"]["Containers"] or [])


def space_of(sample: Mapping[str, Any], kind: str, chunk_size_bytes: int | None) -> dict[str, float]:
    """Levels and counters of one sample, in bytes (``inodes_used``: a count).

    ``chunk_size_bytes`` is what the pool was made with; None where there is none.  Raises ReaderError where the
    pool's status says otherwise.
    """
    values: dict[str, float] = {}
    for name, mount in sample["mounts"].items():
        used = (mount["blocks"] - mount["free_blocks"]) * mount["block_bytes"]
        if name == "volumes":
            values["volume_used"] = used
        elif find_storage(kind).pool is None:
            values["storage_used"] = used
            values["inodes_used"] = mount["files"] - mount["free_files"]
    if find_storage(kind).pool is not None and sample.get("dmsetup"):
        values |= _pool_space(sample["dmsetup"], chunk_size_bytes)
    for name, allocated in sample.get("loops", {}).items():
        values[f"loop_{name}_allocated"] = allocated
    if (allocated := sample.get("host_allocated")) is not None:
        values["host_disk_allocated"] = allocated
    disks = parse_diskstats(sample["diskstats"])
    for name, device in sample["disks"].items():
        prefix = "disk" if name == "pool" else name
        values[f"{prefix}_written"] = disks[device].written_bytes
        values[f"{prefix}_read"] = disks[device].read_bytes
        if (discarded := disks[device].discarded_bytes) is not None:
            values[f"{prefix}_discarded"] = discarded
    return values


def _pool_space(status: str, chunk_size_bytes: int | None) -> dict[str, float]:
    statuses = parse_first_status(status)
    pools = [told for told in statuses.values() if isinstance(told, PoolStatus)]
    if not pools:
        return {}
    pool = pools[0]
    if pool.used_data_blocks is None or not pool.total_data_blocks or pool.used_metadata_blocks is None:
        return {}       # `Fail`: the kernel gives no counts, and nor do we
    block = block_bytes(pool.length_sectors, pool.total_data_blocks, chunk_size_bytes)
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
    for name, value in ((f"{way}_bandwidth", stats.bandwidth_bytes_per_second), (f"{way}_iops", stats.iops),
                        ("runtime", stats.runtime_seconds), ("io_bytes", stats.io_bytes)):
        if value is not None:
            yield name, value
    latency = stats.lat if stats.lat is not None and stats.lat.bins else stats.clat
    if latency is None:
        return
    yield f"{way}_latency_mean", latency.mean_seconds
    for name, fraction in _QUANTILES.items():
        if fraction in latency.percentiles:
            yield f"{way}_latency_{name}", latency.percentiles[fraction]


def _sample_rows(samples: list[dict[str, Any]], told: Mapping[str, Any], keys: Mapping[str, Any]) -> Iterator[Row]:
    if not samples:
        return
    phases = told["phases"]
    start = min(samples[0]["t"], phases[0]["began"]) if phases else samples[0]["t"]
    for sample in samples:
        phase = next((p["name"] for p in phases if p["began"] <= sample["t"] <= p["ended"]), "between")
        values = space_of(sample, told["kind"], told["chunk_size_bytes"])
        memory = parse_meminfo(sample["meminfo"])
        values["memory_available"] = memory["MemAvailable"]
        values["memory_dirty"] = memory["Dirty"]
        values["containers_memory"] = sum(group["current"] for group in sample["cgroups"].values())
        for name, value in values.items():
            yield {**keys, "phase": phase, "t_seconds": sample["t"] - start, "metric": name, "value": float(value),
                   "unit": metric(name).unit}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ReaderError(f"cannot be read: {error}", where=str(path)) from None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(path, "rt") as file:
            lines = file.read().splitlines()
    except (OSError, EOFError) as error:
        raise ReaderError(f"cannot be read: {error}", where=str(path)) from None
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except ValueError:
            if number == len(lines):
                return              # the sampler was ended while it wrote this line
            raise ReaderError("damaged line", where=f"{path}:{number}") from None
