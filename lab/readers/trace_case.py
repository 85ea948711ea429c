"""A block trace and the boundaries around its phases -> a case in the format of the recorded ground truth.

A case is ``case.json`` (pool, steps with their ops and what the kernel said
after them) and an I/O log of fio's version 3 for each step that wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.errors import ReaderError
from lab.readers.dmsetup import PoolStatus, ThinStatus, parse_status
from lab.units import SECTOR_BYTES, sectors_to_bytes

THIN = 0
"""The traced device's number in the case."""


@dataclass(frozen=True)
class Request:
    """One request that was queued.  ``seconds`` since the trace began; ``discard``: a discard, else a write."""

    seconds: float
    offset_bytes: int
    length_bytes: int
    discard: bool


def parse_requests(text: str, *, name: str = "<blkparse>") -> list[Request]:
    """Queued writes and discards of blkparse's text, in the format ``seconds action rwbs sector bytes``.

    Raises ReaderError, with the line, where one is malformed.
    """
    requests = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            seconds, action, direction, sector, length = fields
            request = Request(float(seconds), int(sector) * SECTOR_BYTES, int(length), "D" in direction)
        except ValueError:
            raise ReaderError(f"{line[:80]!r} is not `seconds action rwbs sector bytes`",
                              where=f"{name}:{number}") from None
        # Q: queued, once a request; G, I, D, M, ... are its further life
        if action == "Q" and ("W" in direction or request.discard) and request.length_bytes:
            requests.append(request)
    return sorted(requests, key=lambda request: request.seconds)


def build_case(title: str, requests: Sequence[Request], began: float, phases: Sequence[Mapping[str, Any]],
               boundaries: Sequence[Mapping[str, Any]], thin: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """``case.json`` and the I/O logs by file name.

    ``began`` is the machine's time when the trace began; each phase has its ``began``
    and ``ended`` on the same clock, and ``boundaries`` one record more than
    ``phases``.  ``thin`` names the traced thin device; without one, nothing is expected.
    """
    steps, logs = [], {}
    for number, phase in enumerate(phases, 1):
        ops: list[dict[str, Any]] = []
        batch: list[Request] = []
        inside = [r for r in requests if phase["began"] <= began + r.seconds <= phase["ended"]]
        for request in [*inside, None]:
            if request is None or request.discard:
                if batch:
                    file = f"{number:02}-{len(ops) + 1:02}-thin{THIN}.iolog"
                    logs[file] = _iolog(batch)
                    ops.append({"op": "write", "thin": THIN, "iolog": f"{file}.gz"})
                    batch = []
                if request is not None:
                    ops.append({"op": "discard", "thin": THIN, "offset": request.offset_bytes,
                                "length": request.length_bytes})
            else:
                batch.append(request)
        steps.append({"title": phase["name"], "ops": ops, "expect": _expect(boundaries[number], thin)})
    return {"case": title, "initial_thin_dump": "thin_dump-begin.xml.gz" if thin else None,
            "pool": _pool(boundaries[0]), "steps": steps}, logs


def _iolog(requests: Sequence[Request]) -> str:
    device = f"thin{THIN}"
    lines = ["fio version 3 iolog", f"0 {device} add", f"0 {device} open"]
    lines += [f"{round(r.seconds * 1000)} {device} write {r.offset_bytes} {r.length_bytes}" for r in requests]
    return "\n".join(lines) + "\n"


def _status(boundary: Mapping[str, Any]) -> dict[str, Any]:
    return dict(parse_status(boundary["dmsetup"])) if boundary.get("dmsetup") else {}


def _pool(boundary: Mapping[str, Any]) -> dict[str, int] | None:
    for told in _status(boundary).values():
        if isinstance(told, PoolStatus) and told.total_data_blocks and told.total_metadata_blocks:
            data_bytes = sectors_to_bytes(told.length_sectors)
            return {"chunk_size_bytes": data_bytes // told.total_data_blocks, "data_size_bytes": data_bytes,
                    "metadata_size_bytes": told.total_metadata_blocks * 4096}
    return None


def _expect(boundary: Mapping[str, Any], thin: str | None) -> dict[str, Any] | None:
    status = _status(boundary)
    pool = next((told for told in status.values() if isinstance(told, PoolStatus)), None)
    if thin is None or pool is None or not pool.total_data_blocks or thin not in status:
        return None
    block_sectors = pool.length_sectors // pool.total_data_blocks
    told = status[thin]
    mapped = told.mapped_sectors if isinstance(told, ThinStatus) else None
    return {"used_data_blocks": pool.used_data_blocks, "used_metadata_blocks": pool.used_metadata_blocks,
            "mapped_blocks": {} if mapped is None else {str(THIN): mapped // block_sectors}}
