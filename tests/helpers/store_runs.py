"""Small runs on disk, made by the writer itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.runs.records import CellResult, Manifest
from lab.runs.store import RunWriter


def result(key: str, status: str = "done", seconds: float = 1.5) -> CellResult:
    return CellResult.model_validate({
        "cell": f"loop-lvm.layer.{key}", "repetition": 1, "key": key, "status": status,
        "started_utc": "2024-11-07T00:00:00Z", "seconds": seconds,
    })


def measurement(key: str, value: float) -> dict[str, Any]:
    return {"run": "r", "cell": f"loop-lvm.layer.{key}", "storage": "loop-lvm", "target": "layer", "workload": "w",
            "phase": "write", "repetition": 1, "arm": "candidate", "metric": "duration", "value": value, "unit": "s",
            "source": "measured"}


def manifest(results: list[CellResult], run: str = "r") -> Manifest:
    return Manifest.model_validate({
        "run": run, "status": "complete",
        "scenario": {"name": "n", "question": "q", "file": "f", "sha256": "0"},
        "lab": {"version": "0", "commit": None, "dirty": None},
        "machine": {"emulated": True, "accelerator": "tcg", "cpu_model": "m", "cpus": 2, "memory_bytes": 1, "box": "b",
                    "disks": "full", "pool_disk_bytes": 1, "spare_disk_bytes": 1, "cache": "none", "host_kernel": "k",
                    "host_cpus": 4},
        "versions": {}, "clock": [], "seed": 1, "repetitions": 1, "order": [item.key for item in results],
        "started_utc": "a", "ended_utc": "b", "cells": {}, "results": [item.model_dump() for item in results],
    })


def finish(writer: RunWriter, key: str, value: float = 1.0) -> CellResult:
    (writer.begin(key) / "fio.json").write_text("verbatim")
    item = result(key)
    writer.finish(item, [measurement(key, value)], [])
    return item


def closed_run(path: Path, keys: tuple[str, ...] = ("k1", "k2")) -> Path:
    writer = RunWriter(path)
    writer.close(manifest([finish(writer, key, float(number)) for number, key in enumerate(keys)], path.name))
    return path
