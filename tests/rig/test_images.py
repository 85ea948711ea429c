"""The container images that the box carries, and the digest that names the box."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

VAGRANT = Path(__file__).resolve().parents[2] / "vagrant"
BUSYBOX = b"\x7fELF not really busybox\n" * 1000
PAGE = 4096


@pytest.fixture(scope="module")
def images():
    spec = importlib.util.spec_from_file_location("build_images", VAGRANT / "build-images.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    (folder / "busybox").write_bytes(BUSYBOX)
    images.build(folder / "out", folder / "busybox")
    yield folder / "out"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def index(folder):
    return {image["name"]: image for image in json.loads((folder / "images.json").read_text())["images"]}


def unpack(folder: Path, image: dict) -> tuple[dict, list[bytes]]:
    """The configuration and the layers, as `docker load` finds them."""
    with tarfile.open(folder / image["tar"]) as archive:
        (entry,) = json.load(archive.extractfile("manifest.json"))
        assert entry["RepoTags"] == [image["name"]]
        raw = archive.extractfile(entry["Config"]).read()
        assert "sha256:" + hashlib.sha256(raw).hexdigest() == image["id"]
        assert entry["Config"] == image["id"].removeprefix("sha256:") + ".json"
        return json.loads(raw), [archive.extractfile(name).read() for name in entry["Layers"]]


def flatten(layers: list[bytes], folder: Path) -> dict[str, bytes]:
    """What a container sees: later layers win, whiteouts hide."""
    files: dict[str, bytes] = {}
    for layer in layers:
        path = folder / "layer.tar"
        path.write_bytes(layer)
        with tarfile.open(path) as tar:
            for member in tar:
                parent, _, leaf = ("/" + member.name).rpartition("/")
                if leaf.startswith(".wh."):
                    del files[f"{parent}/{leaf.removeprefix('.wh.')}"]
                elif member.isfile():
                    files["/" + member.name] = tar.extractfile(member).read()
    return files


def test_the_four_images_are_there(folder, index):
    assert {name: len(image["layers"]) for name, image in index.items()} == {
        "lab/base:1": 1, "lab/app:1": 4, "lab/large:1": 2, "lab/deep:1": 21,
    }
    for image in index.values():
        tar = (folder / image["tar"]).read_bytes()
        assert (len(tar), hashlib.sha256(tar).hexdigest()) == (image["size_bytes"], image["sha256"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "app.tar", "base.tar", "deep.tar", "images.json", "large.tar",
    ]


@pytest.mark.parametrize("name", ["lab/base:1", "lab/app:1", "lab/large:1", "lab/deep:1"])
def test_an_image_holds_what_its_index_says(folder, index, name, tmp_path):
    image = index[name]
    config, layers = unpack(folder, image)
    digests = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    assert digests == config["rootfs"]["diff_ids"] == [layer["diff_id"] for layer in image["layers"]]
    assert sum(not entry.get("empty_layer") for entry in config["history"]) == len(layers)
    files = flatten(layers, tmp_path)
    for path, expected in image["files"].items():
        assert (len(files[path]), hashlib.sha256(files[path]).hexdigest()) == (
            expected["size_bytes"], expected["sha256"],
        )
    assert not set(image["absent"]) & set(files)


def test_shared_layers_are_the_same(index):
    assert len({image["layers"][0]["diff_id"] for image in index.values()}) == 1


def test_app_has_400_small_files_of_which_three_change_and_one_goes(folder, index, tmp_path):
    config, layers = unpack(folder, index["lab/app:1"])
    before = {name: data for name, data in flatten(layers[:2], tmp_path).items() if name.startswith("/app/")}
    after = {name: data for name, data in flatten(layers, tmp_path).items() if name.startswith("/app/")}
    assert len(before) == 400
    assert all(1024 <= len(data) <= 16 * 1024 for data in before.values())
    assert 3e6 < sum(map(len, before.values())) < 4e6
    assert set(before) - set(after) == set(index["lab/app:1"]["absent"])
    assert sum(before[name] != after[name] for name in after) == 3
    assert index["lab/app:1"]["files"]["/data/large.bin"]["size_bytes"] == 32 * 2**20
    assert [entry.get("empty_layer", False) for entry in config["history"]] == [False] * 4 + [True]


def test_deep_rewrites_its_counter_in_every_layer(folder, index, tmp_path):
    _, layers = unpack(folder, index["lab/deep:1"])
    counters = [flatten([layer], tmp_path)["/app/counter"] for layer in layers[1:]]
    assert counters == [f"{number}\n".encode() for number in range(1, 21)]


def test_the_base_can_run_programs_of_a_mounted_usr(folder, index, tmp_path):
    _, (layer,) = unpack(folder, index["lab/base:1"])
    (tmp_path / "layer.tar").write_bytes(layer)
    with tarfile.open(tmp_path / "layer.tar") as tar:
        members = {member.name: member for member in tar}
    assert members["lib"].linkname == "usr/lib"
    assert members["lib64"].linkname == "usr/lib64"
    assert members["usr"].isdir()
    assert members["data"].isdir()
    assert members["tmp"].mode == 0o1777
    assert members["bin/busybox"].mode == 0o755
    applets = "sh dd cat rm mkdir seq sleep head tail find sync true mkfifo sha256sum awk stat ls wc cp mv chmod"
    for applet in f"{applets} printf tee test touch env usleep".split():
        assert members[f"bin/{applet}"].linkname == "busybox"
    assert {member.mtime for member in members.values()} == {1704067200}


def test_contents_have_no_zero_and_no_equal_pages(images):
    data = images.content("seed", 1000 * PAGE + 100)
    pages = [data[start : start + PAGE] for start in range(0, 1000 * PAGE, PAGE)]
    assert len(data) == 1000 * PAGE + 100
    assert len(set(pages)) == 1000
    assert all(page.count(0) < PAGE // 50 for page in pages)
    assert images.content("seed", PAGE) != images.content("other", PAGE)


def test_the_same_inputs_give_the_same_layers(images, tmp_path):
    digests = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        base = images.base_layer(tmp_path / name, BUSYBOX)
        digests.append([layer.digest for layer in images.deep_image(tmp_path / name, base).layers])
    assert digests[0] == digests[1]


def box_name(*arguments: str, **settings: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("SUITE", "MIRROR", "BOX_DISK_GIB")}
    return subprocess.run(
        [VAGRANT / "build-box.sh", *arguments], env=environment | settings, text=True, capture_output=True, check=True
    ).stdout.strip()


def test_the_box_is_named_by_what_makes_it():
    digest = box_name("--hash")
    assert re.fullmatch(r"[0-9a-f]{12}", digest)
    assert box_name("--name") == f"thinpool-lab-{digest}"
    assert box_name("--hash", SUITE="trixie") != digest


def test_a_missing_argument_is_told():
    done = subprocess.run([VAGRANT / "build-box.sh"], text=True, capture_output=True, check=False)
    assert done.returncode == 2
    assert "--install" in done.stderr
