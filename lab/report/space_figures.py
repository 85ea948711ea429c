"""Figures of the space that a run used: against time, and what each phase added.  None where there is nothing to draw.

Every run is drawn: a bar is a median, and each repetition is a point on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.analysis import stats
from lab.analysis.comparisons import GROWTH_FLOOR_BYTES
from lab.metrics import BANDWIDTHS, growth_of, used_of
from lab.report.plots import (
    Style,
    blank_figure,
    entitle,
    legend,
    offsets,
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


@styled
def space_over_time(samples: pd.DataFrame, workload: str, target: str,
                    style: dict[str, Style] | None = None) -> Figure | None:
    """Space against time, a panel a storage, since the cell's start; the phases of the first repetition as bands."""
    frame = stats.prepare(samples)
    frame = frame[(frame["workload"] == workload) & (frame["target"] == target)]
    used = frame[frame["metric"] == used_of(target)]
    labels = sorted(used["label"].unique(), key=stats.rank)
    if not labels or len(used) < 2:
        return None
    style = style or styles(labels)
    figure = blank_figure(1.35 * len(labels) + 1.0)
    grid = figure.subplots(len(labels), 1, sharex=True, sharey=True, squeeze=False)
    longest = max(float(used["t_seconds"].max()), 1.0)
    upright = False
    for axes, label in zip(grid[:, 0], labels, strict=True):
        own = used[used["label"] == label]
        repetitions = sorted(own["repetition"].unique())
        upright |= _bands(axes, own[own["repetition"] == repetitions[0]].sort_values("t_seconds"), longest)
        axes.axhline(0, color="#555555", linewidth=0.8)
        for repetition in repetitions:
            line = own[own["repetition"] == repetition].sort_values("t_seconds")
            first = repetition == repetitions[0]
            axes.plot(line["t_seconds"], (line["value"] - line["value"].iloc[0]) / MIB, color=style[label].colour,
                      linewidth=1.8 if first else 1.0, alpha=1 if first else 0.55, drawstyle="steps-post",
                      label="space used" if first else None)
        sparse = frame[(frame["label"] == label) & (frame["metric"] == "loop_data_allocated")
                       & (frame["repetition"] == repetitions[0])].sort_values("t_seconds")
        if target != "volume" and len(sparse) > 1:
            axes.plot(sparse["t_seconds"], (sparse["value"] - sparse["value"].iloc[0]) / MIB, color="black",
                      linewidth=1.0, linestyle=":", label="sparse file on disk")
            axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.1, frameon=False,
                        fontsize=7.5)      # above the panel, where no phase's name and no line can lie under it
        axes.set_title(f"{label}   ({repetitions_told(own)})", loc="left", color=style[label].colour, fontweight="bold")
        axes.set_xlim(0, longest)
    tops = [axes.dataLim.intervaly for axes in grid[:, 0]]
    low, high = min(0.0, *(float(top[0]) for top in tops)), max(0.0, *(float(top[1]) for top in tops))
    span = (high - low) or 1.0
    grid[0, 0].set_ylim(low - 0.08 * span, high + (0.75 if upright else 0.3) * span)     # room for the phases' names
    grid[-1, 0].set_xlabel("time since the cell's start, s")
    figure.supylabel("space used, MiB, against the cell's start", fontsize=9)
    entitle(figure, f"Space over time: {workload}, {target}")
    return figure


@styled
def space_steps(measurements: pd.DataFrame, workload: str, style: dict[str, Style] | None = None) -> Figure | None:
    """What each phase added to the space used, or gave back: bars medians, points runs, ticks what was written."""
    frame = stats.prepare(measurements)
    frame = frame[frame["workload"] == workload]
    growth = frame[frame["metric"] == frame["target"].map(growth_of)]
    written = frame[frame["metric"] == "application_bytes"]
    if growth.empty:
        return None
    labels = sorted(growth["label"].unique(), key=stats.rank)
    targets = sorted(growth["target"].unique())
    phases = list(dict.fromkeys(growth["phase"]))
    if frame["metric"].isin(BANDWIDTHS).any():
        # a job that only reads, or writes what is already allocated, is no step: of fio jobs only those that moved
        moved = set(growth.loc[growth["value"].abs() > GROWTH_FLOOR_BYTES, "phase"])
        phases = [phase for phase in phases if phase in moved]
        if not phases:
            return None
    style = style or styles(labels)
    figure = blank_figure(len(phases) * (0.19 * len(labels) + 0.16) + 1.3)
    grid = figure.subplots(1, len(targets), squeeze=False, sharey=True)
    for column, target in enumerate(targets):
        axes = grid[0, column]
        part = growth[growth["target"] == target]
        reach = max(float((part["value"] / MIB).abs().max()), 1e-9)
        for row, phase in enumerate(phases):
            if row % 2:
                axes.axhspan(row - 0.5, row + 0.5, color="#f4f4f4", zorder=0)
            for offset, label in zip(offsets(len(labels), 0.8), labels, strict=True):
                values = part.loc[(part["phase"] == phase) & (part["label"] == label), "value"] / MIB
                if values.empty:
                    continue
                axes.barh(row + offset, values.median(), height=0.8 / len(labels) * 0.85,
                          color=style[label].colour, alpha=0.55)
                points(axes, values.tolist(), row + offset, style[label], size=3.2, spread=0.08)
                end = float(values.median())
                edge = max(values) if end >= 0 else min(values)
                axes.annotate(_short(end), (edge, row + offset), (5 if end >= 0 else -5, 0),
                              textcoords="offset points", ha="left" if end >= 0 else "right", va="center", fontsize=7.5)
            asked = written.loc[(written["phase"] == phase) & (written["target"] == target), "value"]
            if len(asked) and asked.median() / MIB <= reach * 1.1:
                axes.plot([asked.median() / MIB] * 2, [row - 0.44, row + 0.44], color="black", linewidth=1.4)
        axes.axvline(0, color="#333333", linewidth=0.9)
        axes.set_xlim(_limits(part["value"] / MIB))
        axes.grid(visible=False, axis="y")
        axes.set_yticks(range(len(phases)), phases)
        axes.set_ylim(len(phases) - 0.5, -0.5)
        kind = "volumes' file system" if target == "volume" else "storage"
        axes.set_title(f"{target}   ({repetitions_told(part)})", loc="left")
        axes.set_xlabel(f"change of the {kind}'s space used, MiB")
    legend(figure, labels, style, ticks=bool(len(written)))
    entitle(figure, f"What each phase added or gave back: {workload}")
    return figure


def _bands(axes: Axes, line: pd.DataFrame, longest: float) -> bool:
    """Shades the phases of one repetition and names those that are wide enough; whether a name stands upright."""
    import matplotlib.transforms as transforms

    starts: list[tuple[str, float]] = []
    for phase, at in zip(line["phase"], line["t_seconds"], strict=True):
        if not starts or starts[-1][0] != phase:
            starts.append((str(phase), float(at)))
    blend = transforms.blended_transform_factory(axes.transData, axes.transAxes)
    axes.grid(visible=False, axis="x")
    upright = False
    for index, (phase, begin) in enumerate(starts):
        end = starts[index + 1][1] if index + 1 < len(starts) else float(line["t_seconds"].max())
        axes.axvspan(begin, end, color="#ececec" if index % 2 else "#f8f8f8", linewidth=0, zorder=0)
        share = (end - begin) / longest
        flat = share > 0.0072 * len(phase) + 0.004
        upright |= not flat and share > 0.017
        if flat or share > 0.017:
            axes.text((begin + end) / 2, 0.97, phase[:40], transform=blend, ha="center", va="top",
                      rotation=0 if flat else 90, fontsize=7, color="#444444", clip_on=True)
    return upright


def _short(value: float) -> str:
    return "0" if abs(value) < 0.005 else f"{'+' if value > 0 else '-'}{short(abs(value))}"


def _limits(values: pd.Series[float]) -> tuple[float, float]:
    """Room for the labels at the ends of the bars."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    span = (high - low) or 1.0
    return (low - 0.13 * span, high + 0.13 * span)
