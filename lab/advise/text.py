"""The advice as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from lab.advise.advice import Advice
from lab.advise.checks import ratio_words
from lab.advise.constraints import Rule
from lab.advise.document import ORDER, SCORE
from lab.advise.options import Option
from lab.advise.ranking import Ranked, Statement
from lab.analysis import stats
from lab.analysis.reference_parts import percent, ratio_text
from lab.analysis.words import MIB, joined, number

WIDTH = 110


def format_advice(advice: Advice) -> str:
    """Sections with empty lines between them."""
    sections = [_head(advice), _ranking(advice), _jobs(advice), _volumes(advice), _rules(advice), _excluded(advice),
                _open(advice), _gaps(advice), _notes(advice)]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def _head(advice: Advice) -> list[str]:
    profile, scores = advice.profile, advice.scores
    lines = [f"{profile.name}: {profile.purpose}, {percent(profile.reads.share)} reads, "
             f"{percent(profile.writes.share)} writes, {profile.host.containers} containers of one image"]
    if scores.measured is None:
        return [*lines, "Speed: no run measured what this workload does; the ranking rests on the documentation."]
    machine = "emulated machine" if scores.measured.run.manifest.machine.emulated else "virtual machine or host"
    lines += [f"Speed: {scores.measured.folder}, n = {scores.n}, {machine}; it measured "
              f"{percent(scores.coverage)} of these reads and writes"]
    if advice.steps is not None and advice.steps is not scores.measured:
        lines.append(f"Space that was measured: {advice.steps.folder}")
    return lines


def _ranking(advice: Advice) -> list[str]:
    if not advice.ranking.ranked:
        return ["No storage is left: the documentation excludes every one (below)."]
    head = ["place", "storage", "data in", "score", "for - against", "set apart by"]
    boot = any(one.first_share is not None for one in advice.ranking.ranked)
    rows = [[f"{one.place}{'=' if one.shared else ''}", one.option.label, one.option.target,
             ratio_text(one.to_first) if one.to_first is not None else "–", f"{one.balance:+d}",
             one.decided_by or "", *([_share(one)] if boot else []), *_forecast_row(one, advice)]
            for one in advice.ranking.ranked]
    head += ["first in"] if boot else []
    head += ["takes", "delete", "trim", "rm"] if advice.forecasts else []
    lines = [*_table(head, rows), *_wrapped("=: shares its place, not told apart by measurement or documentation. "
                                            f"Score: {SCORE}. Order: {ORDER}.")]
    if boot:
        lines += _wrapped("First in: the share of bootstrap resamples of the repetitions in which it scores highest.")
    if advice.scores.measured is not None and advice.scores.n < stats.MIN_N:
        few = "One repetition" if advice.scores.n == 1 else f"{advice.scores.n} repetitions"
        lines += _wrapped(f"{few}: no interval, so that no score is told apart and the documentation orders.")
    if advice.forecasts:
        lines += _wrapped("Takes, delete, trim, rm: MiB that one container takes and that each gives back, by the "
                          f"model, in {joined(advice.forecasts.images)} instead of your image.")
        lines += [f"  {option.label}: no forecast: {found.failed}" for option, found
                  in advice.forecasts.by_option.items() if found.failed and option.target == "layer"]
    return lines


def _share(one: Ranked) -> str:
    return "–" if one.first_share is None else percent(one.first_share)


def _forecast_row(one: Ranked, advice: Advice) -> list[str]:
    if advice.forecasts is None:
        return []
    found = advice.forecasts.by_option[one.option]
    if found.failed:
        return ["–"] * 4
    amounts = (found.taken_bytes, found.delete_bytes, found.trim_bytes, found.remove_bytes)
    return ["–" if amount is None else number(amount / MIB) for amount in amounts]


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
    lines += _table(["part", "share", "ratio", "measured"], [
        [part.share.kind, percent(part.share.weight), ratio_words(part.ratio), part.verdict]
        for part in advice.volumes])
    if advice.profile.write_heavy:
        lines += _wrapped("The documentation puts all data of write-heavy work into volumes (Device Mapper and Docker "
                          "performance: Performance best practices); it decides where the measurement does not.")
    return lines


def _rules(advice: Advice) -> list[str]:
    """Each soft rule once, with what it counts for, and where the runs show something else."""
    by_rule: dict[str, list[tuple[Option, Statement]]] = {}
    for one in advice.ranking.ranked:
        for statement in one.statements:
            by_rule.setdefault(statement.rule.id, []).append((one.option, statement))
    lines = []
    for told in advice.told:
        said = by_rule.get(told.rule.id, [])
        if said:
            lines += _wrapped(f"{told.rule.effect:8}{told.rule.says} [{_source(told.rule)}]", hang=10)
            lines += _counted(said)
    return ["What the documentation says, and what the runs say to it:", *lines] if lines else []


def _counted(said: Sequence[tuple[Option, Statement]]) -> list[str]:
    rule = said[0][1].rule
    counts = [option for option, statement in said if statement.counts]
    lines = _wrapped(f"counts for: {_options(counts)}", indent=10) if counts else []
    if rule.check is None:
        return lines
    for verb, kept in (("the runs show otherwise", [pair for pair in said if pair[1].disagree]),
                       ("the runs agree", [pair for pair in said if _agrees(pair[1])]),
                       ("not settled by the runs", [pair for pair in said if _unsettled(pair[1])])):
        by_text: dict[str, list[Option]] = {}
        for option, statement in kept:
            if statement.finding is not None:
                by_text.setdefault(f"{statement.finding.text} ({statement.finding.folder})", []).append(option)
        lines += [line for text, options in by_text.items()
                  for line in _wrapped(f"{verb}, and count: {_options(options)}: {text}" if "not" not in verb else
                                       f"{verb}: {_options(options)}: {text}", indent=10)]
    return lines


def _agrees(statement: Statement) -> bool:
    return statement.finding is not None and statement.finding.holds is True and not statement.disagree


def _unsettled(statement: Statement) -> bool:
    return statement.finding is not None and statement.finding.holds is None


def _excluded(advice: Advice) -> list[str]:
    by_rules: dict[tuple[str, ...], tuple[list[Option], tuple[Rule, ...]]] = {}
    for one in advice.ranking.excluded:
        by_rules.setdefault(tuple(rule.id for rule in one.rules), ([], one.rules))[0].append(one.option)
    lines = []
    for options, rules in by_rules.values():
        lines += [f"  {_options(options)}"]
        for rule in rules:
            remedy = f" Instead: {rule.remedy}." if rule.remedy else ""
            lines += _wrapped(f"{rule.says} [{_source(rule)}]{remedy}", indent=6)
    return ["Excluded by the documentation:", *lines] if lines else []


def _open(advice: Advice) -> list[str]:
    lines = []
    for told in advice.told:
        if told.open:
            would = {"exclude": "would exclude", "for": "would count for", "against": "would count against"}.get(
                told.rule.effect, "would be said of")
            lines += _wrapped(f"{' and '.join(told.missing)}: {told.rule.id} {would} {joined(told.rule.storages)}",
                              indent=2)
    return ["Not known from the profile, and left open:", *lines] if lines else []


def _gaps(advice: Advice) -> list[str]:
    lines = []
    for gap in advice.gaps:
        lines += _wrapped(gap.says, indent=2)
        if gap.command is not None:
            lines.append(f"    {gap.command}")
    return ["Where the evidence is thin, and what would settle it:", *lines] if lines else []


def _notes(advice: Advice) -> list[str]:
    refused = [f"  {sentence}" for sentence in advice.found.refused]
    return ["Runs that were not used:", *refused] if refused else []


def _source(rule: Rule) -> str:
    return rule.source + (f"; removed in Docker {rule.removed_in}" if rule.removed_in else "")


def _options(options: Iterable[Option]) -> str:
    """Labels with their targets, both together where both are there.

    >>> _options([Option("loop-lvm", "layer"), Option("direct-lvm", "layer"), Option("direct-lvm", "volume")])
    'loop-lvm (layer), direct-lvm'
    """
    by_label: dict[str, list[str]] = {}
    for option in options:
        by_label.setdefault(option.label, []).append(option.target)
    return ", ".join(label if len(targets) > 1 else f"{label} ({targets[0]})" for label, targets in by_label.items())


def _wrapped(text: str, *, indent: int = 0, hang: int | None = None) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * (2 if hang is not None else indent),
                         subsequent_indent=" " * (indent if hang is None else hang), break_long_words=False,
                         break_on_hyphens=False)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [head, *rows]]
