"""A profile and runs -> the advice: evidence, ranking, forecast, and what would settle the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.answers.advise.constraints import Told, applicable
from lab.answers.advise.evidence import Found, Measured, choose, choose_steps, find_measured
from lab.answers.advise.forecast import Forecasts, forecast
from lab.answers.advise.gaps import Gap, gaps
from lab.answers.advise.jobs import JobShare, job_shares
from lab.answers.advise.options import OPTIONS, Option
from lab.answers.advise.profile import Profile
from lab.answers.advise.ranking import Ranking, exclude, rank
from lab.answers.advise.scores import Scores, score
from lab.answers.advise.volumes import PartAdvice, volume_parts
from lab.errors import InputError
from lab.model.parameters import Parameters


@dataclass(frozen=True)
class Advice:
    """All that is printed.  ``steps``: the run that counts of space rest on; ``volumes`` are of ``volume_of``."""

    profile: Profile
    shares: tuple[JobShare, ...]
    found: Found
    scores: Scores
    steps: Measured | None
    told: tuple[Told, ...]
    ranking: Ranking
    volume_of: str | None
    volumes: tuple[PartAdvice, ...]
    forecasts: Forecasts | None
    gaps: tuple[Gap, ...]

    @property
    def used(self) -> tuple[Measured, ...]:
        """The runs that it rests on."""
        return tuple({id(run): run for run in (self.scores.measured, self.steps) if run is not None}.values())


def advise(profile: Profile, runs: Sequence[Path], parameters: Parameters | None,
           options: Sequence[Option] = OPTIONS) -> Advice:
    """The advice; without ``parameters`` no forecast.

    Raises InputError where a folder is not there or no run in it can be used.
    """
    found = find_measured(runs)
    if not found.measured:
        raise InputError(f"no run can be used: {'; '.join(found.refused)}",
                         where=f"--runs {' '.join(str(path) for path in runs)}",
                         remedy="measure: lab run scenarios/reference.yaml")
    shares, told = tuple(job_shares(profile)), tuple(applicable(profile))
    left, _ = exclude(options, told)
    scores = score(choose(found.measured, shares, left), shares, left)
    steps = choose_steps(found.measured)
    ranking = rank(options, told, scores, steps)
    first = ranking.ranked[0].option.label if ranking.ranked else None
    return Advice(profile, shares, found, scores, steps, told, ranking, first,
                  tuple(volume_parts(first, scores)) if first is not None else (),
                  forecast(profile, left, parameters) if parameters is not None and left else None,
                  tuple(gaps(ranking, scores)))
