"""Paths of levels drawn from observed increments by the moving-block bootstrap.

Künsch, Annals of Statistics 17 (1989) 1217; Liu and Singh (1992).  A path is put together from blocks of successive
cells, drawn with replacement; data and metadata take the same cells, so that what goes together stays together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Blocks:
    """What is drawn from.

    ``increments`` and ``peaks``: cells × resources, bytes.  ``starts``: the cells at which a block of ``block_cells``
    begins without crossing a gap.
    """

    increments: Floats
    peaks: Floats
    starts: NDArray[np.int64]
    block_cells: int

    def block_means(self) -> Floats:
        """The mean increment a cell of each block; starts × resources."""
        import numpy as np

        sums = np.concatenate([np.zeros((1, self.increments.shape[1])), np.cumsum(self.increments, axis=0)])
        means: Floats = (sums[self.starts + self.block_cells] - sums[self.starts]) / self.block_cells
        return means


@dataclass(frozen=True)
class Paths:
    """``first``: paths × resources × thresholds, cells (with a fraction) until the level first reaches the threshold,
    inf if not within the horizon.  ``levels``: report steps × paths × resources, bytes.  ``highest``: paths ×
    resources, the highest level of all, between report steps as well."""

    first: Floats
    levels: Floats
    highest: Floats


def block_starts(stretches: NDArray[np.int64], block_cells: int) -> NDArray[np.int64]:
    """The cells from which ``block_cells`` cells are of one stretch, given each cell's stretch in order."""
    import numpy as np

    last = len(stretches) - block_cells
    candidates = np.arange(last + 1)
    same: NDArray[np.int64] = candidates[stretches[candidates] == stretches[candidates + block_cells - 1]]
    return same


def draw_paths(blocks: Blocks, levels: Floats, thresholds: Floats, *, cells: int, paths: int, report: NDArray[np.int64],
               rng: np.random.Generator, mean_error: bool) -> Paths:
    """Paths over ``cells`` cells from ``levels`` (resources); ``thresholds``: resources × thresholds, bytes.

    Within a cell, a threshold counts as reached if the cell's peak reaches it, at the moment that a straight rise to
    the peak would.  No level falls below zero.  What comes after a pool would be full is drawn on as if it were larger:
    it counts for ``highest``, and otherwise only the first time is used.

    The blocks at a stretch's ends are drawn less often than those amid it; the difference of means is added, so that
    the increments drawn have the log's own mean.  ``mean_error`` adds to each path one error of that mean, drawn as
    a bootstrap of a log of the same length: the log is one of many that the same host could have written.
    A bootstrap of few blocks makes that error too small; it is widened as Student's t widens the normal.
    """
    import numpy as np

    total, resources = blocks.increments.shape
    means = blocks.block_means()
    shift = np.zeros((paths, resources)) + blocks.increments.mean(axis=0) - means.mean(axis=0)
    if mean_error:
        drawn = max(round(total / blocks.block_cells), 1)
        errors = np.array([means[rng.integers(len(means), size=drawn)].mean(axis=0) for _ in range(paths)])
        shift += (errors - means.mean(axis=0)) * _widening(total / blocks.block_cells, rng, paths)
    level = np.tile(levels, (paths, 1))
    first = np.where(level[:, :, None] >= thresholds, 0.0, np.inf)
    places = {int(step): place for place, step in enumerate(report)}
    shown = np.empty((len(report), paths, resources))
    if 0 in places:
        shown[places[0]] = level
    at = np.zeros(paths, dtype=np.int64)
    highest = level
    for cell in range(cells):
        if cell % blocks.block_cells == 0:
            at = blocks.starts[rng.integers(len(blocks.starts), size=paths)]
        rise = np.maximum(blocks.peaks[at] + shift, 0.0)
        highest = np.maximum(highest, level + rise)
        rise = rise[:, :, None]
        missing = np.maximum(thresholds - level[:, :, None], 0.0)
        reached = (missing <= rise) & np.isinf(first)
        within = np.divide(missing, rise, out=np.zeros_like(missing), where=rise > 0)
        first[reached] = cell + within[reached]
        level = np.maximum(level + blocks.increments[at] + shift, 0.0)
        at = at + 1
        if cell + 1 in places:
            shown[places[cell + 1]] = level
    return Paths(first, shown, highest)


def _widening(count: float, rng: np.random.Generator, paths: int) -> Floats:
    """Factors (paths × 1) for the bootstrap's error of a mean of ``count`` blocks.

    The blocks vary about their own mean, hence count / (count - 1); and that their spread is itself uncertain gives
    the mean's error Student's t of count - 1 degrees of freedom (at least three, for a finite variance).
    """
    import numpy as np

    freedom = max(count - 1, 3.0)
    factors: Floats = np.sqrt(count / max(count - 1, 1.0) * freedom / rng.chisquare(freedom, size=(paths, 1)))
    return factors
