"""The page that leads through the house names modules that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_module_that_the_page_names_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:lab|docs|tests)/[\w/]+(?:\.py)?/?)`", text))
    assert len(named) > 40
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_every_room_stands_in_the_page_and_the_top_is_small() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    entries = {path.name for path in (ROOT / "lab").iterdir() if path.name != "__pycache__"}
    rooms = {path.name for path in (ROOT / "lab").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert len(entries) <= 20, sorted(entries)
    assert {room for room in rooms if f"`{room}/`" not in text} == set()


def test_no_folder_has_more_than_twenty_modules() -> None:
    folders = {path.parent for path in (ROOT / "lab").rglob("*.py")}
    assert {str(folder): count for folder in folders
            if (count := len([path for path in folder.glob("*.py") if path.stem != "__init__"])) > 20} == {}
