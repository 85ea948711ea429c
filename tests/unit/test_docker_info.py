"""The reader of docker info, docker ps -s and docker system df -v."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import ReaderError
from lab.readers.docker_info import Overlay2Status, block_size_bytes, parse_docker_info
from lab.readers.docker_json import parse_human_size
from lab.readers.docker_usage import parse_docker_ps, parse_docker_system_df

DATA = Path(__file__).parents[1] / "data" / "readers"
LOOP = (DATA / "docker-info-loop-lvm.json").read_text()
PS = (DATA / "docker-ps.jsonl").read_text()
DF = (DATA / "docker-system-df.json").read_text()


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


def test_docker_ps_tells_written_and_virtual_bytes() -> None:
    writer, idle = parse_docker_ps(PS)
    assert (writer.id, writer.name, writer.image, writer.state) == ("0a1b2c3d4e5f", "writer", "base:1", "running")
    assert (writer.size_bytes, writer.virtual_size_bytes) == (10_500_000, 199_000_000)
    assert (idle.size_bytes, idle.virtual_size_bytes) == (0, 188_000_000)


@pytest.mark.parametrize("shown", ["0B", "N/A", ""])
def test_docker_ps_without_s_gives_no_size_instead_of_zero(shown: str) -> None:
    (row,) = parse_docker_ps(PS.splitlines()[0].replace("10.5MB (virtual 199MB)", shown))
    assert (row.size_bytes, row.virtual_size_bytes) == (None, None)


def test_no_containers_is_an_empty_list() -> None:
    assert parse_docker_ps("") == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PS + "{", "f:3: malformed or truncated JSON"),
        (PS.replace("(virtual 188MB)", "(virtual"), "f:2: Size is '0B .virtual'"),
        (PS.replace("10.5MB", "10.5 parsecs"), "f:1: '10.5 parsecs' is not a decimal size"),
        (PS.replace('"Names":"idle"', '"Names":""'), "f:2: 'Names' is missing or empty"),
    ],
)
def test_a_bad_line_of_docker_ps_is_named_by_number(text: str, says: str) -> None:
    with pytest.raises(ReaderError, match=says):
        parse_docker_ps(text, name="f")


def test_system_df_is_typed_and_what_was_not_measured_is_none() -> None:
    usage = parse_docker_system_df(DF)
    base, untagged = usage.images
    assert (base.repository, base.tag, base.size_bytes) == ("base", "1", 188_000_000)
    assert (base.shared_size_bytes, base.unique_size_bytes, base.containers) == (0, 188_000_000, 2)
    assert (untagged.size_bytes, untagged.shared_size_bytes, untagged.containers) == (10**9, None, None)
    assert [(volume.name, volume.size_bytes, volume.links) for volume in usage.volumes] == [
        ("v", 104_900_000, 1),
        ("w", None, None),
    ]
    assert usage.build_cache_bytes == 1500


def test_a_container_that_wrote_nothing_has_a_measured_zero_in_system_df() -> None:
    sizes = [(row.size_bytes, row.virtual_size_bytes) for row in parse_docker_system_df(DF).containers]
    assert sizes == [(10_500_000, None), (0, None)]


def test_a_build_cache_entry_without_a_size_leaves_the_sum_unknown() -> None:
    assert parse_docker_system_df(DF.replace("1.5kB", "N/A")).build_cache_bytes is None
    assert parse_docker_system_df(DF.replace('"BuildCache":[', '"BuildCache":null,"_":[')).build_cache_bytes == 0


def test_system_df_without_v_is_refused() -> None:
    with pytest.raises(ReaderError, match=r"no 'Images'; keys: Active, Reclaimable, .*with -v"):
        parse_docker_system_df(
            '{"Active": "1", "Reclaimable": "0B", "Size": "1B", "TotalCount": "1", "Type": "Images"}'
        )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (DF.replace('"Links":"1"', '"Links":"one"'), "'Links' is 'one'"),
        (DF.replace('"Volumes":[', '"Volumes":[1,'), "'Volumes' is not a list of objects"),
        (DF[:-20], "truncated JSON"),
    ],
)
def test_a_bad_system_df_is_named(text: str, says: str) -> None:
    with pytest.raises(ReaderError, match=says):
        parse_docker_system_df(text)


@given(cut=st.integers(0, len(LOOP.rstrip()) - 1))
def test_a_truncated_docker_info_is_never_read(cut: int) -> None:
    with pytest.raises(ReaderError):
        parse_docker_info(LOOP[:cut])


@given(cut=st.integers(0, len(DF.rstrip()) - 1))
def test_a_truncated_system_df_is_never_read(cut: int) -> None:
    with pytest.raises(ReaderError):
        parse_docker_system_df(DF[:cut])


@given(cut=st.integers(0, len(PS)))
def test_a_truncated_docker_ps_gives_whole_rows_or_an_error(cut: int) -> None:
    try:
        rows = parse_docker_ps(PS[:cut])
    except ReaderError:
        return
    assert rows == parse_docker_ps(PS)[: len(rows)]
