"""What a cell's raw folder tells, checked: the machine that gave it is not trusted, and nor is who passed it on.

Every number is finite and of a size that can be, every name is text, and times go forward; else it is a ReaderError
that names file and line.  What is left is typed, so that its readers need no second look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from lab.errors import ReaderError
from lab.readers.fio.fields import get_count, get_field, get_number
from lab.readers.json_text import parse_json
from lab.readers.text_file import load_text
from lab.storages.catalogue import find_storage
from lab.units import CHUNK_MAX_BYTES, CHUNK_STEP_BYTES

MOST_BYTES = 256 << 20
"""Of a file with records, unzipped: hours of samples of many containers."""

_MOST_TIME = 1 << 34            # seconds since 1970: the year 2514
_MOST_SECONDS = 30 * 86400.0    # of a phase
_SLACK_SECONDS = 1.0            # between times that are one after the other: a clock may be set right
_MOST_NAME = 1000
_NOT_WHOLE = "the cell's raw output is damaged or not the lab's: run it again with --resume"

Values = Mapping[str, Any]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ToldPhase:
    """A phase as ``cell.json`` has it.  Times are the machine's, seconds since 1970."""

    name: str
    kind: str
    began: float
    ended: float
    duration_seconds: float | None
    sync_seconds: float | None
    application_bytes: int | None
    fio_file: str | None


@dataclass(frozen=True, slots=True)
class ToldCell:
    """``cell.json``."""

    where: str
    cell: str
    storage: str
    kind: str
    target: str
    workload: str
    chunk_size_bytes: int | None
    phases: tuple[ToldPhase, ...]

    @property
    def on_pool(self) -> bool:
        return find_storage(self.kind).pool is not None


@dataclass(frozen=True, slots=True)
class Record:
    """One line of boundaries or samples: an object with a time ``t``, and where it stands."""

    where: str
    t: float
    values: Values

    def number(self, key: str) -> float:
        """A number of 0 or more.  Raises ReaderError where there is none."""
        return get_number(self.values, key, self.where)

    def time(self, key: str) -> float:
        """A time of the machine.  Raises ReaderError where there is none."""
        return _time(self.values, key, self.where)

    def text(self, key: str) -> str:
        """Raises ReaderError where it is missing or no text."""
        return str(get_field(self.values, key, str, self.where))

    def objects(self, key: str) -> dict[str, Any]:
        """An object's fields; none where the key is missing.  Raises ReaderError for anything else."""
        told = self.values.get(key, {})
        if not isinstance(told, dict):
            raise ReaderError(f"{key!r} is {told!r:.60}, not an object", where=self.where)
        return told


def read_cell(folder: Path) -> ToldCell:
    """``cell.json`` of a raw folder.

    Raises ReaderError where it is missing, damaged, or tells what cannot be, InputError for a storage that is none.
    """
    path = folder / "cell.json"
    where = str(path)
    told = _told(parse_json(load_text(path, where, MOST_BYTES), where, remedy=_NOT_WHOLE), where)
    kind = get_field(told, "kind", str, where)
    pool = find_storage(kind, where=where).pool
    cell, storage, target, workload = (_name(told, key, where) for key in ("cell", "storage", "target", "workload"))
    if cell != f"{storage}.{target}.{workload}":
        raise ReaderError(f"the cell {cell!r} is not that of storage {storage!r}, target {target!r} and workload "
                          f"{workload!r}", where=where, remedy=_NOT_WHOLE)
    chunk = None if told.get("chunk_size_bytes") is None else get_count(told, "chunk_size_bytes", where)
    if chunk is not None and (pool is None or chunk % CHUNK_STEP_BYTES
                              or not CHUNK_STEP_BYTES <= chunk <= CHUNK_MAX_BYTES):
        raise ReaderError(f"chunk_size_bytes is {chunk} on {kind}; a pool's is 64 KiB to 1 GiB in steps of 64 KiB, and "
                          "others have none", where=where, remedy=_NOT_WHOLE)
    phases = tuple(_phase(item, f"{where}: phase {number}")
                   for number, item in enumerate(get_field(told, "phases", list, where), 1))
    for before, after in pairwise(phases):
        if after.began < before.ended - _SLACK_SECONDS:
            raise ReaderError(f"phase {after.name!r} began before {before.name!r} had ended", where=where,
                              remedy=_NOT_WHOLE)
    for what, names in (("name", [phase.name for phase in phases]),
                        ("fio_file", [phase.fio_file for phase in phases if phase.fio_file is not None])):
        if len(set(names)) < len(names):
            raise ReaderError(f"two phases have the same {what}", where=where, remedy=_NOT_WHOLE)
    return ToldCell(where, cell, storage, kind, target, workload, chunk, phases)


def read_boundaries(folder: Path, cell: ToldCell) -> list[Record]:
    """The records around the cell's phases, one more than there are phases.

    Raises ReaderError where the file is missing or damaged, or they are not the phases' own.
    """
    path = folder / "boundaries.jsonl.gz"
    records = _records(path, may_be_cut=False)
    if len(records) != len(cell.phases) + 1:
        raise ReaderError(f"{len(records)} boundary records for {len(cell.phases)} phases", where=str(folder))
    for record, phase in zip(records[1:], cell.phases, strict=True):
        if (name := record.values.get("phase", phase.name)) != phase.name:
            raise ReaderError(f"the record is of phase {name!r:.60}, {phase.name!r} expected", where=record.where,
                              remedy=_NOT_WHOLE)
    for before, phase, after in zip(records, cell.phases, records[1:], strict=False):
        if not before.t - _SLACK_SECONDS <= phase.began <= phase.ended <= after.t + _SLACK_SECONDS:
            raise ReaderError(f"phase {phase.name!r}, from {phase.began} to {phase.ended}, is not between its boundary "
                              f"records, taken at {before.t} and {after.t}", where=after.where, remedy=_NOT_WHOLE)
    return records


def read_samples(folder: Path) -> list[Record]:
    """The sampler's records.  The last one may be cut off: the sampler was ended while it wrote.

    Raises ReaderError where the file is missing or damaged, or time goes back in it.
    """
    records = _records(folder / "samples.jsonl.gz", may_be_cut=True)
    for before, after in pairwise(records):
        for what, told in (("t", (before.t, after.t)), ("cpu", (before.number("cpu"), after.number("cpu")))):
            if told[1] < told[0] or (what == "t" and told[1] == told[0]):
                raise ReaderError(f"{what} is {told[1]} after {told[0]} in the line before; it only rises",
                                  where=after.where, remedy=_NOT_WHOLE)
    return records


def checked(where: str, read: Callable[[], _T]) -> _T:
    """What ``read`` gives.  Its ReaderErrors get a remedy, and one is raised for values that nest too deeply."""
    try:
        return read()
    except ReaderError as error:
        error.remedy = error.remedy or _NOT_WHOLE
        raise
    except RecursionError:
        raise ReaderError("nested too deeply", where=where, remedy=_NOT_WHOLE) from None


def _records(path: Path, *, may_be_cut: bool) -> list[Record]:
    lines = load_text(path, str(path), MOST_BYTES).split("\n")
    last = lines.pop()              # what stands behind the last line feed
    records = [_record(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]
    if last and not may_be_cut:
        raise ReaderError("the last line is cut off: it has no line feed", where=f"{path}:{len(lines) + 1}",
                          remedy=_NOT_WHOLE)
    return records


def _record(line: str, where: str) -> Record:
    try:
        told = _told(parse_json(line, where, line=True, remedy=_NOT_WHOLE), where)
    except ReaderError as error:
        raise ReaderError(f"damaged line: {error.message.removeprefix(f'{where}: ')}", where=where,
                          remedy=_NOT_WHOLE) from None
    return Record(where, _time(told, "t", where), told)


def _told(told: Any, where: str) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise ReaderError(f"is {type(told).__name__}; an object expected", where=where, remedy=_NOT_WHOLE)
    return told


def _phase(item: Any, where: str) -> ToldPhase:
    told = _told(item, where)
    name = _name(told, "name", where)
    began, ended = _time(told, "began", where), _time(told, "ended", where)
    if not began <= ended <= began + _MOST_SECONDS:
        raise ReaderError(f"began at {began} and ended at {ended}: not one after the other, or more than 30 days",
                          where=where, remedy=_NOT_WHOLE)
    fio_file = None if told.get("fio_file") is None else get_field(told, "fio_file", str, where)
    if fio_file is not None and fio_file != f"fio-{name}.json":
        raise ReaderError(f"fio_file is {fio_file!r:.60}; 'fio-{name}.json' expected", where=where, remedy=_NOT_WHOLE)
    phase = ToldPhase(name, _name(told, "kind", where), began, ended, _seconds(told, "duration_seconds", where),
                      _seconds(told, "sync_seconds", where),
                      None if told.get("application_bytes") is None else get_count(told, "application_bytes", where),
                      fio_file)
    spent = (phase.duration_seconds or 0.0) + (phase.sync_seconds or 0.0)
    if spent > 1.1 * (ended - began) + _SLACK_SECONDS:
        raise ReaderError(f"{spent} s of work and sync in a phase of {ended - began} s", where=where, remedy=_NOT_WHOLE)
    if "/" in name and fio_file is not None:
        raise ReaderError(f"{fio_file!r:.60} is no name of a file", where=where, remedy=_NOT_WHOLE)
    return phase


def _seconds(told: Values, key: str, where: str) -> float | None:
    if told.get(key) is None:
        return None
    seconds = get_number(told, key, where)
    if seconds > _MOST_SECONDS:
        raise ReaderError(f"{key} is {seconds}: more than 30 days", where=where, remedy=_NOT_WHOLE)
    return seconds


def _time(told: Values, key: str, where: str) -> float:
    time = get_number(told, key, where)
    if time >= _MOST_TIME:
        raise ReaderError(f"{key} is {time}: no time of a machine", where=where, remedy=_NOT_WHOLE)
    return time


def _name(told: Values, key: str, where: str) -> str:
    name = str(get_field(told, key, str, where))
    if not name or len(name) > _MOST_NAME or not name.isprintable():
        raise ReaderError(f"{key!r} is {name!r:.60}, no name", where=where, remedy=_NOT_WHOLE)
    return name
