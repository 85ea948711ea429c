"""``dmsetup status`` and ``dmsetup table`` of thin pools and thin devices.

Format: the kernel's Documentation/admin-guide/device-mapper/thin-provisioning.rst, sections
"Status" and "Reference", and drivers/md/dm-thin.c.  Lengths are sectors of 512 bytes; the pool's
counters are data blocks and metadata blocks (4 KiB).

>>> parse_status_line("0 131072 thin-pool 0 830/8192 512/1024 - rw no_discard_passdown queue_if_no_space - 1024").mode
'rw'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

from lab.errors import ReaderError
from lab.units import CHUNK_MAX_BYTES, CHUNK_STEP_BYTES, SECTOR_BYTES, sectors_to_bytes

_MOST = 1 << 63

S = TypeVar("S", bound=str)

PoolMode = Literal["rw", "ro", "out_of_data_space", "fail"]
DiscardMode = Literal["discard_passdown", "no_discard_passdown", "ignore_discard"]

_MODES: tuple[PoolMode, ...] = ("rw", "ro", "out_of_data_space")
_DISCARDS: tuple[DiscardMode, ...] = ("discard_passdown", "no_discard_passdown", "ignore_discard")
_NO_SPACE = ("queue_if_no_space", "error_if_no_space")
_FEATURES = ("skip_block_zeroing", "ignore_discard", "no_discard_passdown", "read_only", "error_if_no_space")


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """Status of a ``thin-pool`` target.

    In mode ``fail`` the kernel tells nothing else: every other field is None.  ``held_root`` is a
    metadata block, None while no snapshot of the metadata is held.  ``metadata_low_water_mark`` is
    free metadata blocks; it, ``needs_check`` and ``error_if_no_space`` are None where an older
    kernel does not tell.  ``error_if_no_space`` is what is in force now: a pool set to queue shows
    True once its no_space_timeout has passed.
    """

    start_sector: int
    length_sectors: int
    mode: PoolMode
    transaction_id: int | None = None
    used_metadata_blocks: int | None = None
    total_metadata_blocks: int | None = None
    used_data_blocks: int | None = None
    total_data_blocks: int | None = None
    held_root: int | None = None
    discard: DiscardMode | None = None
    error_if_no_space: bool | None = None
    needs_check: bool | None = None
    metadata_low_water_mark: int | None = None

    @property
    def discard_passdown(self) -> bool | None:
        """Whether discards reach the data device; None if the pool has failed."""
        return None if self.discard is None else self.discard == "discard_passdown"

    @property
    def failed(self) -> bool:
        """Whether the pool shows ``Fail``."""
        return self.mode == "fail"


@dataclass(frozen=True, slots=True)
class ThinStatus:
    """Status of a ``thin`` target.

    ``mapped_sectors`` is None if the device has failed (``Fail``) or has no pool (``-``);
    ``highest_sector``, the last mapped one, is None as well while nothing is mapped.
    """

    start_sector: int
    length_sectors: int
    mapped_sectors: int | None
    highest_sector: int | None
    failed: bool


@dataclass(frozen=True, slots=True)
class OtherStatus:
    """Status of any other target (linear, snapshot, crypt, …), its fields as they are."""

    start_sector: int
    length_sectors: int
    target: str
    fields: tuple[str, ...]


Status = PoolStatus | ThinStatus | OtherStatus


@dataclass(frozen=True, slots=True)
class PoolTable:
    """Table line of a ``thin-pool``: block size in sectors, low water mark in free data blocks."""

    start_sector: int
    length_sectors: int
    metadata_device: str
    data_device: str
    data_block_sectors: int
    low_water_mark_blocks: int
    features: tuple[str, ...]

    @property
    def data_block_bytes(self) -> int:
        """Size of a data block (chunk) in bytes."""
        return sectors_to_bytes(self.data_block_sectors)


@dataclass(frozen=True, slots=True)
class ThinTable:
    """Table line of a ``thin`` device; ``external_origin`` is a read-only device below it, or None."""

    start_sector: int
    length_sectors: int
    pool_device: str
    device_id: int
    external_origin: str | None


@dataclass(frozen=True, slots=True)
class OtherTable:
    """Table line of any other target, its arguments as they are."""

    start_sector: int
    length_sectors: int
    target: str
    arguments: tuple[str, ...]


Table = PoolTable | ThinTable | OtherTable


def parse_status_line(line: str, *, where: str | None = None) -> Status:
    """One line of ``dmsetup status``, with or without ``name:`` in front.

    ``where`` (``file:line``) leads messages.  Raises ReaderError for a malformed or cut-off line.
    """
    return _status(_split_name(line)[1], where)


def parse_status(text: str, *, name: str = "<dmsetup status>") -> dict[str, Status]:
    """``dmsetup status`` of all devices: device name -> status.

    Nothing (or ``No devices found``) gives an empty dict.  Raises ReaderError with file:line for a
    malformed line, one without a name, or a device of several targets (``parse_status_targets``).
    """
    return _one_each(_devices(text, name, one_target=True))


def parse_status_targets(text: str, *, name: str = "<dmsetup status>") -> dict[str, tuple[Status, ...]]:
    """As ``parse_status``, for devices that may have several targets: name -> one status a target."""
    return _devices(text, name)


def parse_first_status(text: str, *, name: str = "<dmsetup status>") -> dict[str, Status]:
    """As ``parse_status``, with the first target's status of devices that have several.

    Pools and thin devices have one; what LVM puts below a pool has one more for each extension.  A device that is being
    made has none until its table is loaded, and is left out.
    """
    return _one_each(parse_status_targets(text, name=name))


def parse_table_line(line: str, *, where: str | None = None) -> Table:
    """One line of ``dmsetup table``, with or without ``name:`` in front.  Raises ReaderError as above."""
    return _table(_split_name(line)[1], where)


def _split_name(line: str) -> tuple[str | None, list[str]]:
    """The name is what precedes ``: <start sector>``; it may itself hold a colon (docker-8:1-pool)."""
    fields = line.split()
    if fields and fields[0].endswith(":"):
        return fields[0][:-1], fields[1:]
    return None, fields


def _devices(text: str, name: str, one_target: bool = False) -> dict[str, tuple[Status, ...]]:
    devices: dict[str, tuple[Status, ...]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.strip() == "No devices found":
            continue
        where = f"{name}:{number}"
        device, fields = _split_name(line)
        if device is None:
            raise ReaderError(f"{line[:80]!r} does not start with 'device: '", where=where)
        if device and not fields:  # a device without a table
            devices.setdefault(device, ())
            continue
        devices[device] = (*devices.get(device, ()), _status(fields, where))
        if one_target and len(devices[device]) > 1:
            raise ReaderError(f"device {device} has 2 targets or more, one expected", where=where)
    return devices


def _one_each(devices: dict[str, tuple[Status, ...]]) -> dict[str, Status]:
    return {device: targets[0] for device, targets in devices.items() if targets}


def _head(fields: list[str], where: str | None) -> tuple[int, int, str, list[str]]:
    if len(fields) < 3:
        raise ReaderError(f"{' '.join(fields)!r} is cut off: 'start length target …' expected, in sectors", where=where)
    return _integer(fields[0], "start", where), _integer(fields[1], "length", where), fields[2], fields[3:]


def _status(fields: list[str], where: str | None) -> Status:
    start, length, target, rest = _head(fields, where)
    if target == "thin-pool":
        return _pool_status(start, length, rest, where)
    if target == "thin":
        return _thin_status(start, length, rest, where)
    return OtherStatus(start, length, target, tuple(rest))


def _pool_status(start: int, length: int, rest: list[str], where: str | None) -> PoolStatus:
    if rest == ["Fail"]:
        return PoolStatus(start, length, "fail")
    _refuse_error(rest, "thin-pool", where)
    if len(rest) < 6:
        raise ReaderError(f"thin-pool status is cut off after {len(rest)} fields; 6 to 9 expected", where=where)
    if len(rest) > 9:
        raise ReaderError(f"thin-pool status has {len(rest)} fields; 6 to 9 expected", where=where)
    transaction, metadata, data, root, mode, discard, *tail = rest
    used_metadata, total_metadata = _pair(metadata, "metadata blocks", where)
    used_data, total_data = _pair(data, "data blocks", where)
    if total_data * CHUNK_STEP_BYTES > sectors_to_bytes(length):
        raise ReaderError(f"{total_data} data blocks on {length} sectors: more than fit, the smallest has "
                          f"{CHUNK_STEP_BYTES // SECTOR_BYTES}", where=where)
    needs_check = None if len(tail) < 2 else _one_of(tail[1], ("-", "needs_check"), "check flag", where)
    no_space = None if not tail else _one_of(tail[0], _NO_SPACE, "policy when full", where)
    return PoolStatus(
        start_sector=start,
        length_sectors=length,
        mode=_one_of(mode, _MODES, "mode", where),
        transaction_id=_integer(transaction, "transaction id", where),
        used_metadata_blocks=used_metadata,
        total_metadata_blocks=total_metadata,
        used_data_blocks=used_data,
        total_data_blocks=total_data,
        held_root=None if root == "-" else _integer(root, "held metadata root", where),
        discard=_one_of(discard, _DISCARDS, "discard mode", where),
        error_if_no_space=None if no_space is None else no_space == "error_if_no_space",
        needs_check=None if needs_check is None else needs_check == "needs_check",
        metadata_low_water_mark=None if len(tail) < 3 else _integer(tail[2], "metadata low water mark", where),
    )


def _thin_status(start: int, length: int, rest: list[str], where: str | None) -> ThinStatus:
    if rest in (["Fail"], ["-"]):
        return ThinStatus(start, length, None, None, failed=rest == ["Fail"])
    _refuse_error(rest, "thin", where)
    if len(rest) != 2:
        raise ReaderError(
            f"thin status has {len(rest)} fields; 'mapped-sectors highest-sector', 'Fail' or '-' expected", where=where
        )
    highest = None if rest[1] == "-" else _integer(rest[1], "highest mapped sector", where)
    mapped = _integer(rest[0], "mapped sectors", where)
    ends_at = 0 if highest is None else highest + 1
    if mapped > ends_at or (highest is not None and not mapped):
        raise ReaderError(f"{mapped} sectors mapped, and the highest is {rest[1][:40]}: they do not fit", where=where)
    if not _within(ends_at, length):
        raise ReaderError(f"sector {highest} is mapped, beyond the device's length of {length}", where=where)
    return ThinStatus(start, length, mapped, highest, failed=False)


def _within(ends_at: int, length: int) -> bool:
    """Whether whole blocks that end at a sector may be those of a device: its last one may go beyond its end.

    A status does not tell the size of a block: one that people take has to fit, a power of two or three times one.
    """
    if ends_at <= length:
        return True
    step, most = CHUNK_STEP_BYTES // SECTOR_BYTES, CHUNK_MAX_BYTES // SECTOR_BYTES
    if ends_at - length >= min(most, max(length, 1)):
        return False
    blocks = (step * factor << power for power in range(15) for factor in (1, 3))
    return any(ends_at % block == 0 and ends_at - length < block for block in blocks if block <= most)


def _refuse_error(rest: list[str], target: str, where: str | None) -> None:
    if rest == ["Error"]:
        raise ReaderError(f"{target} status is 'Error': the kernel could not read its metadata", where=where)


def _table(fields: list[str], where: str | None) -> Table:
    start, length, target, rest = _head(fields, where)
    if target == "thin-pool":
        return _pool_table(start, length, rest, where)
    if target == "thin":
        if len(rest) not in (2, 3):
            raise ReaderError(f"thin table has {len(rest)} arguments; 'pool id [origin]' expected", where=where)
        origin = rest[2] if len(rest) == 3 else None
        return ThinTable(start, length, rest[0], _integer(rest[1], "device id", where), origin)
    return OtherTable(start, length, target, tuple(rest))


def _pool_table(start: int, length: int, rest: list[str], where: str | None) -> PoolTable:
    if len(rest) < 4:
        raise ReaderError(
            f"thin-pool table is cut off after {len(rest)} arguments; "
            "'metadata data block-sectors low-water-mark [n features]' expected",
            where=where,
        )
    count, features = (_integer(rest[4], "feature count", where), tuple(rest[5:])) if len(rest) > 4 else (0, ())
    if count != len(features):
        raise ReaderError(f"thin-pool table announces {count} features and has {len(features)}", where=where)
    for feature in features:
        _one_of(feature, _FEATURES, "feature", where)
    block = _integer(rest[2], "data block sectors", where)
    step, most = CHUNK_STEP_BYTES // SECTOR_BYTES, CHUNK_MAX_BYTES // SECTOR_BYTES
    if not step <= block <= most or block % step:
        raise ReaderError(f"data block of {block} sectors; {step} to {most} in steps of {step} expected", where=where)
    low_water_mark = _integer(rest[3], "low water mark", where)
    return PoolTable(start, length, rest[0], rest[1], block, low_water_mark, features)


def _integer(text: str, what: str, where: str | None) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise ReaderError(f"{what} is {text[:40]!r}, not a whole number below 2^63", where=where)
    number = int(text)
    if number >= _MOST:
        raise ReaderError(f"{what} is {text}, not a whole number below 2^63", where=where)
    return number


def _pair(text: str, what: str, where: str | None) -> tuple[int, int]:
    used, slash, total = text.partition("/")
    if not slash:
        raise ReaderError(f"{what} is {text[:40]!r}, not used/total", where=where)
    pair = _integer(used, f"used {what}", where), _integer(total, f"total {what}", where)
    if pair[0] > pair[1]:
        raise ReaderError(f"{what}: {pair[0]} used of {pair[1]}, more than there are", where=where)
    return pair


def _one_of(text: str, allowed: tuple[S, ...], what: str, where: str | None) -> S:
    for value in allowed:
        if text == value:
            return value
    raise ReaderError(f"{what} is {text[:40]!r}; one of {', '.join(allowed)} expected", where=where)
