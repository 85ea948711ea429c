from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from validation_material import DESIGNED, EASIER, Material, PageRun
from validation_page import page_figures, page_text, validation_page, write_validation_page
from validation_sections import LIMITS, lacking_sentence
from validation_tables import (
    FITTED_HEAD,
    coverage_rows,
    fitted_rows,
    hardest_cell,
    kind_rows,
    missed_sentence,
    not_told_rows,
    service_head,
    service_rows,
    silent_sentence,
)

from lab.calibration import figures as validation_figures
from lab.calibration import notebook_views as validation_views
from lab.calibration import residual_tables as tables
from lab.calibration import residuals as validate
from lab.calibration.fit import loss_profile
from lab.calibration.goals import judge
from lab.calibration.judge import RunValidation, run_ref
from lab.calibration.ratios import RateCheck, RateScore
from lab.errors import InputError
from lab.lessons.checks import runs as run_checks
from lab.model.parameters import Fitted, LogCosts, Parameters, Provenance
from lab.report import plots
from lab.report.markdown import table
from lab.runs.store import open_run
from lab.simulate.parameters import read_parameters, write_parameters

MIB = 1024**2
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
WIDTHS = {"write": 0.0, "": 1.0}


def phase(order: int, name: str, measured: float, simulated: float, *, cell: str = "direct-lvm.layer.files",
          storage: str = "direct-lvm", target: str = "layer", straight: float = 1.0, chunk_bytes: int = MIB,
          repetition: int = 1) -> dict[str, Any]:
    """MiB; occupancies are filled in by ``rows_of``."""
    return {"cell": cell, "repetition": repetition, "phase": name, "storage": storage, "target": target,
            "workload": "files", "order": order, "measured": measured * MIB, "simulated": simulated * MIB,
            "straight": straight * MIB, "chunk_bytes": chunk_bytes, "unit_bytes": chunk_bytes,
            "low": simulated * MIB, "high": simulated * MIB}


def rows_of(phases: Sequence[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(list(phases))
    for name in ("measured", "simulated", "straight"):
        frame[f"{name}_occupancy"] = frame.groupby(["cell", "repetition"], sort=False)[name].cumsum()
    return frame.assign(measured_level=frame["measured_occupancy"], simulated_level=frame["simulated_occupancy"])


def check(measured: float, predicted: float, *, low: float | None = None, high: float | None = None,
          job: str = "seq") -> RateCheck:
    return RateCheck("layer", job, "write_bandwidth", "loop-lvm", "direct-lvm", 3, measured, low, high, predicted, 1.2)


def page_run(name: str, rows: pd.DataFrame, checks: Sequence[RateCheck] = ()) -> PageRun:
    found = RunValidation(name, f"What of {name}?", rows, validate.score(rows), validate.coverage(rows, WIDTHS),
                          {"50%": 1.1, "90%": 0.9}, (), tuple(checks), ("sync_latency_p999",))
    return PageRun(name, open_run(RESULTS / EASIER), found)


def material(*runs: PageRun) -> Material:
    return Material(Parameters(growth_half_widths=WIDTHS), "parameters.json", runs, ())


GOOD = rows_of([phase(0, "start", 10, 10), phase(1, "write", 60, 60), phase(2, "remove", -70, -70)])
BAD = rows_of([phase(0, "start", 10, 14), phase(1, "write", 60, 80), phase(2, "remove", -70, -90)])


def section(text: str, number: int) -> str:
    return re.split(r"^## \d+\. .*\n", text, flags=re.MULTILINE)[number]


def verdicts(text: str) -> list[str]:
    """The last column of the table of goals."""
    block = re.search(r"(?:^\|.*\n)+", section(text, 2), re.MULTILINE)
    assert block is not None
    return [line.split("|")[-2].strip() for line in block[0].splitlines()[2:]]


# -- the page ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_validation_page(RESULTS, tmp_path_factory.mktemp("docs") / "validation.md")


def test_the_committed_page_is_what_the_committed_runs_give(written: Path) -> None:
    assert (ROOT / "docs" / "validation.md").read_text() == written.read_text(), "write it again: make docs"


def test_every_figure_is_there_and_every_table_is_whole(written: Path) -> None:
    text = written.read_text()
    pictures = re.findall(r"^!\[.+\]\((.+)\)$", text, re.MULTILINE)
    assert len(pictures) == 2
    for picture in pictures:
        assert (written.parent / picture).read_bytes().startswith(b"\x89PNG")
        assert (ROOT / "docs" / picture).is_file()
    for link in re.findall(r"\]\(\.\./(.+?)\)", text):
        assert (ROOT / link).exists()
    assert [int(found) for found in re.findall(r"^## (\d+)\.", text, re.MULTILINE)] == list(range(1, 11))
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    assert not re.search(r"\bnan\b|None(?! of)|\n\n\n", text)


def test_without_any_run_the_page_still_names_those_that_are_missing(tmp_path: Path) -> None:
    text = validation_page(tmp_path)
    for name in DESIGNED:
        assert f"`results/{name}`" in text.split("## 1.")[0]
    assert "None of the validation runs is there yet" in text
    assert verdicts(text) == ["not judged"] * 4
    assert write_validation_page(tmp_path, tmp_path / "docs" / "validation.md").read_text() == text


def test_a_validation_run_that_is_missing_is_named_and_one_that_is_there_is_not() -> None:
    text = page_text(material(page_run("validation/churn", GOOD)))
    told = text.split("## 1.")[0]
    assert "3 are not there yet" in told
    assert "`results/validation/churn`" not in told
    assert "`results/validation/mixed`" in told
    assert "1 of 4 runs" in section(text, 2)
    every = page_text(material(*(page_run(name, GOOD) for name in DESIGNED)))
    assert "not there yet" not in every
    assert "all 4 runs" in section(every, 2)


def test_the_easier_run_has_no_part_in_the_verdicts_once_a_validation_run_is_there() -> None:
    alone = page_text(material(page_run(EASIER, GOOD)))
    assert verdicts(alone)[:2] == ["met", "met"]
    assert "easier, not designed as a validation run" in section(alone, 1)
    assert "`results/quickstart` alone, until a validation run" in section(alone, 4)
    both = page_text(material(page_run("validation/deep", BAD), page_run(EASIER, GOOD)))
    assert verdicts(both)[0].startswith("missed by")
    assert "`results/quickstart`" in section(both, 2)
    assert "quickstart" not in section(both, 4) + section(both, 5) + section(both, 6)
    jobs = page_text(material(page_run("validation/deep", BAD), page_run(EASIER, GOOD, [check(2.0, 2.0)])))
    assert "`results/quickstart` alone" in section(jobs, 7)
    assert verdicts(jobs)[3] == "not judged"


def test_a_run_that_the_fit_has_seen_cannot_be_on_the_page(tmp_path: Path) -> None:
    known = read_parameters(None)
    seen = Provenance(runs=(run_ref(open_run(RESULTS / EASIER)),))
    write_parameters(known.model_copy(update={"provenance": seen}), tmp_path / "p.json")
    with pytest.raises(InputError, match="fitted to this run"):
        validation_page(RESULTS, tmp_path / "p.json")


def test_a_run_of_the_fit_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    assert "`reference`, which is not in `results/`" in section(validation_page(tmp_path), 1)


# -- goals -------------------------------------------------------------------------------------------------------


def scores(*, occupancy: float = 0.01, increment: float = 0.05) -> validate.Score:
    return validate.Score(100, 50, 60, increment, 0.8, 90, 1.0, 3.0, occupancy, 1e6)


@pytest.mark.parametrize(("place", "met", "missed", "told"), [
    (0, {"occupancy": 0.03}, {"occupancy": 0.0351}, "missed by 0.510 percentage points, above"),
    (1, {"increment": 0.10}, {"increment": 0.15}, "missed by 5.00 percentage points, above"),
    (2, {"covered": 90}, {"covered": 84}, "missed by 1.00 percentage points, below"),
    (2, {"covered": 95}, {"covered": 97}, "missed by 2.00 percentage points, above"),
    (3, {"overlapping": 9}, {"overlapping": 8}, "missed by 10.0 percentage points, below"),
])
def test_a_verdict_flips_when_the_data_do(place: int, met: dict[str, float], missed: dict[str, float],
                                          told: str) -> None:
    def judged(given: dict[str, float]) -> Any:
        return judge(scores(occupancy=given.get("occupancy", 0.01), increment=given.get("increment", 0.05)),
                     validate.Coverage(int(given.get("covered", 90)), 100, 0.8, 0.99),
                     RateScore(10, int(given.get("overlapping", 10)), 10, 0.1))

    assert [one.met for one in judged(met)] == [True] * 4
    assert missed_sentence(judged(met)) == "No goal that could be judged is missed."
    assert [one.met for one in judged(missed)] == [index != place for index in range(4)]
    assert judged(missed)[place].verdict == told
    assert missed_sentence(judged(missed)).endswith(f"{told}.")


def test_the_page_says_missed_where_the_rows_are_wrong_and_met_where_they_are_right() -> None:
    nine_of_ten = rows_of([phase(order, "write", 10, 10 + (order == 0)) for order in range(10)])
    right, wrong = (page_text(material(page_run("validation/large", rows, [check(2.0, predicted)])))
                    for rows, predicted in ((nine_of_ten, 2.0), (BAD, 9.0)))
    assert verdicts(right) == ["met"] * 4
    assert "Missed: " not in right
    assert all(one.startswith("missed by") for one in verdicts(wrong))
    assert section(wrong, 2).count("Missed: ") == section(wrong, 9).count("Missed: ") == 1


def test_what_was_not_judged_is_neither_met_nor_missed() -> None:
    nothing = judge(validate.score(GOOD[:0]), validate.coverage(GOOD[:0], WIDTHS), RateScore(0, 0, 0, math.nan))
    assert [one.verdict for one in nothing] == ["not judged"] * 4
    assert missed_sentence(nothing).startswith("Not judged, for want of data")


def test_where_the_straight_line_has_no_number_the_page_says_so() -> None:
    rows = rows_of([phase(0, "start", 10, 10, straight=0), phase(1, "write", 60, 60)])
    assert silent_sentence(rows).startswith("Of 1 of the 2 increments that took at least 1 MiB (`start`) it says 0")
    assert silent_sentence(GOOD) == ""


# -- residuals ---------------------------------------------------------------------------------------------------


def reasons(rows: pd.DataFrame) -> list[str]:
    return list(tables.with_residuals(rows.assign(run="r"))["reason"])


LATE = [tables.LATE, tables.LATE, tables.OTHER]


@pytest.mark.parametrize(("phases", "expected"), [
    ([phase(0, "start", 10, 14), phase(1, "write", 64, 60), phase(2, "trim", 0, 0)], LATE),
    ([phase(0, "start", 10, 14), phase(1, "write", 64, 61), phase(2, "trim", 0, 0)], LATE),           # within a block
    ([phase(0, "start", 10, 14), phase(1, "write", 64, 62), phase(2, "trim", 0, 0)], [tables.OTHER] * 3),
    ([phase(0, "start", 10, 14), phase(1, "write", 64, 68), phase(2, "trim", 0, 0)], [tables.OTHER] * 3),
    ([phase(0, "start", 10, 10.5), phase(1, "write", 64, 64), phase(2, "trim", 0, 0)], [tables.OTHER] * 3),
    ([phase(0, "start", 10, 14), phase(1, "write", 0, 0), phase(2, "trim", 0, -4)], [tables.OTHER] * 3),
    ([phase(0, "start", 10, 14), phase(1, "write", 64, 60, cell="other.layer.files")], [tables.OTHER] * 2),
    ([phase(0, "start", 10, 14), phase(1, "write", 64, 60, repetition=2)], [tables.OTHER] * 2),
    ([phase(0, "start", 10, 14, chunk_bytes=4096), phase(1, "write", 64, 60, chunk_bytes=4096)], [tables.OTHER] * 2),
    ([phase(0, "start", 10, 14, target="volume"), phase(1, "write", 64, 60, target="volume")], [tables.OTHER] * 2),
])
def test_late_inodes_are_residuals_that_the_next_phase_takes_back(phases: list[dict[str, Any]],
                                                                  expected: list[str]) -> None:
    assert reasons(rows_of(phases)) == expected
    shuffled = rows_of(phases).sample(frac=1, random_state=1)
    assert list(tables.with_residuals(shuffled.assign(run="r")).sort_index()["reason"]) == expected


def test_the_largest_residuals_come_first_and_those_of_nothing_are_left_out() -> None:
    rows = rows_of([phase(0, "start", 10, 11), phase(1, "write", 60, 60), phase(2, "remove", -70, -90)])
    found = tables.largest_rows(rows.assign(run="validation/deep"))
    assert [(row[0], row[3], row[7], row[8]) for row in found] == [
        ("validation/deep", "remove", "-20.0", "-20.0"), ("validation/deep", "start", "+1.00", "+1.00")]
    assert len(tables.largest_rows(rows.assign(run="r"), shown=1)) == 1
    told = page_text(material(page_run("validation/deep", GOOD)))
    assert "Every increment is equal to the byte." in section(told, 5)


def test_kinds_of_phases_are_counted_with_their_repetitions() -> None:
    rows = rows_of([phase(0, "write", 60, 60), phase(1, "write#2", 30, 33), phase(2, "remove", -0.5, -0.5)])
    assert [row[:5] for row in kind_rows(rows.assign(run="r"))] == [
        ["write", "2", "1 (50.0 %)", "2", "5.00 %"], ["remove", "1", "1 (100 %)", "0", "–"],
        ["all", "3", "2 (66.7 %)", "2", "5.00 %"]]


def test_coverage_is_told_by_kind_and_a_kind_that_the_fit_has_not_seen_is_marked() -> None:
    rows = rows_of([phase(0, "write", 60, 60), phase(1, "write#2", 30, 31), phase(2, "remove", -70, -71)])
    found = coverage_rows(rows, WIDTHS)
    assert [row[0] for row in found] == ["write", "remove", "all"]
    assert found[0][1].startswith("1 of 2 (")
    assert found[1][1].startswith("1 of 1 (")
    assert found[1][2] == "1.00, the fit has not seen it"
    assert found[2][1].startswith("2 of 3 (")


def test_the_hardest_cell_is_that_of_the_largest_residual_in_its_own_order() -> None:
    rows = rows_of([phase(1, "remove", -70, -71, cell="a"), phase(0, "start", 10, 10, cell="a"),
                    phase(0, "start", 10, 40, cell="b", repetition=2),
                    phase(1, "write", 10, 10, cell="b", repetition=2),
                    phase(0, "start", 10, 10, cell="b")]).assign(run="r")
    hardest = hardest_cell(rows)
    assert list(hardest["phase"]) == ["start", "write"]
    assert set(hardest["cell"]) == {"b"}
    assert set(hardest["repetition"]) == {2}
    assert hardest_cell(rows[:0]).empty


def test_names_with_a_bar_stay_in_their_cells() -> None:
    odd = rows_of([phase(0, "sta|rt", 10, 14, cell="a|b.layer.files", storage="a|b"), phase(1, "write\n", 60, 50)])
    text = page_text(material(replace(page_run("validation/deep", odd, [check(2.0, 3.0, job="j|k")]))))
    assert "a\\|b.layer.files" in text
    assert "j\\|k" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


# -- limits and parameters ---------------------------------------------------------------------------------------


def test_each_limit_leads_to_a_module_that_is_there() -> None:
    linked = re.findall(r"\]\(\.\./(lab/[\w/]+\.py)\)", LIMITS.read_text())
    assert linked
    assert all((ROOT / path).is_file() for path in linked)


def test_what_was_measured_and_is_not_simulated_is_named() -> None:
    assert lacking_sentence(["sync_latency_p999", "disk_written"]) == (
        "Measured and not simulated at all: disk written, sync latency p99.9.")
    assert lacking_sentence([]) == ""


def test_parameters_are_told_with_their_intervals_and_what_is_open() -> None:
    known = read_parameters(None)
    names = validation_views.fitted_frame(known)["name"]
    assert [row[0] for row in fitted_rows(known)] == [f"`{one}`" for one in names]
    assert not any(row[0].startswith("`service") for row in fitted_rows(known))
    small = Parameters(fitted=(Fitted(name="log.inode_bytes", value=110, low=100, high=130, n=7),
                               Fitted(name="timing.mount_share", value=0.3, identified=False, reason="a|b")))
    assert fitted_rows(small) == [["`log.inode_bytes`", "yes", "", "B", "110", "100 to 130", "7"],
                                  ["`timing.mount_share`", "**no**", "a|b", "", "0.300", "–", "–"]]
    assert "a\\|b" in table(FITTED_HEAD, fitted_rows(small), words=4)


def test_service_times_are_marked_where_they_are_not_identified_and_told_together() -> None:
    known = read_parameters(None)
    head, rows = service_head(), service_rows(known)
    open_ones = {one.name for one in known.fitted if one.name.startswith("service.") and not one.identified}
    assert sum(value.endswith(" ?") for row in rows for value in row[1:]) == len(open_ones)
    assert all(len(row) == len(head) for row in rows)
    assert {row[0] for row in rows} == set(known.service)
    told = not_told_rows(known)
    assert sum(len(row[1].split(", ")) for row in told) == len(open_ones)
    assert not_told_rows(Parameters()) == service_rows(Parameters()) == fitted_rows(Parameters()) == []


# -- figures, frames and exercises -------------------------------------------------------------------------------


def test_figures_are_drawn_of_any_rows_and_of_none() -> None:
    many = rows_of([phase(order, f"write#{order}", 1, 1.2) for order in range(90)])
    for rows in (GOOD, BAD, many, GOOD.assign(measured=0.0, simulated=0.0)):
        for figure in (validation_figures.predicted_against_measured(rows), validation_figures.occupancy(rows)):
            assert figure is not None
            assert plots.to_png(figure, dpi=40).startswith(b"\x89PNG")
    assert validation_figures.predicted_against_measured(GOOD[:0]) is None
    assert validation_figures.occupancy(GOOD[:0]) is None
    assert validation_figures.profile([], [], 0.0, "x") is None
    assert page_figures(material()) == []


def test_a_notebook_shows_one_cell_and_names_those_that_there_are() -> None:
    shown = validation_views.phases(BAD, "direct-lvm.layer.files")
    assert list(shown["residual_blocks"]) == [4.0, 20.0, -20.0]
    assert list(shown.index) == ["start", "write", "remove"]
    assert list(validation_views.largest(BAD)["phase"]) == ["write", "remove", "start"]
    assert validation_views.overlay(BAD, "direct-lvm.layer.files").alt.endswith("direct-lvm.layer.files")
    with pytest.raises(ValueError, match=r"no cell 'x'; there are direct-lvm\.layer\.files"):
        validation_views.overlay(BAD, "x")


def test_the_profile_of_a_log_cost_has_a_row_a_value() -> None:
    run = open_run(RESULTS / EASIER)
    parameters = read_parameters(None)
    found = loss_profile([run], parameters, "changed_records", [1, parameters.log.changed_records])
    assert list(found["value"]) == [1, parameters.log.changed_records]
    assert found["n"].nunique() == 1
    assert found["squares"].iloc[0] > found["squares"].iloc[1]
    assert LogCosts.model_fields.keys() >= {"changed_records"}


def test_exercises_grade_an_answer() -> None:
    cell = "direct-lvm.layer.files"
    assert run_checks.straight_line_surplus(GOOD, None, cell=cell) == "No answer yet."
    assert run_checks.straight_line_surplus(GOOD, 3.2, cell=cell) == "Right: it is 3 MiB."
    assert run_checks.straight_line_surplus(GOOD, 30, cell=cell).startswith("Not yet.")
    assert run_checks.straight_line_surplus(GOOD, 3, cell="x") == "This run has no cell x."
    tried = pd.DataFrame({"value": [1, 2, 3], "squares": [30.0, 20.0, 10.0]})
    assert run_checks.how_much_worse(tried, 2, value=2).startswith("Right")
    assert run_checks.how_much_worse(tried, 3, value=2).startswith("Not yet")
    assert "does not tell" in run_checks.how_much_worse(tried, 3, value=9)
    wide, narrow = validate.Coverage(9, 10, 0.55, 0.99), validate.Coverage(99, 100, 0.94, 0.99)
    assert run_checks.rules_out_share(wide, False).startswith("Right")
    assert run_checks.rules_out_share(wide, True).startswith("Not yet. Is 90%")
    assert run_checks.rules_out_share(wide, 0).startswith("Not yet: 0 is neither True nor False")
    assert run_checks.rules_out_share(narrow, True).startswith("Right")
    assert run_checks.rules_out_share(narrow, None) == "No answer yet."
