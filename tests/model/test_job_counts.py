"""Expected counts of a job's work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.model.filesystems.job_counts import Surface, counts_of
from lab.model.times.fio_job import FioJob, IoMode

MIB = 1 << 20
POOL = Surface(64 * 1024, "xfs", False)
IMAGE = FioJob("image-write-4k", "large.bin", IoMode.RANDWRITE, 4096, 32 * MIB, 1500, 8.0, False, True, 0, True, 0.0)
SEQ = FioJob("seq", "seq", IoMode.WRITE, MIB, 256 * MIB, None, None, False, True, 0, True, 0.0)
FILES = {"large.bin": 32 * MIB}


def test_the_first_pass_allocates_and_the_second_does_not() -> None:
    first, state = counts_of(SEQ, None, POOL)
    second, _ = counts_of(SEQ, state, POOL)
    assert (first.writes, first.first_bytes, first.provisioned_blocks, first.copied_blocks) == (256, 256 * MIB, 4096, 0)
    assert (second.writes, second.first_writes, second.provisioned_blocks) == (256, 0, 0)
    assert first.syncs == second.syncs == 1


def test_a_smaller_job_in_the_written_file_allocates_nothing() -> None:
    _, state = counts_of(SEQ, None, POOL)
    job = replace(SEQ, mode=IoMode.RANDWRITE, block_bytes=4096, number_ios=2000, fdatasync_every=2, file_bytes=64 * MIB)
    counts, _ = counts_of(job, state, POOL)
    assert (counts.writes, counts.first_writes, counts.provisioned_blocks, counts.syncs) == (2000, 0, 0, 1001)


def test_a_longer_job_allocates_what_it_adds() -> None:
    _, state = counts_of(replace(SEQ, file_bytes=64 * MIB), None, POOL)
    counts, after = counts_of(replace(SEQ, file_bytes=128 * MIB), state, POOL)
    assert counts.first_bytes == pytest.approx(64 * MIB)
    assert counts.provisioned_blocks == pytest.approx(1024)
    assert after.bytes_untouched == 0


@pytest.mark.parametrize(("chunk", "passes"), [(64 * 1024, 2), (512 * 1024, 1)])
def test_copied_blocks_agree_with_draws(chunk: int, passes: int) -> None:
    random = np.random.default_rng(3)
    drawn = np.zeros(passes)
    for _ in range(100):
        touched: set[int] = set()
        for number in range(passes):
            new = {int(block) * 4096 // chunk for block in random.permutation(8192)[:1500]} - touched
            drawn[number] += len(new) / 100
            touched |= new
    state = None
    for number in range(passes):
        counts, state = counts_of(IMAGE, state, Surface(chunk, "xfs", True), image_files=FILES)
        assert counts.copied_blocks == pytest.approx(drawn[number], rel=0.05, abs=0.6)
        assert counts.copied_bytes == pytest.approx(counts.copied_blocks * chunk)
        assert counts.provisioned_blocks == counts.copied_blocks
        assert counts.first_writes == 0


def test_overlay_copies_the_whole_file_up_once() -> None:
    surface = Surface(None, "ext4", True)
    first, state = counts_of(IMAGE, None, surface, image_files=FILES)
    second, _ = counts_of(IMAGE, state, surface, image_files=FILES)
    assert (first.copied_up_bytes, first.copied_bytes, first.first_writes) == (32 * MIB, 0, 0)
    assert (second.copied_up_bytes, second.copied_bytes, second.first_writes) == (0, 0, 0)


def test_reflinked_blocks_are_copied_one_by_one() -> None:
    surface = Surface(None, "xfs", True)
    first, state = counts_of(IMAGE, None, surface, image_files=FILES)
    second, _ = counts_of(IMAGE, state, surface, image_files=FILES)
    assert (first.copied_up_bytes, first.copied_blocks, first.provisioned_blocks) == (0, 1500, 0)
    assert second.copied_blocks == pytest.approx(1500 * (1 - 1500 / 8192))


def test_reads_copy_nothing() -> None:
    counts, state = counts_of(replace(IMAGE, mode=IoMode.RANDREAD, read_share=1.0), None, Surface(None, "ext4", True),
                              image_files=FILES)
    assert (counts.reads, counts.writes, counts.copied_up_bytes, state.from_image) == (1500, 0, 0, True)


@given(st.sampled_from(list(IoMode)), st.integers(12, 21), st.integers(1, 64), st.integers(1, 9000),
       st.sampled_from([None, 64 * 1024, 192 * 1024, 512 * 1024, MIB]), st.booleans(), st.integers(1, 4))
def test_no_pass_touches_more_than_there_is(mode: IoMode, power: int, blocks: int, number: int, chunk: int | None,
                                            image: bool, passes: int) -> None:
    share = 0.5 if mode.mixed else 0.0 if mode.writes else 1.0
    size = blocks << power
    job = FioJob("j", "f", mode, 1 << power, size, number, None, False, True, 0, False, share)
    state, units = None, 0.0
    for _ in range(passes):
        counts, state = counts_of(job, state, Surface(chunk, "xfs", image), image_files=FILES)
        units += counts.provisioned_blocks
        assert 0 <= counts.first_writes <= counts.writes <= job.operations
        assert 0 <= state.bytes_untouched <= 1
        assert 0 <= state.units_untouched <= 1
    assert units <= size / (chunk or 4096) + 1e-6
