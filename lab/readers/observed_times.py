"""Times that begin a line of an observed log: ISO 8601 (RFC 3339) or seconds since 1970.

>>> leading_time("2026-11-24T10:00:00Z pool: 0 128 thin-pool")
LeadingTime(epoch_seconds=1795514400.0, zoned=True, rest='pool: 0 128 thin-pool')
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

EARLIEST_EPOCH_SECONDS = 1_000_000_000
"""September 2001: a clock that shows less was not set."""

LATEST_EPOCH_SECONDS = 4_102_444_800
"""The year 2100."""

_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,9}))?"
    r"(?: ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?(?=\s|$)"
)
_EPOCH = re.compile(r"([0-9]{10}(?:\.[0-9]{1,9})?)(?=\s|$)")


@dataclass(frozen=True, slots=True)
class LeadingTime:
    """A line's time in seconds since 1970 UTC, whether it told its zone, and what follows on the line."""

    epoch_seconds: float
    zoned: bool
    rest: str

    @property
    def plausible(self) -> bool:
        """Whether the clock had been set: between 2001 and 2100."""
        return EARLIEST_EPOCH_SECONDS <= self.epoch_seconds < LATEST_EPOCH_SECONDS


def leading_time(line: str) -> LeadingTime | None:
    """The time that the line begins with, or None.  A time without a zone is taken as UTC."""
    if (epoch := _EPOCH.match(line)) is not None:
        return LeadingTime(float(epoch[1]), True, line[epoch.end():].strip())
    iso = _ISO.match(line)
    if iso is None:
        return None
    try:
        local = datetime(int(iso[1]), int(iso[2]), int(iso[3]), int(iso[4]), int(iso[5]), int(iso[6]), tzinfo=UTC)
        seconds = (local - _offset(iso[8])).timestamp() + float(f"0.{iso[7] or 0}")
    except (ValueError, OverflowError):  # the 31st of June; the year 0
        return None
    return LeadingTime(seconds, iso[8] is not None, line[iso.end():].strip())


def _offset(zone: str | None) -> timedelta:
    if zone in (None, "Z", "UTC"):
        return timedelta()
    assert zone is not None
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 15 or minutes > 59:
        raise ValueError(zone)
    ahead = timedelta(hours=hours, minutes=minutes)
    return -ahead if zone[0] == "-" else ahead
