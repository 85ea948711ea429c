"""Ratios with their intervals, one below the other, on a log axis: hollow where there is no interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from lab.analysis.stats import Estimate
from lab.lessons.intervals import n_text
from lab.report import plots

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C510A", "#5E3C99", "#7F7F7F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")


@dataclass(frozen=True)
class Mark:
    """One ratio: the row that it stands in, and the series that gives it its colour."""

    row: str
    series: str
    found: Estimate


@plots.styled
def forest(marks: Sequence[Mark], *, title: str, xlabel: str) -> Figure | None:
    """A row a ``row``, a colour a ``series``; None where there is no ratio."""
    marks = [mark for mark in marks if mark.found.n and mark.found.centre == mark.found.centre]
    if not marks:
        return None
    rows = list(dict.fromkeys(mark.row for mark in marks))
    series = list(dict.fromkeys(mark.series for mark in marks))
    shifts = dict(zip(series, plots.offsets(len(series), 0.76), strict=True))
    figure = plots.blank_figure(len(rows) * (0.15 * len(series) + 0.14) + 1.4)
    axes = figure.subplots()
    for place, row in enumerate(rows):
        if place % 2:
            axes.axhspan(place - 0.5, place + 0.5, color="#f4f4f4", zorder=0)
        for mark in (mark for mark in marks if mark.row == row):
            number = series.index(mark.series)
            colour, y = COLOURS[number % len(COLOURS)], place + shifts[mark.series]
            if mark.found.low is not None and mark.found.high is not None:
                axes.plot([mark.found.low, mark.found.high], [y, y], color=colour, linewidth=1.8, alpha=0.6)
            axes.plot([mark.found.centre], [y], marker=MARKERS[number % len(MARKERS)], markersize=5.5, color=colour,
                      markerfacecolor="white" if mark.found.low is None else colour, linestyle="none")
    axes.axvline(1, color="#333333", linewidth=1.0)
    name_rows(axes, rows)
    axes.tick_params(axis="y", length=0)
    _log_axis(axes)
    axes.set_xlabel(xlabel)
    _legend(figure, series)
    told = n_text(mark.found.n for mark in marks)
    plots.entitle(figure, f"{title}   ({told}; hollow: no interval)" if any(
        mark.found.low is None for mark in marks) else f"{title}   ({told})")
    return figure


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """A row a name on the axis of y, the first on top, and no lines between them."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def _log_axis(axes: Axes) -> None:
    """Plain numbers, and enough of them however short the axis is."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    low, high = min(low, 0.9), max(high, 1.12)
    axes.set_xlim(low, high)
    if high / low < 4:                                  # so short that parts of a decade leave one number or none
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low > 8 else (1, 1.5, 2, 3, 5, 7)))
    plots.plain_ticks(axes.xaxis)


def _legend(figure: Figure, series: Sequence[str]) -> None:
    handles = [Line2D([], [], color=COLOURS[number % len(COLOURS)], marker=MARKERS[number % len(MARKERS)],
                      linewidth=1.8, label=name) for number, name in enumerate(series)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4), frameon=False)
