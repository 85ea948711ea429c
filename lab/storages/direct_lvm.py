"""A thin pool of LVM on a disk, made by hand as Docker's documentation has it."""

from __future__ import annotations

from lab.storages.kind import Granularity, Pool, StorageKind
from lab.units import KIB

LVM_OPTIONS = {"data_percent": 95, "metadata_percent": 1, "autoextend_threshold": 80, "autoextend_percent": 20}
"""Shares of the volume group and of the pool, in percent, as Docker's documentation sets them."""

KIND = StorageKind(
    name="direct-lvm", rig_face="lab.rig.storages.direct_lvm", model_face="lab.model.drivers.direct_lvm",
    driver="devicemapper", granularity=Granularity.BLOCK, layers="xfs", backing=None,
    pool=Pool.LVM, pool_made_by="the lab", options={"chunk_size": 512 * KIB, **LVM_OPTIONS},
    space_from="dmsetup status",
    documentation="for production: \"Configure direct-lvm mode manually\" of Docker's page on the device mapper "
                  "storage driver")
