"""Figures of a run.  Every function takes frames and gives a ``Figure``, or None where there is nothing to draw.

Figures are made through Matplotlib's objects: no global state, no display.
Every run is drawn: a bar is a median, and each repetition is a point on it.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from lab.analysis import stats
from lab.records import BASELINE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIB = 1024**2
WIDTH_INCHES = 10.1
PERCENTILES = ("p50", "p95", "p99", "p999")

_KNOWN = {"loop-lvm": "#D55E00", "direct-lvm": "#0072B2", "overlay2-ext4": "#009E73"}
_MORE = ("#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F", "#8C510A", "#5E3C99")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
_RC = {
    "text.parse_math": False,       # a name with a dollar sign is a name
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9,
    "xtick.labelsize": 8.5, "ytick.labelsize": 8.5, "legend.fontsize": 8.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#555555",
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "#dddddd", "grid.linewidth": 0.6,
    "xtick.color": "#333333", "ytick.color": "#333333", "svg.fonttype": "path", "svg.hashsalt": "lab",
}

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Style:
    colour: str
    marker: str


def styles(labels: Iterable[str]) -> dict[str, Style]:
    """A colour and a marker for each storage; the known storages have theirs always (palette: Okabe and Ito).

    Where a run has two arms, the baseline has a lighter shade of its storage's colour.
    """
    spare = iter(_MORE * 20)
    split = {label: stats.split_label(label) for label in labels}
    places = sorted({place for place, _ in split.values()}, key=rank)
    own = {place: Style(_KNOWN.get(place) or next(spare), _MARKERS[index % len(_MARKERS)])
           for index, place in enumerate(places)}
    return {label: Style(_lighter(own[place].colour), own[place].marker) if arm == BASELINE else own[place]
            for label, (place, arm) in split.items()}


def _lighter(colour: str) -> str:
    parts = [int(colour[at:at + 2], 16) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (255 - part) * 0.5):02x}" for part in parts)


def to_svg(figure: Figure) -> bytes:
    """The figure as SVG; text as outlines, so that it looks the same everywhere."""
    return _saved(figure, "svg")


def to_png(figure: Figure, dpi: int = 144) -> bytes:
    """The figure as PNG."""
    return _saved(figure, "png", dpi)


def styled(function: Callable[P, T]) -> Callable[P, T]:
    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        import matplotlib

        with matplotlib.rc_context(_RC):  # type: ignore[arg-type, unused-ignore]
            return function(*args, **kwargs)
    return inner


@styled
def space_over_time(samples: pd.DataFrame, workload: str, target: str,
                    style: dict[str, Style] | None = None) -> Figure | None:
    """Space against time, a panel a storage, since the cell's start; the phases of the first repetition as bands."""
    metric = "volume_used" if target == "volume" else "storage_used"
    frame = stats.prepare(samples)
    frame = frame[(frame["workload"] == workload) & (frame["target"] == target)]
    used = frame[frame["metric"] == metric]
    labels = sorted(used["label"].unique(), key=rank)
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
def throughput(measurements: pd.DataFrame, workload: str, style: dict[str, Style] | None = None) -> Figure | None:
    """Bandwidth of each fio job's first pass: a bar is the median, a point is one run.  Rows jobs, columns targets."""
    frame = stats.prepare(measurements)
    frame = frame[(frame["workload"] == workload) & frame["metric"].isin(["write_bandwidth", "read_bandwidth"])
                  & (frame["value"] > 0) & ~frame["phase"].str.contains(r"#\d+$", regex=True)]
    if frame.empty:
        return None
    labels, targets, rows = _axes_of(frame)
    style = style or styles(labels)
    figure = blank_figure(len(rows) * (0.27 * len(labels) + 0.55) + 0.9)
    grid = figure.subplots(len(rows), len(targets), squeeze=False, sharex="row")
    for line, (phase, metric) in enumerate(rows):
        for column, target in enumerate(targets):
            axes = grid[line, column]
            part = frame[(frame["phase"] == phase) & (frame["metric"] == metric) & (frame["target"] == target)]
            for place, label in enumerate(labels):
                values = part.loc[part["label"] == label, "value"] / MIB
                if values.empty:
                    axes.text(0, place, " no value", va="center", fontsize=7.5, color="#777777")
                    continue
                axes.barh(place, values.median(), height=0.68, color=style[label].colour, alpha=0.55)
                _points(axes, values.tolist(), place, style[label])
                axes.annotate(f"{values.median():.3g}", (max(values), place), (6, 0), textcoords="offset points",
                              va="center", fontsize=8)
            _storage_axis(axes, labels, column == 0)
            axes.set_title(f"{phase}, {metric.split('_')[0]}, {target}   ({repetitions_told(part)})", loc="left")
            whole = frame.loc[(frame["phase"] == phase) & (frame["metric"] == metric), "value"]
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
            _plain_log(axes, "x")
            axes.set_title(f"{phase}, write, {target}   ({repetitions_told(part)})", loc="left")
    for axes in grid[-1]:
        axes.set_xlabel("write bandwidth, MiB/s (log)")
    entitle(figure, f"First write (hollow) against rewrite (filled): {workload}")
    return figure


@styled
def latency(measurements: pd.DataFrame, workload: str, style: dict[str, Style] | None = None) -> Figure | None:
    """Latency percentiles of each fio job's first pass on a log axis: line through medians, a point each run."""
    frame = stats.prepare(measurements)
    parts = frame["metric"].str.extract(r"^(?P<kind>write|read|sync)_latency_(?P<percentile>p\d+)$")
    frame["percentile"] = parts["percentile"]
    frame["kind"] = parts["kind"]
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
            axes.set_xticks(range(len(PERCENTILES)), ["p50", "p95", "p99", "p99.9"])
            axes.set_xlim(-0.4, len(PERCENTILES) - 0.6)
            axes.set_yscale("log")
            _plain_log(axes, "y")
            axes.set_title(f"{phase}, {kind}, {target}   ({repetitions_told(part)})", loc="left")
            if column == 0:
                axes.set_ylabel("latency, ms (log)")
    for axes in grid[-1]:
        axes.set_xlabel("percentile")
    _legend(figure, labels, style)
    entitle(figure, f"Latency, first pass: {workload}")
    return figure


@styled
def space_steps(measurements: pd.DataFrame, workload: str, style: dict[str, Style] | None = None) -> Figure | None:
    """What each phase added to the space used, or gave back: bars medians, points runs, ticks what was written."""
    frame = stats.prepare(measurements)
    frame = frame[frame["workload"] == workload]
    wanted = (((frame["target"] == "volume") & (frame["metric"] == "volume_growth"))
              | ((frame["target"] != "volume") & (frame["metric"] == "storage_growth")))
    growth, written = frame[wanted], frame[frame["metric"] == "application_bytes"]
    if growth.empty:
        return None
    labels = sorted(growth["label"].unique(), key=rank)
    targets = sorted(growth["target"].unique())
    phases = list(dict.fromkeys(growth["phase"]))
    if frame["metric"].str.endswith("_bandwidth").any():
        # a job that only reads, or writes what is already allocated, is no step: of fio jobs only those that moved
        moved = set(growth.loc[growth["value"].abs() > 0.05 * MIB, "phase"])
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
                _points(axes, values.tolist(), row + offset, style[label], size=3.2, spread=0.08)
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
    _legend(figure, labels, style, ticks=bool(len(written)))
    entitle(figure, f"What each phase added or gave back: {workload}")
    return figure


@dataclass(frozen=True)
class Running:
    """A ratio as it stood after 1, 2, 3, … pairs; ``wanted``: the half-width that it was repeated for, 0.1 is ±10 %."""

    title: str
    estimates: Sequence[stats.Estimate]
    wanted: float | None = None


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
    width = "" if last.low is None else f"\n±{100 * (last.centre / last.low - 1):.2g} % at n = {last.n}"
    axes.set_title(textwrap.fill(one.title, 46) + width, loc="left", fontsize=8)
    axes.set_xlabel("repetitions")


def _few_numbers(axes: Axes) -> None:
    """Some four plain numbers on a log axis, however little of it there is."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    low, high = axes.get_ylim()
    ticks = [float(tick) for tick in MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]
    if high / low > 20:
        return _plain_log(axes, "y")
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def blank_figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH_INCHES, min(height, 40.0)), layout="constrained")


def _saved(figure: Figure, kind: str, dpi: int = 144) -> bytes:
    import matplotlib

    file = io.BytesIO()
    with matplotlib.rc_context(_RC):  # type: ignore[arg-type, unused-ignore]
        figure.savefig(file, format=kind, dpi=dpi, metadata={"Date": None} if kind == "svg" else None)
        figure.set_layout_engine("none")        # laid out once; a second format keeps the places
    return _with_palette(file) if kind == "png" else file.getvalue()


def _with_palette(file: io.BytesIO) -> bytes:
    """The same PNG in 256 colours, which is plenty for lines and bars: a third of the bytes in git."""
    from PIL import Image

    small = io.BytesIO()
    Image.open(file).convert("RGB").quantize(256).save(small, format="png", optimize=True)
    return small.getvalue()


def entitle(figure: Figure, text: str) -> None:
    figure.suptitle(text, x=0.005, ha="left", fontsize=11, fontweight="bold")


def rank(label: str) -> tuple[int, str, str]:
    """The place of a storage in every list: the known ones first; of its arms the baseline before the candidate."""
    known = list(_KNOWN)
    place, arm = stats.split_label(label)
    return (known.index(place) if place in known else len(known), place, arm or "")


def repetitions_told(frame: pd.DataFrame) -> str:
    """The number of repetitions behind a panel; a range where storages differ."""
    if frame.empty:
        return "n = 0"
    counts = frame.groupby("label")["repetition"].nunique()
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low}" if low == high else f"n = {low} to {high}"


def _axes_of(frame: pd.DataFrame) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    labels = sorted(frame["label"].unique(), key=rank)
    rows = list(dict.fromkeys(zip(frame["phase"], frame["metric"], strict=True)))
    return labels, sorted(frame["target"].unique()), rows


def offsets(count: int, width: float) -> list[float]:
    """``count`` offsets, evenly over ``width``, around 0."""
    return [width * ((index + 0.5) / count - 0.5) for index in range(count)]


def _points(axes: Axes, values: Sequence[float], place: float, style: Style, size: float = 4.5,
            spread: float = 0.4) -> None:
    axes.plot(list(values), [place + offset for offset in offsets(len(values), spread)], linestyle="none",
              marker=style.marker, markersize=size, color=style.colour, markeredgecolor="white", markeredgewidth=0.5)


def _storage_axis(axes: Axes, labels: Sequence[str], named: bool) -> None:
    axes.set_yticks(range(len(labels)), list(labels) if named else [""] * len(labels))
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _plain_log(axes: Axes, which: str) -> None:
    """Numbers as people write them, and enough of them, on a log axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    narrow = low > 0 and high / low < 30
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


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


def _legend(figure: Figure, labels: Sequence[str], style: dict[str, Style], ticks: bool = False) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=style[label].colour, marker=style[label].marker, linewidth=3, alpha=0.8,
                      label=_shown(label)) for label in labels]
    if ticks:
        handles.append(Line2D([], [], color="black", marker="|", markersize=10, linestyle="none", markeredgewidth=1.4,
                              label="bytes that the application wrote"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4), frameon=False)


def _shown(label: str) -> str:
    """A legend leaves out names that begin with an underscore."""
    return re.sub(r"^_", " _", label)


def _short(value: float) -> str:
    return "0" if abs(value) < 0.005 else f"{value:+.3g}" if abs(value) < 1000 else f"{value:+.0f}"


def _limits(values: pd.Series[float]) -> tuple[float, float]:
    """Room for the labels at the ends of the bars."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    span = (high - low) or 1.0
    return (low - 0.13 * span, high + 0.13 * span)
