"""A validation as a notebook shows it: frames in MiB, and figures with their words.

Frames in are ``residuals.INCREMENT_COLUMNS`` unless said otherwise.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from lab.calibration import figures as validation_figures
from lab.calibration.goals import goal_rows, judge, share
from lab.calibration.ratios import RateScore
from lab.calibration.residual_tables import LARGEST_HEAD, largest_rows, with_residuals
from lab.calibration.residuals import Coverage, Score
from lab.model.parameters import Fitted, Parameters
from lab.report.drawings import Drawing
from lab.text import MIB

SERVICE = "service."
"""How the names of service times begin among the fitted parameters."""


def phases(rows: pd.DataFrame, cell: str) -> pd.DataFrame:
    """One cell's increments, in MiB: measured, simulated, by the straight line; the residual in data blocks."""
    own = with_residuals(_of_cell(rows, cell).assign(run=""))
    found = own[["repetition", "phase"]].assign(
        **{f"{name}_mib": (own[name] / MIB).round(3) for name in ("measured", "simulated", "straight")},
        residual_blocks=(own["residual"] / own["chunk_bytes"]).round(2), reason=own["reason"])
    return found.set_index("phase")


def overlay(rows: pd.DataFrame, cell: str) -> Drawing:
    """Space after each phase of a cell's first repetition: measured, simulated, and by the straight line."""
    own = _of_cell(rows, cell)
    own = own[own["repetition"] == own["repetition"].min()]
    return _drawn("overlay", f"Space after each phase of {cell}",
                  "Black: the machine. Dashed: the model. Dotted: what was written times the storage's average. Below: "
                  "by how much the model is off in each phase.", validation_figures.occupancy(own))


def scatter(rows: pd.DataFrame) -> Drawing:
    """Every increment, simulated against measured."""
    return _drawn("increments", "What each phase added, simulated against measured",
                  "A point is one phase in one repetition; on the line both agree.",
                  validation_figures.predicted_against_measured(rows))


def profile(tried: pd.DataFrame, name: str, best: float) -> Drawing:
    """``tried``: ``value`` and ``squares``, as ``lab.calibration.fit.loss_profile`` gives them."""
    return _drawn("profile", f"Sum of squared residuals by {name}",
                  "Each point is the whole fit's run simulated with that value, all else as fitted.",
                  validation_figures.profile(tried["value"].tolist(), tried["squares"].tolist(), best, name))


def largest(rows: pd.DataFrame) -> pd.DataFrame:
    """The largest residuals, in MiB and in data blocks, with their reason class."""
    return pd.DataFrame(largest_rows(rows.assign(run="")), columns=list(LARGEST_HEAD)).drop(columns="run")


def goals(score: Score, coverage: Coverage, rates: RateScore, told: str) -> pd.DataFrame:
    """Each goal, what was found in ``told``, over how many, and the verdict."""
    return pd.DataFrame(goal_rows(judge(score, coverage, rates), told),
                        columns=["goal", "wanted", "judged on", "found", "over", "verdict"]).set_index("goal")


def against_straight(score: Score) -> pd.DataFrame:
    """Mean relative errors (MAPE) of the model and of the straight line."""
    return pd.DataFrame({"of what one phase adds": [share(score.increment_mape), share(score.straight_increment_mape)],
                         "of the space taken so far": [share(score.occupancy_mape),
                                                       share(score.straight_occupancy_mape)]},
                        index=["model", "straight line"])


def fitted_frame(parameters: Parameters) -> pd.DataFrame:
    """A row each for log costs and times: name, unit, value, low, high, n, identified, reason."""
    return pd.DataFrame([{"name": one.name, "unit": unit_of(one.name), "value": one.value, "low": one.low,
                          "high": one.high, "n": one.n, "identified": one.identified, "reason": one.reason}
                         for one in growth_parameters(parameters)])


def growth_parameters(parameters: Parameters) -> list[Fitted]:
    """The fitted parameters that growth depends on: log costs and times, but no service times of fio's operations."""
    return [one for one in parameters.fitted if not one.name.startswith(SERVICE)]


def unit_of(name: str) -> str:
    """The unit in which a parameter is shown.

    >>> unit_of("log.inode_bytes"), unit_of("timing.start_seconds"), unit_of("copy_seconds_per_byte")
    ('B', 's', 'ns/B')
    """
    if name.startswith("log."):
        return "B" if name.endswith("_bytes") else "records"
    if name.endswith("_seconds_per_mib"):
        return "s/MiB"
    if name.endswith("_seconds_per_byte"):
        return "ns/B"
    if name.endswith("_seconds"):
        return "s" if name.startswith("timing.") else "µs"
    return ""


def _of_cell(rows: pd.DataFrame, cell: str) -> pd.DataFrame:
    own = rows[rows["cell"] == cell]
    if own.empty:
        raise ValueError(f"no cell {cell!r}; there are {', '.join(sorted(rows['cell'].unique()))}")
    return own


def _drawn(name: str, alt: str, caption: str, figure: Figure | None) -> Drawing:
    if figure is None:
        raise ValueError("there is nothing to draw")
    return Drawing(name, "", alt, caption, figure)
