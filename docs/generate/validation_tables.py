"""Tables and sentences of the validation page: parameters, growth phase by phase, intervals, and bandwidth ratios.

Frames are ``residuals.INCREMENT_COLUMNS`` with a column ``run``; a residual is simulated - measured, in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import pandas as pd

from lab.analysis.facts import job_name
from lab.calibration import residuals as validate
from lab.calibration.goals import Judged, coverage_text, share
from lab.calibration.notebook_views import SERVICE, growth_parameters, unit_of
from lab.calibration.ratios import RateCheck, RateScore
from lab.calibration.residual_tables import CELL_KEYS, LATE, OTHER, with_residuals
from lab.model.parameters import Fitted, Parameters
from lab.model.times.device_time import ServiceTimes
from lab.report.markdown import code
from lab.scenario.phases import phase_kind
from lab.text import MIB, counted, joined, number, optional, records, unique

_UNSURE = " ?"
FITTED_HEAD = ("parameter", "identified", "what it was told from", "unit", "value", "90 % interval", "n")
NOT_TOLD_HEAD = ("service time", "kinds of storage and target", "why it is not identified")
KIND_HEAD = ("kind of phase", "n", "equal to the byte", "of at least 1 MiB", "MAPE of those",
             "largest error, MiB", "in data blocks")
COVERAGE_HEAD = ("kind of phase", "in their intervals (95 % range)", "allowance")
RATE_HEAD = ("job", "target", "storages", "overlap", "n", "measured ratio (95 %)", "predicted ratio (90 %)",
             "predicted ÷ measured")


def fitted_rows(parameters: Parameters) -> list[list[str]]:
    """A row each for log costs and times: ``FITTED_HEAD``."""
    return [[f"`{one.name}`", "yes" if one.identified else "**no**", one.reason, unit_of(one.name),
             _value(one, one.value), _interval(one), f"{one.n:,}" if one.n else "–"]
            for one in growth_parameters(parameters)]


def service_head() -> list[str]:
    """The kind, then each service time with its unit."""
    return ["storage and target", *(f"{_short(name)}, {unit_of(name)}" if unit_of(name) else _short(name)
                                    for name in _names())]


def service_rows(parameters: Parameters) -> list[list[str]]:
    """A row a kind of storage and target: ``service_head``; a question mark where a value is not identified."""
    unsure = {one.name for one in parameters.fitted if not one.identified}
    return [[kind, *(number(getattr(times, name) * _scale(name)) + (
        _UNSURE if f"{SERVICE}{kind}.{name}" in unsure else "") for name in _names())]
        for kind, times in parameters.service.items()]


def not_told_rows(parameters: Parameters) -> list[list[str]]:
    """Service times that the fit could not identify, those of one name and reason together: ``NOT_TOLD_HEAD``."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in parameters.fitted:
        if one.name.startswith(SERVICE) and not one.identified:
            kind, _, name = one.name.removeprefix(SERVICE).rpartition(".")
            groups.setdefault((name, one.reason), []).append(kind)
    order = _names()
    return [[f"`{name}`", ", ".join(kinds), reason] for (name, reason), kinds in
            sorted(groups.items(), key=lambda item: order.index(item[0][0]) if item[0][0] in order else len(order))]


def _scale(name: str) -> float:
    return {"ns/B": 1e9, "µs": 1e6}.get(unit_of(name), 1.0)


def _short(name: str) -> str:
    return name.removesuffix("_per_byte").removesuffix("_seconds").replace("_", " ") + (
        " a byte" if name.endswith("_per_byte") else "")


def _names() -> list[str]:
    return [one.name for one in fields(ServiceTimes)]


def _interval(one: Fitted) -> str:
    low, high = optional(one.low), optional(one.high)
    return "–" if low is None or high is None else f"{_value(one, low)} to {_value(one, high)}"


def _value(one: Fitted, value: float) -> str:
    """Costs of the log are whole numbers."""
    return f"{value:g}" if one.name.startswith("log.") else number(value)


def kind_rows(rows: pd.DataFrame) -> list[list[str]]:
    """A row a kind of phase, in the order in which they ran: ``KIND_HEAD``."""
    found = with_residuals(rows)
    return [_kind_row(kind, found[found["kind"] == kind]) for kind in unique(found["kind"])] + (
        [_kind_row("all", found)] if len(found) else [])


def _kind_row(kind: str, part: pd.DataFrame) -> list[str]:
    told = validate.score(part)
    blocks = (part["residual"].abs() / part["chunk_bytes"]).max()
    return [kind, f"{told.phases:,}", f"{told.exact:,} ({share(told.exact / told.phases)})", f"{told.judged:,}",
            share(told.increment_mape), number(told.largest_error_bytes / MIB), number(float(blocks))]


def reason_sentence(rows: pd.DataFrame) -> str:
    """How many residuals are of which reason class."""
    found = with_residuals(rows)
    wrong = found[found["residual"] != 0]
    late = int((wrong["reason"] == LATE).sum())
    return (f"Of {len(found):,} increments {len(wrong):,} are not equal to the byte; {late:,} of these are "
            f"`{LATE}`, {len(wrong) - late:,} are `{OTHER}`.")


def coverage_rows(rows: pd.DataFrame, widths: Mapping[str, float]) -> list[list[str]]:
    """A row a kind of phase and one for all: ``COVERAGE_HEAD``.  ``widths``: by kind, "" for any other."""
    kinds = [phase_kind(str(phase)) for phase in rows["phase"]]
    found = [[kind, coverage_text(validate.coverage(pd.DataFrame(rows[[one == kind for one in kinds]]), widths)),
              _width(kind, widths)] for kind in unique(kinds)]
    return [*found, ["all", coverage_text(validate.coverage(rows, widths)), ""]] if found else []


def _width(kind: str, widths: Mapping[str, float]) -> str:
    return number(widths[kind]) if kind in widths else f"{number(widths.get('', 0.0))}, the fit has not seen it"


def hardest_cell(rows: pd.DataFrame) -> pd.DataFrame:
    """The phases, in order, of the cell and repetition with the largest residual; no rows of none."""
    if rows.empty:
        return rows
    found = rows.assign(size=(rows["simulated"] - rows["measured"]).abs())
    worst = records(found.sort_values("size", ascending=False, kind="stable").head(1))[0]
    for key in CELL_KEYS:
        found = found[found[key] == worst[key]]
    return found.drop(columns="size").sort_values("order", kind="stable")


def rate_rows(checks: Sequence[RateCheck]) -> list[list[str]]:
    """A row a ratio: ``RATE_HEAD``."""
    return [[job_name(one.phase, one.metric), one.target, f"{one.numerator} ÷ {one.denominator}",
             "yes" if one.overlaps else "**no**", str(one.n), _with_interval(one.measured, one.low, one.high),
             _with_interval(one.predicted, one.predicted / one.factor, one.predicted * one.factor),
             number(one.predicted / one.measured)] for one in checks]


def rate_sentence(score: RateScore) -> str:
    """What the ratios give together."""
    return (f"Of {counted(score.n, 'ratio')} {score.overlapping:,} overlap ({share(score.overlapping / score.n)}), and "
            f"{score.same_side:,} name the same storage as the faster ({share(score.same_side / score.n)}). The median "
            f"of |ln(predicted ÷ measured)| is {number(score.median_ln_error)}.")


def _with_interval(value: float, low: float | None, high: float | None) -> str:
    return number(value) if low is None or high is None else f"{number(value)} ({number(low)} to {number(high)})"


def silent_sentence(rows: pd.DataFrame) -> str:
    """Of how many growing increments the straight line says 0, for want of a number; empty where of none.

    ``rows``: ``residuals.INCREMENT_COLUMNS``.
    """
    grown = rows[rows["measured"] >= validate.FLOOR_BYTES]
    silent = grown[grown["straight"] == 0]
    if silent.empty:
        return ""
    kinds = unique(code(phase_kind(str(phase))) for phase in silent["phase"])
    return (f"Of {len(silent):,} of the {len(grown):,} increments that took at least 1 MiB ({joined(kinds)}) it says "
            "0, because the run holds no count of what the application wrote there: a careful spreadsheet's error "
            "would be smaller.")


def missed_sentence(judged: Sequence[Judged]) -> str:
    """Which goals are missed and by how much; that none is; or that nothing was judged."""
    missed = [f"{one.goal.name}: {one.told}, wanted {one.goal.wanted}, {one.verdict}" for one in judged
              if one.met is False]
    open_goals = [one.goal.name for one in judged if one.met is None]
    told = [f"Missed: {'; '.join(missed)}."] if missed else []
    if any(one.met for one in judged) and not missed:
        told.append("No goal that could be judged is missed.")
    if open_goals:
        told.append(f"Not judged, for want of data: {'; '.join(open_goals)}.")
    return " ".join(told)
