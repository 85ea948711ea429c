"""Which accelerator a VM gets, why, and what a run that goes on gets."""

from __future__ import annotations

import base64
import errno
import importlib.util
import json
import os
import resource
import runpy
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

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


def module(name: str) -> ModuleType:
    """A program of vagrant/ as a module, so that a test can put something in place of a part of it."""
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), VAGRANT_FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def kernel_that_seems_to_run(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "kernel.json").write_text("{}")
    (folder / "linux").write_text("#!/bin/sh\necho 'Linux version, seccomp filters can be installed...OK'\n")
    (folder / "linux").chmod(0o755)
    return folder


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


def test_what_user_mode_linux_cannot_do_is_refused_by_name_and_emulated_otherwise(tmp_path: Path) -> None:
    kernel = str(kernel_that_seems_to_run(tmp_path))
    told = json.loads(uml("choose", "auto", "8", "it has raw disks only", LAB_UML_KERNEL=kernel).stdout)
    assert told["accelerator"] in ("kvm", "tcg")
    assert told["accelerator"] == "kvm" or "no user-mode Linux: it has raw disks only" in told["why"]
    done = uml("choose", "uml", "8", "it has raw disks only", LAB_UML_KERNEL=kernel)
    assert (done.returncode, done.stderr) == (3, "uml.py: user-mode Linux cannot be used: it has raw disks only\n")
    assert json.loads(uml("choose", "uml", "8", LAB_UML_KERNEL=kernel).stdout)["accelerator"] == "uml"


def test_a_kernel_that_is_tried_leaves_no_core_file(tmp_path: Path) -> None:
    kernel_that_seems_to_run(tmp_path)
    (tmp_path / "linux").write_text("#!/bin/sh\necho core files: $(ulimit -c)\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        done = uml("choose", "uml", "8", LAB_UML_KERNEL=str(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert done.stderr.endswith("its kernel does not start here: core files: 0\n")


PROVIDER = """\
require 'pathname'
require ARGV[0]
config = VagrantQemu::Config.new
config.finalize!
machine = Struct.new(:provider_config, :data_dir, :id).new(config, Pathname(ARGV[1]), 'id')
vm = VagrantQemu::Vm.new(machine)
begin
  vm.send(:check_accelerator)
  puts "#{config.chosen['accelerator']} #{vm.disk_mode}"
rescue VagrantQemu::Error => e
  puts e.message
end
"""


@pytest.mark.skipif(not shutil.which("ruby") or not shutil.which("vagrant"), reason="Vagrant's Ruby is needed")
@pytest.mark.parametrize(("there", "accelerator", "disk_mode", "told"), [
    ([], "auto", "", ("kvm snapshot", "uml sparse")),
    ([], "auto", "snapshot", ("kvm snapshot", "tcg snapshot")),
    (["root.qcow2"], "auto", "", ("kvm snapshot", "tcg snapshot")),
    (["uml.json"], "auto", "", ("uml sparse",)),
    ([], "uml", "snapshot", ("user-mode Linux cannot be used: it has raw disks only: QEMU_DISK_MODE=sparse, or full",)),
    (["root.qcow2"], "uml", "", ("user-mode Linux cannot be used: this machine was made for kvm or tcg: "
                                 "`vagrant destroy` it first",)),
    (["uml.json"], "tcg", "", ("This machine was made for uml, and would run on tcg now (software emulation was asked "
                               "for): `vagrant destroy` it first, or set QEMU_ACCEL.",)),
])
def test_by_hand_a_machine_stays_on_what_it_was_made_for_and_auto_takes_what_can_do_all(
        tmp_path: Path, there: list[str], accelerator: str, disk_mode: str, told: tuple[str, ...]) -> None:
    (tmp_path / "machine").mkdir()
    for name in there:
        (tmp_path / "machine" / name).touch()
    (tmp_path / "provider.rb").write_text(PROVIDER)
    done = subprocess.run(["ruby", "-W0", "-rvagrant", str(tmp_path / "provider.rb"),
                           str(VAGRANT_FOLDER / "vagrant_qemu.rb"), str(tmp_path / "machine")],
                          env={**os.environ, "VAGRANT_HOME": str(tmp_path / "home"), "QEMU_ACCEL": accelerator,
                               "QEMU_DISK_MODE": disk_mode, "QEMU_MEMORY": "8",
                               "LAB_UML_KERNEL": str(kernel_that_seems_to_run(tmp_path / "kernel"))},
                          capture_output=True, text=True, check=False)
    assert done.stdout.strip() in told, done.stderr


LATE_NETWORK = """\
import socket, sys, time
server = socket.socket(socket.AF_UNIX)
server.bind("qmp.sock")
server.listen()
if sys.argv[1] == "greets":
    client, _ = server.accept()
    client.sendall(b'{"QMP": {}}\\r\\n')
else:
    time.sleep(0.3)
    sys.exit("Could not set up host forwarding rule")
"""


@pytest.mark.parametrize("does", ["greets", "ends"])
def test_a_network_is_there_when_its_monitor_greets_and_not_when_its_socket_is_there(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    monkeypatch.chdir(tmp_path)
    program = module("uml")
    with (tmp_path / "network.log").open("wb") as log, \
            subprocess.Popen([sys.executable, "-c", LATE_NETWORK, does], stderr=log) as network:
        try:
            if does == "greets":
                program.wait_for_network(network)
                assert network.wait(10) == 0        # it was connected to
            else:
                with pytest.raises(program.Failure, match="the network does not start: Could not set up host forward"):
                    program.wait_for_network(network)
        finally:
            network.kill()


@pytest.mark.parametrize("alive", [True, False])
def test_a_process_whose_parent_was_gone_before_it_could_ask_to_end_with_it_ends(alive: bool) -> None:
    code = f"import runpy, os; f = runpy.run_path({str(VAGRANT_FOLDER / 'uml.py')!r})['end_with_parent']; " \
           f"f(os.getppid(){'' if alive else ' + 1'}); print('lives')"
    done = script("-c", code)
    assert (done.returncode, done.stdout) == ((0, "lives\n") if alive else (1, ""))


FULL_DISK = """\
import ctypes, os, runpy, sys
runpy.run_path(sys.argv[1])["keep_disks_full"]()
libc = ctypes.CDLL(None, use_errno=True)
with open(sys.argv[2], "r+b") as disk:
    for mode in (0x03, 0x11, 0x00):         # a discard, zeroes, more room
        ctypes.set_errno(0)
        length = 1 << 21 if mode == 0 else 1 << 20
        libc.fallocate(disk.fileno(), mode, ctypes.c_long(0), ctypes.c_long(length))
        print(mode, ctypes.get_errno(), os.fstat(disk.fileno()).st_size >> 20, disk.read(1 << 20).count(b"x") >> 20)
        disk.seek(0)
"""


def test_a_full_disk_stays_written_a_discard_is_ignored_and_zeroes_are_left_to_the_guest(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"x" * (1 << 20))
    done = script("-c", FULL_DISK, str(VAGRANT_FOLDER / "uml.py"), str(tmp_path / "disk"))
    assert done.stdout.splitlines() == ["3 0 1 1", f"17 {errno.EOPNOTSUPP} 1 1", "0 0 2 1"], done.stderr


def test_a_keeper_that_is_ended_after_its_answer_ends_without_another(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "uml.json").write_text(json.dumps({"kernel": str(tmp_path), "root": str(tmp_path / "raw"), "port": 0}))
    code = f"""\
import os, runpy, subprocess, sys
sys.path.insert(0, {str(VAGRANT_FOLDER)!r})
import uml
sleeper = lambda *_: subprocess.Popen(["sleep", "60"], start_new_session=True)
uml.start_network = uml.start_kernel = sleeper
uml.wait_for_network = lambda _: None
sys.exit(uml.keep("uuid", uml.Path("."), int(sys.argv[1])))
"""
    reading, writing = os.pipe()
    with subprocess.Popen([sys.executable, "-B", "-c", code, str(writing)], pass_fds=[writing], cwd=tmp_path,
                          stderr=subprocess.PIPE, text=True) as keeper:
        os.close(writing)
        with os.fdopen(reading) as answer:
            assert answer.read() == "running"
        keeper.terminate()
        _, said = keeper.communicate(timeout=20)
    assert (keeper.returncode, said) == (3, "uml.py: ended by a signal\n")


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


def test_the_hosts_proxy_and_passwords_are_those_of_the_kernels_fetching(tmp_path: Path) -> None:
    keyring = next((path for path in module("get-kernel").KEYRINGS if Path(path).exists()), None)
    if keyring is None or not shutil.which("apt-get"):
        pytest.skip("apt and Debian's keys are needed")
    asked: list[tuple[str, str | None]] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "auth.conf.d").mkdir()
    (tmp_path / "auth.conf.d" / "mirror.conf").write_text("machine http://mirror.invalid login me password secret\n")
    (tmp_path / "apt.conf").write_text(f"""\
Acquire::http::Proxy "http://127.0.0.1:{server.server_port}";
Dir::Etc::netrcparts "{tmp_path}/auth.conf.d";
""")
    environment = {name: "" for name in ("http_proxy", "no_proxy", "NO_PROXY") if name in os.environ}
    done = script(str(VAGRANT_FOLDER / "get-kernel.py"), "--install", XDG_CACHE_HOME=str(tmp_path), LAB_UML_KERNEL="",
                  LAB_MIRROR="http://mirror.invalid/debian", APT_CONFIG=str(tmp_path / "apt.conf"), **environment)
    server.shutdown()
    server.server_close()
    assert done.returncode == 3
    assert "apt-get update failed" in done.stderr
    password = "Basic " + base64.b64encode(b"me:secret").decode()
    assert ("http://mirror.invalid/debian/dists/sid/InRelease", password) in asked


RELEASE_FILE = """\
Origin: {origin}
Label: {origin}
Suite: stable
Codename: {codename}
Components: main
Architectures: amd64
Date: Sat, 01 Jan 2022 00:00:00 UTC
SHA256:
 {digest} 0 main/binary-amd64/Packages
"""


@pytest.mark.skipif(not shutil.which("apt-get"), reason="apt is needed")
@pytest.mark.parametrize("fetched", [True, False], ids=["with an index", "without"])
@pytest.mark.parametrize("word", ["stable", "sid", "codename"])
def test_the_mirror_is_debians_own_by_whatever_word_the_sources_name_its_release(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str, fetched: bool) -> None:
    codename = next((line.partition("=")[2].strip('"') for line in Path("/etc/os-release").read_text().splitlines()
                     if line.startswith("VERSION_CODENAME=")), "")
    if word == "codename":
        word = codename
    for folder in ("lists/partial", "sources.list.d"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "sources.list.d" / "other.list").write_text("deb http://other.invalid/deb stable main\n")
    (tmp_path / "sources.list.d" / "z.sources").write_text(
        f"Types: deb\nURIs: http://mirror.invalid/debian\nSuites: {word}\nComponents: main\n")
    if fetched:
        for host, release, origin in (("other.invalid_deb", "stable", "Other"),
                                      ("mirror.invalid_debian", word, "Debian")):
            (tmp_path / "lists" / f"{host}_dists_{release}_Release").write_text(
                RELEASE_FILE.format(origin=origin, codename=codename, digest="0" * 64))
    (tmp_path / "apt.conf").write_text(f"""\
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{tmp_path}/sources.list.d";
Dir::State::lists "{tmp_path}/lists";
APT::Architecture "amd64";
""")
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.delenv("LAB_MIRROR", raising=False)
    assert module("get-kernel").mirror().rstrip("/") == "http://mirror.invalid/debian"


@pytest.mark.parametrize(("expired", "newer"), [(False, False), (False, True), (True, False), (True, True)])
def test_an_index_that_is_out_of_date_is_believed_for_the_pinned_versions_alone(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expired: bool, newer: bool) -> None:
    program = module("get-kernel")
    calls: list[list[str]] = []

    def run(command: list[str], work: Path) -> str:
        calls.append(command)
        if command[1] == "update" and expired and "Acquire::Check-Valid-Until=false" not in command:
            raise program.Failure("apt-get update failed: E: Release file for http://m/InRelease is expired (invalid)")
        if command[1] == "download":
            (work / f"{command[-1].partition('=')[0]}_1_amd64.deb").write_bytes(b"a package")
        return f"Version: {'9' if newer else program.PINNED[command[-1]][0]}\n" if command[1] == "show" else ""

    monkeypatch.setattr(program, "run", run)
    monkeypatch.setattr(program, "mirror", lambda: "http://m")
    monkeypatch.setattr(program, "KEYRINGS", (str(tmp_path),))
    monkeypatch.setattr(program.shutil, "which", lambda tool: tool)
    monkeypatch.setattr(program, "PINNED", {package: (version, program.hashlib.sha256(b"a package").hexdigest())
                                            for package, (version, _) in program.PINNED.items()})
    if expired and newer:
        with pytest.raises(program.Failure, match="index is out of date, and it has user-mode-linux 9 in place of"):
            program.download(tmp_path)
        return
    assert set(program.download(tmp_path)) == set(program.PINNED)
    assert len([command for command in calls if command[1] == "update"]) == 1 + expired


def test_doctor_says_whether_the_kernel_is_the_pinned_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told() -> list[doctor.Check]:
        return [check for check in doctor.examine() if check.name == "kernel of uml"]

    monkeypatch.setattr(accelerator, "_chosen", lambda wanted, memory: accelerator.Accelerator("kvm", "it is there"))
    monkeypatch.setenv("LAB_UML_KERNEL", str(tmp_path))
    assert told() == []
    pinned = {package: version for package, (version, _) in module("get-kernel").PINNED.items()}
    (tmp_path / "kernel.json").write_text(json.dumps({"packages": pinned}))
    (check,) = told()
    assert (check.ok, check.detail) == (True, f"user-mode-linux {pinned['user-mode-linux']}: as pinned")
    (tmp_path / "kernel.json").write_text(json.dumps({"packages": {**pinned, "libc6": "9.9"}}))
    (check,) = told()
    assert (check.ok, check.needed) == (False, False)
    assert check.detail.endswith(f"not the pinned packages, but libc6 9.9 in place of {pinned['libc6']}")


@pytest.mark.skipif(not shutil.which("make"), reason="make is needed")
@pytest.mark.parametrize(("word", "most"), [(None, "tcg"), ("", "tcg"), ("kvm", "kvm")])
def test_the_reference_is_measured_on_what_it_was_measured_on_and_its_kernel_is_there_in_time(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str | None, most: str) -> None:
    (tmp_path / "lab").write_text("#!/bin/sh\necho \"$QEMU_ACCEL $1 $(basename \"$2\")\"\n")
    (tmp_path / "lab").chmod(0o755)
    kernel = kernel_that_seems_to_run(tmp_path / "kernel")
    if word is not None:
        monkeypatch.setenv(VARIABLE, word)
    def made() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["make", "-C", str(VAGRANT_FOLDER.parent), "-o", ".venv/.installed",
                               f"LAB={tmp_path}/lab", f"REFERENCE={tmp_path}/out", "reference"],
                              env={**os.environ, "LAB_UML_KERNEL": str(kernel), "XDG_CACHE_HOME": str(tmp_path)},
                              capture_output=True, text=True, check=False)

    done = made()
    assert done.returncode == 0, done.stderr
    runs = [line.split() for line in done.stdout.splitlines() if " run " in line]
    assert [run[0] for run in runs] == [most] * (len(runs) - 1) + ["uml"]
    assert len(runs) == len({folder for folder in tmp_path.glob("out/**/") if not list(folder.iterdir())})
    (kernel / "kernel.json").unlink()
    done = made()
    assert "holds no kernel.json" in done.stderr
    assert "uml run" not in done.stdout


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
