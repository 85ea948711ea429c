"""``lab run``: what it refuses before a machine starts, what it prints, and the code that it ends with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import cli
from lab.cli import run as run_command
from lab.errors import RigError
from lab.runs.records import CellResult, RepeatRecord

TEXT = """\
name: fake
question: Is the order kept?
seed: 7
repetitions: 2
storages: [overlay2-ext4]
targets: [layer]
workload:
  - name: files
    steps: [start, write: {amount: 4MiB}, remove]
"""
RATIO = "candidate/baseline duration write layer overlay2-ext4 ±10 %"
Lab = Callable[..., int]


@pytest.fixture
def files(tmp_path: Path) -> SimpleNamespace:
    (tmp_path / "new.yaml").write_text(TEXT)
    (tmp_path / "old.yaml").write_text(TEXT.replace("name: fake", "name: old"))
    (tmp_path / "other.yaml").write_text(TEXT + "machine: {cpus: 1}\n")
    return SimpleNamespace(new=str(tmp_path / "new.yaml"), old=str(tmp_path / "old.yaml"),
                           other=str(tmp_path / "other.yaml"), results=str(tmp_path / "results"))


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Runs the command line here and gives its exit code."""
    monkeypatch.setattr("lab.rig.vm.vagrant.reap", lambda say: None)
    monkeypatch.setattr("lab.rig.provide.box_name", lambda: "box-1")
    monkeypatch.setattr(run_command, "_need_tools", lambda: None)
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*argv: str) -> int:
        monkeypatch.setattr("sys.argv", ["lab", "run", *argv])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return 0 if code is None else int(code)

    return run


def ends_with(monkeypatch: pytest.MonkeyPatch, outcome: RepeatRecord | None = None, failed: bool = False,
              error: Exception | None = None) -> None:
    """The runner gives such a manifest at once, or such an error."""
    results = [CellResult(cell="c", repetition=1, key="k", status="failed" if failed else "done",
                          started_utc="2024-11-07T10:00:00Z", seconds=1.0)]

    class Runner:
        def __init__(self, arms: object, folder: Path, **options: Any) -> None:
            pass

        def run(self) -> Any:
            if error is not None:
                raise error
            return SimpleNamespace(results=results, repeat_until=outcome, repetitions=4)

    monkeypatch.setattr("lab.measure.runner.Runner", Runner)


def outcome(reached: bool, estimate: float | None = 1.0) -> RepeatRecord:
    return RepeatRecord(ratio="candidate/baseline …", wanted=0.1, max_repetitions=4, n=4, estimate=estimate, low=0.8,
                        high=1.25, half_width=0.25, reached=reached, reason="the maximum of repetitions was reached")


def test_a_dry_run_of_two_arms_shows_the_arm_of_every_cell(
        lab: Lab, files: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab(files.new, "--against", files.old, "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("arm" in line and "repetition" in line for line in lines)
    told = [next(arm for arm in ("baseline", "candidate") if arm in line) for line in lines if ".layer.files" in line]
    assert told == ["baseline", "candidate", "candidate", "baseline"]
    assert lab(files.new, "--dry-run") == 0
    assert "candidate" not in capsys.readouterr().out


def test_a_dry_run_says_how_long_it_would_repeat(
        lab: Lab, files: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab(files.new, "--against", files.old, "--dry-run", "--repeat-until", RATIO) == 0
    assert "up to 10, until candidate/baseline duration write" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "message"), [
    (["--against", "{other}"], "cpus is 2 in {new} and 1 in {other}"),
    (["--against", "{results}"], "results"),
    (["--repeat-until", RATIO], "needs two arms"),
    (["--against", "{old}", "--repeat-until", "candidate/baseline ±10 %"], "has 1 words, not 5"),
    (["--against", "{old}", "--repeat-until", RATIO, "--max-repetitions", "2"], "--max-repetitions: 2 is too few"),
    (["--max-repetitions", "5"], "add --repeat-until RATIO"),
    (["--against", "{old}", "--only", "no.such.cell"], "no cell is named no.such.cell"),
])
def test_bad_use_is_refused_before_anything_is_made(
        lab: Lab, files: SimpleNamespace, capsys: pytest.CaptureFixture[str], options: list[str],
        message: str) -> None:
    names = vars(files)
    argv = [option.format(**names) if option.startswith("{") else option for option in options]
    assert lab(files.new, *argv, "--results", files.results) == 2
    assert message.format(**names) in capsys.readouterr().err
    assert not Path(files.results).exists()


def test_a_run_of_two_arms_is_not_resumed_with_one(
        lab: Lab, files: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "scenario.yaml").write_text(TEXT)
    (folder / "baseline.yaml").write_text(TEXT)
    assert lab(files.new, "--resume", str(folder)) == 2
    assert "--against" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_not_resumed_and_stays_as_it_is(
        lab: Lab, files: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    (folder / "raw" / "one.part").mkdir(parents=True)
    (folder / ".NAME.1234").write_text("dear")
    assert lab(files.new, "--resume", str(folder)) == 2
    assert "neither empty nor a run" in capsys.readouterr().err
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) == [".NAME.1234", "raw", "raw/one.part"]


@pytest.mark.parametrize(("told", "failed", "code"), [
    (None, False, 0), (None, True, 1), (outcome(True), False, 0), (outcome(False), False, 4), (outcome(False), True, 1),
    (outcome(False, None), False, 4),
])
def test_the_exit_code_says_how_it_ended(
        lab: Lab, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
        told: RepeatRecord | None, failed: bool, code: int) -> None:
    ends_with(monkeypatch, told, failed)
    assert lab(files.new, "--against", files.old, "--repeat-until", RATIO, "--results", files.results) == code
    captured = capsys.readouterr()
    assert Path(captured.out.splitlines()[-1]).is_dir()
    if told is not None:
        assert "ended after 4 repetitions" in captured.err
    if code == 4 and told is not None and told.estimate is not None:
        assert f"--against {files.old} --repeat-until '{RATIO}' --resume" in captured.err
        assert "--max-repetitions 8" in captured.err


def test_a_run_that_gave_up_says_the_whole_command_that_goes_on(
        lab: Lab, files: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(monkeypatch, error=RigError("the machine is gone"))
    cell = "overlay2-ext4.layer.files"
    assert lab(files.new, "--against", files.old, "--only", cell, "--repetitions", "4",
               "--results", files.results) == 3
    assert f"--against {files.old} --only {cell} --repetitions 4 --resume" in capsys.readouterr().err


HOST = """
machine:
  ssh: me@box
  disk: /dev/disk/by-id/ata-X
  consent: erase X
"""


@pytest.mark.parametrize("options", [[], ["--against", "{hostile}"], ["--resume", "{folder}"]])
def test_a_scenarios_ssh_configuration_is_refused_unless_the_command_line_takes_it(
        lab: Lab, files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    (tmp_path / "config").write_text("ProxyCommand touch it-ran\n")
    hostile = tmp_path / "hostile.yaml"
    hostile.write_text(TEXT + HOST + "  ssh_config: config\n")
    folder = tmp_path / "empty"
    folder.mkdir()
    asked = [option.format(hostile=hostile, folder=folder) for option in options]
    ends_with(monkeypatch)
    assert lab(str(hostile), *asked, "--results", files.results) == 2
    said = capsys.readouterr().err
    assert f"{hostile}:15: the scenario's ssh_config, {tmp_path / 'config'}, may run commands on this" in said
    assert "--allow-ssh-config" in said
    assert not Path(files.results).exists()
    assert not list(folder.iterdir())
    assert lab(str(hostile), *asked, "--results", files.results, "--allow-ssh-config") == 0


def test_a_run_that_took_a_scenarios_ssh_configuration_says_so_in_the_command_that_goes_on(
        lab: Lab, files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config").write_text("")
    (tmp_path / "host.yaml").write_text(TEXT + HOST + "  ssh_config: config\n")
    ends_with(monkeypatch, error=RigError("the machine is gone"))
    assert lab(str(tmp_path / "host.yaml"), "--results", files.results, "--allow-ssh-config") == 3
    assert capsys.readouterr().err.splitlines()[-2].endswith(" --allow-ssh-config")
