"""Words and numbers as people read them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lab.units import format_bytes

if TYPE_CHECKING:
    import pandas as pd

MIB = 1024**2

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def number(value: float) -> str:
    """Three digits that count, no exponent for what people read.

    >>> number(0.0), number(3.14159), number(1), number(1234.5), number(0.00123)
    ('0', '3.14', '1.00', '1,234', '0.00123')
    """
    if value != value:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 1e12 or abs(value) < 1e-6:
        return f"{value:.2e}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def mib(size_bytes: float) -> str:
    return f"{number(size_bytes / MIB)} MiB"


def metric_words(metric: str) -> str:
    return re.sub(r"p999$", "p99.9", clean(metric)).replace("_", " ")


def joined(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def ns(values: pd.Series[Any]) -> str:
    low, high = int(values.min()), int(values.max())
    return ("medians, " if high > 1 else "") + (f"n = {low}" if low == high else f"n = {low} to {high}")


def clean(text: str) -> str:
    """Without terminal colours and control characters; the template does the escaping."""
    return _CONTROL.sub("", text)


def command(argv: Sequence[str]) -> str:
    return shlex.join(argv)


def optional(value: Any) -> float | None:
    return None if value is None or value != value else float(value)


def option(key: str, value: str | int | float | bool) -> str:
    if key.endswith("_bytes") and isinstance(value, int | float) and not isinstance(value, bool):
        return format_bytes(value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
