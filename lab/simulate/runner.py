"""A scenario -> the model -> the same run folder that a measured run has, with ``source = simulated``.

Blocks, cells, their order and their seeds are those of the measured run, so that a simulated cell finds the storage as
the measured one did, and draws the same random places.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from lab.errors import InputError
from lab.metrics import metric
from lab.model.container.host import CellFailed, Host, PhaseRecord, Process
from lab.model.drivers.face import build_storage
from lab.model.drivers.storage import Levels, PoolFull
from lab.model.filesystems.image_content import ImageContent
from lab.model.filesystems.xfs_geometry import LARGEST_CHUNK_BYTES
from lab.model.parameters import Parameters, storage_kind
from lab.model.times.device_time import JobCounts, JobTimes, LatencyEstimate
from lab.readers.fio_job import parse_fio_jobs
from lab.readers.image_archive import box_image, image_of
from lab.runs.asked import cell_records, scenario_ref
from lab.runs.files import make_output_folder, told_as_output, write_atomically
from lab.runs.provenance import lab_ref
from lab.runs.records import SIMULATED, CellResult, Failure, MachineRecord, Manifest
from lab.runs.store import Row, RunWriter
from lab.scenario.order import Arms, Block, Job, plan_repetition
from lab.scenario.scenario import Cell, FioWorkload, HostSpec, MachineSpec, Scenario, StepsWorkload
from lab.units import format_bytes

Progress = Callable[[int, int, str], None]
"""Called with cells done, cells in all, and the next cell's id."""

ACCELERATOR = SIMULATED
"""A manifest's ``machine.accelerator`` where no machine ran."""


def check_expressible(scenario: Scenario, only: Sequence[str] = ()) -> None:
    """Raises InputError where the model cannot express the scenario, or the cells asked for: says which and why."""
    if isinstance(scenario.machine, HostSpec):
        raise InputError("the machine is a host of yours, whose disk's size the model does not know",
                         where=str(scenario.path), remedy="name the lab's own VM, with its pool_disk")
    if slowed := [spec.label for spec in scenario.storages if spec.throttle is not None]:
        raise InputError(f"storage {slowed[0]}: the model knows no throttle", where=str(scenario.path),
                         remedy="delete throttle, or measure it: `lab run`")
    if large := [spec for spec in scenario.storages if (spec.chunk_size_bytes or 0) > LARGEST_CHUNK_BYTES]:
        raise InputError(f"storage {large[0].label}: chunk_size {format_bytes(large[0].chunk_size_bytes or 0)} cannot "
                         f"be simulated; up to {format_bytes(LARGEST_CHUNK_BYTES)} allowed", where=str(scenario.path),
                         remedy="take a smaller one, or measure it: `lab run`")
    for workload in {cell.workload.name: cell.workload for cell in scenario.cells()
                     if not only or cell.id in only}.values():
        if isinstance(workload, FioWorkload):
            parse_fio_jobs(workload.jobs_text, workload.jobs)
        elif not isinstance(workload, StepsWorkload):
            raise InputError(f"workload {workload.name}: the model does not know what a {workload.kind} writes",
                             where=str(scenario.path), remedy="describe its work in steps, or measure it: `lab run`")


def simulate(scenario: Scenario, folder: Path, parameters: Parameters, *, repetitions: int, only: Sequence[str],
             progress: Progress) -> Manifest:
    """Writes the run.  Raises InputError as ``check_expressible`` does, and where ``only`` names no cell."""
    check_expressible(scenario, only)
    writer, began, started = RunWriter(folder), time.monotonic(), _now()
    write_atomically(folder / "scenario.yaml", scenario.text)
    results: list[CellResult] = []
    total = repetitions * len([cell for cell in scenario.cells() if not only or cell.id in only])
    for told in simulated_cells(scenario, parameters, range(1, repetitions + 1), run=folder.name, only=only):
        job, error = told.job, told.error
        progress(len(results), total, job.cell_id)
        result = CellResult(cell=job.cell_id, repetition=job.repetition, arm=job.arm, key=job.key,
                            status="failed" if error else "done", error=error, started_utc=_now(), seconds=0.0)
        writer.begin(job.key)
        writer.finish(result, told.measurements, told.samples)
        results.append(result)
    machine = scenario.machine
    assert isinstance(machine, MachineSpec)
    manifest = Manifest(
        run=folder.name, status="complete", scenario=scenario_ref(scenario), lab=lab_ref(),
        machine=_machine_record(machine), versions={"parameters": digest_of(parameters)}, clock=[],
        seed=scenario.seed, repetitions=repetitions, order=[result.key for result in results], started_utc=started,
        ended_utc=_now(), cells=cell_records(scenario), results=results,
        seconds={"simulation": round(time.monotonic() - began, 3)})
    writer.close(manifest)
    return manifest


@dataclass(frozen=True)
class SimulatedCell:
    """One cell of one repetition: its rows, or why it failed."""

    job: Job
    measurements: list[Row]
    samples: list[Row]
    error: Failure | None


def simulated_cells(scenario: Scenario, parameters: Parameters, repetitions: Iterable[int], *, run: str,
                    only: Sequence[str] = ()) -> Iterator[SimulatedCell]:
    """Each cell as it is done, build by build.  Raises InputError as ``check_expressible`` does."""
    check_expressible(scenario, only)
    machine = scenario.machine
    assert isinstance(machine, MachineSpec)
    place = f"{ACCELERATOR}-{digest_of(parameters)[:12]}"
    for repetition in repetitions:
        for block in plan_repetition(Arms(scenario), place, repetition, only=only):
            yield from _run_block(block, scenario, machine, parameters, run)


def digest_of(parameters: Parameters) -> str:
    """SHA-256 of what decides a simulation, whatever file and runs it came from."""
    values = parameters.model_dump(mode="json", include={"log", "timing", "service"})
    return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _run_block(block: Block, scenario: Scenario, machine: MachineSpec, parameters: Parameters,
               run: str) -> Iterator[SimulatedCell]:
    """The cells of one build; after one that failed the storage is built anew, as the runner does it."""
    host: Host | None = None
    for job in block.jobs:
        assert job.cell is not None
        workload = job.cell.workload
        keys = {"run": run, "cell": job.cell_id, "storage": job.cell.storage.label, "target": job.cell.target,
                "workload": workload.name, "repetition": job.repetition, "arm": job.arm, "source": SIMULATED}
        try:
            host = host or _built(block, machine, parameters)
            image = image_of(workload)
            host.storage.load(image)
            host.run_cell(_process(host, job.cell, image, scenario.seed + job.repetition, parameters))
        except (CellFailed, PoolFull) as failure:
            said = "the pool is too small for the images" if isinstance(failure, PoolFull) else str(failure)
            host = None
            yield SimulatedCell(job, [], [], Failure(kind=type(failure).__name__, argv=[], returncode=None,
                                                     output=said))
        else:
            yield SimulatedCell(job, list(_measurements(host, keys)), list(_samples(host, keys)), None)


def _built(block: Block, machine: MachineSpec, parameters: Parameters) -> Host:
    """The storage with the box's images that its cells need.  Raises PoolFull where they do not fit."""
    storage = build_storage(block.setup.storage, machine.pool_disk_bytes, parameters.log)
    for name in sorted({job.cell.workload.image for job in block.jobs
                        if job.cell is not None and job.cell.workload.image_file is None}):
        storage.load(box_image(name))
    return Host(storage, parameters.timing)


def _process(host: Host, cell: Cell, image: ImageContent, seed: int, parameters: Parameters) -> Process:
    volume, workload = cell.target == "volume", cell.workload
    if isinstance(workload, StepsWorkload):
        return host.steps(workload, image, seed, volume=volume)
    assert isinstance(workload, FioWorkload)
    kind = f"{storage_kind(cell.storage.storage)} {cell.target}"
    if kind not in parameters.service:
        raise InputError(f"the parameters have no service times for {kind}",
                         remedy="calibrate on a run with fio jobs there")
    return host.fio(parse_fio_jobs(workload.jobs_text, workload.jobs), workload.repeats, image, seed,
                    parameters.service[kind], volume=volume)


def _measurements(host: Host, keys: Row) -> Iterator[Row]:
    for phase in host.phases:
        for name, value in _phase_values(phase):
            yield {**keys, "phase": phase.name, "metric": name, "value": float(value), "unit": metric(name).unit}


def _phase_values(phase: PhaseRecord) -> Iterator[tuple[str, float]]:
    """The metrics of ``lab.runs.raw_cell`` that the model has, in its order."""
    outcome = phase.outcome
    if outcome.seconds is not None:
        yield "duration", outcome.seconds
    yield "sync_duration", phase.sync_seconds
    if outcome.application_bytes is not None:
        yield "application_bytes", outcome.application_bytes
    before, after = _levels(phase.before), _levels(phase.after)
    yield from after.items()
    growth = after["storage_used"] - before["storage_used"]
    yield "storage_growth", growth
    yield "volume_growth", after["volume_used"] - before["volume_used"]
    if outcome.application_bytes:
        yield "allocation_amplification", growth / outcome.application_bytes
    if outcome.job is not None and outcome.counts is not None:
        yield from _job_values(outcome.job, outcome.counts)


def _job_values(job: JobTimes, counts: JobCounts) -> Iterator[tuple[str, float]]:
    """fio's own, but for p99.9: real tails are longer than the model's."""
    for way, rate, iops, moved, latency in (
            ("read", job.read_bandwidth, job.read_iops, counts.read_bytes, job.read_latency),
            ("write", job.write_bandwidth, job.write_iops, counts.written_bytes, job.write_latency)):
        if rate is not None and iops is not None:
            yield f"{way}_bandwidth", rate
            yield f"{way}_iops", iops
            yield "runtime", job.seconds
            yield "io_bytes", moved
            yield from _latencies(way, latency)
    if counts.syncs > 1:             # of one sync at the job's end, fio tells no latency
        yield from _latencies("sync", job.sync_latency)


def _latencies(way: str, told: LatencyEstimate | None) -> Iterator[tuple[str, float]]:
    if told is not None:
        for name, value in (("mean", told.mean), ("p50", told.p50), ("p95", told.p95), ("p99", told.p99)):
            yield f"{way}_latency_{name}", value


def _samples(host: Host, keys: Row) -> Iterator[Row]:
    start = host.samples[0].at if host.samples else 0.0
    for sample in host.samples:
        for name, value in _levels(sample.levels).items():
            yield {**keys, "phase": sample.phase, "t_seconds": sample.at - start, "metric": name,
                   "value": float(value), "unit": metric(name).unit}


def _levels(levels: Levels) -> dict[str, int]:
    known = {"storage_used": levels.storage_used, "volume_used": levels.volume_used,
             "pool_metadata_used": levels.pool_metadata_used, "pool_data_total": levels.pool_data_total}
    return {name: value for name, value in known.items() if value is not None}


def _machine_record(machine: MachineSpec) -> MachineRecord:
    return MachineRecord(emulated=False, accelerator=ACCELERATOR, cpu_model="none", cpus=machine.cpus,
                         memory_bytes=machine.memory_bytes, box="none", disks=machine.disks,
                         pool_disk_bytes=machine.pool_disk_bytes, spare_disk_bytes=machine.spare_disk_bytes,
                         cache="none", host_kernel=platform.release(), host_cpus=os.cpu_count() or 0)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_folder(results: Path, scenario: Scenario) -> Path:
    """A folder for a new simulated run: the scenario's name and the time, UTC.  Made.

    Raises InputError where it cannot be.
    """
    folder = results / f"{scenario.name}-simulated-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    make_output_folder(results)
    with told_as_output(folder, "the folder cannot be made"):
        folder.mkdir()
    return folder
