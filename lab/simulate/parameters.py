"""The model's parameters as a file, and those that come with the lab."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from lab.errors import InputError, ReaderError
from lab.model.parameters import SCHEMA_VERSION, Parameters
from lab.readers.json_text import parse_json
from lab.readers.text_file import load_text
from lab.runs.files import write_output

_MOST_BYTES = 16 << 20

SHIPPED = "parameters.json"
"""Made by ``lab calibrate`` from the committed reference run on an emulated machine."""

SHIPPED_FOR_UML = "parameters-uml.json"
"""The same from the one on user-mode Linux."""


def read_parameters(path: Path | None, accelerator: str | None = None) -> Parameters:
    """The parameters in a file; without one, those that come with the lab for that accelerator of a machine.

    Raises InputError, with the file and the key, for another schema version, unknown keys, and values out of range.
    """
    shipped = SHIPPED_FOR_UML if accelerator == "uml" else SHIPPED
    where = str(path) if path is not None else shipped
    try:
        text = (files("lab.simulate").joinpath(shipped).read_text("utf-8") if path is None else
                load_text(path, where, _MOST_BYTES))
        document = parse_json(text, where)
    except ReaderError as error:
        why = error.message.removeprefix(f"{error.where}: ")
        raise InputError(f"the parameters cannot be read: {why}", where=error.where,
                         remedy="lab calibrate RUN... -o FILE writes them") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(f"the parameters have schema version {version!r}, this lab reads {SCHEMA_VERSION}",
                         where=where, remedy="make them again with `lab calibrate`")
    try:
        return Parameters.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        spot, given = ".".join(str(part) for part in first["loc"]), first.get("input")
        raise InputError(f"{spot} is {given!r}: {first['msg']}", where=where) from None


def write_parameters(parameters: Parameters, path: Path) -> None:
    """Raises InputError where the file cannot be written, RigError where the disk is full."""
    write_output(path, parameters.model_dump_json(indent=1) + "\n")
