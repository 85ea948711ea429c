"""Permutation tests over repetitions, one-sided: how often chance alone gives a mean at least as high.

Paired (two arms of one run): if nothing changed, each pair's difference is as
likely with the other sign.  Unpaired (two runs): any split of the values over
the two sides is as likely.  All flips or splits are tried where they are at most
10,000 (13 pairs; 7 against 7), else random ones, with the observed one counted.

Source: E. S. Edgington & P. Onghena, Randomization Tests (4th ed., 2007), 3 and
4; B. Phipson & G. K. Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39, for
(1 + count) / (1 + resamples).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

MAX_EXACT = 10_000
"""Up to so many flips or splits, all are tried."""

RESAMPLES = 9_999
"""Random ones beyond that, at least."""

_SAME = 1e-12
"""Sums that differ by less than this share of their terms are equal: their terms were added in another order."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Resampling:
    """How often random flips or splits are drawn, and from what seed."""

    seed: int = 1
    resamples: int = RESAMPLES

    @classmethod
    def reaching(cls, p: float, seed: int) -> Resampling:
        """As many as make p-values a tenth of ``p`` possible, and no fewer than usual."""
        return cls(seed, max(RESAMPLES, math.ceil(10 / p)))


def flips(n: int, how: Resampling) -> Floats:
    """Signs, one row a flip of n pairs; the first row flips nothing.

    All 2^n of them, or the observed one and ``how.resamples`` random ones.
    """
    return _flips(n, how)


@lru_cache(maxsize=8)
def _flips(n: int, how: Resampling) -> Floats:
    if 2**n <= MAX_EXACT:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        signs: Floats = (1 - 2 * bits).astype(np.float64)
    else:
        drawn = np.random.default_rng([how.seed, n]).integers(0, 2, size=(how.resamples, n), dtype=np.int8)
        signs = np.vstack([np.ones((1, n)), 1.0 - 2.0 * drawn]).astype(np.float64)
    signs.setflags(write=False)
    return signs


@lru_cache(maxsize=8)
def _splits(n_baseline: int, n_candidate: int, how: Resampling) -> Floats:
    """Ones where a value goes to the candidate, one row a split; the first row is the observed one."""
    n = n_baseline + n_candidate
    observed = np.concatenate([np.zeros(n_baseline), np.ones(n_candidate)])
    if math.comb(n, n_candidate) <= MAX_EXACT:
        rows = np.zeros((math.comb(n, n_candidate), n))
        for row, chosen in zip(rows, combinations(range(n - 1, -1, -1), n_candidate), strict=True):
            row[list(chosen)] = 1.0
    else:
        shuffled = np.random.default_rng([how.seed, n_baseline, n_candidate]).permuted(
            np.tile(observed, (how.resamples, 1)), axis=1)
        rows = np.vstack([observed, shuffled])
    rows.setflags(write=False)
    return rows


def paired_p(differences: Sequence[float], how: Resampling) -> float:
    """The share of flips whose mean is at least that of the differences; they are candidate - baseline, worse > 0.

    >>> paired_p([1.0, 2.0, 3.0], Resampling())
    0.125
    """
    values = np.asarray(differences, dtype=float)
    slack = _SAME * float(np.abs(values).sum())
    sums = flips(len(values), how) @ values
    return float(np.mean(sums >= sums[0] - slack))


def unpaired_p(baseline: Sequence[float], candidate: Sequence[float], how: Resampling) -> float:
    """The share of splits whose candidate has at least the observed mean; worse is higher.

    The candidate's sum orders the splits as the difference of the means does, since the sum of all is the same.

    >>> unpaired_p([1.0, 2.0], [3.0, 4.0], Resampling()).__round__(6)
    0.166667
    """
    values = np.concatenate([np.asarray(baseline, dtype=float), np.asarray(candidate, dtype=float)])
    slack = _SAME * float(np.abs(values).sum())
    sums = _splits(len(baseline), len(candidate), how) @ values
    return float(np.mean(sums >= sums[0] - slack))


def smallest_paired_p(n: int, how: Resampling) -> float:
    """The smallest p-value that n pairs can give."""
    return 2.0**-n if 2**n <= MAX_EXACT else max(2.0**-n, 1 / (1 + how.resamples))


def smallest_unpaired_p(n_baseline: int, n_candidate: int, how: Resampling) -> float:
    """The smallest p-value that so many values can give."""
    splits = math.comb(n_baseline + n_candidate, n_candidate)
    return 1 / splits if splits <= MAX_EXACT else max(1 / splits, 1 / (1 + how.resamples))


def pairs_needed(p: float) -> int:
    """The smallest number of pairs that can give a p-value as small.

    >>> pairs_needed(0.05), pairs_needed(0.05 / 60)
    (5, 11)
    """
    return math.ceil(-math.log2(p) - 1e-9)


def repetitions_needed(p: float) -> int:
    """The smallest number of repetitions of either run that can give a p-value as small.

    >>> repetitions_needed(0.05), repetitions_needed(0.05 / 60)
    (3, 7)
    """
    return next(n for n in range(1, 1000) if 1 / math.comb(2 * n, n) <= p * (1 + 1e-9))
