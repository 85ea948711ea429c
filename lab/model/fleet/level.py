"""A storage's levels as counts: what is used and of how much, LVM's extensions, and which marks were passed when.

All in bytes as whole numbers in floats, which are exact below 2^53.  Only data are extended, as ``Storage.extend`` has
it: LVM could extend the metadata too.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable

from lab.model.container.footprint import Amount
from lab.model.container.host import DMEVENTD_SECONDS
from lab.model.fleet.plan import Capacity
from lab.model.pool.min_free_space import least_free_blocks
from lab.units import METADATA_BLOCK_BYTES

MARKS = (0.8, 0.9, 1.0)
"""Shares of the data for which the first time is kept."""


class MetadataSpent(Exception):
    """The pool's metadata is full: the pool takes no more writes until somebody repairs it."""


class Level:
    """What one storage holds.

    ``alarm`` and ``metadata_alarm`` are the lowest levels at which anything else than counting is to be done, so that
    whoever counts has two comparisons to make; ``look`` does the rest.
    """

    def __init__(self, capacity: Capacity, marks: Iterable[float] = ()) -> None:
        """``marks``: shares of the data for which the first time is kept besides ``MARKS``."""
        self.capacity = capacity
        self.group = capacity.group()
        self.data = float(capacity.empty.data_bytes)
        self.metadata = float(capacity.empty.metadata_bytes)
        self.volume = float(capacity.empty.volume_bytes)
        self.data_total = float(capacity.data_bytes)
        self.metadata_total = float(capacity.metadata_bytes) or math.inf
        self.peak_data, self.peak_metadata, self.peak_volume = self.data, self.metadata, self.volume
        self.reached: dict[float, float | None] = dict.fromkeys((*MARKS, *marks))
        self.events: dict[str, array[float]] = {}
        self.poll_due = False
        """dmeventd has something to do at its next look."""
        self._exhausted = self.group is None
        self.alarm = self.metadata_alarm = 0.0
        self._set_alarms()

    @property
    def free(self) -> float:
        """Bytes of data that nothing holds."""
        return self.data_total - self.data

    @property
    def amount(self) -> Amount:
        """All that is held."""
        return Amount(round(self.data), round(self.metadata), round(self.volume))

    @property
    def refuses(self) -> bool:
        """``dm.min_free_space``: the daemon makes no device with less than that of data or metadata free.  Never on
        overlay2."""
        return self.capacity.is_pool and (
            self._too_little(self.data_total, self.data, self.capacity.chunk_bytes)
            or self._too_little(self.metadata_total, self.metadata, METADATA_BLOCK_BYTES))

    def _too_little(self, total: float, used: float, block_bytes: int) -> bool:
        return total - used < least_free_blocks(int(total) // block_bytes, self.capacity.min_free_percent) * block_bytes

    def add(self, at: float, data: float, metadata: float, volume: float) -> None:
        """Adds what fits.  Raises MetadataSpent."""
        self.data += data
        self.metadata += metadata
        self.volume += volume
        if self.volume > self.peak_volume:
            self.peak_volume = self.volume
        if self.data > self.peak_data:
            self.peak_data = self.data
        if self.metadata > self.peak_metadata:
            self.peak_metadata = self.metadata
        if self.data >= self.alarm or self.metadata >= self.metadata_alarm:
            self.look(at)

    def look(self, at: float) -> None:
        """What is due at this level: marks, and a poll of dmeventd.  Raises MetadataSpent."""
        for mark, when in self.reached.items():
            if when is None and self.data >= mark * self.data_total:
                self.reached[mark] = at
        if not self._exhausted and not self.poll_due and self._above_threshold():
            self.poll_due = True
        self._set_alarms()
        if self.metadata >= self.metadata_total:
            self.note("metadata full", at)
            raise MetadataSpent

    def note(self, what: str, at: float) -> None:
        """Keeps an event."""
        self.events.setdefault(what, array("d")).append(at)

    def poll(self, at: float) -> bool:
        """dmeventd's look: extends a pool that is above its threshold, if the volume group has room.

        Returns whether anything was added; ``poll_due`` tells whether it has to look again.
        """
        self.poll_due = False
        extended = False
        if self.group is not None and self._above_threshold():
            extended = self.group.extend(self.capacity.spec.autoextend_percent or 0)
            self._exhausted = not extended
            self.note("extended" if extended else "not extended", at)
            chunk = self.capacity.chunk_bytes
            self.data_total = float(self.group.data_bytes // chunk * chunk)
            self.poll_due = extended and self._above_threshold()
        self._set_alarms()
        return extended

    def _above_threshold(self) -> bool:
        return 100 * self.data > (self.capacity.spec.autoextend_threshold or 100) * self.data_total

    def _set_alarms(self) -> None:
        levels = [self.data_total, *(mark * self.data_total for mark, when in self.reached.items() if when is None)]
        if not self._exhausted and not self.poll_due:
            levels.append((self.capacity.spec.autoextend_threshold or 100) / 100 * self.data_total)
        self.alarm = min(levels)
        self.metadata_alarm = self.metadata_total


def next_poll(at: float) -> float:
    """dmeventd's first look after a moment.

    >>> next_poll(19.5), next_poll(20.0)
    (20.0, 30.0)
    """
    return (math.floor(at / DMEVENTD_SECONDS) + 1) * DMEVENTD_SECONDS
