"""The answers of a run in sentences that each stand alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.analysis import stats
from lab.analysis.comparisons import (
    GROWTH_FLOOR_BYTES,
    Compared,
    arm_ratios,
    compare_storages,
    usual_reference,
)
from lab.analysis.noise import Judgement
from lab.metrics import BANDWIDTHS, GROWTHS, growth_of
from lab.report import simulated
from lab.runs.records import Manifest
from lab.runs.store import Run
from lab.scenario.phases import is_first, phase_kind
from lab.scenario.steps import FREEING
from lab.text import amount, counted, joined, ns, number, optional, records, unique
from lab.units import format_bytes

if TYPE_CHECKING:
    import pandas as pd

DRIFT_LIMIT = 0.01
"""A guest's clock that drifts more than this makes its times useless."""


@dataclass(frozen=True)
class Finding:
    """One part of the summary: a heading, and sentences that each stand alone."""

    topic: str
    sentences: list[str]


def summary_sentences(run: Run) -> list[str]:
    """The run's answers in plain sentences, most important first; no sentence needs another."""
    return [sentence for finding in findings(run) for sentence in finding.sentences]


def findings(run: Run) -> list[Finding]:
    """The summary by topic: the run itself, its arms, space, first write, layer and volume, storages, noise."""
    frame = stats.prepare(run.measurements)
    if run.manifest.simulated:
        return _findings_of_the_model(run, frame)
    found = [Finding("The run", _completeness(run))]
    if frame.empty:
        found[0].sentences.append("Nothing was measured, so there is nothing to compare.")
        return found
    found += [Finding("Space", _space_sentences(frame)),
              Finding("First write against rewrite", _rewrite_sentences(frame)),
              Finding("Layer against volume", _layer_sentences(frame)),
              Finding("Storage against storage", _winner_sentences(frame)),
              Finding("Noise", _noise_sentences(frame))]
    found.insert(1, Finding("Candidate against baseline", _arm_sentences(frame)))
    return [finding for finding in found if finding.sentences]


def _findings_of_the_model(run: Run, frame: pd.DataFrame) -> list[Finding]:
    """Space only: the model's times are parameters, of which no storage is the winner."""
    found = [Finding("The run", simulated.run_sentences(run.manifest))]
    space = _space_sentences(frame) if len(frame) else []
    return [*found, *([Finding("Space", space)] if space else [])]


def machine_sentence(run: Run) -> str:
    """What the machine was, and what that makes of its times; of a simulated run that there was none."""
    if run.manifest.simulated:
        return simulated.machine_sentence(run.manifest)
    m = run.manifest.machine
    what = (f"{m.cpus} processors ({m.cpu_model}), {format_bytes(m.memory_bytes)} of memory, "
            f"pool disk {format_bytes(m.pool_disk_bytes)} and spare disk {format_bytes(m.spare_disk_bytes)} "
            f"({m.disks}; cache {m.cache}), box {m.box}, on a host with {m.host_cpus} processors "
            f"(kernel {m.host_kernel}).")
    if m.emulated:
        return (f"The machine was EMULATED ({m.accelerator}): its absolute times mean little; read ratios, and space. "
                f"It had {what}")
    if m.on_uml:
        return ("The machine was USER-MODE LINUX: one processor, system calls dear, the rest at the host's own speed. "
                "A flush ends in the host's memory, and loop files in the guest's: loop-lvm looks faster than it is. "
                f"Read other ratios, and space. It had {what}")
    return f"The machine ran on {m.accelerator}. It had {what}"


def worst_drift(m: Manifest) -> float | None:
    """The largest drift of the guest's clock against the host's, as a share with its sign; None if never checked."""
    return max((check.drift for check in m.clock), key=abs, default=None)


def _completeness(run: Run) -> list[str]:
    results = run.manifest.results
    failed = [r for r in results if r.status == "failed"]
    done = len(results) - len(failed)
    expected = len(run.manifest.order)
    text = f"{done} of {max(expected, len(results))} cell runs were done"
    text += f", {len(failed)} failed" if failed else ", none failed"
    text += f"; {counted(run.manifest.repetitions, 'repetition')} asked for."
    if run.manifest.repetitions < stats.MIN_N:
        text += " With fewer than 3, no interval is given and no winner named: read the numbers as one observation."
    sentences = [text]
    if (told := run.manifest.repeat_until) is not None:
        sentences.append(f"It was repeated until a ratio was known: {Judgement(told, True).sentence}; {told.reason}.")
    if run.manifest.status == "partial":
        sentences.append("The run is PARTIAL: it was not finished, and what is missing may change every answer below.")
    if (drift := worst_drift(run.manifest)) is not None and abs(drift) > DRIFT_LIMIT:
        sentences.append(f"The guest's clock DRIFTED by up to {drift:+.1%} against the host's: do not trust its times.")
    return sentences


def _arm_sentences(frame: pd.DataFrame) -> list[str]:
    """How many comparisons tell the arms apart, and the span of the ratios in each workload."""
    table = arm_ratios(frame, (*BANDWIDTHS, "duration"))
    table = table[table["workload"] != "setup"]
    if table.empty:
        return ["No cell was measured in both arms."] if stats.has_arms(frame) else []
    rows = records(table)
    apart = [row for row in rows if stats.estimate(row).settled]
    text = (f"Of {counted(len(rows), 'comparison')} of bandwidth or duration, {len(apart)} tell candidate and baseline "
            f"apart")
    if any(row["low"] == row["low"] and row["low"] is not None for row in rows):
        text += f"; by chance about {number(len(rows) * (1 - stats.LEVEL))} would where nothing differs"
    sentences = [text + "."]
    for metrics, told in ((BANDWIDTHS, "bandwidth"), (("duration",), "time")):
        sentences += [f"{place_phrase(target, workload)}, the candidate's {told} was, against the baseline's, "
                      f"{ratio_ranges(part)}." for (target, workload), part in by_target(
                          table[table["metric"].isin(metrics)], "target", "workload")]
    return sentences


def _noise_sentences(frame: pd.DataFrame) -> list[str]:
    """How much each kind of number varies over repetitions, and where most."""
    table = stats.variation(frame[frame["workload"] != "setup"])
    table = table[table["variation"].notna()]
    told = []
    for name, own in (("bandwidth", table["metric"].isin(BANDWIDTHS)), ("duration", table["metric"] == "duration"),
                      ("space taken or given back", table["metric"].isin(GROWTHS)
                       & (table["mean"].abs() > GROWTH_FLOOR_BYTES))):
        part = table[own]
        if len(part):
            worst = max(records(part), key=lambda row: float(row["variation"]))
            told.append(f"{name} by {float(part['variation'].median()):.1%} (most in {worst['phase']} on "
                        f"{worst['label']}, {worst['target']}: {worst['variation']:.1%})")
    if not told:
        return []
    return [f"Over the repetitions varied, by the median of the coefficients of variation, {joined(told)}."]


def _space_sentences(frame: pd.DataFrame) -> list[str]:
    """For each workload and target: what each way of giving space back gave, and what the costliest write took."""
    summary = stats.summarise(frame)
    written = summary[(summary["metric"] == "application_bytes") & (summary["median"] > 0)]
    returns, costs = [], []
    for (target, workload), part in by_target(summary, "target", "workload"):
        growth = part[part["metric"] == growth_of(target)]
        told = []
        for phase in dict.fromkeys(growth["phase"]):
            if phase_kind(str(phase)) in FREEING:
                rows = records(growth[growth["phase"] == phase])
                returned = [(str(row["label"]), _returned_words(row)) for row in rows]
                told.append(f"at {phase}, {same_words_together(returned)}")
        if told:
            returns.append(f"{place_phrase(target, workload)}: {'; '.join(told)} ({ns(growth['n'])}).")
        asked = written[(written["workload"] == workload) & (written["target"] == target)]
        if (cost := _costliest_phase(growth, asked)) is not None:
            costs.append(f"{place_phrase(target, workload)}: {cost}.")
    return returns + costs


def _costliest_phase(growth: pd.DataFrame, asked: pd.DataFrame) -> str | None:
    """The phase in which some storage took most space for each byte that was written, in words."""
    both = growth.merge(asked[["label", "phase", "median"]], on=["label", "phase"], suffixes=("", "_written"))
    if both.empty:
        return None
    both["times"] = both["median"] / both["median_written"]
    phase = max(records(both), key=lambda row: float(row["times"]))["phase"]
    rows = both[both["phase"] == phase]
    said = same_words_together([(str(row["label"]),
                     f"took {amount(float(row['median']), 'B')} ({amount(float(row['times']), 'ratio')})")
                    for row in records(rows)])
    asked_for = amount(float(rows["median_written"].median()), "B")
    return (f"the costliest writes were those of {phase}: for {asked_for} that the application wrote, {said} "
            f"({ns(rows['n'])})")


def _rewrite_sentences(frame: pd.DataFrame) -> list[str]:
    table = stats.rewrite_against_first(frame)
    groups = by_target(table[table["ratio"].notna()], "target", "workload")
    return [f"{place_phrase(target, workload)}, a rewrite ran, against the first write's bandwidth, at "
            f"{ratio_ranges(rows)}." for (target, workload), rows in groups]


def _layer_sentences(frame: pd.DataFrame) -> list[str]:
    table = stats.layer_against_volume(frame, BANDWIDTHS)
    table = table[table["ratio"].notna() & table["phase"].map(is_first).astype(bool)]
    return [f"{workload}: a first pass in the layer ran, against the same job in the volume, at {ratio_ranges(rows)}."
            for workload, rows in table.groupby("workload", sort=False)]


def _winner_sentences(frame: pd.DataFrame) -> list[str]:
    verdicts = compare_storages(frame)
    if not verdicts:
        return []
    named = [v for v in verdicts if v.winner]
    wins = unique(v.winner for v in named if v.winner)
    said = [f"{label} was fastest in {sum(v.winner == label for v in named)}" for label in wins]
    reasons = "; or ".join(unique(v.reason.split(": ", 1)[-1] for v in verdicts if not v.winner))
    if not named:
        text = f"No winner named in any of {counted(len(verdicts), 'bandwidth comparison')}: {reasons}"
    else:
        text = f"Of {counted(len(verdicts), 'bandwidth comparison')}, {joined(said)}"
        text += f"; in {len(verdicts) - len(named)} no winner named: {reasons}" if len(named) < len(verdicts) else ""
    sentences = [text + "."]
    reference = usual_reference(frame)
    table = stats.ratios(frame, BANDWIDTHS, reference=reference)
    table = table[table["ratio"].notna() & table["phase"].map(is_first).astype(bool)]
    sentences += [f"{place_phrase(target, workload)}, first passes ran, against {reference}'s bandwidth, "
                  f"at {ratio_ranges(rows)}." for (target, workload), rows in by_target(table, "target", "workload")]
    groups: dict[tuple[str, str, str], list[Compared]] = {}
    for v in named:
        groups.setdefault((v.target, v.workload, v.winner or ""), []).append(v)
    for (target, workload, winner), won in groups.items():
        against: dict[str, list[stats.Estimate]] = {}
        for v in won:
            for other, found in v.beaten:
                against.setdefault(other, []).append(found)
        spans = [f"{ratio_range(found)} that of {other}" for other, found in against.items()]
        jobs = joined([v.phase for v in won])
        sentences.append(f"{place_phrase(target, workload)}, {winner} had the highest bandwidth in {jobs}: "
                         f"{joined(spans)}.")
    return sentences


def by_target(frame: pd.DataFrame, *keys: str) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    """Groups in a reader's order: layer before volume."""
    return sorted(((tuple(map(str, key)), part) for key, part in frame.groupby(list(keys), sort=False)),
                  key=lambda item: item[0][0])


def place_phrase(target: str, workload: str) -> str:
    """Where a sentence's numbers were taken: target and workload."""
    return f"In the {target} ({workload})"


def same_words_together(said: Sequence[tuple[str, str]]) -> str:
    """``a and b gave back nothing, c gave back 5 MiB``: names that share their words share a clause."""
    names: dict[str, list[str]] = {}
    for name, words in said:
        names.setdefault(words, []).append(name)
    return joined([f"{joined(group)} {words}" for words, group in names.items()])


def ratio_ranges(rows: pd.DataFrame) -> str:
    """Each storage's ratios over all jobs."""
    return joined([f"{ratio_range([stats.estimate(row) for row in records(part)])} on {label}"
                  for label, part in sorted(rows.groupby("label", sort=False), key=lambda x: stats.rank(str(x[0])))])


def ratio_range(found: Sequence[stats.Estimate]) -> str:
    """One ratio with its interval; of several the smallest and the largest, and the reach of all their intervals."""
    if len(found) == 1:
        return ratio_with_interval(found[0])
    centres = [one.centre for one in found]
    text = f"{number(min(centres))} to {number(max(centres))} × ({len(found)} jobs, "
    counts = sorted({one.n for one in found})
    text += f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")
    lows, highs = [x.low for x in found if x.low is not None], [x.high for x in found if x.high is not None]
    if len(lows) < len(found):
        return text + ", no interval)"
    text += f", intervals within {number(min(lows))} to {number(max(highs))}"
    unsettled = sum(not one.settled for one in found)
    if unsettled == len(found):
        return text + "; not told apart from 1)"
    return text + (f"; {unsettled} not told apart from 1)" if unsettled else ")")


def ratio_with_interval(found: stats.Estimate) -> str:
    """One ratio with its interval and n, and whether it is told apart from 1."""
    if found.low is None or found.high is None:
        return f"{number(found.centre)} × (n = {found.n}, no interval)"
    text = (f"{number(found.centre)} × ({stats.LEVEL:.0%} interval {number(found.low)} to {number(found.high)}, "
            f"n = {found.n}")
    return text + (")" if found.settled else "; not told apart from 1)")


def _returned_words(row: dict[str, Any]) -> str:
    growth = float(row["median"])
    if abs(growth) < GROWTH_FLOOR_BYTES:
        return "gave back nothing"
    text = f"gave back {amount(-growth, 'B')}" if growth < 0 else f"took another {amount(growth, 'B')}"
    low, high = optional(row["low"]), optional(row["high"])
    if low is None or high is None or high - low < GROWTH_FLOOR_BYTES:
        return text
    ends = sorted((-low, -high)) if growth < 0 else [low, high]
    return f"{text} ({amount(ends[0], 'B')} to {amount(ends[1], 'B')})"
