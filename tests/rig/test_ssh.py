"""What a machine sends is taken piece by piece, checked and bounded; and cleaning up goes on where ssh hangs."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab.errors import CommandFailed, ConnectionLost, OutputRefused, RigError
from lab.rig import archive, ssh
from lab.rig.archive import unpack
from lab.rig.machine import RecordingMachine
from lab.rig.ssh import SshMachine, sweep_sockets

SSH = """#!/bin/bash
echo "$*" >>"$CALLS"
case " $* " in
*" -O exit "*) [ -z "$HANGS" ] || sleep 60; exit 0;;
esac
[ -z "$GONE" ] || exit 255
while [ "$1" != -- ]; do shift; done
exec bash -c "$2"
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshMachine]:
    """This computer, through a program that is called ssh; no command becomes root."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("ssh", SSH), ("sudo", '#!/bin/bash\nshift\nexec "$@"\n')):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    made = SshMachine([], "host")
    yield made
    monkeypatch.delenv("HANGS", raising=False)
    made.close()


# -- commands ----------------------------------------------------------------------------------------------------------

def test_output_and_status_come_back_whole(machine: SshMachine) -> None:
    done = machine.run(["sh", "-c", "cat; echo err >&2; exit 3"], stdin=b"in\n" * 100_000, check=False)
    assert (done.stdout, done.stderr, done.returncode, done.cut) == ("in\n" * 100_000, "err\n", 3, False)
    assert machine.run(["true"], stdin=b"x" * 2**20).returncode == 0, "a command need not read"


def test_a_command_that_takes_too_long_is_ended(machine: SshMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandFailed, match="hit its time limit"):
        machine.run(["sleep", "30"], timeout=0.2)


def test_output_beyond_the_bound_is_left_out_and_a_checked_command_fails(
        machine: SshMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "OUTPUT_BYTES", 1000)
    command = ["sh", "-c", "echo first; yes | head -c 3000000; echo last"]
    done = machine.run(command, check=False)
    assert done.cut
    assert done.stdout.startswith("first\ny\n")
    assert done.stdout.endswith("last\n")
    assert "bytes are left out here]" in done.stdout
    assert len(done.stdout) < 200_000
    for one in (machine, RecordingMachine(machine, io.StringIO())):
        with pytest.raises(OutputRefused, match="said more than can be kept"):
            one.run(command)


def test_endless_output_does_not_fill_the_memory(machine: SshMachine) -> None:
    program = """
import resource, sys
from lab.rig.ssh import SshMachine
from lab.rig import ssh
ssh.OUTPUT_BYTES = 2**20
machine = SshMachine([], "host")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
done = machine.run(["sh", "-c", "yes | head -c 300000000"], check=False)
assert done.cut
machine.close()
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert grown < 40_000, grown
"""
    subprocess.run([sys.executable, "-c", program], check=True)


# -- cleaning up -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("use", [
    lambda machine, folder: machine.run(["false"]),
    lambda machine, folder: machine.run(["sh", "-c", "exit 255"], check=False),
    lambda machine, folder: machine.get("/nowhere/at/all", folder),
], ids=["a command fails", "ssh fails", "a copy fails"])
def test_a_machine_that_was_booted_anew_meanwhile_is_lost_and_its_failure_is_no_cells(
        machine: SshMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[SshMachine, Path], object],
        ) -> None:
    boots = iter(["first boot", "second boot"])
    monkeypatch.setattr(machine, "_boot_id", lambda: next(boots))
    machine.run(["true"])
    with pytest.raises(ConnectionLost):
        use(machine, tmp_path / "into")


def test_a_command_that_fails_on_a_machine_of_the_same_boot_is_the_commands_failure(machine: SshMachine) -> None:
    with pytest.raises(CommandFailed):
        machine.run(["false"])
    assert machine.run(["sh", "-c", "exit 255"], check=False).returncode == 255


def test_an_ssh_that_does_not_end_is_said_and_cleaning_up_goes_on(
        machine: SshMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "_CLOSE_SECONDS", 0.2)
    monkeypatch.setenv("HANGS", "1")
    sockets = Path(machine._sockets.name)
    assert "does not end when it is told to" in (machine.close() or "")
    assert not sockets.exists()


def test_a_machine_whose_ssh_hangs_is_powered_off_all_the_same(
        machine: SshMachine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from lab.rig.vm import vagrant

    monkeypatch.setattr(ssh, "_CLOSE_SECONDS", 0.2)
    monkeypatch.setenv("HANGS", "1")
    ended: list[Path] = []
    said: list[str] = []
    monkeypatch.setattr(vagrant, "end_machine", ended.append)
    vm = vagrant.Vm.__new__(vagrant.Vm)
    vm.folder, vm._say, vm._ssh = tmp_path, said.append, machine
    vm.stop()
    assert ended == [tmp_path]
    assert "does not end" in said[0]


def test_no_ssh_at_all_is_said(machine: SshMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        assert "could not be ended" in (machine.close() or "")


# -- socket folders ----------------------------------------------------------------------------------------------------

def test_only_this_users_folders_of_ended_processes_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with subprocess.Popen(["true"]) as ended:
        pass
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").touch()
    ours = tmp_path / f"lab-ssh-{ended.pid}-a"
    ours.mkdir()
    (ours / "c").touch()
    (tmp_path / f"lab-ssh-{ended.pid}-link").symlink_to("elsewhere")
    (tmp_path / f"lab-ssh-{ended.pid}-nothing").symlink_to("nowhere")
    (tmp_path / f"lab-ssh-{ended.pid}-circle").symlink_to(f"lab-ssh-{ended.pid}-circle")
    (tmp_path / f"lab-ssh-{ended.pid}-file").touch()
    (tmp_path / f"lab-ssh-{os.getpid()}-alive").mkdir()
    (tmp_path / "lab-ssh-12ab-x").mkdir()
    (tmp_path / "lab-ssh-²-x").mkdir()
    foreign = tmp_path / f"lab-ssh-{ended.pid}-foreign"
    foreign.mkdir()
    if os.getuid() == 0:
        os.chown(foreign, 65534, 65534)
    before = {path.name for path in tmp_path.iterdir()}
    sweep_sockets()
    gone = before - {path.name for path in tmp_path.iterdir()}
    assert gone == {ours.name} | (set() if os.getuid() == 0 else {foreign.name})
    assert (tmp_path / "elsewhere" / "file").exists()


def test_no_folder_for_temporary_files_is_nothing_to_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    sweep_sockets()


# -- archives ----------------------------------------------------------------------------------------------------------

def tar(*members: tuple[str, bytes | None, bytes], link: str = "") -> bytes:
    """An archive of (name, kind, content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind or tarfile.REGTYPE, len(content), link
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


GOOD = tar(("./", tarfile.DIRTYPE, b""), ("./fio.json", None, b"x" * 3000), ("./deep/er/file", None, b"y"),
           ("./empty", None, b""))


def test_plain_files_and_folders_are_unpacked(tmp_path: Path) -> None:
    unpack(io.BytesIO(GOOD), tmp_path)
    assert (tmp_path / "fio.json").read_bytes() == b"x" * 3000
    assert (tmp_path / "deep/er/file").read_bytes() == b"y"
    assert (tmp_path / "empty").read_bytes() == b""


PAX = io.BytesIO()
with tarfile.open(fileobj=PAX, mode="w", format=tarfile.PAX_FORMAT) as _archive:
    _info = tarfile.TarInfo("file")
    _info.size, _info.pax_headers = 1, {"comment": "c" * 3 * 2**20}
    _archive.addfile(_info, io.BytesIO(b"x"))

BAD: dict[str, tuple[bytes, str]] = {
    "above": (tar(("../file", None, b"x")), "outside of its folder"),
    "above, later": (tar(("a/../../file", None, b"x")), "outside of its folder"),
    "absolute": (tar(("/tmp/file", None, b"x")), "outside of its folder"),
    "link out": (tar(("link", tarfile.SYMTYPE, b""), link="../../etc/passwd"), "neither a plain file"),
    "absolute link": (tar(("link", tarfile.SYMTYPE, b""), link="/etc/passwd"), "neither a plain file"),
    "hard link": (tar(("link", tarfile.LNKTYPE, b""), link="/etc/passwd"), "neither a plain file"),
    "fifo": (tar(("fifo", tarfile.FIFOTYPE, b"")), "neither a plain file"),
    "device": (tar(("null", tarfile.CHRTYPE, b"")), "neither a plain file"),
    "disk": (tar(("sda", tarfile.BLKTYPE, b"")), "neither a plain file"),
    "twice": (tar(("file", None, b"x"), ("file", None, b"y")), "cannot be made"),
    "below a file": (tar(("file", None, b"x"), ("file/file", None, b"y")), "cannot be made"),
    "folder over a file": (tar(("file", None, b"x"), ("file", tarfile.DIRTYPE, b"")), "cannot be made"),
    "long name": (tar(("n" * 251, None, b"x")), "name that no file can have"),
    "nothing": (tar(), "nothing in it|no whole archive"),
    "only a folder": (tar(("./", tarfile.DIRTYPE, b"")), "nothing in it"),
    "no bytes": (b"", "no whole archive"),
    "text": (b"sudo: a password is required\n" * 100, "no whole archive"),
    "long header": (PAX.getvalue(), "headers are too long"),
    "no end": (GOOD.rstrip(b"\0") + b"\0" * 300, "no whole archive"),
    "more after the end": (GOOD + b"more", "no whole archive"),
    "endless zeros": (GOOD + bytes(2 * 2**20), "headers are too long"),
    "too much": (tar(("file", None, b"x" * 6000)), "more than 5000 bytes"),
    "too much together": (tar(*((f"file{number}", None, b"x" * 1000) for number in range(6))), "more than 5000 bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_plain_whole_archive_is_refused_and_nothing_lands_outside(tmp_path: Path, name: str) -> None:
    data, why = BAD[name]
    into = tmp_path / "deep" / "into"
    into.mkdir(parents=True)
    with pytest.raises(OutputRefused, match=why) as caught:
        unpack(io.BytesIO(data), into, limit_bytes=5000)
    assert isinstance(caught.value, RigError)
    assert not isinstance(caught.value, ConnectionLost)
    assert list(tmp_path.iterdir()) == [tmp_path / "deep"]
    assert list((tmp_path / "deep").iterdir()) == [into]
    assert not any(path.is_symlink() for path in into.rglob("*"))


def test_an_archive_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    """At any block, and at odd places; only what follows the two blocks of zeros may be missing."""
    whole = len(GOOD.rstrip(b"\0")) // 512 * 512 + 512 + 1024
    for number, size in enumerate([*range(0, whole - 512, 512), *range(1, whole - 1024, 997)]):
        with pytest.raises(OutputRefused):
            unpack(io.BytesIO(GOOD[:size]), tmp_path / str(number))


def test_a_damaged_archive_is_refused_or_unpacked_and_nothing_else(tmp_path: Path) -> None:
    chance = random.Random(3)
    for number in range(300):
        data = bytearray(GOOD)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(min(len(data), 5000))] = chance.randrange(256)
        into = tmp_path / str(number) / "into"
        into.mkdir(parents=True)
        with suppress(OutputRefused):
            unpack(io.BytesIO(bytes(data)), into, limit_bytes=10**6)
        assert list(into.parent.iterdir()) == [into]


def test_memory_stays_small_however_large_the_files(tmp_path: Path) -> None:
    program = """
import resource, subprocess, sys
from pathlib import Path
from lab.rig.archive import unpack
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with subprocess.Popen(["tar", "-C", sys.argv[1], "-cf", "-", "."], stdout=subprocess.PIPE) as tar:
    unpack(tar.stdout, Path(sys.argv[2]))
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert grown < 30_000, grown
"""
    (tmp_path / "from").mkdir()
    with (tmp_path / "from" / "large").open("wb") as file:
        file.truncate(200 * 2**20)
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "from"), str(tmp_path / "into")], check=True)
    assert (tmp_path / "into" / "large").stat().st_size == 200 * 2**20
    (tmp_path / "into" / "large").unlink()


def test_a_folder_is_copied_from_the_machine(machine: SshMachine, tmp_path: Path) -> None:
    (tmp_path / "from" / "a b").mkdir(parents=True)
    (tmp_path / "from" / "a b" / "file").write_text("text")
    machine.get(str(tmp_path / "from"), tmp_path / "into")
    assert (tmp_path / "into" / "a b" / "file").read_text() == "text"


@pytest.mark.parametrize(("prepare", "why"), [
    (lambda folder: (folder / "link").symlink_to("/etc/passwd"), "neither a plain file"),
    (lambda folder: os.mkfifo(folder / "fifo"), "neither a plain file"),
    (lambda folder: None, "nothing in it"),
    (lambda folder: folder.rmdir(), "No such file"),
    (lambda folder: (folder / "large").write_bytes(b"x" * 6000), "more than 5000 bytes"),
])
def test_what_cannot_be_copied_fails_the_cell_with_a_reason(
        machine: SshMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Path], object],
        why: str) -> None:
    monkeypatch.setattr(ssh, "unpack", lambda stream, into: archive.unpack(stream, into, limit_bytes=5000))
    (tmp_path / "from").mkdir()
    prepare(tmp_path / "from")
    with pytest.raises(OutputRefused, match=why) as caught:
        machine.get(str(tmp_path / "from"), tmp_path / "into")
    assert str(caught.value).startswith(f"{tmp_path / 'from'} could not be copied")


def test_a_copy_that_hangs_is_ended(machine: SshMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = tmp_path / "tools" / "tar"
    hangs.write_text("#!/bin/bash\nexec sleep 60\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(ssh, "_GET_SECONDS", 0.3)
    began = time.monotonic()
    with pytest.raises(OutputRefused, match=r"not be copied within 0\.3 s"):
        machine.get("/", tmp_path / "into")
    assert time.monotonic() - began < 10


def test_a_machine_that_is_gone_is_no_failed_cell(
        machine: SshMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GONE", "1")
    with pytest.raises(ConnectionLost):
        machine.get("/", tmp_path / "into")
