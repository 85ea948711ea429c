"""Image archives, as ``docker save`` writes them, and the list of what the box's images hold -> ``ImageContent``.

Format: the OCI image specification v1 and Docker's ``manifest.json``; of the layers only names, kinds and lengths.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from lab.errors import ReaderError
from lab.model.filesystems.image_content import Entry, ImageContent, Kind, Layer
from lab.scenario.scenario import Workload

_MOST_MANIFEST_BYTES = 16 << 20

BOX_LIST = "box_images.json"
"""``listed`` of the archives that ``vagrant/build-images.py`` makes; a test makes them and compares."""


def read_image(path: Path, name: str | None = None) -> ImageContent:
    """The image in an archive; of several the first, or the one with that name.

    Raises ReaderError where the file is no such archive, lacks a layer, or holds no image of that name.
    """
    try:
        if not path.is_file():
            raise FileNotFoundError("there is no such regular file")
        with tarfile.open(path) as archive:
            names, layers = _pick(_manifest(archive, path), name, path)
            return ImageContent(names[0] if names else path.stem,
                                tuple(_layer(archive, layer, path) for layer in layers))
    except (tarfile.TarError, OSError, EOFError, KeyError, ValueError, RecursionError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__).rstrip(": ")
        raise ReaderError(f"is no image archive: {why[:200]}", where=str(path),
                          remedy="docker save IMAGE -o my.tar writes one") from None


def _manifest(archive: tarfile.TarFile, path: Path) -> list[dict[str, Any]]:
    member = archive.extractfile("manifest.json")
    if member is not None and (size := archive.getmember("manifest.json").size) > _MOST_MANIFEST_BYTES:
        raise ReaderError(f"its manifest.json has {size} bytes; at most {_MOST_MANIFEST_BYTES}", where=str(path))
    document = json.loads(member.read()) if member is not None else None
    if not isinstance(document, list) or not all(isinstance(item, dict) for item in document) or not document:
        raise ReaderError("its manifest.json lists no image", where=str(path))
    return document


def _pick(images: list[dict[str, Any]], name: str | None, path: Path) -> tuple[list[str], list[str]]:
    for image in images:
        names, layers = image.get("RepoTags") or [], image.get("Layers")
        if not isinstance(names, list) or not isinstance(layers, list):
            raise ReaderError("its manifest.json names no layers", where=str(path))
        if name is None or name in names:
            return [str(item) for item in names], [str(item) for item in layers]
    raise ReaderError(f"holds no image {name}", where=str(path))


def _layer(archive: tarfile.TarFile, name: str, path: Path) -> Layer:
    member = archive.extractfile(name)
    if member is None:
        raise ReaderError(f"its layer {name} is no file", where=str(path))
    with tarfile.open(fileobj=member) as layer:
        return tuple(entry for item in layer if (entry := _entry(item)) is not None)


def _entry(item: tarfile.TarInfo) -> Entry | None:
    path = item.name.removeprefix("./").strip("/")
    if path in ("", "."):
        return None
    if item.isdir():
        return Entry(path, Kind.FOLDER)
    return Entry(path, Kind.FILE, item.size) if item.isreg() else Entry(path, Kind.LINK)


@cache
def box_image(name: str) -> ImageContent:
    """One of the images that the box holds.  Raises KeyError for another name."""
    document = json.loads(files("lab.readers").joinpath(BOX_LIST).read_text(encoding="utf-8"))
    return ImageContent(name, tuple(_listed(document["layers"], layer) for layer in document["images"][name]))


def image_of(workload: Workload) -> ImageContent:
    """What a workload's image holds.  Raises ReaderError where the user's archive cannot be read."""
    return box_image(workload.image) if workload.image_file is None else read_image(workload.image_file)


def listed(images: Sequence[ImageContent]) -> dict[str, Any]:
    """The document of ``BOX_LIST``: each layer once, under a number, and each image as its layers, lowest first."""
    numbers: dict[Layer, str] = {}
    for layer in (layer for image in images for layer in image.layers):
        numbers.setdefault(layer, str(len(numbers)))
    return {"images": {image.name: [numbers[layer] for layer in image.layers] for image in images},
            "layers": {number: [[entry.kind.value, entry.path, *([entry.size_bytes] if entry.kind is Kind.FILE else [])]
                                for entry in layer] for layer, number in numbers.items()}}


def _listed(layers: dict[str, list[list[Any]]], name: str) -> Layer:
    return tuple(Entry(path, Kind(kind), *length) for kind, path, *length in layers[name])
