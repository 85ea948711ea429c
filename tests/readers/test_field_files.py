"""Files as people have them (``tests/data/field``): what is read of them, or what is said.  And others like them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lab.cli import app
from lab.errors import InputError, ReaderError
from lab.monitoring.framing import posix_cksum
from lab.monitoring.readings import Observed, read_observed
from lab.readers.docker_info import parse_docker_info
from lab.readers.fio import read_fio, read_log
from lab.readers.lvm import parse_lvs

FIELD = Path(__file__).parents[1] / "data" / "field"
START, DAY = 1793491200, 86400


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "220"})


def planned(log: Path, *arguments: object) -> dict[str, Any]:
    result = run("forecast", log, *arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def recorded(folder: Path, samples: list[str], every: int = DAY // 4) -> Path:
    log = folder / "pool.log"
    log.write_text("".join(f"{START + every * number}\n{text}\n" for number, text in enumerate(samples)))
    return log


def pool(used: int, *, metadata: str = "1043/524288", end: str = "rw discard_passdown queue_if_no_space - 1024") -> str:
    return f"docker-pool: 0 209715200 thin-pool 12 {metadata} {used}/1638400 - {end}"


# -- Docker on sparse files ------------------------------------------------------------------------------------

def docker(used: str, total: str, available: str | None = None, *, metadata: str = "8.757 MB", of: str = "2.147 GB",
           kernel: str = "", block: str = "65.54 kB") -> str:
    more = [] if available is None else [f" Data Space Available: {available}"]
    more += [f"Kernel Version: {kernel}"] if kernel else []
    return "\n".join(["Storage Driver: devicemapper", " Pool Name: docker-pool", f" Pool Blocksize: {block}",
                      f" Data Space Used: {used}", f" Data Space Total: {total}", f" Metadata Space Used: {metadata}",
                      f" Metadata Space Total: {of}", *more])


def test_a_sparse_files_pool_ends_where_the_file_system_below_does() -> None:
    found = planned(FIELD / "observed-loop-available" / "thin-pool.log", "--days", 7)
    assert found["holds"] is False
    assert found["data"]["total_bytes"] == 85_610_000_000 + 40_910_000
    assert any("sparse file" in repair["kind"] for repair in found["log"]["repairs"])
    assert any("sparse files" in note for note in found["notes"])


def test_a_file_system_with_a_changing_rest_makes_no_pool_anew(tmp_path: Path) -> None:
    samples = [docker("40 GB", "107.4 GB", f"{rest} GB") for rest in (60, 20, 40, 30)]
    observed = read_observed(recorded(tmp_path, samples))
    assert observed.frame["data_total_bytes"].tolist() == [100 * 10**9, 60 * 10**9, 80 * 10**9, 70 * 10**9]
    assert [repair.kind for repair in observed.repairs] == ["sparse file"]


def test_the_room_below_counts_beside_an_exact_count_too(tmp_path: Path) -> None:
    """The lab's recorder asks dmsetup, lvs and docker at once."""
    samples = []
    for number in range(2):
        told = docker("40 GB", "107.4 GB", "60 GB", kernel="3.10.0")
        body = (f"=== lab-observed 1 {datetime.fromtimestamp(START + 600 * number, UTC).isoformat()}\n"
                f"--- dmsetup status\n{pool(610_352)}\n--- status 0\n--- docker info\n{told}\n--- status 0\n")
        samples.append(f"{body}=== end {posix_cksum(body.encode())} {len(body)}\n")
    (tmp_path / "x.log").write_text("".join(samples))
    frame = read_observed(tmp_path / "x.log").frame
    assert set(frame["source"]) == {"dmsetup"}
    assert set(frame["data_used_bytes"]) == {610_352 * 65536}
    assert set(frame["data_total_bytes"]) == {100 * 10**9}


def test_no_room_at_all_is_a_full_pool(tmp_path: Path) -> None:
    observed = read_observed(recorded(tmp_path, [docker("40 GB", "107.4 GB", "0 B")] * 2))
    assert observed.frame["full"].tolist() == [True, True]


def test_what_is_available_by_rounding_alone_is_no_limit(tmp_path: Path) -> None:
    observed = read_observed(recorded(tmp_path, [docker("1.834 GB", "107.4 GB", "105.5 GB")] * 2))
    assert set(observed.frame["data_total_bytes"]) == {107_400_000_000}
    assert observed.repairs == ()


def test_more_available_than_there_is_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match="more data space available than there is"):
        read_observed(recorded(tmp_path, [docker("40 GB", "107.4 GB", "200 GB")] * 2))


def test_binary_units_of_an_old_docker(tmp_path: Path) -> None:
    """Before 1.4 it printed bytes divided by 2^20, with one decimal."""
    samples = [docker("652.7 Mb", "102400.0 Mb", metadata="1.1 Mb", of="2048.0 Mb", block="64 Kb")] * 2
    observed = read_observed(recorded(tmp_path, samples))
    assert observed.frame["data_used_bytes"].iloc[0] == round(652.7 * 2**20)
    assert observed.frame["data_error_bytes"].iloc[0] == int(2**20 / 20) + 1
    assert observed.frame["data_total_bytes"].iloc[0] == 100 * 2**30
    assert observed.frame["metadata_total_bytes"].iloc[0] == 2**31


@pytest.mark.parametrize("flag", ["--pool", "--metadata", "--vg-free"])
def test_sizes_that_no_pool_has_are_not_asked_about(flag: str) -> None:
    result = run("forecast", FIELD / "observed-journal" / "iso-minutes.log", flag, f"{10**20}GiB")
    assert isinstance(result.exception, InputError)
    assert f"{flag} is" in str(result.exception)


# -- the reserve of metadata -----------------------------------------------------------------------------------

def test_metadata_of_an_old_kernel_are_never_answered_with_less_than_is_used() -> None:
    found = planned(FIELD / "observed-metadata-reserve-docker" / "thin-pool.log", "--days", 14)
    assert found["metadata"]["used_bytes"] == 919_200
    assert found["needed"]["metadata_bytes"] == 4 * 2**20
    assert any("keeps no reserve" in note for note in found["notes"])


@pytest.mark.parametrize(("kernel", "least", "most"), [
    ("3.10.0-1160.el7.x86_64", 88, 88),         # 79 MB and a tenth free, in extents of 4 MiB
    ("4.19.0-21-amd64", 88, 88),
    ("5.10.0-20-amd64", 80, 84),                # 62 MiB of its own, and 16 MiB of reserve
    ("4.18.0-477.el8.x86_64", 88, 88),          # which has the reserve or not: the larger
    ("", 88, 88),
])
def test_the_kernel_tells_whether_there_is_a_reserve(tmp_path: Path, kernel: str, least: int, most: int) -> None:
    samples = [docker(f"{20 + number / 10} GB", "107.4 GB", metadata="82.00 MB", kernel=kernel)
               for number in range(80)]
    needed = planned(recorded(tmp_path, samples), "--days", 7)["needed"]["metadata_bytes"]
    assert least <= needed / 2**20 <= most


@pytest.mark.parametrize("end", ["rw discard_passdown", "rw discard_passdown queue_if_no_space -"])
def test_a_status_without_a_low_water_mark_has_no_reserve(tmp_path: Path, end: str) -> None:
    samples = [pool(20_000 + 100 * number, metadata="20000/524288", end=end) for number in range(80)]
    assert read_observed(recorded(tmp_path, samples)).has_reserve is False
    assert planned(recorded(tmp_path, samples), "--days", 7)["needed"]["metadata_bytes"] == 88 * 2**20
    newer = [sample + (" - 1024" if sample.endswith("_space") else " 1024") for sample in samples
             if "queue" in sample]
    if newer:
        assert read_observed(recorded(tmp_path, newer)).has_reserve is True


# -- lvs' state ------------------------------------------------------------------------------------------------

def lvs(attr: str, data: str = "50.00", metadata: str = "10.00") -> str:
    row = {"vg_name": "docker", "lv_name": "pool", "lv_attr": attr, "lv_size": "107374182400B",
           "lv_metadata_size": "109051904B", "chunk_size": "65536B", "data_percent": data, "metadata_percent": metadata}
    return json.dumps({"report": [{"lv": [row]}]})


ENDINGS = {
    "failed": ("docker-pool: 0 209715200 thin-pool Fail", lvs("twi-a-tzF-", "", ""), "shows Fail in its last sample"),
    "unreadable": ("docker-pool: 0 209715200 thin-pool Error", lvs("twi-a-tzF-", "", ""), "shows Fail"),
    "read-only": (pool(60_000, end="ro discard_passdown queue_if_no_space - 1024"), lvs("twi-a-tzM-"), "read-only"),
    "check": (pool(60_000, end="rw discard_passdown queue_if_no_space needs_check 1024"), lvs("twi-c-tz--"),
              "read-only"),
    "suspended": (pool(60_000, end="ro discard_passdown queue_if_no_space needs_check 1024"), lvs("twi-C-tz--"),
                  "read-only"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_dmsetup_and_lvs_end_alike(tmp_path: Path, ending: str) -> None:
    by_dmsetup, by_lvs, words = ENDINGS[ending]
    said = []
    for good, bad in ((pool(50_000), by_dmsetup), (lvs("twi-a-tz--"), by_lvs)):
        result = run("forecast", recorded(tmp_path, [good] * 8 + [bad]), "--days", 7)
        assert isinstance(result.exception, InputError)
        assert words in str(result.exception)
        said.append(str(result.exception).replace("\n", " "))
    assert said[0].split(": ", 1)[1] == said[1].split(": ", 1)[1]


def test_a_pool_out_of_data_space_is_full_by_either(tmp_path: Path) -> None:
    for text in (pool(1_638_400, end="out_of_data_space discard_passdown error_if_no_space - 1024"),
                 lvs("twi-a-tzD-", "100.00")):
        assert read_observed(recorded(tmp_path, [text] * 2)).frame["full"].tolist() == [True, True]


@pytest.mark.parametrize(("state", "active", "check"), [
    ("a", True, False), ("c", True, True), ("C", True, True), ("s", True, False), ("-", False, False),
    ("d", False, False), ("i", False, False), ("h", False, False), ("X", None, False),
])
def test_the_state_of_a_volume(state: str, active: bool | None, check: bool) -> None:
    (volume,) = parse_lvs(lvs(f"twi-{state}otz--"))
    assert (volume.is_active, volume.needs_check) == (active, check)


def test_health_by_its_own_columns() -> None:
    row = {"lv_name": "pool", "lv_health_status": "metadata_read_only", "lv_check_needed": "check needed"}
    (volume,) = parse_lvs(json.dumps({"report": [{"lv": [row]}]}))
    assert (volume.health, volume.needs_check, volume.is_active) == ("metadata read only", True, None)


# -- lvs in other formats --------------------------------------------------------------------------------------

TABLES = {
    "heading": "  LV   VG  Attr       LSize  Pool Origin Data%  Meta%\n  data pve twi-aotz-- 319.61g   50.00  3.75",
    "commas": "  data,pve,twi-aotz--,319.61g,,,50.00,3.75",
    "bars": "data|pve|twi-a-tz--|319.61g|||50.00|3.75",
    "bare": "  data pve twi-aotz-- <319.61g             50.00  3.75",
    "lvdisplay": "  --- Logical volume ---\n  LV Name                data\n  Allocated pool data    50.00%",
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES.keys())
def test_text_of_lvm_is_told_what_to_run(tmp_path: Path, text: str) -> None:
    with pytest.raises(ReaderError, match=r"text of lv.*--reportformat json --units b"):
        read_observed(recorded(tmp_path, [text] * 3))


def test_the_default_table_of_lvs_is_told_what_to_run() -> None:
    with pytest.raises(ReaderError, match=r"text of lvs.*--reportformat json --units b"):
        read_observed(FIELD / "lvs-text-and-warnings" / "text.log")


def test_a_warning_before_the_report_is_passed_over() -> None:
    frame = read_observed(FIELD / "lvs-text-and-warnings" / "warning-before-json.log").frame
    assert set(frame["data_total_bytes"]) == {107_374_182_400}
    assert frame["data_used_bytes"].iloc[[0, -1]].tolist() == [21_474_836_480, 53_150_220_288]


@pytest.mark.parametrize("around", ["  WARNING: x\n{}", "File descriptor 63 (pipe:[1]) leaked on lvs invocation.\n{}\n",
                                    "{}\n  WARNING: Device has no label.\n"])
def test_messages_around_a_report_are_passed_over(around: str) -> None:
    (volume,) = parse_lvs(around.replace("{}", lvs("twi-aotz--")))
    assert volume.data_percent == 50


def test_a_decimal_comma_is_one(tmp_path: Path) -> None:
    (volume,) = parse_lvs(lvs("twi-aotz--", "12,50", "1,25"))
    assert (volume.data_percent, volume.metadata_percent) == (12.5, 1.25)
    observed = read_observed(recorded(tmp_path, [lvs("twi-aotz--", "12,50", "1,25")] * 2))
    assert set(observed.frame["data_used_bytes"]) == {107_374_182_400 // 8}


# -- devices and times -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("line", ["x: 0 100 clone 8 1/2 1 3/4 0 0 rw", "x: 0 100 zoned 1 2 3", "x: 0 100 unstriped",
                                  "x: 0 100 dm-acme a b c", "x: 0 100 thin - ", "x: 0 100 ebs 1 2", "x: 0 100 era"])
def test_any_other_target_is_passed_over(tmp_path: Path, line: str) -> None:
    observed = read_observed(recorded(tmp_path, [f"{line}\n{pool(10)}", f"{pool(20)}\n{line}"]))
    assert observed.frame["data_used_bytes"].tolist() == [10 * 65536, 20 * 65536]
    assert observed.repairs == ()


@pytest.mark.parametrize("file", ["journal-short-iso.log", "iso-minutes.log"])
def test_times_of_the_journal_and_of_date(file: str) -> None:
    observed = read_observed(FIELD / "observed-journal" / file)
    assert (observed.start, len(observed.frame), observed.repairs) == ("2026-03-02T00:00:00Z", 60, ())
    assert observed.frame["data_used_bytes"].iloc[[0, -1]].tolist() == [200_000 * 65536, 554_000 * 65536]
    assert set(observed.frame["t_seconds"].diff().dropna()) == {21600}


@pytest.mark.parametrize("zone", ["CET", "EST", "Europe/Berlin"])
def test_a_zones_name_is_told(tmp_path: Path, zone: str) -> None:
    text = (FIELD / "observed-journal" / "zone-name.log").read_text().replace(" CET ", f" {zone} ")
    (tmp_path / "x.log").write_text(text)
    with pytest.raises(ReaderError, match=f"x.log:1: the time's zone is a name, '{zone}'.*date -Iseconds"):
        read_observed(tmp_path / "x.log")


def timed(folder: Path, stamp: Callable[[datetime], str]) -> Observed:
    times = [datetime.fromtimestamp(START + 3600 * number, UTC) for number in range(3)]
    (folder / "x.log").write_text("".join(f"{stamp(time)} {pool(10 + n)}\n" for n, time in enumerate(times)))
    return read_observed(folder / "x.log")


@pytest.mark.parametrize("form", ["%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S+0000", "[%Y-%m-%d %H:%M:%S]", "[%Y-%m-%dT%H:%M:%SZ]",
                                  "[%s]", "%Y-%m-%d %H:%M", "%a %b %e %H:%M:%S UTC %Y", "[%a %b %e %H:%M:%S %Y]",
                                  "%Y/%m/%d %H:%M:%S", "%F_%T", "%Y%m%d-%H%M%S",
                                  "%Y-%m-%dT%H:%M:%SZ:", "%Y-%m-%dT%H:%M:%S+00:00[Etc/UTC]",
                                  "%a %b %e %I:%M:%S %p UTC %Y", "%a %Y-%m-%d %H:%M:%S UTC node1 dm[2]:",
                                  "%Y-%m-%dT%H:%M:%S+0000 node-1.example dm[1]:", "%Y-%m-%dT%H:%M:%SZ node1",
                                  "%Y-%m-%d %H:%M:%S GMT"])
def test_times_as_scripts_print_them(tmp_path: Path, form: str) -> None:
    observed = timed(tmp_path, lambda time: time.strftime(form.replace("%s", str(round(time.timestamp())))))
    assert observed.start == "2026-11-01T00:00:00Z"
    assert observed.frame["t_seconds"].tolist() == [0, 3600, 7200]


def test_a_report_of_many_lines_in_the_journal_is_one_sample(tmp_path: Path) -> None:
    lines = []
    for number in range(3):
        stamp = datetime.fromtimestamp(START + 3600 * number, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000 node1 lvs[7]: ")
        report = json.dumps(json.loads(lvs("twi-aotz--", f"{50 + number}.00")), indent=2)
        lines += [stamp + line for line in report.split("\n")]
    (tmp_path / "x.log").write_text("\n".join(lines) + "\n")
    observed = read_observed(tmp_path / "x.log")
    levels = observed.frame["data_used_bytes"].tolist()
    assert levels == [round(share / 100 * 107_374_182_400) for share in (50, 51, 52)]


def test_a_log_that_powershell_wrote(tmp_path: Path) -> None:
    text = "".join(f"{START + 60 * number} {pool(number)}\r\n" for number in range(3))
    for name, raw in (("utf16", text.encode("utf-16")), ("mark", b"\xef\xbb\xbf" + text.encode())):
        (tmp_path / name).write_bytes(raw)
        assert read_observed(tmp_path / name).frame["data_used_bytes"].tolist() == [0, 65536, 131072]


@pytest.mark.parametrize("text", ["CONTAINER ID   IMAGE\nabc   x", "Client:\n Version: 1"])
def test_text_of_docker_is_told_what_to_run(text: str) -> None:
    with pytest.raises(InputError, match=r"--format '\{\{json \.\}\}'"):
        parse_docker_info(text)


# -- fio's documents and logs ----------------------------------------------------------------------------------

MARKED = FIELD / "fio-byte-order-mark"
DOCUMENT = (MARKED / "utf8-bom.json").read_text("utf-8-sig")


def test_documents_with_a_byte_order_mark_are_the_same_run() -> None:
    runs = [read_fio(MARKED / name) for name in ("utf8-bom.json", "utf16.json")]
    assert runs[0].jobs[0].directions == runs[1].jobs[0].directions
    assert runs[0].version == "fio-3.38"


@pytest.mark.parametrize("around", [
    "Jobs: 1 (f=1): [W(1)][100.0%][w=1MiB/s][eta 00m:00s]\r{}\n",
    "Jobs: 1 (f=1)\r\r  {}",
    "{}\n[root@host ~]# \n",
    "{}\nuser@host:~$ exit\n",
    "fio: warning\r\n{}\r\n[user@host fio]$ ls\n",
])
def test_what_a_terminal_leaves_around_a_document(around: str) -> None:
    assert read_fio(around.replace("{}", DOCUMENT)).version == "fio-3.38"


@pytest.mark.parametrize("tail", ["]", "}", '"x": 1', "[1, 2]", "[user@host] {"])
def test_what_belongs_to_a_damaged_document_is_no_prompt(tail: str) -> None:
    with pytest.raises(ReaderError, match="JSON"):
        read_fio(f"{DOCUMENT}\n{tail}\n")


def of_one_job(latency: dict[str, Any]) -> str:
    told = {"io_bytes": 4096, "bw_bytes": 4096, "iops": 1, "runtime": 1000, "total_ios": 1, "clat_ns": latency}
    return json.dumps({"fio version": "fio-3.1", "jobs": [{"jobname": "j", "error": 0, "read": told}]})


LATENCY = {"min": 1, "max": 9, "mean": 5, "stddev": 1}


def test_percentiles_that_fill_a_list_up_are_none() -> None:
    text = of_one_job({**LATENCY, "percentile": {"50.000000": 5, "99.000000": 9}})
    text = text.replace('"99.000000": 9', '"99.000000": 9, "0.00": 0, "0.00": 0')
    read = read_fio(text).jobs[0].read
    assert read is not None
    assert read.clat is not None
    assert read.clat.percentiles == {0.5: 5e-9, 0.99: 9e-9}


@pytest.mark.parametrize(("table", "key"), [
    ("percentile", "150.0"), ("percentile", "-1"), ("percentile", "nan"), ("percentile", "1_0"), ("percentile", "٥"),
    ("bins", "NaN"), ("bins", "inf"), ("bins", "1e400"), ("bins", "-5"), ("bins", "9" * 30),
])
def test_keys_of_a_distribution_that_cannot_be(table: str, key: str) -> None:
    with pytest.raises(ReaderError, match=f"{table}: the key .* is no number from 0 to"):
        read_fio(of_one_job({**LATENCY, table: {key: 5}}))


def test_logs_with_two_values_or_a_time_of_issue() -> None:
    folder = FIELD / "fio-log-both-and-issue-time"
    both = read_log(folder / "both_lat.1.log", "lat")
    assert both["value"].tolist() == pytest.approx([1.39e-3, 1.4e-3])
    assert both["value_max"].tolist() == pytest.approx([2.5e-3, 2.6e-3])
    assert (both["direction"].tolist(), both["block_bytes"].tolist()) == (["read", "write"], [4096, 4096])
    issue = read_log(folder / "issue_lat.1.log", "lat")
    assert issue["value"].tolist() == pytest.approx([1.39e-3])
    assert issue["offset_bytes"].tolist() == [8192]
    assert issue["issue_seconds"].tolist() == pytest.approx([0.123456789])


@pytest.mark.parametrize(("line", "columns"), [
    ("5, 10, 1, 4096, 0", []),
    ("5, 10, 1, 4096, 8192, 0", ["offset_bytes"]),
    ("5, 10, 20, 1, 4096, 0", ["value_max"]),
    ("5, 10, 1, 4096, 0x4001, 77", ["issue_seconds"]),
    ("5, 10, 1, 4096, 0, 77", ["issue_seconds"]),
    ("5, 10, 20, 1, 0, 0, 0", ["offset_bytes", "value_max"]),
    ("5, 10, 20, 1, 4096, 0, 77", ["value_max", "issue_seconds"]),
    ("5, 10, 20, 1, 4096, 8192, 0x0000, 77", ["offset_bytes", "value_max", "issue_seconds"]),
])
def test_the_columns_that_a_log_has(tmp_path: Path, line: str, columns: list[str]) -> None:
    (tmp_path / "x.log").write_text(f"{line}\r\n{line}\n")
    frame = read_log(tmp_path / "x.log", "bw")
    assert frame.columns.tolist()[4:] == columns
    assert (frame["value"].tolist(), frame["direction"].tolist()) == ([10240, 10240], ["write", "write"])


@pytest.mark.parametrize("line", ["5, 1390, 1, 4096", "5, 1390, 1, 4096, 8192"])
def test_the_unit_of_a_latency_without_priorities_is_not_guessed(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x_lat.1.log"
    path.write_text(line + "\n")
    with pytest.raises(ReaderError, match=r"fio 2 wrote microseconds.*latency_unit"):
        read_log(path, "lat")
    assert read_log(path, "lat", latency_unit="us")["value"].tolist() == pytest.approx([1.39e-3])
    assert read_log(path, "lat", latency_unit="ns")["value"].tolist() == pytest.approx([1.39e-6])
    assert read_log(path, "bw")["value"].tolist() == [1390 * 1024]
    with pytest.raises(ReaderError, match="latency_unit='us' of a log of kind 'bw'"):
        read_log(path, "bw", latency_unit="us")


def test_output_of_a_client_is_told_what_to_do() -> None:
    with pytest.raises(ReaderError, match=r"fio --client.*jq"):
        read_fio('{"fio version": "fio-3.33", "client_stats": [{"jobname": "a"}]}')
