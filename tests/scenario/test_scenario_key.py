"""The keys by which a run knows what it has measured: those of committed runs stay, and every field is decided on."""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model

from lab.runs.scenario import scenario_of
from lab.runs.store import Run, open_run
from lab.scenario.key import COUNTED, LATER, NOT_COUNTED, SETUP, check_decided, content_of, setup_text
from lab.scenario.order import Arms, plan
from lab.scenario.scenario import Cell, CommandWorkload, FioWorkload, MachineSpec, StepsWorkload, StorageSpec, Throttle
from lab.scenario.steps import STEP_KINDS, Part

RESULTS = Path(__file__).parents[2] / "results"
RUNS = sorted(path.parent for path in RESULTS.rglob("manifest.json"))
PARTS: tuple[type[Part], ...] = (StorageSpec, Throttle, MachineSpec, FioWorkload, StepsWorkload, CommandWorkload,
                                 *STEP_KINDS.values())


def arms_of(run: Run, scratch: Path) -> Arms:
    """What the run measured, out of its own folder."""
    asked = {"repetitions": run.manifest.repetitions}      # which the command line may have set
    if run.manifest.baseline is None:
        return Arms(scenario_of(run).model_copy(update=asked))
    shutil.copy(run.path / "baseline.yaml", scratch / "scenario.yaml")
    (scratch / "raw").symlink_to(run.path / "raw")
    return Arms(scenario_of(run).model_copy(update=asked), scenario_of(Run(scratch, run.manifest)))


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_the_keys_of_a_committed_run_come_out_as_its_manifest_has_them(folder: Path, tmp_path: Path) -> None:
    run = open_run(folder)
    blocks = plan(arms_of(run, tmp_path), run.manifest.machine.box)
    made = {(job.key, job.cell_id, job.repetition) for block in blocks for job in (block.setup, *block.jobs)}
    assert made == {(result.key, result.cell, result.repetition) for result in run.manifest.results}


def test_there_are_runs_with_arms_throttles_and_rounds_among_them() -> None:
    texts = [path.read_text() for folder in RUNS for path in folder.glob("*.yaml")]
    assert len(RUNS) >= 11
    assert all(any(word in text for text in texts) for word in ("throttle:", "rounds:", "discard:", "fio:"))
    assert any((folder / "baseline.yaml").exists() for folder in RUNS)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_of_every_field_it_is_decided_whether_it_changes_a_measurement(part: type[Part]) -> None:
    name = part.__name__
    check_decided(name, list(part.model_fields))
    assert {*COUNTED[name], *LATER.get(name, {}), *SETUP.get(name, ())} <= set(part.model_fields)
    assert not set(COUNTED[name]) & set(NOT_COUNTED.get(name, ()))


def test_of_every_field_of_a_cell_it_is_decided_too() -> None:
    check_decided("Cell", [field.name for field in fields(Cell)])


@pytest.mark.parametrize("part", [StorageSpec(storage="direct-lvm", label="a"), MachineSpec()],
                         ids=lambda part: type(part).__name__)
def test_a_field_that_nobody_has_decided_on_is_refused_when_a_key_is_made(part: Part) -> None:
    name = type(part).__name__
    grown: Any = create_model(name, __base__=type(part), colour=(str, "red"))
    with pytest.raises(TypeError, match=rf"does {name}\.colour change a measurement\? .* not at all"):
        content_of(grown.model_validate(part.model_dump()))
    with pytest.raises(TypeError, match=rf"does {name}\.colour change a measurement\?"):
        setup_text(grown.model_validate(part.model_dump()))


def test_a_part_that_nobody_has_decided_on_is_refused() -> None:
    class Other(Part):
        size: int = 1

    with pytest.raises(TypeError, match=r"does Other\.size change a measurement"):
        content_of(Other())


def test_the_value_that_means_what_was_always_done_leaves_a_key_as_it_was() -> None:
    plain = StorageSpec(storage="direct-lvm", label="a")
    slow = StorageSpec(storage="direct-lvm", label="a", throttle=Throttle(operations=300))
    assert "throttle" not in content_of(plain)
    assert content_of(slow)["throttle"] == {"bandwidth_bytes": None, "operations": 300}
    assert setup_text(slow) == setup_text(plain), "a storage is set up at full speed"
