"""The fan chart of a log: what was observed, and what it may become."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lab.answers.forecast.answers import ObservedAnswers
from lab.answers.forecast.forecast import LevelForecast
from lab.answers.plan.fan_chart import draw_fan
from lab.model.pool.min_free_space import MIN_FREE_SHARE
from lab.report.plots import blank_figure, entitle, styled, styles, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_UNITS = {"data": (1024**3, "data, GiB"), "metadata": (1024**2, "metadata, MiB")}


def observed_chart_png(found: ObservedAnswers) -> bytes:
    """The chart as PNG."""
    return to_png(observed_chart(found))


@styled
def observed_chart(found: ObservedAnswers) -> Figure:
    """Data, and metadata where the log tells them, against days from the last sample on."""
    shown = [found.forecast.data, *([found.forecast.metadata] if found.forecast.metadata is not None else [])]
    figure = blank_figure(2.6 * len(shown) + 1.2)
    axes = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for one, level in zip(axes, shown, strict=True):
        _draw(one, found, level)
    axes[-1].set_xlabel("days from the last sample on")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    pool = found.forecast.growth.observed.pool or "a pool"
    entitle(figure, f"{pool}: observed, and {found.forecast.paths} paths drawn from it")
    return figure


def _draw(axes: Axes, found: ObservedAnswers, level: LevelForecast) -> None:
    unit, label = _UNITS[level.what]
    frame = found.forecast.growth.observed.frame
    seconds = frame["t_seconds"].to_numpy(np.float64)
    past = (seconds - seconds[-1]) / 86_400
    axes.plot(past, frame[f"{level.what}_used_bytes"].to_numpy(np.float64) / unit, color="#000000", linewidth=0.9,
              label="observed")
    days = np.array([band.t_days for band in level.bands])
    quantiles = np.array([[band.low_bytes, band.median_bytes, band.high_bytes] for band in level.bands]).T / unit
    draw_fan(axes, days, quantiles, styles(["direct-lvm"])["direct-lvm"].colour, of="paths")
    axes.axhline(level.total_bytes / unit, color="#000000", linewidth=1.4, label="size")
    axes.axhline((1 - MIN_FREE_SHARE) * level.total_bytes / unit, color="#D55E00", linewidth=1.2, linestyle="--",
                 label="Docker refuses above (10 % free)")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    axes.set_xlim(past[0], found.forecast.horizon_days)
