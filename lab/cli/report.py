"""`lab report`: runs as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab.cli.base import app


@app.command(epilog="Examples: `lab report results/quickstart`; `lab report MEASURED SIMULATED`")
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or folders that hold some.", metavar="RUN...")],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file into which the page is written.")] = None,
) -> None:
    """Write runs as one self-contained HTML page, with its figures as PNG, and print the page's path.

    A measured run and a simulated one of the same scenario are laid over each other, phase by phase.
    """
    from lab.report.page import write_report
    from lab.runs.store import find_runs

    print(write_report([run for path in runs for run in find_runs(path)], output))
