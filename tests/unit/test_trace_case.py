"""A block trace becomes a case whose steps hold the writes and discards of their phases, in order."""

from __future__ import annotations

from typing import Any

import pytest

from lab.errors import ReaderError
from lab.readers.trace_case import Request, build_case, parse_requests

STATUS = ("docker-pool: 0 65536 thin-pool 1 10/128 {used}/512 - rw discard_passdown queue_if_no_space - 25\n"
          "docker-a: 0 65536 thin {mapped} 65535\n")


def boundary(used: int, mapped: int) -> dict[str, Any]:
    return {"dmsetup": STATUS.format(used=used, mapped=mapped)}


def test_reads_empty_flushes_and_later_stages_of_a_request_are_passed_over() -> None:
    text = ("0.1 Q R 8 4096\n0.2 Q WS 16 4096\n0.21 G WS 16 4096\n0.22 UT N 0 0\n0.23 I WS 16 4096\n"
            "0.3 Q FN 0 0\n0.4 Q D 128 65536\n")
    assert parse_requests(text) == [Request(0.2, 8192, 4096, False), Request(0.4, 65536, 65536, True)]


@pytest.mark.parametrize("line", ["0.1 Q W 8", "x Q W 8 4096", "0.1 Q W eight 4096", "0.1 Q W 8 4096 more"])
def test_a_malformed_line_is_named(line: str) -> None:
    with pytest.raises(ReaderError, match=r"trace:2: .* is not"):
        parse_requests(f"0.1 Q W 8 4096\n{line}\n", name="trace")


def test_each_request_lands_in_its_phase_and_a_discard_splits_the_writes() -> None:
    requests = parse_requests("1.0 Q W 0 4096\n2.0 Q D 128 65536\n2.5 Q W 8 4096\n11.0 Q W 16 4096\n99.0 Q W 24 4096\n")
    phases = [{"name": "write", "began": 100.0, "ended": 105.0}, {"name": "update", "began": 110.0, "ended": 115.0}]
    case, logs = build_case("c", requests, 100.0, phases, [boundary(1, 128), boundary(3, 384), boundary(4, 512)],
                            "docker-a")
    assert [op["op"] for op in case["steps"][0]["ops"]] == ["write", "discard", "write"]
    assert [op["op"] for op in case["steps"][1]["ops"]] == ["write"]
    assert case["steps"][0]["expect"] == {"used_data_blocks": 3, "used_metadata_blocks": 10, "mapped_blocks": {"0": 3}}
    assert case["pool"] == {"chunk_size_bytes": 65536, "data_size_bytes": 33554432, "metadata_size_bytes": 524288}
    assert len(logs) == 3
    assert logs["02-01-thin0.iolog"].splitlines()[-1] == "11000 thin0 write 8192 4096"


def test_a_trace_of_a_whole_disk_expects_nothing() -> None:
    case, _ = build_case("c", [], 0.0, [{"name": "write", "began": 1.0, "ended": 2.0}], [{}, {}], None)
    assert case["pool"] is None
    assert case["steps"][0]["expect"] is None
