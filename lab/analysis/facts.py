"""What the sections of the reference page share: a run's numbers as they look them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lab.analysis import stats
from lab.metrics import GROWTHS
from lab.metrics import metric as entry
from lab.runs.records import CellRecord, Manifest
from lab.runs.store import Run
from lab.scenario.phases import phase_kind
from lab.scenario.steps import FREEING
from lab.text import MIB, joined, number, optional, records, unique

if TYPE_CHECKING:
    import pandas as pd

ALL_PHASES = "sum of all phases"
"""Stands as phase for the sum over all phases of one cell in one repetition."""

KEPT_PHASES = "sum before any delete"
"""Stands as phase for the sum over the phases ahead of the first that frees anything."""

FILES = "files"
"""The reference run's workload of container steps."""


@dataclass(frozen=True)
class Facts:
    """A run's numbers as the sections ask for them.

    ``frame`` is a prepared one (``stats.prepare``); ``storages``: for each label, in
    the scenario's order, what it stands for.
    """

    frame: pd.DataFrame
    storages: dict[str, CellRecord]

    @cached_property
    def labels(self) -> list[str]:
        """The storages that were measured, in the scenario's order."""
        seen = set(self.frame["place"])
        return [label for label in self.storages if label in seen]

    @cached_property
    def with_sums(self) -> pd.DataFrame:
        """The frame, and below it each cell's sums over its phases (``summed``)."""
        import pandas as pd

        return pd.concat([self.frame, summed(self.frame)], ignore_index=True)

    @cached_property
    def summary(self) -> dict[tuple[str, str, str, str, str], dict[str, Any]]:
        """(label, target, workload, phase, metric) -> a row of ``stats.summarise``; sums over phases included."""
        table = stats.summarise(self.with_sums)
        return {(row["label"], row["target"], row["workload"], row["phase"], row["metric"]): row
                for row in records(table)}

    def summary_row(self, label: str, target: str, phase: str, metric: str,
                    workload: str = FILES) -> dict[str, Any] | None:
        """The row of ``stats.summarise``; None where it was not measured."""
        return self.summary.get((label, target, workload, phase, metric))

    def median(self, label: str, target: str, phase: str, metric: str, workload: str = FILES) -> float | None:
        """The median in the metric's unit; None where it was not measured."""
        row = self.summary_row(label, target, phase, metric, workload)
        return None if row is None else float(row["median"])

    def phases(self, target: str, workload: str = FILES) -> list[str]:
        """In the order in which they ran."""
        own = self.frame[(self.frame["workload"] == workload) & (self.frame["target"] == target)]
        return unique(own["phase"])

    def chunk_bytes(self, label: str) -> int | None:
        """The size of the pool's data blocks; None on a storage without a pool."""
        size = self.storages[label].options.get("chunk_size_bytes")
        return int(size) if isinstance(size, int | float) and size else None

    def pools(self) -> list[str]:
        """The storages that are thin pools."""
        return [label for label in self.labels if self.chunk_bytes(label) is not None]

    def discards(self, label: str) -> bool:
        """Whether its file systems are mounted with ``discard``."""
        return bool(self.storages[label].options.get("discard"))


def facts_of(run: Run) -> Facts:
    """A run's numbers, prepared.  Reads its tables."""
    return Facts(stats.prepare(run.measurements), storages_of(run.manifest))


def storages_of(manifest: Manifest) -> dict[str, CellRecord]:
    """The first cell of each storage, by the storage's label, in the scenario's order."""
    found: dict[str, CellRecord] = {}
    for identity, cell in manifest.cells.items():
        found.setdefault(stats.storage_label(identity, cell.storage), cell)
    return found


def summed(frame: pd.DataFrame) -> pd.DataFrame:
    """Each cell's growth in each repetition, summed: ``phase`` is ``ALL_PHASES`` or ``KEPT_PHASES``."""
    import pandas as pd

    rows = frame[frame["metric"].isin([*GROWTHS, "application_bytes"])]
    keys = [name for name in frame.columns if name not in ("phase", "value", "source")]
    kept = {cell: before_freeing(unique(part["phase"])) for cell, part in frame.groupby("cell", sort=False)}
    early = rows[[phase in kept[cell] for cell, phase in zip(rows["cell"], rows["phase"], strict=True)]]
    return pd.concat([part.groupby(keys, sort=False)["value"].sum().reset_index().assign(phase=phase, source="sum")
                      for phase, part in ((KEPT_PHASES, early), (ALL_PHASES, rows))], ignore_index=True)


def before_freeing(phases: Sequence[str], kinds: Sequence[str] = FREEING) -> list[str]:
    """The phases ahead of the first of those kinds; all where there is none.

    >>> before_freeing(["start", "write", "delete", "write#2"])
    ['start', 'write']
    """
    stop = next((place for place, phase in enumerate(phases) if phase_kind(phase) in kinds), len(phases))
    return list(phases[:stop])


def mib_text(row: dict[str, Any] | None, *, sign: int = 1) -> str:
    """A median of bytes in MiB, and its interval where that is wider than the digits shown."""
    if row is None:
        return "–"
    low, high = optional(row["low"]), optional(row["high"])
    text = number(sign * float(row["median"]) / MIB)
    if low is None or high is None or number(low / MIB) == number(high / MIB):
        return text
    low, high = sorted((sign * low, sign * high))
    return f"{text} ({number(low / MIB)} to {number(high / MIB)})"


def ratio_text(found: stats.Estimate | None) -> str:
    """A ratio, and its interval where there is one."""
    if found is None or found.centre != found.centre:
        return "–"
    text = number(found.centre)
    return text if found.low is None or found.high is None else f"{text} ({number(found.low)} to {number(found.high)})"


def repetitions_told(counts: Sequence[int], interval: str) -> str:
    """What n is, and what the brackets in a table are: ``interval`` names them."""
    low, high = min(counts, default=0), max(counts, default=0)
    text = f"n = {low}" if low == high else f"n = {low} to {high}"
    if high < stats.MIN_N:
        return f"{text}; below {stats.MIN_N} there is no interval"
    return f"{text}; in brackets {interval}" + ("" if low >= stats.MIN_N else f", where n is {stats.MIN_N} or more")


def median_note(rows: Sequence[dict[str, Any] | None]) -> str:
    """What a table of medians shows, with n and what its intervals really cover."""
    told = [row for row in rows if row is not None]
    covers = unique(percent(float(row["coverage"])) for row in told if optional(row["coverage"]) is not None)
    return "Medians, " + repetitions_told(
        [int(row["n"]) for row in told],
        f"the interval of the median ({' or '.join(covers)} coverage), left out where it is narrower than the "
        "digits shown") + "."


def ratio_note(found: Sequence[stats.Estimate]) -> str:
    """What a table of ratios shows, with n and what its intervals are."""
    return "Geometric means of the repetitions' ratios, " + repetitions_told(
        [one.n for one in found], f"the {percent(stats.LEVEL)} interval") + "."


def percent(share: float, digits: int = 0) -> str:
    """A share in percent.

    >>> percent(0.95), percent(0.1234, 1)
    ('95 %', '12.3 %')
    """
    return f"{100 * share:.{digits}f} %"


def amounts_told(amounts: Sequence[tuple[str, str]]) -> str:
    """Which storages have which amount, those with the same one together.

    >>> amounts_told([("a", "5 MiB"), ("c", "3 MiB"), ("b", "5 MiB")])
    '5 MiB on a and b; 3 MiB on c'
    """
    by_amount: dict[str, list[str]] = {}
    for label, amount in amounts:
        by_amount.setdefault(amount, []).append(label)
    return "; ".join(f"{amount} on {joined(labels)}" for amount, labels in by_amount.items())


def job_name(phase: str, metric: str) -> str:
    """An fio job with the way it moves data, as ``rand-read-4k, read``; any other phase with what is told of it."""
    return f"{phase}, {way_of(metric)}"


def way_of(metric: str) -> str:
    """``write`` for the write bandwidth: which of a job's bandwidths it is; else the metric's words."""
    one = entry(metric)
    return one.way or one.words


def difference(facts: Facts, top: str, bottom: str, phase: str) -> stats.Estimate:
    """Median of the differences of growth in the layer, top - bottom, paired by repetition; bytes."""
    frame = _growth_rows(facts, phase)
    ours, theirs = stats.paired_values(frame, "label", top, bottom)
    return stats.median_interval([a - b for a, b in zip(ours, theirs, strict=True)])


def _growth_rows(facts: Facts, phase: str) -> pd.DataFrame:
    frame = facts.with_sums
    return frame[(frame["workload"] == FILES) & (frame["target"] == "layer") & (frame["phase"] == phase)
                 & (frame["metric"] == "storage_growth")]
