"""Repeating until a ratio is known well enough: what ``--repeat-until`` takes, and when it is satisfied.

The grammar, words apart by spaces::

    A/B METRIC [WORKLOAD:]PHASE TARGET ±PERCENT %                         one scenario: A and B are storages' labels
    candidate/baseline METRIC [WORKLOAD:]PHASE TARGET LABEL ±PERCENT %    two arms: on the storage of that label

``±`` may be written ``+-`` or ``+/-``; the space before ``%`` is free; WORKLOAD
is needed only where several have a phase of that name.  The ratio is that of
``stats.ratio_interval``: geometric mean over the repetitions, Student's t on
logarithms.  Its half-width is the larger of upper/ratio - 1 and ratio/lower - 1.

Stopping when an interval is narrow looks at the data before it decides, so that
the interval at the stop covers a little less than its level says; a ratio that
is to carry a decision deserves a fixed number of repetitions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.analysis import stats
from lab.errors import InputError
from lab.metrics import METRICS
from lab.runs.records import RepeatRecord
from lab.scenario.arms import BASELINE, CANDIDATE, Arm
from lab.scenario.phases import phase_names
from lab.scenario.scenario import FioWorkload, Scenario, Workload
from lab.text import short

if TYPE_CHECKING:
    import pandas as pd

OPTION = "--repeat-until"
FIRST_LOOK = stats.MIN_N
"""After fewer repetitions there is no interval to look at."""

SHOWN_PHASES = 12
"""Of a workload with more, not all phases are listed."""

_EXAMPLE = "'direct-lvm/overlay2-ext4 write_bandwidth rand-write-4k layer ±10 %'"
_EXAMPLE_ARMS = "'candidate/baseline write_bandwidth rand-write-4k layer direct-lvm ±10 %'"
_WIDTH = re.compile(r"(?P<ratio>.*?)\s*(?:±|\+/?-)\s*(?P<percent>\d+(?:\.\d+)?)\s*%\s*")


@dataclass(frozen=True)
class RepeatUntil:
    """A ratio between storages (``label`` is None) or between arms (on the storage ``label``), and how well to know it.

    ``wanted`` is the relative half-width: 0.1 for ±10 %.
    """

    text: str
    numerator: str
    denominator: str
    metric: str
    workload: str
    phase: str
    target: str
    label: str | None
    wanted: float
    max_repetitions: int

    @property
    def cells(self) -> list[str]:
        """The ids of the cells that the ratio is made of."""
        labels = [self.label] if self.label is not None else [self.numerator, self.denominator]
        return [f"{label}.{self.target}.{self.workload}" for label in labels]


@dataclass(frozen=True)
class Judgement:
    """Where a run stands; ``ended`` where another repetition would not help or is not needed."""

    record: RepeatRecord
    ended: bool

    @property
    def sentence(self) -> str:
        """The interval and its half-width, in words."""
        r = self.record
        if r.estimate is None:
            return f"{r.ratio}: {r.reason}"
        if r.low is None or r.high is None or r.half_width is None:
            return f"{r.ratio}: {short(r.estimate)} ×, n = {r.n}, no interval yet"
        return (f"{r.ratio}: {short(r.estimate)} × ({short(r.low)} to {short(r.high)}), n = {r.n}, "
                f"±{short(100 * r.half_width)} % where ±{short(100 * r.wanted)} % is wanted")


def parse_repeat_until(text: str, scenarios: Mapping[Arm, Scenario], *, max_repetitions: int,
                       only: Sequence[str] = ()) -> RepeatUntil:
    """What the option asks for, checked against the scenarios before any machine starts.

    Raises InputError, which names what is allowed, for anything that the scenarios cannot give.
    """
    example = _EXAMPLE_ARMS if len(scenarios) > 1 else _EXAMPLE
    match = _WIDTH.fullmatch(text)
    if match is None:
        raise _bad(f"{text!r} does not end with the half-width wanted, ±N %", f"as in {example}")
    wanted = float(match["percent"]) / 100
    if not 0 < wanted <= 1:
        raise _bad(f"±{match['percent']} %: allowed is above 0 and up to 100 %")
    words = match["ratio"].split()
    sides = words[0].split("/") if words else []
    if len(sides) != 2:
        raise _bad(f"{words[0] if words else ''!r} is no ratio A/B", f"as in {example}")
    _check_kind(sides, two_arms=len(scenarios) > 1)
    if len(words) != (expected := 5 if len(scenarios) > 1 else 4):
        raise _bad(f"{match['ratio']!r} has {len(words)} words, not {expected}", f"as in {example}")
    _, metric, spot, target = words[:4]
    label = words[4] if len(words) == 5 else None
    _check_labels(sides if label is None else [label], scenarios)
    workload = _find_workload(spot, target, scenarios)
    _check_metric(metric, workload)
    until = RepeatUntil(match["ratio"].strip(), sides[0], sides[1], metric, workload.name, spot.rpartition(":")[2],
                        target, label, wanted, max_repetitions)
    if only and (missing := [cell for cell in until.cells if cell not in only]):
        raise _bad(f"the ratio needs {' and '.join(missing)}, which --only leaves out", "name them with --only too")
    _check_maximum(max_repetitions, scenarios[CANDIDATE].repetitions)
    return until


def judge(until: RepeatUntil, measurements: pd.DataFrame, repetition: int) -> Judgement:
    """Whether the ratio is known well enough after that many repetitions."""
    frame = stats.prepare(measurements)
    frame = frame[(frame["metric"] == until.metric) & (frame["phase"] == until.phase)
                  & (frame["target"] == until.target) & (frame["workload"] == until.workload)]
    if until.label is not None:
        frame = frame[frame["place"] == until.label]
    found = stats.ratio_interval(*stats.paired_values(frame, "place" if until.label is None else "arm",
                                                      until.numerator, until.denominator))
    half = half_width(found)
    reached = half is not None and half <= until.wanted
    hopeless = repetition >= FIRST_LOOK and math.isnan(found.centre)
    ended = reached or hopeless or repetition >= until.max_repetitions
    record = RepeatRecord(
        ratio=until.text, wanted=until.wanted, max_repetitions=until.max_repetitions, n=found.n,
        estimate=None if math.isnan(found.centre) else found.centre, low=found.low, high=found.high, half_width=half,
        reached=reached, reason=_reason(found, reached=reached, maximum=repetition >= until.max_repetitions))
    return Judgement(record, ended)


def half_width(found: stats.Estimate) -> float | None:
    """The relative half-width of a ratio's interval, 0.1 for ±10 %; None where there is no interval."""
    if found.low is None or found.high is None:
        return None
    return max(found.high / found.centre, found.centre / found.low) - 1


def _reason(found: stats.Estimate, *, reached: bool, maximum: bool) -> str:
    if reached:
        return "the interval is narrow enough"
    if math.isnan(found.centre):
        return ("a value of zero or below has no ratio" if found.n else
                "no repetition gave a value for both sides")
    return "the maximum of repetitions was reached" if maximum else "the interval is still too wide"


def _check_kind(sides: Sequence[str], *, two_arms: bool) -> None:
    arms = set(sides) == {BASELINE, CANDIDATE}
    if two_arms and not arms:
        raise _bad(f"{'/'.join(sides)!r}: with --against the ratio is candidate/baseline or baseline/candidate",
                   f"as in {_EXAMPLE_ARMS}")
    if not two_arms and arms:
        raise _bad(f"{'/'.join(sides)!r} needs two arms", "add --against BASELINE, or name two storages")


def _check_labels(labels: Sequence[str], scenarios: Mapping[Arm, Scenario]) -> None:
    known = _common([spec.label for spec in scenario.storages] for scenario in scenarios.values())
    for label in labels:
        if label not in known:
            raise _bad(f"no storage is named {label!r}", f"the labels are {', '.join(known)}")
    if len(set(labels)) < len(labels):
        raise _bad(f"{labels[0]!r} against itself is always 1", "name two storages")


def _find_workload(spot: str, target: str, scenarios: Mapping[Arm, Scenario]) -> Workload:
    """The one workload that has the phase, on that target, in every arm."""
    named, _, phase = spot.rpartition(":")
    workloads = list(scenarios.values())[-1].workload
    known = _common([item.name for item in scenario.workload] for scenario in scenarios.values())
    if named and named not in known:
        raise _bad(f"no workload is named {named!r}", f"the workloads are {', '.join(known)}")
    phases = {item.name: _common(phase_names(other) for scenario in scenarios.values() for other in scenario.workload
                                 if other.name == item.name) for item in workloads if item.name in known}
    having = [name for name, own in phases.items() if phase in own and named in ("", name)]
    if not having:
        listed = "; ".join(f"{name}: {_some(own)}" for name, own in phases.items() if named in ("", name))
        raise _bad(f"no phase is named {phase!r}", f"the phases are {listed}")
    targets = {name: _common(item.targets for scenario in scenarios.values() for item in scenario.workload
                             if item.name == name) for name in having}
    hitting = [name for name in having if target in targets[name]]
    if not hitting:
        allowed = dict.fromkeys(known_target for name in having for known_target in targets[name])
        raise _bad(f"{phase!r} is not run against target {target!r}", f"the targets are {', '.join(allowed)}")
    if len(hitting) > 1:
        raise _bad(f"phase {phase!r} stands in several workloads", "write " + " or ".join(
            f"{name}:{phase}" for name in hitting))
    return next(item for item in workloads if item.name == hitting[0])


def _some(names: Sequence[str]) -> str:
    """The names, of more than ``SHOWN_PHASES`` the first and the last: a workload has up to thousands of rounds."""
    if len(names) <= SHOWN_PHASES:
        return ", ".join(names)
    return f"{', '.join(names[:SHOWN_PHASES - 1])}, ... {names[-1]} ({len(names)} in all)"


def _check_metric(metric: str, workload: Workload) -> None:
    jobs = isinstance(workload, FioWorkload)
    allowed = [one.name for one in METRICS.values() if (one.of_jobs if jobs else one.of_steps)]
    if metric not in allowed:
        raise _bad(f"workload {workload.name} has no metric {metric!r}", f"the metrics are {', '.join(allowed)}")


def _check_maximum(maximum: int, asked: int) -> None:
    if maximum < max(FIRST_LOOK, asked):
        raise InputError(f"{maximum} is too few: the scenario asks for {asked}, and an interval needs {FIRST_LOOK}",
                         where="--max-repetitions", remedy=f"at least {max(FIRST_LOOK, asked)}")


def _common(lists: Iterable[Iterable[str]]) -> list[str]:
    """What stands in every list, in the order of the last."""
    every = [list(names) for names in lists]
    known = [set(names) for names in every]
    return [name for name in every[-1] if all(name in names for names in known)] if every else []


def _bad(message: str, remedy: str | None = None) -> InputError:
    return InputError(message, where=OPTION, remedy=remedy)
