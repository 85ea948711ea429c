"""Residuals with their reasons, and the largest of them as a table.

Frames are ``residuals.INCREMENT_COLUMNS`` with a column ``run``; a residual is simulated - measured, in bytes.
"""

from __future__ import annotations

import pandas as pd

from lab.scenario.phases import phase_kind
from lab.text import MIB, number, records

LATE = "late inodes"
OTHER = "other"
SHOWN = 10

CELL_KEYS = ["run", "cell", "repetition"]
"""What tells one cell's repetition apart from another."""


def with_residuals(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with ``kind`` of phase, ``residual`` in bytes and ``reason``.

    ``late inodes``: on a thin pool, the residual and that of the phase before or after have opposite signs and cancel
    to within one data block, and to less than either.  Inodes were then written back in the one phase instead of the
    other.
    """
    found = rows.assign(kind=[phase_kind(str(phase)) for phase in rows["phase"]],
                        residual=rows["simulated"] - rows["measured"])
    found = found.sort_values([*CELL_KEYS, "order"], kind="stable")
    pool = (found["target"] == "layer") & (found["chunk_bytes"] > 4096)
    late = pd.Series(data=False, index=found.index)
    for step in (1, -1):
        other = found.groupby(CELL_KEYS, sort=False)["residual"].shift(step).fillna(0.0)
        left = (found["residual"] + other).abs()
        opposite = found["residual"] * other < 0
        smaller = (left < found["residual"].abs()) & (left < other.abs())
        late |= opposite & smaller & (left <= found["chunk_bytes"])
    return found.assign(reason=[LATE if one else OTHER for one in late & pool]).sort_index()


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


def signed(value: float) -> str:
    """A number with its sign.

    >>> signed(0.125), signed(-2), signed(0)
    ('+0.125', '-2.00', '0')
    """
    return f"+{number(value)}" if value > 0 else number(value)
