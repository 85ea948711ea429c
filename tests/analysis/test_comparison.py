"""A measured run against its simulation, on synthetic runs whose differences are known."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import Rectangle

from lab.analysis import comparison as overlay
from lab.analysis.comparison import DURATION, INCREMENT, METADATA, SPACE, Pair, compare, coverage, pair_runs, scores
from lab.report import comparison_plots as overlay_plots
from lab.report import page as report
from lab.report import plots
from lab.report.comparison_section import overlaid
from lab.report.drawings import figures
from lab.runs.records import (
    MEASURED,
    SIMULATED,
    CellRecord,
    CellResult,
    ClockCheck,
    Failure,
    LabRef,
    MachineRecord,
    Manifest,
    SamplerCost,
    ScenarioRef,
)
from lab.runs.store import Run, RunWriter, open_run
from lab.scenario.arms import ARM, BASELINE, Arm

MIB = 1024**2
BLOCK = 512 * 1024
STEPS = {"start": 8 * MIB, "write": 32 * MIB, "log": 64 * 1024, "delete": 0, "remove": -40 * MIB}
"""What each phase adds to the storage, in bytes."""

Change = Callable[[str, str, int, int], int | None]
"""Cell, phase, repetition and growth in bytes -> the growth in its stead; None: the phase is missing."""


def same(_cell: str, _phase: str, _repetition: int, growth: int) -> int | None:
    return growth


def off(phase: str, by: int, repetition: int | None = None) -> Change:
    """The growth of one phase is ``by`` bytes off, in one repetition or in all."""
    def change(_cell: str, own: str, number: int, growth: int) -> int | None:
        return growth + by if own == phase and repetition in (None, number) else growth
    return change


def without(phase: str) -> Change:
    def change(_cell: str, own: str, _number: int, growth: int) -> int | None:
        return None if own == phase else growth
    return change


def build(path: Path, *, simulated: bool, change: Change = same, repetitions: int = 1,
          storages: Sequence[str] = ("direct-lvm", "overlay2-ext4"), targets: Sequence[str] = ("layer",),
          sha: str = "ab" * 32, failed: Sequence[str] = (), begin: int = 100 * MIB, steps: dict[str, int] | None = None,
          arm: Arm = ARM, rows: bool = True) -> Run:
    """A run of container steps; space that is not the target's stands still, metadata grow by a block a phase."""
    writer, results, cells = RunWriter(path), list[CellResult](), dict[str, CellRecord]()
    for repetition, storage, target in itertools.product(range(1, repetitions + 1), storages, targets):
        cell = f"{storage}.{target}.files"
        options: dict[str, Any] = {"discard": False} if storage.startswith("overlay2") else {"chunk_size_bytes": BLOCK}
        cells[cell] = CellRecord(storage=storage, target=target, workload="files", options=options)
        broken = cell in failed
        error = Failure(kind="CellFailed", argv=[], returncode=None, output="the pool is full") if broken else None
        result = CellResult(cell=cell, repetition=repetition, arm=arm, key=f"{len(results):016x}", error=error,
                            status="failed" if broken else "done", started_utc="2026-11-24T10:00:00Z", seconds=1.0)
        keys = {"run": path.name, "cell": cell, "storage": storage, "target": target, "workload": "files",
                "repetition": repetition, "arm": arm, "source": SIMULATED if simulated else MEASURED}
        writer.begin(result.key)
        writer.finish(result, _rows(keys, change, begin, steps or STEPS) if rows and not broken else [], [])
        results.append(result)
    writer.close(_manifest(path.name, simulated, sha, repetitions, cells, results))
    (path / "scenario.yaml").write_text("name: overlay\n")
    return open_run(path)


def _rows(keys: dict[str, Any], change: Change, begin: int, steps: dict[str, int]) -> list[dict[str, Any]]:
    rows, used, metadata = [], begin, 4 * MIB
    volume = keys["target"] == "volume"
    for phase, growth in steps.items():
        asked = change(keys["cell"], phase, keys["repetition"], growth)
        metadata += 4096
        used += growth if asked is None else asked
        if asked is None:
            continue
        values = {"duration": 2.0, "storage_used": begin if volume else used, "volume_used": used if volume else begin,
                  "storage_growth": 0 if volume else asked, "volume_growth": asked if volume else 0}
        if "chunk_size_bytes" in keys or not keys["storage"].startswith("overlay2"):
            values["pool_metadata_used"] = metadata
        rows += [keys | {"phase": phase, "metric": metric, "value": float(value),
                         "unit": "s" if metric == "duration" else "B"} for metric, value in values.items()]
    return rows


def _manifest(run: str, simulated: bool, sha: str, repetitions: int, cells: dict[str, CellRecord],
              results: list[CellResult]) -> Manifest:
    machine = MachineRecord(emulated=not simulated, accelerator=SIMULATED if simulated else "tcg", cpu_model="none",
                            cpus=2, memory_bytes=2 * 1024**3, box="none", disks="full", pool_disk_bytes=4 * 1024**3,
                            spare_disk_bytes=4 * 1024**3, cache="none", host_kernel="6.1.0", host_cpus=2)
    return Manifest(
        run=run, status="complete", lab=LabRef(version="0.1.0", commit="0123abc", dirty=False), machine=machine,
        scenario=ScenarioRef(name="overlay", question="Does the model foretell it?", file="overlay.yaml", sha256=sha),
        versions={"parameters": "9f5b7489577515682ca5"} if simulated else {"kernel": "6.1.0-28-amd64"},
        clock=[] if simulated else [ClockCheck(at_utc="2026-11-24T09:59:00Z", guest_seconds=8, host_seconds=8,
                                               drift=0)],
        seed=1, repetitions=repetitions, order=[r.key for r in results], started_utc="2026-11-24T09:58:00Z",
        ended_utc="2026-11-24T10:40:00Z", cells=cells, results=results, seconds={"simulation": 0.6},
        sampler=None if simulated else SamplerCost(samples=9, cpu_seconds_per_sample=0.006,
                                                   elapsed_seconds_per_sample=0.03))


def pair(tmp_path: Path, change: Change = same, *, measured: dict[str, Any] | None = None,
         simulated: dict[str, Any] | None = None, **both: Any) -> Pair:
    return Pair(build(tmp_path / "measured", simulated=False, **both | (measured or {})),
                build(tmp_path / "simulated", simulated=True, change=change, **both | (simulated or {})))


def residuals(own: Pair, quantity: str, label: str = "direct-lvm") -> list[tuple[str, float]]:
    table = compare(own)
    rows = table[(table["quantity"] == quantity) & (table["label"] == label)]
    return list(zip(rows["phase"], rows["residual"], strict=True))


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def test_equal_runs_have_no_residual_whatever_their_level_at_the_begin(tmp_path: Path) -> None:
    own = pair(tmp_path, simulated={"begin": 77 * MIB})
    table = compare(own)
    assert tuple(table.columns) == overlay.COLUMNS
    assert sorted(table["quantity"].unique()) == sorted([INCREMENT, SPACE, METADATA, DURATION])
    assert (table["residual"] == 0).all()
    assert all(one.equal == one.phases == 5 and one.error == 0 for one in scores(table, SPACE))
    text = " ".join(overlaid(own, plots.styles(["direct-lvm", "overlay2-ext4"])).findings[0].sentences)
    assert "10 of 10 phases agree to the byte in what they added or gave back (n = 1)." in text


def test_space_counts_from_the_level_before_the_first_phase(tmp_path: Path) -> None:
    table = compare(pair(tmp_path))
    rows = table[(table["quantity"] == SPACE) & (table["label"] == "direct-lvm")]
    assert rows["measured"].tolist() == [*itertools.accumulate(STEPS.values())]


def test_one_phase_off_by_a_block_differs_from_there_on(tmp_path: Path) -> None:
    own = pair(tmp_path, off("write", BLOCK))
    assert residuals(own, INCREMENT) == [("start", 0), ("write", BLOCK), ("log", 0), ("delete", 0), ("remove", 0)]
    assert [value for _, value in residuals(own, SPACE)] == [0, BLOCK, BLOCK, BLOCK, BLOCK]
    one = scores(compare(own), INCREMENT)[0]
    assert (one.label, one.phases, one.equal, one.phase, one.largest_blocks) == ("direct-lvm", 5, 4, "write", 1)
    assert one.counted == 3, "only start, write and remove moved 1 MiB or more"
    assert one.error == pytest.approx((0.5 / 32) / 3)
    assert (one.median, scores(compare(own), SPACE)[0].median) == (0, BLOCK)
    assert scores(compare(own), INCREMENT)[1].block_bytes is None, "a file system has no blocks of a pool"


def test_a_phase_that_one_run_lacks_is_left_out_and_named(tmp_path: Path) -> None:
    own = pair(tmp_path, without("start"), storages=("direct-lvm",))
    assert residuals(own, SPACE) == [("write", 0), ("log", 0), ("delete", 0), ("remove", 0)]
    assert coverage(own).phases == [("direct-lvm.layer.files", 1, "start", "measured")]
    sentences = overlaid(own, plots.styles(["direct-lvm"])).findings[-1].sentences
    assert any("start of direct-lvm.layer.files (repetition 1, only measured)" in text for text in sentences)


def test_a_failed_cell_is_not_compared_and_named(tmp_path: Path) -> None:
    own = pair(tmp_path, simulated={"failed": ["direct-lvm.layer.files"]})
    assert set(compare(own)["label"]) == {"overlay2-ext4"}
    sentences = overlaid(own, plots.styles(["overlay2-ext4"])).findings[-1].sentences
    assert sentences == ["The runs have 1 cell run in common (a storage, target, workload and repetition each).",
                         "In the simulated run failed: direct-lvm.layer.files (repetition 1)."]


def test_in_a_volume_the_volumes_space_is_compared(tmp_path: Path) -> None:
    own = pair(tmp_path, off("write", 4096), targets=("volume",))
    assert residuals(own, INCREMENT)[1] == ("write", 4096)
    assert residuals(own, SPACE)[-1] == ("remove", 4096)
    assert all(one.block_bytes is None for one in scores(compare(own), SPACE))


def test_repetitions_are_paired_by_number(tmp_path: Path) -> None:
    own = pair(tmp_path, off("write", BLOCK, repetition=2), repetitions=2, measured={"repetitions": 3})
    one = scores(compare(own), INCREMENT)[0]
    assert (one.repetitions, one.phases, one.equal, one.repetition) == (2, 10, 9, 2)
    covered = coverage(own)
    assert covered.only_measured == [("direct-lvm.layer.files", 3), ("overlay2-ext4.layer.files", 3)]
    assert len(covered.both) == 4


def test_metadata_differ_in_blocks_of_4_kib(tmp_path: Path) -> None:
    own = pair(tmp_path)
    table = own.simulated.measurements
    table.loc[(table["metric"] == "pool_metadata_used") & (table["phase"] == "log"), "value"] -= 3 * 4096
    one, = scores(compare(own), METADATA)
    assert (one.equal, one.phases, one.largest_blocks, one.phase) == (4, 5, -3, "log")
    told = overlaid(own, plots.styles(["direct-lvm", "overlay2-ext4"]))
    assert {found.topic: found.sentences for found in told.findings}["Metadata"] == [
        "The pool's metadata blocks in use are equal after 4 of 5 phases; the largest difference is −3 blocks of 4 KiB"
        ", after log on direct-lvm (repetition 1), written to the layer."]


def test_of_a_run_with_two_arms_the_candidate_is_compared(tmp_path: Path) -> None:
    assert compare(pair(tmp_path, measured={"arm": BASELINE})).empty


def test_runs_without_a_common_phase_say_so_and_draw_nothing(tmp_path: Path) -> None:
    own = pair(tmp_path, simulated={"rows": False})
    told = overlaid(own, {})
    assert (told.drawings, told.tables) == ([], [])
    assert told.findings[0].sentences[0] == "The runs have no cell run in common: nothing was compared."
    assert "Measured against simulated" in report.write_report([own.measured, own.simulated]).read_text()


@settings(max_examples=15, deadline=None)
@given(growths=st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=8), repetitions=st.integers(1, 2),
       target=st.sampled_from(["layer", "volume"]))
def test_a_run_against_itself_has_no_residual(tmp_path_factory: pytest.TempPathFactory, growths: list[int],
                                              repetitions: int, target: str) -> None:
    steps = {f"write#{number}": growth for number, growth in enumerate(growths, 1)}
    run = build(tmp_path_factory.mktemp("run") / "run", simulated=False, steps=steps, repetitions=repetitions,
                targets=(target,))
    table = compare(Pair(run, run))
    assert len(table[table["quantity"] == SPACE]) == 2 * repetitions * len(growths)
    assert (table["residual"] == 0).all()


# -- the page -------------------------------------------------------------------------------------------------------

def test_the_section_stands_before_the_runs_own_and_its_figure_with_the_simulation(tmp_path: Path) -> None:
    own = pair(tmp_path, off("write", BLOCK), targets=("layer", "volume"))
    page = report.write_report([own.measured, own.simulated]).read_text()
    assert _Tags(page).seen.count("section") == 3
    assert page.index("<h1>Measured against simulated</h1>") < page.index("This machine was EMULATED")
    assert "1 block, in write" in page
    for target in ("layer", "volume"):
        name = f"measured-against-simulated-files-{target}.png"
        assert (own.simulated.path / "figures" / name).is_file()
        assert not (own.measured.path / "figures" / name).exists()


def test_only_a_pair_has_the_section(tmp_path: Path) -> None:
    measured = build(tmp_path / "measured", simulated=False)
    simulated = build(tmp_path / "simulated", simulated=True)
    again = build(tmp_path / "again", simulated=False)
    for runs in ([measured], [simulated], [measured, again]):
        assert "Measured against simulated" not in report.write_report(runs, tmp_path / "page.html").read_text()


def test_two_measured_runs_of_different_scenarios_stay_as_they_are(tmp_path: Path) -> None:
    runs = [build(tmp_path / name, simulated=False, sha=sha * 32) for name, sha in (("one", "ab"), ("two", "cd"))]
    assert pair_runs(runs) == ([], [])


def test_different_scenario_files_are_not_overlaid_and_said_to_differ(tmp_path: Path) -> None:
    own = pair(tmp_path, simulated={"sha": "cd" * 32})
    pairs, notes = pair_runs([own.measured, own.simulated])
    assert not pairs
    assert notes == ["The simulated run simulated was not overlaid, because the scenario files differ: its own is "
                     "overlay (overlay.yaml, SHA-256 cdcdcdcd), measured was overlay (overlay.yaml, SHA-256 abababab)."]
    assert "because the scenario files differ" in report.write_report([own.measured, own.simulated]).read_text()


def test_of_several_of_one_kind_the_first_is_taken_and_the_rest_named(tmp_path: Path) -> None:
    first, second = (build(tmp_path / name, simulated=False) for name in ("first", "second"))
    simulated = build(tmp_path / "simulated", simulated=True)
    pairs, notes = pair_runs([first, second, simulated])
    assert pairs == [Pair(first, simulated)]
    assert notes == ["Run second was left out of the comparison: first is the first measured run of the same scenario "
                     "file."]
    other = build(tmp_path / "other", simulated=False, sha="cd" * 32)
    assert ["other" in note and "abababab" in note for note in pair_runs([first, simulated, other])[1]] == [True]


@pytest.mark.parametrize("options", [{}, {"repetitions": 3}, {"failed": ["direct-lvm.layer.files"]}, {"rows": False}])
def test_a_simulated_runs_page_never_reads_like_a_measured_one(tmp_path: Path, options: dict[str, Any]) -> None:
    run = build(tmp_path / "run", simulated=True, **options)
    page = re.sub(r'src="data:[^"]*"', "", report.write_report([run]).read_text())
    text = re.sub(r"<[^>]+>", "", re.sub(r"<style>.*?</style>", "", page, flags=re.S))
    assert "This run was SIMULATED" in text
    assert "with the parameters of digest 9f5b74895775" in text
    assert "No machine ran and nothing was measured" in text
    for wrong in ("EMULATED", "clock", "sampler", "inner", "fastest", "host kernel", "not measured", "The machine",
                  "machine said", "box", "Noise", "Measurements"):
        assert wrong not in text, wrong
    assert "<tbody>\n</tbody>" not in page, "a table without rows"
    assert all("(simulated)" in one.figure.get_suptitle() and ", simulated" in one.alt for one in figures(run))


def test_long_runs_of_repeated_phases_are_thinned() -> None:
    rounds = [name if number == 1 else f"{name}#{number}" for number in range(1, 41)
              for name in ("start", "write", "remove")]
    shown = overlay_plots.thinned(rounds, 20)
    assert [rounds[place] for place in shown][:3] == ["start", "start#3", "start#5"]
    assert len(shown) <= 20


def test_every_repetition_is_drawn(tmp_path: Path) -> None:
    own = pair(tmp_path, off("write", BLOCK, repetition=2), repetitions=2)
    figure = overlay_plots.measured_against_simulated(compare(own), "files", "layer",
                                                      plots.styles(["direct-lvm", "overlay2-ext4"]))
    assert figure is not None
    space, difference = figure.axes[0], figure.axes[2]
    assert space.get_title(loc="left") == "direct-lvm   (n = 2)"
    assert sum(line.get_marker() not in ("None", None) for line in space.lines) == 2
    assert [bar.get_height() for bar in difference.patches if isinstance(bar, Rectangle)].count(0.5) == 4
    assert difference.get_title(loc="right") == "largest +0.5 MiB, after write"
