"""The description of a workload and its host, from a YAML file.

Frozen; unknown keys are refused; every complaint names ``file:line``, the value and what is allowed.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from lab.answers.advise.versions import parse_version
from lab.errors import InputError
from lab.scenario.steps import GiB, KiB, MiB, Part, Size
from lab.scenario.yaml_text import as_input_error, check_keys, parse, problem, read_text, show

Distribution = Literal["debian", "ubuntu", "centos", "rhel", "fedora", "sles", "other"]
Backing = Literal["ext4", "xfs", "btrfs", "zfs", "other"]

SHARES_SLACK = 1e-6
"""What shares that are decimal fractions may miss 1 by."""


def _share(raw: Any) -> Any:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw) or not 0 <= raw <= 1:
        raise problem(f"{show(raw)} is no share; allowed: a number from 0 to 1, as in 0.25")
    return float(raw)


Share = Annotated[float, BeforeValidator(_share)]


def _version(raw: Any) -> Any:
    if isinstance(raw, float):
        raise problem(f"{show(raw)} is read as a fraction, which loses zeros at its end",
                      remedy="quote it, as in '20.10'")
    text = str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw
    try:
        parse_version(text if isinstance(text, str) else "")
    except ValueError:
        raise problem(f"{show(raw)} is no version; allowed: numbers with dots, quoted, as in '20.10'") from None
    return text


Version = Annotated[str, BeforeValidator(_version)]


class Reads(Part):
    """Reads of the containers' own data."""

    share: Share
    """Of all reads and writes."""
    random: Share = 1.0
    """Of the reads: at random places; the others are sequential."""
    size_bytes: Size = Field(default=4 * KiB, alias="size", ge=512, le=64 * MiB)


class Writes(Part):
    """Writes; each share below ``share`` is one of all writes, or of those that the lines before it leave."""

    share: Share
    """Of all reads and writes."""
    image: Share = 0.0
    """Of the writes: first writes into files of the image, which the layer has to copy."""
    sync: Share = 0.0
    """Of the other writes: each waits for the disk (fsync, fdatasync, O_SYNC)."""
    random: Share = 1.0
    """Of the writes that do not wait: at random places; the others are sequential."""
    first: Share = 0.0
    """Of the writes that do not wait: to new places in a file; the others overwrite."""
    size_bytes: Size = Field(default=4 * KiB, alias="size", ge=512, le=64 * MiB)


class Space(Part):
    """What one container does, for the forecast of space."""

    written_bytes: Size = Field(default=0, alias="written", ge=0, le=16 * GiB)
    """New files in all."""
    files: StrictInt = Field(default=1, ge=1, le=10_000)
    rewritten_bytes: Size = Field(default=0, alias="rewritten", ge=0, le=32 * MiB)
    """In one file of the image, at random places of 4 KiB; at most the file of the image that the model does it in."""
    small_files: StrictInt = Field(default=0, ge=0, le=100_000)
    small_file_bytes: Size = Field(default=4 * KiB, alias="small_file", ge=1, le=MiB)
    log_lines: StrictInt = Field(default=0, ge=0, le=10_000_000)
    log_width: StrictInt = Field(default=100, ge=2, le=65_536)
    deletes: StrictBool = False
    """Whether containers delete what they wrote while they run."""

    @model_validator(mode="after")
    def _possible(self) -> Space:
        if 0 < self.written_bytes < self.files:
            raise problem(f"{self.written_bytes} B do not fill {self.files} files; at least 1 B each", key="files")
        if self.rewritten_bytes % (4 * KiB):
            raise problem(f"{self.rewritten_bytes} B is no multiple of 4KiB", key="rewritten")
        return self


class HostFacts(Part):
    """The host; what is left out is not known, and what depends on it is told as open."""

    distribution: Distribution | None = None
    kernel: Version | None = None
    docker: Version | None = None
    backing: Backing | None = None
    """File system of /var/lib/docker."""
    ftype: StrictBool | None = None
    """Of an xfs: whether it has ftype=1 (``xfs_info /var/lib/docker``)."""
    block_device: StrictBool | None = None
    """Whether a whole disk or partition is free for a thin pool."""
    containers: StrictInt = Field(default=1, ge=1, le=100_000)
    """At a time, of one image."""
    layers: StrictInt = Field(default=1, ge=1, le=127)
    """Of the image."""
    log_driver: str = Field(default="json-file", pattern=r"^[a-z0-9][a-z0-9._-]{0,40}$")


class Profile(Part):
    """A workload on a host."""

    name: str = Field(default="profile", pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    purpose: Literal["production", "test"] = "production"
    reads: Reads
    writes: Writes
    space: Space | None = None
    host: HostFacts = HostFacts()

    @model_validator(mode="after")
    def _fits_together(self) -> Profile:
        total = self.reads.share + self.writes.share
        if abs(total - 1) > SHARES_SLACK:
            raise problem(f"reads {self.reads.share:g} + writes {self.writes.share:g} is {total:g}; allowed: 1 "
                          "together",
                          key=("writes", "share"), remedy=f"for these reads, writes are {1 - self.reads.share:g}")
        if self.host.ftype is not None and self.host.backing not in (None, "xfs"):
            raise problem(f"ftype is a property of xfs, and the backing file system is {self.host.backing}",
                          key=("host", "ftype"), remedy="leave it out")
        return self

    @property
    def write_heavy(self) -> bool:
        """More writes than reads; the documentation, which speaks of write-heavy work, draws no line itself."""
        return self.writes.share > self.reads.share


_PARTS: dict[str, type[Part]] = {"reads": Reads, "writes": Writes, "space": Space, "host": HostFacts}


def read_profile(path: Path) -> Profile:
    """The profile in the file.  Raises InputError, and nothing else, for whatever else the file holds."""
    document = parse(read_text(path, "profile"), path)
    if not isinstance(document.data, dict):
        raise InputError(f"the file is no mapping but {show(document.data)}; it takes {', '.join(Profile.keys())}",
                         where=document.where())
    try:
        _check_all_keys(document.data)
        return Profile.model_validate(document.data, context="file")
    except PydanticCustomError as error:
        raise InputError(str(error), where=document.where((error.context or {})["key"])) from None
    except ValidationError as error:
        raise as_input_error(error, document) from None


def _check_all_keys(data: dict[str, Any]) -> None:
    check_keys(data, Profile.keys(), "a profile")
    for name, model in _PARTS.items():
        if name in data and data[name] is None:         # a heading with nothing below it
            data[name] = {}
        if name in data:
            try:
                check_keys(data[name], model.keys(), name)
            except PydanticCustomError as error:
                raise problem(str(error), key=(name, *(error.context or {})["key"])) from None
