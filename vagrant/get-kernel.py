#!/usr/bin/env python3
"""Fetches the kernel that lets a VM run without hardware virtualisation: user-mode Linux, from Debian's packages.

    get-kernel.py --install    fetch it unless it is there; print its folder
    get-kernel.py --path       print its folder; status 3 where there is none
    get-kernel.py --versions   say whether it is the pinned one; status 3 where there is none

The host's own package sources and packages stay as they are: apt works in a folder of its own, with the mirror, the
proxies and the passwords of the host, and nothing is installed but the files below the cache.  The packages are pinned
by version and hash.  Where the mirror has other versions by now, those are taken, which Debian's key vouches for, if
the mirror's index is not out of date: that is said, the kernel's folder names all three, and every run's manifest the
kernel's.

A kernel's folder holds `linux`, the C library that it needs (`lib/`), its modules, `initrd` and `kernel.json`.

Environment:
  LAB_UML_KERNEL   a kernel's folder of your own, made like these
  LAB_MIRROR       a mirror's URL instead of the host's
  XDG_CACHE_HOME   the cache is $XDG_CACHE_HOME/thinpool-lab/kernels, by default ~/.cache/...
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUITE = "sid"
"""Seccomp mode came with Linux 6.16; Debian 13 has an older one."""
PINNED = {
    "user-mode-linux": ("7.2um1", "f947c9244fd79d481299df2ad68961f6b3b7703bff38c4b0e726f861161da62c"),
    "libc6": ("2.43-7", "5c71715c51103beb4fbba9fe9f8dff604af6610dfa71c70bff342f54a7860803"),
    "busybox-static": ("1:1.38.0-3+b1", "26801f17e6c88e813be104effc0ea3b43d912bd59ca6295fcd1260528ebb4d41"),
}
LEAST_RELEASE = (6, 16)
LAYOUT = 1
"""Counts up where the folder's contents are made in another way."""
LIBRARIES = ("ld-linux-x86-64.so.2", "libc.so.6")
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp")
INTERPRETER, OWN_INTERPRETER = b"/lib64/ld-linux-x86-64.so.2\0", b"lib/ld-linux-x86-64.so.2\0"
INIT = Path(__file__).with_name("uml-init.sh")


ALL_SUITES = ("stable", "oldstable", "oldoldstable", "testing", "unstable", "sid")
"""Words for a release in a host's package sources, beside its codename."""
HOST_SETTINGS = ("Acquire::http", "Acquire::ftp", "Acquire::Proxy", "Acquire::Retries", "Acquire::ForceIP")
"""What of the host's settings says how a mirror is reached: each is the beginning of a name (https too)."""


class Failure(Exception):
    """What stands in the way, for a person."""


def cache() -> Path:
    """Where kernels are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "thinpool-lab" / "kernels"


def name() -> str:
    """The folder of the pinned kernel: by all that makes it."""
    digest = hashlib.sha256(f"{LAYOUT} {json.dumps(PINNED)} ".encode() + INIT.read_bytes())
    return f"uml-{digest.hexdigest()[:12]}"


def find() -> Path | None:
    """The kernel's folder, if it is there."""
    own = os.environ.get("LAB_UML_KERNEL")
    folder = Path(own).resolve() if own else cache() / name()
    return folder if (folder / "kernel.json").is_file() else None


def install() -> Path:
    """Fetches the kernel.  Raises Failure."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = find()
        if found is not None:
            return found
        if os.environ.get("LAB_UML_KERNEL"):
            raise Failure(f"LAB_UML_KERNEL names {os.environ['LAB_UML_KERNEL']}, which holds no kernel.json")
        for left in cache().glob("part.*"):         # of a call that was killed
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix="part.", dir=cache()) as work:
            built = build(Path(work))
            built.rename(cache() / name())
    return cache() / name()


def build(work: Path) -> Path:
    """The kernel's folder, below ``work``."""
    say(f"fetching user-mode Linux from Debian {SUITE}")
    versions = download(work)
    for archive in sorted(work.glob("*.deb")):
        run(["dpkg-deb", "-x", str(archive), str(work / "files")], work)
    files, out = work / "files", work / "kernel"
    (out / "lib").mkdir(parents=True)
    for library in LIBRARIES:
        found = next((path for path in files.rglob(library) if path.is_file()), None)
        if found is None:
            raise Failure(f"the package of the C library holds no {library}")
        shutil.copy(found, out / "lib" / library)
    modules = next(iter(sorted((files / "usr/lib/uml/modules").iterdir())))
    release = modules.name
    if tuple(int(part) for part in re.findall(r"\d+", release)[:2]) < LEAST_RELEASE:
        raise Failure(f"the mirror has user-mode Linux {release}, and its seccomp mode came with 6.16")
    modules.rename(out / "modules")
    binary = (files / "usr/bin/linux.uml").read_bytes()
    if binary.count(INTERPRETER) != 1:
        raise Failure("the kernel names its loader in a way that is not known here")
    # The loader is named relative to where the kernel is started: it has a C library of its own beside it
    (out / "linux").write_bytes(binary.replace(INTERPRETER, OWN_INTERPRETER.ljust(len(INTERPRETER), b"\0")))
    (out / "linux").chmod(0o755)
    busybox = next(path for path in files.rglob("busybox") if path.is_file() and path.parent.name == "bin")
    (out / "initrd").write_bytes(initrd(busybox.read_bytes(), INIT.read_bytes()))
    shown = subprocess.run(["./linux", "--version"], cwd=out, env={**os.environ, "LD_LIBRARY_PATH": "lib"},
                           capture_output=True, text=True, check=False)
    if shown.stdout.strip() != release:
        raise Failure(f"the kernel does not start: {(shown.stdout + shown.stderr).strip()[-300:] or 'no output'}")
    (out / "kernel.json").write_text(json.dumps({"release": release, "packages": versions}, indent=2) + "\n")
    return out


def download(work: Path) -> dict[str, str]:
    """The packages into ``work``: the pinned versions, or what the mirror has now.  Returns their versions."""
    keyring = next((path for path in KEYRINGS if Path(path).exists()), None)
    if keyring is None or not shutil.which("apt-get"):
        raise Failure("apt-get and debian-archive-keyring are needed: this is no Debian")
    for folder in ("etc/apt.conf.d", "etc/auth.conf.d", "etc/preferences.d", "lists/partial", "archives/partial"):
        (work / folder).mkdir(parents=True)
    link_passwords(work / "etc")
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb [signed-by={keyring}] {mirror()} {SUITE} main\n")
    (work / "apt.conf").write_text(f"""\
Dir "{work}";
Dir::Etc "etc";
Dir::Etc::sourcelist "{work}/sources.list";
Dir::Etc::sourceparts "-";
Dir::State "{work}";
Dir::State::status "{work}/status";
Dir::State::lists "{work}/lists";
Dir::Cache "{work}";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "";
Acquire::Languages "none";
{host_settings()}""")
    out_of_date = update(work)
    versions = {}
    for package, (version, digest) in PINNED.items():
        shown = run(["apt-cache", "show", "--no-all-versions", package], work)
        offered = re.search(r"^Version: (\S+)$", shown, re.MULTILINE)
        if offered is None:
            raise Failure(f"the mirror has no {package} in {SUITE}")
        if offered[1] != version:
            if out_of_date:
                raise Failure(f"the mirror's index is out of date, and it has {package} {offered[1]} in place of "
                              f"{version}; name another mirror in LAB_MIRROR")
            say(f"the mirror has {package} {offered[1]} in place of {version}, which is taken")
        run(["apt-get", "download", "-qq", f"{package}={offered[1]}"], work)
        archive = next(work.glob(f"{package}_*.deb"))
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if offered[1] == version and found != digest:
            raise Failure(f"{package} {version} from the mirror has the hash {found}, not {digest}")
        versions[package] = offered[1]
    return versions


def update(work: Path) -> bool:
    """Fetches the mirror's index, and says whether it is out of date: that of a mirror that stands still is."""
    try:
        run(["apt-get", "update", "-qq"], work)
    except Failure as error:
        if "is expired" not in str(error):
            raise
        run(["apt-get", "update", "-qq", "-o", "Acquire::Check-Valid-Until=false"], work)
        return True
    return False


def host_settings() -> str:
    """The host's proxies and the like, in the words of apt.conf."""
    listed = apt_config("dump", "--no-empty", "--format", '%F "%v";%n')
    return "".join(f"{line}\n" for line in listed.splitlines() if line.startswith(HOST_SETTINGS))


def link_passwords(etc: Path) -> None:
    """The host's passwords for mirrors, as far as the caller may read them, to where apt looks for them in ``etc``."""
    told = dict(re.findall(r"^(FILE|PARTS)='(.*)'$", apt_config("shell", "FILE", "Dir::Etc::netrc/f", "PARTS",
                                                                "Dir::Etc::netrcparts/d"), re.MULTILINE))
    links = {etc / "auth.conf": Path(told["FILE"])} if "FILE" in told else {}
    if "PARTS" in told and os.access(told["PARTS"], os.R_OK | os.X_OK):
        links |= {etc / "auth.conf.d" / part.name: part for part in Path(told["PARTS"]).glob("*.conf")}
    for link, file in links.items():
        if os.access(file, os.R_OK):
            link.symlink_to(file)


def apt_config(*arguments: str) -> str:
    return subprocess.run(["apt-config", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False).stdout


def mirror() -> str:
    """The URL of Debian's mirror that the host itself uses.  Raises Failure.

    The index that the host has fetched tells Debian's own archive.  Where it has fetched none, the words of its
    sources must do, and other archives have suites named so too.
    """
    if os.environ.get("LAB_MIRROR"):
        return os.environ["LAB_MIRROR"]
    for origin, label, component, uri in index_targets("$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)"):
        if (origin, label, component) == ("Debian", "Debian", "main") and not uri.startswith("cdrom:"):
            return uri
    told = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    codename = told.get("VERSION_CODENAME", "").strip('"')
    listed = index_targets("$(RELEASE)|$(COMPONENT)|$(REPO_URI)", "--no-release-info")
    for releases, part in (((codename, *ALL_SUITES), "/debian/"), ((codename,), "")):
        for release, component, uri in listed:
            if release in releases and component == "main" and part in f"{uri}/" and not uri.startswith("cdrom:"):
                return uri
    raise Failure(f"apt's sources name no mirror of Debian {codename or '(unknown)'}; name one in LAB_MIRROR")


def index_targets(format_: str, *options: str) -> list[list[str]]:
    """What the host's package sources offer, in the fields that are asked for."""
    listed = subprocess.run(["apt-get", "indextargets", *options, "--format", format_, "Created-By: Packages"],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout
    return [fields for line in listed.splitlines() if len(fields := line.split("|")) == len(format_.split("|"))]


def initrd(busybox: bytes, init: bytes) -> bytes:
    """A cpio archive in the format newc (Documentation/driver-api/early-userspace/buffer-format.rst of Linux)."""
    out = b""
    entries = [(folder, stat.S_IFDIR | 0o755, b"", (0, 0)) for folder in ("bin", "dev", "proc", "run", "root", "sys")]
    entries += [("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)),
                ("bin/busybox", stat.S_IFREG | 0o755, busybox, (0, 0)),
                ("init", stat.S_IFREG | 0o755, init, (0, 0)), ("TRAILER!!!", 0, b"", (0, 0))]
    for number, (path, mode, data, device) in enumerate(entries, 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path) + 1, 0)
        header = b"070701" + "".join(f"{field:08X}" for field in fields).encode() + path.encode() + b"\0"
        out += header + b"\0" * (-len(header) % 4) + data + b"\0" * (-len(data) % 4)
    return out


def run(command: list[str], work: Path) -> str:
    """Standard output.  Raises Failure with the last line of what it said."""
    env = {**os.environ, "APT_CONFIG": str(work / "apt.conf"), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=work, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        words = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise Failure(f"{' '.join(command[:2])} failed: {words[-1] if words else 'no output'}")
    return done.stdout


def versions_told(folder: Path) -> str:
    """Whether a kernel's folder holds what is pinned, for a person."""
    told = json.loads((folder / "kernel.json").read_text()).get("packages", {})
    others = [f"{package} {told.get(package, '(unknown)')} in place of {version}"
              for package, (version, _) in PINNED.items() if told.get(package) != version]
    kernel = f"user-mode-linux {told.get('user-mode-linux', '(unknown)')}"
    return f"{kernel}: not the pinned packages, but {', '.join(others)}" if others else f"{kernel}: as pinned"


def say(text: str) -> None:
    print(f"{time.strftime('%T')} {text}", file=sys.stderr, flush=True)


def main() -> int:
    asked = sys.argv[1:]
    if asked in (["--path"], ["--versions"]):
        folder = find()
        if folder is None:
            print("get-kernel.py: no kernel yet: get-kernel.py --install", file=sys.stderr)
            return 3
        print(folder if asked == ["--path"] else versions_told(folder))
        return 0
    if asked != ["--install"]:
        print(__doc__, file=sys.stdout if asked in (["-h"], ["--help"]) else sys.stderr)
        return 0 if asked in (["-h"], ["--help"]) else 2
    try:
        print(install())
    except (Failure, OSError) as error:
        print(f"get-kernel.py: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
