"""The figure of a measured run and its simulation: space after each phase, and what the simulation has more or less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.analysis import stats
from lab.analysis.comparison import SPACE
from lab.report import plots
from lab.scenario.phases import phase_kind
from lab.text import MIB, records, short

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TICKS_INCHES = 0.21
"""Width that an upright name below the axis needs."""

_MODEL = "#222222"


@plots.styled
def measured_against_simulated(compared: pd.DataFrame, workload: str, target: str,
                               style: dict[str, plots.Style]) -> Figure | None:
    """A panel a storage: space after each phase, and below it the difference; ``compared`` is of ``overlay.compare``.

    Points are measured, lines simulated, one of each a repetition.  All storages share both scales.
    """
    frame = compared[(compared["workload"] == workload) & (compared["target"] == target)
                     & (compared["quantity"] == SPACE)]
    labels = sorted(frame["label"].unique(), key=stats.rank)
    if not labels:
        return None
    phases = _phases(frame)
    columns = min(len(labels), 1 if len(phases) > 24 else 2 if len(phases) > 12 else 3)
    rows = -(-len(labels) // columns)
    figure = plots.blank_figure(2.45 * rows + 1.6)
    grid = figure.subplots(2 * rows, columns, squeeze=False, sharex=True,
                           gridspec_kw={"height_ratios": [2.1, 1] * rows})
    for place, label in enumerate(labels):
        row, column = divmod(place, columns)
        upper, lower = grid[2 * row, column], grid[2 * row + 1, column]
        upper.sharey(grid[0, 0])
        lower.sharey(grid[1, 0])
        own = frame[frame["label"] == label]
        _space_panel(upper, own, label, style[label])
        _residual_panel(lower, own, style[label].colour)
        if column == 0:
            upper.set_ylabel("space above\nbegin, MiB", fontsize=8)
            lower.set_ylabel("difference,\nMiB", fontsize=8)
        last = place + columns >= len(labels)
        _name_phases(lower, phases, plots.WIDTH_INCHES / columns - 0.7, shown=last)
    for place in range(len(labels), rows * columns):
        for line in (0, 1):
            grid[2 * (place // columns) + line, place % columns].set_visible(False)
    _limit(grid[0, 0], grid[1, 0], frame)
    _legend(figure)
    plots.entitle(figure, f"Measured against simulated: {workload}, {target}")
    return figure


def _space_panel(axes: Axes, own: pd.DataFrame, label: str, style: plots.Style) -> None:
    axes.axhline(0, color="#555555", linewidth=0.8)
    for _, part in own.groupby("repetition"):
        part = part.sort_values("position")
        axes.plot(part["position"], part["simulated"] / MIB, color=_MODEL, linewidth=1.2, alpha=0.8)
        axes.plot(part["position"], part["measured"] / MIB, linestyle="none", marker=style.marker, markersize=5.2,
                  color=style.colour, markeredgecolor="white", markeredgewidth=0.5, alpha=0.85)
    axes.set_title(f"{label}   ({plots.repetitions_told(own)})", loc="left", color=style.colour, fontweight="bold")
    axes.tick_params(axis="x", length=0)


def _residual_panel(axes: Axes, own: pd.DataFrame, colour: str) -> None:
    repetitions = sorted(own["repetition"].unique())
    width = 0.7 / len(repetitions)
    for offset, repetition in zip(plots.offsets(len(repetitions), 0.7), repetitions, strict=True):
        part = own[own["repetition"] == repetition]
        axes.bar(part["position"] + offset, part["residual"] / MIB, width=0.9 * width, color=colour)
    axes.axhline(0, color="#333333", linewidth=0.8)
    worst = max(records(own), key=lambda row: abs(float(row["residual"])))
    axes.set_title(_worst_told(float(worst["residual"]), str(worst["phase"])), loc="right", fontsize=7.5,
                   color="#444444", pad=2.5)


def _worst_told(residual: float, phase: str) -> str:
    """The largest difference in words, of bytes; small ones in KiB, which MiB would round away."""
    if residual == 0:
        return "equal to the byte"
    told = f"{short(abs(residual) / MIB)} MiB" if abs(residual) >= 0.1 * MIB else f"{short(abs(residual) / 1024)} KiB"
    return f"largest {'−' if residual < 0 else '+'}{told}, after {phase[:24]}"


def _phases(frame: pd.DataFrame) -> dict[int, str]:
    """The name of each place on the axis, in order."""
    rows = frame[["position", "phase"]].drop_duplicates("position").sort_values("position")
    return {int(position): str(phase) for position, phase in zip(rows["position"], rows["phase"], strict=True)}


def thinned(names: Sequence[str], room: int) -> list[int]:
    """Which of the names to write where there is room for some: all, else the same phase of every so many rounds.

    >>> thinned(["start", "write", "remove"] + ["start#2", "write#2", "remove#2"], 2)
    [0, 3]
    >>> thinned(["start", "write", "write#2", "write#3", "write#4", "remove"], 3)
    [0, 2, 4]
    """
    if len(names) <= room:
        return list(range(len(names)))
    first = phase_kind(names[0])
    rounds = [place for place, name in enumerate(names) if phase_kind(name) == first]
    chosen = rounds if len(rounds) > 1 else list(range(len(names)))
    return chosen[::-(-len(chosen) // max(room, 1))]


def _name_phases(axes: Axes, phases: dict[int, str], width_inches: float, *, shown: bool) -> None:
    places = list(phases)
    ticks = [places[index] for index in thinned(list(phases.values()), int(width_inches / TICKS_INCHES))]
    axes.set_xticks(ticks, [phases[place][:24] for place in ticks], rotation=90, fontsize=7.5)
    axes.tick_params(axis="x", labelbottom=shown)
    axes.set_xlim(min(places) - 0.6, max(places) + 0.6)


def _limit(upper: Axes, lower: Axes, frame: pd.DataFrame) -> None:
    values = [0.0, *(frame["measured"] / MIB), *(frame["simulated"] / MIB)]
    span = (max(values) - min(values)) or 1.0
    upper.set_ylim(min(values) - 0.08 * span, max(values) + 0.08 * span)
    residuals = [0.0, *(frame["residual"] / MIB)]
    span = max(residuals) - min(residuals)
    margin = 0.12 * span if span else 1.0
    lower.set_ylim(min(residuals) - margin, max(residuals) + margin)


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [Line2D([], [], color="#777777", marker="o", linestyle="none", label="measured, after each phase"),
               Line2D([], [], color=_MODEL, linewidth=1.4, label="simulated"),
               Patch(color="#777777", label="difference: simulated − measured")]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
