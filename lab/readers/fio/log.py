"""fio's bandwidth, IOPS and latency logs.

Format: fio's HOWTO, "Log File Formats": ``time, value[, maximum], direction, block size[, offset][, priority][, issue
time]``.  A line does not say which of them it has: the first columns that suit all lines of a log are taken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from lab.errors import ReaderError
from lab.readers.text_file import load_text

if TYPE_CHECKING:
    import pandas as pd

LogKind = Literal["bw", "iops", "lat", "slat", "clat"]
LatencyUnit = Literal["ns", "us"]

_LOG_FACTORS: dict[str, float] = {"bw": 1024, "iops": 1, "lat": 1e-9, "slat": 1e-9, "clat": 1e-9}
_LATENCIES = ("lat", "slat", "clat")
_UNITS: dict[str, float] = {"ns": 1e-9, "us": 1e-6}
_LOG_DIRECTIONS = {"0": "read", "1": "write", "2": "trim"}
_NUMBER = r"[0-9]{1,19}"
_LOG_LINE = re.compile(rf"{_NUMBER}, *{_NUMBER}(, *({_NUMBER}|0x[0-9a-fA-F]{{1,8}})){{2,6}}")
_HISTOGRAM_COLUMNS = 20
_MOST = 1 << 63
_MOST_KIB = _MOST >> 10

_COLUMNS: dict[int, tuple[tuple[str, ...], ...]] = {
    4: (("direction", "block"),),
    5: (("direction", "block", "priority"), ("direction", "block", "offset")),
    6: (("direction", "block", "offset", "priority"), ("maximum", "direction", "block", "priority"),
        ("direction", "block", "priority", "issue")),
    7: (("direction", "block", "offset", "priority", "issue"), ("maximum", "direction", "block", "offset", "priority"),
        ("maximum", "direction", "block", "priority", "issue")),
    8: (("maximum", "direction", "block", "offset", "priority", "issue"),),
}
"""By their number, those behind time and value that a log may have; without a priority before fio 3.20."""


def read_log(path: str | os.PathLike[str], kind: LogKind, *, latency_unit: LatencyUnit | None = None) -> pd.DataFrame:
    """Reads a log of ``write_bw_log``, ``write_iops_log`` or ``write_lat_log``; gzip is taken too.

    Columns: t_seconds since the job's start, value (``bw``: bytes/s; ``iops``: 1/s; ``lat``,
    ``slat``, ``clat``: seconds), direction, block_bytes; and where the log has them offset_bytes (log_offset),
    value_max (log_window_value=both: ``value`` is then the mean) and issue_seconds (log_issue_time).
    Windowed logs (log_avg_msec) tell no block size and offset: those are ``<NA>``.  Without a window
    each row is one I/O: an IOPS value is then 1, and a bandwidth that I/O's own.  An empty log (fio
    writes one for slat of a synchronous engine) gives a frame without rows.

    ``latency_unit``: fio 2 wrote latencies in microseconds, fio 3 writes nanoseconds.  A log without a column of
    priorities may be either's, and is refused unless the unit is given.

    Raises ReaderError with file:line for a malformed or cut-off line, and for a log of histograms.
    """
    import pandas as pd

    if kind not in _LOG_FACTORS:
        raise ReaderError(f"{kind!r} is no kind of fio log; kinds: {', '.join(_LOG_FACTORS)}")
    if latency_unit is not None and (kind not in _LATENCIES or latency_unit not in _UNITS):
        raise ReaderError(f"latency_unit={latency_unit!r} of a log of kind {kind!r}; 'ns' or 'us' for lat, slat, clat")
    source = os.fspath(path)
    text = load_text(source, source)
    if text and not text.endswith("\n"):
        raise ReaderError("the last line is cut off: it has no line feed", where=f"{source}:{text.count(chr(10)) + 1}")
    lines = [_log_fields(line, f"{source}:{number}") for number, line in enumerate(text.split("\n")[:-1], 1)]
    width = len(lines[0]) if lines else 5
    for number, fields in enumerate(lines, 1):
        if len(fields) != width:
            raise ReaderError(
                f"{len(fields)} columns, {width} in the lines above: a line is cut off, or two logs were joined",
                where=f"{source}:{number}",
            )
    columns = _columns(lines, width, source)
    factor = _LOG_FACTORS[kind]
    if kind in _LATENCIES:
        factor = _UNITS[latency_unit or _unit(columns, source)]
    at = {name: 2 + place for place, name in enumerate(columns)}

    def floats(place: int, scale: float) -> pd.Series:
        return pd.Series([int(fields[place]) * scale for fields in lines], dtype="float64")

    blocks = [int(fields[at["block"]]) for fields in lines]
    frame = pd.DataFrame(
        {
            "t_seconds": pd.array([int(fields[0]) / 1000 for fields in lines], dtype="float64"),
            "value": floats(1, factor),
            "direction": pd.array([_LOG_DIRECTIONS[fields[at["direction"]]] for fields in lines], dtype="object"),
            "block_bytes": pd.array([block or None for block in blocks], dtype="Int64"),
        }
    )
    if "offset" in at:
        offsets = [int(fields[at["offset"]]) if block else None for fields, block in zip(lines, blocks, strict=True)]
        frame["offset_bytes"] = pd.array(offsets, dtype="Int64")
    if "maximum" in at:
        frame["value_max"] = floats(at["maximum"], factor)
    if "issue" in at:
        frame["issue_seconds"] = floats(at["issue"], 1e-9)
    return frame


def _unit(columns: Sequence[str], source: str) -> str:
    if "priority" not in columns:
        raise ReaderError("a latency log without priorities: fio 2 wrote microseconds, fio 3.0 to 3.19 nanoseconds",
                          where=source, remedy='give latency_unit="us" or "ns"')
    return "ns"


def _log_fields(line: str, where: str) -> list[str]:
    line = line.removesuffix("\r")
    if line.count(",") >= _HISTOGRAM_COLUMNS:
        raise ReaderError(f"{line.count(',') + 1} columns: a log of histograms (write_hist_log)", where=where,
                          remedy="fio-histo-log-pctiles.py of fio reads it; the bins of --output-format=json+ have the "
                                 "whole run's")
    if _LOG_LINE.fullmatch(line.strip()) is None:
        raise ReaderError(f"{line[:80]!r} is not 'milliseconds, value, direction, block size[, offset], priority'",
                          where=where)
    fields = line.replace(" ", "").split(",")
    too_large = next((field for field in fields if field.isdigit() and int(field) >= _MOST),
                     fields[1] if int(fields[1]) >= _MOST_KIB else None)
    if too_large is not None:
        raise ReaderError(f"{too_large} is more than fio's counters hold", where=where)
    return fields


_FITS: dict[str, Callable[[list[str], int], bool]] = {
    "maximum": lambda fields, place: fields[place].isdigit() and int(fields[1]) <= int(fields[place]) < _MOST_KIB,
    "direction": lambda fields, place: fields[place] in _LOG_DIRECTIONS,
    "block": lambda fields, place: fields[place].isdigit(),
    "offset": lambda fields, place: fields[place].isdigit(),
    "priority": lambda fields, place: fields[place] in ("0", "1") or fields[place].startswith("0x"),
    "issue": lambda fields, place: fields[place].isdigit(),
}


def _columns(lines: Sequence[list[str]], width: int, source: str) -> tuple[str, ...]:
    """The columns behind time and value.  Raises ReaderError at the first line that the likeliest do not suit."""
    likeliest = _COLUMNS[width][0]
    bad: tuple[int, str] | None = None
    for columns in _COLUMNS[width]:
        found = _misfit(lines, columns)
        if found is None:
            return columns
        bad = bad or found
    assert bad is not None
    number, name = bad
    value = lines[number][2 + likeliest.index(name)]
    where = f"{source}:{number + 1}"
    if name == "direction":
        raise ReaderError(f"direction {value}; 0 (read), 1 (write) or 2 (trim)", where=where)
    if name == "offset":
        raise ReaderError(f"offset {value!r} is not a decimal number of bytes", where=where)
    raise ReaderError(f"{name} {value!r} is none in {', '.join(lines[number])!r}", where=where)


def _misfit(lines: Sequence[list[str]], columns: Sequence[str]) -> tuple[int, str] | None:
    for number, fields in enumerate(lines):
        for place, name in enumerate(columns, 2):
            if not _FITS[name](fields, place):
                return number, name
    return None
