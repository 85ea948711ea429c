"""Speed and memory of the exact pool: ``pytest tests/bench --benchmark-only`` prints all of it in one run.

One core, arrays in memory, a device of 10 GiB with blocks of 64 KiB, random writes of 4 KiB.  The steady
state is held against numpy's ``mask[index] = True``; the two cases that really allocate and copy, against
the loop over a dict that everybody writes first.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from lab.model.pool.thinpool import PoolConfig, ThinPool
from lab.readers.iolog import read_writes

T = TypeVar("T")
CHUNK = 65536
DEVICE_BYTES = 10 << 30
BLOCKS = DEVICE_BYTES // CHUNK
WRITES = 4_000_000


@pytest.fixture(autouse=True)
def _only_on_demand(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("benchmark_only"):
        pytest.skip("measures speed: run with --benchmark-only")


@pytest.fixture(scope="module")
def offsets() -> NDArray[np.int64]:
    return np.random.default_rng(7).integers(0, DEVICE_BYTES // 4096, WRITES) * 4096


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    def out(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", end="")

    return out


def empty_pool(metadata_blocks: int | None) -> ThinPool:
    pool = ThinPool(PoolConfig(CHUNK, 2 * BLOCKS, metadata_blocks))
    pool.create_thin(0, DEVICE_BYTES)
    return pool


def write_all(offsets: NDArray[np.int64], pool: ThinPool) -> object:
    return pool.write(0, offsets, 4096)


def full_pool(metadata_blocks: int | None) -> ThinPool:
    pool = empty_pool(metadata_blocks)
    pool.write(0, np.arange(BLOCKS) * CHUNK, CHUNK)
    pool.commit()
    return pool


def timed(
    benchmark: BenchmarkFixture,
    call: Callable[..., T],
    *,
    rounds: int,
    warmup_rounds: int = 0,
    setup: Callable[[], tuple[tuple[object, ...], dict[str, object]]] | None = None,
) -> tuple[float, T]:
    """Best time of some rounds in seconds, and what the last call returned.  ``setup`` gives its arguments."""
    result: T = benchmark.pedantic(call, setup=setup, rounds=rounds, warmup_rounds=warmup_rounds)  # type: ignore[no-untyped-call]
    assert benchmark.stats is not None
    seconds: float = benchmark.stats.stats.min
    return seconds, result


def best(call: Callable[[], object], rounds: int = 5) -> float:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def test_steady_state(benchmark: BenchmarkFixture, offsets: NDArray[np.int64], say: Callable[[str], None]) -> None:
    pool = full_pool(8192 * 4)
    index = offsets // CHUNK
    mask = np.zeros(BLOCKS, np.bool_)

    def set_mask() -> None:
        mask[index] = True

    ours, _ = timed(benchmark, lambda: pool.write(0, offsets, 4096), rounds=10, warmup_rounds=2)
    theirs = best(set_mask, 10)
    rate, ratio = WRITES / ours, theirs / ours
    benchmark.extra_info.update(writes_per_second=rate, of_mask=ratio)
    say(f"steady state: {rate / 1e6:.0f} million writes/s, {ratio:.2f} of mask[index] = True")
    assert rate >= 100e6
    assert ratio >= 0.25


def dict_cold(offsets: list[int]) -> dict[int, int]:
    mapping: dict[int, int] = {}
    for offset in offsets:
        block = offset // CHUNK
        if block not in mapping:
            mapping[block] = len(mapping)
    return mapping


def dict_after_snapshot(offsets: list[int], mapping: dict[int, int], times: dict[int, int]) -> int:
    following = len(mapping)
    for offset in offsets:
        block = offset // CHUNK
        if times[block] < 1:
            mapping[block] = following
            times[block] = 1
            following += 1
    return following


@pytest.mark.parametrize("metadata_blocks", [8192 * 4, None], ids=["metadata", "data-only"])
def test_cold_fill(
    benchmark: BenchmarkFixture, offsets: NDArray[np.int64], say: Callable[[str], None], metadata_blocks: int | None
) -> None:
    listed = offsets[: WRITES // 4].tolist()
    theirs = best(lambda: dict_cold(listed), 2) * 4

    def fresh() -> tuple[tuple[object, ...], dict[str, object]]:
        return (empty_pool(metadata_blocks),), {}

    ours, _ = timed(benchmark, partial(write_all, offsets), setup=fresh, rounds=3)
    what = "with metadata" if metadata_blocks else "data blocks only"
    benchmark.extra_info.update(writes_per_second=WRITES / ours, of_dict=theirs / ours)
    say(
        f"cold fill, {what}: {WRITES / ours / 1e6:.1f} million writes/s ({BLOCKS / ours / 1e6:.2f} million "
        f"allocations/s), {theirs / ours:.1f} times the dict loop"
    )
    assert ours < theirs


@pytest.mark.parametrize("metadata_blocks", [8192 * 4, None], ids=["metadata", "data-only"])
def test_after_snapshot(
    benchmark: BenchmarkFixture, offsets: NDArray[np.int64], say: Callable[[str], None], metadata_blocks: int | None
) -> None:
    listed = offsets[: WRITES // 4].tolist()
    mapping, times = {block: block for block in range(BLOCKS)}, dict.fromkeys(range(BLOCKS), 0)
    theirs = best(lambda: dict_after_snapshot(listed, mapping, times), 1) * 4

    def fresh() -> tuple[tuple[object, ...], dict[str, object]]:
        pool = full_pool(metadata_blocks)
        pool.create_snapshot(1, 0)
        return (pool,), {}

    ours, _ = timed(benchmark, partial(write_all, offsets), setup=fresh, rounds=3)
    what = "with metadata" if metadata_blocks else "data blocks only"
    benchmark.extra_info.update(writes_per_second=WRITES / ours, of_dict=theirs / ours)
    say(
        f"after a snapshot, {what}: {WRITES / ours / 1e6:.1f} million writes/s ({BLOCKS / ours / 1e6:.2f} million "
        f"copies/s), {theirs / ours:.1f} times the dict loop"
    )
    assert ours < theirs


def test_read_iolog(benchmark: BenchmarkFixture, tmp_path: Path, say: Callable[[str], None]) -> None:
    """Ten million lines, gzipped."""
    part = 1_000_000
    numbers = np.random.default_rng(8).integers(0, DEVICE_BYTES // 4096, part) * 4096
    lines = "".join(f"/dev/mapper/thin0 write {number} 4096\n" for number in numbers.tolist()).encode()
    member = gzip.compress(lines, 1)
    path = tmp_path / "trace.log.gz"
    with path.open("wb") as file:
        file.write(gzip.compress(b"fio version 2 iolog\n/dev/mapper/thin0 add\n/dev/mapper/thin0 open\n"))
        for _ in range(10):
            file.write(member)
    seconds, (found, _) = timed(benchmark, lambda: read_writes(path), rounds=1)
    say(f"I/O log of 10 million lines, gzipped: {seconds:.1f} s")
    assert found.size == 10 * part
    assert seconds <= 20


MEMORY = """
import re
from pathlib import Path
import numpy as np
from lab.model.pool.thinpool import PoolConfig, ThinPool

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

size = 1 << 40
before = peak()
pool = ThinPool(PoolConfig(65536, size // 65536, 1 << 17))
pool.create_thin(0, size)
for start in range(0, size, size // 256):
    pool.write(0, np.arange(start, start + size // 256, 65536), 4096)
pool.commit()
assert pool.used_data_blocks == size // 65536
print(peak() - before)
"""


def test_memory(benchmark: BenchmarkFixture, say: Callable[[str], None]) -> None:
    """A device of 1 TiB, every block mapped, metadata included, in a process of its own."""

    def measure() -> int:
        done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
        return int(done.stdout)

    _, taken = timed(benchmark, measure, rounds=1)
    benchmark.extra_info["bytes"] = taken
    say(f"1 TiB mapped in full: {taken / 1e6:.0f} MB")
    assert taken <= 160e6


def test_start(benchmark: BenchmarkFixture, tmp_path: Path, say: Callable[[str], None]) -> None:
    """``lab replay`` of a trace of one write, from the shell to its end; beside it, what its modules alone take."""
    trace = tmp_path / "trace.log"
    trace.write_text("fio version 2 iolog\n/dev/x add\n/dev/x open\n/dev/x write 0 4096\n/dev/x close\n")
    command = [sys.executable, "-c", "from lab.cli import main; main()", "replay", str(trace)]
    imports = [sys.executable, "-c",
               "import lab.simulate.replay, lab.report.replay_tables, lab.simulate.replay.block_sizes"]
    whole, _ = timed(benchmark, lambda: subprocess.run(command, check=True, capture_output=True), rounds=5)
    part = best(lambda: subprocess.run(imports, check=True))
    say(f"lab replay of one write: {whole:.2f} s, of which its own modules take {part:.2f} s to import")
    assert part <= 0.5
