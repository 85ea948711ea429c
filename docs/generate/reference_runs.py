"""The reference page's runs: which there are, how far each has come, and on what it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from written_page import Section

from lab.errors import InputError
from lab.report.findings import machine_sentence, worst_drift
from lab.report.markdown import paragraph, table
from lab.runs.records import Manifest, whole_repetitions
from lab.runs.store import Run, open_run
from lab.text import clean, counted, joined, number

REFERENCE = "reference/reference"
TRACES = "reference/reference-traces"
AUTOEXTEND = "reference/autoextend"
AA = "aa"
NAMES = (REFERENCE, TRACES, AUTOEXTEND, "validation/churn", "validation/deep", "validation/large", "validation/mixed",
         AA)
"""The runs that `make reference` makes, as folders below results/."""

SHOWN = "results"
"""The folder of the runs, as the page names it."""


@dataclass(frozen=True)
class Runs:
    """The runs that there are, by name."""

    found: dict[str, Run]

    def get(self, name: str) -> Run | None:
        return self.found.get(name)

    @property
    def missing(self) -> list[str]:
        return [name for name in NAMES if name not in self.found]


def read_runs(results: Path) -> Runs:
    """Raises InputError where the reference run is missing, or where one that is there is damaged."""
    found = {name: open_run(results / name) for name in NAMES if (results / name / "manifest.json").is_file()}
    if REFERENCE not in found:
        raise InputError("the reference run is missing", where=str(results / REFERENCE),
                         remedy="measure it with `make reference`")
    return Runs(found)


def missing_sentence(name: str) -> str:
    return f"This part is left out: the run `{SHOWN}/{name}` is not there yet."


def notices(runs: Runs) -> list[str]:
    """What a reader has to know before anything else: runs that are not whole."""
    return [f"**The run `{SHOWN}/{name}` is partial:** {_progress(run.manifest)}. What is missing may change what is "
            "said of it below." for name, run in runs.found.items() if run.manifest.status == "partial"]


def _progress(manifest: Manifest) -> str:
    return (f"{len(manifest.results)} of {len(manifest.order)} cell runs ended, "
            f"{whole_repetitions(manifest)} of {counted(manifest.repetitions, 'repetition')} whole")


def runs_section(runs: Runs) -> Section:
    """A row a run: scenario, commit, machine, how far it came, its time and clock."""
    blocks = [runs_table(runs.found)]
    if runs.missing:
        blocks.append(f"Not there yet: {joined([f'`{SHOWN}/{name}`' for name in runs.missing])}.")
    failed = [f"{clean(result.cell)} in repetition {result.repetition} of `{SHOWN}/{name}`"
              for name, run in runs.found.items() for result in run.manifest.results if result.status == "failed"]
    if failed:
        blocks.append(f"Failed, and absent below: {joined(failed)}.")
    blocks += [paragraph([f"The reference run: {clean(machine_sentence(runs.found[REFERENCE]))}",
                          "A cell run is one storage, target and workload in one repetition, or the set-up of a "
                          "storage; the time is theirs together."]),
               "`make reference` measures all runs again, into `results/repeated`, which takes hours; `make docs` "
               "writes this page again from the committed ones."]
    return Section("What was run", blocks)


def runs_table(runs: Mapping[str, Run]) -> str:
    """A row a run: scenario, commit, machine, how far it came, its time and clock."""
    head = ["run", "scenario", "lab's commit", "machine", "status", "repetitions whole", "cell runs done", "failed",
            "time, min", "worst clock drift, %"]
    return table(head, [_row(name, run) for name, run in runs.items()], words=5)


def _row(name: str, run: Run) -> list[str]:
    m = run.manifest
    failed = sum(result.status == "failed" for result in m.results)
    drift = worst_drift(m)
    scenario = f"[{clean(m.scenario.file)}](../{SHOWN}/{name}/scenario.yaml)"
    changed = ", with uncommitted changes" if m.lab.dirty else ""
    machine = clean(m.machine.provision)
    return [f"`{name}`", scenario, f"{(m.lab.commit or 'unknown')[:10]}{changed}", machine, m.status,
            f"{whole_repetitions(m)} of {m.repetitions}", f"{len(m.results) - failed} of {len(m.order)}", str(failed),
            number(sum(result.seconds for result in m.results) / 60),
            "–" if drift is None else f"{100 * drift:+.3f}"]
