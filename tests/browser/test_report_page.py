"""The report as a reader sees it: in a browser, from the committed run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.report.page import write_report
from lab.runs.store import open_run

QUICKSTART = Path(__file__).parents[2] / "results" / "quickstart"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report([open_run(QUICKSTART)], tmp_path_factory.mktemp("page") / "report.html")


def test_the_page_opens_without_a_complaint_and_fetches_nothing(watched: Any, page_file: Path) -> None:
    fetched: list[str] = []
    watched.page.on("request", lambda request: fetched.append(request.url))
    watched.page.goto(page_file.as_uri(), wait_until="load")
    assert watched.complaints == []
    assert [url for url in fetched if not url.startswith(("file:", "data:"))] == []


def test_every_figure_is_drawn(watched: Any, page_file: Path) -> None:
    watched.page.goto(page_file.as_uri(), wait_until="load")
    widths = watched.page.eval_on_selector_all("img", "all => all.map(one => one.naturalWidth)")
    assert len(widths) >= 5
    assert min(widths) > 100


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_no_wider_than_the_window(watched: Any, page_file: Path, width: int) -> None:
    watched.page.set_viewport_size({"width": width, "height": 900})
    watched.page.goto(page_file.as_uri(), wait_until="load")
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_folded_away_opens_by_a_click(watched: Any, page_file: Path) -> None:
    watched.page.goto(page_file.as_uri(), wait_until="load")
    details = watched.page.locator("details").first
    assert details.get_attribute("open") is None
    details.locator("summary").click()
    assert details.get_attribute("open") is not None
