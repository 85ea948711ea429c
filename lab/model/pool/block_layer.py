"""How the kernel's block layer cuts a discard before a thin device sees it.

A discard that does not begin at a multiple of the device's granularity, which for a thin device is the data block,
is cut there, so that what follows is aligned (``bio_discard_limit`` in block/blk-lib.c, Linux 6.1).  The cut is found
by ``round_up``, whose bit mask is right for powers of two only: with data blocks of 192 KiB or 320 KiB it falls
within a block, which then lies whole in neither part and stays mapped.

>>> discard_requests(4096, 3 * 65536, granularity_bytes=65536)
[(4096, 61440), (65536, 135168)]
>>> discard_requests(2637824, 593920, granularity_bytes=196608)
[(2637824, 180224), (2818048, 413696)]
"""

from __future__ import annotations

from lab.units import SECTOR_BYTES

_UINT_MAX = (1 << 32) - 1


def discard_requests(offset_bytes: int, length_bytes: int, granularity_bytes: int) -> list[tuple[int, int]]:
    """Offset and length, in bytes, of the requests that a discard becomes: blkdiscard(8) and fstrim(8) go this way.

    Offset and length are multiples of 512 B, as the ioctl demands.
    """
    requests = []
    sector, end = offset_bytes // SECTOR_BYTES, (offset_bytes + length_bytes) // SECTOR_BYTES
    while sector < end:
        sectors = min(end - sector, _limit_sectors(sector, granularity_bytes))
        requests.append((sector * SECTOR_BYTES, sectors * SECTOR_BYTES))
        sector += sectors
    return requests


def _limit_sectors(sector: int, granularity_bytes: int) -> int:
    """``bio_discard_limit``, masks and all: ``round_up(x, y)`` is ``((x - 1) | (y - 1)) + 1``."""
    aligned = ((sector - 1) | (granularity_bytes // SECTOR_BYTES - 1)) + 1 if sector else 0
    if aligned != sector:
        return aligned - sector
    return (_UINT_MAX & ~(granularity_bytes - 1)) // SECTOR_BYTES
