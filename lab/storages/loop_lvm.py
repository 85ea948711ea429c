"""Docker's default thin pool, on two sparse files of the file system below the daemon."""

from __future__ import annotations

from lab.storages.kind import Granularity, Pool, StorageKind
from lab.units import KIB

KIND = StorageKind(
    name="loop-lvm", rig_face="lab.rig.storages.loop_lvm", model_face="lab.model.drivers.loop_lvm",
    driver="devicemapper", granularity=Granularity.BLOCK, layers="xfs", backing="ext4",
    pool=Pool.LOOP, pool_made_by="Docker", options={"chunk_size": 64 * KIB},
    space_from="dmsetup status",
    documentation="for tests and not for production: \"Configure loop-lvm mode for testing\" of Docker's page on "
                  "the device mapper storage driver")
