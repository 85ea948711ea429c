"""Times that begin a line of an observed log: ISO 8601 (RFC 3339), seconds since 1970, or as date(1) prints them.

>>> leading_time("2026-11-24T10:00:00Z pool: 0 128 thin-pool")
LeadingTime(epoch_seconds=1795514400.0, zoned=True, rest='pool: 0 128 thin-pool', zone_name='', speaker='')
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

EARLIEST_EPOCH_SECONDS = 1_000_000_000
"""September 2001: a clock that shows less was not set."""

LATEST_EPOCH_SECONDS = 4_102_444_800
"""The year 2100."""

_DATE = r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})[T _]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
_BASIC_DATE = r"([0-9]{4})([0-9]{2})([0-9]{2})[T_-]([0-9]{2})([0-9]{2})(?:([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
_ZONE = (r"(?: ?(Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?(?:\[[A-Za-z_/]+\])?)"
         r"| ([A-Z]{3,5}|[A-Z][a-z]+/[A-Z][A-Za-z_]+))?:?(?=\s|$)")
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? "
_ISO = re.compile(f"(?:{_DAY})?{_DATE}{_ZONE}")         # the journal's short-full has the day
_BASIC = re.compile(_BASIC_DATE + _ZONE)
_EPOCH = re.compile(r"([0-9]{10}(?:\.[0-9]{1,9})?)(?=\s|$)")
_CTIME = re.compile(_DAY + r"([A-Z][a-z]{2}) +([0-9]{1,2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})(?: (AM|PM))?"
                    r"(?: ([A-Z]{1,5}|[+-][0-9]{2}(?:[0-9]{2})?))? ([0-9]{4})(?=\s|$)")
_BRACKETED = re.compile(r"[\[(]([^\[\]()]{8,45})[\])]:?(?=\s|$)")
_JOURNAL = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) ([A-Za-z0-9_.@/()-]{1,80}(?:\[[0-9]{1,10}\])?):(?= |$)")
_STATUS = re.compile(r" [0-9]+ [0-9]+ [a-z]")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UTC = (None, "Z", "UTC", "GMT")


@dataclass(frozen=True, slots=True)
class LeadingTime:
    """A line's time in seconds since 1970 UTC, whether it told its zone, and what follows on the line.

    ``zone_name`` is a zone told by a name that stands for no one offset (``CET``), else empty: the time is then not
    known.  ``speaker`` is the host and the unit that a journal puts before each line (``node1 poolstat[42]``).
    """

    epoch_seconds: float
    zoned: bool
    rest: str
    zone_name: str = ""
    speaker: str = ""

    @property
    def plausible(self) -> bool:
        """Whether the clock had been set: between 2001 and 2100."""
        return EARLIEST_EPOCH_SECONDS <= self.epoch_seconds < LATEST_EPOCH_SECONDS


def leading_time(line: str) -> LeadingTime | None:
    """The time that the line begins with, or None.  A time without a zone is taken as UTC.

    Known are seconds since 1970, ISO 8601 (extended and basic, without seconds, with a zone's offset or name) and the
    default format of date(1); each may stand in brackets.  A journal's host and unit behind it are taken off.
    """
    bracketed = _BRACKETED.match(line)
    if bracketed is not None:
        found = _bare_time(bracketed[1].strip())
        if found is None or found.rest:
            return None
        return replace(found, rest=line[bracketed.end():].strip())
    found = _bare_time(line)
    if found is None:
        return None
    journal = _JOURNAL.match(found.rest)
    if journal is None:
        return found
    rest = found.rest[journal.end():]
    if _STATUS.match(rest) and "[" not in journal[2]:
        return replace(found, rest=f"{journal[2]}:{rest}", speaker=journal[1])      # it was a device's name
    return replace(found, rest=rest.strip(), speaker=f"{journal[1]} {journal[2]}")


def _bare_time(line: str) -> LeadingTime | None:
    if (epoch := _EPOCH.match(line)) is not None:
        return LeadingTime(float(epoch[1]), True, line[epoch.end():].strip())
    told = _ISO.match(line) or _BASIC.match(line)
    if told is not None:
        year, month, day, hour, minute, second, part, zone, name = told.groups()
    else:
        told = _CTIME.match(line)
        if told is None or told[1] not in _MONTHS:
            return None
        _, day, hour, minute, second, half, zone, year = told.groups()
        hour = str(int(hour) % 12 + 12 * (half == "PM")) if half else hour
        month, part = str(_MONTHS.index(told[1]) + 1), None
        zone, name = (zone, None) if zone in _UTC or zone[0] in "+-" else (None, zone)
    try:
        local = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=UTC)
        seconds = (local - _offset(zone)).timestamp() + float(f"0.{part or 0}")
    except (ValueError, OverflowError):  # the 31st of June; the year 0
        return None
    return LeadingTime(seconds, zone is not None, line[told.end():].strip(), name or "")


def _offset(zone: str | None) -> timedelta:
    if zone in _UTC:
        return timedelta()
    assert zone is not None
    zone = zone.partition("[")[0]       # the zone's name beside its offset
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > 15 or minutes > 59:
        raise ValueError(zone)
    ahead = timedelta(hours=hours, minutes=minutes)
    return -ahead if zone[0] == "-" else ahead
