"""What the replications say: probabilities and days, each with what is left open by their number.

Intervals have a level of 90 %.  Shares: Wilson's score interval (Wilson 1927; Brown, Cai, DasGupta 2001).  Days: order
statistics; a replication in which it never happened counts as later than all others, so nothing is taken for granted
of what lies beyond the horizon.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lab.answers.plan.ensemble import MARKS, NEVER, Outcome, Replication
from lab.model.fleet.arrivals import DAY_SECONDS

LEVEL = 0.9
_Z = 1.6448536269514722
"""The normal law's quantile at (1 + LEVEL) / 2."""

SHARES_OF_HORIZON = (0.25, 0.5, 0.75, 1.0)
"""When probabilities are told."""


@dataclass(frozen=True)
class Chance:
    """A probability: in how many of the replications, and the interval that their number allows."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """The share of the replications."""
        return self.hits / self.n

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self._wilson(-1)

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self._wilson(1)

    def _wilson(self, sign: int) -> float:
        """
        >>> print(f"{Chance(3, 50).low:.4f} {Chance(3, 50).high:.4f} {Chance(0, 50).low:.4f}")
        0.0242 0.1409 0.0000
        """
        n, share = self.n, self.value
        middle = share + _Z**2 / (2 * n)
        width = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
        end = (middle + sign * width) / (1 + _Z**2 / n)
        return min(1.0, max(share, end)) if sign > 0 else max(0.0, min(share, end))      # rounding aside


@dataclass(frozen=True)
class Risk:
    """One thing that can happen to the storage, by several days."""

    name: str
    days: tuple[float, ...]
    chances: tuple[Chance, ...]

    @property
    def by_horizon(self) -> Chance:
        """By the last of the days."""
        return self.chances[-1]


@dataclass(frozen=True)
class Days:
    """When something happens.  Days; None for what lies beyond the horizon.

    ``low`` to ``high`` holds 90 % of the replications; ``median_low`` to ``median_high`` is what their number leaves
    open of the median.
    """

    name: str
    reached: int
    n: int
    low: float | None
    median: float | None
    high: float | None
    median_low: float | None
    median_high: float | None


@dataclass(frozen=True)
class Alert:
    """What an alert is worth: the days from the moment it is raised to the first refusal or wait."""

    percent: int
    raised: Chance
    in_time: int
    """Replications in which something was refused, or waited, after it."""
    missed: int
    """Replications in which something was refused, or waited, before it or without it."""
    soonest: float | None
    """Days, the shortest of those; None where nothing followed."""
    median: float | None


def risks(replications: Sequence[Replication], days: float) -> tuple[Risk, ...]:
    """In the order in which they matter to who uses the host."""
    told: list[tuple[str, Callable[[Outcome], float]]] = [
        ("data full", lambda one: one.marks[-1]),
        ("metadata full", lambda one: one.first["metadata full"]),
        ("a writer stalls or fails", lambda one: min(one.first["stalled"], one.first["failed"])),
        ("a container or image is refused", lambda one: min(one.first["refused"], one.first["pull refused"])),
        ("any of these", lambda one: one.limited_at),
    ]
    when = tuple(days * share for share in SHARES_OF_HORIZON)
    return tuple(Risk(name, when, tuple(Chance(sum(first(one.planned) <= day * DAY_SECONDS for one in replications),
                                               len(replications)) for day in when)) for name, first in told)


def days_to_marks(replications: Sequence[Replication]) -> tuple[Days, ...]:
    """To 80, 90 and 100 % of the data that the pool has at that moment."""
    return tuple(days_of(f"{mark:.0%} of data", [one.planned.marks[number] for one in replications])
                 for number, mark in enumerate(MARKS))


def days_of(name: str, seconds: Sequence[float]) -> Days:
    """Of times that are infinite where it never happened.  Raises ValueError for none."""
    if not seconds:
        raise ValueError("seconds is empty; one replication at least")
    ordered = np.sort(np.asarray(seconds, dtype=np.float64)) / DAY_SECONDS
    n = ordered.size

    def at(rank: int) -> float | None:
        """The value of a rank that counts from 1; beyond the last, and before the first, nothing is known."""
        if not 1 <= rank <= n:
            return None
        value = float(ordered[rank - 1])
        return value if value < NEVER else None

    first, last = median_ranks(n)
    reached = int(np.isfinite(ordered).sum())
    return Days(name, reached, n, at(math.ceil((1 - LEVEL) / 2 * n)), at(math.ceil(n / 2)),
                at(math.ceil((1 + LEVEL) / 2 * n)), at(first) if first else 0.0, at(last))


def median_ranks(n: int) -> tuple[int, int]:
    """Ranks, from 1, between which the median of the law lies with LEVEL; 0 and n + 1 where n is too small for that.

    >>> median_ranks(50), median_ranks(2)
    ((19, 32), (0, 3))
    """
    return rank_interval(n, 0.5)


def rank_interval(n: int, share: float) -> tuple[int, int]:
    """Ranks, from 1, between which a quantile lies with LEVEL: 0 and n + 1 stand for ends that n does not show.

    The number of values below the quantile is binomial (David, Nagaraja: Order Statistics, 3rd edition, 7.1).
    """
    from scipy.stats import binom

    tail = (1 - LEVEL) / 2
    low = int(binom.ppf(tail, n, share))
    high = int(binom.ppf(1 - tail, n, share)) + 1
    return low, high


def alerts(replications: Sequence[Replication], percents: Sequence[int]) -> tuple[Alert, ...]:
    """Each alert of the plan."""
    found = []
    for number, percent in enumerate(percents):
        raised = [(one.planned.alerts[number], one.planned.limited_at) for one in replications
                  if one.planned.alerts[number] < NEVER]
        left = sorted((limited - alert) / DAY_SECONDS for alert, limited in raised if alert <= limited < NEVER)
        limited = sum(one.planned.limited_at < NEVER for one in replications)
        found.append(Alert(percent, Chance(len(raised), len(replications)), len(left), limited - len(left),
                           left[0] if left else None, left[(len(left) - 1) // 2] if left else None))
    return tuple(found)
