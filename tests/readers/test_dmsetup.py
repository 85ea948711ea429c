"""The dmsetup reader, on lines of a 6.1 kernel and on generated ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import ReaderError
from lab.readers.dmsetup import (
    OtherStatus,
    OtherTable,
    PoolStatus,
    PoolTable,
    ThinStatus,
    ThinTable,
    parse_first_status,
    parse_status,
    parse_status_line,
    parse_status_targets,
    parse_table_line,
)

DATA = Path(__file__).parents[1] / "data" / "readers"
HEALTHY = "0 131072 thin-pool 0 830/8192 512/1024 - rw no_discard_passdown queue_if_no_space - 1024"


def pool(line: str) -> PoolStatus:
    status = parse_status_line(line)
    assert isinstance(status, PoolStatus)
    return status


def test_a_healthy_pool_tells_every_field() -> None:
    assert pool(HEALTHY) == PoolStatus(
        start_sector=0,
        length_sectors=131072,
        mode="rw",
        transaction_id=0,
        used_metadata_blocks=830,
        total_metadata_blocks=8192,
        used_data_blocks=512,
        total_data_blocks=1024,
        held_root=None,
        discard="no_discard_passdown",
        error_if_no_space=False,
        needs_check=False,
        metadata_low_water_mark=1024,
    )


def test_a_failed_pool_tells_no_counts_not_zeros() -> None:
    status = pool("0 131072 thin-pool Fail")
    assert status.failed
    assert status.mode == "fail"
    assert status.used_data_blocks is None
    assert status.total_data_blocks is None
    assert status.used_metadata_blocks is None
    assert status.needs_check is None
    assert status.discard_passdown is None


def test_a_whole_output_gives_a_status_a_device() -> None:
    devices = parse_status((DATA / "dmsetup-status.txt").read_text())
    assert next(iter(devices)) == "docker-8:1-1310721-pool"
    assert devices["lab-thin0"] == ThinStatus(0, 524288, 65536, 524159, failed=False)
    assert devices["lab-empty"] == ThinStatus(0, 524288, 0, None, failed=False)
    assert devices["lab-orphan"] == ThinStatus(0, 524288, None, None, failed=False)
    assert devices["lab-deadthin"] == ThinStatus(0, 524288, None, None, failed=True)
    assert devices["vg0-root"] == OtherStatus(0, 41943040, "linear", ())
    full, read_only, ignoring = devices["lab-full"], devices["lab-ro"], devices["lab-ignore"]
    assert isinstance(full, PoolStatus)
    assert isinstance(read_only, PoolStatus)
    assert isinstance(ignoring, PoolStatus)
    assert (full.mode, full.error_if_no_space) == ("out_of_data_space", True)
    assert (read_only.mode, read_only.needs_check, read_only.held_root) == ("ro", True, 17)
    assert (ignoring.discard, ignoring.discard_passdown) == ("ignore_discard", False)


def test_no_devices_is_an_empty_dict() -> None:
    assert parse_status("No devices found\n") == {}
    assert parse_status("") == {}


def test_a_device_of_several_targets_is_refused_or_read_by_target() -> None:
    text = "vg-lv: 0 100 linear \nvg-lv: 100 50 thin 8 7\n"
    with pytest.raises(ReaderError, match="device vg-lv has 2 targets"):
        parse_status(text)
    assert len(parse_status_targets(text)["vg-lv"]) == 2


def test_a_device_that_is_being_made_has_no_status_yet() -> None:
    text = "docker-253:2-133-ab12: \nvg-lv: 0 100 linear \nvg-lv: 100 50 thin 8 7\n"
    assert parse_status_targets(text)["docker-253:2-133-ab12"] == ()
    assert parse_first_status(text) == {"vg-lv": OtherStatus(0, 100, "linear", ())}


def test_an_older_kernels_missing_columns_are_none() -> None:
    status = pool("0 2560 thin-pool 1 4/10 5/20 - rw discard_passdown")
    assert (status.error_if_no_space, status.needs_check, status.metadata_low_water_mark) == (None, None, None)
    assert status.discard_passdown is True


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "is cut off"),
        ("0 131072", "is cut off: 'start length target"),
        ("0 131072 thin-pool", "cut off after 0 fields"),
        ("0 131072 thin-pool 0 830/8192 512", "cut off after 3 fields"),
        (HEALTHY + " 7", "has 10 fields; 6 to 9"),
        (HEALTHY.replace("512/1024", "512"), "data blocks is '512', not used/total"),
        (HEALTHY.replace("512/1024", "512/"), "total data blocks is '', not a whole number"),
        (HEALTHY.replace("512/1024", "2000/1024"), "2000 used of 1024"),
        (HEALTHY.replace("830", "-830"), "used metadata blocks is '-830'"),
        (HEALTHY.replace(" rw ", " rx "), "mode is 'rx'; one of rw, ro, out_of_data_space expected"),
        (HEALTHY.replace("no_discard_passdown", "no_disc"), "discard mode is 'no_disc'; one of"),
        (HEALTHY.replace("queue_if_no_space", "queue"), "policy when full is 'queue'; one of"),
        (HEALTHY.replace("queue_if_no_space -", "queue_if_no_space x"), "check flag is 'x'"),
        (HEALTHY.replace("- rw", "? rw"), "held metadata root is"),
        ("0 131072 thin-pool Error", "the kernel could not read its metadata"),
        ("0 524288 thin Error", "the kernel could not read its metadata"),
        ("0 524288 thin", "thin status has 0 fields"),
        ("0 524288 thin 65536", "thin status has 1 fields"),
        ("0 524288 thin ６ 7", "mapped sectors is"),
        ("x 524288 linear", "start is 'x'"),
    ],
)
def test_a_malformed_status_line_is_named(line: str, says: str) -> None:
    with pytest.raises(ReaderError, match=re.escape(says)) as caught:
        parse_status_line(line, where="s:4")
    assert str(caught.value).startswith("s:4: ")


def test_a_bad_line_of_an_output_is_named_by_number() -> None:
    with pytest.raises(ReaderError, match="out:2: thin status has 1 fields"):
        parse_status("a: 0 1 linear \nb: 0 8 thin 5\n", name="out")
    with pytest.raises(ReaderError, match="out:1: '0 1 linear' does not start with 'device: '"):
        parse_status("0 1 linear\n", name="out")


def test_a_pools_table_tells_block_size_and_features() -> None:
    table = parse_table_line("pool: 0 131072 thin-pool 254:0 254:1 128 32 2 skip_block_zeroing no_discard_passdown")
    assert table == PoolTable(0, 131072, "254:0", "254:1", 128, 32, ("skip_block_zeroing", "no_discard_passdown"))
    assert table.data_block_bytes == 65536


@pytest.mark.parametrize(
    ("line", "table"),
    [
        ("p: 0 131072 thin-pool 7:1 7:0 1024 0 0 ", PoolTable(0, 131072, "7:1", "7:0", 1024, 0, ())),
        ("t: 0 2048 thin 254:2 5", ThinTable(0, 2048, "254:2", 5, None)),
        ("e: 0 2048 thin 254:2 6 /dev/sdb", ThinTable(0, 2048, "254:2", 6, "/dev/sdb")),
        ("l: 0 2048 linear 8:1 2048", OtherTable(0, 2048, "linear", ("8:1", "2048"))),
    ],
)
def test_the_tables_of_several_targets_are_typed(line: str, table: PoolTable | ThinTable | OtherTable) -> None:
    assert parse_table_line(line) == table


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0 131072 thin-pool 254:0 254:1 128", "cut off after 3 arguments"),
        ("0 131072 thin-pool 254:0 254:1 100 32", "data block of 100 sectors; 128 to 2097152 in steps of 128"),
        ("0 131072 thin-pool 254:0 254:1 4194304 32", "data block of 4194304 sectors"),
        ("0 131072 thin-pool 254:0 254:1 128 32 2 read_only", "announces 2 features and has 1"),
        ("0 131072 thin-pool 254:0 254:1 128 32 1 fast", "feature is 'fast'; one of skip_block_zeroing"),
        ("0 131072 thin 254:0", "thin table has 1 arguments"),
    ],
)
def test_a_malformed_table_line_is_named(line: str, says: str) -> None:
    with pytest.raises(ReaderError, match=re.escape(says)):
        parse_table_line(line)


counts = st.integers(0, 2**48)


@st.composite
def pool_statuses(draw: st.DrawFn) -> PoolStatus:
    start, length = draw(counts), draw(counts)
    if draw(st.booleans()) and draw(st.booleans()):
        return PoolStatus(start, length, "fail")
    total_metadata, total_data = draw(counts), draw(st.integers(0, length // 128))
    return PoolStatus(
        start,
        length,
        mode=draw(st.sampled_from(["rw", "ro", "out_of_data_space"])),
        transaction_id=draw(counts),
        used_metadata_blocks=draw(st.integers(0, total_metadata)),
        total_metadata_blocks=total_metadata,
        used_data_blocks=draw(st.integers(0, total_data)),
        total_data_blocks=total_data,
        held_root=draw(st.none() | counts),
        discard=draw(st.sampled_from(["discard_passdown", "no_discard_passdown", "ignore_discard"])),
        error_if_no_space=draw(st.booleans()),
        needs_check=draw(st.booleans()),
        metadata_low_water_mark=draw(counts),
    )


def line_of(status: PoolStatus) -> str:
    """As dm-thin.c's pool_status writes it."""
    head = f"{status.start_sector} {status.length_sectors} thin-pool"
    if status.failed:
        return f"{head} Fail"
    return (
        f"{head} {status.transaction_id} {status.used_metadata_blocks}/{status.total_metadata_blocks} "
        f"{status.used_data_blocks}/{status.total_data_blocks} "
        f"{'-' if status.held_root is None else status.held_root} {status.mode} {status.discard} "
        f"{'error' if status.error_if_no_space else 'queue'}_if_no_space "
        f"{'needs_check' if status.needs_check else '-'} {status.metadata_low_water_mark} "
    )


@given(status=pool_statuses())
def test_a_pools_line_round_trips_with_and_without_a_name(status: PoolStatus) -> None:
    assert parse_status_line(line_of(status)) == status
    assert parse_status(f"a:b-pool: {line_of(status)}\n") == {"a:b-pool": status}


@given(start=counts, length=counts, data=st.data())
def test_a_thin_devices_line_round_trips(start: int, length: int, data: st.DataObject) -> None:
    highest = data.draw(st.none() | st.integers(0, length - 1)) if length else None
    mapped = 0 if highest is None else data.draw(st.integers(1, highest + 1))
    line = f"{start} {length} thin {mapped} {'-' if highest is None else highest}"
    assert parse_status_line(line) == ThinStatus(start, length, mapped, highest, failed=False)


@pytest.mark.parametrize(("line", "says"), [
    ("0 131072 thin 262144 262143", "sector 262143 is mapped, beyond the device's length of 131072"),
    ("0 131072 thin 131200 131199", "beyond the device's length"),
    ("0 131072 thin 4096 4094", "they do not fit"),
    ("0 131072 thin 4096 -", "they do not fit"),
    ("0 131071 thin-pool 0 830/8192 512/1024 - rw discard_passdown queue_if_no_space - 1024", "more than fit"),
    (f"0 {10**20} linear 8:0", "length is '100000000000000000000', not a whole number below 2"),
    (f"0 {2**63} linear 8:0", "not a whole number below 2"),
])
def test_counts_that_cannot_be_are_refused(line: str, says: str) -> None:
    with pytest.raises(ReaderError, match=says):
        parse_status_line(line)


def test_a_last_block_may_go_beyond_a_devices_end() -> None:
    for line in ("0 1000 thin 1024 1023", "0 40960 thin 65536 65535"):      # of 64 KiB, and of 16 MiB on 20 MiB
        assert isinstance(parse_status_line(line), ThinStatus)


@given(status=pool_statuses(), data=st.data())
def test_a_cut_line_never_invents_a_zero(status: PoolStatus, data: st.DataObject) -> None:
    line = line_of(status)
    cut = line[: data.draw(st.integers(0, len(line)))]
    try:
        read = parse_status_line(cut)
    except ReaderError:
        return
    if not isinstance(read, PoolStatus):  # cut inside of the target's name
        assert isinstance(read, OtherStatus | ThinStatus)
        return
    for field in ("used_data_blocks", "total_data_blocks", "used_metadata_blocks", "total_metadata_blocks"):
        assert getattr(read, field) == getattr(status, field)


@given(text=st.text(max_size=80))
def test_any_text_is_read_or_a_reader_error_of_one_line(text: str) -> None:
    said = ""
    for parse in (parse_status_line, parse_status, parse_table_line):
        try:
            parse(text)
        except ReaderError as error:
            said += str(error)
    assert "\n" not in said
