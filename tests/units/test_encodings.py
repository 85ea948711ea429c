"""Every text file is read and written as UTF-8, whatever the locale says."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

LAB = Path(__file__).parents[2] / "lab"

FEWEST = {"read_text": 1, "write_text": 2, "open": 4}
"""With so many positional arguments the encoding is among them; of ``open`` the built-in one, a method has one less."""


def by_locale(tree: ast.Module) -> Iterator[int]:
    """The lines of calls that leave a text file's encoding to the locale."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        method = isinstance(call.func, ast.Attribute)
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name not in FEWEST or (name != "open" and not method):
            continue
        if method and isinstance(call.func.value, ast.Name) and call.func.value.id in ("os", "tarfile", "Image"):
            continue
        place = 0 if method else 1
        modes = [*call.args[place:place + 1], *(word.value for word in call.keywords if word.arg == "mode")]
        if name == "open" and any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in modes):
            continue
        if len(call.args) < FEWEST[name] - (name == "open" and method) and "encoding" not in {
                word.arg for word in call.keywords}:
            yield call.lineno


@pytest.mark.parametrize(("source", "lines"), [
    ("p.read_text()\np.read_text('utf-8')\np.read_text(encoding='utf-8')", [1]),
    ("p.write_text('a')\np.write_text('a', 'utf-8')", [1]),
    ("open('a')\nopen('a', 'rb')\nopen('a', encoding='utf-8')\nopen('a', 'r', 1, 'utf-8')", [1]),
    ("p.open('w')\np.open('wb')\nos.open('a', 0)\nread_text(p)", [1]),
])
def test_what_takes_the_locales_encoding_is_found(source: str, lines: list[int]) -> None:
    assert list(by_locale(ast.parse(source))) == lines


def test_no_file_of_the_package_is_read_by_the_locales_encoding() -> None:
    assert [f"{file.relative_to(LAB)}:{line}" for file in sorted(LAB.rglob("*.py"))
            for line in by_locale(ast.parse(file.read_text("utf-8")))] == []


def test_a_page_shows_a_scenario_in_every_locale(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text("question: Größe von 5 µs?\n", "utf-8")
    program = "import sys; from pathlib import Path; from lab.report.page import scenario_texts; " \
              "print(ascii(scenario_texts(Path(sys.argv[1]))))"
    told = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, check=True, encoding="ascii",
                          env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}).stdout
    assert told.strip() == ascii([("The scenario file", "question: Größe von 5 µs?\n")])
