"""Discards as the block layer cuts them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lab.model.pool.block_layer import discard_requests
from lab.model.pool.thinpool import PoolConfig, ThinPool

CHUNK = 65536


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(1, 64))
def test_the_parts_are_the_whole_in_order(sector: int, sectors: int, chunks: int) -> None:
    offset, end = sector * 512, (sector + sectors) * 512
    for begin, length in discard_requests(offset, sectors * 512, chunks * CHUNK):
        assert begin == offset
        assert length > 0
        offset += length
    assert offset == end


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(0, 6))
def test_blocks_of_a_power_of_two_lose_nothing_by_the_cut(sector: int, sectors: int, power: int) -> None:
    chunk = CHUNK << power
    begin, end = sector * 512, (sector + sectors) * 512
    whole = max(0, end // chunk - -(-begin // chunk))
    cut = sum(max(0, (at + length) // chunk - -(-at // chunk))
              for at, length in discard_requests(begin, end - begin, chunk))
    assert cut == whole


def test_with_blocks_of_192_kib_a_whole_block_stays_mapped_that_the_discard_covers() -> None:
    """As Linux 6.1 did it: two blocks lay whole within the range, one of them was unmapped."""
    chunk = 3 * CHUNK
    pool = ThinPool(PoolConfig(chunk_size_bytes=chunk, data_blocks=100))
    pool.create_thin(0, size_bytes=40 * chunk)
    pool.write(0, [block * chunk for block in range(40)], 4096)
    for offset, length in discard_requests(2637824, 593920, chunk):
        pool.discard(0, offset, length)
    assert (-(-2637824 // chunk), (2637824 + 593920) // chunk) == (14, 16)
    assert pool.thin(0).mapped_blocks == 39
    assert pool.thin(0).blocks[14] >= 0 > pool.thin(0).blocks[15]
