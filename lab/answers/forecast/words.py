"""The few sentences that a log's forecast comes to."""

from __future__ import annotations

from lab.answers.forecast.answers import ObservedAnswers, lvm_spec
from lab.answers.forecast.forecast import Chance, Reach
from lab.answers.plan.words import points, when
from lab.text import counted
from lab.units import format_bytes

COVERED_PERCENT = (82, 91)
"""Of 90 % intervals of the level 60 days on, those that held what came: the least and the most of four laws of daily
growth (normal, exponential, lognormal, and days that depend on those before) times four lengths (14, 30, 60 and 90
days), 300 logs each.  A test has a part of them again."""


def verdict(found: ObservedAnswers) -> str:
    """Whether the pool holds, and what would."""
    asked, data, chance = found.asked, found.forecast.data, found.chance
    word = {True: "holds", False: "does not hold", None: "may hold (the paths leave it open)"}[found.holds]
    pool = found.forecast.growth.observed.pool or "the pool"
    extended = found.extended
    room = (f", which LVM extends up to {format_bytes(extended.layout.last_bytes)},"
            if extended is not None and extended.layout.steps else "")
    said = (f"{pool} with {format_bytes(data.total_bytes)} of data{room} {word}: {_what(found)} are full within "
            f"{asked.days:g} d with probability {share(chance)}, if it goes on growing as in the log, and "
            f"{100 * asked.risk:g} % is accepted.")
    if found.data_bytes is None or found.data_bytes_with_a_tenth_free is None:
        return f"{said} Which size would do is not told: {found.forecast.paths} paths are too few for that risk."
    metadata = "" if found.metadata_bytes is None else f", with {format_bytes(found.metadata_bytes)} of metadata"
    return (f"{said} {format_bytes(found.data_bytes)} of data would do, and "
            f"{format_bytes(found.data_bytes_with_a_tenth_free)} to keep a tenth free as well{metadata}.")


def notes(found: ObservedAnswers) -> list[str]:
    """What has to be known before the numbers are believed."""
    low, high = COVERED_PERCENT
    told = [f"In simulated logs of 14 to 90 days the 90 % intervals held what came in {low} to {high} % of cases, by "
            "the law of growth: least where single days weigh much or days depend on one another. A log whose growth "
            "changes is in none of them."]
    if found.extended is not None:
        told.append(_extended(found))
    if (kernel := found.metadata_by_rule) is not None:
        told.append(f"The kernel's rule, 48 B for each data block, gives {format_bytes(kernel)} of metadata for the "
                    "size with a tenth free; take the larger of the two.")
    observed = found.forecast.growth.observed
    if found.forecast.metadata is not None and observed.has_reserve is False:
        told.append("The kernel of the log keeps no reserve of metadata; from 4.20 on it keeps a tenth, at most 16 "
                    "MiB, and shows it as used.")
    if any(repair.kind == "sparse file" for repair in observed.repairs):
        told.append("The pool lies on sparse files: what the file system below them has left counts, where that is "
                    "less than their length. Other files there may take it as well.")
    told.append("Docker makes no container while less than a tenth of the pool is free (dm.min_free_space), so the day "
                "of 90 % is the one on which its users notice.")
    return [*told, *(f"{one[:1].upper()}{one[1:]}." for one in found.forecast.warnings)]


def repairs(found: ObservedAnswers) -> list[str]:
    """Each way in which the log was mended, with its count and lines; one sentence if it was whole."""
    mended = found.forecast.growth.observed.repairs
    return [str(repair) for repair in mended] or ["none: nothing had to be mended"]


def source(found: ObservedAnswers) -> str:
    """What was drawn from, and how."""
    forecast, growth = found.forecast, found.forecast.growth
    return (f"{counted(len(growth.observed.frame), 'sample')} over {growth.observed.span_days:.3g} d from "
            f"{growth.observed.start} on, {format_bytes(growth.mean_bytes_per_day)} a day on average; "
            f"{forecast.paths} paths of blocks of {counted(forecast.block_cells, growth.step)}, seed {forecast.seed}. "
            "Probabilities have 95 % intervals for the number of paths alone.")


def _what(found: ObservedAnswers) -> str:
    return "data" if found.forecast.metadata is None else "data or metadata"


def _extended(found: ObservedAnswers) -> str:
    assert found.extended is not None
    layout, spec = found.extended.layout, lvm_spec()
    if not layout.steps:
        return (f"No extension fits: {spec.autoextend_percent} % are {format_bytes(layout.next_step_bytes)}, and "
                f"{format_bytes(layout.free_bytes)} are free.")
    return (f"If LVM extends the data by {spec.autoextend_percent} % from {spec.autoextend_threshold} % on, "
            f"{counted(layout.steps, 'extension')} fit, up to {format_bytes(layout.last_bytes)}; with that, "
            f"{_what(found)} are full within {found.asked.days:g} d with probability "
            f"{share(found.extended.full[-1])}.")


def share(chance: Chance) -> str:
    """A probability with its interval.

    >>> share(Chance(30.0, 0.06, 0.024, 0.14))
    '6 % (2.4 to 14)'
    """
    return f"{points(chance.probability)} % ({points(chance.low)} to {points(chance.high)})"


def reached(reach: Reach, days: float) -> tuple[str, str, str, str]:
    """Median, 90 % interval, the share of the paths that do not get there, and what a straight line says."""
    line = "never" if reach.straight_line_days is None else f"{reach.straight_line_days:.3g}"
    return (when(reach.median_days, days), f"{when(reach.low_days, days)} to {when(reach.high_days, days)}",
            f"{points(reach.censored)} %", line)
