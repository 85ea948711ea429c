"""What can be done about a pool's growth, and what each of it changes: the same host, run once more with it.

Each lever sees the containers of the plan (common random numbers: Law, Simulation Modeling and Analysis, 5th edition,
11.2), so what is told is the mean of paired differences of the unbounded peak, with Student's interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lab.answers.plan.answers import LEVEL
from lab.answers.plan.ensemble import Peaks, Replication
from lab.answers.plan.host import DAY_SECONDS, Variant, as_planned
from lab.answers.plan.plan_file import PlanFile
from lab.storages.catalogue import REFERENCE
from lab.units import format_bytes

CHUNKS = tuple(kibibytes * 1024 for kibibytes in (64, 128, 256, 512, 1024))
"""Data blocks that are tried."""

CHUNK = "chunks of "
FILE_SYSTEM = "overlay2 on ext4"
"""No pool: the daemon keeps nothing free there."""


def variants(plan: PlanFile) -> tuple[Variant, ...]:
    """Each lever that the plan leaves to be pulled."""
    base = as_planned(plan)
    found = []
    if _rarer_than_daily(base.prune_seconds):
        found.append(replace(base, name="prune daily", prune_seconds=DAY_SECONDS))
    if plan.is_pool:
        if _rarer_than_daily(base.trim_seconds):
            found.append(replace(base, name="fstrim daily", trim_seconds=DAY_SECONDS))
        if not base.spec.discard:
            found.append(replace(base, name="discard mounts", spec=base.spec.model_copy(update={"discard": True})))
    if not all(one.on_volume for one in plan.workload):
        found.append(replace(base, name="volumes for all that writes", on_volumes=True))
    if not plan.is_pool and any(one.log_bytes_per_day for one in plan.workload):
        found.append(replace(base, name="another log driver", logs=False))
    if plan.is_pool and plan.storage.kind.fixed_chunk_bytes is None:
        found += [replace(base, name=f"{CHUNK}{format_bytes(chunk)}",
                          spec=base.spec.model_copy(update={"chunk_size_bytes": chunk}))
                  for chunk in CHUNKS if chunk != base.spec.chunk_size_bytes]
    if plan.is_pool:
        other = type(base.spec).model_validate({"storage": REFERENCE})
        found.append(replace(base, name=FILE_SYSTEM, spec=other, trim_seconds=None))
    return tuple(found)


def _rarer_than_daily(seconds: float | None) -> bool:
    return seconds is None or seconds > DAY_SECONDS


@dataclass(frozen=True)
class Difference:
    """With the lever less without it, in bytes: the mean over the replications, and its interval of 90 %.

    None for the ends where there are fewer than two replications.
    """

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def settled(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Effect:
    """What a lever changes.  ``passed``: replications whose data ask for more than the pool grants, before and with
    it."""

    name: str
    data: Difference
    metadata: Difference
    volume: Difference
    passed_before: int
    passed_with: int


def effects(replications: Sequence[Replication], granted_bytes: float, whole_bytes: float) -> tuple[Effect, ...]:
    """Each lever's, in the order in which they were run.

    ``granted_bytes``: what the pool gives before it refuses; ``whole_bytes``: all of its data, which a file system of
    that size grants.
    """
    paired = [one for one in replications if one.others]
    names = list(paired[0].others) if paired else []

    def effect(name: str) -> Effect:
        before: list[Peaks] = [one.demand for one in paired]
        after: list[Peaks] = [one.others[name] for one in paired]

        def of(field: str) -> Difference:
            return difference([getattr(one, field) for one in before], [getattr(one, field) for one in after])

        with_it = whole_bytes if name == FILE_SYSTEM else granted_bytes
        return Effect(name, of("data_bytes"), of("metadata_bytes"), of("volume_bytes"),
                      sum(one.data_bytes > granted_bytes for one in before),
                      sum(one.data_bytes > with_it for one in after))

    return tuple(effect(name) for name in names)


def difference(before: Sequence[float], after: Sequence[float]) -> Difference:
    """Of paired values.  Raises ValueError where they are not pairs, or there are none."""
    if len(before) != len(after) or not before:
        raise ValueError(f"{len(before)} and {len(after)} values; pairs expected, one at least")
    told = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    mean, n = float(told.mean()), int(told.size)
    if n < 2:
        return Difference(mean, None, None, n)
    from scipy.stats import t

    half = float(t.ppf((1 + LEVEL) / 2, n - 1)) * float(told.std(ddof=1)) / math.sqrt(n)
    return Difference(mean, mean - half, mean + half, n)
