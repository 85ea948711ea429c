"""``docs/reference.md``: what the reference runs show, written from the committed runs and nothing else.

``reference_page`` gives the text; ``write_reference_page`` writes it and the
figures that it links to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from lab.analysis import markdown, plots, space_figures, speed_figures, stats
from lab.analysis.comparisons import BANDWIDTHS, RUNNING_SHOWN, running_ratios
from lab.analysis.interval_figure import interval_against_n
from lab.analysis.pace import at_one_pace
from lab.analysis.reference_autoextend import TITLE as AUTOEXTEND_TITLE
from lab.analysis.reference_autoextend import autoextend_block
from lab.analysis.reference_noise import aa_blocks, agreement_section, variation_blocks
from lab.analysis.reference_parts import FILES, Facts, Section, facts_of
from lab.analysis.reference_runs import (
    AA,
    AUTOEXTEND,
    REFERENCE,
    SHOWN,
    TRACES,
    Runs,
    missing_sentence,
    notices,
    read_runs,
    runs_section,
)
from lab.analysis.reference_space import copy_up_block, delete_block, returned_section, taken_section
from lab.analysis.reference_speed import first_write_section, layer_section, pair_section
from lab.analysis.reference_traces import TITLE as TRACES_TITLE
from lab.analysis.reference_traces import traces_section
from lab.analysis.words import joined
from lab.errors import InputError
from lab.store import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = "figures"
"""The folder of the page's figures, beside the page."""

FIO = "fio"
FILL = "fill"
DRAWN_PHASES = ("write", "update", "delete", "trim", "remove")
"""The phases that the figure of space has room for."""

INTRO = ("Everything here follows from the runs in [`results/`](../results): the tables, the sentences below them and "
         "what they leave out. Sizes are in MiB (2^20 bytes). An interval is given from three repetitions on.")


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page.  ``place``: the section's title that it ends; ``draw`` gives None without data."""

    name: str
    place: str
    alt: str
    caption: str
    draw: Callable[[], Figure | None]

    @property
    def file(self) -> str:
        return f"reference-{self.name}.png"

    @property
    def block(self) -> str:
        return markdown.figure(self.alt, f"{FIGURES}/{self.file}", self.caption)


def reference_page(results: Path) -> str:
    """The page as Markdown.  Raises InputError, with the folder's name, where the reference run is missing."""
    from jinja2 import Environment, StrictUndefined

    runs = read_runs(results)
    sections = page_sections(runs)
    for drawing in page_figures(runs):
        for section in sections:
            if section.title == drawing.place:
                section.blocks.append(drawing.block)
    environment = Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = files("lab.analysis").joinpath("reference.md.j2").read_text(encoding="utf-8")
    text = environment.from_string(template).render(notices=notices(runs), intro=INTRO, sections=sections)
    return text.rstrip("\n") + "\n"


def write_reference_page(results: Path, out: Path) -> Path:
    """Writes the page, and its figures beside it in ``figures/``; returns the page's path.

    Raises InputError where the reference run is missing, or where the page cannot be written.
    """
    text = reference_page(results)
    try:
        (out.parent / FIGURES).mkdir(parents=True, exist_ok=True)
        for drawing in page_figures(read_runs(results)):
            if (figure := drawing.draw()) is not None:
                write_atomically(out.parent / FIGURES / drawing.file, plots.to_png(figure, dpi=110))
        write_atomically(out, text)
    except OSError as error:
        raise InputError(f"the page cannot be written: {error.strerror}", where=str(out)) from None
    return out


def page_sections(runs: Runs) -> list[Section]:
    """The page's sections in reading order."""
    facts = facts_of(runs.found[REFERENCE])
    traces = runs.get(TRACES)
    return [
        runs_section(runs),
        taken_section(facts),
        returned_section(facts),
        first_write_section(facts),
        layer_section(facts),
        pair_section(facts, "Loop files against a disk, with the same data blocks", "loop-lvm", "direct-64k"),
        pair_section(facts, "The manual pool against Docker's own", "direct-lvm", "direct-lvm-docker"),
        noise_section(runs, facts),
        agreement_section(facts),
        documentation_section(runs, facts),
        Section(TRACES_TITLE, [missing_sentence(TRACES)]) if traces is None else
        traces_section(traces, f"{SHOWN}/{TRACES}"),
    ]


def noise_section(runs: Runs, facts: Facts) -> Section:
    again = runs.get(AA)
    if again is None:
        blocks = [f"**A scenario against itself.** {missing_sentence(AA)}"]
    elif (m := again.manifest).baseline is None or m.baseline.sha256 != m.scenario.sha256:
        blocks = [f"**A scenario against itself.** The run `{SHOWN}/{AA}` has not the same scenario as both arms, so "
                  "that it says nothing of noise."]
    else:
        blocks = aa_blocks(stats.prepare(again.measurements))
    return Section("How noisy the numbers are", [*variation_blocks(facts), *blocks])


def documentation_section(runs: Runs, facts: Facts) -> Section:
    filled = runs.get(AUTOEXTEND)
    return Section("What differs from the documentation", [
        *delete_block(facts),
        *(autoextend_block(facts_of(filled), filled.manifest) if filled is not None else
          [f"{AUTOEXTEND_TITLE} {missing_sentence(AUTOEXTEND)}"]),
        *copy_up_block(facts)])


def page_figures(runs: Runs) -> list[PageFigure]:
    """The figures for which there are data, drawn only when asked."""
    reference = runs.found[REFERENCE]
    measured = reference.measurements
    steps = measured[(measured["target"] == "layer") & measured["phase"].isin(DRAWN_PHASES)]
    jobs = measured[(measured["workload"] == FIO) & measured["metric"].isin(BANDWIDTHS) & (measured["value"] > 0)]
    again = jobs["phase"].str.endswith("#2") & (jobs["metric"] == "write_bandwidth")
    drawings = [
        PageFigure("space", "What comes back", "Growth of each storage in some phases of the container steps, in "
                   "the layer", f"Container steps in the layer: {joined(DRAWN_PHASES)}. Right of zero: taken. Left: "
                   "given back. Bars are medians, points single repetitions; a black tick is what the application "
                   "wrote in that phase.", lambda: space_figures.space_steps(steps, FILES)),
        PageFigure("first-write", "First write against rewrite", "Write bandwidth of the first pass and the rewrite "
                   "for each storage and job", "Hollow: the first pass over a file. Filled: the second. A line is one "
                   "repetition.", lambda: speed_figures.first_against_rewrite(measured, FIO)),
        PageFigure("throughput", "Layer against volume", "Bandwidth of each storage's first pass by job, in layer and "
                   "volume", "Bandwidth of the first pass, each repetition at the pace of the first. Bars are medians, "
                   "points single repetitions.", lambda: speed_figures.throughput(at_one_pace(measured), FIO)),
    ]
    there = {"space": (steps["workload"] == FILES).any(), "first-write": again.any(), "throughput": len(jobs) > 0}
    drawings = [drawing for drawing in drawings if there[drawing.name]]
    return drawings + _autoextend_figure(runs) + _aa_figure(runs)


def _autoextend_figure(runs: Runs) -> list[PageFigure]:
    filled = runs.get(AUTOEXTEND)
    if filled is None or not len(filled.samples) or FILL not in set(filled.samples["workload"]):
        return []
    return [PageFigure("autoextend", "What differs from the documentation", "Space used over time while pools are "
                       "filled", "The run for autoextend: space used while each pool is filled.",
                       lambda: space_figures.space_over_time(filled.samples, FILL, "layer"))]


def _aa_figure(runs: Runs) -> list[PageFigure]:
    again = runs.get(AA)
    if again is None or again.manifest.baseline is None:
        return []
    running = running_ratios(stats.prepare(again.measurements), again.manifest.repeat_until)[:RUNNING_SHOWN]
    if not running:
        return []
    return [PageFigure("aa", "How noisy the numbers are", "Ratios of the A/A run and their intervals against the "
                       "number of pairs", f"The A/A run: the {len(running)} ratios of bandwidth with the widest "
                       "intervals, after so many pairs. All would be 1 without noise.",
                       lambda: interval_against_n(running))]
