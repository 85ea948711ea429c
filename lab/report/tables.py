"""Frames -> tables of a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.analysis import stats
from lab.analysis.comparisons import GROWTH_FLOOR_BYTES, compare_storages
from lab.analysis.facts import job_name
from lab.analysis.verdicts import verdict
from lab.metrics import BANDWIDTHS, GROWTHS, SPEEDS, TAIL_LATENCIES, Kind, growth_of, metric
from lab.runs.records import Manifest
from lab.scenario.arms import BASELINE, CANDIDATE
from lab.text import amount, clean, metric_words, number, option, optional, records, unique

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_FIRST = {*TAIL_LATENCIES, "duration", *GROWTHS, "application_bytes", "allocation_amplification",
                "write_amplification", "daemon_start", "image_load"}
_VARYING = [*SPEEDS, *GROWTHS]


@dataclass(frozen=True)
class Table:
    """Cells are (text, small text); the first ``keys`` columns are words, the others numbers."""

    caption: str
    head: list[str]
    rows: list[list[tuple[str, str]]]
    keys: int = 1
    tint: list[str] = field(default_factory=list)


def median_tables(summary: pd.DataFrame, *, key: bool) -> list[Table]:
    """A table a kind of metric, a row a phase, target and metric, a column a storage.

    ``summary`` is of ``stats.summarise``; ``key``: the metrics that are shown first, else all the others.
    """
    labels = sorted(summary["label"].unique(), key=stats.rank)
    summary = summary.sort_values("target", kind="stable")
    metrics, moved = summary["metric"].astype(str), summary["median"].abs() > 0
    jobs = bool(metrics.isin(BANDWIDTHS).any())
    is_key = metrics.isin(_SHOWN_FIRST)
    own = metrics == summary["target"].map(growth_of)
    is_key &= ~metrics.isin(GROWTHS) | (own & (moved | (not jobs)))     # of fio jobs, those that moved something
    chosen = summary[is_key if key else ~is_key]
    found: dict[Kind, list[list[tuple[str, str]]]] = {kind: [] for kind in Kind}
    for (phase, target, name), part in chosen.groupby(["phase", "target", "metric"], sort=False):
        one = metric(str(name))
        if one.way and not part["median"].any():
            continue        # a job that only writes has no read bandwidth to show
        by_label = {str(r["label"]): r for r in records(part)}
        found[one.kind].append([(clean(str(phase)), ""), (clean(str(target)) or "–", ""), (one.words, ""),
                                *(_median_cell(by_label.get(label), one.unit) for label in labels)])
    head = ["phase", "written to", "quantity", *map(clean, labels)]
    return [_noted(Table(kind, head, rows, keys=3)) for kind, rows in found.items() if rows]


def _median_cell(row: dict[str, Any] | None, unit: str) -> tuple[str, str]:
    if row is None:
        return "–", "no value"
    low, high = optional(row["low"]), optional(row["high"])
    small = f"{_NOTE}n = {row['n']}"
    if low is not None and high is not None:
        small = (f"{amount(low, unit)} to {amount(high, unit)}"
                 f"{_NOTE}intervals of {float(row['coverage']):.0%}, n = {row['n']}")
    return amount(float(row["median"]), unit), small


_NOTE = "\x00"
"""Stands in a small text before what may move to the caption, where it is the same all over the table."""


def _noted(table: Table) -> Table:
    """What stands in every cell (n, the intervals' coverage) goes to the caption, once."""
    notes = unique(small.split(_NOTE)[1] for row in table.rows for _, small in row if _NOTE in small)
    common = notes[0] if len(notes) == 1 else None

    def short(small: str) -> str:
        return small.split(_NOTE)[0] if common else ", ".join(part for part in small.split(_NOTE) if part)

    rows = [[(text, short(small)) for text, small in row] for row in table.rows]
    return Table(f"{table.caption} ({common})" if common else table.caption, table.head, rows, table.keys, table.tint)


def ratio_table(table: pd.DataFrame, caption: str) -> Table:
    """A row a ratio with its interval and verdict; ``table`` as ``stats.ratios`` and its like give it."""
    rows, tint = [], []
    for row in records(table):
        found = stats.estimate(row)
        if found.n == 0:
            continue
        higher = metric(str(row["metric"])).higher_is_better
        said = verdict(found, str(row["numerator"]), str(row["denominator"]), higher=higher)
        between = f"{row['numerator']} ÷ {row['denominator']}"
        where = ", ".join(str(row[name]) for name in ("workload", "target", "label")
                          if row[name] and row[name] != row["numerator"])
        rows.append([(clean(where), ""), (clean(str(row["phase"])), ""), (metric_words(str(row["metric"])), ""),
                     (clean(between), ""), (number(found.centre), ""),
                     ("–", "") if found.low is None or found.high is None
                     else (f"{number(found.low)} to {number(found.high)}", ""), (str(found.n), ""),
                     (clean(f"{said.winner} better" if said.winner else said.reason), "")])
        tint.append("" if said.winner else "unsettled")
    head = ["where", "phase", "quantity", "ratio of", "ratio, ×", "interval, ×", "n", "verdict"]
    return Table(caption, head, rows, keys=4, tint=tint)


def verdict_table(frame: pd.DataFrame, summary: pd.DataFrame) -> Table:
    """A row a job: which storage had the highest bandwidth, and each one's median."""
    rows, tint = [], []
    labels = sorted(summary.loc[summary["metric"].isin(BANDWIDTHS), "label"].unique(), key=stats.rank)
    verdicts = compare_storages(frame)
    several = len({v.workload for v in verdicts}) > 1
    for v in verdicts:
        own = summary[(summary["workload"] == v.workload) & (summary["target"] == v.target)
                      & (summary["phase"] == v.phase) & (summary["metric"] == v.metric)]
        by_label = {str(row["label"]): row for row in records(own)}
        rows.append([(clean(job_name(v.phase, v.metric)), clean(v.workload) if several else ""),
                     (clean(v.target), ""),
                     (clean(v.winner or "none"), clean("" if v.winner else v.reason.split(": ", 1)[-1])),
                     *(_median_cell(by_label.get(label), metric(v.metric).unit) for label in labels)])
        tint.append("" if v.winner else "unsettled")
    head = ["job", "written to", "fastest", *map(clean, labels)]
    return _noted(Table("Bandwidth: medians, and which storage was fastest", head, rows, keys=3, tint=tint))


def matrix(table: pd.DataFrame, caption: str) -> Table:
    """Ratios with a row a job and a column a storage."""
    table = table[table["n"] > 0].sort_values(["workload", "target"], kind="stable")
    several = table["workload"].nunique() > 1
    labels = sorted(table["label"].unique(), key=stats.rank)
    rows = []
    for (workload, target, phase, name), part in table.groupby(["workload", "target", "phase", "metric"], sort=False):
        by_label = {str(row["label"]): stats.estimate(row) for row in records(part)}
        if all(found.centre != found.centre for found in by_label.values()):
            continue
        row = [(clean(job_name(str(phase), str(name))), clean(str(workload)) if several else "")]
        row += [(clean(str(target)), "")] if target else []
        for label in labels:
            found = by_label.get(label)
            if found is None:
                row.append(("–", "not measured"))
            elif found.low is None or found.high is None:
                row.append((number(found.centre), f"{_NOTE}n = {found.n}"))
            else:
                row.append((number(found.centre), f"{number(found.low)} to {number(found.high)}"
                            + ("" if found.settled else ", includes 1")
                            + f"{_NOTE}intervals of {stats.LEVEL:.0%}, n = {found.n}"))
        rows.append(row)
    keys = ["job", "written to"] if table["target"].astype(bool).any() else ["job"]
    return _noted(Table(caption, [*keys, *(f"{clean(label)}, ×" for label in labels)], rows, keys=len(keys)))


def variation_tables(frame: pd.DataFrame) -> list[Table]:
    """Each phase's coefficient of variation, in percent, a table a workload; where it was repeated."""
    table = stats.variation(frame[frame["workload"] != "setup"])
    table = table[table["metric"].isin(_VARYING) & table["variation"].notna()]
    table = table[~table["metric"].isin(GROWTHS) | (table["mean"].abs() > GROWTH_FLOOR_BYTES)]
    tables = []
    for workload, own in table.groupby("workload", sort=False):
        labels = sorted(own["label"].unique(), key=stats.rank)
        rows = []
        for (target, phase, name), part in sorted(own.groupby(["target", "phase", "metric"], sort=False),
                                                    key=lambda item: str(item[0][0])):
            by_label = {str(row["label"]): row for row in records(part)}
            rows.append([(clean(str(phase)), ""), (clean(str(target)), ""), (metric_words(str(name)), ""),
                         *(_variation_cell(by_label.get(label)) for label in labels)])
        head = ["phase", "written to", "quantity", *(f"{clean(label)}, %" for label in labels)]
        tables.append(_noted(Table(f"Coefficient of variation over repetitions: {clean(str(workload))}", head, rows,
                                   keys=3)))
    return tables


def _variation_cell(row: dict[str, Any] | None) -> tuple[str, str]:
    return ("–", "") if row is None else (number(100 * float(row["variation"])), f"{_NOTE}n = {row['n']}")


def storage_table(m: Manifest) -> Table:
    """A row a storage, of a run with two arms a row for each arm."""
    rows: dict[str, list[tuple[str, str]]] = {}
    cells = [(CANDIDATE, *item) for item in m.cells.items()]
    if m.baseline is not None:
        cells = [(BASELINE, *item) for item in m.baseline.cells.items()] + cells
    for arm, identity, cell in cells:
        place = stats.storage_label(identity, cell.storage)
        label = place if m.baseline is None else stats.arm_label(place, arm)
        options = ", ".join(f"{key} = {option(key, value)}"
                            for key, value in cell.options.items() if value is not None)
        rows.setdefault(label, [(clean(label), ""), (clean(cell.storage), ""), (clean(options) or "–", "")])
    return Table("Storages and their options", ["name", "storage", "options"], list(rows.values()), keys=3)
