"""A storage that the package does not know is added by its faces and one entry, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import folders_storage
from typer.testing import CliRunner

from lab.cli import app
from lab.rig.storages.face import rig_face
from lab.runs.store import open_run
from lab.scenario.key import setup_text
from lab.scenario.scenario import load_scenario
from lab.storages.catalogue import STORAGES

SCENARIO = """
name: added
question: Is a new storage one storage among others?
seed: 1
machine: {memory: 2GiB, cpus: 2, pool_disk: 4GiB, spare_disk: 4GiB, disks: full}
storages: [folders, direct-lvm]
targets: [layer, volume]
workload:
  - name: files
    image: lab/app:1
    steps: [start, {write: {amount: 4MiB, files: 2}}, {update: {file: large.bin, amount: 1MiB}}, remove]
"""


def test_a_new_storage_goes_through_scenario_simulation_and_report(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STORAGES, "folders", folders_storage.KIND)
    (tmp_path / "added.yaml").write_text(SCENARIO)
    scenario = load_scenario(tmp_path / "added.yaml")
    assert rig_face(scenario.storages[0].kind).layers_mount == "/var/lib/docker"
    assert len({setup_text(spec) for spec in scenario.storages}) == 2
    simulated = CliRunner().invoke(app, ["simulate", str(tmp_path / "added.yaml"), "--results", str(tmp_path)])
    assert simulated.exit_code == 0, simulated.output
    run = open_run(next(path.parent for path in tmp_path.rglob("manifest.json")))
    found = run.measurements
    assert set(found["storage"]) == {"folders", "direct-lvm"}
    copied = found[(found["storage"] == "folders") & (found["phase"] == "update") & (found["target"] == "layer")
                   & (found["metric"] == "storage_growth")]
    assert copied["value"].min() >= 4 * 1024**2, "a storage of files copies the whole file up"
    reported = CliRunner().invoke(app, ["report", str(run.path)])
    assert reported.exit_code == 0, reported.output
    assert "folders" in (run.path / "report.html").read_text()
