"""Arrivals that become more, month by month."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lab.model.fleet.arrivals import DAY_SECONDS, HOURS, Arrivals
from lab.model.fleet.distributions import Constant, Exponential, Floats

MONTH_DAYS = 365.25 / 12


@dataclass(frozen=True, slots=True)
class GrowingArrivals(Arrivals):
    """``growth``: a month's increase, from 0 on; 0.1 is a tenth.  Each day has its own rate, the next a higher one.

    By inversion of the cumulative rate, as ``Arrivals`` has it for the day's profile: with q the growth a day, d days
    have (q^d - 1) / (q - 1) of a first day's arrivals.
    """

    growth: float = 0.0

    def times(self, draw: np.random.Generator) -> Iterator[Floats]:
        """As those of ``Arrivals``."""
        if not self.growth:
            yield from Arrivals(self.interval, self.profile).times(draw)
            return
        for at in Arrivals(self.interval).times(draw):
            yield self._grown(at / DAY_SECONDS)

    def _grown(self, asked: Floats) -> Floats:
        """Times in first days' worth of arrivals -> seconds."""
        rate = np.log1p(self.growth) / MONTH_DAYS           # by its logarithm, which a small growth leaves exact
        days = np.floor(np.log1p(asked * np.expm1(rate)) / rate)
        before = np.expm1(rate * days) / np.expm1(rate)
        part = np.clip((asked - before) / np.exp(rate * days), 0.0, np.nextafter(1.0, 0.0))
        if self.profile:
            weights = np.asarray(self.profile, dtype=np.float64)
            ends = np.concatenate([[0.0], np.cumsum(weights) / weights.sum()])
            part = np.interp(part, ends, np.arange(HOURS + 1) / HOURS)
        return np.asarray((days + part) * DAY_SECONDS)


def arrivals_of(per_day: float, profile: tuple[float, ...], *, regular: bool, growth: float) -> GrowingArrivals:
    """So many a day at first, at random or at fixed intervals.  None come where ``per_day`` is 0."""
    if not per_day:
        return GrowingArrivals(None, profile, growth)
    interval = DAY_SECONDS / per_day
    return GrowingArrivals(Constant(interval) if regular else Exponential(interval), profile, growth)
