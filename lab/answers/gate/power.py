"""The smallest effect that the gate finds, from A/A pairs.

Repetitions are drawn with replacement, their arms change places at random, and
one timing of the candidate is made worse by a known factor.  The smallest effect
found is the smallest factor at which 80 % of the draws are regressions, where no
other timing changed (Holm's first step).  No search is needed: a flip's mean
reaches the shifted one up to a shift that can be solved for, so that each draw
has one critical shift, and the effect is their 80th percentile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lab.answers.gate.permutation import Floats, Resampling, flips

DRAWS = 400
POWER = 0.8


def smallest_effect(differences: Sequence[float], limit: float, level: float, *, n: int, seed: int,
                    draws: int = DRAWS) -> float | None:
    """The smallest worsening (a factor less 1) found in 80 % of draws of ``n`` pairs; None where none would be.

    ``differences``: of the A/A pairs' logarithms; ``limit``: the minimum effect; ``level``: of one uncorrected test.
    """
    pairs = np.asarray(differences, dtype=float)
    random = np.random.default_rng([seed, n, len(pairs)])
    chosen = pairs[random.integers(0, len(pairs), size=(n, draws))] * random.choice([-1.0, 1.0], size=(n, draws))
    critical = _critical_shifts(chosen, level, Resampling.reaching(level, seed))
    if critical is None:
        return None
    needed = np.maximum(critical, math.log1p(limit) - chosen.mean(axis=0))
    found = np.sort(np.maximum(needed, 0.0))[math.ceil(POWER * draws) - 1]
    return float(np.expm1(found)) if math.isfinite(found) else None


def _critical_shifts(chosen: Floats, level: float, how: Resampling) -> Floats | None:
    """Of each column of differences, the shift above which its p-value is at most ``level``.

    A flip with mean signs f reaches the shifted mean where (flip · d)/n - mean(d) >= shift (1 - f).
    """
    signs = flips(len(chosen), how)
    allowed = math.floor(level * len(signs) + 1e-9) - 1        # besides the observed one
    if allowed < 0:
        return None
    moved = 1.0 - signs[1:].mean(axis=1)
    same = moved == 0
    shifts = np.empty(chosen.shape[1])
    for column in range(chosen.shape[1]):
        means = signs[1:] @ chosen[:, column] / len(chosen) - chosen[:, column].mean()
        reach = np.where(same, np.inf, means / np.where(same, 1.0, moved))
        shifts[column] = np.partition(reach, len(reach) - 1 - allowed)[len(reach) - 1 - allowed]
    return shifts
