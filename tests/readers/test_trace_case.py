"""A block trace becomes a case whose steps hold the writes and discards of their phases, in order."""

from __future__ import annotations

from typing import Any

import pytest

from lab.errors import ReaderError
from lab.readers.trace_case import Request, build_case, parse_requests

STATUS = ("docker-pool: 0 65536 thin-pool 1 10/128 {used}/512 - rw discard_passdown queue_if_no_space - 25\n"
          "docker-a: 0 65536 thin {mapped} 65535\n")


NEAR = 1_795_521_600.0
"""2026-11-24, 12:00:00 UTC."""


def boundary(used: int, mapped: int, at: float = 0.0) -> dict[str, Any]:
    return {"t": at, "dmsetup": STATUS.format(used=used, mapped=mapped)}


def trace(*lines: str, marker: str = "9.0 Q R 0 4096") -> str:
    return "\n".join([f"marker {NEAR + 9}", *lines, marker]) + "\n"


def test_reads_empty_flushes_and_later_stages_of_a_request_are_passed_over() -> None:
    text = trace("0.1 Q R 8 4096", "0.2 Q WS 16 4096", "0.21 G WS 16 4096", "0.22 UT N 0 0", "0.23 I WS 16 4096",
                 "0.3 Q FN 0 0", "0.4 Q D 128 65536")
    requests = parse_requests(text)
    assert [request.at for request in requests] == pytest.approx([NEAR + 0.2, NEAR + 0.4], abs=1e-5)
    assert [(r.offset_bytes, r.length_bytes, r.discard) for r in requests] == [
        (8192, 4096, False), (65536, 65536, True)]


def test_the_last_read_tells_when_all_the_others_were_made() -> None:
    early = parse_requests(trace("100.5 Q W 8 4096", marker="101.0 Q R 0 4096"))
    assert early[0].at == pytest.approx(NEAR + 8.5, abs=1e-5)


def test_requests_come_in_the_order_of_their_times() -> None:
    requests = parse_requests(trace("0.000002 Q W 8 4096", "0.000001 Q W 0 4096"))
    assert [request.offset_bytes for request in requests] == [0, 4096]


@pytest.mark.parametrize("line", ["0.1 Q W 8", "x Q W 8 4096", "0.1 Q W eight 4096", "0.1 Q W 8 4096 more"])
def test_a_malformed_line_is_named(line: str) -> None:
    with pytest.raises(ReaderError, match=r"trace:3: .* is not"):
        parse_requests(trace("0.1 Q W 8 4096", line), name="trace")


@pytest.mark.parametrize(("text", "message"), [
    ("", "trace:1: the first line is not `marker SECONDS`"),
    ("0.1 Q W 8 4096\n", "trace:1: the first line"),
    ("marker soon\n", "trace:1: the first line"),
    ("marker 100.0\n0.1 Q W 8 4096\n", "trace: holds no read, so that its marker is missing"),
])
def test_a_trace_without_its_marker_is_refused(text: str, message: str) -> None:
    with pytest.raises(ReaderError, match=message):
        parse_requests(text, name="trace")


def test_each_request_lands_in_the_step_whose_counts_include_it_and_a_discard_splits_the_writes() -> None:
    requests = [Request(at, 4096 * number, 4096, discard) for number, (at, discard) in enumerate([
        (99.0, False), (101.0, False), (102.0, True), (102.5, False), (105.5, False), (111.0, False), (199.0, False)])]
    records = [boundary(1, 128, 100.0), boundary(3, 384, 106.0), boundary(4, 512, 116.0)]
    case, logs = build_case("c", requests, ["write", "update"], records, "docker-a", 5)
    assert [op["op"] for op in case["steps"][0]["ops"]] == ["write", "discard", "write"]
    assert [op["op"] for op in case["steps"][1]["ops"]] == ["write"]
    assert case["steps"][0]["expect"] == {"used_data_blocks": 3, "used_metadata_blocks": 10, "mapped_blocks": {"0": 3}}
    assert case["pool"] == {"chunk_size_bytes": 65536, "data_size_bytes": 33554432, "metadata_size_bytes": 524288,
                            "features": []}
    assert (case["thin_size_bytes"], case["traced_device"]) == (33554432, 5)
    assert logs["01-03-thin0.iolog"].splitlines()[3:] == ["2500000 thin0 write 12288 4096",
                                                               "5500000 thin0 write 16384 4096"]
    assert logs["02-01-thin0.iolog"].splitlines()[3:] == ["11000000 thin0 write 20480 4096"]
    assert case["requests_outside"] == 2


def test_a_trace_of_a_whole_disk_expects_nothing() -> None:
    case, _ = build_case("c", [], ["write"], [{"t": 1.0}, {"t": 2.0}], None)
    assert case["pool"] is None
    assert case["steps"][0]["expect"] is None


@pytest.mark.parametrize(("shown", "features"), [
    ("no_discard_passdown queue_if_no_space", ["no_discard_passdown"]),
    ("ignore_discard error_if_no_space", ["ignore_discard", "error_if_no_space"])])
def test_the_features_are_those_that_the_status_shows(shown: str, features: list[str]) -> None:
    record = boundary(1, 128)
    record["dmsetup"] = record["dmsetup"].replace("discard_passdown queue_if_no_space", shown)
    case, _ = build_case("c", [], ["write"], [record, record], "docker-a", 5)
    assert case["pool"]["features"] == features


def test_a_rest_too_small_for_a_block_does_not_make_the_blocks_larger() -> None:
    record = boundary(1, 128)
    record["dmsetup"] = record["dmsetup"].replace("0 65536 thin-pool", "0 65600 thin-pool")
    case, _ = build_case("c", [], ["write"], [record, record], "docker-a", 5)
    assert case["pool"]["chunk_size_bytes"] == 65536
    assert case["steps"][0]["expect"]["mapped_blocks"] == {"0": 1}


def few_blocks() -> dict[str, Any]:
    """60 whole blocks of 64 MiB on 3,892 MiB; 52 MiB are left over."""
    line = f"docker-pool: 0 {3892 * 2048} thin-pool 1 10/128 1/60 - rw discard_passdown queue_if_no_space - 25\n"
    return {"t": 0.0, "dmsetup": line + "docker-a: 0 20971520 thin 131072 131071\n"}


def test_the_blocks_that_a_pool_was_made_with_are_taken_where_its_status_leaves_several_sizes() -> None:
    case, _ = build_case("c", [], ["write"], [few_blocks(), few_blocks()], "docker-a", 5, 64 << 20)
    assert case["pool"]["chunk_size_bytes"] == 64 << 20
    assert case["steps"][0]["expect"]["mapped_blocks"] == {"0": 1}


def test_a_status_that_leaves_several_sizes_of_a_block_is_refused_where_nobody_knows_it() -> None:
    with pytest.raises(ReaderError, match=r"60 data blocks on 7970816 sectors can be of 63.81 MiB to 64.81 MiB"):
        build_case("c", [], ["write"], [few_blocks(), few_blocks()], "docker-a", 5)
