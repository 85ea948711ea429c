"""A pool from its mappings: what is shared, what a write copies, what a discard frees."""

from __future__ import annotations

import numpy as np
import pytest

from lab.model.pool.restore import RestoredThin, restore_pool
from lab.model.pool.thinpool import PoolConfig, PoolRefused, ThinPool

CHUNK = 65536
CONFIG = PoolConfig(CHUNK, data_blocks=100, metadata_blocks=1000)


def thin(number: int, mapped: dict[int, tuple[int, int]], snapshot_time: int = 1,
         size_bytes: int | None = 50 * CHUNK) -> RestoredThin:
    """``mapped``: virtual block -> data block and time."""
    blocks = sorted(mapped)
    return RestoredThin(number, np.array(blocks, np.int64), np.array([mapped[block][0] for block in blocks], np.int64),
                        np.array([mapped[block][1] for block in blocks], np.int64), created_at=0,
                        snapshot_time=snapshot_time, transaction_id=number, size_bytes=size_bytes)


def shared_pool() -> ThinPool:
    """Device 7 is a snapshot of 3: both map data blocks 0 and 1; block 2 is 7's own, block 5 is 3's."""
    return restore_pool(CONFIG, 1, 4, [thin(3, {0: (0, 0), 1: (1, 0), 9: (5, 1)}, size_bytes=None),
                                       thin(7, {0: (0, 0), 1: (1, 0), 2: (2, 1)})])


def test_what_is_there() -> None:
    pool = shared_pool()
    assert (pool.used_data_blocks, pool.free_data_blocks, pool.allocatable_data_blocks) == (4, 96, 96)
    assert (pool.thin(3).mapped_blocks, pool.thin(7).mapped_blocks) == (3, 3)
    assert (pool.shared_data_blocks(7), pool.exclusive_data_blocks(7)) == (2, 1)
    assert pool.thin(3).size_bytes == 10 * CHUNK, "a device of unknown size ends behind its last block"
    assert pool.used_metadata_blocks is None
    assert list(pool.mappings(7)) == [(0, 0, 2, 0), (2, 2, 1, 1)]


def test_a_write_to_a_shared_block_takes_another_and_one_to_an_own_block_none() -> None:
    pool = shared_pool()
    pool.write(7, 2 * CHUNK, 4096)
    assert pool.used_data_blocks == 4
    pool.write(7, [0, 4096], 4096)
    assert (pool.used_data_blocks, pool.thin(7).mapped_blocks) == (5, 3)
    assert pool.counters.copies == 1
    assert pool.thin(7).blocks[0] == 3, "the first block that nobody owns"
    pool.write(7, 30 * CHUNK, 4096)
    assert (pool.used_data_blocks, pool.thin(7).mapped_blocks) == (6, 4)


def test_a_write_to_a_block_older_than_the_last_snapshot_is_copied_though_nobody_else_maps_it() -> None:
    pool = restore_pool(CONFIG, 1, 0, [thin(7, {0: (0, 0)})])
    pool.write(7, 0, 4096)
    assert (pool.used_data_blocks, pool.counters.copies) == (1, 1)
    assert pool.thin(7).blocks[0] != 0


def test_a_discard_of_shared_blocks_frees_nothing_and_one_of_own_blocks_frees_them() -> None:
    pool = shared_pool()
    pool.discard(7, 0, 2 * CHUNK)
    assert (pool.used_data_blocks, pool.thin(7).mapped_blocks) == (4, 1)
    pool.discard(7, 2 * CHUNK, CHUNK)
    assert (pool.used_data_blocks, pool.thin(7).mapped_blocks) == (3, 0)
    pool.discard(3, 0, CHUNK)
    assert pool.used_data_blocks == 2, "now that block is 3's alone"


def test_a_block_of_many_owners_is_free_when_the_last_lets_it_go() -> None:
    pool = restore_pool(CONFIG, 1, 0, [thin(number, {0: (0, 0)}) for number in range(300)])
    for number in range(299):
        pool.delete_thin(number)
    assert pool.used_data_blocks == 1
    pool.delete_thin(299)
    assert pool.used_data_blocks == 0


@pytest.mark.parametrize(("thins", "message"), [
    ([thin(3, {}), thin(3, {})], "twice"),
    ([thin(3, {0: (100, 0)})], "data block 100; the pool has 100"),
    ([thin(3, {50: (0, 0)})], "of 50 blocks maps its block 50"),
    ([thin(3, {0: (0, 0), 1: (0, 0)})], "maps a data block twice"),
    ([thin(3, {}, size_bytes=0)], "has 0 bytes"),
    ([thin(3, {1 << 40: (0, 0)}, size_bytes=None)], "at most"),
])
def test_mappings_that_cannot_be(thins: list[RestoredThin], message: str) -> None:
    with pytest.raises(PoolRefused, match=message):
        restore_pool(CONFIG, 1, 0, thins)
