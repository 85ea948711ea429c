"""What a plan comes to on the host: LVM's commands, its profile, the daemon's configuration and alerts.

The lab runs none of it.  The commands are those of Docker's manual set-up of direct-lvm, with the sizes of the plan;
``lvchange --monitor`` is added, without which LVM extends nothing (lvmthin(7), dmeventd(8)).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from lab.answers.plan.answers import Alert
from lab.answers.plan.planning import Answers, group_for
from lab.answers.plan.sizing import STEPS_WANTED
from lab.model.pool.volume_group import EXTENT_BYTES, VolumeGroup
from lab.scenario.scenario import StorageSpec
from lab.units import format_bytes

VOLUME_GROUP, POOL = "docker", "thinpool"
PROFILE = "docker-thinpool"
SCRIPT, PROFILE_FILE, DAEMON, ALERTS = "create-pool.sh", f"{PROFILE}.profile", "daemon.json", "alerts.yaml"


def ready_files(found: Answers) -> dict[str, str]:
    """File name -> text.  Script and profile only where LVM makes the pool by hand; no rules without alerts."""
    group = group_for(found)
    files = {DAEMON: daemon_json(found, group)}
    if found.alerts:
        files[ALERTS] = alerts_yaml(found)
    if group is not None and found.plan.storage.kind.pool_made_by == "the lab":
        files |= {SCRIPT: script(found, group), PROFILE_FILE: profile(found.plan.storage)}
    return files


def profile(spec: StorageSpec) -> str:
    """For /etc/lvm/profile (lvm.conf(5), "activation")."""
    return ("# LVM extends the pool by this share of its size whenever it is fuller than the threshold.\n"
            "activation {\n"
            f"\tthin_pool_autoextend_threshold={spec.autoextend_threshold}\n"
            f"\tthin_pool_autoextend_percent={spec.autoextend_percent}\n"
            "}\n")


def script(found: Answers, group: VolumeGroup) -> str:
    """A shell script that makes the pool in a volume group that is there.  Commands that erase stand in comments."""
    plan, spec, name = _comment(found.plan.name), found.plan.storage, f"{VOLUME_GROUP}/{POOL}"
    chunk = (spec.chunk_size_bytes or 0) // 1024
    free = ("and LVM's spare of the same size.\n#   "
            f"The threshold of {spec.autoextend_threshold} % has LVM extend nothing.")
    if spec.extension_percent:
        free = (f"LVM's spare of the same size, and {_size(group.free_extents)}\n#   that stay free, so that LVM can "
                f"extend the data by {spec.extension_percent} % {STEPS_WANTED} times.")
    return f"""\
#!/bin/sh
# The thin pool of the plan "{plan}".  Read it before you run it, as root; nothing has run it for you.
#
# It needs a volume group "{VOLUME_GROUP}" with {_size(group.extents)} free:
#   data {_size(group.data_extents)}, metadata {_size(group.metadata_extents)}, {free}
# To make one on an empty disk (this erases the disk):
#   pvcreate /dev/DISK
#   vgcreate {VOLUME_GROUP} /dev/DISK
set -eu

# LVM rounds sizes up to whole extents.  With -l 95%VG and 1%VG, as Docker's documentation has it, next to nothing is
# left for extensions: 95 + 1 + 1 for the spare.
lvcreate --wipesignatures y -n {POOL} -L {_mebibytes(group.data_extents)} {VOLUME_GROUP}
lvcreate --wipesignatures y -n {POOL}meta -L {_mebibytes(group.metadata_extents)} {VOLUME_GROUP}

# Data blocks of {chunk} KiB.  They cannot be changed later.  Without zeroing: containers do not see each other's blocks
# through a file system.
lvconvert -y --zero n -c {chunk}K --thinpool {name} --poolmetadata {name}meta

# Autoextend: the profile is the file beside this one, and LVM has to watch the pool.
install -D -m 0644 "$(dirname "$0")/{PROFILE_FILE}" /etc/lvm/profile/{PROFILE_FILE}
lvchange --metadataprofile {PROFILE} {name}
lvchange --monitor y {name}

# "monitored" has to stand in the last column.
lvs -o +seg_monitor {name}
"""


def daemon_json(found: Answers, group: VolumeGroup | None) -> str:
    """For /etc/docker/daemon.json; logs are rotated, unless the plan says how they grow."""
    plan, spec = found.plan, found.plan.storage
    document: dict[str, object] = {"storage-driver": spec.driver}
    options = [*_options(found, group), *(["dm.mountopt=discard"] if plan.is_pool and spec.discard else [])]
    if options:
        document["storage-opts"] = options
    document["log-driver"] = "json-file"
    if not any(one.log_bytes_per_day for one in plan.workload):     # logs that the plan counts are not rotated
        document["log-opts"] = {"max-size": "10m", "max-file": "3"}
    return json.dumps(document, indent=2) + "\n"


def _options(found: Answers, group: VolumeGroup | None) -> list[str]:
    plan, spec = found.plan, found.plan.storage
    if not plan.is_pool:
        return []
    least = f"dm.min_free_space={plan.pool.min_free_space_percent}%"
    if spec.kind.pool_made_by == "the lab":
        return [f"dm.thinpooldev=/dev/mapper/{VOLUME_GROUP}-{POOL}", "dm.use_deferred_removal=true",
                "dm.use_deferred_deletion=true", least]
    if group is not None:       # the daemon lays the disk out by whole percents, and the group's are such
        force = ["dm.directlvm_device_force=true"] if spec.force else []
        return ["dm.directlvm_device=/dev/DISK", *force,
                f"dm.thinp_percent={-(-100 * group.data_extents // group.extents)}",
                f"dm.thinp_metapercent={-(-100 * group.metadata_extents // group.extents)}",
                f"dm.thinp_autoextend_threshold={spec.autoextend_threshold}",
                f"dm.thinp_autoextend_percent={spec.autoextend_percent}", least]
    return [f"dm.loopdatasize={found.data_bytes}", f"dm.loopmetadatasize={found.metadata.wanted}"
            if found.metadata else "dm.loopmetadatasize=2G", f"dm.blocksize={(spec.chunk_size_bytes or 0) // 1024}K",
            least]


def alerts_yaml(found: Answers) -> str:
    """Rules as Prometheus takes them, each with what it was worth in the replications."""
    on_host = f"lvs --noheadings -o data_percent,metadata_percent {VOLUME_GROUP}/{POOL}"
    if not found.plan.is_pool:
        on_host = "df --output=pcent /var/lib/docker"
    elif not found.plan.storage.on_lvm:
        on_host = "dmsetup status --target thin-pool"
    return rules_yaml(f'the plan "{found.plan.name}"', [(one.percent, _worth(one, found)) for one in found.alerts],
                      is_pool=found.plan.is_pool, on_host=on_host)


def rules_yaml(whose: str, alerts: Sequence[tuple[int, str]], *, is_pool: bool, on_host: str) -> str:
    """Rules for alerts at so many percent, rising, each with a comment; the last one is critical.  ``on_host``: the
    command that tells the same by hand.

    The metrics' names are to be replaced by those of whatever exports them.
    """
    data, metadata = (("thin_pool_data_percent", "thin_pool_metadata_percent") if is_pool
                      else ("filesystem_used_percent", None))
    metrics = data if metadata is None else f"{data} and {metadata}"
    lines = [f"# Alerts of {_comment(whose)}.  Put your exporter's metrics for {metrics} in.",
             f"# On a host: {_comment(on_host)}", "groups:", "  - name: container-storage", "    rules:"]
    for number, (percent, comment) in enumerate(alerts):
        severity = "critical" if number == len(alerts) - 1 else "warning"
        lines += [f"      # {_comment(comment)}", *_rule("Data", data, percent, severity)]
        if metadata is not None:
            lines += _rule("Metadata", metadata, percent, severity)
    return "\n".join(lines) + "\n"


def _rule(what: str, metric: str, percent: int, severity: str) -> Iterator[str]:
    yield f"      - alert: ContainerStorage{what}Above{percent}"
    yield f"        expr: {metric} > {percent}"
    yield "        for: 1m"
    yield "        labels:"
    yield f"          severity: {severity}"
    yield "        annotations:"
    yield f'          summary: "{what} above {percent} % on {{{{ $labels.instance }}}}"'


def _worth(alert: Alert, found: Answers) -> str:
    raised = f"{alert.percent} %: raised in {alert.raised.hits} of {alert.raised.n} replications of " \
             f"{found.plan.horizon_days:g} d"
    missed = f" In {alert.missed} that came before the alert, or without it." if alert.missed else ""
    if not alert.in_time:
        return f"{raised}; nothing was refused or had to wait after it.{missed}"
    return f"{raised}; in {alert.in_time} of these, {alert.median:.2g} d later (median; soonest {alert.soonest:.2g} " \
           f"d) something was refused or had to wait.{missed}"


def _mebibytes(extents: int) -> str:
    """As lvcreate -L takes it, whatever the extents of the group that it is made in."""
    return f"{extents * EXTENT_BYTES // 1024**2}m"


def _size(extents: int) -> str:
    return format_bytes(extents * EXTENT_BYTES)


def _comment(text: str) -> str:
    """The text as a comment's one line: what would end the line, or is no character, is written as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
