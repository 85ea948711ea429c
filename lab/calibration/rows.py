"""The measured rows of runs that service times are fitted to, each with the counts of the job behind it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from lab.analysis.pace import paces
from lab.errors import InputError
from lab.model.filesystems.job_counts import FileState, Surface, counts_of
from lab.model.parameters import storage_kind
from lab.model.times.device_time import JobCounts
from lab.model.times.fio_job import FioJob
from lab.readers.fio_job import parse_fio_jobs
from lab.readers.image_archive import image_of
from lab.runs.records import MEASURED, CellRecord
from lab.runs.store import Run
from lab.scenario.arms import ARM
from lab.scenario.phases import phase_name
from lab.scenario.scenario import FioWorkload, Scenario
from lab.storages.catalogue import STORAGES

LATENCIES = ("write_latency_mean", "read_latency_mean", "sync_latency_mean")
METRICS = ("runtime", *LATENCIES)
"""What is fitted, in s: a job's time, and the means of its latencies."""

_P50, _P95 = "latency_p50", "latency_p95"


@dataclass(frozen=True, slots=True)
class Observation:
    """One phase in one repetition; all values in s.

    ``cell`` is the cell's id and ``place`` the storage's label; ``phase`` has its pass, as in ``seq-write-1m#2``.
    ``values``: of METRICS, those that were measured.  ``p95_to_p50``: of its latencies, where there is one kind.
    """

    kind: str
    target: str
    place: str
    cell: str
    phase: str
    repetition: int
    counts: JobCounts
    values: tuple[tuple[str, float], ...]
    p95_to_p50: float | None


def observations(run: Run, scenario: Scenario) -> tuple[Observation, ...]:
    """Every phase of the run's fio cells that was measured.

    Raises InputError where a job is one that no model follows, or where a runtime or io_bytes is missing.
    """
    frame = run.measurements
    frame = frame[(frame["arm"] == ARM) & (frame["source"] == MEASURED)]
    found: list[Observation] = []
    for workload in scenario.workload:
        if not isinstance(workload, FioWorkload):
            continue
        jobs = parse_fio_jobs(workload.jobs_text, workload.jobs)
        files = {path.removeprefix("data/"): length for path, length in image_of(workload).files().items()}
        for (cell, repetition), rows in frame[frame["workload"] == workload.name].groupby(["cell", "repetition"]):
            record = run.manifest.cells[str(cell)]
            surface = _surface(record, from_image=record.target == "layer")
            values = {str(phase): _values(part) for phase, part in rows.groupby("phase")}
            found += _phases(str(cell), int(str(repetition)), record, surface, jobs, workload.repeats, files, values)
    return tuple(found)


def at_one_pace(found: Sequence[Observation]) -> tuple[Observation, ...]:
    """One run's observations as they would be, had every repetition had the pace of the earliest one."""
    times: dict[Hashable, dict[int, float]] = {}
    for one in found:
        for metric, value in one.values:
            times.setdefault((one.cell, one.phase, metric), {})[one.repetition] = value
    pace = paces(times) if times else {}
    return tuple(replace(one, values=tuple((metric, value / pace[one.repetition]) for metric, value in one.values))
                 if one.values else one for one in found)


def _surface(record: CellRecord, *, from_image: bool) -> Surface:
    """A volume lies on a plain file system of its own, whatever the storage is."""
    chunk = record.options.get("chunk_size_bytes")
    if record.target == "volume":
        return Surface(None, "ext4", False)
    return Surface(int(chunk) if chunk is not None else None, STORAGES[record.storage].layers,
                   from_image)


def _phases(cell: str, repetition: int, record: CellRecord, surface: Surface, jobs: Iterable[FioJob], repeats: int,
            files: Mapping[str, int], values: dict[str, dict[str, float]]) -> list[Observation]:
    states: dict[str, FileState] = {}
    found = []
    for number in range(1, repeats + 1):
        for job in jobs:
            phase = phase_name(job.name, number)
            told = values.get(phase)
            if told is None:
                continue
            if "io_bytes" not in told or "runtime" not in told:
                raise InputError(f"{cell} {phase}: no io_bytes or no runtime in repetition {repetition}")
            counts, states[job.filename] = counts_of(job, states.get(job.filename), surface,
                                                     told["io_bytes"] / job.block_bytes, image_files=files)
            found.append(Observation(
                storage_kind(record.storage), record.target, cell.split(".")[0], cell, phase, repetition, counts,
                tuple((metric, told[metric]) for metric in METRICS if told.get(metric, 0) > 0), _tail(told)))
    return found


def _values(rows: pd.DataFrame) -> dict[str, float]:
    """A phase's metrics; both directions' io_bytes are added, the longer runtime counts."""
    values: dict[str, float] = {}
    for metric, value in zip(rows["metric"], rows["value"], strict=True):
        if metric == "io_bytes":
            values[metric] = values.get(metric, 0.0) + float(value)
        elif metric == "runtime":
            values[metric] = max(values.get(metric, 0.0), float(value))
        else:
            values[str(metric)] = float(value)
    return values


def _tail(told: dict[str, float]) -> float | None:
    ways = [way for way in ("read", "write") if told.get(f"{way}_{_P50}", 0) > 0]
    if len(ways) != 1 or f"{ways[0]}_{_P95}" not in told:
        return None
    return told[f"{ways[0]}_{_P95}"] / told[f"{ways[0]}_{_P50}"]
