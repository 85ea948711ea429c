#!/usr/bin/env python3
"""Make the lab's container images as archives for `docker load`.

    build-images.py OUTDIR [--busybox PATH]

Standard library only, no daemon, no root.  The same script and the same
busybox give the same bytes: modification times, owners and contents are fixed,
and a layer that two images share has one digest.

    lab/base:1   one layer: a static busybox and empty mount points
    lab/app:1    base + 400 small files + a 32 MiB file + changes and a whiteout
    lab/large:1  base + a 100 MiB file
    lab/deep:1   base + 20 small layers that all rewrite /app/counter

OUTDIR gets one .tar an image and `images.json`, which says what is in them.

A container can run the machine's own programs, fio for example, if it is given
the machine's /usr: /lib and /lib64 are links into /usr, where the dynamic
loader and the libraries then are.

    docker run --rm --network none -v /usr:/usr:ro lab/base:1 /usr/bin/fio ...
"""

import argparse
import hashlib
import io
import json
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB
EPOCH = 1704067200  # 2024-01-01T00:00:00Z, the time of everything
CREATED = "2024-01-01T00:00:00Z"
PAGE = 4 * KIB
DEEP_LAYERS = 20

APPLETS = """
[ ash awk basename cat chgrp chmod chown cmp cp cut date dd df dirname du echo env expr false find
free grep gzip head hostname id kill ln ls md5sum mkdir mkfifo mknod mktemp more mount mv nproc od
printf ps pwd readlink realpath rm rmdir sed seq sh sha256sum sleep sort stat stty sync tail tar tee
test time timeout top touch tr true truncate tty umount uname uniq usleep vi wc which xargs yes
"""


def content(seed: str, size: int) -> bytes:
    """Bytes that no file system can leave out and a compressor packs well.

    A pseudo-random page of 4 KiB, repeated, each under a header of its own: no
    page is zero and no two are the same.
    """
    pages = -(-size // PAGE)
    tag = hashlib.sha256(seed.encode()).hexdigest()[:16]
    noise = hashlib.shake_256(seed.encode()).digest(PAGE)
    out = bytearray()
    for page in range(pages):
        header = f"{tag} {page:012d}\n".encode()
        out += header
        out += noise[len(header) :]
    return bytes(out[:size])


class LayerBuilder:
    """One layer: a tar whose bytes depend on nothing but what is put into it."""

    def __init__(self, directory: Path, created_by: str) -> None:
        self.created_by = created_by
        self.path = directory / f"{len(list(directory.iterdir()))}.layer"
        self._tar = tarfile.open(self.path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        self._known: set[str] = set()

    def _entry(self, name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(name.strip("/"))
        entry.type, entry.mode, entry.mtime = kind, mode, EPOCH
        entry.uname = entry.gname = "root"
        return entry

    def directory(self, name: str, mode: int = 0o755) -> None:
        name = name.strip("/")
        if not name or name in self._known:
            return
        self.directory(name.rpartition("/")[0])
        self._known.add(name)
        self._tar.addfile(self._entry(name, tarfile.DIRTYPE, mode))

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        self.directory(name.rpartition("/")[0])
        entry = self._entry(name, tarfile.REGTYPE, mode)
        entry.size = len(data)
        self._tar.addfile(entry, io.BytesIO(data))

    def link(self, name: str, target: str) -> None:
        self.directory(name.rpartition("/")[0])
        entry = self._entry(name, tarfile.SYMTYPE, 0o777)
        entry.linkname = target
        self._tar.addfile(entry)

    def whiteout(self, name: str) -> None:
        parent, _, leaf = name.rpartition("/")
        self.file(f"{parent}/.wh.{leaf}", b"")

    def close(self) -> "Layer":
        self._tar.close()
        with self.path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return Layer(self.path, digest, self.path.stat().st_size, self.created_by)


@dataclass(frozen=True)
class Layer:
    path: Path
    digest: str
    size_bytes: int
    created_by: str


@dataclass
class Image:
    name: str
    layers: list[Layer]
    files: dict[str, bytes] = field(default_factory=dict)  # what a reader may check
    absent: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # history without a layer

    @property
    def tar(self) -> str:
        return self.name.split("/")[1].split(":")[0] + ".tar"

    def config(self) -> bytes:
        history: list[dict[str, object]] = [
            {"created": CREATED, "created_by": layer.created_by} for layer in self.layers
        ]
        history += [{"created": CREATED, "created_by": text, "empty_layer": True} for text in self.remarks]
        document = {
            "architecture": "amd64",
            "config": {
                "Cmd": ["/bin/sh"],
                "Env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin"],
                "WorkingDir": "/",
            },
            "created": CREATED,
            "history": history,
            "os": "linux",
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{layer.digest}" for layer in self.layers],
            },
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    def write(self, outdir: Path) -> dict[str, object]:
        config = self.config()
        config_id = hashlib.sha256(config).hexdigest()
        manifest = [
            {
                "Config": f"{config_id}.json",
                "Layers": [f"{layer.digest}/layer.tar" for layer in self.layers],
                "RepoTags": [self.name],
            }
        ]
        path = outdir / self.tar
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            for layer in self.layers:
                with layer.path.open("rb") as stream:
                    _add(archive, f"{layer.digest}/layer.tar", stream, layer.size_bytes)
            for name, data in (
                (f"{config_id}.json", config),
                ("manifest.json", json.dumps(manifest, sort_keys=True).encode()),
            ):
                _add(archive, name, io.BytesIO(data), len(data))
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return {
            "name": self.name,
            "tar": self.tar,
            "id": f"sha256:{config_id}",
            "size_bytes": path.stat().st_size,
            "sha256": digest,
            "layers": [
                {
                    "diff_id": f"sha256:{layer.digest}",
                    "size_bytes": layer.size_bytes,
                    "created_by": layer.created_by,
                }
                for layer in self.layers
            ],
            "files": {
                name: {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for name, data in self.files.items()
            },
            "absent": self.absent,
        }


def _add(archive: tarfile.TarFile, name: str, stream: io.IOBase, size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, EPOCH, 0o644
    archive.addfile(entry, stream)


def base_layer(tmp: Path, busybox: bytes) -> Layer:
    layer = LayerBuilder(tmp, "busybox and empty mount points")
    for name in ("bin", "data", "dev", "etc", "proc", "root", "run", "sbin", "sys", "usr", "var"):
        layer.directory(name)
    layer.directory("tmp", 0o1777)
    layer.file("bin/busybox", busybox, 0o755)
    for applet in sorted(APPLETS.split()):
        layer.link(f"bin/{applet}", "busybox")
    for name in ("lib", "lib64"):
        layer.link(name, f"usr/{name}")
    layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    layer.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    return layer.close()


def app_image(tmp: Path, base: Layer) -> Image:
    """Small files, a large one, then a layer that changes some and hides one."""
    files = {
        f"/app/d{number // 20:02d}/f{number % 20:02d}.bin": content(f"app/{number}", (1 + number * 7 % 16) * KIB)
        for number in range(400)
    }
    tree = LayerBuilder(tmp, "400 small files under /app")
    for name, data in files.items():
        tree.file(name, data)

    large = content("app/large", 32 * MIB)
    notes = b"Notes of lab/app:1, to be appended to.\n" * 20
    data_layer = LayerBuilder(tmp, "/data/large.bin and /data/notes.txt")
    data_layer.file("/data/large.bin", large)
    data_layer.file("/data/notes.txt", notes)

    hidden = "/app/d01/f01.bin"
    changed = {
        name: content(f"changed{name}", len(files[name]))
        for name in ("/app/d00/f00.bin", "/app/d05/f10.bin", "/app/d19/f19.bin")
    }
    changes = LayerBuilder(tmp, "three files of /app replaced, one removed")
    for name, data in changed.items():
        changes.file(name, data)
    changes.whiteout(hidden)

    kept = "/app/d10/f00.bin"
    return Image(
        "lab/app:1",
        [base, tree.close(), data_layer.close(), changes.close()],
        files={
            "/data/large.bin": large,
            "/data/notes.txt": notes,
            kept: files[kept],
            **changed,
        },
        absent=[hidden],
        remarks=["LABEL lab.note=metadata-only"],
    )


def large_image(tmp: Path, base: Layer) -> Image:
    data = content("large/large", 100 * MIB)
    layer = LayerBuilder(tmp, "/data/large.bin")
    layer.file("/data/large.bin", data)
    return Image("lab/large:1", [base, layer.close()], files={"/data/large.bin": data})


def deep_image(tmp: Path, base: Layer) -> Image:
    layers, counter = [base], b""
    for number in range(1, DEEP_LAYERS + 1):
        layer = LayerBuilder(tmp, f"layer {number} of {DEEP_LAYERS}")
        for leaf in ("a", "b/c", "b/d"):
            name = f"/app/layer{number:02d}/{leaf}.bin"
            layer.file(name, content(name, 2 * KIB))
        counter = f"{number}\n".encode()
        layer.file("/app/counter", counter)
        layers.append(layer.close())
    return Image("lab/deep:1", layers, files={"/app/counter": counter})


def build(outdir: Path, busybox: Path) -> dict[str, object]:
    outdir.mkdir(parents=True, exist_ok=True)
    program = busybox.read_bytes()
    with tempfile.TemporaryDirectory(dir=outdir) as name:
        tmp = Path(name)
        base = base_layer(tmp, program)
        images = [
            Image("lab/base:1", [base], files={"/bin/busybox": program}),
            app_image(tmp, base),
            large_image(tmp, base),
            deep_image(tmp, base),
        ]
        index: dict[str, object] = {"format": 1, "images": [image.write(outdir) for image in images]}
    text = json.dumps(index, indent=1, sort_keys=True) + "\n"
    (outdir / "images.json").write_text(text, encoding="utf-8")
    return index


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the lab's container images.")
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--busybox", type=Path, default=Path("/bin/busybox"), help="a static busybox")
    options = parser.parse_args()
    try:
        build(options.outdir, options.busybox)
    except OSError as error:
        print(f"build-images.py: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
