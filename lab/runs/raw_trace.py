"""A cell's raw folder with a block trace -> the case in its folder ``trace``.

Reading is apart from running, so that a mended reader can read old traces again: ``write_case`` is what a run calls
at a cell's end, and what brings the case of an older one up to date.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab.errors import ReaderError
from lab.readers.fio.fields import get_number
from lab.readers.json_text import parse_json
from lab.readers.text_file import load_text
from lab.readers.trace_case import build_case, parse_requests
from lab.runs.raw_told import read_cell

BLKPARSE_FILE = "blkparse.txt.gz"
_MOST_TIME = 1 << 34     # seconds since 1970


@dataclass(frozen=True)
class Traced:
    """What was traced: ``cell.json`` has it as ``trace``.

    ``thin`` names the thin device and ``device_id`` is its id in the pool, both None where a disk was traced;
    the trace counts from the disk's byte ``offset_bytes``.  ``first_phase`` and ``end_phase`` are places in the
    cell's phases: of the first during the trace, and of the first behind it.
    """

    thin: str | None
    device_id: int | None
    offset_bytes: int
    first_phase: int
    end_phase: int


def write_case(folder: Path) -> Path:
    """Write ``case.json`` and the I/O logs of a cell's trace, in place of those that are there.  Returns their folder.

    Raises ReaderError as ``read_raw_trace`` does, before anything is changed.
    """
    case, logs = read_raw_trace(folder)
    place = folder / "trace"
    for old in place.glob("*.iolog.gz"):
        old.unlink()
    for name, log in logs.items():
        with gzip.GzipFile(place / f"{name}.gz", "wb", mtime=0) as file:
            file.write(log.encode())
    (place / "case.json").write_text(json.dumps(case, indent=1) + "\n", "utf-8")
    return place


def read_raw_trace(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The case and its I/O logs by file name, of a cell's raw folder.

    Raises ReaderError where a file is missing or damaged, or does not tell what was traced.
    """
    cell_path = folder / "cell.json"
    cell = _json(load_text(str(cell_path), str(cell_path)), str(cell_path))
    boundaries = list(_records(folder / "boundaries.jsonl.gz"))
    try:
        return _case(folder, cell, boundaries)
    except ReaderError as error:
        if str(folder) in str(error):
            raise
        raise ReaderError(error.message, where=str(folder / "boundaries.jsonl.gz"), remedy=error.remedy) from None
    except RecursionError:
        raise ReaderError("nested too deeply", where=str(cell_path)) from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ReaderError(f"does not tell of a traced cell: {type(error).__name__}: {error}",
                          where=str(cell_path)) from error


def _case(folder: Path, cell: Mapping[str, Any],
          boundaries: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    told = read_cell(folder)
    names = [phase.name for phase in told.phases]
    if len(boundaries) != len(names) + 1:
        raise ReaderError(f"{len(boundaries)} boundary records for {len(names)} phases", where=str(folder))
    traced = _traced(cell)
    first, end = traced.first_phase, traced.end_phase
    if not 0 <= first <= end <= len(names):
        raise ReaderError(f"the trace covers phases {first} to {end} of {len(names)}", where=str(folder / "cell.json"))
    times = [get_number(record, "t", f"{folder / 'boundaries.jsonl.gz'}:{number}")
             for number, record in enumerate(boundaries, 1)]
    if times != sorted(times) or times[-1] >= _MOST_TIME:
        raise ReaderError("the records' times go back, or are no times", where=str(folder / "boundaries.jsonl.gz"))
    during = boundaries[first:end + 1]
    path = folder / "trace" / BLKPARSE_FILE
    requests = [replace(request, offset_bytes=request.offset_bytes - traced.offset_bytes)
                for request in parse_requests(load_text(str(path), str(path)), name=str(path))]
    return build_case(told.cell, requests, names[first:end], during, traced.thin, traced.device_id,
                      told.chunk_size_bytes)


def _traced(cell: Mapping[str, Any]) -> Traced:
    told = cell["trace"]
    for key, kind in (("thin", str | None), ("device_id", int | None), ("offset_bytes", int), ("first_phase", int),
                      ("end_phase", int)):
        if isinstance(told[key], bool) or not isinstance(told[key], kind):
            raise TypeError(f"{key} is {told[key]!r:.60}")
    if not 0 <= told["offset_bytes"] < 1 << 63 or not 0 <= (told["device_id"] or 0) < 1 << 24:
        raise ValueError(f"offset_bytes is {told['offset_bytes']}, device_id {told['device_id']}")
    return Traced(told["thin"], told["device_id"], told["offset_bytes"], told["first_phase"], told["end_phase"])


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """One object a line."""
    for number, line in enumerate(load_text(str(path), str(path)).splitlines(), 1):
        yield _json(line, f"{path}:{number}", line=True)


def _json(text: str, where: str, line: bool = False) -> dict[str, Any]:
    """Raises ReaderError for what is no JSON object."""
    told = parse_json(text, where, line=line)
    if not isinstance(told, dict):
        raise ReaderError(f"is {type(told).__name__}; an object expected", where=where)
    return told
