"""The two rules of thumb for the size of metadata are each told in one place, as the tool and the kernel have them."""

from __future__ import annotations

import pytest

from lab.answers.plan.sizing import metadata_sizes
from lab.model.metadata.data_space import BITMAP_ENTRIES
from lab.storages.metadata_size import KERNEL_MAX_BYTES, kernel_rule_bytes, tool_rule_bytes
from lab.units import METADATA_BLOCK_BYTES, METADATA_MAX_BLOCKS

KIB, GIB, TIB = 1024, 1024**3, 1024**4


@pytest.mark.parametrize(("data", "chunk", "thins", "said"), [
    (TIB, 64 * KIB, 1000, 549490688), (GIB, 64 * KIB, 1, 540672),
    (126 * 64 * KIB - 1, 64 * KIB, 1, 8192), (126 * 64 * KIB, 64 * KIB, 1, 12288)])
def test_the_tools_rule_never_rounds_up_as_the_tool_of_debian_12_does_not(data: int, chunk: int, thins: int,
                                                                         said: int) -> None:
    """Each number is what thin_metadata_size 0.9.0 printed for `-b, -s, -m, -ub -n`."""
    assert tool_rule_bytes(data, chunk, thins) == said
    assert metadata_sizes(data, chunk, thins, None).tool == said


def test_the_kernels_rule_is_48_bytes_times_the_size_by_the_block_and_a_part_of_a_block_is_no_block() -> None:
    assert kernel_rule_bytes(100 * GIB, 64 * KIB) == 75 * 1024**2
    assert kernel_rule_bytes(100 * GIB + 32 * KIB, 64 * KIB) == 75 * 1024**2 + 24
    assert kernel_rule_bytes(GIB, 64 * KIB) == 2 * 1024**2


def test_the_kernels_rule_asks_for_no_more_than_the_kernel_can_use() -> None:
    assert kernel_rule_bytes(64 * TIB, 64 * KIB) == KERNEL_MAX_BYTES == METADATA_MAX_BLOCKS * METADATA_BLOCK_BYTES
    assert METADATA_MAX_BLOCKS == 255 * BITMAP_ENTRIES
    assert metadata_sizes(64 * TIB, 64 * KIB, 1, None).kernel == KERNEL_MAX_BYTES
