"""A measured pool's block map: what thin_dump printed at the end of a cell, as counts and as a picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from lab.errors import InputError
from lab.lessons.block_map import PALETTE
from lab.lessons.intervals import drawing, indexed
from lab.readers.thin_dump import ThinDump, read_thin_dump
from lab.report import plots
from lab.report.drawings import Drawing
from lab.runs.store import Run
from lab.text import MIB
from lab.units import format_bytes, sectors_to_bytes

FREE = 0
SHARED_COLOURS = ("#C8C8C8", "#969696", "#505050")
"""Of data blocks with two, three, and more holders."""

_COLUMNS = 128


def dump_of(run: Run, cell: str) -> ThinDump:
    """The thin_dump that lies in the raw output of a cell's first finished repetition.

    It was taken at the end of the cell, before its containers were removed unless a step had done that.  Raises
    InputError where the run has none.
    """
    done = sorted((result for result in run.manifest.results if result.cell == cell and result.status == "done"),
                  key=lambda result: result.repetition)
    for result in done:
        file = run.path / "raw" / result.key / "thin_dump.xml.gz"
        if file.is_file():
            return read_thin_dump(file)
    cells = ", ".join(sorted({result.cell for result in run.manifest.results})) or "none"
    raise InputError(f"no thin_dump of cell {cell}; finished cells: {cells}", where=str(run.path))


def block_bytes(dump: ThinDump) -> int:
    """Size of the pool's data blocks."""
    return sectors_to_bytes(dump.superblock.data_block_sectors)


def owner_counts(dump: ThinDump) -> NDArray[np.int64]:
    """For each data block up to the last one in use, the number of devices that map it."""
    last = max((int(thin.data_blocks.max()) for thin in dump.thins.values() if thin.data_blocks.size), default=-1)
    counts = np.zeros(last + 1, np.int64)
    for thin in dump.thins.values():
        counts[thin.data_blocks] += 1
    return counts


def used_blocks(dump: ThinDump) -> int:
    """Data blocks that some device maps."""
    return int(np.count_nonzero(owner_counts(dump)))


def mapped_blocks(dump: ThinDump) -> int:
    """What all devices map, added up: a shared data block counts once a device."""
    return int(owner_counts(dump).sum())


def devices(dump: ThinDump) -> pd.DataFrame:
    """A row a device, in the order in which they were made: what it maps, shares and has for itself, MiB."""
    counts, size = owner_counts(dump), block_bytes(dump)
    rows = []
    for number, thin in sorted(dump.thins.items()):
        mapped, own = thin.data_blocks.size, int(np.count_nonzero(counts[thin.data_blocks] == 1))
        rows.append((f"device {number}", *(blocks * size / MIB for blocks in (mapped, mapped - own, own))))
    return indexed(rows, ["device", "maps, MiB", "of it shared, MiB", "of it its own, MiB"])


def holders(dump: ThinDump) -> NDArray[np.int64]:
    """For each data block: 0 where free, the place of its only holder from 1 on, or minus the number of holders."""
    counts = owner_counts(dump)
    codes = -counts
    codes[counts == 0] = FREE
    for place, (_, thin) in enumerate(sorted(dump.thins.items()), 1):
        own = thin.data_blocks[counts[thin.data_blocks] == 1]
        codes[own] = place
    return codes


def picture(dump: ThinDump, what: str) -> Drawing:
    """Every data block up to the last one in use, row by row.  ``what``: whose pool it is."""
    size = block_bytes(dump)
    return drawing("pool-map", f"Who holds which data block: {what}",
                   f"{what}: a dot is one data block of {format_bytes(size)}, {_COLUMNS} in a row, from the first one "
                   f"to the last in use; {used_blocks(dump):,} are in use, and the devices map {mapped_blocks(dump):,} "
                   "when each one's are added up.", _raster(dump))


@plots.styled
def _raster(dump: ThinDump) -> Figure | None:
    codes = holders(dump)
    if not codes.size:
        return None
    names = [f"device {number}" for number in sorted(dump.thins)]
    rows = -(-codes.size // _COLUMNS)
    image = np.ones((rows * _COLUMNS, 3))
    legend: dict[str, str] = {}
    for code in np.unique(codes[codes != FREE]).tolist():
        if code > 0:
            name, colour = f"{names[code - 1]} alone", PALETTE[(code - 1) % len(PALETTE)]
        else:
            place = min(-code, 4) - 2
            name, colour = f"{('2', '3', '4 or more')[place]} devices", SHARED_COLOURS[place]
        legend[name] = colour
        image[np.flatnonzero(codes == code)] = to_rgb(colour)
    figure = plots.blank_figure(min(0.075 * rows + 1.5, 9.0))
    axes = figure.subplots()
    axes.imshow(image.reshape(rows, _COLUMNS, 3), interpolation="nearest", aspect="auto")
    axes.set_ylabel(f"data block ÷ {_COLUMNS}")
    axes.set_xticks([])
    axes.grid(visible=False)
    handles = [Patch(facecolor=colour, edgecolor="#777777", label=name) for name, colour in
               [*sorted(legend.items()), ("free", "white")]]
    figure.legend(handles=handles, loc="outside lower left", ncols=5, frameon=False)
    return figure
