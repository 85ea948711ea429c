"""The files that a scenario names: fio job files, and images of the user."""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

from lab.errors import InputError
from lab.scenario.yaml_text import problem, read_text, show

BOX_IMAGES = ("lab/base:1", "lab/app:1", "lab/large:1", "lab/deep:1")
"""The images that the box holds."""

_SECTION = re.compile(r"\[(.*)\]")
_SECTION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_REFUSED = {
    "include": "the container would not have the other file",
    "directory": "the lab sets it to the target",
    "randseed": "the lab sets it from the scenario's seed",
}


def fio_sections(text: str, path: Path) -> tuple[str, ...]:
    """The names of the jobs in an fio job file, in order; ``[global]`` is none.

    Raises InputError with the line where there is no job, or where a name could not be a phase's.
    """
    names: dict[str, int] = {}
    inside = False
    for number, raw in enumerate(text.splitlines(), 1):
        line, where = raw.strip(), f"{path}:{number}"
        if not line or line[0] in "#;":
            continue
        match = _SECTION.match(line)
        if match is None:
            if not inside:
                raise InputError(f"{show(line)} stands before any [section]", where=where)
            key = re.split(r"[\s=]", line, maxsplit=1)[0].lower()
            if key in _REFUSED:
                raise InputError(f"{show(line)} is refused: {_REFUSED[key]}", where=where, remedy="delete the line")
            continue
        inside, name = True, match[1]
        if name == "global":
            continue
        if not _SECTION_NAME.fullmatch(name):
            raise InputError(f"section {show(name)}: allowed are letters, digits, '.', '_' and '-', at most 64",
                             where=where)
        if name in names:
            raise InputError(f"duplicate section {show(name)}, first on line {names[name]}", where=where)
        names[name] = number
    if not names:
        raise InputError("the job file has no section besides [global]", where=f"{path}:1",
                         remedy="add a job, as in [seq-write]")
    return tuple(names)


def read_jobs(raw: object, folder: Path, key: str,
              stored: Mapping[str, str] | None = None) -> tuple[Path, str, tuple[str, ...]]:
    """Absolute path, text and section names of the job file that a scenario names.

    ``stored``: the texts by that name, where a run keeps them; then no file is looked for.
    """
    if not isinstance(raw, str) or not raw:
        raise problem(f"{show(raw)} is not the path of an fio job file", key=key)
    path = folder / raw
    if stored is not None and raw in stored:
        return path, stored[raw], fio_sections(stored[raw], path)
    if not _is_file(path):
        raise problem(f"there is no fio job file {show(raw)} beside the scenario", key=key,
                      remedy="paths are relative to the scenario's folder")
    text = read_text(path, "fio job file")
    return path.resolve(), text, fio_sections(text, path)


def find_image(raw: object, folder: Path) -> tuple[Path, str] | None:
    """Absolute path and sha256 of a user's docker-archive file; None for an image of the box."""
    if not isinstance(raw, str) or raw in BOX_IMAGES:
        return None             # what is no text, the model complains about
    path = folder / raw
    if not raw or not _is_file(path):
        raise problem(f"image {show(raw)} is neither a file beside the scenario nor one of {', '.join(BOX_IMAGES)}",
                      key="image", remedy="docker save IMAGE -o my.tar writes such a file")
    try:
        with tarfile.open(path) as archive:
            names = {name for member in archive if (name := member.name.removeprefix("./")) == "manifest.json"}
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__).rstrip(": ")
        raise problem(f"image {show(raw)} is no docker archive: {why[:200]}", key="image",
                      remedy="docker save IMAGE -o my.tar writes one") from None
    if not names:
        raise problem(f"image {show(raw)} is no docker archive: it has no manifest.json", key="image",
                      remedy="docker save IMAGE -o my.tar writes one")
    return path.resolve(), digest


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
