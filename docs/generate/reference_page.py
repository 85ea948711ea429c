"""``docs/reference.md``: what the reference runs show, written from the committed runs and nothing else.

``reference_page`` gives the text; ``write_reference_page`` writes it and the
figures that it links to.
"""

from __future__ import annotations

import sys
from pathlib import Path

from reference_autoextend import TITLE as AUTOEXTEND_TITLE
from reference_autoextend import autoextend_block
from reference_noise import aa_blocks, agreement_section, variation_blocks
from reference_runs import (
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
from reference_space import copy_up_block, delete_block, returned_section, taken_section
from reference_speed import first_write_section, layer_section, pair_section
from reference_traces import TITLE as TRACES_TITLE
from reference_traces import traces_section
from written_page import PageFigure, Section, WrittenPage

from lab.analysis import stats
from lab.analysis.comparisons import BANDWIDTHS, RUNNING_SHOWN, running_ratios
from lab.analysis.facts import FILES, Facts, facts_of
from lab.analysis.pace import at_one_pace
from lab.report import space_figures, speed_figures
from lab.report.interval_figure import interval_against_n
from lab.text import joined

FIO = "fio"
FILL = "fill"
DRAWN_PHASES = ("write", "update", "delete", "trim", "remove")
"""The phases that the figure of space has room for."""

INTRO = ("Everything here follows from the runs in [`results/`](../results): the tables, the sentences below them and "
         "what they leave out. Sizes are in MiB (2^20 bytes). An interval is given from three repetitions on.")


def reference_page(results: Path) -> str:
    """The page as Markdown.  Raises InputError, with the folder's name, where the reference run is missing."""
    return _page(results).text


def write_reference_page(results: Path, out: Path) -> Path:
    """Writes the page, and its figures beside it in ``figures/``; returns the page's path.

    Raises InputError where the reference run is missing, or where the page cannot be written.
    """
    return _page(results).write(out)


def _page(results: Path) -> WrittenPage:
    runs = read_runs(results)
    sections, figures = page_sections(runs), page_figures(runs)
    for place, drawing in figures:
        for section in sections:
            if section.title == place:
                section.blocks.append(drawing.block)
    return WrittenPage("What the reference runs show", notices(runs), INTRO, sections,
                       [drawing for _, drawing in figures])


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


def page_figures(runs: Runs) -> list[tuple[str, PageFigure]]:
    """The figures for which there are data, each with the title of the section that it ends."""
    measured = runs.found[REFERENCE].measurements
    steps = measured[(measured["target"] == "layer") & measured["phase"].isin(DRAWN_PHASES)]
    jobs = measured[(measured["workload"] == FIO) & measured["metric"].isin(BANDWIDTHS) & (measured["value"] > 0)]
    again = jobs["phase"].str.endswith("#2") & (jobs["metric"] == "write_bandwidth")
    figures = []
    if (steps["workload"] == FILES).any():
        figures.append(("What comes back", PageFigure(
            "reference-space.png", "Growth of each storage in some phases of the container steps, in the layer",
            f"Container steps in the layer: {joined(DRAWN_PHASES)}. Right of zero: taken. Left: given back. Bars are "
            "medians, points single repetitions; a black tick is what the application wrote in that phase.",
            lambda: space_figures.space_steps(steps, FILES))))
    if again.any():
        figures.append(("First write against rewrite", PageFigure(
            "reference-first-write.png", "Write bandwidth of the first pass and the rewrite for each storage and job",
            "Hollow: the first pass over a file. Filled: the second. A line is one repetition.",
            lambda: speed_figures.first_against_rewrite(measured, FIO))))
    if len(jobs):
        figures.append(("Layer against volume", PageFigure(
            "reference-throughput.png", "Bandwidth of each storage's first pass by job, in layer and volume",
            "Bandwidth of the first pass, each repetition at the pace of the first. Bars are medians, points single "
            "repetitions.", lambda: speed_figures.throughput(at_one_pace(measured), FIO))))
    return figures + _autoextend_figure(runs) + _aa_figure(runs)


def _autoextend_figure(runs: Runs) -> list[tuple[str, PageFigure]]:
    filled = runs.get(AUTOEXTEND)
    if filled is None or not len(filled.samples) or FILL not in set(filled.samples["workload"]):
        return []
    return [("What differs from the documentation", PageFigure(
        "reference-autoextend.png", "Space used over time while pools are filled",
        "The run for autoextend: space used while each pool is filled.",
        lambda: space_figures.space_over_time(filled.samples, FILL, "layer")))]


def _aa_figure(runs: Runs) -> list[tuple[str, PageFigure]]:
    again = runs.get(AA)
    if again is None or again.manifest.baseline is None:
        return []
    running = running_ratios(stats.prepare(again.measurements), again.manifest.repeat_until)[:RUNNING_SHOWN]
    if not running:
        return []
    return [("How noisy the numbers are", PageFigure(
        "reference-aa.png", "Ratios of the A/A run and their intervals against the number of pairs",
        f"The A/A run: the {len(running)} ratios of bandwidth with the widest intervals, after so many pairs. All "
        "would be 1 without noise.", lambda: interval_against_n(running)))]


if __name__ == "__main__":
    write_reference_page(Path(sys.argv[1]), Path(sys.argv[2]))
