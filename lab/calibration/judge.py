"""Parameters and runs that they have not seen -> how wrong the model is, run by run and in all."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import pandas as pd

from lab.calibration import residuals as validate
from lab.calibration.ratios import RateCheck, RateScore, rate_checks, rate_score
from lab.errors import InputError
from lab.model.parameters import Parameters, RunRef
from lab.runs.records import MEASUREMENT_COLUMNS, SAMPLE_COLUMNS
from lab.runs.scenario import scenario_of
from lab.runs.store import Run, table_digest
from lab.scenario.scenario import Scenario, StepsWorkload
from lab.simulate.runner import simulated_cells

HALF, MOST = 0.5, 0.9
"""The shares of a cell's largest growth whose times are compared."""

ENSEMBLE, ENSEMBLE_SEED = 12, 20261201

Progress = Callable[[int, int, str], None]
"""Called with simulations done, of how many, and the run that is next."""


@dataclass(frozen=True)
class RunValidation:
    """One run's errors.  ``rows``: ``residuals.INCREMENT_COLUMNS``."""

    run: str
    question: str
    rows: pd.DataFrame
    score: validate.Score
    coverage: validate.Coverage
    time_ratios: dict[str, float]
    """Median of simulated ÷ measured seconds to a share of the growth, by share."""
    failed: tuple[str, ...]
    """Cells that failed in one of the two only."""
    rates: tuple[RateCheck, ...]
    not_simulated: tuple[str, ...] = ()
    """Metrics that the measured run has and the simulated one lacks."""


@dataclass(frozen=True)
class Validation:
    """All runs', and what they give together."""

    runs: tuple[RunValidation, ...]
    score: validate.Score
    coverage: validate.Coverage
    rates: RateScore

    def document(self) -> dict[str, Any]:
        """For ``--json``: scores by run and in all; numbers that do not exist are null."""
        return {"level": validate.LEVEL, "floor_bytes": validate.FLOOR_BYTES,
                "runs": [{"run": one.run, "question": one.question, "failed": list(one.failed),
                          "time_ratios": _plain(one.time_ratios),
                          **_figures(one.score, one.coverage, rate_score(one.rates))} for one in self.runs],
                "all": _figures(self.score, self.coverage, self.rates)}


def run_validation(parameters: Parameters, runs: Sequence[Run], progress: Progress) -> Validation:
    """Simulates each run's scenario and compares.

    Raises InputError where the parameters were fitted to one of the runs, where a run is simulated itself or has no
    finished cell, and where the model cannot express its scenario.
    """
    for run in runs:
        refuse_used(parameters, run)
        refuse_unmeasured(run)
    if not runs:
        raise InputError("no run to validate on", remedy="name the folder of a measured run")
    total, done = sum(1 + ENSEMBLE * has_growth(run) for run in runs), count()

    def validated(run: Run) -> RunValidation:
        return _validated(parameters, run, lambda: progress(next(done), total, run.manifest.run))

    found = [validated(run) for run in runs]
    rows = pd.concat([one.rows for one in found], ignore_index=True)
    return Validation(tuple(found), validate.score(rows), validate.coverage(rows, parameters.growth_half_widths),
                      rate_score([check for one in found for check in one.rates]))


def run_ref(run: Run) -> RunRef:
    """What tells a run from every other."""
    manifest = run.manifest
    return RunRef(run=manifest.run, scenario_sha256=manifest.scenario.sha256, started_utc=manifest.started_utc,
                  measurements_sha256=table_digest(run), accelerator=manifest.machine.accelerator)


def refuse_used(parameters: Parameters, run: Run) -> None:
    """Raises InputError where the parameters were fitted to the run, or to a part or a continuation of it."""
    ours = run_ref(run)
    for used in parameters.provenance.runs:
        if used.measurements_sha256 == ours.measurements_sha256 or (
                used.scenario_sha256 == ours.scenario_sha256 and used.started_utc == ours.started_utc):
            raise InputError(f"the parameters were fitted to this run (as {used.run}): it cannot judge them",
                             where=str(run.path), remedy="validate on runs that the fit has not seen")


def refuse_unmeasured(run: Run) -> None:
    """Raises InputError for a simulated run, and for one without rows."""
    if run.manifest.machine.accelerator == "simulated":
        raise InputError("this run is simulated: it says nothing of a machine", where=str(run.path),
                         remedy="name a run that `lab run` has measured")
    if not len(run.measurements):
        raise InputError("no cell of this run is finished", where=str(run.path),
                         remedy="go on with it: lab run SCENARIO --resume RUN")


def simulated_frames(parameters: Parameters, run: Run, *, growth_only: bool = False,
                     first_only: bool = False) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """The run's scenario in the model: measurements, samples, and the cells that failed, as ``cell repetition``.

    With ``growth_only`` only cells of container steps, with ``first_only`` only the first repetition.  Raises
    InputError where the model cannot express the scenario, and where it failed in every cell.
    """
    scenario = scenario_of(run)
    repetitions = sorted({int(number) for number in run.measurements["repetition"].unique()})
    repetitions = repetitions[:1] if first_only else repetitions
    cells = list(simulated_cells(scenario, parameters, repetitions, run=run.manifest.run,
                                 only=_growing(scenario) if growth_only else ()))
    rows = [row for told in cells for row in told.measurements]
    if cells and not rows:
        raise InputError("the model failed in every cell of this run", where=str(run.path))
    return (pd.DataFrame(rows, columns=list(MEASUREMENT_COLUMNS)),
            pd.DataFrame([row for told in cells for row in told.samples], columns=list(SAMPLE_COLUMNS)),
            [f"{told.job.cell_id} {told.job.repetition}" for told in cells if told.error is not None])


def clock_ensemble(parameters: Parameters, run: Run, told: Callable[[], None]) -> list[pd.DataFrame]:
    """Measurements of the run's container steps, simulated with other clocks.

    How fast the machine was, and when in its start a container's file system was mounted, is not known beforehand;
    both decide in which phase XFS writes its inodes back.  ``told`` is called before each simulation.
    """
    import numpy as np

    draw = np.random.default_rng(np.random.SeedSequence(ENSEMBLE_SEED))
    members = []
    for _ in range(ENSEMBLE):
        told()
        speed = math.exp(parameters.speed_spread * float(draw.standard_normal()))
        timing = parameters.timing.scaled(speed, float(draw.random()))
        members.append(simulated_frames(parameters.model_copy(update={"timing": timing}), run, growth_only=True)[0])
    return members


def growth_rows(parameters: Parameters, run: Run, simulated: pd.DataFrame,
                ensemble: Sequence[pd.DataFrame] = ()) -> pd.DataFrame:
    """``residuals.INCREMENT_COLUMNS`` of a run's container steps against their simulated measurements.

    fio's jobs are left out: what they take is simply their files, and most of them take nothing.
    """
    scenario, cells, measured = scenario_of(run), run.manifest.cells, run.measurements
    chunks = {cell: told.options.get("chunk_size_bytes") for cell, told in cells.items()}
    return validate.increments(
        measured[measured["cell"].isin(_growing(scenario))], simulated, ensemble=ensemble,
        per_byte=parameters.growth_per_byte,
        kinds={cell: told.storage for cell, told in cells.items()},
        chunk_bytes={cell: int(chunk) for cell, chunk in chunks.items() if chunk is not None},
        containers={cell.id: cell.workload.containers for cell in scenario.cells()
                    if isinstance(cell.workload, StepsWorkload)})


def has_growth(run: Run) -> bool:
    """Whether the run has cells of container steps."""
    return bool(_growing(scenario_of(run)))


def _growing(scenario: Scenario) -> list[str]:
    return [cell.id for cell in scenario.cells() if isinstance(cell.workload, StepsWorkload)]


def _validated(parameters: Parameters, run: Run, told: Callable[[], None]) -> RunValidation:
    told()
    measurements, samples, failed = simulated_frames(parameters, run)
    ensemble = clock_ensemble(parameters, run, told) if has_growth(run) else []
    rows = growth_rows(parameters, run, measurements, ensemble)
    theirs = {f"{result.cell} {result.repetition}" for result in run.manifest.results if result.status == "failed"}
    return RunValidation(run.manifest.run, run.manifest.scenario.question, rows, validate.score(rows),
                         validate.coverage(rows, parameters.growth_half_widths),
                         {f"{share:.0%}": _time_ratio(run.samples, samples, share) for share in (HALF, MOST)},
                         tuple(sorted(theirs ^ set(failed))),
                         rate_checks(run.measurements, measurements, parameters.rate_half_width),
                         tuple(sorted({*run.measurements["metric"]} - {*measurements["metric"]})))


def _time_ratio(measured: pd.DataFrame, simulated: pd.DataFrame, share: float) -> float:
    """Median over cells of simulated ÷ measured seconds; NaN where none has grown."""
    ours, theirs = validate.times_to(measured, share), validate.times_to(simulated, share)
    ratios = sorted(theirs[key] / ours[key] for key in ours.keys() & theirs.keys() if ours[key] > 0)
    return ratios[len(ratios) // 2] if ratios else math.nan


def _figures(score: validate.Score, coverage: validate.Coverage, rates: RateScore) -> dict[str, Any]:
    return {**_plain(dataclasses.asdict(score)), "rates": _plain(dataclasses.asdict(rates)),
            "coverage": _plain({**dataclasses.asdict(coverage), "share": coverage.share})}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}
