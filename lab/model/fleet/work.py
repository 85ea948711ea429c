"""What happens to containers between two events: their changes in the order of time, writers that wait, dmeventd.

All of it waits in one heap and is done when somebody wants to know the levels at a later moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush, heapreplace

from lab.model.container.host import NO_SPACE_SECONDS
from lab.model.fleet.images import Tag
from lab.model.fleet.level import Level, next_poll
from lab.model.fleet.lots import WIDTH, Costs, Draw


class Live:
    """A container that is there.  Seconds, bytes."""

    __slots__ = ("changes", "column", "costs", "data", "gone", "kept", "logged", "metadata", "next", "number", "origin",
                 "owed", "since", "size", "start", "tag", "volume")

    def __init__(self, number: int, start: float, draw: Draw, costs: Costs, tag: Tag | None) -> None:
        self.number = number
        self.start = self.origin = start
        """When it started, and where its changes' ages count from: later, if it had to wait for space."""
        _, _, self.kept, self.size, self.changes = draw
        self.costs, self.tag = costs, tag
        self.next = self.column = 0
        """Where the next of ``changes`` begins, and which of the class's actions their first one is."""
        self.data = self.metadata = self.volume = self.owed = self.since = self.logged = 0.0
        """What it holds; what it waits to write, and since when; the log that a stopped one left."""
        self.gone = False
        """It does nothing more: it has ended, or failed."""

    @property
    def done(self) -> int:
        """The last of the class's actions that it has done."""
        return self.column + self.next // WIDTH - 1


class Work:
    """The containers' changes on one storage."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self.due: list[tuple[float, int, Live | Callable[[float], None]]] = []
        """Time, a number that is no other's, and whose next change it is, or what is to be called then."""
        self.changes = 0
        """Done so far."""
        self._timers = 0
        self._waiting: deque[Live] = deque()
        self._polling = False

    def advance(self, now: float) -> None:
        """Does all that is due up to a moment.  Raises MetadataSpent."""
        due, level, done = self.due, self.level, 0
        while due and due[0][0] <= now:
            at, number, one = due[0]
            if not isinstance(one, Live):
                heappop(due)
                one(at)
                continue
            if one.gone:
                heappop(due)
                continue
            changes, place = one.changes, one.next
            data, metadata, volume = changes[place + 1], changes[place + 2], changes[place + 3]
            reached, spent = level.data + data, level.metadata + metadata
            if data < 0 or reached >= level.alarm or spent >= level.metadata_alarm:
                heappop(due)
                self.change(one, at)
                continue
            done += 1
            level.data, level.metadata = reached, spent
            level.volume += volume
            if reached > level.peak_data:
                level.peak_data = reached
            if spent > level.peak_metadata:
                level.peak_metadata = spent
            if level.volume > level.peak_volume:
                level.peak_volume = level.volume
            one.data += data
            one.metadata += metadata
            one.volume += volume
            one.next = place = place + WIDTH
            if place < len(changes):
                heapreplace(due, (one.origin + changes[place], number, one))
            else:
                heappop(due)
        self.changes += done

    def change(self, one: Live, at: float) -> None:
        """The next change of a container, at its time; the one after it is due at its own.  Raises MetadataSpent."""
        level = self.level
        _, data, metadata, volume = one.changes[one.next:one.next + WIDTH]
        self.changes += 1
        one.next += WIDTH
        one.metadata += metadata
        one.volume += volume
        if data > 0 and level.data + data > level.data_total:
            data = self._what_fits(one, at, data)
        one.data += data
        level.add(at, data, metadata, volume)
        if not one.owed and not one.gone:
            self._wait_for_next(one)
        if level.poll_due or data < 0:
            self.settle(at)

    def end(self, one: Live) -> None:
        """A container does nothing more."""
        self.changes += 1
        one.gone = True
        if one.owed:
            self._waiting.remove(one)
            one.owed = 0.0

    def remove(self, one: Live, at: float) -> None:
        """What a container holds is given back."""
        level = self.level
        level.data -= one.data
        level.metadata -= one.metadata
        level.volume -= one.volume
        if one.tag is not None:
            one.tag.users -= 1
        if self._waiting:
            self.settle(at)

    def add(self, one: Live, at: float, data: float, metadata: float, volume: float) -> None:
        """Something else than its own changes adds to a container, as far as it fits, or gives back."""
        data = min(data, max(0.0, self.level.free))
        one.data, one.metadata, one.volume = one.data + data, one.metadata + metadata, one.volume + volume
        self.level.add(at, data, metadata, volume)

    def settle(self, at: float) -> None:
        """After a change of a level: who waits for space, and whether dmeventd will find something."""
        level = self.level
        while self._waiting and level.free > 0:
            one = self._waiting[0]
            part = min(one.owed, level.free)
            one.owed -= part
            one.data += part
            level.add(at, part, 0.0, 0.0)
            if not one.owed:
                self._waiting.popleft()
                one.origin += at - one.since        # the rest of its work is as much later
                self._wait_for_next(one)
        if level.poll_due and not self._polling:
            self._polling = True
            self._timer(next_poll(at), self._poll)

    def _wait_for_next(self, one: Live) -> None:
        if one.next < len(one.changes):
            heappush(self.due, (one.origin + one.changes[one.next], one.number, one))

    def _poll(self, at: float) -> None:
        self._polling = False
        self.level.poll(at)
        self.settle(at)

    def _what_fits(self, one: Live, at: float, data: float) -> float:
        """Bytes of a write that find space; a pool's writer waits for the rest, on a file system it fails at once."""
        level, part = self.level, max(0.0, self.level.free)
        if not self._waiting:
            level.note("full", at)
        if not level.capacity.is_pool:
            one.gone = True
            level.note("failed", at)
            return part
        one.owed, one.since = data - part, at
        self._waiting.append(one)
        level.note("stalled", at)

        def give_up(when: float) -> None:
            if one.owed and one.since == at:
                self._waiting.remove(one)
                one.owed, one.gone = 0.0, True
                level.note("failed", when)

        self._timer(at + NO_SPACE_SECONDS, give_up)
        return part

    def _timer(self, at: float, work: Callable[[float], None]) -> None:
        self._timers -= 1
        heappush(self.due, (at, self._timers, work))
