"""A measured run and its simulation, phase by phase: which runs belong together, and by how much they differ.

A residual is simulated - measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.analysis import stats
from lab.metrics import GROWTHS
from lab.runs.store import Run
from lab.scenario.arms import ARM
from lab.text import MIB, clean, joined, records, unique

if TYPE_CHECKING:
    import pandas as pd

INCREMENT = "increment"
SPACE = "space"
METADATA = "metadata"
DURATION = "duration"
METADATA_BLOCK_BYTES = 4096

FLOOR_BYTES = 1 * MIB
"""A measured value below this has no relative error: a few blocks would be most of it."""

CELL_RUN = ["cell", "repetition"]
COLUMNS = ("cell", "label", "target", "workload", "repetition", "position", "phase", "quantity", "measured",
           "simulated", "residual", "block_bytes")
"""Of ``compare``: ``position`` is the phase's place in its workload, from 0; bytes, and seconds for DURATION."""

_METRICS = (*GROWTHS, "storage_used", "volume_used", "pool_metadata_used", "duration")


@dataclass(frozen=True)
class Pair:
    """Two runs of one scenario file."""

    measured: Run
    simulated: Run


@dataclass(frozen=True)
class Score:
    """How one quantity of a storage, target and workload agrees, over phases and repetitions.

    ``median`` and ``largest`` are differences without and with sign, in the quantity's unit; ``phase`` and
    ``repetition`` say where the largest is.  ``error`` is the mean of |residual| / |measured| over the ``counted``
    phases with at least ``FLOOR_BYTES`` measured; None where there is none.  ``block_bytes``: None where space does
    not come in blocks of the pool.
    """

    label: str
    target: str
    workload: str
    repetitions: int
    phases: int
    equal: int
    median: float
    largest: float
    phase: str
    repetition: int
    error: float | None
    counted: int
    block_bytes: int | None

    @property
    def largest_blocks(self) -> float | None:
        """The largest difference in blocks of the pool, with its sign; None where space does not come in blocks."""
        return None if self.block_bytes is None else self.largest / self.block_bytes


def pair_runs(runs: Sequence[Run]) -> tuple[list[Pair], list[str]]:
    """The first measured and the first simulated run of each scenario file; and in words what was not paired, and why.

    Runs of one kind only are nobody's pair, and nothing is said of them.
    """
    by_file: dict[str, list[Run]] = {}
    for run in runs:
        by_file.setdefault(run.manifest.scenario.sha256, []).append(run)
    pairs, notes = list[Pair](), list[str]()
    single = list[Run]()
    for same in by_file.values():
        measured = [run for run in same if not run.manifest.simulated]
        simulated = [run for run in same if run.manifest.simulated]
        if measured and simulated:
            pairs.append(Pair(measured[0], simulated[0]))
            notes += [f"Run {_name(extra)} was left out of the comparison: {_name(first)} is the first "
                      f"{_kind(extra)} run of the same scenario file."
                      for first, *rest in (measured, simulated) for extra in rest]
        else:
            single += same
    return pairs, notes + _unlike(single, runs)


def _unlike(single: Sequence[Run], runs: Sequence[Run]) -> list[str]:
    """A sentence for each run without a partner, where a run of the other kind was given."""
    notes = []
    simulated = [run for run in single if run.manifest.simulated]
    for run in simulated or single:         # what is said of the simulated ones need not be said again
        others = [other for other in runs if other.manifest.simulated != run.manifest.simulated]
        if others:
            files = joined(unique(_file(other) for other in others))
            notes.append(f"The {_kind(run)} run {_name(run)} was not overlaid, because the scenario files differ: its "
                         f"own is {_file(run)}, {_kind(others[0])} was {files}.")
    return notes


def _kind(run: Run) -> str:
    return "simulated" if run.manifest.simulated else "measured"


def _name(run: Run) -> str:
    return clean(run.manifest.run)


def _file(run: Run) -> str:
    scenario = run.manifest.scenario
    return clean(f"{scenario.name} ({scenario.file}, SHA-256 {scenario.sha256[:8]})")


def compare(pair: Pair) -> pd.DataFrame:
    """One row for each cell, repetition, phase and quantity that both runs have (``COLUMNS``).

    In the scenario's order.  INCREMENT is what a phase added to the storage's space, or to the volumes' where they are
    the target; SPACE the same space after the phase, above the level before the first phase that both runs have;
    METADATA the pool's metadata in use.  Of a run with two arms, the candidate's.
    """
    import pandas as pd

    measured, simulated = _wide(pair.measured), _wide(pair.simulated)
    keys = ["cell", "label", "target", "workload", "repetition", "phase"]
    both = measured.merge(simulated, on=keys, suffixes=("_measured", "_simulated"))
    order = {phase: place for place, phase in enumerate(_phase_order(measured))}
    both["position"] = both["phase"].map(order)
    cells = {cell: place for place, cell in enumerate(pair.measured.manifest.cells)}
    both["place"] = both["cell"].map(cells)
    both = both.sort_values(["place", *CELL_RUN, "position"], kind="stable")
    parts = []
    for quantity in (INCREMENT, SPACE, METADATA, DURATION):
        part = both[[*keys, "position"]].assign(quantity=quantity)
        for side in ("measured", "simulated"):
            part[side] = _above_begin(both, side) if quantity == SPACE else both[f"{quantity}_{side}"]
        part["residual"] = part["simulated"] - part["measured"]
        part["block_bytes"] = _block_bytes(pair.measured, part, quantity)
        parts.append(part[part["residual"].notna()])
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _wide(run: Run) -> pd.DataFrame:
    """A row for each cell, repetition and phase; columns: its keys, INCREMENT, LEVEL, METADATA and DURATION."""
    frame = stats.prepare(run.measurements)
    frame = frame[(frame["arm"] == ARM) & (frame["workload"] != "setup") & frame["metric"].isin(_METRICS)]
    keys = ["cell", "place", "target", "workload", "repetition", "phase"]
    rows = frame[keys].drop_duplicates()
    for metric in _METRICS:
        own = frame.loc[frame["metric"] == metric, [*keys, "value"]].drop_duplicates(keys)
        rows = rows.merge(own.rename(columns={"value": metric}), on=keys, how="left")
    volume = rows["target"] == "volume"
    increment = rows["storage_growth"].where(~volume, rows["volume_growth"])
    level = rows["storage_used"].where(~volume, rows["volume_used"])
    told = rows[keys].rename(columns={"place": "label"})
    wide: pd.DataFrame = told.assign(increment=increment, level=level, metadata=rows["pool_metadata_used"],
                                     duration=rows["duration"])
    return wide


def _above_begin(both: pd.DataFrame, side: str) -> pd.Series[float]:
    """The level after each phase, above that before the cell's first phase; ``both`` in the order of phases."""
    level = both[f"level_{side}"]
    before: pd.Series[float] = level - both[f"{INCREMENT}_{side}"]
    return level - before.groupby([both[name] for name in CELL_RUN]).transform(lambda own: own.iloc[0])


def _phase_order(wide: pd.DataFrame) -> list[str]:
    """The phases in a reader's order: those of the cell run with the most of them first."""
    runs = sorted((part for _, part in wide.groupby(CELL_RUN, sort=False)), key=len, reverse=True)
    return unique(str(phase) for part in runs for phase in part["phase"])


def _block_bytes(run: Run, part: pd.DataFrame, quantity: str) -> list[float | None]:
    """The size of a pool's block, None where the space is a file system's."""
    if quantity == METADATA:
        return [float(METADATA_BLOCK_BYTES)] * len(part)
    sizes = {cell: float(size) for cell, record in run.manifest.cells.items()
             if isinstance(size := record.options.get("chunk_size_bytes"), int | float)
             and record.target != "volume" and quantity != DURATION}
    return [sizes.get(str(cell)) for cell in part["cell"]]


def scores(compared: pd.DataFrame, quantity: str) -> list[Score]:
    """How a quantity agrees, for each workload, target and storage in a reader's order."""
    own = compared[compared["quantity"] == quantity]
    found = [_score(part) for _, part in own.groupby(["workload", "target", "label"], sort=False)]
    workloads = unique(own["workload"])
    return sorted(found, key=lambda one: (workloads.index(one.workload), one.target, stats.rank(one.label)))


def _score(part: pd.DataFrame) -> Score:
    rows = records(part)
    worst = max(rows, key=lambda row: abs(float(row["residual"])))
    big = part[part["measured"].abs() >= FLOOR_BYTES]
    block = worst["block_bytes"]
    return Score(label=str(worst["label"]), target=str(worst["target"]), workload=str(worst["workload"]),
                 repetitions=int(part["repetition"].nunique()), phases=len(part),
                 equal=int((part["residual"] == 0).sum()), median=float(part["residual"].abs().median()),
                 largest=float(worst["residual"]), phase=str(worst["phase"]), repetition=int(worst["repetition"]),
                 error=float((big["residual"] / big["measured"]).abs().mean()) if len(big) else None,
                 counted=len(big), block_bytes=int(block) if block is not None and block == block else None)


@dataclass(frozen=True)
class Coverage:
    """What was compared: cell runs, each (cell, repetition), and what only one of the runs has."""

    both: list[tuple[str, int]]
    only_measured: list[tuple[str, int]]
    only_simulated: list[tuple[str, int]]
    failed_measured: list[tuple[str, int]]
    failed_simulated: list[tuple[str, int]]
    phases: list[tuple[str, int, str, str]]
    """Phases of a cell run of both that only one has: cell, repetition, phase, which of the runs."""


def coverage(pair: Pair) -> Coverage:
    """Compares the keys of both runs, whatever their values."""
    measured, simulated = _phases(pair.measured), _phases(pair.simulated)
    both = [key for key in measured if key in simulated]
    phases = [(*key, phase, kind) for key in both for kind, own, other in (
        ("measured", measured[key], simulated[key]), ("simulated", simulated[key], measured[key]))
        for phase in own if phase not in other]
    return Coverage(both, [key for key in measured if key not in simulated],
                    [key for key in simulated if key not in measured], _failed(pair.measured),
                    _failed(pair.simulated), phases)


def _failed(run: Run) -> list[tuple[str, int]]:
    return [(r.cell, r.repetition) for r in run.manifest.results if r.status == "failed" and r.arm == ARM]


def _phases(run: Run) -> dict[tuple[str, int], list[str]]:
    wide = _wide(run)
    return {(str(cell), int(str(repetition))): [str(phase) for phase in part["phase"]]
            for (cell, repetition), part in wide.groupby(CELL_RUN, sort=False)}
