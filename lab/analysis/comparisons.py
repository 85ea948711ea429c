"""Which storage was fastest in a job, and what the others are set against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.analysis import plots, stats
from lab.analysis.words import records, unique

if TYPE_CHECKING:
    import pandas as pd

BANDWIDTHS = ("write_bandwidth", "read_bandwidth")


COMPARED = ("write_bandwidth", "read_bandwidth", "write_latency_p99", "read_latency_p99", "sync_latency_p99",
            "duration")


def usual_reference(frame: pd.DataFrame) -> str | None:
    """The storage that the others are set against: overlay2 where there is one, else the last in the usual order."""
    labels = sorted(frame.loc[frame["metric"].isin(BANDWIDTHS), "label"].unique(), key=plots.rank)
    return "overlay2-ext4" if "overlay2-ext4" in labels else str(labels[-1]) if labels else None


@dataclass(frozen=True)
class Compared:
    """One comparison of bandwidths between storages.  ``beaten``: each other storage, and winner ÷ other."""

    workload: str
    target: str
    phase: str
    metric: str
    winner: str | None
    reason: str
    beaten: list[tuple[str, stats.Estimate]]


def compare_storages(frame: pd.DataFrame) -> list[Compared]:
    table = stats.ratios(frame[frame["value"] > 0], BANDWIDTHS)
    out = []
    for (workload, target, phase, metric), rows in table.groupby(["workload", "target", "phase", "metric"], sort=False):
        labels = unique([*rows["numerator"], *rows["denominator"]])
        found = stats.leader(rows, labels, str(metric))
        beaten = []
        for row in records(rows):
            if found.winner == row["numerator"]:
                beaten.append((str(row["denominator"]), stats.estimate(row)))
            elif found.winner == row["denominator"]:
                beaten.append((str(row["numerator"]), inverse(stats.estimate(row))))
        out.append(Compared(str(workload), str(target), str(phase), str(metric), found.winner, found.reason, beaten))
    return sorted(out, key=lambda v: (v.workload, v.target))


def inverse(found: stats.Estimate) -> stats.Estimate:
    return stats.Estimate(1 / found.centre, 1 / found.high if found.high else None,
                          1 / found.low if found.low else None, found.n, found.coverage)
