"""Where mkfs.xfs puts things.

Source: mkfs.xfs of xfsprogs 6.1 (calc_default_ag_geometry, align_ag_geometry, calc_stripe_factors,
calculate_log_size); checked against what it prints for data blocks from 64 KiB to 2 MiB.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.model.filesystems.filesystem import BLOCK_BYTES

HEADER_BLOCKS = 10
"""Headers, roots of the free space, inode and reference count trees, and the free list's blocks, of every group."""

INODE_CHUNK_BLOCKS = 8
"""64 inodes of 512 bytes."""

INODE_ALIGN_BLOCKS = 16
"""Where an inode chunk begins that does not follow the one before (as seen in the traces)."""

_ROOT_BLOCKS = 6
"""Headers and roots, which the log cannot overlap; the free list is made around it."""

LARGEST_CHUNK_BYTES = 64 * 1024**2
"""A tenth of a group on Docker's devices of 10 GiB; what mkfs.xfs makes of larger data blocks is not modelled."""

_LEAST_GROUP_BLOCKS = 16 * 1024**2 // BLOCK_BYTES
_LOG_BYTES = 64 * 1024**2
_LARGEST_LOG_UNIT_BYTES, _USUAL_LOG_UNIT_BYTES = 256 * 1024, 32 * 1024
_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class XfsGeometry:
    """Blocks are of 4 KiB.  ``stripe_blocks`` is 1 on a device that tells no preferred size.  The last group may be
    shorter than ``group_blocks``."""

    blocks: int
    """Of the whole file system."""
    group_blocks: int
    groups: int
    stripe_blocks: int
    log_first: int
    log_blocks: int
    log_unit_bytes: int
    """A record in the log takes a multiple of this."""

    @property
    def log_group(self) -> int:
        """The allocation group that the log lies in."""
        return self.groups // 2

    @property
    def device_bytes(self) -> int:
        """The size of the file system."""
        return self.blocks * BLOCK_BYTES

    def blocks_of(self, group: int) -> int:
        """The length of a group."""
        return min(self.group_blocks, self.blocks - group * self.group_blocks)


def xfs_geometry(device_bytes: int, chunk_size_bytes: int | None) -> XfsGeometry:
    """The layout on a thin device, whose preferred size is the pool's data block, or on a plain disk (None).

    On a device that tells a stripe, mkfs.xfs makes 16 groups from 8 GiB on; on a plain disk, 4.
    """
    stripe = 1 if chunk_size_bytes is None else chunk_size_bytes // BLOCK_BYTES
    groups = 4 if chunk_size_bytes is None else 16 if device_bytes >= 8 * _GIB else 8
    blocks = device_bytes // BLOCK_BYTES
    group_blocks = -(-blocks // groups)
    group_blocks = -(-group_blocks // stripe) * stripe
    groups, rest = divmod(blocks, group_blocks)
    if rest >= _LEAST_GROUP_BLOCKS:
        groups += 1
    else:
        blocks -= rest          # too little for a group
    unit = BLOCK_BYTES if chunk_size_bytes is None else chunk_size_bytes
    if unit > _LARGEST_LOG_UNIT_BYTES:
        unit = _USUAL_LOG_UNIT_BYTES
    unit_blocks = unit // BLOCK_BYTES
    number = groups // 2 << (group_blocks - 1).bit_length()     # a block's number holds its group in the upper bits
    log_first = groups // 2 * group_blocks + -(-(number + _ROOT_BLOCKS) // unit_blocks) * unit_blocks - number
    log_blocks = -(-(_LOG_BYTES // BLOCK_BYTES) // unit_blocks) * unit_blocks
    return XfsGeometry(blocks, group_blocks, groups, stripe, log_first, log_blocks, unit)
