"""What was asked, as a manifest records it: from a scenario, measured or simulated."""

from __future__ import annotations

from lab.runs.records import BaselineRecord, CellRecord, ScenarioRef
from lab.scenario.scenario import Cell, Scenario

_OPTIONS = ("chunk_size_bytes", "data_percent", "metadata_percent", "autoextend_threshold", "autoextend_percent",
            "discard")


def scenario_ref(scenario: Scenario) -> ScenarioRef:
    """The scenario's name, question, file and digest."""
    return ScenarioRef(name=scenario.name, question=scenario.question, file=scenario.path.name, sha256=scenario.sha256)


def baseline_record(scenario: Scenario) -> BaselineRecord:
    """The scenario of a run's other arm."""
    return BaselineRecord(**scenario_ref(scenario).model_dump(), seed=scenario.seed, cells=cell_records(scenario),
                          drop_caches=drop_caches(scenario))


def drop_caches(scenario: Scenario) -> dict[str, bool]:
    """By workload."""
    return {workload.name: workload.drop_caches for workload in scenario.workload}


def cell_records(scenario: Scenario) -> dict[str, CellRecord]:
    """By cell; of the storage's options those that have a value."""
    return {cell.id: _cell_record(cell) for cell in scenario.cells()}


def _cell_record(cell: Cell) -> CellRecord:
    storage = cell.storage
    options = {name: value for name in _OPTIONS if (value := getattr(storage, name)) is not None}
    throttle = {} if storage.throttle is None else {"throttle": storage.throttle.sentence}
    return CellRecord(storage=storage.storage, target=cell.target, workload=cell.workload.name,
                      options=options | throttle)
