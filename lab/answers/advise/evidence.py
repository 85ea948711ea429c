"""What measured runs tell: bandwidths by option and job, and what each storage takes and gives back.

One run carries the ratios, because ratios hold within a run and not across machines.  What cannot be used is left out
and counted: whole runs by name, values by number.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import lab
from lab.analysis import stats
from lab.analysis.comparisons import BANDWIDTHS
from lab.analysis.facts import before_freeing
from lab.answers.advise.jobs import JobShare
from lab.answers.advise.options import OPTIONS, Option, label_of
from lab.errors import InputError
from lab.runs.store import Run, open_run
from lab.scenario.arms import CANDIDATE
from lab.scenario.order import SETUP
from lab.text import counted, records, unique

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = Path("results/reference")

GROWTH = "storage_growth"

Repetitions = Mapping[int, float]
"""Repetition -> value."""

Place = tuple[str, str, str, str, str]
"""Label of ``options.STORAGES``, target, workload, phase, metric."""


@dataclass(frozen=True)
class Measured:
    """One run's numbers.

    ``phases``: (workload, target) -> its phases in order; ``repairs``: what was done to the run's values on reading,
    in words, and to how many of them.
    """

    run: Run
    values: Mapping[Place, Repetitions]
    phases: Mapping[tuple[str, str], Sequence[str]]
    repairs: Mapping[str, int]

    @property
    def folder(self) -> str:
        """Where the run lies, from the current directory where that is shorter."""
        path = self.run.path.resolve()
        return min(str(path), os.path.relpath(path), key=len)

    @property
    def repairs_told(self) -> list[str]:
        """A sentence for each repair, and one for cells that failed."""
        failed = sum(result.status == "failed" for result in self.run.manifest.results)
        told = [f"{self.folder}/manifest.json: {counted(failed, 'cell')} failed and gave no values"] if failed else []
        return told + [f"{self.folder}/measurements.parquet: {counted(count, 'value')} {done}"
                       for done, count in self.repairs.items()]

    @cached_property
    def labels(self) -> list[str]:
        """The storages that it has, in the advice's order."""
        seen = {place[0] for place in self.values}
        return [label for label in unique(option.label for option in OPTIONS) if label in seen]

    def job(self, option: Option, share: JobShare) -> Repetitions:
        """The bandwidth of a job in each repetition, B/s; empty where the option did not do it.

        Of several workloads that have such a job, the first by name, the same for every storage.
        """
        having = min((place[2] for place in self.values if place[3:] == (share.phase, share.metric)), default=None)
        if having is None:
            return {}
        return self.values.get((option.label, share.target(option.target), having, share.phase, share.metric), {})

    def taken(self, label: str) -> float | None:
        """What container steps took in the layer before the first that frees, bytes; median over repetitions."""
        workload = self._steps_with("start")
        return None if workload is None else self._growth(
            label, before_freeing(self.phases[workload, "layer"]), workload)

    def updated(self, label: str) -> float | None:
        """What the first update of a file of the image took in the layer, bytes."""
        workload = self._steps_with("update")
        return None if workload is None else self._growth(label, ["update"], workload)

    def deleted(self, label: str) -> tuple[float, float] | None:
        """What the first delete of written files gave back at once, and what writing them had taken; bytes."""
        workload = self._steps_with("delete")
        if workload is None or "write" not in self.phases[workload, "layer"]:
            return None
        freed, taken = self._growth(label, ["delete"], workload), self._growth(label, ["write"], workload)
        return None if freed is None or taken is None else (-freed, taken)

    def counted(self, label: str) -> int:
        """In how many repetitions what container steps take of a storage's layer was counted."""
        return len({repetition for place, own in self.values.items()
                    if (place[0], place[1], place[4]) == (label, "layer", GROWTH)
                    and "start" in self.phases[place[2], "layer"] for repetition in own})

    def _growth(self, label: str, phases: Sequence[str], workload: str) -> float | None:
        """Of those phases together, in the repetitions that have them all."""
        found = [self.values.get((label, "layer", workload, phase, GROWTH), {}) for phase in phases]
        shared = set.intersection(*(set(one) for one in found)) if found else set()
        return median(sum(one[repetition] for one in found) for repetition in shared) if shared else None

    def _steps_with(self, kind: str) -> str | None:
        """The first workload of container steps in the layer, by name, that has a step of that kind."""
        return min((workload for (workload, target), phases in self.phases.items()
                    if target == "layer" and kind in phases and "start" in phases), default=None)


def read_measured(run: Run) -> Measured:
    """A run's numbers.  Of a run with two arms, the candidate's.  Raises InputError where its table is damaged."""
    table = run.measurements
    frame = stats.prepare(table)
    repairs = {"left out: no finite number": len(table) - len(frame)}
    frame = frame[frame["metric"].isin([*BANDWIDTHS, GROWTH]) & (frame["workload"] != SETUP)]
    frame = frame[frame["arm"] == CANDIDATE]        # which the only arm is called too
    labels = {cell: label for cell, record in run.manifest.cells.items() if (label := label_of(record)) is not None}
    known = frame["cell"].isin(list(labels))
    repairs["left out: on a storage that is not advised on"] = int((~known).sum())
    frame = frame[known]
    impossible = frame["metric"].isin(BANDWIDTHS) & (frame["value"] <= 0)
    repairs["left out: a bandwidth of zero or below"] = int(impossible.sum())
    frame = frame[~impossible]
    values = _values(frame, labels)
    repairs["merged: several of one repetition, their median is used"] = len(frame) - sum(map(len, values.values()))
    same = [place for place, own in values.items() if place[4] in BANDWIDTHS and len(own) >= stats.MIN_N
            and len(set(own.values())) == 1]
    repairs["left out: the same bandwidth in every repetition, as no machine gives it"] = sum(
        len(values.pop(place)) for place in same)
    phases = {(str(workload), str(target)): [str(phase) for phase in unique(part["phase"])]
              for (workload, target), part in frame.groupby(["workload", "target"], sort=False)}
    return Measured(run, values, phases, {done: count for done, count in repairs.items() if count})


def _values(frame: pd.DataFrame, labels: Mapping[str, str]) -> dict[Place, dict[int, float]]:
    """The values by place and repetition."""
    values: dict[Place, dict[int, float]] = {}
    keys = ["label", "target", "workload", "phase", "metric", "repetition"]
    advised = frame.assign(label=frame["cell"].map(dict(labels)))
    for row in records(advised.groupby(keys, sort=False)["value"].median().reset_index()):
        place = (str(row["label"]), str(row["target"]), str(row["workload"]), str(row["phase"]), str(row["metric"]))
        values.setdefault(place, {})[int(row["repetition"])] = float(row["value"])
    return values


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


def choose(measured: Sequence[Measured], shares: Sequence[JobShare],
           options: Sequence[Option] = OPTIONS) -> Measured | None:
    """The run that the ratios of those options rest on: it has most of the profile's weight on most of them, then most
    repetitions."""
    def worth(one: Measured) -> tuple[float, int]:
        jobs = [(share.weight, one.job(option, share)) for option in options for share in shares]
        return (round(sum(weight for weight, found in jobs if found), 9),
                max((len(found) for _, found in jobs), default=0))

    best = max(measured, key=lambda one: (worth(one), one.folder), default=None)
    return best if best is not None and worth(best)[0] > 0 else None


def choose_steps(measured: Sequence[Measured]) -> Measured | None:
    """The run that counts of space rest on: it has container steps on most storages, then most repetitions."""
    def worth(one: Measured) -> tuple[int, int]:
        having = [label for label in one.labels if one.taken(label) is not None]
        return len(having), max((one.counted(label) for label in having), default=0)

    best = max(measured, key=lambda one: (worth(one), one.folder), default=None)
    return best if best is not None and worth(best)[0] else None
