"""Random programs: the model, with and without metadata, in batches and one by one, and an oracle of dicts agree."""

from __future__ import annotations

import random

import numpy as np
import pytest
from helpers.census import census
from helpers.oracle import Oracle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lab.model.pool.thinpool import PoolConfig, ThinPool

CHUNK = 65536
VIRTUAL = 24
SIZE = VIRTUAL * CHUNK


def mapping_of(pool: ThinPool, thin: int) -> dict[int, tuple[int, int]]:
    device = pool.thin(thin)
    blocks = device.mapped()
    return {
        int(v): (int(d), int(t)) for v, d, t in zip(blocks, device.blocks[blocks], device.times[blocks], strict=True)
    }


class Program(RuleBasedStateMachine):
    """One pool three times, and the oracle."""

    def __init__(self) -> None:
        super().__init__()
        self.oracle = Oracle(CHUNK, 40)
        config = PoolConfig(CHUNK, 40, 2048, error_if_no_space=True, no_discard_passdown=True)
        self.batch = ThinPool(config)
        self.single = ThinPool(config)
        self.bare = ThinPool(PoolConfig(CHUNK, 40, None, error_if_no_space=True))
        self.next = 0
        self.create()

    @property
    def pools(self) -> tuple[ThinPool, ...]:
        return self.batch, self.single, self.bare

    def pick(self, number: int) -> int:
        thins = sorted(self.oracle.maps)
        return int(thins[number % len(thins)])

    @rule()
    def create(self) -> None:
        for pool in self.pools:
            pool.create_thin(self.next, SIZE)
        self.oracle.create(self.next)
        self.next += 1

    @precondition(lambda self: self.oracle.maps)
    @rule(which=st.integers(0, 99))
    def snap(self, which: int) -> None:
        origin = self.pick(which)
        used = self.batch.used_data_blocks
        for pool in self.pools:
            pool.create_snapshot(self.next, origin)
        self.oracle.snap(self.next, origin)
        assert self.batch.used_data_blocks == used, "a snapshot adds no data blocks"
        self.next += 1

    @precondition(lambda self: len(self.oracle.maps) > 1)
    @rule(which=st.integers(0, 99))
    def delete(self, which: int) -> None:
        thin = self.pick(which)
        exclusive, used = self.batch.exclusive_data_blocks(thin), self.batch.used_data_blocks
        for pool in self.pools:
            pool.delete_thin(thin)
        self.oracle.delete(thin)
        assert self.batch.used_data_blocks == used - exclusive

    @precondition(lambda self: self.oracle.maps)
    @rule(which=st.integers(0, 99), blocks=st.lists(st.integers(0, VIRTUAL - 1), max_size=10))
    def snap_write_and_delete(self, which: int, blocks: list[int]) -> None:
        """Whatever is written to a snapshot, its deletion gives back: used blocks are what they were."""
        used = self.oracle.used()
        self.snap(which)
        snapshot = self.next - 1
        for block in blocks:
            fine = self.oracle.write(snapshot, block * CHUNK, 4096)
            for pool in self.pools:
                assert pool.write(snapshot, block * CHUNK, 4096).failed.size == (not fine)
        for pool in self.pools:
            pool.delete_thin(snapshot)
            assert set(np.flatnonzero(pool.data.used_mask()).tolist()) == used
        self.oracle.delete(snapshot)

    @precondition(lambda self: self.oracle.maps)
    @rule(
        which=st.integers(0, 99),
        writes=st.lists(st.tuples(st.integers(0, SIZE // 4096 - 40), st.integers(1, 40)), min_size=1, max_size=30),
    )
    def write(self, which: int, writes: list[tuple[int, int]]) -> None:
        thin = self.pick(which)
        offsets = np.array([4096 * place for place, _ in writes])
        lengths = np.array([4096 * size for _, size in writes])
        failed = [
            index
            for index, (offset, length) in enumerate(zip(offsets.tolist(), lengths.tolist(), strict=True))
            if not self.oracle.write(thin, offset, length)
        ]
        assert self.batch.write(thin, offsets, lengths).failed.tolist() == failed
        assert self.bare.write(thin, offsets, lengths).failed.tolist() == failed
        assert [i for i in range(len(writes)) if self.single.write(thin, offsets[i], lengths[i]).failed.size] == failed

    @precondition(lambda self: self.oracle.maps)
    @rule(which=st.integers(0, 99), start=st.integers(0, SIZE // 4096 - 1), size=st.integers(0, 200))
    def discard(self, which: int, start: int, size: int) -> None:
        thin = self.pick(which)
        offset, length = start * 4096, min(size * 4096, SIZE - start * 4096)
        before = set(mapping_of(self.batch, thin))
        for pool in self.pools:
            assert pool.discard(thin, offset, length) is None
        self.oracle.discard(thin, offset, length)
        gone = before - set(mapping_of(self.batch, thin))
        assert all(block * CHUNK >= offset and (block + 1) * CHUNK <= offset + length for block in gone)

    @rule()
    def commit(self) -> None:
        for pool in self.pools:
            pool.commit()
        self.oracle.commit()

    @precondition(lambda self: self.oracle.blocks < 70)
    @rule(blocks=st.integers(1, 10))
    def grow(self, blocks: int) -> None:
        for pool in self.pools:
            assert pool.resize_data(pool.data_blocks + blocks)
        self.oracle.grow(blocks)

    @rule()
    def reactivate(self) -> None:
        for pool in self.pools:
            pool.reactivate()
        self.oracle.reactivate()

    @invariant()
    def all_agree(self) -> None:
        used = self.oracle.used()
        for pool in self.pools:
            assert pool.used_data_blocks == len(used)
            assert set(np.flatnonzero(pool.data.used_mask()).tolist()) == used
            assert (pool.mode.shown == "out_of_data_space") == self.oracle.full
            for thin, expected in self.oracle.maps.items():
                assert mapping_of(pool, thin) == expected
                assert pool.thin(thin).mapped_blocks == len(expected)
        owners: dict[int, int] = {}
        for mapping in self.oracle.maps.values():
            for data, _ in mapping.values():
                owners[data] = owners.get(data, 0) + 1
        for thin, mapping in self.oracle.maps.items():
            alone = sum(owners[data] == 1 for data, _ in mapping.values())
            assert self.batch.exclusive_data_blocks(thin) == alone

    @invariant()
    def metadata_agrees(self) -> None:
        for pool in (self.batch, self.single):
            assert pool.metadata is not None
            assert census(pool.metadata).total == pool.metadata.live_blocks
        assert self.batch.status_line() == self.single.status_line()


TestProgram = Program.TestCase
TestProgram.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("seed", range(3))
def test_large_programs_leave_trees_whole(seed: int) -> None:
    """Deep enough for inner nodes to split, merge and be shared: blocks in use stay those that the trees hold."""
    generator = np.random.default_rng(seed)
    pools = [ThinPool(PoolConfig(CHUNK, 1 << 18, 1 << 15, no_discard_passdown=True)) for _ in range(2)]
    for pool in pools:
        pool.create_thin(0, 1 << 34)
    virtual = (1 << 34) // CHUNK
    chooser = random.Random(seed)
    for step in range(12):
        thins = sorted(pools[0].thins)
        thin = chooser.choice(thins)
        kind = chooser.choice(["random", "random", "sequential", "snap", "discard", "delete"])
        if kind in ("random", "sequential"):
            start = int(generator.integers(0, virtual - 6000))
            blocks = generator.permutation(virtual)[:6000] if kind == "random" else np.arange(start, start + 6000)
            pools[0].write(thin, blocks * CHUNK, 4096)
            for block in blocks.tolist():
                pools[1].write(thin, block * CHUNK, 4096)
        for pool in pools:
            if kind == "snap":
                pool.create_snapshot(100 + step, thin)
            elif kind == "discard":
                start = virtual * CHUNK // 4
                pool.discard(thin, start, 1 << 29)
            elif kind == "delete" and len(thins) > 1:
                pool.delete_thin(thin)
            pool.commit()
            assert pool.metadata is not None
            assert census(pool.metadata).total == pool.metadata.live_blocks
        assert pools[0].status_line() == pools[1].status_line()
        for device in pools[0].thins:
            np.testing.assert_array_equal(pools[0].thin(device).blocks, pools[1].thin(device).blocks)
    for pool in pools:
        for thin in list(pool.thins):
            pool.delete_thin(thin)
        assert pool.used_data_blocks == 0
        assert pool.metadata is not None
        assert census(pool.metadata).mapping_leaves == 0


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_batches_cut_anywhere_are_one_batch(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 400))
    seed = data.draw(st.integers(0, 1 << 30))
    generator = np.random.default_rng(seed)
    offsets = generator.integers(0, 100 * CHUNK, count)
    lengths = generator.integers(1, 3 * CHUNK, count)
    whole, parts = (ThinPool(PoolConfig(CHUNK, 80, 1024, error_if_no_space=True)) for _ in range(2))
    for pool in (whole, parts):
        pool.create_thin(0, 103 * CHUNK)
    failed = whole.write(0, offsets, lengths).failed.tolist()
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=6)))
    found: list[int] = []
    for start, end in zip([0, *cuts], [*cuts, count], strict=True):
        found += (parts.write(0, offsets[start:end], lengths[start:end]).failed + start).tolist()
    assert found == failed
    assert mapping_of(parts, 0) == mapping_of(whole, 0)
    assert parts.counters == whole.counters


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1 << 30), count=st.integers(1, 200), room=st.integers(1, 60))
def test_what_waits_is_what_would_fail(seed: int, count: int, room: int) -> None:
    """queue_if_no_space stops where error_if_no_space fails first; once no_space_timeout has passed, the rest
    fails as there."""
    generator = np.random.default_rng(seed)
    offsets = generator.integers(0, 60 * CHUNK, count)
    lengths = generator.integers(1, 2 * CHUNK, count)
    errs, waits = (ThinPool(PoolConfig(CHUNK, room, 1024, error_if_no_space=flag)) for flag in (True, False))
    for pool in (errs, waits):
        pool.create_thin(0, 63 * CHUNK)
    failed = errs.write(0, offsets, lengths).failed.tolist()
    result = waits.write(0, offsets, lengths)
    assert (result.waits, result.failed.size, result.done) == (bool(failed), 0, failed[0] if failed else count)
    if failed:
        waits.expire_no_space()
        rest = waits.write(0, offsets[result.done :], lengths[result.done :])
        assert (rest.failed + result.done).tolist() == failed
    assert mapping_of(waits, 0) == mapping_of(errs, 0)
    assert waits.counters == errs.counters
