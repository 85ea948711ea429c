"""/proc/diskstats and /proc/meminfo.

Formats: the kernel's Documentation/admin-guide/iostats.rst and Documentation/filesystems/proc.rst.

>>> parse_meminfo("MemTotal:       24684092 kB\\n")
{'MemTotal': 25276510208}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.errors import ReaderError
from lab.units import sectors_to_bytes

_MOST = 1 << 64
_DISK_COLUMNS = {14: "before 4.18", 18: "4.18", 20: "5.5"}


@dataclass(frozen=True, slots=True)
class DiskStats:
    """One device of /proc/diskstats: counts since boot, bytes and seconds.

    Seconds of reads, writes, discards and flushes add up over requests in flight; ``busy_seconds``
    is wall-clock time with any in flight.  Discards are None before Linux 4.18, flushes before 5.5.
    """

    major: int
    minor: int
    name: str
    reads: int
    reads_merged: int
    read_bytes: int
    read_seconds: float
    writes: int
    writes_merged: int
    written_bytes: int
    write_seconds: float
    in_flight: int
    busy_seconds: float
    weighted_seconds: float
    discards: int | None
    discards_merged: int | None
    discarded_bytes: int | None
    discard_seconds: float | None
    flushes: int | None
    flush_seconds: float | None


def parse_diskstats(text: str, *, name: str = "/proc/diskstats") -> dict[str, DiskStats]:
    """Device name -> its counters.

    Raises ReaderError with file:line for a line with another number of columns than a kernel
    writes, or for a device that comes twice.
    """
    disks: dict[str, DiskStats] = {}
    for where, line in _lines(text, name):
        disk = _disk(line.split(), where)
        if disk.name in disks:
            raise ReaderError(f"device {disk.name} comes twice: two readings in one text?", where=where)
        disks[disk.name] = disk
    return disks


def parse_meminfo(text: str, *, name: str = "/proc/meminfo") -> dict[str, int]:
    """Name -> bytes.  Lines without a unit (``HugePages_Total``) are counts of pages, and left out.

    Raises ReaderError with file:line for a malformed line.
    """
    sizes: dict[str, int] = {}
    for where, line in _lines(text, name):
        key, colon, value = line.partition(":")
        fields = value.split()
        if not colon or not fields or len(fields) > 2 or fields[1:] not in ([], ["kB"]):
            raise ReaderError(f"{line[:80]!r} is not 'Name: number kB'", where=where)
        number = _integer(fields[0], key.strip(), where)
        if len(fields) == 2:
            _once(sizes, key.strip(), where)
            sizes[key.strip()] = number * 1024
        elif not key.startswith("HugePages_"):
            raise ReaderError(f"{line[:80]!r} has no unit: cut off?", where=where)
    total = sizes.get("MemTotal")
    for key in ("MemFree", "MemAvailable"):
        if total is not None and sizes.get(key, 0) > total:
            raise ReaderError(f"{key} is {sizes[key]} bytes, more than MemTotal, {total}", where=name)
    return sizes


def _lines(text: str, name: str) -> Iterator[tuple[str, str]]:
    if not text.strip():
        raise ReaderError("empty: the kernel always writes some lines", where=name)
    if not text.endswith("\n"):
        last = text.count("\n") + 1
        raise ReaderError("the last line is cut off: it has no line feed", where=f"{name}:{last}")
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield f"{name}:{number}", line


def _disk(fields: list[str], where: str) -> DiskStats:
    if len(fields) not in _DISK_COLUMNS and len(fields) <= max(_DISK_COLUMNS):
        known = ", ".join(f"{columns} (Linux {since})" for columns, since in _DISK_COLUMNS.items())
        raise ReaderError(f"{len(fields)} columns; kernels write {known}", where=where)
    values = [_integer(field, f"column {index}", where) for index, field in enumerate(fields, 1) if index != 3]
    major, minor, reads, reads_merged, read_sectors, read_ms, writes, writes_merged, written_sectors = values[:9]
    write_ms, in_flight, busy_ms, weighted_ms = values[9:13]
    discards = values[13:17] if len(values) >= 17 else None
    flushes = values[17:19] if len(values) >= 19 else None
    return DiskStats(major=major, minor=minor, name=fields[2], reads=reads, reads_merged=reads_merged,
                     read_bytes=sectors_to_bytes(read_sectors), read_seconds=read_ms / 1000, writes=writes,
                     writes_merged=writes_merged, written_bytes=sectors_to_bytes(written_sectors),
                     write_seconds=write_ms / 1000, in_flight=in_flight, busy_seconds=busy_ms / 1000,
                     weighted_seconds=weighted_ms / 1000, discards=None if discards is None else discards[0],
                     discards_merged=None if discards is None else discards[1],
                     discarded_bytes=None if discards is None else sectors_to_bytes(discards[2]),
                     discard_seconds=None if discards is None else discards[3] / 1000,
                     flushes=None if flushes is None else flushes[0],
                     flush_seconds=None if flushes is None else flushes[1] / 1000)


def _once(table: dict[str, int], key: str, where: str) -> None:
    if key in table:
        raise ReaderError(f"{key} comes twice: two readings in one text?", where=where)


def _integer(text: str, what: str, where: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise ReaderError(f"{what} is {text[:40]!r}, not a whole number", where=where)
    number = int(text)
    if number >= _MOST:
        raise ReaderError(f"{what} is {text}, more than 64 bits hold", where=where)
    return number
