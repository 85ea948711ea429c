"""What is found of a slow-down that is there, on data of known truth."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.cli import app
from lab.errors import InputError
from lab.gate.proof import pair_spread, prove, sentence
from lab.gate.rules import Rules
from lab.gate.sides import Comparison, Quantity
from lab.store import open_run

_SPEC = importlib.util.spec_from_file_location("gate_runs", Path(__file__).with_name("gate_runs.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
runs = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(runs)


def test_a_large_slow_down_is_found_in_every_draw_and_named(tmp_path: Path) -> None:
    run = open_run(runs.build(tmp_path / "slow", repetitions=14, edit=runs.worse("write_bandwidth", 1 / 1.4)))
    found = prove(run, Rules(), pairs=10, seed=1)
    assert (found.found.alarms, found.found.trials, found.measured) == (20, 20, 14)
    by_metric = {(one.phase, one.metric): one for one in found.timings}
    assert by_metric["seq-write", "write_bandwidth"].found == 20
    assert by_metric["seq-write", "write_bandwidth"].worse == pytest.approx(0.4, abs=0.05)
    assert by_metric["start", "duration"].found == 0


def test_nothing_is_found_where_nothing_was_slowed_down(tmp_path: Path) -> None:
    run = open_run(runs.build(tmp_path / "same", repetitions=14))
    assert prove(run, Rules(), pairs=10, seed=1).found.alarms == 0


def test_too_few_pairs_in_a_draw_find_nothing_however_slow_it_is(tmp_path: Path) -> None:
    run = open_run(runs.build(tmp_path / "slow", repetitions=6, edit=runs.worse("write_bandwidth", 0.5)))
    assert prove(run, Rules(), pairs=3, seed=1).found.alarms == 0


def test_the_same_seed_draws_the_same_pairs(tmp_path: Path) -> None:
    run = open_run(runs.build(tmp_path / "slow", repetitions=12, edit=runs.worse("duration", 1.06)))
    assert prove(run, Rules(), pairs=10, seed=3) == prove(run, Rules(), pairs=10, seed=3)


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_the_spread_is_that_of_the_pairs(tmp_path: Path, noise: float) -> None:
    """Each side is off by the noise, so that their ratio is by its square root of two; the slow-down is not in it."""
    run = open_run(runs.build(tmp_path / "slow", repetitions=60, noise=noise, edit=runs.worse("write_bandwidth", 0.5)))
    found = prove(run, Rules(), pairs=10, seed=1).timings
    (slowed,) = (one for one in found if (one.phase, one.metric) == ("seq-write", "write_bandwidth"))
    assert slowed.spread == pytest.approx(noise * 2 ** 0.5, rel=0.3)


def test_one_pair_has_no_spread() -> None:
    quantity = Quantity("c", "p", "m", "s")
    assert pair_spread(Comparison(quantity, {1: 2.0}, {1: 3.0})) is None
    assert pair_spread(Comparison(quantity, {1: 2.0, 2: 2.0, 3: 1.0}, {1: 4.0, 2: 1.0})) == pytest.approx(
        math.log(4) / 2 ** 0.5)


def test_more_pairs_than_there_are_is_bad_input(tmp_path: Path) -> None:
    run = open_run(runs.build(tmp_path / "few", repetitions=4))
    with pytest.raises(InputError, match="4 pairs; 10 are to be drawn"):
        prove(run, Rules(), pairs=10, seed=1)


def test_the_command_tells_and_stores_it(tmp_path: Path) -> None:
    run = runs.build(tmp_path / "slow", repetitions=12, edit=runs.worse("write_bandwidth", 1 / 1.4))
    told = CliRunner().invoke(app, ["gate", "--prove", str(run), "--pairs", "10", "--json"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["found"]["alarms"] == 20
    shown = CliRunner().invoke(app, ["gate", "--prove", str(run), "-o", str(tmp_path / "proof.json")])
    assert "in 20 of 20 draws of 10 from 12 pairs" in shown.stdout
    assert sentence(prove(open_run(run), Rules(), pairs=10, seed=20261205)) in shown.stdout
    assert json.loads((tmp_path / "proof.json").read_text())["run"] == "slow"
