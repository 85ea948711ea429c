"""What a sample of an observed log says of a thin pool, with the error that its rounding leaves.

``dmsetup status`` counts blocks and is exact.  ``lvs`` tells percentages of two decimals, ``docker info`` sizes of
four digits: half a unit of the last digit is carried as an error in bytes, and so are the block sizes that a status
of few large blocks leaves open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lab.errors import ReaderError
from lab.monitoring.framing import Section
from lab.readers.dmsetup import OtherStatus, PoolStatus, parse_status_line
from lab.readers.docker_info import block_size_bytes, parse_docker_info
from lab.readers.docker_json import parse_human_size, unit_bytes
from lab.readers.lvm import FAILED, METADATA_READ_ONLY, OUT_OF_DATA, LogicalVolume, parse_lvs
from lab.readers.pool_block import block_range
from lab.units import METADATA_BLOCK_BYTES

Source = Literal["dmsetup", "lvs", "docker"]

SOURCES: tuple[Source, ...] = ("dmsetup", "lvs", "docker")
"""The most exact first: a sample that holds several is read from the first that it has."""

MOST_BYTES = 1 << 60
"""A pool is not larger; what is, was misread."""

DOCKER_DIGITS = 4
"""go-units prints sizes with ``%.4g``."""

_STATUS_LINE = re.compile(r"(?:\S+: )?[0-9]+ [0-9]+ [a-z]")
_DOCKER_SIZE = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,9}))?\s*([A-Za-z]+)")
_KERNEL = re.compile(r"([0-9]{1,3})\.([0-9]{1,4})")
_LVS_REMEDY = "run lvs --reportformat json --units b -o vg_name,lv_name,lv_attr,lv_size,lv_metadata_size,chunk_size," \
              "data_percent,metadata_percent"
_LVS_HEADING = re.compile(r"\s*LV\s+VG\s+Attr\s")
_LVS_ROW = re.compile(r"(?:^|[\s,;|:'\"=])t[wr]i[-a-zA-Z][-a-zA-Z][-a-zA-Z][-a-zA-Z][-a-zA-Z][-a-zA-Z][-a-zA-Z]?"
                      r"(?=[\s,;|:'\"]|$)")


@dataclass(frozen=True, slots=True)
class PoolReading:
    """A pool at one time, in bytes.  ``pool`` is its device-mapper name without ``-tpool``, empty if not told.

    Each ``…_error_bytes`` bounds what rounding hides, to either side.  Metadata, block size, transaction id and mode
    are None where the source does not tell them.  ``failed``: the pool showed ``Fail``, and nothing else is told.

    ``data_limit_bytes`` and ``metadata_limit_bytes`` are None, or less than the total: as far as a pool on sparse
    files can be filled before the file system below them is full.  ``has_reserve``: whether used metadata hold the
    reserve that kernels keep since 4.20; None where the source does not tell the kernel.
    """

    pool: str
    source: Source
    data_used_bytes: int
    data_total_bytes: int
    data_error_bytes: int = 0
    data_total_error_bytes: int = 0
    metadata_used_bytes: int | None = None
    metadata_total_bytes: int | None = None
    metadata_error_bytes: int | None = None
    block_bytes: int | None = None
    transaction_id: int | None = None
    mode: str | None = None
    failed: bool = False
    data_limit_bytes: int | None = None
    metadata_limit_bytes: int | None = None
    has_reserve: bool | None = None


def pool_readings(section: Section, name: str) -> list[PoolReading]:
    """The thin pools that one command's output tells of; none is an empty list.

    Raises ReaderError with file:line for output that is cut off, malformed, or of another command.
    """
    where = f"{name}:{section.line}"
    text = section.text.strip()
    kind = section.command or _kind(text)
    if kind == "dmsetup":
        readings = _of_dmsetup(section, name)
    elif kind == "lvs":
        readings = [_of_volume(volume, where) for volume in parse_lvs(section.text, name=where) if _tells_pool(volume)]
    elif kind == "docker":
        readings = _of_docker(text, where)
    elif kind == "lvs text":
        raise ReaderError("text of lvs, which rounds sizes, and not its JSON", where=where, remedy=_LVS_REMEDY)
    elif kind == "lvdisplay":
        raise ReaderError("text of lvdisplay, which rounds sizes", where=where, remedy=_LVS_REMEDY)
    else:
        raise ReaderError(f"{text[:60]!r} is neither dmsetup status, nor lvs' JSON, nor docker info" if text else
                      "nothing follows the time", where=where)
    for reading in readings:
        totals = {"data": reading.data_total_bytes, "metadata": reading.metadata_total_bytes}
        for what, total in totals.items():
            if not reading.failed and total is not None and not 0 < total <= MOST_BYTES:
                raise ReaderError(f"a pool with {total} bytes of {what}; one byte to 1 EiB expected", where=where)
    return readings


def printable(name: str) -> str:
    """The name with an escape for each byte that is no UTF-8 (a lone surrogate, which no terminal can be sent).

    >>> printable("pool" + chr(0xDCFF)).isascii()
    True
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _kind(text: str) -> str:
    lines = [line.strip() for line in text.split("\n")]
    if any(line.startswith("{") for line in lines) and '"report"' in text:
        return "lvs"            # LVM's warnings may stand before it
    if text.startswith("{"):
        return "docker"
    if "Data Space " in text or "Storage Driver:" in text:
        return "docker"
    if any(_STATUS_LINE.match(line) or "thin-pool " in line for line in lines):
        return "dmsetup"
    if "LV Path " in text or "LV Name " in text or "--- Logical volume ---" in text:
        return "lvdisplay"
    if any(_LVS_HEADING.match(line) or _LVS_ROW.search(line) for line in lines):
        return "lvs text"
    return "dmsetup" if "thin-pool" in text else ""


def _of_dmsetup(section: Section, name: str) -> list[PoolReading]:
    readings = []
    for number, line in enumerate(section.text.split("\n"), section.line):
        where = f"{name}:{number}"
        fields = line.split()
        if not fields or line.strip() == "No devices found" or (len(fields) == 1 and fields[0].endswith(":")):
            continue
        device = printable(fields[0][:-1] if fields[0].endswith(":") else "").removesuffix("-tpool")
        if fields[-2:] == ["thin-pool", "Error"]:       # its metadata can no longer be read
            readings.append(PoolReading(device, "dmsetup", 0, 0, mode="fail", failed=True))
            continue
        status = parse_status_line(line, where=where)
        if isinstance(status, PoolStatus):
            readings.append(_of_status(status, device, where))
        elif isinstance(status, OtherStatus) and not status.fields and "thin-pool".startswith(status.target):
            raise ReaderError(f"target {status.target[:40]!r} is none that is known: cut off?", where=where)
    return readings


def _of_status(status: PoolStatus, pool: str, where: str) -> PoolReading:
    if status.failed:
        return PoolReading(pool, "dmsetup", 0, 0, mode=status.mode, failed=True)
    assert status.used_data_blocks is not None
    assert status.total_data_blocks is not None
    assert status.used_metadata_blocks is not None
    assert status.total_metadata_blocks is not None
    smallest, largest = block_range(status.length_sectors, status.total_data_blocks, where=where)
    return PoolReading(
        pool=pool,
        source="dmsetup",
        data_used_bytes=status.used_data_blocks * largest,
        data_total_bytes=status.total_data_blocks * largest,
        data_error_bytes=status.used_data_blocks * (largest - smallest),
        data_total_error_bytes=status.total_data_blocks * (largest - smallest),
        metadata_used_bytes=status.used_metadata_blocks * METADATA_BLOCK_BYTES,
        metadata_total_bytes=status.total_metadata_blocks * METADATA_BLOCK_BYTES,
        metadata_error_bytes=0,
        block_bytes=largest if largest == smallest else None,
        transaction_id=status.transaction_id,
        mode="ro" if status.needs_check else status.mode,       # it takes no writes until it was checked
        has_reserve=status.metadata_low_water_mark is not None,     # both came with the same kernel
    )


def _tells_pool(volume: LogicalVolume) -> bool:
    """An active thin pool, or one that failed; without lv_attr, what has metadata (a thin volume has none)."""
    if volume.is_thin_pool is not False and volume.health == FAILED:
        return bool(volume.is_thin_pool) or volume.columns.get("segtype", "thin-pool").strip() == "thin-pool"
    if volume.data_percent is None:
        return False
    return volume.metadata_percent is not None if volume.is_thin_pool is None else volume.is_thin_pool


def _of_volume(pool: LogicalVolume, where: str) -> PoolReading:
    vg = "" if pool.vg_name is None else pool.vg_name.replace("-", "--") + "-"
    name = printable(vg + pool.name.replace("-", "--"))
    if pool.health == FAILED:
        return PoolReading(name, "lvs", 0, 0, mode="fail", failed=True)
    if pool.size_bytes is None or pool.data_percent is None:
        raise ReaderError(f"thin pool {pool.name!r} without lv_size", where=where,
                          remedy="run lvs with -o +lv_size,lv_metadata_size,chunk_size")
    total_bytes = pool.size_bytes - pool.size_bytes % (pool.chunk_size_bytes or 1)  # what is left is no whole block
    used, error = _share(_digits(pool.columns["data_percent"]), total_bytes)
    metadata: tuple[int, int] | None = None
    if pool.metadata_percent is not None and pool.metadata_size_bytes:
        metadata = _share(_digits(pool.columns["metadata_percent"]), pool.metadata_size_bytes)
    return PoolReading(
        pool=name,
        source="lvs",
        data_used_bytes=used,
        data_total_bytes=total_bytes,
        data_error_bytes=error,
        metadata_used_bytes=None if metadata is None else metadata[0],
        metadata_total_bytes=None if metadata is None else pool.metadata_size_bytes,
        metadata_error_bytes=None if metadata is None else metadata[1],
        block_bytes=pool.chunk_size_bytes,
        mode="ro" if pool.needs_check or pool.health == METADATA_READ_ONLY else
             "out_of_data_space" if pool.health == OUT_OF_DATA else None,
    )


def _digits(percent: str) -> str:
    """A percentage with a decimal point."""
    return percent.strip().replace(",", ".")


def _share(percent: str, total_bytes: int) -> tuple[int, int]:
    """Bytes of a percentage, and its error: LVM rounds to the last digit, but never to 0 or 100, where it is one."""
    decimals = len(percent.partition(".")[2])
    step = 10.0**-decimals
    near_end = not step < float(percent) < 100 - step
    return (round(float(percent) / 100 * total_bytes), int((step if near_end else step / 2) / 100 * total_bytes) + 1)


def _of_docker(text: str, where: str) -> list[PoolReading]:
    if text.startswith("{"):
        info = parse_docker_info(text, name=where)
        told, kernel = info.driver_status, info.kernel_version
        if "Pool Name" not in told:
            return []
    else:
        told = _told_lines(text)
        kernel = told.get("Kernel Version")
        if told.get("Storage Driver") not in (None, "", "devicemapper"):
            return []
    data, metadata = _docker_space(told, "Data", where), _docker_space(told, "Metadata", where)
    block = told.get("Pool Blocksize")
    return [PoolReading(pool=printable(told.get("Pool Name", "")).removesuffix("-tpool"), source="docker",
                        data_used_bytes=data.used_bytes, data_total_bytes=data.total_bytes,
                        data_error_bytes=data.error_bytes, data_total_error_bytes=data.total_error_bytes,
                        metadata_used_bytes=metadata.used_bytes, metadata_total_bytes=metadata.total_bytes,
                        metadata_error_bytes=metadata.error_bytes,
                        block_bytes=block_size_bytes(block[:20], where=where) if block else None,
                        data_limit_bytes=data.limit_bytes, metadata_limit_bytes=metadata.limit_bytes,
                        has_reserve=_keeps_reserve(kernel or ""))]


def _told_lines(text: str) -> Mapping[str, str]:
    told: dict[str, str] = {}
    for line in text.split("\n"):
        key, _, value = line.strip().partition(": ")
        told.setdefault(key, value.strip())
    return told


@dataclass(frozen=True, slots=True)
class _Space:
    """Data or metadata as docker info tells it, in bytes; ``limit_bytes`` as in ``PoolReading``."""

    used_bytes: int
    error_bytes: int
    total_bytes: int
    total_error_bytes: int
    limit_bytes: int | None


def _docker_space(told: Mapping[str, str], what: str, where: str) -> _Space:
    """Docker's files are sparse: what is available is the lesser of the pool's rest and of the file system's."""
    used, error = _docker_size(told, f"{what} Space Used", where)
    total, total_error = _docker_size(told, f"{what} Space Total", where)
    if used - error > total + total_error:
        raise ReaderError(f"more {what.lower()} space used than there is", where=where)
    if not told.get(f"{what} Space Available", "").strip():
        return _Space(used, error, total, total_error, None)
    available, available_error = _docker_size(told, f"{what} Space Available", where)
    if available - available_error > total + total_error:
        raise ReaderError(f"more {what.lower()} space available than there is", where=where)
    short = used + error + available + available_error < total - total_error
    return _Space(used, error, total, total_error, max(used + available, 1) if short else None)


def _keeps_reserve(kernel: str) -> bool | None:
    """Whether a kernel keeps a reserve of metadata and shows it as used: since 4.20, and in RHEL 8's 4.18."""
    version = _KERNEL.match(kernel)
    if version is None or ".el8" in kernel:
        return None
    return (int(version[1]), int(version[2])) >= (4, 20)


def _docker_size(told: Mapping[str, str], key: str, where: str) -> tuple[int, int]:
    """Bytes, and half a unit of the last of the digits that Docker keeps; it prints no zeros at the end (2.13GB).

    Before 1.4 it printed binary units with one decimal, always (652.0 Mb).
    """
    text = told.get(key, "").strip()
    match = _DOCKER_SIZE.fullmatch(text)
    unit = None if match is None else unit_bytes(match[3])
    if match is None or unit is None:
        raise ReaderError(f"{key!r} is {text[:40]!r}, not a decimal size such as 1.024GB" if text else
                          f"no {key!r}: cut off?", where=where)
    size_bytes = parse_human_size(text, where=where)
    if unit == 1:
        return size_bytes, 0
    decimals = len(match[2] or "")
    if unit % 1024:
        decimals = max(DOCKER_DIGITS - len(match[1]), decimals, 0)
    return size_bytes, int(unit / 10**decimals / 2) + 1
