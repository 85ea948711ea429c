"""Does a case's ops to a pool, as its recorder did: what overlapped in time overlaps here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.errors import ReaderError
from lab.model.pool.block_layer import discard_requests
from lab.model.pool.thinpool import PoolMode, PoolRefused, ThinPool, WriteResult
from lab.readers.iolog import read_writes
from lab.simulate.replay.case import Case, Op
from lab.simulate.replay.result import StepResult, WriteOutcome
from lab.simulate.replay.start import first_pool
from lab.units import METADATA_BLOCK_BYTES

_BLOCKED = "while its writer was blocked"
_MEANWHILE = "after this discard began"


class Player:
    """Does a case's ops to a pool, as its recorder did."""

    def __init__(self, case: Case, on_dump: Callable[[str, ThinPool], None] | None = None, in_flight: int = 1) -> None:
        self._case = case
        self._in_flight = in_flight
        self._on_dump = on_dump
        self.pool, self._numbers = first_pool(case)
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
        size_bytes = self.pool.thin(device).size_bytes
        offset = min(op["offset"], size_bytes)
        length = min(op["length"], size_bytes - offset)         # blkdiscard(8) ends at the device's end
        *parts, last = discard_requests(offset, length, self.pool.chunk_size_bytes) or [(offset, 0)]
        for offset, length in parts:
            self.pool.discard(device, offset, length)
        if self.pool.discard(device, *last, commit_meanwhile) and commit_meanwhile:
            self.pool.commit()

    def _write(self, op: Op, meanwhile: list[Op]) -> WriteOutcome:
        """The writes of one op, with the commits seen among them.

        A commit seen during a write is the one that the write itself made to find space, if it made one.
        """
        path, device = self._case.folder / op["iolog"], self._device(op)
        offsets, asked = _as_done(*read_writes(path), self._in_flight)
        lengths = self._within(device, offsets, asked)
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
        beyond = np.flatnonzero(lengths < asked)
        if beyond.size:
            outcome.failed = sorted({*outcome.failed, *beyond.tolist()})
            outcome.error = outcome.error or "ENOSPC"
        return WriteOutcome(tuple(outcome.failed), outcome.error)

    def _within(self, device: int, offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """How much of each write lies within the device.

        The kernel writes that part, and ends what is asked of a block device behind its end with ENOSPC
        (``blkdev_write_iter``).
        """
        try:
            size_bytes = self.pool.thin(device).size_bytes
        except PoolRefused as error:
            raise ReaderError(error.message, where=self._case.where) from error
        return np.clip(size_bytes - offsets, 0, lengths)

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
        within = some.start + np.flatnonzero(lengths[some.start : some.stop])   # one of no length does nothing
        start = 0
        while start < within.size:
            # where each has a length, none is copied
            chosen = slice(some.start + start, some.stop) if within.size == len(some) else within[start:]
            result = self._attempt(thin, offsets[chosen], lengths[chosen], path)
            if result.failed.size:
                outcome.failed += within[result.failed + start].tolist()
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
