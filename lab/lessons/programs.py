"""Small programs for a pool: a list of steps, each a tuple, run in the exact model.

``("create", 0)``, ``("write", 0, [3, 5])``, ``("write_whole", 0, [3])``, ``("snapshot", 1, 0)`` (a snapshot 1 of thin
0), ``("discard", 0, [3])``, ``("commit",)``, ``("delete", 1)``.  Numbers in brackets are virtual blocks; ``write``
writes 4 KiB at the start of each, ``write_whole`` all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lab.errors import InputError
from lab.model.pool.thinpool import PoolConfig, ThinPool

Step = tuple[Any, ...]

BLOCK_BYTES = 64 * 1024
"""Data blocks of the programs' pool."""

PAGE_BYTES = 4096


def small_pool(data_blocks: int = 16) -> ThinPool:
    """A pool small enough to be drawn, that fails at once when it is full."""
    return ThinPool(PoolConfig(BLOCK_BYTES, data_blocks, metadata_blocks=1024, error_if_no_space=True))


def run_program(program: Sequence[Step], pool: ThinPool | None = None, *, virtual_blocks: int = 8) -> ThinPool:
    """Runs the steps one after the other; devices have ``virtual_blocks``.  Returns the pool.

    Raises InputError, with the step's number, for a step that is none, and where the pool refuses one.
    """
    pool = small_pool() if pool is None else pool
    for number, step in enumerate(program, 1):
        where = f"step {number}"
        if not isinstance(step, tuple) or not step or not isinstance(step[0], str) or step[0] not in _STEPS:
            raise InputError(f"{step!r} is no step; a tuple that begins with one of {', '.join(_STEPS)} expected",
                             where=where)
        try:
            _STEPS[step[0]](pool, virtual_blocks, *step[1:])
        except InputError as error:
            raise InputError(str(error), where=where) from error
        except TypeError as error:
            raise InputError(f"{step!r} does not fit: {error}", where=where) from error
    return pool


def _create(pool: ThinPool, virtual_blocks: int, device: int) -> None:
    pool.create_thin(device, size_bytes=virtual_blocks * BLOCK_BYTES)


def _write(pool: ThinPool, virtual_blocks: int, device: int, blocks: Sequence[int]) -> None:
    pool.write(device, [block * BLOCK_BYTES for block in blocks], PAGE_BYTES)


def _write_whole(pool: ThinPool, virtual_blocks: int, device: int, blocks: Sequence[int]) -> None:
    pool.write(device, [block * BLOCK_BYTES for block in blocks], BLOCK_BYTES)


def _snapshot(pool: ThinPool, virtual_blocks: int, device: int, origin: int) -> None:
    pool.create_snapshot(device, origin=origin)


def _discard(pool: ThinPool, virtual_blocks: int, device: int, blocks: Sequence[int]) -> None:
    for block in blocks:
        pool.discard(device, block * BLOCK_BYTES, BLOCK_BYTES)


def _commit(pool: ThinPool, virtual_blocks: int) -> None:
    pool.commit()


def _delete(pool: ThinPool, virtual_blocks: int, device: int) -> None:
    pool.delete_thin(device)


_STEPS: dict[str, Callable[..., None]] = {
    "create": _create, "write": _write, "write_whole": _write_whole, "snapshot": _snapshot, "discard": _discard,
    "commit": _commit, "delete": _delete,
}
