"""`lab reread`: the tables of runs, made anew from their raw output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab.cli.base import app, say


@app.command(epilog="Example: `lab reread results/quickstart`")
def reread(
    runs: Annotated[list[Path], typer.Argument(help="Folders of measured runs, or folders that hold some.", metavar="RUN...")],
) -> None:
    """Read the raw output of runs again, and write their tables anew.  This is for after a reader was mended."""
    from lab.runs.reread import reread as read_again
    from lab.runs.store import find_runs

    for run in [run for path in runs for run in find_runs(path)]:
        say(f"{run.path}: {read_again(run)} rows differ from before")
