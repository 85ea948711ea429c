"""A cell's raw folder -> how long the parts of its phases took, the lab's own part included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import ReaderError
from lab.runs.raw_told import Record, ToldCell, checked, read_boundaries, read_cell

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
    if containers < 1:
        raise ReaderError(f"{containers} containers at a time; 1 or more expected", where=str(folder))
    return checked(str(folder), lambda: list(_told(folder, containers)))


def _told(folder: Path, containers: int) -> Iterator[Took]:
    cell = read_cell(folder)
    return _timings(cell, read_boundaries(folder, cell), containers)


def _timings(cell: ToldCell, records: list[Record], containers: int) -> Iterator[Took]:
    running = 0
    for phase, record in zip(cell.phases, records[1:], strict=True):
        kind, seconds, sync = phase.kind, phase.duration_seconds or 0.0, phase.sync_seconds or 0.0
        rest = phase.ended - phase.began - seconds - sync
        spent = record.time("ended") - phase.ended
        if rest < 0 or spent < 0:
            raise ReaderError(f"phase {phase.name!r}: {seconds} s of work and {sync} s of sync from {phase.began} to "
                              f"{phase.ended}, its record until {record.time('ended')}: times overlap",
                              where=record.where)
        yield Took("sync_seconds", sync)
        if kind == "start":
            running = containers
            yield Took("start_seconds", seconds / containers)
            if cell.on_pool:
                yield Took("check_seconds", rest)
        elif kind in ("remove", "remove_image"):
            if running and cell.target == "layer":
                yield Took("remove_seconds", seconds / running)
            running = 0
        elif kind in _IN_A_CONTAINER:
            if not running:
                raise ReaderError(f"phase {phase.name!r} worked in containers, and none was started before",
                                  where=cell.where)
            yield Took("exec_seconds", rest / running)
            if kind == "write" and phase.application_bytes:
                yield Took("write_seconds_per_mib", seconds / (phase.application_bytes / _MIB))
        if not (cell.on_pool and running):
            yield Took("boundary_seconds", spent)
        else:
            yield Took(f"boundary of {running}", spent)
