"""YAML text with the line of every value, and pydantic's complaints turned into one ``file:line: ...`` line.

The text becomes plain dicts, lists and scalars.  What a scenario has no use for
is refused by name: tags, several documents, keys that are not text, aliases
that repeat themselves or blow up.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError as YamlReaderError

from lab.errors import InputError
from lab.units import format_bytes

MAX_FILE_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_VALUES = 20_000
"""Values in one file, those that aliases repeat counted each time."""

KeyPath = tuple[str | int, ...]

_INT = re.compile(r"[-+]?[0-9]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


@dataclass
class Document:
    """The values of a file, and the line where each stands (a mapping's value: the line of its key)."""

    path: Path
    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def where(self, path: KeyPath = ()) -> str:
        """``file:line`` of the value, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.path}:{self.lines.get(path, 1)}"

    def narrow(self, loc: Iterable[str | int]) -> KeyPath:
        """The part of a pydantic location that the file has; names of union members are skipped."""
        path: KeyPath = ()
        for part in loc:
            if (*path, part) in self.lines:
                path = (*path, part)
        return path

    def at(self, path: KeyPath) -> Any:
        value = self.data
        for part in path:
            value = value[part]
        return value


def show(value: object, limit: int = 80) -> str:
    """A value on one line, cut where it is long."""
    text = value if isinstance(value, str) else repr(value)
    text = repr(text[: limit + 1]) if isinstance(value, str) else " ".join(text[: limit * 2].split())
    return text if len(text) <= limit + 2 else text[: limit - 3] + "..."


def read_text(path: Path, what: str) -> str:
    """The UTF-8 text of a small file.  Raises InputError for everything else."""
    try:
        if not path.is_file():
            reason = "no such file" if not path.exists() else "not a regular file"
            raise InputError(f"{what}: {reason}", where=str(path))
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{what} cannot be read: {reason}", where=show(str(path), 200).strip("'")) from None
    if len(data) > MAX_FILE_BYTES:
        size = format_bytes(path.stat().st_size)
        raise InputError(f"{what} is {size} large; at most {format_bytes(MAX_FILE_BYTES)}", where=str(path))
    try:
        text = data.decode("utf-8")
        bad = text.find("\0")
        line = text.count("\n", 0, max(bad, 0)) + 1
    except UnicodeDecodeError as error:
        bad, line = error.start, data.count(b"\n", 0, error.start) + 1
    if bad >= 0:
        byte = "byte 0" if data[bad:bad + 1] == b"\0" else f"byte 0x{data[bad]:02x}" if bad < len(data) else "a byte"
        raise InputError(f"{what} is not UTF-8 text: {byte} on this line", where=f"{path}:{line}")
    if not text.strip():
        raise InputError(f"{what} is empty", where=f"{path}:1")
    return text


def parse(text: str, path: Path) -> Document:
    """The document in the text.  Raises InputError, with the line, for anything that is not one."""
    document = Document(path)
    reader = YAML(typ="safe", pure=True)
    try:
        _Composer(document, reader.parse(text)).document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise InputError(f"not YAML: {_one_line(error.problem or error.context or 'syntax error')}",
                         where=f"{path}:{line}", remedy="check the indentation, quotes and colons there") from None
    except YamlReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(f"not YAML: {_one_line(str(error.reason))}", where=f"{path}:{line}") from None
    except (YAMLError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, OverflowError,
            RecursionError, NotImplementedError) as error:      # the parser's own slips over odd input
        raise InputError(f"not YAML: {_one_line(str(error)) or type(error).__name__}", where=f"{path}:1") from None
    return document


class _Composer:
    def __init__(self, document: Document, events: Iterator[Event]) -> None:
        self.document_ = document
        self.events = events
        self.values = 0
        self.anchors: dict[str, tuple[Any, int]] = {}

    def refuse(self, message: str, event: Event) -> InputError:
        return InputError(message, where=f"{self.document_.path}:{event.start_mark.line + 1}")

    def document(self) -> None:
        seen = False
        for event in self.events:
            if not isinstance(event, DocumentStartEvent):
                continue
            if seen:
                raise self.refuse("a second document starts here; a file holds one", event)
            seen = True
            self.document_.data = self.value(next(self.events), ())
        if not seen:
            raise InputError("the file has no content, only comments", where=f"{self.document_.path}:1")

    def value(self, event: Event, path: KeyPath) -> Any:
        self.document_.lines.setdefault(path, event.start_mark.line + 1)
        self.count(1, event)
        if isinstance(event, AliasEvent):
            if event.anchor not in self.anchors:
                raise self.refuse(f"alias {show('*' + event.anchor)} names no finished anchor above it", event)
            value, size = self.anchors[event.anchor]
            self.count(size, event)
            return value
        if (tag := getattr(event, "tag", None)) is not None:
            raise self.refuse(f"tag {show(str(tag))} is not supported; write the plain value", event)
        before = self.values
        if isinstance(event, ScalarEvent):
            value = self.scalar(event)
        elif len(path) >= MAX_DEPTH:
            raise self.refuse(f"nested deeper than {MAX_DEPTH} levels", event)
        else:
            value = self.mapping(path) if isinstance(event, MappingStartEvent) else self.sequence(event, path)
        if (anchor := getattr(event, "anchor", None)) is not None:
            self.anchors[anchor] = (value, self.values - before)
        return value

    def count(self, values: int, event: Event) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            raise self.refuse(f"more than {MAX_VALUES} values, aliases counted each time", event)

    def sequence(self, event: Event, path: KeyPath) -> list[Any]:
        assert isinstance(event, SequenceStartEvent)
        items: list[Any] = []
        for item in self.events:
            if isinstance(item, SequenceEndEvent):
                break
            items.append(self.value(item, (*path, len(items))))
        return items

    def mapping(self, path: KeyPath) -> dict[str, Any]:
        items: dict[str, Any] = {}
        for event in self.events:
            if isinstance(event, MappingEndEvent):
                break
            key = self.scalar(event) if isinstance(event, ScalarEvent) else None
            if not isinstance(key, str):
                raise self.refuse(f"key {show(key)} is not text; quote it", event)
            if key in items:
                first = self.document_.lines[(*path, key)]
                raise self.refuse(f"duplicate key {show(key)}, first on line {first}", event)
            self.document_.lines[(*path, key)] = event.start_mark.line + 1
            items[key] = self.value(next(self.events), (*path, key))
        return items

    def scalar(self, event: ScalarEvent) -> Any:
        text: str = event.value
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise self.refuse("a text holds a NUL or half a surrogate pair", event)
        if not event.implicit[0]:
            return text
        if text in _NULLS:
            return None
        if text in _BOOLS:
            return _BOOLS[text]
        if _INT.fullmatch(text):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) and len(text) <= 40 else text


def problem(message: str, *, key: str | int | KeyPath | None = None, remedy: str | None = None) -> PydanticCustomError:
    """What a validator raises; ``key`` is the place below the validated value that is wrong."""
    below = () if key is None else key if isinstance(key, tuple) else (key,)
    return PydanticCustomError("lab", "{message}", {"message": message, "key": below, "remedy": remedy})


def check_keys(raw: Any, allowed: Iterable[str], what: str) -> dict[str, Any]:
    """The mapping, if it is one with no other keys than those."""
    names = list(allowed)
    if not isinstance(raw, Mapping):
        raise problem(f"{show(raw)} is no mapping; {what} takes {', '.join(names) or 'no keys'}")
    for key in raw:
        if key not in names:
            raise problem(f"unknown key {show(key)}{nearest(key, names)}; allowed: {', '.join(names)}", key=key)
    return dict(raw)


def nearest(word: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(word[:80], list(names), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def as_input_error(error: ValidationError, document: Document) -> InputError:
    """The complaint that stands first in the file."""
    found: list[tuple[int, InputError]] = []
    for item in error.errors(include_url=False):
        ctx: Mapping[str, Any] = item.get("ctx", {})
        loc = (*item["loc"], *ctx.get("key", ()))
        path = document.narrow(loc)
        raw = document.at(path)
        kind, remedy = item["type"], None
        if kind == "lab":
            message, remedy = str(ctx["message"]), ctx.get("remedy")
        elif kind == "missing":
            message = f"{show(loc[-1])} is missing"
        elif kind == "literal_error":
            expected = str(ctx["expected"])
            close = nearest(raw, re.findall(r"'([^']*)'", expected)) if isinstance(raw, str) else ""
            message = f"{show(raw)} is unknown{close}; allowed: {expected}"
        elif kind in ("greater_than_equal", "less_than_equal"):
            limit = ctx["ge" if kind[0] == "g" else "le"]
            text = format_bytes(limit).replace(" ", "") if isinstance(raw, str) and limit >= 1024 else str(limit)
            message = f"{show(raw)} is too {'small, at least' if kind[0] == 'g' else 'large, at most'} {text}"
        elif kind == "too_short":
            message = f"{show(raw)} is empty; allowed: one entry or more"
        elif kind.startswith("bool_"):
            message = f"{show(raw)} is neither true nor false; allowed: true, false"
        else:
            message = f"{show(raw)}: {item['msg'][:1].lower()}{item['msg'][1:]}"
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
        lead = f"{_one_line(dotted)}: " if dotted else ""
        where = document.where(path)
        found.append((document.lines.get(path, 1), InputError(lead + _one_line(message), where=where, remedy=remedy)))
    return min(found, key=lambda pair: pair[0])[1]


def _one_line(text: str) -> str:
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= 600 else text[:597] + "..."
