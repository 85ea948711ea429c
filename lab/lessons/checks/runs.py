"""Checks for the exercises of lessons 0 and 7: each takes a run, or what was made of one, and an answer."""

from __future__ import annotations

import pandas as pd

from lab.analysis import stats
from lab.analysis.verdicts import leader
from lab.calibration.residuals import Coverage
from lab.lessons.checks.answers import graded_number, graded_truth
from lab.runs.store import Run
from lab.text import short

MIB = 1024**2


def delete_gives_back(run: Run, answer_mib: object, *, storage: str = "direct-lvm") -> str:
    """Grades: how many MiB did the storage get back at the phase ``delete``, in the layer?"""
    table = stats.summarise(run.measurements)
    rows = table[(table["label"] == storage) & (table["target"] == "layer") & (table["phase"] == "delete")
                 & (table["metric"] == "storage_growth")]
    if rows.empty:
        return f"This run has no phase delete in the layer of {storage}."
    return graded_number(answer_mib, max(0.0, -float(rows["median"].iloc[0]) / MIB), "Look at the row delete of the "
                         "figure of phases: how far left of zero does the bar go?", unit="MiB", absolute=0.5,
                         relative=0.02)


def update_amplification(run: Run, answer: object, *, storage: str = "direct-lvm") -> str:
    """Grades: how many bytes did the storage allocate for each byte that the phase ``update`` wrote, in the layer?"""
    table = stats.summarise(run.measurements)
    rows = table[(table["label"] == storage) & (table["target"] == "layer") & (table["phase"] == "update")]
    values = rows.set_index("metric")["median"]
    if "storage_growth" not in values or not values.get("application_bytes"):
        return f"This run has no phase update in the layer of {storage}."
    return graded_number(answer, float(values["storage_growth"]) / float(values["application_bytes"]), "Divide the bar "
                         "of the row update by the black tick: allocated MiB over written MiB.", absolute=0.1,
                         relative=0.05)


def may_name_winner(run: Run, answer: object) -> str:
    """Grades: do this run's numbers allow anyone to call one storage the fastest writer in any job?"""
    table = stats.ratios(run.measurements, ("write_bandwidth",))
    found = [leader(rows, sorted({*rows["numerator"], *rows["denominator"]}), "write_bandwidth")
             for _, rows in table.groupby(["workload", "target", "phase"], sort=False)]
    right = any(verdict.winner for verdict in found)
    why = "at least one comparison has a ratio whose interval excludes 1" if right else \
        (found[0].reason if found else "nothing was compared")
    return graded_truth(answer, right, why, "Look for a ratio with an interval that leaves out 1. How many repetitions "
                        "are there?")


def straight_line_surplus(rows: pd.DataFrame, answer_mib: object, *, cell: str) -> str:
    """Grades: how many MiB too much does the straight line say at the end of the cell?

    ``rows``: ``residuals.INCREMENT_COLUMNS``; of several repetitions the first.
    """
    own = rows[rows["cell"] == cell].sort_values(["repetition", "order"])
    if own.empty:
        return f"This run has no cell {cell}."
    last = own[own["repetition"] == own["repetition"].min()].iloc[-1]
    surplus = (float(last["straight_occupancy"]) - float(last["measured_occupancy"])) / MIB
    return graded_number(answer_mib, surplus, "Read the last phase of the overlay: how far above the black line does "
                         "the dotted one end?", unit="MiB", absolute=1.0, relative=0.03)


def how_much_worse(profile: pd.DataFrame, answer: object, *, value: float) -> str:
    """Grades: how many times the smallest sum of squares has ``value``?  ``profile``: ``value`` and ``squares``."""
    squares = profile.set_index("value")["squares"]
    if value not in squares.index or not squares.min():
        return f"This profile does not tell how much worse {short(value, 6)} is."
    return graded_number(answer, float(squares[value]) / float(squares.min()),
                         f"Divide the sum of squares at {short(value, 6)} by the smallest one of the profile.",
                         absolute=0.05, relative=0.02)


def rules_out_share(coverage: Coverage, answer: object, *, share: float = 0.9) -> str:
    """Grades: do these phases rule out that the intervals cover ``share`` of all increments?"""
    if not coverage.n:
        return "This run has no increments."
    right = not coverage.low <= share <= coverage.high
    why = (f"{coverage.covered} of {coverage.n} lie in theirs, which leaves open shares from {coverage.low:.1%} to "
           f"{coverage.high:.1%}, and {share:.0%} is {'not ' if right else ''}among them")
    return graded_truth(answer, right, why, f"Is {share:.0%} inside the range from `coverage.low` to `coverage.high`?")
