"""Fields of a JSON object, each of the type that it has to be: else ReaderError, where ``at`` names the place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.errors import ReaderError

_TOO_LARGE = 2**64


def get_field(values: Any, key: str, kind: type, at: str) -> Any:
    """A value that is of the type ``kind``."""
    if key not in values:
        raise ReaderError(f"{key!r} is missing", where=at)
    if not isinstance(values[key], kind):
        raise ReaderError(f"{key!r} is {values[key]!r:.60}, not of type {kind.__name__}", where=at)
    return values[key]


def get_number(values: Mapping[str, Any], key: str, at: str) -> float:
    """A finite number of 0 or more."""
    if key not in values:
        raise ReaderError(f"{key!r} is missing", where=at)
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _TOO_LARGE:
        raise ReaderError(f"{key!r} is {value!r:.60}, not a number of 0 or more", where=at)
    return float(value)


def get_optional_number(values: Mapping[str, Any], key: str, at: str) -> float | None:
    """As ``get_number``; None where there is none."""
    return get_number(values, key, at) if key in values else None


def get_count(values: Mapping[str, Any], key: str, at: str) -> int:
    """A whole number of 0 or more."""
    number = get_number(values, key, at)
    if number != int(number):
        raise ReaderError(f"{key!r} is {number}, not a whole number", where=at)
    return int(values[key])


def get_optional_count(values: Mapping[str, Any], key: str, at: str) -> int | None:
    """As ``get_count``; None where there is none."""
    return get_count(values, key, at) if key in values else None
