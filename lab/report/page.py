"""One self-contained HTML page for runs: the answer first, then the evidence, then where it came from.

``write_report`` writes it; ``overview`` and ``gallery`` are its parts for a notebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.analysis import stats
from lab.analysis.comparison import pair_runs
from lab.analysis.comparisons import arm_ratios, usual_reference
from lab.errors import InputError
from lab.metrics import BANDWIDTHS, SPACE, SPEEDS
from lab.report import plots, simulated
from lab.report.comparison_section import overlaid
from lab.report.drawings import Drawing, all_labels, figures, workloads_of
from lab.report.findings import DRIFT_LIMIT, findings, machine_sentence, worst_drift
from lab.report.findings import summary_sentences as summary_sentences
from lab.report.first_screen import first_screen
from lab.report.html_text import Html, environment
from lab.report.tables import Table, matrix, median_tables, ratio_table, storage_table, variation_tables, verdict_table
from lab.runs.files import make_output_folder, write_output
from lab.runs.records import Manifest
from lab.runs.store import Run
from lab.text import clean, command, counted, number, unique

if TYPE_CHECKING:
    import pandas as pd

def write_report(runs: list[Run], out: Path | None = None) -> Path:
    """Writes one page for the runs, a section each, and each run's figures as PNG files in ``<run>/figures/``.

    A measured run and a simulated one of the same scenario file are laid over each other first; those figures go to
    the simulated run's folder.
    ``out`` is ``report.html`` in the first run's folder by default.  Raises
    InputError where there is no run, or where the page cannot be written.
    """
    if not runs:
        raise InputError("no run to report on", remedy="name a folder that `lab run` printed")
    target = out if out is not None else runs[0].path / "report.html"
    style = plots.styles(all_labels(runs))
    sections = []
    for index, run in enumerate(runs, 1):
        drawings = figures(run, style)
        _write_figures(run, drawings)
        sections.append(_section(run, drawings, f"run{index}", style))
    pairs, notes = pair_runs(runs)
    overlays = [overlaid(pair, style) for pair in pairs]
    for one in overlays:
        _write_figures(one.pair.simulated, one.drawings)
    page = environment().from_string(files("lab.report").joinpath("report.html.j2").read_text(encoding="utf-8"))
    title = runs[0].manifest.scenario.question if len(runs) == 1 else f"{len(runs)} runs"
    html = page.render(title=clean(title), sections=sections, overlays=overlays, notes=notes)
    make_output_folder(target.parent, "the report cannot be written")
    write_output(target, html.encode("utf-8", "replace"))
    return target


def overview(run: Run) -> Html:
    """Question, machine and summary, for a notebook."""
    return Html(environment().from_string(
        "<h3>{{ question }}</h3><p>{{ machine }}</p>{% for f in findings %}<p><b>{{ f.topic }}</b></p><ul>"
        "{% for s in f.sentences %}<li>{{ s }}</li>{% endfor %}</ul>{% endfor %}"
    ).render(question=clean(run.manifest.scenario.question), machine=clean(machine_sentence(run)),
             findings=findings(run)))


def gallery(run: Run) -> Html:
    """Every figure of the run with its caption, for a notebook."""
    return Html("\n".join(drawing._repr_html_() for drawing in figures(run)))


def _section(run: Run, drawings: Sequence[Drawing], anchor: str, style: dict[str, plots.Style]) -> dict[str, Any]:
    m = run.manifest
    frame = stats.prepare(run.measurements)
    summary = stats.summarise(frame)
    workloads = []
    for workload in workloads_of(run):
        own = summary[summary["workload"] == workload]
        workloads.append({"name": clean(workload),
                          "drawings": [d for d in drawings if d.workload and d.workload == clean(workload)],
                          "tables": median_tables(own, key=True), "more": median_tables(own, key=False)})
    setup = summary[summary["workload"] == "setup"]
    failed = [{"cell": clean(r.cell if m.baseline is None else f"{r.cell} ({r.arm})"),
               "repetition": r.repetition, "seconds": number(r.seconds),
               "kind": clean(r.error.kind) if r.error else "unknown",
               "argv": clean(command(r.error.argv)) if r.error else "",
               "status": "none: no command ended, or a time limit was hit"
               if r.error is None or r.error.returncode is None else str(r.error.returncode),
               "output": clean(r.error.output) if r.error else ""} for r in m.results if r.status == "failed"]
    drift = worst_drift(m)
    return {
        "anchor": anchor, "manifest": m, "question": clean(m.scenario.question),
        "machine": clean(machine_sentence(run)),
        "first": first_screen(run, frame, style), "findings": findings(run), "asked": _asked(run),
        "workloads": workloads,
        "setup": median_tables(setup, key=True), "running": [d for d in drawings if not d.workload],
        "model": simulated.parameters_told(m) if m.simulated else None, **_compared(m, frame, summary),
        "storages": storage_table(m), "failed": failed, "drift": None if drift is None else f"{drift:+.3%}",
        "drifted": drift is not None and abs(drift) > DRIFT_LIMIT,
        "clock": Table("Guest's clock against the host's", ["checked at (UTC)", "guest, s", "host, s", "drift, %"],
                        [[(c.at_utc, ""), (f"{c.guest_seconds:.3f}", ""), (f"{c.host_seconds:.3f}", ""),
                          (f"{100 * c.drift:+.3f}", "")] for c in m.clock]),
        "sampler": _sampler(m), "seconds": Table("Where the time went", ["part", "time, s"],
                                                  [[(clean(k), ""), (number(v), "")] for k, v in m.seconds.items()]),
        "provenance": _provenance(m), "level": f"{stats.LEVEL:.0%}", "median_method": stats.MEDIAN_METHOD,
        "ratio_method": stats.RATIO_METHOD,
        "scenario_texts": scenario_texts(run.path),
    }


def scenario_texts(folder: Path) -> list[tuple[str, str]]:
    """The scenario files that a run's folder keeps, each with what it is; what is no UTF-8 is shown as such."""
    return [(name, clean(file.read_text("utf-8", "replace"))) for name, file in (
        ("The baseline's scenario file", folder / "baseline.yaml"),
        ("The scenario file", folder / "scenario.yaml")) if file.is_file()]


def _compared(m: Manifest, frame: pd.DataFrame, summary: pd.DataFrame) -> dict[str, Any]:
    """What is fast against what, and how much it varies: of measured runs only, for a model's times are parameters."""
    if m.simulated:
        return {"verdicts": None, "glance": [], "variation": [], "ratios": []}
    return {
        "verdicts": verdict_table(frame, summary), "glance": _glance(frame), "variation": variation_tables(frame),
        "ratios": [ratio_table(arm_ratios(frame, (*SPEEDS, *SPACE)), "Candidate ÷ baseline"),
                   ratio_table(stats.rewrite_against_first(frame, ("write_bandwidth", "write_latency_p99",
                                                                    "sync_latency_p99")), "Rewrite ÷ first write"),
                   ratio_table(stats.layer_against_volume(frame, SPEEDS), "Layer ÷ volume"),
                   ratio_table(stats.ratios(frame, SPEEDS), "Storage ÷ storage")],
    }


def _glance(frame: pd.DataFrame) -> list[Table]:
    """What the answer rests on, a row a job: the arms where there are two, else the storages."""
    tables = [matrix(stats.rewrite_against_first(frame), "Rewrite ÷ first write, bandwidth"),
              matrix(stats.layer_against_volume(frame, BANDWIDTHS), "Layer ÷ volume, bandwidth")]
    if stats.has_arms(frame):
        arms = arm_ratios(frame[frame["workload"] != "setup"], (*BANDWIDTHS, "duration"))
        return [matrix(arms, "Candidate ÷ baseline, bandwidth and duration"), *tables]
    reference = usual_reference(frame)
    return [*tables, matrix(stats.ratios(frame, BANDWIDTHS, reference=reference),
                            f"Storage ÷ {clean(reference or '')}, bandwidth")]


def _asked(run: Run) -> list[tuple[str, str]]:
    m = run.manifest
    cells = [cell for cell in (*(m.baseline.cells.values() if m.baseline is not None else ()), *m.cells.values())
             if cell.workload != "setup"]
    dropping = [m.drop_caches, *([m.baseline.drop_caches] if m.baseline is not None else [])]
    caches = unique(name for told in dropping for name, dropped in told.items() if dropped)
    stood = m.cells | (m.baseline.cells if m.baseline is not None else {})
    rows = [("Scenario", f"{m.scenario.name} ({m.scenario.file})"),
            *([("Against", f"{m.baseline.name} ({m.baseline.file}), interleaved on the same machine"
                + (": the same file, so that every difference is noise"
                   if m.baseline.sha256 == m.scenario.sha256 else ""))] if m.baseline is not None else []),
            ("Storages", ", ".join(unique(stats.storage_label(i, c.storage) for i, c in stood.items()))),
            ("Written to", ", ".join(unique(c.target for c in cells))),
            ("Workloads", ", ".join(unique(c.workload for c in cells))),
            ("Repetitions", f"{m.repetitions}, in a shuffled order from seed {m.seed}"
             if m.repetitions > 1 else f"{m.repetitions} (seed {m.seed})")]
    if m.drop_caches:
        rows.append(("Caches dropped before each job", ", ".join(caches) or "no"))
    rows.append(("When", f"{m.started_utc} to {m.ended_utc}"))
    return [(name, clean(value) or "none") for name, value in rows]


def _sampler(m: Manifest) -> str:
    if m.sampler is None:
        return "The sampler's own cost was not measured."
    s = m.sampler
    return (f"The sampler took {1000 * s.cpu_seconds_per_sample:.1f} ms of processor time and "
            f"{1000 * s.elapsed_seconds_per_sample:.1f} ms of elapsed time a sample ({counted(s.samples, 'sample')}); "
            f"at one sample a second that is {s.cpu_seconds_per_sample:.1%} of one processor.")


def _provenance(m: Manifest) -> list[tuple[str, str]]:
    dirty = {True: ", with uncommitted changes", False: "", None: ""}[m.lab.dirty]
    rows = [("run", m.run), ("status", m.status), ("schema version", str(m.schema_version)),
            ("lab", f"{m.lab.version}, commit {m.lab.commit or 'unknown'}{dirty}"),
            ("scenario file", m.scenario.file), ("scenario SHA-256", m.scenario.sha256), ("seed", str(m.seed)),
            *([("baseline's file", m.baseline.file), ("baseline's SHA-256", m.baseline.sha256),
               ("baseline's seed", str(m.baseline.seed))] if m.baseline is not None else []),
            *(simulated.provenance(m) if m.simulated else
              [("box", m.machine.box), ("host kernel", m.machine.host_kernel), *m.versions.items()])]
    return [(clean(k), clean(v)) for k, v in rows]


def _write_figures(run: Run, drawings: Sequence[Drawing]) -> None:
    folder = run.path / "figures"
    if drawings:
        make_output_folder(folder)
    for drawing in drawings:
        write_output(folder / f"{drawing.name}.png", drawing.png())
