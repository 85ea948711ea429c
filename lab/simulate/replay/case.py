"""A case's file, ``case.json``: the pool, the steps with their ops, and what the kernel said after each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import InputError, ReaderError
from lab.model.pool.config import PoolConfig
from lab.readers.json_text import parse_json
from lab.readers.text_file import load_text
from lab.readers.trace_case import THIN

Op = Mapping[str, Any]

MOST_BLOCKS = 1 << 25
"""Data blocks of a pool, or of a device, that are held in memory: 2 TiB of 64 KiB."""

_MOST = 1 << 63


@dataclass(frozen=True, slots=True)
class Start:
    """A pool that is not empty: the dump of it, and the id there of the device that the case calls ``THIN``."""

    dump: Path
    traced_device: int


@dataclass(frozen=True, slots=True)
class Case:
    """A case as its file tells it.  ``config`` is the pool, ``start`` what was in it; None where it was empty."""

    folder: Path
    name: str
    config: PoolConfig
    thin_size_bytes: int
    steps: tuple[Mapping[str, Any], ...]
    start: Start | None = None

    @property
    def where(self) -> str:
        return str(self.folder / "case.json")


_OPS: dict[str, tuple[tuple[str, type], ...]] = {
    "create_thin": (("thin", int),),
    "create_snap": (("thin", int), ("origin", int)),
    "delete": (("thin", int),),
    "discard": (("thin", int), ("offset", int), ("length", int)),
    "write": (("thin", int), ("iolog", str)),
    "flush": (("thin", int),),
    "commit": (),
    "thin_dump": (),
    "thin_check": (),
    "resize_data": (("data_size_bytes", int),),
    "resize_metadata": (("metadata_size_bytes", int),),
    "deactivate": (),
    "activate": (),
}

_OPS_OF_A_TRACE = ("write", "discard", "flush", "commit")
"""What can happen in a case that starts from a thin_dump: it knows the number of one device only."""


def load_case(folder: Path) -> Case:
    """Reads a case's folder.  Raises ReaderError for a folder or file that is not as it should be, and InputError for
    the trace of a disk without a pool."""
    path = folder / "case.json"
    where = str(path)
    if "\0" not in where and not path.exists():
        raise ReaderError("there is no case.json", where=str(folder), remedy="name a case's folder")
    document = parse_json(load_text(path, where), where)
    _refuse_without_pool(document, folder)
    pool = _get(document, "pool", dict, where)
    features = [_typed(feature, "pool feature", str, where) for feature in _get(pool, "features", list, where)]
    try:
        config = PoolConfig.from_sizes(
            _get(pool, "chunk_size_bytes", int, where),
            _get(pool, "data_size_bytes", int, where),
            _get(pool, "metadata_size_bytes", int, where),
            features,
        )
    except InputError as error:
        raise ReaderError(error.message, where=where) from error
    steps = [_typed(step, "step", dict, where) for step in _get(document, "steps", list, where)]
    start = _start(document, folder, where)
    for number, step in enumerate(steps):
        _check_step(step, f"{where}: step {number}")
        if start is not None:
            _check_traced_step(step, f"{where}: step {number}")
    name = document.get("case", folder.name)
    thin_size_bytes = _get(document, "thin_size_bytes", int, where)
    for what, size_bytes in (("data_size_bytes", config.data_blocks * config.chunk_size_bytes),
                             ("thin_size_bytes", thin_size_bytes)):
        if size_bytes > MOST_BLOCKS * config.chunk_size_bytes:
            raise ReaderError(f"{what} is {size_bytes}; at most {MOST_BLOCKS} data blocks are replayed", where=where)
    return Case(folder, str(name), config, thin_size_bytes, tuple(steps), start)


def _refuse_without_pool(document: Any, folder: Path) -> None:
    """The trace of a whole disk is recorded in the same format, with null for its pool."""
    if isinstance(document, dict) and "pool" in document and document["pool"] is None:
        log = next(iter(sorted(folder.glob("*.iolog.gz"))), folder / "NAME.iolog.gz")
        raise InputError("it traces a disk without a pool, so that there is no kernel's count to compare with",
                         where=str(folder / "case.json"), remedy=f"replay one of its I/O logs: `lab replay {log}`")


def _start(document: Any, folder: Path, where: str) -> Start | None:
    """The dump that a case starts from; None for an empty pool."""
    if document.get("initial_thin_dump") is None:
        return None
    name = _get(document, "initial_thin_dump", str, where)
    if "\0" in name:
        raise ReaderError("initial_thin_dump has a NUL character", where=where)
    return Start(folder / name, _get(document, "traced_device", int, where))


def _check_traced_step(step: Mapping[str, Any], where: str) -> None:
    for op in step["ops"]:
        if op["op"] not in _OPS_OF_A_TRACE:
            raise ReaderError(f"op {op['op']!r} in a case that starts from a thin_dump; "
                              f"{', '.join(_OPS_OF_A_TRACE)} expected", where=where)
        if op.get("thin", THIN) != THIN:
            raise ReaderError(f"thin is {op['thin']}; {THIN} expected, the traced device", where=where)


def _check_step(step: Mapping[str, Any], where: str) -> None:
    _get(step, "title", str, where)
    for op in _get(step, "ops", list, where):
        kind = _get(_typed(op, "op", dict, where), "op", str, where)
        if kind not in _OPS:
            raise ReaderError(f"op {kind!r} is unknown; {', '.join(_OPS)} expected", where=where)
        for key, wanted in _OPS[kind]:
            _get(op, key, wanted, where)
        for key in ("commits_during", "failed_indexes"):
            for count in _typed(op.get(key, []), key, list, where):
                _typed(count, key, int, where)
        _typed(op.get("note", ""), "note", str, where)
        if "\0" in op.get("iolog", ""):
            raise ReaderError("iolog has a NUL character", where=where)
    expect = step.get("expect")
    if expect is not None:
        mapped = _get(_typed(expect, "expect", dict, where), "mapped_blocks", dict, where)
        for key in ("used_data_blocks", "used_metadata_blocks"):
            if key not in expect or not isinstance(expect[key], int | None):
                raise ReaderError(f"expect.{key} is {expect.get(key)!r}; a number or null expected", where=where)
        for thin, blocks in mapped.items():
            if not isinstance(blocks, int | str | None):
                raise ReaderError(f"expect.mapped_blocks.{thin} is {blocks!r}; a number expected", where=where)


def _get(document: Any, key: str, wanted: type, where: str) -> Any:
    if not isinstance(document, dict):
        raise ReaderError(f"is {type(document).__name__}; an object expected", where=where)
    if key not in document:
        raise ReaderError(f"{key} is missing", where=where)
    return _typed(document[key], key, wanted, where)


def _typed(value: Any, key: str, wanted: type, where: str) -> Any:
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise ReaderError(f"{key} is {str(value)[:60]!r}; {wanted.__name__} expected", where=where)
    if isinstance(value, int) and not 0 <= value < _MOST:
        raise ReaderError(f"{key} is {str(value)[:60]}; zero to 2^63 - 1 expected", where=where)
    return value
