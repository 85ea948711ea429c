"""Baseline against candidate: what two arms of one run, or two runs, measured of the same thing.

A *quantity* is one metric of one phase of one cell.  The unit of replication is
the repetition: several values of a quantity in one repetition (fio jobs that
report apart) become their median before anything else is done.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from lab.errors import InputError
from lab.runs.records import CellRecord, Manifest
from lab.runs.store import Run, find_runs, table_digest
from lab.scenario.arms import BASELINE, CANDIDATE

if TYPE_CHECKING:
    import pandas as pd

SETUP = "setup"
"""The workload of the lab's own rows.  Arms share them, so that they are not gated."""


@dataclass(frozen=True, order=True)
class Quantity:
    cell: str
    phase: str
    metric: str
    unit: str

    def __str__(self) -> str:
        return f"{self.cell}, {self.phase}, {self.metric}"


Values = Mapping[int, float]
"""By repetition."""


@dataclass(frozen=True)
class Comparison:
    """One quantity on both sides.  Values may be NaN or infinite, as the table has them."""

    quantity: Quantity
    baseline: Values
    candidate: Values

    def swapped(self, repetitions: frozenset[int]) -> Comparison:
        """With the sides exchanged in those repetitions, where both have a value."""
        both = repetitions & self.baseline.keys() & self.candidate.keys()
        return Comparison(self.quantity,
                          {r: self.candidate[r] if r in both else x for r, x in self.baseline.items()},
                          {r: self.baseline[r] if r in both else x for r, x in self.candidate.items()})


@dataclass(frozen=True)
class Sides:
    """All that can be compared, and what cannot.

    ``paired``: both sides were measured in turns in the same repetitions.  ``one_sided``: quantities that one side
    lacks, with the side that has them.  ``cells``: what each cell stands for, by side.
    """

    paired: bool
    comparisons: tuple[Comparison, ...]
    one_sided: tuple[tuple[Quantity, str], ...]
    cells: Mapping[str, Mapping[str, CellRecord]]
    manifests: Mapping[str, Manifest]
    paths: Mapping[str, Path]


def one_run(path: Path) -> Run:
    """The run in that folder or the only one below it.  Raises InputError where there is none, or more than one."""
    found = find_runs(path)
    if len(found) > 1:
        raise InputError(f"{len(found)} runs are below this folder; the gate takes one", where=str(path),
                         remedy="name one of " + ", ".join(str(run.path) for run in found[:5]))
    return found[0]


def two_arms(run: Run) -> Sides:
    """The arms of one run, paired by repetition.  Raises InputError where the run has only one."""
    if run.manifest.baseline is None:
        raise InputError("the run has one arm, so that there is nothing to compare it with", where=str(run.path),
                         remedy="name a baseline, `lab gate BASELINE RUN`, or measure two arms in turns, "
                                "`lab run CANDIDATE --against BASELINE`")
    _check_source(run)
    table = run.measurements
    of: dict[str, dict[Quantity, dict[int, float]]] = {
        side: _values(table[table["arm"] == side]) for side in (BASELINE, CANDIDATE)}
    return _sides(of, paired=True, manifests=dict.fromkeys(of, run.manifest), paths=dict.fromkeys(of, run.path),
                  cells={BASELINE: run.manifest.baseline.cells, CANDIDATE: run.manifest.cells})


def two_runs(baseline: Run, candidate: Run) -> Sides:
    """Two runs of one arm each, unpaired.

    Raises InputError where one has two arms, where one is simulated and the other measured, and where both are the
    same measurements.
    """
    runs = {BASELINE: baseline, CANDIDATE: candidate}
    for run in runs.values():
        _check_source(run)
        if run.manifest.baseline is not None:
            raise InputError("the run has two arms, and is compared within itself", where=str(run.path),
                             remedy=f"lab gate {run.path}")
    if baseline.manifest.simulated != candidate.manifest.simulated:
        model, machine = sorted(runs.values(), key=lambda run: not run.manifest.simulated)
        raise InputError(f"the run is simulated, and {machine.path} is measured: their difference is the model's error",
                         where=str(model.path / "manifest.json"),
                         remedy="judge the model with `lab validate`; gate two measured runs, or two simulated ones")
    if table_digest(baseline) == table_digest(candidate):
        raise InputError(f"this is the same table as {baseline.path / 'measurements.parquet'}",
                         where=str(candidate.path / "measurements.parquet"),
                         remedy="name two runs; what a run says against itself is nothing")
    return _sides({side: _values(run.measurements) for side, run in runs.items()}, paired=False,
                  manifests={side: run.manifest for side, run in runs.items()},
                  cells={side: run.manifest.cells for side, run in runs.items()},
                  paths={side: run.path for side, run in runs.items()})


def _check_source(run: Run) -> None:
    """Raises InputError where rows do not come from what the manifest says: a machine, or the model."""
    wanted = "simulated" if run.manifest.simulated else "measured"
    found = [str(name) for name in run.measurements["source"].unique()]
    if found and found != [wanted]:
        raise InputError(f"the manifest says {wanted}, the table's column source holds {', '.join(sorted(found))}",
                         where=str(run.path / "measurements.parquet"), remedy="make the run again; do not join tables")


def _values(table: pd.DataFrame) -> dict[Quantity, dict[int, float]]:
    found: dict[Quantity, dict[int, list[float]]] = {}
    columns = ("cell", "phase", "metric", "unit", "workload", "repetition", "value")
    for cell, phase, metric, unit, workload, repetition, value in zip(*(table[name] for name in columns), strict=True):
        if workload == SETUP:
            continue
        quantity = Quantity(str(cell), str(phase), str(metric), str(unit))
        found.setdefault(quantity, {}).setdefault(int(repetition), []).append(_number(value))
    return {quantity: {repetition: _middle(values) for repetition, values in sorted(by.items())}
            for quantity, by in found.items()}


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def _middle(values: list[float]) -> float:
    return median(values) if all(math.isfinite(value) for value in values) else math.nan


def _sides(of: Mapping[str, dict[Quantity, dict[int, float]]], *, paired: bool,
           cells: Mapping[str, Mapping[str, CellRecord]], manifests: Mapping[str, Manifest],
           paths: Mapping[str, Path]) -> Sides:
    baseline, candidate = of[BASELINE], of[CANDIDATE]
    both = tuple(Comparison(quantity, values, candidate[quantity]) for quantity, values in baseline.items()
                 if quantity in candidate)
    return Sides(paired, both, tuple(_one_sided(of)), cells, manifests, paths)


def _one_sided(of: Mapping[str, dict[Quantity, dict[int, float]]]) -> Iterator[tuple[Quantity, str]]:
    for side, other in ((BASELINE, CANDIDATE), (CANDIDATE, BASELINE)):
        for quantity in of[side]:
            if quantity not in of[other]:
                yield quantity, side
