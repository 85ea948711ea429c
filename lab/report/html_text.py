"""What every piece of HTML goes through: escaping, and hard spaces between a number and its unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Html:
    """A piece of a page; a notebook shows it as such."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


def environment() -> Environment:
    """Jinja's, with all that is put in escaped, and the filter ``tied``; an undefined name is an error."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["tied"] = tied
    return environment


def tied(text: str) -> str:
    """With hard spaces, so that no line ends between a number and what belongs to it."""
    return re.sub(r"n = (?=\d)", "n\u00a0=\u00a0", re.sub(r"(?<=\d) (?=MiB|×)", "\u00a0", text))
