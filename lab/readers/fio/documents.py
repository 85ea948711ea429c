"""The JSON documents in what fio wrote, apart from the messages that it printed around them."""

from __future__ import annotations

import json
import re
from typing import Any

from lab.errors import ReaderError

_DOCUMENT_START = re.compile(r"(?:^|\r)[ \t]*(?=\{)", re.MULTILINE)
"""A progress line ends with a carriage return alone."""

_PROMPT = re.compile(r"\[[^\[\]{}\",]{1,80}\] ?[#$%>]")
"""Of a shell, as in [root@host ~]#."""



def split_documents(text: str, source: str) -> tuple[list[tuple[Any, tuple[str, ...], int]], tuple[str, ...]]:
    """The documents with the messages before each and the line it starts at; and the messages after the last.

    Raises ReaderError where there is no document, or one is damaged or cut off.
    """
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    documents: list[tuple[Any, tuple[str, ...], int]] = []
    position = 0
    while (start := _DOCUMENT_START.search(text, position)) is not None:
        line = text.count("\n", 0, start.end()) + 1
        try:
            document, end = decoder.raw_decode(text, start.end())
        except json.JSONDecodeError as error:
            raise _broken(text, start.end(), line, error, len(documents), source) from None
        except RecursionError:
            raise ReaderError("malformed JSON: nested too deeply", where=f"{source}:{line}") from None
        except ValueError as error:
            raise ReaderError(f"malformed JSON: {error}", where=f"{source}:{line}") from None
        documents.append((document, _message_lines(text[position : start.start()]), line))
        position = end
    rest = _message_lines(text[position:])
    if not documents:
        raise ReaderError(_why_no_document(rest[0]), where=f"{source}:1", remedy="run fio with --output-format=json")
    stray = next((line for line in rest if line[0] in '{}[]",' and not _PROMPT.match(line)), None)
    if stray is not None:
        raise ReaderError(f"malformed JSON: {stray[:60]!r} follows the end of the document", where=source)
    return documents, rest


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is no number; fio measured nothing there")


def _message_lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _why_no_document(first: str) -> str:
    if first.startswith("fio: ") or first.startswith("note: "):
        return f"fio printed messages and no JSON document: {first[:200]}"
    return f"not fio's JSON: it starts with {first[:60]!r}, not with '{{'"


def _broken(text: str, start: int, start_line: int, error: json.JSONDecodeError, whole: int,
            source: str) -> ReaderError:
    before = f" ({whole} whole documents before it)" if whole else ""
    rest = text[error.pos :].strip()
    at_end = not rest or error.msg.startswith("Unterminated string") or re.fullmatch(r"[-+.\w]{1,20}", rest)
    if at_end and _open_brackets(text, start):
        last = text.rstrip().count("\n") + 1
        return ReaderError(f"truncated JSON: the document that starts at line {start_line} is not closed{before}",
                           where=f"{source}:{last}")
    found = f", found {rest.splitlines()[0][:60]!r}" if rest else ""
    return ReaderError(f"malformed JSON: {error.msg}{found}{before}", where=f"{source}:{error.lineno}")


def _open_brackets(text: str, start: int) -> bool:
    bare = re.sub(r'"(\\.|[^"\\])*("|$)', "", text[start:])
    return bare.count("{") + bare.count("[") > bare.count("}") + bare.count("]")
