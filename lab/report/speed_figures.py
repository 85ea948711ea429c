"""Figures of what fio jobs reached: bandwidth, first write against rewrite, latency.  None where there is nothing.

Every run is drawn: a bar or a line goes through medians, and each repetition is a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.analysis import stats
from lab.analysis.facts import job_name
from lab.metrics import BANDWIDTHS, STATISTICS, metric
from lab.report.plots import (
    Style,
    blank_figure,
    entitle,
    legend,
    offsets,
    plain_log,
    points,
    repetitions_told,
    styled,
    styles,
)
from lab.text import MIB, short

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PERCENTILES = ("p50", "p95", "p99", "p999")


@styled
def throughput(measurements: pd.DataFrame, workload: str, style: dict[str, Style] | None = None) -> Figure | None:
    """Bandwidth of each fio job's first pass: a bar is the median, a point is one run.  Rows jobs, columns targets."""
    frame = stats.prepare(measurements)
    frame = frame[(frame["workload"] == workload) & frame["metric"].isin(BANDWIDTHS)
                  & (frame["value"] > 0) & ~frame["phase"].str.contains(r"#\d+$", regex=True)]
    if frame.empty:
        return None
    labels, targets, rows = _axes_of(frame)
    style = style or styles(labels)
    figure = blank_figure(len(rows) * (0.27 * len(labels) + 0.55) + 0.9)
    grid = figure.subplots(len(rows), len(targets), squeeze=False, sharex="row")
    for line, (phase, name) in enumerate(rows):
        for column, target in enumerate(targets):
            axes = grid[line, column]
            part = frame[(frame["phase"] == phase) & (frame["metric"] == name) & (frame["target"] == target)]
            for place, label in enumerate(labels):
                values = part.loc[part["label"] == label, "value"] / MIB
                if values.empty:
                    axes.text(0, place, " no value", va="center", fontsize=7.5, color="#777777")
                    continue
                axes.barh(place, values.median(), height=0.68, color=style[label].colour, alpha=0.55)
                points(axes, values.tolist(), place, style[label])
                axes.annotate(short(float(values.median())), (max(values), place), (6, 0), textcoords="offset points",
                              va="center", fontsize=8)
            _storage_axis(axes, labels, column == 0)
            axes.set_title(f"{job_name(phase, name)}, {target}   ({repetitions_told(part)})", loc="left")
            whole = frame.loc[(frame["phase"] == phase) & (frame["metric"] == name), "value"]
            axes.set_xlim(0, 1.17 * float(whole.max()) / MIB)
    for axes in grid[-1]:
        axes.set_xlabel("bandwidth, MiB/s")
    entitle(figure, f"Throughput, first pass: {workload}")
    return figure


@styled
def first_against_rewrite(measurements: pd.DataFrame, workload: str,
                          style: dict[str, Style] | None = None) -> Figure | None:
    """The write bandwidth of pass 1 (hollow) and later passes (filled) over the same file; a line is one run."""
    frame = stats.prepare(measurements)
    frame = frame[(frame["workload"] == workload) & (frame["metric"] == "write_bandwidth")
                  & (frame["value"] > 0)].copy()
    parts = frame["phase"].str.extract(r"^(?P<base>.*?)(?:#(?P<pass>\d+))?$")
    frame["pass"] = parts["pass"].fillna("1").astype(int)
    frame["phase"] = parts["base"].fillna("")
    repeated = frame.loc[frame["pass"] > 1, "phase"].unique()
    frame = frame[frame["phase"].isin(list(repeated))]
    if frame.empty:
        return None
    labels, targets, rows = _axes_of(frame)
    style = style or styles(labels)
    figure = blank_figure(len(rows) * (0.3 * len(labels) + 0.6) + 0.9)
    grid = figure.subplots(len(rows), len(targets), squeeze=False, sharex="row")
    for line, (phase, _) in enumerate(rows):
        for column, target in enumerate(targets):
            axes = grid[line, column]
            part = frame[(frame["phase"] == phase) & (frame["target"] == target)]
            for place, label in enumerate(labels):
                own = part[part["label"] == label]
                repetitions = sorted(own["repetition"].unique())
                for offset, repetition in zip(offsets(len(repetitions), 0.5), repetitions, strict=True):
                    run = own[own["repetition"] == repetition].sort_values("pass")
                    x = (run["value"] / MIB).tolist()
                    axes.plot(x, [place + offset] * len(x), color=style[label].colour, linewidth=1.3, alpha=0.7)
                    for order, value in zip(run["pass"], x, strict=True):
                        axes.plot([value], [place + offset], marker=style[label].marker, markersize=5.5,
                                  color=style[label].colour, markerfacecolor="white" if order == 1 else None)
            _storage_axis(axes, labels, column == 0)
            axes.set_xscale("log")
            plain_log(axes, "x")
            axes.set_title(f"{phase}, write, {target}   ({repetitions_told(part)})", loc="left")
    for axes in grid[-1]:
        axes.set_xlabel("write bandwidth, MiB/s (log)")
    entitle(figure, f"First write (hollow) against rewrite (filled): {workload}")
    return figure


@styled
def latency(measurements: pd.DataFrame, workload: str, style: dict[str, Style] | None = None) -> Figure | None:
    """Latency percentiles of each fio job's first pass on a log axis: line through medians, a point each run."""
    frame = stats.prepare(measurements)
    entries = [metric(str(name)) for name in frame["metric"]]
    frame["percentile"], frame["kind"] = [one.statistic for one in entries], [one.way for one in entries]
    frame = frame[(frame["workload"] == workload) & frame["percentile"].isin(PERCENTILES) & (frame["value"] > 0)
                  & ~frame["phase"].str.contains(r"#\d+$", regex=True)].copy()
    if frame.empty:
        return None
    frame["metric"] = frame["kind"]
    labels, targets, rows = _axes_of(frame)
    style = style or styles(labels)
    figure = blank_figure(len(rows) * 1.95 + 1.0)
    grid = figure.subplots(len(rows), len(targets), squeeze=False, sharey="row")
    for line, (phase, kind) in enumerate(rows):
        for column, target in enumerate(targets):
            axes = grid[line, column]
            part = frame[(frame["phase"] == phase) & (frame["kind"] == kind) & (frame["target"] == target)]
            for offset, label in zip(offsets(len(labels), 0.36), labels, strict=True):
                own = part[part["label"] == label]
                groups = [(index + offset, (own.loc[own["percentile"] == name, "value"] * 1000).tolist())
                          for index, name in enumerate(PERCENTILES)]
                groups = [(x, values) for x, values in groups if values]
                axes.plot([x for x, _ in groups], [stats.median_interval(values).centre for _, values in groups],
                          color=style[label].colour, linewidth=1.4, label=label)
                for x, values in groups:
                    axes.plot([x] * len(values), values, linestyle="none", marker=style[label].marker, markersize=4,
                              color=style[label].colour, markeredgecolor="white", markeredgewidth=0.4)
            axes.set_xticks(range(len(PERCENTILES)), [STATISTICS[name] for name in PERCENTILES])
            axes.set_xlim(-0.4, len(PERCENTILES) - 0.6)
            axes.set_yscale("log")
            plain_log(axes, "y")
            axes.set_title(f"{phase}, {kind}, {target}   ({repetitions_told(part)})", loc="left")
            if column == 0:
                axes.set_ylabel("latency, ms (log)")
    for axes in grid[-1]:
        axes.set_xlabel("percentile")
    legend(figure, labels, style)
    entitle(figure, f"Latency, first pass: {workload}")
    return figure


def _axes_of(frame: pd.DataFrame) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    labels = sorted(frame["label"].unique(), key=stats.rank)
    rows = list(dict.fromkeys(zip(frame["phase"], frame["metric"], strict=True)))
    return labels, sorted(frame["target"].unique()), rows


def _storage_axis(axes: Axes, labels: Sequence[str], named: bool) -> None:
    axes.set_yticks(range(len(labels)), list(labels) if named else [""] * len(labels))
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
