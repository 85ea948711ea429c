"""A pool's block map as a picture: what each device maps, and who holds which data block.

``capture`` keeps a pool as it is now, so that what is done to it later does not change the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke

from lab.lessons.intervals import drawing
from lab.model.pool.thinpool import ThinPool
from lab.report import plots
from lab.report.drawings import Drawing

PALETTE = ("#7FB8DE", "#F3A873", "#7FD1B4", "#E5B3CF", "#F3D27F", "#B9A3D0", "#C9B08F", "#BBBBBB")
"""Light shades, on which black numbers can be read."""

_COLUMNS = 16
_LABEL_COLUMNS = 3.4
_ROW_INCHES, _TITLE_INCHES = 0.4, 0.5


@dataclass(frozen=True)
class Strip:
    """One device.  For each of its virtual blocks: the data block, None where it maps none; and whether a write stays
    in that block, which it does not where the block is older than the device's last snapshot."""

    name: str
    data_blocks: tuple[int | None, ...]
    in_place: tuple[bool, ...]


@dataclass(frozen=True)
class Moment:
    """A pool as it was.  ``owners``: for each data block the names of the devices that map it.

    ``allocatable``: the free data blocks that can be allocated before the next commit.
    """

    title: str
    strips: tuple[Strip, ...]
    owners: tuple[tuple[str, ...], ...]
    allocatable: int

    @property
    def used(self) -> int:
        """Data blocks that some device maps."""
        return sum(bool(names) for names in self.owners)

    @property
    def shared(self) -> int:
        """Data blocks that several devices map."""
        return sum(len(names) > 1 for names in self.owners)

    @property
    def caption(self) -> str:
        """The title with the counts."""
        free = len(self.owners) - self.used
        text = f"{self.title}: {self.used} of {len(self.owners)} data blocks in use, {self.shared} of them shared"
        waiting = free - self.allocatable
        return text + (f"; {waiting} of the free ones only after the next commit" if waiting else "")


def capture(pool: ThinPool, title: str, names: Mapping[int, str] | None = None) -> Moment:
    """The pool as it is now; ``names`` of devices, ``thin 0`` and so on where none is given."""
    owners: list[list[str]] = [[] for _ in range(pool.data_blocks)]
    strips = []
    for device_id, thin in pool.thins.items():
        name = (names or {}).get(device_id, f"thin {device_id}")
        blocks = [int(block) for block in thin.blocks]
        for block in blocks:
            if block >= 0:
                owners[block].append(name)
        strips.append(Strip(name, tuple(block if block >= 0 else None for block in blocks),
                            tuple(bool(ready) for ready in thin.ready)))
    return Moment(title, tuple(strips), tuple(map(tuple, owners)), pool.allocatable_data_blocks)


def picture(*moments: Moment) -> Drawing:
    """The moments below one another, in their order.  Raises ValueError where there is none."""
    return drawing("block-map", ". ".join(moment.caption for moment in moments),
                   "A strip a device: its virtual blocks from left to right, each with the number of the data block "
                   "that it maps. Below, the pool's data blocks in the colours of those who map them. Hatched: a write "
                   "here goes to a new block. Thick frame: allocated since the picture before; cross: freed since.",
                   block_map(moments) if moments else None)


@plots.styled
def block_map(moments: Sequence[Moment]) -> Figure:
    """A panel a moment.  A device keeps its colour in all of them."""
    colours = colours_of(moments)
    rows = [_rows(moment) for moment in moments]
    figure = plots.blank_figure(sum(_ROW_INCHES * count + _TITLE_INCHES for count in rows) + 0.5)
    grid = figure.subplots(len(moments), 1, squeeze=False, height_ratios=rows)[:, 0]
    before: Moment | None = None
    for axes, moment in zip(grid, moments, strict=True):
        _panel(axes, moment, before, colours)
        before = moment
    _legend(figure, colours)
    return figure


def colours_of(moments: Sequence[Moment]) -> dict[str, str]:
    """A colour for each device that is in any of the moments."""
    names = dict.fromkeys(strip.name for moment in moments for strip in moment.strips)
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(names)}


def _rows(moment: Moment) -> int:
    return sum(-(-len(strip.data_blocks) // _COLUMNS) for strip in moment.strips) + _pool_rows(moment) + 1


def _pool_rows(moment: Moment) -> int:
    return -(-len(moment.owners) // _COLUMNS)


def _panel(axes: Axes, moment: Moment, before: Moment | None, colours: Mapping[str, str]) -> None:
    """Device strips from the top, one row left empty, then the pool."""
    row = 0
    for strip in moment.strips:
        _label(axes, row, strip.name)
        for virtual, block in enumerate(strip.data_blocks):
            x, y = virtual % _COLUMNS, row + virtual // _COLUMNS
            if block is None:
                _cell(axes, x, y, "white", edge="#bbbbbb")
                continue
            _cell(axes, x, y, colours[strip.name], hatch="" if strip.in_place[virtual] else "////")
            _number(axes, x, y, block)
        row += -(-len(strip.data_blocks) // _COLUMNS)
    row += bool(moment.strips)
    _label(axes, row, "the pool")
    for block, names in enumerate(moment.owners):
        x, y = block % _COLUMNS, row + block // _COLUMNS
        _pool_cell(axes, x, y, names, colours)
        held = before is not None and bool(before.owners[block])
        if before is not None and names and not held:
            _cell(axes, x, y, "none", width=2.4)
        _number(axes, x, y, "×" if held and not names else block, pale=not names)
    axes.set_xlim(-_LABEL_COLUMNS, _COLUMNS + 0.1)
    axes.set_ylim(row + _pool_rows(moment) + 0.1, -0.1)
    axes.set_axis_off()
    axes.set_title(moment.caption, loc="left", fontsize=9.5)


def _pool_cell(axes: Axes, x: float, y: float, names: Sequence[str], colours: Mapping[str, str]) -> None:
    """One data block, in as many stripes as devices map it."""
    if not names:
        return _cell(axes, x, y, "white", edge="#bbbbbb")
    for place, name in enumerate(names):
        axes.add_patch(Rectangle((x + place / len(names), y), 1 / len(names), 1, facecolor=colours[name],
                                 edgecolor="none"))
    _cell(axes, x, y, "none")
    return None


def _cell(axes: Axes, x: float, y: float, colour: str, *, edge: str = "#333333", hatch: str = "",
          width: float = 0.8) -> None:
    axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor=edge, hatch=hatch or None, linewidth=width))


def _number(axes: Axes, x: float, y: float, what: int | str, *, pale: bool = False) -> None:
    axes.text(x + 0.5, y + 0.5, str(what), ha="center", va="center", fontsize=8,
              color="#999999" if pale else "black", path_effects=[withStroke(linewidth=2.5, foreground="white")])


def _label(axes: Axes, row: float, name: str) -> None:
    axes.text(-0.2, row + 0.5, name[:24], ha="right", va="center", fontsize=8.5)


def _legend(figure: Figure, colours: Mapping[str, str]) -> None:
    handles = [Patch(facecolor=colour, edgecolor="#333333", label=name) for name, colour in colours.items()]
    handles.append(Patch(facecolor="white", edgecolor="#333333", hatch="////", label="a write goes to a new block"))
    figure.legend(handles=handles, loc="outside lower left", ncols=6, frameon=False)
