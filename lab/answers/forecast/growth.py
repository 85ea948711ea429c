"""Net growth of a pool on a regular grid, from an observed log.

The levels are interpolated between neighbouring samples, so that the cells' increments add up to what the log shows.
Drops (trims, prunes) are kept.  Each stretch without a gap has its own grid from its first sample on; gaps, the
remainder of a stretch, and the step from one life of the pool to the next give no cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from lab.errors import InputError
from lab.monitoring.chronology import GAP_INTERVALS
from lab.monitoring.readings import Observed
from lab.units import format_bytes

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Step = Literal["hour", "day"]

STEP_SECONDS: dict[Step, float] = {"hour": 3600.0, "day": 86400.0}

LEAST_DAYS = 14
"""With fewer whole days the grid has hours, where the log has samples for them."""

LEAST_CELLS = 4
"""Fewer cells are no growth to draw from."""

PERIODS = 4
"""A pattern of a week (day cells) or a day (hour cells) is carried on only if a stretch has so many of them."""

_PERIOD_CELLS: dict[Step, int] = {"day": 7, "hour": 24}
_SLACK = 0.01  # of a cell: a daily job that runs some minutes early still ends its day

CELL_COLUMNS = ("t_seconds", "stretch", "data_increment_bytes", "data_peak_bytes", "metadata_increment_bytes",
                "metadata_peak_bytes")


@dataclass(frozen=True)
class Growth:
    """Increments a cell.

    ``cells`` (``CELL_COLUMNS``) has a row a cell: its start in seconds from the log's first sample, the stretch
    without gaps that it is of, and for data and metadata the net increment and the peak: how far the level rose, at
    most, above the cell's start.  Bytes, float; metadata is NaN if ``has_metadata`` is False.  ``pattern_cells`` is the
    length of the week or day whose pattern there is enough data for, or None.  ``unobserved_bytes`` is the net growth
    of data in gaps, which no cell has.
    """

    observed: Observed
    step: Step
    cells: pd.DataFrame
    has_metadata: bool
    pattern_cells: int | None
    unobserved_days: float
    unobserved_bytes: float
    notes: tuple[str, ...]

    @property
    def cell_days(self) -> float:
        return STEP_SECONDS[self.step] / 86400

    @property
    def observed_days(self) -> float:
        """Days that the cells cover."""
        return len(self.cells) * self.cell_days

    @property
    def mean_bytes_per_day(self) -> float:
        """Mean net growth of data."""
        return float(self.cells["data_increment_bytes"].mean()) / self.cell_days

    def document(self) -> dict[str, Any]:
        """For JSON."""
        increments = self.cells["data_increment_bytes"]
        return {"step": self.step, "cells": len(self.cells), "observed_days": self.observed_days,
                "unobserved_days": self.unobserved_days, "unobserved_bytes": self.unobserved_bytes,
                "mean_bytes_per_day": self.mean_bytes_per_day, "pattern_cells": self.pattern_cells,
                "cells_with_a_drop": int((increments < 0).sum()),
                "largest_drop_bytes": max(-float(increments.min()), 0.0),
                "largest_increment_bytes": float(increments.max()), "notes": list(self.notes)}


def growth_of(observed: Observed, step: Step | None = None) -> Growth:
    """The growth in a log.  Without ``step``: days if the log has 14 whole ones, else hours if sampled so often.

    Raises InputError if the log has fewer than four cells, or samples further apart than one.
    """
    frame = observed.frame
    stretches = list(_stretches(observed))
    interval = observed.gap_seconds / GAP_INTERVALS
    chosen = step or _choose(stretches, interval)
    if interval > STEP_SECONDS[chosen] * (1 + _SLACK):
        raise InputError(f"samples are {interval:.0f} s apart (median), further than "
                         f"a{'n' if chosen == 'hour' else ''} {chosen}", where=observed.path,
                         remedy="sample more often")
    has_metadata = bool(frame["metadata_used_bytes"].notna().all())
    cells = _cells(stretches, STEP_SECONDS[chosen])
    if len(cells) < LEAST_CELLS:
        raise InputError(f"{len(cells)} whole {chosen}s without a gap; {LEAST_CELLS} or more expected",
                         where=observed.path, remedy="record for longer, without pauses")
    longest = int(cells["stretch"].value_counts().max())
    period = _PERIOD_CELLS[chosen]
    pattern = period if longest >= PERIODS * period else None
    unobserved_days = observed.span_days - len(cells) * STEP_SECONDS[chosen] / 86400
    growth = Growth(observed, chosen, cells, has_metadata, pattern, max(unobserved_days, 0.0),
                    _growth_in_gaps(stretches), ())
    return replace(growth, notes=tuple(_notes(growth)))


def _stretches(observed: Observed) -> Iterator[pd.DataFrame]:
    frame = observed.frame
    broken = (frame["t_seconds"].diff() > observed.gap_seconds) | (frame["life"].diff() > 0)
    for _, stretch in frame.groupby(broken.cumsum(), sort=True):
        yield stretch


def _whole_cells(stretch: pd.DataFrame, step_seconds: float) -> int:
    length = float(stretch["t_seconds"].iloc[-1] - stretch["t_seconds"].iloc[0])
    return int(length / step_seconds + _SLACK)


def _choose(stretches: list[pd.DataFrame], interval: float) -> Step:
    days = sum(_whole_cells(stretch, STEP_SECONDS["day"]) for stretch in stretches)
    return "day" if days >= LEAST_DAYS or interval > STEP_SECONDS["hour"] * (1 + _SLACK) else "hour"


def _cells(stretches: list[pd.DataFrame], step_seconds: float) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    parts = []
    for number, stretch in enumerate(stretches):
        count = _whole_cells(stretch, step_seconds)
        if count == 0:
            continue
        times = stretch["t_seconds"].to_numpy("float64")
        edges = times[0] + step_seconds * np.arange(count + 1)
        columns: dict[str, Any] = {"t_seconds": edges[:-1], "stretch": np.full(count, number)}
        for what in ("data", "metadata"):
            used = stretch[f"{what}_used_bytes"].to_numpy("float64")
            columns[f"{what}_increment_bytes"], columns[f"{what}_peak_bytes"] = _rises(times, used, edges)
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(CELL_COLUMNS))


def _rises(times: NDArray[np.float64], used: NDArray[np.float64],
           edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Between each two edges: the net increment, and the highest level less the one at the first edge."""
    import numpy as np

    levels = np.interp(edges, times, used)
    places = np.searchsorted(times, edges)
    tops = np.array([max(levels[cell], levels[cell + 1], used[first:last].max(initial=-np.inf))
                     for cell, (first, last) in enumerate(pairwise(places))])
    return np.diff(levels), tops - levels[:-1]


def _growth_in_gaps(stretches: list[pd.DataFrame]) -> float:
    """Data's net growth from one stretch to the next of the same life."""
    grown = 0.0
    for before, after in pairwise(stretches):
        if before["life"].iloc[-1] == after["life"].iloc[0]:
            grown += float(after["data_used_bytes"].iloc[0]) - float(before["data_used_bytes"].iloc[-1])
    return grown


def _notes(growth: Growth) -> Iterator[str]:
    frame, cells = growth.observed.frame, growth.cells
    name = "weekly" if growth.step == "day" else "daily"
    if growth.pattern_cells is None:
        yield (f"no {name} pattern is assumed: no stretch without gaps has {PERIODS} periods of "
               f"{_PERIOD_CELLS[growth.step]} {growth.step}s")
    else:
        yield f"a {name} pattern is kept within blocks of {growth.pattern_cells} {growth.step}s"
    if growth.step == "hour":
        yield "cells are hours, since the log has no 14 whole days: a weekly pattern is not in it"
    if growth.unobserved_days > max(0.1 * growth.observed.span_days, 2 * growth.cell_days):
        yield (f"{growth.unobserved_days:.3g} of {growth.observed.span_days:.3g} days are in no cell (gaps, "
               f"remainders); data grew by {format_bytes(growth.unobserved_bytes)} in the gaps, "
               "which the forecast does not use")
    if not growth.has_metadata:
        yield "metadata is not forecast: some samples do not tell its size (lvs -o +lv_metadata_size)"
    full = int(frame["full"].sum())
    if full:
        yield f"the pool was full in {full} samples: the growth then is what fitted, not what was asked for"
    moved = cells["data_increment_bytes"].abs()
    typical = float(moved[moved > 0].median()) if bool((moved > 0).any()) else 0.0
    error = float(frame["data_error_bytes"].max())
    if error and 2 * error > 0.1 * typical:
        yield (f"rounding hides up to {format_bytes(error)} of a level to either side, against a typical change of "
               f"{format_bytes(typical)} in a{'n' if growth.step == 'hour' else ''} {growth.step}")
