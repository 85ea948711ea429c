"""When the exact ``Host`` does what to each of a workload's containers: its clock, in arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from lab.model.container.schedule import Action, Kind, Schedule
from lab.model.filesystems.xfs import WORKER_SECONDS
from lab.model.parameters import Timing
from lab.scenario.scenario import StepsWorkload
from lab.scenario.steps import AnyStep, Pause

MIB = 1024**2


@dataclass
class Phase:
    """A phase's name, when its levels are read, and for each container its actions up to then; none if removed."""

    name: str
    done: list[Schedule]


def phases_of(workload: StepsWorkload, timing: Timing, *, pool: bool) -> list[Phase]:
    """Every phase of the workload, round by round.  ``pool``: containers are thin devices."""
    clock = _Clock(workload, timing, pool)
    for step in workload.steps * workload.rounds:
        clock.step(step)
    return clock.phases


class _Clock:
    def __init__(self, workload: StepsWorkload, timing: Timing, pool: bool) -> None:
        self.timing, self.pool, self.count, self.traced = timing, pool, workload.containers, workload.trace
        self.now = timing.boundary_seconds
        self.kinds: dict[str, int] = {}
        self.containers: list[list[Action]] = []
        self.mounts: list[float] = []
        self.phases: list[Phase] = []

    def step(self, step: AnyStep) -> None:
        timing = self.timing
        self.kinds[step.kind] = nth = self.kinds.get(step.kind, 0) + 1
        if step.kind == "start":
            self._start()
        elif isinstance(step, Pause):
            self.now += step.seconds
        elif step.kind == "remove":
            self.now += timing.remove_seconds * len(self.containers)
            self.containers, self.mounts = [], []
        elif step.kind == "trim":
            for actions in self.containers:
                actions.append(Action(self.now, "trim", None, nth))
            self.now += timing.exec_seconds
        elif step.kind != "remove_image":
            for actions in self.containers:
                self.now += timing.exec_seconds
                actions.append(Action(self.now, "step", step, nth))
                self.now += step.written_bytes / MIB * timing.write_seconds_per_mib
        self._end(step.kind if nth == 1 else f"{step.kind}#{nth}")

    def _start(self) -> None:
        before = self.timing.mount_share * self.timing.start_seconds
        for _ in range(self.count):
            self.now += before
            self.containers.append([Action(self.now, "start")])
            self.mounts.append(self.now)
            self.now += self.timing.start_seconds - before
        self.now += self.timing.check_seconds

    def _end(self, name: str) -> None:
        self._all("sync")
        self.now += self.timing.sync_seconds
        self.phases.append(Phase(name, [self._until(*pair) for pair in zip(self.containers, self.mounts, strict=True)]))
        self.now += self.timing.boundary_seconds
        if self.pool and (name == "start" or not self.traced):
            self._all("measure")
            self.now += self.timing.measure_seconds * len(self.containers)

    def _all(self, kind: Kind) -> None:
        for actions in self.containers:
            actions.append(Action(self.now, kind))

    def _until(self, actions: list[Action], mount: float) -> Schedule:
        """With the worker's pushes, and ages without the time of the mount: what alike containers have alike."""
        pushes = [Action(mount + WORKER_SECONDS * number, "push")
                  for number in range(1, int((self.now - mount) // WORKER_SECONDS) + 1)] if self.pool else []
        ordered = sorted([*actions, *pushes], key=lambda action: action.age_seconds)
        return tuple(Action(float(number), one.kind, one.step, one.nth) for number, one in enumerate(ordered))
