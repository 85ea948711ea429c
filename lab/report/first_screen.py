"""What a reader sees first: what each step took and gave back on each storage, in a picture and a table, and speed.

Of a run with several workloads it is the first that says what it wrote; the others stand in their own sections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.analysis import stats
from lab.analysis.comparisons import GROWTH_FLOOR_BYTES, arm_ratios, usual_reference
from lab.metrics import BANDWIDTHS, growth_of
from lab.report.drawings import Drawing, workloads_of
from lab.report.plots import Style, blank_figure, offsets, styled, styles
from lab.report.tables import Table, matrix
from lab.runs.store import Run
from lab.scenario.phases import is_first, phase_kind
from lab.text import MIB, amount, clean, counted, unique

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WRITTEN = "application_bytes"
NAMED = 14
"""Of more phases, the picture names some."""


@dataclass(frozen=True)
class Cell:
    """``tone`` is ``took``, ``gave`` or empty; ``share``: of the largest in the table, in percent."""

    text: str
    small: str = ""
    tone: str = ""
    share: int = 0


@dataclass(frozen=True)
class FirstScreen:
    """The parts; each may be missing where nothing was measured of it."""

    picture: Drawing | None
    head: list[str]
    rows: list[list[Cell]]
    caption: str
    speed: Table | None


@dataclass(frozen=True)
class _Side:
    """A storage and a target of the workload: repetition -> phase -> bytes."""

    label: str
    target: str
    grew: dict[int, dict[str, float]]
    wrote: dict[int, dict[str, float]]

    def median(self, of: Callable[[int], float]) -> float:
        return stats.median_interval([of(repetition) for repetition in self.grew]).centre

    def growth(self, phases: Sequence[str]) -> float:
        return self.median(lambda r: sum(self.grew[r].get(phase, 0.0) for phase in phases))

    def moved(self, sign: int) -> float:
        """What all phases that took space took together; with ``sign`` -1 what those that gave back gave."""
        return self.median(lambda r: sum(max(sign * value, 0.0) for value in self.grew[r].values()))

    def written(self, phases: Sequence[str]) -> float:
        return self.median(lambda r: sum(self.wrote.get(r, {}).get(phase, 0.0) for phase in phases))

    def for_each_byte(self, phases: Sequence[str]) -> stats.Estimate | None:
        """Space taken by those of the phases that wrote, for each byte that they wrote; None where none did."""
        ratios = []
        for repetition, grew in self.grew.items():
            wrote = self.wrote.get(repetition, {})
            writing = [phase for phase in phases if wrote.get(phase, 0.0) > 0 and phase in grew]
            if writing:
                ratios.append(sum(grew[phase] for phase in writing) / sum(wrote[phase] for phase in writing))
        return stats.median_interval(ratios) if ratios else None


def first_screen(run: Run, frame: pd.DataFrame, style: dict[str, Style] | None = None) -> FirstScreen:
    """The first screen of a run; ``frame``: its measurements as ``stats.prepare`` makes them."""
    speed = None if run.manifest.simulated else _speed(frame)
    workload = _workload(run, frame)
    if workload is None:
        return FirstScreen(None, [], [], "", speed)
    own = frame[frame["workload"] == workload]
    sides = _sides(own)
    phases = unique(own.loc[own["metric"].isin([growth_of("layer"), growth_of("volume")]), "phase"])
    caption = (f"Space that each step of {clean(workload)} took (+) or gave back (−); below, for each byte that it "
               f"wrote ({_ns(sides)})")
    picture = Drawing("first-screen", clean(workload), f"Space held after each step: {clean(workload)}",
                      "Space above the cell's begin, after each step; medians. Grey: what the workload had written.",
                      _picture(sides, phases, style or styles([side.label for side in sides]), wide=speed is None))
    head, rows = _table(sides, phases)
    return FirstScreen(picture, head, rows, caption, speed)


def _workload(run: Run, frame: pd.DataFrame) -> str | None:
    """The first workload that says what it wrote, else the first that took or gave back anything."""
    growth = frame[(frame["metric"] == frame["target"].map(growth_of)) & (frame["value"].abs() > GROWTH_FLOOR_BYTES)]
    moved = set(growth["workload"])
    wrote = set(frame.loc[frame["metric"] == WRITTEN, "workload"])
    names = [name for name in workloads_of(run) if name in moved]
    return next((name for name in names if name in wrote), names[0] if names else None)


def _sides(frame: pd.DataFrame) -> list[_Side]:
    found: dict[tuple[str, str], _Side] = {}
    columns = ("label", "target", "metric", "repetition", "phase", "value")
    for label, target, name, repetition, phase, value in zip(*(frame[column] for column in columns), strict=True):
        side = found.setdefault((target, label), _Side(str(label), str(target), {}, {}))
        if name == WRITTEN:
            side.wrote.setdefault(int(repetition), {})[str(phase)] = float(value)
        elif name == growth_of(target):
            side.grew.setdefault(int(repetition), {})[str(phase)] = float(value)
    return sorted((side for side in found.values() if side.grew),
                  key=lambda side: (side.target, stats.rank(side.label)))


def _ns(sides: Sequence[_Side]) -> str:
    low, high = (pick(len(side.grew) for side in sides) for pick in (min, max))
    return ("medians, " if high > 1 else "") + (f"n = {low}" if low == high else f"n = {low} to {high}")


def _table(sides: Sequence[_Side], phases: Sequence[str]) -> tuple[list[str], list[list[Cell]]]:
    """A row a storage and target, a column a kind of step, and what all took, gave back, and cost a byte."""
    kinds: dict[str, list[str]] = {}
    for phase in phases:
        kinds.setdefault(phase_kind(phase), []).append(phase)
    kinds = {kind: own for kind, own in kinds.items()
             if any(abs(side.growth(own)) > GROWTH_FLOOR_BYTES or side.written(own) for side in sides)}
    largest = max((abs(side.growth(own)) for side in sides for own in kinds.values()), default=1.0) or 1.0
    rows = []
    for side in sides:
        took, gave, each = side.moved(1), side.moved(-1), side.for_each_byte(phases)
        rows.append([Cell(clean(side.target)), Cell(clean(side.label)),
                     *(_step(side, own, largest) for own in kinds.values()),
                     Cell(amount(took, "B")), Cell(amount(gave, "B"), f"{gave / took:.0%}" if took else ""),
                     _each(each)])
    head = [kind if len(own) == 1 else f"{kind}, {len(own)} times" for kind, own in kinds.items()]
    return ["written to", "storage", *map(clean, head), "took in all", "came back", "took for each byte"], rows


def _step(side: _Side, phases: Sequence[str], largest: float) -> Cell:
    grew, each = side.growth(phases), side.for_each_byte(phases)
    small = "" if each is None else amount(each.centre, "ratio")
    if abs(grew) <= GROWTH_FLOOR_BYTES:
        return Cell("0", small)
    return Cell(f"{'+' if grew > 0 else ''}{amount(grew, 'B')}", small, "took" if grew > 0 else "gave",
                max(1, round(100 * abs(grew) / largest)))


def _each(found: stats.Estimate | None) -> Cell:
    if found is None:
        return Cell("–")
    interval = "" if found.low is None or found.high is None or found.low == found.high else \
        f"{amount(found.low, 'ratio').removesuffix(' ×')} to {amount(found.high, 'ratio')}"
    return Cell(amount(found.centre, "ratio"), interval)


def _speed(frame: pd.DataFrame) -> Table | None:
    """Ratios of bandwidth, first passes: candidate ÷ baseline where there are two arms, else storage ÷ storage."""
    frame = frame[frame["phase"].map(is_first).astype(bool)]
    if stats.has_arms(frame):
        table = matrix(arm_ratios(frame[frame["workload"] != "setup"], (*BANDWIDTHS, "duration")),
                       "Speed: candidate ÷ baseline")
    elif (reference := usual_reference(frame)) is not None:
        table = matrix(stats.ratios(frame, BANDWIDTHS, reference=reference), f"Speed ÷ {clean(reference)}'s")
    else:
        return None
    return table if table.rows else None


@styled
def _picture(sides: Sequence[_Side], phases: Sequence[str], style: dict[str, Style], *, wide: bool) -> Figure:
    """Space held after each phase, a panel a target, a line a storage."""
    from matplotlib.ticker import MaxNLocator

    targets = unique(side.target for side in sides)
    figure = blank_figure(3.0)
    figure.set_size_inches(10.1 if wide else 6.6, 3.0)
    grid = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
    for axes, target in zip(grid, targets, strict=True):
        own = [side for side in sides if side.target == target]
        _line(axes, [own[0].written(phases[:end]) / MIB for end in range(1, len(phases) + 1)], "#8a8a8a", "", "written",
              0.0)
        for shift, side in zip(offsets(len(own), 0.24), own, strict=True):
            held = [side.growth(phases[:end]) / MIB for end in range(1, len(phases) + 1)]
            _line(axes, held, style[side.label].colour, style[side.label].marker, _shown(side.label), shift)
        axes.axhline(0, color="#333333", linewidth=0.9)
        axes.set_title(f"in the {target}" if target else "on the storage", loc="left", fontweight="bold")
        if len(phases) <= NAMED:
            axes.set_xticks(range(len(phases)), [phase[:16] for phase in phases], rotation=38, ha="right",
                            rotation_mode="anchor")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlabel(f"step, of {counted(len(phases), 'step')}")
        axes.grid(visible=False, axis="x")
    grid[0].set_ylabel("space held, MiB")
    handles, names = grid[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=min(len(names), 4), frameon=False)
    return figure


def _line(axes: Axes, values: Sequence[float], colour: str, marker: str, name: str, shift: float) -> None:
    axes.plot([place + shift for place in range(len(values))], list(values), color=colour, marker=marker or None,
              linestyle="-" if marker else ":", linewidth=1.8, markersize=4.5, markeredgecolor="white",
              markeredgewidth=0.5, label=name)


def _shown(label: str) -> str:
    return f" {label}" if label.startswith("_") else label
