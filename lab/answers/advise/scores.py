"""One number for an option: the weighted geometric mean of its bandwidths, against another option's.

score(a)/score(b) = exp(sum over jobs of w ln(bandwidth of a / bandwidth of b)), w the profile's shares.  It is formed
in each repetition, so that a ratio of two scores is a paired ratio like any other of the lab's, and has the same
interval and the same verdict (``stats.ratio_interval``, ``verdicts.verdict``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.analysis import stats
from lab.analysis.verdicts import verdict
from lab.answers.advise.evidence import Measured
from lab.answers.advise.jobs import JobShare
from lab.answers.advise.options import Option

Logs = Mapping[int, float]
"""Repetition -> weighted mean of the logarithms of an option's bandwidths."""


@dataclass(frozen=True)
class Scores:
    """The scores of the options that have every covered job in one same repetition or more.

    ``covered`` are the jobs that some option has, their weights as the profile's shares; ``repetitions`` are those
    that all scored options have.
    """

    measured: Measured | None
    covered: tuple[JobShare, ...]
    uncovered: tuple[JobShare, ...]
    logs: Mapping[Option, Logs]
    repetitions: tuple[int, ...]

    @property
    def n(self) -> int:
        """The number of repetitions behind the scores."""
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
        return verdict(ratio, "top", "bottom", higher=True).winner == "top"

    def job_ratio(self, share: JobShare, top: Option, bottom: Option) -> stats.Estimate:
        """The ratio of two options' bandwidths in one job, over the repetitions that both have."""
        if self.measured is None:
            return stats.ratio_interval([], [])
        above, below = self.measured.job(top, share), self.measured.job(bottom, share)
        shared = sorted(set(above) & set(below))
        return stats.ratio_interval([above[one] for one in shared], [below[one] for one in shared])


def score(measured: Measured | None, shares: Sequence[JobShare], options: Sequence[Option]) -> Scores:
    """The scores of those options in that run.

    Where no repetition has all of them, those with the fewest repetitions stay out.
    """
    if measured is None:
        return Scores(None, (), tuple(shares), {}, ())
    jobs = {option: {share: measured.job(option, share) for share in shares} for option in options}
    covered = tuple(share for share in shares if any(jobs[option][share] for option in options))
    total = math.fsum(share.weight for share in covered)
    logs: dict[Option, Logs] = {}
    for option, own in jobs.items():
        shared = set.intersection(*(set(own[share]) for share in covered)) if covered else set()
        if shared:
            logs[option] = {one: math.fsum(share.weight * math.log(own[share][one]) for share in covered) / total
                            for one in sorted(shared)}
    everywhere = set.intersection(*(set(one) for one in logs.values())) if logs else set()
    if logs and not everywhere:
        fewest = min(len(one) for one in logs.values())
        return score(measured, shares, [option for option, one in logs.items() if len(one) > fewest])
    uncovered = tuple(share for share in shares if share not in covered)
    return Scores(measured if logs else None, covered, uncovered, logs, tuple(sorted(everywhere)))
