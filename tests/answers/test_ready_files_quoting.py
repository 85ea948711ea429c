"""What `lab plan` writes is read back by its own parser, whatever plan, log, pool or volume group are called."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lab.answers.forecast.answers import Asked, ObservedAnswers, answer_from_log
from lab.answers.forecast.output import ready_files_of
from lab.answers.plan import ready_files as files
from lab.answers.plan.plan_file import read_plan
from lab.answers.plan.planning import Answers, Effort, answer
from lab.answers.plan.workers import workers
from lab.errors import InputError
from lab.simulate.parameters import read_parameters

PLAN = """\
name: small
horizon_days: 3
storage: {storage: direct-lvm}
pool: {data: 3GiB, free: 128MiB}
workload:
  - name: web
    image: lab/app:1
    steps: [start, write: {amount: 24MiB}]
    starts_per_day: 100
    lifetime: {exponential: 3h}
images: [{image: lab/app:1, tags_per_month: 60}]
"""
HOSTILE = ('"', "'", "'\"", "a\ngroups: []", "a\r\ntouch $ran", "$(touch $ran)", "`touch $ran`", "; touch $ran #", "\\",
           "a\\", "# x", ": x", "{{ $labels }}", "%s%n", "\x00", "\x1b[31m", "\x85touch", "\u2028groups: []", "\ufeff",
           "\ud800", "ü€😀", "'''", '"""', "EOF\ntouch $ran\n", "*", "&a", "!!python/object", "\t- x", "-o", "a" * 5000)


@pytest.fixture(scope="module")
def planned() -> Answers:
    with workers(1) as crew:
        return answer(read_plan(PLAN, Path("plan.yaml")), read_parameters(None), crew, Effort(replications=4),
                      lambda unit: lambda *told: None)


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> ObservedAnswers:
    """From ten days of a pool of 100 GiB that grows by 1 GiB a day."""
    log = tmp_path_factory.mktemp("log") / "pool.log"
    log.write_text("".join(
        f"2026-09-{1 + hour // 24:02}T{hour % 24:02}:00:00Z pool: 0 209715200 thin-pool 12 20000/524288 "
        f"{163840 + 683 * hour}/1638400 - rw discard_passdown queue_if_no_space - 1024\n" for hour in range(0, 240, 6)))
    return answer_from_log(log, Asked())


@pytest.fixture(params=HOSTILE, ids=lambda name: ascii(name)[:24])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def alerts(text: str) -> list[str]:
    """The names of the alerts, as a YAML parser sees them."""
    text.encode("utf-8")
    (group,) = YAML(typ="safe").load(text)["groups"]
    assert group["name"] == "container-storage"
    return [rule["alert"] for rule in group["rules"]]


def by_shell(text: str, tmp_path: Path) -> None:
    """The script has the shell's grammar, and nothing of a name in it is run."""
    script = tmp_path / "script.sh"
    script.write_text(text)
    subprocess.run(["sh", "-n", str(script)], check=True)
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("lvcreate", "lvconvert", "lvchange", "lvs", "install", "dirname"):
        (tools / tool).write_text("#!/bin/sh\n")
        (tools / tool).chmod(0o755)
    for tool in ("touch", "rm"):
        real = shutil.which(tool)
        assert real is not None
        (tools / tool).symlink_to(real)
    subprocess.run(["/bin/sh", str(script)], check=True, cwd=tmp_path,
                   env={"PATH": str(tools), "ran": str(tmp_path / "ran")})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["script.sh", "tools"]


def test_a_plans_files_are_read_back_whatever_its_name(planned: Answers, name: str, tmp_path: Path) -> None:
    right = files.ready_files(planned)
    found = replace(planned, plan=planned.plan.model_copy(update={"name": name}))
    written = files.ready_files(found)
    assert written.keys() == right.keys() == {files.SCRIPT, files.PROFILE_FILE, files.DAEMON, files.ALERTS}
    assert alerts(written[files.ALERTS]) == alerts(right[files.ALERTS])
    assert json.loads(written[files.DAEMON]) == json.loads(right[files.DAEMON])
    assert written[files.PROFILE_FILE] == right[files.PROFILE_FILE]
    assert written[files.SCRIPT].count("\n") == right[files.SCRIPT].count("\n")
    by_shell(written[files.SCRIPT], tmp_path)


def test_a_plan_file_with_such_a_name_is_refused(name: str) -> None:
    quoted = json.dumps(name)
    with pytest.raises(InputError) as caught:
        read_plan(PLAN.replace("name: small", f"name: {quoted}", 1), Path("plan.yaml"))
    assert "\n" not in str(caught.value)


def test_a_forecasts_alerts_are_read_back_whatever_log_and_pool_are_called(
        observed: ObservedAnswers, name: str) -> None:
    right = alerts(ready_files_of(observed)[files.ALERTS])
    growth = observed.forecast.growth
    named = replace(growth.observed, pool=name, path=f"/logs/{name}")
    found = replace(observed, forecast=replace(observed.forecast, growth=replace(growth, observed=named)))
    text = ready_files_of(found)[files.ALERTS]
    assert alerts(text) == right
    told = next(line for line in text.split("\n") if line.startswith("# On a host: "))
    if name.isprintable():      # what a user pastes asks for that one pool
        words = subprocess.run(["sh", "-c", f"printf '%s\\n' {told.removeprefix('# On a host: ')}"],
                               capture_output=True, text=True, check=True).stdout
        assert words == f"dmsetup\nstatus\n--target\nthin-pool\n{name}\n"


def test_rules_are_read_back_whatever_stands_in_their_comments(name: str) -> None:
    text = files.rules_yaml(name, [(80, name), (90, f"{name}\n{name}")], is_pool=True, on_host=f"lvs {name}")
    assert len(alerts(text)) == 4


def test_lvms_profile_is_valid_for_lvm(planned: Answers, tmp_path: Path) -> None:
    program = shutil.which("lvmconfig") or shutil.which("lvmconfig", path="/usr/sbin:/sbin")
    if program is None:
        pytest.skip("lvmconfig (Debian: lvm2) is not installed")
    text = files.ready_files(planned)[files.PROFILE_FILE]
    folder = tmp_path / "profile"
    folder.mkdir()
    (folder / files.PROFILE_FILE).write_text(text)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LVM_SYSTEM_DIR": str(tmp_path), "LC_ALL": "C"}
    (tmp_path / "lvm.conf").write_text(f'config {{\n\tprofile_dir="{folder}"\n}}\n')
    checked: Any = subprocess.run([program, "--file", str(tmp_path / "out"), "--validate", "--metadataprofile",
                                   files.PROFILE], capture_output=True, text=True, check=False, env=environment)
    assert checked.returncode == 0, checked.stderr
    assert "valid" in checked.stdout
