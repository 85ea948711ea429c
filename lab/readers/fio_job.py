"""fio job files -> what a model can follow of them.

Format: fio(1) 3.33, "JOB FILE FORMAT" and "PARAMETER TYPES".  ``[global]`` holds defaults for the sections below it,
a later one adds to an earlier; of an option given twice the last counts; ``;`` and ``#`` begin a comment anywhere in
a line.  Sizes are read as fio's default ``kb_base=1024`` reads them: ``4k`` and ``4kb`` are 4096 bytes, and ``4KiB`` is
4000, the opposite of the standard (fio(1), "PARAMETER TYPES", int).

>>> parse_fio_jobs("[a]\\nrw=randwrite\\nsize=24m\\nend_fsync=1\\n", Path("a.fio"))[0].operations
6144
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.errors import InputError
from lab.model.times.fio_job import FioJob, IoMode
from lab.readers.fio_options import ALIASES, ASYNCHRONOUS, IGNORED, ONLY, READ, REFUSED, SYNCHRONOUS, WITHOUT_VALUE
from lab.scenario.files import fio_sections
from lab.scenario.yaml_text import show
from lab.units import SECTOR_BYTES

DEFAULT_BLOCK_BYTES = 4096

_SIZE = re.compile(r"(0x[0-9a-f]{1,15}(?![0-9a-f])|[0-9]{1,18})(b|[kmgtp](?:b|ib)?)?", re.ASCII | re.IGNORECASE)
_TIME = re.compile(r"([0-9]{1,12})(us|usec|ms|msec|s|m|h|d)?", re.ASCII | re.IGNORECASE)
_SECONDS = {"us": 1e-6, "usec": 1e-6, "ms": 1e-3, "msec": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Option:
    """One line: the option's own name, what stood there, and where."""

    name: str
    written: str
    value: str | None
    where: str

    def bad(self, why: str, remedy: str | None = None) -> InputError:
        return InputError(f"{show(self.written)}: {why}", where=self.where, remedy=remedy)


_Options = Mapping[str, _Option]


def parse_fio_jobs(text: str, path: Path) -> tuple[FioJob, ...]:
    """The jobs of a job file, in its order; ``path`` names it in complaints.

    Raises InputError, with file:line, for a malformed text and for whatever a model cannot follow.
    """
    names = fio_sections(text, path)
    defaults: dict[str, _Option] = {}
    jobs: list[FioJob] = []
    own: dict[str, _Option] | None = None
    began = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line, where = re.split("[;#]", raw, maxsplit=1)[0].strip(), f"{path}:{number}"
        if not line:
            continue
        if line.startswith("["):
            if own is not None:
                jobs.append(_job(names[len(jobs)], own, began))
            own, began = _section(line, defaults, where), where
            continue
        option = _option(line, where)
        _check(option)
        (defaults if own is None else own)[option.name] = option
    if own is not None:
        jobs.append(_job(names[len(jobs)], own, began))
    return tuple(jobs)


def _section(line: str, defaults: Mapping[str, _Option], where: str) -> dict[str, _Option] | None:
    """A job's options, which begin as the defaults; None for ``[global]``."""
    if not line.endswith("]"):
        raise InputError(f"section {show(line)} is not closed", where=where, remedy="write [NAME] on a line of its own")
    return None if line[1:-1] == "global" else dict(defaults)


def _option(line: str, where: str) -> _Option:
    key, equals, value = line.partition("=")
    name = key.strip().lower()
    name = ALIASES.get(name, name)
    option = _Option(name, line, value.strip() if equals else None, where)
    if not line.isprintable():
        raise option.bad("holds a control character")
    if not equals and name not in WITHOUT_VALUE and name in (READ | IGNORED | ONLY.keys() | REFUSED.keys()):
        raise option.bad(f"needs a value, as in {name}=...")
    if equals and not option.value:
        raise option.bad("has no value after =")
    return option


def _check(option: _Option) -> None:
    """Raises InputError unless the option is one of ours, with a value that it may have."""
    if option.name in REFUSED:
        raise option.bad(f"cannot be simulated: {REFUSED[option.name]}", "delete the line")
    if option.name in ONLY:
        allowed, why = ONLY[option.name]
        if (option.value or "1") not in allowed:
            raise option.bad(f"cannot be simulated: {why}; allowed: {' or '.join(allowed)}")
    elif option.name not in READ and option.name not in IGNORED:
        raise option.bad("is no option known here", f"those that count are {', '.join(sorted(READ))}")


def _job(name: str, options: _Options, where: str) -> FioJob:
    """A job from its options; ``where`` is its section's line."""
    mode = _mode(name, options, where)
    size = options.get("size")
    if size is None:
        raise InputError(f"job {show(name)} has no size", where=where, remedy="write size=256m, as the file has")
    direct = _direct(options)
    file_bytes = _size(size, least=1)
    block_bytes = _block_bytes(options, direct=direct)
    if block_bytes > file_bytes:
        raise size.bad(f"is less than one block of {block_bytes} bytes")
    if (io_size := options.get("io_size")) is not None and _size(io_size) != file_bytes:
        raise io_size.bad(f"cannot be simulated: allowed is {file_bytes}, the size", "use number_ios instead")
    _check_engine(options)
    number, runtime = options.get("number_ios"), _runtime(options)
    time_based = _flag(options, "time_based")
    if time_based and runtime is None:
        raise options["time_based"].bad("needs a runtime", "write runtime=4s")
    return FioJob(
        name=name, filename=_filename(name, options), mode=mode, block_bytes=block_bytes, file_bytes=file_bytes,
        number_ios=None if number is None else _size(number) or None, runtime_seconds=runtime, time_based=time_based,
        direct=direct, fdatasync_every=_whole(options, "fdatasync", 0, 10**9), end_fsync=_flag(options, "end_fsync"),
        read_share=_read_share(mode, options))


def _mode(name: str, options: _Options, where: str) -> IoMode:
    allowed = ", ".join(mode.value for mode in IoMode)
    option = options.get("rw")
    if option is None:
        raise InputError(f"job {show(name)} has no rw, and fio would read; allowed: {allowed}", where=where,
                         remedy="write rw=read if that is meant")
    value = {"readwrite": "rw"}.get(option.value or "", option.value)
    if value not in [mode.value for mode in IoMode]:
        raise option.bad(f"cannot be simulated; allowed: {allowed}")
    return IoMode(value)


def _filename(name: str, options: _Options) -> str:
    """The job's only file; without the option NAME.0.0, fio's own for a job's first (``filename_format``)."""
    option = options.get("filename")
    if option is None or option.value is None:
        return f"{name}.0.0"
    if ":" in option.value or "\\" in option.value:
        raise option.bad("cannot be simulated: ':' separates several files; allowed: one")
    return option.value


def _block_bytes(options: _Options, *, direct: bool) -> int:
    option = options.get("bs")
    if option is None:
        return DEFAULT_BLOCK_BYTES
    if option.value is not None and "," in option.value:
        raise option.bad("cannot be simulated: reads and writes are of one size; allowed: one size, as in 4k")
    size = _size(option, least=1)
    if direct and size % SECTOR_BYTES:
        raise option.bad(f"is {size} bytes, and direct=1 takes multiples of {SECTOR_BYTES}",
                         "in fio 4k is 4096 bytes and 4KiB is 4000")
    return size


def _direct(options: _Options) -> bool:
    """``direct``, or what ``buffered`` says, its opposite: the last of the two in the file."""
    told = [name for name in options if name in ("direct", "buffered")]
    if not told:
        return False
    last = max(told, key=lambda name: int(options[name].where.rpartition(":")[2]))
    return _flag(options, last) == (last == "direct")


def _check_engine(options: _Options) -> None:
    engine, depth = options.get("ioengine"), _whole(options, "iodepth", 1, 10**6, default=1)
    name = SYNCHRONOUS[0] if engine is None else engine.value
    if engine is not None and name not in (*SYNCHRONOUS, *ASYNCHRONOUS):
        raise engine.bad(f"cannot be simulated; allowed: {', '.join((*SYNCHRONOUS, *ASYNCHRONOUS))}")
    if depth > 1 and name in ASYNCHRONOUS:
        raise options["iodepth"].bad(f"cannot be simulated with {name}: a job waits for each operation; allowed: 1")


def _runtime(options: _Options) -> float | None:
    option = options.get("runtime")
    if option is None:
        return None
    match = _TIME.fullmatch(option.value or "")
    if match is None:
        raise option.bad("is no time; allowed: a whole number with us, ms, s, m, h, d or nothing (seconds)")
    return int(match[1]) * _SECONDS[(match[2] or "s").lower()] or None


def _read_share(mode: IoMode, options: _Options) -> float:
    if not mode.mixed:
        return 0.0 if mode.writes else 1.0
    shares = {"rwmixread": _whole(options, "rwmixread", 0, 100, default=50) / 100,
              "rwmixwrite": 1 - _whole(options, "rwmixwrite", 0, 100, default=50) / 100}
    told = [name for name in shares if name in options]
    last = max(told, key=lambda name: int(options[name].where.rpartition(":")[2]), default="rwmixread")
    return shares[last]


def _flag(options: _Options, name: str) -> bool:
    option = options.get(name)
    return option is not None and (option.value is None or _whole(options, name, 0, 1) == 1)


def _whole(options: _Options, name: str, least: int, most: int, *, default: int = 0) -> int:
    option = options.get(name)
    if option is None:
        return default
    if option.value is None or not _WHOLE.fullmatch(option.value) or not least <= int(option.value) <= most:
        raise option.bad(f"is out of place; allowed: a whole number from {least} to {most}")
    return int(option.value)


def _size(option: _Option, *, least: int = 0) -> int:
    match = _SIZE.fullmatch(option.value or "")
    if match is None:
        raise option.bad("is no size; allowed: a whole number, alone or with k, m, g, t or p, as in 256m")
    unit = (match[2] or "").lower()
    base = 1000 if unit.endswith("ib") else 1024
    number = int(match[1], 16 if match[1][:2].lower() == "0x" else 10)
    size: int = number * base ** " kmgtp".index(unit[:1] or " ") if unit != "b" else number
    if not least <= size <= _LARGEST:
        raise option.bad(f"is out of range; allowed: {least} to {_LARGEST}")
    return size
