"""The fio reader, on output of fio 3.33 kept in tests/data/readers."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.errors import ReaderError
from lab.readers.fio import FioRun, merge_bins, percentile_from_bins, read_fio, read_fio_intervals, read_log

DATA = Path(__file__).parents[1] / "data" / "readers"
THREE_JOBS = (DATA / "fio-three-jobs.jsonplus.json").read_text()
ENOSPC = (DATA / "fio-enospc.json").read_text()
WHOLE_RUNS = [
    "fio-three-jobs.jsonplus.json",
    "fio-three-jobs.json",
    "fio-gtod-reduce.json",
    "fio-disable-clat.json",
    "fio-group.jsonplus.json",
    "fio-sync.jsonplus.json",
    "fio-libaio.jsonplus.json",
    "fio-mixed.jsonplus.json",
    "fio-numjobs.jsonplus.json",
]


def changed(text: str, *path: str | int, value: object) -> str:
    """The document with one value replaced; a value of ``...`` removes the key."""
    document = json.loads(text)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    if value is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return json.dumps(document, indent=1)


def test_converts_kib_ms_and_ns_once() -> None:
    job = read_fio(THREE_JOBS).job("rand-rw")
    read = job.stats("read")
    assert read.io_bytes == 757760
    assert read.bandwidth_bytes_per_second == 68887272
    assert read.runtime_seconds == 0.011
    assert read.iops == pytest.approx(16818.181818)
    assert read.clat is not None
    assert read.clat.min_seconds == pytest.approx(47300e-9)
    assert read.clat.mean_seconds == pytest.approx(53686.578378e-9)
    assert read.clat.percentiles[0.99] == pytest.approx(90624e-9)


def test_bw_in_kib_is_used_where_an_older_fio_has_no_bw_bytes() -> None:
    text = changed(THREE_JOBS, "jobs", 1, "read", "bw_bytes", value=...)
    assert read_fio(text).job("rand-rw").bandwidth_bytes_per_second("read") == 67272 * 1024


def test_reads_the_head_of_the_document() -> None:
    run = read_fio(DATA / "fio-three-jobs.json")
    assert run.version == "fio-3.33"
    assert run.timestamp is not None
    assert int(run.timestamp) == json.loads((DATA / "fio-three-jobs.json").read_text())["timestamp"]
    assert run.global_options["ioengine"] == "sync"
    assert [job.name for job in run.jobs] == ["seq-write", "rand-rw", "durable"]
    assert [job.groupid for job in run.jobs] == [0, 1, 2]
    assert run.messages == ()
    assert run.failed_jobs == ()


def test_disk_counters_that_are_all_zero_are_left_out() -> None:
    assert read_fio(THREE_JOBS).disk_util == ()  # too short for fio to sample, and printed as zeros
    disk = {"name": "vda", "read_ios": 3, "write_ios": 4, "read_merges": 0, "write_merges": 1}
    disk |= {"read_ticks": 1500, "write_ticks": 20, "in_queue": 1520, "util": 12.5}
    (read,) = read_fio(changed(THREE_JOBS, "disk_util", value=[disk])).disk_util
    assert (read.name, read.read_ios, read.write_merges) == ("vda", 3, 1)
    assert (read.read_seconds, read.in_queue_seconds, read.utilisation) == (1.5, 1.52, 0.125)


def test_a_message_alone_is_taken_as_text() -> None:
    with pytest.raises(ReaderError, match="<text>:1: fio printed messages and no JSON document: fio: pid=1, err=28"):
        read_fio("fio: pid=1, err=28/file:io_u.c:1876")


def test_a_jobs_option_overrides_the_global_one() -> None:
    run = read_fio(THREE_JOBS)
    assert run.job("seq-write").option("bs") == "64k"
    assert run.job("rand-rw").option("bs") == "4k"
    assert run.job("rand-rw").option("iodepth") is None


def test_only_directions_that_did_io_are_there() -> None:
    run = read_fio(THREE_JOBS)
    assert list(run.job("seq-write").directions) == ["write"]
    assert list(run.job("rand-rw").directions) == ["read", "write"]
    assert run.job("seq-write").read is None
    assert run.job("seq-write").trim is None
    with pytest.raises(ReaderError, match="job 'seq-write' did no read; it did write"):
        run.job("seq-write").stats("read")


def test_unified_reporting_gives_one_mixed_direction() -> None:
    (job,) = read_fio(DATA / "fio-mixed.jsonplus.json").jobs
    assert list(job.directions) == ["mixed"]
    assert job.percentile("mixed", 0.5) > 0


def test_fdatasync_is_its_own_entry_counted_by_its_samples() -> None:
    (job,) = read_fio(DATA / "fio-sync.jsonplus.json").jobs
    assert job.sync is not None
    assert job.sync.total_ios == 31  # fio prints total_ios 0 there
    assert job.sync.io_bytes is None
    assert job.sync.bandwidth_bytes_per_second is None
    assert job.percentile("sync", 0.5) > job.percentile("write", 0.5)
    with pytest.raises(ReaderError, match="sync has no bandwidth"):
        job.bandwidth_bytes_per_second("sync")
    with pytest.raises(ReaderError, match="fio measures lat of sync, not clat"):
        job.latency("sync", "clat")


def test_submission_latency_is_told_for_an_asynchronous_engine_only() -> None:
    assert read_fio(DATA / "fio-libaio.jsonplus.json").jobs[0].latency("read", "slat").samples == 256
    with pytest.raises(ReaderError, match="no slat was measured, as with any synchronous ioengine"):
        read_fio(THREE_JOBS).job("rand-rw").latency("read", "slat")


def test_gtod_reduce_gives_no_latency_and_says_so() -> None:
    run = read_fio(DATA / "fio-gtod-reduce.json")
    (job,) = run.jobs
    assert job.read is not None
    assert (job.read.slat, job.read.clat, job.read.lat) == (None, None, None)
    why = "job 'quick' ran with gtod_reduce, no latencies were measured"
    with pytest.raises(ReaderError, match=why):
        job.percentile("read", 0.99)
    assert run.unmeasured == (why,)
    assert not run.to_frame()["metric"].str.contains("lat").any()


def test_disable_clat_leaves_the_total_latency() -> None:
    (job,) = read_fio(DATA / "fio-disable-clat.json").jobs
    with pytest.raises(ReaderError, match="job 'noclat' ran with disable_clat, no clat was measured"):
        job.percentile("read", 0.5)
    assert job.latency("read", "lat").mean_seconds == pytest.approx(50768.132813e-9)


def test_io_in_zero_milliseconds_has_no_rate_and_says_so() -> None:
    document = json.loads((DATA / "fio-gtod-reduce.json").read_text())
    document["jobs"][0]["read"] |= {"runtime": 0, "bw_bytes": 0, "bw": 0, "iops": 0.0}
    run = read_fio(json.dumps(document))
    (job,) = run.jobs
    assert job.read is not None
    assert (job.read.runtime_seconds, job.read.bandwidth_bytes_per_second, job.read.iops) == (None, None, None)
    why = "job 'quick' read: 1048576 bytes in a runtime of 0 ms: bandwidth and IOPS are not known"
    with pytest.raises(ReaderError, match=why):
        job.bandwidth_bytes_per_second("read")
    assert why in run.unmeasured
    assert set(run.to_frame()["metric"]) == {"io_bytes", "total_ios"}


def test_an_error_line_before_the_document_is_kept_as_a_message() -> None:
    run = read_fio(ENOSPC, allow_job_errors=True)
    assert len(run.messages) == 1
    assert run.messages[0].endswith("error=No space left on device")
    assert [job.name for job in run.failed_jobs] == ["filler"]
    assert run.failed_jobs[0].stats("write").io_bytes == 1048576


def test_lines_after_the_document_are_kept_as_messages() -> None:
    assert read_fio(THREE_JOBS + "fio: late\n").messages == ("fio: late",)


def test_a_failed_job_is_refused_by_name_number_and_text() -> None:
    with pytest.raises(ReaderError, match=re.escape("job 'filler' ended with error 28 (No space left on device)")):
        read_fio(DATA / "fio-enospc.json")
    with pytest.raises(ReaderError, match=re.escape("job 't' ended with error 25 (Inappropriate ioctl for device)")):
        read_fio(DATA / "fio-trim-failed.json")
    with pytest.raises(ReaderError, match=re.escape("error 999999999999 (no errno)")):
        read_fio(changed(THREE_JOBS, "jobs", 0, "error", value=999999999999))


def test_status_interval_is_counted_and_read_whole() -> None:
    path = DATA / "fio-status-interval.json"
    with pytest.raises(ReaderError, match=r"4 JSON documents, one expected.*read_fio_intervals"):
        read_fio(path)
    runs = read_fio_intervals(path)
    written = [run.jobs[0].stats("write").io_bytes or 0 for run in runs]
    assert len(runs) == 4
    assert written == sorted(written)
    assert written[-1] == 3 * 1024**2


def test_a_truncated_last_interval_names_the_whole_ones_before_it() -> None:
    text = (DATA / "fio-status-interval.json").read_text()
    with pytest.raises(ReaderError, match=r"truncated JSON: .* starts at line 808 .*\(3 whole documents before it\)"):
        read_fio_intervals(text[:-200], name="i.json")


def test_one_document_is_one_interval() -> None:
    assert read_fio_intervals(THREE_JOBS) == (read_fio(THREE_JOBS),)


def test_gzipped_output_reads_the_same(tmp_path: Path) -> None:
    (tmp_path / "run.json.gz").write_bytes(gzip.compress(THREE_JOBS.encode()))
    assert read_fio(tmp_path / "run.json.gz", name="<text>") == read_fio(THREE_JOBS)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty: fio wrote nothing"),
        (b" \n\n", "empty: fio wrote nothing"),
        (b"\x00\x01\x02{", "NUL byte; is it binary"),
        (b"ab\ncd\xff\xfe", r":2: not text: byte 0xff; is it binary"),
        (b"\x1f\x8b\x08\x00cut", "truncated or damaged gzip"),
        (gzip.compress(b'{"fio version": "fio-3.33"}', mtime=0)[:-12], "truncated or damaged gzip"),
        (b"[global]\nrw=read\n", r":1: not fio's JSON: it starts with '\[global\]'"),
        (b"fio: pid=1, err=28/file:io_u.c\n", ":1: fio printed messages and no JSON document: fio: pid=1"),
        (b"[1, 2]\n", "not fio's JSON"),
        (b'{"a": 1}\n', "JSON, but not fio's: no 'fio version'; keys: a"),
        (b'{"fio version": "fio-3.33", "jobs": []}', "the document has no jobs"),
        (b'{"fio version": "fio-3.33", "client_stats": []}', "fio --client"),
        (b'{"fio version": "fio-3.33"}', "'jobs' is missing"),
        (b'{"fio version": 3, "jobs": []}', "'fio version' is 3, not of type str"),
        (b'{"fio version": "fio-3.33", "jobs": [1]}', "job 0 is int, not an object"),
        (b'{"fio version": "f", "jobs": [{"jobname": "a", "error": 0}]}', "job 'a': none of read, write"),
        (b'{"fio version": "f", "jobs": [{"jobname": "a", "error": 0, "read": {}}]}', "'total_ios' is missing"),
        (b'{"fio version": "f", "jobs": [{"jobname": "a", "error": 0, "read": {"clat": {}}}]}', "fio 2 wrote"),
        (b"{\n" + b'"a": [' * 100_000, "malformed JSON|truncated JSON"),
        (b'{"fio version": "f",\n "jobs": [nan]}', r":2: malformed JSON: Expecting value, found 'nan\]}'"),
        (b'{"fio version": "f", "jobs": [NaN]}', "NaN is no number"),
    ],
)
def test_bad_input_is_named_exactly(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ReaderError, match=says) as caught:
        read_fio(tmp_path / "x.json")
    assert str(caught.value).startswith(str(tmp_path / "x.json"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["fio-human.txt", "fio-terse.txt"])
def test_other_output_formats_of_fio_are_refused_with_the_option_to_use(name: str) -> None:
    with pytest.raises(ReaderError, match=r"not fio's JSON.*--output-format=json"):
        read_fio(DATA / name)


def test_a_missing_file_is_a_reader_error() -> None:
    with pytest.raises(ReaderError, match="cannot be read: No such file or directory"):
        read_fio("no-such-file.json")
    with pytest.raises(ReaderError, match="cannot be read"):
        read_fio("x" * 5000)


@pytest.mark.parametrize("value", [-1, 1.5, "7", None, True, 1e300, 10**400])
def test_a_value_that_is_no_count_is_named(value: object) -> None:
    with pytest.raises(ReaderError, match="job 'rand-rw' read: 'io_bytes' is"):
        read_fio(changed(THREE_JOBS, "jobs", 1, "read", "io_bytes", value=value))


def test_a_second_message_inside_the_document_is_malformed_with_its_line() -> None:
    lines = THREE_JOBS.splitlines()
    lines.insert(10, "fio: io_u error")
    with pytest.raises(ReaderError, match=r"x:11: malformed JSON: .*found 'fio: io_u error'"):
        read_fio("\n".join(lines), name="x")


@settings(max_examples=200)
@given(cut=st.integers(0, len(THREE_JOBS.rstrip()) - 1))
def test_a_truncated_document_is_never_read(cut: int) -> None:
    with pytest.raises(ReaderError) as caught:
        read_fio(THREE_JOBS[:cut])
    if cut > 2:
        assert "truncated JSON: the document that starts at line 1 is not closed" in str(caught.value)


@settings(max_examples=100)
@given(cut=st.integers(0, len(ENOSPC.rstrip()) - 1))
def test_a_truncated_document_behind_messages_is_never_read(cut: int) -> None:
    with pytest.raises(ReaderError):
        read_fio(ENOSPC[:cut] + "\n", allow_job_errors=True)


@settings(max_examples=200)
@given(start=st.integers(0, len(THREE_JOBS)), length=st.integers(1, 400), filler=st.text(max_size=5))
def test_a_damaged_document_gives_a_run_or_a_reader_error(start: int, length: int, filler: str) -> None:
    text = THREE_JOBS[:start] + filler + THREE_JOBS[start + length :] + "\n"
    try:
        said = ""
        assert read_fio(text).jobs
    except ReaderError as error:
        said = str(error)
    assert "\n" not in said


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    value=json_values,
    path=st.sampled_from(
        [
            ("jobs",),
            ("jobs", 1),
            ("jobs", 1, "read"),
            ("jobs", 1, "read", "clat_ns"),
            ("jobs", 1, "read", "clat_ns", "bins"),
            ("jobs", 1, "read", "clat_ns", "percentile"),
            ("jobs", 1, "job options"),
            ("jobs", 1, "error"),
            ("jobs", 1, "jobname"),
            ("jobs", 1, "sync"),
            ("global options",),
            ("disk_util",),
            ("timestamp_ms",),
            ("fio version",),
        ]
    ),
)
def test_any_value_in_any_place_gives_a_run_or_a_reader_error(value: object, path: tuple[str | int, ...]) -> None:
    try:
        run = read_fio(changed(THREE_JOBS, *path, value=value))
    except ReaderError:
        return
    assert isinstance(run, FioRun)
    assert run.to_frame()["value"].notna().all()


# --- percentiles


def printed_percentiles() -> list[tuple[str, float, float, dict[float, int]]]:
    return [
        (f"{name} {job.name} {direction} {kind}", fraction, seconds, dict(latency.bins))
        for name in WHOLE_RUNS
        for job in read_fio(DATA / name).jobs
        for direction, stats in job.directions.items()
        for kind in ("clat", "lat", "slat")
        if (latency := getattr(stats, kind)) is not None and latency.bins
        for fraction, seconds in latency.percentiles.items()
    ]


def test_percentiles_from_bins_equal_those_that_fio_printed() -> None:
    cases = printed_percentiles()
    assert len(cases) > 100
    for what, fraction, seconds, bins in cases:
        assert percentile_from_bins(bins, fraction) == seconds, (what, fraction)


def test_bins_count_every_sample() -> None:
    for name in WHOLE_RUNS:
        for job in read_fio(DATA / name).jobs:
            for stats in job.directions.values():
                for latency in (stats.slat, stats.clat, stats.lat):
                    if latency is not None and latency.bins:
                        assert sum(latency.bins.values()) == latency.samples


def test_without_bins_only_printed_percentiles_are_told() -> None:
    job = read_fio(DATA / "fio-three-jobs.json").job("rand-rw")
    assert job.percentile("read", 0.99) == job.latency("read").percentiles[0.99]
    with pytest.raises(ReaderError, match=r"percentile 0\.42 was not printed; printed: 0\.01, .*json\+"):
        job.percentile("read", 0.42)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, 99, float("nan")])
def test_a_percentile_is_a_fraction(fraction: float) -> None:
    with pytest.raises(ValueError, match="must be within 0 and 1"):
        percentile_from_bins({1.0: 1}, fraction)


def test_an_empty_histogram_has_no_percentile() -> None:
    with pytest.raises(ReaderError, match="histogram is empty"):
        percentile_from_bins({}, 0.5)


histograms = st.dictionaries(st.floats(1e-9, 10), st.integers(1, 1000), min_size=1, max_size=20)
fractions = st.floats(0, 1)


@given(bins=histograms, one=fractions, other=fractions)
def test_percentiles_rise_with_the_fraction(bins: dict[float, int], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert percentile_from_bins(bins, low) <= percentile_from_bins(bins, high)
    assert percentile_from_bins(bins, 0) == min(bins)
    assert percentile_from_bins(bins, 1) == max(bins)


@given(bins=histograms, fraction=fractions)
def test_a_percentile_is_the_least_bin_that_covers_the_fraction(bins: dict[float, int], fraction: float) -> None:
    found = percentile_from_bins(bins, fraction)
    values = sorted(value for value, count in bins.items() for _ in range(count))
    at_or_below = sum(value <= found for value in values)
    below = sum(value < found for value in values)
    assert at_or_below >= fraction * len(values) - 1e-6
    assert below < fraction * len(values) + 1e-6 or below == 0


@given(first=histograms, second=histograms, fraction=fractions)
def test_a_merged_percentile_lies_between_those_of_its_parts(
    first: dict[float, int], second: dict[float, int], fraction: float
) -> None:
    merged = merge_bins(first, second)
    assert sum(merged.values()) == sum(first.values()) + sum(second.values())
    parts = sorted(percentile_from_bins(bins, fraction) for bins in (first, second))
    assert parts[0] <= percentile_from_bins(merged, fraction) <= parts[1]


# --- frames


def test_the_frame_is_tidy_and_has_units() -> None:
    frame = read_fio(THREE_JOBS).to_frame()
    assert list(frame.columns) == ["job", "direction", "metric", "value", "unit", "job_index"]
    rows = frame.set_index(["job", "direction", "metric"])
    assert rows.loc[("rand-rw", "read", "bandwidth"), ["value", "unit"]].tolist() == [68887272.0, "bytes/s"]
    assert rows.loc[("rand-rw", "read", "clat_p99"), "value"] == pytest.approx(90624e-9)
    assert rows.loc[("rand-rw", "read", "clat_p99.95"), "unit"] == "s"
    assert rows.loc[("durable", "sync", "total_ios"), "value"] == 31
    assert frame["value"].notna().all()
    assert not frame.duplicated(["job_index", "direction", "metric"]).any()


def test_jobs_of_one_name_stay_apart() -> None:
    run = read_fio(DATA / "fio-numjobs.jsonplus.json")
    assert sorted(set(run.to_frame()["job_index"])) == [0, 1]
    with pytest.raises(ReaderError, match="2 jobs are named 'twice'"):
        run.job("twice")


def test_importing_the_readers_does_not_import_pandas() -> None:
    code = (
        "import sys, lab.readers.fio, lab.readers.dmsetup, lab.readers.lvm, lab.readers.docker_info, lab.readers.proc;"
        "sys.exit('pandas' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- logs


def test_a_bandwidth_log_is_in_bytes_per_second_with_offsets() -> None:
    frame = read_log(DATA / "fio-offsets_bw.1.log.gz", "bw")
    assert list(frame.columns) == ["t_seconds", "value", "direction", "block_bytes", "offset_bytes"]
    first = frame.iloc[1]
    assert (first.t_seconds, first.value, first.direction) == (0.008, 393241 * 1024, "write")
    assert (first.block_bytes, first.offset_bytes) == (4096, 4096)


def test_latency_logs_are_in_seconds_and_windowed_ones_tell_no_block_size() -> None:
    frame = read_log(DATA / "fio-windowed_lat.1.log", "lat")
    assert frame["value"].iloc[0] == pytest.approx(5688e-9)
    assert frame["t_seconds"].tolist() == [0.504, 0.504, 1.0, 1.0, 1.504, 1.504, 2.0, 2.0]
    assert set(frame["direction"]) == {"read", "write"}
    assert frame["block_bytes"].isna().all()
    assert "offset_bytes" not in frame


def test_a_log_with_hexadecimal_priorities_is_read() -> None:
    assert read_log(DATA / "fio-prio_bw.1.log", "bw")["block_bytes"].unique().tolist() == [4096]


def test_the_iops_log_keeps_its_values() -> None:
    assert set(read_log(DATA / "fio-offsets_iops.1.log", "iops")["value"]) == {1.0}


def test_an_empty_log_has_no_rows_and_its_columns() -> None:
    frame = read_log(DATA / "fio-empty_slat.1.log", "slat")
    assert len(frame) == 0
    assert list(frame.columns) == ["t_seconds", "value", "direction", "block_bytes"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0, 1, 1, 4096, 0\n5, 12", ":2: the last line is cut off"),
        ("0, 1, 1, 4096, 0\n5, 12\n", ":2: '5, 12' is not 'milliseconds"),
        ("0, 1, 1, 4096, 0\n5, x, 1, 4096, 0\n", ":2: '5, x, 1"),
        ("0, 1, 1, 4096, 0, 0\n5, 1, 1, 4096, 0\n", ":2: 5 columns, 6 in the lines above"),
        ("0, 1, 7, 4096, 0\n", ":1: direction 7; 0 "),
        ("0, 1, 1, 4096, 0x10, 0x10\n", ":1: offset '0x10' is not"),
        ("0, 1, 1, 4096, 0, 7, 9\n", ":1: priority '7' is none in"),
        (f"0, {10**20}, 1, 4096, 0\n", ":1: '0, 1"),
        ("0, ١, 1, 4096, 0\n", ":1: '0, ١"),
        ("0, " * 1218 + "0\n", ":1: 1219 columns: a log of histograms"),
        ("0, -1, 1, 4096, 0\n", ":1: '0, -1"),
        ("\n0, 1, 1, 4096, 0\n", ":1: '' is not"),
        ("{}\n", ":1: '{}' is not"),
    ],
)
def test_a_bad_log_line_is_named_with_its_number(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "x_bw.1.log"
    path.write_text(text)
    with pytest.raises(ReaderError, match=re.escape(str(path)) + says):
        read_log(path, "bw")


def test_a_log_of_unknown_kind_or_binary_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(ReaderError, match="is it binary"):
        read_log(path, "bw")
    with pytest.raises(ReaderError, match="'hist' is no kind of fio log; kinds: bw, iops"):
        read_log(path, "hist")  # type: ignore[arg-type]


@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 10**7), st.integers(0, 10**10), st.integers(0, 2), st.integers(1, 2**24), st.integers(0, 1)
        ),
        min_size=1,
        max_size=10,
    ),
    data=st.data(),
)
def test_a_log_cut_anywhere_is_whole_lines_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, ...]], data: st.DataObject
) -> None:
    text = "".join(", ".join(map(str, row)) + "\n" for row in rows)
    cut = data.draw(st.integers(0, len(text)))
    path = tmp_path_factory.mktemp("log") / "x_lat.1.log"
    path.write_text(text[:cut])
    try:
        frame = read_log(path, "lat")
    except ReaderError:
        assert cut > 0
        assert text[cut - 1] != "\n"
        return
    assert frame["t_seconds"].tolist() == [row[0] / 1000 for row in rows[: text.count("\n", 0, cut)]]
