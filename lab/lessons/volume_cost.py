"""Lesson 6: the same work in a container's layer and in a volume, and what the pool pays in both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lab.analysis import stats
from lab.analysis.comparisons import BANDWIDTHS
from lab.analysis.facts import KEPT_PHASES, facts_of, job_name
from lab.lessons.figures.forest import COLOURS, Mark, forest, name_rows
from lab.lessons.intervals import NOTHING, drawing, indexed, interval_of, median_of, median_text
from lab.model.drivers.face import build_storage
from lab.model.drivers.storage import Storage
from lab.model.filesystems.image_content import ImageContent
from lab.model.parameters import Parameters
from lab.report import plots
from lab.report.drawings import Drawing
from lab.runs.scenario import scenario_of
from lab.runs.store import Run
from lab.scenario.scenario import StorageSpec
from lab.simulate.runner import simulated_cells
from lab.text import MIB, records, short

LAYER, VOLUME, BELOW = "in the layer", "in a volume: the volume", "in a volume: the layers' storage"
WHERE = ((LAYER, "layer", "storage_growth"), (VOLUME, "volume", "volume_growth"), (BELOW, "volume", "storage_growth"))
"""Where the same work takes space: the target and the metric that tells it."""

_SHORT = ("layer", "volume", "below")
"""The names of ``WHERE`` in columns."""

CAUSES = ("start", "the daemon asked for sizes", "XFS writes back", "asked again")


def kept(run: Run, workload: str = "files") -> pd.DataFrame:
    """A row a storage: what all work up to the first delete took, in each of three places, and what was written.

    The columns that end in ``_bytes`` are medians and the ends of their intervals; NaN where there is none.
    """
    facts = facts_of(run)
    rows = []
    for label in facts.labels:
        found = [facts.summary_row(label, target, KEPT_PHASES, metric, workload) for _, target, metric in WHERE]
        if any(row is not None for row in found):
            wrote = facts.summary_row(label, "layer", KEPT_PHASES, "application_bytes", workload)
            rows.append((label, *(median_text(row) for row in (wrote, *found)), *(_centre(row) for row in found),
                         *(end for row in found for end in interval_of(row))))
    return indexed(rows, ["storage", "application wrote, MiB", *(f"{where}, MiB" for where, *_ in WHERE),
                          *(f"{where}_bytes" for where in _SHORT),
                          *(f"{where}_{end}_bytes" for where in _SHORT for end in ("low", "high"))])


def _centre(row: dict[str, Any] | None) -> float:
    found = median_of(row)
    return float("nan") if found is None else found.centre


def drawn(rows: pd.DataFrame) -> Drawing:
    """``rows``: as ``kept`` gives them."""
    return drawing("layer-or-volume", "Space taken by the same work in a layer and in a volume",
                   "Medians of all phases before the first delete, with the medians' intervals. In a volume the work "
                   "takes its space on the volumes' own file system; the storage of the layers grows all the same.",
                   _bars(rows))


@plots.styled
def _bars(rows: pd.DataFrame) -> Figure | None:
    if rows.empty:
        return None
    labels = [str(label) for label in rows.index]
    figure = plots.blank_figure(0.52 * len(labels) + 1.4)
    axes = figure.subplots()
    for number, where in enumerate(_SHORT):
        shift = plots.offsets(len(WHERE), 0.84)[number]
        columns = [(rows[f"{where}{end}_bytes"] / MIB).tolist() for end in ("", "_low", "_high")]
        for place, (value, low, high) in enumerate(zip(*columns, strict=True)):
            if value == value:
                axes.barh(place + shift, value, height=0.25, color=COLOURS[number], alpha=0.65)
                axes.hlines(place + shift, low, high, color="black", linewidth=1.1)
                axes.annotate(short(value), (max(value, high) if high == high else value, place + shift), (4, 0),
                              textcoords="offset points", va="center", fontsize=7.5)
    name_rows(axes, labels)
    axes.set_xlabel("space taken before any delete, MiB")
    figure.legend(handles=[Patch(facecolor=COLOURS[number], alpha=0.65, label=where)
                           for number, (where, *_) in enumerate(WHERE)],
                  loc="outside lower center", ncols=3, frameon=False)
    plots.entitle(figure, "The same work in a layer and in a volume")
    return figure


def speeds(run: Run) -> list[tuple[str, str, stats.Estimate]]:
    """(job, storage, bandwidth in the layer ÷ in the volume), paired by repetition."""
    return [(job_name(str(row["phase"]), str(row["metric"])), str(row["label"]), found)
            for row in records(stats.layer_against_volume(run.measurements, BANDWIDTHS))
            if (found := stats.estimate(row)).n and found.centre == found.centre]


def speeds_drawn(found: Sequence[tuple[str, str, stats.Estimate]], storages: Sequence[str]) -> Drawing:
    """The ratios of some storages.  Raises ValueError where there is none."""
    marks = [Mark(job, label, one) for label in storages for job, own, one in found if own == label]
    return drawing("layer-speed", "Bandwidth in the layer against bandwidth in a volume",
                   "Left of 1: the layer is the slower one. #2 is the second pass over the same file.",
                   forest(marks, title="Layer ÷ volume", xlabel="ratio of bandwidths (log)"))


# -- what a volume costs in the pool ---------------------------------------------------------------------------


def by_phase(run: Run, label: str, parameters: Parameters, workload: str = "files") -> pd.DataFrame:
    """A row a phase of the work in a volume: what the layers' storage grew by, measured and in the model, MiB.

    ``measured_bytes`` and ``simulated_bytes`` are its growth; the model's is of one repetition.
    """
    facts, cell = facts_of(run), f"{label}.volume.{workload}"
    told = {str(row["phase"]): float(row["value"]) for row in _simulated(run, cell, parameters)
            if row["metric"] == "storage_growth"}
    rows = []
    for phase in facts.phases("volume", workload):
        row = facts.summary_row(label, "volume", phase, "storage_growth", workload)
        if row is not None:
            model = told.get(phase, float("nan"))
            rows.append((phase, median_text(row), short(model / MIB) if phase in told else NOTHING,
                         float(row["median"]), model))
    return indexed(rows, ["phase", "measured, MiB", "simulated, MiB", "measured_bytes", "simulated_bytes"])


def _simulated(run: Run, cell: str, parameters: Parameters) -> Iterator[dict[str, Any]]:
    for told in simulated_cells(scenario_of(run), parameters, [1], run=run.manifest.run, only=[cell]):
        yield from told.measurements


def causes(spec: StorageSpec, image: ImageContent, containers: int, pool_disk_bytes: int,
           parameters: Parameters) -> dict[str, int]:
    """Bytes that the pool grows by for containers that write to volumes only, cause by cause (``CAUSES``); simulated.

    Raises ValueError for a storage without a pool.
    """
    storage = build_storage(spec, pool_disk_bytes, parameters.log)
    if storage.mapper is None:
        raise ValueError(f"{spec.label} has no pool")
    storage.load(image)
    storage.flush()
    levels = [storage.levels().storage_used]
    names = [f"lab-{number}" for number in range(1, containers + 1)]
    for name in names:
        storage.start(name, image, volume=True)
    _settle(storage, levels)
    storage.measure()
    _settle(storage, levels)
    for name in names:
        storage.push(name)
    _settle(storage, levels)
    storage.measure()
    _settle(storage, levels)
    return dict(zip(CAUSES, (after - before for before, after in pairwise(levels)), strict=True))


def _settle(storage: Storage, levels: list[int]) -> None:
    storage.flush()
    levels.append(storage.levels().storage_used)


def causes_table(specs: Sequence[StorageSpec], image: ImageContent, pool_disk_bytes: int,
                 parameters: Parameters) -> pd.DataFrame:
    """A row a storage, a column a cause, for one container: MiB, and in data blocks ``<cause>, blocks``."""
    rows = []
    for spec in specs:
        found = causes(spec, image, 1, pool_disk_bytes, parameters)
        block = spec.chunk_size_bytes or 1
        rows.append((spec.label, *(value / MIB for value in found.values()),
                     *(value // block for value in found.values())))
    return indexed(rows, ["storage", *(f"{cause}, MiB" for cause in CAUSES), *(f"{cause}, blocks" for cause in CAUSES)])


def causes_drawn(table: pd.DataFrame) -> Drawing:
    """``table``: as ``causes_table`` gives it."""
    return drawing("volume-causes", "What one container that writes to a volume only costs the pool, by cause",
                   "Simulated, one container. Left in MiB, right in data blocks.", _causes(table))


@plots.styled
def _causes(table: pd.DataFrame) -> Figure | None:
    if table.empty:
        return None
    labels = [str(label) for label in table.index]
    figure = plots.blank_figure(0.45 * len(labels) + 1.5)
    grid = figure.subplots(1, 2, sharey=True)
    for axes, unit, words in zip(grid, ("MiB", "blocks"), ("MiB", "data blocks"), strict=True):
        left = [0.0] * len(labels)
        for number, cause in enumerate(CAUSES):
            values = [float(value) for value in table[f"{cause}, {unit}"]]
            axes.barh(range(len(labels)), values, left=left, height=0.6, color=COLOURS[number], alpha=0.7,
                      label=cause if unit == "MiB" else None)
            left = [before + value for before, value in zip(left, values, strict=True)]
        axes.set_xlabel(f"growth of the pool, {words}")
        name_rows(axes, labels)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    plots.entitle(figure, "A container that writes to a volume only: what the pool pays (simulated)")
    return figure
