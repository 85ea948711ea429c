"""Logs of a pool's levels: what is read, what is repaired and said, and what is refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.errors import InputError, ReaderError
from lab.monitoring.framing import posix_cksum
from lab.monitoring.readings import COLUMNS, Observed, read_observed
from lab.monitoring.times import leading_time

DATA = Path(__file__).parents[1] / "data" / "observed"
BLOCK = 65536
START = 1793491200  # 2026-11-01T00:00:00Z
HOUR = 3600


def status(used: int, total: int = 1638400, *, pool: str = "docker-pool", transaction: int = 12, metadata: int = 1043,
           metadata_total: int = 524288, block_sectors: int = 128, mode: str = "rw") -> str:
    return (f"{pool}: 0 {total * block_sectors} thin-pool {transaction} {metadata}/{metadata_total} {used}/{total} - "
            f"{mode} discard_passdown queue_if_no_space - 1024")


def iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def frame(epoch: float, output: str, command: str = "dmsetup status", code: int = 0) -> str:
    body = f"=== lab-observed 1 {iso(epoch)}\n--- {command}\n{output}\n--- status {code}\n"
    raw = body.encode()
    return f"{body}=== end {posix_cksum(raw)} {len(raw)}\n"


def plain(levels: Sequence[int], times: Sequence[float] | None = None) -> str:
    times = times or [START + HOUR * number for number in range(len(levels))]
    return "".join(f"{iso(time)} {status(used)}\n" for time, used in zip(times, levels, strict=True))


def read(folder: Path, text: str | bytes, pool: str | None = None) -> Observed:
    log = folder / "pool.log"
    log.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_observed(log, pool)


def blocks(observed: Observed) -> list[int]:
    return [used // BLOCK for used in observed.frame["data_used_bytes"].tolist()]


def said(observed: Observed) -> dict[str, tuple[int, ...]]:
    return {repair.kind: repair.lines for repair in observed.repairs}


def test_status_lines_with_times_are_exact() -> None:
    observed = read_observed(DATA / "dmsetup.log")
    assert tuple(observed.frame.columns) == COLUMNS
    assert observed.frame["t_seconds"].tolist() == [0, 3600, 7200]
    assert observed.frame["data_used_bytes"].tolist() == [21873 * BLOCK, 21900 * BLOCK, 22873 * BLOCK]
    assert set(observed.frame["data_total_bytes"]) == {100 * 2**30}
    assert observed.frame["metadata_used_bytes"].tolist() == [1043 * 4096, 1050 * 4096, 1061 * 4096]
    assert set(observed.frame["data_error_bytes"]) == {0}
    assert (observed.pool, observed.start, observed.repairs) == ("docker-pool", "2026-11-01T00:00:00Z", ())


def test_docker_info_carries_the_error_of_its_four_digits() -> None:
    observed = read_observed(DATA / "docker-info.log")
    assert observed.frame["t_seconds"].tolist() == [0, 3600]
    assert observed.frame["data_used_bytes"].tolist() == [1_024_000_000, 2_130_000_000]
    assert observed.frame["data_error_bytes"].tolist() == [500_001, 500_001]  # half of the fourth digit
    assert observed.frame["metadata_used_bytes"].tolist() == [17_930_000, 860_200]
    assert observed.frame["metadata_error_bytes"].tolist() == [5_001, 51]
    assert set(observed.frame["source"]) == {"docker"}
    assert observed.pool == "docker-8:1-1310721-pool"


def test_lvs_percentages_carry_their_rounding_and_zones_are_kept() -> None:
    observed = read_observed(DATA / "lvs.log")
    assert observed.start == "2026-10-31T23:00:00Z"
    assert observed.frame["data_used_bytes"].tolist() == [2**27, 2**30]
    assert observed.frame["data_error_bytes"].iloc[0] == int(0.005 / 100 * 2**30) + 1
    assert observed.frame["metadata_used_bytes"].iloc[0] == round(0.1003 * 12582912)
    assert observed.frame["full"].tolist() == [False, True]
    assert observed.pool == "docker-thin--pool"
    assert read_observed(DATA / "lvs.log", "docker/thin-pool").pool == "docker-thin--pool"


@given(used=st.integers(0, 10**13), total=st.integers(10**9, 10**13))
def test_the_stated_error_of_docker_covers_what_was_rounded(used: int, total: int) -> None:
    from lab.monitoring.framing import Section
    from lab.monitoring.pool import pool_readings

    used = min(used, total)
    text = (f"Storage Driver: devicemapper\n Data Space Used: {go_size(used)}\n Data Space Total: {go_size(total)}\n"
            f" Metadata Space Used: {go_size(used // 100)}\n Metadata Space Total: {go_size(total // 100)}\n")
    reading, = pool_readings(Section("docker", text, 1), "log")
    assert abs(reading.data_used_bytes - used) <= reading.data_error_bytes
    assert abs(reading.data_total_bytes - total) <= reading.data_total_error_bytes
    assert reading.metadata_used_bytes is not None
    assert reading.metadata_error_bytes is not None
    assert abs(reading.metadata_used_bytes - used // 100) <= reading.metadata_error_bytes


def go_size(size_bytes: int) -> str:
    """As go-units' HumanSize prints it."""
    value, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.4g}{unit}"


@given(total=st.integers(1, 10**7), block=st.integers(1, 16384).map(lambda steps: steps * 128),
       rest=st.integers(0, 127))
def test_the_stated_error_covers_every_block_size_that_a_status_allows(total: int, block: int, rest: int) -> None:
    from lab.monitoring.framing import Section
    from lab.monitoring.pool import MOST_BYTES, pool_readings

    used = total // 2
    if total * block * 512 > MOST_BYTES:
        return
    line = status(used, total, block_sectors=block).replace(f" {total * block} ", f" {total * block + rest} ")
    reading, = pool_readings(Section("dmsetup", line, 1), "log")
    assert 0 <= reading.data_used_bytes - used * block * 512 <= reading.data_error_bytes
    assert 0 <= reading.data_total_bytes - total * block * 512 <= reading.data_total_error_bytes
    assert reading.block_bytes in (None, block * 512)


def test_a_gzipped_log_and_one_with_carriage_returns_are_the_same(tmp_path: Path) -> None:
    text = plain([10, 20, 30])
    assert blocks(read(tmp_path, gzip.compress(text.encode()))) == [10, 20, 30]
    returned = read(tmp_path, text.replace("\n", "\r\n"))
    assert blocks(returned) == [10, 20, 30]
    assert list(said(returned)) == ["line ends"]


def test_a_framed_log_takes_the_most_exact_command(tmp_path: Path) -> None:
    docker = ("Storage Driver: devicemapper\n Pool Name: docker-pool\n Data Space Used: 1.434GB\n"
              " Data Space Total: 107.4GB\n Metadata Space Used: 4.272MB\n Metadata Space Total: 2.147GB")
    body = (f"=== lab-observed 1 {iso(START)}\n--- docker info\n{docker}\n--- status 0\n"
            f"--- dmsetup status\n{status(21873)}\n--- status 0\n")
    first = f"{body}=== end {posix_cksum(body.encode())} {len(body)}\n"
    observed = read(tmp_path, first + frame(START + HOUR, docker, "docker info"))
    assert observed.frame["source"].tolist() == ["dmsetup", "docker"]
    assert said(observed) == {"mixed units": (14,)}
    assert observed.frame["data_used_bytes"].tolist() == [21873 * BLOCK, 1_434_000_000]
    assert "pool extended" not in said(observed)  # 107.4 GB is the same total, rounded


def lvs(percent: str, size: int, chunk: int, **columns: str) -> str:
    row = {"vg_name": "docker", "lv_name": "pool", "lv_attr": "twi-aot---", "lv_size": f"{size}B",
           "chunk_size": f"{chunk}B", "data_percent": percent, "metadata_percent": "0.20", **columns}
    return json.dumps({"report": [{"lv": [row]}]})


@pytest.mark.parametrize("chunk_told", [True, False])
@pytest.mark.parametrize("lvs_first", [True, False])
def test_a_part_of_a_block_at_the_end_is_no_other_pool(chunk_told: bool, lvs_first: bool, tmp_path: Path) -> None:
    """lvs tells the volume's size, dmsetup its whole blocks: 100 GiB are no multiple of 192 KiB."""
    size, chunk = 100 * 2**30, 3 * BLOCK
    total = size // chunk
    line = status(total // 10, total, pool="docker-pool-tpool", block_sectors=chunk // 512).replace(
        f" {total * chunk // 512} ", f" {size // 512} ")
    told = lvs("10.00", size, chunk if chunk_told else 0)
    outputs = [told, told, line, line] if lvs_first else [line, line, told, told]
    observed = read(tmp_path, "".join(f"{START + HOUR * hour} {output}\n" for hour, output in enumerate(outputs)))
    assert set(observed.frame["life"]) == {0}
    assert "counter reset" not in said(observed)
    if chunk_told:
        assert set(observed.frame["data_total_bytes"]) == {total * chunk}
        assert set(said(observed)) == {"mixed units"}


def test_docker_rounds_large_blocks_and_that_is_no_other_pool(tmp_path: Path) -> None:
    block, total = 7682 * BLOCK, 2000  # 503.4 MB of four digits lie nearer to 7681 * 64 KiB
    docker = ("Storage Driver: devicemapper\n Pool Name: docker-pool\n Pool Blocksize: 503.4MB\n"
              " Data Space Used: 5.034GB\n Data Space Total: 1.007TB\n"
              " Metadata Space Used: 4.272MB\n Metadata Space Total: 2.147GB")
    observed = read(tmp_path, f"{START} {status(10, total, block_sectors=block // 512)}\n{START + HOUR}\n{docker}\n")
    assert observed.frame["life"].tolist() == [0, 0]


def test_a_name_that_is_no_utf8_is_escaped_and_can_be_chosen(tmp_path: Path) -> None:
    raw = plain([1, 2, 3]).encode().replace(b"docker-pool", b"p\xff")
    observed = read(tmp_path, raw)
    assert observed.pool.isascii()
    assert read(tmp_path, raw, observed.pool).pool == read(tmp_path, raw, "p\udcff").pool == observed.pool


@pytest.mark.parametrize("size", [0, 2**61])
def test_a_pool_of_no_possible_size_is_refused(size: int, tmp_path: Path) -> None:
    text = "".join(f"{START + HOUR * hour} {lvs('10.00', size, BLOCK)}\n" for hour in range(2))
    with pytest.raises(ReaderError, match=f"a pool with {size} bytes of data"):
        read(tmp_path, text)


# --- repairs


def test_a_gap_is_told_and_nothing_is_made_up(tmp_path: Path) -> None:
    times = [START + HOUR * hour for hour in (0, 1, 2, 3, 7, 8)]
    observed = read(tmp_path, plain([1, 2, 3, 4, 5, 6], times))
    assert said(observed) == {"gap": (5,)}
    assert "14400 s" in str(observed.repairs[0])
    assert len(observed.frame) == 6
    assert observed.gap_seconds == 3 * HOUR
    exactly = [START + HOUR * hour for hour in (0, 1, 2, 3, 6, 7)]
    assert said(read(tmp_path, plain([1, 2, 3, 4, 5, 6], exactly))) == {}


def test_logs_put_together_in_another_order_are_reordered(tmp_path: Path) -> None:
    later = [START + HOUR * hour for hour in (3, 4, 5)]
    observed = read(tmp_path, plain([4, 5, 6], later) + plain([1, 2, 3]))
    assert blocks(observed) == [1, 2, 3, 4, 5, 6]
    assert said(observed) == {"clock backwards": (4,)}
    assert "re-ordered" in str(observed.repairs[0])


def test_a_clock_set_back_cuts_the_fewest_samples(tmp_path: Path) -> None:
    hours = [0, 1, 2, 3, 4, 5, 4.5, 5.5, 6.5, 7.5]
    observed = read(tmp_path, plain(list(range(10)), [START + HOUR * hour for hour in hours]))
    assert blocks(observed) in ([0, 1, 2, 3, 4, 6, 7, 8, 9], [0, 1, 2, 3, 4, 5, 7, 8, 9])
    repair, = observed.repairs
    assert (repair.kind, repair.count) == ("clock backwards", 1)
    assert "cut" in repair.what


def test_one_time_in_the_far_future_does_not_cost_what_follows(tmp_path: Path) -> None:
    times = [START + HOUR * hour for hour in (0, 1, 2, 90_000, 3, 4, 5)]
    observed = read(tmp_path, plain([1, 2, 3, 4, 5, 6, 7], times))
    assert blocks(observed) == [1, 2, 3, 5, 6, 7]
    assert said(observed) == {"clock backwards": (4,)}


def test_a_clock_that_was_not_set_is_left_out(tmp_path: Path) -> None:
    text = plain([1, 2, 3]) + f"1970-01-01T00:01:00Z {status(4)}\n"
    observed = read(tmp_path, text)
    assert blocks(observed) == [1, 2, 3]
    assert said(observed) == {"clock not set": (4,)}


def test_duplicate_times_keep_the_last_of_different_values(tmp_path: Path) -> None:
    times = [START, START, START + HOUR, START + HOUR, START + 2 * HOUR]
    observed = read(tmp_path, plain([1, 1, 2, 3, 4], times))
    assert blocks(observed) == [1, 3, 4]
    assert [(repair.kind, repair.lines) for repair in observed.repairs] == [
        ("duplicate time", (2,)), ("duplicate time", (3,))]
    assert "same sample again" in observed.repairs[0].what
    assert "other values" in observed.repairs[1].what


def test_the_same_log_twice_is_the_log_once(tmp_path: Path) -> None:
    observed = read(tmp_path, plain([1, 2, 3]) * 2)
    assert blocks(observed) == [1, 2, 3]
    assert said(observed) == {"duplicate time": (4, 5, 6)}


@pytest.mark.parametrize(("after", "why"), [
    (status(900, transaction=0), "transaction id 12 became 0"),
    (status(900, pool="docker-pool2"), "'docker-pool' became 'docker-pool2'"),
    (status(900, 819200, block_sectors=256), "blocks of 65536 bytes became 131072"),
    (status(900, 819200), "its total went down"),
    (status(900, 3276800), "near empty and has another total"),
])
def test_a_pool_made_anew_is_another_life(after: str, why: str, tmp_path: Path) -> None:
    observed = read(tmp_path, plain([500_000, 500_100]) + f"{iso(START + 2 * HOUR)} {after}\n")
    assert observed.frame["life"].tolist() == [0, 0, 1]
    assert said(observed) == {"counter reset": (3,)}
    assert why in observed.repairs[0].detail


def test_a_prune_is_kept_as_a_drop_and_told(tmp_path: Path) -> None:
    observed = read(tmp_path, plain([500_000, 500_100, 900]))
    assert blocks(observed) == [500_000, 500_100, 900]
    assert observed.frame["life"].tolist() == [0, 0, 0]
    assert said(observed) == {"drop to empty": (3,)}


def test_an_extended_pool_goes_on(tmp_path: Path) -> None:
    text = plain([500_000]) + f"{iso(START + HOUR)} {status(500_100, 3276800, metadata_total=600_000)}\n"
    observed = read(tmp_path, text)
    assert observed.frame["data_total_bytes"].tolist() == [100 * 2**30, 200 * 2**30]
    assert observed.frame["life"].tolist() == [0, 0]
    assert [(repair.kind, repair.lines) for repair in observed.repairs] == [("pool extended", (2,))] * 2
    assert "data 107374182400 to 214748364800 bytes" in str(observed.repairs[0])


def test_truncated_and_damaged_samples_are_left_out(tmp_path: Path) -> None:
    frames = [frame(START + HOUR * hour, status(hour + 1)) for hour in range(6)]
    frames[1] = frames[1][:120]
    frames[3] = frames[3].replace(" 4/1638400", " 9/1638400")
    observed = read(tmp_path, "".join(frames)[:-30])
    assert blocks(observed) == [1, 3, 5]
    assert said(observed)["truncated sample"] == (6, 23)
    assert said(observed)["damaged sample"] == (13,)


def test_a_sample_cut_in_mid_line_does_not_take_the_next_with_it(tmp_path: Path) -> None:
    frames = [frame(START + HOUR * hour, status(hour + 1)) for hour in range(4)]
    frames[1] = frames[1][:70]
    assert blocks(read(tmp_path, "".join(frames))) == [1, 3, 4]


def test_a_sample_without_a_sum_is_taken_with_a_word(tmp_path: Path) -> None:
    text = "".join(frame(START + HOUR * hour, status(hour)) for hour in range(2))
    unsummed = "\n".join("=== end " if line.startswith("=== end") else line for line in text.split("\n"))
    observed = read(tmp_path, unsummed)
    assert blocks(observed) == [0, 1]
    assert said(observed) == {"no checksum": (1, 6)}


def test_malformed_lines_amid_good_ones_are_left_out(tmp_path: Path) -> None:
    lines = plain([1, 2, 3, 4, 5]).splitlines(keepends=True)
    lines[1] = lines[1][:60] + "\n"
    lines[3] = lines[3].replace(" rw ", " \x00\x00 ")
    observed = read(tmp_path, "".join(lines))
    assert blocks(observed) == [1, 3, 5]
    assert said(observed) == {"unreadable sample": (2, 4)}
    assert f"{tmp_path / 'pool.log'}:2" in observed.repairs[0].detail


def test_a_failed_pool_is_no_empty_one(tmp_path: Path) -> None:
    failed = f"{iso(START + 2 * HOUR)} docker-pool: 0 209715200 thin-pool Fail\n"
    after = f"{iso(START + 3 * HOUR)} {status(3)}\n"
    observed = read(tmp_path, plain([1, 2]) + failed + after)
    assert blocks(observed) == [1, 2, 3]
    assert said(observed)["failed pool"] == (3,)


@pytest.mark.parametrize(("last", "told"), [
    ("docker-pool: 0 209715200 thin-pool Fail", "shows Fail in its last sample"),
    (status(2, mode="ro", metadata=524288), "is read-only in its last sample")])
def test_a_log_that_ends_with_a_broken_pool_forecasts_nothing(tmp_path: Path, last: str, told: str) -> None:
    with pytest.raises(ReaderError, match=told) as caught:
        read(tmp_path, plain([1, 2]) + f"{iso(START + 2 * HOUR)} {last}\n")
    assert f"{tmp_path / 'pool.log'}:3" in str(caught.value)
    assert "lvconvert --repair" in str(caught.value)


def test_samples_of_a_pool_without_metadata_are_those_of_a_full_one(tmp_path: Path) -> None:
    spent = f"{iso(START + 2 * HOUR)} {status(2, mode='ro', metadata=524288)}\n"
    observed = read(tmp_path, plain([1, 2]) + spent + f"{iso(START + 3 * HOUR)} {status(3)}\n")
    assert observed.frame["full"].tolist() == [False, False, True, False]


def test_a_device_without_a_table_is_passed_over(tmp_path: Path) -> None:
    text = "".join(frame(START + HOUR * hour, f"gone:\n{status(hour)}") for hour in range(2))
    assert blocks(read(tmp_path, text)) == [0, 1]


def test_times_without_a_zone_are_told(tmp_path: Path) -> None:
    observed = read(tmp_path, plain([1, 2]).replace("Z ", " "))
    assert observed.start == "2026-11-01T00:00:00Z"
    assert said(observed) == {"time zone": (1, 2)}


def test_few_large_blocks_leave_a_stated_error(tmp_path: Path) -> None:
    text = "".join(f"{START + HOUR * hour} {status(10 + hour, 100, block_sectors=2097152)}\n" for hour in range(2))
    observed = read(tmp_path, text)
    assert observed.frame["data_used_bytes"].tolist() == [10 * 2**30, 11 * 2**30]
    assert observed.frame["data_error_bytes"].iloc[0] > 0
    assert said(observed) == {"block size": (1, 2)}


def test_text_between_samples_is_told(tmp_path: Path) -> None:
    text = "cron: mail\n" + frame(START, status(1)) + "\nlogrotate\n" + frame(START + HOUR, status(2))
    observed = read(tmp_path, text)
    assert blocks(observed) == [1, 2]
    assert said(observed) == {"text outside samples": (1, 8)}


# --- errors


@pytest.mark.parametrize(("text", "says"), [
    ("", "empty"),
    ("hello\nworld\n", "no line begins with a time"),
    (status(1) + "\n" + status(2) + "\n", "no line begins with a time"),
    (plain([1]), "1 sample of a pool; two or more"),
    (plain([1]) * 3, "1 sample of a pool; two or more"),
    (f"{START} 0 100 linear 8:1 0\n{START + 1} 0 100 linear 8:1 0\n", "no sample tells of a thin pool"),
    (f"{START}\nStorage Driver: overlay2\n{START + 60}\nStorage Driver: overlay2\n", "no sample tells of a thin pool"),
    (plain([1, 2]).replace(" rw ", " rx "), "2 samples cannot be read, and 0 can"),
    (plain([1, 2]).replace("/1638400", "/1638401"), "2 samples cannot be read, and 0 can"),
    (frame(START, status(1)).replace("observed 1 ", "observed 2 "), "samples cannot be read"),
    (f"{iso(START)}\n" + '{"report": [{"lv": [{"lv_name": "p", "lv_attr": "twi-a-tz--", "lv_size": "1.00g", '
     '"data_percent": "1.00"}]}]}\n', "run with --units b"),
])
def test_what_cannot_be_repaired_is_refused_by_file_and_line(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ReaderError) as caught:
        read(tmp_path, text)
    assert says in str(caught.value)
    assert str(tmp_path / "pool.log") in str(caught.value)


def test_another_version_of_the_log_is_refused(tmp_path: Path) -> None:
    body = f"=== lab-observed 2 {iso(START)}\n"
    with pytest.raises(ReaderError, match="version 2; version 1 expected"):
        read(tmp_path, f"{body}=== end {posix_cksum(body.encode())} {len(body)}\n")


def test_several_pools_want_a_choice(tmp_path: Path) -> None:
    both = "".join(frame(START + HOUR * hour, f"{status(hour)}\n{status(100 + hour, pool='vg-other-tpool')}")
                   for hour in range(3))
    with pytest.raises(InputError, match="several pools: 'docker-pool', 'vg-other'"):
        read(tmp_path, both)
    assert blocks(read(tmp_path, both, "vg/other")) == [100, 101, 102]
    assert blocks(read(tmp_path, both, "/dev/mapper/docker-pool")) == [0, 1, 2]
    with pytest.raises(InputError, match="no sample tells of pool 'nope'"):
        read(tmp_path, both, "nope")


def test_pools_in_turn_want_a_choice(tmp_path: Path) -> None:
    turns = "".join(f"{START + HOUR * hour} {status(hour)}\n{START + HOUR * hour} {status(hour, pool='other')}\n"
                    for hour in range(3))
    with pytest.raises(InputError, match="several pools in turn"):
        read(tmp_path, turns)
    chosen = read(tmp_path, turns, "other")
    assert blocks(chosen) == [0, 1, 2]
    assert chosen.repairs == ()


def test_a_missing_file_and_a_cut_gzip_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match="cannot be read"):
        read_observed(tmp_path / "none.log")
    with pytest.raises(ReaderError, match="truncated or damaged gzip"):
        read(tmp_path, gzip.compress(plain(range(50)).encode())[:-20])


# --- properties

FRAMED = "".join(frame(START + HOUR * hour, status(1000 + 7 * hour)) for hour in range(6)).encode()
PLAIN = plain([1000 + 7 * hour for hour in range(6)]).encode()
SEEDS = [FRAMED, PLAIN, *((DATA / name).read_bytes() for name in ("docker-info.log", "lvs.log"))]
_QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def levels_of(observed: Observed) -> set[tuple[float, int, float]]:
    rows = observed.frame
    return {(observed.start_epoch_seconds + t, used, metadata) for t, used, metadata in zip(
        rows["t_seconds"], rows["data_used_bytes"], rows["metadata_used_bytes"], strict=True)}


def read_or_refuse(raw: bytes) -> Observed | None:
    """What is told of the log can be printed, whatever bytes it has."""
    with TemporaryDirectory() as folder:
        try:
            observed = read(Path(folder), raw)
        except InputError as error:
            str(error).encode()
            return None
        "\n".join([json.dumps(observed.document(), ensure_ascii=False), *map(str, observed.repairs)]).encode()
        return observed


@_QUICK
@given(raw=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    read_or_refuse(raw)


@_QUICK
@given(seed=st.sampled_from(SEEDS), at=st.integers(0, 3000), cut=st.integers(0, 60), put=st.binary(max_size=20))
def test_any_change_is_read_or_refused(seed: bytes, at: int, cut: int, put: bytes) -> None:
    at %= len(seed)
    read_or_refuse(seed[:at] + put + seed[at + cut:])


@_QUICK
@given(at=st.integers(0, len(FRAMED) - 1), cut=st.integers(0, 400), put=st.binary(max_size=30))
def test_no_change_to_a_framed_log_gives_a_wrong_number(at: int, cut: int, put: bytes) -> None:
    observed = read_or_refuse(FRAMED[:at] + put + FRAMED[at + cut:])
    if observed is None:
        return
    whole = read_or_refuse(FRAMED)
    assert whole is not None
    assert levels_of(observed) <= levels_of(whole)
    assert levels_of(observed) == levels_of(whole) or observed.repairs or at + cut >= len(FRAMED) or cut >= 190


@_QUICK
@given(seed=st.sampled_from(SEEDS), length=st.integers(0, 3000))
def test_no_truncation_gives_a_wrong_number(seed: bytes, length: int) -> None:
    whole, part = read_or_refuse(seed), read_or_refuse(seed[:length])
    assert whole is not None
    if part is not None:
        assert levels_of(part) <= levels_of(whole)


@given(st.text(max_size=40))
def test_a_leading_time_is_a_time_or_none(text: str) -> None:
    time = leading_time(text)
    assert time is None or isinstance(time.plausible, bool)


def test_times_in_any_zone_are_one_moment() -> None:
    texts = ["2026-11-01T00:00:00Z", "2026-11-01 00:00:00 UTC", "2026-11-01T01:00:00+01:00", "2026-10-31T19:30:00-0430",
             "1793491200", "1793491200.0", "2026-11-01T00:00Z", "2026-11-01T01:00+01:00", "2026-11-01 00:00",
             "20261101T000000Z", "20261101T0000+0000", "20261101T010000.0+01", "[2026-11-01 00:00:00]", "[1793491200]",
             "[2026-11-01T00:00:00Z]:", "(Sun Nov  1 00:00:00 UTC 2026)", "Sun Nov  1 00:00:00 GMT 2026",
             "2026-11-01 00:00:00 GMT"]
    assert {time.epoch_seconds for text in texts if (time := leading_time(text + " x")) is not None} == {START}
    assert all(leading_time(text) is not None for text in texts)
    for text in ("2026-13-01T00:00:00Z", "2026-11-01", "179349120", "17934912000", "2026-11-01T00Z",
                 "0 131072 thin"):
        assert leading_time(text) is None
