"""The figure of ratios that settle: each with its interval, against the number of repetitions."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.analysis.comparisons import Running
from lab.report.plots import blank_figure, entitle, plain_log, styled
from lab.text import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def interval_against_n(running: Sequence[Running]) -> Figure | None:
    """How ratios and their intervals settle as repetitions are added, a panel each."""
    shown = [one for one in running if one.estimates]
    if not shown:
        return None
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = blank_figure(2.3 * rows + 0.9)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, one in zip(grid.flat, shown, strict=False):
        _running_panel(axes, one)
    for axes in list(grid.flat)[len(shown):]:
        axes.set_visible(False)
    entitle(figure, "Ratio and its interval against the number of repetitions")
    return figure


def _running_panel(axes: Axes, one: Running) -> None:
    from matplotlib.ticker import MaxNLocator

    last = one.estimates[-1]
    if one.wanted is not None:
        axes.axhspan(last.centre / (1 + one.wanted), last.centre * (1 + one.wanted), color="#fbe9c8", zorder=0)
    numbers = [found.n for found in one.estimates]
    axes.plot(numbers, [found.centre for found in one.estimates], color="#0072B2", marker="o", markersize=4)
    bars = [(found.n, found.low, found.high) for found in one.estimates
            if found.low is not None and found.high is not None]
    axes.vlines([n for n, _, _ in bars], [low for _, low, _ in bars], [high for _, _, high in bars], color="#0072B2",
                linewidth=2, alpha=0.55)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if low * 0.8 < 1 < high * 1.25:
        axes.axhline(1, color="#555555", linewidth=0.9, linestyle="--")
    _few_numbers(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.5, numbers[-1] + 0.5)
    width = "" if last.low is None else f"\n±{short(100 * (last.centre / last.low - 1), 2)} % at n = {last.n}"
    axes.set_title(textwrap.fill(one.title, 46) + width, loc="left", fontsize=8)
    axes.set_xlabel("repetitions")


def _few_numbers(axes: Axes) -> None:
    """Some four plain numbers on a log axis, however little of it there is."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    low, high = axes.get_ylim()
    ticks = [float(tick) for tick in MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
    if high / low > 20:
        return plain_log(axes, "y")
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value, 4)))
    axes.yaxis.set_minor_locator(NullLocator())
