"""The readers of /proc/diskstats and /proc/meminfo."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import ReaderError
from lab.readers.proc import parse_diskstats, parse_meminfo

DATA = Path(__file__).parents[1] / "data" / "readers"
DISKS = (DATA / "diskstats.txt").read_text()
MEMINFO = (DATA / "meminfo.txt").read_text()
OLD = "   8       0 sda 1 2 8 3000 4 5 16 6000 7 8000 9000\n"


def test_diskstats_are_in_bytes_and_seconds() -> None:
    disk = parse_diskstats(DISKS)["vda"]
    assert (disk.major, disk.minor, disk.in_flight) == (254, 0, 2)
    assert (disk.reads, disk.reads_merged, disk.read_bytes, disk.read_seconds) == (66624, 15781, 4191874 * 512, 13.185)
    assert (disk.writes, disk.written_bytes, disk.write_seconds) == (21141, 2976464 * 512, 4.924)
    assert (disk.busy_seconds, disk.weighted_seconds) == (6.068, 18.44)
    assert (disk.discards, disk.discards_merged, disk.discarded_bytes) == (4786, 54, 199624 * 512)
    assert (disk.discard_seconds, disk.flushes, disk.flush_seconds) == (0.247, 2425, 0.083)


def test_an_older_kernels_missing_columns_are_none_not_zero() -> None:
    disk = parse_diskstats(OLD)["sda"]
    assert (disk.weighted_seconds, disk.discards, disk.discarded_bytes, disk.flushes) == (9.0, None, None, None)
    disk = parse_diskstats(OLD.rstrip() + " 1 2 3 4\n")["sda"]
    assert (disk.discards, disk.discarded_bytes, disk.flushes) == (1, 1536, None)


def test_a_newer_kernels_further_columns_are_ignored() -> None:
    assert parse_diskstats(DISKS.replace(" 83\n", " 83 1 2 3\n"))["vda"].flush_seconds == 0.083


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "f: empty"),
        (DISKS.rstrip(), "f:2: the last line is cut off"),
        (OLD.replace(" 9000", ""), "f:1: 13 columns; kernels write 14 (Linux before 4.18), 18 (Linux 4.18), 20"),
        (OLD.replace("3000", "x"), "f:1: column 7 is 'x', not a whole number"),
        (OLD.replace("3000", "-1"), "column 7 is '-1'"),
        (OLD + OLD, "f:2: device sda comes twice"),
    ],
)
def test_bad_diskstats_are_named_by_line(text: str, says: str) -> None:
    with pytest.raises(ReaderError, match=re.escape(says)):
        parse_diskstats(text, name="f")


def test_meminfo_is_in_bytes_without_page_counts() -> None:
    sizes = parse_meminfo(MEMINFO)
    assert sizes["MemTotal"] == 24684092 * 1024
    assert "HugePages_Total" not in sizes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "f: empty"),
        ("MemTotal: 5", "f:1: the last line is cut off"),
        ("MemTotal: 5\n", "f:1: 'MemTotal: 5' has no unit"),
        ("MemTotal: 5 MB\n", "f:1: 'MemTotal: 5 MB' is not 'Name: number kB'"),
        ("MemTotal 5 kB\n", "f:1: 'MemTotal 5 kB' is not"),
        ("MemTotal: x kB\n", "f:1: MemTotal is 'x'"),
        ("MemTotal: 5 kB\nMemTotal: 5 kB\n", "f:2: MemTotal comes twice"),
    ],
)
def test_a_bad_meminfo_is_named_by_line(text: str, says: str) -> None:
    with pytest.raises(ReaderError, match=re.escape(says)):
        parse_meminfo(text, name="f")


@given(cut=st.integers(0, len(DISKS) - 1))
def test_diskstats_cut_anywhere_give_whole_lines_or_an_error(cut: int) -> None:
    try:
        disks = parse_diskstats(DISKS[:cut])
    except ReaderError:
        return
    assert disks == {"loop0": parse_diskstats(DISKS)["loop0"]}


@given(values=st.lists(st.integers(0, 2**63), min_size=17, max_size=17))
def test_a_generated_line_round_trips(values: list[int]) -> None:
    disk = parse_diskstats(f" 253 1 dm-1 {' '.join(map(str, values))}\n")["dm-1"]
    assert (disk.reads, disk.read_bytes, disk.written_bytes) == (values[0], values[2] * 512, values[6] * 512)
    assert (disk.discarded_bytes, disk.flushes) == (values[13] * 512, values[15])


@given(text=st.text(max_size=60))
def test_any_text_is_read_or_a_reader_error_of_one_line(text: str) -> None:
    said = ""
    for parse in (parse_diskstats, parse_meminfo):
        try:
            parse(text + "\n")
        except ReaderError as error:
            said += str(error)
    assert "\n" not in said
