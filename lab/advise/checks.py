"""Statements of the documentation that the runs settle, option by option."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.advise.constraints import Check
from lab.advise.evidence import Measured
from lab.advise.options import OPTIONS, Option
from lab.advise.scores import Scores
from lab.analysis import stats
from lab.analysis.words import mib, number


@dataclass(frozen=True)
class Finding:
    """What the runs say of one option: whether the statement holds (None: they do not settle it), and their numbers."""

    holds: bool | None
    text: str
    folder: str


@dataclass(frozen=True)
class Material:
    """What the checks look at: the run with container steps, and the scores over the profile's writes of data."""

    steps: Measured | None
    writes: Scores


def settle(check: Check, option: Option, material: Material) -> Finding | None:
    """None where nothing about the option was measured."""
    return _CHECKS[check](option, material)


def ratio_words(found: stats.Estimate) -> str:
    """A ratio with its interval, or how many repetitions it lacks for one.

    >>> ratio_words(stats.Estimate(0.5, None, None, 1, None))
    '0.500 × (one repetition: no interval)'
    """
    if found.low is None or found.high is None:
        few = "one repetition" if found.n == 1 else f"{found.n} repetitions"
        return f"{number(found.centre)} × ({few}: no interval)"
    return f"{number(found.centre)} × ({number(found.low)} to {number(found.high)}, n = {found.n})"


def _keeps_deleted(option: Option, material: Material) -> Finding | None:
    found = material.steps.deleted(option.label) if material.steps is not None else None
    if found is None or material.steps is None:
        return None
    freed, taken = found
    given = f"gave back {mib(freed)}" if freed > 0 else "gave back nothing"
    return Finding(freed <= 0, f"deleting files that had taken {mib(taken)} {given}", material.steps.folder)


def _grows_most(option: Option, material: Material) -> Finding | None:
    return _against_other_level(option, material, Measured.taken, "the same work took", most=True)


def _copies_least(option: Option, material: Material) -> Finding | None:
    return _against_other_level(option, material, Measured.updated, "the same update took", most=False)


def _against_other_level(option: Option, material: Material, took: Callable[[Measured, str], float | None], words: str,
                         *, most: bool) -> Finding | None:
    """Whether the option took more, or less, than every measured storage whose driver works at the other level."""
    steps = material.steps
    if steps is None:
        return None
    others = {other.label: amount for other in OPTIONS if other.level != option.level
              and (amount := took(steps, other.label)) is not None}
    own = took(steps, option.label)
    if own is None or not others:
        return None
    least, greatest = min(others.values()), max(others.values())
    span = mib(least) if mib(least) == mib(greatest) else f"{mib(least)} to {mib(greatest)}"
    level = next(other.level for other in OPTIONS if other.level != option.level)
    return Finding(own > greatest if most else own < least,
                   f"{words} {mib(own)} here and {span} on those at {level}", steps.folder)


def _writes_fastest(option: Option, material: Material) -> Finding | None:
    writes = material.writes
    rivals = [other for other in writes.logs if other.level != option.level and other.target == option.target]
    if option not in writes.logs or not rivals or writes.measured is None:
        return None
    best = max(rivals, key=lambda other: (writes.mean(other), other))
    slower = any(writes.better(other, option) for other in rivals)
    holds = False if slower else True if all(writes.better(option, other) for other in rivals) else None
    return Finding(holds, f"writes at {ratio_words(writes.ratio(option, best))} the bandwidth of {best.label}",
                   writes.measured.folder)


def _faster_than_layer(option: Option, material: Material) -> Finding | None:
    writes, layer = material.writes, Option(option.label, "layer")
    if option.target == "layer" or option not in writes.logs or layer not in writes.logs or writes.measured is None:
        return None
    holds = True if writes.better(option, layer) else False if writes.better(layer, option) else None
    return Finding(holds, f"writes at {ratio_words(writes.ratio(option, layer))} the bandwidth in the layer",
                   writes.measured.folder)


_CHECKS: Mapping[Check, Callable[[Option, Material], Finding | None]] = {
    "keeps_deleted": _keeps_deleted, "grows_most": _grows_most, "copies_least": _copies_least,
    "writes_fastest": _writes_fastest, "faster_than_layer": _faster_than_layer,
}
