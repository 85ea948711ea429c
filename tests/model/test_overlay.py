"""overlay2 on a file system: copy-up, whiteouts, what is shared; and ext4's counts below it."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from lab.model.drivers.overlay import Overlay2, OverlayView
from lab.model.filesystems.ext4 import Ext4
from lab.model.filesystems.file_work import FileWork
from lab.model.filesystems.filesystem import BLOCK_BYTES, FileSystem
from lab.model.filesystems.image_content import Entry, ImageContent, Kind
from lab.model.filesystems.xfs import Xfs
from lab.model.filesystems.xfs_geometry import xfs_geometry

MIB, GIB = 1024**2, 1024**3
IMAGE = ImageContent("x:1", (
    (Entry("data", Kind.FOLDER), Entry("data/large", Kind.FILE, 32 * MIB), Entry("data/small", Kind.FILE, 100)),
    (Entry("data/.wh.small", Kind.FILE), Entry("etc", Kind.FOLDER), Entry("etc/conf", Kind.FILE, 10)),
))


def on(kind: str) -> tuple[FileSystem, OverlayView]:
    below: FileSystem = Ext4() if kind == "ext4" else Xfs(xfs_geometry(4 * GIB, None), nothing, nothing)
    driver = Overlay2(below)
    driver.load(IMAGE)
    return below, driver.create("one", IMAGE, ["run/lab"])


def nothing(offset: int, length: int) -> None:
    pass


@pytest.mark.parametrize(("kind", "expected_mib"), [("ext4", 32), ("xfs", 1)])
def test_one_changed_page_copies_the_whole_file_up_unless_the_file_system_can_share(kind: str,
                                                                                     expected_mib: int) -> None:
    below, view = on(kind)
    used = below.used_bytes
    view.overwrite("data/large", [5])
    view.sync()
    grown = below.used_bytes - used
    assert expected_mib * MIB - MIB < grown < expected_mib * MIB + MIB
    view.overwrite("data/large", [6])                   # the container's own by now
    view.sync()
    assert below.used_bytes - used == grown


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_removed_image_file_leaves_a_whiteout_and_frees_nothing(kind: str) -> None:
    below, view = on(kind)
    used = below.used_bytes
    view.remove("data/large")
    view.sync()
    assert not view.exists("data/large")
    assert 0 <= below.used_bytes - used <= 40 * 1024
    with pytest.raises(KeyError):
        view.size_bytes("data/large")
    view.create("data/large", MIB)
    assert view.size_bytes("data/large") == MIB


def test_a_layers_whiteout_hides_what_lies_below_it_and_lower_files_are_seen() -> None:
    _, view = on("ext4")
    assert view.exists("etc/conf")
    assert not view.exists("data/small")
    assert view.size_bytes("data/large") == 32 * MIB
    assert ImageContent(IMAGE.name, IMAGE.layers).files() == {"data/large": 32 * MIB, "etc/conf": 10}


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_deleted_container_and_image_leave_what_was_there_before(kind: str) -> None:
    below: FileSystem = Ext4() if kind == "ext4" else Xfs(xfs_geometry(4 * GIB, None), nothing, nothing)
    driver = Overlay2(below)
    driver.load(IMAGE)
    loaded = below.used_bytes
    view = driver.create("one", IMAGE, [])
    FileWork(view, "data").write(8 * MIB, 4, "w")
    FileWork(view, "data").update("large", MIB, 1)
    view.sync()
    driver.delete("one")
    below.sync()
    assert abs(below.used_bytes - loaded) <= 16 * 32768         # inode chunks of xfs may stay
    driver.unload(IMAGE)
    assert below.used_bytes < 2 * MIB or kind == "xfs"


def test_work_in_a_folder_that_is_not_there_is_an_error() -> None:
    _, view = on("ext4")
    with pytest.raises(KeyError):
        FileWork(view, "data").update("none", 4096, 1)
    with pytest.raises(KeyError):
        FileWork(view, "data").delete("none")


def test_a_folder_grows_by_whole_blocks_and_never_shrinks() -> None:
    ext4 = Ext4()
    ext4.make_folders("a")
    used = ext4.used_bytes
    for number in range(300):
        ext4.create(f"a/{number}", 0)
    assert ext4.used_bytes - used == BLOCK_BYTES                # 300 entries of 20 bytes: two blocks
    for number in range(300):
        ext4.remove(f"a/{number}")
    assert ext4.used_bytes - used == BLOCK_BYTES


def test_holes_count_once_they_are_written() -> None:
    ext4 = Ext4()
    ext4.create("a", 0)
    used = ext4.used_bytes
    for blocks in ([7], [7, 3], [3, 3]):
        ext4.overwrite("a", blocks)
    assert ext4.used_bytes - used == 2 * BLOCK_BYTES
    assert ext4.size_bytes("a") == 8 * BLOCK_BYTES
    ext4.remove("a")
    assert ext4.used_bytes == used


names = st.sampled_from(["a", "b", "c"])


@given(st.lists(st.tuples(st.sampled_from(["create", "overwrite", "remove", "trim"]), names, st.integers(0, 60_000)),
                max_size=40), st.booleans())
def test_ext4_frees_what_it_took(program: list[tuple[str, str, int]], discard: bool) -> None:
    freed: list[int] = []
    ext4 = Ext4(discard=discard, discard_bytes=freed.append)
    empty, taken = ext4.used_bytes, 0
    for action, name, number in program:
        before = ext4.used_bytes
        if action == "create":
            ext4.create(name, number)
        elif action == "overwrite" and ext4.exists(name):
            ext4.overwrite(name, [number // BLOCK_BYTES])
        elif action == "remove" and ext4.exists(name):
            ext4.remove(name)
        elif action == "trim":
            ext4.trim()
        taken += max(0, ext4.used_bytes - before)
    for name in ("a", "b", "c"):
        if ext4.exists(name):
            ext4.remove(name)
    ext4.trim()
    assert ext4.used_bytes == empty
    assert sum(freed) >= taken
