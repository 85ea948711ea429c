"""Scenarios -> the blocks of a run, in their order, each cell with the key that the journal knows it by.

A *block* is one build of a storage in one repetition: the storage is built, its
daemon started, and every cell on it run.  Within a repetition, storages and
cells come in an order drawn from the seed.

With two arms, what belongs together runs as close together as it can:

- A storage of the same label and options in both files is built once, and the
  arms alternate cell by cell: A B, B A, A B, …  A throttle makes no difference to
  that, since it holds for the cells and not for the build.  Several such storages
  that differ by label and throttle alone share one build too.
- One whose options differ is built for each arm, one block after the other,
  the cells of both in the same order.

Arms take turns in going first, so that what drifts (a pool that fills, a host
that warms up) falls on both alike: in repetition 1 the baseline leads, in
repetition 2 the candidate.  Of the cells on one build every other one starts
the other way round, and keeps its place in that scheme, so that over an even
number of repetitions each cell led exactly as often as it followed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest

from lab.errors import InputError
from lab.scenario.arms import ARM, BASELINE, CANDIDATE, Arm
from lab.scenario.key import setup_text
from lab.scenario.scenario import Cell, Scenario, StorageSpec

SETUP = "setup"


MOST_REPETITIONS = 1000
"""Of one run: each costs minutes, and all are planned before the first."""


@dataclass(frozen=True)
class Arms:
    """What a run measures: one scenario, or a candidate against a baseline on the same machine.

    Seeds may differ: each arm's workloads take their own file's, the order the candidate's.  How many repetitions
    there are, the candidate says.  Raises InputError where the two ask for different machines, and for more than
    ``MOST_REPETITIONS``.
    """

    candidate: Scenario
    baseline: Scenario | None = None

    def __post_init__(self) -> None:
        if self.candidate.repetitions > MOST_REPETITIONS:
            digits = str(self.candidate.repetitions)
            shown = digits if len(digits) < 20 else f"a number of {len(digits)} digits"
            raise InputError(f"--repetitions is {shown}; at most {MOST_REPETITIONS}")
        if self.baseline is not None:
            _refuse_other_machine(self.candidate, self.baseline)

    @property
    def scenarios(self) -> dict[Arm, Scenario]:
        """The scenario of each arm, the baseline first; of a run without a baseline, the one that it has."""
        if self.baseline is None:
            return {ARM: self.candidate}
        return {BASELINE: self.baseline, CANDIDATE: self.candidate}

    def cell_ids(self) -> list[str]:
        """Every cell's id, once, in the order of the files."""
        return list(dict.fromkeys(cell.id for scenario in (self.candidate, *filter(None, [self.baseline]))
                                  for cell in scenario.cells()))


def _refuse_other_machine(candidate: Scenario, baseline: Scenario) -> None:
    ours, theirs = candidate.machine.model_dump(mode="json"), baseline.machine.model_dump(mode="json")
    names = [name for name in dict.fromkeys([*ours, *theirs]) if ours.get(name) != theirs.get(name)]
    if names:
        raise InputError(
            "two arms run on one machine, but " + "; ".join(
                f"{name} is {ours.get(name)!r} in {candidate.path} and {theirs.get(name)!r} in {baseline.path}"
                for name in names),
            where=str(baseline.path), remedy="give both files the same machine: block")


@dataclass(frozen=True)
class Job:
    """A cell of an arm in a repetition.  ``cell`` is None for the storage's own set-up."""

    storage: StorageSpec
    repetition: int
    key: str
    cell: Cell | None = None
    arm: Arm = ARM

    @property
    def cell_id(self) -> str:
        return self.cell.id if self.cell is not None else f"{self.storage.label}.{SETUP}"


@dataclass(frozen=True)
class Block:
    """One build of a storage in one repetition: the set-up first, then its cells in their order.

    Where arms share the build, the set-up's ``arm`` is that of the first cell: it was made once, and counts once.
    """

    setup: Job
    jobs: tuple[Job, ...]


def plan(arms: Arms, box: str, *, only: Sequence[str] = ()) -> list[Block]:
    """The blocks of all repetitions that the candidate asks for, in their order.

    Raises InputError where ``only`` names no cell.
    """
    return [block for repetition in range(1, arms.candidate.repetitions + 1)
            for block in plan_repetition(arms, box, repetition, only=only)]


def plan_repetition(arms: Arms, box: str, repetition: int, *, only: Sequence[str] = ()) -> list[Block]:
    """The blocks of one repetition, counted from 1.  Raises InputError where ``only`` names no cell."""
    known = arms.cell_ids()
    if unknown := set(only) - set(known):
        raise InputError(f"no cell is named {', '.join(sorted(unknown))}", where=str(arms.candidate.path),
                         remedy="the cells are " + ", ".join(known))
    order = random.Random(f"{arms.candidate.seed}/{repetition}")
    blocks = (_one_arm(arms.candidate, box, repetition, only, order) if arms.baseline is None
              else _two_arms(arms, box, repetition, only, order))
    return [block for block in blocks if block.jobs]


def _one_arm(scenario: Scenario, box: str, repetition: int, only: Sequence[str],
             order: random.Random) -> Iterator[Block]:
    for storage in order.sample(scenario.storages, len(scenario.storages)):
        chosen = [cell for cell in scenario.cells() if cell.storage == storage and (not only or cell.id in only)]
        yield _block(scenario, box, [_job(scenario, cell, repetition, box)
                                     for cell in order.sample(chosen, len(chosen))], storage, repetition)


def _two_arms(arms: Arms, box: str, repetition: int, only: Sequence[str], order: random.Random) -> Iterator[Block]:
    specs: dict[str, dict[Arm, StorageSpec]] = {}
    for arm, scenario in arms.scenarios.items():
        for spec in scenario.storages:
            specs.setdefault(spec.label, {})[arm] = spec
    builds = _builds(specs)
    for labels in order.sample(builds, len(builds)):
        pairs = _in_turns(_pairs(arms, labels, only), order)
        jobs = [[_job(arms.scenarios[arm], pair[arm], repetition, box, arm)
                 for arm in _turn(repetition + place) if arm in pair] for place, pair in pairs]
        sides = specs[labels[0]]
        if _one_build(sides) is not None:
            yield _block(arms.candidate, box, [job for pair in jobs for job in pair], sides[CANDIDATE], repetition)
            continue
        for arm in _turn(repetition):
            if arm in sides:
                own = [job for pair in jobs for job in pair if job.arm == arm]
                yield _block(arms.scenarios[arm], box, own, sides[arm], repetition)


def _builds(specs: Mapping[str, Mapping[Arm, StorageSpec]]) -> list[list[str]]:
    """The labels, sorted, those together that one build serves in both arms."""
    builds: list[list[str]] = []
    for label in sorted(specs):
        build = _one_build(specs[label])
        alike = None if build is None else next((own for own in builds if _one_build(specs[own[0]]) == build), None)
        if alike is None:
            builds.append([label])
        else:
            alike.append(label)
    return builds


def _one_build(sides: Mapping[Arm, StorageSpec]) -> StorageSpec | None:
    """What both arms are built as, told without label and throttle; None where one build does not serve both."""
    built = {arm: spec.model_copy(update={"throttle": None, "label": spec.storage}) for arm, spec in sides.items()}
    return built[BASELINE] if len(built) == 2 and built[BASELINE] == built[CANDIDATE] else None


def _turn(number: int) -> tuple[Arm, Arm]:
    """Which arm goes first and which second at an odd and at an even number."""
    return (BASELINE, CANDIDATE) if number % 2 else (CANDIDATE, BASELINE)


def _pairs(arms: Arms, labels: Sequence[str], only: Sequence[str]) -> list[Mapping[Arm, Cell]]:
    """The cells on those storages by their id, each in the arms that have it."""
    found: dict[str, dict[Arm, Cell]] = {}
    for arm, scenario in arms.scenarios.items():
        for cell in scenario.cells():
            if cell.storage.label in labels and (not only or cell.id in only):
                found.setdefault(cell.id, {})[arm] = cell
    return list(found.values())


def _in_turns(pairs: Sequence[Mapping[Arm, Cell]],
              order: random.Random) -> list[tuple[int, Mapping[Arm, Cell]]]:
    """The pairs shuffled, but those that start the usual way (0) and those that start the other way (1) in turns."""
    usual, other = list(pairs[0::2]), list(pairs[1::2])
    order.shuffle(usual)
    order.shuffle(other)
    return [(place, pair) for both in zip_longest(usual, other) for place, pair in enumerate(both) if pair is not None]


def _job(scenario: Scenario, cell: Cell, repetition: int, box: str, arm: Arm | None = None) -> Job:
    """``arm`` is None in a run without a baseline: its keys say nothing of arms, so that older runs can go on."""
    key = cell.content_key(scenario.machine, scenario.seed, repetition, box)
    if arm is None:
        return Job(cell.storage, repetition, key, cell)
    return Job(cell.storage, repetition, _digest([arm, key]), cell, arm)


def _block(scenario: Scenario, box: str, jobs: Sequence[Job], storage: StorageSpec, repetition: int) -> Block:
    keys = sorted(job.key for job in jobs)
    key = _digest([box, SETUP, setup_text(storage), scenario.machine.key_text(), str(repetition), *keys])
    return Block(Job(storage, repetition, key, arm=jobs[0].arm if jobs else ARM), tuple(jobs))


def _digest(parts: Sequence[str]) -> str:
    return sha256("/".join(parts).encode()).hexdigest()[:16]
