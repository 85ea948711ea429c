"""Service times from measured jobs: bounded least squares on ln(seconds), and what the data do not tell.

A job's time and its latencies' means are linear in the service times (``device_time``), A x; the residuals are
ln(A x) - ln(measured), so that a short job counts as much as a long one.  Parameters are scaled by the value at which
each alone would explain some whole row, and are 0 or more.

Standard errors: s^2 (J'J)^-1 with s^2 = SSR / (rows - parameters), J the Jacobian at the solution (Bates & Watts,
Nonlinear Regression Analysis (1988), 2.2).  They take rows as independent; a phase's runtime and its latency are
not quite, so that the intervals are somewhat narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.optimize import least_squares, nnls

from lab.calibration.rows import Observation
from lab.model.times import device_time
from lab.model.times.device_time import JobCounts, ServiceTimes
from lab.text import short

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

LEVEL = 0.9
NAMES = ("write_seconds", "write_seconds_per_byte", "read_seconds", "sync_seconds", "between_seconds",
         "between_seconds_per_byte", "first_seconds", "provision_seconds", "copy_seconds_per_byte",
         "first_seconds_per_byte", "read_seconds_per_byte")
"""What is fitted; of several that the rows cannot tell apart, the first ones are, and the rest stay 0."""

_SAME = 1e-6
_STRONG = 0.95
_P95 = 1.6448536269514722


@dataclass(frozen=True, slots=True)
class Parameter:
    """A fitted service time, in s or s/B (``spread``: no unit).

    ``standard_error``, ``low`` and ``high`` (90 %, Student's t) are None where there is none to give.  ``reason``
    says why ``identified`` is false, and is empty where it is true.
    """

    name: str
    value: float
    standard_error: float | None
    low: float | None
    high: float | None
    identified: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Residual:
    """One row: seconds measured and predicted; ``ln_ratio`` is ln(predicted ÷ measured)."""

    observation: Observation
    metric: str
    measured: float
    predicted: float

    @property
    def ln_ratio(self) -> float:
        """The logarithm of predicted over measured seconds: above 0 where the fit is slower."""
        return math.log(self.predicted / self.measured)


@dataclass(frozen=True, slots=True)
class Fit:
    """The service times of one kind of storage and target.

    ``correlations``: pairs of parameters whose estimates move together, |r| of 0.95 or more, with r.
    """

    kind: str
    target: str
    times: ServiceTimes
    parameters: tuple[Parameter, ...]
    correlations: tuple[tuple[str, str, float], ...]
    residuals: tuple[Residual, ...]


def fit_times(observations: Sequence[Observation]) -> tuple[Fit, ...]:
    """A fit for each storage kind and target, in the order of their first rows; () for no rows."""
    groups: dict[tuple[str, str], list[Observation]] = {}
    for observation in observations:
        groups.setdefault((observation.kind, observation.target), []).append(observation)
    return tuple(_fit(kind, target, rows) for (kind, target), rows in groups.items())


def predicted(times: ServiceTimes, counts: JobCounts, metric: str) -> float:
    """Seconds of one of ``fit_rows.METRICS``; 0 where the job has no such operation.  KeyError for another metric."""
    totals = {"runtime": (device_time.job_seconds, 1.0),
              "write_latency_mean": (device_time.write_seconds, counts.writes),
              "read_latency_mean": (device_time.read_seconds, counts.reads),
              "sync_latency_mean": (device_time.sync_seconds, counts.syncs)}
    total, operations = totals[metric]
    return total(times, counts) / operations if operations else 0.0


def _fit(kind: str, target: str, group: Sequence[Observation]) -> Fit:
    rows = [(observation, metric, value) for observation in group for metric, value in observation.values]
    units = [replace(ServiceTimes(), **{name: 1.0}) for name in NAMES]
    design = np.array([[predicted(unit, observation.counts, metric) for unit in units]
                       for observation, metric, _ in rows])
    measured = np.array([value for _, _, value in rows])
    relative = design / measured[:, None]
    reasons, kept = _told_apart(relative)
    scale = np.array([1 / relative[:, index].max() for index in kept])
    solution, errors, correlation, bound = _solve(relative[:, kept] * scale)
    spread, spread_error, spread_rows = _spread(group)
    values = dict.fromkeys(NAMES, 0.0) | {NAMES[index]: float(value) for index, value
                                          in zip(kept, solution * scale, strict=True)}
    times = ServiceTimes(**values, spread=spread)
    freedom = len(rows) - (len(kept) - int(bound.sum()))
    parameters = [Parameter(NAMES[index], 0.0, None, None, None, False, reason) for index, reason in reasons.items()]
    for place, index in enumerate(kept):
        error = None if bound[place] or errors is None else float(errors[place] * scale[place])
        parameters.append(_parameter(NAMES[index], values[NAMES[index]], error, freedom, at_bound=bool(bound[place])))
    parameters.append(_parameter("spread", spread, spread_error, spread_rows - 1, at_bound=False))
    order = [each.name for each in fields(ServiceTimes)]
    pairs = [] if correlation is None else [
        (NAMES[kept[i]], NAMES[kept[j]], float(correlation[i, j])) for i in range(len(kept)) for j in range(i)
        if abs(correlation[i, j]) >= _STRONG]
    residuals = tuple(Residual(observation, metric, value, predicted(times, observation.counts, metric))
                      for observation, metric, value in rows)
    return Fit(kind, target, times, tuple(sorted(parameters, key=lambda found: order.index(found.name))),
               tuple(pairs), residuals)


def _told_apart(relative: Matrix) -> tuple[dict[int, str], list[int]]:
    """Which columns can be fitted together; the others with the reason in words.

    A column is left out where no row has it, or where it is a combination of those before it: then the smallest
    singular value of the columns, each made one long, vanishes.
    """
    reasons: dict[int, str] = {}
    kept: list[int] = []
    unit = relative / np.maximum(np.linalg.norm(relative, axis=0), np.finfo(float).tiny)
    for index in range(relative.shape[1]):
        if not relative[:, index].any():
            reasons[index] = "no measured job does such work; it stays 0"
            continue
        trial = [*kept, index]
        singular = np.linalg.svd(unit[:, trial], compute_uv=False)
        if len(trial) > relative.shape[0] or singular[-1] < _SAME * singular[0]:
            mixed, *_ = np.linalg.lstsq(unit[:, kept], unit[:, index], rcond=None)
            names = [NAMES[other] for other, part in zip(kept, mixed, strict=True) if abs(part) > 1e-3]
            reasons[index] = (f"the measured jobs cannot tell it from {' and '.join(names)}, where what it takes is "
                              "counted; it stays 0")
            continue
        kept.append(index)
    return reasons, kept


def _solve(design: Matrix) -> tuple[Matrix, Matrix | None, Matrix | None, NDArray[np.bool_]]:
    """x of least |ln(design x)|^2 with x >= 0; standard errors, correlations (None without freedom); who is at 0."""
    def residuals(x: Matrix) -> Matrix:
        return np.asarray(np.log(design @ x), dtype=np.float64)

    def jacobian(x: Matrix) -> Matrix:
        return np.asarray(design / (design @ x)[:, None], dtype=np.float64)

    start, _ = nnls(design, np.ones(len(design)))
    found = least_squares(residuals, np.maximum(start, 1e-3), jac=jacobian, bounds=(0, np.inf), method="trf",
                          xtol=1e-12, ftol=1e-12, gtol=1e-12, max_nfev=2000)
    x = np.asarray(found.x, dtype=np.float64)
    at_bound = np.asarray(x < 1e-4, dtype=np.bool_)
    x[at_bound] = 0.0
    free = np.flatnonzero(~at_bound)
    freedom = len(design) - len(free)
    if freedom < 1:
        return x, None, None, at_bound
    slope = jacobian(x)[:, free]
    covariance = np.linalg.pinv(slope.T @ slope) * float(np.sum(residuals(x) ** 2)) / freedom
    errors, correlation = np.zeros(len(x)), np.eye(len(x))
    errors[free] = np.sqrt(np.diag(covariance))
    lengths = np.maximum(np.sqrt(np.diag(covariance)), np.finfo(float).tiny)
    correlation[np.ix_(free, free)] = covariance / np.outer(lengths, lengths)
    return x, errors, correlation, at_bound


def _spread(group: Sequence[Observation]) -> tuple[float, float | None, int]:
    """Median over the phases of ln(p95 ÷ p50) ÷ 1.645, a lognormal's sigma, its standard error, and how many.

    Only of phases without first writes and copies: those are of two classes.  The median's standard error is
    1.2533 s / sqrt(n) (Kendall & Stuart, The Advanced Theory of Statistics, 10.12).
    """
    sigmas = [math.log(one.p95_to_p50) / _P95 for one in group if one.p95_to_p50 is not None and one.p95_to_p50 >= 1
              and not (one.counts.first_writes or one.counts.copied_blocks >= 1)]
    if not sigmas:
        return 0.0, None, 0
    error = 1.2533 * float(np.std(sigmas, ddof=1)) / math.sqrt(len(sigmas)) if len(sigmas) > 1 else None
    return float(np.median(sigmas)), error, len(sigmas)


def _parameter(name: str, value: float, error: float | None, freedom: int, *, at_bound: bool) -> Parameter:
    if at_bound:
        return Parameter(name, value, None, None, None, False, "at its bound: the rows fit best with 0")
    if error is None or freedom < 1:
        return Parameter(name, value, None, None, None, False, "too few rows for a standard error")
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    vague = error > value
    reason = f"its standard error is {short(error / value, 2)} times its value" if vague and value else ""
    return Parameter(name, value, error, max(0.0, value - half), value + half, not vague, reason)
