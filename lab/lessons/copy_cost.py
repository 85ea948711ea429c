"""Lesson 4: what a first write costs where the whole file is copied up, and where only its data blocks are copied.

Random writes of 4 KiB pages, each within one data block, to a file that a snapshot shares.  ``thornber`` is the
closed form for places drawn independently; ``expected_bytes`` is the same for places drawn without repetition, as the
scenarios' ``update`` draws them.  Sizes are bytes, ``pages`` are of 4 KiB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from lab.analysis import stats
from lab.analysis.comparisons import inverse
from lab.analysis.facts import Facts, facts_of
from lab.lessons.intervals import indexed, interval_of, median_text
from lab.model.filesystems.filesystem import BLOCK_BYTES as PAGE_BYTES
from lab.model.filesystems.filesystem import blocks_of
from lab.model.filesystems.xfs import COPY_WINDOW_BLOCKS
from lab.model.pool.thinpool import PoolConfig, ThinPool
from lab.readers.image_archive import image_of
from lab.runs.scenario import scenario_of
from lab.runs.store import Run
from lab.scenario.scenario import StepsWorkload, Update
from lab.text import MIB


def thornber(writes: int, blocks: int) -> float:
    """Expected copies after n random writes to d shared data blocks: (1 - aⁿ) / (1 - a) with a = (d - 1) / d.

    Source: Thornber's closed form for random writes after a snapshot.  Raises ValueError for less than one block and
    for fewer than no writes.

    >>> [round(thornber(writes, 8), 3) for writes in (1, 2, 8)]
    [1.0, 1.875, 5.251]
    """
    if blocks < 1 or writes < 0:
        raise ValueError(f"{writes} writes to {blocks} blocks; 0 or more writes to at least 1 block expected")
    if blocks == 1:
        return float(min(writes, 1))
    return -blocks * math.expm1(writes * math.log1p(-1 / blocks))


def writes_for(share: float, blocks: int) -> int:
    """The fewest writes after which the closed form has copied that share of the blocks.

    n = ln(1 - share) / ln(a), rounded up.  Raises ValueError for a share outside 0 to 1, and for less than two blocks.
    """
    if not 0 < share < 1 or blocks < 2:
        raise ValueError(f"a share of {share} of {blocks} blocks; between 0 and 1 of at least 2 blocks expected")
    return math.ceil(math.log1p(-share) / math.log1p(-1 / blocks))


def expected_bytes(file_bytes: int, block_bytes: int, pages: int) -> float:
    """Expected bytes of the data blocks that ``pages`` different pages of a file touch, any choice as likely.

    A block with m of the file's N pages stays untouched with C(N - m, n) / C(N, n).  The file begins at a block's
    start; its last block may hold less of it and is copied whole all the same.  Raises ValueError for a file or block
    without a page, and for more pages than the file has.
    """
    total, each = blocks_of(file_bytes), block_bytes // PAGE_BYTES
    if total < 1 or each < 1 or not 0 <= pages <= total:
        raise ValueError(f"{pages} pages of a file of {file_bytes} bytes in blocks of {block_bytes}; a file and a "
                         "block of at least one page expected, and no more pages than the file has")
    whole, rest = divmod(total, each)
    touched = whole * _touched(total, each, pages) + (_touched(total, rest, pages) if rest else 0.0)
    return block_bytes * touched


def _touched(total: int, own: int, drawn: int) -> float:
    """Chance that some of ``drawn`` of ``total`` pages are among ``own``."""
    if own + drawn > total:
        return 1.0
    untouched = (math.lgamma(total - own + 1) - math.lgamma(total - own - drawn + 1)
                 - math.lgamma(total + 1) + math.lgamma(total - drawn + 1))
    return -math.expm1(min(untouched, 0.0))


def pages_until(file_bytes: int, block_bytes: int, share: float) -> int:
    """The fewest different pages whose data blocks are expected to take ``share`` of the file's length.

    Raises ValueError for a share outside 0 to 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share of {share}; above 0, at most 1 expected")
    low, high = 1, blocks_of(file_bytes)
    while low < high:
        middle = (low + high) // 2
        if expected_bytes(file_bytes, block_bytes, middle) >= share * file_bytes:
            high = middle
        else:
            low = middle + 1
    return low


def exact_copies(file_bytes: int, block_bytes: int, writes: Sequence[int], seed: int, *,
                 repeated: bool = True) -> list[int]:
    """Data blocks that the exact model copied after each of the rising numbers of ``writes``.

    A device as long as the file is filled and has a snapshot taken; pages are drawn with or without repetition.
    Raises ValueError for numbers that do not rise.
    """
    if list(writes) != sorted(set(writes)):
        raise ValueError(f"writes are {list(writes)[:5]}; rising numbers expected")
    blocks = -(-file_bytes // block_bytes)
    pool = ThinPool(PoolConfig(block_bytes, 2 * blocks + 1))
    pool.create_thin(0, size_bytes=blocks * block_bytes)
    pool.write(0, np.arange(blocks, dtype=np.int64) * block_bytes, block_bytes)
    pool.create_snapshot(1, origin=0)
    draw, pages, most = np.random.default_rng(seed), blocks_of(file_bytes), max(writes, default=0)
    places = draw.integers(0, pages, most) if repeated else draw.permutation(pages)[:most]
    found: list[int] = []
    done = 0
    for count in writes:
        if count > done:
            pool.write(0, places[done:count].astype(np.int64) * PAGE_BYTES, PAGE_BYTES)
        done = count
        found.append(pool.counters.copies)
    return found


def updated(run: Run) -> pd.DataFrame:
    """A row a storage: what the first ``update`` of the image's file took in the layer, and what to expect of it.

    ``measured_bytes``: the growth's median, ``low_bytes`` and ``high_bytes`` the ends of its interval;
    ``expected_bytes``: of the containers together, the data blocks that the
    pages touch, on ext4 the whole files, on XFS without a pool windows of 128 KiB (``COPY_WINDOW_BLOCKS``);
    ``disk_bytes``: what reached the disk, ``application_bytes`` what the application wrote.
    Raises InputError as ``scenario_of``, and ValueError where the run has no such step.
    """
    workload, step = _update_of(run)
    facts, file_bytes = facts_of(run), image_of(workload).files()[f"data/{step.file}"]
    rows = []
    for label in facts.labels:
        found = {metric: facts.summary_row(label, "layer", "update", metric, workload.name)
                 for metric in ("application_bytes", "storage_growth", "disk_written", "duration")}
        grew = found["storage_growth"]
        if grew is None:
            continue
        expected = workload.containers * _expected(facts, label, file_bytes, step.amount_bytes)
        rows.append((label, *(median_text(found[metric]) for metric in ("application_bytes", "storage_growth")),
                     expected / MIB, median_text(found["disk_written"]), median_text(found["duration"], 1.0),
                     float(grew["median"]), expected, _number(found["disk_written"]),
                     _number(found["application_bytes"]), *interval_of(grew)))
    return indexed(rows, ["storage", "application wrote, MiB", "space taken, MiB", "expected, MiB",
                          "written to the disk, MiB", "seconds", "measured_bytes", "expected_bytes", "disk_bytes",
                          "application_bytes", "low_bytes", "high_bytes"])


def _expected(facts: Facts, label: str, file_bytes: int, amount_bytes: int) -> float:
    if label not in facts.pools() and facts.storages[label].storage == "overlay2-ext4":
        return float(file_bytes)
    block = facts.chunk_bytes(label) or COPY_WINDOW_BLOCKS * PAGE_BYTES
    return expected_bytes(file_bytes, block, amount_bytes // PAGE_BYTES)


def _update_of(run: Run) -> tuple[StepsWorkload, Update]:
    for workload in scenario_of(run).workload:
        if isinstance(workload, StepsWorkload) and "layer" in workload.targets:
            for step in workload.steps:
                if isinstance(step, Update):
                    return workload, step
    raise ValueError(f"the scenario of {run.manifest.run} updates no file in a layer")


def _number(row: dict[str, object] | None) -> float:
    return math.nan if row is None else float(str(row["median"]))


def first_against_second(run: Run, workload: str) -> list[tuple[str, str, stats.Estimate]]:
    """(job, storage, first pass ÷ second pass) of the write bandwidth in the layer, for a workload's jobs."""
    table = stats.rewrite_against_first(run.measurements)
    own = table[(table["workload"] == workload) & (table["target"] == "layer")]
    return [(str(row["phase"]), str(row["label"]), inverse(found)) for row in own.to_dict("records")
            if (found := stats.estimate(row)).n and found.centre == found.centre]
