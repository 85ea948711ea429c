"""``lvs`` and ``vgs`` with ``--reportformat json``.

Format: lvmreport(7) and lvs(8), vgs(8).  Ask for bytes: ``--units b`` (with or without
``--nosuffix``); other units are rounded by LVM and refused here.

>>> report = '{"report": [{"lv": [{"lv_name": "pool", "lv_attr": "twi-aot---", "data_percent": "12.50"}]}]}'
>>> parse_lvs(report)[0].data_percent, parse_lvs(report)[0].size_bytes
(12.5, None)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.errors import ReaderError
from lab.readers.json_text import parse_json

_BYTES = re.compile(r"([0-9]{1,19})[bB]?")
_MOST_BYTES = 1 << 63

FAILED = "failed"
OUT_OF_DATA = "out of data space"
METADATA_READ_ONLY = "metadata read only"

_HEALTH = {
    "F": FAILED,
    "D": OUT_OF_DATA,
    "M": METADATA_READ_ONLY,
    "X": "unknown",
    "p": "partial",
    "r": "refresh needed",
    "m": "mismatches",
}

_HEALTH_STATUS = {"failed": FAILED, "out_of_data": OUT_OF_DATA, "metadata_read_only": METADATA_READ_ONLY}

_MESSAGE = re.compile(r"\s*$|\s*(WARNING:|File descriptor|[A-Z][a-z][^{}\[\]\"]*$)")
"""A line that LVM prints on standard error."""

_WITH_TABLE = "asIScCmM"
"""Fifth characters of lv_attr: active, suspended, snapshots that are invalid or whose merge failed, check needed."""


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    """A row of ``lvs``.  What the report does not tell (no such column, or an empty one) is None.

    Sizes in bytes, percentages 0 to 100.  ``name`` is without the brackets of a hidden volume
    (``[pool_tdata]``), which sets ``hidden``.  ``columns`` is the row as it is.
    """

    name: str
    hidden: bool
    vg_name: str | None
    attr: str | None
    size_bytes: int | None
    metadata_size_bytes: int | None
    chunk_size_bytes: int | None
    data_percent: float | None
    metadata_percent: float | None
    pool_lv: str | None
    origin: str | None
    monitored: bool | None
    columns: Mapping[str, str]

    @property
    def is_thin_pool(self) -> bool | None:
        """Whether lv_attr says thin pool (``t``); None without lv_attr."""
        return None if self.attr is None else self.attr[0] == "t"

    @property
    def is_thin_volume(self) -> bool | None:
        """Whether lv_attr says thin volume (``V``); None without lv_attr."""
        return None if self.attr is None else self.attr[0] == "V"

    @property
    def is_active(self) -> bool | None:
        """Whether lv_attr's fifth character says that the device has a table; None without lv_attr, or unknown (X).

        So it is where it is suspended, a pool that needs a check, or a snapshot that is invalid (lvs(8), "State").
        """
        return None if self.attr is None or self.attr[4] == "X" else self.attr[4] in _WITH_TABLE

    @property
    def needs_check(self) -> bool | None:
        """Whether a thin pool needs a check: it takes no writes then.  None without lv_attr and lv_check_needed."""
        if self.attr is None:
            told = self.columns.get("lv_check_needed", "").strip()
            return told in ("1", "check needed") if "lv_check_needed" in self.columns else None
        return self.attr[4] in "cC"

    @property
    def health(self) -> str | None:
        """What lv_attr's ninth character, or lv_health_status, says is wrong, or None: well, or not told."""
        if self.attr is None:
            return _HEALTH_STATUS.get(self.columns.get("lv_health_status", "").strip())
        return _HEALTH.get(self.attr[8])


@dataclass(frozen=True, slots=True)
class VolumeGroup:
    """A row of ``vgs``.  Sizes in bytes; what the report does not tell is None."""

    name: str
    attr: str | None
    size_bytes: int | None
    free_bytes: int | None
    extent_size_bytes: int | None
    pv_count: int | None
    lv_count: int | None
    columns: Mapping[str, str]


def parse_lvs(text: str, *, name: str = "<lvs>") -> list[LogicalVolume]:
    """The rows of ``lvs --reportformat json``, in the order of the report.

    Raises ReaderError for text that is no such report, a row without lv_name, a size in other units
    than bytes, or a value that is no number.
    """
    return [_logical_volume(row, f"{name}: row {index}") for index, row in enumerate(_rows(text, "lv", name), 1)]


def parse_vgs(text: str, *, name: str = "<vgs>") -> list[VolumeGroup]:
    """The rows of ``vgs --reportformat json``.  Raises ReaderError as ``parse_lvs`` does."""
    return [_volume_group(row, f"{name}: row {index}") for index, row in enumerate(_rows(text, "vg", name), 1)]


def _rows(text: str, kind: str, name: str) -> list[dict[str, str]]:
    if not text.strip():
        raise ReaderError("empty: an LVM report in JSON expected", where=name, remedy="run with --reportformat json")
    document = parse_json(_without_messages(text), name,
                          remedy="run with --reportformat json, and keep standard error apart")
    reports = document.get("report") if isinstance(document, dict) else None
    if not isinstance(reports, list) or not all(isinstance(report, dict) for report in reports):
        raise ReaderError("JSON, but not LVM's: no list 'report'", where=name)
    rows: list[dict[str, str]] = []
    for report in reports:
        if not isinstance(report.get(kind), list):
            has = ", ".join(map(repr, report)) or "nothing"
            raise ReaderError(f"no list {kind!r} in the report, it has {has[:200]}: output of another command?",
                              where=name)
        rows += [_texts(row, f"{name}: {kind}") for row in report[kind]]
    return rows


def _without_messages(text: str) -> str:
    """Blank in the place of LVM's messages on standard error, before the document and behind it."""
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if line.lstrip().startswith("{")), None)
    if first is None:
        return text
    last = len(lines)
    while last > first + 1 and _MESSAGE.match(lines[last - 1]):
        last -= 1
    return "\n" * first + "\n".join(lines[first:last])


def _texts(row: Any, where: str) -> dict[str, str]:
    """json writes texts, json_std numbers and null: texts either way."""
    if not isinstance(row, dict):
        raise ReaderError(f"a row is {type(row).__name__}, not an object", where=where)
    bad = next((column for column, value in row.items() if isinstance(value, dict)), None)
    if bad is not None:
        raise ReaderError(f"{bad[:40]!r} is an object, not a value", where=where)
    return {
        column: "" if value is None else ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for column, value in row.items()
    }


def _logical_volume(row: Mapping[str, str], where: str) -> LogicalVolume:
    shown = _required(row, "lv_name", where)
    attr = _text(row, "lv_attr")
    if attr is not None and len(attr) < 9:
        raise ReaderError(f"lv_attr is {attr[:60]!r}, 9 or 10 characters expected", where=where)
    return LogicalVolume(
        name=shown.strip("[]"),
        hidden=shown.startswith("["),
        vg_name=_text(row, "vg_name"),
        attr=attr,
        size_bytes=_size(row, "lv_size", where),
        metadata_size_bytes=_size(row, "lv_metadata_size", where),
        chunk_size_bytes=_size(row, "chunk_size", where) or None,  # 0 for anything but a pool
        data_percent=_percent(row, "data_percent", where),
        metadata_percent=_percent(row, "metadata_percent", where),
        pool_lv=_strip_brackets(_text(row, "pool_lv")),
        origin=_strip_brackets(_text(row, "origin")),
        monitored=_monitored(row, where),
        columns=row,
    )


def _free(row: Mapping[str, str], free: str, size: str, where: str) -> int | None:
    told, most = _size(row, free, where), _size(row, size, where)
    if told is not None and most is not None and told > most:
        raise ReaderError(f"{free} is {told}, more than {size}, {most}", where=where)
    return told


def _volume_group(row: Mapping[str, str], where: str) -> VolumeGroup:
    return VolumeGroup(name=_required(row, "vg_name", where), attr=_text(row, "vg_attr"),
                       size_bytes=_size(row, "vg_size", where), free_bytes=_free(row, "vg_free", "vg_size", where),
                       extent_size_bytes=_size(row, "vg_extent_size", where), pv_count=_count(row, "pv_count", where),
                       lv_count=_count(row, "lv_count", where), columns=row)


def _text(row: Mapping[str, str], column: str) -> str | None:
    return row.get(column, "").strip() or None


def _strip_brackets(text: str | None) -> str | None:
    return None if text is None else text.strip("[]")


def _required(row: Mapping[str, str], column: str, where: str) -> str:
    value = _text(row, column)
    if value is None:
        raise ReaderError(f"no {column}; columns: {', '.join(row)[:400] or 'none'}", where=where)
    return value


def _size(row: Mapping[str, str], column: str, where: str) -> int | None:
    value = _text(row, column)
    if value is None:
        return None
    match = _BYTES.fullmatch(value)
    if match is None:
        raise ReaderError(f"{column} is {value[:60]!r}, not whole bytes", where=where, remedy="run with --units b")
    if int(match[1]) >= _MOST_BYTES:
        raise ReaderError(f"{column} is {value}, more than 8 EiB", where=where)
    return int(match[1])


def _count(row: Mapping[str, str], column: str, where: str) -> int | None:
    value = _text(row, column)
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", value):
        raise ReaderError(f"{column} is {value[:60]!r}, not a whole number", where=where)
    return int(value)


def _percent(row: Mapping[str, str], column: str, where: str) -> float | None:
    """LVM prints the locale's decimal sign, also in JSON."""
    value = _text(row, column)
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,3}([.,][0-9]{1,20})?", value) or float(value.replace(",", ".")) > 100:
        raise ReaderError(f"{column} is {value[:60]!r}, not a percentage from 0 to 100", where=where,
                          remedy="run with LC_ALL=C")
    return float(value.replace(",", "."))


def _monitored(row: Mapping[str, str], where: str) -> bool | None:
    value = _text(row, "seg_monitor")
    if value is None or value == "undefined":
        return None
    if value not in ("monitored", "not monitored"):
        raise ReaderError(f"seg_monitor is {value[:60]!r}; 'monitored' or 'not monitored' expected", where=where)
    return value == "monitored"
