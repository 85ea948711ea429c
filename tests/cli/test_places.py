"""The installed command where computers differ: locale, home, umask, names of folders, closed and read-only places."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from helpers.namespace import UNSHARE, need_unshare

ROOT = Path(__file__).parents[2]
SCENARIO = """\
name: tiny
question: Wie groß – ünd 😀?
seed: 7
storages: [overlay2-ext4]
targets: [layer]
workload:
  - name: files
    steps: [start, write: {amount: 4MiB}, remove]
"""
PLAN = """\
name: small
horizon_days: 2
storage: {storage: direct-lvm}
pool: {data: 3GiB, free: 128MiB}
workload:
  - name: web
    image: lab/app:1
    steps: [start, write: {amount: 24MiB}]
    starts_per_day: 50
    lifetime: {exponential: 3h}
images: [{image: lab/app:1, tags_per_month: 60}]
"""
PLANNED = ("plan", "p.yaml", "--replications", "2", "--workers", "1", "--json")
CASE = str(ROOT / "tests" / "ground_truth" / "snap-64k")
PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""A locale in which nothing but ASCII can be printed, and that Python does not mend by itself."""


def installed() -> list[str]:
    """The command as it is installed beside this Python, or what it does."""
    script = Path(sys.executable).with_name("lab")
    if script.exists():
        return [str(script)]
    return [sys.executable, "-c", "import sys; sys.argv[0] = 'lab'; from lab.cli import main; main()"]


def lab(*argv: str, folder: Path, shell: str = "", before: Sequence[str] = (), **environment: str
        ) -> subprocess.CompletedProcess[bytes]:
    """Runs the command by a shell, with that behind it; without a home.  ``before`` goes before the shell."""
    told: Mapping[str, str] = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    line = f"umask 077; exec {shlex.join([*installed(), *argv])} {shell}"
    return subprocess.run([*before, "sh", "-c", line], cwd=folder, env=told, capture_output=True, check=False,
                          timeout=60)


def ended(done: subprocess.CompletedProcess[bytes], *codes: int) -> str:
    """What it wrote to standard output.  Fails where the code is another, or where there is a traceback."""
    said = done.stderr.decode("utf-8", "replace")
    assert "Traceback" not in said, said
    assert "Exception ignored" not in said, said
    assert "fault of the lab" not in said, said
    assert done.returncode in codes, (done.returncode, said)
    return done.stdout.decode("utf-8", "replace")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("places") / "Größe & ein 'Ordner' 😀"
    place.mkdir()
    (place / "t.yaml").write_text(SCENARIO, encoding="utf-8")
    (place / "p.yaml").write_text(PLAN, encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """A simulated run, made in an ASCII locale, without a home, with umask 077, without a standard input."""
    out = ended(lab("simulate", "t.yaml", "--results", "Läufe", folder=folder, shell="<&-", **PLAIN), 0)
    (made,) = (folder / "Läufe").iterdir()
    assert out.strip().split("/")[-1] == made.name
    assert made.stat().st_mode & 0o077 == 0
    return made


def test_a_report_is_written_in_an_ascii_locale(folder: Path, run: Path) -> None:
    ended(lab("report", str(run.relative_to(folder)), folder=folder, shell="<&-", **PLAIN), 0)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Wie groß – ünd" in page


def test_a_plan_is_answered_in_one_json_document_in_an_ascii_locale(folder: Path) -> None:
    out = ended(lab(*PLANNED, "-o", "Plän", folder=folder, shell="<&-", **PLAIN), 0)
    assert "verdict" in json.loads(out)
    assert (folder / "Plän" / "alerts.yaml").read_bytes()


@pytest.mark.parametrize("environment", [
    PLAIN, {"LC_ALL": "C", "PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "en_US.ISO-8859-1", "XDG_STATE_HOME": "/dev/null"},
], ids=["ascii", "latin-1", "no-state"])
def test_tables_are_printed_whatever_the_locale(folder: Path, environment: dict[str, str]) -> None:
    assert ended(lab("replay", CASE, folder=folder, **environment), 0)


def test_the_gate_speaks_in_an_ascii_locale(folder: Path) -> None:
    assert ended(lab("gate", str(ROOT / "results" / "aa"), folder=folder, shell="<&-", **PLAIN), 0, 4)


@pytest.mark.parametrize("argv", [
    ("replay", CASE), ("gate", str(ROOT / "results" / "aa")), ("collect",), ("--help",)])
def test_a_closed_standard_output_is_no_fault(folder: Path, argv: tuple[str, ...]) -> None:
    before = sorted(folder.rglob("*"))
    assert not ended(lab(*argv, folder=folder, shell=">&-"), 0, 3, 4)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("argv", [
    ("report", "results/one"), ("report", "results/one", "-o", "results/page.html"), ("reread", "results/one"),
    ("simulate", "../t.yaml", "--results", "results"),
    ("replay", CASE, "--thin-dump", "results/dump.xml")], ids=lambda argv: " ".join(argv[:1] + argv[2:3]))
def test_results_that_may_not_be_written_are_said_in_one_line(
        folder: Path, run: Path, tmp_path: Path, argv: tuple[str, ...]) -> None:
    place = folder / tmp_path.name
    results = place / "results"
    results.mkdir(parents=True)
    shutil.copytree(run, results / "one")
    before: Sequence[str] = ()
    if os.geteuid() == 0:       # root may write everywhere, but for a file system that is read-only
        need_unshare()
        before = (*UNSHARE, "sh", "-c", 'mount --bind results results && mount -o remount,bind,ro results && exec "$@"',
                  "sh")
    else:
        for path in (*results.rglob("*"), results):
            path.chmod(0o555 if path.is_dir() else 0o444)
    kept = {path: path.is_dir() or path.read_bytes() for path in results.rglob("*")}
    try:
        done = lab(*argv, folder=place, before=before)
        ended(done, 2, 3)
        assert done.stderr.decode().splitlines()[-1].startswith("lab: ")
        assert {path: path.is_dir() or path.read_bytes() for path in results.rglob("*")} == kept
    finally:
        for path in (results, *results.rglob("*")):
            path.chmod(0o755)
