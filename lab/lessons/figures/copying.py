"""Lesson 4's figures: measured copies, the closed form against the exact model, and where the curves cross."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from lab.lessons.copy_cost import exact_copies, expected_bytes, first_against_second, pages_until, thornber
from lab.lessons.figures.forest import COLOURS, MARKERS, Mark, forest, name_rows
from lab.lessons.intervals import drawing, indexed
from lab.model.filesystems.filesystem import BLOCK_BYTES as PAGE_BYTES
from lab.model.filesystems.filesystem import blocks_of
from lab.report import plots
from lab.report.drawings import Drawing
from lab.runs.store import Run
from lab.text import MIB, short
from lab.units import format_bytes

COPY_UP = "#555555"


def measured(rows: pd.DataFrame) -> Drawing:
    """``rows``: as ``copy_cost.updated`` gives them."""
    return drawing("update", "Space that an update of an image's file took, measured and expected",
                   "Bars: median of the growth of the storage, with the median's interval. Open squares: what is "
                   "expected of the same number of pages. Dotted line: what the application wrote.", _measured(rows))


@plots.styled
def _measured(rows: pd.DataFrame) -> Figure | None:
    if rows.empty:
        return None
    labels = [str(label) for label in rows.index]
    style = plots.styles(labels)
    figure = plots.blank_figure(0.34 * len(labels) + 1.5)
    axes = figure.subplots()
    for place, label in enumerate(labels):
        took = float(rows["measured_bytes"].iloc[place]) / MIB
        axes.barh(place, took, height=0.66, color=style[label].colour, alpha=0.55)
        low, high = (float(rows[end].iloc[place]) / MIB for end in ("low_bytes", "high_bytes"))
        axes.hlines(place, low, high, color="black", linewidth=1.3)
        axes.plot([float(rows["expected_bytes"].iloc[place]) / MIB], [place], marker="s", markersize=8,
                  markerfacecolor="none", markeredgecolor="black", linestyle="none",
                  label="expected" if not place else None)
        axes.annotate(short(took), (0, place), (6, 0), textcoords="offset points", va="center", fontsize=8)
    axes.axvline(float(rows["application_bytes"].median()) / MIB, color="black", linestyle=":", linewidth=1.6,
                 label="written by the application")
    name_rows(axes, labels)
    axes.set_xlabel("space taken, MiB")
    axes.legend(frameon=False, loc="lower left", ncols=2, bbox_to_anchor=(0, 1.0), borderaxespad=0.1)
    plots.entitle(figure, "An update in the middle of an image's file")
    return figure


def passes(run: Run, workload: str) -> Drawing:
    """Write bandwidth of the first pass ÷ the second, in the layer, for the jobs of a workload."""
    marks = [Mark(job, label, found) for job, label, found in first_against_second(run, workload)]
    return drawing("first-pass", "Write bandwidth of the first pass over an image's file against the second",
                   "Left of 1: the first pass, which copies, is the slower one.",
                   forest(marks, title="First pass ÷ second pass", xlabel="ratio of bandwidths (log)"))


def closed_form(file_bytes: int, blocks_bytes: Sequence[int], seeds: Sequence[int]) -> Drawing:
    """The closed form as lines, the exact model as points with their span over the seeds."""
    return drawing("closed-form", "Copied data blocks against the number of random writes",
                   f"A file of {format_bytes(file_bytes)}. Lines: the closed form. Points: the exact model, mean of "
                   f"{len(seeds)} seeds; bars from the least to the most. Places drawn with repetition.",
                   _closed_form(file_bytes, blocks_bytes, seeds))


def deviations(file_bytes: int, blocks_bytes: Sequence[int], writes: Sequence[int],
               seeds: Sequence[int]) -> pd.DataFrame:
    """A row a block size and number of writes: the closed form, and the exact model's mean and standard error."""
    rows = []
    for size in blocks_bytes:
        copies = np.array([exact_copies(file_bytes, size, writes, seed) for seed in seeds], dtype=np.float64)
        for place, count in enumerate(writes):
            own = copies[:, place]
            error = float(own.std(ddof=1)) / len(seeds) ** 0.5 if len(seeds) > 1 else float("nan")
            rows.append((format_bytes(size), count, thornber(count, -(-file_bytes // size)), float(own.mean()), error))
    return pd.DataFrame(rows, columns=["data blocks of", "writes", "closed form", "exact model, mean",
                                       "standard error"]).set_index(["data blocks of", "writes"])


@plots.styled
def _closed_form(file_bytes: int, blocks_bytes: Sequence[int], seeds: Sequence[int]) -> Figure:
    figure = plots.blank_figure(4.0)
    share, taken = figure.subplots(1, 2)
    pages = blocks_of(file_bytes)
    writes = sorted({int(count) for count in np.geomspace(1, 2 * pages, 14)})
    smooth = sorted({int(count) for count in np.geomspace(1, 2 * pages, 120)})
    for number, size in enumerate(blocks_bytes):
        blocks, colour = -(-file_bytes // size), COLOURS[number % len(COLOURS)]
        copies = np.array([exact_copies(file_bytes, size, writes, seed) for seed in seeds], dtype=np.float64)
        for axes, scale in ((share, 1 / blocks), (taken, size / MIB)):
            axes.plot(smooth, [scale * thornber(count, blocks) for count in smooth], color=colour,
                      label=f"blocks of {format_bytes(size)}" if axes is share else None)
            axes.vlines(writes, (scale * copies.min(axis=0)).tolist(), (scale * copies.max(axis=0)).tolist(),
                        color=colour, linewidth=1.2)
            axes.plot(writes, (scale * copies.mean(axis=0)).tolist(), color=colour, linestyle="none",
                      marker=MARKERS[number % len(MARKERS)], markersize=4.5)
    for axes in (share, taken):
        axes.set_xscale("log")
        plots.plain_ticks(axes.xaxis)
        axes.set_xlabel("random writes of 4 KiB (log)")
        axes.set_ylim(bottom=0)
    share.set_ylabel("share of the data blocks copied")
    taken.set_ylabel("copied, MiB")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    plots.entitle(figure, "Copy-on-write by random writes: closed form and exact model")
    return figure


def crossings(files_bytes: Sequence[int], blocks_bytes: Sequence[int], share: float) -> pd.DataFrame:
    """A row a file, a column a block size: the amount rewritten at which block copies take that share of a copy-up."""
    rows = [(format_bytes(size), *(format_bytes(pages_until(size, block, share) * PAGE_BYTES)
                                   for block in blocks_bytes)) for size in files_bytes]
    return indexed(rows, ["file of", *(f"blocks of {format_bytes(block)}" for block in blocks_bytes)])


def costs(files_bytes: Sequence[int], blocks_bytes: Sequence[int]) -> Drawing:
    """A panel a file: the space that a copy-up takes, and that data blocks take, against the amount rewritten."""
    return drawing("crossing", "Space taken by a copy-up and by copied data blocks against the amount rewritten",
                   "Expected, for pages drawn without repetition; both axes are logarithmic. A line above the dashed "
                   "one: there the copy-up is the cheaper way.", _costs(files_bytes, blocks_bytes))


@plots.styled
def _costs(files_bytes: Sequence[int], blocks_bytes: Sequence[int]) -> Figure | None:
    if not files_bytes:
        return None
    figure = plots.blank_figure(3.9)
    grid = figure.subplots(1, len(files_bytes), squeeze=False)[0]
    for axes, size in zip(grid, files_bytes, strict=True):
        pages = sorted({int(count) for count in np.geomspace(1, blocks_of(size), 80)})
        amounts = [count * PAGE_BYTES / 1024 for count in pages]
        axes.plot(amounts, [size / MIB] * len(amounts), color=COPY_UP, linestyle="--", linewidth=1.8,
                  label="copy-up" if axes is grid[0] else None)
        for number, block in enumerate(blocks_bytes):
            axes.plot(amounts, [expected_bytes(size, block, count) / MIB for count in pages],
                      color=COLOURS[number % len(COLOURS)],
                      label=f"blocks of {format_bytes(block)}" if axes is grid[0] else None)
        _log_log(axes)
        axes.set_title(f"a file of {format_bytes(size)}", loc="left")
        axes.set_xlabel("rewritten, KiB (log)")
    grid[0].set_ylabel("space taken, MiB (log)")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    plots.entitle(figure, "Copy-up against copied data blocks (expected)")
    return figure


def _log_log(axes: Axes) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    plots.plain_ticks(axes.xaxis, axes.yaxis)
    axes.xaxis.set_major_locator(LogLocator(base=2, numticks=6))
