"""Measured numbers, tables and figures as a lesson shows them: a number has its interval, or n where there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from lab.analysis.stats import Estimate
from lab.report.drawings import Drawing
from lab.runs.records import whole_repetitions
from lab.runs.store import Run
from lab.text import MIB, number, optional

NOTHING = "–"
"""Stands where a run has no such number."""


def interval_text(found: Estimate | None, scale: float = 1.0) -> str:
    """A centre with its interval, both divided by ``scale``.

    >>> interval_text(Estimate(2.0, 1.0, 3.0, 3, 0.75)), interval_text(Estimate(2.0, None, None, 1, None))
    ('2.00 (1.00 to 3.00, n = 3)', '2.00 (n = 1, no interval)')
    """
    if found is None or not found.n or found.centre != found.centre:
        return NOTHING
    centre = number(found.centre / scale)
    if found.low is None or found.high is None:
        return f"{centre} (n = {found.n}, no interval)"
    return f"{centre} ({number(found.low / scale)} to {number(found.high / scale)}, n = {found.n})"


def n_text(counts: Iterable[int]) -> str:
    """How many repetitions stand behind several numbers.

    >>> n_text([5, 5]), n_text([3, 5, 4])
    ('n = 5', 'n = 3 to 5')
    """
    found = sorted(set(counts))
    return f"n = {found[0]}" if len(found) == 1 else f"n = {found[0]} to {found[-1]}"


def median_of(row: Mapping[str, Any] | None) -> Estimate | None:
    """A row of ``stats.summarise`` as an ``Estimate``."""
    if row is None:
        return None
    return Estimate(float(row["median"]), optional(row["low"]), optional(row["high"]), int(row["n"]),
                    optional(row["coverage"]))


def interval_of(row: Mapping[str, Any] | None) -> tuple[float, float]:
    """The ends of a row's interval; NaN where there is none."""
    ends = (math.nan, math.nan) if row is None else (optional(row["low"]), optional(row["high"]))
    low, high = (math.nan if end is None else end for end in ends)
    return low, high


def median_text(row: Mapping[str, Any] | None, scale: float = MIB) -> str:
    """A row of ``stats.summarise``, in MiB unless another scale is given."""
    return interval_text(median_of(row), scale)


def indexed(rows: Sequence[Sequence[object]], columns: Sequence[str]) -> pd.DataFrame:
    """A table of the rows whose first column is its index."""
    return pd.DataFrame(rows, columns=list(columns)).set_index(columns[0])


def run_table(*runs: Run) -> pd.DataFrame:
    """What was run: a row a run (by its folder) with its scenario, seed, machine and how far it came."""
    rows = []
    for run in runs:
        m = run.manifest
        machine = "none: simulated" if m.simulated else m.machine.provision
        rows.append((run.path.name, m.scenario.file, m.seed, machine, m.status,
                     f"{whole_repetitions(m)} of {m.repetitions}"))
    return indexed(rows, ["run", "scenario", "seed", "machine", "status", "repetitions whole"])


def drawing(name: str, alt: str, caption: str, figure: Figure | None) -> Drawing:
    """A figure with its words.  Raises ValueError where there is nothing to draw."""
    if figure is None:
        raise ValueError(f"there is nothing to draw for {name}")
    return Drawing(name, "", alt, caption, figure)
