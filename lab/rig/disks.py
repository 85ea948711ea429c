"""The two block devices that every storage stands on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Disks:
    """``pool`` for layers, ``spare`` for volumes; of equal size, and named by ``/dev/disk/by-id/``.

    The offsets say where they begin on the disk that a block trace counts from: 0 unless they are partitions.
    """

    pool: str
    spare: str
    pool_offset_bytes: int = 0
    spare_offset_bytes: int = 0


VM_DISKS = Disks("/dev/disk/by-id/virtio-pool", "/dev/disk/by-id/virtio-spare")
"""Those of the lab's own VM, by the serial numbers that it gives them."""
