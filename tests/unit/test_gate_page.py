"""The page on the gate: its numbers are the runs', and the committed one is what the committed runs give."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from lab.errors import InputError
from lab.gate_page import gate_page, write_gate_page

_SPEC = importlib.util.spec_from_file_location("gate_runs", Path(__file__).with_name("gate_runs.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
runs = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(runs)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    runs.build(folder / "aa", repetitions=12)
    runs.build(folder / "proofs" / "slow", repetitions=12, edit=runs.worse("write_bandwidth", 1 / 1.4),
               baseline_digest="cd" * 32)
    runs.build(folder / "proofs" / "unmoved", repetitions=12, baseline_digest="cd" * 32)
    return folder


def test_a_slow_down_that_is_there_is_told_beside_one_that_is_not(results: Path) -> None:
    text = gate_page(results)
    found = {name: line.split("|")[4].strip() for name in ("slow", "unmoved")
             for line in text.splitlines() if line.startswith(f"| `results/proofs/{name}`")}
    assert found == {"slow": "20 of 20", "unmoved": "0 of 20"}
    timing = next(line for line in text.splitlines() if line.startswith("| `seq-write` | write bandwidth")
                  and ", 20" in line)
    assert re.search(r"\| [23]\.\d % \| \+(39|4\d)\.\d %, [1-5]\.\d %, 20 \| [-+]\d\.\d %, [1-5]\.\d %, 0 \|$", timing)


def test_the_page_and_its_figures_are_written(results: Path, tmp_path: Path) -> None:
    page = write_gate_page(results, tmp_path / "gate.md")
    linked = re.findall(r"\]\((figures/[^)]+)\)", page.read_text())
    assert linked == ["figures/gate-noise.png", "figures/gate-power.png"]
    for name in linked:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_without_slow_downs_the_page_says_so(tmp_path: Path) -> None:
    runs.build(tmp_path / "aa", repetitions=10)
    assert "is not there yet" in gate_page(tmp_path)


def test_without_an_aa_run_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the A/A run is missing"):
        gate_page(tmp_path)


def test_the_committed_page_is_what_the_committed_runs_give() -> None:
    assert (ROOT / "docs" / "gate.md").read_text() == gate_page(ROOT / "results"), "make docs"
