"""What all figures share: size and style, a colour and a marker for each storage, axes, legends, and files.

Figures are made through Matplotlib's objects: no global state, no display.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from lab.analysis import stats
from lab.scenario.arms import BASELINE
from lab.text import short, tick

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

WIDTH_INCHES = 10.1

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
    """How a storage is drawn: a colour as ``#rrggbb`` and a marker of Matplotlib's."""

    colour: str
    marker: str


def styles(labels: Iterable[str]) -> dict[str, Style]:
    """A colour and a marker for each storage; the known storages have theirs always (palette: Okabe and Ito).

    Where a run has two arms, the baseline has a lighter shade of its storage's colour.
    """
    spare = iter(_MORE * 20)
    split = {label: stats.split_label(label) for label in labels}
    places = sorted({place for place, _ in split.values()}, key=stats.rank)
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
    """A function that draws in the lab's style."""
    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        import matplotlib

        with matplotlib.rc_context(_RC):  # type: ignore[arg-type, unused-ignore]
            return function(*args, **kwargs)
    return inner


def blank_figure(height: float) -> Figure:
    """A figure as wide as a page and ``height`` inches high, at most 40."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH_INCHES, min(height, 40.0)), layout="constrained")


def entitle(figure: Figure, text: str) -> None:
    """Gives a figure its title, or another one."""
    figure.suptitle(text, x=0.005, ha="left", fontsize=11, fontweight="bold")


def repetitions_told(frame: pd.DataFrame) -> str:
    """The number of repetitions behind a panel; a range where storages differ."""
    if frame.empty:
        return "n = 0"
    counts = frame.groupby("label")["repetition"].nunique()
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low}" if low == high else f"n = {low} to {high}"


def offsets(count: int, width: float) -> list[float]:
    """``count`` offsets, evenly over ``width``, around 0."""
    return [width * ((index + 0.5) / count - 0.5) for index in range(count)]


def points(axes: Axes, values: Sequence[float], place: float, style: Style, size: float = 4.5,
           spread: float = 0.4) -> None:
    """One marker a value, a little apart around ``place`` on the vertical axis."""
    axes.plot(list(values), [place + offset for offset in offsets(len(values), spread)], linestyle="none",
              marker=style.marker, markersize=size, color=style.colour, markeredgecolor="white", markeredgewidth=0.5)


def plain_log(axes: Axes, which: str) -> None:
    """Numbers as people write them, and enough of them, on a log axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    narrow = low > 0 and high / low < 30
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value, 6)))
    axis.set_minor_formatter(NullFormatter())


def plain_ticks(*axes: Axis) -> None:
    """Numbers as people write them at the major ticks, none at the minor ones; a change of scale undoes it."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
        axis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, labels: Sequence[str], style: dict[str, Style], ticks: bool = False) -> None:
    """Names the storages below a figure; ``ticks``: and the black ticks of ``space_steps``."""
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
