"""Many runs of a host: what each came to, with the same arrivals, lifetimes and sizes for all that is compared.

A replication is a number.  Its seed follows from the plan's and from that number alone (``SeedSequence.spawn``), and so
does what is run in it: results depend neither on how many processes share the work nor on when it was stopped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lab.answers.plan.host import bounded
from lab.model.fleet.arrivals import DAY_SECONDS
from lab.model.fleet.fleet import Fleet
from lab.model.fleet.plan import Capacity, Plan
from lab.model.fleet.result import FleetRun

NEVER = math.inf

MARKS = (0.8, 0.9, 1.0)
"""Shares of the data whose first time is told, as ``FleetRun.reached`` has them."""

CURVE_POINTS = 201
"""Of a run's levels, evenly over the horizon, the begin and the end among them."""

CURVES = ("data_used", "metadata_used", "data_total")

EVERY = 4
"""Alternatives are run in every so-manieth replication: paired, their differences need fewer than shares do."""

LIMITS = ("refused", "pull refused", "full", "stalled", "failed", "metadata full")
"""Events in which a storage shows its size to those who use it."""

Floats = NDArray[np.float64]


def seed_of(seed: int, number: int) -> int:
    """The seed of a replication: 128 bits of the plan's ``SeedSequence``'s child of that number."""
    low, high = np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(2, np.uint64).tolist()
    return int(low) | int(high) << 64


@dataclass(frozen=True)
class Peaks:
    """The highest levels of a run, in bytes, each by itself; and the most thin devices."""

    data_bytes: int
    metadata_bytes: int
    volume_bytes: int
    devices: int


@dataclass(frozen=True)
class Outcome:
    """One run.  Times in seconds from the start, infinite for never."""

    first: dict[str, float]
    """Of each event of ``LIMITS``."""
    marks: tuple[float, ...]
    """When ``MARKS`` were reached."""
    alerts: tuple[float, ...]
    """When the plan's alerts were reached."""
    peaks: Peaks
    extensions: int
    curves: Floats
    """Bytes, shape (3, CURVE_POINTS), in the order of ``CURVES``; of a pool that failed, its last levels."""

    @property
    def limited_at(self) -> float:
        """When somebody first had to do with the storage's size, or nothing was free: a log's lines are lost then."""
        return min(self.marks[-1], *self.first.values())


@dataclass(frozen=True)
class Replication:
    """One number's runs.  ``others``: the peaks of the alternatives, where they were run."""

    number: int
    planned: Outcome
    demand: Peaks
    others: dict[str, Peaks]


@dataclass(frozen=True)
class Study:
    """What is run in each replication.  ``demand`` and ``others`` are hosts without bounds."""

    demand: Plan
    capacity: Capacity
    others: tuple[tuple[str, Plan], ...]
    days: float
    seed: int
    alerts: tuple[float, ...]
    """Shares of the data."""

    def replication(self, number: int) -> Replication:
        """The runs of one number.

        A run in which the storage never showed its size is that of an unbounded one, and is not done twice.
        """
        seed = seed_of(self.seed, number)
        planned = self.outcome(self.capacity, seed)
        demand = planned.peaks
        if planned.limited_at < NEVER:
            demand = self._outcome(self.demand, seed).peaks
        others = self.others if number % EVERY == 0 else ()
        return Replication(number, planned, demand,
                           {name: self._outcome(host, seed).peaks for name, host in others})

    def outcome(self, capacity: Capacity, seed: int) -> Outcome:
        """The planned host on some capacity."""
        return self._outcome(bounded(self.demand, capacity), seed)

    def _outcome(self, host: Plan, seed: int) -> Outcome:
        fleet = Fleet(host, seed, sample_seconds=sample_seconds(self.days), marks=self.alerts)
        return outcome_of(fleet.run(self.days), self.days, self.alerts)


def sample_seconds(days: float) -> float:
    """The time between two samples of a run: some 2000 of them, a minute to an hour apart.

    >>> sample_seconds(30.0), sample_seconds(1.0), sample_seconds(365.0)
    (1296.0, 60.0, 3600.0)
    """
    return min(3600.0, max(60.0, days * DAY_SECONDS / 2000))


def outcome_of(run: FleetRun, days: float, alerts: tuple[float, ...]) -> Outcome:
    """What is kept of a run."""
    first = {name: float(run.events[name][0]) if run.count(name) else NEVER for name in LIMITS}
    marks, reached = (tuple(NEVER if (when := run.reached[share]) is None else when for share in shares)
                      for shares in (MARKS, alerts))
    grid = np.linspace(0.0, days * DAY_SECONDS, CURVE_POINTS)
    places = np.searchsorted(run.seconds, grid, side="right") - 1
    curves = np.stack([getattr(run, name)[places] for name in CURVES])
    peaks = Peaks(run.peak.data_bytes, run.peak.metadata_bytes, run.peak.volume_bytes, run.peak_devices)
    return Outcome(first, marks, reached, peaks, run.count("extended"), curves)


def run_batch(study: Study, numbers: tuple[int, ...]) -> list[Replication]:
    """Some replications one after the other, for a process."""
    return [study.replication(number) for number in numbers]


def run_layouts(study: Study, capacities: tuple[Capacity, ...], numbers: tuple[int, ...]) -> list[list[Outcome]]:
    """The planned host on other capacities: for each number, an Outcome for each of them."""
    return [[study.outcome(capacity, seed_of(study.seed, number)) for capacity in capacities] for number in numbers]
