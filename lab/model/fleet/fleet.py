"""A host in aggregate counts: a year of containers in seconds.

What one container holds at which age is a table that the exact model has filled once (``footprint``); here it is only
counted who is there, and how old.  An arrival and a departure are SimPy events.  All that happens to a container in
between waits in a heap (``fleet_work``) and is done before the next event looks at the levels.

By the clock, as ``lab.model.container.host`` has it: dmeventd looks every 10 s and extends, of which only looks that
can find something are done; a writer at a full pool waits a minute and fails; the daemon refuses containers and
images while less than a tenth is free.  Logs grow evenly and are brought up to date at each sample.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Generator, Iterable
from typing import Any

import numpy as np
import simpy

from lab.model.container.footprint import Amount, total_of
from lab.model.fleet.arrivals import DAY_SECONDS
from lab.model.fleet.distributions import check_positive, stream
from lab.model.fleet.images import Image, Logs
from lab.model.fleet.level import Level, MetadataSpent
from lab.model.fleet.lots import WIDTH, Costs, lots
from lab.model.fleet.plan import ContainerClass, Plan
from lab.model.fleet.result import FleetRun, Samples, Tally
from lab.model.fleet.work import Live, Work

SAMPLE_SECONDS = 600.0

BASE_DEVICES = 1
"""The file system that Docker makes once, and of which all layers are snapshots."""

DEVICES_PER_CONTAINER = 2
"""Docker makes a thin device for the container, and one for its init layer."""

Process = Generator[simpy.Event, Any, None]


class Fleet:
    """A plan that runs, once.  Same plan and seed, same run."""

    def __init__(self, plan: Plan, seed: int, *, sample_seconds: float = SAMPLE_SECONDS,
                 marks: Iterable[float] = ()) -> None:
        """``marks``: shares of the data whose first time is told besides the usual ones.

        Raises ValueError for a negative seed, and for a time between samples of 0 or less.
        """
        check_positive("sample_seconds", sample_seconds)
        stream(seed, "")
        self.plan, self.level = plan, Level(plan.capacity, marks)
        self.env = simpy.Environment()
        self.live: dict[int, Live] = {}
        self.stopped: list[Live] = []
        self.images = {one.name: Image(one) for one in plan.images}
        self._seed, self._numbers = seed, 0
        self._work, self._logs = Work(self.level), Logs(plan.capacity)
        self._tally, self._samples, self._layers = Tally(), Samples(), 0
        for image in self.images.values():
            self.env.process(self._tags(image))
        for kind in plan.classes:
            self._tally.started[kind.name] = 0
            self.env.process(self._arrivals(kind, Costs(kind)))
        for seconds, work in ((plan.upkeep.prune_seconds, self._prune), (plan.upkeep.trim_seconds, self._trim),
                              (sample_seconds, self._sample)):
            if seconds is not None:
                self.env.process(self._regularly(seconds, work))

    def run(self, days: float) -> FleetRun:
        """Runs so many days, or until the pool fails.  Raises ValueError for days of 0 or less."""
        check_positive("days", days)
        end = days * DAY_SECONDS
        self._keep_levels(0.0)
        try:
            self.env.run(until=end)
            self._work.advance(end)
            self._logs.update(end, self.level)
        except MetadataSpent:
            end = self.level.events["metadata full"][0]
        self._keep_levels(end)
        return self._result(end)

    def held(self) -> Amount:
        """All that someone holds: the levels are this at every moment."""
        owners = [*self.live.values(), *self.stopped]
        return total_of([self.plan.capacity.empty, self._logs.held, *(image.held for image in self.images.values()),
                         *(Amount(round(one.data), round(one.metadata), round(one.volume)) for one in owners)])

    # -- containers -------------------------------------------------------------------------------------

    def _arrivals(self, kind: ContainerClass, costs: Costs) -> Process:
        env, level, tally, live, work, due = self.env, self.level, self._tally, self.live, self._work, self._work.due
        arrived = tally.arrived[kind.name] = array("d")
        image = None if kind.image is None else self.images[kind.image]
        log_rate, depart = kind.log_bytes_per_day / DAY_SECONDS, self._departing(kind)
        for lot in lots(kind, costs, self._seed):
            for draw in lot:
                yield env.timeout(max(0.0, draw.at - env.now))
                now = env.now
                if due and due[0][0] <= now:
                    work.advance(now)
                arrived.append(draw.at)
                if level.refuses or (image is not None and not image.tags):
                    level.note("refused", now)
                    continue
                self._numbers = number = self._numbers + 1
                one = live[number] = Live(number, now, draw, costs, None if image is None else image.use())
                tally.started[kind.name] += 1
                self._count_devices()
                if log_rate:
                    self._logs.begin(now, log_rate)
                env.timeout(draw.lifetime, one).callbacks.append(depart)
                work.change(one, now)

    def _departing(self, kind: ContainerClass) -> Callable[[simpy.Event], None]:
        """What is called when a container of the class ends; the event's value is the container."""
        env, live, tally, work, due = self.env, self.live, self._tally, self._work, self._work.due
        log_rate = kind.log_bytes_per_day / DAY_SECONDS

        def depart(event: simpy.Event) -> None:
            one: Any = event.value
            now = env.now
            if due and due[0][0] <= now:
                work.advance(now)
            del live[one.number]
            tally.live_seconds += now - one.start
            work.end(one)
            if log_rate and not one.kept:
                self._logs.end(one.start, log_rate)
            if one.kept:
                one.logged = self._logs.stop(one.start, now, log_rate)
                self._stop(one, now)
            else:
                work.remove(one, now)

        return depart

    def _stop(self, one: Live, at: float) -> None:
        """A container that stays: its file system is unmounted, which can write."""
        self.stopped.append(one)
        self._work.add(one, at, *one.costs.unmount(one.size, one.done))
        self._work.settle(at)

    # -- by schedule ------------------------------------------------------------------------------------

    def _regularly(self, seconds: float, work: Callable[[float], None]) -> Process:
        number = 0
        while True:
            number += 1
            yield self.env.timeout(max(0.0, number * seconds - self.env.now))
            self._work.advance(self.env.now)
            work(self.env.now)

    def _tags(self, image: Image) -> Process:
        """The first tag at once, the others as they come."""
        draw = stream(self._seed, f"{image.series.name} tags")
        self._pull(image)
        while image.series.interval is not None:
            yield self.env.timeout(float(image.series.interval.sample(draw, 1)[0]))
            self._work.advance(self.env.now)
            self._pull(image)

    def _pull(self, image: Image) -> None:
        """A new tag; refused as containers are, and given up where it does not fit."""
        now, cost = self.env.now, image.next_cost
        if self.level.refuses:
            self.level.note("pull refused", now)
        elif cost.data_bytes > self.level.free:
            self.level.note("failed", now)
        else:
            image.add()
            self.level.add(now, cost.data_bytes, cost.metadata_bytes, cost.volume_bytes)
            self._work.settle(now)
            self._count_layers()

    def _prune(self, at: float) -> None:
        """``docker container prune``, then ``docker image prune -a`` but for the newest tags."""
        stopped, self.stopped = self.stopped, []
        for one in stopped:
            self._logs.forget(one.logged)
            self._work.remove(one, at)
        for image in self.images.values():
            given = total_of(image.prune())
            self.level.add(at, -given.data_bytes, -given.metadata_bytes, -given.volume_bytes)
        self._work.settle(at)
        self._count_layers()

    def _trim(self, at: float) -> None:
        """fstrim in every container that runs; those that wait for space or have failed are passed over."""
        for one in self.live.values():
            if one.owed or one.gone:
                continue
            changes = one.costs.after_trim(one.size, one.done, [one.data, one.metadata, one.volume])
            one.column, one.next, one.changes = one.done, WIDTH, changes
            self._work.add(one, at, *changes[1:WIDTH])
        self._work.settle(at)

    def _count_layers(self) -> None:
        self._layers = sum(image.layers for image in self.images.values())
        self._count_devices()

    def _count_devices(self) -> None:
        devices = BASE_DEVICES + self._layers + DEVICES_PER_CONTAINER * (len(self.live) + len(self.stopped))
        self._tally.peak_devices = max(self._tally.peak_devices, devices)

    def _sample(self, at: float) -> None:
        self._logs.update(at, self.level)
        self._work.settle(at)
        self._keep_levels(at)

    def _keep_levels(self, at: float) -> None:
        level = self.level
        self._samples.add(at, level.data, level.metadata, level.data_total, level.volume, len(self.live))

    def _result(self, end: float) -> FleetRun:
        level, tally = self.level, self._tally
        living = tally.live_seconds + math.fsum(end - one.start for one in self.live.values())
        return FleetRun(
            **self._samples.arrays(), events={name: np.array(times) for name, times in level.events.items()},
            peak=Amount(round(level.peak_data), round(level.peak_metadata), round(level.peak_volume)),
            peak_devices=tally.peak_devices, reached=dict(level.reached),
            arrived={name: np.array(times) for name, times in tally.arrived.items()}, started=dict(tally.started),
            mean_live=living / end if end else 0.0, changes=self._work.changes, ended_seconds=end)
