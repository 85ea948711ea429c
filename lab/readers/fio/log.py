"""fio's bandwidth, IOPS and latency logs.

Format: fio(1) 3.33, section "LOG FILE FORMATS".
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal

from lab.errors import ReaderError
from lab.readers.text_file import load_text

if TYPE_CHECKING:
    import pandas as pd

LogKind = Literal["bw", "iops", "lat", "slat", "clat"]

_LOG_FACTORS: dict[str, float] = {"bw": 1024, "iops": 1, "lat": 1e-9, "slat": 1e-9, "clat": 1e-9}
_LOG_DIRECTIONS = {"0": "read", "1": "write", "2": "trim"}
_LOG_LINE = re.compile(r"\d+, *\d+, *\d+, *\d+(, *(\d+|0x[0-9a-fA-F]+)){0,2}")


def read_log(path: str | os.PathLike[str], kind: LogKind) -> pd.DataFrame:
    """Reads a log of ``write_bw_log``, ``write_iops_log`` or ``write_lat_log``; gzip is taken too.

    Columns: t_seconds since the job's start, value (``bw``: bytes/s; ``iops``: 1/s; ``lat``,
    ``slat``, ``clat``: seconds), direction, block_bytes, and offset_bytes if log_offset was set.
    Windowed logs (log_avg_msec) tell no block size and offset: those are ``<NA>``.  Without a window
    each row is one I/O: an IOPS value is then 1, and a bandwidth that I/O's own.  An empty log (fio
    writes one for slat of a synchronous engine) gives a frame without rows.

    Raises ReaderError with file:line for a malformed or cut-off line.
    """
    import pandas as pd

    if kind not in _LOG_FACTORS:
        raise ReaderError(f"{kind!r} is no kind of fio log; kinds: {', '.join(_LOG_FACTORS)}")
    source = os.fspath(path)
    text = load_text(source, source)
    if text and not text.endswith("\n"):
        raise ReaderError("the last line is cut off: it has no line feed", where=f"{source}:{text.count(chr(10)) + 1}")
    lines = [_log_fields(line, f"{source}:{number}") for number, line in enumerate(text.splitlines(), 1)]
    width = len(lines[0]) if lines else 5
    for number, fields in enumerate(lines, 1):
        if len(fields) != width:
            raise ReaderError(
                f"{len(fields)} columns, {width} in the lines above: a line is cut off, or two logs were joined",
                where=f"{source}:{number}",
            )
    blocks = pd.array([int(fields[3]) or None for fields in lines], dtype="Int64")
    frame = pd.DataFrame(
        {
            "t_seconds": pd.array([int(fields[0]) / 1000 for fields in lines], dtype="float64"),
            "value": pd.array([int(fields[1]) * _LOG_FACTORS[kind] for fields in lines], dtype="float64"),
            "direction": pd.array([_LOG_DIRECTIONS[fields[2]] for fields in lines], dtype="object"),
            "block_bytes": blocks,
        }
    )
    if width == 6:
        offsets = [int(fields[4]) if int(fields[3]) else None for fields in lines]
        frame["offset_bytes"] = pd.array(offsets, dtype="Int64")
    return frame


def _log_fields(line: str, where: str) -> list[str]:
    fields = line.replace(" ", "").split(",")
    if _LOG_LINE.fullmatch(line.strip()) is None:
        raise ReaderError(
            f"{line[:80]!r} is not 'milliseconds, value, direction, block size[, offset], priority'", where=where
        )
    if fields[2] not in _LOG_DIRECTIONS:
        raise ReaderError(f"direction {fields[2]}; 0 (read), 1 (write) or 2 (trim)", where=where)
    if len(fields) == 6 and not fields[4].isdigit():
        raise ReaderError(f"offset {fields[4]!r} is not a decimal number of bytes", where=where)
    return fields
