"""From a file, or its text, to the runs in it."""

from __future__ import annotations

import os
import re
from dataclasses import replace

from lab.errors import ReaderError
from lab.readers.fio.documents import split_documents
from lab.readers.fio.parse import parse_run
from lab.readers.fio.run import FioRun
from lab.readers.text_file import load_text

_TEXT = re.compile(r"\n|\{|\A(fio|note): ")


def read_fio(path_or_text: str | os.PathLike[str], *, name: str | None = None,
             allow_job_errors: bool = False) -> FioRun:
    """Reads the one JSON (or json+) document that a run of fio wrote; a gzipped file is taken too.

    A string that holds a line feed or ``{``, or is a message of fio, is the text itself; any other is
    a path.  ``name`` stands for the source in messages.  Raises ReaderError for anything but one whole
    document with at least one job, and, unless ``allow_job_errors``, for a job that ended with an error.
    """
    runs = _runs(path_or_text, name, allow_job_errors)
    if len(runs) > 1:
        raise ReaderError(f"{len(runs)} JSON documents, one expected: fio was run with --status-interval",
                          where=runs[0].source, remedy="read_fio_intervals reads them all")
    return runs[0]


def read_fio_intervals(path_or_text: str | os.PathLike[str], *, name: str | None = None,
                       allow_job_errors: bool = False) -> tuple[FioRun, ...]:
    """Reads the concatenated documents of ``fio --status-interval``, oldest first.

    Each counts from the start of its job, and the last one is the final result.  Raises ReaderError
    as ``read_fio`` does.
    """
    return _runs(path_or_text, name, allow_job_errors)


def _load(path_or_text: str | os.PathLike[str], name: str | None) -> tuple[str, str]:
    """(text, name of the source)"""
    if isinstance(path_or_text, str) and (not path_or_text or _TEXT.search(path_or_text)):
        source, text = name or "<text>", path_or_text
    else:
        source = name or os.fspath(path_or_text)
        text = load_text(os.fspath(path_or_text), source)
    if not text.strip():
        raise ReaderError("empty: fio wrote nothing; did it start?", where=source)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ReaderError("not text: it holds a NUL byte; is it binary?", where=f"{source}:{line}")
    return text, source


def _runs(path_or_text: str | os.PathLike[str], name: str | None, allow_job_errors: bool) -> tuple[FioRun, ...]:
    text, source = _load(path_or_text, name)
    documents, trailing = split_documents(text, source)
    runs = [parse_run(document, messages, f"{source}:{line}", source) for document, messages, line in documents]
    if trailing:
        runs[-1] = replace(runs[-1], messages=runs[-1].messages + trailing)
    failed = {job.name: job.error for run in runs for job in run.failed_jobs}
    if failed and not allow_job_errors:
        ended = "; ".join(f"job {job!r} ended with error {error} ({_strerror(error)})" for job, error in failed.items())
        raise ReaderError(ended, where=source, remedy="allow_job_errors=True reads it all the same")
    return tuple(runs)


def _strerror(error: int) -> str:
    return os.strerror(error) if error < 4096 else "no errno"
