"""``dm.min_free_space``: how much of a pool has to be free before the daemon makes another device.

Source: ``poolHasFreeSpace`` in daemon/graphdriver/devmapper/deviceset.go of Docker 20.10, which asks it of data and of
metadata, in whole blocks of each.
"""

from __future__ import annotations

MIN_FREE_PERCENT = 10
"""By default."""

MIN_FREE_SHARE = MIN_FREE_PERCENT / 100


def least_free_blocks(total_blocks: int, percent: int = MIN_FREE_PERCENT) -> int:
    """Blocks of which none less may be free: the share rounded down, but one at least; at 0 percent nothing is asked.

    >>> least_free_blocks(2056), least_free_blocks(9), least_free_blocks(2056, 0)
    (205, 1, 0)
    """
    return max(1, total_blocks * percent // 100) if percent else 0
