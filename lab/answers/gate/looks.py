"""Adding repetitions where the gate is open: how many, by which command, and how often.

Whoever looks again and again finds something in the end.  The level is therefore
shared out over a fixed number of looks, each at a fixed number of repetitions;
after the last one the answer stays open.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from lab.answers.gate.counts import different_work
from lab.answers.gate.permutation import pairs_needed, repetitions_needed
from lab.answers.gate.rows import TIMING, Row, Status
from lab.answers.gate.rules import Rules
from lab.answers.gate.sides import Sides
from lab.runs.records import ScenarioRef
from lab.scenario.arms import BASELINE, CANDIDATE
from lab.text import short

SCENARIO_FOLDERS = (Path("."), Path("scenarios"), Path("scenarios/validation"))
"""Where a scenario of a manifest's file name is looked for, by its digest."""


@dataclass(frozen=True)
class Look:
    """What to do next, and why.  ``commands`` is empty where more repetitions are of no use or not allowed."""

    text: str
    commands: tuple[str, ...] = ()


def next_look(sides: Sides, rules: Rules, rows: list[Row]) -> Look:
    """The next number of repetitions of the schedule that can settle what is open."""
    tested = [row for row in rows if row.kind == TIMING and row.p is not None]
    other = different_work(rows)                # which more repetitions do not make the same
    waiting = [row for row in tested if row.status is Status.INCONCLUSIVE
               and (row.quantity.cell, row.quantity.phase) not in other]
    if not waiting:
        return Look("")
    measured = min(min(row.n_baseline, row.n_candidate) for row in tested)      # of a partial run, what there is
    wanted = rules.alpha_a_look / len(tested)
    needed = pairs_needed(wanted) if sides.paired else repetitions_needed(wanted)
    schedule = rules.look_schedule()
    planned = (f"the gate is asked at {_listed(schedule)} repetitions at most, and each look spends "
               f"{short(rules.alpha_a_look)} of {short(rules.alpha)}")
    later = [n for n in schedule if n > measured]
    able = [n for n in later if n >= needed]
    if not later:
        return Look(f"the maximum of {rules.max_repetitions} repetitions was reached: it stays inconclusive "
                    f"({planned})")
    if not able:
        return Look(f"even {rules.max_repetitions} repetitions are too few for {len(tested)} timings, which need "
                    f"{needed}: gate fewer metrics (ignore:), or raise max_repetitions ({planned})")
    return Look(f"with {able[0]} repetitions it may be settled; {planned}", tuple(_commands(sides, able[0])))


def _commands(sides: Sides, repetitions: int) -> list[str]:
    if sides.paired:
        manifest = sides.manifests[CANDIDATE]
        assert manifest.baseline is not None
        return [_command(manifest.scenario, sides.paths[CANDIDATE], repetitions, against=manifest.baseline)]
    return [_command(sides.manifests[side].scenario, sides.paths[side], repetitions) for side in (BASELINE, CANDIDATE)
            if sides.manifests[side].repetitions < repetitions or sides.manifests[side].status == "partial"]


def _command(scenario: ScenarioRef, folder: Path, repetitions: int, *, against: ScenarioRef | None = None) -> str:
    words = ["lab", "run", _file(scenario), *(["--against", _file(against)] if against is not None else []),
             "--resume", str(folder), "--repetitions", str(repetitions)]
    return shlex.join(words)


def _file(scenario: ScenarioRef) -> str:
    """The scenario's file as it can be typed here: where one with its digest is found, else its bare name."""
    from hashlib import sha256

    for folder in SCENARIO_FOLDERS:
        file = folder / scenario.file
        try:
            if sha256(file.read_bytes()).hexdigest() == scenario.sha256:
                return str(file)
        except OSError:
            continue
    return scenario.file


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + (" and " if len(numbers) > 1 else "") + str(numbers[-1])
