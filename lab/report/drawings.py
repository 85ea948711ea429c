"""Every figure of a run with its words, in reading order."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.analysis import stats
from lab.analysis.comparisons import RUNNING_SHOWN, running_ratios
from lab.metrics import BANDWIDTHS
from lab.report import plots, space_figures, speed_figures
from lab.report.html_text import environment
from lab.report.interval_figure import interval_against_n
from lab.runs.store import Run
from lab.text import clean, unique

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure with its words.  ``name`` is a safe file name without its suffix; ``workload`` is empty for all."""

    name: str
    workload: str
    alt: str
    caption: str
    figure: Figure

    def png(self) -> bytes:
        """The figure as a PNG file's bytes."""
        return plots.to_png(self.figure)

    def svg_uri(self) -> str:
        """The figure as a ``data:`` address of an SVG."""
        return "data:image/svg+xml;base64," + base64.b64encode(plots.to_svg(self.figure)).decode()

    def _repr_html_(self) -> str:
        return environment().from_string(
            '<figure><img alt="{{ d.alt }}" src="{{ d.svg_uri() }}"><figcaption>{{ d.caption }}</figcaption></figure>'
        ).render(d=self)


def figures(run: Run, style: dict[str, plots.Style] | None = None) -> list[Drawing]:
    """Every figure of the run for which there are data, in reading order."""
    m, s = run.measurements, run.samples
    style = style or plots.styles(all_labels([run]))
    drawings: list[Drawing] = []
    for workload in workloads_of(run):
        name = clean(workload)

        def add(kind: str, figure: Figure | None, what: str, caption: str, name: str = name) -> None:
            if figure is not None:
                if run.manifest.simulated:
                    plots.entitle(figure, f"{figure.get_suptitle()} (simulated)")
                    what, caption = f"{what}, simulated", f"Simulated: nothing was measured. {caption}"
                drawings.append(Drawing(slug(f"{kind} {name}", {drawing.name for drawing in drawings}), name,
                                        f"{what}: {name}", caption, figure))

        add("space-steps", space_figures.space_steps(m, workload, style), "Space that each phase added or gave back",
            "Right of zero: space taken. Left: given back. Bars are medians, points single repetitions; a black tick "
            "is what the application wrote in that phase. Of fio jobs, those that moved nothing are left out.")
        add("throughput", speed_figures.throughput(m, workload, style), "Throughput by storage",
            "Bars are medians, each point is one run. The scale is a row's own, and shared by layer and volume.")
        add("first-rewrite", speed_figures.first_against_rewrite(m, workload, style), "First write against rewrite",
            "Hollow: the first pass over a file, which has to allocate. Filled: later passes over the same file. "
            "Each line is one run; its length on the log axis is the cost of the first write.")
        add("latency", speed_figures.latency(m, workload, style), "Latency percentiles",
            "Lines join medians, each point is one run; log axis.")
        for target in sorted(set(s["target"].dropna().astype(str))) if len(s) else []:
            add(f"space-over-time-{target}", space_figures.space_over_time(s, workload, target, style),
                "Space over time",
                "A panel a storage, one scale. Bands are the phases of the first repetition, thin lines the other "
                "repetitions. A dotted line is what loop-lvm's sparse file occupies on its disk.")
    measured = len(m) and not run.manifest.simulated        # a simulation has no noise that repetitions could settle
    running = running_ratios(stats.prepare(m), run.manifest.repeat_until) if measured else []
    if (figure := interval_against_n(running[:RUNNING_SHOWN])) is not None:
        which = (f"These are {RUNNING_SHOWN} of {len(running)} ratios, those with the widest intervals. "
                 if len(running) > RUNNING_SHOWN else "")
        drawings.append(Drawing(
            "interval-against-n", "", "Ratios and their intervals against the number of repetitions",
            f"{_running_words(run)} {which}A point is the ratio after so many repetitions, a bar its "
            f"{stats.LEVEL:.0%} interval, from {stats.MIN_N} on. A shaded band is the width that the run was repeated "
            "for.", figure))
    return drawings


def slug(words: str, taken: Collection[str]) -> str:
    """A safe file name without its suffix, that none of the others has.

    >>> slug("space steps files", []), slug("a/b", ["a-b"])
    ('space-steps-files', 'a-b-2')
    """
    name = base = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:80]
    number = 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def _running_words(run: Run) -> str:
    metrics = run.measurements["metric"]
    what = "bandwidth" if metrics.isin(BANDWIDTHS).any() else "duration"
    return f"Candidate ÷ baseline, {what}." if run.manifest.baseline is not None else f"Storage ÷ storage, {what}."


def all_labels(runs: Sequence[Run]) -> list[str]:
    """The labels of all storages that any of the runs measured or sampled, each once."""
    return unique(label for run in runs for frame in (run.measurements, run.samples) if len(frame)
                   for label in stats.prepare(frame)["label"].unique())


def workloads_of(run: Run) -> list[str]:
    """The workloads that have rows, in the scenario's order; the set-up is told apart."""
    m = run.manifest
    cells = [*m.cells.values(), *(m.baseline.cells.values() if m.baseline is not None else [])]
    known = [cell.workload for cell in cells]
    seen = [str(name) for frame in (run.measurements, run.samples) if len(frame) for name in frame["workload"].unique()]
    return [name for name in unique([*known, *seen]) if name in seen and name != "setup"]
