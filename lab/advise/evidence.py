"""What measured runs tell: bandwidths by option and job, and what each storage takes and gives back.

One run carries the advice, because ratios hold within a run and not across machines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import lab
from lab.advise.jobs import JobShare
from lab.advise.options import OPTIONS, Option, label_of
from lab.analysis import stats
from lab.analysis.reference_parts import before_freeing
from lab.analysis.words import records, unique
from lab.errors import InputError
from lab.records import CANDIDATE
from lab.scenario import Target
from lab.store import Run, open_run

REFERENCE = Path("results/reference")

METRICS = ("write_bandwidth", "read_bandwidth", "storage_growth", "application_bytes")

Repetitions = Mapping[int, float]
"""Repetition -> value."""


@dataclass(frozen=True)
class Measured:
    """One run's numbers by label of ``options.STORAGES``.

    ``values``: (label, target, workload, phase, metric) -> the value in each repetition; ``phases``: (workload,
    target) -> its phases in order.
    """

    run: Run
    values: Mapping[tuple[str, str, str, str, str], Repetitions]
    phases: Mapping[tuple[str, str], Sequence[str]]

    @property
    def folder(self) -> str:
        """Where the run lies, from the current directory where it is below."""
        path = self.run.path.resolve()
        return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)

    @cached_property
    def labels(self) -> list[str]:
        """The storages that it has, in the advice's order."""
        seen = {key[0] for key in self.values}
        return [label for label in dict.fromkeys(option.label for option in OPTIONS) if label in seen]

    def workload_of(self, phase: str, metric: str) -> str | None:
        """The workload that has the phase; of several the first by name, the same for every storage."""
        return min((key[2] for key in self.values if key[3:] == (phase, metric)), default=None)

    def find(self, label: str, target: Target, phase: str, metric: str) -> Repetitions:
        """A value in each repetition; empty where it was not measured."""
        workload = self.workload_of(phase, metric)
        return {} if workload is None else self.values.get((label, target, workload, phase, metric), {})

    def job(self, option: Option, share: JobShare) -> Repetitions:
        """The bandwidth of a job above zero, B/s, where the option does it."""
        found = self.find(option.label, share.target(option.target), share.phase, share.metric)
        return {repetition: value for repetition, value in found.items() if value > 0}

    def growth(self, label: str, phases: Sequence[str], workload: str) -> float | None:
        """Median over repetitions of what those phases together took in the layer, bytes."""
        found = [self.values.get((label, "layer", workload, phase, "storage_growth"), {}) for phase in phases]
        shared = set.intersection(*(set(one) for one in found)) if found else set()
        return median(sum(one[repetition] for one in found) for repetition in shared) if shared else None

    def steps_with(self, kind: str) -> str | None:
        """A workload of container steps in the layer that has a step of that kind."""
        return min((workload for (workload, target), phases in self.phases.items()
                    if target == "layer" and kind in phases and "start" in phases), default=None)

    def taken(self, label: str) -> float | None:
        """What container steps took in the layer before the first that frees, bytes."""
        workload = self.steps_with("start")
        return None if workload is None else self.growth(
            label, before_freeing(self.phases[workload, "layer"]), workload)

    def updated(self, label: str) -> float | None:
        """What the first update of a file of the image took in the layer, bytes."""
        workload = self.steps_with("update")
        return None if workload is None else self.growth(label, ["update"], workload)

    def deleted(self, label: str) -> tuple[float, float] | None:
        """What the first delete of written files gave back at once, and what writing them had taken; bytes."""
        workload = self.steps_with("delete")
        if workload is None or "write" not in self.phases[workload, "layer"]:
            return None
        freed, taken = self.growth(label, ["delete"], workload), self.growth(label, ["write"], workload)
        return None if freed is None or taken is None else (-freed, taken)


def read_measured(run: Run) -> Measured:
    """A run's numbers.  Of a run with two arms, the candidate's.  Raises InputError where its table is damaged."""
    frame = stats.prepare(run.measurements)
    labels = {cell: label_of(record) for cell, record in run.manifest.cells.items()}
    frame = frame[frame["metric"].isin(METRICS) & frame["cell"].isin([cell for cell, label in labels.items() if label])]
    if stats.has_arms(frame):
        frame = frame[frame["arm"] == CANDIDATE]
    values: dict[tuple[str, str, str, str, str], dict[int, float]] = {}
    keys = ["cell", "target", "workload", "phase", "metric", "repetition"]
    for row in records(frame.groupby(keys, sort=False)["value"].median().reset_index()):
        place = (str(labels[row["cell"]]), str(row["target"]), str(row["workload"]), str(row["phase"]),
                 str(row["metric"]))
        values.setdefault(place, {})[int(row["repetition"])] = float(row["value"])
    phases = {(str(workload), str(target)): [str(phase) for phase in unique(part["phase"])]
              for (workload, target), part in frame.groupby(["workload", "target"], sort=False)}
    return Measured(run, values, phases)


@dataclass(frozen=True)
class Found:
    """The runs that can be used, and why the others cannot, a sentence each."""

    measured: tuple[Measured, ...]
    refused: tuple[str, ...]


def default_runs() -> Path:
    """The committed reference runs: of the checkout that the package lies in, else below the current directory.

    Raises InputError where neither is there.
    """
    places = [Path(lab.__file__).resolve().parents[1] / REFERENCE, REFERENCE]
    for place in places:
        if place.is_dir():
            return place
    raise InputError("there are no reference runs", where=" and ".join(str(place) for place in places),
                     remedy="name measured runs with --runs, or measure: lab run scenarios/reference.yaml")


def find_measured(paths: Sequence[Path]) -> Found:
    """The measured runs in those folders or below.

    Runs of another schema version, damaged ones, simulated ones, and those without a storage of the advice are left
    out by name.  Raises InputError where a folder is not there, or has no run.
    """
    found, refused = [], []
    for folder in unique_folders(paths):
        try:
            run = open_run(folder)
            if run.manifest.simulated:
                refused.append(f"{folder}: it was simulated, and only measured runs are evidence")
                continue
            measured = read_measured(run)
        except InputError as error:
            refused.append(str(error))
            continue
        if measured.values:
            found.append(measured)
        else:
            refused.append(f"{folder}: none of its rows is of a storage that is advised on")
    return Found(tuple(found), tuple(refused))


def unique_folders(paths: Sequence[Path]) -> list[Path]:
    """The folders of runs in those folders or below, each once."""
    folders: dict[Path, Path] = {}
    for path in paths:
        if not path.is_dir():
            raise InputError("no such folder", where=f"--runs {path}", remedy="name a run's folder, or one above some")
        found = [path] if (path / "manifest.json").is_file() else sorted(
            file.parent for file in path.rglob("manifest.json") if "raw" not in file.parts[-3:])
        if not found:
            raise InputError("no run in this folder or below", where=f"--runs {path}",
                             remedy="make one with `lab run scenarios/reference.yaml`")
        for folder in found:
            folders.setdefault(folder.resolve(), folder)
    return list(folders.values())


def choose(measured: Sequence[Measured], shares: Sequence[JobShare]) -> Measured | None:
    """The run that the ratios rest on: it has most of the profile's weight on most options, then most repetitions."""
    def worth(one: Measured) -> tuple[float, int]:
        jobs = [(share.weight, one.job(option, share)) for option in OPTIONS for share in shares]
        return (round(sum(weight for weight, found in jobs if found), 9),
                max((len(found) for _, found in jobs), default=0))

    best = max(measured, key=lambda one: (worth(one), one.folder), default=None)
    return best if best is not None and worth(best)[0] > 0 else None


def choose_steps(measured: Sequence[Measured]) -> Measured | None:
    """The run that the counts of space rest on: it has container steps on the most storages."""
    def worth(one: Measured) -> int:
        return sum(one.taken(label) is not None for label in one.labels)

    best = max(measured, key=lambda one: (worth(one), one.folder), default=None)
    return best if best is not None and worth(best) else None


