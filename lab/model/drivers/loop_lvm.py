"""loop-lvm in the model: a pool of the sizes of Docker's defaults, whatever the disk below its sparse files holds."""

from __future__ import annotations

from lab.model.drivers.devicemapper import DeviceMapper
from lab.model.drivers.storage import Storage
from lab.model.filesystems.ext4 import Ext4
from lab.model.parameters import LogCosts
from lab.model.pool.thinpool import PoolConfig, ThinPool
from lab.scenario.scenario import StorageSpec
from lab.units import GIB

LOOP_DATA_BYTES, LOOP_METADATA_BYTES = 100 * GIB, 2 * GIB
"""``dm.loopdatasize`` and ``dm.loopmetadatasize`` by default."""


class LoopLvm:
    """The daemon's own files lie beside the sparse files, on the pool disk."""

    def build(self, spec: StorageSpec, pool_disk_bytes: int, costs: LogCosts | None) -> Storage:
        """A pool without images.  ``pool_disk_bytes`` does not matter here."""
        config = PoolConfig.from_sizes(spec.chunk_size_bytes or 0, LOOP_DATA_BYTES, LOOP_METADATA_BYTES,
                                       ["skip_block_zeroing"])
        return Storage(spec, Ext4(), Ext4(), mapper=DeviceMapper(ThinPool(config), discard=spec.discard, costs=costs))


FACE = LoopLvm()
