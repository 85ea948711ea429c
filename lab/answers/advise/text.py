"""The advice as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from lab.analysis import stats
from lab.analysis.facts import percent, ratio_text
from lab.answers.advise.advice import Advice
from lab.answers.advise.constraints import Rule
from lab.answers.advise.options import Option, names
from lab.answers.advise.ranking import BY_DOCUMENTATION, Ranked, Statement
from lab.runs.records import whole_repetitions
from lab.text import MIB, counted, joined, number
from lab.units import format_bytes

WIDTH = 110

LEAST_SHOWN = 0.05
"""A job of less weight is in the JSON document only."""

_WOULD = {"exclude": "would exclude", "for": "would count for", "against": "would count against"}


def format_advice(advice: Advice) -> str:
    """Sections with empty lines between them."""
    sections = [_head(advice), _answer(advice), _ranking(advice), _gaps(advice), _volumes(advice), _forecast(advice),
                _jobs(advice), _rules(advice), _excluded(advice), _open(advice), _runs(advice)]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def _head(advice: Advice) -> list[str]:
    profile, scores = advice.profile, advice.scores
    lines = [f"{profile.name}: {profile.purpose}, {percent(profile.reads.share)} reads, "
             f"{percent(profile.writes.share)} writes, {counted(profile.host.containers, 'container')} of one image"]
    if not advice.ranking.ranked:
        return lines
    if scores.measured is None:
        lines.append("Speed: no run measured what this workload does; the ranking rests on the documentation.")
    else:
        manifest = scores.measured.run.manifest
        machine = ("an emulated machine" if manifest.machine.emulated else
                   "user-mode Linux" if manifest.machine.on_uml else "a machine that was not emulated")
        lines.append(f"Speed: {scores.measured.folder}, n = {scores.n}, on {machine}; it measured "
                     f"{percent(scores.coverage)} of these reads and writes")
        if manifest.machine.on_uml:
            lines.append("Loop files look faster there than they are (docs/machines.md): do not take loop-lvm for it")
    if advice.steps is not None and advice.steps is not scores.measured:
        lines.append(f"Space that was measured: {advice.steps.folder}")
    return lines + [f"Partial: of {run.folder}, {whole_repetitions(run.run.manifest)} of "
                    f"{counted(run.run.manifest.repetitions, 'repetition')} are whole"
                    for run in advice.used if run.run.manifest.status == "partial"]


def _ranking(advice: Advice) -> list[str]:
    if not advice.ranking.ranked:
        return ["No storage is left: the documentation excludes every one (below)."]
    head = ["place", "storage", "data in", "score", "for - against", "set apart by"]
    rows = [[f"{one.place}{'=' if one.shared else ''}", one.option.label, one.option.target,
             ratio_text(one.to_fastest), f"{one.balance:+d}", one.decided_by or ""] for one in advice.ranking.ranked]
    return [*_table(head, rows), *_wrapped(
        "=: shares its place. Score: weighted mean of the bandwidths ÷ the highest. Order: none before one that is "
        "told to be faster; then by the documentation's statements for less those against. docs/advise.md has the "
        "method.")]


def _answer(advice: Advice) -> list[str]:
    """The first place in words, and what it rests on."""
    ranking, scores = advice.ranking, advice.scores
    if not ranking.ranked:
        return []
    if not ranking.tells_something and ranking.one_storage:
        return _wrapped(f"First: none. Of the storages that are left only {ranking.ranked[0].option.label} was "
                        "measured.")
    if not ranking.tells_something:
        return ["First: none. Neither speed nor the documentation tells these options apart."]
    behind = [one for one in ranking.ranked if one.place > 1]
    leader = max((one.option for one in ranking.first if one.option in scores.logs), key=scores.mean, default=None)
    slower = [one for one in behind if leader is not None and scores.better(leader, one.option)]
    if leader is None or scores.n < stats.MIN_N:
        why = "Speed decides nothing here" + (
            "." if leader is None else f": n = {scores.n}, and it takes {stats.MIN_N} to tell two apart.")
    else:
        why = (f"Speed sets {counted(len(slower), 'option')} of {len(behind)} behind it "
               f"({100 * stats.LEVEL:.0f} % intervals, n = {scores.n}).")
    if any(one.decided_by == BY_DOCUMENTATION and one not in slower for one in behind):
        why += " The documentation's statements set the others behind." if slower else (
            " The order is that of the documentation's statements, and of counts of space where a run has them.")
    if ranking.one_storage and not ranking.unmeasured:
        why += " The documentation excludes every other storage."
    return _wrapped(f"First: {_either([one.option for one in ranking.first])}. {why}")


def _forecast(advice: Advice) -> list[str]:
    """What one container takes and gives back, an option a row."""
    if advice.forecasts is None or not advice.ranking.ranked:
        return []
    containers = advice.profile.host.containers
    rows = [_forecast_row(one, advice) for one in advice.ranking.ranked]
    amounts = [amount for one in advice.forecasts.by_option.values() for amount in (one.delete_bytes, one.trim_bytes)]
    negative = "Below 0: the step itself took room. " if any((amount or 0) < 0 for amount in amounts) else ""
    return ["Space of one container, MiB (simulated by the model, not measured):",
            *_table(["storage", "data in", "takes", f"times {containers:,}", "delete gives back", "trim", "rm"], rows),
            *_wrapped(f"{negative}In {joined(advice.forecasts.images)} instead of your image; the image itself is "
                      "not counted.")]


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
    """The measured ratios behind the scores, an option a row and a job a column; light jobs are left out."""
    scores, fastest = advice.scores, advice.ranking.fastest
    if fastest is None:
        return []
    heavy = [share for share in scores.covered if share.weight >= LEAST_SHOWN] or scores.covered
    light = [share for share in scores.covered if share not in heavy]
    ratios = {one.option: [scores.job_ratio(share, one.option, fastest) for share in heavy]
              for one in advice.ranking.ranked}
    ns = sorted({found.n for row in ratios.values() for found in row if found.n})
    n = "n = " + (f"{ns[0]} to {ns[-1]}" if len(ns) > 1 else str(ns[0]))
    head = ["storage", "data in", *(f"{share.phase} ({percent(share.weight)})" for share in heavy)]
    rows = [[option.label, option.target, *map(ratio_text, row)] for option, row in ratios.items()]
    left = f"{counted(len(light), 'lighter job')} ({percent(sum(share.weight for share in light))} together) are in " \
           "--json. " if light else ""
    return [f"Bandwidth ÷ that of {fastest.words} ({n}; weights in brackets):", *_table(head, rows),
            *_wrapped(left + _other_sizes(advice))]


def _other_sizes(advice: Advice) -> str:
    """Where the profile's operations are of other sizes than those of the jobs that stand for them."""
    told = []
    for size_bytes in sorted({share.size_bytes for share in advice.scores.covered if share.caveat}):
        blocks = sorted({share.block_bytes for share in advice.scores.covered
                         if share.caveat and share.size_bytes == size_bytes})
        told.append(f"{format_bytes(size_bytes)} in the profile and {joined(list(map(format_bytes, blocks)))} in the "
                    "jobs")
    return f"Operations are of other sizes than those measured: {'; '.join(told)}." if told else ""


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
            lines += _wrapped(f"counts {told.rule.effect}: {names(counts)}" if counts else "", first=6, then=8)
            lines += _measured("a run shows otherwise", [pair for pair in said if pair[1].disagree])
            lines += _measured("a run agrees", [pair for pair in said if not pair[1].disagree])
    return ["What the documentation says, and what the runs say to it:", *lines] if lines else []


def _measured(verb: str, said: Sequence[tuple[Option, Statement]]) -> list[str]:
    """Options of which a run has the same numbers together."""
    by_text: dict[str, list[Option]] = {}
    for option, statement in said:
        if statement.finding is not None:
            told = f"{statement.finding.text} ({statement.finding.folder}, n = {statement.finding.n})"
            by_text.setdefault(told, []).append(option)
    return [line for text, options in by_text.items()
            for line in _wrapped(f"{verb}: {names(options)}: {text}", first=6, then=8)]


def _excluded(advice: Advice) -> list[str]:
    by_rules: dict[tuple[str, ...], tuple[list[Option], tuple[Rule, ...]]] = {}
    for one in advice.ranking.excluded:
        by_rules.setdefault(tuple(rule.id for rule in one.rules), ([], one.rules))[0].append(one.option)
    lines = []
    for options, rules in by_rules.values():
        lines += [f"  {names(options)}"]
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


def _either(options: Sequence[Option]) -> str:
    """Options as alternatives.

    >>> _either([Option("overlay2-ext4", "volume"), Option("overlay2-xfs", "volume")])
    'overlay2-ext4 or overlay2-xfs, data in a volume'
    >>> _either([Option("overlay2-ext4", "layer"), Option("overlay2-ext4", "volume")])
    'overlay2-ext4, data in the layer or in a volume'
    """
    if len(options) > 1 and len({option.label for option in options}) == 1:
        return f"{options[0].words} or in {'the layer' if options[1].target == 'layer' else 'a volume'}"
    if len({option.target for option in options}) > 1:
        return ", or ".join(option.words for option in options)
    return " or ".join([*(option.label for option in options[:-1]), options[-1].words])


def _source(rule: Rule) -> str:
    return rule.source + (f"; removed in Docker {rule.removed_in}" if rule.removed_in else "")


def _wrapped(text: str, *, first: int = 0, then: int = 0) -> list[str]:
    """``first`` and ``then``: how far the first line and the others are indented."""
    return textwrap.wrap(text, WIDTH, initial_indent=" " * first, subsequent_indent=" " * then, break_long_words=False,
                         break_on_hyphens=False)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [head, *rows]]
