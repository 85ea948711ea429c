"""Service times from measured rows: what comes back, what cannot, and the committed reference run."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lab.calibration.check import ratio_checks
from lab.calibration.rows import METRICS, Observation, at_one_pace, observations
from lab.calibration.times import Fit, Parameter, fit_times, predicted
from lab.errors import InputError
from lab.model.filesystems.job_counts import FileState, Surface, counts_of
from lab.model.parameters import storage_kind
from lab.model.times.device_time import JobCounts, ServiceTimes
from lab.readers.fio_job import parse_fio_jobs
from lab.runs.scenario import scenario_of
from lab.runs.store import open_run

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference" / "reference"
KIB = 1024
TIMES = ServiceTimes(write_seconds=1.6e-4, write_seconds_per_byte=2.6e-10, read_seconds=1.4e-4, first_seconds=1e-4,
                     first_seconds_per_byte=9e-10, provision_seconds=3e-4, copy_seconds_per_byte=4e-9,
                     sync_seconds=4e-4, between_seconds=5e-5, between_seconds_per_byte=3e-10, spread=0.25)


def rows(times: ServiceTimes, chunks: tuple[int, ...], noise: float, seed: int, *, passes: int = 2,
         files: tuple[str, ...] = ("reference", "image"), repetitions: int = 3) -> list[Observation]:
    """What the reference scenario would measure on a pool of each chunk size, with lognormal noise."""
    random = np.random.default_rng(seed)
    found = []
    for chunk in chunks:
        for repetition in range(1, repetitions + 1):
            states: dict[str, FileState] = {}
            for file in files:
                path = ROOT / "scenarios" / "jobs" / f"{file}.fio"
                for number in range(1, passes + 1):
                    for job in parse_fio_jobs(path.read_text(), path):
                        counts, states[job.filename] = counts_of(job, states.get(job.filename),
                                                                 Surface(chunk, "xfs", file == "image"),
                                                                 image_files={"large.bin": 32 << 20})
                        exact = [(metric, predicted(times, counts, metric)) for metric in METRICS]
                        values = tuple((metric, value * math.exp(random.normal(0, noise))) for metric, value in exact
                                       if value > 0)
                        tail = math.exp(1.6448536 * times.spread * math.exp(random.normal(0, noise)))
                        found.append(Observation("direct-lvm", "layer", f"direct-{chunk}", f"direct-{chunk}.layer.fio",
                                                 job.name if number == 1 else f"{job.name}#{number}", repetition,
                                                 counts, values, tail))
    return found


def by_name(fit: Fit) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in fit.parameters}


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_known_times_come_back_within_their_intervals(seed: int) -> None:
    fit, = fit_times(rows(TIMES, (64 * KIB, 128 * KIB, 512 * KIB), 0.05, seed))
    outside = []
    for name, parameter in by_name(fit).items():
        if name == "read_seconds_per_byte":
            continue
        assert parameter.identified, parameter.reason
        assert parameter.low is not None
        assert parameter.high is not None
        assert parameter.standard_error is not None
        true = getattr(TIMES, name)
        assert abs(parameter.value - true) < 4 * parameter.standard_error
        outside += [] if parameter.low <= true <= parameter.high else [name]
    assert len(outside) <= 3        # each of 11 intervals misses once in ten times: more than 3, once in 50
    assert float(np.std([residual.ln_ratio for residual in fit.residuals])) == pytest.approx(0.05, rel=0.25)


def test_without_noise_the_times_are_exact() -> None:
    fit, = fit_times(rows(TIMES, (64 * KIB, 512 * KIB), 0.0, 1))
    for name, parameter in by_name(fit).items():
        if name != "read_seconds_per_byte":
            assert parameter.value == pytest.approx(getattr(TIMES, name), rel=1e-3)


def test_of_one_size_of_reads_the_part_by_size_is_not_told() -> None:
    fit, = fit_times(rows(TIMES, (64 * KIB, 512 * KIB), 0.05, 1))
    missing = by_name(fit)["read_seconds_per_byte"]
    assert not missing.identified
    assert missing.reason.startswith("the measured jobs cannot tell it from read_seconds,")
    assert missing.value == 0


def test_one_chunk_size_does_not_tell_provisioning_from_allocation() -> None:
    fit, = fit_times(rows(TIMES, (64 * KIB,), 0.05, 1))
    assert "provision_seconds" in by_name(fit)["first_seconds_per_byte"].reason
    assert max(abs(residual.ln_ratio) for residual in fit.residuals) < 0.25     # what they take together is known


def test_work_that_nobody_did_is_named() -> None:
    fit, = fit_times(rows(TIMES, (64 * KIB, 512 * KIB), 0.05, 1, files=("reference",)))
    assert by_name(fit)["copy_seconds_per_byte"].reason == "no measured job does such work; it stays 0"
    assert not by_name(fit)["copy_seconds_per_byte"].identified


def test_a_time_of_zero_is_at_its_bound_or_vague() -> None:
    fit, = fit_times(rows(replace(TIMES, provision_seconds=0.0), (64 * KIB, 512 * KIB), 0.05, 5))
    parameter = by_name(fit)["provision_seconds"]
    assert parameter.value < 2e-5
    assert not parameter.identified or parameter.low == 0 or parameter.value < 3 * (parameter.standard_error or 0)


def test_a_single_row_gives_a_value_and_no_interval() -> None:
    few = [Observation("loop-lvm", "volume", "loop-lvm", "loop-lvm.volume.fio", "a", 1, JobCounts(reads=100),
                       (("runtime", 0.01),), None)]
    fit, = fit_times(few)
    assert fit.times.read_seconds == pytest.approx(1e-4)
    assert by_name(fit)["read_seconds"].reason == "too few rows for a standard error"
    assert by_name(fit)["spread"].value == 0


def test_kinds_and_targets_are_fitted_apart() -> None:
    one = rows(TIMES, (64 * KIB,), 0.05, 1)
    other = [replace(row, kind="loop-lvm", target="volume") for row in one]
    assert [(fit.kind, fit.target) for fit in fit_times([*one, *other])] == [("direct-lvm", "layer"),
                                                                            ("loop-lvm", "volume")]
    assert fit_times([]) == ()
    assert storage_kind("direct-lvm-docker") == storage_kind("direct-lvm") != storage_kind("loop-lvm")


def test_ratios_of_noiseless_rows_are_the_measured_ones() -> None:
    fits = fit_times(rows(TIMES, (64 * KIB, 512 * KIB), 0.0, 1))
    checks = ratio_checks(fits)
    assert len(checks) == 10
    assert all(abs(check.ln_error) < 1e-3 for check in checks)
    first = next(check for check in checks if check.phase == "seq-write-1m")
    assert first.same_side
    assert first.n == 3


def test_the_reference_run_is_fitted() -> None:
    run = open_run(REFERENCE)
    fits = fit_times(at_one_pace(observations(run, scenario_of(run))))
    assert {fit.kind for fit in fits} == {"loop-lvm", "direct-lvm", "overlay2-ext4", "overlay2-xfs"}
    for fit in fits:
        assert float(np.median([abs(residual.ln_ratio) for residual in fit.residuals])) < 0.2
        assert by_name(fit)["write_seconds"].identified
        assert by_name(fit)["sync_seconds"].identified


def test_a_repetition_on_a_slower_machine_does_not_spoil_the_fit() -> None:
    exact = rows(TIMES, (64 * KIB, 512 * KIB), 0.05, 3)
    slower = [replace(one, values=tuple((metric, 1.6 * value) for metric, value in one.values))
              if one.repetition == 2 else one for one in exact]
    paced, = fit_times(at_one_pace(slower))
    plain, = fit_times(slower)
    spreads = [float(np.std([residual.ln_ratio for residual in fit.residuals])) for fit in (paced, plain)]
    assert spreads[0] == pytest.approx(0.05, rel=0.3)
    assert spreads[1] > 0.2
    assert paced.times.write_seconds == pytest.approx(TIMES.write_seconds, rel=0.1)


def test_a_phase_without_its_bytes_is_refused() -> None:
    run = open_run(REFERENCE)
    scenario = scenario_of(run)
    damaged = replace(run)
    frame = run.measurements
    damaged.__dict__["measurements"] = frame[frame["metric"] != "io_bytes"]
    with pytest.raises(InputError, match="no io_bytes or no runtime in repetition 1"):
        observations(damaged, scenario)
