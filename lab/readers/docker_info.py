"""``docker info --format '{{json .}}'``: the daemon, and what its storage driver tells.

Formats: the Engine API's SystemInfo (``GET /info``), and the docker command's formatters.  Sizes are
approximations, as ``docker_json`` says, but the pool's block size, which is known to be a multiple of 64 KiB
and rounded to one.

>>> block_size_bytes("65.54 kB"), block_size_bytes("524.3kB")
(65536, 524288)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.errors import ReaderError
from lab.readers.docker_json import get_optional_text, get_size, get_text, parse_human_size, parse_object
from lab.units import CHUNK_MAX_BYTES, CHUNK_STEP_BYTES


@dataclass(frozen=True, slots=True)
class DevicemapperStatus:
    """``DriverStatus`` of the devicemapper driver.

    Sizes in bytes, from decimal text of 4 digits, but ``block_size_bytes``, which is exact below 100 MB.
    ``data_loop_file`` and ``metadata_loop_file`` are set for loop-lvm only.  What Docker does not
    tell is None.
    """

    pool_name: str
    block_size_bytes: int
    base_device_size_bytes: int | None
    backing_filesystem: str | None
    data_file: str | None
    metadata_file: str | None
    data_loop_file: str | None
    metadata_loop_file: str | None
    data_space_used_bytes: int | None
    data_space_total_bytes: int | None
    data_space_available_bytes: int | None
    metadata_space_used_bytes: int | None
    metadata_space_total_bytes: int | None
    metadata_space_available_bytes: int | None
    minimum_free_space_bytes: int | None
    udev_sync: bool | None
    deferred_removal: bool | None
    deferred_deletion: bool | None
    deferred_deleted_devices: int | None
    library_version: str | None

    @property
    def is_loop(self) -> bool:
        """Whether the pool lies on loop devices over sparse files (loop-lvm)."""
        return self.data_loop_file is not None


@dataclass(frozen=True, slots=True)
class Overlay2Status:
    """``DriverStatus`` of overlay2 and overlay.  What Docker does not tell is None."""

    backing_filesystem: str | None
    supports_d_type: bool | None
    native_overlay_diff: bool | None
    userxattr: bool | None


@dataclass(frozen=True, slots=True)
class DockerInfo:
    """What the daemon tells of itself.  ``driver_status`` is the driver's text, pair by pair."""

    driver: str
    server_version: str
    kernel_version: str | None
    operating_system: str | None
    cgroup_version: str | None
    cgroup_driver: str | None
    data_root: str | None
    driver_status: Mapping[str, str]
    devicemapper: DevicemapperStatus | None
    overlay2: Overlay2Status | None
    warnings: tuple[str, ...]


def parse_docker_info(text: str, *, name: str = "<docker info>") -> DockerInfo:
    """``docker info --format '{{json .}}'``.

    Raises ReaderError for anything else, and for the empty document that the client prints when the
    daemon does not answer.
    """
    info = parse_object(text, name)
    if "Driver" not in info and "ServerVersion" not in info:
        raise ReaderError("JSON, but not of docker info: neither Driver nor ServerVersion", where=name)
    if not info.get("Driver"):
        errors = info.get("ServerErrors")
        said = f": {'; '.join(map(str, errors))[:300]}" if isinstance(errors, list) and errors else ""
        raise ReaderError(f"no storage driver: the daemon did not answer{said}", where=name)
    driver, status = get_text(info, "Driver", name), _driver_status(info.get("DriverStatus"), name)
    warnings = info.get("Warnings") or ()
    return DockerInfo(driver=driver, server_version=get_text(info, "ServerVersion", name),
                      kernel_version=get_optional_text(info, "KernelVersion", name),
                      operating_system=get_optional_text(info, "OperatingSystem", name),
                      cgroup_version=get_optional_text(info, "CgroupVersion", name),
                      cgroup_driver=get_optional_text(info, "CgroupDriver", name),
                      data_root=get_optional_text(info, "DockerRootDir", name), driver_status=status,
                      devicemapper=_devicemapper(status, name) if driver == "devicemapper" else None,
                      overlay2=_overlay2(status, name) if driver in ("overlay2", "overlay") else None,
                      warnings=tuple(map(str, warnings)) if isinstance(warnings, list | tuple) else (str(warnings),))


def block_size_bytes(text: str, *, where: str | None = None) -> int:
    """Bytes of the pool's block: the multiple of 64 KiB nearest to the decimal text.

    Exact below 100 MB; above, Docker's four digits no longer tell neighbouring multiples apart.
    Raises ReaderError for text that is no size, or further from a multiple than its digits can be.
    """
    told = parse_human_size(text, where=where)
    nearest = min(round(told / CHUNK_STEP_BYTES) * CHUNK_STEP_BYTES, CHUNK_MAX_BYTES)
    if nearest < CHUNK_STEP_BYTES or abs(told - nearest) > told / 1000:
        raise ReaderError(f"block size {text[:40]!r} is no multiple of 64 KiB up to 1 GiB", where=where)
    return nearest


def _driver_status(pairs: Any, where: str) -> dict[str, str]:
    if pairs is None:
        return {}
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ReaderError("DriverStatus is not a list of pairs", where=where)
    return {str(key).strip(): str(value).strip() for key, value in pairs}


def _devicemapper(status: Mapping[str, str], where: str) -> DevicemapperStatus:
    for key in ("Pool Name", "Pool Blocksize"):
        if not status.get(key):
            raise ReaderError(f"driver devicemapper without {key!r} in DriverStatus", where=where)

    def size(key: str) -> int | None:
        return get_size(status, key, where)

    for what in ("Data", "Metadata"):
        _refuse_too_much(what.lower(), size(f"{what} Space Used"), size(f"{what} Space Available"),
                         size(f"{what} Space Total"), where)
    deleted = status.get("Deferred Deleted Device Count") or None
    if deleted is not None and not re.fullmatch(r"[0-9]{1,12}", deleted):
        raise ReaderError(f"Deferred Deleted Device Count is {deleted!r}, not a whole number", where=where)
    return DevicemapperStatus(pool_name=status["Pool Name"],
                              block_size_bytes=block_size_bytes(status["Pool Blocksize"], where=where),
                              base_device_size_bytes=size("Base Device Size"),
                              backing_filesystem=status.get("Backing Filesystem") or None,
                              data_file=status.get("Data file") or None,
                              metadata_file=status.get("Metadata file") or None,
                              data_loop_file=status.get("Data loop file") or None,
                              metadata_loop_file=status.get("Metadata loop file") or None,
                              data_space_used_bytes=size("Data Space Used"),
                              data_space_total_bytes=size("Data Space Total"),
                              data_space_available_bytes=size("Data Space Available"),
                              metadata_space_used_bytes=size("Metadata Space Used"),
                              metadata_space_total_bytes=size("Metadata Space Total"),
                              metadata_space_available_bytes=size("Metadata Space Available"),
                              minimum_free_space_bytes=size("Thin Pool Minimum Free Space"),
                              udev_sync=_flag(status, "Udev Sync Supported", where),
                              deferred_removal=_flag(status, "Deferred Removal Enabled", where),
                              deferred_deletion=_flag(status, "Deferred Deletion Enabled", where),
                              deferred_deleted_devices=None if deleted is None else int(deleted),
                              library_version=status.get("Library Version") or None)


def _refuse_too_much(what: str, used: int | None, available: int | None, total: int | None, where: str) -> None:
    """Sizes are rounded to four digits each: only what is beyond both roundings is refused."""
    for told, name in ((used, "used"), (available, "available")):
        if told is not None and total is not None and told > total * 1.001 + 1:
            raise ReaderError(f"{told} bytes of {what} {name} of {total}, more than there are", where=where)


def _overlay2(status: Mapping[str, str], where: str) -> Overlay2Status:
    return Overlay2Status(backing_filesystem=status.get("Backing Filesystem") or None,
                          supports_d_type=_flag(status, "Supports d_type", where),
                          native_overlay_diff=_flag(status, "Native Overlay Diff", where),
                          userxattr=_flag(status, "userxattr", where))


def _flag(values: Mapping[str, str], key: str, where: str) -> bool | None:
    text = values.get(key, "")
    if text not in ("", "true", "false"):
        raise ReaderError(f"{key!r} is {text!r}; true or false expected", where=where)
    return None if not text else text == "true"
