"""Options in order: what excludes, then what was measured, then what the documentation says.

Options that the measurements do not tell apart are ordered by the documentation's statements for and against; those
that these do not tell apart either share a place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.advise.checks import Finding, Material, settle
from lab.advise.constraints import Rule, Told
from lab.advise.options import Option
from lab.advise.scores import Scores, first_shares
from lab.analysis import stats

BY_MEASUREMENT, BY_DOCUMENTATION = "measurement", "documentation"


@dataclass(frozen=True)
class Statement:
    """What one soft rule, or the runs in its stead, says of one option."""

    rule: Rule
    counts: int
    """+1, -1 or 0."""
    documented: bool
    """Whether the documentation says it of this storage."""
    finding: Finding | None
    missing: tuple[str, ...]
    """Facts that the profile leaves out, so that it does not count."""

    @property
    def disagree(self) -> bool:
        """Whether the runs settle it, and otherwise than the documentation has it."""
        return self.finding is not None and self.finding.holds is not None and self.finding.holds != self.documented


@dataclass(frozen=True)
class Excluded:
    option: Option
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Ranked:
    """An option with its place; several with one place are not told apart."""

    option: Option
    place: int
    shared: bool
    decided_by: str | None
    """What sets it behind those before it: ``BY_MEASUREMENT`` or ``BY_DOCUMENTATION``; None in the first place."""
    to_first: stats.Estimate | None
    """Score ÷ that of the option with the highest score; None where nothing was measured."""
    first_share: float | None
    """In what share of bootstrap resamples it has the highest score; None below three repetitions."""
    statements: tuple[Statement, ...]

    @property
    def balance(self) -> int:
        """Statements for it less those against it."""
        return balance(self.statements)


@dataclass(frozen=True)
class Ranking:
    """``unmeasured`` are neither excluded nor placed: the run that others are placed by lacks them."""

    ranked: tuple[Ranked, ...]
    excluded: tuple[Excluded, ...]
    unmeasured: tuple[Option, ...]
    fastest: Option | None
    """The option with the highest score."""

    @property
    def first(self) -> tuple[Ranked, ...]:
        return tuple(one for one in self.ranked if one.place == 1)

    @property
    def tells_something(self) -> bool:
        """Whether not all options share one place."""
        return len({one.place for one in self.ranked}) > 1 or len(self.ranked) == 1


def exclude(options: Sequence[Option], told: Sequence[Told]) -> tuple[list[Option], list[Excluded]]:
    """The options that are left, and those that a hard rule takes out."""
    left, out = [], []
    for option in options:
        against = tuple(one.rule for one in told
                        if one.rule.effect == "exclude" and not one.open and one.rule.concerns(option))
        if against:
            out.append(Excluded(option, against))
        else:
            left.append(option)
    return left, out


def rank(options: Sequence[Option], told: Sequence[Told], scores: Scores, material: Material) -> Ranking:
    """The ranking; the order of ``options`` does not matter.  ``scores`` are those of the options not excluded."""
    left, out = exclude(sorted(options), told)
    placed = [option for option in left if option in scores.logs] or left
    unmeasured = [option for option in left if option not in placed]
    measured = bool(scores.logs)
    by_score = sorted(placed, key=lambda option: (-scores.mean(option) if measured else 0.0, option))
    groups = _groups(by_score, scores.better) if measured else [by_score]
    fastest = by_score[0] if measured and by_score else None
    firsts = first_shares(scores, by_score) if measured else None
    said = {option: statements(option, told, material) for option in placed}
    ranked: list[Ranked] = []
    for group in groups:
        balances = sorted({balance(said[option]) for option in group}, reverse=True)
        for step, value in enumerate(balances):
            same = [option for option in group if balance(said[option]) == value]
            place = len(ranked) + 1
            why = BY_DOCUMENTATION if step else BY_MEASUREMENT if ranked else None
            ranked += [Ranked(option, place, len(same) > 1, why,
                              scores.ratio(option, fastest) if fastest is not None else None,
                              firsts[option] if firsts is not None else None, said[option]) for option in same]
    return Ranking(tuple(ranked), tuple(out), tuple(unmeasured), fastest)


def _groups(by_score: Sequence[Option], better: Callable[[Option, Option], bool]) -> list[list[Option]]:
    """The fastest with all that are not told apart from it, then the fastest of the rest, and so on."""
    groups, remaining = [], list(by_score)
    while remaining:
        lead = remaining[0]
        groups.append([option for option in remaining if option == lead or not better(lead, option)])
        remaining = [option for option in remaining if option not in groups[-1]]
    return groups


def balance(said: Sequence[Statement]) -> int:
    return sum(statement.counts for statement in said)


def statements(option: Option, told: Sequence[Told], material: Material) -> tuple[Statement, ...]:
    """What the soft rules, and the runs, say of an option; only those that concern it."""
    found = []
    for one in told:
        rule = one.rule
        if rule.effect == "exclude" or rule.target not in (None, option.target):
            continue
        documented = rule.concerns(option)
        finding = settle(rule.check, option, material) if rule.check is not None else None
        settled = finding is not None and finding.holds is not None
        holds = finding.holds if finding is not None and settled else documented
        if holds or documented or settled:
            effect = {"for": 1, "against": -1}.get(rule.effect, 0)
            found.append(Statement(rule, effect if holds and not one.open else 0, documented, finding, one.missing))
    return tuple(found)
