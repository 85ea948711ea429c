"""direct-lvm in the model, whoever made it: a pool whose sizes are shares of LVM's volume group on the disk."""

from __future__ import annotations

from lab.model.drivers.devicemapper import DeviceMapper
from lab.model.drivers.storage import Storage
from lab.model.filesystems.ext4 import Ext4
from lab.model.parameters import LogCosts
from lab.model.pool.thinpool import PoolConfig, ThinPool
from lab.model.pool.volume_group import VolumeGroup
from lab.scenario.scenario import StorageSpec


class DirectLvm:
    """The pool takes the whole disk: the daemon's own files lie with the volumes, on the spare disk."""

    def build(self, spec: StorageSpec, pool_disk_bytes: int, costs: LogCosts | None) -> Storage:
        """A pool without images."""
        volumes = Ext4()
        group = VolumeGroup.on_disk(pool_disk_bytes, spec.data_percent or 0, spec.metadata_percent or 0)
        config = PoolConfig.from_sizes(spec.chunk_size_bytes or 0, group.data_bytes, group.metadata_bytes,
                                       ["skip_block_zeroing"])
        mapper = DeviceMapper(ThinPool(config), discard=spec.discard, costs=costs)
        return Storage(spec, volumes, volumes, mapper=mapper, group=group)


FACE = DirectLvm()
