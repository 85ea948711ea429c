"""What one container does, and when: its steps as a scenario has them, and what XFS and the daemon do besides.

What a step allocates depends on what was written before it, not on the time of day, so an order of actions decides a
container's cost; the ages only tell when in its life each part of it falls due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lab.model.filesystems.xfs import WORKER_SECONDS
from lab.model.parameters import Timing
from lab.scenario.phases import phase_name, step_phases
from lab.scenario.steps import AnyStep

_MIB = 1024**2

Kind = Literal["start", "step", "sync", "push", "measure", "trim", "stop"]
"""What an action is.

start: made, mounted and running.  step: file work, ``step`` says which.  sync: dirty pages reach the device.
push: XFS's worker writes headers and inodes back.  measure: the daemon is asked for the container's size.
trim: fstrim.  stop: the process has ended and its file system is unmounted; the container is still there.
"""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that is done in a container, or to it.

    ``age_seconds`` counts from ``docker run``.  ``nth``: the how-manieth step of its kind, which names its files.
    """

    age_seconds: float
    kind: Kind
    step: AnyStep | None = None
    nth: int = 1

    @property
    def name(self) -> str:
        """As a phase is named: the step's kind, with a number from the second on.

        >>> from lab.scenario.steps import Write
        >>> Action(0.0, "push").name, Action(3.0, "step", Write(amount=4096), 2).name
        ('push', 'write#2')
        """
        kind = self.kind if self.step is None else self.step.kind
        return phase_name(kind, self.nth)


Schedule = tuple[Action, ...]
"""In the order of their ages; the first is the start."""


def alone(steps: Sequence[AnyStep], timing: Timing) -> Schedule:
    """A container that nobody looks at and that shares its host's time with none: a sync after each step, as the
    kernel's own write-back does within half a minute, and XFS's worker every half minute after the mount.

    The last action is the first push, or a later one, after which nothing is left to be written.  Steps from the first
    ``remove`` on are left out: when a container goes is for whoever runs it to say.  Raises ValueError unless the
    first step is ``start``.
    """
    if not steps or steps[0].kind != "start":
        raise ValueError(f"steps begin with {steps[0].kind if steps else 'nothing'}; 'start' expected")
    mounted = timing.mount_share * timing.start_seconds
    done = [Action(0.0, "start")]
    at = timing.start_seconds
    for phase in step_phases(steps[1:]):
        step = phase.step
        if step.kind == "remove":
            break
        if step.kind == "pause":
            at += step.seconds
            continue
        at += timing.exec_seconds
        kind: Kind = "trim" if step.kind == "trim" else "step"
        done.append(Action(at, kind, None if kind == "trim" else step, phase.nth))
        at += step.written_bytes / _MIB * timing.write_seconds_per_mib
        done.append(Action(at, "sync"))
    pushes = [Action(mounted + WORKER_SECONDS * number, "push")
              for number in range(1, int((at - mounted) // WORKER_SECONDS) + 2)]
    return tuple(sorted([*done, *pushes], key=lambda action: action.age_seconds))
