"""What is found of a slow-down that is there, on data of known truth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import gate_runs as runs
from typer.testing import CliRunner

from lab.answers.gate.proof import StorageProof, pair_spreads, prove, sentences
from lab.answers.gate.rows import Status
from lab.answers.gate.rules import Rules
from lab.answers.gate.sides import Quantity
from lab.cli import app
from lab.errors import InputError
from lab.runs.store import Run, open_run

SLOW = {"direct-lvm": "3000 operations/s"}


def only(run: Run, *, rules: Rules | None = None, pairs: int = 10) -> StorageProof:
    (found,) = prove(run, rules or Rules(), pairs=pairs, seed=1).storages
    return found


def test_a_large_slow_down_is_found_in_every_draw_and_named(tmp_path: Path) -> None:
    run = open_run(runs.build(tmp_path / "slow", repetitions=14, held_back=SLOW,
                              edit=runs.worse("write_bandwidth", 1 / 1.4)))
    found = only(run)
    assert (found.storage, found.control, found.held_back) == ("direct-lvm", False, SLOW["direct-lvm"])
    assert (found.found.alarms, found.found.trials, found.left_open, found.whole) == (20, 20, 0, Status.REGRESSION)
    by_metric = {(one.phase, one.metric): one for one in found.timings}
    assert by_metric["seq-write", "write_bandwidth"].found == 20
    assert by_metric["seq-write", "write_bandwidth"].worse == pytest.approx(0.4, abs=0.05)
    assert by_metric["start", "duration"].found == 0


def test_nothing_is_found_where_nothing_was_slowed_down(tmp_path: Path) -> None:
    found = only(open_run(runs.build(tmp_path / "same", repetitions=14)))
    assert (found.control, found.found.alarms, found.left_open, found.whole) == (True, 0, 0, Status.NONE)


def test_each_storage_is_judged_alone_and_the_one_that_is_alike_in_both_arms_is_the_control(tmp_path: Path) -> None:
    """The slow one among others is told as it is by itself: its timings share no correction with theirs."""
    slow = {"slow": "3000 operations/s"}
    edit = runs.worse("write_bandwidth", 1 / 1.4, label="slow")
    run = open_run(runs.build(tmp_path / "both", repetitions=12, labels=("same", "slow"), held_back=slow, edit=edit,
                              workloads=("fio",)))
    same, held = prove(run, Rules(), pairs=10, seed=1).storages
    assert (same.storage, same.control, same.held_back, same.found.alarms) == ("same", True, None, 0)
    assert (held.storage, held.control, held.held_back, held.found.alarms) == ("slow", False, slow["slow"], 20)
    assert {one.cell for one in held.timings} == {"slow.layer.fio"}
    table = run.measurements
    (tmp_path / "alone").mkdir()
    for file in run.path.iterdir():
        if file.is_file():
            (tmp_path / "alone" / file.name).write_bytes(file.read_bytes())
    table[table["storage"] == "slow"].to_parquet(tmp_path / "alone" / "measurements.parquet")
    assert only(open_run(tmp_path / "alone")) == held


def test_what_is_too_small_for_ten_pairs_is_left_open_and_not_passed(tmp_path: Path) -> None:
    run = open_run(runs.build(tmp_path / "slow", repetitions=20, noise=0.1, held_back=SLOW,
                              edit=runs.worse("write_bandwidth", 1 / 1.1)))
    found = only(run, rules=Rules(ignore=frozenset({"duration", "write_latency_p99"})))
    assert found.left_open >= 5
    for one in found.timings:
        assert one.worse is not None
        assert one.smallest_effect is not None
        assert one.worse < one.smallest_effect or one.found >= 10


@pytest.mark.parametrize(("share", "least", "most"), [(0.25, 0, 6), (2.0, 18, 20)])
def test_what_should_be_found_four_times_in_five_is_found_more_often_above_and_less_often_below(
        tmp_path: Path, share: float, least: int, most: int) -> None:
    """In five runs of known noise, the slow-down is set to a share of what the run without one says is found."""
    rules = Rules(ignore=frozenset({"duration", "write_latency_p99"}))
    hits = []
    for seed in range(5):
        quiet = open_run(runs.build(tmp_path / f"quiet{seed}", repetitions=20, noise=0.06, seed=seed))
        effects = {one.phase: one.smallest_effect for one in only(quiet, rules=rules).timings}
        effect = effects["seq-write"]
        assert effect is not None
        edit = runs.worse("write_bandwidth", 1 / (1 + share * effect), phase="seq-write")
        slowed = only(open_run(runs.build(tmp_path / f"slow{seed}", repetitions=20, noise=0.06, seed=seed, edit=edit,
                                          held_back=SLOW)), rules=rules)
        again = {one.phase: one for one in slowed.timings}
        assert again["seq-write"].smallest_effect == pytest.approx(effect), "the slow-down is not in the noise"
        hits.append(again["seq-write"].found)
    assert least <= sum(hits) / len(hits) <= most


def test_too_few_pairs_in_a_draw_find_nothing_however_slow_it_is(tmp_path: Path) -> None:
    run = open_run(runs.build(tmp_path / "slow", repetitions=6, edit=runs.worse("write_bandwidth", 0.5)))
    found = only(run, pairs=3)
    assert (found.found.alarms, found.left_open) == (0, 20)
    assert {one.smallest_effect for one in found.timings} == {None}


def test_the_same_seed_draws_the_same_pairs(tmp_path: Path) -> None:
    run = open_run(runs.build(tmp_path / "slow", repetitions=12, edit=runs.worse("duration", 1.06)))
    assert prove(run, Rules(), pairs=10, seed=3) == prove(run, Rules(), pairs=10, seed=3)


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_the_spread_is_that_of_the_pairs(tmp_path: Path, noise: float) -> None:
    """Each side is off by the noise, so that their ratio is by its square root of two; the slow-down is not in it."""
    run = open_run(runs.build(tmp_path / "slow", repetitions=60, noise=noise, edit=runs.worse("write_bandwidth", 0.5)))
    (slowed,) = (one for one in only(run).timings if (one.phase, one.metric) == ("seq-write", "write_bandwidth"))
    assert slowed.spread == pytest.approx(noise * 2 ** 0.5, rel=0.3)
    spread = pair_spreads(run, Rules())[Quantity("direct-lvm.layer.fio", "seq-write", "write_bandwidth", "B/s")]
    assert spread == pytest.approx(slowed.spread)


def test_one_pair_has_no_spread(tmp_path: Path) -> None:
    assert pair_spreads(open_run(runs.build(tmp_path / "one", repetitions=1)), Rules()) == {}


def test_more_pairs_than_there_are_is_bad_input(tmp_path: Path) -> None:
    run = open_run(runs.build(tmp_path / "few", repetitions=4))
    with pytest.raises(InputError, match="4 pairs; 10 are to be drawn"):
        prove(run, Rules(), pairs=10, seed=1)


def test_too_few_different_draws_are_bad_input(tmp_path: Path) -> None:
    """Ten of ten pairs are one draw, however often it is drawn."""
    run = open_run(runs.build(tmp_path / "ten", repetitions=10))
    with pytest.raises(InputError, match="10 pairs; 1 different draw of 10 are in them, and 20 are to be made"):
        prove(run, Rules(), pairs=10, seed=1)


def test_the_command_tells_and_stores_it(tmp_path: Path) -> None:
    run = runs.build(tmp_path / "slow", repetitions=12, held_back=SLOW, edit=runs.worse("write_bandwidth", 1 / 1.4))
    told = CliRunner().invoke(app, ["gate", "--prove", str(run), "--pairs", "10", "--json"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["storages"][0]["found"]["alarms"] == 20
    shown = CliRunner().invoke(app, ["gate", "--prove", str(run), "-o", str(tmp_path / "proof.json")])
    assert "in 20 of 20 draws of 10 from 12 pairs" in shown.stdout
    assert "held to 3000 operations/s in the candidate" in shown.stdout
    assert sentences(prove(open_run(run), Rules(), pairs=10, seed=20261205))[0] in shown.stdout
    assert json.loads((tmp_path / "proof.json").read_text())["run"] == "slow"
