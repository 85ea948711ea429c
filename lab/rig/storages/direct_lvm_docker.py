"""direct-lvm-docker in a machine: the daemon makes LVM's thin pool on the disk that it is given."""

from __future__ import annotations

from lab.rig.disks import Disks
from lab.rig.machine import Machine
from lab.rig.storages.direct_lvm import DirectLvm
from lab.scenario.scenario import StorageSpec


class DirectLvmDocker(DirectLvm):
    """As `DirectLvm`, but for who makes the pool."""

    def pool_options(self, machine: Machine, spec: StorageSpec, disks: Disks) -> list[str]:
        """The daemon's options of its own set-up ("Allow Docker to configure direct-lvm mode").

        The daemon looks for the disk's name in the output of lvmdiskscan, which knows no links.
        """
        disk = machine.run(["readlink", "-e", disks.pool]).stdout.strip()
        return [f"dm.directlvm_device={disk}", f"dm.thinp_percent={spec.data_percent}",
                f"dm.thinp_metapercent={spec.metadata_percent}",
                f"dm.thinp_autoextend_threshold={spec.autoextend_threshold}",
                f"dm.thinp_autoextend_percent={spec.autoextend_percent}",
                f"dm.directlvm_device_force={'true' if spec.force else 'false'}"]


FACE = DirectLvmDocker()
