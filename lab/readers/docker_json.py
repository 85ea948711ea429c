"""JSON of the docker command: objects whose fields are text, and sizes in decimal units.

Docker prints sizes as decimal text of 3 or 4 digits (``65.54kB``): every size here is an approximation.

>>> parse_human_size("107.4GB")
107400000000
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lab.errors import ReaderError
from lab.readers.json_text import parse_json

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "pb": 10**15}
_BINARY_UNITS = {f"{letter}b": 1024**power for power, letter in enumerate("KMGT", 1)}
"""``Mb`` is what Docker before 1.4 printed for 2^20 bytes."""

MOST_BYTES = 1 << 63
"""No size that Docker could tell is larger."""

_HUMAN_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?(?:e[+-]?[0-9]{1,2})?)\s*([a-z]+)", re.ASCII | re.IGNORECASE)
NOT_MEASURED = ("", "N/A", "-1B", "-1")
"""What Docker prints instead of a number."""


def unit_bytes(unit: str) -> int | None:
    """Bytes of a unit as Docker spells it, None for what is none.

    >>> unit_bytes("MB"), unit_bytes("Mb"), unit_bytes("MiB")
    (1000000, 1048576, None)
    """
    return _BINARY_UNITS.get(unit) or _UNITS.get(unit.lower())


def parse_human_size(text: str, *, where: str | None = None) -> int:
    """Bytes of Docker's text (``10.74GB``, ``860.2 kB``, before 1.4 ``652.7 Mb``), exact to its digits only.

    Raises ReaderError for text that is no size, and for 2^63 bytes or more.
    """
    match = _HUMAN_SIZE.fullmatch(text.strip())
    unit = None if match is None else unit_bytes(match[2])
    if match is None or unit is None:
        raise ReaderError(f"{text[:40]!r} is not a decimal size such as 524.3kB", where=where)
    size = float(match[1]) * unit
    if size >= MOST_BYTES:
        raise ReaderError(f"{text[:40]!r} is more than 8 EiB", where=where)
    return round(size)


def parse_object(text: str, where: str, *, line: bool = False) -> dict[str, Any]:
    """One JSON object.  ``line``: the text is a line, and ``where`` names it.  Raises ReaderError for anything else."""
    remedy = "run docker with --format '{{json .}}'"
    if not text.strip():
        raise ReaderError("empty: JSON expected", where=where, remedy=remedy)
    value = parse_json(text, where, line=line, remedy=None if text.lstrip()[:1] == "{" else remedy)
    if not isinstance(value, dict):
        raise ReaderError(f"JSON of type {type(value).__name__}, an object expected", where=where, remedy=remedy)
    return value


def get_text(values: Mapping[str, Any], key: str, where: str) -> str:
    """A field's text.  Raises ReaderError where it is missing or empty."""
    value = get_optional_text(values, key, where)
    if value is None:
        raise ReaderError(f"{key!r} is missing or empty", where=where)
    return value


def get_optional_text(values: Mapping[str, Any], key: str, where: str) -> str | None:
    """A field's text, None where it is missing or empty.  Raises ReaderError for anything but text."""
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise ReaderError(f"{key!r} is {value!r:.60}, not text", where=where)
    return value or None


def get_size(values: Mapping[str, Any], key: str, where: str) -> int | None:
    """A field's size in bytes, None where it was not measured.  Raises ReaderError for text that is no size."""
    text = get_optional_text(values, key, where)
    if text is None or text in NOT_MEASURED:
        return None
    return parse_human_size(text, where=f"{where}: {key}")
