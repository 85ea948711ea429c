"""A block trace and the boundaries around its phases -> a case in the format of the recorded ground truth.

A case is ``case.json`` (pool, steps with their ops and what the kernel said
after them) and an I/O log of fio's version 3 for each step that wrote.

Other than the recorded ground truth it starts from a pool in use: ``initial_thin_dump``
names the file with its mappings, ``traced_device`` is the id there of the device that the
ops call ``THIN``, ``thin_size_bytes`` its size.  ``pool.features`` are those that a status
shows: never ``skip_block_zeroing``, which moves no count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab.errors import ReaderError
from lab.readers.dmsetup import PoolStatus, ThinStatus, parse_first_status
from lab.readers.pool_block import block_bytes
from lab.units import METADATA_BLOCK_BYTES, SECTOR_BYTES, sectors_to_bytes

INITIAL_DUMP = "thin_dump-begin.xml.gz"
"""The mappings of the whole pool just before the trace."""

_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_WHOLE = re.compile(r"[0-9]{1,15}")

THIN = 0
"""The traced device's number in the case."""


@dataclass(frozen=True)
class Request:
    """One request that was queued.  ``at``: seconds since 1970; ``discard``: a discard, else a write."""

    at: float
    offset_bytes: int
    length_bytes: int
    discard: bool


def parse_requests(text: str, *, name: str = "<blkparse>") -> list[Request]:
    """Queued writes and discards of a trace as ``stop-trace.sh`` prints it.

    The first line is ``marker SECONDS``: the machine's time, since 1970, of a read that was made last of all.  The
    others are blkparse's, in the format ``seconds action rwbs sector bytes``; its seconds count from the first event,
    whenever that was, so it is the last read that tells when each request was made.

    Raises ReaderError, with the line, where one is malformed, and where the marker's line or read is missing.
    """
    lines = text.splitlines()
    try:
        word, marked = lines[0].split()
        marked_at = _seconds(marked)
    except (IndexError, ValueError):
        word, marked_at = "", 0.0
    if word != "marker":
        raise ReaderError("the first line is not `marker SECONDS`", where=f"{name}:1")
    requests: list[Request] = []
    last_read: float | None = None
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        try:
            seconds, action, direction, sector, length = line.split()
            request = Request(_seconds(seconds), _whole(sector) * SECTOR_BYTES, _whole(length), "D" in direction)
        except ValueError:
            raise ReaderError(f"{line[:80]!r} is not `seconds action rwbs sector bytes`",
                              where=f"{name}:{number}") from None
        # Q: queued, once a request; G, I, D, M, ... are its further life
        if action == "Q" and ("W" in direction or request.discard) and request.length_bytes:
            requests.append(request)
        elif action == "Q" and "R" in direction:
            last_read = max(request.at, last_read or 0.0)
    if last_read is None:
        raise ReaderError("holds no read, so that its marker is missing", where=name)
    return sorted((replace(request, at=marked_at + request.at - last_read) for request in requests),
                  key=lambda request: request.at)


def _seconds(text: str) -> float:
    if not _SECONDS.fullmatch(text):
        raise ValueError(text)
    return float(text)


def _whole(text: str) -> int:
    """A number of sectors or bytes; the largest end still fits into 63 bits."""
    if not _WHOLE.fullmatch(text):
        raise ValueError(text)
    return int(text)


def build_case(title: str, requests: Sequence[Request], phases: Sequence[str],
               boundaries: Sequence[Mapping[str, Any]], thin: str | None,
               traced_device: int | None = None,
               chunk_size_bytes: int | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """``case.json`` and the I/O logs by file name.

    ``boundaries`` are one record more than ``phases``, each with its time ``t``: a step holds what was asked of the
    device until the record after its phase was taken, so that its expected counts include all of it.  What was
    asked before the first or after the last record is no step's: ``requests_outside`` counts it.  ``thin`` names the
    traced thin device and ``traced_device`` is its id in the pool; without one, nothing is expected.
    ``chunk_size_bytes`` is what the pool was made with, None if nobody knows.  Raises ReaderError where its status says
    otherwise.
    """
    steps, logs = [], {}
    began = boundaries[0]["t"]
    for number, phase in enumerate(phases, 1):
        ops: list[dict[str, Any]] = []
        batch: list[Request] = []
        inside = [r for r in requests if boundaries[number - 1]["t"] < r.at <= boundaries[number]["t"]]
        for request in [*inside, None]:
            if request is None or request.discard:
                if batch:
                    file = f"{number:02}-{len(ops) + 1:02}-thin{THIN}.iolog"
                    logs[file] = _iolog(batch, began)
                    ops.append({"op": "write", "thin": THIN, "iolog": f"{file}.gz"})
                    batch = []
                if request is not None:
                    ops.append({"op": "discard", "thin": THIN, "offset": request.offset_bytes,
                                "length": request.length_bytes})
            else:
                batch.append(request)
        steps.append({"title": phase, "ops": ops, "expect": _expect(boundaries[number], thin, chunk_size_bytes)})
    outside = sum(not began < r.at <= boundaries[-1]["t"] for r in requests)
    return {"case": title, "initial_thin_dump": INITIAL_DUMP if thin else None, "traced_device": traced_device,
            "thin_size_bytes": _thin_size(boundaries[0], thin),
            "pool": _pool(boundaries[0], chunk_size_bytes) if thin else None,
            "requests_outside": outside, "steps": steps}, logs


def _iolog(requests: Sequence[Request], began: float) -> str:
    device = f"thin{THIN}"
    lines = ["fio version 3 iolog", f"0 {device} add", f"0 {device} open"]
    lines += [f"{round((r.at - began) * 1_000_000)} {device} write {r.offset_bytes} {r.length_bytes}" for r in requests]
    return "\n".join(lines) + "\n"


def _status(boundary: Mapping[str, Any]) -> dict[str, Any]:
    return dict(parse_first_status(boundary["dmsetup"])) if boundary.get("dmsetup") else {}


def _told_pool(boundary: Mapping[str, Any]) -> PoolStatus | None:
    """The pool's status; None where there is none, or it has failed."""
    return next((told for told in _status(boundary).values()
                 if isinstance(told, PoolStatus) and told.total_data_blocks and told.total_metadata_blocks), None)


def _pool(boundary: Mapping[str, Any], chunk_size_bytes: int | None) -> dict[str, Any] | None:
    pool = _told_pool(boundary)
    if pool is None or pool.total_data_blocks is None or pool.total_metadata_blocks is None:
        return None
    features: list[str] = [] if pool.discard in (None, "discard_passdown") else [pool.discard]
    if pool.error_if_no_space:
        features.append("error_if_no_space")
    block = block_bytes(pool.length_sectors, pool.total_data_blocks, chunk_size_bytes)
    return {"chunk_size_bytes": block, "data_size_bytes": sectors_to_bytes(pool.length_sectors),
            "metadata_size_bytes": pool.total_metadata_blocks * METADATA_BLOCK_BYTES, "features": features}


def _thin_size(boundary: Mapping[str, Any], thin: str | None) -> int | None:
    told = None if thin is None else _status(boundary).get(thin)
    return sectors_to_bytes(told.length_sectors) if isinstance(told, ThinStatus) else None


def _expect(boundary: Mapping[str, Any], thin: str | None, chunk_size_bytes: int | None) -> dict[str, Any] | None:
    told, pool = None if thin is None else _status(boundary).get(thin), _told_pool(boundary)
    if told is None or pool is None or pool.total_data_blocks is None:
        return None
    block = block_bytes(pool.length_sectors, pool.total_data_blocks, chunk_size_bytes)
    mapped = told.mapped_sectors if isinstance(told, ThinStatus) else None
    blocks = {} if mapped is None else {str(THIN): sectors_to_bytes(mapped) // block}
    return {"used_data_blocks": pool.used_data_blocks, "used_metadata_blocks": pool.used_metadata_blocks,
            "mapped_blocks": blocks}
