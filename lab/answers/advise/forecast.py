"""What one container of the profile takes and gives back on each option, by the model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.answers.advise.options import Option
from lab.answers.advise.profile import Profile, Space
from lab.metrics import GROWTHS
from lab.model.filesystems.file_work import log_line_bytes
from lab.model.parameters import Parameters
from lab.readers.image_archive import box_image
from lab.scenario.files import BOX_IMAGES
from lab.scenario.phases import phase_kind
from lab.scenario.scenario import MachineSpec, Scenario, StepsWorkload, Target
from lab.scenario.steps import AnyStep, Delete, GiB, Log, Remove, SmallFiles, Start, Trim, Update, Write
from lab.simulate.runner import simulated_cells

CONTAINERS = 2
"""Simulated at a time; the forecast is their mean, and more of them take that many times as much."""

WITH_LARGE_FILE = "lab/app:1"
"""The image of the box with a file of 32 MiB to update, which a volume there would be filled with."""

LEAST_DISK_BYTES = 16 * GiB
DISK_PER_BYTE = 8
"""The simulated disk is so many times what the containers write: a pool that has room."""


@dataclass(frozen=True)
class Forecast:
    """Bytes of one container, in the layers' storage and on the disk of volumes together."""

    taken_bytes: float
    """By start and work, before anything is freed."""
    delete_bytes: float | None
    """What deleting the written files gives back at once; None where nothing is written."""
    trim_bytes: float | None
    """What fstrim gives back then."""
    remove_bytes: float
    """What ``docker rm`` gives back in the end."""
    failed: str | None = None
    """Why the model could not tell; the amounts are 0 then."""


@dataclass(frozen=True)
class Forecasts:
    """What the model tells of each option."""

    images: tuple[str, ...]
    """The images of the box that stood in for the profile's."""
    by_option: Mapping[Option, Forecast]


def forecast(profile: Profile, options: Sequence[Option], parameters: Parameters) -> Forecasts | None:
    """What the model tells of each option; None where the profile says nothing of space."""
    if profile.space is None:
        return None
    inside, outside = stand_ins(profile)
    scenario = _scenario(_counted(profile), inside, outside, options)
    totals: dict[str, dict[str, float]] = {}
    failed: dict[str, str] = {}
    for told in simulated_cells(scenario, parameters, [1], run="forecast"):
        if told.error is not None:
            failed[told.job.cell_id] = told.error.output
        totals[told.job.cell_id] = _growth(told.measurements)
    found = {}
    for option in options:
        inside_cell, outside_cell = f"{option.label}.layer.inside", f"{option.label}.volume.outside"
        apart = option.target == "volume"
        wrong = failed.get(outside_cell if apart else inside_cell)
        if apart and profile.space.rewritten_bytes:         # the update stays in the layer
            wrong = wrong or failed.get(inside_cell)
        found[option] = Forecast(0, None, None, 0, wrong) if wrong else _forecast(
            totals[inside_cell], totals[outside_cell] if apart else None, profile.space)
    return Forecasts(tuple(dict.fromkeys((inside, outside))), found)


def _counted(profile: Profile) -> Space:
    """What the host holds of it: only json-file keeps logs where containers are."""
    assert profile.space is not None
    if profile.host.log_driver == "json-file":
        return profile.space
    return profile.space.model_copy(update={"log_lines": 0})


def stand_ins(profile: Profile) -> tuple[str, str]:
    """For work in the layer and for work in a volume: the image whose number of layers is nearest to the profile's.

    Only images with nothing where the volume is mounted; where a file of the image is updated, the one that has it.
    """
    empty = [name for name in BOX_IMAGES if not any(path.startswith("data/") for path in box_image(name).files())]
    nearest = min(empty, key=lambda name: abs(len(box_image(name).layers) - profile.host.layers))
    updates = profile.space is not None and profile.space.rewritten_bytes > 0
    return WITH_LARGE_FILE if updates else nearest, nearest


def _scenario(space: Space, inside: str, outside: str, options: Sequence[Option]) -> Scenario:
    """All in the layer, and all but the update of the image's file in a volume."""
    specs = list(dict.fromkeys(option.spec for option in options))
    wanted = CONTAINERS * (space.written_bytes + space.rewritten_bytes + space.small_files * space.small_file_bytes
                           + space.log_lines * log_line_bytes(space.log_width))
    disk = max(LEAST_DISK_BYTES, -(-DISK_PER_BYTE * wanted // GiB) * GiB)
    machine = MachineSpec(pool_disk=disk, spare_disk=disk)
    workloads = tuple(
        StepsWorkload(name=name, image=image, targets=(target,), containers=CONTAINERS,
                      steps=tuple(_steps(space, update=target == "layer")))
        for name, image, target in _workloads(inside, outside))
    text = repr((specs, workloads))
    return Scenario(name="forecast", question="What does one container of the profile take?", seed=1,
                    machine=machine, storages=tuple(specs), targets=("layer", "volume"), workload=workloads,
                    path=Path("forecast"), text=text, sha256=hashlib.sha256(text.encode()).hexdigest())


def _workloads(inside: str, outside: str) -> tuple[tuple[str, str, Target], ...]:
    return ("inside", inside, "layer"), ("outside", outside, "volume")


def _steps(space: Space, *, update: bool) -> list[AnyStep]:
    steps: list[AnyStep] = [Start()]
    if space.written_bytes:
        steps.append(Write(amount=space.written_bytes, files=space.files))
    if update and space.rewritten_bytes:
        steps.append(Update(amount=space.rewritten_bytes))
    if space.small_files:
        steps.append(SmallFiles(count=space.small_files, each=space.small_file_bytes))
    if space.log_lines:
        steps.append(Log(lines=space.log_lines, width=space.log_width))
    if space.written_bytes:
        steps.append(Delete(what="written"))
    if space.small_files:
        steps.append(Delete(what="small_files"))
    return [*steps, Trim(), Remove()]


def _growth(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Bytes of one container by kind of step, in both places together."""
    sums: dict[str, float] = {}
    for row in rows:
        if row["metric"] in GROWTHS:
            kind = phase_kind(str(row["phase"]))
            sums[kind] = sums.get(kind, 0.0) + float(row["value"]) / CONTAINERS
    return sums


def _forecast(inside: Mapping[str, float], outside: Mapping[str, float] | None, space: Space) -> Forecast:
    """Of the container alone, or of its volume's work and the update in its layer."""
    own = inside if outside is None else outside
    update = inside.get("update", 0.0)
    taken = update + sum(own.get(kind, 0.0) for kind in ("start", "write", "small_files", "log"))
    deletes = bool(space.written_bytes or space.small_files)
    # what the update took in the layer goes with the container, wherever the rest lies
    removed = -own["remove"] + (0.0 if outside is None else update)
    return Forecast(taken, -own["delete"] if deletes else None, -own["trim"] if deletes else None, removed)
