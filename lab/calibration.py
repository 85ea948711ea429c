"""Measured runs -> the model's parameters, with intervals, provenance, and what the runs leave open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lab.analysis import calibrate, validate
from lab.analysis.fit_check import ratio_checks
from lab.analysis.fit_rows import observations
from lab.analysis.fit_times import Fit, Parameter, fit_times
from lab.errors import InputError
from lab.model.parameters import Fitted, LogCosts, Parameters, Provenance, Timing
from lab.readers.raw_timing import Took, read_timings
from lab.rig.identity import lab_ref
from lab.run_scenario import scenario_of
from lab.scenario import StepsWorkload
from lab.store import Run
from lab.validation import growth_rows, has_growth, refuse_unmeasured, run_ref, simulated_frames

if TYPE_CHECKING:
    import pandas as pd

LARGEST_BLOCKS = 4.0

Say = Callable[[str], None]


def run_calibration(runs: Sequence[Run], say: Say) -> Parameters:
    """Fits times first, since growth follows the clock; then log costs; then the residuals' intervals.

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
    log = calibrate.fit_log(_loss(runs, parameters), parameters.log.model_dump(), say)
    parameters = parameters.model_copy(update={"log": LogCosts.model_validate(log.best)})
    fits = fit_times([one for run in runs for one in observations(run, scenario_of(run))])
    say(f"service times of {len(fits)} kinds of storage and target")
    parameters = parameters.model_copy(update={"service": {f"{fit.kind} {fit.target}": fit.times for fit in fits}})
    rows = _all_rows(runs, parameters)
    not_told = Fitted(name="timing.mount_share", value=parameters.timing.mount_share, identified=False,
                      reason="shows only in which phase a container's inodes are first written; kept")
    told = lab_ref()
    return parameters.model_copy(update={
        "rate_half_width": _rate_half_width(fits),
        "correlations": {f"service.{fit.kind} {fit.target}.{one} {other}": r for fit in fits
                         for one, other, r in fit.correlations},
        "growth_half_widths": validate.half_widths(rows),
        "growth_per_byte": _per_byte(runs),
        "fitted": (*log.fitted, *timing.values(), not_told,
                   *(_service(fit, one) for fit in fits for one in fit.parameters)),
        "provenance": Provenance(runs=tuple(run_ref(run) for run in runs), lab_version=told.version,
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
    import pandas as pd

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


def _all_rows(runs: Sequence[Run], parameters: Parameters, *, first_only: bool = False) -> pd.DataFrame:
    """``validate.INCREMENT_COLUMNS`` of the cells of container steps."""
    import pandas as pd

    return pd.concat([growth_rows(parameters, run, simulated_frames(parameters, run, growth_only=True,
                                                                    first_only=first_only)[0])
                      for run in runs if has_growth(run)], ignore_index=True)


def _per_byte(runs: Sequence[Run]) -> dict[str, float]:
    import pandas as pd

    frames = [run.measurements for run in runs]
    kinds = {cell: told.storage for run in runs for cell, told in run.manifest.cells.items()}
    return validate.growth_per_byte(pd.concat(frames, ignore_index=True), kinds)
