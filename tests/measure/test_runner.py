"""The runner's bookkeeping, with everything below it faked: arms on every row, resume, and when repeating ends."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.analysis.noise import RepeatUntil, parse_repeat_until
from lab.errors import CommandFailed, InputError, OutputRefused
from lab.measure import runner
from lab.runs.raw_cell import CellRows
from lab.runs.records import MEASURED, LabRef
from lab.runs.store import Run, open_run
from lab.scenario.arms import ARM, BASELINE, CANDIDATE, Arm
from lab.scenario.order import Arms, Block, Job
from lab.scenario.scenario import load_scenario

TEXT = """\
name: fake
question: Is the order kept?
seed: 7
repetitions: 2
storages: [overlay2-ext4]
targets: [layer]
workload:
  - name: files
    steps: [start, write: {amount: 4MiB}, remove]
  - name: more
    steps: [start, write: {amount: 8MiB}, remove]
"""
RATIO = "candidate/baseline duration files:write layer overlay2-ext4 ±10 %"


class Rig:
    """Stands for machine, daemon and workloads.  ``ran``: (arm, cell, repetition, fio's seed) of every cell."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, str, int]] = []
        self.seeds: dict[str, set[int]] = {}
        self.builds = 0
        self.boots = 0
        self.duration: Callable[[Arm, int], float] = lambda arm, repetition: 1.0
        self.fail: Callable[[Arm, str, int], bool] = lambda arm, cell, repetition: False
        self.killed_after: int | None = None


class Killed(BaseException):
    pass


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    rig = Rig()
    current: list[Job] = []

    def run_blocks(self: runner.Runner, blocks: Iterable[Block], finished: set[str]) -> None:
        self._clock_began = None  # type: ignore[assignment]
        rig.boots += 1
        machine: Any = SimpleNamespace(machine=None, disks=None, pool_allocated_bytes=lambda: None,
                                       throttled=lambda limit: nullcontext())
        for block in blocks:
            self._run_block(machine, block.setup, [job for job in block.jobs if job.key not in finished])

    run_cell = runner.Runner._run_cell

    def remember(self: runner.Runner, vm: Any, job: Job) -> bool:
        if rig.killed_after is not None and len(rig.ran) >= rig.killed_after:
            raise Killed
        current[:] = [job]
        return run_cell(self, vm, job)

    class Driver:
        def __init__(self, *arguments: Any, say: object, host_allocated: object) -> None:
            rig.seeds.setdefault(current[0].arm, set()).add(arguments[-1])

        def run(self) -> None:
            job = current[0]
            rig.ran.append((job.arm, job.cell_id, job.repetition))
            if rig.fail(job.arm, job.cell_id, job.repetition):
                raise CommandFailed(["fio"], 1, "", "broken")

    def read(raw: Path, run: str, repetition: int, *, arm: Arm = ARM) -> CellRows:
        job = current[0]
        assert job.cell is not None
        row = {"run": run, "cell": job.cell_id, "storage": "overlay2-ext4", "target": "layer",
               "workload": job.cell.workload.name, "phase": "write", "repetition": repetition, "arm": arm,
               "metric": "duration", "value": rig.duration(arm, repetition), "unit": "s", "source": MEASURED}
        return CellRows([row], [{**row, "t_seconds": 0.0}], [], [])

    def set_up(*arguments: object) -> float:
        rig.builds += 1
        return 2.0

    monkeypatch.setattr(runner.Runner, "_run_blocks", run_blocks)
    monkeypatch.setattr(runner.Runner, "_run_cell", remember)
    monkeypatch.setattr(runner.Runner, "_restart", lambda self, vm: None)
    monkeypatch.setattr("lab.rig.provide.box_name", lambda: "box-1")
    monkeypatch.setattr(runner, "read_raw_cell", read)
    monkeypatch.setattr(runner, "compare_clocks", lambda machine, began: runner.ClockCheck(
        at_utc="2024-11-07T10:00:00Z", guest_seconds=1.0, host_seconds=1.0, drift=0.0))
    monkeypatch.setattr(runner.disks, "tear_down", lambda *arguments: None)
    monkeypatch.setattr(runner.face, "set_up", set_up)
    monkeypatch.setattr(runner.workloads, "load_image", lambda machine, image: 3.0)
    monkeypatch.setattr(runner.workloads, "CellDriver", Driver)
    return rig


@pytest.fixture
def arms(tmp_path: Path) -> Arms:
    (tmp_path / "fake.yaml").write_text(TEXT)
    return Arms(load_scenario(tmp_path / "fake.yaml"), load_scenario(tmp_path / "fake.yaml"))


def go(arms: Arms, folder: Path, until: RepeatUntil | None = None, said: list[str] | None = None) -> Run:
    folder.mkdir(exist_ok=True)
    runner.Runner(arms, folder, only=(), say=(said if said is not None else []).append,
                  progress=lambda done, total, cell, left: None, until=until).run()
    return open_run(folder)


def until(arms: Arms, maximum: int = 6) -> RepeatUntil:
    return parse_repeat_until(RATIO, arms.scenarios, max_repetitions=maximum)


def test_every_row_of_both_tables_the_journal_and_the_manifest_know_their_arm(
        rig: Rig, arms: Arms, tmp_path: Path) -> None:
    run = go(arms, tmp_path / "run")
    assert rig.builds == 2, "a build a repetition, for both arms"
    for table in (run.measurements[run.measurements["workload"] != "setup"], run.samples):
        assert table.groupby("arm")["cell"].count().to_dict() == {BASELINE: 4, CANDIDATE: 4}
    setup = run.measurements[run.measurements["workload"] == "setup"]
    assert setup.groupby("repetition")["arm"].unique().map(list).to_dict() == {1: [BASELINE], 2: [CANDIDATE]}, \
        "a build is counted once, for the arm that led"
    journal = [json.loads(line) for line in (run.path / "journal.jsonl").read_text().splitlines()]
    assert [line["arm"] for line in journal] == [result.arm for result in run.manifest.results]
    assert {result.arm for result in run.manifest.results} == {BASELINE, CANDIDATE}
    assert len({line["key"] for line in journal}) == 2 * (4 + 1)


def test_the_folder_and_the_manifest_keep_both_scenarios(rig: Rig, arms: Arms, tmp_path: Path) -> None:
    other = TEXT.replace("name: fake", "name: old").replace("seed: 7", "seed: 1000").replace("8MiB", "2MiB")
    (tmp_path / "old.yaml").write_text(other)
    run = go(Arms(arms.candidate, load_scenario(tmp_path / "old.yaml")), tmp_path / "run")
    assert ((run.path / "scenario.yaml").read_text(), (run.path / "baseline.yaml").read_text()) == (TEXT, other)
    assert run.manifest.baseline is not None
    assert (run.manifest.scenario.name, run.manifest.baseline.name) == ("fake", "old")
    assert run.manifest.baseline.sha256 != run.manifest.scenario.sha256
    assert set(run.manifest.baseline.cells) == set(run.manifest.cells)
    assert rig.seeds == {CANDIDATE: {8, 9}, BASELINE: {1001, 1002}}, "each arm's workloads take their own seed"


def test_the_manifest_names_the_labs_commit_of_the_begin(
        rig: Rig, arms: Arms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = iter(["at-begin", "later", "latest"])
    monkeypatch.setattr(runner, "lab_ref", lambda: LabRef(version="1", commit=next(commits), dirty=False))
    assert go(arms, tmp_path / "run").manifest.lab.commit == "at-begin"
    assert go(arms, tmp_path / "run").manifest.lab.commit == "at-begin", "nothing was measured"
    assert next(commits) == "latest", "asked once a runner"


def test_fewer_repetitions_than_are_done_lose_none(rig: Rig, arms: Arms, tmp_path: Path) -> None:
    """As `storage-gate.sh` asks for its first look again."""
    go(arms, tmp_path / "run")
    fewer = replace(arms, candidate=arms.candidate.model_copy(update={"repetitions": 1}))
    run = go(fewer, tmp_path / "run")
    assert set(run.measurements["repetition"]) == {1}
    ran = len(rig.ran)
    assert set(go(arms, tmp_path / "run").measurements["repetition"]) == {1, 2}
    assert len(rig.ran) == ran, "nothing was measured again"


def test_a_killed_run_of_two_arms_goes_on_with_what_is_left(rig: Rig, arms: Arms, tmp_path: Path) -> None:
    rig.killed_after = 3
    with pytest.raises(Killed):
        go(arms, tmp_path / "run")
    assert open_run(tmp_path / "run").manifest.status == "partial"
    rig.killed_after = None
    run = go(arms, tmp_path / "run")
    assert run.manifest.status == "complete"
    assert len(rig.ran) == len(set(rig.ran)) == 8
    assert go(arms, tmp_path / "run").manifest.status == "complete"
    assert (len(rig.ran), rig.boots) == (8, 2), "nothing is left: no machine is started"


def test_a_failed_cell_leaves_the_other_arm_alone_and_is_measured_again_on_resume(
        rig: Rig, arms: Arms, tmp_path: Path) -> None:
    rig.fail = lambda arm, cell, repetition: (arm, repetition) == (BASELINE, 1) and cell.endswith("files")
    run = go(arms, tmp_path / "run")
    assert [(r.arm, r.repetition, r.cell) for r in run.manifest.results if r.status == "failed"] == [
        (BASELINE, 1, "overlay2-ext4.layer.files")]
    rig.fail = lambda arm, cell, repetition: False
    assert {r.status for r in go(arms, tmp_path / "run").manifest.results} == {"done"}
    assert len(rig.ran) == 9


def test_what_the_machine_sent_and_is_not_taken_fails_its_cell_alone(
        rig: Rig, arms: Arms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(arm: Arm, cell: str, repetition: int) -> bool:
        if (arm, repetition) == (BASELINE, 1) and cell.endswith("files"):
            raise OutputRefused("the machine sent something that is neither a plain file nor a folder: 'fifo'")
        return False

    rig.fail = refuse
    failed = [r for r in go(arms, tmp_path / "run").manifest.results if r.status == "failed"]
    assert [(r.error.kind, "neither a plain file" in r.error.output) for r in failed if r.error] == [
        ("OutputRefused", True)]


def test_a_full_disk_ends_the_run_and_fails_no_cell_and_it_goes_on_later(
        rig: Rig, arms: Arms, tmp_path: Path) -> None:
    def full(arm: Arm, cell: str, repetition: int) -> bool:
        if len(rig.ran) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return False

    rig.fail = full
    with pytest.raises(OSError, match="No space left"):
        go(arms, tmp_path / "run")
    assert {r.status for r in open_run(tmp_path / "run").manifest.results} == {"done"}
    rig.fail = lambda arm, cell, repetition: False
    run = go(arms, tmp_path / "run")
    assert run.manifest.status == "complete"
    assert {r.status for r in run.manifest.results} == {"done"}


def test_a_run_goes_on_only_with_the_arms_that_it_had(rig: Rig, arms: Arms, tmp_path: Path) -> None:
    go(arms, tmp_path / "two")
    go(Arms(arms.candidate), tmp_path / "one")
    with pytest.raises(InputError, match=r"two: this run has two arms .*--against"):
        go(Arms(arms.candidate), tmp_path / "two")
    with pytest.raises(InputError, match="one: this run has one arm"):
        go(arms, tmp_path / "one")


def test_a_run_of_one_scenario_is_all_candidate(rig: Rig, arms: Arms, tmp_path: Path) -> None:
    run = go(Arms(arms.candidate), tmp_path / "run")
    assert set(run.measurements["arm"]) == set(run.samples["arm"]) == {CANDIDATE}
    assert (run.manifest.baseline, run.manifest.repeat_until) == (None, None)
    assert not (run.path / "baseline.yaml").exists()


def test_a_quiet_ratio_ends_after_three_repetitions(rig: Rig, arms: Arms, tmp_path: Path) -> None:
    said: list[str] = []
    run = go(arms, tmp_path / "run", until(arms), said)
    told = run.manifest.repeat_until
    assert told is not None
    assert (told.reached, told.n, told.estimate) == (True, 3, 1.0)
    assert (run.manifest.repetitions, len(rig.ran), run.manifest.status) == (3, 12, "complete")
    assert [line for line in said if line.startswith("repetition 3: ")]
    assert rig.boots == 1


def test_a_noisy_ratio_gets_repetitions_until_it_is_known(rig: Rig, arms: Arms, tmp_path: Path) -> None:
    """One odd pair, then quiet ones: the interval narrows as pairs are added."""
    rig.duration = lambda arm, repetition: 1.12 if (arm, repetition) == (CANDIDATE, 1) else 1.0
    run = go(arms, tmp_path / "run", until(arms, 20))
    told = run.manifest.repeat_until
    assert told is not None
    assert told.reached
    assert told.half_width is not None
    assert told.half_width <= 0.1
    assert 3 < run.manifest.repetitions == told.n < 20
    assert sorted(set(run.measurements["repetition"])) == list(range(1, told.n + 1))


def test_at_the_maximum_it_ends_unsettled_and_a_resume_with_more_goes_on(rig: Rig, arms: Arms, tmp_path: Path) -> None:
    rig.duration = lambda arm, repetition: 1.0 + (repetition % 2) * (arm == CANDIDATE) * (repetition < 5)
    run = go(arms, tmp_path / "run", until(arms, 4))
    told = run.manifest.repeat_until
    assert told is not None
    assert (told.reached, told.n, run.manifest.repetitions) == (False, 4, 4)
    assert "maximum" in told.reason
    ran = len(rig.ran)
    run = go(arms, tmp_path / "run", until(arms, 6))
    assert run.manifest.repetitions == 6
    assert len(rig.ran) == ran + 2 * 4
    assert len(rig.ran) == len(set(rig.ran)), "nothing was measured twice"


def test_a_settled_run_that_is_resumed_starts_no_machine(rig: Rig, arms: Arms, tmp_path: Path) -> None:
    go(arms, tmp_path / "run", until(arms))
    run = go(arms, tmp_path / "run", until(arms))
    assert (rig.boots, run.manifest.repetitions) == (1, 3)
    assert run.manifest.repeat_until is not None
    assert run.manifest.repeat_until.reached


def test_the_scenarios_own_repetitions_are_the_least(rig: Rig, arms: Arms, tmp_path: Path) -> None:
    more = Arms(arms.candidate.model_copy(update={"repetitions": 5}), arms.baseline)
    run = go(more, tmp_path / "run", until(more))
    assert run.manifest.repetitions == 5
    assert run.manifest.repeat_until is not None
    assert (run.manifest.repeat_until.n, len(rig.ran), run.manifest.status) == (5, 5 * 4, "complete")
