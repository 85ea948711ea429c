"""Containers in lots: when each comes, how long it lives, and what it costs, drawn a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.model.container.footprint import Amount
from lab.model.fleet.distributions import Floats, stream
from lab.model.fleet.plan import ContainerClass

Changes = list[float]
"""A container's changes one after the other, ``WIDTH`` numbers each: the age in seconds; then data, metadata and volume
in bytes, whole numbers, which are added at that age or given back.  One flat list, which costs the least to make."""

WIDTH = 4


class Draw(NamedTuple):
    """One container: its arrival and lifetime in seconds, whether it is kept when it stops, its size and changes."""

    at: float
    lifetime: float
    kept: bool
    size: float
    changes: Changes


class Costs:
    """A class's footprints as arrays.  S sizes, K actions of which only those are kept that change anything."""

    def __init__(self, kind: ContainerClass) -> None:
        told = [one for _, one in kind.footprints]
        self.sizes = np.array([number for number, _ in kind.footprints], dtype=np.float64)
        ages = np.array([[action.age_seconds for action in one.schedule] for one in told])
        held = np.array([_rows(one.held) for one in told])
        trimmed = np.array([[_rows(row) for row in one.trimmed] for one in told]) if all(
            one.trimmed for one in told) else None
        stopped = np.array([_rows(one.stopped) for one in told]) if all(one.stopped for one in told) else None
        keep = _telling(held, trimmed, stopped)
        self.ages = ages[:, keep]
        self.held = held[:, keep]
        """Bytes, shape (S, K, 3)."""
        self.trimmed = None if trimmed is None else trimmed[:, keep][:, :, keep]
        """Bytes, shape (S, K, K, 3), by the action that the trim came after."""
        self.stopped = None if stopped is None else stopped[:, keep]
        """Bytes, shape (S, K, 3)."""

    def changes(self, sizes: Floats) -> list[Changes]:
        """For sizes of shape (n,): n lists of K changes each, in the order of their ages."""
        held = self._at(self.held, sizes)
        steps = np.concatenate([self._at(self.ages, sizes)[:, :, None], np.diff(held, axis=1, prepend=0.0)], axis=2)
        told: list[Changes] = steps.reshape(sizes.size, -1).tolist()
        return told

    def after_trim(self, size: float, column: int, held_bytes: list[float]) -> Changes:
        """What is left to come for a container that holds so much and is trimmed after an action: the change of the
        trim itself under age 0, and those of the later actions.  Raises ValueError without trimmed rows."""
        if self.trimmed is None:
            raise ValueError("the footprints have no trimmed rows; those with trims=True allowed")
        row = self._at(self.trimmed[:, column], np.array([size]))[0, column:]
        changes = np.diff(row, axis=0, prepend=np.array([held_bytes]))
        ages = self._at(self.ages, np.array([size]))[0, column:]
        ages[0] = 0.0
        told: Changes = np.concatenate([ages[:, None], changes], axis=1).ravel().tolist()
        return told

    def unmount(self, size: float, column: int) -> list[float]:
        """What a stop after an action adds, in bytes, shape (3,).  Nothing where the footprints do not tell."""
        if self.stopped is None:
            return [0.0, 0.0, 0.0]
        told: list[float] = self._at(self.stopped[:, column] - self.held[:, column], np.array([size]),
                                     low=-np.inf)[0].tolist()
        return told

    def _at(self, table: Floats, sizes: Floats, low: float = 0.0) -> Floats:
        """A table of shape (S, ...) at sizes of shape (n,), rounded to whole numbers unless it is that of the ages.

        Linear between two sizes, and beyond the first and last one; not below ``low``.
        """
        if self.sizes.size == 1:
            return np.repeat(table, sizes.size, axis=0)
        below = np.clip(np.searchsorted(self.sizes, sizes, side="right") - 1, 0, self.sizes.size - 2)
        part = (sizes - self.sizes[below]) / (self.sizes[below + 1] - self.sizes[below])
        part = part.reshape(-1, *[1] * (table.ndim - 1))
        told = np.maximum(table[below] + part * (table[below + 1] - table[below]), low)
        return told if table is self.ages else np.rint(told)


def lots(kind: ContainerClass, costs: Costs, seed: int) -> Iterator[Iterator[Draw]]:
    """The class's containers without end, in the order of their arrival, a lot at a time.

    Arrivals, lifetimes, sizes and who is kept each have a stream of their own, and each arrival takes one value of
    each, whatever becomes of it.
    """
    draws = {what: stream(seed, f"{kind.name} {what}") for what in ("arrivals", "lifetimes", "sizes", "kept")}
    shared = costs.changes(costs.sizes[:1])[0]
    for times in kind.arrivals.times(draws["arrivals"]):
        count = times.size
        lives = kind.lifetime.sample(draws["lifetimes"], count)
        kept: NDArray[np.bool_] = draws["kept"].random(count) < kind.kept_share
        if kind.size is None or costs.sizes.size == 1:
            sizes = np.full(count, costs.sizes[0])
            changes = [shared] * count
        else:
            sizes = kind.size.sample(draws["sizes"], count)
            changes = costs.changes(sizes)
        yield map(Draw._make, zip(times.tolist(), lives.tolist(), kept.tolist(), sizes.tolist(), changes, strict=True))


def _rows(amounts: tuple[Amount, ...]) -> list[tuple[int, int, int]]:
    return [(one.data_bytes, one.metadata_bytes, one.volume_bytes) for one in amounts]


def _telling(held: Floats, trimmed: Floats | None, stopped: Floats | None) -> list[int]:
    """The first action, and each after which anything is other than after the one before."""
    told = [0]
    for number in range(1, held.shape[1]):
        before = told[-1]
        same = (held[:, number] == held[:, before]).all()
        if trimmed is not None:
            rows = trimmed[:, :before + 1]
            same = same and (rows[:, :, number] == rows[:, :, before]).all() and (
                trimmed[:, number, number:] == trimmed[:, before, number:]).all()
        if stopped is not None:
            same = same and (stopped[:, number] == stopped[:, before]).all()
        if not same:
            told.append(number)
    return told
