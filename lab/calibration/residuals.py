"""How far a simulated run is from the measured one: growth phase by phase, occupancy, time, coverage.

Frames in, dataclasses and frames out.  All space is in bytes.  A *phase increment* is what one phase added to the space
of its target, the pool's or the layers' file system for ``layer``, the volumes' file system for ``volume``; *occupancy*
is the space above that with which the cell began, so that no image, and no container of an earlier cell, can hide an
error in it.  *Level* is the space in use over the empty storage, images included: a pool's data blocks; for a file
system, which nobody sees empty, the occupancy above what the model says the images take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from scipy.stats import beta

from lab.metrics import growth_of, used_of
from lab.scenario.phases import phase_kind

FLOOR_BYTES = 1024**2
"""Relative errors are taken of increments and occupancies of at least this much; smaller ones are counted apart."""

LEVEL = 0.9
"""The share of increments that intervals aim to cover."""

KEYS = ["cell", "repetition", "phase"]
INCREMENT_COLUMNS = (*KEYS, "storage", "target", "workload", "order", "measured", "simulated", "straight",
                     "measured_occupancy", "simulated_occupancy", "straight_occupancy", "measured_level",
                     "simulated_level", "low", "high", "unit_bytes", "chunk_bytes")


def increments(measured: pd.DataFrame, simulated: pd.DataFrame, *, kinds: Mapping[str, str],
               chunk_bytes: Mapping[str, int], per_byte: Mapping[str, float], containers: Mapping[str, int],
               ensemble: Sequence[pd.DataFrame] = ()) -> pd.DataFrame:
    """One row a phase that both runs have (``INCREMENT_COLUMNS``).

    ``straight`` is the rule of thumb: each phase takes what the application wrote times ``per_byte``, the storage's
    average in the runs of the fit (by storage and target, as ``direct-lvm layer``; 1 where it is not there), and gives
    nothing back.  ``kinds``, ``chunk_bytes`` and ``containers`` by cell; 4096 where a cell has no data block.
    ``low`` and ``high`` are the ends of what the ``ensemble`` gave, simulations like ``simulated`` that differ by their
    clocks; ``unit_bytes`` is a data block for each container.
    """
    ours, theirs = _growth(measured), _growth(simulated)
    both = ours.merge(theirs[[*KEYS, "growth"]], on=KEYS, suffixes=("", "_simulated"))
    written = measured[measured["metric"] == "application_bytes"].set_index(KEYS)["value"].to_dict()
    both["order"] = both.groupby(["cell", "repetition"], sort=False).cumcount()
    both["straight"] = [
        written.get((cell, repetition, phase), 0.0) * per_byte.get(f"{kinds.get(str(cell), '')} {target}", 1.0)
        for cell, repetition, phase, target in zip(both["cell"], both["repetition"], both["phase"], both["target"],
                                                   strict=True)]
    both = both.rename(columns={"growth": "measured", "growth_simulated": "simulated"})
    for name in ("measured", "simulated", "straight"):
        both[f"{name}_occupancy"] = both.groupby(["cell", "repetition"], sort=False)[name].cumsum()
    both = _levels(both, measured, simulated, chunk_bytes)
    both["chunk_bytes"] = [chunk_bytes.get(cell, 4096) for cell in both["cell"]]
    both["unit_bytes"] = both["chunk_bytes"] * [containers.get(cell, 1) for cell in both["cell"]]
    for number, member in enumerate(ensemble):
        grown = _growth(member).set_index(KEYS)["growth"].rename(f"member{number}")
        both = both.merge(grown.reset_index(), on=KEYS, how="left")
    members = both[["simulated", *(f"member{number}" for number in range(len(ensemble)))]]
    both["low"], both["high"] = members.min(axis=1), members.max(axis=1)
    return pd.DataFrame(both[list(INCREMENT_COLUMNS)])


def _levels(both: pd.DataFrame, measured: pd.DataFrame, simulated: pd.DataFrame,
            chunk_bytes: Mapping[str, int]) -> pd.DataFrame:
    """With the columns ``measured_level`` and ``simulated_level``; where there is no level in the rows, occupancy."""
    used = {name: frame[frame["metric"] == frame["target"].map(used_of)]
            .set_index(KEYS)["value"].to_dict() for name, frame in (("measured", measured), ("simulated", simulated))}
    keys = list(zip(both["cell"], both["repetition"], both["phase"], strict=True))
    pooled = [cell in chunk_bytes and target != "volume"
              for cell, target in zip(both["cell"], both["target"], strict=True)]
    simulated_level = [used["simulated"].get(key, occupancy)
                       for key, occupancy in zip(keys, both["simulated_occupancy"], strict=True)]
    measured_level = [used["measured"].get(key, occupancy) if pool else level - theirs + occupancy
                      for key, pool, level, theirs, occupancy in zip(
                          keys, pooled, simulated_level, both["simulated_occupancy"], both["measured_occupancy"],
                          strict=True)]
    return both.assign(measured_level=measured_level, simulated_level=simulated_level)


def _growth(frame: pd.DataFrame) -> pd.DataFrame:
    """The growth of each phase's target, in the order of the rows."""
    metric = frame["target"].map(growth_of)
    rows = frame[frame["metric"] == metric]
    return rows.rename(columns={"value": "growth"})


def growth_per_byte(measured: pd.DataFrame, kinds: Mapping[str, str]) -> dict[str, float]:
    """Bytes that a phase which wrote took for each byte written, on average, by storage and target."""
    rows = _growth(measured)
    rows = rows.assign(kind=rows["cell"].map(dict(kinds)))
    written = measured[measured["metric"] == "application_bytes"][[*KEYS, "value"]]
    both = rows.merge(written, on=KEYS)
    found: dict[str, float] = {}
    for key, part in both.groupby(["kind", "target"]):
        kind, target = map(str, key)
        if part["value"].sum() > 0:
            found[f"{kind} {target}"] = float(part["growth"].sum() / part["value"].sum())
    return found


@dataclass(frozen=True)
class Score:
    """Errors over a set of phases.  ``mape`` are means of |error| ÷ |measured| where that is at least the floor."""

    phases: int
    exact: int
    """Phases whose increment is equal to the byte."""
    judged: int
    """Phases whose measured increment is at least the floor."""
    increment_mape: float
    straight_increment_mape: float
    occupancy_judged: int
    occupancy_mape: float
    straight_occupancy_mape: float
    level_mape: float
    """Of the space in use over the empty storage, after every phase."""
    largest_error_bytes: float


def score(rows: pd.DataFrame) -> Score:
    """The score of ``increments``' rows.  NaN where nothing reaches the floor."""
    large = rows[rows["measured"].abs() >= FLOOR_BYTES]
    full = rows[rows["measured_occupancy"].abs() >= FLOOR_BYTES]
    used = rows[rows["measured_level"].abs() >= FLOOR_BYTES]
    return Score(
        len(rows), int((rows["measured"] == rows["simulated"]).sum()), len(large),
        _mape(large["simulated"], large["measured"]), _mape(large["straight"], large["measured"]), len(full),
        _mape(full["simulated_occupancy"], full["measured_occupancy"]),
        _mape(full["straight_occupancy"], full["measured_occupancy"]),
        _mape(used["simulated_level"], used["measured_level"]),
        float((rows["simulated"] - rows["measured"]).abs().max()) if len(rows) else math.nan)


def _mape(values: pd.Series[float], truth: pd.Series[float]) -> float:
    return float(((values - truth).abs() / truth.abs()).mean()) if len(truth) else math.nan


@dataclass(frozen=True)
class Coverage:
    """How many increments lay in their intervals; ``low`` and ``high`` bound the share (Clopper and Pearson, 95 %)."""

    covered: int
    n: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The share of the increments that lay in their intervals; NaN of none."""
        return self.covered / self.n if self.n else math.nan


def half_widths(rows: pd.DataFrame, level: float = LEVEL) -> dict[str, float]:
    """What intervals are widened by, in units of ``unit_bytes``, by kind of phase, from the runs of a fit.

    Conformalised quantiles: the ⌈(n + 1) level⌉-th smallest of how far the measured increment lies outside ``low`` to
    ``high``, 0 where it lies inside.  A kind of phase that the fit has not seen gets that over all, under the empty
    name.  Source: Romano, Patterson, Candès, Conformalized Quantile Regression, NeurIPS 32 (2019).
    """
    outside, kinds = _outside(rows), rows["phase"].map(phase_kind)
    widths = {str(kind): conformal(sorted(values), level) for kind, values in outside.groupby(kinds)}
    return {**widths, "": conformal(sorted(outside), level)}


def _outside(rows: pd.DataFrame) -> pd.Series[float]:
    """How far each increment lies outside its ensemble, in units."""
    below, above = rows["low"] - rows["measured"], rows["measured"] - rows["high"]
    farthest = pd.concat([below, above], axis=1).max(axis=1).clip(lower=0)
    outside: pd.Series[float] = farthest / rows["unit_bytes"]
    return outside


def conformal(ordered: Sequence[float], level: float) -> float:
    """The ⌈(n + 1) level⌉-th smallest, the largest where there are fewer; 0 of none."""
    rank = math.ceil((len(ordered) + 1) * level)
    return ordered[min(rank, len(ordered)) - 1] if ordered else 0.0


def coverage(rows: pd.DataFrame, widths: Mapping[str, float]) -> Coverage:
    """How many measured increments lie within what the ensemble gave, widened by ``widths``."""
    allowed = rows["phase"].map(phase_kind).map(lambda kind: widths.get(kind, widths.get("", 0.0))).astype(float)
    covered, n = int((_outside(rows) <= allowed + 1e-9).sum()), len(rows)
    low = float(beta.ppf(0.025, covered, n - covered + 1)) if covered else 0.0
    high = float(beta.ppf(0.975, covered + 1, n - covered)) if covered < n else 1.0
    return Coverage(covered, n, low, high)


def times_to(samples: pd.DataFrame, share: float) -> dict[tuple[str, int], float]:
    """Seconds from a cell's begin until its space first reached a share of its largest growth, by cell and repetition.

    Cells that never grew by the floor are left out.
    """
    metric = samples["target"].map(used_of)
    rows = samples[samples["metric"] == metric].sort_values("t_seconds", kind="stable")
    found: dict[tuple[str, int], float] = {}
    for (cell, repetition), part in rows.groupby(["cell", "repetition"], sort=False):
        above = part["value"] - part["value"].iloc[0]
        if above.max() >= FLOOR_BYTES:
            reached = part["t_seconds"][above >= share * above.max()]
            found[str(cell), int(str(repetition))] = float(reached.iloc[0])
    return found
