"""``lab gate`` on run folders: exit codes, what it names, and the files that it writes."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from helpers import gate_runs as runs

from lab import cli

MIB = 1024**2


@dataclass
class Told:
    code: int
    out: str
    err: str


Lab = Callable[..., Told]


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lab:
    """Runs the command line here and gives its exit code and what it said."""
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)

    def run(*argv: object) -> Told:
        monkeypatch.setattr("sys.argv", ["lab", "gate", *map(str, argv)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        code = ended.value.code
        return Told(0 if code is None else int(code), said.out, said.err)

    return run


def run_files(run: Path) -> dict[str, str]:
    """A job file for each cell run, another one for each arm."""
    manifest = json.loads((run / "manifest.json").read_text())
    return {result["key"]: f"[{result['arm']}]" for result in manifest["results"]}


def test_looks_are_those_of_the_rules_and_take_no_run(tmp_path: Path, lab: Lab) -> None:
    assert (lab("--looks").code, lab("--looks").out) == (0, "10 20\n")
    (tmp_path / "rules.yaml").write_text("looks: 3\nmax_repetitions: 9\n")
    assert lab("--looks", "--rules", tmp_path / "rules.yaml").out == "3 6 9\n"


def test_without_a_run_the_remedy_names_the_command_that_makes_one(lab: Lab) -> None:
    for options in ([], ["--self-test"], ["--prove"]):
        told = lab(*options)
        assert told.code == 2
        assert "--against" in told.err


def test_a_report_without_a_self_test_says_that_the_verdicts_worth_is_not_known(tmp_path: Path, lab: Lab) -> None:
    told = lab(runs.build(tmp_path / "aa"), "--markdown", tmp_path / "gate.md")
    assert "--self-test-result shows" in told.out
    assert "What this verdict is worth is not known" in (tmp_path / "gate.md").read_text()


def test_two_runs_of_a_lab_with_changes_of_its_own_are_told(tmp_path: Path, lab: Lab) -> None:
    for dirty in (True, False):
        old, new = (runs.build(tmp_path / f"{dirty}{seed}", arms=("candidate",), seed=seed, dirty=dirty)
                    for seed in (1, 2))
        assert ("lab: the lab itself had changes" in lab(old, new).out) == dirty


# -- two arms in one run -------------------------------------------------------------------------------------------


def test_arms_that_are_the_same_pass(tmp_path: Path, lab: Lab) -> None:
    told = lab(runs.build(tmp_path / "aa"))
    assert told.code == 0
    assert "No regression" in told.out
    assert "Holm over 7 timings at 0.025, which is 0.05 over at most 2 looks" in told.out


def test_a_slower_candidate_is_a_regression_and_a_slower_baseline_is_none(tmp_path: Path, lab: Lab) -> None:
    slower = lab(runs.build(tmp_path / "slow", edit=runs.worse("write_bandwidth", 0.8)))
    assert slower.code == 1
    assert "direct-lvm.layer.fio, seq-write, write_bandwidth" in slower.err
    assert "2 regression" in slower.out
    faster = lab(runs.build(tmp_path / "fast", edit=runs.worse("write_bandwidth", 0.8, arm="baseline")))
    assert faster.code == 0
    assert "2 better" in faster.out


def test_a_difference_below_the_minimum_effect_passes_until_the_rules_say_otherwise(tmp_path: Path, lab: Lab) -> None:
    run = runs.build(tmp_path / "run", noise=0.002, edit=runs.worse("write_bandwidth", 0.97))
    rules = tmp_path / "rules.yaml"
    rules.write_text("minimum_effects: {write_bandwidth: 2 %}\n")
    assert lab(run).code == 0
    assert lab(run, "--rules", rules).code == 1


def test_growth_of_the_pool_is_a_regression_without_any_statistics(tmp_path: Path, lab: Lab) -> None:
    def edit(row: dict[str, Any]) -> dict[str, Any]:
        more = row["metric"] == "storage_growth" and row["arm"] == "candidate" and row["phase"] == "write"
        return {**row, "value": row["value"] + 8 * MIB} if more else row

    told = lab(runs.build(tmp_path / "run", repetitions=1, edit=edit), "--json")
    assert told.code == 1
    found = json.loads(told.out)
    larger = {(row["phase"], row["metric"]) for row in found["rows"] if row["status"] == "regression"}
    assert larger == {("write", "storage_growth"), ("whole cell", "storage_growth_peak"),
                      ("whole cell", "storage_growth_left")}
    assert all(row["p"] is None for row in found["rows"] if row["kind"] == "count")


def test_too_few_repetitions_are_inconclusive_and_the_command_that_adds_some_is_printed(
        tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs.build(tmp_path / "run", repetitions=3, edit=runs.worse("write_bandwidth", 0.5))
    (tmp_path / "scenarios").mkdir()
    monkeypatch.chdir(tmp_path)
    told = lab(run)
    assert told.code == 4
    assert "no p-value can fall below 0.12, and 7 timings at 0.025 need 0.0036, from 9 pairs on" in told.err
    assert f"lab run aa.yaml --against aa.yaml --resume {run} --repetitions 10" in told.out


def test_the_command_names_the_scenarios_file_where_one_with_its_digest_lies(
        tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from hashlib import sha256

    (tmp_path / "scenarios").mkdir()
    (tmp_path / "aa.yaml").write_text("another of that name\n")
    (tmp_path / "scenarios" / "aa.yaml").write_text("name: aa\n")
    digest = sha256(b"name: aa\n").hexdigest()
    run = runs.build(tmp_path / "run", repetitions=2, scenario_digest=digest, baseline_digest=digest)
    monkeypatch.chdir(tmp_path)
    assert "lab run scenarios/aa.yaml --against scenarios/aa.yaml" in lab(run).out


def test_after_the_last_look_it_stays_inconclusive(tmp_path: Path, lab: Lab) -> None:
    def edit(row: dict[str, Any]) -> dict[str, Any]:
        odd = row["metric"] == "write_bandwidth" and row["arm"] == "candidate" and row["repetition"] <= 2
        return {**row, "value": row["value"] * 0.2} if odd else row

    told = lab(runs.build(tmp_path / "run", repetitions=20, noise=0.01, edit=edit))
    assert told.code == 4
    assert "not settled" in told.err
    assert "the maximum of 20 repetitions was reached" in told.out
    assert "lab run" not in told.out


def test_a_run_that_was_interrupted_goes_on_to_the_next_look(tmp_path: Path, lab: Lab) -> None:
    run = runs.build(tmp_path / "run", repetitions=8, status="partial")
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "repetitions": 20}))
    told = lab(run)
    assert told.code == 4
    assert "--repetitions 10" in told.out
    assert "was reached" not in told.out
    assert "judged at 8 repetitions" in told.out + told.err


def test_metadata_that_the_candidate_lacks_is_inconclusive(tmp_path: Path, lab: Lab) -> None:
    def edit(row: dict[str, Any]) -> dict[str, Any] | None:
        return None if row["metric"] == "pool_metadata_used" and row["arm"] == "candidate" else row

    told = lab(runs.build(tmp_path / "run", edit=edit))
    assert told.code == 4
    assert "pool_metadata_used" in told.err


def test_more_timings_than_the_maximum_of_repetitions_can_settle_are_told(tmp_path: Path, lab: Lab) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("max_repetitions: 5\n")
    told = lab(runs.build(tmp_path / "run", repetitions=3), "--rules", rules)
    assert told.code == 4
    assert "even 5 repetitions are too few for 7 timings, which need 9" in told.out


def test_a_metric_or_a_phase_on_one_side_only_is_inconclusive(tmp_path: Path, lab: Lab) -> None:
    def edit(row: dict[str, Any]) -> dict[str, Any] | None:
        return None if row["phase"] == "rand-write" and row["arm"] == "candidate" else row

    told = lab(runs.build(tmp_path / "run", edit=edit))
    assert told.code == 4
    assert "direct-lvm.layer.fio has values only in the baseline: rand-write duration" in told.err


def test_a_regression_stands_though_something_else_is_open(tmp_path: Path, lab: Lab) -> None:
    slow = runs.worse("write_bandwidth", 0.7, phase="seq-write")

    def edit(row: dict[str, Any]) -> dict[str, Any] | None:
        return None if row["phase"] == "rand-write" and row["arm"] == "candidate" else slow(row)

    assert lab(runs.build(tmp_path / "run", edit=edit)).code == 1


def test_a_failed_cell_is_inconclusive(tmp_path: Path, lab: Lab) -> None:
    told = lab(runs.build(tmp_path / "run", repetitions=12, failed=("candidate", 2)))
    assert told.code == 4
    assert "direct-lvm.layer.fio of the candidate failed in repetition 2" in told.err


@pytest.mark.parametrize(("value", "says"), [(math.nan, "no number"), (0.0, "it has no logarithm"), (-3.0, "-3")])
def test_values_that_cannot_be_judged_are_inconclusive(tmp_path: Path, lab: Lab, value: float, says: str) -> None:
    def edit(row: dict[str, Any]) -> dict[str, Any]:
        hit = row["metric"] == "write_bandwidth" and row["repetition"] == 4 and row["arm"] == "baseline"
        return {**row, "value": value} if hit else row

    told = lab(runs.build(tmp_path / "run", edit=edit), "--json")
    assert told.code == 4
    assert "baseline's value in repetition 4" in told.err
    assert says in told.err
    assert json.loads(told.out)["verdict"] == "inconclusive"


def test_a_run_without_gated_metrics_passes_nothing(tmp_path: Path, lab: Lab) -> None:
    told = lab(runs.build(tmp_path / "run", edit=lambda row: row if row["metric"] == "write_iops" else None))
    assert told.code == 4
    assert "nothing to compare" in told.err


def test_different_work_is_not_compared(tmp_path: Path, lab: Lab) -> None:
    told = lab(runs.build(tmp_path / "run", edit=runs.worse("application_bytes", 2.0, phase="write")))
    assert told.code == 4
    assert "the two sides did different work" in told.err


def test_more_repetitions_are_not_advised_for_what_they_cannot_settle(tmp_path: Path, lab: Lab) -> None:
    slow = runs.worse("duration", 1.2, phase="write")
    other = runs.worse("application_bytes", 2.0, phase="write")
    told = lab(runs.build(tmp_path / "run", edit=lambda row: slow(other(row))))
    assert told.code == 4
    assert "lab run" not in told.out
    assert "may be settled" not in told.out


def test_a_cell_that_neither_side_measured_is_inconclusive_and_named(tmp_path: Path, lab: Lab) -> None:
    """As of a run with --only."""
    run = runs.build(tmp_path / "run", edit=lambda row: row if row["workload"] == "fio" else None)
    told = lab(run)
    assert told.code == 4
    assert "direct-lvm.layer.files was measured on neither side" in told.err


def test_a_phase_that_one_side_lacks_is_inconclusive_though_only_whole_cells_are_gated(tmp_path: Path,
                                                                                       lab: Lab) -> None:
    def edit(row: dict[str, Any]) -> dict[str, Any] | None:
        lacks = row["phase"] == "write" and row["metric"] == "storage_growth" and row["arm"] == "candidate"
        return None if lacks else row

    (tmp_path / "rules.yaml").write_text("ignore: [storage_growth]\n")
    told = lab(runs.build(tmp_path / "run", edit=edit), "--rules", tmp_path / "rules.yaml")
    assert told.code == 4
    assert "direct-lvm.layer.files has values only in the baseline: write storage_growth" in told.err
    assert lab(runs.build(tmp_path / "whole"), "--rules", tmp_path / "rules.yaml").code == 0


def test_arms_that_drop_caches_differently_are_not_compared(tmp_path: Path, lab: Lab) -> None:
    run = runs.build(tmp_path / "run", edit=runs.worse("write_bandwidth", 2.0))
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["drop_caches"] = {"fio": False, "new": True}
    manifest["baseline"]["drop_caches"] = {"fio": True}
    (run / "manifest.json").write_text(json.dumps(manifest))
    told = lab(run)
    assert told.code == 4
    assert "drop_caches.fio is 'True' in the baseline and 'False' in the candidate" in told.err
    assert "drop_caches.new" not in told.err, "a workload that only one side has is told as a cell"
    assert lab(run, "--accept", "drop_caches.fio").code == 0


# -- two runs ------------------------------------------------------------------------------------------------------


def test_two_runs_of_the_same_pass_and_the_weakness_is_told(tmp_path: Path, lab: Lab) -> None:
    told = lab(*runs.build_pair(tmp_path))
    assert told.code == 0
    assert "what changed between them" in told.out


def test_two_runs_show_a_regression(tmp_path: Path, lab: Lab) -> None:
    told = lab(*runs.build_pair(tmp_path, edit=runs.worse("duration", 1.4, phase="start")))
    assert told.code == 1
    assert "direct-lvm.layer.files, start, duration" in told.err


def test_two_runs_of_too_few_repetitions_are_both_to_be_repeated(tmp_path: Path, lab: Lab) -> None:
    old = runs.build(tmp_path / "old", arms=("candidate",), repetitions=2, seed=1)
    new = runs.build(tmp_path / "new", arms=("candidate",), repetitions=3, seed=2)
    told = lab(old, new)
    assert told.code == 4
    for run in (old, new):
        assert f"--resume {run} --repetitions 10" in told.out


@pytest.mark.parametrize(("change", "shown"), [
    ({"machine": {"accelerator": "kvm"}}, ("machine.accelerator is 'tcg'", "'kvm'")),
    ({"machine": {"host_cpus": 64}}, ("machine.host_cpus is '2'", "'64'")),
    ({"machine": {"disks": "sparse"}}, ("machine.disks is 'full'", "'sparse'")),
    ({"commit": "4567def"}, ("lab.commit is '0123abc'", "'4567def'")),
])
def test_other_environments_are_inconclusive_even_where_all_is_slower(
        tmp_path: Path, lab: Lab, change: dict[str, Any], shown: tuple[str, str]) -> None:
    told = lab(*runs.build_pair(tmp_path, edit=runs.worse("write_bandwidth", 0.5), **change), "--junit",
               tmp_path / "gate.xml")
    assert told.code == 4
    assert all(text in told.err for text in shown)
    assert ElementTree.parse(tmp_path / "gate.xml").getroot().get("failures") == "0"


def test_an_accepted_difference_is_judged_and_told(tmp_path: Path, lab: Lab) -> None:
    pair = runs.build_pair(tmp_path, commit="4567def")
    told = lab(*pair, "--accept", "lab.commit")
    assert told.code == 0
    assert "accepted as not mattering: lab.commit is '0123abc'" in told.out
    wrong = lab(*pair, "--accept", "lab.comit")
    assert wrong.code == 2
    assert "did you mean 'lab.commit'?" in wrong.err


def test_other_storages_leave_nothing_to_compare(tmp_path: Path, lab: Lab) -> None:
    told = lab(*runs.build_pair(tmp_path, label="overlay2-ext4"))
    assert told.code == 4
    assert "no cell stands on both sides" in told.err
    assert "overlay2-ext4.layer.fio" in told.err


# -- bad input -----------------------------------------------------------------------------------------------------


def test_bad_input_is_named_with_its_remedy(tmp_path: Path, lab: Lab) -> None:
    one = runs.build(tmp_path / "one" / "run", arms=("candidate",), repetitions=2)
    two = runs.build(tmp_path / "two", repetitions=2)
    model = runs.build(tmp_path / "model", arms=("candidate",), repetitions=2, simulated=True, seed=2)
    copy = runs.build(tmp_path / "one" / "copy", arms=("candidate",), repetitions=2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "result.json").write_text("{}")
    for argv, says in (
            ((one,), "the run has one arm"), ((one, two), f"lab gate {two}"), ((two, one), f"lab gate {two}"),
            ((one, model), "lab validate"), ((model, one), "is simulated"), ((one, one), "the same table"),
            ((tmp_path / "none",), "no such folder"), ((tmp_path / "empty",), "no run in this folder"),
            ((tmp_path / "one",), "2 runs are below this folder"), ((one, two, copy), "3 runs are too many"),
            ((two, "--rules", tmp_path / "none.yaml"), "no such file"),
            ((two, "--junit", tmp_path / "no" / "gate.xml"), "gate.xml: cannot be written"),
            ((two, "--self-test-result", tmp_path / "result.json"), "no result of a self-test"),
            ((two, "--self-test-result", tmp_path / "none.json"), "cannot be read"),
            ((two, "-o", tmp_path / "x.json"), "no meaning without --self-test"),
            ((two, "--self-test", "--junit", tmp_path / "x.xml"), "no meaning with --self-test"),
            ((one, "--self-test"), "the run has one arm")):
        told = lab(*argv)
        assert (told.code, told.out) == (2, ""), (argv, told)
        assert says in told.err


def test_a_run_of_another_schema_version_is_refused(tmp_path: Path, lab: Lab) -> None:
    run = runs.build(tmp_path / "run", repetitions=2)
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    told = lab(run)
    assert told.code == 2
    assert "schema version 99" in told.err


def test_a_table_that_is_not_what_the_manifest_says_is_refused(tmp_path: Path, lab: Lab) -> None:
    told = lab(runs.build(tmp_path / "run", repetitions=2, edit=lambda row: {**row, "source": "simulated"}))
    assert told.code == 2
    assert "column source holds simulated" in told.err


def test_a_simulated_run_against_a_simulated_one_says_that_nothing_was_measured(tmp_path: Path, lab: Lab) -> None:
    old = runs.build(tmp_path / "old", arms=("candidate",), seed=1, simulated=True)
    new = runs.build(tmp_path / "new", arms=("candidate",), seed=2, simulated=True)
    told = lab(old, new)
    assert told.code == 0
    assert "nothing was measured" in told.out


# -- what it writes ------------------------------------------------------------------------------------------------


def mixed(path: Path) -> Path:
    """A regression, something open, and names that markup would take for its own."""
    slow = runs.worse("write_bandwidth", 0.7, phase="seq-write")

    def edit(row: dict[str, Any]) -> dict[str, Any]:
        zero = row["phase"] == "start" and row["metric"] == "duration" and row["repetition"] == 1
        row = {**slow(row), "phase": row["phase"].replace("remove", "<b>|remove & \x1b[31m")}
        return {**row, "value": 0.0} if zero else row

    run: Path = runs.build(path, edit=edit)
    return run


def test_the_junit_file_counts_what_it_holds(tmp_path: Path, lab: Lab) -> None:
    told = lab(mixed(tmp_path / "run"), "--junit", tmp_path / "gate.xml", "--json")
    assert told.code == 1
    rows = json.loads(told.out)["rows"]
    root = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert root.tag == "testsuites"
    for suite in [root, *root]:
        assert int(suite.get("tests", "")) == len(suite.findall(".//testcase"))
        assert int(suite.get("failures", "")) == len(suite.findall(".//failure"))
        assert int(suite.get("skipped", "")) == len(suite.findall(".//skipped"))
    by_status = {status: [row for row in rows if row["status"] == status] for status in ("regression", "inconclusive")}
    assert len(root.findall(".//failure")) == len(by_status["regression"]) == 1
    assert len(root.findall(".//skipped")) == len(by_status["inconclusive"]) == 1
    assert len(root.findall(".//testcase")) == len(rows) + 1
    (case,) = [case for case in root.iter("testcase") if case.find("failure") is not None]
    assert (case.get("classname"), case.get("name")) == ("direct-lvm.layer.fio", "seq-write write_bandwidth")
    names = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(names) == len(set(names))


def test_a_gate_with_nothing_to_compare_skips_in_junit(tmp_path: Path, lab: Lab) -> None:
    told = lab(*runs.build_pair(tmp_path, label="overlay2-ext4"), "--junit", tmp_path / "gate.xml")
    assert told.code == 4
    root = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert int(root.get("skipped", "")) >= 2
    assert int(root.get("skipped", "")) == len(root.findall(".//skipped"))


def test_the_markdown_report_has_whole_tables_and_goes_to_the_steps_summary_too(
        tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert lab(mixed(tmp_path / "run"), "--markdown", tmp_path / "gate.md").code == 1
    page = (tmp_path / "gate.md").read_text()
    assert page.startswith("## Regression: 1 regression, 1 inconclusive")
    assert summary.read_text() == "before\n" + page
    lines = [line.replace("\\|", "") for line in page.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert "\x1b" not in page
    assert page.index("regression | direct-lvm.layer.fio | seq-write") < page.index("<details>")


def test_json_is_one_document_and_the_reason_goes_to_stderr(tmp_path: Path, lab: Lab) -> None:
    told = lab(runs.build(tmp_path / "run", edit=runs.worse("write_bandwidth", 0.8)), "--json")
    found = json.loads(told.out)
    assert (told.code, found["verdict"], found["paired"]) == (1, "regression", True)
    assert told.err.startswith("lab: Regression")


# -- the self-test -------------------------------------------------------------------------------------------------


def test_the_self_test_is_stored_and_shown_with_a_later_gate(tmp_path: Path, lab: Lab) -> None:
    aa = runs.build(tmp_path / "aa", repetitions=10)
    told = lab("--self-test", aa, "-o", tmp_path / "self.json", "--markdown", tmp_path / "self.md")
    assert told.code == 0
    stored = json.loads((tmp_path / "self.json").read_text())
    assert stored["gate"]["trials"] == 1000
    assert stored["gate"]["rate"] <= 0.05
    assert stored["gate"]["low"] <= stored["gate"]["rate"] <= stored["gate"]["high"]
    assert all(one["smallest_effect"] >= one["minimum_effect"] for one in stored["metrics"])
    assert "smallest effect found" in (tmp_path / "self.md").read_text()
    later = lab(runs.build(tmp_path / "later", seed=5), "--self-test-result", tmp_path / "self.json",
                "--markdown", tmp_path / "gate.md", "--json")
    assert later.code == 0
    assert json.loads(later.out)["self_test"]["differs"] == []
    assert "### What this verdict is worth" in (tmp_path / "gate.md").read_text()
    assert "does not speak" not in (tmp_path / "gate.md").read_text()
    other = lab(runs.build(tmp_path / "other", seed=5, commit="4567def", repetitions=9), "--self-test-result",
                tmp_path / "self.json")
    assert "another environment (lab.commit)" in other.out
    assert "its power is for 10 pairs, and here there are 9" in other.out
    changed = lab(runs.build(tmp_path / "changed", seed=5, baseline_digest="cd" * 32), "--self-test-result",
                  tmp_path / "self.json")
    assert "another scenario than the baseline's" in changed.out


def test_the_self_test_takes_only_the_same_scenario_twice(tmp_path: Path, lab: Lab) -> None:
    aa = runs.build(tmp_path / "aa", repetitions=6)
    for odd, says in ((runs.build(tmp_path / "ab", repetitions=6, baseline_digest="cd" * 32), "different scenarios"),
                      (runs.build(tmp_path / "one", repetitions=1), "tells nothing of noise")):
        told = lab("--self-test", odd)
        assert told.code == 2
        assert says in told.err
    files = run_files(aa)
    for key, job in files.items():
        (aa / "raw" / key / "jobs.fio.gz").write_bytes(gzip.compress(job.encode()))
    told = lab("--self-test", aa)
    assert told.code == 2
    assert "the arms ran different fio jobs" in told.err
    for key in files:
        (aa / "raw" / key / "jobs.fio.gz").write_bytes(gzip.compress(b"[job]"))
    assert lab("--self-test", aa).code == 0
    assert "measured elsewhere" in lab("--self-test", aa, runs.build(tmp_path / "far", commit="4567def", seed=2)).err
    assert "the same table" in lab("--self-test", aa, aa).err
