"""A cell's raw folder -> how long the parts of its phases took, the lab's own part included."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import ReaderError
from lab.readers.text_file import load_text
from lab.storages.catalogue import find_storage

_MIB = 1024**2
_IN_A_CONTAINER = ("write", "update", "small_files", "delete")


@dataclass(frozen=True, slots=True)
class Took:
    """One observation of one of ``parameters.Timing``'s seconds."""

    name: str
    seconds: float


def read_timings(folder: Path, containers: int) -> list[Took]:
    """What a finished cell of container steps tells; ``containers`` is how many its workload runs at a time.

    Raises ReaderError where a file is missing or damaged, InputError for a storage that is none.
    """
    try:
        texts = [load_text(path, str(path)) for path in (folder / "cell.json", folder / "boundaries.jsonl.gz")]
        told, records = json.loads(texts[0]), [json.loads(line) for line in texts[1].splitlines()]
        mapper = find_storage(str(told["kind"]), where=str(folder / "cell.json")).pool is not None
        return list(_timings(told, records, containers, mapper=mapper))
    except (ReaderError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise ReaderError(f"the cell's times cannot be read: {error!r}", where=str(folder)) from None


def _timings(told: dict[str, object], records: list[dict[str, float]], containers: int, *,
             mapper: bool) -> Iterator[Took]:
    running = 0
    phases = told["phases"]
    assert isinstance(phases, list)
    for phase, record in zip(phases, records[1:], strict=True):
        kind, seconds, sync = phase["kind"], phase["duration_seconds"] or 0.0, phase["sync_seconds"] or 0.0
        rest = phase["ended"] - phase["began"] - seconds - sync
        yield Took("sync_seconds", sync)
        if kind == "start":
            running = containers
            yield Took("start_seconds", seconds / containers)
            if mapper:
                yield Took("check_seconds", rest)
        elif kind in ("remove", "remove_image"):
            if running and told["target"] == "layer":
                yield Took("remove_seconds", seconds / running)
            running = 0
        elif kind in _IN_A_CONTAINER:
            yield Took("exec_seconds", rest / running)
            if kind == "write" and phase["application_bytes"]:
                yield Took("write_seconds_per_mib", seconds / (phase["application_bytes"] / _MIB))
        spent = record["ended"] - phase["ended"]
        if not (mapper and running):
            yield Took("boundary_seconds", spent)
        else:
            yield Took(f"boundary of {running}", spent)
