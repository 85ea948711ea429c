"""Whatever an output names - a device, a pipe, a link, a folder - nothing but what was asked is changed.

Each command runs as root of a private mount namespace with a /dev of its own, so that a fault here does not reach the
computer's devices; all of that /dev, and of the folder that it works in, is compared before and after.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.namespace import UNSHARE, need_unshare

ROOT = Path(__file__).parents[2]
PROGRAM = "import sys; sys.argv[0] = 'lab'; from lab.cli import main; main()"
CASE = str(ROOT / "tests" / "ground_truth" / "snap-64k")
AA = str(ROOT / "results" / "aa")
PLAN = """\
name: small
horizon_days: 1
storage: {storage: overlay2-ext4}
pool: {data: 3GiB}
workload:
  - name: web
    image: lab/app:1
    steps: [start, write: {amount: 24MiB}]
    starts_per_day: 50
    lifetime: {exponential: 3h}
images: [{image: lab/app:1, tags_per_month: 60}]
"""
SETUP = """\
set -e
mount --make-rprivate /
mount -t tmpfs none dev
: > dev/null; : > dev/zero; : > dev/full; : > dev/urandom; : > dev/random
for one in null zero full urandom random; do mount --bind /dev/$one dev/$one; done
ln -s /proc/self/fd dev/fd; ln -s /proc/self/fd/1 dev/stdout; ln -s /proc/self/fd/2 dev/stderr
mkdir dev/shm; mount -t tmpfs none dev/shm
mount --rbind dev /dev
mount --bind . .
"""
"""In a folder of the test's: a /dev that is this namespace's alone, whose devices are still the computer's."""

LOOK = """\
import json, os, stat, sys
told = {}
for top in ("/dev", "."):
    for folder, folders, names in os.walk(top):
        if folder == "/dev/fd" or folder.startswith("./dev"):
            continue
        for name in folders + names:
            path = os.path.join(folder, name)
            at = os.lstat(path)
            told[path] = [stat.S_IFMT(at.st_mode), stat.S_IMODE(at.st_mode), at.st_rdev,
                          os.readlink(path) if stat.S_ISLNK(at.st_mode) else "",
                          open(path, "rb").read().hex() if stat.S_ISREG(at.st_mode) and at.st_size < 100000 else ""]
json.dump(told, sys.stdout)
"""

COMMANDS = {
    "gate --junit": ("gate", AA, "--junit"), "gate --markdown": ("gate", AA, "--markdown"),
    "report -o": ("report", "run", "-o"), "replay --thin-dump": ("replay", CASE, "--thin-dump"),
    "plan -o": ("plan", "p.yaml", "--replications", "2", "--workers", "1", "-o"),
    "simulate --results": ("simulate", "t.yaml", "--results"),
    "run --resume": ("run", "t.yaml", "--resume"),
}
"""Those that end soon; `gate --self-test`, `--prove` and `calibrate` write by the same ``write_output``."""

PLACES = {
    "/dev/null": "through", "to-null": "through", "/dev/full": "refused", "to-file": "followed",
    "to-nothing": "refused", "to-folder": "refused", "theirs": "refused", "no-reader": "refused", "file": "replaced",
}
"""What comes of each: written through and the place as it was; the file that a link leads to; nothing at all."""

FILES = [*(("replay --thin-dump", where) for where in PLACES),
         *(("gate --junit", where) for where in ("/dev/null", "to-file", "to-folder")),
         ("gate --markdown", "to-null"), ("gate --markdown", "no-reader"),
         *(("report -o", where) for where in ("/dev/null", "to-file", "theirs"))]
"""All places of the quickest; of the others those that they once harmed.  One function writes for all."""


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small simulated run."""
    folder = tmp_path_factory.mktemp("simulated")
    scenario = ("name: tiny\nquestion: Where to?\nseed: 7\nstorages: [overlay2-ext4]\ntargets: [layer]\nworkload:\n"
                "  - name: files\n    steps: [start, write: {amount: 4MiB}, remove]\n")
    (folder / "t.yaml").write_text(scenario)
    done = subprocess.run([sys.executable, "-c", PROGRAM, "simulate", "t.yaml", "--results", "."], cwd=folder,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    return folder / done.stdout.strip()


@pytest.fixture
def place(tmp_path: Path, run_folder: Path) -> Iterator[Path]:
    need_unshare()
    folder = tmp_path / "here"
    (folder / "dev").mkdir(parents=True)
    (folder / "theirs" / "raw" / "one.part").mkdir(parents=True)
    (folder / "theirs" / ".NAME.1234").write_text("dear")
    (folder / "theirs" / "index.html").write_text("dear")
    (folder / "file").write_text("old")
    (folder / "target").write_text("old")
    links = {"to-null": "/dev/null", "to-file": "target", "to-nothing": "nowhere", "to-folder": "theirs"}
    for name, to in links.items():
        (folder / name).symlink_to(to)
    os.mkfifo(folder / "no-reader")
    (folder / "p.yaml").write_text(PLAN)
    shutil.copy(run_folder.parent / "t.yaml", folder / "t.yaml")
    shutil.copytree(run_folder, folder / "run")
    (folder / "look.py").write_text(LOOK)
    yield folder
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)       # the computer's own


def told(place: Path, argv: list[str]) -> tuple[int, str, dict[str, list[object]], dict[str, list[object]]]:
    """The command's code, what it said, and all that it could write to, before and after."""
    command = shlex.join([sys.executable, "-c", PROGRAM, *argv])
    look = f"{shlex.quote(sys.executable)} look.py"
    out = place.parent / "out"
    out.mkdir()
    script = (f"{SETUP}{look} > {shlex.quote(str(out / 'before'))}\nset +e\n{command} > /dev/null 2> "
              f"{shlex.quote(str(out / 'said'))}\ncode=$?\n{look} > {shlex.quote(str(out / 'after'))}\nexit $code\n")
    done = subprocess.run([*UNSHARE, "sh", "-c", script], cwd=place, capture_output=True, text=True, check=False,
                          timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1",
                                           "XDG_STATE_HOME": str(out / "state"), "GITHUB_STEP_SUMMARY": ""})
    assert (out / "after").exists(), done.stderr
    return (done.returncode, (out / "said").read_text(), json.loads((out / "before").read_text()),
            json.loads((out / "after").read_text()))


@pytest.mark.parametrize(("what", "where"), FILES)
def test_an_outputs_file_changes_nothing_else(place: Path, what: str, where: str) -> None:
    code, said, before, after = told(place, [*COMMANDS[what], where])
    assert "Traceback" not in said, said
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    if what == "report -o":     # its figures are beside the run's tables, as its help says
        changed = {path for path in changed if not path.startswith("./run/figures")}
    wanted = {"followed": {"./target"}, "replaced": {"./file"}}.get(PLACES[where], set())
    if PLACES[where] == "refused":
        assert code in (2, 3), said
        assert said.splitlines()[-1].startswith("lab: ")
    else:
        assert code in (0, 1, 4), said
    assert changed == wanted, said


@pytest.mark.parametrize("where", ["/dev/null", "to-file", "to-nothing", "no-reader", "file"])
@pytest.mark.parametrize("what", ["plan -o", "simulate --results", "run --resume"])
def test_an_outputs_folder_is_none_of_these_and_nothing_is_changed(place: Path, what: str, where: str) -> None:
    code, said, before, after = told(place, [*COMMANDS[what], where])
    assert code in (2, 3), said
    assert "Traceback" not in said
    assert after == before, said


def test_a_run_is_not_resumed_in_other_peoples_folder(place: Path) -> None:
    for where in ("theirs", "to-folder"):
        code, said, before, after = told(place, [*COMMANDS["run --resume"], where])
        assert code == 2, said
        assert after == before
        shutil.rmtree(place.parent / "out")
