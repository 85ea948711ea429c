"""Tables of residuals: by kind of phase, the largest, and how many increments lie in their intervals.

Frames are ``validate.INCREMENT_COLUMNS`` with a column ``run``; a residual is simulated - measured, in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from lab.analysis.facts import kind_of
from lab.calibration import residuals as validate
from lab.calibration.goals import coverage_text, share
from lab.text import MIB, number, records, unique

LATE = "late inodes"
OTHER = "other"
SHOWN = 10

_CELL = ["run", "cell", "repetition"]


def with_residuals(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with ``kind`` of phase, ``residual`` in bytes and ``reason``.

    ``late inodes``: on a thin pool, the residual and that of the phase before or after have opposite signs and cancel
    to within one data block, and to less than either.  Inodes were then written back in the one phase instead of the
    other.
    """
    found = rows.assign(kind=[kind_of(str(phase)) for phase in rows["phase"]],
                        residual=rows["simulated"] - rows["measured"])
    found = found.sort_values([*_CELL, "order"], kind="stable")
    pool = (found["target"] == "layer") & (found["chunk_bytes"] > 4096)
    late = pd.Series(data=False, index=found.index)
    for step in (1, -1):
        other = found.groupby(_CELL, sort=False)["residual"].shift(step).fillna(0.0)
        left = (found["residual"] + other).abs()
        opposite = found["residual"] * other < 0
        smaller = (left < found["residual"].abs()) & (left < other.abs())
        late |= opposite & smaller & (left <= found["chunk_bytes"])
    return found.assign(reason=[LATE if one else OTHER for one in late & pool]).sort_index()


def kind_rows(rows: pd.DataFrame) -> list[list[str]]:
    """A row a kind of phase, in the order in which they ran: ``KIND_HEAD``."""
    found = with_residuals(rows)
    return [_kind_row(kind, found[found["kind"] == kind]) for kind in unique(found["kind"])] + (
        [_kind_row("all", found)] if len(found) else [])


KIND_HEAD = ("kind of phase", "n", "equal to the byte", "of at least 1 MiB", "MAPE of those",
             "largest error, MiB", "in data blocks")


def _kind_row(kind: str, part: pd.DataFrame) -> list[str]:
    told = validate.score(part)
    blocks = (part["residual"].abs() / part["chunk_bytes"]).max()
    return [kind, f"{told.phases:,}", f"{told.exact:,} ({share(told.exact / told.phases)})", f"{told.judged:,}",
            share(told.increment_mape), number(told.largest_error_bytes / MIB), number(float(blocks))]


LARGEST_HEAD = ("run", "cell", "repetition", "phase", "reason", "measured, MiB", "simulated, MiB", "residual, MiB",
                "in data blocks")


def largest_rows(rows: pd.DataFrame, shown: int = SHOWN) -> list[list[str]]:
    """The largest residuals, none of them 0: ``LARGEST_HEAD``."""
    found = with_residuals(rows)
    found = found[found["residual"] != 0]
    order = found["residual"].abs().sort_values(ascending=False, kind="stable").index[:shown]
    return [[str(row["run"]), str(row["cell"]), str(row["repetition"]), str(row["phase"]), str(row["reason"]),
             number(row["measured"] / MIB), number(row["simulated"] / MIB), signed(row["residual"] / MIB),
             signed(row["residual"] / row["chunk_bytes"])] for row in records(found.loc[order])]


def reason_sentence(rows: pd.DataFrame) -> str:
    """How many residuals are of which reason class."""
    found = with_residuals(rows)
    wrong = found[found["residual"] != 0]
    late = int((wrong["reason"] == LATE).sum())
    return (f"Of {len(found):,} increments {len(wrong):,} are not equal to the byte; {late:,} of these are "
            f"`{LATE}`, {len(wrong) - late:,} are `{OTHER}`.")


COVERAGE_HEAD = ("kind of phase", "in their intervals (95 % range)", "allowance")


def coverage_rows(rows: pd.DataFrame, widths: Mapping[str, float]) -> list[list[str]]:
    """A row a kind of phase and one for all: ``COVERAGE_HEAD``.  ``widths``: by kind, "" for any other."""
    kinds = [kind_of(str(phase)) for phase in rows["phase"]]
    found = [[kind, coverage_text(validate.coverage(pd.DataFrame(rows[[one == kind for one in kinds]]), widths)),
              _width(kind, widths)] for kind in unique(kinds)]
    return [*found, ["all", coverage_text(validate.coverage(rows, widths)), ""]] if found else []


def _width(kind: str, widths: Mapping[str, float]) -> str:
    return number(widths[kind]) if kind in widths else f"{number(widths.get('', 0.0))}, the fit has not seen it"


def hardest_cell(rows: pd.DataFrame) -> pd.DataFrame:
    """The phases, in order, of the cell and repetition with the largest residual; no rows of none."""
    if rows.empty:
        return rows
    found = rows.assign(size=(rows["simulated"] - rows["measured"]).abs())
    worst = records(found.sort_values("size", ascending=False, kind="stable").head(1))[0]
    for key in _CELL:
        found = found[found[key] == worst[key]]
    return found.drop(columns="size").sort_values("order", kind="stable")


def signed(value: float) -> str:
    """A number with its sign.

    >>> signed(0.125), signed(-2), signed(0)
    ('+0.125', '-2.00', '0')
    """
    return f"+{number(value)}" if value > 0 else number(value)
