"""The lessons' notebooks as files: their first cell names what it rests on, truly; no logic in them and no output.

That they run is for `pytest --nbmake notebooks`.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lab.runs.store import open_run
from lab.scenario.scenario import load_scenario

ROOT = Path(__file__).parents[2]
LESSONS = ("00_start_here", "01_layers", "02_thin_pool", "03_loop_or_direct", "04_copy_up", "05_choosing",
           "06_layer_or_volume", "07_calibration", "08_capacity_planning", "09_metadata", "10_regressions")
OF_PLANS = ("08_capacity_planning",)
"""Those that rest on plans; their first cells are tested beside their logic."""


def notebook(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    return document


def texts(name: str, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook(name)["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_has_the_format_of_the_others_and_no_outputs(name: str) -> None:
    document, first = notebook(name), notebook("00_start_here")
    assert {key: document[key] for key in document if key != "cells"} == {
        key: first[key] for key in first if key != "cells"}
    assert [cell["id"] for cell in document["cells"]] == [str(number) for number in range(len(document["cells"]))]
    for cell in document["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)


@pytest.mark.parametrize("name", [name for name in LESSONS if name not in OF_PLANS])
def test_the_first_cell_asks_and_names_scenarios_runs_and_seeds_that_are_so(name: str) -> None:
    head = texts(name, "markdown")[0]
    assert re.search(r"\*\*[^*]+\?\*\*", head), "a question"
    scenarios = re.findall(r"`(scenarios/[\w/-]+\.yaml)`", head)
    runs = re.findall(r"`(results/[\w/-]+)`", head)
    assert scenarios
    assert len(scenarios) == len(runs)
    for scenario, folder in zip(scenarios, runs, strict=True):
        run, asked = open_run(ROOT / folder), load_scenario(ROOT / scenario)
        assert run.manifest.scenario.name == asked.name
        assert run.manifest.seed == asked.seed
        assert str(asked.seed) in head
    for case in re.findall(r"`(tests/ground_truth/[\w-]+)`", head):
        document = json.loads((ROOT / case / "case.json").read_text())
        assert f"seed {document['seed']}" in head


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_reads_only_what_its_first_cell_names(name: str) -> None:
    head = texts(name, "markdown")[0]
    read = re.findall(r'Path\("\.\./([^"]+)"\)', "\n".join(texts(name, "code")))
    assert read
    for folder in read:
        assert f"`{folder}`" in head


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_ends_with_exercises_that_are_checked(name: str) -> None:
    code = texts(name, "code")
    graded = [cell for cell in code if "answer = None" in cell]
    assert 2 <= len(graded) <= 3
    assert all(re.search(r"\n(run_)?checks\.", cell) for cell in graded)
    told = "\n".join(texts(name, "markdown"))
    assert [f"**{number}.**" in told for number in range(1, len(graded) + 1)] == [True] * len(graded)


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_ends_with_what_comes_next_and_its_links_lead_somewhere(name: str) -> None:
    cells = texts(name, "markdown")
    assert notebook(name)["cells"][-1]["cell_type"] == "markdown"
    assert re.search(r"(^|\n)Next: .*\]\(", cells[-1])
    linked = re.findall(r"\]\(([^)#]+)\)", "\n".join(cells))
    assert [link for link in linked if not (ROOT / "notebooks" / link).is_file()] == []


@pytest.mark.parametrize("name", LESSONS)
def test_a_lessons_cells_hold_no_logic(name: str) -> None:
    for cell in texts(name, "code"):
        for node in ast.walk(ast.parse(cell)):
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.For | ast.While | ast.If | ast.Try), cell


@pytest.mark.parametrize("name", LESSONS)
def test_no_result_is_written_into_the_text(name: str) -> None:
    """Prose holds sizes that the cells set, and rules' constants; nothing that a run could change."""
    prose = "\n".join(texts(name, "markdown")[1:])
    assert not re.search(r"\d\s?(MiB/s|×|%|ms\b)|\bn = \d", prose), prose
