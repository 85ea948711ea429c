"""Lesson 8: how large a pool must be.  Every answer is read from an ensemble that was run before.

The pool has a fixed size: what LVM extends is for ``lab plan``, which runs the host on it.  A host that was refused
something would have asked for less afterwards, so that what is told of a full pool is told as if nobody had refused
anything.  Of the first refusal it is exact, but for a peak between two starts, which refuses nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lab.answers.plan import levers, words
from lab.answers.plan.answers import SHARES_OF_HORIZON, Alert, Chance, Days, Risk, days_of
from lab.answers.plan.ensemble import NEVER
from lab.answers.plan.host import planned_sizes, reserve_bytes
from lab.answers.plan.precomputed import Demand, Ensemble, Floats
from lab.answers.plan.sizing import Needed, needed, size_with_reserve
from lab.lessons.intervals import NOTHING, indexed
from lab.model.fleet.arrivals import DAY_SECONDS
from lab.model.metadata.data_space import BITMAP_ENTRIES
from lab.text import MIB, number, short
from lab.units import METADATA_BLOCK_BYTES, format_bytes

GIB = 1024**3

REFUSED = "something is refused, or has to wait"
"""The first thing that shows anybody how large the storage is."""


@dataclass(frozen=True)
class Choice:
    """What is asked of an ensemble.  ``metadata_bytes`` and ``min_free_share`` say nothing of a file system."""

    variant: str
    data_bytes: int
    metadata_bytes: int
    risk: float
    """Accepted, of ``REFUSED`` by the horizon; 0 to 1."""
    min_free_share: float
    """``dm.min_free_space``, 0 to 1."""
    alert_percent: int


@dataclass(frozen=True)
class Answer:
    """What the ensemble says.  Sizes as ``lab plan`` tells them; days of the grid, by which something had happened."""

    choice: Choice
    risks: tuple[Risk, ...]
    """``REFUSED`` first; then data and metadata full, each as if nothing had been refused before."""
    alert_days: Days
    alert: Alert
    data: Needed
    metadata: Needed | None
    """None for a file system."""

    @property
    def chance(self) -> Chance:
        """Of ``REFUSED`` by the horizon."""
        return self.risks[0].by_horizon

    @property
    def holds(self) -> bool | None:
        """Whether the size is within the accepted risk; None where the replications leave it open."""
        if self.chance.high <= self.choice.risk:
            return True
        return False if self.chance.low > self.choice.risk else None


def of_plan(ensembles: Sequence[Ensemble], name: str) -> Ensemble:
    """The ensemble of a plan.  Raises ValueError where it is not among them."""
    for one in ensembles:
        if one.plan.name == name:
            return one
    raise ValueError(f"no ensemble of the plan {name}; there are {', '.join(one.plan.name for one in ensembles)}")


def as_planned(ensemble: Ensemble) -> Choice:
    """The choice that the plan has made."""
    plan = ensemble.plan
    return Choice(next(iter(ensemble.demands)), *planned_sizes(plan), plan.risk, plan.min_free_share,
                  next(iter(plan.alerts_percent), 80))


def answer(ensemble: Ensemble, choice: Choice) -> Answer:
    """All answers to a choice.  Raises KeyError for a variant that the ensemble has not."""
    demand, days, left = ensemble.demands[choice.variant], ensemble.days, granted_share(ensemble, choice)
    data, refused = demand.data_bytes, refused_days(ensemble, choice)
    events = [(REFUSED, refused), ("data full", first_days(data, days, choice.data_bytes))]
    metadata = None
    if demand.is_pool:
        asked = metadata_asked(ensemble, choice)
        events.append(("metadata full", first_days(asked, days, choice.metadata_bytes)))
        own = asked[:, -1] - reserve_bytes(choice.metadata_bytes)
        metadata = needed(own.tolist(), choice.risk).converted(lambda used: size_with_reserve(used, left))
    raised = first_days(data, days, choice.alert_percent / 100 * choice.data_bytes)
    return Answer(choice, tuple(_risk(name, when, days) for name, when in events),
                  days_of(f"{choice.alert_percent} % of data", (raised * DAY_SECONDS).tolist()),
                  _alert(choice.alert_percent, raised, refused),
                  needed(data[:, -1].tolist(), choice.risk).converted(lambda used: used / left), metadata)


def refused_days(ensemble: Ensemble, choice: Choice) -> Floats:
    """Of each replication, the day of ``REFUSED``; infinite for never."""
    demand, days, left = ensemble.demands[choice.variant], ensemble.days, granted_share(ensemble, choice)
    data = first_days(demand.data_bytes, days, left * choice.data_bytes)
    if not demand.is_pool:
        return data
    return np.minimum(data, first_days(metadata_asked(ensemble, choice), days, left * choice.metadata_bytes))


def granted_share(ensemble: Ensemble, choice: Choice) -> float:
    """The share of the size that may be used before the daemon refuses; all of a file system."""
    return 1 - choice.min_free_share if ensemble.demands[choice.variant].is_pool else 1.0


def metadata_asked(ensemble: Ensemble, choice: Choice) -> Floats:
    """Bytes of metadata asked for at most by each day, shape (replications, POINTS).

    The ensemble's are of a pool of the planned sizes; here with the bitmaps of the chosen data size instead, and with
    the reserve of the chosen metadata size, which the kernel shows as used.
    """
    demand, (data_bytes, metadata_bytes) = ensemble.demands[choice.variant], planned_sizes(ensemble.plan)
    bitmaps = _bitmaps(demand, choice.data_bytes) - _bitmaps(demand, data_bytes)
    reserve = reserve_bytes(choice.metadata_bytes) - reserve_bytes(metadata_bytes)
    return demand.metadata_bytes + bitmaps * METADATA_BLOCK_BYTES + reserve


def _bitmaps(demand: Demand, data_bytes: int) -> int:
    data_blocks = -(-data_bytes // (demand.variant.spec.chunk_size_bytes or 1))
    return -(-data_blocks // BITMAP_ENTRIES)


def first_days(curves: Floats, days: Floats, level: float) -> Floats:
    """Of each replication (rows), the first day at which the level had been passed; infinite for never."""
    above = curves > level
    return np.where(above.any(axis=1), days[above.argmax(axis=1)], NEVER)


def chance_by_size(ensemble: Ensemble, choice: Choice, sizes_bytes: Sequence[float]) -> list[Chance]:
    """For each data size, how probably the data ask for more than it grants by the horizon."""
    peaks, left = ensemble.demands[choice.variant].data_bytes[:, -1], granted_share(ensemble, choice)
    return [Chance(int((peaks > left * size_bytes).sum()), ensemble.n) for size_bytes in sizes_bytes]


def chance_by_day(ensemble: Ensemble, choice: Choice) -> list[Chance]:
    """For each day of the grid, how probable ``REFUSED`` is by then."""
    refused = refused_days(ensemble, choice)
    return [Chance(int((refused <= day).sum()), ensemble.n) for day in ensemble.days]


def _risk(name: str, when: Floats, days: Floats) -> Risk:
    told = [float(days[round(share * (len(days) - 1))]) for share in SHARES_OF_HORIZON]
    return Risk(name, tuple(told), tuple(Chance(int((when <= day).sum()), len(when)) for day in told))


def _alert(percent: int, raised: Floats, refused: Floats) -> Alert:
    both = np.isfinite(refused) & (raised <= refused)
    left = np.sort(refused[both] - raised[both]).tolist()
    missed = int(np.isfinite(refused).sum()) - len(left)
    return Alert(percent, Chance(int(np.isfinite(raised).sum()), len(raised)), len(left), missed,
                 left[0] if left else None, left[(len(left) - 1) // 2] if left else None)


# -- tables --------------------------------------------------------------------------------------------------

def ensembles_table(ensembles: Sequence[Ensemble]) -> pd.DataFrame:
    """A row a plan: what was run."""
    rows = [(one.plan.name, one.plan.storage.label, format_bytes(one.plan.pool.data_bytes), one.plan.horizon_days,
             one.made.seed, one.n, len(one.demands), one.made.lab_version) for one in ensembles]
    return indexed(rows, ["plan", "storage", "planned size", "days", "seed", "replications", "variants", "lab"])


def answer_table(found: Answer) -> pd.DataFrame:
    """The answer in words, a row a question; intervals of 90 %."""
    one, alert, horizon = found.alert_days, found.alert, found.risks[0].days[-1]
    rows = [(f"the accepted risk of {short(100 * found.choice.risk, 6)} % is kept",
             {True: "yes", False: "no", None: "open: too few replications to count it"}[found.holds])]
    rows += [(f"{risk.name}, by day {short(day, 6)}", words.percent(chance)) for risk in found.risks
             for day, chance in list(zip(risk.days, risk.chances, strict=True))[1::2]]
    rows += [(f"days to {one.name}, of 90 % of the replications", words.range_of(one, horizon)),
             ("their median, and its interval",
              f"{words.when(one.median, horizon)} ({words.when(one.median_low, horizon)} to "
              f"{words.when(one.median_high, horizon)})"),
             ("days from there to the first refusal", "none followed" if alert.median is None else
              f"{number(alert.median)} (median of {alert.in_time}; soonest {number(alert.soonest or 0.0)})"),
             (f"data at the accepted risk, {found.data.how}", words.interval(found.data))]
    if found.metadata is not None:
        rows.append((f"metadata at the accepted risk, {found.metadata.how}", words.interval(found.metadata)))
    return indexed(rows, ["question", "answer"])


def by_lever(ensemble: Ensemble, choice: Choice) -> pd.DataFrame:
    """A row a variant on the chosen size: what it asks for, and how that differs from the planned host.

    ``difference_bytes``: of the data's peak, the mean over pairs of replications.
    """
    planned = next(iter(ensemble.demands.values())).data_bytes[:, -1].tolist()
    rows = []
    for name, demand in ensemble.demands.items():
        found = answer(ensemble, replace(choice, variant=name))
        change = levers.difference(planned, demand.data_bytes[:, -1].tolist())
        metadata = NOTHING if found.metadata is None else number(found.metadata.estimate / MIB)
        rows.append((name, words.change(change), words.interval(found.data), metadata, words.short(found.chance),
                     change.mean))
    return indexed(rows, ["variant", "data's peak against the plan", "data at the accepted risk",
                          "metadata at the accepted risk, MiB", "refused by the horizon", "difference_bytes"])


def by_risk(ensemble: Ensemble, choice: Choice, risks: Sequence[float]) -> pd.DataFrame:
    """A row an accepted risk: the data size, how it was found, and how many replications would count it."""
    peaks, left = ensemble.demands[choice.variant].data_bytes[:, -1].tolist(), granted_share(ensemble, choice)
    found = [needed(peaks, risk).converted(lambda used: used / left) for risk in risks]
    return pd.DataFrame([(100 * one.at_risk, words.interval(one), one.how, one.n, one.replications_to_count)
                         for one in found],
                        columns=["accepted risk, %", "data", "how", "replications", "replications to count it"]
                        ).set_index("accepted risk, %")
