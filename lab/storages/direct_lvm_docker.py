"""A thin pool of LVM on a disk, made by Docker's daemon itself."""

from __future__ import annotations

from lab.storages.direct_lvm import LVM_OPTIONS
from lab.storages.kind import Granularity, Pool, StorageKind
from lab.units import KIB

KIND = StorageKind(
    name="direct-lvm-docker", rig_face="lab.rig.storages.direct_lvm_docker",
    model_face="lab.model.drivers.direct_lvm",
    driver="devicemapper", granularity=Granularity.BLOCK, layers="xfs", backing=None,
    pool=Pool.LVM, pool_made_by="Docker", options={**LVM_OPTIONS, "force": False},
    fixed_chunk_bytes=512 * KIB, times_as="direct-lvm",
    space_from="dmsetup status",
    documentation="for production, one disk: \"Allow Docker to configure direct-lvm mode\" of Docker's page on the "
                  "device mapper storage driver")
