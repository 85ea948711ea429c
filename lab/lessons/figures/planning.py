"""Lesson 8's figure: what a host has asked for so far, and what each size risks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab.answers.plan.answers import LEVEL, Chance
from lab.answers.plan.fan_chart import BANDS
from lab.answers.plan.precomputed import Ensemble, Floats
from lab.lessons import planning
from lab.lessons.intervals import drawing
from lab.lessons.planning import GIB, Answer, Choice
from lab.report import plots
from lab.report.drawings import Drawing
from lab.text import MIB

SIZES_DRAWN = 80
"""Of a curve of risks against sizes."""

_ABOVE_INCHES, _ROW_INCHES, _BELOW_INCHES = 0.4, 2.7, 0.55      # of the title, two panels, and the legend

_SIZE, _REFUSES, _ALERT, _RISK = "#000000", "#D55E00", "#777777", "#CC79A7"


def drawn(ensemble: Ensemble, choice: Choice) -> Drawing:
    """The picture with its words."""
    return drawing("planning", "What the host has asked for at most so far, and the risk of each size",
                   f"Simulated, {ensemble.n} replications, {choice.variant}. Left: the highest level so far, in bands "
                   "over the replications. Right: the risk by data size at the horizon, and of the chosen sizes by "
                   f"day; shaded: the {LEVEL:.0%} intervals.", picture(ensemble, planning.answer(ensemble, choice)))


@plots.styled
def picture(ensemble: Ensemble, found: Answer) -> Figure:
    """Data by day and the risk by size; of a pool, below them, metadata by day and the risk by day."""
    choice, plan, days = found.choice, ensemble.plan, ensemble.days
    demand = ensemble.demands[choice.variant]
    storage = demand.variant.spec.storage
    colour, left = plots.styles([storage])[storage].colour, planning.granted_share(ensemble, choice)
    figure, grid = _panels(2 if demand.is_pool else 1)
    _fan(grid[0][0], days, demand.data_bytes / GIB, colour)
    _levels(grid[0][0], choice.data_bytes / GIB, left)
    grid[0][0].axhline(choice.alert_percent / 100 * choice.data_bytes / GIB, color=_ALERT, linestyle=":",
                       label=f"alert at {choice.alert_percent} %")
    grid[0][0].set_ylabel("data so far, GiB")
    _risk_by_size(grid[0][1], ensemble, found, colour)
    if demand.is_pool:
        _fan(grid[1][0], days, planning.metadata_asked(ensemble, choice) / MIB, colour)
        _levels(grid[1][0], choice.metadata_bytes / MIB, left)
        grid[1][0].set_ylabel("metadata so far, MiB")
        _chances(grid[1][1], days.tolist(), planning.chance_by_day(ensemble, choice), choice.risk, colour)
        grid[1][1].set_ylabel("refused by that day, %")
    for axes in (*(row[0] for row in grid), *(row[1] for row in grid[1:])):
        axes.set_xlabel("days")
        axes.set_xlim(0, plan.horizon_days)
    for row in grid:
        row[0].set_ylim(bottom=0)
    told = [axes.get_legend_handles_labels() for axes in grid[0]]
    figure.legend([one for handles, _ in told for one in handles], [one for _, labels in told for one in labels],
                  loc="lower center", ncols=4, frameon=False)
    plots.entitle(figure, f"{plan.name}: {choice.variant}, {ensemble.n} replications (simulated)")
    return figure


def _panels(rows: int) -> tuple[Figure, list[list[Axes]]]:
    """Two panels a row, at fixed places: so they stay where they are when a slider moves, and are soon drawn."""
    height = _ABOVE_INCHES + rows * _ROW_INCHES + _BELOW_INCHES
    figure = Figure(figsize=(plots.WIDTH_INCHES, height))
    grid = figure.subplots(rows, 2, squeeze=False)
    for axes in grid.flat:
        axes.locator_params(nbins=5)        # numbers are what takes longest to draw
    figure.subplots_adjust(left=0.065, right=0.985, wspace=0.17, hspace=0.26, top=1 - _ABOVE_INCHES / height,
                           bottom=(_BELOW_INCHES + 0.4) / height)
    return figure, [list(row) for row in grid]


def _fan(axes: Axes, days: Floats, curves: Floats, colour: str) -> None:
    told = np.quantile(curves, BANDS, axis=0)
    for low, high, alpha, words in ((0, 4, 0.2, f"{LEVEL:.0%} of replications"), (1, 3, 0.35, "half of them")):
        axes.fill_between(days, told[low], told[high], color=colour, alpha=alpha, linewidth=0, label=words)
    axes.plot(days, told[2], color=colour, linewidth=1.8, label="median")


def _levels(axes: Axes, whole: float, left: float) -> None:
    """The size, and the level above which the daemon refuses, both in the axis's unit."""
    axes.axhline(whole, color=_SIZE, linewidth=1.4, label="size")
    if left < 1:
        axes.axhline(left * whole, color=_REFUSES, linewidth=1.2, linestyle="--", label="the daemon refuses above")


def _risk_by_size(axes: Axes, ensemble: Ensemble, found: Answer, colour: str) -> None:
    choice, wanted = found.choice, found.data
    peaks = ensemble.demands[choice.variant].data_bytes[:, -1] / planning.granted_share(ensemble, choice)
    ends = [choice.data_bytes, float(peaks.min()), float(peaks.max()), wanted.high]
    sizes = np.linspace(0.9 * min(ends), 1.05 * max(ends), SIZES_DRAWN)
    axes.axvspan(wanted.low / GIB, wanted.high / GIB, color="#eeeeee", zorder=0)
    _chances(axes, (sizes / GIB).tolist(), planning.chance_by_size(ensemble, choice, sizes.tolist()), choice.risk,
             colour)
    axes.axvline(choice.data_bytes / GIB, color=_SIZE, linewidth=1.4)
    axes.set_xlabel("data size, GiB (grey: interval of what the accepted risk needs)")
    axes.set_ylabel("data ask for more, %")


def _chances(axes: Axes, places: Sequence[float], chances: Sequence[Chance], risk: float, colour: str) -> None:
    axes.fill_between(places, [100 * one.low for one in chances], [100 * one.high for one in chances], color=colour,
                      alpha=0.2, linewidth=0, step="post")
    axes.plot(places, [100 * one.value for one in chances], color=colour, linewidth=1.8, drawstyle="steps-post")
    axes.axhline(100 * risk, color=_RISK, linewidth=1.4, linestyle="-.", label="accepted risk")
    axes.set_ylim(0, 102)
