"""What is compared with what: storages with each other, and the arms of a run with two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lab.analysis import noise, stats
from lab.analysis.facts import way_of
from lab.analysis.verdicts import leader
from lab.metrics import BANDWIDTHS as BANDWIDTHS
from lab.runs.records import RepeatRecord
from lab.scenario.arms import BASELINE, CANDIDATE
from lab.storages.catalogue import REFERENCE
from lab.text import MIB, records, unique

if TYPE_CHECKING:
    import pandas as pd

GROWTH_FLOOR_BYTES = 0.05 * MIB
"""A change of space below this is none: neither its ratio nor its variation says anything."""


@dataclass(frozen=True)
class Running:
    """A ratio as it stood after 1, 2, 3, … pairs; ``wanted``: the half-width that it was repeated for, 0.1 is ±10 %."""

    title: str
    estimates: Sequence[stats.Estimate]
    wanted: float | None = None


def usual_reference(frame: pd.DataFrame) -> str | None:
    """The storage that the others are set against: overlay2 where there is one, else the last in the usual order.

    None in a run with two arms, which asks another question.
    """
    if stats.has_arms(frame):
        return None
    labels = sorted(frame.loc[frame["metric"].isin(BANDWIDTHS), "label"].unique(), key=stats.rank)
    return REFERENCE if REFERENCE in labels else str(labels[-1]) if labels else None


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
    """Every job's bandwidths; of a run with two arms none, because no arm's storage is set against the other arm's."""
    if stats.has_arms(frame):
        return []
    table = stats.ratios(frame[frame["value"] > 0], BANDWIDTHS)
    out = []
    for (workload, target, phase, metric), rows in table.groupby(["workload", "target", "phase", "metric"], sort=False):
        labels = unique([*rows["numerator"], *rows["denominator"]])
        found = leader(rows, labels, str(metric))
        beaten = []
        for row in records(rows):
            if found.winner == row["numerator"]:
                beaten.append((str(row["denominator"]), stats.estimate(row)))
            elif found.winner == row["denominator"]:
                beaten.append((str(row["numerator"]), inverse(stats.estimate(row))))
        out.append(Compared(str(workload), str(target), str(phase), str(metric), found.winner, found.reason, beaten))
    return sorted(out, key=lambda v: (v.workload, v.target))


def inverse(found: stats.Estimate) -> stats.Estimate:
    """The ratio the other way round: the ends of the interval change places."""
    return stats.Estimate(1 / found.centre, 1 / found.high if found.high else None,
                          1 / found.low if found.low else None, found.n, found.coverage)


RUNNING_SHOWN = 6
"""Panels in the figure of intervals against n."""


def arm_ratios(frame: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """Candidate ÷ baseline where both were measured above zero; no rows in a run with one arm."""
    table = stats.candidate_against_baseline(frame, metrics)
    return table[table["ratio"].notna()]


def running_ratios(frame: pd.DataFrame, told: RepeatRecord | None) -> list[Running]:
    """The ratio that the run was repeated for, then the others by the width of their interval, the widest first.

    They are ratios of bandwidth, or of duration where no bandwidth was measured: candidate ÷ baseline, or each
    storage's first pass to ``usual_reference``.  Only those with an interval.
    """
    chosen = [] if told is None else _asked_for(frame, told)
    metrics = BANDWIDTHS if frame["metric"].isin(BANDWIDTHS).any() else ("duration",)
    rows = frame[frame["metric"].isin(metrics) & (frame["workload"] != "setup")]
    others = [one for one in _every_running(rows) if one.estimates not in [known.estimates for known in chosen]]
    others.sort(key=lambda one: -(noise.half_width(one.estimates[-1]) or 0.0))
    return [*chosen, *others]


def _every_running(rows: pd.DataFrame) -> list[Running]:
    sides: list[tuple[str, str, str]]
    if stats.has_arms(rows):
        between, within, sides = "arm", ["place", "workload", "target", "phase", "metric"], [
            (CANDIDATE, BASELINE, "")]
    else:
        reference = usual_reference(rows) or _last(rows)
        between, within = "label", ["workload", "target", "phase", "metric"]
        rows = rows[~rows["phase"].str.contains(r"#\d+$", regex=True)]
        sides = [(str(label), reference, f"{label} ÷ {reference}") for label in rows["label"].unique()
                 if label != reference]
    several = rows["workload"].nunique() > 1
    found = []
    for key, part in rows.groupby(within, sort=False):
        named = dict(zip(within, map(str, key), strict=True))
        for top, bottom, told in sides:
            what = [told or named["place"], f"{named['phase']} {way_of(named['metric'])}",
                    named["target"], *([named["workload"]] if several else [])]
            if (one := _running(part, between, top, bottom, ", ".join(what))) is not None:
                found.append(one)
    return found


def _asked_for(frame: pd.DataFrame, told: RepeatRecord) -> list[Running]:
    """The ratio that the run was repeated for, as its text names it."""
    words = told.ratio.replace("±", " ±").split()
    top, _, bottom = words[0].partition("/")
    workload, _, phase = words[2].rpartition(":")
    part = frame[(frame["metric"] == words[1]) & (frame["phase"] == phase) & (frame["target"] == words[3])]
    part = part[part["workload"] == workload] if workload else part
    arms = {top, bottom} == {BASELINE, CANDIDATE}
    if arms:
        part = part[part["place"] == words[4]]
    one = _running(part, "arm" if arms else "place", top, bottom, " ".join(words[:5 if arms else 4]))
    return [] if one is None else [replace(one, wanted=told.wanted)]


def _running(part: pd.DataFrame, between: str, top: str, bottom: str, title: str) -> Running | None:
    estimates = stats.running_ratio(*stats.paired_values(part, between, top, bottom))
    return Running(title, estimates) if estimates and estimates[-1].low is not None else None


def _last(rows: pd.DataFrame) -> str:
    return str(max(rows["label"].unique(), key=stats.rank, default=""))
