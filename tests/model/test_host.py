"""The host in time: what the model's clock decides, and limits that any scenario keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.model.container.host import NO_SPACE_SECONDS, CellFailed, Host
from lab.model.drivers.devicemapper import DeviceMapper
from lab.model.drivers.face import build_storage
from lab.model.drivers.storage import Refused, Storage
from lab.model.filesystems.ext4 import Ext4
from lab.model.parameters import Timing
from lab.model.pool.thinpool import PoolConfig, ThinPool
from lab.model.pool.volume_group import EXTENT_BYTES, VolumeGroup
from lab.readers.image_archive import box_image
from lab.scenario.scenario import Scenario, StepsWorkload, load_scenario

MIB, GIB = 1024**2, 1024**3


def scenario(folder: Path, steps: str, storage: str = "direct-lvm", disk: str = "4GiB", containers: int = 1,
             image: str = "lab/app:1", rounds: int = 1) -> Scenario:
    path = folder / "s.yaml"
    path.write_text(f"""\
name: s
question: What does the model do?
seed: 1
machine: {{pool_disk: {disk}, spare_disk: {disk}}}
storages: [{storage}]
targets: [layer]
workload:
  - name: w
    image: {image}
    containers: {containers}
    rounds: {rounds}
    steps: [{steps}]
""")
    return load_scenario(path)


def host_of(asked: Scenario) -> Host:
    machine: Any = asked.machine
    return Host(build_storage(asked.storages[0], machine.pool_disk_bytes), Timing())


def ran(asked: Scenario, *, host: Host | None = None) -> Host:
    workload = asked.workload[0]
    assert isinstance(workload, StepsWorkload)
    host = host or host_of(asked)
    image = box_image(workload.image)
    host.storage.load(image)
    host.run_cell(host.steps(workload, image, asked.seed, volume=False))
    return host


def growth(host: Host) -> dict[str, int]:
    return {phase.name: phase.after.storage_used - phase.before.storage_used for phase in host.phases}


@pytest.mark.parametrize("storage", ["overlay2-ext4", "overlay2-xfs"])
def test_without_writes_nothing_grows(tmp_path: Path, storage: str) -> None:
    host = ran(scenario(tmp_path, "start, pause: 300s, trim", storage))
    assert growth(host)["pause"] == growth(host)["trim"] == 0


def test_an_idle_container_on_a_pool_grows_once_when_its_inodes_are_written_back(tmp_path: Path) -> None:
    host = ran(scenario(tmp_path, "start, pause: 20s, pause: 20s, pause: 300s, pause: 300s"))
    told = growth(host)
    assert told["pause#2"] > 5 * MIB                        # half a minute after the mount
    asked = 512 * 1024                                      # being asked for its size can take a block each time
    assert max(told["pause#3"], told["pause#4"]) <= asked


def test_the_first_question_for_a_containers_size_changes_every_group_of_its_init_layer(tmp_path: Path) -> None:
    assert growth(ran(scenario(tmp_path, "start, pause: 1s")))["pause"] == 16 * 512 * 1024


@pytest.mark.parametrize("storage", ["loop-lvm", "direct-lvm", "direct-lvm-docker", "overlay2-ext4", "overlay2-xfs"])
def test_blocks_are_conserved_and_a_removed_container_leaves_nothing(tmp_path: Path, storage: str) -> None:
    asked = scenario(tmp_path, "start, write: {amount: 20MiB, files: 3}, update: {file: large.bin, amount: 1MiB}, "
                               "small_files: {count: 150, each: 9KiB}, delete: written, trim, remove",
                     storage, containers=2, rounds=2)
    host = ran(asked)
    assert sum(growth(host).values()) == host.phases[-1].after.storage_used - host.phases[0].before.storage_used
    if host.storage.mapper is not None:
        assert sum(growth(host).values()) == 0
        pool = host.storage.mapper.pool
        mapped = {int(thin.blocks[block]) for thin in pool.thins.values() for block in thin.mapped()}
        assert len(mapped) == pool.used_data_blocks
        assert pool.used_data_blocks + pool.free_data_blocks == pool.data_blocks
    else:
        # a folder never shrinks, and the inode chunks of the root's group stay
        assert 0 <= sum(growth(host).values()) < MIB


def test_the_same_scenario_gives_the_same_run(tmp_path: Path) -> None:
    asked = scenario(tmp_path, "start, write: {amount: 20MiB, files: 3}, update: {file: large.bin, amount: 1MiB}")
    first, second = ran(asked), ran(asked)
    assert (first.phases, first.samples) == (second.phases, second.samples)


def test_a_pool_laid_out_by_the_book_is_never_extended_and_one_with_room_is(tmp_path: Path) -> None:
    steps = "start, write: {amount: 750MiB, files: 5}, pause: 30s"
    book = ran(scenario(tmp_path, steps, disk="1GiB"))
    assert book.phases[-1].after.pool_data_total == book.phases[0].before.pool_data_total
    room = ran(scenario(tmp_path, steps, "{storage: direct-lvm, data_percent: 80}", disk="1GiB"))
    total = room.phases[-1].after.pool_data_total
    group = room.storage.group
    assert group is not None
    assert total == group.data_bytes
    assert total > (room.phases[0].before.pool_data_total or 0)
    assert group.free_extents >= 0


def test_dmeventd_extends_at_its_next_look(tmp_path: Path) -> None:
    host = ran(scenario(tmp_path, "start, write: {amount: 600MiB, files: 5}, pause: 30s",
                        "{storage: direct-lvm, data_percent: 70}", disk="1GiB"))
    totals = [sample.levels.pool_data_total or 0 for sample in host.samples]
    grown = next(number for number, total in enumerate(totals) if total > totals[0])
    full = next(number for number, sample in enumerate(host.samples)
                if 100 * sample.levels.storage_used > 80 * totals[0])
    assert 0 < host.samples[grown].at - host.samples[full].at <= 11


def test_a_writer_at_a_full_pool_waits_a_minute_and_fails(tmp_path: Path) -> None:
    asked = scenario(tmp_path, "start, write: {amount: 1500MiB, files: 1}", disk="1GiB")
    host = host_of(asked)
    with pytest.raises(CellFailed, match="waited in vain"):
        ran(asked, host=host)
    assert NO_SPACE_SECONDS <= host.env.now <= NO_SPACE_SECONDS + 30
    assert host.storage.running == {}


def test_the_daemon_refuses_a_container_when_a_tenth_of_the_pool_is_not_free(tmp_path: Path) -> None:
    asked = scenario(tmp_path, "start", disk="1GiB", containers=2)
    host = host_of(asked)
    host.storage.load(box_image("lab/app:1"))
    one = host.storage.start("one", box_image("lab/app:1"), volume=False)
    mapper = host.storage.mapper
    assert isinstance(mapper, DeviceMapper)
    host.storage.work(one).write((mapper.pool.free_data_blocks - mapper.pool.data_blocks // 20) * 524288, 1, "w")
    host.storage.sync()
    host.storage.flush()
    with pytest.raises(CellFailed, match="less than 10 %"):
        ran(asked, host=host)


def test_a_container_starts_while_the_tenth_that_docker_asks_for_rounded_down_is_free(tmp_path: Path) -> None:
    host = host_of(scenario(tmp_path, "start", disk="1GiB", containers=2))
    image = box_image("lab/app:1")
    host.storage.load(image)
    one = host.storage.start("one", image, volume=False)
    mapper = host.storage.mapper
    assert isinstance(mapper, DeviceMapper)
    pool = mapper.pool
    assert pool.data_blocks % 10, "a tenth that is no whole number of blocks"
    host.storage.sync()
    host.storage.flush()
    pool.create_thin(9999, pool.free_data_blocks * pool.chunk_size_bytes)
    pool.write(9999, range(0, (pool.free_data_blocks - pool.data_blocks // 10) * pool.chunk_size_bytes,
                           pool.chunk_size_bytes), 4096)
    assert pool.free_data_blocks == pool.data_blocks // 10
    host.storage.start("two", image, volume=False)
    with pytest.raises(Refused, match="less than 10 % of the pool is free"):
        host.storage.start("three", image, volume=False)
    assert one.name in host.storage.running


def test_the_daemon_refuses_a_container_for_want_of_metadata_as_well(tmp_path: Path) -> None:
    host = host_of(scenario(tmp_path, "start", disk="1GiB"))
    image = box_image("lab/app:1")
    host.storage.load(image)
    mapper = host.storage.mapper
    assert isinstance(mapper, DeviceMapper)
    pool = mapper.pool
    assert pool.metadata is not None
    device = 9999
    while pool.metadata.total_blocks - pool.metadata.used_blocks >= pool.metadata.total_blocks // 10:
        pool.create_thin(device, pool.chunk_size_bytes)         # an empty device takes metadata alone
        device += 1
    assert pool.free_data_blocks > pool.data_blocks // 10
    with pytest.raises(Refused, match="less than 10 % of the pool's metadata is free"):
        host.storage.start("one", image, volume=False)


def test_an_extension_that_does_not_fit_adds_nothing() -> None:
    group = VolumeGroup.on_disk(4 * GIB, 95, 1)
    assert (group.extents, group.data_extents, group.metadata_extents) == (1023, 971, 10)
    assert not group.extend(20)
    assert group.data_bytes == 971 * EXTENT_BYTES
    assert group.extend(3)
    assert group.free_extents == 1023 - 1001 - 20


def test_extensions_are_those_that_lvm_made() -> None:
    group = VolumeGroup(extents=1000, data_extents=256, metadata_extents=2)
    sizes = [group.data_extents for _ in range(5) if group.extend(20)]
    assert sizes == [308, 370, 444, 533, 640]


def test_a_traced_container_is_not_asked_for_its_size_once_it_runs(tmp_path: Path) -> None:
    steps = "start, pause: 1s, pause: 1s, pause: 1s, pause: 1s"
    plain = growth(ran(scenario(tmp_path, steps, "{storage: direct-lvm, chunk_size: 64KiB}")))
    file = tmp_path / "s.yaml"
    file.write_text(file.read_text().replace("rounds: 1", "trace: true"))
    traced = growth(ran(load_scenario(file)))
    assert traced["pause"] == plain["pause"] > 0            # asked once, after the start
    assert plain["pause#3"] > 0
    assert traced["pause#2"] == traced["pause#3"] == 0


def test_discards_go_down_at_once_with_the_mount_option_and_with_a_trim_without(tmp_path: Path) -> None:
    steps = "start, write: {amount: 64MiB, files: 2}, delete: written, trim"
    plain = growth(ran(scenario(tmp_path, steps)))
    mounted = growth(ran(scenario(tmp_path, steps, "{storage: direct-lvm, discard: true}")))
    assert plain["delete"] == 0
    assert plain["trim"] <= -60 * MIB
    assert mounted["delete"] <= -60 * MIB
    assert mounted["trim"] >= 0


def test_a_pool_whose_metadata_is_full_fails_the_cell_and_says_why(tmp_path: Path) -> None:
    asked = scenario(tmp_path, "start, write: {amount: 2000MiB, files: 1}",
                     "{storage: direct-lvm, chunk_size: 64KiB}")
    pool = ThinPool(PoolConfig(65536, 60_000, 160, skip_block_zeroing=True))
    files = Ext4()
    host = Host(Storage(asked.storages[0], files, files, mapper=DeviceMapper(pool)), Timing())
    with pytest.raises(CellFailed, match="its metadata is full"):
        ran(asked, host=host)
    assert host.storage.failed


def test_a_file_system_of_ten_gib_can_be_filled(tmp_path: Path) -> None:
    asked = scenario(tmp_path, "start, write: {amount: 11GiB, files: 11}", "loop-lvm")
    with pytest.raises(CellFailed, match="file system is full"):
        ran(asked)
