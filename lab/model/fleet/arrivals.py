"""When containers start: at random or at fixed intervals, over a day's profile or evenly.

A profile is had by stretching time: arrivals of rate one a mean interval are drawn on a clock that runs faster in
busy hours (inversion of the cumulative rate; Law, Simulation Modeling and Analysis, 5th edition, 8.6.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lab.model.fleet.distributions import (
    Constant,
    Distribution,
    Exponential,
    Floats,
    batches,
    check_not_negative,
    check_positive,
)

DAY_SECONDS = 86_400.0
HOURS = 24


@dataclass(frozen=True, slots=True)
class Arrivals:
    """``interval`` in seconds, between one arrival and the next; None for no arrivals at all.

    ``profile``: 24 weights, the first from midnight to one; only what they are to each other matters.  The run starts
    at midnight.  Raises ValueError for weights that are not 24, are negative, or are all 0, and for an interval of 0.
    """

    interval: Distribution | None
    profile: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.interval is not None:
            check_positive("interval's mean", self.interval.mean)
        if not self.profile:
            return
        if len(self.profile) != HOURS:
            raise ValueError(f"profile has {len(self.profile)} weights; {HOURS} allowed, one an hour")
        for hour, weight in enumerate(self.profile):
            check_not_negative(f"profile[{hour}]", weight)
        check_positive("profile's sum", sum(self.profile))

    @property
    def per_day(self) -> float:
        """Mean arrivals a day."""
        return 0.0 if self.interval is None else DAY_SECONDS / self.interval.mean

    def times(self, draw: np.random.Generator) -> Iterator[Floats]:
        """Times in seconds from the start, in their order, without end, some at a time: arrays of shape (n,)."""
        if self.interval is None:
            return
        busy = _Clock(self.profile) if self.profile else None
        last = 0.0
        for gaps in batches(self.interval, draw):
            at = last + np.cumsum(gaps)
            last = float(at[-1])
            yield at if busy is None else busy.stretched(at)


def poisson(per_day: float, profile: tuple[float, ...] = ()) -> Arrivals:
    """A Poisson process of so many a day.  0 for none.  Raises ValueError for a negative rate."""
    check_not_negative("per_day", per_day)
    return Arrivals(Exponential(DAY_SECONDS / per_day) if per_day else None, profile)


def every(interval_seconds: float, profile: tuple[float, ...] = ()) -> Arrivals:
    """At fixed intervals; the first after one interval.  Raises ValueError for an interval of 0 or less."""
    check_positive("interval_seconds", interval_seconds)
    return Arrivals(Constant(interval_seconds), profile)


class _Clock:
    """A day whose hours pass as quickly as they are busy."""

    def __init__(self, profile: tuple[float, ...]) -> None:
        weights = np.asarray(profile, dtype=np.float64)
        self._ends = np.concatenate([[0.0], np.cumsum(weights) / weights.sum()]) * DAY_SECONDS
        self._ends[-1] = DAY_SECONDS
        self._hours = np.arange(HOURS + 1) * (DAY_SECONDS / HOURS)

    def stretched(self, at: Floats) -> Floats:
        """Times of an even rate -> times of the profile's."""
        days, rest = np.divmod(at, DAY_SECONDS)
        hour = np.clip(np.searchsorted(self._ends, rest, side="right") - 1, 0, HOURS - 1)
        width = self._ends[hour + 1] - self._ends[hour]
        within = (rest - self._ends[hour]) / np.where(width > 0, width, 1.0)
        return days * DAY_SECONDS + self._hours[hour] + within * (DAY_SECONDS / HOURS)
