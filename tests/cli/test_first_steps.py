"""What a newcomer types first: `lab` alone, `lab --version`, completion."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.cli import app

LAB = Path(sys.executable).with_name("lab")
ROOT = Path(__file__).parents[2]


def test_lab_alone_shows_the_questions_with_commands_that_exist() -> None:
    told = CliRunner().invoke(app, [])
    assert told.exit_code == 0
    assert told.output.count("?\n") >= 4
    commands = [line.split() for line in told.output.splitlines() if line.startswith("    lab ")]
    assert {"plan", "advise", "gate"} <= {words[1] for words in commands}
    for words in commands:
        assert CliRunner().invoke(app, [words[1], "--help"]).exit_code == 0
        for file in (word for word in words if word.endswith(".yaml")):
            assert (ROOT / file).is_file()


@pytest.mark.parametrize("command", [one.name or one.callback.__name__ for one in app.registered_commands
                                     if one.callback is not None])
def test_each_command_has_a_module_of_its_name_and_an_example(command: str) -> None:
    assert (ROOT / "lab" / "cli" / f"{command}.py").is_file()
    told = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    assert f"lab {command}" in told.split("Example")[-1]


def test_the_version_is_that_of_the_package() -> None:
    told = CliRunner().invoke(app, ["--version"])
    assert (told.exit_code, told.output) == (0, f"thinpool-lab {version('thinpool-lab')}\n")


@pytest.mark.parametrize(("words", "offered"), [("lab ga", {"gate"}), ("lab gate --self", {"--self-test"})])
def test_the_shell_completes_commands_and_options(words: str, offered: set[str]) -> None:
    asked = {**os.environ, "_LAB_COMPLETE": "complete_bash", "COMP_WORDS": words,
             "COMP_CWORD": str(words.count(" "))}
    told = subprocess.run([LAB], env=asked, capture_output=True, text=True, check=False)
    assert offered <= set(told.stdout.split())
