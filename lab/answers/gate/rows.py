"""What the gate says of one quantity, and of the comparison as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from lab.answers.gate.sides import Quantity


class Status(StrEnum):
    REGRESSION = "regression"
    INCONCLUSIVE = "inconclusive"
    NONE = "no regression"
    BETTER = "better"


@dataclass(frozen=True)
class Row:
    """One quantity, judged.

    A timing (``kind``) has geometric means, and ``worse`` with its 95 % interval ``low`` to ``high`` as factors less 1,
    above zero where the candidate is the worse side; ``p`` is one-sided, ``p_holm`` corrected for all timings of the
    gate; ``limit`` is the minimum effect.  A count has medians, and ``worse`` and ``limit`` in the quantity's own unit.
    None where there is no such number.
    """

    quantity: Quantity
    kind: str
    status: Status
    reason: str
    n_baseline: int
    n_candidate: int
    baseline: float | None = None
    candidate: float | None = None
    worse: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    limit: float | None = None


TIMING, COUNT = "timing", "count"


@dataclass(frozen=True)
class Notice:
    """Something about the comparison as a whole.  ``inconclusive`` ones keep the gate from passing."""

    name: str
    text: str
    inconclusive: bool = False


def overall(rows: Iterable[Row], notices: Iterable[Notice]) -> Status:
    """The gate's verdict.

    Where a notice says that the sides may not be compared at all (their environments differ), no row can be believed:
    inconclusive.  Else one regression settles it; else whatever is open keeps it open; and where nothing was
    compared, nothing is known.
    """
    rows, notices = list(rows), list(notices)
    found = {row.status for row in rows}
    if any(notice.inconclusive and notice.name == ENVIRONMENT for notice in notices) or not rows:
        return Status.INCONCLUSIVE
    if Status.REGRESSION in found:
        return Status.REGRESSION
    if Status.INCONCLUSIVE in found or any(notice.inconclusive for notice in notices):
        return Status.INCONCLUSIVE
    return Status.NONE


ENVIRONMENT = "environment"
