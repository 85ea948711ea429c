"""Lesson 8 on ensembles of known truth: counts by hand, the widgets' moves, and the exercises' grades."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.answers.plan.host import empty_storage, reserve_bytes
from lab.answers.plan.plan_file import load_plan, read_plan
from lab.answers.plan.precomputed import POINTS, Demand, Ensemble, Provenance, all_variants, read_ensembles
from lab.answers.plan.sizing import needed
from lab.errors import RigError
from lab.lessons import planning
from lab.lessons.checks import answers as checks
from lab.lessons.figures import planning as planning_figures
from lab.lessons.figures import widgets as planning_widgets
from lab.lessons.planning import Choice
from lab.scenario.scenario import StorageSpec
from lab.simulate.parameters import read_parameters

ROOT = Path(__file__).parents[2]
GIB, MIB = 1024**3, 1024**2
N = 20
TEXT = """\
name: made-up
horizon_days: 50
accepted_risk_percent: 10
storage: {storage: direct-lvm, chunk_size: 512KiB}
pool: {data: 10GiB, metadata: 100MiB}
workload:
  - name: web
    image: lab/app:1
    steps: [start, write: {amount: 1MiB}]
    starts_per_day: 1
    lifetime: 1h
"""
LEVEL_METADATA = 20 * MIB


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    """Replication i asks for data that grow evenly to i GiB, i from 1 to 20; other variants for a share of that."""
    plan = read_plan(TEXT, Path("plan.yaml"))
    ramp = np.arange(1, N + 1)[:, None] * np.arange(POINTS)[None, :] / (POINTS - 1) * GIB
    flat = np.full((N, POINTS), float(LEVEL_METADATA))
    shares = {"as planned": 1.0, "discard mounts": 0.5, "chunks of 64 KiB": 0.9, "overlay2 on ext4": 0.8}
    demands = {one.name: Demand(one, shares.get(one.name, 1.0) * ramp, flat if one.spec.driver == "devicemapper"
                                else 0 * flat) for one in all_variants(plan)}
    made = Provenance(plan=plan.name, plan_sha256="", parameters_sha256="", seed=1, replications=N,
                      variants=tuple(demands), lab_version="0")
    return Ensemble(plan, made, demands)


@pytest.fixture
def planned(ensemble: Ensemble) -> Choice:
    return planning.as_planned(ensemble)


def first_day(peak_gib: float, level_gib: float) -> float:
    """Of an even growth to the peak: the first day of the grid, of half days, that lies above the level."""
    return next((step / 2 for step in range(POINTS) if peak_gib * step / 100 > level_gib), math.inf)


# -- answers -------------------------------------------------------------------------------------------------

def test_the_choice_is_the_plans_at_first(planned: Choice) -> None:
    assert planned == Choice("as planned", 10 * GIB, 100 * MIB, 0.1, 0.1, 80)


def test_risks_are_counts_of_the_peaks_above_what_is_granted(ensemble: Ensemble, planned: Choice) -> None:
    refused, full, metadata = planning.answer(ensemble, planned).risks
    assert refused.days == (12.5, 25.0, 37.5, 50.0)
    for risk, level in ((refused, 9.0), (full, 10.0)):
        expected = [sum(first_day(peak, level) <= day for peak in range(1, N + 1)) for day in risk.days]
        assert [chance.hits for chance in risk.chances] == expected
    assert (refused.by_horizon.hits, full.by_horizon.hits) == (11, 10)
    assert [chance.hits for chance in metadata.chances] == [0] * 4


def test_without_min_free_space_nothing_is_refused_before_the_pool_is_full(ensemble: Ensemble, planned: Choice) -> None:
    found = planning.answer(ensemble, replace(planned, min_free_share=0.0))
    assert found.risks[0].chances == found.risks[1].chances


def test_metadata_refuse_where_too_little_of_them_is_free(ensemble: Ensemble, planned: Choice) -> None:
    """10 MiB besides the reserve, of which each size has a tenth: below 12.5 MiB refused, below 11.1 MiB full."""
    large = replace(planned, data_bytes=30 * GIB)
    for mebibytes, refused, full in ((13, 0, 0), (12, N, 0), (11, N, N)):
        told = planning.answer(ensemble, replace(large, metadata_bytes=mebibytes * MIB)).risks
        assert [chance.hits for chance in told[0].chances] == [refused] * 4
        assert [chance.hits for chance in told[2].chances] == [full] * 4


def test_metadata_that_are_told_hold_the_demand_and_their_own_reserve(ensemble: Ensemble, planned: Choice) -> None:
    """The ensemble's metadata show the reserve of the planned 100 MiB, which is 10 MiB."""
    told = planning.answer(ensemble, planned).metadata
    assert told is not None
    wanted = round(told.estimate)
    assert LEVEL_METADATA - 10 * MIB + reserve_bytes(wanted) == pytest.approx(0.9 * wanted, abs=4096)
    enough = planning.answer(ensemble, replace(planned, data_bytes=30 * GIB, metadata_bytes=wanted + 80 * 1024))
    assert enough.risks[0].by_horizon.hits == 0
    assert enough.metadata is not None
    assert enough.metadata.estimate == pytest.approx(told.estimate, abs=80 * 1024), "whatever metadata are chosen"


def test_the_bitmaps_of_another_size_are_about_the_exact_models(ensemble: Ensemble, planned: Choice) -> None:
    """The model's metadata device grows with the disk as well, and has some bitmaps of its own."""
    parameters = read_parameters(None)
    spec = StorageSpec.model_validate({"storage": "direct-lvm", "chunk_size": "64KiB"})
    sizes = (40 * GIB, 120 * GIB)
    before, after = (empty_storage(spec, size_bytes, 0, parameters).metadata_bytes for size_bytes in sizes)
    base = ensemble.demands["as planned"]
    varied = replace(ensemble, demands={"as planned": replace(base, variant=replace(base.variant, spec=spec))})
    small, large = (planning.metadata_asked(varied, replace(planned, data_bytes=size_bytes))[0, 0]
                    for size_bytes in sizes)
    assert large - small == 80 * 4096               # of 16,320 data blocks each: 121 - 41
    assert large - small <= after - before + 2 * 4096
    assert large - small == pytest.approx(after - before, abs=18 * 4096)


def test_a_larger_pool_and_a_later_day_are_monotone(ensemble: Ensemble, planned: Choice) -> None:
    by_size = planning.chance_by_size(ensemble, planned, [size * GIB for size in range(1, 30)])
    assert [one.hits for one in by_size] == [sum(peak > 0.9 * size for peak in range(1, N + 1))
                                             for size in range(1, 30)]
    by_day = [one.hits for one in planning.chance_by_day(ensemble, planned)]
    assert by_day == sorted(by_day)
    assert (by_day[0], by_day[-1]) == (0, 11)


def test_an_alert_is_worth_the_days_to_the_first_refusal(ensemble: Ensemble, planned: Choice) -> None:
    found = planning.answer(ensemble, replace(planned, alert_percent=50))
    left = sorted(first_day(peak, 9) - first_day(peak, 5) for peak in range(1, N + 1)
                  if first_day(peak, 9) < math.inf)
    assert (found.alert.raised.hits, found.alert.in_time) == (15, 11)
    assert (found.alert.soonest, found.alert.median) == (left[0], left[5])
    assert (found.alert_days.reached, found.alert_days.n) == (15, N)
    ordered = sorted(first_day(peak, 5) for peak in range(1, N + 1))
    assert found.alert_days.median == pytest.approx(ordered[9])
    assert found.alert_days.high is None
    late = planning.answer(ensemble, replace(planned, data_bytes=100 * GIB))
    assert (late.alert.raised.hits, late.alert.in_time, late.alert.median) == (0, 0, None)


def test_sizes_are_those_of_lab_plan(ensemble: Ensemble, planned: Choice) -> None:
    found = planning.answer(ensemble, planned)
    peaks = [float(peak * GIB) for peak in range(1, N + 1)]
    assert found.data == needed(peaks, 0.1).converted(lambda used: used / 0.9)
    assert found.holds is False
    large = replace(planned, data_bytes=100 * GIB)
    assert planning.answer(ensemble, large).holds is None, "none of 20 leaves up to 12 % open"
    assert planning.answer(ensemble, replace(large, risk=0.2)).holds is True


def test_a_file_system_refuses_nothing_before_it_is_full(ensemble: Ensemble, planned: Choice) -> None:
    found = planning.answer(ensemble, replace(planned, variant="overlay2 on ext4"))
    assert len(found.risks) == 2
    assert found.metadata is None
    assert found.risks[0].by_horizon.hits == sum(0.8 * peak > 10 for peak in range(1, N + 1))


# -- tables and the picture ----------------------------------------------------------------------------------

def test_tables_tell_what_the_answers_hold(ensemble: Ensemble, planned: Choice) -> None:
    table = planning.answer_table(planning.answer(ensemble, planned))["answer"]
    assert table["the accepted risk of 10 % is kept"] == "no"
    assert "11 of 20" in table[f"{planning.REFUSED}, by day 50"]
    assert table["days to 80 % of data, of 90 % of the replications"].endswith("> 50")
    changes = planning.by_lever(ensemble, planned)
    assert list(changes.index) == list(ensemble.demands)
    assert changes.loc["discard mounts", "difference_bytes"] == pytest.approx(-0.5 * 10.5 * GIB)
    assert changes.loc["as planned", "data's peak against the plan"] == "none"
    rare = planning.by_risk(ensemble, planned, [0.01, 0.2])
    assert rare["how"].tolist() == ["extrapolated", "counted"]
    assert rare["replications to count it"].tolist() == [299, 14]
    runs = planning.ensembles_table([ensemble])
    assert runs.loc["made-up", ["replications", "variants"]].tolist() == [N, len(ensemble.demands)]
    assert planning.of_plan([ensemble], "made-up") is ensemble
    with pytest.raises(ValueError, match="there are made-up"):
        planning.of_plan([ensemble], "other")


def test_the_picture_follows_the_choice(ensemble: Ensemble, planned: Choice) -> None:
    first = planning_figures.drawn(ensemble, planned)
    assert "Simulated, 20 replications" in first.caption
    assert len(first.figure.axes) == 4
    assert first.png() != planning_figures.drawn(ensemble, replace(planned, data_bytes=11 * GIB)).png()
    files = planning.answer(ensemble, replace(planned, variant="overlay2 on ext4"))
    assert len(planning_figures.picture(ensemble, files).axes) == 2


def test_the_picture_shows_the_size_and_where_the_daemon_refuses(ensemble: Ensemble, planned: Choice) -> None:
    large = planning.answer(ensemble, replace(planned, data_bytes=60 * GIB))
    data, _, metadata, _ = planning_figures.picture(ensemble, large).axes
    assert data.get_ylim()[0] == metadata.get_ylim()[0] == 0
    assert data.get_ylim()[1] > 60
    assert metadata.get_ylim()[1] > 100
    lines = {line.get_label(): next(iter(line.get_ydata())) for line in data.lines}
    assert (lines["size"], lines["the daemon refuses above"], lines["alert at 80 %"]) == (60, 54, 48)


# -- the sliders ---------------------------------------------------------------------------------------------

def panel_of(ensemble: Ensemble) -> planning_widgets.Panel:
    return planning_widgets.Panel(pytest.importorskip("ipywidgets"), ensemble)


def test_untouched_controls_say_what_the_plan_says(ensemble: Ensemble, planned: Choice) -> None:
    panel = panel_of(ensemble)
    assert panel.choice() == planned
    assert set(panel.controls) == {"data", "metadata", "chunk", "lever", "risk", "min_free", "alert"}


@pytest.mark.parametrize(("name", "value", "field", "expected"), [
    ("data", 12.0, "data_bytes", 12 * GIB), ("metadata", 50.0, "metadata_bytes", 50 * MIB),
    ("risk", 5, "risk", 0.05), ("min_free", 20, "min_free_share", 0.2), ("alert", 60, "alert_percent", 60),
    ("chunk", "chunks of 64 KiB", "variant", "chunks of 64 KiB"), ("lever", "discard mounts", "variant",
                                                                   "discard mounts")])
def test_a_move_changes_the_choice_and_the_picture(ensemble: Ensemble, planned: Choice, name: str, value: Any,
                                                   field: str, expected: Any) -> None:
    panel = panel_of(ensemble)
    before = (panel.picture.value, panel.answers.value)
    panel.controls[name].value = value
    assert panel.choice() == replace(planned, **{field: expected})
    assert bytes(panel.picture.value).startswith(b"\x89PNG")
    assert (panel.picture.value, panel.answers.value) != before


def test_one_change_locks_the_other(ensemble: Ensemble) -> None:
    controls = panel_of(ensemble).controls
    assert not controls["lever"].disabled
    controls["chunk"].value = "chunks of 64 KiB"
    assert controls["lever"].disabled
    controls["chunk"].value = "as planned"
    controls["lever"].value = "discard mounts"
    assert (controls["lever"].disabled, controls["chunk"].disabled) == (False, True)


def test_another_plan_has_its_own_panel(ensemble: Ensemble) -> None:
    pytest.importorskip("ipywidgets")
    box = planning_widgets.planner([ensemble, replace(ensemble)])
    chosen, panel = box.children
    chosen.value = 1
    assert box.children[0] is chosen
    assert box.children[1] is not panel
    with pytest.raises(ValueError, match="one at least"):
        planning_widgets.planner([])


def test_without_ipywidgets_the_remedy_is_told(ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("lab.lessons.figures.widgets.importlib.import_module", missing)
    with pytest.raises(RigError, match="ipywidgets") as caught:
        planning_widgets.planner([ensemble])
    assert "thinpool-lab[notebook]" in (caught.value.remedy or "")


# -- the notebook --------------------------------------------------------------------------------------------

def test_the_first_cell_names_every_plan_with_its_seed() -> None:
    document = json.loads((ROOT / "notebooks" / "08_capacity_planning.ipynb").read_text(encoding="utf-8"))
    head = "".join(document["cells"][0]["source"])
    plans = [load_plan(file) for file in sorted((ROOT / "scenarios" / "plans").glob("*.yaml"))]
    assert plans
    assert re.search(r"\*\*[^*]+\?\*\*", head), "a question"
    for plan in plans:
        assert f"{plan.seed} ({plan.name})" in head


ABSURD: list[Any] = [float("nan"), 10**400, "seven", "", [1], object, 1j, True]


def test_numbers_are_graded(ensemble: Ensemble, planned: Choice) -> None:
    found = planning.answer(ensemble, planned)
    for check, right in ((lambda a: checks.size_at_risk(found, a), found.data.high / GIB),
                         (lambda a: checks.replications_wanted(0.03, a), 99)):
        assert check(right).startswith("Right: it is ")
        assert check(None) == "No answer yet."
        for wrong in (right + max(2.0, right), -right, 1e12):
            assert check(wrong).startswith("Not yet. ")
        for absurd in ABSURD:
            assert check(absurd).startswith("Not yet")


def test_the_estimate_of_the_lessons_plan_is_not_its_safe_side() -> None:
    ci = planning.of_plan(read_ensembles(ROOT / "scenarios" / "plans", ROOT / "results" / "ensembles"), "ci-host")
    found = planning.answer(ci, planning.as_planned(ci))
    assert checks.size_at_risk(found, round(found.data.high / GIB, 2)).startswith("Right: ")
    assert checks.size_at_risk(found, found.data.estimate / GIB).startswith("Not yet. ")


def test_the_strongest_change_is_asked_for_by_name(ensemble: Ensemble, planned: Choice) -> None:
    changes = planning.by_lever(ensemble, planned)
    assert checks.strongest_lever(changes, " Discard mounts") == "Right: discard mounts."
    assert checks.strongest_lever(changes, "overlay2 on ext4").startswith("Not yet. ")
    assert checks.strongest_lever(changes, None) == "No answer yet."
    for absurd in [*ABSURD, "as planned"]:
        assert "is none of" in checks.strongest_lever(changes, absurd)
    assert checks.strongest_lever(changes.iloc[:1], "prune daily") == "The table has no change."
