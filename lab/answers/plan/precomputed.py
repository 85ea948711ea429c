"""Ensembles that were run before: what each variant of a plan's host asks for without bounds, day by day.

Until a storage refuses something, or lets a writer wait, nobody on it can tell how large it is
(``lab.answers.plan.host``). So what an unbounded host has asked for at most by some day says of every size whether
it would have been enough until then, and whoever moves a slider only reads. A plan has two files:
``<plan>.parquet``, one row a variant, replication and day, in that order; and ``<plan>.json``, what it was made of.
Bytes are kept to seven digits, as float32.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Generator
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from lab.answers.plan import levers
from lab.answers.plan.ensemble import seed_of
from lab.answers.plan.host import Variant, as_planned, unbounded_host
from lab.answers.plan.plan_file import PlanFile, load_plan
from lab.answers.plan.workers import BATCH, Workers, workers
from lab.errors import InputError
from lab.model.fleet.arrivals import DAY_SECONDS
from lab.model.fleet.fleet import Fleet
from lab.model.fleet.plan import Plan
from lab.model.parameters import Parameters
from lab.runs.files import make_output_folder, write_output
from lab.simulate.parameters import read_parameters

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
"""Raised with the meaning of the files; others are refused."""

POINTS = 101
"""Of the grid of days, evenly over the horizon, the begin and the end among them."""

REPLICATIONS = 100
"""Of every variant, with the same arrivals, lifetimes and sizes."""

REMEDY = "make ensembles"

_MOST_SECONDS = 3600.0
"""Between two samples of the fleet, at which logs are brought up to date."""

_AFTER_SECONDS = 0.001
"""A point is read so much later than the fleet's own sample of that moment, whose time may be rounded otherwise."""

Floats = NDArray[np.float64]


class Provenance(BaseModel):
    """What an ensemble was made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    plan: str
    plan_sha256: str
    parameters_sha256: str
    """``Parameters.growth_digest``."""
    seed: int
    replications: int
    variants: tuple[str, ...]
    lab_version: str
    table_sha256: str = ""
    """Of the other file; empty until that is written."""


@dataclass(frozen=True)
class Demand:
    """What a variant's host has asked for at most by each day: bytes, shape (replications, POINTS)."""

    variant: Variant
    data_bytes: Floats
    metadata_bytes: Floats

    @property
    def is_pool(self) -> bool:
        """Whether the storage is a thin pool."""
        return self.variant.spec.in_pool


@dataclass(frozen=True)
class Ensemble:
    """A plan with the demands of its variants, by name; the planned one is the first."""

    plan: PlanFile
    made: Provenance
    demands: dict[str, Demand]

    @property
    def days(self) -> Floats:
        """The grid, shape (POINTS,)."""
        return np.linspace(0.0, self.plan.horizon_days, POINTS)

    @property
    def n(self) -> int:
        """Replications."""
        return self.made.replications


# -- made ----------------------------------------------------------------------------------------------------

def write_ensembles(plans: Path, folder: Path, replications: int = REPLICATIONS, processes: int | None = None) -> None:
    """One ensemble for each plan file in ``plans``, with the parameters that come with the lab; None: on all cores.

    Raises InputError where a plan's host cannot be made, or a file cannot be written.
    """
    parameters = read_parameters(None)
    with workers(processes) as crew:
        for file in sorted(plans.glob("*.yaml")):
            write_ensemble(make_ensemble(load_plan(file), parameters, crew, replications), folder)


def make_ensemble(plan: PlanFile, parameters: Parameters, crew: Workers, replications: int) -> Ensemble:
    """All variants of the plan's host.  Raises InputError where one cannot be made."""
    variants = all_variants(plan)
    hosts = crew.each(unbounded_host, [(plan, one, parameters) for one in variants])
    seeds = [seed_of(plan.seed, number) for number in range(replications)]
    batches = [tuple(seeds[first:first + BATCH]) for first in range(0, replications, BATCH)]
    told = crew.each(highest_so_far, [(host, plan.horizon_days, batch) for host in hosts for batch in batches])
    demands = {}
    for place, variant in enumerate(variants):
        own = np.concatenate(told[place * len(batches):(place + 1) * len(batches)])
        demands[variant.name] = Demand(variant, own[:, 0], own[:, 1])
    made = Provenance(plan=plan.name, plan_sha256=_digest(plan.text), parameters_sha256=parameters.growth_digest(),
                      seed=plan.seed, replications=replications, variants=tuple(demands),
                      lab_version=version("thinpool-lab"))
    return Ensemble(plan, made, demands)


def all_variants(plan: PlanFile) -> tuple[Variant, ...]:
    """The host as planned, and with each lever by itself."""
    return (as_planned(plan), *levers.variants(plan))


def highest_so_far(host: Plan, days: float, seeds: tuple[int, ...]) -> Floats:
    """Bytes of data and of metadata at most by each day, of a host without bounds: shape (seeds, 2, POINTS).

    Rounded to float32, as the files have them.
    """
    return np.stack([_one(host, days, seed) for seed in seeds]).astype(np.float32).astype(np.float64)


def _one(host: Plan, days: float, seed: int) -> Floats:
    step_seconds = days * DAY_SECONDS / (POINTS - 1)
    fleet = Fleet(host, seed, sample_seconds=step_seconds / math.ceil(step_seconds / _MOST_SECONDS))
    kept: list[tuple[float, float]] = []
    fleet.env.process(_watch(fleet, step_seconds, kept))
    peak = fleet.run(days).peak
    return np.array([*kept, (peak.data_bytes, peak.metadata_bytes)], dtype=np.float64).T


def _watch(fleet: Fleet, step_seconds: float, kept: list[tuple[float, float]]) -> Generator[simpy.Event, Any, None]:
    """Keeps the peaks at each point but the last, after the fleet's own sample there has done all work that was due."""
    for number in range(POINTS - 1):
        yield fleet.env.timeout(number * step_seconds + _AFTER_SECONDS - fleet.env.now)
        kept.append((fleet.level.peak_data, fleet.level.peak_metadata))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


# -- written and read ----------------------------------------------------------------------------------------

def write_ensemble(ensemble: Ensemble, folder: Path) -> Path:
    """Both files; the path of the table.  Raises as ``write_output`` does."""
    content = _table(ensemble).to_parquet(None, index=False, compression="zstd")
    made = ensemble.made.model_copy(update={"table_sha256": sha256(content).hexdigest()})
    file = folder / f"{made.plan}.parquet"
    make_output_folder(folder)
    write_output(file, content)
    write_output(file.with_suffix(".json"), made.model_dump_json(indent=1) + "\n")
    return file


def _table(ensemble: Ensemble) -> pd.DataFrame:
    import pandas as pd

    n, days = ensemble.n, ensemble.days.astype(np.float32)
    return pd.concat([pd.DataFrame({
        "variant": name,
        "replication": np.repeat(np.arange(n, dtype=np.int16), POINTS),
        "day": np.tile(days, n),
        "data_bytes": one.data_bytes.astype(np.float32).ravel(),
        "metadata_bytes": one.metadata_bytes.astype(np.float32).ravel(),
    }) for name, one in ensemble.demands.items()], ignore_index=True)


def read_ensembles(plans: Path, folder: Path) -> list[Ensemble]:
    """The ensembles of all plan files in ``plans``, by name.  Raises InputError as ``read_ensemble`` does."""
    return [read_ensemble(file, folder) for file in sorted(plans.glob("*.yaml"))]


def read_ensemble(plan_file: Path, folder: Path) -> Ensemble:
    """The ensemble of a plan.

    Raises InputError where a file is missing or damaged, is of another schema version, or was made of another text of
    the plan, with other parameters, or of other variants.
    """
    plan = load_plan(plan_file)
    file = folder / f"{plan.name}.parquet"
    made = _provenance(file.with_suffix(".json"))
    if made.plan_sha256 != _digest(plan.text):
        raise InputError(f"the ensemble was made of another text of the plan than {plan_file} has now", where=str(file),
                         remedy=REMEDY)
    if made.parameters_sha256 != read_parameters(None).growth_digest():
        raise InputError("the ensemble was made with other parameters of the model than the lab has now",
                         where=str(file), remedy=REMEDY)
    variants = all_variants(plan)
    if made.variants != tuple(one.name for one in variants):
        raise InputError(f"the ensemble has the variants {', '.join(made.variants)}; today's lab tries others",
                         where=str(file), remedy=REMEDY)
    return Ensemble(plan, made, _demands(file, made, variants))


def _demands(file: Path, made: Provenance, variants: tuple[Variant, ...]) -> dict[str, Demand]:
    import pandas as pd

    content = _read(file)
    if sha256(content).hexdigest() != made.table_sha256:
        raise InputError("the table is not the one that the file beside it tells of", where=str(file), remedy=REMEDY)
    table = pd.read_parquet(io.BytesIO(content))
    shape = (len(variants), made.replications, POINTS)
    if len(table) != math.prod(shape):
        raise InputError(f"the table has {len(table)} rows, {math.prod(shape)} expected", where=str(file),
                         remedy=REMEDY)
    data, metadata = (table[name].to_numpy(np.float64).reshape(shape) for name in ("data_bytes", "metadata_bytes"))
    return {one.name: Demand(one, data[place], metadata[place]) for place, one in enumerate(variants)}


def _provenance(file: Path) -> Provenance:
    try:
        document = json.loads(_read(file))
    except ValueError as error:
        raise InputError(f"the file cannot be read: {error}", where=str(file), remedy=REMEDY) from None
    found = document.get("schema_version") if isinstance(document, dict) else None
    if found != SCHEMA_VERSION:
        raise InputError(f"the ensemble has schema version {found!r}, this lab reads {SCHEMA_VERSION}",
                         where=str(file), remedy=REMEDY)
    try:
        return Provenance.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        spot = ".".join(map(str, first["loc"]))
        raise InputError(f"damaged: {spot}: {first['msg']}", where=str(file), remedy=REMEDY) from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"no ensemble can be read here: {error.strerror}", where=str(file), remedy=REMEDY) from None
