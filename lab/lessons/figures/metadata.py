"""Lesson 9's figures."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lab.lessons.figures.forest import COLOURS, MARKERS
from lab.lessons.intervals import drawing
from lab.lessons.metadata_growth import ORDERS, Filling
from lab.report import plots
from lab.report.drawings import Drawing

RULES = (("thin_metadata_size", "--"), ("kernel's rule", ":"))


def by_size(table: pd.DataFrame) -> Drawing:
    """``table``: as ``metadata_growth.by_size`` gives it."""
    return drawing("metadata-size", "Metadata of a pool that one device fills, by the model and by two rules",
                   "Points: the exact model, without the reserve. Lines: the rules. Both axes are logarithmic.",
                   _by_size(table))


@plots.styled
def _by_size(table: pd.DataFrame) -> Figure | None:
    if table.empty:
        return None
    figure = plots.blank_figure(3.9)
    whole, near = figure.subplots(1, 2)
    for axes, values in ((whole, table), (near, table.div(table["sequential"], axis=0))):
        _rules(axes, values)
        for number, order in enumerate(ORDERS):
            axes.plot(values.index.tolist(), values[order].tolist(), color=COLOURS[number], marker=MARKERS[number],
                      label=f"needed: {order} fill")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel("data blocks of the pool (log)")
        _plain(axes)
    whole.set_ylabel("metadata, MiB (log)")
    near.set_ylabel("÷ what the sequential fill needs (log)")
    figure.legend(*whole.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    plots.entitle(figure, "One device fills the pool: what metadata it needs (simulated)")
    return figure


def by_containers(table: pd.DataFrame) -> Drawing:
    """``table``: as ``metadata_growth.by_containers`` gives it."""
    return drawing("metadata-containers", "Metadata against the number of containers of one image",
                   "Simulated, without the reserve; each container is a snapshot that writes here and there. Lines: "
                   "the rules, which count data blocks. Right: the data that the pool holds.", _by_containers(table))


@plots.styled
def _by_containers(table: pd.DataFrame) -> Figure | None:
    if table.empty:
        return None
    figure = plots.blank_figure(3.9)
    left, right = figure.subplots(1, 2)
    counts = [int(count) for count in table.index]
    left.plot(counts, table["metadata"].tolist(), color=COLOURS[0], marker="o", label="needed")
    _rules(left, table)
    left.set_ylabel("metadata, MiB")
    right.plot(counts, table["data"].tolist(), color=COLOURS[1], marker="s")
    right.set_ylabel("data in use, MiB")
    for axes in (left, right):
        axes.set_xlabel("containers")
        axes.set_ylim(bottom=0)
    left.legend(frameon=False)
    plots.entitle(figure, "Snapshots that write here and there (simulated)")
    return figure


def filling(found: Filling, title: str) -> Drawing:
    """A pool as containers fill it, until it takes no more."""
    return drawing("metadata-full", "Shares of data and metadata in use against the number of containers",
                   f"Simulated. {title}: {found.filled} filled first, after {found.held:,} containers. The metadata's "
                   "share holds the reserve, as the kernel shows it.", _filling(found, title))


@plots.styled
def _filling(found: Filling, title: str) -> Figure:
    figure = plots.blank_figure(3.4)
    axes = figure.subplots()
    for number, what in enumerate(("data", "metadata")):
        axes.plot(found.rows["containers"].tolist(), (100 * found.rows[what]).tolist(), color=COLOURS[number],
                  drawstyle="steps-post", linewidth=2, label=what)
    axes.axhline(100, color="#333333", linewidth=0.9)
    axes.axvline(found.held, color="#777777", linestyle="--", linewidth=1.0, label="the last one that was well")
    axes.set_ylim(0, 108)
    axes.set_xlim(left=0)
    axes.set_xlabel("containers")
    axes.set_ylabel("in use, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, loc="lower left", ncols=3)
    plots.entitle(figure, f"{title} (simulated)")
    return figure


def recorded(table: pd.DataFrame, what: str) -> Drawing:
    """``table``: as ``metadata_growth.recorded`` gives it, of a case in which one device is filled."""
    return drawing("metadata-recorded", "Used metadata blocks against mapped blocks, recorded and simulated",
                   f"{what}. Circles: what dmsetup status showed; line: the exact model over the same writes.",
                   _recorded(table, what))


@plots.styled
def _recorded(table: pd.DataFrame, what: str) -> Figure | None:
    known = table[table["kernel"].notna()]
    if known.empty:
        return None
    figure = plots.blank_figure(3.2)
    axes = figure.subplots()
    modelled = table[table["model"].notna()]
    axes.plot(modelled["data blocks"].tolist(), modelled["model"].tolist(), color=COLOURS[0], label="exact model")
    axes.plot(known["data blocks"].tolist(), known["kernel"].tolist(), linestyle="none", marker="o", markersize=7,
              markerfacecolor="none", markeredgecolor="black", label="kernel, recorded")
    axes.set_xlabel("data blocks in use")
    axes.set_ylabel("metadata blocks in use")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="lower right")
    plots.entitle(figure, what)
    return figure


def _rules(axes: Axes, table: pd.DataFrame) -> None:
    """What both rules ask for, a line each, against the table's index."""
    for name, line in RULES:
        axes.plot(table.index.tolist(), table[name].tolist(), color="#333333", linestyle=line, label=name)


def _plain(axes: Axes) -> None:
    plots.plain_ticks(axes.xaxis, axes.yaxis)
