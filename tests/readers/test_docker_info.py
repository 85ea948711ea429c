"""The reader of docker info."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import ReaderError
from lab.readers.docker_info import Overlay2Status, block_size_bytes, parse_docker_info
from lab.readers.docker_json import parse_human_size

DATA = Path(__file__).parents[1] / "data" / "readers"
LOOP = (DATA / "docker-info-loop-lvm.json").read_text()


def with_status(key: str, value: str | None) -> str:
    info = json.loads(LOOP)
    info["DriverStatus"] = [pair for pair in info["DriverStatus"] if pair[0] != key]
    if value is not None:
        info["DriverStatus"].append([key, value])
    return json.dumps(info)


def go_human_size(size_bytes: int, digits: int) -> str:
    """As go-units' HumanSizeWithPrecision prints it."""
    value, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.{digits}g}{unit}"


def test_the_daemon_is_typed() -> None:
    info = parse_docker_info(LOOP)
    assert (info.driver, info.server_version, info.kernel_version) == (
        "devicemapper",
        "20.10.24+dfsg1",
        "6.1.0-18-amd64",
    )
    assert (info.cgroup_version, info.cgroup_driver, info.data_root) == ("2", "systemd", "/var/lib/docker")
    assert info.driver_status["Pool Blocksize"] == "65.54kB"
    assert len(info.warnings) == 1
    assert info.overlay2 is None


def test_a_loop_lvm_pool_is_typed_with_its_exact_block_size() -> None:
    pool = parse_docker_info(LOOP).devicemapper
    assert pool is not None
    assert pool.is_loop
    assert pool.pool_name == "docker-8:1-1310721-pool"
    assert pool.block_size_bytes == 65536
    assert (pool.data_file, pool.data_loop_file) == ("/dev/loop0", "/var/lib/docker/devicemapper/devicemapper/data")
    assert (pool.data_space_used_bytes, pool.data_space_total_bytes) == (1_024_000_000, 107_400_000_000)
    assert (pool.metadata_space_used_bytes, pool.metadata_space_total_bytes) == (17_930_000, 2_147_000_000)
    assert (pool.udev_sync, pool.deferred_removal, pool.deferred_deletion, pool.deferred_deleted_devices) == (
        True,
        True,
        True,
        0,
    )
    assert (pool.backing_filesystem, pool.library_version) == ("xfs", "1.02.185 (2022-05-18)")
    assert (pool.base_device_size_bytes, pool.minimum_free_space_bytes) == (10_740_000_000, 10_740_000_000)


def test_a_direct_lvm_pool_has_no_loop_files() -> None:
    pool = parse_docker_info(with_status("Data loop file", None)).devicemapper
    assert pool is not None
    assert (pool.is_loop, pool.data_loop_file) == (False, None)


def test_what_devicemapper_does_not_tell_is_none() -> None:
    pool = parse_docker_info(with_status("Data Space Used", None)).devicemapper
    assert pool is not None
    assert pool.data_space_used_bytes is None


def test_overlay2_is_typed() -> None:
    info = parse_docker_info((DATA / "docker-info-overlay2.json").read_text())
    assert info.overlay2 == Overlay2Status("extfs", True, True, False)
    assert info.devicemapper is None
    assert info.warnings == ()


def test_a_driver_without_a_type_keeps_its_text() -> None:
    info = parse_docker_info('{"Driver": "vfs", "ServerVersion": "20.10", "DriverStatus": null}')
    assert (info.driver, info.driver_status, info.devicemapper, info.overlay2) == ("vfs", {}, None, None)


def test_the_document_of_a_client_without_a_daemon_is_refused() -> None:
    with pytest.raises(ReaderError, match="no storage driver: the daemon did not answer"):
        parse_docker_info((DATA / "docker-info-no-daemon.json").read_text())
    with pytest.raises(ReaderError, match="did not answer: Cannot connect"):
        parse_docker_info('{"Driver": "", "ServerErrors": ["Cannot connect"]}')


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "f: empty: JSON expected"),
        ("Client:\n Context: default\n", "f:1: malformed or truncated JSON"),
        ("[1]", "JSON of type list"),
        ('{"report": []}', "not of docker info"),
        ('{"Driver": "overlay2"}', "'ServerVersion' is missing"),
        ('{"Driver": 3, "ServerVersion": "1"}', "'Driver' is 3, not text"),
        ('{"Driver": "vfs", "ServerVersion": "1", "DriverStatus": {"a": 1}}', "not a list of pairs"),
        (with_status("Pool Name", None), "devicemapper without 'Pool Name'"),
        (with_status("Pool Blocksize", "70kB"), "block size '70kB' is no multiple of 64 KiB"),
        (with_status("Pool Blocksize", "64k"), "'64k' is not a decimal size"),
        (with_status("Data Space Used", "1.0 GiB"), "f: Data Space Used: '1.0 GiB' is not a decimal size"),
        (with_status("Udev Sync Supported", "yes"), "'Udev Sync Supported' is 'yes'"),
        (with_status("Deferred Deleted Device Count", "few"), "Count is 'few'"),
    ],
)
def test_a_bad_docker_info_is_named(text: str, says: str) -> None:
    with pytest.raises(ReaderError, match=says):
        parse_docker_info(text, name="f")


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("0B", 0), ("860.2 kB", 860_200), ("10.74GB", 10_740_000_000), ("1e+03kB", 1_000_000), ("1.5TB", 15 * 10**11)],
)
def test_human_sizes_are_decimal(text: str, size_bytes: int) -> None:
    assert parse_human_size(text) == size_bytes


@given(steps=st.integers(1, 16384))
def test_every_block_size_comes_back_exactly_while_four_digits_tell_it(steps: int) -> None:
    size_bytes = steps * 65536
    text = go_human_size(size_bytes, 4)
    if size_bytes < 10**8:
        assert block_size_bytes(text) == size_bytes
    else:
        assert abs(block_size_bytes(text) - size_bytes) <= size_bytes / 1000


@given(size_bytes=st.integers(0, 10**14))
def test_human_sizes_are_right_to_their_digits(size_bytes: int) -> None:
    assert abs(parse_human_size(go_human_size(size_bytes, 4)) - size_bytes) <= size_bytes / 1000


@given(cut=st.integers(0, len(LOOP.rstrip()) - 1))
def test_a_truncated_docker_info_is_never_read(cut: int) -> None:
    with pytest.raises(ReaderError):
        parse_docker_info(LOOP[:cut])
