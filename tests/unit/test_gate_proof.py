"""What is found of a slow-down that is there, on data of known truth."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.cli import app
from lab.errors import InputError
from lab.gate.proof import prove, sentence
from lab.gate.rules import Rules
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
