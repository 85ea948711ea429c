"""Rules of the pool one by one, and closed forms."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from helpers.census import census

from lab.errors import InputError
from lab.model.metadata.metadata import kernel_rule_bytes, reserve_blocks, tool_rule_bytes
from lab.model.pool.thinpool import PoolConfig, PoolMode, PoolRefused, ThinPool

CHUNK = 65536


def make(blocks: int = 64, metadata: int | None = 1024, size: int | None = None, **features: bool) -> ThinPool:
    pool = ThinPool(PoolConfig(CHUNK, blocks, metadata, **features))
    pool.create_thin(0, size or 4 * blocks * CHUNK)
    return pool


def fill(pool: ThinPool, thin: int, blocks: int) -> None:
    assert not pool.write(thin, np.arange(blocks) * CHUNK, CHUNK).failed.size


def mode_of(pool: ThinPool) -> PoolMode:
    return pool.mode


def test_a_write_across_two_blocks_maps_both() -> None:
    pool = make()
    pool.write(0, CHUNK - 4096, 8192)
    assert pool.used_data_blocks == 2


def test_a_whole_block_is_neither_zeroed_nor_copied() -> None:
    pool = make()
    pool.write(0, 0, CHUNK)
    pool.create_snapshot(1, 0)
    pool.write(0, 0, CHUNK)
    assert (pool.counters.bytes_zeroed, pool.counters.bytes_copied, pool.counters.shares_broken) == (0, 0, 1)
    assert pool.used_data_blocks == 2


def test_a_partial_write_zeroes_a_new_block_and_copies_an_old_one() -> None:
    pool = make()
    pool.write(0, 4096, 4096)
    pool.create_snapshot(1, 0)
    pool.write(1, 0, 4096)
    assert (pool.counters.bytes_zeroed, pool.counters.bytes_copied) == (CHUNK, CHUNK)
    assert pool.counters.write_amplification == (8192 + 2 * CHUNK) / 8192
    skipping = make(skip_block_zeroing=True)
    skipping.write(0, 4096, 4096)
    assert skipping.counters.bytes_zeroed == 0


def test_sharing_is_decided_by_time() -> None:
    """The origin copied, and the snapshot is gone or has the block alone: the first write copies all the same."""
    pool = make()
    pool.write(0, 0, 4096)
    pool.create_snapshot(1, 0)
    pool.write(0, 0, 4096)
    pool.write(1, 0, 4096)
    assert pool.counters.copies == 2
    fill(pool, 0, 4)
    pool.create_snapshot(2, 0)
    pool.delete_thin(2)
    pool.write(0, 0, 4096)
    assert pool.counters.copies == 3


def test_wiping_a_device_takes_n_blocks_and_its_snapshot_2n() -> None:
    """dmtest-python, t_space_use."""
    pool = make(blocks=200)
    fill(pool, 0, 100)
    assert pool.used_data_blocks == 100
    pool.create_snapshot(1, 0)
    assert pool.used_data_blocks == 100
    fill(pool, 1, 100)
    assert pool.used_data_blocks == 200
    assert (pool.exclusive_data_blocks(0), pool.shared_data_blocks(0)) == (100, 0)


def expected_distinct(blocks: int, writes: int) -> tuple[float, float]:
    """Distinct blocks that random writes hit: N (1 - (1 - 1/N)^n), and the standard deviation.

    Thornber's expected copies after n random writes to a snapshotted device of d blocks, (1 - a^n) / (1 - a)
    with a = (d - 1) / d, are the same number: a block is copied when it is first hit.  Deviation: the number
    of empty cells in the occupancy problem (Feller, An Introduction to Probability Theory I, chapter IX).
    """
    alpha = (blocks - 1) / blocks
    expected = (1 - alpha**writes) / (1 - alpha)
    assert expected == pytest.approx(blocks * (1 - (1 - 1 / blocks) ** writes))
    missed, both = blocks * alpha**writes, blocks * (blocks - 1) * (1 - 2 / blocks) ** writes
    return expected, float(np.sqrt(both + missed - missed**2))


@pytest.mark.parametrize("writes", [1, 100, 2000, 20_000])
@pytest.mark.parametrize("seed", range(3))
def test_copies_and_allocations_after_n_random_writes(writes: int, seed: int) -> None:
    blocks = 2000
    offsets = np.random.default_rng(seed).integers(0, blocks, writes) * CHUNK
    expected, deviation = expected_distinct(blocks, writes)
    empty = make(blocks=blocks)
    empty.write(0, offsets, 4096)
    assert empty.used_data_blocks == np.unique(offsets).size
    assert abs(empty.used_data_blocks - expected) <= 4 * deviation + 1e-6
    snapshotted = make(blocks=2 * blocks)
    fill(snapshotted, 0, blocks)
    snapshotted.create_snapshot(1, 0)
    snapshotted.write(0, offsets, 4096)
    assert snapshotted.counters.copies == empty.used_data_blocks
    assert snapshotted.used_data_blocks == blocks + empty.used_data_blocks


def test_freed_blocks_wait_for_a_commit() -> None:
    pool = make(blocks=4, error_if_no_space=True)
    fill(pool, 0, 4)
    pool.commit()
    pool.discard(0, 0, 2 * CHUNK)
    assert (pool.free_data_blocks, pool.allocatable_data_blocks) == (2, 0)
    result = pool.write(0, [0, 3 * CHUNK, CHUNK], 4096)
    assert (result.failed.tolist(), result.error, result.done) == ([0, 2], "ENOSPC", 3)
    assert pool.mode is PoolMode.OUT_OF_DATA_SPACE
    pool.commit()
    assert mode_of(pool) is PoolMode.WRITE
    assert not pool.write(0, [0, CHUNK], 4096).failed.size


def test_a_full_pool_commits_before_it_gives_up() -> None:
    pool = make(blocks=4, error_if_no_space=True)
    fill(pool, 0, 4)
    commits = pool.counters.commits
    assert pool.write(0, 10 * CHUNK, 4096).failed.size == 1
    assert pool.counters.commits == commits + 1


def test_blocks_taken_and_freed_within_a_transaction_are_free_at_once() -> None:
    pool = make(blocks=2)
    fill(pool, 0, 2)
    pool.discard(0, 0, CHUNK)
    assert pool.allocatable_data_blocks == 1


def test_queueing_stops_at_the_first_write_that_waits() -> None:
    pool = make(blocks=2)
    result = pool.write(0, np.array([0, 1, 0, 5, 1, 6]) * CHUNK, 4096)
    assert (result.done, result.waits, result.failed.size) == (3, True, 0)
    assert "queue_if_no_space" in pool.status_line()
    pool.expire_no_space()
    assert "out_of_data_space" in pool.status_line()
    assert "error_if_no_space" in pool.status_line()
    assert pool.write(0, 5 * CHUNK, 4096).error == "ENOSPC"
    assert pool.resize_data(4)
    assert "queue_if_no_space" in pool.status_line()
    assert not pool.write(0, np.array([5, 6]) * CHUNK, 4096).waits


def test_half_a_write_may_land() -> None:
    pool = make(blocks=1, error_if_no_space=True)
    assert pool.write(0, CHUNK - 4096, 8192).failed.tolist() == [0]
    assert pool.thin(0).mapped_blocks == 1


def test_allocation_is_next_fit_and_starts_anew_after_activation() -> None:
    pool = make(blocks=8)
    fill(pool, 0, 6)
    pool.commit()
    pool.discard(0, 0, 2 * CHUNK)
    pool.commit()
    pool.write(0, 20 * CHUNK, 4096)
    assert pool.thin(0).blocks[20] == 6
    pool.reactivate()
    pool.write(0, 21 * CHUNK, 4096)
    assert pool.thin(0).blocks[21] == 0


def test_discards_take_whole_blocks_only() -> None:
    pool = make()
    fill(pool, 0, 4)
    pool.discard(0, CHUNK // 2, CHUNK)
    assert pool.thin(0).mapped_blocks == 4
    pool.discard(0, CHUNK // 2, 2 * CHUNK)
    assert pool.thin(0).mapped_blocks == 3
    assert pool.counters.bytes_passed_down == CHUNK


def test_shared_blocks_are_not_passed_down() -> None:
    pool = make()
    fill(pool, 0, 4)
    pool.create_snapshot(1, 0)
    pool.discard(0, 0, 4 * CHUNK)
    assert (pool.used_data_blocks, pool.counters.bytes_passed_down) == (4, 0)
    pool.discard(1, 0, 4 * CHUNK)
    assert (pool.used_data_blocks, pool.counters.bytes_passed_down) == (0, 4 * CHUNK)


def test_ignored_discards() -> None:
    pool = make(ignore_discard=True)
    fill(pool, 0, 1)
    assert pool.discard(0, 0, CHUNK) == "EOPNOTSUPP"
    assert pool.used_data_blocks == 1


def test_metadata_runs_out_and_the_pool_fails() -> None:
    pool = make(blocks=100000, metadata=256, size=100000 * CHUNK)
    order = np.random.default_rng(1).permutation(100000) * CHUNK
    result = pool.write(0, order, 4096)
    first = int(result.failed[0])
    assert pool.mode is PoolMode.FAIL
    assert result.error == "EIO"
    assert result.failed.size == order.size - first
    assert pool.thin(0).mapped_blocks == first
    assert pool.used_data_blocks == first + 1, "one block is allocated and has no owner"
    assert pool.status_line().endswith("thin-pool Fail")
    assert pool.write(0, 0, 4096).error == "EIO"
    assert pool.discard(0, 0, CHUNK) == "EIO"
    assert pool.read(0, order[:5], 4096) == 0
    assert not pool.resize_metadata(512)
    with pytest.raises(PoolRefused, match="fail"):
        pool.create_thin(1, CHUNK)
    pool.reactivate(metadata_blocks=512)
    assert mode_of(pool) is PoolMode.WRITE
    assert not pool.write(0, order[first : first + 10], 4096).failed.size


def test_a_commit_that_finds_no_metadata_makes_the_pool_read_only() -> None:
    pool = make(blocks=100000, metadata=256, size=100000 * CHUNK)
    order = np.random.default_rng(1).permutation(100000) * CHUNK
    metadata = pool.metadata
    assert metadata is not None
    position = 0
    while pool.mode is PoolMode.WRITE:
        pool.write(0, order[position], 4096)
        position += 1
        pool.commit()
    assert pool.mode is PoolMode.OUT_OF_METADATA_SPACE
    assert " ro " in pool.status_line()
    assert pool.write(0, order[position], 4096).error == "EIO"
    assert not pool.write(0, order[0], 4096).failed.size
    assert pool.discard(0, 0, 1 << 30) is None
    assert pool.thin(0).mapped_blocks == position
    assert pool.resize_metadata(512)
    assert mode_of(pool) is PoolMode.WRITE


def test_needs_check_keeps_a_pool_read_only() -> None:
    """``set_pool_mode`` in dm-thin.c: no way to write mode until thin_check or thin_repair cleared the flag."""
    pool = make()
    fill(pool, 0, 2)
    pool.needs_check = True
    pool.reactivate()
    assert pool.mode is PoolMode.READ_ONLY
    assert " ro discard_passdown queue_if_no_space needs_check " in pool.status_line()
    result = pool.write(0, [0, 5 * CHUNK], 4096)
    assert (result.failed.tolist(), result.error) == ([1], "EIO"), "mapped blocks can be rewritten"
    assert pool.read(0, 0, 4096) == 4096
    assert pool.discard(0, 0, CHUNK) is None
    assert pool.thin(0).mapped_blocks == 2
    assert not pool.commit()
    assert not pool.resize_data(1000)
    assert not pool.resize_metadata(2048)
    with pytest.raises(PoolRefused, match="mode ro"):
        pool.create_snapshot(1, 0)
    pool.needs_check = False
    pool.reactivate()
    assert mode_of(pool) is PoolMode.WRITE
    assert not pool.write(0, 5 * CHUNK, 4096).failed.size


def test_growth_arms_the_low_water_mark_again() -> None:
    """``pool_resume`` in dm-thin.c, after the reload of the table."""
    pool = ThinPool(PoolConfig(CHUNK, 10, 1024, low_water_blocks=4))
    pool.create_thin(0, 40 * CHUNK)
    fill(pool, 0, 8)
    assert pool.counters.low_water_events == 1
    pool.resize_data(20)
    fill(pool, 0, 15)
    assert pool.counters.low_water_events == 1
    fill(pool, 0, 17)
    assert pool.counters.low_water_events == 2


def test_low_water_mark_is_one_event() -> None:
    pool = ThinPool(PoolConfig(CHUNK, 10, None, low_water_blocks=4))
    pool.create_thin(0, 10 * CHUNK)
    pool.write(0, np.arange(6) * CHUNK, 4096)
    assert pool.counters.low_water_events == 0
    pool.write(0, np.arange(6, 9) * CHUNK, 4096)
    assert pool.counters.low_water_events == 1


def test_flush_commits_only_a_changed_device() -> None:
    pool = make()
    pool.create_thin(1, CHUNK)
    pool.write(0, 0, 4096)
    assert not pool.flush(1)
    assert pool.flush(0)
    assert not pool.flush(0)


def test_reads_allocate_nothing() -> None:
    pool = make()
    pool.write(0, 0, 4096)
    assert pool.read(0, [0, CHUNK - 4096], 8192) == 8192 + 4096
    assert pool.used_data_blocks == 1


def test_no_requests_do_nothing() -> None:
    pool = make()
    before = pool.status_line()
    assert pool.write(0, [], 4096).done == 0
    assert pool.write(0, [], []).done == 0
    assert pool.read(0, [], 4096) == 0
    assert pool.status_line() == before


def test_odd_block_sizes() -> None:
    chunk = 3 * CHUNK
    pool = ThinPool(PoolConfig(chunk, 10, 1024))
    pool.create_thin(0, 10 * chunk)
    pool.write(0, [0, chunk - 1, chunk], [1, 2, 1])
    assert pool.used_data_blocks == 2


@pytest.mark.parametrize(("offset", "length"), [(-4096, 4096), (0, 0), (0, -1), (1 << 40, 4096), (4 * CHUNK - 1, 2)])
def test_writes_outside_are_refused(offset: int, length: int) -> None:
    pool = make(blocks=1)
    with pytest.raises(PoolRefused, match="outside"):
        pool.write(0, offset, length)
    with pytest.raises(PoolRefused, match="outside"):
        pool.write(0, [0, offset], [4096, length])
    assert pool.used_data_blocks == 0


@pytest.mark.parametrize("bad", [-4096, -(1 << 62), 256 * CHUNK, (1 << 63) - 4096, (1 << 63) - 1])
@pytest.mark.parametrize("mixed", [False, True])
def test_one_bad_write_refuses_them_all(bad: int, mixed: bool) -> None:
    """Also one far behind in a long array, after writes that would have been done, and where sums overflow."""
    pool = make()
    pool.write(0, np.arange(20) * CHUNK, 4096)
    before, counted = pool.status_line(), repr(pool.counters)
    offsets = np.random.default_rng(1).integers(0, 20, 100_000) * CHUNK
    offsets[40_000] = 30 * CHUNK
    offsets[99_000] = bad
    lengths = np.where(np.arange(offsets.size) % 2, 4096, 512) if mixed else 4096
    with pytest.raises(PoolRefused, match="outside"):
        pool.write(0, offsets, lengths)
    assert (pool.status_line(), repr(pool.counters), pool.thin(0).mapped_blocks) == (before, counted, 20)
    with pytest.raises(PoolRefused, match="outside"):
        pool.read(0, offsets, lengths)


def test_refusals_name_the_value() -> None:
    pool = make()
    for call, text in (
        (lambda: pool.thin(7), "thin device 7"),
        (lambda: pool.create_thin(0, CHUNK), "exists"),
        (lambda: pool.create_snapshot(0, 0), "exists"),
        (lambda: pool.create_snapshot(1, 9), "thin device 9"),
        (lambda: pool.delete_thin(5), "thin device 5"),
        (lambda: pool.create_thin(3, 0), "at least one byte"),
        (lambda: pool.create_thin(3, 1 << 60), "at most"),
        (lambda: pool.create_thin(1 << 24, CHUNK), "id 16777216"),
        (lambda: pool.resize_data(1), "cannot shrink"),
        (lambda: pool.resize_metadata(1), "cannot shrink"),
        (lambda: pool.write(0, [0, 1], [1, 2, 3]), "2 offsets and 3 lengths"),
        (lambda: pool.write(0, 0.5, 4096), "float64; whole numbers"),
        (lambda: pool.write(0, [0, 1 << 70], 4096), "object; whole numbers"),
        (lambda: pool.write(0, 1 << 63, 4096), "outside"),
        (lambda: pool.read(0, 0, 1.5), "float64; whole numbers"),
        (lambda: pool.discard(0, 0, 1 << 50), "outside"),
    ):
        with pytest.raises(PoolRefused, match=text):
            call()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"chunk_size_bytes": 4096, "data_blocks": 1}, "multiple of 64 KiB"),
        ({"chunk_size_bytes": CHUNK + 1, "data_blocks": 1}, "multiple of 64 KiB"),
        ({"chunk_size_bytes": CHUNK, "data_blocks": 0}, "at least 1"),
        ({"chunk_size_bytes": CHUNK, "data_blocks": 1 << 31}, "at most"),
        ({"chunk_size_bytes": CHUNK, "data_blocks": 1, "low_water_blocks": -1}, "0 or more"),
    ],
)
def test_bad_configurations(config: dict[str, int], text: str) -> None:
    with pytest.raises(InputError, match=text):
        PoolConfig(**config)  # type: ignore[arg-type]


def test_metadata_too_small() -> None:
    with pytest.raises(InputError, match="too small"):
        ThinPool(PoolConfig(CHUNK, 100, 4))
    with pytest.raises(InputError, match="unknown"):
        PoolConfig.from_sizes(CHUNK, CHUNK, features=["read_only"])


RULES_BLOCKS = 1 << 17
RULES_BYTES = RULES_BLOCKS * CHUNK


def needed(pool: ThinPool) -> int:
    pool.commit()
    assert pool.metadata is not None
    return pool.metadata.live_blocks * 4096


def assert_rules(pool: ThinPool, mib: float, tool: float, kernel: float) -> None:
    """The table in the documentation of lab.model.metadata.metadata."""
    assert needed(pool) / (1 << 20) == pytest.approx(mib, rel=0.01)
    assert tool_rule_bytes(RULES_BYTES, CHUNK, len(pool.thins)) / needed(pool) == pytest.approx(tool, rel=0.015)
    assert kernel_rule_bytes(RULES_BYTES, CHUNK) / needed(pool) == pytest.approx(kernel, rel=0.015)


def test_rules_of_thumb_for_one_device() -> None:
    in_order, at_random = (ThinPool(PoolConfig(CHUNK, RULES_BLOCKS, 1 << 15)) for _ in range(2))
    for pool in (in_order, at_random):
        pool.create_thin(0, RULES_BYTES)
    in_order.write(0, np.arange(RULES_BLOCKS) * CHUNK, 4096)
    at_random.write(0, np.random.default_rng(3).permutation(RULES_BLOCKS) * CHUNK, 4096)
    assert_rules(in_order, 2.16, 1.89, 2.78)
    assert_rules(at_random, 2.43, 1.68, 2.47)
    assert reserve_blocks(1 << 20) == 4096


def test_rules_of_thumb_for_containers_of_one_image() -> None:
    """Sparse writes to snapshots copy leaves: both rules break, far from a full pool."""
    generator = np.random.default_rng(4)
    pool = ThinPool(PoolConfig(CHUNK, RULES_BLOCKS, 1 << 15, skip_block_zeroing=True))
    pool.create_thin(0, RULES_BYTES)
    pool.write(0, np.arange(RULES_BLOCKS // 2) * CHUNK, CHUNK)
    for snapshot in range(1, 31):
        pool.create_snapshot(snapshot, 0)
        pool.write(snapshot, generator.integers(0, RULES_BLOCKS // 2, 200) * CHUNK, 4096)
        if snapshot in (rows := {1: (1.69, 2.41, 3.56), 3: (3.27, 1.25, 1.84), 10: (7.61, 0.54, 0.79)}):
            assert_rules(pool, *rows[snapshot])
    assert_rules(pool, 18.8, 0.22, 0.32)
    assert pool.used_data_blocks < 0.55 * RULES_BLOCKS


@pytest.mark.parametrize(("blocks", "enough"), [(2000, False), (2500, True)])
def test_the_tools_rule_is_too_small_for_small_pools(blocks: int, enough: bool) -> None:
    pool = make(blocks=blocks, metadata=1 << 12, size=blocks * CHUNK)
    pool.write(0, np.arange(blocks) * CHUNK, CHUNK)
    assert (tool_rule_bytes(blocks * CHUNK, CHUNK, 1) >= needed(pool)) is enough


@pytest.mark.parametrize(("size", "chunk", "thins"), [(40, 64, 1), (33, 64, 100), (36, 512, 10), (38, 256, 7)])
def test_the_tools_rule_is_what_the_tool_says(size: int, chunk: int, thins: int) -> None:
    tool = shutil.which("thin_metadata_size", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if tool is None:
        pytest.skip("thin_metadata_size is not installed: apt install thin-provisioning-tools")
    argv = [tool, f"-b{chunk}k", f"-s{1 << size}b", f"-m{thins}", "-ub", "-n"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert tool_rule_bytes(1 << size, chunk * 1024, thins) == int(said)


def test_more_devices_than_a_node_holds() -> None:
    pool = make(blocks=5000, metadata=1 << 14)
    generator = np.random.default_rng(9)
    for device in range(1, 700):
        pool.create_thin(device, 64 * CHUNK)
        pool.write(device, generator.integers(0, 64, 4) * CHUNK, 4096)
    pool.commit()
    assert pool.metadata is not None
    counted = census(pool.metadata)
    assert counted.devices > 3
    assert counted.details > 6
    for device in generator.permutation(700).tolist():
        pool.delete_thin(device)
        assert census(pool.metadata).total == pool.metadata.live_blocks
    counted = census(pool.metadata)
    assert (counted.devices, counted.details, pool.used_data_blocks) == (1, 1, 0)


def test_many_snapshots_of_one_device() -> None:
    """Owners of a block and of a node beyond two, and beyond one byte."""
    pool = make(blocks=2000, metadata=8192)
    fill(pool, 0, 1000)
    for snapshot in range(1, 300):
        pool.create_snapshot(snapshot, 0)
    pool.write(150, np.arange(0, 1000, 7) * CHUNK, 4096)
    assert pool.metadata is not None
    assert census(pool.metadata).total == pool.metadata.live_blocks
    for snapshot in range(300):
        pool.delete_thin(snapshot)
        assert census(pool.metadata).total == pool.metadata.live_blocks
    assert pool.used_data_blocks == 0
