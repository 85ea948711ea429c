"""Statements of the documentation about space that the runs settle, option by option."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.answers.advise.constraints import Check
from lab.answers.advise.evidence import Measured
from lab.answers.advise.options import OPTIONS, Option
from lab.text import mib


@dataclass(frozen=True)
class Finding:
    """What a run says of one option: whether the statement holds there, and its numbers."""

    holds: bool
    text: str
    folder: str
    n: int
    """Repetitions of the option with the fewest."""


def settle(check: Check, option: Option, steps: Measured) -> Finding | None:
    """``steps``: a run with container steps.  None where it lacks what the statement is about."""
    return _CHECKS[check](option, steps)


def _keeps_deleted(option: Option, steps: Measured) -> Finding | None:
    found = steps.deleted(option.label)
    if found is None:
        return None
    freed, taken = found
    given = f"gave back {mib(freed)} at once" if freed > 0 else "gave back nothing at once"
    return Finding(freed <= 0, f"deleting files that had taken {mib(taken)} {given}", steps.folder,
                   steps.counted(option.label))


def _grows_most(option: Option, steps: Measured) -> Finding | None:
    return _against_other_level(option, steps, Measured.taken, "the same work took", most=True)


def _copies_least(option: Option, steps: Measured) -> Finding | None:
    return _against_other_level(option, steps, Measured.updated, "the same update took", most=False)


def _against_other_level(option: Option, steps: Measured, took: Callable[[Measured, str], float | None], words: str,
                         *, most: bool) -> Finding | None:
    """Whether the option took more, or less, than every measured storage whose driver works at the other level."""
    own = took(steps, option.label)
    labels = dict.fromkeys(other.label for other in OPTIONS if other.level != option.level)
    others = {label: amount for label in labels if (amount := took(steps, label)) is not None}
    if own is None or not others:
        return None
    smallest, largest = min(others.values()), max(others.values())
    least, greatest = mib(smallest), mib(largest)
    level = "block level" if option.level == "file level" else "file level"
    return Finding(own > largest if most else own < smallest,
                   f"{words} {mib(own)} here and {least if least == greatest else f'{least} to {greatest}'} on those "
                   f"at {level}", steps.folder, min(map(steps.counted, [option.label, *others])))


_CHECKS: Mapping[Check, Callable[[Option, Measured], Finding | None]] = {
    "keeps_deleted": _keeps_deleted, "grows_most": _grows_most, "copies_least": _copies_least,
}
