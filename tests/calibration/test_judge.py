"""Fits and judgements: known truth is found, used runs are refused, scores are what they say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from lab.calibration import residuals as validate
from lab.calibration import search as calibrate
from lab.calibration.judge import growth_rows, refuse_unmeasured, refuse_used, run_ref, simulated_frames
from lab.calibration.ratios import rate_checks, rate_score
from lab.errors import InputError, ReaderError
from lab.model.parameters import LogCosts, Parameters, Provenance
from lab.runs.raw_timing import Took, read_timings
from lab.runs.scenario import scenario_of
from lab.runs.store import Run, open_run
from lab.simulate.parameters import read_parameters
from lab.simulate.runner import simulated_cells

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "results" / "quickstart"
REFERENCE = ROOT / "results" / "reference" / "reference"


def frame(growth: Mapping[str, float], written: Mapping[str, float] | None = None, **same: str | int) -> pd.DataFrame:
    keys = {"cell": "direct-lvm.layer.w", "repetition": 1, "storage": "direct-lvm", "target": "layer",
            "workload": "w", "arm": "candidate", "source": "measured", "run": "r", **same}
    rows = [{**keys, "phase": phase, "metric": "storage_growth", "value": value, "unit": "B"}
            for phase, value in growth.items()]
    rows += [{**keys, "phase": phase, "metric": "application_bytes", "value": value, "unit": "B"}
             for phase, value in (written or {}).items()]
    return pd.DataFrame(rows)


MIB = 1024.0**2


def compared(measured: Mapping[str, float], simulated: Mapping[str, float],
             written: Mapping[str, float] | None = None) -> pd.DataFrame:
    return validate.increments(frame(measured, written), frame(simulated), kinds={"direct-lvm.layer.w": "direct-lvm"},
                               chunk_bytes={"direct-lvm.layer.w": 65536}, per_byte={"direct-lvm layer": 2.0},
                               containers={"direct-lvm.layer.w": 2})


def test_the_errors_are_those_of_the_phases_and_of_their_sums() -> None:
    rows = compared({"start": 10 * MIB, "write": 20 * MIB, "trim": 0.5 * MIB}, {"start": 10 * MIB, "write": 22 * MIB,
                                                                                "trim": 0.0}, {"write": 15 * MIB})
    score = validate.score(rows)
    assert (score.phases, score.exact, score.judged) == (3, 1, 2)           # the trim is below the floor
    assert score.increment_mape == pytest.approx((0 + 0.1) / 2)
    assert score.occupancy_mape == pytest.approx((0 + 2 / 30 + 1.5 / 30.5) / 3)
    assert score.largest_error_bytes == 2 * MIB
    # the straight line: nothing for the start, 30 MiB for the 15 that were written
    assert score.straight_increment_mape == pytest.approx((1 + 0.5) / 2)


def test_without_phases_there_is_no_score() -> None:
    score = validate.score(compared({"a": 1.0}, {"a": 1.0}).iloc[:0])
    assert score.phases == 0
    assert math.isnan(score.increment_mape)


def outside(phases: list[str], by_units: list[float]) -> pd.DataFrame:
    """Increments that lie so many units above what an ensemble gave, a unit being two data blocks."""
    return pd.DataFrame({"phase": phases, "low": 0.0, "high": 65536.0, "unit_bytes": 2 * 65536,
                         "measured": [65536.0 + units * 2 * 65536 for units in by_units]})


def test_intervals_are_widened_by_what_lies_outside_and_cover_what_they_say() -> None:
    rows = outside([f"write#{n}" for n in range(1, 20)], [float(n) for n in range(19)])
    widths = validate.half_widths(rows)
    assert widths == {"write": 17.0, "": 17.0}          # the 18th smallest of 0 to 18: ⌈20 × 0.9⌉
    found = validate.coverage(rows, widths)
    assert (found.covered, found.n) == (18, 19)
    assert found.low < 18 / 19 < found.high


def test_a_kind_of_phase_that_the_fit_has_not_seen_takes_the_width_of_all() -> None:
    rows = outside(["log"], [3.0])
    assert validate.coverage(rows, {"write": 0.0, "": 3.0}).covered == 1
    assert validate.coverage(rows, {"write": 0.0, "": 2.0}).covered == 0


def test_an_ensemble_spans_what_its_members_gave() -> None:
    rows = validate.increments(frame({"a": 3.0, "b": 9.0}), frame({"a": 2.0, "b": 2.0}), kinds={}, chunk_bytes={},
                               per_byte={}, containers={}, ensemble=[frame({"a": 1.0, "b": 4.0}), frame({"a": 5.0})])
    assert rows[["low", "high"]].to_numpy().tolist() == [[1.0, 5.0], [2.0, 4.0]]


def test_the_time_to_a_share_of_the_growth_is_the_first_sample_there() -> None:
    samples = pd.DataFrame({"cell": "c", "repetition": 1, "target": "layer", "metric": "storage_used",
                            "t_seconds": [0.0, 1.0, 2.0, 3.0], "value": [5 * MIB, 6 * MIB, 9 * MIB, 7 * MIB]})
    assert validate.times_to(samples, 0.9) == {("c", 1): 2.0}
    assert validate.times_to(samples.assign(value=5 * MIB), 0.9) == {}


def rates(ratio: float, n: int) -> pd.DataFrame:
    rows = []
    for repetition in range(1, n + 1):
        for storage, value in (("loop-lvm", 100.0), ("direct-lvm", 100.0 * ratio * (1 + 0.01 * repetition))):
            rows.append({"run": "r", "cell": f"{storage}.layer.fio", "storage": storage, "target": "layer",
                         "workload": "fio", "phase": "seq", "repetition": repetition, "arm": "candidate",
                         "metric": "write_bandwidth", "value": value, "unit": "B/s", "source": "measured"})
    return pd.DataFrame(rows)


def test_ratios_overlap_where_their_intervals_do() -> None:
    near, far = rate_checks(rates(2.0, 3), rates(2.2, 1), 0.1), rate_checks(rates(2.0, 3), rates(3.0, 1), 0.1)
    assert [check.overlaps for check in near] == [True]
    assert [check.overlaps for check in far] == [False]
    assert rate_score(far).same_side == 1
    assert rate_score(()).n == 0


def test_a_measured_ratio_without_an_interval_is_a_point() -> None:
    (check,) = rate_checks(rates(2.0, 1), rates(2.1, 1), 0.1)
    assert check.low is None
    assert check.overlaps
    assert not rate_checks(rates(2.0, 1), rates(2.3, 1), 0.1)[0].overlaps


# -- runs ----------------------------------------------------------------------------------------------------------


def test_the_run_that_was_fitted_to_is_refused_also_when_it_has_gone_on() -> None:
    run = open_run(QUICKSTART)
    used = run_ref(run)
    for ref in (used, used.model_copy(update={"measurements_sha256": "0" * 64}),
                used.model_copy(update={"started_utc": "2020-01-01", "run": "copy"})):
        with pytest.raises(InputError, match="cannot judge them"):
            refuse_used(Parameters(provenance=Provenance(runs=(ref,))), run)
    refuse_used(Parameters(), run)


def test_the_shipped_parameters_were_fitted_to_the_reference_run_alone() -> None:
    (ref,) = read_parameters(None).provenance.runs
    assert (ref.run, ref.scenario_sha256) == ("reference", open_run(REFERENCE).manifest.scenario.sha256)


def test_a_simulated_run_says_nothing_of_a_machine() -> None:
    run = open_run(QUICKSTART)
    machine = run.manifest.machine.model_copy(update={"accelerator": "simulated"})
    with pytest.raises(InputError, match="is simulated"):
        refuse_unmeasured(Run(run.path, run.manifest.model_copy(update={"machine": machine})))


def test_log_costs_are_found_again_in_what_the_model_made() -> None:
    """The truth differs from where the search begins in the two counts that a pool shows at once."""
    scenario = scenario_of(open_run(QUICKSTART))
    truth = Parameters().log.model_copy(update={"clean_records": 4, "changed_records": 2})

    def growth(log: LogCosts) -> list[float]:
        (cell,) = simulated_cells(scenario, Parameters(log=log), [1], run="r", only=["loop-lvm.layer.files"])
        return [row["value"] / 65536 for row in cell.measurements if row["metric"] == "storage_growth"]

    made = growth(truth)

    def loss(values: Mapping[str, int]) -> tuple[float, int]:
        return sum((one - other) ** 2 for one, other in zip(growth(LogCosts(**values)), made, strict=True)), len(made)

    found = calibrate.fit_log(loss, Parameters().log.model_dump(), lambda *told: None)
    assert (found.best["clean_records"], found.best["changed_records"]) == (4, 2)
    assert found.squares == 0
    told = {one.name: one for one in found.fitted}
    assert (told["log.changed_records"].low, told["log.changed_records"].high) == (2, 2)
    low, high = told["log.inode_bytes"].low, told["log.inode_bytes"].high
    assert low is not None
    assert high is not None
    assert low <= truth.inode_bytes <= high


def test_times_are_medians_and_asking_is_what_goes_beyond_an_empty_record() -> None:
    took = [Took("boundary_seconds", seconds) for seconds in (0.5, 0.6, 0.7)]
    took += [Took("boundary of 2", seconds) for seconds in (1.6, 1.8, 1.6)]
    found = calibrate.fit_timing(took)
    assert found["boundary_seconds"].value == 0.6
    assert found["measure_seconds"].value == pytest.approx(0.5)
    assert set(found) == {"boundary_seconds", "measure_seconds"}


def test_a_cells_times_add_up_to_its_phases() -> None:
    run = open_run(QUICKSTART)
    key = next(r.key for r in run.manifest.results if r.cell == "direct-lvm.layer.files")
    took = read_timings(run.path / "raw" / key, 2)
    names = {one.name for one in took}
    assert {"start_seconds", "check_seconds", "exec_seconds", "remove_seconds", "sync_seconds",
            "boundary of 2"} <= names
    assert all(one.seconds >= 0 for one in took)


def test_a_damaged_cell_is_named(tmp_path: Path) -> None:
    (tmp_path / "cell.json").write_text("{}")
    with pytest.raises(ReaderError, match=r"cell\.json: 'kind' is missing"):
        read_timings(tmp_path, 1)


def test_the_model_is_within_the_goals_on_the_quickstart_run() -> None:
    run, parameters = open_run(QUICKSTART), read_parameters(None)
    score = validate.score(growth_rows(parameters, run, simulated_frames(parameters, run)[0]))
    assert score.increment_mape < 0.02
    assert score.occupancy_mape < 0.01
    assert score.straight_occupancy_mape > 1
