"""A page of docs/ that is written from the committed runs: title, notices, numbered sections, figures beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.report import markdown, plots
from lab.runs.files import make_output_folder, write_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = "figures"
"""The folder of a page's figures, beside the page."""


@dataclass(frozen=True)
class Section:
    """A part of the page: blocks of Markdown, in order."""

    title: str
    blocks: list[str]


@dataclass(frozen=True)
class PageFigure:
    """A figure of a page.  ``file`` is its name below ``FIGURES``; ``draw`` gives None without data."""

    file: str
    alt: str
    caption: str
    draw: Callable[[], Figure | None]

    @property
    def block(self) -> str:
        return markdown.figure(self.alt, f"{FIGURES}/{self.file}", self.caption)


@dataclass(frozen=True)
class WrittenPage:
    """``figures`` stand in the sections' blocks already; here they are drawn."""

    title: str
    notices: Sequence[str]
    intro: str
    sections: Sequence[Section]
    figures: Sequence[PageFigure]

    @property
    def text(self) -> str:
        from jinja2 import Environment, StrictUndefined

        environment = Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        template = Path(__file__).with_name("written_page.md.j2").read_text(encoding="utf-8")
        told = environment.from_string(template).render(title=self.title, notices=self.notices, intro=self.intro,
                                                        sections=self.sections)
        return told.rstrip("\n") + "\n"

    def write(self, out: Path) -> Path:
        """Writes the page, and its figures in ``FIGURES`` beside it; returns the page's path.

        Raises InputError where they cannot be written, RigError where the disk is full.
        """
        text = self.text
        make_output_folder(out.parent / FIGURES)
        for drawing in self.figures:
            if (figure := drawing.draw()) is not None:
                write_output(out.parent / FIGURES / drawing.file, plots.to_png(figure, dpi=110))
        write_output(out, text)
        return out
