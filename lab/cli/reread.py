"""`lab reread`: the tables of runs, made anew from their raw output."""

from __future__ import annotations

from lab.cli.base import RUNS, app, runs_in, say


@app.command(epilog="Example: `lab reread results/quickstart`")
def reread(
    runs: RUNS,
) -> None:
    """Read the raw output of runs again, and write their tables anew.  This is for after a reader was mended."""
    from lab.runs.reread import reread as read_again

    for run in runs_in(runs):
        say(f"{run.path}: {read_again(run)} rows differ from before")
