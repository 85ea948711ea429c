"""What ``--repeat-until`` takes and refuses, and when it is satisfied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from lab.analysis import noise
from lab.errors import InputError
from lab.runs.records import MEASUREMENT_COLUMNS
from lab.scenario.arms import ARM, BASELINE, CANDIDATE, Arm
from lab.scenario.scenario import Scenario, load_scenario

TEXT = """\
name: noisy
question: How noisy is it?
seed: 7
repetitions: 2
storages: [overlay2-ext4, direct-lvm]
targets: [layer]
workload:
  - name: disk
    fio: jobs.fio
    repeats: 2
    targets: [layer, volume]
  - name: files
    steps: [start, write: {amount: 4MiB}, delete: written, write: {amount: 4MiB}, remove]
  - name: more
    steps: [start, write: {amount: 8MiB}, remove]
  - name: often
    rounds: 20
    steps: [start, write: {amount: 8MiB}, remove]
  - name: own
    command: [/bin/true]
"""
JOBS = "[global]\nrw=write\n[seq-write]\n[rand-write-4k]\n"


@pytest.fixture
def one(tmp_path: Path) -> dict[Arm, Scenario]:
    (tmp_path / "jobs.fio").write_text(JOBS)
    (tmp_path / "noisy.yaml").write_text(TEXT)
    return {ARM: load_scenario(tmp_path / "noisy.yaml")}


@pytest.fixture
def two(one: dict[Arm, Scenario]) -> dict[Arm, Scenario]:
    return {BASELINE: one[ARM], CANDIDATE: one[ARM]}


def parse(text: str, scenarios: dict[Arm, Scenario], maximum: int = 10, only: Sequence[str] = ()) -> noise.RepeatUntil:
    return noise.parse_repeat_until(text, scenarios, max_repetitions=maximum, only=only)


@pytest.mark.parametrize("width", ["±10 %", "±10%", "+-10%", "+/-10 %", " ± 10.0 %"])
def test_a_ratio_of_storages_is_read_however_the_width_is_written(one: dict[Arm, Scenario], width: str) -> None:
    found = parse(f"direct-lvm/overlay2-ext4 write_bandwidth rand-write-4k layer{width}", one)
    assert (found.numerator, found.denominator, found.metric) == ("direct-lvm", "overlay2-ext4", "write_bandwidth")
    assert (found.workload, found.phase, found.target, found.label) == ("disk", "rand-write-4k", "layer", None)
    assert found.wanted == pytest.approx(0.1)
    assert found.cells == ["direct-lvm.layer.disk", "overlay2-ext4.layer.disk"]


def test_a_ratio_of_arms_names_its_storage(two: dict[Arm, Scenario]) -> None:
    found = parse("candidate/baseline duration files:write#2 layer direct-lvm ±2.5%", two)
    assert (found.numerator, found.denominator, found.label) == (CANDIDATE, BASELINE, "direct-lvm")
    assert (found.workload, found.phase, found.wanted) == ("files", "write#2", pytest.approx(0.025))
    assert found.cells == ["direct-lvm.layer.files"]


@pytest.mark.parametrize(("text", "message"), [
    ("", "does not end with the half-width"),
    ("direct-lvm/overlay2-ext4 write_bandwidth seq-write layer", "does not end with the half-width"),
    ("direct-lvm/overlay2-ext4 write_bandwidth seq-write layer 10%", "does not end with the half-width"),
    ("direct-lvm/overlay2-ext4 write_bandwidth seq-write layer ±ten %", "does not end with the half-width"),
    ("direct-lvm/overlay2-ext4 write_bandwidth seq-write layer ±0 %", "allowed is above 0"),
    ("direct-lvm/overlay2-ext4 write_bandwidth seq-write layer ±101 %", "up to 100"),
    ("±10 %", "no ratio A/B"),
    ("direct-lvm write_bandwidth seq-write layer ±10 %", "no ratio A/B"),
    ("direct-lvm/overlay2-ext4 write_bandwidth seq-write ±10 %", "has 3 words, not 4"),
    ("direct-lvm/overlay2-ext4 write_bandwidth seq-write layer direct-lvm ±10 %", "has 5 words, not 4"),
    ("direct-lvm/btrfs write_bandwidth seq-write layer ±10 %", "'btrfs' (the labels are overlay2-ext4, direct-lvm)"),
    ("direct-lvm/direct-lvm write_bandwidth seq-write layer ±10 %", "against itself is always 1"),
    ("direct-lvm/overlay2-ext4 speed seq-write layer ±10 %", "no metric 'speed' (the metrics are write_bandwidth,"),
    ("direct-lvm/overlay2-ext4 write_bandwidth files:write layer ±10 %", "files has no metric 'write_bandwidth'"),
    ("direct-lvm/overlay2-ext4 write_bandwidth seq-write#3 layer ±10 %", "disk: seq-write, rand-write-4k, seq-write#2"),
    ("direct-lvm/overlay2-ext4 duration nothing:write layer ±10 %", "the workloads are disk, files, more, often, own"),
    ("direct-lvm/overlay2-ext4 duration more:write#2 layer ±10 %", "the phases are more: start, write, remove"),
    ("direct-lvm/overlay2-ext4 duration write layer ±10 %", "write files:write or more:write or often:write"),
    ("direct-lvm/overlay2-ext4 duration files:write volume ±10 %", "the targets are layer"),
    ("candidate/baseline duration files:write layer direct-lvm ±10 %", "needs two arms"),
])
def test_what_cannot_be_is_refused_with_what_is_allowed(one: dict[Arm, Scenario], text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, one)
    assert str(caught.value).startswith("--repeat-until: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [
    ("direct-lvm/overlay2-ext4 duration files:write layer ±10 %", "with --against the ratio is candidate/baseline"),
    ("candidate/baseline duration files:write layer ±10 %", "has 4 words, not 5"),
    ("candidate/baseline duration files:write layer btrfs ±10 %", "the labels are"),
    ("candidate/candidate duration files:write layer direct-lvm ±10 %", "candidate/baseline or baseline/candidate"),
])
def test_with_two_arms_the_ratio_is_theirs(two: dict[Arm, Scenario], text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, two)
    assert message in str(caught.value)


def test_a_ratio_of_cells_that_only_leaves_out_is_refused(one: dict[Arm, Scenario]) -> None:
    text = "direct-lvm/overlay2-ext4 write_bandwidth seq-write layer ±10%"
    with pytest.raises(InputError, match=r"needs overlay2-ext4\.layer\.disk"):
        parse(text, one, only=["direct-lvm.layer.disk"])
    parse(text, one, only=["direct-lvm.layer.disk", "overlay2-ext4.layer.disk"])


def test_a_maximum_below_what_an_interval_needs_is_refused(one: dict[Arm, Scenario]) -> None:
    with pytest.raises(InputError, match="--max-repetitions: 2 is too few"):
        parse("direct-lvm/overlay2-ext4 write_bandwidth seq-write layer ±10%", one, maximum=2)


def test_the_phases_of_later_rounds_can_be_asked_for(one: dict[Arm, Scenario]) -> None:
    found = parse("direct-lvm/overlay2-ext4 duration often:write#2 layer ±10 %", one)
    assert (found.workload, found.phase) == ("often", "write#2")


def test_of_many_rounds_the_phases_are_not_all_listed(one: dict[Arm, Scenario]) -> None:
    with pytest.raises(InputError, match=r"often: start, write, remove, start#2, .*, \.\.\. remove#20 \(60 in all\)"):
        parse("direct-lvm/overlay2-ext4 duration often:write#21 layer ±10 %", one)


def rows(label: str, values: Sequence[float], arm: Arm = ARM, phase: str = "seq-write") -> list[tuple[object, ...]]:
    return [("r", f"{label}.layer.disk", label, "layer", "disk", phase, repetition, arm, "write_bandwidth", value,
             "B/s", "measured") for repetition, value in enumerate(values, 1)]


def frame(*parts: list[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame([row for part in parts for row in part], columns=list(MEASUREMENT_COLUMNS))


def until(wanted: float, **changed: str | None) -> noise.RepeatUntil:
    given = {"numerator": "a", "denominator": "b", "label": None} | changed
    return noise.RepeatUntil("a/b", str(given["numerator"]), str(given["denominator"]), "write_bandwidth", "disk",
                             "seq-write", "layer", given["label"], wanted, 5)


def test_the_half_width_is_students_on_the_log_scale() -> None:
    """Logarithms of ratios 1, 2, 3: mean 2, s = 1, t(0.975; 2) = 4.302653."""
    found = noise.judge(until(0.1), frame(rows("a", [math.e, math.e**2, math.e**3]), rows("b", [1, 1, 1])), 3)
    assert found.record.half_width == pytest.approx(math.exp(4.302653 / math.sqrt(3)) - 1, rel=1e-6)
    assert (found.ended, found.record.reached, found.record.n) == (False, False, 3)


@pytest.mark.parametrize(("wanted", "reached"), [(0.0254, True), (0.0250, False)])
def test_it_ends_exactly_when_the_interval_is_narrow_enough(wanted: float, reached: bool) -> None:
    found = noise.judge(until(wanted), frame(rows("a", [2.0, 2.02, 1.98]), rows("b", [1, 1, 1])), 3)
    assert found.record.half_width == pytest.approx(0.02516, abs=1e-4)
    assert (found.ended, found.record.reached) == (reached, reached)


def test_it_ends_at_the_maximum_and_says_so() -> None:
    found = noise.judge(until(0.01), frame(rows("a", [1, 2, 3, 4, 9]), rows("b", [1, 1, 1, 1, 1])), 5)
    assert (found.ended, found.record.reached) == (True, False)
    assert "maximum" in found.record.reason
    assert "n = 5" in found.sentence
    assert "where ±1 % is wanted" in found.sentence


@pytest.mark.parametrize(("a", "reason"), [([0.0, 0.0, 0.0], "zero or below"), ([], "for both sides")])
def test_what_has_no_ratio_ends_at_once(a: list[float], reason: str) -> None:
    found = noise.judge(until(0.1), frame(rows("a", a), rows("b", [1, 1, 1])), 3)
    assert (found.ended, found.record.reached, found.record.estimate) == (True, False, None)
    assert reason in found.record.reason
    assert reason in found.sentence


def test_two_pairs_have_no_interval_and_go_on() -> None:
    found = noise.judge(until(0.5), frame(rows("a", [1, 1]), rows("b", [1, 1, 1])), 3)
    assert (found.ended, found.record.n, found.record.half_width) == (False, 2, None)


def test_the_ratio_of_arms_is_of_its_storage_and_phase_alone() -> None:
    table = frame(rows("a", [2, 2, 2], CANDIDATE), rows("a", [1, 1, 1], BASELINE), rows("b", [9, 1, 5], CANDIDATE),
                  rows("b", [1, 7, 1], BASELINE), rows("a", [7, 1, 7], CANDIDATE, "rand"))
    found = noise.judge(until(0.1, numerator=CANDIDATE, denominator=BASELINE, label="a"), table, 3)
    assert (found.record.estimate, found.record.reached) == (pytest.approx(2), True)
