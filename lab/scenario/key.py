"""Which fields of a scenario change a measurement: the content keys by which a run knows what it has measured already.

Every field of every part is listed once, as one that counts or as one that does not.  A field that is not listed is
refused when a key is made, so that nobody adds one without a decision: a field that counts and means what was always
done goes into ``LATER`` as well, with that value, and old runs can still be resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.scenario.steps import Part

_WORKLOAD = ("kind", "name", "image", "image_sha256", "drop_caches")
_STEP = ("kind", "drop_caches")

COUNTED: dict[str, tuple[str, ...]] = {
    "StorageSpec": ("storage", "label", "chunk_size_bytes", "data_percent", "metadata_percent", "autoextend_threshold",
                    "autoextend_percent", "discard", "force", "throttle"),
    "Throttle": ("bandwidth_bytes", "operations"),
    "MachineSpec": ("memory_bytes", "cpus", "pool_disk_bytes", "spare_disk_bytes", "disks"),
    "Cell": ("storage", "target", "workload"),
    "FioWorkload": (*_WORKLOAD, "jobs_text", "sections", "repeats"),
    "StepsWorkload": (*_WORKLOAD, "steps", "containers", "rounds", "trace"),
    "CommandWorkload": (*_WORKLOAD, "command", "timeout_seconds"),
    "Start": _STEP,
    "Write": (*_STEP, "amount_bytes", "files"),
    "Update": (*_STEP, "file", "amount_bytes"),
    "SmallFiles": (*_STEP, "count", "each_bytes"),
    "Log": (*_STEP, "lines", "width"),
    "Delete": (*_STEP, "what"),
    "Trim": _STEP,
    "Pause": (*_STEP, "seconds"),
    "Remove": _STEP,
    "RemoveImage": _STEP,
}
"""By the name of a part's class: the fields whose value a cell's key is made of."""

NOT_COUNTED: dict[str, tuple[str, ...]] = {
    "MachineSpec": ("accelerator",),                            # which one it had, each run's manifest says
    "Cell": ("id",),                                            # made of what counts
    "FioWorkload": ("targets", "image_file", "jobs"),           # the cell has its target, and the files their content
    "StepsWorkload": ("targets", "image_file"),
    "CommandWorkload": ("targets", "image_file"),
}
"""Fields that a cell's key says nothing of."""

LATER: dict[str, dict[str, Any]] = {
    "StorageSpec": {"force": None, "throttle": None},
    "StepsWorkload": {"rounds": 1},
}
"""Fields that the first keys did not have, with the value that means what was done then: at it, they are left out."""

SETUP: dict[str, tuple[str, ...]] = {
    "StorageSpec": ("storage", "label", "chunk_size_bytes", "data_percent", "metadata_percent", "autoextend_threshold",
                    "autoextend_percent", "discard"),
    "MachineSpec": ("memory_bytes", "cpus", "pool_disk_bytes", "spare_disk_bytes", "disks"),
}
"""The fields, in this order, that the key of a storage's set-up tells itself; its cells' keys are part of it too."""


def content_of(part: Part) -> dict[str, Any]:
    """What a part adds to a cell's key, as JSON has it.

    Raises TypeError for a part or a field of which nobody has decided whether it changes a measurement.
    """
    name = type(part).__name__
    check_decided(name, list(type(part).model_fields))
    later = LATER.get(name, {})
    values = {field: getattr(part, field) for field in COUNTED[name]}
    return {field: _plain(value) for field, value in values.items() if field not in later or value != later[field]}


def setup_text(part: Part) -> str:
    """What a set-up's key holds of a storage or a machine.  Raises TypeError as ``content_of`` does."""
    name = type(part).__name__
    check_decided(name, list(type(part).model_fields))
    told = ", ".join(f"{field}={getattr(part, field)!r}" for field in SETUP[name])
    return f"{name}({told})"


def check_decided(name: str, fields: Sequence[str]) -> None:
    """Raises TypeError unless each of a class's fields is listed here, once."""
    listed = [*COUNTED.get(name, ()), *NOT_COUNTED.get(name, ())]
    for field in fields:
        if listed.count(field) != 1:
            raise TypeError(f"does {name}.{field} change a measurement? list it once in lab/scenario/key.py, under "
                            "COUNTED or NOT_COUNTED; it is there "
                            f"{'not at all' if field not in listed else 'more than once'}")


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return content_of(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
