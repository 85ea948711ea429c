"""A user's own host as the machine of a scenario: how it is reached, and the one disk that may be erased."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictInt

from lab.scenario.steps import Part
from lab.scenario.yaml_text import problem, show

BY_ID = "/dev/disk/by-id/"
_CONSENT = "erase "


def _reachable(ssh: str) -> str:
    # what ssh would take for an option, or a shell for more than a word, is no name
    if not re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9._-]*@)?[A-Za-z0-9][A-Za-z0-9._:-]*", ssh) or len(ssh) > 255:
        raise problem(f"{show(ssh)} is no host; write user@host, or the name of a Host in your ssh configuration")
    return ssh


def _by_id(disk: str) -> str:
    name = disk.removeprefix(BY_ID)
    if name == disk:
        raise problem(f"{show(disk)} can be another disk after the next boot; name it by {BY_ID}...",
                      remedy=f"`ls -l {BY_ID}` on the host shows the names")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:+=@#,~-]*", name):
        raise problem(f"{show(disk)} is no name of a disk directly below {BY_ID}")
    if re.search(r"-part\d+$", name):
        raise problem(f"{show(disk)} is a partition; the lab takes a whole disk")
    return disk


def _consenting(consent: str) -> str:
    if not re.fullmatch(_CONSENT + r"\S(.*\S)?", consent):
        raise problem(f"{show(consent)} is no consent; write `erase <serial>`, with the serial number of the disk, "
                      "all of which is erased", remedy="`lsblk -dno SERIAL DISK` on the host shows it")
    return consent


class HostSpec(Part):
    """A host behind ssh, and its disk: all that is on it is erased, and ``consent`` says so by its serial number."""

    ssh: Annotated[str, AfterValidator(_reachable)]
    disk: Annotated[str, AfterValidator(_by_id)]
    consent: Annotated[str, AfterValidator(_consenting)]
    port: StrictInt | None = Field(default=None, ge=1, le=65535)
    identity_file: Path | None = None
    ssh_config: Path | None = None

    @property
    def serial(self) -> str:
        """The serial number that the consent names."""
        return self.consent.removeprefix(_CONSENT)

    @property
    def host(self) -> str:
        """The host without the user."""
        return self.ssh.rpartition("@")[2]

    def key_content(self) -> dict[str, Any]:
        """What a content key holds of it: which host and which disk, not the way to them."""
        return {"host": self.host, "serial": self.serial}

    def key_text(self) -> str:
        """What a set-up's key holds of it."""
        return repr(self.key_content())


def is_host(raw: Any) -> bool:
    """Whether a ``machine:`` block, or what became of it, is a host's."""
    return isinstance(raw, HostSpec) or (isinstance(raw, dict) and "ssh" in raw)


def host_files(raw: dict[str, Any], folder: Path) -> dict[str, Path]:
    """The files that the block names, absolute: relative names are below the scenario's folder."""
    found: dict[str, Path] = {}
    for key in ("identity_file", "ssh_config"):
        name = raw.get(key)
        if name is None:
            continue
        if not isinstance(name, str) or not name or "\0" in name:
            raise problem(f"{show(name)} is no file name", key=key)
        try:
            file = (folder / Path(name).expanduser()).absolute()
        except RuntimeError:
            raise problem(f"{show(name)}: that user has no home folder", key=key) from None
        if not file.is_file():
            raise problem(f"{show(name)}: no such file", key=key,
                          remedy="relative names are below the scenario's folder")
        found[key] = file
    return found
