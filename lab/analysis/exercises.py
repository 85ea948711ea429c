"""Checks for the notebooks' exercises: each takes a run, or what was made of one, and an answer, and grades it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.analysis import stats
from lab.analysis.validate import Coverage
from lab.analysis.verdicts import leader
from lab.store import Run

if TYPE_CHECKING:
    import pandas as pd

MIB = 1024**2


def delete_gives_back(run: Run, answer_mib: float | None, *, storage: str = "direct-lvm") -> str:
    """Grades: how many MiB did the storage get back at the phase ``delete``, in the layer?"""
    table = stats.summarise(run.measurements)
    rows = table[(table["label"] == storage) & (table["target"] == "layer") & (table["phase"] == "delete")
                 & (table["metric"] == "storage_growth")]
    if rows.empty:
        return f"This run has no phase delete in the layer of {storage}."
    return _graded(answer_mib, max(0.0, -float(rows["median"].iloc[0]) / MIB), 0.5, 0.02,
                   "Look at the row delete of the figure of phases: how far left of zero does the bar go?")


def update_amplification(run: Run, answer: float | None, *, storage: str = "direct-lvm") -> str:
    """Grades: how many bytes did the storage allocate for each byte that the phase ``update`` wrote, in the layer?"""
    table = stats.summarise(run.measurements)
    rows = table[(table["label"] == storage) & (table["target"] == "layer") & (table["phase"] == "update")]
    values = rows.set_index("metric")["median"]
    if "storage_growth" not in values or not values.get("application_bytes"):
        return f"This run has no phase update in the layer of {storage}."
    return _graded(answer, float(values["storage_growth"]) / float(values["application_bytes"]), 0.1, 0.05,
                   "Divide the bar of the row update by the black tick: allocated MiB over written MiB.")


def may_name_winner(run: Run, answer: bool | None) -> str:
    """Grades: do this run's numbers allow anyone to call one storage the fastest writer in any job?"""
    if answer is None:
        return "No answer yet."
    table = stats.ratios(run.measurements, ("write_bandwidth",))
    found = [leader(rows, sorted({*rows["numerator"], *rows["denominator"]}), "write_bandwidth")
             for _, rows in table.groupby(["workload", "target", "phase"], sort=False)]
    right = any(verdict.winner for verdict in found)
    why = "at least one comparison has a ratio whose interval excludes 1" if right else \
        (found[0].reason if found else "nothing was compared")
    return f"Right: {why}." if answer == right else f"Not yet. {why.capitalize()}."


def straight_line_surplus(rows: pd.DataFrame, answer_mib: float | None, *, cell: str) -> str:
    """Grades: how many MiB too much does the straight line say at the end of the cell?

    ``rows``: ``validate.INCREMENT_COLUMNS``; of several repetitions the first.
    """
    own = rows[rows["cell"] == cell].sort_values(["repetition", "order"])
    if own.empty:
        return f"This run has no cell {cell}."
    last = own[own["repetition"] == own["repetition"].min()].iloc[-1]
    surplus = (float(last["straight_occupancy"]) - float(last["measured_occupancy"])) / MIB
    return _graded(answer_mib, surplus, 1.0, 0.03,
                   "Read the last phase of the overlay: how far above the black line does the dotted one end?")


def how_much_worse(profile: pd.DataFrame, answer: float | None, *, value: float) -> str:
    """Grades: how many times the smallest sum of squares has ``value``?  ``profile``: ``value`` and ``squares``."""
    squares = profile.set_index("value")["squares"]
    if value not in squares.index or not squares.min():
        return f"This profile does not tell how much worse {value:g} is."
    return _graded(answer, float(squares[value]) / float(squares.min()), 0.05, 0.02,
                   f"Divide the sum of squares at {value:g} by the smallest one of the profile.")


def rules_out_share(coverage: Coverage, answer: bool | None, *, share: float = 0.9) -> str:
    """Grades: do these phases rule out that the intervals cover ``share`` of all increments?"""
    if answer is None:
        return "No answer yet."
    if not coverage.n:
        return "This run has no increments."
    right = not coverage.low <= share <= coverage.high
    why = (f"{coverage.covered} of {coverage.n} lie in theirs, which leaves open shares from {coverage.low:.1%} to "
           f"{coverage.high:.1%}, and {share:.0%} is {'not ' if right else ''}among them")
    return f"Right: {why}." if answer == right else f"Not yet: {why}."


def _graded(answer: float | None, right: float, absolute: float, relative: float, hint: str) -> str:
    if answer is None:
        return "No answer yet."
    if abs(answer - right) <= max(absolute, relative * abs(right)):
        return f"Right: it is {right:.3g}."
    return f"Not yet. {hint}"
