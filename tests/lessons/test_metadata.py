"""What lesson 9 says of metadata: the rules against the exact model, pools that fill, and what was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.lessons import metadata_growth
from lab.lessons.figures import metadata as metadata_figures
from lab.model.metadata.metadata import kernel_rule_bytes, reserve_blocks, tool_rule_bytes
from lab.model.pool.config import PoolMode
from lab.runs.store import open_run

ROOT = Path(__file__).parents[2]
SMALL = 2**14
FULL = ROOT / "tests" / "ground_truth" / "metadata-full-2m"


def test_one_device_needs_less_than_either_rule_unless_the_pool_is_small() -> None:
    table = metadata_growth.by_size([2**11, 2**13, 2**15], seed=9)
    for size, row in table.iterrows():
        assert row["sequential"] <= row["random"], "random first writes split the leaves"
        assert row["thin_metadata_size"] == tool_rule_bytes(int(str(size)) * 65536, 65536, 1) / 1024**2
        assert row["kernel's rule"] == kernel_rule_bytes(int(str(size)) * 65536, 65536) / 1024**2
    large = table.loc[2**15]
    assert large["random"] < large["thin_metadata_size"] < large["kernel's rule"]
    assert table.loc[2**11, "random"] > table.loc[2**11, "thin_metadata_size"], "an empty pool is not free"
    assert metadata_figures.by_size(table).png().startswith(b"\x89PNG")


def test_what_is_needed_is_what_a_recorded_kernel_needed() -> None:
    """metadata-seq-64k: 20,000 mappings in order took 4223 - 4142 blocks more than the empty device."""
    needed = metadata_growth.needed_blocks(20_000, "sequential")
    empty = metadata_growth.needed_blocks(1, "sequential")
    assert needed - empty == pytest.approx(4223 - 4142, abs=2)


def test_snapshots_that_write_here_and_there_pass_both_rules_with_hardly_any_data() -> None:
    table = metadata_growth.by_containers(SMALL, SMALL // 2, 20, [0, 10, 40], seed=9)
    assert table["metadata"].is_monotonic_increasing
    last = table.loc[40]
    assert last["metadata"] > last["thin_metadata_size"]
    assert table.loc[40, "data"] == table.loc[0, "data"] + 40 * 20 * 65536 / 1024**2
    assert metadata_figures.by_containers(table).png().startswith(b"\x89PNG")


def test_a_pool_of_little_metadata_fails_with_most_of_its_data_free() -> None:
    found = metadata_growth.fill(SMALL, 2 * 1024**2, SMALL // 2, 20, seed=9)
    assert found.filled == "metadata"
    assert found.mode in (PoolMode.OUT_OF_METADATA_SPACE, PoolMode.FAIL)
    assert found.rows["data"].iloc[-1] < 0.8
    assert found.rows["metadata"].iloc[-1] > 0.95
    assert 0 < found.held <= found.rows["containers"].iloc[-1] <= found.held + 1
    assert "ro" in found.status or "Fail" in found.status
    drawing = metadata_figures.filling(found, "A pool")
    assert "metadata filled first" in drawing.caption
    assert drawing.png().startswith(b"\x89PNG")


def test_a_pool_of_much_metadata_fills_with_data() -> None:
    found = metadata_growth.fill(2**10, 16 * 1024**2, 2**9, 100, seed=9)
    assert (found.filled, found.mode) == ("data", PoolMode.OUT_OF_DATA_SPACE)
    assert found.rows["data"].iloc[-1] == 1
    assert found.held == (2**10 - 2**9) // 100
    few = metadata_growth.fill(2**10, 16 * 1024**2, 2**9, 1, seed=9, most=3)
    assert (few.filled, few.held) == ("nothing", 3)
    with pytest.raises(ValueError, match="writes is 0"):
        metadata_growth.fill(2**10, 16 * 1024**2, 2**9, 0, seed=9)


def test_the_recorded_pool_failed_where_the_model_fails() -> None:
    table = metadata_growth.recorded(FULL)
    before = metadata_growth.until_failed(table)
    assert 0 < len(before) < len(table)
    assert (before["kernel"] == before["model"]).all()
    assert "Fail" in str(table["status"].iloc[len(before)])
    assert metadata_growth.until_failed(before) is before
    assert metadata_figures.recorded(before, "a pool").png().startswith(b"\x89PNG")


def test_the_runs_pools_are_told_in_per_cent_of_what_they_have() -> None:
    run = open_run(ROOT / "results" / "reference" / "reference")
    table = metadata_growth.measured(run)
    assert {"loop-lvm", "direct-lvm", "direct-lvm-docker"} <= set(table.index)
    assert "overlay2-ext4" not in table.index
    blocks = round(table.loc["direct-lvm", "metadata, MiB"] * 256)
    assert table.loc["direct-lvm", "of it reserve, %"] == 100 * reserve_blocks(blocks) / blocks
    for text, reserve in zip(table["metadata at most, %"], table["of it reserve, %"], strict=True):
        assert reserve < float(str(text).split()[0]) < 100
    assert table["data at most, %"].str.contains("n = ").all()
