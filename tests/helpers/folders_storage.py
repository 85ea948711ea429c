"""A storage that only tests have: plain folders on ext4 by the name of ``folders``, with its three faces."""

from __future__ import annotations

from lab.model.drivers.overlay import Overlay2
from lab.model.drivers.storage import Storage
from lab.model.filesystems.ext4 import Ext4
from lab.model.parameters import LogCosts
from lab.scenario.scenario import StorageSpec
from lab.storages.kind import Granularity, StorageKind

KIND = StorageKind(
    name="folders", rig_face="lab.rig.storages.overlay2", model_face=__name__, driver="folders",
    granularity=Granularity.FILE, layers="ext4", backing="ext4", space_from="statfs", documentation="of tests alone",
    times_as="overlay2-ext4")


class Folders:
    """As overlay2 on ext4."""

    def build(self, spec: StorageSpec, pool_disk_bytes: int, costs: LogCosts | None) -> Storage:
        """A file system without images."""
        below = Ext4()
        return Storage(spec, Ext4(), below, overlay=Overlay2(below))


FACE = Folders()
