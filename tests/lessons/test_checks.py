"""Every check grades a right answer, a wrong one, a missing one and an absurd one, and never tells the answer."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lab.analysis.facts import facts_of
from lab.analysis.stats import Estimate
from lab.lessons import copy_cost, dumps, layers, loop_or_direct, metadata_growth, volume_cost
from lab.lessons.checks import answers as checks
from lab.readers.image_archive import box_image
from lab.runs.store import open_run
from lab.simulate.parameters import read_parameters

RESULTS = Path(__file__).parents[2] / "results"
KIB, MIB, GIB = 1024, 1024**2, 1024**3
PROGRAM = [("create", 0), ("write", 0, [0, 1, 2, 3]), ("snapshot", 1, 0), ("write", 0, [0, 1]), ("write", 1, [0])]
ABSURD: list[Any] = [float("nan"), float("inf"), -1e308, 10**400, 10**5000, "seven", "", [1], {}, object, 1j, b"7"]

Check = Callable[[Any], str]


@pytest.fixture(scope="module")
def numeric() -> dict[str, tuple[Check, float]]:
    """Each check that asks for a number, with the right answer worked out by another way."""
    quickstart, reference = open_run(RESULTS / "quickstart"), open_run(RESULTS / "reference" / "reference")
    parameters = read_parameters(None)
    starts = layers.started([quickstart], parameters)
    dump = dumps.dump_of(quickstart, "direct-lvm.layer.fio-short")
    grown = layers.grow(layers.storages_of(reference, ["direct-lvm"])[0], box_image("lab/app:1"), 4, 4 * GIB,
                        parameters)
    ratios, space = loop_or_direct.ratios(reference), loop_or_direct.space(facts_of(reference))
    job = "rand-write-4k-fdatasync, write"
    both = loop_or_direct.ratio_of(ratios, job, "both")
    update, kept = copy_cost.updated(reference), volume_cost.kept(reference)
    full = metadata_growth.fill(2**12, 1024**2, 2**11, 20, seed=9)
    assert both is not None
    maps = dumps.devices(dump)["maps, MiB"].sum() * MIB / dumps.block_bytes(dump)
    return {
        "start_of_one": (lambda a: checks.start_of_one(starts, a, run="quickstart", storage="direct-lvm"),
                         starts.loc[("quickstart", "direct-lvm"), "measured_bytes"] / 2 / MIB),
        "counted_twice": (lambda a: checks.counted_twice(dump, a), maps / dumps.used_blocks(dump)),
        "containers_like_image": (lambda a: checks.containers_like_image(grown, a),
                                  4 * grown.image_bytes / sum(grown.each_bytes)),
        "used_after": (lambda a: checks.used_after(PROGRAM, a), 6),
        "freed_by_delete": (lambda a: checks.freed_by_delete(PROGRAM, 1, a), 2),
        "unmapped_by": (lambda a: checks.unmapped_by(32 * KIB, 200 * KIB, a), 2),
        "both_from_parts": (lambda a: checks.both_from_parts(ratios, a, job=job), both.centre),
        "differs_by_a_block": (lambda a: checks.differs_by_a_block(space, a, phase="update"),
                               space.loc["update", "difference_blocks"]),
        "copies_after": (lambda a: checks.copies_after(500, 500, a), 500 * (1 - 0.998**500)),
        "writes_until": (lambda a: checks.writes_until(0.5, 500, a), np.ceil(np.log(0.5) / np.log(0.998))),
        "disk_for_each_byte": (lambda a: checks.disk_for_each_byte(update, a, storage="overlay2-ext4"),
                               update.loc["overlay2-ext4", "disk_bytes"]
                               / update.loc["overlay2-ext4", "application_bytes"]),
        "saved_in_pool": (lambda a: checks.saved_in_pool(kept, a, storage="direct-lvm"),
                          (kept.loc["direct-lvm", "layer_bytes"] - kept.loc["direct-lvm", "below_bytes"]) / MIB),
        "kernel_rule": (lambda a: checks.kernel_rule(100 * GIB, 512 * KIB, a), 48 * 100 * 2048 / MIB),
        "containers_held": (lambda a: checks.containers_held(full, a), full.held),
        "data_left": (lambda a: checks.data_left(full, a), 100 * (1 - full.rows["data"].iloc[-1])),
    }


NAMES = ("start_of_one", "counted_twice", "containers_like_image", "used_after", "freed_by_delete", "unmapped_by",
         "both_from_parts", "differs_by_a_block", "copies_after", "writes_until", "disk_for_each_byte",
         "saved_in_pool", "kernel_rule", "containers_held", "data_left")


@pytest.mark.parametrize("name", NAMES)
def test_a_number_is_graded(numeric: dict[str, tuple[Check, float]], name: str) -> None:
    check, right = numeric[name]
    assert check(right).startswith("Right: it is "), check(right)
    assert check(np.float64(right)) == check(right) == check(Fraction(float(right)))
    assert check(pd.Series([right])) == check(np.array(right)) == check(Decimal(float(right))) == check(right)
    assert check(None) == "No answer yet."
    for wrong in (right + max(2.0, abs(right)), -right - 3, 1e12):
        assert check(wrong).startswith("Not yet. "), (wrong, check(wrong))
        assert check(wrong) == check(1e13), "what is told does not depend on the answer given"


@pytest.mark.parametrize("name", NAMES)
def test_an_absurd_answer_is_not_right_and_ends_in_the_same_hint(numeric: dict[str, tuple[Check, float]],
                                                                 name: str) -> None:
    check, _ = numeric[name]
    hint = check(1e13).removeprefix("Not yet. ")
    for answer in [*ABSURD, True, np.bool_(True)]:
        told = check(answer)
        assert told.startswith("Not yet"), (name, told)
        assert told.endswith(hint)
        assert len(told) < len(hint) + 80


def test_one_factor_alone_is_not_the_product() -> None:
    ratios, job = loop_or_direct.ratios(open_run(RESULTS / "reference" / "reference")), "rand-write-4k-fdatasync, write"
    for asks in (loop_or_direct.LOOP.asks, loop_or_direct.BLOCK.asks):
        factor = loop_or_direct.ratio_of(ratios, job, asks)
        assert factor is not None
        assert checks.both_from_parts(ratios, factor.centre, job=job).startswith("Not yet. "), asks


def test_an_answer_of_several_numbers_is_shown_on_one_line() -> None:
    told = checks.graded_number(pd.Series([1.0, 2.0]), 1.0, "One number.")
    assert told.startswith("Not yet: ")
    assert "\n" not in told


def ratio_table(low: float, high: float, n: int = 5) -> Any:
    return pd.DataFrame({"job": ["j"], "asks": ["the loop device"], "numerator": ["a"], "denominator": ["b"],
                         "n": [n], "ratio": [0.5], "low": [low], "high": [high], "ratio (95 % interval)": [""]})


@pytest.mark.parametrize(("low", "high", "n", "right"), [
    (0.4, 0.6, 5, True), (0.4, 1.2, 5, False), (float("nan"), float("nan"), 1, False)])
def test_slower_may_be_said_with_an_interval_below_one_only(low: float, high: float, n: int, right: bool) -> None:
    def check(answer: Any) -> str:
        return checks.may_call_slower(ratio_table(low, high, n), answer, job="j", asks="the loop device")

    assert check(right).startswith("Right: ")
    assert check(np.bool_(right)).startswith("Right: ")
    assert check(not right).startswith("Not yet. It takes an interval")
    assert check(None) == "No answer yet."
    for absurd in [*ABSURD, 0, 1, "True"]:
        assert "is neither True nor False" in check(absurd)
    assert checks.may_call_slower(ratio_table(low, high, n), right, job="k", asks="both") == \
        "The table has no ratio of k."


@pytest.mark.parametrize(("found", "right"), [
    (Estimate(0.5, 0.4, 0.6, 3, 0.95), True), (Estimate(1.5, 1.4, 1.6, 3, 0.95), False),
    (Estimate(0.9, 0.7, 1.1, 3, 0.95), False), (Estimate(0.2, None, None, 2, None), False)])
def test_the_volume_may_be_named_faster_with_an_interval_below_one_only(found: Estimate, right: bool) -> None:
    def check(answer: Any, job: str = "j") -> str:
        return checks.may_name_volume_faster([("j", "s", found)], answer, job=job, storage="s")

    assert check(right).startswith("Right: ")
    assert check(not right).startswith("Not yet. ")
    assert check(None) == "No answer yet."
    assert check(True, "k") == "The run has no ratio of k on s."


def test_the_largest_cause_is_asked_for_by_name() -> None:
    import pandas as pd

    table = pd.DataFrame({"start, MiB": [4.0], "asked again, MiB": [9.0], "start, blocks": [80]}, index=["s"])

    def check(answer: Any) -> str:
        return checks.largest_cause(table, answer, storage="s")

    assert check("asked again") == check(" Asked AGAIN ") == "Right: asked again."
    assert check("start").startswith("Not yet. ")
    assert check(None) == "No answer yet."
    for absurd in [*ABSURD, True, 3, "start, blocks"]:
        assert "is none of start, asked again" in check(absurd)
    assert checks.largest_cause(table, "start", storage="t") == "The table has no storage t."


def test_what_the_run_lacks_is_said_before_anything_is_graded(numeric: dict[str, tuple[Check, float]]) -> None:
    reference = open_run(RESULTS / "reference" / "reference")
    ratios = loop_or_direct.ratios(reference)
    assert checks.both_from_parts(ratios, 1.0, job="no-such") == "The table has no two ratios of no-such."
    assert checks.differs_by_a_block(loop_or_direct.space(facts_of(reference)), 1, phase="no-such") == \
        "The table has no phase no-such."
    assert checks.saved_in_pool(volume_cost.kept(reference), 1, storage="no-such").startswith("The table has no")
    assert checks.disk_for_each_byte(copy_cost.updated(reference), 1, storage="no-such").startswith("The table has no")
    starts = layers.started([open_run(RESULTS / "quickstart")], read_parameters(None))
    assert checks.start_of_one(starts, 1, run="quickstart", storage="no-such").startswith("The table has no start")
