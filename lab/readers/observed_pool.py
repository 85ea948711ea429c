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
from lab.readers.dmsetup import PoolStatus, parse_status_line
from lab.readers.docker_info import block_size_bytes, parse_docker_info
from lab.readers.docker_json import parse_human_size
from lab.readers.lvm import LogicalVolume, parse_lvs
from lab.readers.observed_framing import Section
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
_UNITS_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "pb": 10**15}
_DOCKER_SIZE = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,9}))?\s*([A-Za-z]+)")
_OTHER_TARGETS = frozenset(
    ("thin", "linear", "striped", "crypt", "snapshot", "snapshot-origin", "snapshot-merge", "mirror", "raid", "cache",
     "writecache", "vdo", "multipath", "error", "zero", "verity", "integrity", "era", "delay", "flakey")
)


@dataclass(frozen=True, slots=True)
class PoolReading:
    """A pool at one time, in bytes.  ``pool`` is its device-mapper name without ``-tpool``, empty if not told.

    Each ``…_error_bytes`` bounds what rounding hides, to either side.  Metadata, block size, transaction id and mode
    are None where the source does not tell them.  ``failed``: the pool showed ``Fail``, and nothing else is told.
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
    else:
        raise ReaderError(f"{text[:60]!r} is neither dmsetup status, nor lvs, nor docker info" if text else
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
    if text.startswith("{"):
        return "lvs" if '"report"' in text else "docker"
    if "Data Space " in text or "Storage Driver:" in text:
        return "docker"
    lines = text.split("\n")
    return "dmsetup" if any(_STATUS_LINE.match(line.strip()) or "thin-pool" in line for line in lines) else ""


def _of_dmsetup(section: Section, name: str) -> list[PoolReading]:
    readings = []
    for number, line in enumerate(section.text.split("\n"), section.line):
        where = f"{name}:{number}"
        fields = line.split()
        if not fields or line.strip() == "No devices found" or (len(fields) == 1 and fields[0].endswith(":")):
            continue
        status = parse_status_line(line, where=where)
        if isinstance(status, PoolStatus):
            device = fields[0][:-1] if fields[0].endswith(":") else ""
            readings.append(_of_status(status, printable(device).removesuffix("-tpool"), where))
        elif (target := getattr(status, "target", "thin")) not in _OTHER_TARGETS:
            raise ReaderError(f"target {target[:40]!r} is none that is known: cut off?", where=where)
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
        mode=status.mode,
    )


def _tells_pool(volume: LogicalVolume) -> bool:
    """An active thin pool; without lv_attr, what has metadata (a thin volume has none)."""
    if volume.data_percent is None:
        return False
    return volume.metadata_percent is not None if volume.is_thin_pool is None else volume.is_thin_pool


def _of_volume(pool: LogicalVolume, where: str) -> PoolReading:
    if pool.size_bytes is None or pool.data_percent is None:
        raise ReaderError(f"thin pool {pool.name!r} without lv_size", where=where,
                          remedy="run lvs with -o +lv_size,lv_metadata_size,chunk_size")
    total_bytes = pool.size_bytes - pool.size_bytes % (pool.chunk_size_bytes or 1)  # what is left is no whole block
    used, error = _share(pool.columns["data_percent"].strip(), total_bytes)
    metadata: tuple[int, int] | None = None
    if pool.metadata_percent is not None and pool.metadata_size_bytes:
        metadata = _share(pool.columns["metadata_percent"].strip(), pool.metadata_size_bytes)
    vg = "" if pool.vg_name is None else pool.vg_name.replace("-", "--") + "-"
    return PoolReading(
        pool=printable(vg + pool.name.replace("-", "--")),
        source="lvs",
        data_used_bytes=used,
        data_total_bytes=total_bytes,
        data_error_bytes=error,
        metadata_used_bytes=None if metadata is None else metadata[0],
        metadata_total_bytes=None if metadata is None else pool.metadata_size_bytes,
        metadata_error_bytes=None if metadata is None else metadata[1],
        block_bytes=pool.chunk_size_bytes,
    )


def _share(percent: str, total_bytes: int) -> tuple[int, int]:
    """Bytes of a percentage, and its error: LVM rounds to the last digit, but never to 0 or 100, where it is one."""
    decimals = len(percent.partition(".")[2])
    step = 10.0**-decimals
    near_end = not step < float(percent) < 100 - step
    return (round(float(percent) / 100 * total_bytes), int((step if near_end else step / 2) / 100 * total_bytes) + 1)


def _of_docker(text: str, where: str) -> list[PoolReading]:
    if text.startswith("{"):
        told: Mapping[str, str] = _driver_status(text, where)
        if "Pool Name" not in told:
            return []
    else:
        told = {}
        for line in text.split("\n"):
            key, _, value = line.strip().partition(": ")
            told.setdefault(key, value.strip())
        driver = told.get("Storage Driver")
        if driver not in (None, "", "devicemapper"):
            return []
    used, error = _docker_size(told, "Data Space Used", where)
    total, total_error = _docker_size(told, "Data Space Total", where)
    metadata, metadata_error = _docker_size(told, "Metadata Space Used", where)
    metadata_total, metadata_total_error = _docker_size(told, "Metadata Space Total", where)
    for what, low, high in (("data", used - error, total + total_error),
                            ("metadata", metadata - metadata_error, metadata_total + metadata_total_error)):
        if low > high:
            raise ReaderError(f"more {what} space used than there is", where=where)
    block = told.get("Pool Blocksize")
    return [PoolReading(
        pool=printable(told.get("Pool Name", "")).removesuffix("-tpool"),
        source="docker",
        data_used_bytes=used,
        data_total_bytes=total,
        data_error_bytes=error,
        data_total_error_bytes=total_error,
        metadata_used_bytes=metadata,
        metadata_total_bytes=metadata_total,
        metadata_error_bytes=metadata_error,
        block_bytes=block_size_bytes(block[:20], where=where) if block else None,
    )]


def _driver_status(text: str, where: str) -> Mapping[str, str]:
    try:
        return parse_docker_info(text, name=where).driver_status
    except OverflowError:  # a size of hundreds of digits
        raise ReaderError("a size in DriverStatus is no number of bytes", where=where) from None


def _docker_size(told: Mapping[str, str], key: str, where: str) -> tuple[int, int]:
    """Bytes, and half a unit of the last of the digits that Docker keeps; it prints no zeros at the end (2.13GB)."""
    text = told.get(key, "").strip()
    match = _DOCKER_SIZE.fullmatch(text)
    if match is None or match[3].lower() not in _UNITS_BYTES:
        raise ReaderError(f"{key!r} is {text[:40]!r}, not a decimal size such as 1.024GB" if text else
                          f"no {key!r}: cut off?", where=where)
    size_bytes, unit = parse_human_size(text, where=where), _UNITS_BYTES[match[3].lower()]
    if unit == 1:
        return size_bytes, 0
    decimals = max(DOCKER_DIGITS - len(match[1]), len(match[2] or ""), 0)
    return size_bytes, int(unit / 10**decimals / 2) + 1
