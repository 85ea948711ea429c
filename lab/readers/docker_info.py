"""``docker info``, ``docker ps -s`` and ``docker system df -v``, each with ``--format '{{json .}}'``.

Formats: the Engine API's SystemInfo (``GET /info``), and the docker command's formatters.  Docker
prints sizes as decimal text of 3 or 4 digits (``65.54kB``): every size here is an approximation,
but the pool's block size, which is known to be a multiple of 64 KiB and rounded to one.

>>> parse_human_size("107.4GB"), block_size_bytes("65.54 kB"), block_size_bytes("524.3kB")
(107400000000, 65536, 524288)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.errors import ReaderError
from lab.units import CHUNK_MAX_BYTES, CHUNK_STEP_BYTES

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "pb": 10**15}
_HUMAN_SIZE = re.compile(r"(\d+(?:\.\d+)?(?:e[+-]?\d{1,2})?)\s*([a-z]+)", re.IGNORECASE)
_CONTAINER_SIZE = re.compile(r"([^()]+?)(?:\s*\(virtual ([^()]+)\))?")
_NOT_MEASURED = ("", "N/A", "-1B", "-1")


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


@dataclass(frozen=True, slots=True)
class ContainerSize:
    """A row of ``docker ps -s``, or a container of ``docker system df -v``.

    ``size_bytes`` is what the container wrote, ``virtual_size_bytes`` that and its image; both are
    approximate, and None where Docker did not measure them (``docker ps`` without ``-s``; ``docker
    system df`` tells no virtual size).  ``id`` has 12 digits from ``docker ps``, 64 from ``docker
    system df``.
    """

    id: str
    name: str
    image: str
    state: str | None
    size_bytes: int | None
    virtual_size_bytes: int | None


@dataclass(frozen=True, slots=True)
class ImageSize:
    """An image of ``docker system df -v``; sizes in bytes, approximate, None if not measured."""

    id: str
    repository: str
    tag: str
    size_bytes: int | None
    shared_size_bytes: int | None
    unique_size_bytes: int | None
    containers: int | None


@dataclass(frozen=True, slots=True)
class VolumeSize:
    """A local volume of ``docker system df -v``; size in bytes, approximate, None if not measured."""

    name: str
    driver: str | None
    links: int | None
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """``docker system df -v``.  ``build_cache_bytes`` is the sum of its entries, None if one is not told."""

    images: tuple[ImageSize, ...]
    containers: tuple[ContainerSize, ...]
    volumes: tuple[VolumeSize, ...]
    build_cache_bytes: int | None


def parse_docker_info(text: str, *, name: str = "<docker info>") -> DockerInfo:
    """``docker info --format '{{json .}}'``.

    Raises ReaderError for anything else, and for the empty document that the client prints when the
    daemon does not answer.
    """
    info = _object(text, name)
    if "Driver" not in info and "ServerVersion" not in info:
        raise ReaderError("JSON, but not of docker info: neither Driver nor ServerVersion", where=name)
    if not info.get("Driver"):
        errors = info.get("ServerErrors")
        said = f": {'; '.join(map(str, errors))[:300]}" if isinstance(errors, list) and errors else ""
        raise ReaderError(f"no storage driver: the daemon did not answer{said}", where=name)
    driver, status = _string(info, "Driver", name), _driver_status(info.get("DriverStatus"), name)
    warnings = info.get("Warnings") or ()
    return DockerInfo(
        driver=driver,
        server_version=_string(info, "ServerVersion", name),
        kernel_version=_optional_string(info, "KernelVersion", name),
        operating_system=_optional_string(info, "OperatingSystem", name),
        cgroup_version=_optional_string(info, "CgroupVersion", name),
        cgroup_driver=_optional_string(info, "CgroupDriver", name),
        data_root=_optional_string(info, "DockerRootDir", name),
        driver_status=status,
        devicemapper=_devicemapper(status, name) if driver == "devicemapper" else None,
        overlay2=_overlay2(status, name) if driver in ("overlay2", "overlay") else None,
        warnings=tuple(map(str, warnings)) if isinstance(warnings, list | tuple) else (str(warnings),),
    )


def parse_docker_ps(text: str, *, name: str = "<docker ps>") -> list[ContainerSize]:
    """``docker ps -s --format '{{json .}}'``: one object a line; nothing gives an empty list.

    Raises ReaderError with file:line for a malformed or cut-off line.
    """
    lines = ((number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())
    return [_container(_object(line, f"{name}:{number}", line=True), f"{name}:{number}") for number, line in lines]


def parse_docker_system_df(text: str, *, name: str = "<docker system df>") -> DiskUsage:
    """``docker system df -v --format '{{json .}}'``.  Raises ReaderError for anything else."""
    usage = _object(text, name)
    images, containers, volumes, cache = (
        _objects(usage, key, name) for key in ("Images", "Containers", "Volumes", "BuildCache")
    )
    cached = [_size(entry, "Size", name) for entry in cache]
    return DiskUsage(
        images=tuple(_image(image, name) for image in images),
        containers=tuple(_container(row, name, zero_is_measured=True) for row in containers),
        volumes=tuple(_volume(volume, name) for volume in volumes),
        build_cache_bytes=None if None in cached else sum(size for size in cached if size is not None),
    )


def parse_human_size(text: str, *, where: str | None = None) -> int:
    """Bytes of Docker's decimal text (``10.74GB``, ``860.2 kB``), exact to its 3 or 4 digits only.

    Raises ReaderError for text that is no size.
    """
    match = _HUMAN_SIZE.fullmatch(text.strip())
    if match is None or match[2].lower() not in _UNITS:
        raise ReaderError(f"{text[:40]!r} is not a decimal size such as 524.3kB", where=where)
    return round(float(match[1]) * _UNITS[match[2].lower()])


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
        return _size(status, key, where)

    deleted = status.get("Deferred Deleted Device Count") or None
    if deleted is not None and not re.fullmatch(r"[0-9]{1,12}", deleted):
        raise ReaderError(f"Deferred Deleted Device Count is {deleted!r}, not a whole number", where=where)
    return DevicemapperStatus(
        pool_name=status["Pool Name"],
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
        library_version=status.get("Library Version") or None,
    )


def _overlay2(status: Mapping[str, str], where: str) -> Overlay2Status:
    return Overlay2Status(
        backing_filesystem=status.get("Backing Filesystem") or None,
        supports_d_type=_flag(status, "Supports d_type", where),
        native_overlay_diff=_flag(status, "Native Overlay Diff", where),
        userxattr=_flag(status, "userxattr", where),
    )


def _container(row: Mapping[str, Any], where: str, *, zero_is_measured: bool = False) -> ContainerSize:
    size, virtual = _container_sizes(_optional_string(row, "Size", where), where, zero_is_measured)
    return ContainerSize(
        id=_string(row, "ID", where),
        name=_string(row, "Names", where),
        image=_string(row, "Image", where),
        state=_optional_string(row, "State", where),
        size_bytes=size,
        virtual_size_bytes=virtual,
    )


def _container_sizes(text: str | None, where: str, zero_is_measured: bool) -> tuple[int | None, int | None]:
    """``1.05MB (virtual 189MB)``; ``0B`` alone is what ``docker ps`` prints when it did not ask."""
    if text is None or text in _NOT_MEASURED:
        return None, None
    match = _CONTAINER_SIZE.fullmatch(text)
    if match is None:
        raise ReaderError(f"Size is {text[:60]!r}; '1.05MB (virtual 189MB)' expected", where=where)
    size = parse_human_size(match[1], where=where)
    if match[2] is None:
        return size if size or zero_is_measured else None, None
    return size, parse_human_size(match[2], where=where)


def _image(row: Mapping[str, Any], where: str) -> ImageSize:
    return ImageSize(
        id=_string(row, "ID", where),
        repository=_string(row, "Repository", where),
        tag=_string(row, "Tag", where),
        size_bytes=_size(row, "Size", where),
        shared_size_bytes=_size(row, "SharedSize", where),
        unique_size_bytes=_size(row, "UniqueSize", where),
        containers=_count(row, "Containers", where),
    )


def _volume(row: Mapping[str, Any], where: str) -> VolumeSize:
    return VolumeSize(
        name=_string(row, "Name", where),
        driver=_optional_string(row, "Driver", where),
        links=_count(row, "Links", where),
        size_bytes=_size(row, "Size", where),
    )


def _object(text: str, where: str, *, line: bool = False) -> dict[str, Any]:
    if not text.strip():
        raise ReaderError("empty: JSON expected", where=where, remedy="run docker with --format '{{json .}}'")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        at = where if line else f"{where}:{error.lineno}"
        raise ReaderError(f"malformed or truncated JSON: {error.msg}", where=at) from None
    except (ValueError, RecursionError) as error:
        raise ReaderError(f"malformed JSON: {error}", where=where) from None
    if not isinstance(value, dict):
        raise ReaderError(f"JSON of type {type(value).__name__}, an object expected", where=where)
    return value


def _objects(values: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    if key not in values:
        has = ", ".join(list(values)[:6]) or "none"
        raise ReaderError(f"no {key!r}; keys: {has}", where=where, remedy="run docker system df with -v")
    rows = values[key]
    if rows is None:
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ReaderError(f"{key!r} is not a list of objects", where=where)
    return rows


def _string(values: Mapping[str, Any], key: str, where: str) -> str:
    value = _optional_string(values, key, where)
    if value is None:
        raise ReaderError(f"{key!r} is missing or empty", where=where)
    return value


def _optional_string(values: Mapping[str, Any], key: str, where: str) -> str | None:
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise ReaderError(f"{key!r} is {value!r:.60}, not text", where=where)
    return value or None


def _size(values: Mapping[str, Any], key: str, where: str) -> int | None:
    text = _optional_string(values, key, where)
    if text is None or text in _NOT_MEASURED:
        return None
    return parse_human_size(text, where=f"{where}: {key}")


def _flag(values: Mapping[str, str], key: str, where: str) -> bool | None:
    text = values.get(key, "")
    if text not in ("", "true", "false"):
        raise ReaderError(f"{key!r} is {text!r}; true or false expected", where=where)
    return None if not text else text == "true"


def _count(values: Mapping[str, Any], key: str, where: str) -> int | None:
    text = _optional_string(values, key, where)
    if text is None or text in _NOT_MEASURED:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise ReaderError(f"{key!r} is {text!r}, not a whole number", where=where)
    return int(text)
