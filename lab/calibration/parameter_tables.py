"""Tables of the model's parameters: values, intervals, and what the runs of the fit do not tell."""

from __future__ import annotations

from dataclasses import fields

import pandas as pd

from lab.model.parameters import Fitted, Parameters
from lab.model.times.device_time import ServiceTimes
from lab.text import number, optional

_SERVICE = "service."
_UNSURE = " ?"

FITTED_HEAD = ("parameter", "identified", "what it was told from", "unit", "value", "90 % interval", "n")
NOT_TOLD_HEAD = ("service time", "kinds of storage and target", "why it is not identified")


def fitted_rows(parameters: Parameters) -> list[list[str]]:
    """A row each for log costs and times: ``FITTED_HEAD``."""
    return [[f"`{one.name}`", "yes" if one.identified else "**no**", one.reason, unit_of(one.name),
             _value(one, one.value), _interval(one), f"{one.n:,}" if one.n else "–"] for one in _growth(parameters)]


def fitted_frame(parameters: Parameters) -> pd.DataFrame:
    """The same with numbers: name, unit, value, low, high, n, identified, reason."""
    return pd.DataFrame([{"name": one.name, "unit": unit_of(one.name), "value": one.value, "low": one.low,
                          "high": one.high, "n": one.n, "identified": one.identified, "reason": one.reason}
                         for one in _growth(parameters)])


def service_head() -> list[str]:
    """The kind, then each service time with its unit."""
    return ["storage and target", *(f"{_short(name)}, {unit_of(name)}" if unit_of(name) else _short(name)
                                    for name in _names())]


def service_rows(parameters: Parameters) -> list[list[str]]:
    """A row a kind of storage and target: ``service_head``; a question mark where a value is not identified."""
    unsure = {one.name for one in parameters.fitted if not one.identified}
    return [[kind, *(number(getattr(times, name) * _scale(name)) + (
        _UNSURE if f"{_SERVICE}{kind}.{name}" in unsure else "") for name in _names())]
        for kind, times in parameters.service.items()]


def not_told_rows(parameters: Parameters) -> list[list[str]]:
    """Service times that the fit could not identify, those of one name and reason together: ``NOT_TOLD_HEAD``."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in parameters.fitted:
        if one.name.startswith(_SERVICE) and not one.identified:
            kind, _, name = one.name.removeprefix(_SERVICE).rpartition(".")
            groups.setdefault((name, one.reason), []).append(kind)
    order = _names()
    return [[f"`{name}`", ", ".join(kinds), reason] for (name, reason), kinds in
            sorted(groups.items(), key=lambda item: order.index(item[0][0]) if item[0][0] in order else len(order))]


def unit_of(name: str) -> str:
    """The unit in which a parameter is shown.

    >>> unit_of("log.inode_bytes"), unit_of("timing.start_seconds"), unit_of("copy_seconds_per_byte")
    ('B', 's', 'ns/B')
    """
    if name.startswith("log."):
        return "B" if name.endswith("_bytes") else "records"
    if name.endswith("_seconds_per_mib"):
        return "s/MiB"
    if name.endswith("_seconds_per_byte"):
        return "ns/B"
    if name.endswith("_seconds"):
        return "s" if name.startswith("timing.") else "µs"
    return ""


def _scale(name: str) -> float:
    return {"ns/B": 1e9, "µs": 1e6}.get(unit_of(name), 1.0)


def _short(name: str) -> str:
    return name.removesuffix("_per_byte").removesuffix("_seconds").replace("_", " ") + (
        " a byte" if name.endswith("_per_byte") else "")


def _names() -> list[str]:
    return [one.name for one in fields(ServiceTimes)]


def _growth(parameters: Parameters) -> list[Fitted]:
    return [one for one in parameters.fitted if not one.name.startswith(_SERVICE)]


def _interval(one: Fitted) -> str:
    low, high = optional(one.low), optional(one.high)
    return "–" if low is None or high is None else f"{_value(one, low)} to {_value(one, high)}"


def _value(one: Fitted, value: float) -> str:
    """Costs of the log are whole numbers."""
    return f"{value:g}" if one.name.startswith("log.") else number(value)
