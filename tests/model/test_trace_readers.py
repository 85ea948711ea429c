"""fio I/O logs, blkparse text, thin_dump XML: good files, bad files with file:line, and mutated ones."""

from __future__ import annotations

import gzip
import io
import random
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from lab.errors import ReaderError
from lab.readers.blktrace import is_blkparse, read_blkparse
from lab.readers.dmsetup import PoolStatus, parse_status, parse_table_line
from lab.readers.iolog import IoAction, is_iolog, read_iolog, read_writes
from lab.readers.thin_dump import (
    DumpDevice,
    DumpMapping,
    DumpSuperblock,
    iterate_thin_dump,
    read_thin_dump,
    write_thin_dump,
)

ROOT = Path(__file__).parent.parent / "ground_truth"


def dumped(superblock: DumpSuperblock, thins: Iterable[tuple[DumpDevice, Iterable[DumpMapping]]]) -> str:
    text = io.StringIO()
    write_thin_dump(text, superblock, thins)
    return text.getvalue()


V2 = b"""fio version 2 iolog
/dev/mapper/thin0 add
/dev/mapper/thin0 open
/dev/mapper/thin0 write 177537024 4096
/dev/mapper/thin0 read 0 8192
/dev/mapper/thin0 trim 65536 65536
/dev/mapper/thin0 write 92930048 4096
/dev/mapper/thin0 sync 0 0
/dev/mapper/thin0 close
"""
V3 = b"""fio version 3 iolog
483 /dev/mapper/thin0 add
18167 /dev/mapper/thin0 open
19984 /dev/mapper/thin0 write 0 1048576
35493 /dev/mapper/thin0 write 1048576 1048576
40000 /dev/mapper/thin0 close
"""
BLKPARSE = b"""  8,0    3        1     0.000000000   697  G   W 223490 + 8 [kjournald]
  8,0    3        2     0.000001829   697  P   R [kjournald]
  8,0    3        3     0.000002197   697  Q   W 223490 + 8 [kjournald]
  8,0    3        4     0.000005533   697  M   W 223498 + 8 [kjournald]
  8,0    3        5     0.000008607   697  D   W 223490 + 8 [kjournald]
  8,0    1       11     0.001000000   697  Q  WS 128 + 128 [dd]
  8,0    1       12     0.002000000   697  Q   R 0 + 16 [cat]
  8,0    1       13     0.003000000   697  Q   D 256 + 512 [fstrim]
  8,0    1       14     0.003100000   697  Q  FWS [sync]
  8,0    1       15     0.003200000     0  m   N cfq697 insert_request
  8,0    0        6    10.024369000     0  C   W 223490 + 8 [0]

CPU0 (8,0):
 Reads Queued:           0,        0KiB	 Writes Queued:           2,        8KiB
Total (8,0):
 Throughput (R/W): 0KiB/s / 13KiB/s
"""
XML = dumped(
    DumpSuperblock("", 3, 0, 128, 1000),
    [
        (DumpDevice(0, 4, 0, 0, 1), [DumpMapping(0, 0, 10, 1, 0), DumpMapping(0, 5, 20, 3, 1)]),
        (DumpDevice(7, 0, 0, 2, 2), []),
    ],
).encode()


def saved(tmp_path: Path, content: bytes, name: str = "file") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_version_2(tmp_path: Path) -> None:
    for content in (V2, gzip.compress(V2)):
        path = saved(tmp_path, content)
        assert is_iolog(path)
        (batch,) = read_iolog(path)
        assert batch.actions.tolist() == [IoAction.WRITE, IoAction.READ, IoAction.TRIM, IoAction.WRITE, IoAction.SYNC]
        assert batch.offsets.tolist() == [177537024, 0, 65536, 92930048, 0]
        assert batch.names == ["/dev/mapper/thin0"]
        assert batch.times_us is None
        offsets, lengths = read_writes(path)
        assert (offsets.tolist(), lengths.tolist()) == ([177537024, 92930048], [4096, 4096])


def test_version_3(tmp_path: Path) -> None:
    (batch,) = read_iolog(saved(tmp_path, V3))
    assert batch.times_us is not None
    assert batch.times_us.tolist() == [19984, 35493]
    assert batch.lengths.tolist() == [1048576, 1048576]


def test_several_files(tmp_path: Path) -> None:
    text = (
        b"fio version 2 iolog\na add\nb add\na open\nb open\na write 0 1\nb write 2 3\na write 4 5\na close\nb close\n"
    )
    batches = list(read_iolog(saved(tmp_path, text)))
    assert [name for batch in batches for name in batch.names] == ["a", "b"]
    assert np.concatenate([batch.files for batch in batches]).tolist() == [0, 1, 0]


def test_an_empty_log(tmp_path: Path) -> None:
    assert read_writes(saved(tmp_path, b"fio version 2 iolog\n"))[0].size == 0


def test_a_long_log_is_read_in_parts(tmp_path: Path) -> None:
    count = 300_000
    offsets = np.random.default_rng(2).integers(0, 1 << 40, count)
    lines = "".join(f"/dev/x write {offset} 4096\n" for offset in offsets.tolist())
    path = saved(tmp_path, gzip.compress(b"fio version 2 iolog\n/dev/x add\n/dev/x open\n" + lines.encode(), 1))
    batches = list(read_iolog(path))
    assert len(batches) > 1
    np.testing.assert_array_equal(np.concatenate([batch.offsets for batch in batches]), offsets)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", 1, "expected"),
        (b"hello\n", 1, "fio version 2 iolog"),
        (V2.replace(b"92930048", b"9293x048"), 7, "offset"),
        (V2.replace(b"read 0 8192", b"read 0"), 5, "fields"),
        (V2.replace(b"trim", b"trin"), 6, "action"),
        (V2[:-5], 9, "cut off"),
        (V3.replace(b"35493 ", b"-1 "), 5, "time"),
        (V2.replace(b"4096", b"9" * 30), 4, "length"),
        (gzip.compress(V2 * 2000, mtime=0)[:400], None, "damaged"),
    ],
)
def test_bad_logs(tmp_path: Path, content: bytes, line: int | None, message: str) -> None:
    path = saved(tmp_path, content)
    with pytest.raises(ReaderError, match=message) as caught:
        list(read_iolog(path))
    assert re.match(rf"{re.escape(str(path))}:{line if line is not None else '[0-9]+'}: ", str(caught.value))


def test_blkparse(tmp_path: Path) -> None:
    for content in (BLKPARSE, gzip.compress(BLKPARSE)):
        path = saved(tmp_path, content)
        assert is_blkparse(path)
        items = list(read_blkparse(path))
        assert [(item.action, item.offset_bytes, item.length_bytes) for item in items] == [
            ("write", 223490 * 512, 4096),
            ("write", 65536, 65536),
            ("read", 0, 8192),
            ("discard", 131072, 262144),
        ]
        assert len(list(read_blkparse(path, "D"))) == 1
    assert not is_blkparse(saved(tmp_path, V2))
    assert not is_iolog(saved(tmp_path, BLKPARSE))


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (BLKPARSE.replace(b"128 + 128", b"128 + x"), 6, "sectors"),
        (BLKPARSE.replace(b"0.000001829", b"zero"), 2, "expected"),
        (BLKPARSE[:150], 3, "cut off"),
        (BLKPARSE.replace(b"  8,0    1       12", b"  8,1    1       12"), 7, "one device"),
    ],
)
def test_bad_blkparse(tmp_path: Path, content: bytes, line: int, message: str) -> None:
    path = saved(tmp_path, content)
    with pytest.raises(ReaderError, match=message) as caught:
        list(read_blkparse(path))
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_thin_dump(tmp_path: Path) -> None:
    dump = read_thin_dump(saved(tmp_path, XML))
    assert dump.superblock == DumpSuperblock("", 3, 0, 128, 1000)
    assert dump.thins[0].virtual_blocks.tolist() == [0, 5, 6, 7]
    assert dump.thins[0].data_blocks.tolist() == [10, 20, 21, 22]
    assert dump.thins[0].times.tolist() == [0, 1, 1, 1]
    assert dump.thins[7].virtual_blocks.size == 0


def test_recorded_dumps_come_back_as_they_were(tmp_path: Path) -> None:
    for source in sorted(ROOT.glob("*/thin_dump-*.xml.gz"))[:12]:
        items = list(iterate_thin_dump(source))
        superblock = items[0]
        assert isinstance(superblock, DumpSuperblock)
        devices = [item for item in items if isinstance(item, DumpDevice)]
        mappings = [item for item in items if isinstance(item, DumpMapping)]
        written = dumped(
            superblock, [(device, [m for m in mappings if m.device_id == device.device_id]) for device in devices]
        )
        assert written.strip() == gzip.decompress(source.read_bytes()).decode().strip()


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (XML[:200], 3, "cut off"),
        (b"", 1, "no element"),
        (XML.replace(b'mapped_blocks="4"', b'mapped_blocks="5"'), 5, "lists 4"),
        (XML.replace(b'mapped_blocks="4"', b'mapped_blocks="3"'), 4, "more than 3"),
        (XML.replace(b'origin_begin="5"', b'origin_begin="0"'), 4, "from 1 on"),
        (XML.replace(b'length="3"', b'length="0"'), 4, "0 blocks"),
        (XML.replace(b'data_block="10"', b'data_block="ten"'), 3, "whole number"),
        (XML.replace(b' time="0"/', b"/"), 3, "time is"),
        (XML.replace(b'dev_id="7"', b'dev_id="0"'), 6, "twice"),
        (XML.replace(b"single_mapping", b"some_mapping"), 3, "unknown"),
        (b"<!DOCTYPE superblock>\n" + XML, 1, "document type"),
    ],
)
def test_bad_dumps(tmp_path: Path, content: bytes, line: int, message: str) -> None:
    path = saved(tmp_path, content)
    with pytest.raises(ReaderError, match=message) as caught:
        list(iterate_thin_dump(path))
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_missing_files(tmp_path: Path) -> None:
    for read in (read_iolog, read_blkparse, iterate_thin_dump):
        with pytest.raises(ReaderError, match="cannot be read"):
            list(read(tmp_path / "none"))


def mutated(chooser: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(chooser.randint(1, 3)):
        place = chooser.randrange(len(data) or 1)
        kind = chooser.randrange(5)
        if kind == 0:
            data = data[:place]
        elif kind == 1:
            data[place : place + 1] = bytes([chooser.randrange(256)])
        elif kind == 2:
            del data[place : place + chooser.randint(1, 30)]
        elif kind == 3:
            data[place:place] = data[: chooser.randint(1, 60)]
        else:
            data[place:place] = chooser.choice([b"\n", b" ", b"-1", b"9" * 25, b"\0", b"\xff", b'"', b"<", b"+", b","])
    return bytes(data)


def cut_off(chooser: random.Random, content: bytes) -> bytes:
    """A gzipped file that ends early, as after a full disk."""
    return content[: chooser.randrange(len(content))]


def zipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


REQUESTS = BLKPARSE[: BLKPARSE.index(b"\nCPU0")]
STATUS = b"""thin: 0 131072 thin 4096 131071
bad: 0 131072 thin Fail
lone: 0 131072 thin -
empty: 0 131072 thin 0 -
pool: 0 131072 thin-pool 0 830/8192 512/1024 - rw no_discard_passdown queue_if_no_space - 1024
held: 0 131072 thin-pool 3 830/8192 512/1024 77 rw discard_passdown error_if_no_space - 1024
full: 0 131072 thin-pool 0 830/8192 1024/1024 - out_of_data_space ignore_discard error_if_no_space - 1024
read: 0 131072 thin-pool 0 8192/8192 512/1024 - ro discard_passdown queue_if_no_space needs_check 1024
fail: 0 131072 thin-pool Fail
old: 0 131072 thin-pool 0 830/8192 512/1024 - rw no_discard_passdown
docker-8:1-pool: 0 8 linear
none:
"""
TABLE = b"""thin: 0 131072 thin 253:2 0
snap: 0 131072 thin 253:2 1 253:7
pool: 0 131072 thin-pool 253:0 253:1 128 0 2 skip_block_zeroing error_if_no_space
plain: 0 131072 thin-pool 7:0 7:1 1024 32768 0
all: 0 131072 thin-pool 7:0 7:1 128 0 3 ignore_discard no_discard_passdown read_only
bare: 0 131072 thin-pool 7:0 7:1 128 0
under: 0 131072 linear 7:0 2048
"""


def read_status(path: Path) -> object:
    return parse_status(path.read_text(errors="replace"), name=str(path))


def read_table(path: Path) -> object:
    lines = path.read_text(errors="replace").splitlines()
    return [parse_table_line(line, where=f"{path}:{number}") for number, line in enumerate(lines, 1)]


def all_iolog(path: Path) -> object:
    return list(read_iolog(path))


def all_blkparse(path: Path) -> object:
    return list(read_blkparse(path))


def test_the_unchanged_outputs_are_read(tmp_path: Path) -> None:
    modes = {status.mode for status in parse_status(STATUS.decode()).values() if isinstance(status, PoolStatus)}
    assert modes == {"rw", "out_of_data_space", "ro", "fail"}
    assert len([parse_table_line(line) for line in TABLE.decode().splitlines()]) == 7


@pytest.mark.parametrize(
    ("read", "content", "change", "least"),
    [
        (all_iolog, V2, mutated, 500),
        (all_iolog, V3, mutated, 500),
        (all_iolog, zipped(V2 * 50), cut_off, 990),
        (all_iolog, zipped(V2), mutated, 500),
        (all_blkparse, BLKPARSE, mutated, 200),
        (all_blkparse, zipped(REQUESTS * 50), cut_off, 990),
        (read_status, STATUS, mutated, 500),
        (read_table, TABLE, mutated, 300),
        (read_thin_dump, XML, mutated, 500),
        (read_thin_dump, zipped(XML), cut_off, 990),
    ],
    ids=["v2", "v3", "iolog-cut", "iolog-gz", "blkparse", "blkparse-cut", "status", "table", "xml", "xml-cut"],
)
def test_mutated_files_give_errors_with_a_place(
    tmp_path: Path,
    read: Callable[[Path], object],
    content: bytes,
    change: Callable[[random.Random, bytes], bytes],
    least: int,
) -> None:
    """10,000 in all: each is read, or refused by one line that names the file and the line in it."""
    chooser = random.Random(20)
    path = tmp_path / "file"
    refused = 0
    for number in range(1000):
        path.write_bytes(change(chooser, content))
        message = refusal(read, path)
        refused += message is not None
        assert message is None or re.match(rf"{re.escape(str(path))}:\d+: [^\n]+\Z", message), (number, message)
    assert refused >= least


def refusal(read: Callable[[Path], object], path: Path) -> str | None:
    try:
        read(path)
    except ReaderError as error:
        return str(error)
    return None


# -- as newer tools and other systems write them ----------------------------------------------------------------

SHARED = b"""<superblock uuid="" time="2" transaction="5" version="2" data_block_size="128" nr_data_blocks="100">
  <def name="0">
    <range_mapping origin_begin="0" data_begin="10" length="3" time="0"/>
  </def>
  <def name="1">
    <ref name="0"/>
    <single_mapping origin_block="7" data_block="20" time="1"/>
  </def>
  <device dev_id="1" mapped_blocks="5" transaction="1" creation_time="0" snap_time="2">
    <ref name="1"/>
    <single_mapping origin_block="9" data_block="30" time="2"/>
  </device>
  <device dev_id="2" mapped_blocks="4" transaction="4" creation_time="1" snap_time="1">
    <ref name="0"/>
    <single_mapping origin_block="8" data_block="31" time="2"/>
  </device>
</superblock>
"""


def test_a_dump_whose_devices_share_definitions(tmp_path: Path) -> None:
    """The default output of thin-provisioning-tools 1.x."""
    dump = read_thin_dump(saved(tmp_path, SHARED))
    assert dump.thins[1].virtual_blocks.tolist() == [0, 1, 2, 7, 9]
    assert dump.thins[1].data_blocks.tolist() == [10, 11, 12, 20, 30]
    assert dump.thins[1].times.tolist() == [0, 0, 0, 1, 2]
    assert dump.thins[2].virtual_blocks.tolist() == [0, 1, 2, 8]
    assert dump.thins[2].data_blocks.tolist() == [10, 11, 12, 31]


@pytest.mark.parametrize(("content", "line", "message"), [
    (SHARED.replace(b'<ref name="1"/>', b'<ref name="2"/>'), 10, "which no def before it has"),
    (SHARED.replace(b'<def name="1">', b'<def name="0">'), 5, "no other has"),
    (SHARED.replace(b'mapped_blocks="5"', b'mapped_blocks="6"'), 12, "lists 5"),
    (SHARED.replace(b'mapped_blocks="5"', b'mapped_blocks="3"'), 10, "maps more than 3 blocks"),
    (SHARED.replace(b'origin_block="7"', b'origin_block="2"'), 7, "from 3 on"),
    (SHARED.replace(b'origin_block="8"', b'origin_block="1"'), 15, "from 3 on"),
    (SHARED.replace(b'  <def name="1">', b'  <ref name="0"/><def name="1">'), 5, "not expected here"),
])
def test_definitions_that_do_not_fit(tmp_path: Path, content: bytes, line: int, message: str) -> None:
    path = saved(tmp_path, content)
    with pytest.raises(ReaderError, match=message) as caught:
        read_thin_dump(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize("content", [
    V2.replace(b"\n", b"\r\n"),
    V2.rstrip(b"\n"),
    V2.replace(b"\n", b"\r\n").rstrip(b"\r\n"),
    V2 + b"/dev/sda sync_file_range 0 4096\n/dev/sda syncfs 0 0\n",
    V2.rstrip(b"\n") + b"\n/dev/sda datasync 0 0",
])
def test_line_ends_and_other_actions(tmp_path: Path, content: bytes) -> None:
    def writes(path: Path) -> list[list[int]]:
        return [part.tolist() for part in read_writes(path)]

    assert writes(saved(tmp_path, content)) == writes(saved(tmp_path, V2, "plain"))


@pytest.mark.parametrize(("last", "bytes_"), [(b"write 0 4096", 4096), (b"write 0 131072", 131072)])
def test_a_last_line_without_a_feed(tmp_path: Path, last: bytes, bytes_: int) -> None:
    head = b"fio version 2 iolog\n/d add\n/d open\n/d "
    assert read_writes(saved(tmp_path, head + last))[1].tolist() == [bytes_]
    assert read_writes(saved(tmp_path, b"\xef\xbb\xbf" + head + last))[1].tolist() == [bytes_]
    for cut in range(1, 5):
        with pytest.raises(ReaderError, match=":4: the last line is cut off"):
            read_writes(saved(tmp_path, head + last[:-cut]))


def test_what_blkparse_says_around_its_lines(tmp_path: Path) -> None:
    head = b"Input file sda.blktrace.0 added\nInput file sda.blktrace.1 added\n\n"
    lines = BLKPARSE.splitlines(keepends=True)
    flushes = (b"  8,0    1      900     0.5   697  Q FWS [kworker/u8+2]\n"
               b"  8,0    1      901     0.5   697  Q FWS 0 [kworker+dm]\n"
               b"  8,0    1      902     0.5   697  Q FWS\n"
               b"  8,0    1      903     0.5   697  Q   W 0 + 0 [a+b c]\n")
    path = saved(tmp_path, head + lines[0] + flushes + b"".join(lines[1:]))
    assert is_blkparse(path)
    assert list(read_blkparse(path)) == list(read_blkparse(saved(tmp_path, BLKPARSE, "plain")))
    named = saved(tmp_path, b"  8,0 1 1 0.5 697 Q WS 8 + 16 [a + 9 b]\n")
    assert [(io.offset_bytes, io.length_bytes) for io in read_blkparse(named)] == [(4096, 8192)]
