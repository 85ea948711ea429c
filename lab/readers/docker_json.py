"""JSON of the docker command: objects whose fields are text, and sizes in decimal units.

Docker prints sizes as decimal text of 3 or 4 digits (``65.54kB``): every size here is an approximation.

>>> parse_human_size("107.4GB")
107400000000
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from lab.errors import ReaderError

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "pb": 10**15}
_HUMAN_SIZE = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d{1,2})?)\s*([a-z]+)", re.IGNORECASE)
_NOT_MEASURED = ("", "N/A", "-1B", "-1")
"""What Docker prints instead of a number."""


def parse_human_size(text: str, *, where: str | None = None) -> int:
    """Bytes of Docker's decimal text (``10.74GB``, ``860.2 kB``), exact to its 3 or 4 digits only.

    Raises ReaderError for text that is no size.
    """
    match = _HUMAN_SIZE.fullmatch(text.strip())
    if match is None or match[2].lower() not in _UNITS:
        raise ReaderError(f"{text[:40]!r} is not a decimal size such as 524.3kB", where=where)
    return round(float(match[1]) * _UNITS[match[2].lower()])


def parse_object(text: str, where: str) -> dict[str, Any]:
    """One JSON object.  Raises ReaderError for anything else."""
    if not text.strip():
        raise ReaderError("empty: JSON expected", where=where, remedy="run docker with --format '{{json .}}'")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ReaderError(f"malformed or truncated JSON: {error.msg}", where=f"{where}:{error.lineno}") from None
    except (ValueError, RecursionError) as error:
        raise ReaderError(f"malformed JSON: {error}", where=where) from None
    if not isinstance(value, dict):
        raise ReaderError(f"JSON of type {type(value).__name__}, an object expected", where=where)
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
    if text is None or text in _NOT_MEASURED:
        return None
    return parse_human_size(text, where=f"{where}: {key}")
