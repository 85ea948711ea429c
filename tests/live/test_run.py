"""A real VM, a real thin pool, real dockerd, real fio: the whole way from a scenario to a page."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from lab.readers.thin_dump import read_thin_dump
from lab.runs.store import Run, open_run

pytestmark = pytest.mark.live

SCENARIO = """\
name: live
question: Do all storages work, and do they give back what was deleted?
seed: 7
machine: {memory: 1GiB, pool_disk: 2GiB, spare_disk: 2GiB}
storages: [loop-lvm, direct-lvm, overlay2-ext4]
targets: [layer]
workload:
  - name: files
    image: lab/app:1
    steps: [start, write: {amount: 16MiB, files: 2}, update: {file: large.bin, amount: 1MiB},
            small_files: {count: 50, each: 4KiB}, log: {lines: 100}, delete: written, trim, remove]
  - name: fio
    image: lab/app:1
    fio: tiny.fio
    targets: [volume]
    drop_caches: true
"""
TRACED = """\
name: traced
question: Does a block trace hold what the kernel counted, step for step?
seed: 7
machine: {memory: 1GiB, pool_disk: 2GiB, spare_disk: 2GiB}
storages: [direct-lvm]
targets: [layer]
workload:
  - name: files
    image: lab/app:1
    trace: true
    steps: [start, write: {amount: 16MiB, files: 2}, update: {file: large.bin, amount: 1MiB},
            small_files: {count: 50, each: 4KiB}, delete: written, trim, remove]
"""
TINY = """\
[global]
ioengine=psync
randrepeat=0
filename=tiny
size=4m
direct=1
[first]
rw=write
bs=1m
[sync]
rw=randwrite
bs=4k
number_ios=40
fdatasync=1
"""
KILLED = """\
name: killed
question: Is anything lost or left over when the runner is killed?
seed: 8
machine: {memory: 1GiB, pool_disk: 2GiB, spare_disk: 2GiB}
storages: [overlay2-ext4]
targets: [layer, volume]
workload:
  - name: files
    steps: [start, write: {amount: 4MiB, files: 1}, remove]
"""
FAILING = """\
name: failing
question: Does a failed command stay alone, and does a hostile argument stay an argument?
seed: 9
machine: {memory: 1GiB, pool_disk: 2GiB, spare_disk: 2GiB}
storages: [overlay2-ext4]
targets: [layer]
workload:
  - name: bad
    command: [sh, -c, "echo what went wrong >&2; exit 7"]
  - name: good
    command: [sh, -c, 'printf %s "$1"', sh, "a b; exit 9 \\" $(exit 9) `id` 'q' * \\n x"]
"""


ARM = """\
name: arms
question: Does each arm do its own work, next to the other, on one machine, and is only the candidate slowed down?
seed: 10
machine: {{memory: 1GiB, pool_disk: 2GiB, spare_disk: 2GiB}}
storages: [{storage}]
targets: [layer]
workload:
  - name: fio
    fio: {amount}.fio
  - name: again
    fio: {amount}.fio
"""
PLAIN = "[plain]\nioengine=psync\nrw=write\nbs=1m\nsize={amount}\ndirect=1\nfilename=plain\n"
HELD_TO = 4 * 2**20
"""Bytes a second."""


@pytest.fixture(scope="module")
def measured(cli: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("live")
    (folder / "live.yaml").write_text(SCENARIO)
    (folder / "tiny.fio").write_text(TINY)
    done = cli("run", str(folder / "live.yaml"), "--results", str(folder / "results"))
    assert done.returncode == 0, done.stderr[-4000:]
    return open_run(Path(done.stdout.splitlines()[-1]))


def value(run: Run, storage: str, phase: str, metric: str) -> float:
    table = run.measurements
    rows = table[(table.storage == storage) & (table.phase == phase) & (table.metric == metric)]
    assert len(rows) == 1, (storage, phase, metric, len(rows))
    return float(rows.value.iloc[0])


def test_every_cell_is_done_and_no_machine_is_left_running(measured: Run, cli: Any) -> None:
    assert measured.manifest.status == "complete"
    assert {result.status for result in measured.manifest.results} == {"done"}
    assert len(measured.manifest.results) == 3 * 2 + 3
    assert cli.machines_running() == []


@pytest.mark.parametrize("storage", ["loop-lvm", "direct-lvm"])
def test_a_thin_pool_grows_by_a_write_and_keeps_it_when_the_files_are_deleted(measured: Run, storage: str) -> None:
    written = 16 * 2**20
    # a data block is up to 512 KiB, and the file system's own metadata lands in blocks of its own
    assert written <= value(measured, storage, "write", "storage_growth") <= 2.5 * written
    assert abs(value(measured, storage, "delete", "storage_growth")) < 2 * 2**20
    assert value(measured, storage, "trim", "storage_growth") <= -0.7 * written


def test_overlay2_gives_deleted_files_back_at_once(measured: Run) -> None:
    assert value(measured, "overlay2-ext4", "delete", "storage_growth") <= -0.9 * 16 * 2**20


def test_overlay2_copies_the_whole_file_up_and_a_thin_pool_does_not(measured: Run) -> None:
    assert value(measured, "overlay2-ext4", "update", "storage_growth") >= 32 * 2**20
    assert value(measured, "loop-lvm", "update", "storage_growth") < 24 * 2**20


def test_fio_in_a_volume_gives_latencies_and_syncs(measured: Run) -> None:
    for storage in ("loop-lvm", "direct-lvm", "overlay2-ext4"):
        assert value(measured, storage, "first", "write_bandwidth") > 0
        assert value(measured, storage, "sync", "sync_latency_p50") > 0


def test_samples_come_every_second_or_two_and_the_clock_was_compared(measured: Run) -> None:
    samples = measured.samples
    for _, group in samples[samples.metric == "storage_used"].groupby("cell"):
        assert group.t_seconds.diff().dropna().median() < 2.5
    assert measured.manifest.clock
    assert all(abs(check.drift) < 0.05 for check in measured.manifest.clock)


def test_the_raw_output_and_the_pools_mappings_are_kept(measured: Run) -> None:
    for result in measured.manifest.results:
        folder = measured.path / "raw" / result.key
        assert (folder / "transcript.jsonl.gz").exists()
        if "files" in result.cell and "overlay2" not in result.cell:
            assert (folder / "thin_dump.xml.gz").stat().st_size > 200


def test_the_block_trace_holds_the_writes_in_the_ground_truths_format_on_a_machine_that_can_trace(
        cli: Any, tmp_path: Path) -> None:
    (tmp_path / "traced.yaml").write_text(TRACED)
    done = cli("run", str(tmp_path / "traced.yaml"), "--results", str(tmp_path / "results"))
    assert done.returncode == 0, done.stderr[-4000:]
    run = open_run(Path(done.stdout.splitlines()[-1]))
    assert run.manifest.machine.accelerator != "uml", "its kernel has no blktrace"
    key = next(result.key for result in run.manifest.results if result.cell == "direct-lvm.layer.files")
    folder = run.path / "raw" / key / "trace"
    case = json.loads((folder / "case.json").read_text())
    assert case["pool"]["chunk_size_bytes"] == 512 * 1024
    # XFS's worker may write between the last count and the trace's end: such requests are counted, and no step's
    assert 0 <= case["requests_outside"] < 200
    for step, kernel in traced_counts(folder, case):
        assert step["expect"]["mapped_blocks"]["0"] == kernel.mapped, step["title"]
        assert step["expect"]["used_data_blocks"] == kernel.used, step["title"]


class Counts(NamedTuple):
    mapped: int
    used: int


def traced_counts(folder: Path, case: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Counts]]:
    """What the trace makes of the pool, by the rules of the ground truth: each step with the counts after it.

    A write maps its blocks, and takes a new data block for each that is a hole or older than the device's last
    snapshot; a discard unmaps the whole blocks inside it, and frees those that are the device's alone.
    """
    chunk: int = case["pool"]["chunk_size_bytes"]
    dump = read_thin_dump(folder / "thin_dump-begin.xml.gz")
    used = len({int(block) for thin in dump.thins.values() for block in thin.data_blocks})
    traced = dump.thins[max(dump.thins)]            # the container's own device was made last
    shared = {int(block) for device, thin in dump.thins.items() if device != traced.device.device_id
              for block in thin.data_blocks}
    own = {int(v): int(d) not in shared
           for v, d in zip(traced.virtual_blocks, traced.data_blocks, strict=True)}
    for step in case["steps"]:
        for op in step["ops"]:
            if op["op"] == "discard":
                for block in range(-(-op["offset"] // chunk), (op["offset"] + op["length"]) // chunk):
                    used -= own.pop(block, False)
                continue
            for line in gzip.decompress((folder / op["iolog"]).read_bytes()).decode().splitlines():
                if " write " in line:
                    offset, length = map(int, line.split()[3:])
                    for block in range(offset // chunk, (offset + length - 1) // chunk + 1):
                        used += not own.get(block, False)
                        own[block] = True
        yield step, Counts(len(own), used)


def test_the_report_is_one_page_that_says_the_machine_was_emulated(measured: Run, cli: Any) -> None:
    done = cli("report", str(measured.path))
    assert done.returncode == 0, done.stderr[-2000:]
    page = Path(done.stdout.strip()).read_text()
    assert not re.search(r'(src|href)="https?://', page)
    if measured.manifest.machine.emulated:
        assert "emulat" in page.lower()


def test_a_run_that_is_done_already_is_resumed_without_a_machine(measured: Run, cli: Any) -> None:
    scenario = measured.path.parents[1] / "live.yaml"
    began = time.monotonic()
    done = cli("run", str(scenario), "--resume", str(measured.path))
    assert done.returncode == 0, done.stderr[-2000:]
    assert time.monotonic() - began < 15
    assert len(open_run(measured.path).measurements) == len(measured.measurements)


def test_a_failed_command_is_recorded_in_its_own_words_and_the_others_go_on(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "failing.yaml").write_text(FAILING)
    done = cli("run", str(tmp_path / "failing.yaml"), "--results", str(tmp_path / "results"))
    assert done.returncode == 1, done.stderr[-4000:]
    run = open_run(Path(done.stdout.splitlines()[-1]))
    results = {result.cell.rsplit(".", 1)[1]: result for result in run.manifest.results}
    assert results["bad"].started_utc < results["good"].started_utc, "else nothing was left to go on with"
    assert results["good"].status == "done"
    assert results["bad"].status == "failed"
    assert results["bad"].error is not None
    assert results["bad"].error.returncode == 7
    assert "what went wrong" in results["bad"].error.output
    good = (run.path / "raw" / results["good"].key / "command-stdout.txt").read_text()
    assert good == "a b; exit 9 \" $(exit 9) `id` 'q' * \n x"


def writes_since(began: float, results: Path) -> bool:
    """Whether a set-up or a cell has been begun, which is when its folder is made."""
    for part in results.glob("killed-*/raw/*.part"):
        with contextlib.suppress(FileNotFoundError):        # it may just have become whole
            if part.stat().st_mtime >= began:
                return True
    return False


def test_a_runner_killed_at_random_points_leaks_nothing_and_resume_completes(cli: Any, tmp_path: Path) -> None:
    scenario, results = tmp_path / "killed.yaml", tmp_path / "results"
    scenario.write_text(KILLED)
    seed = time.time_ns()
    print(f"kill points drawn with seed {seed}")
    draw = random.Random(seed)
    for kill, working in ((signal.SIGKILL, False), (signal.SIGTERM, True), (signal.SIGKILL, True)):
        resume = [f"--resume={folder}" for folder in results.glob("killed-*")][:1]
        began = time.time()
        process = cli.start("run", str(scenario), f"--results={results}", *resume)
        while working and process.poll() is None and not writes_since(began, results):
            time.sleep(0.5)
        try:
            process.wait(draw.uniform(2, 20))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, kill)
            status = process.wait(60)
            assert status == (3 if kill == signal.SIGTERM else -kill)
        after = cli("doctor", "--json")
        assert after.returncode == 0, after.stderr
        assert cli.machines_running() == []
    folder = next(results.glob("killed-*"))
    done = cli("run", str(scenario), "--resume", str(folder))
    assert done.returncode == 0, done.stderr[-4000:]
    run = open_run(folder)
    assert run.manifest.status == "complete"
    assert not list(folder.rglob("*.part"))
    keys = ["cell", "phase", "repetition", "metric"]
    assert not run.measurements.duplicated(keys).any()
    assert set(run.measurements.cell) >= {"overlay2-ext4.layer.files", "overlay2-ext4.volume.files"}
    assert isinstance(run.samples, pd.DataFrame)
    assert cli.machines_running() == []


def test_two_arms_do_their_own_work_in_turns_on_one_storage_and_a_throttle_holds_its_own(cli: Any,
                                                                                        tmp_path: Path) -> None:
    for amount in ("8m", "16m"):
        (tmp_path / f"{amount}.fio").write_text(PLAIN.format(amount=amount))
    (tmp_path / "old.yaml").write_text(ARM.format(amount="8m", storage="overlay2-ext4"))
    (tmp_path / "new.yaml").write_text(ARM.format(
        amount="16m", storage="{storage: overlay2-ext4, throttle: {bandwidth: 4MiB}}"))
    done = cli("run", str(tmp_path / "new.yaml"), "--against", str(tmp_path / "old.yaml"),
               "--results", str(tmp_path / "results"))
    assert done.returncode == 0, done.stderr[-4000:]
    run = open_run(Path(done.stdout.splitlines()[-1]))
    assert run.manifest.status == "complete"
    rows = run.measurements
    written = rows[(rows.phase == "plain") & (rows.metric == "io_bytes") & (rows.value > 0)]
    for arm, amount in (("baseline", 8 * 2**20), ("candidate", 16 * 2**20)):
        assert written[written.arm == arm].value.tolist() == [amount, amount]
    speed = rows[(rows.metric == "write_bandwidth") & (rows.value > 0)].groupby("arm").value
    assert speed.max()["candidate"] < 1.2 * HELD_TO      # QEMU lets a tenth of a second's worth through at once
    assert speed.min()["candidate"] > 0.5 * HELD_TO
    assert speed.min()["baseline"] > 1.5 * HELD_TO
    cells = sorted((one for one in run.manifest.results if not one.cell.endswith(".setup")),
                   key=lambda one: one.started_utc)
    for first, second in zip(cells[::2], cells[1::2], strict=True):
        assert (first.cell, first.repetition) == (second.cell, second.repetition)
        assert {first.arm, second.arm} == {"baseline", "candidate"}
    assert {one.arm for one in cells[::2]} == {"baseline", "candidate"}, "the same arm always went first"
    assert cli.machines_running() == []
