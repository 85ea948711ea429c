from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lab.analysis import comparisons
from lab.errors import InputError
from lab.lessons.checks import runs as run_checks
from lab.report import page as report
from lab.runs.records import (
    MEASURED,
    BaselineRecord,
    CellRecord,
    CellResult,
    ClockCheck,
    Failure,
    LabRef,
    MachineRecord,
    Manifest,
    RepeatRecord,
    SamplerCost,
    ScenarioRef,
)
from lab.runs.store import Run, RunWriter, open_run
from lab.scenario.arms import ARM, BASELINE, CANDIDATE, Arm

MIB = 1024**2
HOSTILE = "<script>alert('x')</script>"
STORAGES = ("loop-lvm", "direct-lvm", "overlay2-ext4")
SPEED = {"loop-lvm": 22.0, "direct-lvm": 110.0, "overlay2-ext4": 210.0}
CHUNK = {"loop-lvm": 2.0, "direct-lvm": 16.0, "overlay2-ext4": 20.0}
Row = dict[str, Any]


def build(path: Path, *, repetitions: int = 1, storages: Sequence[str] = STORAGES,
          targets: Sequence[str] = ("layer", "volume"), workloads: Sequence[str] = ("fio-short", "files"),
          question: str = "What do loop-lvm, direct-lvm and overlay2 cost?", failed: bool = False,
          measured: bool = True, partial: bool = False, noise: float = 0.03, drift: float = 0.0004,
          emulated: bool = True, arms: Sequence[Arm] = (ARM,), faster: float = 1.0,
          repeat_until: RepeatRecord | None = None) -> Run:
    """A run with plausible numbers: fio jobs with two passes, and container steps.

    With two ``arms``, the candidate's bandwidths are ``faster`` times the baseline's.
    """
    random_ = random.Random(7)
    writer = RunWriter(path)
    cells: dict[str, CellRecord] = {}
    results: list[CellResult] = []
    for repetition in range(1, repetitions + 1):
        for storage in storages:
            for target in targets:
                for workload, arm in itertools.product(workloads, arms):
                    cell = f"{storage}.{target}.{workload}"
                    cells[cell] = CellRecord(storage=storage, target=target, workload=workload,
                                             options={"chunk_size_bytes": 524288, "discard": False})
                    keys: Row = {"run": path.name, "cell": cell, "storage": storage, "target": target,
                                 "workload": workload, "repetition": repetition, "arm": arm, "source": MEASURED}
                    make = _fio if workload.startswith("fio") else _steps
                    rows, samples = make(keys, random_, noise) if measured else ([], [])
                    if arm == CANDIDATE:
                        for row in rows:
                            row["value"] *= faster if row["metric"].endswith("_bandwidth") else 1.0
                    key = f"{len(results):016x}"
                    broken = failed and len(results) == 1
                    error = Failure(kind="CommandFailed", argv=["sh", "-c", f"echo {HOSTILE}"], returncode=125,
                                    output=f"\x1b[31mno space\x1b[0m {HOSTILE}") if broken else None
                    result = CellResult(cell=cell, repetition=repetition, arm=arm, key=key, error=error,
                                        status="failed" if broken else "done", started_utc="2024-11-07T10:00:00Z",
                                        seconds=61.5)
                    writer.begin(key)
                    writer.finish(result, [] if broken else rows, [] if broken else samples)
                    results.append(result)
    machine = MachineRecord(emulated=emulated, accelerator="tcg" if emulated else "kvm", cpu_model="QEMU TCG CPU",
                            cpus=2, memory_bytes=2 * 1024**3, box="lab/bookworm 1 sha256:1f", disks="full",
                            pool_disk_bytes=4 * 1024**3, spare_disk_bytes=4 * 1024**3, cache="none",
                            host_kernel="6.1.0", host_cpus=2)
    writer.close(Manifest(
        run=path.name, status="partial" if partial else "complete",
        scenario=ScenarioRef(name="quickstart", question=question, file="scenarios/quickstart.yaml", sha256="ab" * 32),
        lab=LabRef(version="0.1.0", commit="0123abc", dirty=True), machine=machine,
        versions={"kernel": "6.1.0-28-amd64", "docker": "20.10.24", "fio": "3.33"},
        clock=[ClockCheck(at_utc="2024-11-07T09:59:00Z", guest_seconds=8 * (1 + drift), host_seconds=8.0,
                          drift=drift)],
        seed=20241107, repetitions=repetitions, order=[r.key for r in results] + (["ff"] if partial else []),
        started_utc="2024-11-07T09:58:00Z", ended_utc="2024-11-07T10:40:00Z", cells=cells, results=results,
        sampler=SamplerCost(samples=900, cpu_seconds_per_sample=0.006, elapsed_seconds_per_sample=0.03),
        drop_caches={"fio-short": True}, seconds={"resume": 6.0, "workloads": 800.0},
        baseline=None if len(arms) < 2 else BaselineRecord(
            name="before", question="?", file="before.yaml", sha256="cd" * 32, seed=1,
            cells={name: cell.model_copy(update={"options": {"chunk_size_bytes": 65536}})
                   for name, cell in cells.items()}),
        repeat_until=repeat_until))
    if len(arms) > 1:
        (path / "baseline.yaml").write_text(f"name: before\nquestion: {HOSTILE}\n")
    (path / "scenario.yaml").write_text(f"name: quickstart\nquestion: {HOSTILE}\n")
    return open_run(path)


def _fio(keys: Row, random_: random.Random, noise: float) -> tuple[list[Row], list[Row]]:
    rows: list[Row] = []
    samples: list[Row] = []
    used, at = 400.0 * MIB, 0.0
    speed = SPEED.get(keys["storage"], 50.0) if keys["target"] == "layer" else 230.0
    for number in (1, 2):
        for section, share, kind in (("seq-write", 1.0, "write"), ("rand-write", 0.08, "write"),
                                     ("sync-write", 0.01, "write"), ("seq-read", 1.9, "read")):
            phase = section if number == 1 else f"{section}#{number}"
            gain = 3.5 if number == 2 and kind == "write" and keys["target"] == "layer" else 1.0
            rate = speed * share * (gain if keys["storage"] != "overlay2-ext4" else 1.1) * MIB
            rate *= random_.lognormvariate(0, noise)
            growth = 64.0 * MIB if number == 1 and section == "seq-write" else 0.0

            def add(metric: str, value: float, unit: str, phase: str = phase) -> None:
                rows.append(keys | {"phase": phase, "metric": metric, "value": value, "unit": unit})
            add(f"{kind}_bandwidth", rate, "B/s")
            add(f"{'read' if kind == 'write' else 'write'}_bandwidth", 0.0, "B/s")
            add(f"{kind}_iops", rate / 4096, "1/s")
            for name, factor in (("mean", 1.2), ("p50", 1), ("p95", 3), ("p99", 9), ("p999", 40)):
                add(f"{kind}_latency_{name}", factor * 65536 / rate * random_.lognormvariate(0, noise), "s")
            if section == "sync-write":
                add("sync_latency_p50", 0.004, "s")
                add("sync_latency_p99", 0.04, "s")
            add("runtime", 64 * MIB / rate, "s")
            layer = keys["target"] == "layer"
            add("storage_growth", growth if layer else 0.0, "B")
            add("volume_growth", 0.0 if layer else growth, "B")
            for second in range(8):
                samples.append(keys | {"phase": phase, "t_seconds": at, "unit": "B",
                                       "metric": "storage_used" if layer else "volume_used",
                                       "value": used + growth * second / 7})
                at += 1.0
            used += growth
    return rows, samples


def _steps(keys: Row, random_: random.Random, noise: float) -> tuple[list[Row], list[Row]]:
    rows: list[Row] = []
    samples: list[Row] = []
    overlay, layer = keys["storage"] == "overlay2-ext4", keys["target"] == "layer"
    used, at = 420.0 * MIB, 0.0
    plan = [("start", 1.2 if not overlay else 0.1, 0, 14), ("write", 64.5, 64, 12),
            ("update", 4 * CHUNK.get(keys["storage"], 1.0) / 4, 1, 6), ("small_files", 3.4, 2, 9),
            ("log", 1.1, 0.2, 3), ("delete", -64.3 if overlay or not layer else 0.0, 0, 3),
            ("trim", 0.0 if overlay else -60.0, 0, 4), ("pause", 0.0, 0, 5), ("remove", -30.0, 0, 8)]
    for phase, growth, written, seconds in plan:
        def add(metric: str, value: float, unit: str, phase: str = phase) -> None:
            rows.append(keys | {"phase": phase, "metric": metric, "value": value, "unit": unit})
        growth_bytes = growth * MIB * (1 + (random_.random() - 0.5) * noise)
        add("duration", seconds * random_.lognormvariate(0, noise), "s")
        if written:
            add("application_bytes", written * MIB, "B")
            add("allocation_amplification", growth / written, "ratio")
        add("storage_used", used + growth_bytes, "B")
        add("storage_growth", growth_bytes if layer else 0.0, "B")
        add("volume_growth", 0.0 if layer else growth_bytes, "B")
        add("inodes_used", 1234, "1")
        for second in range(seconds):
            value = used + growth_bytes * second / max(seconds - 1, 1)
            for metric in ("storage_used", "volume_used", *(["loop_data_allocated"] * (keys["storage"] == "loop-lvm"))):
                samples.append(keys | {"phase": phase, "t_seconds": at, "metric": metric, "value": value, "unit": "B"})
            at += 1.0
        used += growth_bytes
    return rows, samples


class _Audit(HTMLParser):
    """Collects what a page must not have: scripts, and anything that is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]


def audited(page: str) -> _Audit:
    audit = _Audit()
    audit.feed(page)
    assert "script" not in audit.tags
    assert all(link.startswith(("data:", "#")) for link in audit.links)
    return audit


def test_the_page_stands_alone_and_the_figures_lie_beside_it(tmp_path: Path) -> None:
    run = build(tmp_path / "run", repetitions=3)
    path = report.write_report([run])
    assert path == run.path / "report.html"
    page = path.read_text()
    audit = audited(page)
    names = {file.name for file in (run.path / "figures").glob("*.png")}
    assert {"space-steps-files.png", "throughput-fio-short.png", "first-rewrite-fio-short.png",
            "latency-fio-short.png", "space-over-time-layer-files.png", "space-over-time-volume-files.png"} <= names
    assert audit.tags.count("img") == len(names) + 1         # and the picture of the first screen
    assert "This machine was EMULATED" in page
    assert not [file for file in run.path.rglob(".*") if file.is_file()], "no scratch file is left"


def test_five_clear_repetitions_name_a_winner(tmp_path: Path) -> None:
    run = build(tmp_path / "run", repetitions=5, targets=("layer",))
    sentences = report.summary_sentences(run)
    assert any("In the layer (fio-short), overlay2-ext4 had the highest bandwidth in seq-write" in text
               and "n = 5, intervals within" in text for text in sentences)
    assert run_checks.may_name_winner(run, True).startswith("Right")


@pytest.mark.parametrize("repetitions", [1, 2])
def test_few_repetitions_name_none(tmp_path: Path, repetitions: int) -> None:
    run = build(tmp_path / "run", repetitions=repetitions)
    text = " ".join(report.summary_sentences(run))
    assert f"No winner named in any of 16 bandwidth comparisons: n = {repetitions} < 3" in text
    assert "had the highest" not in text
    assert "was fastest" not in text
    assert run_checks.may_name_winner(run, True).startswith("Not yet")


def test_overlapping_intervals_name_none(tmp_path: Path) -> None:
    run = build(tmp_path / "run", repetitions=4, targets=("volume",), workloads=("fio-short",), noise=0.5)
    text = " ".join(report.summary_sentences(run))
    assert "the interval of the ratio includes 1" in text


def test_the_space_sentences_carry_amounts(tmp_path: Path) -> None:
    text = "\n".join(report.summary_sentences(build(tmp_path / "run", noise=0.0)))
    assert "In the layer (files): at delete, loop-lvm and direct-lvm gave back nothing and overlay2-ext4 gave back " \
           "64.3 MiB; at trim, loop-lvm and direct-lvm gave back 60 MiB" in text
    assert "for 1 MiB that the application wrote, loop-lvm took 2 MiB (2.00 ×), direct-lvm took 16 MiB" in text


def test_hostile_text_is_text(tmp_path: Path) -> None:
    name = f"{HOSTILE}$x^{{$"
    run = build(tmp_path / "run", storages=(name, "loop-lvm"), workloads=(f"fio-{HOSTILE}", f"{HOSTILE}$\\frac$"),
                targets=("layer",), question=f"{HOSTILE} & “why”?", failed=True)
    page = report.write_report([run]).read_text()
    audited(page)
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
    assert all(file.parent == run.path / "figures" for file in run.path.rglob("*.png"))
    audited(report.overview(run)._repr_html_())
    audited(report.gallery(run)._repr_html_())


def test_a_failed_cell_is_shown_with_command_status_and_output(tmp_path: Path) -> None:
    run = build(tmp_path / "run", failed=True, partial=True, workloads=("files",), targets=("layer",))
    page = report.write_report([run], tmp_path / "deep" / "page.html").read_text()
    assert "1 cell run failed" in page
    assert "125" in page
    assert "no space" in page
    assert "This run is partial" in page


@pytest.mark.parametrize("options", [
    {"measured": False}, {"measured": False, "failed": True, "partial": True}, {"workloads": ("files",)},
    {"workloads": ("fio-short",), "storages": ("direct-lvm",)}, {"targets": ("volume",), "workloads": ("files",)},
    {"storages": ()},
])
def test_any_part_of_a_run_gives_a_page(tmp_path: Path, options: dict[str, Any]) -> None:
    audited(report.write_report([build(tmp_path / "run", **options)]).read_text())


def test_several_runs_have_a_section_each(tmp_path: Path) -> None:
    few: dict[str, Any] = {"workloads": ("files",), "targets": ("layer",)}
    runs = [build(tmp_path / "one", question="First?", **few),
            build(tmp_path / "two", question="Second?", emulated=False, **few)]
    page = report.write_report(runs, tmp_path / "both.html").read_text()
    assert audited(page).tags.count("section") == 2
    assert page.count("This machine was EMULATED") == 1
    assert (tmp_path / "two" / "figures").is_dir()


def test_a_lying_clock_is_said_loudly(tmp_path: Path) -> None:
    run = build(tmp_path / "run", drift=2.2, workloads=("files",), targets=("layer",))
    assert any("DRIFTED by up to +220.0%" in text for text in report.summary_sentences(run))
    assert "The guest's clock drifted" in report.write_report([run]).read_text()


def test_no_run_is_an_input_error() -> None:
    with pytest.raises(InputError, match="no run"):
        report.write_report([])


def test_a_page_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        report.write_report([build(tmp_path / "run", measured=False)], tmp_path / "file" / "page.html")


def test_the_exercises_grade(tmp_path: Path) -> None:
    run = build(tmp_path / "run", noise=0.0)
    assert run_checks.delete_gives_back(run, 0).startswith("Right")
    assert run_checks.delete_gives_back(run, 64).startswith("Not yet")
    assert run_checks.delete_gives_back(run, False).startswith("Not yet: False is not a number")
    assert run_checks.update_amplification(run, 16).startswith("Right")
    assert run_checks.update_amplification(run, None) == "No answer yet."
    assert "no phase" in run_checks.update_amplification(run, 1, storage="none")


BOTH: tuple[Arm, ...] = (BASELINE, CANDIDATE)
FEW: dict[str, Any] = {"storages": ("direct-lvm", "overlay2-ext4"), "targets": ("layer",)}


def cells_of(page: str, caption: str) -> list[list[str]]:
    """The rows of the first table whose caption begins so, tags taken off."""
    table = next(part for part in page.split("<table>") if re.match(rf"\s*<caption>{re.escape(caption)}", part))
    body = table[table.index("<tbody>"): table.index("</tbody>")]
    return [[re.sub(r"<[^>]+>", " ", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)]
            for row in body.split("<tr")[1:]]


def test_a_candidate_that_is_faster_is_told_from_its_baseline_by_ratios(tmp_path: Path) -> None:
    run = build(tmp_path / "run", repetitions=5, arms=BOTH, faster=2.0, **FEW)
    text = "\n".join(report.summary_sentences(run))
    assert "the candidate's bandwidth was, against the baseline's, 1.9" in text
    assert "the candidate's time was, against the baseline's, 0.9" in text or \
        "the candidate's time was, against the baseline's, 1.0" in text
    page = report.write_report([run]).read_text()
    audited(page)
    rows = cells_of(page, "Candidate ÷ baseline, bandwidth and duration")
    seq = next(row for row in rows if row[0].startswith("seq-write, write"))
    assert all(1.85 < float(cell.split()[0]) < 2.15 and " to " in cell for cell in seq[2:]), seq
    assert "interleaved on the same machine" in page
    assert "The baseline&#39;s scenario file" in page


def test_no_median_mixes_the_arms(tmp_path: Path) -> None:
    """The candidate is a hundred times the baseline: a mixed median would lie between."""
    run = build(tmp_path / "run", repetitions=3, arms=BOTH, faster=100.0, noise=0.0, workloads=("fio-short",), **FEW)
    table = report.stats.summarise(run.measurements)
    rows = table[(table["phase"] == "seq-write") & (table["metric"] == "write_bandwidth")].set_index("label")["median"]
    assert sorted(rows.index) == ["direct-lvm (baseline)", "direct-lvm (candidate)", "overlay2-ext4 (baseline)",
                                  "overlay2-ext4 (candidate)"]
    for storage in FEW["storages"]:
        assert rows[f"{storage} (baseline)"] == pytest.approx(SPEED[storage] * MIB, rel=0.11)
        assert rows[f"{storage} (candidate)"] == pytest.approx(100 * SPEED[storage] * MIB, rel=0.11)
    assert (table["n"] == 3).all(), "a mixed group would have the repetitions of both"
    crossed = report.stats.ratios(run.measurements)
    assert not crossed.empty
    assert all(a.split(" (")[1] == b.split(" (")[1]
               for a, b in zip(crossed["numerator"], crossed["denominator"], strict=True))


def test_two_arms_name_no_storage_the_winner(tmp_path: Path) -> None:
    run = build(tmp_path / "run", repetitions=5, arms=BOTH, faster=2.0, **FEW)
    assert "had the highest bandwidth" not in " ".join(report.summary_sentences(run))


def test_a_scenario_against_itself_is_told_from_itself_only_by_chance(tmp_path: Path) -> None:
    run = build(tmp_path / "run", repetitions=5, arms=BOTH, **FEW)
    sentence = next(text for text in report.summary_sentences(run) if "tell candidate and baseline apart" in text)
    told = re.match(r"Of (\d+) comparisons of bandwidth or duration, (\d+) tell", sentence)
    assert told is not None
    assert int(told[2]) < 0.25 * int(told[1])
    assert "by chance about" in sentence


def test_the_baselines_options_stand_beside_the_candidates(tmp_path: Path) -> None:
    page = report.write_report([build(tmp_path / "run", arms=BOTH, **FEW)]).read_text()
    rows = {row[0]: row[2] for row in cells_of(page, "Storages and their options")}
    assert "64KiB" in rows["direct-lvm (baseline)"].replace(" ", "")
    assert "512KiB" in rows["direct-lvm (candidate)"].replace(" ", "")


def test_a_repeated_phase_has_a_coefficient_of_variation_and_a_single_one_none(tmp_path: Path) -> None:
    once = report.write_report([build(tmp_path / "once", **FEW)]).read_text()
    assert "<caption>Coefficient of variation" not in once
    assert not any("coefficients of variation" in text for text in report.summary_sentences(
        open_run(tmp_path / "once")))
    run = build(tmp_path / "run", repetitions=4, noise=0.2, **FEW)
    rows = cells_of(report.write_report([run]).read_text(), "Coefficient of variation over repetitions: files")
    own = run.measurements
    values = own[(own["storage"] == "direct-lvm") & (own["phase"] == "write") & (own["metric"] == "duration")]["value"]
    shown = next(row for row in rows if row[0] == "write" and row[2] == "duration")
    assert float(shown[3]) == pytest.approx(100 * values.std(ddof=1) / values.mean(), rel=0.01)
    assert any("Over the repetitions varied" in text for text in report.summary_sentences(run))


def test_the_interval_is_drawn_against_n_from_three_repetitions_on(tmp_path: Path) -> None:
    for repetitions, drawn in ((2, False), (3, True)):
        run = build(tmp_path / f"run{repetitions}", repetitions=repetitions, workloads=("fio-short",), **FEW)
        report.write_report([run])
        assert (run.path / "figures" / "interval-against-n.png").exists() is drawn


def test_the_ratio_that_a_run_was_repeated_for_leads_the_figure_and_is_told(tmp_path: Path) -> None:
    told = RepeatRecord(ratio="candidate/baseline write_bandwidth seq-write layer direct-lvm", wanted=0.1,
                        max_repetitions=10, n=4, estimate=2.0, low=1.9, high=2.1, half_width=0.05, reached=True,
                        reason="the interval is narrow enough")
    run = build(tmp_path / "run", repetitions=4, arms=BOTH, faster=2.0, repeat_until=told, **FEW)
    running = comparisons.running_ratios(report.stats.prepare(run.measurements), told)
    assert (running[0].title, running[0].wanted) == (told.ratio, 0.1)
    assert [found.n for found in running[0].estimates] == [1, 2, 3, 4]
    assert running[0].estimates[-1].centre == pytest.approx(2.0, rel=0.1)
    widths = [one.estimates[-1].high / one.estimates[-1].centre for one in running[1:] if one.estimates[-1].high]
    assert widths == sorted(widths, reverse=True)
    assert any("±5 % where ±10 % is wanted" in text for text in report.summary_sentences(run))


def test_a_two_armed_run_with_one_arm_measured_so_far_gives_a_page(tmp_path: Path) -> None:
    run = build(tmp_path / "run", arms=BOTH, measured=False, partial=True, failed=True, **FEW)
    page = report.write_report([run]).read_text()
    audited(page)
    assert "direct-lvm.layer.fio-short (candidate), repetition 1" in page
