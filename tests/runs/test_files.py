"""Outputs: whole or not there; what is no plain file is written through; what is refused, and with which exit code."""

from __future__ import annotations

import ast
import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import lab
from lab.answers.gate.output import add_step_summary
from lab.errors import InputError, LabError, RigError
from lab.model.pool.config import PoolConfig
from lab.model.pool.thinpool import ThinPool
from lab.runs.files import append_output, make_output_folder, replacing, write_atomically, write_output
from lab.simulate.parameters import read_parameters, write_parameters
from lab.simulate.replay import save_pool_dump

POOL = ThinPool(PoolConfig(65536, 16))


def _summary(path: Path) -> None:
    os.environ["GITHUB_STEP_SUMMARY"] = str(path)
    try:
        add_step_summary("text")
    finally:
        del os.environ["GITHUB_STEP_SUMMARY"]


WRITERS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: write_output(path, "text"),
    "bytes": lambda path: write_output(path, b"text"),
    "parameters": lambda path: write_parameters(read_parameters(None), path),
    "thin dump": lambda path: save_pool_dump(POOL, path),
    "step summary": _summary,
}


@pytest.fixture(params=list(WRITERS))
def write(request: pytest.FixtureRequest) -> Callable[[Path], object]:
    return WRITERS[request.param]


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A null device of the test's own."""
    path = tmp_path / "null"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        path.write_bytes(b"")
    except OSError:
        pytest.skip("no device can be made here")
    return path


def test_a_device_stays_a_device_and_nothing_lies_beside_it(write: Callable[[Path], object], device: Path) -> None:
    write(device)
    assert stat.S_ISCHR(device.lstat().st_mode)
    assert list(device.parent.iterdir()) == [device]


def test_a_link_to_a_device_stays_and_so_does_the_device(device: Path) -> None:
    link = device.with_name("link")
    link.symlink_to(device)
    write_output(link, "text")
    assert link.is_symlink()
    assert stat.S_ISCHR(device.lstat().st_mode)


def test_a_full_device_is_the_environment_and_a_folder_is_bad_input(
        write: Callable[[Path], object], tmp_path: Path) -> None:
    full = tmp_path / "full"
    try:
        os.mknod(full, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
        full.open("wb").close()
    except OSError:
        pytest.skip("no device can be made here")
    with pytest.raises(RigError, match="No space left on device") as caught:
        write(full)
    assert caught.value.exit_code == 3
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        write(tmp_path / "folder")
    assert stat.S_ISCHR(full.lstat().st_mode)
    assert not list((tmp_path / "folder").iterdir())


def test_a_disk_is_never_an_output(write: Callable[[Path], object], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    try:
        os.mknod(disk, 0o666 | stat.S_IFBLK, os.makedev(7, 255))
    except OSError:
        pytest.skip("no device can be made here")
    with pytest.raises(LabError) as caught:
        write(disk)
    assert caught.value.exit_code in (2, 3)
    assert stat.S_ISBLK(disk.lstat().st_mode)


def test_a_terminal_is_written_to(tmp_path: Path) -> None:
    leader, terminal = os.openpty()
    try:
        write_output(Path(os.ttyname(terminal)), "for the eye\n")
        assert os.read(leader, 100) == b"for the eye\r\n"
    finally:
        os.close(leader)
        os.close(terminal)


def test_a_pipe_that_nobody_reads_is_refused_at_once_and_stays(write: Callable[[Path], object], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="cannot be written"):
        write(pipe)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_pipe_with_a_reader_gets_all_of_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content, got = b"0123456789" * 100_000, []
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reading, True)

    def read() -> None:
        while part := os.read(reading, 65536):
            got.append(part)

    with replacing(pipe) as file:           # the reader finds a writer from here on
        reader = threading.Thread(target=read)
        reader.start()
        file.write(content)
    reader.join(10)
    os.close(reading)
    assert b"".join(got) == content


def test_a_reader_that_leaves_is_the_environment(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    threading.Timer(0.05, os.close, [reading]).start()
    with pytest.raises(RigError, match="Broken pipe"):
        write_output(pipe, b"x" * 2**20)


def test_a_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with pytest.raises(InputError):
            write_output(tmp_path / "socket", "text")
    assert stat.S_ISSOCK((tmp_path / "socket").lstat().st_mode)


def test_links_stay_and_their_target_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "file"
    target.write_text("old")
    (tmp_path / "second").symlink_to("there/file")
    (tmp_path / "first").symlink_to(tmp_path / "second")
    with target.open() as reading:
        write_output(tmp_path / "first", "new")
        assert reading.read() == "old", "replaced, not written over"
    assert (tmp_path / "first").is_symlink()
    assert (tmp_path / "second").is_symlink()
    assert not target.is_symlink()
    assert target.read_text() == "new"
    assert list((tmp_path / "there").iterdir()) == [target]


def test_a_link_to_nothing_and_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "nothing").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    for name in ("nothing", "circle"):
        with pytest.raises(InputError, match="cannot be written"):
            write_output(tmp_path / name, "text")
        assert (tmp_path / name).is_symlink()
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_descriptor_gets_the_text_beside_what_was_written_to_it_before(name: str, tmp_path: Path) -> None:
    program = ("from pathlib import Path; from lab.runs.files import write_output; print('before', flush=True); "
               f"write_output(Path({name!r}), 'text\\n'); print('after')")
    with (tmp_path / "out").open("ab") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "before\ntext\nafter\n"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True,
                          text=True).stdout == "before\ntext\nafter\n"


def test_mode_of_a_file_that_was_there_stays_and_a_new_one_follows_the_umask(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o640)
    before = os.umask(0o027)
    try:
        for name in ("old", "new"):
            write_output(tmp_path / name, "text")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("old", "new")] == [0o640, 0o640]


def test_the_longest_name_that_a_file_can_have_is_written(tmp_path: Path) -> None:
    for name in ("n" * 255, "ä" * 127):
        write_output(tmp_path / name, "text")
        assert (tmp_path / name).read_text() == "text"
    with pytest.raises(InputError, match="File name too long"):
        write_output(tmp_path / ("n" * 256), "text")


def test_a_foreign_file_of_the_scratch_files_name_stays(tmp_path: Path) -> None:
    """In a folder that others write to, a link of that name must not be followed."""
    (tmp_path / "victim").write_text("mine")
    (tmp_path / f".file.{os.getpid()}").symlink_to("victim")
    write_output(tmp_path / "file", "text")
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "text"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_full_or_broken_disk_leaves_the_old_content_and_nothing_beside_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    write_atomically(tmp_path / "file", "old")

    def broken(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, broken)
        with pytest.raises(RigError) as caught:
            write_output(tmp_path / "file", "new")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_an_interrupt_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    def half() -> None:
        with replacing(tmp_path / "file") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "no/such/folder/file", "file/below", "nul\0byte"])
def test_a_wrong_name_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError):
        write_output(Path(name), "text")
    with pytest.raises(InputError):
        append_output(Path(name), "text")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        make_output_folder(tmp_path / "file" / "folder")


def test_text_is_added_at_the_end(tmp_path: Path) -> None:
    append_output(tmp_path / "file", "one\n")
    append_output(tmp_path / "file", "two\n")
    assert (tmp_path / "file").read_text() == "one\ntwo\n"


OWN_FOLDERS = {
    "rig/vm/vagrant.py": "the machine's own state folder",
    "rig/own_host/images.py": "the lab's cache",
    "rig/workloads.py": "a cell's own folder, which is renamed when it is whole",
    "runs/raw_trace.py": "the same",
}


def test_no_other_module_writes_a_file_in_its_own_way() -> None:
    """Else an output option could replace a device again."""
    found = set()
    package = Path(lab.__file__).parent
    for file in package.rglob("*.py"):
        if "guest" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("write_text", "write_bytes"):
                found.add(str(file.relative_to(package)))
    assert found == set(OWN_FOLDERS)
