"""Images' tags that follow one another, and the logs of containers: what a host holds besides its containers."""

from __future__ import annotations

from lab.model.container.footprint import Amount, total_of
from lab.model.fleet.level import Level
from lab.model.fleet.plan import Capacity, ImageSeries


class Tag:
    """One tag of an image; ``users``: containers made from it, stopped ones included."""

    __slots__ = ("held", "users")

    def __init__(self, held: Amount) -> None:
        self.held, self.users = held, 0


class Image:
    """A series with the tags that are there, the oldest first."""

    def __init__(self, series: ImageSeries) -> None:
        self.series = series
        self._shared = total_of(series.layers[:series.shared_layers])
        self._own = total_of(series.layers[series.shared_layers:])
        self.tags: list[Tag] = []

    @property
    def next_cost(self) -> Amount:
        """What one more tag costs: the shared layers with the first one only."""
        return self._own if self.tags else self._shared + self._own

    @property
    def held(self) -> Amount:
        """What all tags hold."""
        return total_of([tag.held for tag in self.tags]) + (self._shared if self.tags else Amount())

    @property
    def layers(self) -> int:
        """Layers of all tags, the shared ones once."""
        shared = self.series.shared_layers if self.tags else 0
        return shared + len(self.tags) * (len(self.series.layers) - self.series.shared_layers)

    def add(self) -> None:
        """A new tag, from which containers start from now on."""
        self.tags.append(Tag(self._own))

    def use(self) -> Tag:
        """The newest tag, with one more user.  Raises IndexError where the image was never pulled."""
        self.tags[-1].users += 1
        return self.tags[-1]

    def prune(self) -> list[Amount]:
        """Removes tags without a user, but for the newest one; returns what they held."""
        gone = [tag for tag in self.tags[:-1] if not tag.users]
        self.tags = [tag for tag in self.tags[:-1] if tag.users] + self.tags[-1:]
        return [tag.held for tag in gone]


class Logs:
    """The json-file logs of all containers: the sum of rate x age, without looking at each.

    They lie in overlay2's file system, with LVM on the disk of the volumes, and with loop-lvm nowhere that is counted.
    A stopped container's log stays until the container is removed.
    """

    def __init__(self, capacity: Capacity) -> None:
        self._in_data = not capacity.is_pool
        self._counted = self._in_data or capacity.spec.on_lvm
        self._rate = 0.0
        self._offset = 0.0
        self._booked = 0.0

    @property
    def held(self) -> Amount:
        """As of the last update."""
        booked = round(self._booked)
        return Amount(data_bytes=booked) if self._in_data else Amount(volume_bytes=booked)

    def begin(self, at: float, rate: float) -> None:
        """One more container whose log grows by ``rate`` bytes a second."""
        self._rate += rate
        self._offset += rate * at

    def end(self, start: float, rate: float) -> None:
        """A container less, and its log, that began at ``start``."""
        self._rate -= rate
        self._offset -= rate * start

    def stop(self, start: float, at: float, rate: float) -> float:
        """A container that runs no more, and keeps its log; returns the log's bytes."""
        self._rate -= rate
        self._offset -= rate * at
        return rate * (at - start)

    def forget(self, size_bytes: float) -> None:
        """The log of a stopped container is removed."""
        self._offset += size_bytes

    def update(self, at: float, level: Level) -> None:
        """Brings the level up to date; of a full file system nothing more is asked."""
        if not self._counted or not (self._rate or self._booked or self._offset):
            return
        more = max(0.0, float(round(self._rate * at - self._offset))) - self._booked
        if self._in_data:
            more = min(more, max(0.0, level.free))
        self._booked += more
        level.add(at, more if self._in_data else 0.0, 0.0, 0.0 if self._in_data else more)
