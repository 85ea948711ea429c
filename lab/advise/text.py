"""The advice as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from lab.advise.advice import Advice
from lab.advise.constraints import Rule
from lab.advise.document import ORDER, SCORE
from lab.advise.options import Option
from lab.advise.ranking import Ranked, Statement
from lab.analysis.reference_parts import percent, ratio_text
from lab.analysis.reference_runs import whole_repetitions
from lab.analysis.words import MIB, counted, joined, number

WIDTH = 110

_WOULD = {"exclude": "would exclude", "for": "would count for", "against": "would count against"}


def format_advice(advice: Advice) -> str:
    """Sections with empty lines between them."""
    sections = [_head(advice), _ranking(advice), _forecast(advice), _jobs(advice), _volumes(advice), _rules(advice),
                _excluded(advice), _open(advice), _gaps(advice), _runs(advice)]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def _head(advice: Advice) -> list[str]:
    profile, scores = advice.profile, advice.scores
    lines = [f"{profile.name}: {profile.purpose}, {percent(profile.reads.share)} reads, "
             f"{percent(profile.writes.share)} writes, {counted(profile.host.containers, 'container')} of one image"]
    if scores.measured is None:
        lines.append("Speed: no run measured what this workload does; the ranking rests on the documentation.")
    else:
        manifest = scores.measured.run.manifest
        machine = "an emulated machine" if manifest.machine.emulated else "a machine that was not emulated"
        lines.append(f"Speed: {scores.measured.folder}, n = {scores.n}, on {machine}; it measured "
                     f"{percent(scores.coverage)} of these reads and writes")
        if manifest.status == "partial":
            lines.append(f"That run is partial: {whole_repetitions(manifest)} of "
                         f"{counted(manifest.repetitions, 'repetition')} whole")
    if advice.steps is not None and advice.steps is not scores.measured:
        lines.append(f"Space that was measured: {advice.steps.folder}")
    return lines


def _ranking(advice: Advice) -> list[str]:
    if not advice.ranking.ranked:
        return ["No storage is left: the documentation excludes every one (below)."]
    head = ["place", "storage", "data in", "score", "for - against", "set apart by"]
    rows = [[f"{one.place}{'=' if one.shared else ''}", one.option.label, one.option.target,
             ratio_text(one.to_fastest), f"{one.balance:+d}", one.decided_by or ""] for one in advice.ranking.ranked]
    return [*_table(head, rows), *_wrapped("=: shares its place, not told apart by measurement or documentation. "
                                           f"Score: {SCORE}. Order: {ORDER}.")]


def _forecast(advice: Advice) -> list[str]:
    """What one container takes and gives back, an option a row."""
    if advice.forecasts is None or not advice.ranking.ranked:
        return []
    containers = advice.profile.host.containers
    rows = [_forecast_row(one, advice) for one in advice.ranking.ranked]
    return ["Space of one container by the model, MiB:",
            *_table(["storage", "data in", "takes", f"times {containers:,}", "delete gives back", "trim", "rm"], rows),
            *_wrapped(f"In {joined(advice.forecasts.images)} instead of your image; the image itself is not counted.")]


def _forecast_row(one: Ranked, advice: Advice) -> list[str]:
    assert advice.forecasts is not None
    found, containers = advice.forecasts.by_option[one.option], advice.profile.host.containers
    name = [one.option.label, one.option.target]
    if found.failed:
        return [*name, f"no forecast: {found.failed}", "", "", "", ""]
    amounts = (found.taken_bytes, found.taken_bytes * containers, found.delete_bytes, found.trim_bytes,
               found.remove_bytes)
    return [*name, *("–" if amount is None else number(amount / MIB) for amount in amounts)]


def _jobs(advice: Advice) -> list[str]:
    """The measured ratios behind the scores, an option a row and a job a column."""
    scores, fastest = advice.scores, advice.ranking.fastest
    if fastest is None:
        return []
    head = ["storage", "data in", *(f"{share.phase} ({percent(share.weight)})" for share in scores.covered)]
    rows = [[one.option.label, one.option.target,
             *(ratio_text(scores.job_ratio(share, one.option, fastest)) for share in scores.covered)]
            for one in advice.ranking.ranked]
    caveats = [share.caveat for share in scores.covered if share.caveat]
    return [f"Bandwidth ÷ that of {fastest.words} (weights in brackets):", *_table(head, rows),
            *_wrapped(f"Nearest measured job, not the same: {'; '.join(caveats)}." if caveats else "")]


def _volumes(advice: Advice) -> list[str]:
    if not advice.volumes:
        return []
    lines = [f"What belongs into a volume on {advice.volume_of} (bandwidth in a volume ÷ in the layer):"]
    lines += _table(["part", "share", "ratio", "n", "measured"], [
        [part.share.kind, percent(part.share.weight), ratio_text(part.ratio), str(part.ratio.n), part.verdict]
        for part in advice.volumes])
    if advice.profile.write_heavy:
        lines += _wrapped("The documentation puts the data of write-heavy work into volumes: that decides where the "
                          "measurement does not.")
    return lines


def _rules(advice: Advice) -> list[str]:
    """Each soft rule once, with what it counts for, and where a run shows something else."""
    lines = []
    for told in advice.told:
        said = [(one.option, statement) for one in advice.ranking.ranked for statement in one.statements
                if statement.rule.id == told.rule.id]
        if said:
            lines += _wrapped(f"{told.rule.effect}: {told.rule.says} [{_source(told.rule)}]", first=2, then=6)
            counts = [option for option, statement in said if statement.counts]
            lines += _wrapped(f"counts {told.rule.effect}: {_options(counts)}" if counts else "", first=6, then=8)
            lines += _measured("a run shows otherwise", [pair for pair in said if pair[1].disagree])
            lines += _measured("a run agrees", [pair for pair in said if not pair[1].disagree])
    return ["What the documentation says, and what the runs say to it:", *lines] if lines else []


def _measured(verb: str, said: Sequence[tuple[Option, Statement]]) -> list[str]:
    """Options of which a run has the same numbers together."""
    by_text: dict[str, list[Option]] = {}
    for option, statement in said:
        if statement.finding is not None:
            by_text.setdefault(f"{statement.finding.text} ({statement.finding.folder})", []).append(option)
    return [line for text, options in by_text.items()
            for line in _wrapped(f"{verb}: {_options(options)}: {text}", first=6, then=8)]


def _excluded(advice: Advice) -> list[str]:
    by_rules: dict[tuple[str, ...], tuple[list[Option], tuple[Rule, ...]]] = {}
    for one in advice.ranking.excluded:
        by_rules.setdefault(tuple(rule.id for rule in one.rules), ([], one.rules))[0].append(one.option)
    lines = []
    for options, rules in by_rules.values():
        lines += [f"  {_options(options)}"]
        for rule in rules:
            remedy = f" Instead: {rule.remedy}." if rule.remedy else ""
            lines += _wrapped(f"{rule.says} [{_source(rule)}]{remedy}", first=6, then=6)
    return ["Excluded by the documentation:", *lines] if lines else []


def _open(advice: Advice) -> list[str]:
    lines = []
    for told in advice.told:
        if told.open:
            would = _WOULD.get(told.rule.effect, "would be said of")
            lines += _wrapped(f"{joined(told.missing)}: {told.rule.id} {would} {joined(told.rule.storages)}", first=2,
                              then=4)
    return ["Not known from the profile, and left open:", *lines] if lines else []


def _gaps(advice: Advice) -> list[str]:
    lines = []
    for gap in advice.gaps:
        lines += [*_wrapped(gap.says, first=2, then=2), f"    {gap.command}"]
    return ["Where the evidence is thin, and what would settle it:", *lines] if lines else []


def _runs(advice: Advice) -> list[str]:
    """What was left out: values of the runs that are used, and whole runs."""
    repairs = [f"  {told}" for run in advice.used for told in run.repairs_told]
    refused = [f"  {sentence}" for sentence in advice.found.refused]
    return [*(["Values that were left out or merged:", *repairs] if repairs else []),
            *(["Runs that were not used:", *refused] if refused else [])]


def _source(rule: Rule) -> str:
    return rule.source + (f"; removed in Docker {rule.removed_in}" if rule.removed_in else "")


def _options(options: Iterable[Option]) -> str:
    """Labels, each with its target where only one is there.

    >>> _options([Option("loop-lvm", "layer"), Option("direct-lvm", "layer"), Option("direct-lvm", "volume")])
    'loop-lvm (layer), direct-lvm'
    """
    by_label: dict[str, list[str]] = {}
    for option in options:
        by_label.setdefault(option.label, []).append(option.target)
    return ", ".join(label if len(targets) > 1 else f"{label} ({targets[0]})" for label, targets in by_label.items())


def _wrapped(text: str, *, first: int = 0, then: int = 0) -> list[str]:
    """``first`` and ``then``: how far the first line and the others are indented."""
    return textwrap.wrap(text, WIDTH, initial_indent=" " * first, subsequent_indent=" " * then, break_long_words=False,
                         break_on_hyphens=False)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [head, *rows]]
