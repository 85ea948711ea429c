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
from lab.readers.dmsetup import PoolStatus, ThinStatus, parse_status, parse_status_targets
from lab.readers.text_file import load_text
from lab.readers.thin_dump import ThinDump, read_thin_dump
from lab.readers.trace_case import INITIAL_DUMP, Request, build_case, parse_requests
from lab.readers.trace_delay import trace_delay
from lab.units import sectors_to_bytes

BLKPARSE_FILE = "blkparse.txt.gz"
_REMOVALS = ("remove", "remove_image")


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
    (place / "case.json").write_text(json.dumps(case, indent=1) + "\n")
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
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReaderError(f"does not tell of a traced cell: {type(error).__name__}: {error}",
                          where=str(cell_path)) from error


def _case(folder: Path, cell: Mapping[str, Any],
          boundaries: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    names = [str(phase["name"]) for phase in cell["phases"]]
    if len(boundaries) != len(names) + 1:
        raise ReaderError(f"{len(boundaries)} boundary records for {len(names)} phases", where=str(folder))
    traced = _traced(folder, cell, boundaries)
    first, end = traced.first_phase, traced.end_phase
    if not 0 <= first <= end <= len(names):
        raise ReaderError(f"the trace covers phases {first} to {end} of {len(names)}", where=str(folder / "cell.json"))
    during = boundaries[first:end + 1]
    path = folder / "trace" / BLKPARSE_FILE
    requests = [replace(request, offset_bytes=request.offset_bytes - traced.offset_bytes)
                for request in parse_requests(load_text(str(path), str(path)), during[0]["t"], name=str(path))]
    if traced.thin is None:
        return build_case(str(cell["cell"]), requests, names[first:end], during, None)
    dump = read_thin_dump(folder / "trace" / INITIAL_DUMP)
    device_id = _newest_device(dump, folder) if traced.device_id is None else traced.device_id
    samples = [sample for sample in _records(folder / "samples.jsonl.gz", cut_off=True)
               if during[0]["t"] <= sample["t"] <= during[-1]["t"]]
    delay = _delay(requests, dump, device_id, _seen(traced.thin, [*during, *samples]))
    requests = [replace(request, at=request.at + delay) for request in requests]
    case, logs = build_case(str(cell["cell"]), requests, names[first:end], during, traced.thin, device_id)
    _tell_of_others(case, requests, during, samples)
    return {**case, "delay_seconds": round(delay, 3)}, logs


def _tell_of_others(case: Mapping[str, Any], requests: Sequence[Request], during: Sequence[Mapping[str, Any]],
                    samples: Sequence[Mapping[str, Any]]) -> None:
    """Add ``other_data_blocks`` to what the steps expect: data blocks that other devices have taken since the trace
    began, which no trace of one device holds.

    Where the daemon is asked for sizes, behind a boundary's status, it mounts the layer below the container's, and the
    file system there writes.  What the pool's use has grown by from such a status to the last sample before the traced
    device's next request is the others'; what they take while it makes requests cannot be told apart.
    """
    others = 0
    for step, boundary, following in zip(case["steps"], during[1:], [*during[2:], None], strict=True):
        if step["expect"] is None:
            continue
        step["expect"]["other_data_blocks"] = others
        if following is None or "daemon" not in boundary:
            continue
        idle_until = min([following["t"], *(request.at for request in requests if request.at > boundary["t"])])
        used = [_used(record) for record in (boundary, *samples) if boundary["t"] <= record["t"] < idle_until]
        if used[0] is not None and used[-1] is not None:
            others += max(0, used[-1] - used[0])


def _used(record: Mapping[str, Any]) -> int | None:
    """The pool's used data blocks; None where the sampler saw no pool, or a failed one."""
    told = [status for targets in parse_status_targets(record.get("dmsetup", "")).values() for status in targets
            if isinstance(status, PoolStatus)]
    return told[0].used_data_blocks if told else None


def _delay(requests: Sequence[Request], dump: ThinDump, device_id: int, seen: Sequence[tuple[float, int]]) -> float:
    """See ``trace_delay``; ``seen`` has sectors.  0 for a device that the dump does not hold."""
    if device_id not in dump.thins:
        return 0.0
    chunk_sectors = dump.superblock.data_block_sectors
    return trace_delay(requests, dump.thins[device_id].virtual_blocks, sectors_to_bytes(chunk_sectors),
                       [(at, sectors // chunk_sectors) for at, sectors in seen])


def _seen(thin: str, records: Sequence[Mapping[str, Any]]) -> list[tuple[float, int]]:
    """Times and mapped sectors of a thin device, as records of the sampler have them."""
    found = []
    for record in records:
        told = parse_status_targets(record.get("dmsetup", "")).get(thin, ())
        if told and isinstance(told[0], ThinStatus) and told[0].mapped_sectors is not None:
            found.append((float(record["t"]), told[0].mapped_sectors))
    return found


def _traced(folder: Path, cell: Mapping[str, Any], boundaries: Sequence[Mapping[str, Any]]) -> Traced:
    """As ``cell.json`` says.  In those that do not say it yet, the trace went from behind the start to the first
    removal, and the container's device is the only thin device then."""
    told = cell.get("trace")
    if told is not None:
        return Traced(told["thin"], told["device_id"], told["offset_bytes"], told["first_phase"], told["end_phase"])
    if not (folder / "trace" / INITIAL_DUMP).exists():
        raise ReaderError("a disk was traced, and it is not told from which byte on its trace counts",
                          where=str(folder / "cell.json"), remedy="leave its case as it is")
    kinds = [str(phase["kind"]) for phase in cell["phases"]]
    first = kinds.index("start") + 1
    end = next((number for number, kind in enumerate(kinds) if kind in _REMOVALS), len(kinds))
    thins = [name for name, status in parse_status(boundaries[first]["dmsetup"]).items()
             if isinstance(status, ThinStatus)]
    if len(thins) != 1:
        raise ReaderError(f"there were {len(thins)} thin devices, and it is not told which of them was traced",
                          where=str(folder / "cell.json"))
    return Traced(thins[0], None, 0, first, end)


def _newest_device(dump: ThinDump, folder: Path) -> int:
    """The largest id of a dump, for want of the device's table: Docker numbers its devices as it makes them, so that
    this is the last container's own."""
    if not dump.thins:
        raise ReaderError("holds no device", where=str(folder / "trace" / INITIAL_DUMP))
    return max(dump.thins)


def _records(path: Path, cut_off: bool = False) -> Iterator[dict[str, Any]]:
    """One object a line.  ``cut_off``: the last line may be, as when the sampler was ended while it wrote it."""
    lines = load_text(str(path), str(path)).splitlines()
    for number, line in enumerate(lines, 1):
        try:
            yield _json(line, f"{path}:{number}")
        except ReaderError:
            if not (cut_off and number == len(lines)):
                raise


def _json(text: str, where: str) -> dict[str, Any]:
    """Raises ReaderError for what is no JSON object."""
    try:
        told = json.loads(text)
    except ValueError as error:
        raise ReaderError(f"is no JSON: {error}", where=where) from None
    if not isinstance(told, dict):
        raise ReaderError(f"is {type(told).__name__}; an object expected", where=where)
    return told
