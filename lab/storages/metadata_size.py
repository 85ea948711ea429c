"""Metadata sizes by the two rules of thumb.  ``lab.model.metadata.metadata`` says where they are wrong."""

from __future__ import annotations

from lab.units import METADATA_BLOCK_BYTES, METADATA_MAX_BLOCKS

KERNEL_BYTES_PER_BLOCK = 48
KERNEL_MIN_BYTES, KERNEL_MAX_BYTES = 2 * 1024**2, METADATA_MAX_BLOCKS * METADATA_BLOCK_BYTES
"""The largest is what the kernel can use, 15.9 GiB; thin-provisioning.rst says 16GB, above which it only warns."""

_TOOL_LEAF_ENTRIES = 126
"""Half of the 252 mappings that fill a leaf."""


def tool_rule_bytes(data_size_bytes: int, chunk_size_bytes: int, thins: int) -> int:
    """Metadata size by thin_metadata_size: (1 + data blocks / 126 + thins) x 4 KiB, the quotient rounded down.

    That is Debian 12's version, 0.9.0, which never rounds up and knows no largest size: 32.5 bytes a data block, as if
    leaves were half full.  Version 1 rounds the quotient up, and says 4 KiB more.

    >>> tool_rule_bytes(1 << 40, 65536, 1) // 1024
    532616
    """
    leaves = data_size_bytes // (_TOOL_LEAF_ENTRIES * chunk_size_bytes)
    return (1 + leaves + thins) * METADATA_BLOCK_BYTES


def kernel_rule_bytes(data_size_bytes: int, chunk_size_bytes: int) -> int:
    """Metadata size by thin-provisioning.rst: 48 x data size / block size, from 2 MiB to what the kernel can use.

    >>> kernel_rule_bytes(1 << 40, 65536) // 1048576
    768
    """
    return min(max(KERNEL_BYTES_PER_BLOCK * data_size_bytes // chunk_size_bytes, KERNEL_MIN_BYTES), KERNEL_MAX_BYTES)
