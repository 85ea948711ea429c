"""One number for an option: the weighted geometric mean of its bandwidths, against another option's.

score(a)/score(b) = exp(sum over jobs of w ln(bandwidth of a / bandwidth of b)), w the profile's shares.  It is formed
in each repetition, so that a ratio of two scores is a paired ratio like any other of the lab's, and has the same
interval and the same verdict (``stats.ratio_interval``, ``stats.verdict``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from random import Random

from lab.advise.evidence import Measured
from lab.advise.jobs import JobShare
from lab.advise.options import Option
from lab.analysis import stats

MOST_RESAMPLES = 4096
"""Up to so many resamples all are formed (5 repetitions have 3,125); of more, so many are drawn."""

Logs = Mapping[int, float]
"""Repetition -> weighted mean of the logarithms of an option's bandwidths."""


@dataclass(frozen=True)
class Scores:
    """The scores of the options that have every covered job in one same repetition or more.

    ``covered`` are the jobs that some option has, their weights as the profile's shares; ``lacking``: for each other
    option, the jobs that it has not (none: it has no repetition in common with the rest); ``repetitions`` are those
    that all scored options have.
    """

    measured: Measured | None
    covered: tuple[JobShare, ...]
    uncovered: tuple[JobShare, ...]
    logs: Mapping[Option, Logs]
    lacking: Mapping[Option, tuple[JobShare, ...]]
    repetitions: tuple[int, ...]

    @property
    def n(self) -> int:
        return len(self.repetitions)

    @property
    def coverage(self) -> float:
        """The share of the profile's reads and writes that some job stands for."""
        return math.fsum(share.weight for share in self.covered)

    def mean(self, option: Option) -> float:
        """Over the shared repetitions."""
        return math.fsum(self.logs[option][repetition] for repetition in self.repetitions) / self.n

    def ratio(self, top: Option, bottom: Option) -> stats.Estimate:
        """score(top) / score(bottom), paired by repetition."""
        return stats.ratio_interval([math.exp(self.logs[top][one]) for one in self.repetitions],
                                    [math.exp(self.logs[bottom][one]) for one in self.repetitions])

    def better(self, top: Option, bottom: Option) -> bool:
        """Whether the evidence tells that ``top`` is faster."""
        ratio = self.ratio(top, bottom)
        return stats.verdict(ratio, "top", "bottom", higher=True).winner == "top"

    def job_ratio(self, share: JobShare, top: Option, bottom: Option) -> stats.Estimate:
        """The ratio of two options' bandwidths in one job, over the repetitions that both have."""
        if self.measured is None:
            return stats.ratio_interval([], [])
        above, below = self.measured.job(top, share), self.measured.job(bottom, share)
        shared = sorted(set(above) & set(below))
        return stats.ratio_interval([above[one] for one in shared], [below[one] for one in shared])


def score(measured: Measured | None, shares: Sequence[JobShare], options: Sequence[Option]) -> Scores:
    """The scores of those options in that run."""
    if measured is None:
        return Scores(None, (), tuple(shares), {}, {}, ())
    jobs = {option: {share: measured.job(option, share) for share in shares} for option in options}
    covered = tuple(share for share in shares if any(jobs[option][share] for option in options))
    logs: dict[Option, Logs] = {}
    lacking: dict[Option, tuple[JobShare, ...]] = {}
    total = math.fsum(share.weight for share in covered)
    for option in options:
        own = [jobs[option][share] for share in covered]
        shared = set.intersection(*(set(one) for one in own)) if own else set()
        if shared:
            logs[option] = {one: math.fsum(share.weight * math.log(jobs[option][share][one]) for share in covered)
                            / total for one in sorted(shared)}
        else:
            lacking[option] = tuple(share for share in covered if not jobs[option][share])
    everywhere = set.intersection(*(set(one) for one in logs.values())) if logs else set()
    if logs and not everywhere:         # no repetition has all: those with the fewest stay out
        fewest = min(len(one) for one in logs.values())
        short = [option for option, one in logs.items() if len(one) == fewest]
        inner = score(measured, shares, [option for option in logs if option not in short])
        return replace(inner, lacking={**inner.lacking, **lacking, **dict.fromkeys(short, ())})
    uncovered = tuple(share for share in shares if share not in covered)
    return Scores(measured if logs else None, covered, uncovered, logs, lacking, tuple(sorted(everywhere)))


def first_shares(scores: Scores, options: Sequence[Option]) -> dict[Option, float] | None:
    """In what share of bootstrap resamples of the repetitions each option has the highest score; None below n = 3.

    Resamples are drawn with replacement, the same for all options, because a repetition's measurements belong
    together.  Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), 6.
    """
    n = scores.n
    if n < stats.MIN_N or not options:
        return None
    rows = [[scores.logs[option][one] for one in scores.repetitions] for option in options]
    if n**n <= MOST_RESAMPLES:
        resamples = [list(picked) for picked in product(range(n), repeat=n)]
    else:
        random = Random(n)
        resamples = [[random.randrange(n) for _ in range(n)] for _ in range(MOST_RESAMPLES)]
    firsts = dict.fromkeys(options, 0.0)
    for picked in resamples:
        sums = [math.fsum(row[place] for place in picked) for row in rows]
        best = max(sums)
        leading = [option for option, total in zip(options, sums, strict=True) if total == best]
        for option in leading:
            firsts[option] += 1 / len(leading)
    return {option: count / len(resamples) for option, count in firsts.items()}
