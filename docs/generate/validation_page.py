"""``docs/validation.md``: how wrong the model is, written from the committed runs, the parameters and nothing else.

``validation_page`` gives the text; ``write_validation_page`` writes it and the figures that it links to.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reference_runs import SHOWN, Runs, notices
from validation_material import DESIGNED, Material, read_material
from validation_sections import (
    coverage_section,
    goals_section,
    judged_section,
    kinds_section,
    lacks_section,
    largest_section,
    parameters_section,
    ratios_section,
    times_section,
)
from validation_tables import hardest_cell
from written_page import PageFigure, Section, WrittenPage

from lab.calibration import figures as validation_figures

if TYPE_CHECKING:
    pass

PICTURED = "Predicted against measured"

INTRO = ("The model is judged here on runs that its parameters were not fitted to. Everything follows from the runs in "
         f"[`{SHOWN}/`](../{SHOWN}) and from the parameters that come with the lab: tables, sentences and verdicts. "
         "Sizes are in MiB (2^20 bytes). An *increment* is what one phase added to the space of its target; "
         "*in use* is the space taken over the empty storage, images included; *occupancy* is the sum of increments "
         "since the cell's begin, without anything that was there before; *MAPE* is the mean of |error| ÷ |measured|, "
         "over those of at least 1 MiB.")


def validation_page(results: Path, parameters: Path | None = None) -> str:
    """The page as Markdown.  ``parameters``: a file, else those that come with the lab.

    Raises InputError where a run is damaged, or where the parameters were fitted to one that is to judge them.
    """
    return page_text(read_material(results, parameters))


def write_validation_page(results: Path, out: Path, parameters: Path | None = None) -> Path:
    """Writes the page, and its figures beside it in ``figures/``; returns the page's path.

    Raises InputError as ``validation_page`` does, and where the page cannot be written.
    """
    return _page(read_material(results, parameters)).write(out)


def page_text(material: Material) -> str:
    return _page(material).text


def _page(material: Material) -> WrittenPage:
    return WrittenPage("How wrong the model is", page_notices(material), INTRO, page_sections(material),
                       page_figures(material))


def page_notices(material: Material) -> list[str]:
    """What a reader has to know first: runs that are not there yet, and those that are not whole."""
    told = []
    if material.missing:
        names = ", ".join(f"`{SHOWN}/{name}`" for name in material.missing)
        told.append(f"**Of the {len(DESIGNED)} validation runs {len(material.missing)} are not there yet:** {names}. "
                    "What they would show is not in this page.")
    return told + notices(Runs({one.name: one.run for one in material.runs}))


def page_sections(material: Material) -> list[Section]:
    """The page's sections in reading order."""
    return [judged_section(material), goals_section(material), pictured_section(page_figures(material)),
            kinds_section(material), largest_section(material), coverage_section(material), ratios_section(material),
            times_section(material), lacks_section(material), parameters_section(material)]


def pictured_section(drawings: Sequence[PageFigure]) -> Section:
    return Section(PICTURED, [one.block for one in drawings] or ["There is no run to draw."])


def page_figures(material: Material) -> list[PageFigure]:
    """The figures for which there are data, drawn only when asked."""
    rows = material.growth
    if rows.empty:
        return []
    hardest = hardest_cell(rows)
    name, cell, repetition = (str(hardest[key].iloc[0]) for key in ("run", "cell", "repetition"))
    return [
        PageFigure("validation-increments.png", "What each phase added, simulated against measured, by storage",
                   "A point is one phase in one repetition; on the line the simulated increment is the measured one. "
                   "Left of and below zero: given back.",
                   lambda: validation_figures.predicted_against_measured(rows)),
        PageFigure("validation-hardest.png",
                   "Space after each phase of the cell with the largest residual, measured, simulated and by the "
                   "straight line",
                   f"The cell with the largest residual: {cell}, repetition {repetition}, of `{SHOWN}/{name}`.",
                   lambda: validation_figures.occupancy(hardest, f"The hardest cell: {cell}, {name}")),
    ]


if __name__ == "__main__":
    write_validation_page(Path(sys.argv[1]), Path(sys.argv[2]))
