"""The first screen: what each step took and gave back, in a table whose numbers are those of the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.analysis import stats
from lab.report.first_screen import Cell, first_screen
from lab.runs.store import open_run

QUICKSTART = Path(__file__).parents[2] / "results" / "quickstart"


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], dict[str, Cell]]:
    run = open_run(QUICKSTART)
    found = first_screen(run, stats.prepare(run.measurements))
    assert found.picture is not None
    assert found.picture.svg_uri().startswith("data:image/svg+xml")
    assert "n = 1" in found.caption
    return {(row[0].text, row[1].text): dict(zip(found.head, row, strict=True)) for row in found.rows}


def test_every_storage_and_target_has_a_row(rows: dict[tuple[str, str], dict[str, Cell]]) -> None:
    assert list(rows) == [(target, storage) for target in ("layer", "volume")
                          for storage in ("loop-lvm", "direct-lvm", "overlay2-ext4")]


def texts(row: dict[str, Cell], names: Sequence[str]) -> list[tuple[str, str, str]]:
    return [(row[name].text, row[name].small, row[name].tone) for name in names]


def test_a_step_tells_what_it_took_or_gave_back_and_how_much_for_each_byte(
        rows: dict[tuple[str, str], dict[str, Cell]]) -> None:
    assert texts(rows["layer", "direct-lvm"], ["write", "update", "delete, 2 times", "trim"]) == [
        ("+80 MiB", "1.25 ×", "took"), ("+64 MiB", "8.00 ×", "took"), ("0", "", ""), ("−122 MiB", "", "gave")]
    assert texts(rows["layer", "overlay2-ext4"], ["delete, 2 times", "trim"]) == [
        ("−128 MiB", "", "gave"), ("0", "", "")]


def test_the_last_columns_are_of_the_whole_cell(rows: dict[tuple[str, str], dict[str, Cell]]) -> None:
    assert texts(rows["layer", "direct-lvm"], ["took in all", "came back", "took for each byte"]) == [
        ("165 MiB", "", ""), ("165 MiB", "100%", ""), ("2.00 ×", "", "")]


def test_speed_stands_as_ratios_of_first_passes() -> None:
    run = open_run(QUICKSTART)
    speed = first_screen(run, stats.prepare(run.measurements)).speed
    assert speed is not None
    assert speed.head == ["job", "written to", "loop-lvm, ×", "direct-lvm, ×"]
    assert len(speed.rows) == 6
    assert "n = 1" in speed.caption


def test_nothing_measured_gives_an_empty_screen() -> None:
    run = open_run(QUICKSTART)
    frame = stats.prepare(run.measurements)
    found = first_screen(run, frame[frame["workload"] == "setup"])
    assert (found.picture, found.rows, found.speed) == (None, [], None)
