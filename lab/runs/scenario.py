"""The scenario that a run was made from, out of the run's own folder: its text, and the job files in its raw output."""

from __future__ import annotations

import gzip
from pathlib import Path

from lab.errors import InputError
from lab.runs.store import Run
from lab.scenario.scenario import Scenario, scenario_from
from lab.scenario.yaml_text import parse


def scenario_of(run: Run) -> Scenario:
    """The scenario, as it was when the run began.

    Raises InputError where the folder lacks it or a job file, and where it named a user's image, which no run keeps.
    """
    file = run.path / "scenario.yaml"
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"the run's scenario cannot be read: {error.strerror}", where=str(file)) from None
    jobs = {jobs: _job_text(run, workload) for workload, jobs in _job_files(text, file)}
    return scenario_from(text, file, jobs)


def _job_files(text: str, file: Path) -> list[tuple[str, str]]:
    """The workloads that have one, by name, with what the scenario calls it."""
    document = parse(text, file).data
    listed = document.get("workload") if isinstance(document, dict) else None
    return [(str(item.get("name")), item["fio"]) for item in (listed if isinstance(listed, list) else [])
            if isinstance(item, dict) and isinstance(item.get("fio"), str)]


def _job_text(run: Run, workload: str) -> str:
    for result in run.manifest.results:
        told = run.manifest.cells.get(result.cell)
        file = run.path / "raw" / result.key / "jobs.fio.gz"
        if told is not None and told.workload == workload and file.exists():
            try:
                return gzip.decompress(file.read_bytes()).decode()
            except (OSError, EOFError, ValueError) as error:
                raise InputError(f"the job file cannot be read: {error}", where=str(file)) from None
    raise InputError(f"no finished cell of workload {workload} holds its job file", where=str(run.path),
                     remedy="go on with the run: lab run SCENARIO --resume RUN")
