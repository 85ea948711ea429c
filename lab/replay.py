"""A recorded block trace through the exact model.

A *case* is a folder with ``case.json`` and gzipped fio I/O logs: what was done to a pool, step by step,
and what the kernel said after each.  The recorded ground truth starts from an empty pool; a case that a measured run
traced starts from the thin_dump that lies beside it, and its metadata is not compared.  A bare trace is one fio I/O
log or blkparse text.

One document (``lab replay --json``): ``case``, ``steps``, ``data_blocks_agree``, ``metadata_compared``,
``metadata_error_max_blocks`` (null where metadata is not compared).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.errors import InputError, ReaderError
from lab.model.block_layer import discard_requests
from lab.model.thinpool import PoolConfig, PoolMode, PoolRefused, ThinPool, WriteResult
from lab.readers.iolog import read_writes
from lab.readers.thin_dump import DumpDevice, DumpMapping, DumpSuperblock, write_thin_dump
from lab.readers.trace_case import THIN
from lab.replay_start import pool_from_dump
from lab.units import METADATA_BLOCK_BYTES, SECTOR_BYTES

_BLOCKED = "while its writer was blocked"
_MEANWHILE = "after this discard began"

Op = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """How one ``write`` op ended in the model: indexes of the writes that failed, and their error."""

    failed_indexes: tuple[int, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """The pool after one step, in blocks; ``expect`` is what the kernel said, None where not recorded.

    In a failed pool the kernel shows no numbers: they are None.
    """

    title: str
    used_data_blocks: int | None
    used_metadata_blocks: int | None
    mapped_blocks: dict[str, int | None]
    status: str
    status_before_commit: str
    writes: tuple[WriteOutcome, ...] = ()
    failed_writes: int = 0
    expect: Mapping[str, Any] | None = None
    recorded_ops: tuple[Op, ...] = field(default=(), repr=False)

    @property
    def data_blocks_agree(self) -> bool:
        """Whether used and mapped data blocks are the kernel's, and the writes that failed are those
        that failed there."""
        expect = self.expect
        if expect is None:
            return True
        mapped = {thin: blocks if isinstance(blocks, int) else None for thin, blocks in expect["mapped_blocks"].items()}
        return (
            self.expected_data_blocks == self.used_data_blocks
            and all(self.mapped_blocks.get(thin) == blocks for thin, blocks in mapped.items())
            and self._failures_agree()
        )

    @property
    def expected_data_blocks(self) -> int | None:
        """The kernel's used data blocks; None where it gave no count."""
        return None if self.expect is None else self.expect["used_data_blocks"]

    def _failures_agree(self) -> bool:
        recorded = [op for op in self.recorded_ops if op["op"] == "write"]
        return all(
            tuple(op.get("failed_indexes", ())) == outcome.failed_indexes and op.get("error") == outcome.error
            for op, outcome in zip(recorded, self.writes, strict=True)
        )

    @property
    def metadata_error_blocks(self) -> int | None:
        """Used metadata blocks minus the kernel's; None where either has none."""
        expected = None if self.expect is None else self.expect["used_metadata_blocks"]
        if expected is None or self.used_metadata_blocks is None:
            return None
        return self.used_metadata_blocks - int(expected)

    def document(self) -> dict[str, Any]:
        """As in ``lab replay --json``."""
        document: dict[str, Any] = {
            "title": self.title,
            "used_data_blocks": self.used_data_blocks,
            "used_metadata_blocks": self.used_metadata_blocks,
            "mapped_blocks": self.mapped_blocks,
            "status": self.status,
            "failed_writes": self.failed_writes,
        }
        if self.expect is not None:
            document["expect"] = dict(self.expect)
        return document


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """A case replayed.  ``pool`` is as the last step left it."""

    case: str
    steps: tuple[StepResult, ...]
    pool: ThinPool

    @property
    def data_blocks_agree(self) -> bool:
        """Whether every step agrees."""
        return all(step.data_blocks_agree for step in self.steps)

    @property
    def metadata_compared(self) -> bool:
        """Whether metadata is modelled: in a case that starts from a thin_dump it is not."""
        return self.pool.config.metadata_blocks is not None

    @property
    def metadata_error_max_blocks(self) -> int | None:
        """Largest difference of used metadata blocks at any step, without sign; None where it is not compared."""
        if not self.metadata_compared:
            return None
        return max((abs(error) for step in self.steps if (error := step.metadata_error_blocks) is not None), default=0)

    def document(self) -> dict[str, Any]:
        """The one JSON document."""
        return {
            "case": self.case,
            "steps": [step.document() for step in self.steps],
            "data_blocks_agree": self.data_blocks_agree,
            "metadata_compared": self.metadata_compared,
            "metadata_error_max_blocks": self.metadata_error_max_blocks,
        }


class StepAt(NamedTuple):
    """A step's result and the pool as it is then: the next step changes the pool."""

    result: StepResult
    pool: ThinPool


def replay_case(folder: Path, in_flight: int = 1) -> ReplayResult:
    """Replay a case to its end.  Raises ReaderError for a folder or file that is not as it should be, and InputError
    for the trace of a disk without a pool.

    ``in_flight`` is how many writes the recorder had under way at a time.  The kernel sorts those that wait
    by offset (``sort_cells`` and ``__sort_thin_deferred_bios`` in dm-thin.c), which no log tells.  It moves
    nothing but used metadata: the order in which random blocks are first mapped decides where leaves split.
    For the same blocks that is a standard deviation of 2.4 metadata blocks at 50,000 mappings (of 233 that
    these took), and 7 at 400,000 (of 1,854): no replay comes nearer unless it knows the order.
    """
    case = _load(folder)
    player = _Player(case, in_flight=in_flight)
    return ReplayResult(case.name, tuple(player.play(step) for step in case.steps), player.pool)


def replay_steps(
    folder: Path, on_dump: Callable[[str, ThinPool], None] | None = None, in_flight: int = 1
) -> Iterator[StepAt]:
    """Replay a case step by step.  ``on_dump`` is given the file's name and the pool where the recorder ran
    thin_dump; ``in_flight`` as in ``replay_case``.  Raises ReaderError as ``replay_case`` does."""
    case = _load(folder)
    player = _Player(case, on_dump, in_flight)
    for step in case.steps:
        yield StepAt(player.play(step), player.pool)


# -- the case's file ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Start:
    """A pool that is not empty: the dump of it, and the id there of the device that the case calls ``THIN``."""

    dump: Path
    traced_device: int


@dataclass(frozen=True, slots=True)
class _Case:
    folder: Path
    name: str
    config: PoolConfig
    thin_size_bytes: int
    steps: tuple[Mapping[str, Any], ...]
    start: _Start | None = None

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


def _load(folder: Path) -> _Case:
    path = folder / "case.json"
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ReaderError("there is no case.json", where=str(folder), remedy="name a case's folder") from error
    except OSError as error:
        raise ReaderError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    except json.JSONDecodeError as error:
        raise ReaderError(f"is no JSON: {error.msg}", where=f"{path}:{error.lineno}") from error
    except (ValueError, RecursionError) as error:
        raise ReaderError(f"is no JSON: {error}", where=str(path)) from error
    where = str(path)
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
    return _Case(folder, str(name), config, _get(document, "thin_size_bytes", int, where), tuple(steps), start)


def _refuse_without_pool(document: Any, folder: Path) -> None:
    """The trace of a whole disk is recorded in the same format, with null for its pool."""
    if isinstance(document, dict) and "pool" in document and document["pool"] is None:
        log = next(iter(sorted(folder.glob("*.iolog.gz"))), folder / "NAME.iolog.gz")
        raise InputError("it traces a disk without a pool, so that there is no kernel's count to compare with",
                         where=str(folder / "case.json"), remedy=f"replay one of its I/O logs: `lab replay {log}`")


def _start(document: Any, folder: Path, where: str) -> _Start | None:
    """The dump that a case starts from; None for an empty pool."""
    if document.get("initial_thin_dump") is None:
        return None
    name = _get(document, "initial_thin_dump", str, where)
    if "\0" in name:
        raise ReaderError("initial_thin_dump has a NUL character", where=where)
    return _Start(folder / name, _get(document, "traced_device", int, where))


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
    return value


# -- playing it -----------------------------------------------------------------------------------------


def _first_pool(case: _Case) -> tuple[ThinPool, dict[int, int]]:
    """The pool before the first step, and the ids of devices that are not the case's own numbers for them."""
    if case.start is None:
        return ThinPool(case.config), {}
    traced = case.start.traced_device
    return pool_from_dump(case.start.dump, case.config, traced, case.thin_size_bytes), {THIN: traced}


class _Player:
    """Does a case's ops to a pool, as its recorder did."""

    def __init__(self, case: _Case, on_dump: Callable[[str, ThinPool], None] | None = None, in_flight: int = 1) -> None:
        self._case = case
        self._in_flight = in_flight
        self._on_dump = on_dump
        self.pool, self._numbers = _first_pool(case)
        self._active = True
        self._metadata_blocks: int | None = None
        self._data_blocks: int | None = None

    def play(self, step: Mapping[str, Any]) -> StepResult:
        """One step: its ops, then the status, which commits."""
        outcomes: list[WriteOutcome] = []
        ops: list[Op] = list(step["ops"])
        while ops:
            op = ops.pop(0)
            if op["op"] == "write":
                outcomes.append(self._write(op, _take_blocked(ops)))
            elif op["op"] == "discard" and ops and ops[0]["op"] == "commit" and _MEANWHILE in ops[0].get("note", ""):
                ops.pop(0)
                self._do(op, commit_meanwhile=True)
            else:
                self._do(op)
        pool = self.pool
        status_before = pool.status_line()
        pool.commit()
        failed = pool.mode is PoolMode.FAIL
        return StepResult(
            title=step["title"],
            used_data_blocks=None if failed else pool.used_data_blocks,
            used_metadata_blocks=None if failed else pool.used_metadata_blocks,
            mapped_blocks=self._mapped_blocks(),
            status=pool.status_line(),
            status_before_commit=status_before,
            writes=tuple(outcomes),
            failed_writes=sum(len(outcome.failed_indexes) for outcome in outcomes),
            expect=step.get("expect"),
            recorded_ops=tuple(step["ops"]),
        )

    def _mapped_blocks(self) -> dict[str, int | None]:
        """By the case's numbers; of a pool that was dumped, only the devices that have one."""
        pool = self.pool
        numbers = self._numbers or {number: number for number in pool.thins}
        failed = pool.mode is PoolMode.FAIL
        return {str(number): None if failed else pool.thin(device).mapped_blocks for number, device in numbers.items()}

    def _device(self, op: Op) -> int:
        """The id in the pool of the device that an op names."""
        number: int = op["thin"]
        return self._numbers.get(number, number)

    def _do(self, op: Op, commit_meanwhile: bool = False) -> None:
        pool, kind = self.pool, op["op"]
        try:
            if kind == "create_thin":
                pool.create_thin(op["thin"], self._case.thin_size_bytes)
            elif kind == "create_snap":
                pool.create_snapshot(op["thin"], op["origin"])
            elif kind == "delete":
                pool.delete_thin(op["thin"])
            elif kind == "discard":
                self._discard(op, commit_meanwhile)
            elif kind == "flush":
                pool.flush(self._device(op))
            elif kind == "commit":
                pool.commit()
            elif kind == "thin_dump":
                pool.commit()
                if self._on_dump is not None:
                    self._on_dump(str(op.get("file", "")), pool)
            elif kind == "resize_data":
                self._data_blocks = op["data_size_bytes"] // pool.chunk_size_bytes
                if self._active:
                    pool.resize_data(self._data_blocks)
            elif kind == "resize_metadata":
                self._metadata_blocks = op["metadata_size_bytes"] // METADATA_BLOCK_BYTES
                if self._active:
                    pool.resize_metadata(self._metadata_blocks)
            elif kind == "deactivate":
                pool.commit()
                self._active = False
            elif kind == "activate":
                pool.reactivate(self._data_blocks, self._metadata_blocks)
                self._active = True
        except PoolRefused as error:
            raise ReaderError(f"{kind}: {error.message}", where=self._case.where) from error

    def _discard(self, op: Op, commit_meanwhile: bool) -> None:
        """As blkdiscard(8) asks for it: cut by the block layer, which changes no request that it has cut already.

        A commit meanwhile comes with the last part.
        """
        device = self._device(op)
        *parts, last = discard_requests(op["offset"], op["length"], self.pool.chunk_size_bytes) or [(op["offset"], 0)]
        for offset, length in parts:
            self.pool.discard(device, offset, length)
        if self.pool.discard(device, *last, commit_meanwhile) and commit_meanwhile:
            self.pool.commit()

    def _write(self, op: Op, meanwhile: list[Op]) -> WriteOutcome:
        """The writes of one op, with the commits seen among them.

        A commit seen during a write is the one that the write itself made to find space, if it made one.
        """
        path, device = self._case.folder / op["iolog"], self._device(op)
        offsets, lengths = _as_done(*read_writes(path), self._in_flight)
        outcome = _Outcome()
        done = 0
        for count in sorted({count for count in op.get("commits_during", ()) if 0 < count <= offsets.size}):
            self._write_some(device, path, offsets, lengths, range(done, count - 1), meanwhile, outcome)
            commits = self.pool.counters.commits
            self._write_some(device, path, offsets, lengths, range(count - 1, count), meanwhile, outcome)
            if self.pool.counters.commits == commits:
                self.pool.commit()
            done = count
        self._write_some(device, path, offsets, lengths, range(done, offsets.size), meanwhile, outcome)
        while meanwhile:
            self._do(meanwhile.pop(0))
        return WriteOutcome(tuple(outcome.failed), outcome.error)

    def _write_some(
        self,
        thin: int,
        path: Path,
        offsets: NDArray[np.int64],
        lengths: NDArray[np.int64],
        some: range,
        meanwhile: list[Op],
        outcome: _Outcome,
    ) -> None:
        start = some.start
        while start < some.stop:
            result = self._attempt(thin, offsets[start : some.stop], lengths[start : some.stop], path)
            if result.failed.size:
                outcome.failed += (result.failed + start).tolist()
                outcome.error = result.error
            start += result.done
            if result.waits:
                self._wait(meanwhile)

    def _attempt(self, thin: int, offsets: NDArray[np.int64], lengths: NDArray[np.int64], path: Path) -> WriteResult:
        try:
            return self.pool.write(thin, offsets, lengths)
        except PoolRefused as error:
            raise ReaderError(error.message, where=str(path)) from error

    def _wait(self, meanwhile: list[Op]) -> None:
        """Time passes for a writer that waits.

        The first op done meanwhile is committed at once, as the first change after a quiet second is; the
        others come before the next commit.  When nothing more is done, no_space_timeout passes.
        """
        if meanwhile:
            first = meanwhile.pop(0)
            self._do(first, commit_meanwhile=True)
            if first["op"] != "discard":
                self.pool.commit()
            while meanwhile:
                self._do(meanwhile.pop(0))
            return
        self.pool.commit()
        if self.pool.mode is PoolMode.OUT_OF_DATA_SPACE:
            self.pool.expire_no_space()


@dataclass(slots=True)
class _Outcome:
    failed: list[int] = field(default_factory=list)
    error: str | None = None


def _as_done(
    offsets: NDArray[np.int64], lengths: NDArray[np.int64], in_flight: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Writes in the order in which the kernel does them, so many at a time."""
    if in_flight <= 1:
        return offsets, lengths
    order = np.lexsort((offsets, np.arange(offsets.size) // in_flight))
    return offsets[order], lengths[order]


def _take_blocked(ops: list[Op]) -> list[Op]:
    """The ops at the front that were done while the writer before them was blocked."""
    taken: list[Op] = []
    while ops and _BLOCKED in ops[0].get("note", ""):
        taken.append(ops.pop(0))
    return taken


# -- mappings as XML ------------------------------------------------------------------------------------


def pool_dump(pool: ThinPool) -> tuple[DumpSuperblock, Iterator[tuple[DumpDevice, Iterator[DumpMapping]]]]:
    """A pool's mappings as ``lab.readers.thin_dump.write_thin_dump`` takes them."""
    superblock = DumpSuperblock(
        uuid="",
        time=pool.time,
        transaction=pool.transaction_id,
        data_block_sectors=pool.chunk_size_bytes // SECTOR_BYTES,
        data_blocks=pool.data_blocks,
    )
    return superblock, (_device_dump(pool, device_id) for device_id in sorted(pool.thins))


def _device_dump(pool: ThinPool, device_id: int) -> tuple[DumpDevice, Iterator[DumpMapping]]:
    thin = pool.thin(device_id)
    device = DumpDevice(device_id, thin.mapped_blocks, thin.transaction_id, thin.created_at, thin.snapshot_time)
    runs = pool.mappings(device_id)
    return device, (DumpMapping(device_id, virtual, data, length, time) for virtual, data, length, time in runs)


def save_pool_dump(pool: ThinPool, path: Path) -> None:
    """Write a pool's mappings as XML for thin_restore.  Raises InputError if the file cannot be written."""
    try:
        with path.open("w", encoding="ascii") as file:
            write_thin_dump(file, *pool_dump(pool))
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", where=str(path)) from error
