"""Distributions as a plan writes them: one value, or a law with its parameters, as in ``{exponential: 1h}``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from lab.model.fleet.distributions import Constant, Distribution, Empirical, Exponential, Gamma, LogNormal
from lab.scenario.yaml_text import KeyPath, check_keys, nearest, problem, show
from lab.units import parse_duration

LAWS: dict[str, tuple[str, ...]] = {"constant": (), "exponential": (), "lognormal": ("median", "sigma"),
                                    "gamma": ("shape", "mean"), "observed": ()}
"""Each law with the parameters that it names; the others take one value, or a list of those that were seen."""

MAX_SECONDS = 3650 * 86_400.0
MAX_FACTOR = 1000.0

_Read = Callable[[Any, KeyPath], float]


def duration(raw: Any, key: KeyPath = ()) -> float:
    """Seconds of a text such as ``20min``.  Raises a problem at ``key`` for anything else, 0 among it."""
    if not isinstance(raw, str):
        raise problem(f"{show(raw)} has no unit; write a number and one of ms, s, min, h, d, as in 90s", key=key)
    try:
        seconds = parse_duration(raw if len(raw) <= 60 else show(raw, 60))
    except (ValueError, OverflowError) as error:
        raise problem(str(error), key=key) from None
    if not 0 < seconds <= MAX_SECONDS:
        raise problem(f"{show(raw)} is out of range; more than 0s and at most 3650d allowed", key=key)
    return seconds


def factor(raw: Any, key: KeyPath = ()) -> float:
    """A plain number above 0.  Raises a problem at ``key`` for anything else."""
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 < raw <= MAX_FACTOR:
        raise problem(f"{show(raw)} is no number above 0 and up to {MAX_FACTOR:g}", key=key)
    return float(raw)


def read_distribution(raw: Any, read: _Read, example: str) -> Distribution:
    """The distribution that is written; ``read`` takes its values.  Raises a problem at the place that is wrong."""
    if isinstance(raw, Distribution):
        return raw
    if not isinstance(raw, dict):
        return Constant(read(raw, ()))
    if len(raw) != 1:
        raise problem(f"{show(raw)} is no distribution; write one value, or one of {', '.join(LAWS)}, as in {example}")
    law, body = next(iter(raw.items()))
    if law not in LAWS:
        raise problem(f"unknown distribution {show(law)}{nearest(law, LAWS)}; allowed: {', '.join(LAWS)}", key=law)
    if law == "observed":
        if not isinstance(body, list) or not body:
            raise problem(f"{show(body)} is no list of values that were seen; one value or more", key=law)
        return Empirical(tuple(read(value, (law, number)) for number, value in enumerate(body)))
    if not LAWS[law]:
        value = read(body, (law,))
        return Constant(value) if law == "constant" else Exponential(value)
    given = _parameters(law, body)
    if law == "lognormal":
        return LogNormal(read(given["median"], (law, "median")), factor(given["sigma"], (law, "sigma")))
    return Gamma(factor(given["shape"], (law, "shape")), read(given["mean"], (law, "mean")))


def _parameters(law: str, body: Any) -> dict[str, Any]:
    try:
        given = check_keys(body, LAWS[law], law)
    except PydanticCustomError as error:
        raise problem(str(error), key=(law, *(error.context or {})["key"])) from None
    for name in LAWS[law]:
        if name not in given:
            raise problem(f"{law} lacks {name}; it takes {' and '.join(LAWS[law])}", key=law)
    return given


Lifetime = Annotated[Distribution, PlainValidator(
    lambda raw: read_distribution(raw, duration, "{exponential: 1h}"))]
"""In seconds; in a file with their unit."""

Factor = Annotated[Distribution, PlainValidator(
    lambda raw: read_distribution(raw, factor, "{lognormal: {median: 1, sigma: 0.5}}"))]
"""Plain numbers."""
