"""The seam to the machine: recording, replay, quoting, and that no storage command can reach the host."""

from __future__ import annotations

import ast
import io
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lab
from lab.errors import CommandFailed, RigError
from lab.rig.machine import Completed, Machine, RecordingMachine, ReplayMachine, put

PACKAGE = Path(lab.__file__).parent
STORAGE_TOOLS = {"mkfs.ext4", "mkfs.xfs", "pvcreate", "vgcreate", "lvcreate", "lvconvert", "lvchange", "vgremove",
                 "lvs", "dmsetup", "mount", "umount", "wipefs", "losetup", "fstrim", "blkdiscard", "dd", "docker",
                 "dockerd", "fio", "mkfs.btrfs", "blktrace", "parted", "sync"}


class Echo:
    """A machine that answers with what it was asked."""

    def run(self, argv: Sequence[str], *, timeout: float = 1, check: bool = True,
            stdin: bytes | None = None) -> Completed:
        return Completed(tuple(argv), 0, "\0".join(argv), "", 0.0)

    def get(self, folder: str, into: Path) -> None:
        raise AssertionError(folder)


def recorded(*commands: Sequence[str]) -> list[str]:
    transcript = io.StringIO()
    machine = RecordingMachine(Echo(), transcript)
    for command in commands:
        machine.run(command)
    return transcript.getvalue().splitlines()


def test_a_replay_answers_as_the_recorded_machine_did() -> None:
    machine = ReplayMachine(recorded(["true"], ["echo", "a b"]))
    assert machine.run(["true"]).returncode == 0
    assert machine.run(["echo", "a b"]).stdout == "echo\0a b"
    assert machine.left == 0


def test_a_replay_refuses_another_command_than_the_recorded_one() -> None:
    with pytest.raises(RigError, match=r"command 1 .* is \['true'\], not \['false'\]"):
        ReplayMachine(recorded(["true"])).run(["false"])


def test_a_replay_refuses_a_command_after_its_end() -> None:
    with pytest.raises(RigError, match="has ended"):
        ReplayMachine([]).run(["true"])


def test_a_recorded_failure_fails_again_when_replayed() -> None:
    line = json.dumps({"argv": ["lvs"], "returncode": 5, "stdout": "", "stderr": "no such group", "seconds": 0.1})
    with pytest.raises(CommandFailed, match="lvs ended with status 5: no such group"):
        ReplayMachine([line]).run(["lvs"])
    assert ReplayMachine([line]).run(["lvs"], check=False).returncode == 5


def test_a_time_limit_is_told_from_a_status() -> None:
    line = json.dumps({"argv": ["fio"], "returncode": None, "stdout": "", "stderr": "", "seconds": 9.0})
    with pytest.raises(CommandFailed, match="fio hit its time limit"):
        ReplayMachine([line]).run(["fio"])


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_any_argument_survives_the_remote_shell_as_one_argument(argv: list[str]) -> None:
    assert shlex.split(shlex.join(argv)) == argv


def test_put_gives_the_path_as_an_argument_and_the_content_as_input() -> None:
    transcript = io.StringIO()
    machine: Machine = RecordingMachine(Echo(), transcript)
    put(machine, "/tmp/a; rm -rf $HOME", b"x")
    assert json.loads(transcript.getvalue())["argv"][-1] == "/tmp/a; rm -rf $HOME"


def _host_commands(tree: ast.AST) -> set[str]:
    """First words of the argument lists that go to subprocess, or to process.call, in a module."""
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in {"subprocess.run", "subprocess.Popen", "call", "subprocess.call", "subprocess.check_output"}:
                for element in ast.walk(node.args[0]) if node.args else []:
                    if isinstance(element, ast.Constant) and isinstance(element.value, str):
                        words.add(element.value)
    return words


@pytest.mark.parametrize("module", sorted(
    path for path in PACKAGE.rglob("*.py") if "guest" not in path.parts), ids=lambda path: path.stem)
def test_no_module_gives_the_host_a_storage_command(module: Path) -> None:
    tree = ast.parse(module.read_text())
    assert not _host_commands(tree) & STORAGE_TOOLS
    effects = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)} & {
        "os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv", "subprocess.getoutput"}
    assert not effects


def test_only_the_rig_starts_processes() -> None:
    users = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")
             if "subprocess" in path.read_text() and "import subprocess" in path.read_text()}
    assert users <= {"rig/process.py", "rig/ssh.py", "rig/vm/box.py", "rig/vm/doctor.py", "rig/guest/sampler.py",
                     "rig/vm/accelerator.py", "runs/provenance.py"}


def test_no_module_names_a_disk_by_its_kernel_name() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert "/dev/sd" not in text, path
        assert "/dev/vd" not in text, path
