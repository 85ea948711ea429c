"""The files for pipelines: they parse, name options that exist, and the script does its looks.

The script's own loop is tested with a stand-in for ``lab`` that ends as it is told; nothing is measured here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from ruamel.yaml import YAML

from lab.answers.gate.rules import Rules, load_rules
from lab.cli import app

FOLDER = Path(__file__).parents[2] / "docs" / "ci"
PAGE = FOLDER.parent / "ci.md"
SCRIPT = FOLDER / "storage-gate.sh"


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_the_workflows_are_yaml_and_call_the_script_that_is_there(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert YAML(typ="safe").load(text)
    for file in re.findall(r"thinpool-lab/((?:docs|vagrant)/[\w./-]+)", text):
        assert os.access(FOLDER.parents[1] / file, os.X_OK), file


def test_every_shell_script_in_them_parses() -> None:
    github = YAML(typ="safe").load((FOLDER / "github-actions.yml").read_text())
    gitlab = YAML(typ="safe").load((FOLDER / "gitlab-ci.yml").read_text())["storage-gate"]
    scripts = [step["run"] for step in github["jobs"]["gate"]["steps"] if "run" in step]
    scripts += [*gitlab["before_script"], *gitlab["script"], SCRIPT.read_text()]
    assert len(scripts) > 8
    for script in scripts:
        told = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        assert told.returncode == 0, (script, told.stderr)


def test_options_that_are_named_exist() -> None:
    commands = typer.main.get_command(app).commands      # type: ignore[attr-defined]
    known = {option for name in ("run", "gate") for parameter in commands[name].params for option in parameter.opts}
    text = SCRIPT.read_text() + PAGE.read_text()
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert {"--junit", "--against", "--self-test-result"} <= named
    assert named <= known


def test_the_rules_on_the_page_are_rules(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(# rules.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "rules.yaml").write_text(block)
    found = load_rules(tmp_path / "rules.yaml")
    usual = Rules()
    assert (found.alpha, found.looks, found.max_repetitions) == (usual.alpha, usual.looks, usual.max_repetitions)


def test_the_script_takes_its_looks_from_the_rules(tmp_path: Path) -> None:
    """With the real command; only `lab run` is left out."""
    (tmp_path / "rules.yaml").write_text("looks: 3\nmax_repetitions: 9\n")
    lab = tmp_path / "lab"
    lab.write_text(f"""#!/bin/bash
echo "$*" >>{tmp_path}/calls
[ "$1" = run ] && exit
[ "$2" = --looks ] || exit 4
exec {Path(sys.executable).with_name("lab")} "$@"
""")
    lab.chmod(0o755)
    for options, repetitions in (([], ["10", "20"]), (["--rules", str(tmp_path / "rules.yaml")], ["3", "6", "9"])):
        (tmp_path / "calls").write_text("")
        told = subprocess.run([str(SCRIPT), "new.yaml", "old.yaml", str(tmp_path / "out"), *options],
                              env={**os.environ, "LAB": str(lab)}, capture_output=True, text=True, check=False)
        assert told.returncode == 4, told.stderr
        calls = (tmp_path / "calls").read_text().splitlines()
        assert [call.split()[-1] for call in calls if call.startswith("run ")] == repetitions


def test_rules_that_cannot_be_read_end_the_script_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("look: 3\n")
    told = subprocess.run([str(SCRIPT), "new.yaml", "old.yaml", str(tmp_path / "out"), "--rules",
                           str(tmp_path / "rules.yaml")],
                          env={**os.environ, "LAB": str(Path(sys.executable).with_name("lab"))}, capture_output=True,
                          text=True, check=False)
    assert told.returncode == 2, told.stderr
    assert "rules.yaml:1" in told.stderr
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "run"]
    assert not list((tmp_path / "out" / "run").iterdir())


@pytest.mark.parametrize(("run_code", "gate_codes", "ended", "looks"), [
    (0, "0", 0, ["10"]), (0, "1", 1, ["10"]), (0, "4 0", 0, ["10", "20"]), (0, "4 1", 1, ["10", "20"]),
    (0, "4 4", 4, ["10", "20"]), (0, "2", 2, ["10"]), (3, "", 3, ["10"]), (1, "4 4", 4, ["10", "20"]),
])
def test_the_script_looks_again_only_where_the_gate_is_open(tmp_path: Path, run_code: int, gate_codes: str, ended: int,
                                                           looks: list[str]) -> None:
    lab = tmp_path / "lab"
    lab.write_text(f"""#!/bin/bash
echo "$*" >>{tmp_path}/calls
[ "$1" = run ] && exit {run_code}
[ "$2" = --looks ] && echo 10 20 && exit
[ -z "${{GITHUB_STEP_SUMMARY:-}}" ] || exit 99
codes=({gate_codes}); n=$(grep "^gate " {tmp_path}/calls | grep -vc -- --looks)
echo "look $n" >"$6"
exit "${{codes[n - 1]}}"
""")
    lab.chmod(0o755)
    (tmp_path / "summary").touch()
    told = subprocess.run([str(SCRIPT), "new.yaml", "old.yaml", str(tmp_path / "out"), "--rules", "r.yaml"],
                          env={**os.environ, "LAB": str(lab), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")},
                          capture_output=True, text=True, check=False)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert told.returncode == ended, told.stderr
    assert [call.split()[-1] for call in calls if call.startswith("run ")] == looks
    assert all(call.endswith("--rules r.yaml") for call in calls if call.startswith("gate "))
    summary = (tmp_path / "summary").read_text()
    assert summary == (f"look {len(gate_codes.split())}\n" if gate_codes else "")


@pytest.mark.parametrize(("run_code", "gate_code", "writes", "ended"), [
    (70, 0, True, 70), (3, 0, True, 3), (0, 70, False, 70), (0, 3, False, 3), (0, 1, False, 70), (0, 1, True, 1)])
def test_a_fault_or_a_lack_of_the_environment_is_never_taken_for_a_no(
        tmp_path: Path, run_code: int, gate_code: int, writes: bool, ended: int) -> None:
    """Nor is the report of an earlier look taken for one of this."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "gate.md").write_text("of an earlier look")
    lab = tmp_path / "lab"
    lab.write_text(f"""#!/bin/bash
[ "$1" = run ] && exit {run_code}
[ "$2" = --looks ] && echo 10 20 && exit
[ {int(writes)} = 0 ] || echo look >"$6"
exit {gate_code}
""")
    lab.chmod(0o755)
    told = subprocess.run([str(SCRIPT), "new.yaml", "old.yaml", str(tmp_path / "out")],
                          env={**os.environ, "LAB": str(lab)}, capture_output=True, text=True, check=False)
    assert told.returncode == ended, told.stderr


def test_the_report_gets_the_self_test_that_is_named_and_a_missing_one_ends_the_script_first(tmp_path: Path) -> None:
    lab, stored = tmp_path / "lab", tmp_path / "self-test.json"
    lab.write_text(f'''#!/bin/bash\necho "$*" >>{tmp_path}/calls\n[ "$2" = --looks ] && echo 10\nexit 0\n''')
    lab.chmod(0o755)
    command = [str(SCRIPT), "new.yaml", "old.yaml", str(tmp_path / "out")]
    named = {**os.environ, "LAB": str(lab), "SELF_TEST": str(stored)}
    told = subprocess.run(command, env=named, capture_output=True, text=True, check=False)
    assert (told.returncode, (tmp_path / "calls").exists()) == (2, False)
    assert str(stored) in told.stderr
    stored.touch()
    assert subprocess.run(command, env=named, capture_output=True, text=True, check=False).returncode == 0
    judged = (tmp_path / "calls").read_text().splitlines()[-1]
    assert judged.endswith(f"--self-test-result {stored}")


def test_the_script_says_how_it_is_called() -> None:
    told = subprocess.run([str(SCRIPT)], check=False, capture_output=True, text=True)
    assert told.returncode == 2
    assert "storage-gate.sh CANDIDATE.yaml BASELINE.yaml FOLDER" in told.stderr
