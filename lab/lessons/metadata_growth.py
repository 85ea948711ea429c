"""Lesson 9: metadata of a thin pool: what it needs by two rules, by the exact model, and what fills first.

Blocks of data are data blocks, of metadata 4 KiB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab.analysis import stats
from lab.analysis.facts import storages_of
from lab.lessons.intervals import indexed, interval_text
from lab.model.drivers.loop_lvm import LOOP_METADATA_BYTES
from lab.model.metadata.metadata import kernel_rule_bytes, reserve_blocks, tool_rule_bytes
from lab.model.pool.thinpool import PoolConfig, PoolMode, ThinPool
from lab.model.pool.volume_group import VolumeGroup
from lab.runs.store import Run
from lab.simulate.replay import replay_case
from lab.text import MIB
from lab.units import METADATA_BLOCK_BYTES

CHUNK_BYTES = 64 * 1024
PAGE_BYTES = 4096
Order = Literal["sequential", "random"]
ORDERS: tuple[Order, ...] = ("sequential", "random")

_ROOM = 2048
"""Metadata blocks that a pool has more of than it can need, where it shall not run out."""


def needed_blocks(data_blocks: int, order: Order, seed: int = 0) -> int:
    """Metadata blocks that one device needs which fills a pool, in the exact model; without the reserve."""
    pool = _roomy(data_blocks)
    pool.create_thin(0, size_bytes=data_blocks * CHUNK_BYTES)
    _map(pool, 0, _order(data_blocks, order, seed))
    return _live(pool)


def by_size(sizes: Sequence[int], seed: int) -> pd.DataFrame:
    """A row a pool of so many data blocks that one device fills: the metadata that it needs, and by two rules; MiB."""
    rows = [(size, *(needed_blocks(size, order, seed) * METADATA_BLOCK_BYTES / MIB for order in ORDERS),
             *_rules_mib(size, 1)) for size in sizes]
    return indexed(rows, ["data blocks", "sequential", "random", "thin_metadata_size", "kernel's rule"])


def _rules_mib(data_blocks: int, thins: int) -> tuple[float, float]:
    data_bytes = data_blocks * CHUNK_BYTES
    return (tool_rule_bytes(data_bytes, CHUNK_BYTES, thins) / MIB, kernel_rule_bytes(data_bytes, CHUNK_BYTES) / MIB)


def by_containers(data_blocks: int, image_blocks: int, writes: int, counts: Sequence[int], seed: int) -> pd.DataFrame:
    """A row a number of containers of one image, each a snapshot with so many random writes: what is needed, MiB.

    ``data`` and ``metadata`` are what the pool holds, beside both rules; metadata without the reserve.  Counts rise.
    """
    pool, draw = _roomy(data_blocks, per_block=1), np.random.default_rng(seed)
    _image(pool, image_blocks)
    rows: list[tuple[int, float, float, float, float]] = []
    made = 0
    for count in counts:
        while made < count:
            made += 1
            _container(pool, made, image_blocks, writes, draw)
        rows.append((count, pool.used_data_blocks * CHUNK_BYTES / MIB, _live(pool) * METADATA_BLOCK_BYTES / MIB,
                     *_rules_mib(data_blocks, count + 1)))
    return indexed(rows, ["containers", "data", "metadata", "thin_metadata_size", "kernel's rule"])


@dataclass(frozen=True)
class Filling:
    """A pool that containers fill until it takes no more.  ``rows``: ``containers``, ``data`` and ``metadata``, shares.

    ``held``: containers whose writes all ended well.  ``status``: the pool's line of ``dmsetup status`` at the end.
    """

    rows: pd.DataFrame
    held: int
    status: str
    mode: PoolMode

    @property
    def filled(self) -> str:
        """What was full first: ``metadata``, ``data``, or ``nothing``."""
        if self.mode in (PoolMode.OUT_OF_METADATA_SPACE, PoolMode.FAIL, PoolMode.READ_ONLY):
            return "metadata"
        return "data" if self.mode is PoolMode.OUT_OF_DATA_SPACE else "nothing"


def fill(data_blocks: int, metadata_bytes: int, image_blocks: int, writes: int, seed: int, *,
         most: int = 100_000) -> Filling:
    """Containers of one image, each a snapshot with so many random writes, until the pool takes no more.

    The metadata's share counts the reserve as used, as the kernel shows it.  Raises InputError for metadata too small
    for an empty pool, and ValueError for no writes, which would never fill it.
    """
    if writes < 1:
        raise ValueError(f"writes is {writes}; at least 1 expected")
    pool = ThinPool(PoolConfig(CHUNK_BYTES, data_blocks, metadata_bytes // METADATA_BLOCK_BYTES,
                               skip_block_zeroing=True, error_if_no_space=True))
    draw = np.random.default_rng(seed)
    rows: list[tuple[int, float, float]] = []
    held = 0
    fine = _image(pool, image_blocks)
    rows.append((0, *_shares(pool)))
    while fine and pool.mode is PoolMode.WRITE and held < most:
        fine = _container(pool, held + 1, image_blocks, writes, draw)
        rows.append((held + 1, *_shares(pool)))
        held += fine
    table = pd.DataFrame(rows, columns=["containers", "data", "metadata"])
    return Filling(table, held, pool.status_line(), pool.mode)


def _shares(pool: ThinPool) -> tuple[float, float]:
    metadata = pool.metadata
    assert metadata is not None
    return pool.used_data_blocks / pool.data_blocks, metadata.used_blocks / metadata.total_blocks


def _image(pool: ThinPool, image_blocks: int) -> bool:
    """A device that holds an image, written in order; whether that ended well."""
    pool.create_thin(0, size_bytes=image_blocks * CHUNK_BYTES)
    return _map(pool, 0, np.arange(image_blocks, dtype=np.int64))


def _container(pool: ThinPool, number: int, image_blocks: int, writes: int, draw: np.random.Generator) -> bool:
    """A snapshot of the image with random writes; whether all ended well."""
    pool.create_snapshot(number, origin=0)
    if number not in pool.thins:
        return False
    return _map(pool, number, draw.choice(image_blocks, min(writes, image_blocks), replace=False).astype(np.int64))


def _map(pool: ThinPool, device: int, blocks: NDArray[np.int64]) -> bool:
    """Writes a page at the start of each block, in that order, and commits; whether all ended well."""
    result = pool.write(device, blocks * CHUNK_BYTES, PAGE_BYTES)
    pool.commit()
    return not result.failed.size and not result.waits


def _order(data_blocks: int, order: Order, seed: int) -> NDArray[np.int64]:
    if order == "sequential":
        return np.arange(data_blocks, dtype=np.int64)
    return np.random.default_rng(seed).permutation(data_blocks).astype(np.int64)


def _roomy(data_blocks: int, per_block: int = 0) -> ThinPool:
    """A pool whose metadata does not run out in these lessons."""
    metadata_blocks = data_blocks // 64 + _ROOM + per_block * data_blocks
    return ThinPool(PoolConfig(CHUNK_BYTES, data_blocks, metadata_blocks, skip_block_zeroing=True))


def _live(pool: ThinPool) -> int:
    assert pool.metadata is not None
    return pool.metadata.live_blocks


# -- what was recorded and measured ------------------------------------------------------------------------------


def recorded(case: Path) -> pd.DataFrame:
    """A recorded case, step by step: mapped blocks, the kernel's used metadata blocks, and the exact model's.

    NaN where the pool had failed and shows no counts.  Raises ReaderError as ``replay_case`` does.
    """
    rows = []
    for step in replay_case(case).steps:
        expect = step.expect or {}
        rows.append((step.title, expect.get("used_data_blocks"), expect.get("used_metadata_blocks"),
                     step.used_metadata_blocks, expect.get("status", "")))
    table = pd.DataFrame(rows, columns=["step", "data blocks", "kernel", "model", "status"])
    return table.astype({"data blocks": float, "kernel": float, "model": float})


def until_failed(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``recorded`` before the first in which the kernel shows no counts any more."""
    lost = table["kernel"].isna().to_numpy()
    return table.iloc[: int(lost.argmax())] if lost.any() else table


def measured(run: Run) -> pd.DataFrame:
    """A row a pool of the run: the most that its data and its metadata were used, in % of what there is.

    Medians over the whole repetitions; the metadata's count holds the reserve, of which ``reserve, %`` tells the share.
    """
    samples = stats.prepare(run.samples)
    rows = []
    for label, cell in storages_of(run.manifest).items():
        own = _whole(samples[samples["label"] == label])
        total = _metadata_bytes(cell.storage, cell.options, run.manifest.machine.pool_disk_bytes)
        if total is None or own[own["metric"] == "pool_metadata_used"].empty:
            continue
        used = own[own["metric"] == "pool_metadata_used"].groupby("repetition")["value"].max()
        data = own[own["metric"] == "storage_used"].groupby("repetition")["value"].max()
        whole = own[own["metric"] == "pool_data_total"].groupby("repetition")["value"].max()
        blocks = total // METADATA_BLOCK_BYTES
        rows.append((label, interval_text(stats.median_interval((100 * data / whole).dropna().tolist())),
                     interval_text(stats.median_interval((100 * used / total).tolist())),
                     100 * reserve_blocks(blocks) / blocks, total / MIB))
    return indexed(rows, ["storage", "data at most, %", "metadata at most, %", "of it reserve, %", "metadata, MiB"])


def _whole(own: pd.DataFrame) -> pd.DataFrame:
    """The rows of repetitions in which as many cells were done as in any: of fewer cells, the most is no such thing."""
    cells = own.groupby("repetition")["cell"].nunique()
    return own[own["repetition"].isin(list(cells[cells == cells.max()].index))]


def _metadata_bytes(storage: str, options: dict[str, str | int | float | bool | None],
                    disk_bytes: int) -> int | None:
    """The metadata device's size as the model sets it up; None without a pool."""
    if storage == "loop-lvm":
        return LOOP_METADATA_BYTES
    data, metadata = options.get("data_percent"), options.get("metadata_percent")
    if not storage.startswith("direct-lvm") or not isinstance(data, int) or not isinstance(metadata, int):
        return None
    return VolumeGroup.on_disk(disk_bytes, data, metadata).metadata_bytes
