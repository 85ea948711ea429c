"""Blocks -> machine -> records: journal, resume, teardown, and when to stop repeating.

What runs in which order is said in ``lab.scenario.order``.  Repetitions follow one
another.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

from lab.analysis.noise import FIRST_LOOK, Judgement, RepeatUntil, judge
from lab.errors import CommandFailed, ConnectionLost, InputError, LabError
from lab.rig import workloads
from lab.rig.clock import compare_clocks, read_clocks
from lab.rig.identity import Identity, identify
from lab.rig.interrupts import Cleaned, cleaning_up
from lab.rig.machine import RecordingMachine
from lab.rig.provide import Provider, expected, open_machine, provider_name
from lab.rig.storages import disks, face
from lab.rig.vm.accelerator import as_begun, beyond_uml
from lab.runs.asked import baseline_record, cell_records, drop_caches, scenario_ref
from lab.runs.files import make_output_folder, told_as_output, write_atomically
from lab.runs.provenance import lab_ref
from lab.runs.raw_cell import read_raw_cell
from lab.runs.records import MEASURED, CellResult, ClockCheck, Failure, MachineRecord, Manifest, SamplerCost
from lab.runs.store import Row, RunWriter
from lab.scenario.order import SETUP, Arms, Block, Job, plan_repetition
from lab.scenario.scenario import Cell, HostSpec, Scenario

SCENARIO_FILE, BASELINE_FILE = "scenario.yaml", "baseline.yaml"


@dataclass
class Session:
    """What is learnt while a run goes on."""

    identity: Identity | None = None
    clock: list[ClockCheck] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    sampler_cpu: list[float] = field(default_factory=list)
    sampler_elapsed: list[float] = field(default_factory=list)

    def spend(self, what: str, seconds: float) -> None:
        self.seconds[what] = round(self.seconds.get(what, 0.0) + seconds, 3)


Say = Callable[[str], None]
Progress = Callable[[int, int, str, float | None], None]
"""Called with cells done, cells in all, the next cell's id, and the seconds left if they can be told."""


class Runner:
    """Runs the scenarios of one arm or two into a run's folder; what is in its journal already is not run again.

    With ``until``, repetitions are added to those of the candidate until the ratio is known well enough, or their
    maximum is reached.  Raises InputError where the folder's run has another number of arms.
    """

    def __init__(self, arms: Arms, folder: Path, *, only: Sequence[str], say: Say, progress: Progress,
                 until: RepeatUntil | None = None) -> None:
        self._arms = arms
        self._scenario = arms.candidate
        self._only = only
        self._until = until
        self._say = say
        self._progress = progress
        self._box = provider_name(arms.candidate.machine)
        self._minimum = max(arms.candidate.repetitions, FIRST_LOOK if until is not None else 1)
        self._blocks = [block for repetition in range(1, self._minimum + 1) for block in self._plan(repetition)]
        self._repetitions = self._minimum
        self._judged: Judgement | None = None
        refuse_other_arms(folder, arms)
        self._writer = RunWriter(folder)
        self._session = Session()
        self._accelerator: str | None = None
        self._began = time.monotonic()
        self._done_here = 0
        self._lab = lab_ref()           # as it is now: it may have another commit by the end
        self._started_utc = _now()
        state = folder / "session.json"
        if state.exists():
            earlier = json.loads(state.read_text("utf-8"))
            self._started_utc = earlier["started_utc"]
            self._session.clock = [ClockCheck(**check) for check in earlier["clock"]]
            self._accelerator = earlier.get("accelerator")
        if self._accelerator is None and (manifest := self._earlier()) is not None:
            self._accelerator = manifest.machine.accelerator
        if arms.baseline is not None:
            write_atomically(folder / BASELINE_FILE, arms.baseline.text)
        write_atomically(folder / SCENARIO_FILE, arms.candidate.text)

    def run(self) -> Manifest:
        """Runs what is left.  The tables and the manifest are written even when it ends early."""
        finished = self._finished()
        left = self._left(finished)
        try:
            if (first := next(left, None)) is not None:
                self._run_blocks(chain([first], left), finished)
        finally:
            with cleaning_up():
                manifest = self._close()
        return manifest

    def _plan(self, repetition: int) -> list[Block]:
        return plan_repetition(self._arms, self._box, repetition, only=self._only)

    def _finished(self) -> set[str]:
        return {result.key for result in self._writer.journal() if result.status == "done"}

    def _left(self, finished: set[str]) -> Iterator[Block]:
        """The blocks that have something to run, one repetition after the other, for as long as repetitions are needed.

        What is needed next is decided when it is asked for, after what came before has run.
        """
        for repetition in count(1):
            if repetition > self._minimum:
                self._blocks += self._plan(repetition)
                self._repetitions = repetition
            own = [block for block in self._blocks if block.setup.repetition == repetition]
            yield from (block for block in own if any(job.key not in finished for job in block.jobs))
            if self._enough(repetition):
                return

    def _enough(self, repetition: int) -> bool:
        """Whether no repetition after this one is needed."""
        if self._until is None:
            return repetition >= self._minimum
        if repetition < FIRST_LOOK:
            return False
        keys = {job.key for block in self._blocks for job in block.jobs if job.repetition <= repetition}
        self._judged = judge(self._until, self._writer.measurements(sorted(keys & self._finished())), repetition)
        self._say(f"repetition {repetition}: {self._judged.sentence}")
        return repetition >= self._minimum and self._judged.ended

    def _run_blocks(self, blocks: Iterable[Block], finished: set[str]) -> None:
        spec = self._scenario.machine
        if not isinstance(spec, HostSpec):
            spec = as_begun(spec, self._accelerator, where=str(self._writer.path))
        with Cleaned(open_machine(spec, self._say, beyond_uml(self._arms.scenarios.values()))) as machine:
            self._resume(machine)
            for block in blocks:
                jobs = [job for job in block.jobs if job.key not in finished]
                try:
                    self._run_block(machine, block.setup, jobs)
                except ConnectionLost as error:
                    self._say(f"{error}; once more on a fresh machine")
                    self._restart(machine)
                    done = self._finished()
                    self._run_block(machine, block.setup, [job for job in jobs if job.key not in done])

    def _restart(self, machine: Provider) -> None:
        machine.abandon()
        self._resume(machine)

    def _resume(self, machine: Provider) -> None:
        self._session.spend("resume", machine.up())
        self._began = time.monotonic()          # for the time left: booting is no cell's
        self._clock_began = read_clocks(machine.machine)
        self._session.identity = identify(machine.machine, machine.provided)
        self._accelerator = machine.provided.accelerator
        self._remember()

    # -- a block ------------------------------------------------------------------

    def _run_block(self, vm_: Provider, setup: Job, jobs: list[Job]) -> None:
        """Sets the storage up and runs the cells on it; after a failed cell the next one gets a fresh machine."""
        fresh = False
        for number, job in enumerate(jobs):
            if not fresh:
                try:
                    self._set_up(vm_, setup)
                except ConnectionLost:
                    raise
                except LabError as error:
                    self._say(f"{self._name(setup)}: failed: {error}")
                    for left in jobs[number:]:
                        self._writer.begin(left.key)
                        self._writer.finish(self._result(left, _now(), 0.0, error), [], [])
                    self._restart(vm_)
                    return
            fresh = self._run_cell(vm_, job)
            if not fresh:
                self._restart(vm_)
        if fresh:
            self._tear_down(vm_)

    def _tear_down(self, vm_: Provider) -> None:
        began = time.monotonic()
        try:
            disks.tear_down(vm_.machine, vm_.disks)
        except CommandFailed as error:
            self._say(f"the storage could not be torn down; a fresh machine instead: {error}")
            self._restart(vm_)
        self._session.spend("teardown", time.monotonic() - began)

    def _set_up(self, vm_: Provider, job: Job) -> None:
        """Builds the storage and starts its daemon; recorded as a cell of its own."""
        self._progress(*self._state(), self._name(job), self._seconds_left())
        raw = self._writer.begin(job.key)
        began, started = time.monotonic(), _now()
        rows: list[Row] = []
        with (raw / "transcript.jsonl").open("w", encoding="utf-8") as transcript:
            machine = RecordingMachine(vm_.machine, transcript)
            try:
                daemon_seconds = face.set_up(machine, job.storage, vm_.disks)
                self._session.spend("daemon starts", daemon_seconds)
                rows.append(self._setup_row(job, "daemon", "daemon_start", daemon_seconds, "s"))
                for image in sorted({cell.workload.image for cell in self._cells_on(job)
                                     if cell.workload.image_file is None}):
                    seconds = workloads.load_image(machine, image)
                    self._session.spend("image loads", seconds)
                    rows.append(self._setup_row(job, f"image {image}", "image_load", seconds, "s"))
            except ConnectionLost:
                raise
            except LabError as error:
                _compress(raw)
                self._writer.finish(self._result(job, started, time.monotonic() - began, error), [], [])
                raise
        self._session.spend("storage set-up", time.monotonic() - began)
        _compress(raw)
        result = self._result(job, started, time.monotonic() - began, None)
        self._writer.finish(result, rows, [])

    def _cells_on(self, setup: Job) -> list[Cell]:
        return [job.cell for block in self._blocks if block.setup.key == setup.key
                for job in block.jobs if job.cell is not None]

    def _setup_row(self, job: Job, phase: str, metric: str, value: float, unit: str) -> Row:
        return {"run": self._writer.path.name, "cell": job.cell_id, "storage": job.storage.label, "target": "",
                "workload": SETUP, "phase": phase, "repetition": job.repetition, "arm": job.arm, "metric": metric,
                "value": value, "unit": unit, "source": MEASURED}

    # -- a cell -------------------------------------------------------------------

    def _run_cell(self, vm_: Provider, job: Job) -> bool:
        """Runs and records one cell.  False where it failed."""
        assert job.cell is not None
        bare = vm_.machine
        self._progress(*self._state(), self._name(job), self._seconds_left())
        raw = self._writer.begin(job.key)
        began, started = time.monotonic(), _now()
        error: LabError | None = None
        measurements: list[Row] = []
        samples: list[Row] = []
        with (raw / "transcript.jsonl").open("w", encoding="utf-8") as transcript:
            machine = RecordingMachine(bare, transcript)
            try:
                seed = self._arms.scenarios[job.arm].seed + job.repetition
                driver = workloads.CellDriver(machine, vm_.disks, job.cell, raw, seed, say=self._say,
                                              host_allocated=vm_.pool_allocated_bytes)
                with vm_.throttled(job.storage.throttle):
                    driver.run()
            except ConnectionLost:
                raise
            except LabError as failure:
                error = failure
        _compress(raw)
        if error is None:
            try:
                self._session.clock.append(compare_clocks(bare, self._clock_began))
                rows = read_raw_cell(raw, self._writer.path.name, job.repetition, arm=job.arm)
                measurements, samples = rows.measurements, rows.samples
                self._session.sampler_cpu += rows.sampler_cpu_seconds
                self._session.sampler_elapsed += rows.sampler_elapsed_seconds
            except LabError as failure:
                error = failure
        if error is not None:
            self._say(f"{self._name(job)}: failed: {error}")
        seconds = time.monotonic() - began
        self._session.spend("cells", seconds)
        self._done_here += 1
        self._writer.finish(self._result(job, started, seconds, error), measurements, samples)
        return error is None

    def _result(self, job: Job, started: str, seconds: float, error: LabError | None) -> CellResult:
        return CellResult(cell=job.cell_id, repetition=job.repetition, arm=job.arm, key=job.key,
                          status="done" if error is None else "failed", error=_failure(error),
                          started_utc=started, seconds=round(seconds, 3))

    def _name(self, job: Job) -> str:
        return f"{job.cell_id} ({job.arm})" if self._arms.baseline is not None else job.cell_id

    # -- clock, time, records -----------------------------------------------------

    def _state(self) -> tuple[int, int]:
        total = sum(len(block.jobs) for block in self._blocks)
        keys = {job.key for block in self._blocks for job in block.jobs}
        return len([r for r in self._writer.journal() if r.key in keys and r.status == "done"]), total

    def _seconds_left(self) -> float | None:
        if not self._done_here:
            return None
        done, total = self._state()
        return (time.monotonic() - self._began) / self._done_here * (total - done)

    def _close(self) -> Manifest:
        scenario, session = self._scenario, self._session
        jobs = [job for block in self._blocks for job in (block.setup, *block.jobs)]
        keys = {job.key for job in jobs}
        results = [result for result in self._writer.journal() if result.key in keys]
        finished = {result.key for result in results}
        wanted = {job.key for block in self._blocks for job in block.jobs}
        earlier = self._earlier()
        identity = session.identity or (Identity.of(earlier) if earlier else Identity(expected(scenario.machine)))
        told = identity.provided
        manifest = Manifest(
            run=self._writer.path.name, status="complete" if wanted <= finished else "partial",
            scenario=scenario_ref(scenario),
            lab=self._lab if session.identity is not None or earlier is None else earlier.lab,
            machine=MachineRecord(
                emulated=told.emulated, accelerator=told.accelerator, cpu_model=identity.cpu_model,
                cpus=told.cpus, memory_bytes=told.memory_bytes, box=self._box, disks=told.disks,
                pool_disk_bytes=told.pool_disk_bytes, spare_disk_bytes=told.spare_disk_bytes, cache=told.cache,
                host_kernel=platform.release(), host_cpus=os.cpu_count() or 0),
            versions=identity.versions, clock=session.clock,
            seed=scenario.seed, repetitions=self._repetitions,
            order=[job.key for job in jobs], started_utc=self._started_utc, ended_utc=_now(),
            cells=cell_records(scenario),
            results=results, sampler=_cost(session) or (earlier.sampler if earlier else None),
            drop_caches=drop_caches(scenario),
            seconds=session.seconds or (earlier.seconds if earlier else {}),
            baseline=None if self._arms.baseline is None else baseline_record(self._arms.baseline),
            repeat_until=self._judged.record if self._judged is not None else None)
        self._remember()
        self._writer.close(manifest)
        return manifest

    def _remember(self) -> None:
        """What a resumed run must know of its beginning, even where this one is killed."""
        write_atomically(self._writer.path / "session.json", json.dumps(
            {"started_utc": self._started_utc, "accelerator": self._accelerator,
             "clock": [check.model_dump() for check in self._session.clock]}) + "\n")

    def _earlier(self) -> Manifest | None:
        file = self._writer.path / "manifest.json"
        return Manifest.model_validate_json(file.read_text("utf-8")) if file.exists() else None


def refuse_other_arms(folder: Path, arms: Arms) -> None:
    """Raises InputError where the run in the folder has one arm and two are to be measured, or the other way round."""
    if not (folder / SCENARIO_FILE).exists():
        return
    had, has = (folder / BASELINE_FILE).exists(), arms.baseline is not None
    if had and not has:
        raise InputError("this run has two arms", where=str(folder),
                         remedy="go on with --against and the file that its baseline.yaml is a copy of")
    if has and not had:
        raise InputError("this run has one arm: its cells were not interleaved with another's", where=str(folder),
                         remedy="start a new run: leave out --resume")


def _cost(session: Session) -> SamplerCost | None:
    if not session.sampler_cpu:
        return None
    return SamplerCost(samples=len(session.sampler_cpu),
                       cpu_seconds_per_sample=round(statistics.median(session.sampler_cpu), 4),
                       elapsed_seconds_per_sample=round(statistics.median(session.sampler_elapsed), 4))


def _failure(error: LabError | None) -> Failure | None:
    if error is None:
        return None
    if isinstance(error, CommandFailed):
        return Failure(kind=type(error).__name__, argv=list(error.argv), returncode=error.returncode,
                       output=(error.stdout + error.stderr)[-4000:])
    return Failure(kind=type(error).__name__, argv=[], returncode=None, output=str(error))


def _compress(raw: Path) -> None:
    file = raw / "transcript.jsonl"
    with file.open("rb") as content, gzip.GzipFile(raw / "transcript.jsonl.gz", "wb", mtime=0) as out:
        shutil.copyfileobj(content, out)
    file.unlink()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_run_folder(results: Path, scenario: Scenario) -> Path:
    """A folder for a new run: the scenario's name and the time, UTC.  Made.  Raises InputError where it cannot be."""
    folder = results / f"{scenario.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    make_output_folder(results)
    with told_as_output(folder, "the folder cannot be made"):
        folder.mkdir()
    return folder
