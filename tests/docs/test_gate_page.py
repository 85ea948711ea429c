"""The page on the gate: its numbers are the runs', and the committed one is what the committed runs give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gate_page import gate_page, write_gate_page
from helpers import gate_runs as runs

from lab.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for aa in ("aa", "machines/aa-uml"):
        runs.build(folder / aa, repetitions=12)
    runs.build(folder / "proof", repetitions=12, labels=("same", "slow"), workloads=("fio",),
               edit=runs.worse("write_bandwidth", 1 / 1.4, label="slow"), held_back={"slow": "3000 operations/s"},
               baseline_digest="cd" * 32)
    return folder


def test_a_slow_down_that_is_there_is_told_beside_one_that_is_not(results: Path) -> None:
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in gate_page(results).splitlines()
             if line.startswith("|")]
    told = {line[0]: line[1:3] for line in lines if line[0] in ("`same`", "`slow`") and not line[1].startswith("`")}
    assert told == {
        "`same`": ["as the baseline's", "0 of 20"], "`slow`": ["3000 operations/s", "20 of 20"]}
    timings = {line[0]: line for line in lines if line[1:3] == ["`seq-write`", "write bandwidth"]}
    assert re.fullmatch(r"\+(3[6-9]|4\d)\.\d %", timings["`slow`"][3])
    assert [timings[name][7] for name in ("`same`", "`slow`")] == ["0 of 20", "20 of 20"]
    assert all(re.fullmatch(r"\d\.\d %", line[6]) for line in timings.values()), "what ten pairs find in this noise"


def test_the_page_and_its_figures_are_written(results: Path, tmp_path: Path) -> None:
    page = write_gate_page(results, tmp_path / "gate.md")
    linked = re.findall(r"\]\((figures/[^)]+)\)", page.read_text())
    assert linked == [f"figures/gate-{what}-{machine}.png" for machine in ("uml", "tcg") for what in ("noise", "power")]
    for name in linked:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_without_slow_downs_the_page_says_so(tmp_path: Path) -> None:
    for aa in ("aa", "machines/aa-uml"):
        runs.build(tmp_path / aa, repetitions=10)
    assert "is not there yet" in gate_page(tmp_path)


def test_without_an_aa_run_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the A/A run is missing"):
        gate_page(tmp_path)


def test_the_committed_page_is_what_the_committed_runs_give() -> None:
    assert (ROOT / "docs" / "gate.md").read_text() == gate_page(ROOT / "results"), "make docs"
