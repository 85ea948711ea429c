"""Job files as a model reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.errors import InputError
from lab.model.times.fio_job import FioJob, IoMode
from lab.readers.fio_job import parse_fio_jobs
from lab.readers.fio_options import ALIASES, IGNORED, ONLY, READ, REFUSED, WITHOUT_VALUE

JOBS = Path(__file__).parents[2] / "scenarios" / "jobs"
FILE = Path("x.fio")


def jobs(text: str) -> tuple[FioJob, ...]:
    return parse_fio_jobs(text, FILE)


def outcome(text: str) -> tuple[tuple[FioJob, ...], InputError | None]:
    """The jobs, or the complaint; anything else that is raised fails the test."""
    try:
        return jobs(text), None
    except InputError as error:
        return (), error


def job(*lines: str) -> FioJob:
    """A job of its own lines, on top of a size and a direction."""
    return jobs("\n".join(["[j]", "rw=write", "size=1m", *lines]))[0]


@pytest.mark.parametrize("path", sorted(JOBS.glob("*.fio")), ids=lambda path: path.stem)
def test_reads_every_job_file_of_the_scenarios(path: Path) -> None:
    assert all(one.direct for one in parse_fio_jobs(path.read_text(), path))


def test_reference_jobs() -> None:
    path = JOBS / "reference.fio"
    first, rand, data_sync, read = parse_fio_jobs(path.read_text(), path)
    assert first == FioJob("seq-write-1m", "seq", IoMode.WRITE, 1 << 20, 256 << 20, None, None, False, True, 0, True, 0)
    assert (rand.filename, rand.block_bytes, rand.operations) == ("rand", 4096, 6144)
    assert (data_sync.fdatasync_every, data_sync.number_ios, data_sync.runtime_seconds) == (1, 2000, 4.0)
    assert (read.mode, read.read_share, read.operations, read.file_blocks) == (IoMode.RANDREAD, 1.0, 8000, 65536)


def test_mixed_job() -> None:
    path = JOBS / "validation.fio"
    mixed = parse_fio_jobs(path.read_text(), path)[1]
    assert (mixed.mode, mixed.read_share, mixed.block_bytes) == (IoMode.RANDRW, 0.7, 16384)


@pytest.mark.parametrize(("written", "size"), [
    ("1048576", 1 << 20), ("4k", 4096), ("4K", 4096), ("4kb", 4096), ("1M", 1 << 20), ("1gB", 1 << 30),
    ("0x1000", 4096), ("0x10k", 16384), ("8192b", 8192), ("1t", 1 << 40),
    ("4096KiB", 4096 * 1000), ("2MiB", 2_000_000)])
def test_sizes_as_fio_reads_them(written: str, size: int) -> None:
    assert jobs(f"[j]\nrw=write\nsize={written}\n")[0].file_bytes == size


@pytest.mark.parametrize(("written", "seconds"), [("4", 4.0), ("4s", 4.0), ("500ms", 0.5), ("2m", 120.0),
                                                  ("1H", 3600.0), ("250us", 0.00025), ("0", None)])
def test_times(written: str, seconds: float | None) -> None:
    assert job(f"runtime={written}").runtime_seconds == pytest.approx(seconds)


def test_defaults_comments_and_case() -> None:
    one = jobs("# a\n ; b\n[global] ; c\nRW = randrw\nSize=1m # d\n[j]\n\ttime_based\nRUNTIME=4\nstonewall\n")[0]
    assert (one.mode, one.block_bytes, one.filename) == (IoMode.RANDRW, 4096, "j.0.0")
    assert (one.direct, one.fdatasync_every, one.end_fsync, one.number_ios) == (False, 0, False, None)
    assert (one.read_share, one.time_based) == (0.5, True)


def test_sections_override_and_a_later_global_holds_from_there_on() -> None:
    text = "[global]\nrw=read\nsize=1m\nbs=4k\n[a]\nbs=8k\nbs=16k\n[global]\nsize=2m\n[b]\nrw=write\n"
    first, second = jobs(text)
    assert (first.block_bytes, first.file_bytes, first.mode) == (16384, 1 << 20, IoMode.READ)
    assert (second.block_bytes, second.file_bytes, second.mode) == (4096, 2 << 20, IoMode.WRITE)


def test_the_last_of_two_opposites_counts() -> None:
    assert job("direct=1", "buffered=1").direct is False
    assert job("buffered=1", "direct=1").direct is True
    assert job("rw=rw", "rwmixread=70", "rwmixwrite=40").read_share == 0.6
    assert job("rw=rw", "rwmixwrite=40", "rwmixread=70").read_share == 0.7


def test_a_synchronous_engine_has_no_depth() -> None:
    assert job("ioengine=psync", "iodepth=32").name == "j"
    assert job("ioengine=io_uring", "iodepth=1").name == "j"
    assert job("io_size=1024k", "fallocate=none", "overwrite=0", "thread", "description=a b").name == "j"


@pytest.mark.parametrize(("line", "told"), [
    ("numjobs=4", "allowed: 1"), ("iodepth=0", "from 1"), ("ioengine=mmap", "allowed: psync"),
    ("bs=4k,8k", "one size"), ("blocksize=4q", "no size"), ("bsrange=4k-8k", "bs=4k"), ("bssplit=4k/50", "bs=4k"),
    ("bs=0", "out of range"), ("bs=2m", "block"), ("zonemode=zbd", "none"), ("verify=crc32c", "0 or none"),
    ("rate=1m", "delete the line"), ("rw=trim", "randrw"), ("rw=randwrite:8", "randrw"), ("io_size=2m", "number_ios"),
    ("offset=4k", "allowed: 0"), ("filename=a:b", "one"), ("filename=", "no value"), ("size=50%", "256m"),
    ("size=-1", "256m"), ("size=99999999p", "out of range"), ("size=", "no value"), ("size", "needs a value"),
    ("rwmixread=101", "0 to 100"), ("runtime=4.5", "whole number"), ("runtime=4 s", "whole number"),
    ("fdatasync=x", "whole number"), ("end_fsync=2", "0 to 1"), ("direct=yes", "0 to 1"), ("number_ios=1.5", "256m"),
    ("time_based", "needs a runtime"), ("fallocate=native", "none"), ("unlink=1", "allowed: 0"),
    ("nonsense=1", "known"), ("nonsense", "known"), ("norandommap", "allowed: 0"),
    ("directory=/", "the lab sets it"), ("[k", "not closed"),
    ("bs\x00=4k", "control"), ("kb_base=1000", "1024"), ("loops=2", "repeats"), ("=4", "known")])
def test_refusals_name_line_value_and_what_is_allowed(line: str, told: str) -> None:
    if line.startswith("rwmix"):
        line = f"{line}\nrw=rw"
    with pytest.raises(InputError) as caught:
        job(line)
    assert told in str(caught.value)
    assert caught.value.where is not None
    assert caught.value.where.startswith("x.fio:")


def test_a_refusal_points_at_the_line() -> None:
    with pytest.raises(InputError, match=r"^x\.fio:2: 'numjobs=2': cannot be simulated") as caught:
        jobs("[global]\nnumjobs=2\n[j]\nrw=write\nsize=1m\n")
    assert caught.value.where == "x.fio:2"


def test_a_size_in_kib_is_no_multiple_of_a_sector() -> None:
    with pytest.raises(InputError, match="4KiB is 4000"):
        job("direct=1", "bs=4KiB")


@pytest.mark.parametrize("text", ["", "[", "[]", "[global]\nrw=write\n", "rw=write\n[j]\n", "[j]\nrw=write\n",
                                  "[j]\nsize=1m\n", "[j]\nrw=write\nsize=1m\n[j]\nrw=read\nsize=1m\n"])
def test_refuses_what_is_no_whole_job_file(text: str) -> None:
    with pytest.raises(InputError, match=r"^x\.fio:\d+: "):
        jobs(text)


def test_an_asynchronous_depth_is_refused_on_its_own_line() -> None:
    with pytest.raises(InputError, match=r"^x\.fio:4: 'iodepth=8'.*allowed: 1"):
        job("iodepth=8", "ioengine=libaio")


def test_no_option_stands_in_two_tables() -> None:
    tables = [READ, IGNORED, frozenset(ONLY), frozenset(REFUSED)]
    assert sum(map(len, tables)) == len(frozenset.union(*tables))
    assert not frozenset(ALIASES) & frozenset.union(*tables)
    assert frozenset.union(*tables) >= WITHOUT_VALUE | frozenset(ALIASES.values())


_NAMES = sorted(READ | IGNORED | ONLY.keys() | REFUSED.keys() | ALIASES.keys())
_VALUES = st.one_of(
    st.sampled_from(["", "0", "1", "4k", "1m", "4KiB", "write", "randrw", "psync", "libaio", "500ms", "9" * 30, "a:b"]),
    st.text(max_size=8))
_LINES = st.one_of(
    st.builds(lambda name, value: f"{name}={value}", st.sampled_from(_NAMES), _VALUES),
    st.sampled_from(["[global]", "[a]", "[b]", "[", "; x", "", "rw=write", "size=1m", "time_based", "stonewall"]),
    st.text(max_size=12))


@settings(max_examples=300, deadline=None)
@given(st.lists(_LINES, max_size=12).map("\n".join))
@example("[a]\x0b[b]")
@example("[a] ; ]\nrw=read\nsize=1")
@example("[a]\nrw=read\nsize=1m\nruntime=" + "9" * 12 + "d")
def test_whatever_comes_in_gives_jobs_or_one_complaint_with_its_line(text: str) -> None:
    found, complaint = outcome(text)
    assert bool(found) != (complaint is not None)
    if complaint is not None:
        assert complaint.where is not None
        assert complaint.where.removeprefix("x.fio:").isdigit()
    for one in found:
        assert 0 < one.block_bytes <= one.file_bytes
        assert 0 <= one.read_share <= 1
        assert one.operations >= 1


@given(st.integers(0, 2000))
def test_a_file_cut_off_anywhere_gives_jobs_or_a_complaint(length: int) -> None:
    text = (JOBS / "reference.fio").read_text()[:length]
    found, complaint = outcome(text)
    assert found or str(complaint).startswith("x.fio:")
