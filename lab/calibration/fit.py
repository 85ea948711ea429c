"""Measured runs -> the model's parameters, with intervals, provenance, and what the runs leave open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count

import pandas as pd

from lab.calibration import residuals as validate
from lab.calibration import search as calibrate
from lab.calibration.check import ratio_checks
from lab.calibration.judge import (
    ENSEMBLE,
    clock_ensemble,
    growth_rows,
    has_growth,
    refuse_unmeasured,
    run_ref,
    simulated_frames,
)
from lab.calibration.rows import at_one_pace, observations
from lab.calibration.screening import evaluations, screen
from lab.calibration.times import Fit, Parameter, fit_times
from lab.errors import InputError
from lab.model.parameters import Fitted, LogCosts, Parameters, Provenance, ScreenedEffect, Timing
from lab.runs.provenance import lab_ref
from lab.runs.raw_timing import Took, read_timings
from lab.runs.scenario import scenario_of
from lab.runs.store import Row, Run
from lab.scenario.phases import phase_kind
from lab.scenario.scenario import StepsWorkload
from lab.simulate.runner import simulated_cells
from lab.text import short

LARGEST_BLOCKS = 4.0

Say = Callable[[str], None]
Steps = Callable[[str], calibrate.Progress]
"""Of a kind of steps, what is told of them."""

SEED = 20261124
"""Of the screening's random places; the fit itself draws nothing."""

_TIMING_SHARE = 0.5
"""Times are screened from this much less to this much more."""


def run_calibration(runs: Sequence[Run], say: Say, steps: Steps, *, screening: bool = False) -> Parameters:
    """Fits times first, since growth follows the clock; then log costs; then the residuals' intervals.

    With ``screening`` it also says what each parameter does to growth.

    Raises InputError where there is no run, where one is simulated or without rows, and where none has container steps.
    """
    for run in runs:
        refuse_unmeasured(run)
    took = [one for run in runs for one in _timings(run)]
    if not took:
        raise InputError("none of these runs has container steps to fit growth to",
                         where=", ".join(str(run.path) for run in runs) or None,
                         remedy="lab run scenarios/reference.yaml measures some")
    timing = calibrate.fit_timing(took)
    parameters = Parameters(timing=Timing.model_validate(
        {**Timing().model_dump(), **{name: one.value for name, one in timing.items()}}))
    say(f"times from {len(took)} observations")
    log = calibrate.fit_log(_loss(runs, parameters), parameters.log.model_dump(), steps("settings of the log"))
    say(f"log costs that leave {short(log.squares, 6)} data blocks² of {log.n} increments")
    parameters = parameters.model_copy(update={"log": LogCosts.model_validate(log.best)})
    fits = fit_times([one for run in runs for one in at_one_pace(observations(run, scenario_of(run)))])
    say(f"service times of {len(fits)} kinds of storage and target")
    parameters = parameters.model_copy(update={"service": {f"{fit.kind} {fit.target}": fit.times for fit in fits}})
    parameters = parameters.model_copy(update={"speed_spread": _speed_spread(runs)})
    rows = _all_rows(runs, parameters, clocks=steps("simulations with other clocks"))
    not_told = Fitted(name="timing.mount_share", value=parameters.timing.mount_share, identified=False,
                      reason="shows only in which phase a container's inodes are first written; kept")
    told = lab_ref()
    effects = _effects(runs, parameters, say, steps("simulations of the screening")) if screening else ()
    return parameters.model_copy(update={
        "rate_half_width": _rate_half_width(fits),
        "correlations": {f"service.{fit.kind} {fit.target}.{one} {other}": r for fit in fits
                         for one, other, r in fit.correlations},
        "growth_half_widths": validate.half_widths(rows),
        "growth_per_byte": _per_byte(runs),
        "fitted": (*log.fitted, *timing.values(), not_told,
                   *(_service(fit, one) for fit in fits for one in fit.parameters)),
        "effects": effects,
        "provenance": Provenance(seed=SEED, runs=tuple(run_ref(run) for run in runs), lab_version=told.version,
                                 lab_commit=told.commit)})


def _service(fit: Fit, one: Parameter) -> Fitted:
    return Fitted(name=f"service.{fit.kind} {fit.target}.{one.name}", value=one.value, low=one.low, high=one.high,
                  n=len(fit.residuals), identified=one.identified, reason=one.reason)


def _rate_half_width(fits: Sequence[Fit]) -> float:
    """Of ln(ratio) of two storages' job times: what 90 % of the fitted runs' ratios stay within."""
    errors = sorted(abs(check.ln_error) for check in ratio_checks(fits))
    return validate.conformal(errors, validate.LEVEL)


def _timings(run: Run) -> list[Took]:
    workloads = {workload.name: workload for workload in scenario_of(run).workload}
    found: list[Took] = []
    for result in run.manifest.results:
        told = run.manifest.cells.get(result.cell)
        workload = workloads.get(told.workload) if told is not None else None
        if result.status == "done" and isinstance(workload, StepsWorkload) and not workload.trace:
            found += read_timings(run.path / "raw" / result.key, workload.containers)
    return found


def loss_profile(runs: Sequence[Run], parameters: Parameters, name: str, values: Sequence[int]) -> pd.DataFrame:
    """How well other values of one log cost fit the runs, all else as it is.

    ``value``, ``squares`` in data blocks², and ``n`` increments; a row a value.
    """
    loss, known = _loss(runs, parameters), parameters.log.model_dump()
    found = [(value, *loss({**known, name: value})) for value in values]
    return pd.DataFrame(found, columns=["value", "squares", "n"])


def _loss(runs: Sequence[Run], parameters: Parameters) -> calibrate.Loss:
    """Squared residuals of the increments in pools, in data blocks, for log costs by name.

    None counts for more than ``LARGEST_BLOCKS``: a residual beyond it is of inodes that were written back in the phase
    before or after, which says nothing of the log.
    """
    def loss(values: Mapping[str, int]) -> tuple[float, int]:
        rows = _all_rows(runs, parameters.model_copy(update={"log": LogCosts.model_validate(values)}), first_only=True)
        pools = rows[(rows["target"] == "layer") & (rows["chunk_bytes"] > 4096)]
        blocks = (pools["simulated"] - pools["measured"]) / pools["chunk_bytes"]
        return float((blocks.clip(-LARGEST_BLOCKS, LARGEST_BLOCKS) ** 2).sum()), len(blocks)
    return loss


def _all_rows(runs: Sequence[Run], parameters: Parameters, *, first_only: bool = False,
              clocks: calibrate.Progress | None = None) -> pd.DataFrame:
    """``residuals.INCREMENT_COLUMNS`` of the cells of container steps.

    Those of other clocks too where somebody is to be told of their simulations: ``clocks``.
    """
    growing, done = [run for run in runs if has_growth(run)], count()

    def others(run: Run) -> Sequence[pd.DataFrame]:
        return () if clocks is None else clock_ensemble(
            parameters, run, lambda: clocks(next(done), ENSEMBLE * len(growing), run.manifest.run))

    return pd.concat([growth_rows(
        parameters, run, simulated_frames(parameters, run, growth_only=True, first_only=first_only)[0], others(run))
        for run in growing], ignore_index=True)


def _speed_spread(runs: Sequence[Run]) -> float:
    """Pooled standard deviation of ln(seconds) of the daemon's starts on one storage, over repetitions and runs.

    0 where no storage was set up twice.
    """
    import numpy as np
    rows = pd.concat([run.measurements for run in runs], ignore_index=True)
    starts = rows[rows["metric"] == "daemon_start"]
    groups = [np.log(part.to_numpy(dtype=float)) for _, part in starts.groupby("storage")["value"] if len(part) > 1]
    freedom = sum(len(group) - 1 for group in groups)
    return float(np.sqrt(sum(((group - group.mean()) ** 2).sum() for group in groups) / freedom)) if freedom else 0.0


def _effects(runs: Sequence[Run], parameters: Parameters, say: Say,
             progress: calibrate.Progress) -> tuple[ScreenedEffect, ...]:
    """On the space that one cell a data block size takes before its first removal, all of them together."""
    run = next(run for run in runs if has_growth(run))
    scenario = scenario_of(run)
    chosen: dict[int | None, str] = {}
    for cell in scenario.cells():
        if isinstance(cell.workload, StepsWorkload) and cell.target == "layer" and not cell.storage.discard:
            chosen.setdefault(cell.storage.chunk_size_bytes, cell.id)
    ranges = {f"log.{name}": (float(min(tried)), float(max(tried))) for name, tried in calibrate.LOG_RANGES.items()}
    ranges |= {f"timing.{name}": (value * (1 - _TIMING_SHARE), value * (1 + _TIMING_SHARE))
               for name, value in parameters.timing.model_dump().items() if value}
    say(f"screening {len(ranges)} parameters on {', '.join(chosen.values())}")

    total, done = evaluations(len(ranges)), count()

    def taken(values: Mapping[str, float]) -> float:
        progress(next(done), total, "")
        parts = {part: {name.partition(".")[2]: value for name, value in values.items() if name.startswith(part)}
                 for part in ("log", "timing")}
        tried = parameters.model_copy(update={
            "log": LogCosts.model_validate({name: round(value) for name, value in parts["log"].items()}),
            "timing": Timing.model_validate({**parameters.timing.model_dump(), **parts["timing"]})})
        return sum(_before_removal(told.measurements) for told in simulated_cells(
            scenario, tried, [1], run="screening", only=list(chosen.values())))

    return tuple(ScreenedEffect(name=effect.name, mean_absolute_bytes=effect.mean_absolute, spread_bytes=effect.spread)
                 for effect in screen(ranges, taken, seed=SEED))


def _before_removal(rows: Sequence[Row]) -> float:
    """Growth of all phases up to the first trim or removal, in bytes."""
    taken = 0.0
    for row in rows:
        if row["metric"] == "storage_growth":
            if phase_kind(str(row["phase"])) in ("trim", "remove", "remove_image"):
                break
            taken += row["value"]
    return taken


def _per_byte(runs: Sequence[Run]) -> dict[str, float]:
    frames = [run.measurements for run in runs]
    kinds = {cell: told.storage for run in runs for cell, told in run.manifest.cells.items()}
    return validate.growth_per_byte(pd.concat(frames, ignore_index=True), kinds)
