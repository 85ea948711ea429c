"""Figures of predictions against measurements.  Frames are ``residuals.INCREMENT_COLUMNS``; None without data."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from lab.analysis import stats
from lab.analysis.facts import percent
from lab.report import plots
from lab.text import MIB, tick

BAND = 0.1
NEAR_MIB = 10.0
LINEAR_MIB = 1.0
"""Where the axes of the first panel turn from linear to logarithmic."""

_NAMED = 40


@plots.styled
def predicted_against_measured(rows: pd.DataFrame) -> Figure | None:
    """What each phase added: all on a symmetric log scale, and those below 10 MiB; a point a phase and repetition."""
    if rows.empty:
        return None
    labels = sorted(rows["storage"].unique(), key=stats.rank)
    style = plots.styles(labels)
    figure = plots.blank_figure(5.8)
    wide, near = figure.subplots(1, 2)
    small = rows[(rows["measured"].abs() < NEAR_MIB * MIB) & (rows["simulated"].abs() < NEAR_MIB * MIB)]
    limit = 1.3 * max(float(rows[["measured", "simulated"]].abs().to_numpy().max()) / MIB, LINEAR_MIB)
    for axes, part, edge in ((wide, rows, limit), (near, small, NEAR_MIB)):
        _band(axes, edge, f"within {percent(BAND)}" if axes is wide else None)
        for label in labels:
            own = part[part["storage"] == label]
            axes.plot((own["measured"] / MIB).tolist(), (own["simulated"] / MIB).tolist(), linestyle="none",
                      marker=style[label].marker, markersize=5, alpha=0.75, color=style[label].colour,
                      markeredgecolor="white", markeredgewidth=0.4, label=label if axes is wide else None)
        axes.set_xlim(-edge, edge)
        axes.set_ylim(-edge, edge)
        axes.set_box_aspect(1)
        axes.set_xlabel("measured, MiB")
    _symmetric_log(wide, limit)
    wide.set_ylabel("simulated, MiB")
    wide.set_title(f"all (linear within ±{tick(LINEAR_MIB)} MiB, else log; n = {len(rows)})", loc="left")
    near.set_title(f"below {tick(NEAR_MIB)} MiB (n = {len(small)})", loc="left")
    figure.legend(loc="outside lower center", ncols=min(len(labels) + 1, 6), frameon=False)
    plots.entitle(figure, "What each phase added: simulated against measured")
    return figure


@plots.styled
def occupancy(rows: pd.DataFrame, title: str = "") -> Figure | None:
    """Space above the cell's begin after each phase of one cell: measured, simulated, and by the straight line.

    Below it the residual of each phase.
    """
    if rows.empty:
        return None
    rows = rows.sort_values("order", kind="stable")
    places = list(range(len(rows)))
    figure = plots.blank_figure(5.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    storage = str(rows["storage"].iloc[0])
    own = plots.styles([storage])[storage].colour
    for column, name, colour, line, width in (("measured_occupancy", "measured", "black", "-", 2.4),
                                              ("simulated_occupancy", "simulated", own, "--", 1.6),
                                              ("straight_occupancy", "straight line", "#7F7F7F", ":", 1.6)):
        above.plot(places, (rows[column] / MIB).tolist(), color=colour, linestyle=line, linewidth=width, label=name,
                   marker="o" if len(places) <= _NAMED else None, markersize=3.5)
    above.axhline(0, color="#555555", linewidth=0.8)
    above.set_ylabel("space above the begin, MiB")
    above.legend(frameon=False, loc="upper left", ncols=3, bbox_to_anchor=(0, 1.14), borderaxespad=0)
    below.bar(places, ((rows["simulated"] - rows["measured"]) / MIB).tolist(), color=own, width=0.7)
    below.axhline(0, color="#555555", linewidth=0.8)
    below.set_ylabel("simulated less\nmeasured, MiB")
    step = -(-len(places) // _NAMED)
    below.set_xticks(places[::step], rows["phase"].tolist()[::step], rotation=60, ha="right")
    plots.entitle(figure, title or f"Space after each phase: {rows['cell'].iloc[0]}")
    return figure


@plots.styled
def profile(values: Sequence[float], squares: Sequence[float], best: float, name: str) -> Figure | None:
    """The sum of squared residuals against one parameter, all others at their best."""
    if not len(values):
        return None
    figure = plots.blank_figure(2.9)
    axes = figure.subplots()
    axes.plot(list(values), list(squares), color="#0072B2", marker="o")
    axes.axvline(best, color="#D55E00", linestyle="--", linewidth=1.2, label="fitted")
    axes.set_ylim(bottom=0)
    axes.set_xticks(list(values))
    axes.set_xlabel(name)
    axes.set_ylabel("sum of squared residuals,\ndata blocks²")
    axes.legend(frameon=False)
    plots.entitle(figure, f"How well each value of {name} fits")
    return figure


def _band(axes: Axes, edge: float, label: str | None) -> None:
    """The diagonal and what lies within 10 % of the measured value, from -edge to edge."""
    steps = [edge * step / 400 for step in range(-400, 401)]
    axes.fill_between(steps, [(1 - BAND) * x for x in steps], [(1 + BAND) * x for x in steps], color="#cccccc",
                      alpha=0.6, linewidth=0, label=label)
    axes.plot([-edge, edge], [-edge, edge], color="#777777", linewidth=0.8)


def _symmetric_log(axes: Axes, limit: float) -> None:
    powers = [10.0**power for power in range(5) if 10.0**power <= limit]
    for set_scale, axis in ((axes.set_xscale, axes.xaxis), (axes.set_yscale, axes.yaxis)):
        set_scale("symlog", linthresh=LINEAR_MIB)
        axis.set_major_locator(FixedLocator([*(-power for power in powers), 0.0, *powers]))
        axis.set_minor_locator(NullLocator())
        plots.plain_ticks(axis)
