"""How well fitted service times give back the ratios between storages that they were fitted to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from lab.calibration.times import Fit, Residual


@dataclass(frozen=True, slots=True)
class RatioCheck:
    """Geometric means over repetitions of ``numerator`` ÷ ``denominator`` (storages' labels), both in seconds."""

    target: str
    phase: str
    metric: str
    numerator: str
    denominator: str
    n: int
    measured: float
    predicted: float

    @property
    def ln_error(self) -> float:
        """ln(predicted ratio ÷ measured ratio)."""
        return math.log(self.predicted / self.measured)

    @property
    def same_side(self) -> bool:
        """Whether both say that the same storage is the faster."""
        return (self.measured > 1) == (self.predicted > 1)


def ratio_checks(fits: Sequence[Fit], metric: str = "runtime") -> tuple[RatioCheck, ...]:
    """Every two storages on the same target and phase, over the repetitions that both have."""
    rows: dict[tuple[str, str], dict[str, dict[int, Residual]]] = {}
    for fit in fits:
        for residual in fit.residuals:
            if residual.metric == metric:
                seen = residual.observation
                rows.setdefault((seen.target, seen.phase), {}).setdefault(seen.place, {})[seen.repetition] = residual
    return tuple(check for (target, phase), places in rows.items() for top, bottom in combinations(places, 2)
                 if (check := _check(target, phase, metric, top, bottom, places)) is not None)


def _check(target: str, phase: str, metric: str, top: str, bottom: str,
           places: dict[str, dict[int, Residual]]) -> RatioCheck | None:
    shared = sorted(places[top].keys() & places[bottom].keys())
    if not shared:
        return None
    pairs = [(places[top][number], places[bottom][number]) for number in shared]
    measured = math.fsum(math.log(a.measured / b.measured) for a, b in pairs) / len(pairs)
    foretold = math.fsum(math.log(a.predicted / b.predicted) for a, b in pairs) / len(pairs)
    return RatioCheck(target, phase, metric, top, bottom, len(pairs), math.exp(measured), math.exp(foretold))
