"""What was seen: the manifest of a run, and the shape of its two tables."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lab.scenario.arms import ARM, Arm

SCHEMA_VERSION = 1
"""Raised when a table's or the manifest's meaning changes; runs of another version are refused."""

KEYS = ("run", "cell", "storage", "target", "workload", "phase", "repetition", "arm")
MEASUREMENT_COLUMNS = (*KEYS, "metric", "value", "unit", "source")
SAMPLE_COLUMNS = (*KEYS, "source", "t_seconds", "metric", "value", "unit")

MEASURED = "measured"
SIMULATED = "simulated"
"""The ``source`` of rows that a machine gave, and of those that the model gave."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScenarioRef(_Record):
    name: str
    question: str
    file: str
    sha256: str


class LabRef(_Record):
    version: str
    commit: str | None
    dirty: bool | None


class MachineRecord(_Record):
    """The machine that was measured, and the host below it."""

    emulated: bool
    accelerator: str
    cpu_model: str
    cpus: int
    memory_bytes: int
    box: str
    disks: str
    pool_disk_bytes: int
    spare_disk_bytes: int
    cache: str
    host_kernel: str
    host_cpus: int

    @property
    def provision(self) -> str:
        """How it was provided, for a table: ``emulated (tcg)``, ``user-mode Linux (uml)``, ``virtualised (kvm)``."""
        if self.emulated:
            return f"emulated ({self.accelerator})"
        return f"{'user-mode Linux' if self.on_uml else 'virtualised'} ({self.accelerator})"

    @property
    def on_uml(self) -> bool:
        """Whether the guest's kernel was user-mode Linux."""
        return self.accelerator == "uml"


class ClockCheck(_Record):
    """The guest's clock against the host's, over one stretch of seconds.  ``drift`` is guest/host - 1."""

    at_utc: str
    guest_seconds: float
    host_seconds: float
    drift: float


class CellRecord(_Record):
    """What a cell id stands for; ``options`` are those of the storage."""

    storage: str
    target: str
    workload: str
    options: dict[str, str | int | float | bool | None] = Field(default_factory=dict)


class Failure(_Record):
    """Why a cell failed, as the machine said it.  ``returncode`` is null at a time limit or where no command failed."""

    kind: str
    argv: list[str]
    returncode: int | None
    output: str


class CellResult(_Record):
    """One cell of one arm in one repetition, as the journal holds it."""

    cell: str
    repetition: int
    arm: Arm = ARM
    key: str
    status: Literal["done", "failed"]
    error: Failure | None = None
    started_utc: str
    seconds: float


class SamplerCost(_Record):
    """What the sampler itself takes: processor seconds and elapsed seconds of one sample, over ``samples`` of them."""

    samples: int
    cpu_seconds_per_sample: float
    elapsed_seconds_per_sample: float


class BaselineRecord(ScenarioRef):
    """The other arm of a run with two.  Cell ids may coincide with the candidate's, and stand for other options."""

    seed: int
    cells: dict[str, CellRecord]
    drop_caches: dict[str, bool] = Field(default_factory=dict)


class RepeatRecord(_Record):
    """How a run that repeats until a ratio is known well enough ended.

    ``wanted`` and ``half_width`` are relative: 0.1 is ±10 %.  The interval and ``half_width`` are null where fewer
    than 3 pairs were measured, ``estimate`` too where there is no ratio at all.
    """

    ratio: str
    wanted: float
    max_repetitions: int
    n: int
    estimate: float | None
    low: float | None
    high: float | None
    half_width: float | None
    reached: bool
    reason: str


class Manifest(_Record):
    schema_version: int = SCHEMA_VERSION
    run: str
    status: Literal["complete", "partial"]
    scenario: ScenarioRef
    lab: LabRef
    machine: MachineRecord
    versions: dict[str, str]
    clock: list[ClockCheck]
    seed: int
    repetitions: int
    order: list[str]
    started_utc: str
    ended_utc: str
    cells: dict[str, CellRecord]
    results: list[CellResult]
    sampler: SamplerCost | None = None
    drop_caches: dict[str, bool] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)
    """Where the run's time went: resume, daemon starts, image loads, workloads, the rest."""
    baseline: BaselineRecord | None = None
    """The arm that ``scenario``, the candidate, was measured against; None in a run of one scenario."""
    repeat_until: RepeatRecord | None = None

    @property
    def simulated(self) -> bool:
        """Whether no machine ran: its ``accelerator`` is ``SIMULATED``, and the numbers are the model's."""
        return self.machine.accelerator == SIMULATED


def whole_repetitions(manifest: Manifest) -> int:
    """The repetitions of which every cell was measured, or failed."""
    each = len(manifest.order) / manifest.repetitions
    counts = Counter(result.repetition for result in manifest.results)
    return sum(count >= each for count in counts.values())
