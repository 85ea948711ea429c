"""What the validation page is written from: parameters, the runs that judge them, and the runs of their fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lab.calibration import residuals as validate
from lab.calibration.goals import Judged, judge
from lab.calibration.judge import RunValidation, run_validation
from lab.calibration.ratios import RateCheck, rate_score
from lab.model.parameters import Parameters, RunRef
from lab.runs.store import Run, open_run, table_digest
from lab.simulate.parameters import read_parameters

if TYPE_CHECKING:
    import pandas as pd

DESIGNED = ("validation/churn", "validation/deep", "validation/large", "validation/mixed")
"""The runs that were designed to judge the model, as folders below results/."""

EASIER = "quickstart"
"""A run that was not, and stands in until one of them is there."""

SHIPPED_PATH = "lab/simulate/parameters.json"


@dataclass(frozen=True)
class PlacedRun:
    """A run and its folder below results/."""

    name: str
    run: Run


@dataclass(frozen=True)
class PageRun:
    """A run below results/, with what the model makes of it."""

    name: str
    run: Run
    found: RunValidation

    @property
    def rows(self) -> pd.DataFrame:
        """``residuals.INCREMENT_COLUMNS``, and ``run``: the folder's name."""
        return self.found.rows.assign(run=self.name)


@dataclass(frozen=True)
class Material:
    """``fitted_on``: each run of the fit and where it lies, None where it is not there."""

    parameters: Parameters
    file: str
    runs: tuple[PageRun, ...]
    fitted_on: tuple[tuple[RunRef, PlacedRun | None], ...]

    @property
    def designed(self) -> list[PageRun]:
        return [one for one in self.runs if one.name in DESIGNED]

    @property
    def missing(self) -> list[str]:
        there = {one.name for one in self.runs}
        return [name for name in DESIGNED if name not in there]

    @property
    def growth_runs(self) -> list[PageRun]:
        """What growth is judged by: the designed runs with any, else the easier one."""
        return [one for one in self.designed if len(one.found.rows)] or [one for one in self.runs
                                                                         if len(one.found.rows)]

    @property
    def rate_runs(self) -> list[PageRun]:
        """What bandwidth ratios are judged by: the designed runs with any, else the easier one."""
        return [one for one in self.designed if one.found.rates] or [one for one in self.runs if one.found.rates]

    @cached_property
    def growth(self) -> pd.DataFrame:
        """The rows of ``growth_runs``."""
        return self.rows(self.growth_runs)

    @property
    def widths(self) -> dict[str, float]:
        return self.parameters.growth_half_widths

    def rows(self, runs: Sequence[PageRun]) -> pd.DataFrame:
        """``residuals.INCREMENT_COLUMNS`` and ``run`` of all of these."""
        import pandas as pd

        frames = [one.rows for one in runs if len(one.found.rows)]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(
            columns=[*validate.INCREMENT_COLUMNS, "run"])

    def judged(self, runs: Sequence[PageRun]) -> tuple[Judged, ...]:
        """The goals over all of these runs' increments and ratios."""
        rows = self.rows(runs)
        checks: list[RateCheck] = [check for one in runs for check in one.found.rates]
        return judge(validate.score(rows), validate.coverage(rows, self.widths), rate_score(checks))


def read_material(results: Path, parameters: Path | None = None) -> Material:
    """Simulates every run that there is.

    Raises InputError where one is damaged or cannot be simulated, and where the parameters were fitted to it.
    """
    known = read_parameters(parameters)
    there = {name: open_run(results / name) for name in (*DESIGNED, EASIER)
             if (results / name / "manifest.json").is_file()}
    found = run_validation(known, list(there.values()), lambda *_: None).runs if there else ()
    return Material(known, SHIPPED_PATH if parameters is None else str(parameters),
                    tuple(PageRun(name, run, one) for (name, run), one in zip(there.items(), found, strict=True)),
                    tuple((ref, _place_of(ref, results)) for ref in known.provenance.runs))


def _place_of(ref: RunRef, results: Path) -> PlacedRun | None:
    """The run of the fit, where it lies in results/, two levels deep at most."""
    for manifest in sorted([*results.glob("*/manifest.json"), *results.glob("*/*/manifest.json")]):
        run = open_run(manifest.parent)
        if table_digest(run) == ref.measurements_sha256:
            return PlacedRun(manifest.parent.relative_to(results).as_posix(), run)
    return None
