"""Which accelerator a VM gets, why, and what a run that goes on gets."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from lab.errors import InputError, RigError
from lab.rig.vm import accelerator, doctor
from lab.rig.vm.accelerator import VARIABLE, as_begun, beyond_uml, choose
from lab.rig.vm.box import VAGRANT_FOLDER
from lab.scenario.scenario import MachineSpec, load_scenario
from lab.simulate.parameters import read_parameters

GiB = 2**30
SCENARIO = """\
name: traced
question: Is it traced?
seed: 1
machine: {{memory: 1GiB{machine}}}
storages: [direct-lvm]
targets: [layer]
workload:
  - name: files
    trace: {trace}
    steps: [start, write: {{amount: 1MiB, files: 1}}, remove]
"""


@pytest.fixture(autouse=True)
def _no_word_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def script(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], env={**os.environ, **environment}, capture_output=True,
                          text=True, check=False)


def uml(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return script(str(VAGRANT_FOLDER / "uml.py"), *arguments, **environment)


def test_without_its_kernel_the_machine_is_emulated_and_says_why(tmp_path: Path) -> None:
    done = uml("choose", "auto", "512", XDG_CACHE_HOME=str(tmp_path))
    told = json.loads(done.stdout)
    if told["accelerator"] != "kvm":
        assert told["accelerator"] == "tcg"
        assert "no KVM: " in told["why"]
        assert "its kernel is not there" in told["why"]


def test_user_mode_linux_by_name_without_its_kernel_is_refused_with_status_3(tmp_path: Path) -> None:
    done = uml("choose", "uml", "512", XDG_CACHE_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    assert "user-mode Linux cannot be used: its kernel is not there" in done.stderr


def test_a_kernel_that_does_not_run_here_is_not_chosen_and_its_last_words_are_told(tmp_path: Path) -> None:
    (tmp_path / "kernel.json").write_text("{}")
    (tmp_path / "linux").write_text("#!/bin/sh\necho 'Checking that seccomp filters can be installed...failed'\n")
    (tmp_path / "linux").chmod(0o755)
    done = uml("choose", "uml", "8", LAB_UML_KERNEL=str(tmp_path))
    assert done.returncode == 3
    assert "does not start here: Checking that seccomp filters can be installed...failed" in done.stderr


def test_more_memory_than_its_folder_has_is_refused_with_what_makes_room(tmp_path: Path) -> None:
    (tmp_path / "kernel.json").write_text("{}")
    done = uml("choose", "uml", str(2**40), LAB_UML_KERNEL=str(tmp_path))
    assert done.returncode == 3
    assert "/dev/shm has " in done.stderr
    assert "mount -o remount,size=" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["choose", "vmware", "512"], ["start"], ["destroy", "x", "y"]])
def test_a_call_that_it_does_not_know_prints_its_usage_with_status_2(arguments: list[str]) -> None:
    done = uml(*arguments)
    assert done.returncode == 2
    assert "uml.py choose WANTED MEMORY_MIB" in done.stderr


def test_a_kernel_that_is_not_there_has_no_path(tmp_path: Path) -> None:
    done = script(str(VAGRANT_FOLDER / "get-kernel.py"), "--path", XDG_CACHE_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    done = script(str(VAGRANT_FOLDER / "get-kernel.py"), "--install", LAB_UML_KERNEL=str(tmp_path / "mine"),
                  XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 3
    assert "which holds no kernel.json" in done.stderr


def test_the_initrd_is_an_archive_that_cpio_reads_back(tmp_path: Path) -> None:
    archive = runpy.run_path(str(VAGRANT_FOLDER / "get-kernel.py"))["initrd"](b"busybox's bytes", b"#!/bin/sh\n")
    fields = [int(archive[start:start + 8], 16) for start in range(6, 110, 8)]
    assert archive[:6] == b"070701"
    assert fields[11] == len("bin") + 1
    files, at = {}, 0
    while True:                         # Documentation/driver-api/early-userspace/buffer-format.rst of Linux
        mode, size, name_size = (int(archive[at + 6 + 8 * field:at + 14 + 8 * field], 16) for field in (1, 6, 11))
        name = archive[at + 110:at + 110 + name_size - 1].decode()
        data = at + 110 + name_size + -(110 + name_size) % 4
        if name == "TRAILER!!!":
            break
        files[name] = mode, archive[data:data + size]
        at = data + size + -size % 4
    assert files["init"] == (0o100755, b"#!/bin/sh\n")
    assert files["bin/busybox"] == (0o100755, b"busybox's bytes")
    assert files["dev/console"][0] == 0o020600


def traced(folder: Path, *, trace: bool, machine: str = "") -> list[str]:
    (folder / "traced.yaml").write_text(SCENARIO.format(trace=str(trace).lower(), machine=machine))
    return beyond_uml([load_scenario(folder / "traced.yaml")])


def test_a_trace_is_beyond_user_mode_linux(tmp_path: Path) -> None:
    assert traced(tmp_path, trace=False) == []
    (phrase,) = traced(tmp_path, trace=True)
    assert "blktrace" in phrase


def test_what_it_cannot_do_goes_to_emulation_by_itself_and_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "_chosen", lambda wanted, memory: accelerator.Accelerator("uml", "it is quick"))
    assert choose("auto", GiB).name == "uml"
    emulated = choose("auto", GiB, ["a trace needs more"])
    assert (emulated.name, "a trace needs more" in emulated.why) == ("tcg", True)
    with pytest.raises(RigError, match="asked for, but a trace needs more"):
        choose("uml", GiB, ["a trace needs more"])


def test_the_environments_word_wins_and_must_be_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "_chosen", lambda wanted, memory: accelerator.Accelerator(wanted, "asked for"))
    monkeypatch.setenv(VARIABLE, "tcg")
    assert choose("auto", GiB).name == "tcg"
    monkeypatch.setenv(VARIABLE, "hvf")
    with pytest.raises(InputError, match="'hvf' is no accelerator"):
        choose("auto", GiB)


def test_a_run_goes_on_with_the_accelerator_that_it_began_on_and_with_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = MachineSpec()
    assert as_begun(spec, None, "run") == spec
    assert as_begun(spec, "hardware", "run") == spec
    assert as_begun(spec, "tcg", "run").accelerator == "tcg"
    with pytest.raises(InputError, match="began on tcg, and uml is asked for now"):
        as_begun(spec.model_copy(update={"accelerator": "uml"}), "tcg", "run")
    monkeypatch.setenv(VARIABLE, "kvm")
    with pytest.raises(InputError, match="began on tcg, and kvm is asked for now"):
        as_begun(spec, "tcg", "run")


def test_auto_in_the_environment_names_nothing_so_that_a_run_that_goes_on_keeps_its_machine(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "_chosen", lambda wanted, memory: accelerator.Accelerator(wanted, "asked for"))
    monkeypatch.setenv(VARIABLE, "auto")
    assert choose(as_begun(MachineSpec(), "tcg", "run").accelerator, GiB).name == "tcg"


@pytest.mark.parametrize("word", ["uml", "kvm"])
def test_doctor_says_what_is_missing_where_the_environment_names_what_cannot_be_had(
        monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    def refuse(wanted: str, memory_mib: int) -> accelerator.Accelerator:
        if wanted == "auto":
            return accelerator.Accelerator("tcg", "nothing else is there")
        raise RigError(f"{wanted} cannot be had")

    monkeypatch.setattr(accelerator, "_chosen", refuse)
    monkeypatch.setenv(VARIABLE, word)
    (check,) = (check for check in doctor.examine() if check.name == "acceleration")
    assert (check.ok, check.needed, check.detail) == (False, False, f"{word} cannot be had")
    assert doctor.kernel_is_missing()


def test_an_accelerator_changes_no_key(tmp_path: Path) -> None:
    keys = []
    for machine in ("", ", accelerator: tcg"):
        (tmp_path / "traced.yaml").write_text(SCENARIO.format(trace="false", machine=machine))
        scenario = load_scenario(tmp_path / "traced.yaml")
        keys.append((scenario.machine.key_text(), scenario.cells()[0].content_key(scenario.machine, 1, 1, "box")))
    assert keys[0] == keys[1]


@pytest.mark.parametrize(("accelerator", "fitted_on"), [("uml", "uml"), ("tcg", "tcg"), ("auto", "tcg"), (None, "tcg")])
def test_a_machine_is_simulated_with_the_times_that_were_fitted_on_such_a_machine(accelerator: str | None,
                                                                                  fitted_on: str) -> None:
    provenance = read_parameters(None, accelerator).provenance
    assert provenance is not None
    assert {run.accelerator for run in provenance.runs} == {fitted_on}
