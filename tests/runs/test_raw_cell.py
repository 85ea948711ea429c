"""A cell's raw folder is read into rows without inventing or losing a number."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from lab.errors import InputError, ReaderError
from lab.runs.raw_cell import read_raw_cell, space_of
from lab.runs.raw_timing import read_timings
from lab.storages.catalogue import find_storage

KIB, MIB = 1024, 1024**2
MEMINFO = "MemTotal: 2000 kB\nMemAvailable: 1000 kB\nDirty: 8 kB\n"
POOL = "docker-thinpool: 0 {sectors} thin-pool 1 10/100 {used}/64 - rw discard_passdown queue_if_no_space - 25\n"


def sample(t: float, used: int, *, written: int = 0, status: str | None = None) -> dict[str, Any]:
    return {
        "t": t, "disks": {"pool": "vdb", "spare": "vdc"}, "meminfo": MEMINFO, "cgroups": {"a": {"current": 4096}},
        "diskstats": "".join(f" 254 16 {name} 1 0 8 1 2 0 {written} 1 0 1 1 3 0 24 1 0 0\n" for name in ("vdb", "vdc")),
        "dmsetup": status if status is not None else POOL.format(sectors=64 * 1024, used=used),
        "mounts": {"volumes": {"block_bytes": 4096, "blocks": 100, "free_blocks": 60, "files": 10, "free_files": 4}},
        "elapsed": 0.1, "cpu": t,
    }


def write_cell(folder: Path, boundaries: list[dict[str, Any]], samples: list[dict[str, Any]],
               **changes: Any) -> None:
    phase = {"name": "write", "kind": "write", "began": 10.0, "ended": 12.0, "duration_seconds": 1.5,
             "sync_seconds": 0.25, "application_bytes": 1024 * 1024, "fio_file": None, "dropped_caches": False,
             "detail": {}} | changes
    folder.mkdir(exist_ok=True)
    (folder / "cell.json").write_text(json.dumps({
        "cell": "direct-lvm.layer.files", "storage": "direct-lvm", "kind": "direct-lvm", "target": "layer",
        "workload": "files", "chunk_size_bytes": 524288, "phases": [phase]}))
    for name, lines in (("boundaries", boundaries), ("samples", samples)):
        (folder / f"{name}.jsonl.gz").write_bytes(
            gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode()))


def values(folder: Path) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in read_raw_cell(folder, "r", 1).measurements}


def test_growth_is_the_difference_of_the_boundaries_in_bytes(tmp_path: Path) -> None:
    write_cell(tmp_path, [sample(9, 4, written=0), sample(13, 8, written=4096)], [sample(11, 6)])
    found = values(tmp_path)
    assert found["storage_used"] == 8 * 524288
    assert found["storage_growth"] == 4 * 524288
    assert found["disk_written"] == 4096 * 512
    assert found["allocation_amplification"] == 2.0
    assert found["volume_growth"] == 0


def test_a_pool_that_lvm_has_extended_is_read_though_the_volume_below_it_has_two_targets(tmp_path: Path) -> None:
    extended = (POOL.format(sectors=64 * 1024, used=8) + "docker-thinpool_tdata: 0 40960 linear\n"
                "docker-thinpool_tdata: 40960 24576 linear\n")
    write_cell(tmp_path, [sample(9, 4), sample(13, 8, status=extended)], [sample(11, 6, status=extended)])
    assert values(tmp_path)["storage_growth"] == 4 * 524288


def test_what_was_not_measured_has_no_row(tmp_path: Path) -> None:
    write_cell(tmp_path, [sample(9, 4), sample(13, 8)], [], duration_seconds=None, application_bytes=None)
    assert not {"duration", "application_bytes", "allocation_amplification", "container_size",
                "loop_data_allocated"} & set(values(tmp_path))


def test_what_the_host_gave_and_got_back_is_told_where_the_disk_is_sparse(tmp_path: Path) -> None:
    before, after = sample(9, 4) | {"host_allocated": 8192}, sample(13, 8) | {"host_allocated": 4096}
    write_cell(tmp_path, [before, after], [])
    assert values(tmp_path)["host_disk_growth"] == -4096
    write_cell(tmp_path, [sample(9, 4) | {"host_allocated": None}, sample(13, 8) | {"host_allocated": None}], [])
    assert "host_disk_growth" not in values(tmp_path)


@pytest.mark.parametrize("chunk", [192 * KIB, 48 * MIB, 64 * MIB])
def test_a_rest_of_the_pool_too_small_for_a_data_block_is_no_part_of_the_blocks(chunk: int) -> None:
    blocks = 3892 * MIB // chunk
    told = sample(1, 0, status=f"docker-thinpool: 0 {3892 * MIB // 512} thin-pool 1 10/100 {blocks}/{blocks} - rw "
                               "discard_passdown queue_if_no_space - 25\n")
    found = space_of(told, "direct-lvm", chunk)
    assert found["storage_used"] == found["pool_data_total"] == blocks * chunk


def test_a_pool_whose_blocks_are_not_those_that_the_cell_tells_is_refused(tmp_path: Path) -> None:
    larger = sample(13, 8, status=POOL.format(sectors=32 * 1024, used=8))
    write_cell(tmp_path, [sample(9, 4), larger], [])
    with pytest.raises(ReaderError, match="64 data blocks of 512 KiB do not fit on 32768 sectors"):
        read_raw_cell(tmp_path, "r", 1)


@pytest.mark.parametrize("kind", ["btrfs", "overlay2-zfs", ""])
def test_a_storage_that_is_not_known_is_refused_by_its_name_and_taken_for_no_other(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match=f"no storage is named '{kind}' .the storages are loop-lvm, direct-lvm"):
        find_storage(kind)
    write_cell(tmp_path, [sample(9, 4), sample(13, 8)], [])
    path = tmp_path / "cell.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"kind": kind}))
    with pytest.raises(InputError, match=r"cell\.json: no storage is named"):
        read_raw_cell(tmp_path, "r", 1)
    with pytest.raises(InputError, match=r"cell\.json: no storage is named"):
        read_timings(tmp_path, 1)


def test_a_failed_pool_gives_no_counts_rather_than_zeros() -> None:
    failed = sample(1, 0, status="docker-thinpool: 0 65536 thin-pool Fail\n")
    assert "storage_used" not in space_of(failed, "direct-lvm", 524288)


def test_a_failed_pool_at_a_boundary_leaves_growth_out(tmp_path: Path) -> None:
    failed = sample(13, 0, status="docker-thinpool: 0 65536 thin-pool Fail\n")
    write_cell(tmp_path, [sample(9, 4), failed], [])
    assert not {"storage_used", "storage_growth", "allocation_amplification"} & set(values(tmp_path))
    assert "disk_written" in values(tmp_path)


def test_samples_outside_every_phase_are_between(tmp_path: Path) -> None:
    write_cell(tmp_path, [sample(9, 4), sample(13, 8)], [sample(9.5, 4), sample(11, 6), sample(12.5, 8)])
    rows = [row for row in read_raw_cell(tmp_path, "r", 1).samples if row["metric"] == "storage_used"]
    assert [row["phase"] for row in rows] == ["between", "write", "between"]
    assert [row["t_seconds"] for row in rows] == [0.0, 1.5, 3.0]


def test_a_sample_cut_off_at_the_end_is_left_out_and_one_in_the_middle_is_named(tmp_path: Path) -> None:
    write_cell(tmp_path, [sample(9, 4), sample(13, 8)], [])
    whole = json.dumps(sample(11, 6))
    (tmp_path / "samples.jsonl.gz").write_bytes(gzip.compress(f"{whole}\n{whole[:40]}".encode()))
    assert len({row["t_seconds"] for row in read_raw_cell(tmp_path, "r", 1).samples}) == 1
    (tmp_path / "samples.jsonl.gz").write_bytes(gzip.compress(f"{whole[:40]}\n{whole}\n".encode()))
    with pytest.raises(ReaderError, match=r"samples.jsonl.gz:1: damaged line"):
        read_raw_cell(tmp_path, "r", 1)


def test_a_missing_boundary_is_an_error(tmp_path: Path) -> None:
    write_cell(tmp_path, [sample(9, 4)], [])
    with pytest.raises(ReaderError, match="1 boundary records for 1 phases"):
        read_raw_cell(tmp_path, "r", 1)


def test_truncated_gzip_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    write_cell(tmp_path, [sample(9, 4), sample(13, 8)], [])
    path = tmp_path / "samples.jsonl.gz"
    path.write_bytes(gzip.compress(b"x" * 100)[:12])
    with pytest.raises(ReaderError, match=r"samples\.jsonl\.gz"):
        read_raw_cell(tmp_path, "r", 1)
