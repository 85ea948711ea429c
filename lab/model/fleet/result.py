"""What a simulated host gives: levels over time, events, peaks and times."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lab.model.container.footprint import Amount

Floats = NDArray[np.float64]

COLUMNS = ("seconds", "data_used", "metadata_used", "data_total", "volume_used", "live")


class Samples:
    """Levels at regular times, kept as they come: 48 bytes each."""

    def __init__(self) -> None:
        self._columns = [array("d") for _ in COLUMNS]

    def add(self, *values: float) -> None:
        """One moment, in the order of ``COLUMNS``."""
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def arrays(self) -> dict[str, Floats]:
        """By column, shape (samples,)."""
        return {name: np.array(column, dtype=np.float64)
                for name, column in zip(COLUMNS, self._columns, strict=True)}


@dataclass
class Tally:
    """Counts while a host runs."""

    arrived: dict[str, array[float]] = field(default_factory=dict)
    """By class, the times in seconds of all that asked to be started, those that were refused among them."""
    started: dict[str, int] = field(default_factory=dict)
    live_seconds: float = 0.0
    peak_devices: int = 0


@dataclass(frozen=True)
class FleetRun:
    """One run.  Arrays have shape (samples,); bytes and seconds from the start.

    ``events``: times of each kind.  refused: a container that the daemon did not make, for want of space or of its
    image; pull refused: an image
    likewise; full: a write that found no space, and nobody waiting yet; stalled: a writer that began to wait; failed:
    one that gave up, or met a full file system; extended, not extended: what LVM did at a look; metadata full: the
    end of the run.
    """

    seconds: Floats
    data_used: Floats
    metadata_used: Floats
    data_total: Floats
    volume_used: Floats
    live: Floats
    """Containers that run."""
    events: dict[str, Floats]
    peak: Amount
    """The highest levels between samples as well, each by itself."""
    peak_devices: int
    """The most thin devices at a time that Docker's devicemapper would have made, stopped containers' among them."""
    reached: dict[float, float | None]
    """By share of the data: when the level first was there; None for never.  Of what the pool had then."""
    arrived: dict[str, Floats]
    started: dict[str, int]
    mean_live: float
    """Over time."""
    changes: int
    ended_seconds: float
    """When the run ended: as asked, or when the pool failed."""

    def count(self, event: str) -> int:
        """How often."""
        return len(self.events[event]) if event in self.events else 0
