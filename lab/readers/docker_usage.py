"""``docker ps -s`` and ``docker system df -v``, each with ``--format '{{json .}}'``: what containers and images take.

Formats: the docker command's formatters.  Sizes are approximations, as ``docker_json`` says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.errors import ReaderError
from lab.readers.docker_json import (
    NOT_MEASURED,
    get_optional_text,
    get_size,
    get_text,
    parse_human_size,
    parse_object,
)

_CONTAINER_SIZE = re.compile(r"([^()]+?)(?:\s*\(virtual ([^()]+)\))?")


@dataclass(frozen=True, slots=True)
class ContainerSize:
    """A row of ``docker ps -s``, or a container of ``docker system df -v``.

    ``size_bytes`` is what the container wrote, ``virtual_size_bytes`` that and its image; both are
    approximate, and None where Docker did not measure them (``docker ps`` without ``-s``; ``docker
    system df`` tells no virtual size).  ``id`` has 12 digits from ``docker ps``, 64 from ``docker
    system df``.
    """

    id: str
    name: str
    image: str
    state: str | None
    size_bytes: int | None
    virtual_size_bytes: int | None


@dataclass(frozen=True, slots=True)
class ImageSize:
    """An image of ``docker system df -v``; sizes in bytes, approximate, None if not measured."""

    id: str
    repository: str
    tag: str
    size_bytes: int | None
    shared_size_bytes: int | None
    unique_size_bytes: int | None
    containers: int | None


@dataclass(frozen=True, slots=True)
class VolumeSize:
    """A local volume of ``docker system df -v``; size in bytes, approximate, None if not measured."""

    name: str
    driver: str | None
    links: int | None
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """``docker system df -v``.  ``build_cache_bytes`` is the sum of its entries, None if one is not told."""

    images: tuple[ImageSize, ...]
    containers: tuple[ContainerSize, ...]
    volumes: tuple[VolumeSize, ...]
    build_cache_bytes: int | None


def parse_docker_ps(text: str, *, name: str = "<docker ps>") -> list[ContainerSize]:
    """``docker ps -s --format '{{json .}}'``: one object a line; nothing gives an empty list.

    Raises ReaderError with file:line for a malformed or cut-off line.
    """
    lines = ((number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())
    return [_container(parse_object(line, f"{name}:{number}", line=True), f"{name}:{number}") for number, line in lines]


def parse_docker_system_df(text: str, *, name: str = "<docker system df>") -> DiskUsage:
    """``docker system df -v --format '{{json .}}'``.  Raises ReaderError for anything else."""
    usage = parse_object(text, name)
    images, containers, volumes, cache = (
        _objects(usage, key, name) for key in ("Images", "Containers", "Volumes", "BuildCache")
    )
    cached = [get_size(entry, "Size", name) for entry in cache]
    return DiskUsage(
        images=tuple(_image(image, name) for image in images),
        containers=tuple(_container(row, name, zero_is_measured=True) for row in containers),
        volumes=tuple(_volume(volume, name) for volume in volumes),
        build_cache_bytes=None if None in cached else sum(size for size in cached if size is not None),
    )


def _container(row: Mapping[str, Any], where: str, *, zero_is_measured: bool = False) -> ContainerSize:
    size, virtual = _container_sizes(get_optional_text(row, "Size", where), where, zero_is_measured)
    return ContainerSize(
        id=get_text(row, "ID", where),
        name=get_text(row, "Names", where),
        image=get_text(row, "Image", where),
        state=get_optional_text(row, "State", where),
        size_bytes=size,
        virtual_size_bytes=virtual,
    )


def _container_sizes(text: str | None, where: str, zero_is_measured: bool) -> tuple[int | None, int | None]:
    """``1.05MB (virtual 189MB)``; ``0B`` alone is what ``docker ps`` prints when it did not ask."""
    if text is None or text in NOT_MEASURED:
        return None, None
    match = _CONTAINER_SIZE.fullmatch(text)
    if match is None:
        raise ReaderError(f"Size is {text[:60]!r}; '1.05MB (virtual 189MB)' expected", where=where)
    size = parse_human_size(match[1], where=where)
    if match[2] is None:
        return size if size or zero_is_measured else None, None
    return size, parse_human_size(match[2], where=where)


def _image(row: Mapping[str, Any], where: str) -> ImageSize:
    return ImageSize(
        id=get_text(row, "ID", where),
        repository=get_text(row, "Repository", where),
        tag=get_text(row, "Tag", where),
        size_bytes=get_size(row, "Size", where),
        shared_size_bytes=get_size(row, "SharedSize", where),
        unique_size_bytes=get_size(row, "UniqueSize", where),
        containers=_count(row, "Containers", where),
    )


def _volume(row: Mapping[str, Any], where: str) -> VolumeSize:
    return VolumeSize(
        name=get_text(row, "Name", where),
        driver=get_optional_text(row, "Driver", where),
        links=_count(row, "Links", where),
        size_bytes=get_size(row, "Size", where),
    )


def _objects(values: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    if key not in values:
        has = ", ".join(list(values)[:6]) or "none"
        raise ReaderError(f"no {key!r}; keys: {has}", where=where, remedy="run docker system df with -v")
    rows = values[key]
    if rows is None:
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ReaderError(f"{key!r} is not a list of objects", where=where)
    return rows


def _count(values: Mapping[str, Any], key: str, where: str) -> int | None:
    text = get_optional_text(values, key, where)
    if text is None or text in NOT_MEASURED:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise ReaderError(f"{key!r} is {text!r}, not a whole number", where=where)
    return int(text)
