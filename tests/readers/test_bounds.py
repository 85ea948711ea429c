"""Files and numbers without measure: each is refused at once, within 500 MiB, in one line and with exit code 2."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import InputError
from lab.monitoring.readings import read_observed
from lab.readers.blktrace import is_blkparse, read_blkparse
from lab.readers.docker_info import parse_docker_info
from lab.readers.fio import read_fio, read_log
from lab.readers.iolog import read_iolog
from lab.readers.lvm import parse_lvs
from lab.readers.text_file import load_text, open_bytes
from lab.readers.thin_dump import read_thin_dump
from lab.simulate.parameters import read_parameters
from lab.simulate.replay import replay_case
from lab.simulate.replay.block_sizes import compare_chunk_sizes, load_trace

ROOT = Path(__file__).parents[2]
HEAD = '<superblock uuid="" time="0" transaction="0" data_block_size="128" nr_data_blocks="{}">\n'
DEVICE = '<device dev_id="0" mapped_blocks="{}" transaction="0" creation_time="0" snap_time="0">\n'
END = "</device>\n</superblock>\n"


def dump(blocks: object, mapped: object, body: str) -> bytes:
    return (HEAD.format(blocks) + DEVICE.format(mapped) + body + END).encode()


def endless(head: bytes = b"", part: bytes = b"\n" * (1 << 16), times: int = 4096) -> bytes:
    """Gzipped, without ever being held: one part again and again (256 MiB)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([packer.compress(head), *(packer.compress(part) for _ in range(times)), packer.flush()])


def limited(read: Callable[[], object]) -> str:
    """The refusal; and it came soon, by this process's own time: another one's load is none of its business."""
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        read()
    assert time.process_time() - began < 5
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


RANGE = '<range_mapping origin_begin="0" data_begin="0" length="{}" time="0"/>\n'


@pytest.mark.parametrize(("content", "says"), [
    (dump(1000, 10**12, RANGE.format(10**12)), "at most 33554432 in all are read"),
    (dump(10**12, 10**12, RANGE.format(10**12)), "at most 33554432 in all are read"),
    (dump(1000, 1000, RANGE.format(10**12)), "maps more than 1000 blocks"),
    (dump(1000, 2000, RANGE.format(2000)), "the pool has 1000"),
    (dump(1000, 1, '<single_mapping origin_block="0" data_block="1000" time="0"/>'), "the pool has 1000"),
    (dump(1000, 1, '<single_mapping origin_block="0" data_block="' + "1" * (2 << 20)), "an attribute without an end"),
    (dump(1000, 1, "<single_mapping " + "a" * (2 << 20)), "without an element's begin or end"),
    (HEAD.replace("128", "1").format(9).encode() + b"</superblock>", "data_block_size is 1 sectors; 128 to"),
    (HEAD.format(9).encode() + b"<def" * 3, "no XML"),
], ids=range(9))
def test_dumps(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "dump.xml"
    path.write_bytes(content)
    assert says in limited(lambda: read_thin_dump(path))


def test_definitions_that_double(tmp_path: Path) -> None:
    """Each names the one before twice: 2^60 of nothing, or of what cannot be there twice."""
    path = tmp_path / "dump.xml"
    doubled = "".join(f'<def name="{n}"><ref name="{n - 1}"/><ref name="{n - 1}"/></def>\n' for n in range(1, 60))
    path.write_text(HEAD.format(9) + '<def name="0"></def>\n' + doubled + DEVICE.format(0) + '<ref name="59"/>' + END)
    assert read_thin_dump(path).thins[0].virtual_blocks.size == 0
    one = '<single_mapping origin_block="0" data_block="1" time="0"/>'
    path.write_text(HEAD.format(9) + f'<def name="0">{one}</def>\n' + doubled + DEVICE.format(1) + END)
    assert "blocks from 1 on expected" in limited(lambda: read_thin_dump(path))


def test_a_long_chain_of_definitions_is_walked_once(tmp_path: Path) -> None:
    one = '<single_mapping origin_block="0" data_block="1" time="0"/>'
    chain = "".join(f'<def name="{n}"><ref name="{n - 1}"/></def>\n' for n in range(1, 20_000))
    device = '<device dev_id="{}" mapped_blocks="1" transaction="0" creation_time="0" snap_time="0">' \
             '<ref name="19999"/></device>\n'
    devices = "".join(map(device.format, range(5000)))
    path = tmp_path / "dump.xml"
    path.write_text(HEAD.format(9) + f'<def name="0">{one}</def>\n{chain}{devices}</superblock>')
    began = time.process_time()
    assert len(read_thin_dump(path).thins) == 5000
    assert time.process_time() - began < 5


READERS: dict[str, tuple[bytes, Callable[[Path], object]]] = {
    "observed": (b"", read_observed),
    "iolog": (b"fio version 3 iolog\n", lambda path: list(read_iolog(path))),
    "blkparse": (b"  8,0 1 1 0.0 1 Q W 0 + 8 [x]\n", lambda path: list(read_blkparse(path))),
    "is_blkparse": (b"Input file x added\n" * 9, lambda path: (is_blkparse(path), list(read_blkparse(path)))),
    "dump": (HEAD.format(9).encode(), read_thin_dump),
    "fio": (b"{\n", read_fio),
    "log": (b"0, 1, 1, 4096, 0\n", lambda path: read_log(path, "bw")),
    "parameters": (b"{\n", read_parameters),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_small_gzipped_file_that_never_ends(tmp_path: Path, kind: str) -> None:
    head, read = READERS[kind]
    path = tmp_path / "file.gz"
    path.write_bytes(endless(head))
    says = limited(lambda: read(path))
    assert "300 times its own size" in says or "more than 16 MiB" in says


@pytest.mark.parametrize("kind", READERS)
def test_a_named_pipe_and_a_device_are_not_read(tmp_path: Path, kind: str) -> None:
    read = READERS[kind][1]
    os.mkfifo(tmp_path / "pipe")
    assert "is a named pipe, not a regular file" in limited(lambda: read(tmp_path / "pipe"))
    assert "is a device, not a regular file" in limited(lambda: read(Path("/dev/zero")))
    assert "is a folder, not a regular file" in limited(lambda: read(tmp_path))


def test_a_large_sparse_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    for read in (read_observed, read_fio, lambda path: list(read_iolog(path)), read_thin_dump):
        assert "that much is not read" in limited(lambda read=read: read(path))  # type: ignore[misc]


def test_what_compresses_well_is_still_read(tmp_path: Path) -> None:
    """A log of an idle pool: 60 to 1."""
    status = "pool: 0 209715200 thin-pool 12 1043/524288 200000/1638400 - rw discard_passdown queue_if_no_space - 1024"
    text = "".join(f"{1793491200 + 60 * number} {status}\n" for number in range(60_000))
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert load_text(path, "log") == text
    with open_bytes(path) as file:
        assert sum(1 for _ in file) == 60_000


@pytest.mark.parametrize("deep", ["[" * 200_000, '{"a":' * 200_000], ids=["lists", "objects"])
def test_deep_json(tmp_path: Path, deep: str) -> None:
    path = tmp_path / "case.json"
    path.write_text("{" + f'"report": {deep}')
    for read in (parse_lvs, parse_docker_info):
        limited(lambda read=read: read(path.read_text()))  # type: ignore[misc]
    for of_path in (read_fio, read_parameters):
        limited(lambda read=of_path: read(path))  # type: ignore[misc]
    limited(lambda: replay_case(tmp_path))
    (tmp_path / "log").write_text(f"1793491200\n{{\"report\": {deep}\n1793491260\n{deep}\n")
    limited(lambda: read_observed(tmp_path / "log"))


@pytest.mark.parametrize(("offset", "length"), [(53 * 10**12, 4096), (0, 53 * 10**12), (10**17, 512)])
def test_a_write_far_out(tmp_path: Path, offset: int, length: int) -> None:
    path = tmp_path / "log"
    path.write_text(f"fio version 2 iolog\n/d write {offset} {length}\n")
    assert "at most 33554432 are tried" in limited(lambda: compare_chunk_sizes(load_trace(path), [65536], 1 << 30))


def test_a_pool_without_measure(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("fio version 2 iolog\n/d write 0 4096\n")
    assert "--pool-size has" in limited(lambda: compare_chunk_sizes(load_trace(path), [65536], 1 << 50))


@pytest.mark.parametrize(("change", "says"), [
    ({"thin_size_bytes": 1 << 60}, "thin_size_bytes is"),
    ({"thin_size_bytes": -1}, "thin_size_bytes is -1; zero to 2"),
    ({"thin_size_bytes": 10**20}, "zero to 2"),
    ({"pool": {"chunk_size_bytes": 65536, "data_size_bytes": 1 << 45, "metadata_size_bytes": 1 << 24, "features": []}},
     "data_size_bytes is"),
    ({"steps": [{"title": "x", "ops": [{"op": "discard", "thin": 0, "offset": -512, "length": 512}]}]},
     "offset is -512"),
])
def test_cases(tmp_path: Path, change: dict[str, object], says: str) -> None:
    case = {"case": "x", "thin_size_bytes": 1 << 20, "steps": [],
            "pool": {"chunk_size_bytes": 65536, "data_size_bytes": 1 << 24, "metadata_size_bytes": 1 << 21,
                     "features": []}}
    (tmp_path / "case.json").write_text(json.dumps(case | change))
    assert says in limited(lambda: replay_case(tmp_path))


LAB = (sys.executable, "-c", "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)); "
       "from lab.cli import main; sys.exit(main())")


@pytest.mark.parametrize("arguments", [
    ["simulate", "scenarios/quickstart.yaml", "--params", "/dev/zero", "--results", "{tmp}"],
    ["simulate", "scenarios/quickstart.yaml", "--repetitions", "9" * 30, "--results", "{tmp}"],
    ["run", "--dry-run", "scenarios/quickstart.yaml", "--repetitions", "9" * 30],
    ["forecast", "{tmp}/pipe"],
    ["replay", "{tmp}/pipe"],
], ids=lambda arguments: arguments[-1][:20].replace("/", "-"))
def test_commands_end_with_one_line(tmp_path: Path, arguments: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = subprocess.run([*LAB, *(argument.format(tmp=tmp_path) for argument in arguments)], cwd=ROOT, timeout=60,
                          capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
