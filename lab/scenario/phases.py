"""The names of a workload's phases, as its run's tables have them.

Whoever measures, simulates, fits or asks for a phase takes its name from here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.scenario.scenario import CommandWorkload, FioWorkload, Workload
from lab.scenario.steps import AnyStep

COMMAND, REMOVE = "command", "remove"
"""The two phases of a workload that is one command."""


@dataclass(frozen=True, slots=True)
class StepPhase:
    """One step that is done; ``nth`` is the how-manieth of its kind, counted from 1."""

    step: AnyStep
    nth: int

    @property
    def name(self) -> str:
        """What its phase is called."""
        return phase_name(self.step.kind, self.nth)


def phase_name(kind: str, nth: int) -> str:
    """The name of the n-th phase of a kind of step, or of a job, counted from 1.

    >>> phase_name("write", 1), phase_name("write", 2)
    ('write', 'write#2')
    """
    return kind if nth == 1 else f"{kind}#{nth}"


def phase_kind(phase: str) -> str:
    """The kind of step, or the job, that a phase's name tells: ``phase_name`` the other way.

    >>> phase_kind("delete"), phase_kind("delete#2")
    ('delete', 'delete')
    """
    return phase.split("#")[0]


def is_first(phase: str) -> bool:
    """Whether it is the first phase of its kind, or the first pass of its job.

    >>> is_first("write"), is_first("write#2")
    (True, False)
    """
    return phase == phase_kind(phase)


def step_phases(steps: Sequence[AnyStep], rounds: int = 1) -> Iterator[StepPhase]:
    """The steps in their order, all of them ``rounds`` times; a kind is counted on from round to round."""
    counts: Counter[str] = Counter()
    for step in [*steps] * rounds:
        counts[step.kind] += 1
        yield StepPhase(step, counts[step.kind])


def phase_names(workload: Workload) -> list[str]:
    """The names of all phases that the workload has, in their order."""
    if isinstance(workload, FioWorkload):
        return [phase_name(section, number) for number in range(1, workload.repeats + 1)
                for section in workload.sections]
    if isinstance(workload, CommandWorkload):
        return [COMMAND, REMOVE]
    return [phase.name for phase in step_phases(workload.steps, workload.rounds)]
