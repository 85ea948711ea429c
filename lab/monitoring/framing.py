"""Observed logs cut into samples: a time, and what commands printed then.

Two layouts.  The lab's ``collect.sh`` frames each sample and adds cksum(1)'s sum of it::

    === lab-observed 1 2026-11-24T10:00:00Z
    --- dmsetup status --noflush --target thin-pool
    docker-pool: 0 209715200 thin-pool 12 1043/524288 21873/1638400 - rw discard_passdown queue_if_no_space - 1024
    --- status 0
    === end 3917294417 212

Any other log has lines that begin with a time (``observed_times``): what follows, on that line and on those up to
the next time, is the sample.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from lab.errors import ReaderError
from lab.monitoring.repairs import Repairs
from lab.monitoring.times import LeadingTime, leading_time

MARK = "=== lab-observed "
VERSION = "1"

_FRAME_START = re.compile(rf"{MARK}([0-9]{{1,9}}) (\S+)")
_FRAME_END = re.compile(r"\n=== end(?: ([0-9]{1,10}) ([0-9]{1,12}))?[ \t]*(?:\n|$)")
_STATUS = re.compile(r"--- status ([0-9]{1,3})")
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class Section:
    """What one command printed.  ``command`` is its first word, empty where the log does not tell; ``line`` is where
    ``text`` begins."""

    command: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What the log holds for one time (seconds since 1970 UTC); ``line`` is where it begins."""

    epoch_seconds: float
    line: int
    sections: tuple[Section, ...]


def cut_samples(text: str, name: str, repairs: Repairs) -> list[Sample]:
    """The whole samples, in the log's order; the others are left out and told to ``repairs``.

    ``text`` is UTF-8 with surrogates for other bytes.  Raises ReaderError if no line begins a sample.
    """
    samples = list(_framed(text, name, repairs) if MARK in text else _timed(text, name, repairs))
    if not samples and not repairs.listed():
        raise ReaderError(
            "no line begins with a time" if text.strip() else "empty",
            where=f"{name}:1",
            remedy="record with the script that `lab collect` prints, or put an ISO 8601 time (date -Iseconds, "
                   "journalctl -o short-iso) or seconds since 1970 before each dmsetup status, lvs or docker info",
        )
    return samples


def posix_cksum(data: bytes) -> int:
    """cksum(1)'s sum: CRC-32 of the bytes and their length, highest bit first (POSIX.1-2017, cksum).

    zlib's CRC-32 is the same polynomial, lowest bit first: hence the reversal of bits before and after.

    >>> posix_cksum(b"123456789")
    930766865
    """
    length, octets = len(data), bytearray()
    while length:
        octets.append(length & 0xFF)
        length >>= 8
    crc = zlib.crc32((data + octets).translate(_REVERSED_BITS), 0xFFFFFFFF)
    return int(f"{crc:032b}"[::-1], 2)


def _framed(text: str, name: str, repairs: Repairs) -> Iterator[Sample]:
    starts = [match.start() for match in re.finditer(re.escape(MARK), text)]
    _outside(text[: starts[0]], 1, repairs)
    line, counted = 1, 0
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        line, counted = line + text.count("\n", counted, start), start
        sample = _frame(text[start:end], line, name, repairs)
        if sample is not None:
            yield sample


def _frame(piece: str, line: int, name: str, repairs: Repairs) -> Sample | None:
    head, end = _FRAME_START.match(piece), _FRAME_END.search(piece)
    if head is None or end is None:
        repairs.add("truncated sample", "left out: it has no end", line)
        return None
    body = piece[: end.start() + 1]
    _outside(piece[end.end():], line + piece.count("\n", 0, end.end()), repairs)
    if end[1] is None:
        repairs.add("no checksum", "taken as it is: the host had no cksum", line)
    else:
        raw = body.encode("utf-8", "surrogateescape")
        if (posix_cksum(raw), len(raw)) != (int(end[1]), int(end[2])):
            repairs.add("damaged sample", "left out: its checksum does not fit its text", line)
            return None
    if head[1] != VERSION:
        raise ReaderError(f"a log of version {head[1]}; version {VERSION} expected", where=f"{name}:{line}",
                          remedy="read it with the lab whose collect.sh recorded it")
    time = leading_time(head[2])
    if time is None or time.rest or time.zone_name:
        repairs.add("unreadable sample", "left out: its time is none", line, repr(head[2][:40]))
        return None
    if not _set(time, line, repairs):
        return None
    return Sample(time.epoch_seconds, line, tuple(_sections(body, line, repairs)))


def _sections(body: str, line: int, repairs: Repairs) -> Iterator[Section]:
    """Those of commands that ended with status 0; a failed command printed no state."""
    command: str | None = None
    begun, held = 0, list[str]()
    for number, text in enumerate(body.split("\n"), line):
        status = _STATUS.fullmatch(text)
        if status is not None and command is not None:
            if status[1] == "0":
                yield Section(command, "\n".join(held), begun)
            command = None
        elif text.startswith("--- "):
            if command is not None:
                repairs.add("truncated sample", "one command's output left out: it has no end", begun)
            command, begun, held = text[4:].partition(" ")[0], number + 1, []
        else:
            held.append(text)
    if command is not None:
        repairs.add("truncated sample", "one command's output left out: it has no end", begun)


def _timed(text: str, name: str, repairs: Repairs) -> Iterator[Sample]:
    time: LeadingTime | None = None
    begun, held = 1, list[str]()
    for number, line in enumerate(text.split("\n"), 1):
        found = leading_time(line)
        if found is None:
            held.append(line)
            continue
        if found.zone_name:
            raise ReaderError(f"the time's zone is a name, {found.zone_name!r}, which may stand for several offsets",
                              where=f"{name}:{number}",
                              remedy="record with `date -Iseconds`, or write the offset in its place, as in +01:00")
        if time is not None and _goes_on(time, found):
            held.append(found.rest)
            continue
        yield from _timed_sample(time, begun, held, repairs)
        time, begun, held = found, number, [found.rest]
    if time is not None:
        yield from _timed_sample(time, begun, held, repairs)


def _goes_on(before: LeadingTime, now: LeadingTime) -> bool:
    """Whether a journal's line belongs to the output that the line before it is of: lvs and docker print many."""
    return (bool(now.speaker) and now.speaker == before.speaker and now.epoch_seconds == before.epoch_seconds
            and " thin" not in now.rest)


def _timed_sample(time: LeadingTime | None, line: int, held: list[str], repairs: Repairs) -> Iterator[Sample]:
    text = "\n".join(held)
    if time is None:
        _outside(text, line, repairs)
        return
    if not time.zoned:
        repairs.add("time zone", "taken as UTC: the time tells no zone", line)
    if _set(time, line, repairs):
        yield Sample(time.epoch_seconds, line, (Section("", text, line),))


def _set(time: LeadingTime, line: int, repairs: Repairs) -> bool:
    if not time.plausible:
        repairs.add("clock not set", "left out: its time lies before 2001 or after 2100", line)
    return time.plausible


def _outside(text: str, line: int, repairs: Repairs) -> None:
    if text.strip():
        blank = len(text) - len(text.lstrip())
        repairs.add("text outside samples", "passed over", line + text.count("\n", 0, blank),
                    repr(text.strip().split("\n")[0][:60]))
