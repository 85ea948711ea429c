"""A scenario -> the model -> the same run folder that a measured run has, with ``source = simulated``.

Blocks, cells, their order and their seeds are those of the measured run, so that a simulated cell finds the storage as
the measured one did, and draws the same random places.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from lab.errors import InputError
from lab.model.host import CellFailed, Host, PhaseRecord, Process
from lab.model.image_content import ImageContent
from lab.model.parameters import Parameters
from lab.model.storage import Levels, PoolFull, build_storage
from lab.order import Arms, Block, Job, plan_repetition
from lab.readers.image_archive import box_image, read_image
from lab.records import (
    SIMULATED,
    CellRecord,
    CellResult,
    Failure,
    MachineRecord,
    Manifest,
    ScenarioRef,
)
from lab.rig.identity import lab_ref
from lab.scenario import Cell, HostSpec, MachineSpec, Scenario, StepsWorkload, Workload
from lab.store import Row, RunWriter, write_atomically

Progress = Callable[[int, int, str], None]
"""Called with cells done, cells in all, and the next cell's id."""

ACCELERATOR = SIMULATED
"""A manifest's ``machine.accelerator`` where no machine ran."""


def check_expressible(scenario: Scenario) -> None:
    """Raises InputError where the model cannot express the scenario: says which workload or step, and why."""
    if isinstance(scenario.machine, HostSpec):
        raise InputError("the machine is a host of yours, whose disk's size the model does not know",
                         where=str(scenario.path), remedy="name the lab's own VM, with its pool_disk")
    for workload in scenario.workload:
        if not isinstance(workload, StepsWorkload):
            raise InputError(f"workload {workload.name}: the model does not know what a {workload.kind} writes",
                             where=str(scenario.path), remedy="describe its work in steps, or measure it: `lab run`")


def simulate(scenario: Scenario, folder: Path, parameters: Parameters, *, repetitions: int, only: Sequence[str],
             progress: Progress) -> Manifest:
    """Writes the run.  Raises InputError as ``check_expressible`` does, and where ``only`` names no cell."""
    check_expressible(scenario)
    machine = scenario.machine
    assert isinstance(machine, MachineSpec)
    place = f"{ACCELERATOR}-{digest_of(parameters)[:12]}"
    blocks = [block for repetition in range(1, repetitions + 1)
              for block in plan_repetition(Arms(scenario), place, repetition, only=only)]
    writer, began, started = RunWriter(folder), time.monotonic(), _now()
    write_atomically(folder / "scenario.yaml", scenario.text)
    total, results = sum(len(block.jobs) for block in blocks), list[CellResult]()
    for block in blocks:
        for job, rows, samples, error in _run_block(block, scenario, machine, parameters, folder.name):
            progress(len(results), total, job.cell_id)
            result = CellResult(cell=job.cell_id, repetition=job.repetition, arm=job.arm, key=job.key,
                                status="failed" if error else "done", error=error, started_utc=_now(), seconds=0.0)
            writer.begin(job.key)
            writer.finish(result, rows, samples)
            results.append(result)
    manifest = Manifest(
        run=folder.name, status="complete",
        scenario=ScenarioRef(name=scenario.name, question=scenario.question, file=scenario.path.name,
                             sha256=scenario.sha256),
        lab=lab_ref(), machine=_machine_record(machine), versions={"parameters": digest_of(parameters)}, clock=[],
        seed=scenario.seed, repetitions=repetitions, order=[result.key for result in results], started_utc=started,
        ended_utc=_now(), cells={cell.id: _cell_record(cell) for cell in scenario.cells()}, results=results,
        seconds={"simulation": round(time.monotonic() - began, 3)})
    writer.close(manifest)
    return manifest


def digest_of(parameters: Parameters) -> str:
    """SHA-256 of the parameters' values, whatever file they came from."""
    return sha256(json.dumps(parameters.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def _run_block(block: Block, scenario: Scenario, machine: MachineSpec, parameters: Parameters,
               run: str) -> Iterator[tuple[Job, list[Row], list[Row], Failure | None]]:
    """The cells of one build, each with its rows, or with why it failed."""
    images = {job.cell.workload: image_of(job.cell.workload) for job in block.jobs if job.cell is not None}
    storage = build_storage(block.setup.storage, machine.pool_disk_bytes, parameters.log)
    host = Host(storage, parameters.timing)
    try:
        for name in sorted({workload.image for workload in images if workload.image_file is None}):
            storage.load(box_image(name))
    except PoolFull:
        full = Failure(kind="PoolFull", argv=["docker", "load"], returncode=None,
                       output="the pool is too small for the images")
        yield from ((job, [], [], full) for job in block.jobs)
        return
    for job in block.jobs:
        assert job.cell is not None
        workload = job.cell.workload
        error: Failure | None = None
        try:
            storage.load(images[workload])
            host.run_cell(_process(host, job.cell, images[workload], scenario.seed + job.repetition))
        except (CellFailed, PoolFull) as failure:
            error = Failure(kind="CellFailed", argv=[], returncode=None, output=str(failure))
        keys = {"run": run, "cell": job.cell_id, "storage": job.cell.storage.label, "target": job.cell.target,
                "workload": workload.name, "repetition": job.repetition, "arm": job.arm, "source": SIMULATED}
        yield job, *(([], []) if error else (list(_measurements(host, keys)), list(_samples(host, keys)))), error


def _process(host: Host, cell: Cell, image: ImageContent, seed: int) -> Process:
    assert isinstance(cell.workload, StepsWorkload)
    return host.steps(cell.workload, image, seed, volume=cell.target == "volume")


def image_of(workload: Workload) -> ImageContent:
    """What a workload's image holds.  Raises ReaderError where the user's archive cannot be read."""
    return box_image(workload.image) if workload.image_file is None else read_image(workload.image_file)


def _measurements(host: Host, keys: Row) -> Iterator[Row]:
    for phase in host.phases:
        for metric, value, unit in _phase_values(phase):
            yield {**keys, "phase": phase.name, "metric": metric, "value": float(value), "unit": unit}


def _phase_values(phase: PhaseRecord) -> Iterator[tuple[str, float, str]]:
    """The metrics of ``lab.readers.raw_cell`` that the model has, in its order."""
    yield "duration", phase.duration_seconds, "s"
    yield "sync_duration", phase.sync_seconds, "s"
    if phase.application_bytes is not None:
        yield "application_bytes", phase.application_bytes, "B"
    before, after = _levels(phase.before), _levels(phase.after)
    yield from ((metric, value, "B") for metric, value in after.items())
    growth = after["storage_used"] - before["storage_used"]
    yield "storage_growth", growth, "B"
    yield "volume_growth", after["volume_used"] - before["volume_used"], "B"
    if phase.application_bytes:
        yield "allocation_amplification", growth / phase.application_bytes, "ratio"


def _samples(host: Host, keys: Row) -> Iterator[Row]:
    start = host.samples[0].at if host.samples else 0.0
    for sample in host.samples:
        for metric, value in _levels(sample.levels).items():
            yield {**keys, "phase": sample.phase, "t_seconds": sample.at - start, "metric": metric,
                   "value": float(value), "unit": "B"}


def _levels(levels: Levels) -> dict[str, int]:
    known = {"storage_used": levels.storage_used, "volume_used": levels.volume_used,
             "pool_metadata_used": levels.pool_metadata_used, "pool_data_total": levels.pool_data_total}
    return {metric: value for metric, value in known.items() if value is not None}


def _machine_record(machine: MachineSpec) -> MachineRecord:
    return MachineRecord(emulated=False, accelerator=ACCELERATOR, cpu_model="none", cpus=machine.cpus,
                         memory_bytes=machine.memory_bytes, box="none", disks=machine.disks,
                         pool_disk_bytes=machine.pool_disk_bytes, spare_disk_bytes=machine.spare_disk_bytes,
                         cache="none", host_kernel=platform.release(), host_cpus=os.cpu_count() or 0)


def _cell_record(cell: Cell) -> CellRecord:
    told = cell.storage.model_dump(mode="json", exclude={"storage", "label", "force"}, exclude_none=True)
    return CellRecord(storage=cell.storage.storage, target=cell.target, workload=cell.workload.name, options=told)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_folder(results: Path, scenario: Scenario) -> Path:
    """A folder for a new simulated run: the scenario's name and the time, UTC.  Made."""
    folder = results / f"{scenario.name}-simulated-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    folder.mkdir(parents=True)
    return folder
