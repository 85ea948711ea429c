"""Reads a run's raw output again, so that a mended reader mends the tables of old runs."""

from __future__ import annotations

from lab.errors import InputError
from lab.runs.raw_cell import read_raw_cell
from lab.runs.records import MEASURED
from lab.runs.store import Run, RunWriter, open_run
from lab.scenario.order import SETUP


def reread(run: Run) -> int:
    """Writes the run's tables anew from the raw output of its cells.  Returns how many rows of measurements differ.

    The rows of a storage's set-up stay: they were timed by the runner and are in no output.  Raises InputError for a
    simulated run, RigError where another process writes to it, and ReaderError where raw output is missing or damaged;
    the tables are then as before.
    """
    writer = RunWriter(run.path)        # its lock first: what is read must not change until it is written
    run = open_run(run.path)
    before = run.measurements
    if set(before["source"]) - {MEASURED}:
        raise InputError("a simulated run has no raw output to read", where=str(run.path),
                         remedy="simulate its scenario again")
    told = {result.key: read_raw_cell(run.path / "raw" / result.key, run.manifest.run, result.repetition,
                                      arm=result.arm, cell=result.cell)
            for result in run.manifest.results if result.status == "done" and not result.cell.endswith(f".{SETUP}")}
    for key, rows in told.items():
        writer.replace(key, rows.measurements, rows.samples)
    writer.close(run.manifest)
    names = list(before.columns)
    after = Run(run.path, run.manifest).measurements
    both = before.merge(after, on=names, how="outer", indicator=True)
    return int((both["_merge"] != "both").sum())
