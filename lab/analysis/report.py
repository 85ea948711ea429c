"""One self-contained HTML page for runs: the answer first, then the evidence, then where it came from.

``write_report`` writes it.  The parts that a notebook shows are here too:
``overview``, ``summary_sentences``, ``gallery``.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.analysis import plots, stats
from lab.errors import InputError
from lab.records import Manifest
from lab.store import Run, write_atomically
from lab.units import format_bytes

if TYPE_CHECKING:
    import pandas as pd
    from jinja2 import Environment
    from matplotlib.figure import Figure

MIB = 1024**2
DRIFT_LIMIT = 0.01
"""A guest's clock that drifts more than this makes its times useless."""

GIVING_BACK = ("delete", "trim", "remove", "remove_image")
BANDWIDTHS = ("write_bandwidth", "read_bandwidth")
COMPARED = ("write_bandwidth", "read_bandwidth", "write_latency_p99", "read_latency_p99", "sync_latency_p99",
            "duration")

_GROUPS: tuple[tuple[str, str, float, Callable[[str, str], bool]], ...] = (
    ("Throughput", "MiB/s", 1 / MIB, lambda metric, unit: unit == "B/s"),
    ("Operations", "1/s", 1.0, lambda metric, unit: unit == "1/s"),
    ("Latency", "ms", 1000.0, lambda metric, unit: unit == "s" and "latency" in metric),
    ("Time", "s", 1.0, lambda metric, unit: unit == "s"),
    ("Space and bytes", "MiB", 1 / MIB, lambda metric, unit: unit == "B"),
)
_KEY = re.compile(r"(write|read|sync)_latency_p99|duration|storage_growth|volume_growth|application_bytes"
                  r"|allocation_amplification|write_amplification|daemon_start|image_load")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Html:
    """A piece of a page; a notebook shows it as such."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


@dataclass(frozen=True)
class Drawing:
    """A figure with its words.  ``name`` is a safe file name without its suffix."""

    name: str
    workload: str
    alt: str
    caption: str
    figure: Figure

    def png(self) -> bytes:
        return plots.to_png(self.figure)

    def svg_uri(self) -> str:
        return "data:image/svg+xml;base64," + base64.b64encode(plots.to_svg(self.figure)).decode()

    def _repr_html_(self) -> str:
        return _environment().from_string(
            '<figure><img alt="{{ d.alt }}" src="{{ d.svg_uri() }}"><figcaption>{{ d.caption }}</figcaption></figure>'
        ).render(d=self)


@dataclass(frozen=True)
class Finding:
    """One part of the summary: a heading, and sentences that each stand alone."""

    topic: str
    sentences: list[str]


@dataclass(frozen=True)
class _Table:
    """Cells are (text, small text); the first ``keys`` columns are words, the others numbers."""

    caption: str
    head: list[str]
    rows: list[list[tuple[str, str]]]
    keys: int = 1
    tint: list[str] = field(default_factory=list)


def write_report(runs: list[Run], out: Path | None = None) -> Path:
    """Writes one page for the runs, a section each, and each run's figures as PNG files in ``<run>/figures/``.

    ``out`` is ``report.html`` in the first run's folder by default.  Raises
    InputError where there is no run, or where the page cannot be written.
    """
    if not runs:
        raise InputError("no run to report on", remedy="name a folder that `lab run` printed")
    target = out if out is not None else runs[0].path / "report.html"
    style = plots.styles(_all_labels(runs))
    sections = []
    for index, run in enumerate(runs, 1):
        drawings = figures(run, style)
        _write_figures(run, drawings)
        sections.append(_section(run, drawings, f"run{index}"))
    page = _environment().from_string(files("lab.analysis").joinpath("report.html.j2").read_text(encoding="utf-8"))
    title = runs[0].manifest.scenario.question if len(runs) == 1 else f"{len(runs)} runs"
    html = page.render(title=_clean(title), sections=sections)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, html.encode("utf-8", "replace"))
    except OSError as error:
        raise InputError(f"the report cannot be written: {error.strerror}", where=str(target)) from None
    return target


def summary_sentences(run: Run) -> list[str]:
    """The run's answers in plain sentences, most important first; no sentence needs another."""
    return [sentence for finding in findings(run) for sentence in finding.sentences]


def findings(run: Run) -> list[Finding]:
    """The summary by topic: the run itself, space, first write, layer against volume, storages against each other."""
    frame = stats.prepare(run.measurements)
    found = [Finding("The run", _completeness(run))]
    if frame.empty:
        found[0].sentences.append("Nothing was measured, so there is nothing to compare.")
        return found
    found += [Finding("Space", _space_sentences(frame)),
              Finding("First write against rewrite", _rewrite_sentences(frame)),
              Finding("Layer against volume", _layer_sentences(frame)),
              Finding("Storage against storage", _winner_sentences(frame))]
    return [finding for finding in found if finding.sentences]


def machine_sentence(run: Run) -> str:
    """What the machine was, and what that makes of its times."""
    m = run.manifest.machine
    what = (f"{m.cpus} processors ({m.cpu_model}), {format_bytes(m.memory_bytes)} of memory, "
            f"pool disk {format_bytes(m.pool_disk_bytes)} and spare disk {format_bytes(m.spare_disk_bytes)} "
            f"({m.disks}; cache {m.cache}), box {m.box}, on a host with {m.host_cpus} processors "
            f"(kernel {m.host_kernel}).")
    if m.emulated:
        return (f"The machine was EMULATED ({m.accelerator}): its absolute times mean little; read ratios, and space. "
                f"It had {what}")
    return f"The machine ran on {m.accelerator}. It had {what}"


def figures(run: Run, style: dict[str, plots.Style] | None = None) -> list[Drawing]:
    """Every figure of the run for which there are data, in reading order."""
    m, s = run.measurements, run.samples
    style = style or plots.styles(_all_labels([run]))
    drawings: list[Drawing] = []
    for workload in _workloads(run):
        name = _clean(workload)

        def add(kind: str, figure: Figure | None, what: str, caption: str, name: str = name) -> None:
            if figure is not None:
                taken = {drawing.name for drawing in drawings}
                slug = base = re.sub(r"[^a-z0-9]+", "-", f"{kind} {name}".lower()).strip("-")[:80]
                number = 2
                while slug in taken:
                    slug, number = f"{base}-{number}", number + 1
                drawings.append(Drawing(slug, name, f"{what}: {name}", caption, figure))

        add("space-steps", plots.space_steps(m, workload, style), "Space that each phase added or gave back",
            "Right of zero: space taken. Left: given back. Bars are medians, points single repetitions; a black tick "
            "is what the application wrote in that phase. Of fio jobs, those that moved nothing are left out.")
        add("throughput", plots.throughput(m, workload, style), "Throughput by storage",
            "Bars are medians, each point is one run. The scale is a row's own, and shared by layer and volume.")
        add("first-rewrite", plots.first_against_rewrite(m, workload, style), "First write against rewrite",
            "Hollow: the first pass over a file, which has to allocate. Filled: later passes over the same file. "
            "Each line is one run; its length on the log axis is the cost of the first write.")
        add("latency", plots.latency(m, workload, style), "Latency percentiles",
            "Lines join medians, each point is one run; log axis.")
        for target in sorted(set(s["target"].dropna().astype(str))) if len(s) else []:
            add(f"space-over-time-{target}", plots.space_over_time(s, workload, target, style), "Space over time",
                "A panel a storage, one scale. Bands are the phases of the first repetition, thin lines the other "
                "repetitions. A dotted line is what loop-lvm's sparse file occupies on its disk.")
    return drawings


def overview(run: Run) -> Html:
    """Question, machine and summary, for a notebook."""
    return Html(_environment().from_string(
        "<h3>{{ question }}</h3><p>{{ machine }}</p>{% for f in findings %}<p><b>{{ f.topic }}</b></p><ul>"
        "{% for s in f.sentences %}<li>{{ s }}</li>{% endfor %}</ul>{% endfor %}"
    ).render(question=_clean(run.manifest.scenario.question), machine=_clean(machine_sentence(run)),
             findings=findings(run)))


def gallery(run: Run) -> Html:
    """Every figure of the run with its caption, for a notebook."""
    return Html("\n".join(drawing._repr_html_() for drawing in figures(run)))


# --- the summary -----------------------------------------------------------------------------------------------------

def _completeness(run: Run) -> list[str]:
    results = run.manifest.results
    failed = [r for r in results if r.status == "failed"]
    done = len(results) - len(failed)
    expected = len(run.manifest.order)
    text = f"{done} of {max(expected, len(results))} cell runs were done"
    text += f", {len(failed)} failed" if failed else ", none failed"
    text += f"; {_count(run.manifest.repetitions, 'repetition')} asked for."
    if run.manifest.repetitions < stats.MIN_N:
        text += " With fewer than 3, no interval is given and no winner named: read the numbers as one observation."
    sentences = [text]
    if run.manifest.status == "partial":
        sentences.append("The run is PARTIAL: it was not finished, and what is missing may change every answer below.")
    if (drift := _worst_drift(run.manifest)) is not None and abs(drift) > DRIFT_LIMIT:
        sentences.append(f"The guest's clock DRIFTED by up to {drift:+.1%} against the host's: do not trust its times.")
    return sentences


def _space_sentences(frame: pd.DataFrame) -> list[str]:
    """For each workload and target: what each way of giving space back gave, and what the costliest write took."""
    summary = stats.summarise(frame)
    written = summary[(summary["metric"] == "application_bytes") & (summary["median"] > 0)]
    returns, costs = [], []
    for (target, workload), part in _by_target(summary, "target", "workload"):
        growth = part[part["metric"] == ("volume_growth" if target == "volume" else "storage_growth")]
        told = []
        for phase in dict.fromkeys(growth["phase"]):
            if str(phase).split("#")[0] in GIVING_BACK:
                rows = _records(growth[growth["phase"] == phase])
                told.append(f"at {phase}, " + _grouped([(str(row["label"]), _gave(row)) for row in rows]))
        if told:
            returns.append(f"{_where(target, workload)}: {'; '.join(told)} ({_ns(growth['n'])}).")
        asked = written[(written["workload"] == workload) & (written["target"] == target)]
        if (cost := _dearest(growth, asked)) is not None:
            costs.append(f"{_where(target, workload)}: {cost}.")
    return returns + costs


def _dearest(growth: pd.DataFrame, asked: pd.DataFrame) -> str | None:
    """The phase in which some storage took most space for each byte that was written, in words."""
    both = growth.merge(asked[["label", "phase", "median"]], on=["label", "phase"], suffixes=("", "_written"))
    if both.empty:
        return None
    both["times"] = both["median"] / both["median_written"]
    phase = max(_records(both), key=lambda row: float(row["times"]))["phase"]
    rows = both[both["phase"] == phase]
    said = _grouped([(str(row["label"]), f"took {_mib(float(row['median']))} ({_number(float(row['times']))} ×)")
                     for row in _records(rows)])
    return (f"the costliest writes were those of {phase}: for {_mib(float(rows['median_written'].median()))} that the "
            f"application wrote, {said} ({_ns(rows['n'])})")


def _rewrite_sentences(frame: pd.DataFrame) -> list[str]:
    table = stats.rewrite_against_first(frame)
    return [f"{_where(target, workload)}, a rewrite ran, against the first write's bandwidth, at {_spans(rows)}."
            for (target, workload), rows in _by_target(table[table["ratio"].notna()], "target", "workload")]


def _layer_sentences(frame: pd.DataFrame) -> list[str]:
    table = stats.layer_against_volume(frame, BANDWIDTHS)
    table = table[table["ratio"].notna() & ~table["phase"].astype(str).str.contains("#")]
    return [f"{workload}: a first pass in the layer ran, against the same job in the volume, at {_spans(rows)}."
            for workload, rows in table.groupby("workload", sort=False)]


def _winner_sentences(frame: pd.DataFrame) -> list[str]:
    verdicts = _verdicts(frame)
    if not verdicts:
        return []
    named = [v for v in verdicts if v.winner]
    wins = _unique(v.winner for v in named if v.winner)
    said = [f"{label} was fastest in {sum(v.winner == label for v in named)}" for label in wins]
    reasons = "; or ".join(_unique(v.reason.split(": ", 1)[-1] for v in verdicts if not v.winner))
    if not named:
        text = f"No winner named in any of {_count(len(verdicts), 'bandwidth comparison')}: {reasons}"
    else:
        text = f"Of {_count(len(verdicts), 'bandwidth comparison')}, {_join(said)}"
        text += f"; in {len(verdicts) - len(named)} no winner named: {reasons}" if len(named) < len(verdicts) else ""
    sentences = [text + "."]
    reference = _reference(frame)
    table = stats.ratios(frame, BANDWIDTHS, reference=reference)
    table = table[table["ratio"].notna() & ~table["phase"].astype(str).str.contains("#")]
    sentences += [f"{_where(target, workload)}, first passes ran, against {reference}'s bandwidth, at {_spans(rows)}."
                  for (target, workload), rows in _by_target(table, "target", "workload")]
    groups: dict[tuple[str, str, str], list[_Compared]] = {}
    for v in named:
        groups.setdefault((v.target, v.workload, v.winner or ""), []).append(v)
    for (target, workload, winner), won in groups.items():
        against: dict[str, list[stats.Estimate]] = {}
        for v in won:
            for other, found in v.beaten:
                against.setdefault(other, []).append(found)
        spans = [f"{_span(found)} that of {other}" for other, found in against.items()]
        jobs = _join([v.phase for v in won])
        sentences.append(f"{_where(target, workload)}, {winner} had the highest bandwidth in {jobs}: {_join(spans)}.")
    return sentences


def _reference(frame: pd.DataFrame) -> str | None:
    """The storage that the others are set against: overlay2 where there is one, else the last in the usual order."""
    labels = sorted(frame.loc[frame["metric"].isin(BANDWIDTHS), "label"].unique(), key=plots._rank)
    return "overlay2-ext4" if "overlay2-ext4" in labels else str(labels[-1]) if labels else None


@dataclass(frozen=True)
class _Compared:
    """One comparison of bandwidths between storages.  ``beaten``: each other storage, and winner ÷ other."""

    workload: str
    target: str
    phase: str
    metric: str
    winner: str | None
    reason: str
    beaten: list[tuple[str, stats.Estimate]]


def _verdicts(frame: pd.DataFrame) -> list[_Compared]:
    table = stats.ratios(frame[frame["value"] > 0], BANDWIDTHS)
    out = []
    for (workload, target, phase, metric), rows in table.groupby(["workload", "target", "phase", "metric"], sort=False):
        labels = _unique([*rows["numerator"], *rows["denominator"]])
        found = stats.leader(rows, labels, str(metric))
        beaten = []
        for row in _records(rows):
            if found.winner == row["numerator"]:
                beaten.append((str(row["denominator"]), stats.estimate(row)))
            elif found.winner == row["denominator"]:
                beaten.append((str(row["numerator"]), _inverse(stats.estimate(row))))
        out.append(_Compared(str(workload), str(target), str(phase), str(metric), found.winner, found.reason, beaten))
    return sorted(out, key=lambda v: (v.workload, v.target))


# --- one section -----------------------------------------------------------------------------------------------------

def _section(run: Run, drawings: Sequence[Drawing], anchor: str) -> dict[str, Any]:
    m = run.manifest
    frame = stats.prepare(run.measurements)
    summary = stats.summarise(frame)
    workloads = []
    for workload in _workloads(run):
        own = summary[summary["workload"] == workload]
        workloads.append({"name": _clean(workload),
                          "drawings": [d for d in drawings if d.workload == _clean(workload)],
                          "tables": _median_tables(own, key=True), "more": _median_tables(own, key=False)})
    setup = summary[summary["workload"] == "setup"]
    failed = [{"cell": _clean(r.cell), "repetition": r.repetition, "seconds": _number(r.seconds),
               "kind": _clean(r.error.kind) if r.error else "unknown",
               "argv": _clean(_command(r.error.argv)) if r.error else "",
               "status": "none: no command ended, or a time limit was hit"
               if r.error is None or r.error.returncode is None else str(r.error.returncode),
               "output": _clean(r.error.output) if r.error else ""} for r in m.results if r.status == "failed"]
    drift = _worst_drift(m)
    scenario_file = run.path / "scenario.yaml"
    return {
        "anchor": anchor, "manifest": m, "question": _clean(m.scenario.question),
        "machine": _clean(machine_sentence(run)),
        "findings": findings(run), "asked": _asked(run), "workloads": workloads,
        "setup": _median_tables(setup, key=True), "verdicts": _verdict_table(frame, summary),
        "glance": [_matrix(stats.rewrite_against_first(frame), "Rewrite ÷ first write, bandwidth"),
                   _matrix(stats.layer_against_volume(frame, BANDWIDTHS), "Layer ÷ volume, bandwidth"),
                   _matrix(stats.ratios(frame, BANDWIDTHS, reference=_reference(frame)),
                           f"Storage ÷ {_clean(_reference(frame) or '')}, bandwidth")],
        "ratios": [_ratio_table(stats.rewrite_against_first(frame, ("write_bandwidth", "write_latency_p99",
                                                                    "sync_latency_p99")), "Rewrite ÷ first write"),
                   _ratio_table(stats.layer_against_volume(frame, COMPARED), "Layer ÷ volume"),
                   _ratio_table(stats.ratios(frame, COMPARED), "Storage ÷ storage")],
        "storages": _storage_table(m), "failed": failed, "drift": None if drift is None else f"{drift:+.3%}",
        "drifted": drift is not None and abs(drift) > DRIFT_LIMIT,
        "clock": _Table("Guest's clock against the host's", ["checked at (UTC)", "guest, s", "host, s", "drift, %"],
                        [[(c.at_utc, ""), (f"{c.guest_seconds:.3f}", ""), (f"{c.host_seconds:.3f}", ""),
                          (f"{100 * c.drift:+.3f}", "")] for c in m.clock]),
        "sampler": _sampler(m), "seconds": _Table("Where the time went", ["part", "time, s"],
                                                  [[(_clean(k), ""), (_number(v), "")] for k, v in m.seconds.items()]),
        "provenance": _provenance(m), "level": f"{stats.LEVEL:.0%}", "median_method": stats.MEDIAN_METHOD,
        "ratio_method": stats.RATIO_METHOD,
        "scenario_text": _clean(scenario_file.read_text(errors="replace")) if scenario_file.is_file() else "",
    }


def _asked(run: Run) -> list[tuple[str, str]]:
    m = run.manifest
    cells = [cell for cell in m.cells.values() if cell.workload != "setup"]
    caches = [name for name, dropped in m.drop_caches.items() if dropped]
    rows = [("Scenario", f"{m.scenario.name} ({m.scenario.file})"),
            ("Storages", ", ".join(_unique(_cell_label(i, c.storage) for i, c in m.cells.items()))),
            ("Written to", ", ".join(_unique(c.target for c in cells))),
            ("Workloads", ", ".join(_unique(c.workload for c in cells))),
            ("Repetitions", f"{m.repetitions}, in a shuffled order from seed {m.seed}"
             if m.repetitions > 1 else f"{m.repetitions} (seed {m.seed})")]
    if m.drop_caches:
        rows.append(("Caches dropped before each job", ", ".join(caches) or "no"))
    rows.append(("When", f"{m.started_utc} to {m.ended_utc}"))
    return [(name, _clean(value) or "none") for name, value in rows]


def _median_tables(summary: pd.DataFrame, *, key: bool) -> list[_Table]:
    tables = []
    labels = sorted(summary["label"].unique(), key=plots._rank)
    summary = summary.sort_values("target", kind="stable")
    metrics, moved = summary["metric"].astype(str), summary["median"].abs() > 0
    jobs = bool(metrics.str.endswith("_bandwidth").any())
    is_key = metrics.str.fullmatch(_KEY.pattern)
    for growth, own in (("volume_growth", summary["target"] == "volume"),
                        ("storage_growth", summary["target"] != "volume")):
        is_key &= (metrics != growth) | (own & (moved | (not jobs)))     # of fio jobs, those that moved something
    chosen = summary[is_key if key else ~is_key]
    seen: set[tuple[str, str]] = set()
    for title, unit, factor, fits in (*_GROUPS, ("Ratios and counts", "", 1.0, lambda metric, unit: True)):
        rows: list[list[tuple[str, str]]] = []
        for (phase, target, metric, own_unit), part in chosen.groupby(["phase", "target", "metric", "unit"],
                                                                      sort=False):
            if not fits(str(metric), str(own_unit)) or (f"{phase} {target}", f"{metric} {own_unit}") in seen:
                continue
            seen.add((f"{phase} {target}", f"{metric} {own_unit}"))
            if str(metric).startswith(("read_", "write_", "sync_")) and not part["median"].any():
                continue        # a job that only writes has no read bandwidth to show
            named = _words(str(metric)) + (f", {own_unit}" if not unit and own_unit not in ("", "ratio", "1") else "")
            row = [(_clean(str(phase)), ""), (_clean(str(target)) or "–", ""), (_clean(named), "")]
            by_label = {str(r["label"]): r for r in _records(part)}
            rows.append(row + [_median_cell(by_label.get(label), factor) for label in labels])
        if rows:
            head = [f"{label}, {unit}" if unit else label for label in labels]
            tables.append(_noted(_Table(title, ["phase", "written to", "quantity", *map(_clean, head)], rows, keys=3)))
    return tables


def _median_cell(row: dict[str, Any] | None, factor: float) -> tuple[str, str]:
    if row is None:
        return "–", "not measured"
    low, high = _optional(row["low"]), _optional(row["high"])
    small = f"{_NOTE}n = {row['n']}"
    if low is not None and high is not None:
        small = (f"{_number(low * factor)} to {_number(high * factor)}"
                 f"{_NOTE}intervals of {float(row['coverage']):.0%}, n = {row['n']}")
    return _number(float(row["median"]) * factor), small


_NOTE = "\x00"
"""Stands in a small text before what may move to the caption, where it is the same all over the table."""


def _noted(table: _Table) -> _Table:
    """What stands in every cell (n, the intervals' coverage) goes to the caption, once."""
    notes = _unique(small.split(_NOTE)[1] for row in table.rows for _, small in row if _NOTE in small)
    common = notes[0] if len(notes) == 1 else None

    def short(small: str) -> str:
        return small.split(_NOTE)[0] if common else ", ".join(part for part in small.split(_NOTE) if part)

    rows = [[(text, short(small)) for text, small in row] for row in table.rows]
    return _Table(f"{table.caption} ({common})" if common else table.caption, table.head, rows, table.keys, table.tint)


def _ratio_table(table: pd.DataFrame, caption: str) -> _Table:
    rows, tint = [], []
    for row in _records(table):
        found = stats.estimate(row)
        if found.n == 0:
            continue
        higher = stats.higher_is_better(str(row["metric"]))
        said = stats.verdict(found, str(row["numerator"]), str(row["denominator"]), higher=higher)
        between = f"{row['numerator']} ÷ {row['denominator']}"
        where = ", ".join(str(row[name]) for name in ("workload", "target", "label")
                          if row[name] and row[name] != row["numerator"])
        rows.append([(_clean(where), ""), (_clean(str(row["phase"])), ""), (_words(str(row["metric"])), ""),
                     (_clean(between), ""), (_number(found.centre), ""),
                     ("–", "") if found.low is None or found.high is None
                     else (f"{_number(found.low)} to {_number(found.high)}", ""), (str(found.n), ""),
                     (_clean(f"{said.winner} better" if said.winner else said.reason), "")])
        tint.append("" if said.winner else "unsettled")
    head = ["where", "phase", "quantity", "ratio of", "ratio, ×", "interval, ×", "n", "verdict"]
    return _Table(caption, head, rows, keys=4, tint=tint)


def _verdict_table(frame: pd.DataFrame, summary: pd.DataFrame) -> _Table:
    rows, tint = [], []
    labels = sorted(summary.loc[summary["metric"].isin(BANDWIDTHS), "label"].unique(), key=plots._rank)
    verdicts = _verdicts(frame)
    several = len({v.workload for v in verdicts}) > 1
    for v in verdicts:
        own = summary[(summary["workload"] == v.workload) & (summary["target"] == v.target)
                      & (summary["phase"] == v.phase) & (summary["metric"] == v.metric)]
        by_label = {str(row["label"]): row for row in _records(own)}
        rows.append([(_clean(f"{v.phase}, {v.metric.split('_')[0]}"), _clean(v.workload) if several else ""),
                     (_clean(v.target), ""),
                     (_clean(v.winner or "none"), _clean("" if v.winner else v.reason.split(": ", 1)[-1])),
                     *(_median_cell(by_label.get(label), 1 / MIB) for label in labels)])
        tint.append("" if v.winner else "unsettled")
    head = ["job", "written to", "fastest", *(f"{_clean(label)}, MiB/s" for label in labels)]
    return _noted(_Table("Bandwidth: medians, and which storage was fastest", head, rows, keys=3, tint=tint))


def _matrix(table: pd.DataFrame, caption: str) -> _Table:
    """Ratios with a row a job and a column a storage."""
    table = table[table["n"] > 0].sort_values(["workload", "target"], kind="stable")
    several = table["workload"].nunique() > 1
    labels = sorted(table["label"].unique(), key=plots._rank)
    rows = []
    for (workload, target, phase, metric), part in table.groupby(["workload", "target", "phase", "metric"], sort=False):
        by_label = {str(row["label"]): stats.estimate(row) for row in _records(part)}
        if all(found.centre != found.centre for found in by_label.values()):
            continue
        row = [(_clean(f"{phase}, {str(metric).split('_')[0]}"), _clean(str(workload)) if several else "")]
        row += [(_clean(str(target)), "")] if target else []
        for label in labels:
            found = by_label.get(label)
            if found is None:
                row.append(("–", "not measured"))
            elif found.low is None or found.high is None:
                row.append((_number(found.centre), f"{_NOTE}n = {found.n}"))
            else:
                row.append((_number(found.centre), f"{_number(found.low)} to {_number(found.high)}"
                            + ("" if found.settled else ", includes 1")
                            + f"{_NOTE}intervals of {stats.LEVEL:.0%}, n = {found.n}"))
        rows.append(row)
    keys = ["job", "written to"] if table["target"].astype(bool).any() else ["job"]
    return _noted(_Table(caption, [*keys, *(f"{_clean(label)}, ×" for label in labels)], rows, keys=len(keys)))


def _storage_table(m: Manifest) -> _Table:
    rows: dict[str, list[tuple[str, str]]] = {}
    for identity, cell in m.cells.items():
        label = _cell_label(identity, cell.storage)
        options = ", ".join(f"{key} = {_option(key, value)}"
                            for key, value in cell.options.items() if value is not None)
        rows.setdefault(label, [(_clean(label), ""), (_clean(cell.storage), ""), (_clean(options) or "–", "")])
    return _Table("Storages and their options", ["name", "storage", "options"], list(rows.values()), keys=3)


def _sampler(m: Manifest) -> str:
    if m.sampler is None:
        return "The sampler's own cost was not measured."
    s = m.sampler
    return (f"The sampler took {1000 * s.cpu_seconds_per_sample:.1f} ms of processor time and "
            f"{1000 * s.elapsed_seconds_per_sample:.1f} ms of elapsed time a sample ({_count(s.samples, 'sample')}); "
            f"at one sample a second that is {s.cpu_seconds_per_sample:.1%} of one processor.")


def _provenance(m: Manifest) -> list[tuple[str, str]]:
    dirty = {True: ", with uncommitted changes", False: "", None: ""}[m.lab.dirty]
    rows = [("run", m.run), ("status", m.status), ("schema version", str(m.schema_version)),
            ("lab", f"{m.lab.version}, commit {m.lab.commit or 'unknown'}{dirty}"),
            ("scenario file", m.scenario.file), ("scenario SHA-256", m.scenario.sha256), ("seed", str(m.seed)),
            ("box", m.machine.box), ("host kernel", m.machine.host_kernel)]
    return [(_clean(k), _clean(v)) for k, v in [*rows, *m.versions.items()]]


# --- words and numbers -----------------------------------------------------------------------------------------------

def _by_target(frame: pd.DataFrame, *keys: str) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    """Groups in a reader's order: layer before volume."""
    return sorted(((tuple(map(str, key)), part) for key, part in frame.groupby(list(keys), sort=False)),
                  key=lambda item: item[0][0])


def _where(target: str, workload: str) -> str:
    return f"In the {target} ({workload})"


def _grouped(said: Sequence[tuple[str, str]]) -> str:
    """``a and b gave back nothing, c gave back 5 MiB``: names that share their words share a clause."""
    names: dict[str, list[str]] = {}
    for name, words in said:
        names.setdefault(words, []).append(name)
    return _join([f"{_join(group)} {words}" for words, group in names.items()])


def _spans(rows: pd.DataFrame) -> str:
    """Each storage's ratios over all jobs."""
    return _join([f"{_span([stats.estimate(row) for row in _records(part)])} on {label}"
                  for label, part in sorted(rows.groupby("label", sort=False), key=lambda x: plots._rank(str(x[0])))])


def _span(found: Sequence[stats.Estimate]) -> str:
    """One ratio with its interval; of several the smallest and the largest, and the reach of all their intervals."""
    if len(found) == 1:
        return _times(found[0])
    centres = [one.centre for one in found]
    text = f"{_number(min(centres))} to {_number(max(centres))} × ({len(found)} jobs, "
    counts = sorted({one.n for one in found})
    text += f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")
    lows, highs = [x.low for x in found if x.low is not None], [x.high for x in found if x.high is not None]
    if len(lows) < len(found):
        return text + ", no interval)"
    text += f", intervals within {_number(min(lows))} to {_number(max(highs))}"
    unsettled = sum(not one.settled for one in found)
    if unsettled == len(found):
        return text + "; not told apart from 1)"
    return text + (f"; {unsettled} not told apart from 1)" if unsettled else ")")


def _times(found: stats.Estimate) -> str:
    if found.low is None or found.high is None:
        return f"{_number(found.centre)} × (n = {found.n}, no interval)"
    text = (f"{_number(found.centre)} × ({stats.LEVEL:.0%} interval {_number(found.low)} to {_number(found.high)}, "
            f"n = {found.n}")
    return text + (")" if found.settled else "; not told apart from 1)")


def _inverse(found: stats.Estimate) -> stats.Estimate:
    return stats.Estimate(1 / found.centre, 1 / found.high if found.high else None,
                          1 / found.low if found.low else None, found.n, found.coverage)


def _gave(row: dict[str, Any]) -> str:
    growth = float(row["median"])
    if abs(growth) < 0.05 * MIB:
        return "gave back nothing"
    text = f"gave back {_mib(-growth)}" if growth < 0 else f"took another {_mib(growth)}"
    low, high = _optional(row["low"]), _optional(row["high"])
    if low is None or high is None or high - low < 0.05 * MIB:
        return text
    ends = sorted((-low, -high)) if growth < 0 else [low, high]
    return f"{text} ({_number(ends[0] / MIB)} to {_number(ends[1] / MIB)})"


def _mib(size_bytes: float) -> str:
    return f"{_number(size_bytes / MIB)} MiB"


def _number(value: float) -> str:
    """Three digits that count, no exponent for what people read.

    >>> _number(0.0), _number(3.14159), _number(1), _number(1234.5), _number(0.00123)
    ('0', '3.14', '1.00', '1,234', '0.00123')
    """
    if value != value:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 1e12 or abs(value) < 1e-6:
        return f"{value:.2e}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def _words(metric: str) -> str:
    return re.sub(r"p999$", "p99.9", _clean(metric)).replace("_", " ")


def _join(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def _ns(values: pd.Series[Any]) -> str:
    low, high = int(values.min()), int(values.max())
    return ("medians, " if high > 1 else "") + (f"n = {low}" if low == high else f"n = {low} to {high}")


def _clean(text: str) -> str:
    """Without terminal colours and control characters; the template does the escaping."""
    return _CONTROL.sub("", text)


def _command(argv: Sequence[str]) -> str:
    import shlex

    return shlex.join(argv)


def _optional(value: Any) -> float | None:
    return None if value is None or value != value else float(value)


def _option(key: str, value: str | int | float | bool) -> str:
    if key.endswith("_bytes") and isinstance(value, int | float) and not isinstance(value, bool):
        return format_bytes(value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _cell_label(identity: str, storage: str) -> str:
    return stats._label(identity, storage)


def _all_labels(runs: Sequence[Run]) -> list[str]:
    return _unique(label for run in runs for frame in (run.measurements, run.samples) if len(frame)
                   for label in stats.prepare(frame)["label"].unique())


def _workloads(run: Run) -> list[str]:
    """The workloads that have rows, in the scenario's order; the set-up is told apart."""
    known = [cell.workload for cell in run.manifest.cells.values()]
    seen = [str(name) for frame in (run.measurements, run.samples) if len(frame) for name in frame["workload"].unique()]
    return [name for name in _unique([*known, *seen]) if name in seen and name != "setup"]


def _worst_drift(m: Manifest) -> float | None:
    return max((check.drift for check in m.clock), key=abs, default=None)


def _write_figures(run: Run, drawings: Sequence[Drawing]) -> None:
    folder = run.path / "figures"
    try:
        if drawings:
            folder.mkdir(exist_ok=True)
        for drawing in drawings:
            write_atomically(folder / f"{drawing.name}.png", drawing.png())
    except OSError as error:
        raise InputError(f"the figures cannot be written: {error.strerror}", where=str(folder)) from None


def _environment() -> Environment:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["tied"] = _tied
    return environment


def _tied(text: str) -> str:
    """With hard spaces, so that no line ends between a number and what belongs to it."""
    return re.sub(r"n = (?=\d)", "n\u00a0=\u00a0", re.sub(r"(?<=\d) (?=MiB|×)", "\u00a0", text))
