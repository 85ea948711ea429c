"""Bytes, sectors, data blocks and seconds.  Nothing else in the lab converts units.

Text uses IEC units (``512KiB``); code holds plain ``int`` bytes, named so.
"""

from __future__ import annotations

import re
from fractions import Fraction

SECTOR_BYTES = 512
"""A sector, the unit of device-mapper tables and of /proc/diskstats."""

METADATA_BLOCK_BYTES = 4096
"""A thin pool's metadata block (kernel: THIN_METADATA_BLOCK_SIZE, 8 sectors)."""

METADATA_MAX_BLOCKS = 255 * 16320
"""Metadata blocks that a pool can use (kernel: THIN_METADATA_MAX_SECTORS): an index of 255 bitmaps of 16,320 each."""

CHUNK_STEP_BYTES = 64 * 1024
"""A data block is a multiple of this, and at least this (thin-provisioning.rst)."""

CHUNK_MAX_BYTES = 1024**3
"""A data block is at most this (thin-provisioning.rst)."""

KIB, GIB = 1024, 1024**3
_SIZE_UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
_TIME_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER_UNIT = re.compile(r"\s*([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([A-Za-z]+)\s*")


def parse_size(text: str) -> int:
    """Bytes of a text such as ``"512KiB"``.

    Raises ValueError for a missing or unknown unit, and for a part of a byte.

    >>> parse_size("512KiB"), parse_size("1.5 GiB")
    (524288, 1610612736)
    """
    match = _NUMBER_UNIT.fullmatch(text)
    if match is None or match[2] not in _SIZE_UNITS:
        raise ValueError(f"{text!r} is not a size; write a number and one of {', '.join(_SIZE_UNITS)}, as in 512KiB")
    size_bytes = Fraction(match[1]) * _SIZE_UNITS[match[2]]
    if size_bytes.denominator != 1:
        raise ValueError(f"{text!r} is not a whole number of bytes")
    return size_bytes.numerator


def parse_duration(text: str) -> float:
    """Seconds of a text such as ``"90s"`` or ``"1.5min"``.

    Raises ValueError for a missing or unknown unit.

    >>> parse_duration("90s"), parse_duration("1.5min")
    (90.0, 90.0)
    """
    match = _NUMBER_UNIT.fullmatch(text)
    if match is None or match[2] not in _TIME_UNITS:
        raise ValueError(f"{text!r} is not a duration; write a number and one of {', '.join(_TIME_UNITS)}, as in 90s")
    return float(match[1]) * _TIME_UNITS[match[2]]


def format_bytes(size_bytes: float) -> str:
    """Bytes in the largest IEC unit that keeps the number at 1 or more.

    >>> format_bytes(524288), format_bytes(1610612736), format_bytes(0)
    ('512 KiB', '1.5 GiB', '0 B')
    """
    magnitude = abs(size_bytes)
    unit = next((name for name in reversed(_SIZE_UNITS) if magnitude >= _SIZE_UNITS[name]), "B")
    return f"{size_bytes / _SIZE_UNITS[unit]:.4g} {unit}"


def sectors_to_bytes(sectors: int) -> int:
    """Bytes of a number of 512-byte sectors."""
    return sectors * SECTOR_BYTES
