"""The fan chart: how full the storage is over time, in how many of the replications."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lab.answers.plan.answers import LEVEL
from lab.answers.plan.ensemble import CURVE_POINTS, CURVES, Floats
from lab.answers.plan.planning import Answers
from lab.report.plots import blank_figure, entitle, styled, styles, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GIB = 1024**3
BANDS = ((1 - LEVEL) / 2, 0.25, 0.5, 0.75, (1 + LEVEL) / 2)
"""Quantiles over the replications, moment by moment."""


def fans(found: Answers) -> dict[str, Floats]:
    """By curve, bytes of shape (5, CURVE_POINTS): the quantiles of ``BANDS``, moment by moment."""
    told = np.stack([one.planned.curves for one in found.replications])
    return {name: np.quantile(told[:, number, :], BANDS, axis=0) for number, name in enumerate(CURVES)}


def fan_chart_png(found: Answers) -> bytes:
    """The chart as PNG."""
    return to_png(fan_chart(found))


@styled
def fan_chart(found: Answers) -> Figure:
    """Data, and metadata where it is a pool, against days; the planned storage, not the one that is proposed."""
    told, plan = fans(found), found.plan
    days = np.linspace(0.0, plan.horizon_days, CURVE_POINTS)
    colour = styles([plan.storage.storage])[plan.storage.storage].colour
    rows = 2 if plan.is_pool else 1
    figure = blank_figure(2.6 * rows + 1.2)
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    total = told["data_total"][2] / _GIB
    draw_fan(axes[0], days, told["data_used"] / _GIB, colour)
    axes[0].plot(days, total, color="#000000", linewidth=1.4, label="size (median)")
    if plan.min_free_share:
        axes[0].plot(days, total * (1 - plan.min_free_share), color="#D55E00", linewidth=1.2, linestyle="--",
                     label=f"the daemon refuses above ({plan.pool.min_free_space_percent} % free)")
    for percent in plan.alerts_percent:
        axes[0].plot(days, total * percent / 100, color="#777777", linewidth=0.9, linestyle=":",
                     label="alerts" if percent == plan.alerts_percent[0] else None)
    axes[0].set_ylabel("data, GiB" if plan.is_pool else "file system, GiB")
    if plan.is_pool:
        draw_fan(axes[1], days, told["metadata_used"] / 1024**2, colour)
        most = found.capacity.metadata_bytes / 1024**2
        axes[1].axhline(most, color="#000000", linewidth=1.4)
        if plan.min_free_share:
            axes[1].axhline(most * (1 - plan.min_free_share), color="#D55E00", linewidth=1.2, linestyle="--")
        axes[1].set_ylabel("metadata, MiB")
    for one in axes:
        one.set_ylim(bottom=0)
        one.set_xlim(0, plan.horizon_days)
    axes[-1].set_xlabel("days")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    entitle(figure, f"{plan.name}: {plan.storage.label}, {found.n} replications (simulated)")
    return figure


def draw_fan(axes: Axes, days: Floats, quantiles: Floats, colour: str, of: str = "replications") -> None:
    """Bands of quantiles, shape (3 or 5, days): the ends, with five the half in the middle too, and the median."""
    middle = len(quantiles) // 2
    axes.fill_between(days, quantiles[0], quantiles[-1], color=colour, alpha=0.2, linewidth=0,
                      label=f"{LEVEL:.0%} of {of}")
    if middle > 1:
        axes.fill_between(days, quantiles[1], quantiles[-2], color=colour, alpha=0.35, linewidth=0,
                          label="half of them")
    axes.plot(days, quantiles[middle], color=colour, linewidth=1.8, label="median")
