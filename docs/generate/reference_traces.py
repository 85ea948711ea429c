"""The reference page on traces: what the file systems asked of the blocks below, phase by phase."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from written_page import Section

from lab.analysis import stats
from lab.analysis.facts import storages_of
from lab.errors import InputError
from lab.readers.iolog import read_writes
from lab.report.markdown import paragraph, table
from lab.runs.store import Run
from lab.text import MIB, joined, number, unique

TITLE = "Block traces"
_OF_A_CASE = ("thin_size_bytes",)
"""What a recorded case has to say besides its steps before it can be replayed as a whole."""


@dataclass(frozen=True)
class Traffic:
    """What one phase asked of the blocks below one container."""

    label: str
    phase: str
    writes: int
    written_bytes: int
    discards: int
    discarded_bytes: int


@dataclass(frozen=True)
class TraceCase:
    """A cell's recorded trace.  ``whole``: it says enough of its pool to be replayed as a case."""

    label: str
    folder: Path
    traffic: list[Traffic]
    logs: list[Path]
    whole: bool


def read_traces(run: Run) -> list[TraceCase]:
    """The traces of a run's cells, in the scenario's order of storages.  Raises InputError for a damaged one."""
    found = []
    for result in run.manifest.results:
        folder = run.path / "raw" / result.key / "trace"
        if result.status == "done" and (folder / "case.json").is_file() and result.repetition == 1:
            cell = run.manifest.cells.get(result.cell)
            label = stats.storage_label(result.cell, "" if cell is None else cell.storage)
            found.append(read_trace(label, folder))
    order = {label: place for place, label in enumerate(storages_of(run.manifest))}
    return sorted(found, key=lambda case: order.get(case.label, len(order)))


def read_trace(label: str, folder: Path) -> TraceCase:
    """One trace: ``case.json`` and the I/O logs that it names."""
    path = folder / "case.json"
    try:
        document = json.loads(path.read_text("utf-8"))
        traffic, logs = [], []
        for step in document["steps"]:
            own = [folder / op["iolog"] for op in step["ops"] if op["op"] == "write"]
            lengths = [read_writes(log)[1] for log in own]
            discards = [int(op["length"]) for op in step["ops"] if op["op"] == "discard"]
            traffic.append(Traffic(label, str(step["title"]), sum(int(one.size) for one in lengths),
                                   sum(int(one.sum()) for one in lengths), len(discards), sum(discards)))
            logs += own
        pool = document["pool"] or {}
        whole = "features" in pool and all(name in document for name in _OF_A_CASE)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"the trace cannot be read: {error}", where=str(path)) from None
    return TraceCase(label, folder, traffic, logs, whole)


def traces_section(run: Run, shown: str) -> Section:
    """``shown`` is the run's folder as the page names it."""
    cases = read_traces(run)
    if not cases:
        return Section(TITLE, [f"The run `{shown}` holds no trace."])
    flat = [one for case in cases for one in case.traffic]
    blocks = [f"The run `{shown}` holds the trace of one container's device on each storage (on overlay2, which has "
              "none of its own, of the disk below). Writes, and in brackets MiB written:", _table(cases, flat, False)]
    if any(one.discards for one in flat):
        blocks += ["Discards, and in brackets MiB discarded:", _table(cases, flat, True)]
    blocks += [paragraph(_sentences(flat)), _where(cases, run, shown)]
    return Section(TITLE, blocks)


def _table(cases: list[TraceCase], flat: list[Traffic], discards: bool) -> str:
    rows = []
    for phase in unique(one.phase for one in flat):
        by_label = {one.label: one for one in flat if one.phase == phase}
        told = [(one.discards, one.discarded_bytes) if discards else (one.writes, one.written_bytes)
                for one in by_label.values()]
        if discards and not any(count for count, _ in told):
            continue
        cells = dict(zip(by_label, told, strict=True))
        rows.append([phase, *(_cell(cells.get(case.label)) for case in cases)])
    return table(["phase", *(case.label for case in cases)], rows)


def _cell(found: tuple[int, int] | None) -> str:
    if found is None:
        return "–"
    return f"{found[0]:,} ({number(found[1] / MIB)})" if found[0] else "0"


def _sentences(flat: list[Traffic]) -> list[str]:
    labels = unique(one.label for one in flat)
    at_delete = {label: sum(one.discards for one in flat if one.label == label and one.phase.startswith("delete"))
                 for label in labels}
    some = [label for label, count in at_delete.items() if count]
    none = [label for label, count in at_delete.items() if not count]
    if not some:
        return ["No storage's file system discarded anything at a delete, within the phase."]
    return [f"At a delete, the file systems of {joined(some)} discarded blocks"
            + (f"; those of {joined(none)} did not." if none else ".")]


def _where(cases: list[TraceCase], run: Run, shown: str) -> str:
    first = cases[0]
    text = [f"A trace lies in `{shown}/raw/<cell's key>/trace`: `case.json` has the phases, and an I/O log of fio's "
            "version 3 lies beside it for every stretch of writes."]
    if first.logs:
        log = first.logs[0].relative_to(run.path)
        text.append(f"`.venv/bin/lab replay {shown}/{log} --chunk-size 64KiB,512KiB --pool-size 4GiB` tells what each "
                    f"size of data blocks would allocate for one (here for {first.label}).")
    whole = [case for case in cases if case.whole]
    if whole:
        text.append(f"`.venv/bin/lab replay {shown}/{whole[0].folder.relative_to(run.path)}` compares a whole case "
                    "with the kernel.")
    return paragraph(text)
