"""Lesson 1: what an image's layers and n containers of it take, and how much of that is shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import pandas as pd
from matplotlib.figure import Figure

from lab.analysis import stats
from lab.lessons.intervals import drawing, indexed, median_text
from lab.model.container.footprint import image_costs
from lab.model.drivers.face import build_storage
from lab.model.filesystems.image_content import ImageContent, Kind
from lab.model.parameters import Parameters
from lab.readers.image_archive import image_of
from lab.report import plots
from lab.report.drawings import Drawing
from lab.runs.scenario import scenario_of
from lab.runs.store import Run
from lab.scenario.scenario import Cell, MachineSpec, StepsWorkload, StorageSpec
from lab.text import MIB, records


@dataclass(frozen=True)
class Grown:
    """What an image took, and each of the containers that were started from it, one after the other.  Bytes.

    Simulated: no container does anything.  ``own_bytes`` are the lengths of the image's files, added up.
    """

    storage: str
    image_bytes: int
    each_bytes: tuple[int, ...]
    own_bytes: int

    @property
    def totals(self) -> list[int]:
        """With 0, 1, 2, … containers."""
        return list(accumulate(self.each_bytes, initial=self.image_bytes))

    @property
    def mean_bytes(self) -> float:
        """Of one container, over all."""
        return sum(self.each_bytes) / len(self.each_bytes)


def grow(spec: StorageSpec, image: ImageContent, containers: int, pool_disk_bytes: int,
         parameters: Parameters) -> Grown:
    """Sets the storage up in the model, loads the image, starts the containers.

    Raises ValueError for less than one container, and PoolFull or Refused where they do not fit.
    """
    if containers < 1:
        raise ValueError(f"containers is {containers}; at least 1 expected")
    storage = build_storage(spec, pool_disk_bytes, parameters.log)
    levels = [storage.levels().storage_used]
    storage.load(image)
    storage.sync()
    storage.flush()
    levels.append(storage.levels().storage_used)
    for number in range(1, containers + 1):
        storage.start(f"lab-{number}", image, volume=False)
        storage.sync()
        storage.flush()
        levels.append(storage.levels().storage_used)
    steps = [after - before for before, after in pairwise(levels)]
    return Grown(spec.label, steps[0], tuple(steps[1:]), sum(image.files().values()))


def storages_of(run: Run, labels: Sequence[str]) -> list[StorageSpec]:
    """Those storages of the run's scenario that have one of the labels, in the order of the labels.

    Raises KeyError for a label that the scenario lacks.
    """
    known = {spec.label: spec for spec in scenario_of(run).storages}
    return [known[label] for label in labels]


def layer_costs(spec: StorageSpec, image: ImageContent, pool_disk_bytes: int,
                parameters: Parameters) -> pd.DataFrame:
    """A row a layer, lowest first: the lengths of its files, and what it costs the storage in the model, MiB."""
    costs = image_costs(spec, pool_disk_bytes, image, parameters.log)
    rows = [(number, len(layer), sum(entry.size_bytes for entry in layer if entry.kind is Kind.FILE) / MIB,
             cost.data_bytes / MIB) for number, (layer, cost) in enumerate(zip(image.layers, costs, strict=True), 1)]
    return indexed(rows, ["layer", "entries", "its files, MiB", f"cost on {spec.label}, MiB"])


def started(runs: Sequence[Run], parameters: Parameters) -> pd.DataFrame:
    """A row a run and storage: what the phase ``start`` took in the layer, measured and in the model.

    ``measured_bytes`` is the median of the growth, ``simulated_bytes`` the model's, both of all containers together.
    """
    rows = []
    for run in runs:
        table = stats.summarise(run.measurements)
        own = table[(table["phase"] == "start") & (table["target"] == "layer")]
        for cell in _step_cells(run):
            found = {row["metric"]: row for row in records(own[(own["label"] == cell.storage.label)
                                                               & (own["workload"] == cell.workload.name)])}
            grew, workload = found.get("storage_growth"), cell.workload
            assert isinstance(workload, StepsWorkload)
            if grew is None:
                continue
            told = grow(cell.storage, image_of(workload), workload.containers, _disk_bytes(run), parameters)
            rows.append((run.path.name, cell.storage.label, workload.image, workload.containers,
                         median_text(found.get("container_size")), median_text(grew), sum(told.each_bytes) / MIB,
                         float(grew["median"]), float(sum(told.each_bytes))))
    return pd.DataFrame(rows, columns=[
        "run", "storage", "image", "containers", "size by Docker, MiB", "storage grew by, MiB", "simulated, MiB",
        "measured_bytes", "simulated_bytes"]).set_index(["run", "storage"])


def each_bytes(rows: pd.DataFrame, run: str, storage: str) -> float | None:
    """What one container's start took in a run's median; None where it was not measured."""
    own = rows[(rows.index.get_level_values("run") == run) & (rows.index.get_level_values("storage") == storage)]
    return None if own.empty else float(own["measured_bytes"].iloc[0] / own["containers"].iloc[0])


def sharing(grown: Sequence[Grown]) -> Drawing:
    """Space against the number of containers; dotted, what copies of the image's files would take."""
    return drawing("sharing", "Space taken by an image and its containers against the number of containers",
                   "Simulated; the containers do nothing. Dotted: the lengths of the image's files once more for each "
                   "container, which is what copies without sharing would take at least.", _sharing(grown))


@plots.styled
def _sharing(grown: Sequence[Grown]) -> Figure | None:
    if not grown:
        return None
    style = plots.styles([one.storage for one in grown])
    figure = plots.blank_figure(4.2)
    whole, near = figure.subplots(1, 2)
    copies = [(number + 1) * grown[0].own_bytes / MIB for number in range(len(grown[0].totals))]
    whole.plot(range(len(copies)), copies, color="#555555", linestyle=":", linewidth=1.8, label="copies of the files")
    for axes in (whole, near):
        for one in grown:
            values = [total / MIB for total in one.totals]
            axes.plot(range(len(values)), values, color=style[one.storage].colour, marker=style[one.storage].marker,
                      markersize=3.5, label=one.storage if axes is whole else None)
        axes.set_xlabel("containers")
        axes.set_ylim(bottom=0)
    whole.set_ylabel("space taken, MiB")
    whole.set_title("against copies", loc="left")
    near.set_title("the same without the copies", loc="left")
    figure.legend(loc="outside lower center", ncols=min(len(grown) + 1, 5), frameon=False)
    plots.entitle(figure, "An image and its containers (simulated)")
    return figure


def _step_cells(run: Run) -> list[Cell]:
    return [cell for cell in scenario_of(run).cells() if cell.target == "layer"
            and isinstance(cell.workload, StepsWorkload)]


def _disk_bytes(run: Run) -> int:
    machine = scenario_of(run).machine
    assert isinstance(machine, MachineSpec)
    return machine.pool_disk_bytes
