"""`lab report`: runs as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab.cli.base import app


@app.command(epilog="Examples: `lab report results/quickstart`; `lab report MEASURED SIMULATED`")
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders above some.", metavar="RUN...")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where the page goes.")] = None,
) -> None:
    """Write one self-contained HTML page, and its figures as PNG.  Prints the page's path.

    A measured run and a simulated one of the same scenario file are laid over each other, phase by phase.
    """
    from lab.report.page import write_report
    from lab.runs.store import find_runs

    print(write_report([run for path in runs for run in find_runs(path)], output))
