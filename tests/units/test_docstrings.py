"""Every public definition of the package says what it gives."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LAB = Path(__file__).parents[2] / "lab"

STILL_LACKING = frozenset({
    "answers/forecast/growth.py:Growth.cell_days",
    "answers/gate/gate.py:Gate.having",
    "answers/gate/rows.py:Status",
    "answers/gate/shown.py:limit",
    "answers/gate/sides.py:Quantity",
    "answers/gate/timings.py:LogSample.differences",
    "measure/runner.py:Session.spend",
    "model/drivers/overlay.py:OverlayView.create",
    "model/drivers/overlay.py:OverlayView.exists",
    "model/drivers/overlay.py:OverlayView.fsync",
    "model/drivers/overlay.py:OverlayView.held_blocks",
    "model/drivers/overlay.py:OverlayView.make_folders",
    "model/drivers/overlay.py:OverlayView.overwrite",
    "model/drivers/overlay.py:OverlayView.remove",
    "model/drivers/overlay.py:OverlayView.size_bytes",
    "model/drivers/overlay.py:OverlayView.sync",
    "model/drivers/overlay.py:OverlayView.touch",
    "model/drivers/overlay.py:OverlayView.trim",
    "model/drivers/overlay.py:OverlayView.used_bytes",
    "rig/guest/sampler.py:DockerSocket",
    "rig/guest/sampler.py:DockerSocket.connect",
    "rig/guest/sampler.py:ask",
    "rig/guest/sampler.py:cgroups",
    "rig/guest/sampler.py:command",
    "rig/guest/sampler.py:daemon",
    "rig/guest/sampler.py:disk_lines",
    "rig/guest/sampler.py:main",
    "rig/guest/sampler.py:pair",
    "rig/guest/sampler.py:read",
    "rig/guest/sampler.py:sample",
    "rig/guest/sampler.py:space",
    "rig/guest/work.py:delete",
    "rig/guest/work.py:force",
    "rig/guest/work.py:main",
    "rig/identity.py:Provided.emulated",
    "rig/machine.py:RecordingMachine.get",
    "rig/machine.py:RecordingMachine.run",
    "rig/machine.py:ReplayMachine.get",
    "rig/machine.py:ReplayMachine.run",
    "rig/own_host/host.py:Host.machine",
    "rig/own_host/host_check.py:Marker.text",
    "rig/ssh.py:SshMachine.get",
    "rig/ssh.py:SshMachine.run",
    "rig/vm/vagrant.py:Vm.machine",
    "rig/vm/vagrant.py:VmSettings.name",
    "runs/raw_cell.py:CellRows",
    "runs/raw_told.py:ToldCell.on_pool",
    "runs/records.py:LabRef",
    "runs/records.py:Manifest",
    "runs/records.py:ScenarioRef",
    "scenario/order.py:Job.cell_id",
    "scenario/scenario.py:CommandWorkload",
    "scenario/scenario.py:FioWorkload",
    "scenario/scenario.py:Scenario",
    "scenario/yaml_text.py:Document.at",
    "scenario/yaml_text.py:nearest",
    "simulate/replay/case.py:Case.where",
})
"""As ``path:Class.method``; the list may shrink only."""


def undocumented(tree: ast.Module | ast.ClassDef, before: str = "") -> Iterator[str]:
    """Public classes, functions and methods that have no docstring; what stands inside a function is not public."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield f"{before}{node.name}"
            if isinstance(node, ast.ClassDef):
                yield from undocumented(node, f"{before}{node.name}.")


def lacking() -> set[str]:
    """All of the package's, with the file in front; a file without a docstring by itself."""
    found = set()
    for file in LAB.rglob("*.py"):
        tree, name = ast.parse(file.read_text(encoding="utf-8")), file.relative_to(LAB).as_posix()
        if file.name != "__init__.py" and not ast.get_docstring(tree):
            found.add(name)
        found |= {f"{name}:{one}" for one in undocumented(tree)}
    return found


@pytest.mark.parametrize(("source", "expected"), [
    ("def a(): pass\ndef _b(): pass", ["a"]),
    ("class A:\n    def b(self): pass\n    def __len__(self): pass", ["A", "A.b"]),
    ('class A:\n    """An A."""\n    def b(self):\n        """A b."""\n        def c(): pass', []),
])
def test_what_lacks_a_docstring_is_found(source: str, expected: list[str]) -> None:
    assert list(undocumented(ast.parse(source))) == expected


def test_every_public_definition_has_a_docstring() -> None:
    assert sorted(lacking() - STILL_LACKING) == []


def test_what_has_a_docstring_by_now_is_no_longer_listed() -> None:
    assert sorted(STILL_LACKING - lacking()) == []
