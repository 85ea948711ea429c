"""Options in order: what excludes, then what was measured, then what the documentation says.

No option stands before one that the measurements tell to be faster.  Where that leaves a choice, the documentation's
statements for and against make it; options that these do not tell apart either share a place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.analysis import stats
from lab.answers.advise.checks import Finding, settle
from lab.answers.advise.constraints import Rule, Told
from lab.answers.advise.evidence import Measured
from lab.answers.advise.options import Option
from lab.answers.advise.scores import Scores

BY_MEASUREMENT, BY_DOCUMENTATION = "measurement", "documentation"

_COUNTS = {"for": 1, "against": -1}


@dataclass(frozen=True)
class Statement:
    """What one soft rule, or a run in its stead, says of one option."""

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
        """Whether a run settles it otherwise than the documentation has it."""
        return self.finding is not None and self.finding.holds != self.documented


@dataclass(frozen=True)
class Excluded:
    """An option, and the rules of the documentation that exclude it."""

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
    to_fastest: stats.Estimate | None
    """Score ÷ that of the option with the highest score; None where nothing was measured."""
    statements: tuple[Statement, ...]

    @property
    def balance(self) -> int:
        """Statements for it less those against it."""
        return _balance(self.statements)


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
        """The options that share the first place."""
        return tuple(one for one in self.ranked if one.place == 1)

    @property
    def tells_something(self) -> bool:
        """Whether a storage is set apart from another, or only one is left."""
        if self.one_storage:
            return not self.unmeasured
        return len({one.place for one in self.ranked}) > 1

    @property
    def one_storage(self) -> bool:
        """Whether one storage is placed, with its data in one place or in both."""
        return len({one.option.label for one in self.ranked}) == 1


def exclude(options: Sequence[Option], told: Sequence[Told]) -> tuple[list[Option], list[Excluded]]:
    """The options that are left, in their own order, and those that a hard rule takes out."""
    left, out = [], []
    for option in sorted(options):
        against = tuple(one.rule for one in told
                        if one.rule.effect == "exclude" and not one.open and one.rule.concerns(option))
        if against:
            out.append(Excluded(option, against))
        else:
            left.append(option)
    return left, out


def rank(options: Sequence[Option], told: Sequence[Told], scores: Scores, steps: Measured | None) -> Ranking:
    """The ranking; the order of ``options`` does not matter.

    ``scores`` are those of the options that are not excluded; ``steps``: the run that settles statements about space.
    """
    left, out = exclude(options, told)
    said = {option: statements(option, told, steps) for option in left}
    placed = [option for option in left if option in scores.logs] or left
    unmeasured = [option for option in left if option not in placed]
    by_score = sorted(placed, key=scores.mean, reverse=True) if scores.logs else placed
    fastest = by_score[0] if scores.logs else None
    faster = {option: {other for other in by_score if scores.logs and scores.better(other, option)}
              for option in by_score}
    ranked: list[Ranked] = []
    for same in _places(by_score, faster, {option: _balance(said[option]) for option in by_score}):
        before = {one.option for one in ranked if one.place == ranked[-1].place}
        place, shared = len(ranked) + 1, len(same) > 1
        ranked += [Ranked(option, place, shared,
                          None if not before else BY_MEASUREMENT if faster[option] & before else BY_DOCUMENTATION,
                          scores.ratio(option, fastest) if fastest is not None else None, said[option])
                   for option in same]
    return Ranking(tuple(ranked), tuple(out), tuple(unmeasured), fastest)


def _places(by_score: Sequence[Option], faster: Mapping[Option, set[Option]],
            balance: Mapping[Option, int]) -> list[list[Option]]:
    """Of those that no other one left is faster than, the ones with the best balance; and so on with the rest.

    ``faster``: what is told to be faster, by speed.  It follows the means of the scores, so that it has no circle.
    """
    places, remaining = [], list(by_score)
    while remaining:
        free = [option for option in remaining if not faster[option] & set(remaining)]
        best = max(balance[option] for option in free)
        places.append([option for option in free if balance[option] == best])
        remaining = [option for option in remaining if option not in places[-1]]
    return places


def _balance(said: Sequence[Statement]) -> int:
    return sum(statement.counts for statement in said)


def statements(option: Option, told: Sequence[Told], steps: Measured | None) -> tuple[Statement, ...]:
    """What the soft rules, and the run in their stead, say of an option; only those that concern it."""
    found = []
    for one in told:
        rule = one.rule
        if rule.effect == "exclude" or rule.target not in (None, option.target):
            continue
        documented = rule.concerns(option)
        finding = settle(rule.check, option, steps) if rule.check is not None and steps is not None else None
        holds = documented if finding is None else finding.holds
        if holds or documented:
            counts = _COUNTS.get(rule.effect, 0) if holds and not one.open else 0
            found.append(Statement(rule, counts, documented, finding, one.missing))
    return tuple(found)
