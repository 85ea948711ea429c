"""Metadata sizes by the two rules of thumb.  ``lab.model.metadata`` says where they are wrong."""

from __future__ import annotations

from lab.units import METADATA_BLOCK_BYTES

_TOOL_LEAF_ENTRIES = 126


def tool_rule_bytes(data_size_bytes: int, chunk_size_bytes: int, thins: int) -> int:
    """Metadata size by thin_metadata_size: (1 + data blocks / 126 + thins) x 4 KiB, the quotient rounded down.

    Seen of the tool itself, version 0.9.0: that is 32.5 bytes a data block, as if leaves were half full.

    >>> tool_rule_bytes(1 << 40, 65536, 1) // 1024
    532616
    """
    blocks = -(-data_size_bytes // chunk_size_bytes)
    return (1 + blocks // _TOOL_LEAF_ENTRIES + thins) * METADATA_BLOCK_BYTES


def kernel_rule_bytes(data_size_bytes: int, chunk_size_bytes: int) -> int:
    """Metadata size by thin-provisioning.rst: 48 x data size / block size, 2 MiB to 16 GiB.

    >>> kernel_rule_bytes(1 << 40, 65536) // 1048576
    768
    """
    return min(max(48 * data_size_bytes // chunk_size_bytes, 2 << 20), 16 << 30)
