"""``docs/validation.md``: how wrong the model is, written from the committed runs, the parameters and nothing else.

``validation_page`` gives the text; ``write_validation_page`` writes it and the figures that it links to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from lab.analysis import markdown, plots, validation_figures, validation_tables
from lab.analysis.reference_parts import Section
from lab.analysis.reference_runs import SHOWN, Runs, notices
from lab.errors import InputError
from lab.store import write_atomically
from lab.validation_material import DESIGNED, Material, read_material
from lab.validation_sections import (
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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = "figures"
"""The folder of the page's figures, beside the page."""

PICTURED = "Predicted against measured"

INTRO = ("The model is judged here on runs that its parameters were not fitted to. Everything follows from the runs in "
         f"[`{SHOWN}/`](../{SHOWN}) and from the parameters that come with the lab: tables, sentences and verdicts. "
         "Sizes are in MiB (2^20 bytes). An *increment* is what one phase added to the space of its target; "
         "*in use* is the space taken over the empty storage, images included; *occupancy* is the sum of increments "
         "since the cell's begin, without anything that was there before; *MAPE* is the mean of |error| ÷ |measured|, "
         "over those of at least 1 MiB.")


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page's third section; ``draw`` gives None without data."""

    name: str
    alt: str
    caption: str
    draw: Callable[[], Figure | None]

    @property
    def file(self) -> str:
        return f"validation-{self.name}.png"

    @property
    def block(self) -> str:
        return markdown.figure(self.alt, f"{FIGURES}/{self.file}", self.caption)


def validation_page(results: Path, parameters: Path | None = None) -> str:
    """The page as Markdown.  ``parameters``: a file, else those that come with the lab.

    Raises InputError where a run is damaged, or where the parameters were fitted to one that is to judge them.
    """
    return page_text(read_material(results, parameters))


def write_validation_page(results: Path, out: Path, parameters: Path | None = None) -> Path:
    """Writes the page, and its figures beside it in ``figures/``; returns the page's path.

    Raises InputError as ``validation_page`` does, and where the page cannot be written.
    """
    material = read_material(results, parameters)
    try:
        (out.parent / FIGURES).mkdir(parents=True, exist_ok=True)
        for drawing in page_figures(material):
            if (figure := drawing.draw()) is not None:
                write_atomically(out.parent / FIGURES / drawing.file, plots.to_png(figure, dpi=110))
        write_atomically(out, page_text(material))
    except OSError as error:
        raise InputError(f"the page cannot be written: {error.strerror}", where=str(out)) from None
    return out


def page_text(material: Material) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = files("lab.analysis").joinpath("validation.md.j2").read_text(encoding="utf-8")
    text = environment.from_string(template).render(notices=page_notices(material), intro=INTRO,
                                                    sections=page_sections(material))
    return text.rstrip("\n") + "\n"


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
    hardest = validation_tables.hardest_cell(rows)
    name, cell, repetition = (str(hardest[key].iloc[0]) for key in ("run", "cell", "repetition"))
    return [
        PageFigure("increments", "What each phase added, simulated against measured, by storage",
                   "A point is one phase in one repetition; on the line the simulated increment is the measured one. "
                   "Left of and below zero: given back.",
                   lambda: validation_figures.predicted_against_measured(rows)),
        PageFigure("hardest", "Space after each phase of the cell with the largest residual, measured, simulated and "
                   "by the straight line",
                   f"The cell with the largest residual: {cell}, repetition {repetition}, of `{SHOWN}/{name}`.",
                   lambda: validation_figures.occupancy(hardest, f"The hardest cell: {cell}, {name}")),
    ]
