"""Logs of how full a thin pool was, recorded on a user's host over days or months.

Read are logs of the lab's ``collect.sh`` and, with a time before each, ``dmsetup status`` lines, ``lvs
--reportformat json`` documents and ``docker info`` texts; plain or gzipped.  Such logs have holes, repeated and
backward times, pools that were extended or made anew.  Each is mended in a stated way, or refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import InputError, ReaderError
from lab.model.metadata.metadata_space import reserve_blocks
from lab.monitoring.chronology import TimedReading, gap_seconds, in_order, lives
from lab.monitoring.framing import Sample, cut_samples
from lab.monitoring.pool import SOURCES, PoolReading, pool_readings, printable
from lab.monitoring.repairs import Repair, Repairs
from lab.readers.text_file import load_bytes
from lab.units import METADATA_BLOCK_BYTES

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("t_seconds", "data_used_bytes", "data_total_bytes", "metadata_used_bytes", "metadata_total_bytes", "source",
           "data_error_bytes", "metadata_error_bytes", "life", "full", "line")

LARGEST_LOG_BYTES = 1 << 30
"""What is longer, unzipped, is refused: a year of a sample a minute has half of it."""

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UNREADABLE = ("truncated sample", "damaged sample", "unreadable sample", "clock not set")


@dataclass(frozen=True)
class Observed:
    """One pool's levels over time.

    ``frame`` has a row a sample (``COLUMNS``), times in seconds from the first and increasing, bytes as integers, but
    for metadata: float, NaN where the log does not tell it.  ``…_error_bytes`` bounds the rounding to either side.
    ``life`` counts up where the pool was made anew; growth across is none.  ``full``: out of data space, read-only,
    or all blocks of data or metadata used.  Two samples further apart than ``gap_seconds`` have a gap between them.
    The totals are what can be used: of a pool on sparse files no more than the file system below them has room for.
    ``has_reserve``: whether used metadata hold the reserve that kernels keep since 4.20, None where that is open.
    """

    path: str
    pool: str
    start_epoch_seconds: float
    gap_seconds: float
    frame: pd.DataFrame
    repairs: tuple[Repair, ...]
    has_reserve: bool | None = True

    @property
    def span_days(self) -> float:
        """From the first sample to the last."""
        return float(self.frame["t_seconds"].iloc[-1]) / 86400

    @property
    def start(self) -> str:
        """The first sample's time, ISO 8601 in UTC."""
        return datetime.fromtimestamp(self.start_epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def document(self) -> dict[str, Any]:
        """For JSON: the log in short, and every repair."""
        last = self.frame.iloc[-1]
        metadata = {name: None if last[name] != last[name] else int(last[name])
                    for name in ("metadata_used_bytes", "metadata_total_bytes")}
        return {"path": self.path, "pool": self.pool, "start": self.start, "span_days": self.span_days,
                "samples": len(self.frame), "sources": sorted(set(self.frame["source"])),
                "data_used_bytes": int(last["data_used_bytes"]), "data_total_bytes": int(last["data_total_bytes"]),
                **metadata, "repairs": [repair.document() for repair in self.repairs]}


def read_observed(path: Path | str, pool: str | None = None) -> Observed:
    """The levels that a log tells of one pool; ``pool`` (device-mapper name or vg/lv) chooses among several.

    Raises ReaderError with file:line for a log of another kind, one of which more than half the samples cannot be
    read, one with fewer than two, or one that ends with a pool that takes no writes; InputError for several pools and
    none chosen, or one that the log has not.
    """
    name, repairs = str(path), Repairs()
    samples = cut_samples(_load(Path(path), repairs), name, repairs)
    wanted = None if pool is None else _device_name(pool)
    found = [timed for sample in samples if (timed := _reading(sample, name, wanted, repairs)) is not None]
    failed = [timed for timed in found if timed.reading.failed]
    found = [timed for timed in found if not timed.reading.failed]
    if failed and not found:
        _refuse_a_broken_end((), failed, name)
    _refuse_ruins(found, name, wanted, repairs)
    _refuse_alternation(found, name)
    ordered = in_order(found, repairs)
    _refuse_a_broken_end(ordered, failed, name)
    if len(ordered) < 2:
        raise ReaderError(f"{len(ordered)} sample of a pool; two or more with different times expected", where=name)
    numbers = lives(ordered, repairs)
    times = [timed.epoch_seconds for timed in ordered]
    limit = gap_seconds(times)
    _tell_gaps(ordered, limit, repairs)
    _tell_sources(ordered, repairs)
    _tell_limits(ordered, repairs)
    return Observed(name, next((timed.reading.pool for timed in reversed(ordered) if timed.reading.pool), ""),
                    times[0], limit, _frame(ordered, numbers), repairs.listed(), _has_reserve(ordered))


def _load(path: Path, repairs: Repairs) -> str:
    """The text; bytes that are no UTF-8 become surrogates, so that only their sample is lost."""
    raw = load_bytes(path, str(path), LARGEST_LOG_BYTES)
    if raw.startswith(_UTF16_MARKS):
        try:
            text = raw.decode("utf-16")
        except UnicodeDecodeError as error:
            raise ReaderError(f"no UTF-16, though its first bytes say so: {error.reason}", where=str(path),
                              remedy="write it as UTF-8") from None
    else:
        text = raw.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    if "\r\n" in text:
        repairs.add("line ends", "read as line feeds: carriage returns before them", text.count("\n", 0,
                    text.index("\r\n")) + 1)
        text = text.replace("\r\n", "\n")
    return text


def _device_name(pool: str) -> str:
    """``vg/lv`` as device-mapper spells it; the layer that LVM adds below a pool in use is the same pool."""
    vg, slash, lv = printable(pool).removeprefix("/dev/mapper/").partition("/")
    return f"{vg.replace('-', '--')}-{lv.replace('-', '--')}" if slash else vg.removesuffix("-tpool")


def _reading(sample: Sample, name: str, wanted: str | None, repairs: Repairs) -> TimedReading | None:
    """The pool at that time, from the most exact command that tells it; None, and Fail, is told to ``repairs``."""
    trouble: ReaderError | None = None
    for section in sorted(sample.sections, key=lambda section: _rank(section.command)):
        try:
            pools = pool_readings(section, name)
        except ReaderError as error:
            trouble = trouble or error
            continue
        named = [pool for pool in pools if wanted is None or pool.pool in (wanted, "")]
        if len(named) > 1:
            raise InputError("several pools: " + ", ".join(sorted({repr(pool.pool) for pool in named})),
                             where=f"{name}:{section.line}", remedy="choose one of them by its name, with --pool-name")
        if named and named[0].failed:
            repairs.add("failed pool", "left out: the pool showed Fail and told no counts", sample.line)
        elif named:
            if trouble is not None:
                repairs.add("unreadable sample", "a less exact command taken instead", sample.line, str(trouble))
            _tell_block_size(named[0], sample.line, repairs)
        if named:
            return TimedReading(sample.epoch_seconds, sample.line, _with_limits(named[0], sample, name))
    if trouble is not None:
        repairs.add("unreadable sample", "left out", sample.line, str(trouble))
    elif not _of_other_devices(sample, wanted):
        repairs.add("sample without a pool", "left out: no command told of the pool", sample.line)
    return None


def _with_limits(reading: PoolReading, sample: Sample, name: str) -> PoolReading:
    """What Docker alone tells, beside a more exact command: how far the pool's files can grow, and the kernel."""
    if reading.failed or reading.source == "docker":
        return reading
    for section in sample.sections:
        if section.command != "docker":
            continue
        try:
            told = next((told for told in pool_readings(section, name) if told.pool in (reading.pool, "")), None)
        except ReaderError:     # it is not needed for the counts
            continue
        if told is not None:
            has_reserve = reading.has_reserve if reading.has_reserve is not None else told.has_reserve
            return replace(reading, data_limit_bytes=told.data_limit_bytes,
                           metadata_limit_bytes=told.metadata_limit_bytes, has_reserve=has_reserve)
    return reading


def _rank(command: str) -> int:
    return next((rank for rank, source in enumerate(SOURCES) if source == command), len(SOURCES))


def _of_other_devices(sample: Sample, wanted: str | None) -> bool:
    """A line of another device, in a log of all devices with the time before each line: no sample is missing."""
    text = sample.sections[0].text.strip() if len(sample.sections) == 1 and not sample.sections[0].command else ""
    return bool(text) and "\n" not in text and not text.startswith("{") and (
        " thin-pool " not in text or wanted is not None)


def _tell_block_size(reading: PoolReading, line: int, repairs: Repairs) -> None:
    if reading.source == "dmsetup" and reading.block_bytes is None:
        repairs.add("block size", "the largest that fits is taken, and the error stated: a status does not tell it",
                    line)


def _refuse_ruins(found: Sequence[TimedReading], name: str, wanted: str | None, repairs: Repairs) -> None:
    lost = [repair for repair in repairs.listed()
            if repair.kind in _UNREADABLE and "instead" not in repair.what and "one command" not in repair.what]
    if lost and sum(repair.count for repair in lost) > len(found):
        first = min(lost, key=lambda repair: repair.lines[0])
        raise ReaderError(
            f"{sum(repair.count for repair in lost)} samples cannot be read, and {len(found)} can; the first: "
            f"{first.kind}{': ' + first.detail if first.detail else ''}", where=f"{name}:{first.lines[0]}",
            remedy="record with the script that `lab collect` prints")
    if not found:
        raise ReaderError(f"no sample tells of {'a thin pool' if wanted is None else f'pool {wanted!r}'}", where=name,
                          remedy="root's dmsetup status, lvs, or docker info of the devicemapper driver tell of one")


def _refuse_a_broken_end(ordered: Sequence[TimedReading], failed: Sequence[TimedReading], name: str) -> None:
    """What a pool would grow by that takes no writes any more is not in its log."""
    last = ordered[-1] if ordered else None
    after = [timed.line for timed in failed
             if last is None or (timed.line > last.line and timed.epoch_seconds > last.epoch_seconds)]
    remedy = "repair it (lvconvert --repair; more metadata, lvextend --poolmetadatasize), and record anew"
    if after:
        raise ReaderError("the pool shows Fail in its last sample", where=f"{name}:{after[-1]}", remedy=remedy)
    if last is not None and last.reading.mode == "ro":
        raise ReaderError("the pool is read-only in its last sample: its metadata are spent, or it needs a check",
                          where=f"{name}:{last.line}", remedy=remedy)


def _refuse_alternation(found: Sequence[TimedReading], name: str) -> None:
    """A pool that comes back after another is no successor: the log tells of several pools in turn."""
    left: set[str] = set()
    current = ""
    for timed in found:
        pool = timed.reading.pool
        if pool and pool != current:
            if pool in left:
                raise InputError(f"several pools in turn: {pool!r} and {current!r}", where=f"{name}:{timed.line}",
                                 remedy="choose one of them by its name, with --pool-name")
            left.add(current)
            current = pool


def _tell_gaps(ordered: Sequence[TimedReading], limit: float, repairs: Repairs) -> None:
    gaps = [(after.epoch_seconds - before.epoch_seconds, after.line)
            for before, after in pairwise(ordered)
            if after.epoch_seconds - before.epoch_seconds > limit]
    longest = max((seconds for seconds, _ in gaps), default=0.0)
    for _, line in gaps:
        repairs.add("gap", f"nothing is made up for it: no sample for more than {limit:.0f} s, three times the median "
                    "interval", line, f"the longest has {longest:.0f} s")


def _tell_sources(ordered: Sequence[TimedReading], repairs: Repairs) -> None:
    for before, after in pairwise(ordered):
        if before.reading.source != after.reading.source:
            repairs.add("mixed units", "kept, each with its own rounding error: the source changes", after.line,
                        f"{before.reading.source} to {after.reading.source}")


def _tell_limits(ordered: Sequence[TimedReading], repairs: Repairs) -> None:
    for timed in ordered:
        for what, limit, total in (
                ("data", timed.reading.data_limit_bytes, timed.reading.data_total_bytes),
                ("metadata", timed.reading.metadata_limit_bytes, timed.reading.metadata_total_bytes)):
            if limit is not None:
                repairs.add("sparse file", f"the smaller size of {what} counts: the file system below the pool's file "
                            "has less room than the file could grow by", timed.line, f"{limit} of {total} bytes")


def _has_reserve(ordered: Sequence[TimedReading]) -> bool | None:
    """By the kernel where the last sample tells it; and nobody who uses less than a reserve shows one."""
    for timed in reversed(ordered):
        reading = timed.reading
        if reading.metadata_used_bytes is None or reading.metadata_total_bytes is None:
            continue
        reserve = reserve_blocks(reading.metadata_total_bytes // METADATA_BLOCK_BYTES) * METADATA_BLOCK_BYTES
        if reading.metadata_used_bytes + (reading.metadata_error_bytes or 0) < reserve:
            return False
        return reading.has_reserve
    return None


def _takes_no_more(reading: PoolReading) -> bool:
    """Out of data or of metadata (which shows as read-only)."""
    metadata = _usable(reading.metadata_total_bytes, reading.metadata_limit_bytes)
    spent = (reading.metadata_used_bytes is not None and metadata is not None
             and reading.metadata_used_bytes >= metadata)
    data = _usable(reading.data_total_bytes, reading.data_limit_bytes)
    return (reading.mode in ("out_of_data_space", "ro") or spent
            or (data is not None and reading.data_used_bytes >= data))


def _usable(total: int | None, limit: int | None) -> int | None:
    return total if limit is None or total is None else min(total, limit)


def _frame(ordered: Sequence[TimedReading], numbers: Sequence[int]) -> pd.DataFrame:
    import pandas as pd

    nan = float("nan")

    def known(value: int | None) -> float:
        return nan if value is None else float(value)

    start = ordered[0].epoch_seconds
    rows = [(timed.epoch_seconds - start, reading.data_used_bytes,
             _usable(reading.data_total_bytes, reading.data_limit_bytes), known(reading.metadata_used_bytes),
             known(_usable(reading.metadata_total_bytes, reading.metadata_limit_bytes)), reading.source,
             reading.data_error_bytes, known(reading.metadata_error_bytes), life,
             _takes_no_more(reading), timed.line)
            for timed, life in zip(ordered, numbers, strict=True) for reading in (timed.reading,)]
    return pd.DataFrame(rows, columns=list(COLUMNS))
