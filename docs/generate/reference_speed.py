"""The reference page on speed: first write against rewrite, layer against volume, one storage against another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from written_page import Section

from lab.analysis import stats
from lab.analysis.comparisons import BANDWIDTHS, GROWTH_FLOOR_BYTES, inverse
from lab.analysis.facts import (
    ALL_PHASES,
    FILES,
    Facts,
    difference,
    job_name,
    median_note,
    mib_text,
    ratio_note,
    ratio_text,
)
from lab.analysis.verdicts import verdict
from lab.report.findings import ratio_range
from lab.report.markdown import paragraph, table
from lab.text import MIB, counted, joined, mib, number, records
from lab.units import format_bytes

if TYPE_CHECKING:
    import pandas as pd

IN_PLACE = "rand-write-4k-fdatasync"
"""The reference job that writes, in both passes, into blocks that another job wrote before."""

Key = tuple[str, ...]
Found = dict[Key, dict[str, stats.Estimate]]
"""A row's words -> label -> the ratio."""


def first_write_section(facts: Facts) -> Section:
    """Bandwidth of the first write ÷ the rewrite, in the layer and in the volume."""
    found = first_against_rewrite(facts.frame)
    if not found:
        return Section("First write against rewrite", ["No job was run twice over the same file."])
    said = [one for row in found.values() for one in row.values()]
    beyond = layer_beyond_volume(facts)
    blocks = ["Bandwidth of the first write ÷ bandwidth of the rewrite; below 1, the first write is the slower one:",
              ratio_table(facts, found, ["job", "written to"]),
              paragraph([ratio_note(said), *_first_sentences(facts, found)])]
    if beyond:
        both = [one for row in beyond.values() for one in row.values()]
        blocks += ["A volume lies on a plain ext4 without a pool, so that what is slow there is the file system's own. "
                   "The layer's ratio ÷ the volume's; below 1, the layer's first write is slowed by more than that. (A "
                   "pool's layers hold XFS; overlay2-xfs shows what that is without a pool.)",
                   ratio_table(facts, beyond, ["job"]), paragraph([ratio_note(both), _beyond_sentence(beyond)])]
    return Section("First write against rewrite", blocks)


def first_against_rewrite(frame: pd.DataFrame) -> Found:
    """(job, target) -> label -> first ÷ rewrite."""
    found: Found = {}
    rows = stats.rewrite_against_first(frame)
    for row in sorted(records(rows), key=lambda row: str(row["target"])):
        one = stats.estimate(row)
        if one.n and one.centre == one.centre:
            found.setdefault((str(row["phase"]), str(row["target"])), {})[str(row["label"])] = inverse(one)
    return dict(sorted(found.items(), key=lambda item: _job_order(frame, item[0])))


def _job_order(frame: pd.DataFrame, key: Key) -> tuple[int, str]:
    jobs = list(dict.fromkeys(frame.sort_values("workload", kind="stable")["phase"]))
    return (jobs.index(key[0]) if key[0] in jobs else len(jobs), key[-1])


def layer_beyond_volume(facts: Facts) -> Found:
    """(job,) -> label -> (first ÷ rewrite in the layer) ÷ (the same in the volume), paired by repetition."""
    frame = facts.frame[facts.frame["metric"] == "write_bandwidth"]
    found: Found = {}
    for (workload, phase), part in frame.groupby(["workload", "phase"], sort=False):
        again = frame[(frame["workload"] == workload) & (frame["phase"] == f"{phase}#2")]
        for label in facts.labels:
            sides = [_by_repetition(first, later) for target in ("layer", "volume")
                     if len(first := part[(part["label"] == label) & (part["target"] == target)])
                     and len(later := again[(again["label"] == label) & (again["target"] == target)])]
            if len(sides) == 2 and (shared := sorted(set(sides[0]) & set(sides[1]))):
                one = stats.ratio_interval([sides[0][r] for r in shared], [sides[1][r] for r in shared])
                found.setdefault((str(phase),), {})[label] = one
    return found


def _by_repetition(first: pd.DataFrame, later: pd.DataFrame) -> dict[int, float]:
    """Repetition -> first ÷ later, where both are above zero."""
    later_by = {int(row["repetition"]): float(row["value"]) for row in records(later)}
    return {int(row["repetition"]): float(row["value"]) / later_by[int(row["repetition"])] for row in records(first)
            if later_by.get(int(row["repetition"]), 0.0) > 0 and row["value"] > 0}


def _first_sentences(facts: Facts, found: Found) -> list[str]:
    """For each job, the span over the pools in the layer and in the volume."""
    jobs, told = [], []
    for job in dict.fromkeys(key[0] for key in found):
        spans = [f"{span_of(list(own.values()))} in the {target}" for target in ("layer", "volume")
                 if (own := {label: one for label, one in found.get((job, target), {}).items()
                             if label in facts.pools()})]
        if spans:
            jobs.append(f"`{job}` at {joined(spans)}")
    if jobs:
        told.append(f"On the pools, the first write ran, against the rewrite, with {'; '.join(jobs)}.")
    if any(key[0] == IN_PLACE for key in found):
        told.append(f"`{IN_PLACE}` writes into blocks that were there before in both passes, so that it should "
                    "be near 1 and shows the noise.")
    return told


def span_of(found: list[stats.Estimate]) -> str:
    """The smallest and the largest ratio, without their intervals, which stand in the table."""
    centres = [one.centre for one in found]
    low, high = number(min(centres)), number(max(centres))
    return f"{low} ×" if low == high else f"{low} to {high} ×"


def _beyond_sentence(found: Found) -> str:
    told = [(f"`{key[0]}` on {label}", one) for key, row in found.items() for label, one in row.items()]
    below = [name for name, one in told if one.settled and one.centre < 1]
    above = [name for name, one in told if one.settled and one.centre > 1]
    if all(one.low is None for _, one in told):
        return "Without intervals, none of these ratios is told apart from 1."
    if not below and not above:
        return "No interval excludes 1: nothing here is told apart from the file system's own cost."
    return paragraph([f"Told apart from 1, the layer slower: {joined(below)}." if below else "",
                      f"Told apart from 1, the volume slower: {joined(above)}." if above else ""])


def ratio_table(facts: Facts, found: Found, words: list[str]) -> str:
    rows = [[*key, *(ratio_text(row.get(label)) for label in facts.labels)] for key, row in found.items()]
    return table([*words, *facts.labels], rows, words=len(words))


# -- layer against volume ----------------------------------------------------------------------------------------


def layer_section(facts: Facts) -> Section:
    """Bandwidth in the layer ÷ in the volume."""
    title = "Layer against volume"
    found: Found = {}
    for row in records(stats.layer_against_volume(facts.frame, BANDWIDTHS)):
        one = stats.estimate(row)
        if one.n and one.centre == one.centre:
            found.setdefault((job_name(str(row["phase"]), str(row["metric"])),), {})[str(row["label"])] = one
    if not found:
        return Section(title, ["No job was run in both a layer and a volume."])
    said = [one for row in found.values() for one in row.values()]
    return Section(title, ["Bandwidth in the layer ÷ bandwidth in the volume; below 1, the layer is slower:",
                           ratio_table(facts, dict(sorted(found.items(), key=lambda item: "#" in item[0][0])),
                                       ["job"]),
                           paragraph([ratio_note(said), verdicts_told(found, "layer", "volume")])])


def verdicts_told(found: Found, top: str, bottom: str) -> str:
    """In how many comparisons which of the two had the higher bandwidth, and why the others are open."""
    verdicts = [verdict(one, top, bottom, higher=True) for row in found.values() for one in row.values()]
    named = [one.winner for one in verdicts if one.winner]
    counts = [f"the {side} was faster in {named.count(side)}" if side in ("layer", "volume") else
              f"{side} was faster in {named.count(side)}" for side in (top, bottom) if side in named]
    if not named:
        return (f"None of the {counted(len(verdicts), 'comparison')} is settled: "
                + "; ".join(dict.fromkeys(one.reason.split(": ", 1)[-1] for one in verdicts)) + ".")
    if len(named) < len(verdicts):
        reasons = dict.fromkeys(one.reason.split(": ", 1)[-1] for one in verdicts if not one.winner)
        counts.append(f"{len(verdicts) - len(named)} {'is' if len(verdicts) - len(named) == 1 else 'are'} open "
                      f"({'; '.join(reasons)})")
    return f"Of {counted(len(verdicts), 'comparison')}, {joined(counts)}."


# -- one storage against another -----------------------------------------------------------------------------------


def pair_section(facts: Facts, title: str, top: str, bottom: str) -> Section:
    """Two storages side by side: what each phase took in the layer, and the ratio of their bandwidths."""
    if missing := [label for label in (top, bottom) if label not in facts.labels]:
        return Section(title, [f"{joined(missing)} was not measured."])
    blocks = [_options_told(facts, top, bottom)]
    if facts.phases("layer"):
        blocks += ["Growth in the layer, MiB:", *_space_blocks(_in_both(facts, top, bottom), top, bottom)]
    found = _pair_ratios(facts, top, bottom)
    if found:
        said = [one for row in found.values() for one in row.values()]
        rows = [[*key, *(ratio_text(row.get(target)) for target in ("layer", "volume"))] for key, row in found.items()]
        blocks += [f"Bandwidth of {top} ÷ bandwidth of {bottom}; below 1, {top} is slower:",
                   table(["job", "in the layer", "in the volume"], rows),
                   paragraph([ratio_note(said), *_pair_sentences(found, top, bottom)])]
    return Section(title, blocks)


def _in_both(facts: Facts, top: str, bottom: str) -> Facts:
    """The two storages' container steps, in the repetitions that both have."""
    own = facts.frame[facts.frame["label"].isin([top, bottom]) & (facts.frame["workload"] == FILES)]
    counts = own.groupby("repetition")["label"].nunique()
    return Facts(own[own["repetition"].isin(list(counts[counts == 2].index))], facts.storages)


def _options_told(facts: Facts, top: str, bottom: str) -> str:
    ours, theirs = (facts.storages[label].options for label in (top, bottom))
    sizes = [facts.chunk_bytes(label) for label in (top, bottom)]
    blocks = (f"Both have data blocks of {format_bytes(sizes[0])}" if sizes[0] and sizes[0] == sizes[1] else
              "Their data blocks differ: " + joined([f"{label} has {format_bytes(size) if size else 'none'}"
                                                      for label, size in zip((top, bottom), sizes, strict=True)]))
    differ = [name.replace("_", " ") for name in ours if name in theirs and ours[name] != theirs[name]
              and name != "chunk_size_bytes"]
    return blocks + (f"; they differ in {joined(differ)}." if differ else
                     ", and what options they share have the same values.")


def _space_blocks(facts: Facts, top: str, bottom: str) -> list[str]:
    rows, apart = [], []
    block = max(facts.chunk_bytes(label) or 0 for label in (top, bottom))
    for phase in [*facts.phases("layer"), ALL_PHASES]:
        found = difference(facts, top, bottom, phase)
        if not found.n:
            continue
        if abs(found.centre) > max(block, GROWTH_FLOOR_BYTES) and phase != ALL_PHASES:
            apart.append(f"`{phase}` ({'+' if found.centre > 0 else ''}{mib(found.centre)})")
        text = number(found.centre / MIB)
        if found.low is not None and found.high is not None and found.low != found.high:
            text += f" ({number(found.low / MIB)} to {number(found.high / MIB)})"
        rows.append([phase, *(mib_text(facts.summary_row(label, "layer", phase, "storage_growth"))
                              for label in (top, bottom)), text])
    if not rows:
        return ["No repetition has both."]
    same = f"by more than one data block, {top} against {bottom}"
    told = (f"On the median they differ {same}, in {joined(apart)}." if apart else
            f"On the median they differ in no phase {same}; single repetitions may, by what XFS wrote one phase "
            "earlier or later.")
    note = median_note([facts.summary_row(label, "layer", ALL_PHASES, "storage_growth") for label in (top, bottom)])
    return [table(["phase", top, bottom, "difference"], rows),
            paragraph([note, "The difference is the median of the repetitions' differences.", told])]


def _pair_ratios(facts: Facts, top: str, bottom: str) -> Found:
    """(job,) -> target -> the ratio of the two storages' bandwidths."""
    own = facts.frame[facts.frame["label"].isin([top, bottom]) & (facts.frame["value"] > 0)]
    found: Found = {}
    for row in records(stats.ratios(own.sort_values("workload", kind="stable"), BANDWIDTHS, reference=bottom)):
        one = stats.estimate(row)
        if one.n and one.centre == one.centre:
            found.setdefault((job_name(str(row["phase"]), str(row["metric"])),), {})[str(row["target"])] = one
    return dict(sorted(found.items(), key=lambda item: "#" in item[0][0]))


def _pair_sentences(found: Found, top: str, bottom: str) -> list[str]:
    spans = [f"In the {target}, {top} ran at {ratio_range(own)} the bandwidth of {bottom}."
             for target in ("layer", "volume") if (own := [row[target] for row in found.values() if target in row])]
    return [*spans, verdicts_told(found, top, bottom)]
