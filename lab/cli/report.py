"""`lab report`: runs as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab.cli.base import RUNS, app, runs_in


@app.command(epilog="Examples: `lab report results/quickstart`; `lab report MEASURED SIMULATED`")
def report(
    runs: RUNS,
    output: Annotated[Path | None, typer.Option(
        "--output", "-o", metavar="FILE", help="The file into which the page is written.",
        show_default="report.html in the first run's folder")] = None,
) -> None:
    """Write runs as one self-contained HTML page, with its figures as PNG, and print the page's path.

    A measured run and a simulated one of the same scenario are laid over each other, phase by phase.
    """
    from lab.report.page import write_report

    print(write_report(runs_in(runs), output))
