"""The lab's container images for a machine that no box brings them to: built once, cached by what makes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import platform
import shutil
import struct
import sys
import tempfile
from pathlib import Path

from lab.errors import RigError
from lab.rig.machine import GUEST_FOLDER, Machine
from lab.rig.process import call
from lab.rig.vm.box import VAGRANT_FOLDER

_FOLDER = f"{GUEST_FOLDER}/images"
_INDEX = "images.json"
_PT_INTERP = 3


def images_for(machine: Machine) -> Path:
    """A folder with the images, built around a static busybox: the machine's own, or else this computer's.

    Raises RigError where neither has one.
    """
    return _build(_busybox(machine))


def install_images(machine: Machine, folder: Path) -> None:
    """Copies the images into the machine (some 200 MB), unless these very ones are there."""
    index = (folder / _INDEX).read_text("utf-8")
    if machine.run(["cat", f"{_FOLDER}/{_INDEX}"], check=False).stdout == index:
        return
    for archive in sorted(folder.glob("*.tar")):
        _put(machine, f"{_FOLDER}/{archive.name}", archive.read_bytes())
    _put(machine, f"{_FOLDER}/{_INDEX}", index.encode())       # the last: it says that the others are whole


def _put(machine: Machine, path: str, data: bytes) -> None:
    machine.run(["install", "-D", "-m", "0644", "/dev/stdin", path], stdin=data, timeout=1800)


def _busybox(machine: Machine) -> bytes:
    # base64, because a machine's output is text
    told = machine.run(["sh", "-c", "[ ! -e /bin/busybox ] || base64 -w0 /bin/busybox"]).stdout
    try:
        program = base64.b64decode(told, validate=True)
    except binascii.Error:
        program = b""
    if is_static(program):
        return program
    local = shutil.which("busybox")
    if local is not None and platform.machine() == machine.run(["uname", "-m"]).stdout.strip():
        program = Path(local).read_bytes()
        if is_static(program):
            return program
    raise RigError("no static busybox, which the container images are built around, neither on the host nor here",
                   remedy="on the host: apt-get install busybox-static")


def is_static(program: bytes) -> bool:
    """Whether it is a 64-bit little-endian ELF program that asks for no interpreter."""
    if len(program) < 64 or program[:6] != b"\x7fELF\x02\x01":
        return False
    (table,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    if not count or table + size * count > len(program):
        return False
    return all(struct.unpack_from("<I", program, table + size * number)[0] != _PT_INTERP for number in range(count))


def _build(busybox: bytes) -> Path:
    script = VAGRANT_FOLDER / "build-images.py"
    digest = hashlib.sha256(script.read_bytes() + hashlib.sha256(busybox).digest()).hexdigest()[:12]
    base = os.environ.get("XDG_CACHE_HOME")
    cache = (Path(base) if base else Path.home() / ".cache") / "thinpool-lab"
    folder = cache / f"images-{digest}"
    if (folder / _INDEX).exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="images.") as scratch:
        program, made = Path(scratch, "busybox"), Path(scratch, "made")
        program.write_bytes(busybox)
        call([sys.executable, str(script), str(made), "--busybox", str(program)], timeout=900)
        try:
            made.rename(folder)
        except OSError:
            if not (folder / _INDEX).exists():      # another `lab` may have been quicker
                raise RigError(f"{folder} cannot be made", remedy="remove it if it is there") from None
    return folder
