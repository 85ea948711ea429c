"""XFS on one device: which blocks its files, inodes, headers and log take, and when they are written.

It does what decides the blocks below, and nothing else:

- **Groups**: each new folder goes to the next allocation group, counted from 0 at every mount
  (``xfs_ialloc_next_ag``); a file goes to its folder's group.
- **Inodes** come 64 at a time, behind the last ones if there is room; a chunk whose inodes are all free is given back
  and its blocks never written (``xfs_ialloc_ag_alloc``, ``xfs_difree_inobt``).
- **Data** are allocated when they are written out, in one piece near the inode, from a stripe unit's length on at a
  multiple of the stripe unit (``xfs_bmap_btalloc``).  What was freed can be taken again when the log has it.
- **The log** is written in records, each a multiple of the log's stripe unit; a mount overwrites 2 MiB of it beyond
  its head (``xlog_clear_stale_blocks``); an unmount adds the records that make it clean.
- **Headers and inodes** stay in memory until a worker pushes them, every 30 s from the mount on, or until the unmount
  (``xfs_log_worker``).

Written for the thin devices of Docker's devicemapper driver, whose blocks decide what the pool allocates, and checked
there against thin_dump and block traces.  Names in brackets are functions in fs/xfs/ of Linux 6.1.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.model.filesystems.filesystem import BLOCK_BYTES, blocks_of, parent_of
from lab.model.filesystems.xfs_changes import Changes
from lab.model.filesystems.xfs_geometry import HEADER_BLOCKS, INODE_ALIGN_BLOCKS, INODE_CHUNK_BLOCKS, XfsGeometry
from lab.model.filesystems.xfs_inode import Extent, Inode
from lab.model.filesystems.xfs_log import Sink, XfsLog
from lab.model.filesystems.xfs_space import NoRoom, XfsSpace
from lab.model.parameters import LogCosts

WORKER_SECONDS = 30.0
"""``fs.xfs.xfssyncd_centisecs``."""

COPY_WINDOW_BLOCKS = 32
"""``XFS_DEFAULT_COWEXTSZ_HINT``: a write to a shared block copies, or reserves, so many in one."""

_CLUSTER_BLOCKS = 4
_INODES_PER_CLUSTER = 32
_END_BYTES = 128 * 1024
"""mkfs.xfs writes zeroes to the end of the device."""

_INLINE_ENTRIES = 12
"""Entries of a folder that fit into its inode, for names of usual length."""

_ENTRY_BYTES = 40
"""A name in a folder's block, its hash and its place, for names of usual length."""

_PREALLOCATED_BLOCKS = 16
"""A file that grows by small appends is given 64 KiB at a time (``xfs_iomap_prealloc_size``)."""


class Xfs:
    """One file system.  ``write`` and ``discard`` take what reaches the device, in order."""

    def __init__(self, geometry: XfsGeometry, write: Sink, discard_range: Sink, *, costs: LogCosts | None = None,
                 discard: bool = False) -> None:
        """Makes the file system (mkfs.xfs): headers, the root folder's inodes, the log, the device's end."""
        self.geometry = geometry
        self.discard = discard
        self._write, self._discard = write, discard_range
        self._costs = costs or LogCosts()
        self._changes = Changes()
        self._space = XfsSpace(geometry, self._changes)
        self._log = XfsLog(geometry, write)
        self._clusters: list[list[list[int]]] = [[] for _ in range(geometry.groups)]     # [first block, free inodes]
        self._nodes: dict[str, Inode] = {}
        self._waiting: dict[str, Iterable[int]] = {}
        """Blocks of files that only the page cache holds."""
        self._rotor = 0
        self._make()

    def _make(self) -> None:
        g = self.geometry
        for group in range(g.groups):
            self._put(group * g.group_blocks, HEADER_BLOCKS)
        root = max(g.stripe_blocks, INODE_ALIGN_BLOCKS)
        self._space.groups[0].take_at(root, INODE_CHUNK_BLOCKS)
        self._clusters[0] = [[root, _INODES_PER_CLUSTER - 3], [root + _CLUSTER_BLOCKS, _INODES_PER_CLUSTER]]
        self._nodes[""] = Inode(0, root, folder=True)
        self._put(root, INODE_CHUNK_BLOCKS)
        self._put(g.log_first, g.log_blocks)
        self._write(g.device_bytes - _END_BYTES, _END_BYTES)

    def copy(self, write: Sink, discard_range: Sink) -> Xfs:
        """The same files on a snapshot, unmounted."""
        other = object.__new__(Xfs)
        other.geometry, other.discard, other._costs = self.geometry, self.discard, self._costs
        other._write, other._discard = write, discard_range
        other._changes = self._changes.copy()
        other._space, other._log = self._space.copy(other._changes), self._log.copy(write)
        other._clusters = [[list(cluster) for cluster in group] for group in self._clusters]
        other._nodes = {path: node.copy() for path, node in self._nodes.items()}
        other._waiting = dict(self._waiting)
        other._rotor = self._rotor
        return other

    # -- mounting ---------------------------------------------------------------------------------------

    def mount(self) -> None:
        """Clears stale blocks of the log ahead of its head."""
        self._rotor, self._changes.since_mount = 0, False
        self._log.clear_stale_blocks()

    def unmount(self) -> None:
        """Writes all that is in memory, and the log's records of a clean end."""
        self.sync()
        changed = self._changes.since_mount
        self.push()
        self._log.write_records(self._costs.changed_records if changed else self._costs.clean_records)
        self._put(0, 1)

    def push(self) -> None:
        """Writes headers, inodes and folders that were changed; the worker does it every ``WORKER_SECONDS``."""
        self._force()
        for block in sorted(self._changes.blocks):
            self._put(block, 1)
        self._changes.blocks.clear()

    # -- files ------------------------------------------------------------------------------------------

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of that name."""
        return path in self._nodes

    def folders(self) -> list[str]:
        """Every folder."""
        return [path for path, node in self._nodes.items() if node.folder]

    def size_bytes(self, path: str) -> int:
        """A file's length."""
        return self._nodes[path].size_bytes

    def make_folders(self, path: str) -> None:
        """Makes a folder, and all above it that do not exist."""
        if path in self._nodes:
            return
        self.make_folders(parent_of(path))
        group, self._rotor = self._rotor, (self._rotor + 1) % self.geometry.groups
        self._add(path, group, folder=True)

    def create(self, path: str, size_bytes: int) -> None:
        """Makes a file, or gives an old one new content, written from start to end."""
        if path in self._nodes:
            self.remove(path)
        node = self._add(path, self._nodes[parent_of(path)].group, folder=False)
        node.size_bytes = size_bytes
        if size_bytes:
            self._waiting[path] = range(blocks_of(size_bytes))

    def overwrite(self, path: str, blocks: Iterable[int]) -> None:
        """Writes whole blocks of a file, in place or into a hole."""
        written = set(blocks)
        node = self._nodes[path]
        self._waiting[path] = written.union(self._waiting.get(path, ()))
        node.size_bytes = max(node.size_bytes, (max(written, default=-1) + 1) * BLOCK_BYTES)
        self._change_inode(node)

    def remove(self, path: str) -> None:
        """Removes a file, or a folder with all in it."""
        below = [other for other in self._nodes if other.startswith(f"{path}/")] if self._nodes[path].folder else []
        for one in sorted(below, key=lambda other: -other.count("/")):
            self._unlink(one)
        self._unlink(path)

    def fsync(self, path: str) -> None:
        """Writes a file's data, and the log."""
        self._flush(path)
        self._force()

    def sync(self) -> None:
        """Writes all data, and the log."""
        for path in list(self._waiting):
            self._flush(path)
        self._force()

    def trim(self) -> None:
        """Discards all free space."""
        self._force()
        for group, space in enumerate(self._space.groups):
            base = group * self.geometry.group_blocks
            for first, end in space.extents:
                self._discard((base + first) * BLOCK_BYTES, (end - first) * BLOCK_BYTES)

    def touch(self, path: str, *, logged: bool = True) -> None:
        """Changes times.  Not ``logged``: the inode is written, and the log stays as it was."""
        if logged:
            self._change_inode(self._nodes[path])
        else:
            self._changes.blocks.add(self._nodes[path].cluster)

    def held_blocks(self, blocks: int) -> int:
        """Blocks that a file holds while a program goes on appending to it."""
        return -(-blocks // _PREALLOCATED_BLOCKS) * _PREALLOCATED_BLOCKS

    def reflink(self, source: str, path: str) -> None:
        """A copy that shares its blocks until they are written (overlay's copy-up where the file system can).

        Only the copy knows that they are shared: the source must neither change nor go before it.
        """
        self._flush(source)
        shared = [Extent(e.offset, e.first, e.blocks, shared=True) for e in self._nodes[source].extents]
        self.create(path, 0)
        node = self._nodes[path]
        node.size_bytes, node.extents = self._nodes[source].size_bytes, shared

    @property
    def used_bytes(self) -> int:
        """Blocks in use, as statfs counts them, in bytes."""
        return self.geometry.device_bytes - self._space.free_blocks * BLOCK_BYTES

    # -- inodes and folders -----------------------------------------------------------------------------

    def _add(self, path: str, group: int, *, folder: bool) -> Inode:
        parent = self._nodes[parent_of(path)]
        node = self._new_inode(group)
        node.folder = folder
        self._nodes[path] = node
        self._change_inode(node)
        parent.entries += 1
        self._change_folder(parent)
        return node

    def _new_inode(self, group: int) -> Inode:
        self._space.change_header(group)
        clusters = self._clusters[group]
        for cluster in clusters:
            if cluster[1]:
                cluster[1] -= 1
                return Inode(group, cluster[0])
        base, space = group * self.geometry.group_blocks, self._space.groups[group]
        spot: int | None = clusters[-1][0] - base + _CLUSTER_BLOCKS if clusters else None
        if spot is None or not space.take_at(spot, INODE_CHUNK_BLOCKS):
            spot = space.take_near(3, INODE_CHUNK_BLOCKS, INODE_ALIGN_BLOCKS)
        if spot is None:
            raise NoRoom
        first = base + spot
        clusters += [[first, _INODES_PER_CLUSTER - 1], [first + _CLUSTER_BLOCKS, _INODES_PER_CLUSTER]]
        self._changes.blocks.update(range(first, first + INODE_CHUNK_BLOCKS))
        self._log.add(self._costs.inode_bytes)
        return Inode(group, first)

    def _unlink(self, path: str) -> None:
        node = self._nodes.pop(path)
        self._waiting.pop(path, None)
        for extent in node.extents:
            if not extent.shared:
                self._space.free_later(extent.first, extent.blocks)
        self._change_inode(node)
        self._space.change_header(node.group)
        self._free_inode(node)
        parent = self._nodes[parent_of(path)]
        parent.entries -= 1
        self._change_folder(parent)

    def _free_inode(self, node: Inode) -> None:
        clusters = self._clusters[node.group]
        place = next(number for number, cluster in enumerate(clusters) if cluster[0] == node.cluster)
        clusters[place][1] += 1
        pair = clusters[place - place % 2:place - place % 2 + 2]
        if node.group and sum(cluster[1] for cluster in pair) == 2 * _INODES_PER_CLUSTER:
            first = pair[0][0]
            del clusters[place - place % 2:place - place % 2 + 2]
            self._changes.blocks.difference_update(range(first, first + INODE_CHUNK_BLOCKS))
            self._space.free_later(first, INODE_CHUNK_BLOCKS)

    def _change_folder(self, node: Inode) -> None:
        self._change_inode(node)
        needed = 0 if node.entries <= _INLINE_ENTRIES else blocks_of(node.entries * _ENTRY_BYTES)
        held = sum(extent.blocks for extent in node.extents)
        if needed > held:
            node.extents.append(Extent(held, self._space.take(node.cluster, needed - held), needed - held))
        for extent in node.extents:
            self._changes.blocks.update(range(extent.first, extent.first + extent.blocks))
        self._log.add(self._costs.folder_block_bytes * bool(node.extents))

    def _change_inode(self, node: Inode) -> None:
        self._changes.add(node.cluster)
        self._log.add(self._costs.inode_bytes)

    # -- data -------------------------------------------------------------------------------------------

    def _flush(self, path: str) -> None:
        """Writes what the page cache holds of a file; holes are allocated, shared blocks copied."""
        delayed = self._waiting.pop(path, ())
        node = self._nodes[path]
        for offset, blocks in _runs(delayed):
            for first, length, part_offset in self._places(node, offset, blocks):
                if first is not None:
                    self._put(first, length)
                    continue
                aligned = not node.extents and part_offset == 0
                for spot, piece in self._space.take_pieces(node.cluster, length, aligned=aligned):
                    node.extents.append(Extent(part_offset, spot, piece))
                    part_offset += piece
                    self._change_inode(node)
                    self._put(spot, piece)

    def _places(self, node: Inode, offset: int, blocks: int) -> Iterable[tuple[int | None, int, int]]:
        """Runs of a file's blocks: where each lies (None: nowhere yet), its length, its first block in the file."""
        at, end = offset, offset + blocks
        while at < end:
            found = next((e for e in node.extents if e.offset <= at < e.offset + e.blocks), None)
            if found is None:
                following = min((e.offset for e in node.extents if e.offset > at), default=end)
                yield None, min(end, following) - at, at
                at = min(end, following)
            elif found.shared:
                at = self._copy_window(node, found, at)
            else:
                length = min(end, found.offset + found.blocks) - at
                yield found.first + at - found.offset, length, at
                at += length

    def _copy_window(self, node: Inode, extent: Extent, at: int) -> int:
        """Gives the window around a block blocks of its own.  Returns the block itself: it is looked up again."""
        low = max(extent.offset, at // COPY_WINDOW_BLOCKS * COPY_WINDOW_BLOCKS)
        high = min(extent.offset + extent.blocks, (at // COPY_WINDOW_BLOCKS + 1) * COPY_WINDOW_BLOCKS)
        node.extents.remove(extent)
        if low > extent.offset:
            node.extents.append(Extent(extent.offset, extent.first, low - extent.offset, shared=True))
        if high < extent.offset + extent.blocks:
            node.extents.append(Extent(high, extent.first + high - extent.offset,
                                       extent.offset + extent.blocks - high, shared=True))
        node.extents.append(Extent(low, self._space.take(node.cluster, high - low), high - low))
        self._change_inode(node)
        return at

    # -- what reaches the device ------------------------------------------------------------------------

    def _force(self) -> None:
        """Writes what the log has to hold; then what was freed is free."""
        self._log.force()
        for first, blocks in self._space.settle():
            if self.discard:
                self._discard(first * BLOCK_BYTES, blocks * BLOCK_BYTES)

    def _put(self, first: int, blocks: int) -> None:
        self._write(first * BLOCK_BYTES, blocks * BLOCK_BYTES)


def _runs(numbers: Iterable[int]) -> Iterable[tuple[int, int]]:
    """Runs of neighbours among different numbers: first and length, in rising order."""
    if isinstance(numbers, range) and numbers.step == 1:        # a new file's: one run, without looking at each block
        if numbers:
            yield numbers.start, len(numbers)
        return
    blocks = sorted(numbers)
    begin = 0
    for number in range(1, len(blocks) + 1):
        if number == len(blocks) or blocks[number] != blocks[number - 1] + 1:
            yield blocks[begin], number - begin
            begin = number
