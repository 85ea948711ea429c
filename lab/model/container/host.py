"""The host in time: containers work step by step while XFS, dmeventd and the kernel do theirs by the clock.

One SimPy environment a storage build.  What happens is decided by the models of file systems and pool; here it is only
decided when:

- a container's XFS writes headers and inodes back ``xfs.WORKER_SECONDS`` after its mount, and so on;
- dmeventd looks every ``DMEVENTD_SECONDS`` and extends a pool beyond its threshold, if the volume group has room;
- a writer at a full pool waits ``NO_SPACE_SECONDS`` and then fails (dm-thin's ``no_space_timeout``);
- after each phase comes a boundary record, in which the daemon is asked for the containers' sizes: on devicemapper
  that mounts their init layers, and costs space in the phase that follows.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import simpy

from lab.model.drivers.storage import Levels, PoolFull, Refused, Running, Storage
from lab.model.filesystems.filesystem import BLOCK_BYTES
from lab.model.filesystems.image_content import ImageContent
from lab.model.filesystems.job_counts import FileState, counts_of
from lab.model.filesystems.xfs import WORKER_SECONDS
from lab.model.filesystems.xfs_space import NoRoom
from lab.model.parameters import Timing
from lab.model.pool.thinpool import PoolRefused
from lab.model.times.device_time import JobCounts, JobTimes, ServiceTimes, predict, within_runtime
from lab.model.times.fio_job import FioJob
from lab.scenario.phases import phase_name, step_phases
from lab.scenario.scenario import StepsWorkload
from lab.scenario.steps import Step

DMEVENTD_SECONDS = 10.0
NO_SPACE_SECONDS = 60.0
SAMPLE_SECONDS = 1.0
_MIB = 1024**2

Process = Generator[simpy.Event, Any, None]


class CellFailed(Exception):
    """What would have failed the measured cell: a full pool, or a daemon that refuses."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a phase's work gave: its seconds (None where fio tells them itself), bytes, and fio's numbers."""

    seconds: float | None
    application_bytes: int | None = None
    job: JobTimes | None = None
    counts: JobCounts | None = None


@dataclass(frozen=True, slots=True)
class PhaseRecord:
    """One phase, from the boundary record before it to the one after.  Times in seconds since the build."""

    name: str
    began: float
    ended: float
    sync_seconds: float
    outcome: Outcome
    before: Levels
    after: Levels


Work = Generator[simpy.Event, Any, Outcome]


@dataclass(frozen=True, slots=True)
class Sample:
    """The levels at one moment; ``phase`` is what ran."""

    at: float
    phase: str
    levels: Levels


class Host:
    """A storage and its clock."""

    def __init__(self, storage: Storage, timing: Timing) -> None:
        self.env = simpy.Environment()
        self.storage = storage
        self._timing = timing
        self._phase = "between"
        self._sampling = False
        self._asks = True
        self.phases: list[PhaseRecord] = []
        self.samples: list[Sample] = []
        self._boundary: Levels | None = None
        if storage.group is not None:
            self.env.process(self._dmeventd())

    def run_cell(self, cell: Process) -> None:
        """Runs one cell to its end, and removes the containers that it left.

        Raises CellFailed; ``phases`` and ``samples`` hold what came before.
        """
        self.phases, self.samples, self._boundary, self._asks = [], [], None, True
        self._sampling = True
        self.env.process(self._sampler())
        try:
            self.env.run(self.env.process(cell))
        except Refused as refused:
            raise CellFailed(f"the daemon refuses: {refused}") from None
        except PoolFull:
            failed = self.storage.failed
            raise CellFailed("the pool failed: its metadata is full" if failed else
                             "the pool is full, and the writer has waited in vain") from None
        except PoolRefused as refused:
            raise CellFailed(refused.message) from None
        except NoRoom:
            raise CellFailed("the container's file system is full") from None
        finally:
            self._sampling = False
            with suppress(PoolRefused):         # of a pool that has failed
                for name in list(self.storage.running):
                    self.storage.stop(name)

    # -- the workloads ----------------------------------------------------------------------------------

    def steps(self, workload: StepsWorkload, image: ImageContent, seed: int, *, volume: bool) -> Process:
        """A container workload, step by step."""
        for done in step_phases(workload.steps, workload.rounds):
            yield from self.phase(done.name, self._step(done.step, workload.containers, image, seed, done.nth,
                                                        volume=volume))
            if workload.trace:                  # from the start on, the daemon is not asked for sizes
                self._asks = done.step.kind in ("remove", "remove_image")

    def fio(self, jobs: Sequence[FioJob], repeats: int, image: ImageContent, seed: int, times: ServiceTimes, *,
            volume: bool) -> Process:
        """Jobs of fio in one container, one after the other, and all of them ``repeats`` times."""
        yield from self.start("lab-1", image, volume=volume)
        running = self.storage.running["lab-1"]
        states: dict[str, FileState] = {}
        for number in range(1, repeats + 1):
            for job in jobs:
                name = phase_name(job.name, number)
                yield from self.phase(name, self._job(job, running, states, random.Random(f"{seed}/{name}"), times))

    def _job(self, job: FioJob, running: Running, states: dict[str, FileState], draw: random.Random,
             times: ServiceTimes) -> Work:
        """One job: its blocks go to the file system, its seconds come from the service times."""
        surface, files = self.storage.surface(running), running.image.files()
        lengths = {path.removeprefix("data/"): length for path, length in files.items()}
        counts, after = counts_of(job, states.get(job.filename), surface, image_files=lengths)
        if job.runtime_seconds is not None:
            counts = within_runtime(times, counts, job.runtime_seconds)
            counts, after = counts_of(job, states.get(job.filename), surface, counts.reads + counts.writes,
                                      image_files=lengths)
        states[job.filename] = after
        told = predict(times, counts)
        yield self.env.timeout(self._timing.exec_seconds + told.seconds)
        if counts.writes:
            self.storage.work(running).write_blocks(job.filename, _blocks(job, round(counts.writes), draw))
        yield from self._settle()
        return Outcome(None, job=told, counts=counts)

    def phase(self, name: str, work: Work) -> Process:
        """One phase: the work, a sync, a boundary record."""
        if self._boundary is None:
            yield from self._record()
        before, began = self._boundary, self.env.now
        assert before is not None
        self._phase = name
        outcome = yield from work
        self.storage.sync()
        yield from self._settle()
        yield self.env.timeout(self._timing.sync_seconds)
        ended = self.env.now
        self._phase = "between"
        yield from self._record()
        assert self._boundary is not None
        self.phases.append(PhaseRecord(name, began, ended, self._timing.sync_seconds, outcome, before, self._boundary))

    def start(self, name: str, image: ImageContent, *, volume: bool) -> Process:
        """A container, with the worker of its file system."""
        before_mount = self._timing.mount_share * self._timing.start_seconds
        yield self.env.timeout(before_mount)
        running = self.storage.start(name, image, volume=volume)
        yield from self._settle()
        if running.device is not None:
            self.env.process(self._worker(running))
        yield self.env.timeout(self._timing.start_seconds - before_mount)

    def _step(self, step: Step, containers: int, image: ImageContent, seed: int, nth: int, *,
              volume: bool) -> Work:
        timing, storage, began = self._timing, self.storage, self.env.now
        if step.kind == "start":
            for number in range(1, containers + 1):
                yield from self.start(f"lab-{number}", image, volume=volume)
            seconds = self.env.now - began
            yield self.env.timeout(timing.check_seconds)
            return Outcome(seconds)
        if step.kind == "pause":
            yield self.env.timeout(step.seconds)
            return Outcome(step.seconds)
        if step.kind == "remove":
            yield self.env.timeout(timing.remove_seconds * len(storage.running))
            for name in list(storage.running):
                storage.stop(name)
            return Outcome(self.env.now - began)
        if step.kind == "remove_image":
            storage.unload(image)
            return Outcome(0.0)
        if step.kind == "trim":
            storage.trim()
            yield self.env.timeout(timing.exec_seconds)
            return Outcome(timing.exec_seconds)
        seconds, written = 0.0, 0
        for running in list(storage.running.values()):
            yield self.env.timeout(timing.exec_seconds)
            done = storage.do(running, step, seed, nth)
            worked = done.application_bytes / _MIB * timing.write_seconds_per_mib
            yield self.env.timeout(worked)
            yield from self._settle()
            seconds, written = seconds + worked, written + done.application_bytes
        return Outcome(seconds, written or None)

    # -- by the clock -----------------------------------------------------------------------------------

    def _record(self) -> Process:
        """A boundary record: the levels first, then the daemon's answers."""
        self._boundary = self.storage.levels()
        yield self.env.timeout(self._timing.boundary_seconds)
        if self.storage.mapper is not None and self._asks:
            self.storage.measure()
            yield self.env.timeout(self._timing.measure_seconds * len(self.storage.running))

    def _settle(self) -> Process:
        """Until all writes have reached the pool.  Raises PoolFull where they cannot."""
        waited = 0.0
        while True:
            try:
                self.storage.flush()
                return
            except PoolFull as full:
                if not full.waits or waited >= NO_SPACE_SECONDS:
                    raise
            yield self.env.timeout(1.0)
            waited += 1.0

    def _worker(self, running: Running) -> Process:
        while True:
            yield self.env.timeout(WORKER_SECONDS)
            if self.storage.running.get(running.name) is not running:
                return
            with suppress(PoolFull):            # it tries again; what waits is not lost
                self.storage.push(running.name)

    def _dmeventd(self) -> Process:
        while True:
            yield self.env.timeout(DMEVENTD_SECONDS)
            self.storage.extend()

    def _sampler(self) -> Process:
        while self._sampling:
            self.samples.append(Sample(self.env.now, self._phase, self.storage.levels()))
            yield self.env.timeout(SAMPLE_SECONDS)


def _blocks(job: FioJob, writes: int, draw: random.Random) -> list[int]:
    """The blocks of 4 KiB that a job's writes touch, each place at most once."""
    places = range(min(writes, job.file_blocks)) if not job.mode.random else draw.sample(
        range(job.file_blocks), min(writes, job.file_blocks))
    return sorted({block for place in places
                   for block in range(place * job.block_bytes // BLOCK_BYTES,
                                      -(-(place + 1) * job.block_bytes // BLOCK_BYTES))})
