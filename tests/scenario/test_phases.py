"""The names of phases, which runs, models, fits and ``--repeat-until`` take from one place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.scenario.phases import phase_names
from lab.scenario.scenario import load_scenario

RESULTS = Path(__file__).parents[2] / "results"
TEXT = """\
name: phases
question: What are they called?
seed: 7
storages: [direct-lvm]
targets: [layer]
workload:
  - name: disk
    fio: jobs.fio
    repeats: 2
  - name: files
    steps: [start, write: {amount: 4MiB}, delete: written, write: {amount: 4MiB}, remove]
  - name: often
    rounds: 3
    steps: [start, write: {amount: 8MiB}, remove]
  - name: own
    command: [/bin/true]
"""


def test_the_phases_of_each_kind_of_workload_are_known_before_it_runs(tmp_path: Path) -> None:
    (tmp_path / "jobs.fio").write_text("[global]\nrw=write\n[seq-write]\n[rand-write-4k]\n")
    (tmp_path / "phases.yaml").write_text(TEXT)
    scenario = load_scenario(tmp_path / "phases.yaml")
    assert {workload.name: phase_names(workload) for workload in scenario.workload} == {
        "disk": ["seq-write", "rand-write-4k", "seq-write#2", "rand-write-4k#2"],
        "files": ["start", "write", "delete", "write#2", "remove"],
        "often": ["start", "write", "remove", "start#2", "write#2", "remove#2", "start#3", "write#3", "remove#3"],
        "own": ["command", "remove"]}


@pytest.mark.parametrize(("run", "workload"), [("validation/churn", "churn"), ("quickstart", "files")])
def test_the_names_are_those_that_committed_runs_were_measured_under(run: str, workload: str) -> None:
    folder = RESULTS / run
    told = [json.loads(path.read_text()) for path in folder.glob("raw/*/cell.json")]
    ran = [[phase["name"] for phase in cell["phases"]] for cell in told if cell["workload"] == workload]
    scenario = load_scenario(next((RESULTS.parent / "scenarios").rglob(f"{folder.name}.yaml")))
    assert ran
    assert all(names == phase_names(next(one for one in scenario.workload if one.name == workload)) for names in ran)
