"""Run folders with known truth for the tests of the gate: log-normal noise, and an edit of any row."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.runs.records import (
    MEASURED,
    SIMULATED,
    BaselineRecord,
    CellRecord,
    CellResult,
    Failure,
    LabRef,
    MachineRecord,
    Manifest,
    ScenarioRef,
)
from lab.runs.store import RunWriter
from lab.scenario.arms import ARM, BASELINE, Arm

MIB = 1024**2
BLOCK = 512 * 1024
ARMS: tuple[Arm, ...] = ("baseline", "candidate")
Row = dict[str, Any]
Edit = Callable[[Row], Row | None]


def same(row: Row) -> Row:
    return row


def worse(metric: str, factor: float, *, arm: str = "candidate", phase: str = "", label: str = "") -> Edit:
    """Multiplies one metric of one arm."""
    def edit(row: Row) -> Row:
        hit = (row["metric"] == metric and row["arm"] == arm and phase in ("", row["phase"])
               and label in ("", row["storage"]))
        return {**row, "value": row["value"] * factor} if hit else row

    return edit


def build(path: Path, *, arms: Sequence[Arm] = ARMS, repetitions: int = 10, seed: int = 1, noise: float = 0.02,
          edit: Edit = same, label: str = "direct-lvm", workloads: Sequence[str] = ("fio", "files"),
          labels: Sequence[str] = (), held_back: Mapping[str, str] | None = None,
          machine: Mapping[str, Any] | None = None, commit: str = "0123abc", scenario_digest: str = "ab" * 32,
          baseline_digest: str = "ab" * 32, simulated: bool = False, failed: tuple[str, int] | None = None,
          status: str = "complete", dirty: bool = False) -> Path:
    """A run of fio jobs and container steps.  ``failed``: the arm and repetition whose first cell failed.

    ``labels``: of several storages; ``held_back``: the candidate's throttle by label.
    """
    random_ = random.Random(seed)
    writer = RunWriter(path)
    bare = {f"{one}.layer.{name}": CellRecord(storage="direct-lvm", target="layer", workload=name,
                                              options={"chunk_size_bytes": BLOCK})
            for one in labels or (label,) for name in workloads}
    slow = {cell: (held_back or {}).get(cell.partition(".")[0]) for cell in bare}
    cells = {cell: record if slow[cell] is None else record.model_copy(
        update={"options": {**record.options, "throttle": slow[cell]}}) for cell, record in bare.items()}
    results: list[CellResult] = []
    for repetition in range(1, repetitions + 1):
        for cell, record in cells.items():
            for arm in arms:
                keys: Row = {"run": path.name, "cell": cell, "storage": cell.partition(".")[0], "target": "layer",
                             "workload": record.workload, "repetition": repetition, "arm": arm,
                             "source": SIMULATED if simulated else MEASURED}
                told = _fio(random_, noise) if record.workload.startswith("fio") else _files(random_, noise)
                rows = [edit({**keys, "phase": phase, "metric": metric, "value": value, "unit": unit})
                        for phase, metric, value, unit in told]
                broken = failed == (arm, repetition) and cell == next(iter(cells))
                error = Failure(kind="CommandFailed", argv=["fio"], returncode=1, output="no space") if broken else None
                result = CellResult(cell=cell, repetition=repetition, arm=arm, key=f"{len(results):016x}",
                                    status="failed" if broken else "done", error=error,
                                    started_utc="2026-11-24T10:00:00Z", seconds=60.0)
                writer.begin(result.key)
                writer.finish(result, [] if broken else [row for row in rows if row is not None], [])
                results.append(result)
    there = {"emulated": True, "accelerator": "tcg", "cpu_model": "QEMU TCG CPU", "cpus": 2,
             "memory_bytes": 2 * 1024**3,
             "box": "thinpool-lab-1", "disks": "full", "pool_disk_bytes": 4 * 1024**3, "spare_disk_bytes": 4 * 1024**3,
             "cache": "writeback", "host_kernel": "6.1.0", "host_cpus": 2, **(machine or {})}
    if simulated:
        there |= {"emulated": False, "accelerator": SIMULATED}
    writer.close(Manifest(
        run=path.name, status=status,      # type: ignore[arg-type]
        scenario=ScenarioRef(name="aa", question="?", file="aa.yaml", sha256=scenario_digest),
        lab=LabRef(version="0.1.0", commit=commit, dirty=dirty), machine=MachineRecord(**there),
        versions={"kernel": "6.1.0-28-amd64", "qemu": "7.2.22"}, clock=[], seed=1, repetitions=repetitions,
        order=[result.key for result in results], started_utc="2026-11-24T09:58:00Z",
        ended_utc="2026-11-24T10:40:00Z", cells=cells, results=results,
        baseline=BaselineRecord(name="aa", question="?", file="aa.yaml", sha256=baseline_digest, seed=1, cells=bare)
        if BASELINE in arms else None))
    return path


def build_pair(folder: Path, **candidate: Any) -> tuple[Path, Path]:
    """A baseline's run and a candidate's, of one arm each."""
    return (build(folder / "old", arms=(ARM,), seed=11), build(folder / "new", arms=(ARM,), seed=12, **candidate))


def _fio(random_: random.Random, noise: float) -> list[tuple[str, str, float, str]]:
    told: list[tuple[str, str, float, str]] = []
    for phase, speed, growth in (("seq-write", 110.0, 256), ("rand-write", 9.0, 24)):
        rate = speed * random_.lognormvariate(0, noise)
        told += [(phase, "duration", 3.0 * random_.lognormvariate(0, noise), "s"),
                 (phase, "storage_growth", growth * MIB, "B"),
                 (phase, "pool_metadata_used", (40 + growth) * 4096.0, "B"),
                 (phase, "write_bandwidth", rate * MIB, "B/s"), (phase, "write_iops", rate * 256, "1/s"),
                 (phase, "read_bandwidth", 0.0, "B/s"),
                 (phase, "write_latency_p99", 0.004 * random_.lognormvariate(0, 2 * noise), "s")]
    return told


def _files(random_: random.Random, noise: float) -> list[tuple[str, str, float, str]]:
    told: list[tuple[str, str, float, str]] = []
    for phase, seconds, growth, written in (("start", 1.2, 16, 0), ("write", 2.0, 24, 16), ("remove", 0.8, -40, 0)):
        told += [(phase, "duration", seconds * random_.lognormvariate(0, noise), "s"),
                 (phase, "storage_growth", growth * MIB, "B"), (phase, "pool_metadata_used", 60 * 4096.0, "B"),
                 (phase, "application_bytes", written * MIB, "B")]
    return told
