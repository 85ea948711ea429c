"""Writes docs/machines.md: the same scenario on two accelerators, ratios and counts beside one another.

    python docs/generate/machines.py RESULTS PAGE
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lab.analysis import stats
from lab.metrics import BANDWIDTHS, GROWTHS
from lab.report.markdown import code, table
from lab.runs.files import write_output
from lab.runs.store import Run, open_run
from lab.text import number

RUNS = {"tcg": "reference/reference", "uml": "machines/reference-uml"}
REFERENCE = "overlay2-ext4"
SAME_SHARE, SAME_BYTES = 0.01, 2**20
SHOWN = 25


@dataclass(frozen=True)
class Both:
    """One ratio on both machines."""

    target: str
    phase: str
    metric: str
    storage: str
    tcg: stats.Estimate
    uml: stats.Estimate

    @property
    def agrees(self) -> bool:
        """Whether the intervals overlap."""
        assert None not in (self.tcg.low, self.tcg.high, self.uml.low, self.uml.high)
        return self.tcg.low <= self.uml.high and self.uml.low <= self.tcg.high  # type: ignore[operator]

    @property
    def factor(self) -> float:
        """How many times the ratio of ``uml`` that of ``tcg`` is."""
        return self.uml.centre / self.tcg.centre


def ratios(runs: dict[str, Run]) -> list[Both]:
    """Every ratio of bandwidth to the reference that both runs know with an interval."""
    found: dict[str, dict[tuple[str, ...], stats.Estimate]] = {}
    for name, run in runs.items():
        rows = stats.ratios(run.measurements, BANDWIDTHS, reference=REFERENCE).to_dict("records")
        found[name] = {(row["target"], row["phase"], row["metric"], row["label"], row["workload"]): stats.estimate(row)
                       for row in rows}
    shared = [key for key in found["tcg"] if key in found["uml"]]
    return [Both(*key[:4], found["tcg"][key], found["uml"][key]) for key in shared
            if found["tcg"][key].low is not None and found["uml"][key].low is not None]


def interval(found: stats.Estimate) -> str:
    return f"{found.centre:.2f} ({found.low:.2f} to {found.high:.2f})"


def medians(run: Run) -> dict[tuple[str, ...], float]:
    rows = stats.summarise(run.measurements).to_dict("records")
    return {(row["label"], row["target"], row["workload"], row["phase"], row["metric"]): row["median"] for row in rows}


def speeds(runs: dict[str, Run]) -> str:
    """Medians of the durations that a person waits for."""
    wanted = (("start of dockerd", "daemon_start", None), ("load of an image", "image_load", None),
              ("start of two containers", "duration", "start"), ("write of 32 MiB, synced, twice", "duration", "write"),
              ("300 small files, synced, twice", "duration", "small_files"),
              ("removal of two containers", "duration", "remove"))
    rows = []
    for words, metric, phase in wanted:
        values = []
        for run in runs.values():
            frame = run.measurements
            part = frame[(frame.metric == metric) & ((frame.phase == phase) if phase else True)]
            values.append(float(part.value.median()))
        rows.append([words, *(number(value) for value in values), f"{values[0] / values[1]:.1f}"])
    return table(["", *(code(name) for name in runs), "times faster"], rows)


def agreement(both: list[Both], first: str, second: str) -> str:
    """How many ratios agree, by two of their fields."""
    rows = []
    for group in dict.fromkeys((getattr(one, first), getattr(one, second)) for one in both):
        own = [one for one in both if (getattr(one, first), getattr(one, second)) == group]
        factors = pd.Series([one.factor for one in own])
        rows.append([*(code(part) for part in group), str(len(own)), str(sum(one.agrees for one in own)),
                     f"{factors.median():.2f}", f"{factors.min():.2f} to {factors.max():.2f}"])
    return table([first, second, "ratios", "agree", "uml's ratio ÷ tcg's, median", "least to largest"], rows, words=2)


def apart(both: list[Both]) -> str:
    own = sorted((one for one in both if not one.agrees), key=lambda one: max(one.factor, 1 / one.factor), reverse=True)
    rows = [[one.storage, one.target, code(one.phase), one.metric.split("_")[0], interval(one.tcg), interval(one.uml)]
            for one in own[:SHOWN]]
    more = f"\n\n… and {len(own) - SHOWN} more." if len(own) > SHOWN else ""
    return table(["storage", "target", "phase", "", "`tcg`", "`uml`"], rows, words=4) + more


def counts(runs: dict[str, Run]) -> tuple[str, str]:
    """Per storage: steps whose growth is the same, and the steps where it is not."""
    tcg, uml = (medians(run) for run in runs.values())
    keys = [key for key in tcg if key in uml and key[4] in GROWTHS]
    differ = [key for key in keys if abs(tcg[key] - uml[key]) > max(SAME_SHARE * abs(tcg[key]), SAME_BYTES)]
    rows = []
    for label in dict.fromkeys(key[0] for key in keys):
        own = [key for key in keys if key[0] == label]
        cells: dict[tuple[str, ...], float] = {}
        for key in own:
            cells[key[1:3]] = max(cells.get(key[1:3], 0.0), abs(tcg[key] - uml[key]))
        rows.append([label, str(len(own)), str(sum(tcg[key] == uml[key] for key in own)),
                     str(len([key for key in own if key not in differ])), number(max(cells.values()) / 2**20)])
    summary = table(["storage", "steps", "equal to the byte", "within 1 % or 1 MiB", "largest difference, MiB"], rows)
    lines = [[key[0], key[1], key[2], code(key[3]), *(f"{side[key] / 2**20:+.1f}" for side in (tcg, uml))]
             for key in sorted(differ, key=lambda key: -abs(tcg[key] - uml[key]))[:SHOWN]]
    more = f", the {SHOWN} farthest apart" if len(differ) > SHOWN else ""
    head = (f"{len(differ)} of {len(keys)} steps differ by more{more} (MiB):\n\n" if differ else
            "No step differs by more.")
    return summary, head + (table(["storage", "target", "workload", "phase", "`tcg`", "`uml`"], lines, words=4)
                            if lines else "")


def told(name: str, run: Run) -> list[str]:
    m = run.manifest
    return [f"`results/{RUNS[name]}`", code(m.machine.accelerator), m.versions.get("kernel", "unknown").split(" ")[0],
            m.machine.cpu_model, str(m.machine.cpus), m.machine.cache, str(m.repetitions),
            f"{sum(result.seconds for result in m.results) / 60 / m.repetitions:.0f}"]


def page(results: Path) -> str:
    """The page as Markdown.  Raises InputError where a run is missing or damaged."""
    runs = {name: open_run(results / place) for name, place in RUNS.items()}
    both = ratios(runs)
    summary, unequal = counts(runs)
    values: dict[str, Any] = {
        "runs": table(["run", "accelerator", "guest's kernel", "processor", "processors", "cache", "repetitions",
                       "minutes a repetition"], [told(name, run) for name, run in runs.items()], words=4),
        "speeds": speeds(runs), "reference": REFERENCE, "by_phase": agreement(both, "phase", "metric"),
        "by_storage": agreement(both, "storage", "target"), "count": len(both),
        "agreeing": sum(one.agrees for one in both), "apart": apart(both), "counts": summary, "unequal": unequal,
        "n": " and ".join(str(run.manifest.repetitions) for run in runs.values())}
    environment = Environment(autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True,
                              loader=FileSystemLoader(Path(__file__).parent))
    return environment.get_template("machines.md.j2").render(values)


if __name__ == "__main__":
    write_output(Path(sys.argv[2]), page(Path(sys.argv[1])))
