"""When a pool will be full if it goes on growing as its log shows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from lab.answers.forecast.growth import LEAST_DAYS, STEP_SECONDS, Growth
from lab.answers.forecast.paths import Blocks, Paths, block_starts, draw_paths
from lab.errors import InputError
from lab.model.metadata.metadata_space import reserve_blocks
from lab.units import METADATA_BLOCK_BYTES, format_bytes

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from lab.answers.forecast.paths import Floats

SHARES = (0.8, 0.9, 1.0)
"""Of the total: the levels whose times are forecast."""

LEVEL = 0.9
"""Of the intervals of days and levels."""

CHANCE_DAYS = (1, 7, 14, 30, 60, 90, 180, 365)
"""Days for which the probability of having been full is told, as far as the horizon goes, and at its end."""

REPORT_POINTS = 60
"""Points in time for which levels are told."""

LONGEST_HORIZON_DAYS = 3660

MOST_PATHS = 100_000

_Z95 = 1.959963984540054

What = Literal["data", "metadata"]


@dataclass(frozen=True)
class Chance:
    """The probability of having been full by ``t_days``; ``low`` to ``high`` is the 95 % interval of the Monte-Carlo
    error alone (Wilson, JASA 22 (1927) 209)."""

    t_days: float
    probability: float
    low: float
    high: float


@dataclass(frozen=True)
class Reach:
    """Days until a share of the total is first reached.

    ``low_days`` to ``high_days`` is the 90 % interval; None: beyond the horizon, as in ``censored`` of all paths.
    ``median_error_days``: half the 95 % interval of the median's Monte-Carlo error, None where it is censored.
    ``straight_line_days``: what a least-squares line through the log says, from the last level on; None: never.
    """

    share: float
    level_bytes: int
    median_days: float | None
    low_days: float | None
    high_days: float | None
    censored: float
    median_error_days: float | None
    straight_line_days: float | None


@dataclass(frozen=True)
class Band:
    """The level at ``t_days``: median and 90 % interval, bytes, cut at the total."""

    t_days: float
    low_bytes: float
    median_bytes: float
    high_bytes: float


@dataclass(frozen=True)
class Highest:
    """The highest level within the horizon, whatever the total: all but a share ``risk`` of the paths stay below it.

    ``low_bytes`` to ``high_bytes``: the 95 % interval of its Monte-Carlo error.  All None where the paths are too few
    for that interval.
    """

    risk: float
    level_bytes: float | None
    low_bytes: float | None
    high_bytes: float | None


@dataclass(frozen=True)
class LevelForecast:
    """Of data or metadata, each as if the other did not fill first."""

    what: What
    used_bytes: int
    total_bytes: int
    straight_line_bytes_per_day: float
    chances: tuple[Chance, ...]
    reaches: tuple[Reach, ...]
    bands: tuple[Band, ...]
    highest: Highest

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class ObservedForecast:
    """``full``: data or metadata, whichever fills first.  ``covered`` is the share of the horizon that the log is long;
    ``warnings`` say what to doubt."""

    growth: Growth
    horizon_days: float
    paths: int
    seed: int
    block_cells: int
    mean_error: bool
    data: LevelForecast
    metadata: LevelForecast | None
    full: tuple[Chance, ...]
    covered: float
    warnings: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """For JSON: the forecast, what it was drawn from, and how the log was repaired."""
        return {"log": self.growth.observed.document(), "growth": self.growth.document(),
                "horizon_days": self.horizon_days, "covered": self.covered, "paths": self.paths, "seed": self.seed,
                "method": "moving-block bootstrap", "block_cells": self.block_cells, "mean_error": self.mean_error,
                "data": self.data.document(),
                "metadata": None if self.metadata is None else self.metadata.document(),
                "full": [asdict(chance) for chance in self.full],
                "warnings": list(self.warnings)}


def forecast(growth: Growth, *, horizon_days: float, paths: int = 4000, seed: int = 0, block_cells: int | None = None,
             data_total_bytes: int | None = None, metadata_total_bytes: int | None = None, risk: float = 0.01,
             mean_error: bool = True) -> ObservedForecast:
    """Levels over the horizon, drawn from the log's increments (``lab.answers.forecast.paths``).

    Blocks have ``block_cells`` cells, by default a week (a day for hour cells) where ``growth`` has enough for its
    pattern, else the cube root of the number of cells (Hall, Horowitz and Jing, Biometrika 82 (1995) 561), and never
    more than the longest stretch.  Totals other than the log's last ask how long a larger pool would do;
    metadata of another size keep another reserve, which the kernel shows as used.  ``risk`` is shared out among data
    and metadata: the levels that each ``Highest`` tells keep it together.
    ``mean_error=False`` leaves out that a short log's mean is itself uncertain.  The same seed gives the same result.

    Raises InputError for a horizon, a number of paths, a block or a risk that cannot be.
    """
    import numpy as np

    _refuse(growth, horizon_days, paths, block_cells, seed, risk, (data_total_bytes, metadata_total_bytes))
    resources: tuple[What, ...] = ("data", "metadata") if growth.has_metadata else ("data",)
    last = growth.observed.frame.iloc[-1]
    asked = {"data": data_total_bytes, "metadata": metadata_total_bytes}
    totals = [int(last[f"{what}_total_bytes"]) if (told := asked[what]) is None else told for what in resources]
    used = [int(last[f"{what}_used_bytes"]) for what in resources]
    if growth.has_metadata and growth.observed.has_reserve is not False:
        change = _reserve_change(int(last["metadata_total_bytes"]), totals[1])
        # where the log does not tell whether there is a reserve, none is taken off
        used[1] = max(used[1] + (change if growth.observed.has_reserve else max(change, 0)), 0)
    blocks = _blocks(growth, resources, block_cells)
    cells = math.ceil(horizon_days / growth.cell_days - 1e-9)
    report = np.unique(np.linspace(0, cells, min(REPORT_POINTS, cells) + 1).round().astype(np.int64))
    drawn = draw_paths(blocks, np.array(used, dtype=np.float64), np.outer(totals, SHARES), cells=cells, paths=paths,
                       report=report, rng=np.random.default_rng(np.random.SeedSequence(seed)), mean_error=mean_error)
    each = risk / len(resources)            # together they may not take more than the risk (Bonferroni)
    told_levels = [_level(growth, what, place, used[place], totals[place], drawn, report, horizon_days, each)
                   for place, what in enumerate(resources)]
    filled = _within(drawn.first[:, :, SHARES.index(1.0)].min(axis=1) * growth.cell_days, horizon_days)
    return ObservedForecast(
        growth=growth, horizon_days=horizon_days, paths=paths, seed=seed, block_cells=blocks.block_cells,
        mean_error=mean_error, data=told_levels[0], metadata=told_levels[1] if growth.has_metadata else None,
        full=_chances(filled, horizon_days),
        covered=min(growth.observed_days / horizon_days, 1.0), warnings=tuple(_warnings(growth, blocks, horizon_days)))


def _reserve_change(before_bytes: int, after_bytes: int) -> int:
    """By how much more a pool shows as used with other metadata."""
    before, after = (reserve_blocks(size_bytes // METADATA_BLOCK_BYTES) for size_bytes in (before_bytes, after_bytes))
    return (after - before) * METADATA_BLOCK_BYTES


def _refuse(growth: Growth, horizon_days: float, paths: int, block_cells: int | None, seed: int,
            risk: float, totals: tuple[int | None, ...]) -> None:
    if not growth.cell_days <= horizon_days <= LONGEST_HORIZON_DAYS:
        raise InputError(f"a horizon (--days) of {horizon_days:g} days; {growth.cell_days:.3g} to "
                         f"{LONGEST_HORIZON_DAYS} expected", where=growth.observed.path)
    if seed < 0:
        raise InputError(f"--seed {seed}; zero or more expected")
    if not 0 < risk < 1:
        raise InputError(f"a risk of {risk:g}; more than 0 and less than 1 expected")
    if any(total is not None and total <= 0 for total in totals):
        raise InputError("a total of zero bytes or fewer; one byte or more expected")
    if not 1 <= paths <= MOST_PATHS:
        raise InputError(f"{paths} paths; 1 to {MOST_PATHS} expected")
    longest = int(growth.cells["stretch"].value_counts().max())
    if block_cells is not None and not 1 <= block_cells <= longest:
        raise InputError(f"blocks of {block_cells} {growth.step}s; 1 to {longest} expected, the longest stretch "
                         "without a gap", where=growth.observed.path)


def _blocks(growth: Growth, resources: tuple[What, ...], block_cells: int | None) -> Blocks:
    import numpy as np

    cells = growth.cells
    longest = int(cells["stretch"].value_counts().max())
    length = block_cells or min(growth.pattern_cells or math.ceil(len(cells) ** (1 / 3)), longest)
    stretches = cells["stretch"].to_numpy(np.int64)
    return Blocks(cells[[f"{what}_increment_bytes" for what in resources]].to_numpy(np.float64),
                  cells[[f"{what}_peak_bytes" for what in resources]].to_numpy(np.float64),
                  block_starts(stretches, length), length)


def _level(growth: Growth, what: What, place: int, used_bytes: int, total_bytes: int, drawn: Paths,
           report: np.ndarray[Any, np.dtype[np.int64]], horizon_days: float, risk: float) -> LevelForecast:
    import numpy as np

    slope = _slope(growth, what)
    first = _within(drawn.first[:, place] * growth.cell_days, horizon_days)
    low, high = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    levels = np.minimum(np.quantile(drawn.levels[:, :, place], [low, 0.5, high], axis=1), total_bytes)
    return LevelForecast(
        what=what, used_bytes=used_bytes, total_bytes=total_bytes, straight_line_bytes_per_day=slope,
        chances=_chances(first[:, SHARES.index(1.0)], horizon_days),
        reaches=tuple(_reach(share, used_bytes, total_bytes, np.sort(first[:, number]), slope)
                      for number, share in enumerate(SHARES)),
        bands=tuple(Band(float(step) * growth.cell_days, *(float(value) for value in levels[:, number]))
                    for number, step in enumerate(report)),
        highest=_highest(np.sort(drawn.highest[:, place]), risk))


def _within(days: Floats, horizon_days: float) -> Floats:
    """The last cell may reach beyond the horizon."""
    import numpy as np

    found: Floats = np.where(days > horizon_days, np.inf, days)
    return found


def _chances(full: Floats, horizon_days: float) -> tuple[Chance, ...]:
    days = sorted({float(day) for day in CHANCE_DAYS if day < horizon_days} | {horizon_days})
    return tuple(_chance(day, int((full <= day).sum()), len(full)) for day in days)


def _chance(t_days: float, count: int, paths: int) -> Chance:
    share, z = count / paths, _Z95
    centre = (share + z * z / (2 * paths)) / (1 + z * z / paths)
    half = z / (1 + z * z / paths) * math.sqrt(share * (1 - share) / paths + z * z / (4 * paths * paths))
    return Chance(t_days, share, max(centre - half, 0.0), min(centre + half, 1.0))


def _reach(share: float, used_bytes: int, total_bytes: int, ordered: np.ndarray[Any, np.dtype[np.float64]],
           slope: float) -> Reach:
    """``ordered``: the paths' days in ascending order, inf where beyond the horizon."""
    import numpy as np

    paths = len(ordered)

    def at(quantile: float) -> float | None:
        rank = min(max(math.ceil(quantile * paths) - 1, 0), paths - 1)
        return float(ordered[rank]) if math.isfinite(ordered[rank]) else None

    spread = _Z95 / 2 / math.sqrt(paths)  # order statistics around the median (David and Nagaraja 2003, 7.1)
    below, above = at(0.5 - spread), at(0.5 + spread)
    level = share * total_bytes
    line = 0.0 if used_bytes >= level else (level - used_bytes) / slope if slope > 0 else None
    return Reach(
        share=share, level_bytes=round(level), median_days=at(0.5), low_days=at((1 - LEVEL) / 2),
        high_days=at((1 + LEVEL) / 2), censored=float(np.isinf(ordered).mean()),
        median_error_days=None if below is None or above is None else (above - below) / 2, straight_line_days=line)


def _highest(ordered: Floats, risk: float) -> Highest:
    """Of the paths' highest levels in ascending order; ends by order statistics, as those of the median."""
    paths, share = len(ordered), 1 - risk
    spread = _Z95 * math.sqrt(share * risk / paths)
    ranks = [math.ceil(quantile * paths) for quantile in (share, share - spread, share + spread)]
    if not 1 <= ranks[1] <= ranks[2] <= paths:
        return Highest(risk, None, None, None)
    return Highest(risk, *(float(ordered[rank - 1]) for rank in ranks))


def _slope(growth: Growth, what: What) -> float:
    """Bytes a day of the least-squares line through the samples since the pool was last made; 0 for a single one."""
    import numpy as np

    frame: pd.DataFrame = growth.observed.frame
    frame = frame[frame["life"] == frame["life"].iloc[-1]]
    days = frame["t_seconds"].to_numpy(np.float64) / 86400
    used = frame[f"{what}_used_bytes"].to_numpy(np.float64)
    days, used = days - days.mean(), used - used.mean()
    spread = float((days**2).sum())
    return float((days * used).sum()) / spread if spread else 0.0


def _warnings(growth: Growth, blocks: Blocks, horizon_days: float) -> Iterator[str]:
    if growth.observed_days < LEAST_DAYS:
        yield (f"the log has {growth.observed_days:.3g} days, under two weeks: what comes weekly or monthly is "
               "hardly in it")
    if growth.observed_days < horizon_days:
        yield (f"the log covers {growth.observed_days / horizon_days:.0%} of the horizon; the rest assumes that growth "
               "goes on as observed")
    if len(blocks.starts) < 10:
        yield f"only {len(blocks.starts)} different blocks of {blocks.block_cells} {growth.step}s to draw from"
    yield from _trend(growth, blocks)
    yield from growth.notes


def _trend(growth: Growth, blocks: Blocks) -> Iterator[str]:
    """Whether the halves of the log differ by more than two standard errors, from the spread of block means."""
    import numpy as np

    half = len(growth.cells) // 2
    count = half / blocks.block_cells
    if count < 4:
        return
    increments = blocks.increments[:, 0] * 86400 / STEP_SECONDS[growth.step]
    older, newer = float(increments[:half].mean()), float(increments[-half:].mean())
    spread = float(np.std(blocks.block_means()[:, 0])) * 86400 / STEP_SECONDS[growth.step]
    if abs(newer - older) > 2 * spread * math.sqrt(2 / count) + 1:  # a byte: no rounding
        yield (f"growth changed: {format_bytes(older)} a day in the first half of the log, {format_bytes(newer)} in "
               "the second; the forecast draws from both")
