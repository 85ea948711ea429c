"""Words and numbers as people read them."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lab.metrics import metric
from lab.units import format_bytes

if TYPE_CHECKING:
    import pandas as pd

MIB = 1024**2

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


_EXPONENT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_SIZES = {"TiB": 1024.0**4, "GiB": 1024.0**3, "MiB": 1024.0**2, "KiB": 1024.0, "B": 1.0}
_TIMES = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
_PLAIN = {"ratio": " ×", "count": "", "1/s": "/s", "1": "", "": ""}


def number(value: float) -> str:
    """Three digits that count, no exponent for what people read.

    >>> number(0.0), number(3.14159), number(1), number(1234.5), number(0.00123), number(0.0000651), number(2e-9)
    ('0', '3.14', '1.00', '1,234', '0.00123', '0.0000651', '2.00 × 10⁻⁹')
    """
    if not math.isfinite(value):
        return "–" if value != value else f"{value}"
    if value == 0:
        return "0"
    if abs(value) >= 1e12 or abs(value) < 1e-6:
        digits, _, exponent = f"{value:.2e}".partition("e")
        return f"{digits} × 10{str(int(exponent)).translate(_EXPONENT)}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if abs(value) >= 1e-4 else _decimals(value, 3)


def short(value: float, digits: int = 3) -> str:
    """So many digits that count and no zeros behind them, no exponent.

    >>> short(0.05), short(1034.2), short(0.0000019, 2), short(0.00001), short(4.0)
    ('0.05', '1,034', '0.0000019', '0.00001', '4')
    """
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text
    return f"{value:,.0f}" if abs(value) >= 1 else _decimals(value, digits).rstrip("0")


def tick(value: float) -> str:
    """A number beside an axis: up to six digits that count, thousands set apart, no exponent.

    >>> tick(0.5), tick(25000.0), tick(2e6), tick(0.00002)
    ('0.5', '25,000', '2,000,000', '0.00002')
    """
    text = f"{value:,.6g}"
    return short(value, 6) if "e" in text else text


def _decimals(value: float, digits: int) -> str:
    return f"{value:.{digits - 1 - math.floor(math.log10(abs(value)))}f}"


def amount(value: float | None, unit: str) -> str:
    """A value with its unit as a person writes it: bytes and seconds in the unit that suits their size.

    >>> amount(1536, "B"), amount(1048576.0, "B/s"), amount(0.0000651, "s"), amount(90, "s"), amount(-4096, "B")
    ('1.50 KiB', '1.00 MiB/s', '65.1 µs', '90.0 s', '−4 KiB')
    >>> amount(2.5, "ratio"), amount(12345, "count"), amount(1234.5, "1/s"), amount(None, "s"), amount(0, "B")
    ('2.50 ×', '12,345', '1,234/s', '–', '0 B')
    """
    if value is None or value != value:
        return "–"
    sign, size = "−" if value < 0 else "", abs(value)
    if unit in ("B", "B/s", "s"):
        scales, rate = (_TIMES, "") if unit == "s" else (_SIZES, unit[1:])
        name = next((one for one, scale in scales.items() if size >= 0.9995 * scale), list(scales)[-1])
        if not size:
            name = unit.removesuffix("/s")
        return f"{sign}{_counted(size / scales[name], unit == 'B')} {name}{rate}"
    return f"{sign}{_counted(size, unit == 'count')}{_PLAIN.get(unit, f' {unit}')}"


def signed(value: float, unit: str) -> str:
    """An amount with its sign; nothing has none.

    >>> signed(1536, "B"), signed(-0.5, "s"), signed(0, "B")
    ('+1.50 KiB', '−500 ms', '0 B')
    """
    return f"{'+' if value > 0 else ''}{amount(value, unit)}"


def _counted(size: float, whole: bool) -> str:
    return f"{size:,.0f}" if whole and float(size).is_integer() else number(size)


def mib(size_bytes: float) -> str:
    """Bytes in MiB, with the unit."""
    return f"{number(size_bytes / MIB)} MiB"


def metric_words(name: str) -> str:
    """A metric's name in words.  Raises InputError where there is no such metric."""
    return metric(name).words


def joined(parts: Sequence[str]) -> str:
    """``a, b and c``; empty for none."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def counted(number: int, thing: str) -> str:
    """A count with what is counted, in the plural unless it is one."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def ns(values: pd.Series[Any]) -> str:
    """``n = 3``, or from the smallest to the largest; with ``medians`` in front where any is above 1.

    Raises ValueError where there are no values.
    """
    low, high = int(values.min()), int(values.max())
    return ("medians, " if high > 1 else "") + (f"n = {low}" if low == high else f"n = {low} to {high}")


def clean(text: str) -> str:
    """Without terminal colours and control characters; the template does the escaping."""
    return _CONTROL.sub("", text)


def command(argv: Sequence[str]) -> str:
    """The command as a shell takes it, quoted."""
    return shlex.join(argv)


def optional(value: Any) -> float | None:
    """A cell of a table as a number; None for None and NaN."""
    return None if value is None or value != value else float(value)


def option(key: str, value: str | int | float | bool) -> str:
    """An option's value in words; of a key that ends in ``_bytes`` with its unit."""
    if key.endswith("_bytes") and isinstance(value, int | float) and not isinstance(value, bool):
        return format_bytes(value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows, each a dict of column to value."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def unique(values: Iterable[str]) -> list[str]:
    """Each value once, in the order of their first places."""
    return list(dict.fromkeys(values))
