from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import reference_noise
import reference_space
from reference_autoextend import autoextend_sentences, fillings
from reference_page import reference_page, write_reference_page
from reference_speed import first_against_rewrite, pair_section

from lab.analysis import stats
from lab.analysis.facts import Facts, before_freeing
from lab.errors import InputError
from lab.report import markdown
from lab.runs.records import (
    KEYS,
    MEASURED,
    BaselineRecord,
    CellRecord,
    CellResult,
    ClockCheck,
    LabRef,
    MachineRecord,
    Manifest,
    ScenarioRef,
)
from lab.runs.store import Run, RunWriter, open_run
from lab.scenario.arms import ARM, BASELINE, CANDIDATE, Arm

MIB = 1024**2
KIB = 1024
ROOT = Path(__file__).parents[2]
Row = dict[str, Any]

POOL: dict[str, Any] = {"chunk_size_bytes": 512 * KIB, "discard": False, "data_percent": 95, "metadata_percent": 1,
                        "autoextend_threshold": 80, "autoextend_percent": 20}
STORAGES = {
    "loop-lvm": CellRecord(storage="loop-lvm", target="layer", workload="files",
                           options={"chunk_size_bytes": 64 * KIB, "discard": False}),
    "direct-lvm": CellRecord(storage="direct-lvm", target="layer", workload="files", options=POOL),
    "direct-discard": CellRecord(storage="direct-lvm", target="layer", workload="files",
                                 options=POOL | {"discard": True}),
    "overlay2-ext4": CellRecord(storage="overlay2-ext4", target="layer", workload="files", options={}),
    "overlay2-xfs": CellRecord(storage="overlay2-xfs", target="layer", workload="files", options={}),
}


def row(label: str, phase: str, metric: str, value: float, *, repetition: int = 1, target: str = "layer",
        workload: str = "files", unit: str = "B", arm: str = ARM) -> Row:
    storage = STORAGES[label].storage if label in STORAGES else label
    known = dict(zip(KEYS, ("run", f"{label}.{target}.{workload}", storage, target, workload, phase, repetition, arm),
                     strict=True))
    return known | {"metric": metric, "value": value, "unit": unit, "source": MEASURED}


def growth(label: str, phases: Mapping[str, float], *, repetition: int = 1, target: str = "layer") -> list[Row]:
    """MiB by phase, of the storage in a layer, of the volumes' file system in a volume."""
    metric = "volume_growth" if target == "volume" else "storage_growth"
    return [row(label, phase, metric, value * MIB, repetition=repetition, target=target)
            for phase, value in phases.items()]


def facts(rows: Sequence[Row]) -> Facts:
    return Facts(stats.prepare(pd.DataFrame(list(rows))), STORAGES)


def manifest(name: str, cells: Mapping[str, CellRecord], results: Sequence[CellResult], *, repetitions: int,
             partial: bool, arms: bool) -> Manifest:
    scenario = ScenarioRef(name=name, question="?", file=f"{name}.yaml", sha256="ab" * 32)
    return Manifest(
        run=name, status="partial" if partial else "complete", scenario=scenario,
        lab=LabRef(version="0.1.0", commit="0123456789abcdef", dirty=False),
        machine=MachineRecord(emulated=True, accelerator="tcg", cpu_model="CPU", cpus=2, memory_bytes=2 * 1024**3,
                              box="box", disks="full", pool_disk_bytes=4 * 1024**3, spare_disk_bytes=4 * 1024**3,
                              cache="none", host_kernel="6.1", host_cpus=2),
        versions={}, clock=[ClockCheck(at_utc="2026-11-24T10:00:00Z", guest_seconds=1.0, host_seconds=1.0, drift=2e-4)],
        seed=1, repetitions=repetitions, order=[result.key for result in results] + (["ff"] if partial else []),
        started_utc="2026-11-24T10:00:00Z", ended_utc="2026-11-24T10:40:00Z", cells=dict(cells), results=list(results),
        baseline=BaselineRecord(**scenario.model_dump(), seed=1, cells=dict(cells)) if arms else None)


def write_run(path: Path, rows: Sequence[Row], samples: Sequence[Row] = (), *, partial: bool = False) -> Run:
    """A run of these rows, a result for each cell, arm and repetition."""
    path.mkdir(parents=True)
    writer = RunWriter(path)
    cells: dict[str, CellRecord] = {}
    results: list[CellResult] = []
    groups: dict[tuple[str, int, Arm], list[Row]] = {}
    for one in rows:
        groups.setdefault((one["cell"], one["repetition"], one["arm"]), []).append(one)
    for number, ((cell, repetition, arm), own) in enumerate(groups.items()):
        known = STORAGES[cell.split(".")[0]]
        cells[cell] = known.model_copy(update={"target": own[0]["target"], "workload": own[0]["workload"]})
        result = CellResult(cell=cell, repetition=repetition, arm=arm, key=f"{number:016x}", status="done",
                            started_utc="2026-11-24T10:00:00Z", seconds=30.0)
        writer.begin(result.key)
        writer.finish(result, own, [sample for sample in samples if sample["cell"] == cell])
        results.append(result)
    arms = len({result.arm for result in results}) > 1
    writer.close(manifest(path.name, cells, results, repetitions=max(one.repetition for one in results),
                          partial=partial, arms=arms))
    return open_run(path)


STEPS = {"start": 16.0, "write": 64.0, "update": 32.0, "delete": 0.0, "trim": -60.0, "remove": -52.0}


def reference_rows(repetitions: int = 1, delete: float = 0.0) -> list[Row]:
    rows = []
    for repetition in range(1, repetitions + 1):
        for label in STORAGES:
            rows += growth(label, STEPS | {"delete": delete}, repetition=repetition)
            rows += growth(label, STEPS | {"delete": -64.0}, repetition=repetition, target="volume")
            for target in ("layer", "volume"):
                rows += [row(label, "write", "application_bytes", 64.0 * MIB, repetition=repetition, target=target),
                         row(label, "update", "application_bytes", 8.0 * MIB, repetition=repetition, target=target),
                         row(label, "update", "disk_written", 9.0 * MIB, repetition=repetition, target=target)]
                for phase, speed in (("seq", 100.0), ("seq#2", 200.0 + repetition)):
                    rows.append(row(label, phase, "write_bandwidth", speed * MIB, repetition=repetition, target=target,
                                    workload="fio", unit="B/s"))
    return rows


# -- the committed page ------------------------------------------------------------------------------------------


def test_the_committed_page_is_what_the_committed_runs_give() -> None:
    text = reference_page(ROOT / "results")
    assert (ROOT / "docs" / "reference.md").read_text() == text, "write it again: make docs"
    links = re.findall(r"\]\((?!http)([^)]+)\)", text)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_headings_are_numbered_and_every_table_is_even(tmp_path: Path) -> None:
    write_run(tmp_path / "reference" / "reference", reference_rows(repetitions=3))
    text = reference_page(tmp_path)
    assert [int(found) for found in re.findall(r"^## (\d+)\.", text, re.MULTILINE)] == list(range(1, 12))
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    assert not re.search(r"\bnan\b|None(?! of)|\n\n\n", text)


def test_the_page_and_its_figures_are_written(tmp_path: Path) -> None:
    write_run(tmp_path / "results" / "reference" / "reference", reference_rows(repetitions=3))
    out = write_reference_page(tmp_path / "results", tmp_path / "docs" / "reference.md")
    text = out.read_text()
    pictures = re.findall(r"^!\[.+\]\((.+)\)$", text, re.MULTILINE)
    assert len(pictures) == 3
    assert all((out.parent / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)


# -- runs that are missing or not whole --------------------------------------------------------------------------


def test_without_the_reference_run_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"reference/reference: .*missing.*make reference"):
        reference_page(tmp_path)


def test_a_run_that_is_missing_is_named_in_its_place(tmp_path: Path) -> None:
    write_run(tmp_path / "reference" / "reference", reference_rows())
    text = reference_page(tmp_path)
    for name in ("aa", "reference/autoextend", "reference/reference-traces"):
        assert f"the run `results/{name}` is not there yet" in text
    assert "`results/validation/churn`" in text


def test_a_partial_run_is_told_before_anything_else(tmp_path: Path) -> None:
    write_run(tmp_path / "reference" / "reference", reference_rows(), partial=True)
    text = reference_page(tmp_path)
    assert "is partial" in text.split("## 1.")[0]
    write_run(tmp_path / "whole" / "reference" / "reference", reference_rows())
    assert "is partial" not in reference_page(tmp_path / "whole")


# -- sentences follow the data -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("at_delete", "said", "unsaid"), [
    (0.0, "freed nothing on direct-lvm", "So it was"),
    (3.0, "freed nothing on direct-lvm", "So it was"),
    (-64.0, "So it was: a delete in the layer freed 64.0 MiB on direct-lvm", "nothing"),
])
def test_whether_a_delete_frees_on_direct_lvm_is_the_datas_to_say(at_delete: float, said: str, unsaid: str) -> None:
    found = facts(growth("direct-lvm", STEPS | {"delete": at_delete})
                  + growth("direct-discard", STEPS | {"delete": -63.5}))
    text = reference_space.delete_block(found)[0]
    assert said in text
    assert unsaid not in text
    assert "mounted with `discard` it freed 63.5 MiB on direct-discard" in text


def test_a_discard_mount_that_frees_nothing_is_told() -> None:
    found = facts(growth("direct-lvm", STEPS) + growth("direct-discard", STEPS))
    assert "A discard mount changed nothing" in reference_space.delete_block(found)[0]


def test_what_comes_back_lists_those_that_gave_and_those_that_did_not() -> None:
    found = facts(growth("loop-lvm", STEPS) + growth("overlay2-ext4", STEPS | {"delete": -64.0, "trim": 0.0}))
    delete, trim, _ = reference_space.returned_sentences(found, "layer")
    assert delete == "A delete freed 64.0 MiB on overlay2-ext4, and nothing on loop-lvm."
    assert trim == "A trim freed 60.0 MiB on loop-lvm, and nothing on overlay2-ext4."


def filled(label: str, sizes: Sequence[float], used: Sequence[float]) -> list[Row]:
    rows = []
    for number, (size, taken) in enumerate(zip(sizes, used, strict=True), 1):
        rows += [row(label, f"write#{number}", "pool_data_total", size * MIB, workload="fill"),
                 row(label, f"write#{number}", "storage_used", taken * MIB, workload="fill")]
    return rows


def test_whether_a_pool_was_extended_is_the_datas_to_say() -> None:
    stuck, grown = ([1000.0, 1000.0], [500.0, 900.0]), ([1000.0, 1200.0], [500.0, 900.0])
    text = " ".join(autoextend_sentences(fillings(facts(filled("direct-lvm", *stuck)))))
    assert "never extended: direct-lvm (95.0 % data and 1.00 % metadata) became 90.0 % full" in text
    assert "No pool was ever extended" in text
    assert "takes 19.0 % of the group" in text
    assert "3.00 % is free" in text
    text = " ".join(autoextend_sentences(fillings(facts(filled("direct-lvm", *grown)))))
    assert text == "Extended: direct-lvm (95.0 % data and 1.00 % metadata) grew from 1,000 MiB to 1,200 MiB."


def test_a_pool_below_its_threshold_says_nothing_about_autoextend() -> None:
    found = fillings(facts(filled("direct-lvm", [1000.0, 1000.0], [100.0, 790.0])))
    text = " ".join(autoextend_sentences(found))
    assert "Not filled up to the threshold, so that nothing can be said: direct-lvm" in text
    assert "never extended" not in text


def test_ext4_that_copied_nothing_tells_nothing_of_xfs() -> None:
    rows = [row(label, "update", metric, value * MIB) for label in ("overlay2-ext4", "overlay2-xfs")
            for metric, value in (("application_bytes", 8.0), ("storage_growth", 8.0), ("disk_written", 9.0))]
    assert "Too little was copied on ext4" in reference_space.copy_up_block(facts(rows))[0]


@pytest.mark.parametrize(("grew", "reached", "said"), [
    (9.0, 9.0, "Here it did: `update` took 0.141 ×"), (63.0, 9.0, "yet it took 0.984 × the space"),
    (64.0, 71.0, "Here it did not")])
def test_whether_xfs_shares_blocks_at_copy_up_is_the_datas_to_say(grew: float, reached: float, said: str) -> None:
    rows = []
    for label, space, disk in (("overlay2-ext4", 64.0, 72.0), ("overlay2-xfs", grew, reached)):
        rows += [row(label, "update", metric, value * MIB) for metric, value in
                 (("application_bytes", 8.0), ("storage_growth", space), ("disk_written", disk))]
    assert said in reference_space.copy_up_block(facts(rows))[0]


# -- ratios and noise --------------------------------------------------------------------------------------------


def test_first_against_rewrite_is_below_one_where_the_first_write_is_slower() -> None:
    rows = [row("loop-lvm", phase, "write_bandwidth", speed, workload="fio", repetition=n, unit="B/s")
            for n in (1, 2, 3) for phase, speed in (("seq", 100.0), ("seq#2", 400.0))]
    found = first_against_rewrite(facts(rows).frame)
    assert list(found) == [("seq", "layer")]
    one = found["seq", "layer"]["loop-lvm"]
    assert (one.centre, one.low, one.high) == pytest.approx((0.25, 0.25, 0.25))


def test_a_pair_is_compared_in_the_repetitions_that_both_have() -> None:
    rows = growth("loop-lvm", STEPS) + growth("loop-lvm", STEPS | {"write": 164.0}, repetition=2)
    rows += growth("direct-lvm", STEPS | {"write": 74.0})
    text = "\n".join(pair_section(facts(rows), "t", "loop-lvm", "direct-lvm").blocks)
    assert "| write | 64.0 | 74.0 | -10.0 |" in text
    assert "in `write` (-10.0 MiB)" in text
    assert "Their data blocks differ: loop-lvm has 64 KiB and direct-lvm has 512 KiB" in text
    assert pair_section(facts(rows), "t", "loop-lvm", "other").blocks == ["other was not measured."]


def test_a_difference_of_two_percent_is_listed_and_one_of_half_a_percent_is_not() -> None:
    rows = growth("direct-lvm", STEPS | {"write": 100.0, "update": 200.0})
    rows += growth("direct-lvm", STEPS | {"write": 102.0, "update": 201.0}, repetition=2)
    compared, found = reference_noise.disagreements(facts(rows))
    assert (compared, [one.phase for one in found]) == (5, ["write"])
    assert found[0].values == {1: 100.0 * MIB, 2: 102.0 * MIB}
    assert found[0].blocks == 4
    assert found[0].before == {1: 316.0 * MIB, 2: 319.0 * MIB}
    section = "\n".join(reference_noise.agreement_section(facts(rows)).blocks)
    assert "4 (80.0 %) agree within 1 % over 2 repetitions" in section
    assert "whole number of data blocks" in section
    assert "1 of these 1 cell agrees" in section


def test_what_is_late_by_a_part_of_a_block_is_not_laid_to_whole_blocks() -> None:
    rows = growth("direct-lvm", {"write": 100.0}) + growth("direct-lvm", {"write": 103.3}, repetition=2)
    rows += growth("overlay2-ext4", {"write": 100.0}) + growth("overlay2-ext4", {"write": 104.0}, repetition=2)
    section = "\n".join(reference_noise.agreement_section(facts(rows)).blocks)
    assert "not whole" in section
    assert "XFS" not in section


def test_figures_that_all_agree_need_no_list_and_a_single_repetition_no_answer() -> None:
    once = growth("direct-lvm", STEPS)
    twice = once + growth("direct-lvm", STEPS, repetition=2)
    assert reference_noise.agreement_section(facts(once)).blocks == ["No cell was measured twice yet."]
    blocks = reference_noise.agreement_section(facts(twice)).blocks
    assert len(blocks) == 1
    assert "100.0 %" in blocks[0]


@pytest.mark.parametrize(("apart", "said"), [(5, "which chance explains"), (40, "more than chance explains"),
                                             (0, "fewer than chance gives")])
def test_how_many_comparisons_tell_the_same_apart_is_set_against_chance(apart: int, said: str) -> None:
    text = reference_noise.chance_sentence(apart, 100)
    assert f": {said}." in text
    assert "where chance gives 5 %" in text


def test_before_freeing_stops_at_the_first_that_frees() -> None:
    assert before_freeing(["start", "write", "trim", "write#2"]) == ["start", "write"]
    assert before_freeing(["seq", "seq#2"]) == ["seq", "seq#2"]


# -- all runs there ----------------------------------------------------------------------------------------------


def trace(run: Run) -> None:
    folder = run.path / "raw" / run.manifest.results[0].key / "trace"
    folder.mkdir()
    log = "fio version 3 iolog\n0 thin0 add\n0 thin0 open\n5 thin0 write 0 1048576\n6 thin0 write 1048576 1048576\n"
    (folder / "01-01-thin0.iolog.gz").write_bytes(gzip.compress(log.encode()))
    steps = [{"title": "write", "ops": [{"op": "write", "thin": 0, "iolog": "01-01-thin0.iolog.gz"}], "expect": None},
             {"title": "delete", "ops": [{"op": "discard", "thin": 0, "offset": 0, "length": MIB}], "expect": None}]
    (folder / "case.json").write_text(json.dumps({"case": "c", "pool": None, "steps": steps}))


def test_with_every_run_there_nothing_is_left_out(tmp_path: Path) -> None:
    results = tmp_path / "results"
    write_run(results / "reference" / "reference", reference_rows(repetitions=3))
    trace(write_run(results / "reference" / "reference-traces", growth("loop-lvm", STEPS)))
    rows = filled("direct-lvm", [1000.0, 1000.0], [500.0, 900.0])
    samples = [{**one, "t_seconds": float(second)} for second, one in enumerate(rows)]
    write_run(results / "reference" / "autoextend", rows, samples)
    for name in ("churn", "deep", "large", "mixed"):
        write_run(results / "validation" / name, growth("loop-lvm", STEPS))
    write_run(results / "aa", [
        row("direct-lvm", phase, "write_bandwidth", (100.0 + (7 * n + len(arm) * n) % 5) * MIB, repetition=n,
            workload="fio", unit="B/s", arm=arm)
        for n in range(1, 6) for arm in (BASELINE, CANDIDATE) for phase in ("seq", "rand")])
    out = write_reference_page(results, tmp_path / "docs" / "reference.md")
    text = out.read_text()
    assert "not there yet" not in text.lower()
    assert "| write | 2 (2.00) |" in text
    assert "| delete | 1 (1.00) |" in text
    assert "At a delete, the file systems of loop-lvm discarded blocks." in text
    assert "lab replay results/reference/reference-traces/raw/0000000000000000/trace/01-01-thin0.iolog.gz" in text
    assert "never extended: direct-lvm" in text
    assert "5 pairs" in text
    assert "binomial interval" in text
    assert {path.name for path in (out.parent / "figures").iterdir()} == {
        f"reference-{name}.png" for name in ("space", "first-write", "throughput", "autoextend", "aa")}


def test_two_arms_of_different_scenarios_are_not_taken_for_noise(tmp_path: Path) -> None:
    write_run(tmp_path / "reference" / "reference", reference_rows())
    run = write_run(tmp_path / "aa", [row("direct-lvm", "seq", "write_bandwidth", 1.0 + n, repetition=n, unit="B/s",
                                          workload="fio", arm=arm) for n in range(4) for arm in (BASELINE, CANDIDATE)])
    other = json.loads((run.path / "manifest.json").read_text())
    other["baseline"]["sha256"] = "cd" * 32
    (run.path / "manifest.json").write_text(json.dumps(other))
    assert "has not the same scenario as both arms" in reference_page(tmp_path)


def test_a_cell_that_failed_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "reference" / "reference", reference_rows())
    document = json.loads((run.path / "manifest.json").read_text())
    document["results"][0]["status"] = "failed"
    (run.path / "manifest.json").write_text(json.dumps(document))
    text = reference_page(tmp_path)
    assert f"Failed, and absent below: {document['results'][0]['cell']} in repetition 1" in text


def test_a_damaged_trace_is_named(tmp_path: Path) -> None:
    write_run(tmp_path / "reference" / "reference", reference_rows())
    run = write_run(tmp_path / "reference" / "reference-traces", growth("loop-lvm", STEPS))
    trace(run)
    next(run.path.rglob("case.json")).write_text("{}")
    with pytest.raises(InputError, match=r"case\.json: the trace cannot be read"):
        reference_page(tmp_path)


# -- markdown ----------------------------------------------------------------------------------------------------


def test_a_tables_cells_cannot_break_the_table() -> None:
    text = markdown.table(["a|b", "n"], [["x\ny", "1"], ["\x1b[31mred\x1b[0m|", "2"]])
    assert text.splitlines() == ["| a\\|b | n |", "| --- | ---: |", "| x y | 1 |", "| red\\| | 2 |"]


def test_escaping_twice_changes_nothing() -> None:
    assert markdown.escaped(markdown.escaped("a|b")) == "a\\|b"


def test_a_row_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells in a table of 2 columns"):
        markdown.table(["a", "b"], [["1"]])
