"""Every recorded case, replayed: what the model says after each step is what the kernel said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.model.metadata import empty_pool_blocks
from lab.model.thinpool import ThinPool
from lab.readers.thin_dump import read_thin_dump
from lab.replay import StepResult, replay_steps

ROOT = Path(__file__).parent.parent / "ground_truth"
CASES = sorted(path.name for path in ROOT.iterdir() if path.is_dir())
UNKNOWN_ORDER = ("metadata-rand-64k", "metadata-many-64k")
"""Written many at a time: the kernel sorted what waited, and the log does not say how."""

ALL_COMMITS_KNOWN = (
    "full-error-64k",
    "full-flush-64k",
    "full-nocommit-64k",
    "full-queue-64k",
    "fuzz-64k",
    "fuzz-64k-b",
    "ignore-discard-64k",
)


def load(case: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / case / "case.json").read_text())
    return document


def unnamed_dumps(case: str) -> dict[int, list[Path]]:
    """Dumps that no op mentions, by the step at whose end they were taken."""
    steps = load(case)["steps"]
    named = {op["file"] for step in steps for op in step["ops"] if op["op"] == "thin_dump"}
    found: dict[int, list[Path]] = {}
    for path in sorted((ROOT / case).glob("thin_dump-*.xml.gz")):
        if path.name in named:
            continue
        number = len(steps) - 1
        if path.name != "thin_dump-end.xml.gz":  # the step after which the devices had as many mappings
            mapped = {str(thin): item.device.mapped_blocks for thin, item in read_thin_dump(path).thins.items()}
            number = next(n for n, step in enumerate(steps) if step["expect"]["mapped_blocks"] == mapped)
        found.setdefault(number, []).append(path)
    return found


def assert_same_mappings(path: Path, pool: ThinPool) -> None:
    dump = read_thin_dump(path)
    assert set(dump.thins) == set(pool.thins)
    assert dump.superblock.time == pool.time
    for device_id, dumped in dump.thins.items():
        thin = pool.thin(device_id)
        virtual_blocks = thin.mapped()
        np.testing.assert_array_equal(dumped.virtual_blocks, virtual_blocks, err_msg=f"{path.name}: thin {device_id}")
        np.testing.assert_array_equal(dumped.data_blocks, thin.blocks[virtual_blocks], err_msg=f"{path.name}: data")
        np.testing.assert_array_equal(dumped.times, thin.times[virtual_blocks], err_msg=f"{path.name}: times")
        assert dumped.device.snapshot_time == thin.snapshot_time
        assert dumped.device.creation_time == thin.created_at


def assert_metadata(case: str, steps: list[StepResult], least: float = 6.0) -> None:
    empty = load(case)["steps"][0]["expect"]["used_metadata_blocks"]
    for step in steps:
        error = step.metadata_error_blocks
        if error is None or step.expect is None:
            continue
        growth = step.expect["used_metadata_blocks"] - empty
        allowed = max(least, 0.02 * growth) if case in UNKNOWN_ORDER else 0.0
        assert abs(error) <= allowed, f"{step.title}: {error} metadata blocks off"


def test_all_cases_are_there() -> None:
    assert len(CASES) == 29
    assert sum(len(load(case)["steps"]) for case in CASES) == 537


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    dumps = unnamed_dumps(case)
    compared: list[Path] = []

    def compare(name: str, pool: ThinPool) -> None:
        assert_same_mappings(ROOT / case / name, pool)
        compared.append(ROOT / case / name)

    steps: list[StepResult] = []
    for number, (step, pool) in enumerate(replay_steps(ROOT / case, compare)):
        assert step.expect is not None
        assert step.used_data_blocks == step.expect["used_data_blocks"], step.title
        assert step.data_blocks_agree, step.title
        assert step.failed_writes == load(case)["steps"][number].get("failed_writes", 0), step.title
        if case not in UNKNOWN_ORDER:
            assert step.status == step.expect["status"], step.title
        for path in dumps.get(number, ()):
            compare(path.name, pool)
        if pool.metadata is not None:
            assert pool.metadata.census().total == pool.metadata.live_blocks, step.title
        steps.append(step)
    assert len(steps) == len(load(case)["steps"])
    assert sorted(compared) == sorted((ROOT / case).glob("thin_dump-*.xml.gz"))
    assert_metadata(case, steps)


@pytest.mark.parametrize("case", UNKNOWN_ORDER)
def test_the_order_of_writes_explains_the_rest(case: str) -> None:
    """Sorted as the kernel sorts what waits, every step is within 4 blocks or 2 % of the growth."""
    steps = [step for step, _ in replay_steps(ROOT / case, in_flight=128)]
    assert all(step.data_blocks_agree for step in steps)
    assert_metadata(case, steps, 4.0)


@pytest.mark.parametrize("case", ALL_COMMITS_KNOWN)
def test_open_transaction(case: str) -> None:
    """``dmsetup status --noflush``: metadata blocks that the transaction has taken so far, to the block."""
    seen = 0
    for step, _ in replay_steps(ROOT / case):
        before = None if step.expect is None else step.expect.get("status_noflush_before")
        if before is not None:
            assert step.status_before_commit == before, step.title
            seen += 1
    assert seen


@pytest.mark.parametrize("row", json.loads((ROOT / "metadata-empty.json").read_text()), ids=lambda row: str(row)[24:80])
def test_empty_pool(row: dict[str, int]) -> None:
    data_blocks = row["data_size_bytes"] // row["chunk_size_bytes"]
    assert empty_pool_blocks(row["total_metadata_blocks"], data_blocks) == row["used_metadata_blocks"]
