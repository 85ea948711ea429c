"""What images hold, read from their archives and from the list that comes with the lab."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from lab.errors import ReaderError
from lab.model.filesystems.ext4 import Ext4
from lab.model.filesystems.image_content import Entry, ImageContent, Kind, unpack
from lab.readers.image_archive import box_image, listed, read_image
from lab.scenario.scenario import BOX_IMAGES

BUILDER = Path(__file__).resolve().parents[2] / "vagrant" / "build-images.py"


def test_the_list_that_comes_with_the_lab_is_what_the_box_is_built_with(tmp_path: Path) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"\0" * box_image("lab/base:1").files()["bin/busybox"])
    subprocess.run([sys.executable, str(BUILDER), str(tmp_path), "--busybox", str(busybox)], check=True)
    built = [read_image(tmp_path / f"{name.removeprefix('lab/').removesuffix(':1')}.tar") for name in BOX_IMAGES]
    assert built == [box_image(name) for name in BOX_IMAGES]
    document = listed(built)
    assert len(document["layers"]) == 1 + 3 + 1 + 20       # base, and what app, large and deep add to it


def test_a_whiteout_hides_a_file_and_all_below_a_folder() -> None:
    image = ImageContent("x", (
        (Entry("a", Kind.FOLDER), Entry("a/one", Kind.FILE, 5), Entry("a/two", Kind.FILE, 6), Entry("b", Kind.FILE, 7)),
        (Entry("a/.wh.one", Kind.FILE),),
        (Entry(".wh.a", Kind.FILE), Entry("c", Kind.FILE, 8)),
    ))
    assert ImageContent("x", image.layers[:2]).files() == {"a/two": 6, "b": 7}
    assert image.files() == {"b": 7, "c": 8}


def test_an_unpacked_whiteout_removes_what_it_hides() -> None:
    files = Ext4()
    unpack((Entry("a", Kind.FOLDER), Entry("a/one", Kind.FILE, 5000)), files, "root", whiteouts=False)
    used = files.used_bytes
    unpack((Entry("a/.wh.one", Kind.FILE), Entry("a/.wh.never", Kind.FILE)), files, "root", whiteouts=False)
    assert not files.exists("root/a/one")
    assert used - files.used_bytes == 8192


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


@pytest.mark.parametrize(("members", "message"), [
    ({}, "is no image archive"),
    ({"manifest.json": b"[]"}, "lists no image"),
    ({"manifest.json": b"{"}, "is no image archive"),
    ({"manifest.json": json.dumps([{"RepoTags": ["x:1"]}]).encode()}, "names no layers"),
    ({"manifest.json": json.dumps([{"RepoTags": ["x:1"], "Layers": ["l.tar"]}]).encode()}, "is no image archive"),
    ({"manifest.json": json.dumps([{"RepoTags": ["x:1"], "Layers": ["l.tar"]}]).encode(), "l.tar": b"junk" * 400},
     "is no image archive"),
])
def test_a_damaged_archive_is_named(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    path = archive(tmp_path / "my.tar", members)
    with pytest.raises(ReaderError, match=rf"my\.tar: .*{message}"):
        read_image(path)


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "my.tar"
    path.write_bytes(b"\x01" * 700)
    with pytest.raises(ReaderError, match="is no image archive"):
        read_image(path)
