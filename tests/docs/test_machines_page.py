"""The page on machines: what counts as agreement, and that the committed page is of the committed runs."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from lab.analysis.stats import Estimate

ROOT = Path(__file__).parents[2]
GENERATOR = runpy.run_path(str(ROOT / "docs" / "generate" / "machines.py"))


def ratio(centre: float, low: float, high: float) -> Estimate:
    return Estimate(centre, low, high, 3, 0.95)


@pytest.mark.parametrize(("tcg", "uml", "agrees"), [
    (ratio(1.0, 0.9, 1.1), ratio(1.3, 1.05, 1.5), True),
    (ratio(1.0, 0.9, 1.1), ratio(1.3, 1.2, 1.5), False),
    (ratio(1.3, 1.2, 1.5), ratio(1.0, 0.9, 1.1), False),
    (ratio(1.0, 0.5, 2.0), ratio(1.0, 0.99, 1.01), True),
])
def test_two_ratios_agree_where_their_intervals_overlap(tcg: Estimate, uml: Estimate, agrees: bool) -> None:
    both = GENERATOR["Both"]("layer", "seq-write-1m", "write_bandwidth", "loop-lvm", tcg, uml)
    assert both.agrees is agrees
    assert both.factor == pytest.approx(uml.centre / tcg.centre)


def test_the_committed_page_is_what_its_generator_writes_from_the_committed_runs() -> None:
    assert (ROOT / "docs" / "machines.md").read_text() == GENERATOR["page"](ROOT / "results")
