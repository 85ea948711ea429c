"""XFS on a device: where mkfs puts things, where files go, and what is written when."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from lab.model.filesystems.filesystem import BLOCK_BYTES
from lab.model.filesystems.free_space import FreeSpace
from lab.model.filesystems.xfs import COPY_WINDOW_BLOCKS, Xfs, _runs
from lab.model.filesystems.xfs_geometry import XfsGeometry, xfs_geometry
from lab.model.filesystems.xfs_log import CLEARED_AT_MOUNT_BYTES

KIB, MIB, GIB = 1024, 1024**2, 1024**3

# what mkfs.xfs 6.1.0 prints for 10 GiB with su=CHUNK,sw=1: agsize, log start, log blocks, log sunit (bytes)
MKFS = {
    64 * KIB: (163840, 2097168 - 8 * (262144 - 163840), 16384, 65536),
    128 * KIB: (163840, 2097184 - 8 * (262144 - 163840), 16384, 131072),
    192 * KIB: (163872, 2097168 - 8 * (262144 - 163872), 16416, 196608),
    256 * KIB: (163840, 2097216 - 8 * (262144 - 163840), 16384, 262144),
    512 * KIB: (163840, 2097160 - 8 * (262144 - 163840), 16384, 32768),
    1024 * KIB: (163840, 2097160 - 8 * (262144 - 163840), 16384, 32768),
    2048 * KIB: (163840, 2097160 - 8 * (262144 - 163840), 16384, 32768),
}


class Disk:
    """Keeps what was written and discarded, in blocks of 4 KiB."""

    def __init__(self) -> None:
        self.blocks: set[int] = set()
        self.discarded: list[tuple[int, int]] = []

    def write(self, offset: int, length: int) -> None:
        self.blocks.update(range(offset // BLOCK_BYTES, -(-(offset + length) // BLOCK_BYTES)))

    def discard(self, offset: int, length: int) -> None:
        self.discarded.append((offset, length))


def make(chunk: int = 64 * KIB, **options: Any) -> tuple[Xfs, Disk]:
    disk = Disk()
    xfs = Xfs(xfs_geometry(10 * GIB, chunk), disk.write, disk.discard, **options)
    disk.blocks.clear()
    xfs.mount()
    return xfs, disk


@pytest.mark.parametrize("chunk", MKFS)
def test_the_layout_is_that_of_mkfs(chunk: int) -> None:
    geometry = xfs_geometry(10 * GIB, chunk)
    assert (geometry.group_blocks, geometry.log_first, geometry.log_blocks, geometry.log_unit_bytes) == MKFS[chunk]
    assert geometry.groups == 16


@pytest.mark.parametrize("device", [10 * GIB, 3 * GIB])
@pytest.mark.parametrize("chunk", [64 * KIB, 192 * KIB, 384 * KIB, 768 * KIB, 1536 * KIB, 48 * MIB, 64 * MIB])
def test_nothing_lies_beyond_the_device_whatever_the_data_block(chunk: int, device: int) -> None:
    """Groups begin at whole stripes: where these do not divide the device, the last group is shorter."""
    geometry = xfs_geometry(device, chunk)
    assert 0 <= device - geometry.device_bytes < 16 * MIB, "less than the least group is given up"
    assert sum(map(geometry.blocks_of, range(geometry.groups))) == geometry.blocks
    disk = Disk()
    xfs = Xfs(geometry, disk.write, disk.discard)
    xfs.mount()
    xfs.make_folders("a")
    xfs.create("a/file", 3000)
    xfs.unmount()
    xfs.mount()
    xfs.trim()
    assert (max(disk.blocks) + 1) * BLOCK_BYTES <= geometry.device_bytes
    assert max(offset + length for offset, length in disk.discarded) <= geometry.device_bytes
    kept = geometry.device_bytes - sum(length for _, length in disk.discarded)
    assert xfs.used_bytes == kept, "all that is free was discarded, and nothing twice"


def test_a_plain_disk_has_four_groups_and_no_stripe() -> None:
    geometry = xfs_geometry(4 * GIB, None)
    assert (geometry.groups, geometry.stripe_blocks) == (4, 1)


def test_a_mount_writes_two_mib_of_log_and_nothing_else() -> None:
    xfs, disk = make()
    first = xfs.geometry.log_first + xfs.geometry.log_unit_bytes // BLOCK_BYTES
    assert disk.blocks == set(range(first, first + CLEARED_AT_MOUNT_BYTES // BLOCK_BYTES))


def test_the_log_wraps_within_its_own_blocks() -> None:
    xfs, disk = make()
    for _ in range(600):
        xfs.unmount()
        xfs.mount()
    g: XfsGeometry = xfs.geometry
    assert disk.blocks == {0} | set(range(g.log_first, g.log_first + g.log_blocks))


def test_folders_go_from_group_to_group_and_files_to_their_folders() -> None:
    xfs, disk = make()
    disk.blocks.clear()
    for name in ("a", "b", "c"):
        xfs.make_folders(name)
        xfs.create(f"{name}/file", 8 * KIB)
    xfs.sync()
    groups = {block // xfs.geometry.group_blocks for block in disk.blocks} - {xfs.geometry.log_group}
    assert groups == {0, 1, 2}


def test_headers_and_inodes_wait_for_the_worker_while_data_and_log_do_not() -> None:
    xfs, disk = make()
    xfs.make_folders("a/b")                 # b lies in group 1
    xfs.create("a/b/file", 64 * KIB)
    disk.blocks.clear()
    xfs.fsync("a/b/file")
    header = xfs.geometry.group_blocks
    assert header not in disk.blocks
    assert len([block for block in disk.blocks if block // xfs.geometry.group_blocks == 1]) == 16
    xfs.push()
    assert header in disk.blocks


def test_a_file_of_a_stripe_unit_or_more_begins_at_one() -> None:
    xfs, disk = make(512 * KIB)
    xfs.make_folders("a")
    xfs.create("a/small", 12 * KIB)
    xfs.create("a/large", 512 * KIB)
    disk.blocks.clear()
    xfs.fsync("a/large")
    data = sorted(block for block in disk.blocks if block // xfs.geometry.group_blocks == 0)
    assert data[0] % 128 == 0
    assert len(data) == 128


def test_what_is_rewritten_in_place_takes_no_new_block() -> None:
    xfs, disk = make()
    xfs.make_folders("a")
    xfs.create("a/file", MIB)
    xfs.sync()
    used, before = xfs.used_bytes, set(disk.blocks)
    xfs.overwrite("a/file", range(0, 256, 3))
    xfs.sync()
    assert xfs.used_bytes == used
    assert {b for b in disk.blocks - before if b // xfs.geometry.group_blocks != xfs.geometry.log_group} == set()


def test_inodes_of_a_chunk_that_is_free_again_are_never_written() -> None:
    xfs, disk = make()
    xfs.make_folders("a/b")
    xfs.remove("a/b")
    disk.blocks.clear()
    xfs.unmount()
    inodes = {block for block in disk.blocks if xfs.geometry.group_blocks < block < 2 * xfs.geometry.group_blocks}
    assert inodes == set()


def test_a_removed_file_is_discarded_only_with_the_option_and_once_the_log_has_it() -> None:
    for discard in (False, True):
        xfs, disk = make(discard=discard)
        xfs.make_folders("a")
        xfs.create("a/file", MIB)
        xfs.sync()
        xfs.remove("a/file")
        assert disk.discarded == []
        xfs.sync()
        assert sum(length for _, length in disk.discarded) == (MIB if discard else 0)


def test_a_trim_discards_all_that_is_free() -> None:
    xfs, disk = make()
    xfs.trim()
    assert sum(length for _, length in disk.discarded) == xfs.geometry.device_bytes - xfs.used_bytes


def test_a_write_to_a_reflink_copies_its_window_and_no_more() -> None:
    xfs, _ = make()
    xfs.make_folders("a")
    xfs.create("a/file", 32 * MIB)
    xfs.sync()
    used = xfs.used_bytes
    xfs.reflink("a/file", "a/copy")
    xfs.sync()
    assert xfs.used_bytes == used
    xfs.overwrite("a/copy", [5, 6, 1000])
    xfs.sync()
    assert xfs.used_bytes == used + 2 * COPY_WINDOW_BLOCKS * BLOCK_BYTES
    xfs.overwrite("a/copy", [7])            # in a window that is its own now
    xfs.sync()
    assert xfs.used_bytes == used + 2 * COPY_WINDOW_BLOCKS * BLOCK_BYTES
    xfs.remove("a/copy")
    xfs.sync()
    assert xfs.used_bytes == used


names = st.sampled_from(["a", "b", "c", "d"])
actions = st.one_of(
    st.tuples(st.just("create"), names, st.integers(0, 3 * MIB)),
    st.tuples(st.just("overwrite"), names, st.integers(0, 700)),
    st.tuples(st.just("remove"), names, st.just(0)),
    st.tuples(st.just("sync"), names, st.just(0)),
    st.tuples(st.just("remount"), names, st.just(0)),
)


@given(st.lists(actions, max_size=40), st.sampled_from([64 * KIB, 192 * KIB, 512 * KIB]), st.booleans())
def test_no_block_has_two_owners_and_none_is_lost(program: list[tuple[str, str, int]], chunk: int,
                                                  discard: bool) -> None:
    xfs, _ = make(chunk, discard=discard)
    empty = xfs.used_bytes
    for action, name, number in program:
        path = f"{name}/file"
        if action == "create":
            xfs.make_folders(name)
            xfs.create(path, number)
        elif action == "overwrite" and xfs.exists(path):
            xfs.overwrite(path, [number])
        elif action == "remove" and xfs.exists(name):
            xfs.remove(name)
        elif action == "remount":
            xfs.unmount()
            xfs.mount()
        else:
            xfs.sync()
    xfs.sync()
    owned = [block for node in xfs._nodes.values() for extent in node.extents
             for block in range(extent.first, extent.first + extent.blocks)]
    owned += [block for group in xfs._clusters for cluster in group for block in range(cluster[0], cluster[0] + 4)]
    assert len(owned) == len(set(owned))
    free = {group * xfs.geometry.group_blocks + block for group, space in enumerate(xfs._space.groups)
            for first, end in space.extents if end - first < 5000 for block in range(first, end)}
    assert free.isdisjoint(owned)
    for name in ("a", "b", "c", "d"):
        if xfs.exists(name):
            xfs.remove(name)
    xfs.sync()
    kept = sum(len(group) for group in xfs._clusters[:1]) - 2          # the root's group keeps its inode chunks
    assert xfs.used_bytes == empty + kept * 4 * BLOCK_BYTES


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 400), st.sampled_from([1, 4, 16])), max_size=30))
def test_free_space_gives_back_what_it_gave(requests: list[tuple[int, int, int]]) -> None:
    space = FreeSpace([(10, 300), (320, 600)])
    taken = []
    for blocks, target, align in requests:
        spot = space.take_near(target, blocks, align)
        if spot is not None:
            assert spot % align == 0
            taken.append((spot, blocks))
    claimed = [block for spot, blocks in taken for block in range(spot, spot + blocks)]
    assert len(claimed) == len(set(claimed))
    for spot, blocks in taken:
        space.give(spot, blocks)
    assert space.extents == [(10, 300), (320, 600)]


@given(st.integers(0, 50), st.integers(0, 50), st.sets(st.integers(0, 60)))
def test_runs_of_a_range_are_those_of_its_numbers(first: int, length: int, scattered: set[int]) -> None:
    whole = range(first, first + length)
    assert list(_runs(whole)) == list(_runs(set(whole)))
    assert [block for begin, blocks in _runs(scattered) for block in range(begin, begin + blocks)] == sorted(scattered)
