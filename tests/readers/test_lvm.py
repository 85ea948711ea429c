"""The reader of lvs and vgs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import ReaderError
from lab.readers.lvm import parse_lvs, parse_vgs

DATA = Path(__file__).parents[1] / "data" / "readers"
LVS = (DATA / "lvs.json").read_text()


def report(kind: str, **columns: object) -> str:
    return json.dumps({"report": [{kind: [columns]}]})


def test_a_pools_row_is_typed() -> None:
    pool = parse_lvs(LVS)[0]
    assert (pool.name, pool.vg_name, pool.hidden) == ("pool", "docker", False)
    assert (pool.size_bytes, pool.metadata_size_bytes, pool.chunk_size_bytes) == (1024**3, 12 * 1024**2, 524288)
    assert (pool.data_percent, pool.metadata_percent) == (12.5, 10.03)
    assert pool.monitored is True
    assert (pool.is_thin_pool, pool.is_thin_volume, pool.is_active, pool.health) == (True, False, True, None)


def test_hidden_volumes_lose_their_brackets_and_empty_columns_are_none() -> None:
    hidden = parse_lvs(LVS)[1]
    assert (hidden.name, hidden.hidden) == ("pool_tdata", True)
    assert (hidden.data_percent, hidden.metadata_percent, hidden.pool_lv, hidden.monitored) == (None, None, None, None)
    assert (hidden.chunk_size_bytes, hidden.metadata_size_bytes) == (None, None)


def test_a_measured_zero_percent_is_zero_and_the_pool_is_named() -> None:
    base = parse_lvs(LVS)[2]
    assert (base.data_percent, base.pool_lv, base.is_thin_volume) == (0.0, "pool", True)


def test_a_full_pool_shows_its_health_and_sizes_may_carry_b() -> None:
    full = parse_lvs(LVS)[3]
    assert (full.health, full.monitored) == ("out of data space", False)
    assert (full.size_bytes, full.chunk_size_bytes) == (67108864, 65536)


def test_missing_columns_are_none_not_zero() -> None:
    (row,) = parse_lvs(report("lv", lv_name="a"))
    assert (row.size_bytes, row.data_percent, row.attr, row.is_active, row.health) == (None, None, None, None, None)


def test_numbers_and_nulls_of_json_std_are_taken() -> None:
    (row,) = parse_lvs(report("lv", lv_name="a", lv_size=4096, data_percent=1.5, pool_lv=None, lv_tags=["x", "y"]))
    assert (row.size_bytes, row.data_percent, row.pool_lv, row.columns["lv_tags"]) == (4096, 1.5, None, "x,y")


def test_volume_groups_are_typed() -> None:
    (group,) = parse_vgs(report("vg", vg_name="docker", vg_size="100B", vg_free="3", pv_count="1", lv_count="2"))
    assert (group.size_bytes, group.free_bytes, group.extent_size_bytes, group.lv_count) == (100, 3, None, 2)


def test_no_volumes_is_an_empty_list() -> None:
    assert parse_lvs('{"report": [{"lv": []}]}') == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty: an LVM report"),
        ("  WARNING: x\n{}", "JSON, but not LVM's: no list"),
        ("[]", "JSON, but not LVM's: no list 'report'"),
        ('{"jobs": []}', "JSON, but not LVM's"),
        ('{"report": [1]}', "JSON, but not LVM's"),
        ('{"report": [{"vg": []}]}', "no list 'lv' in the report, it has 'vg'"),
        ('{"report": [{"lv": [1]}]}', "a row is int"),
        (report("lv", vg_name="v"), "f: row 1: no lv_name; columns: vg_name"),
        (report("lv", lv_name="a", lv_size="10.00g"), "lv_size is '10.00g', not whole bytes .run with --units b"),
        (report("lv", lv_name="a", data_percent="1;5"), "data_percent is '1;5', not a percentage.*LC_ALL=C"),
        (report("lv", lv_name="a", data_percent="101"), "data_percent is '101'"),
        (report("lv", lv_name="a", lv_attr="twi"), "lv_attr is 'twi', 9 or 10 characters"),
        (report("lv", lv_name="a", seg_monitor="maybe"), "seg_monitor is 'maybe'"),
    ],
)
def test_bad_input_is_named(text: str, says: str) -> None:
    with pytest.raises(ReaderError, match=says):
        parse_lvs(text, name="f")


def test_bad_counts_of_a_group_are_named() -> None:
    with pytest.raises(ReaderError, match="pv_count is 'x', not a whole number"):
        parse_vgs(report("vg", vg_name="v", pv_count="x"))


@given(cut=st.integers(0, len(LVS.rstrip()) - 1))
def test_a_truncated_report_is_never_read(cut: int) -> None:
    with pytest.raises(ReaderError):
        parse_lvs(LVS[:cut])


texts = st.text(max_size=6) | st.integers() | st.none() | st.floats() | st.lists(st.integers(), max_size=2)


@given(
    row=st.dictionaries(
        st.sampled_from(["lv_name", "lv_attr", "lv_size", "data_percent", "chunk_size", "seg_monitor", "origin"]), texts
    )
)
def test_any_row_is_read_or_a_reader_error(row: dict[str, object]) -> None:
    try:
        (read,) = parse_lvs(json.dumps({"report": [{"lv": [row]}]}))
    except ReaderError:
        return
    assert read.name
