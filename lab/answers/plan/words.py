"""The few sentences that a plan's numbers come to."""

from __future__ import annotations

from lab.answers.plan.answers import LEVEL, Chance, Days
from lab.answers.plan.levers import Difference
from lab.answers.plan.planning import Answers, Tested, group_for
from lab.answers.plan.sizing import STEPS_WANTED, Layout, Needed, layout
from lab.scenario.storage import NEVER_EXTENDED
from lab.units import format_bytes


def verdict(found: Answers) -> str:
    """Whether the planned storage holds, and what would."""
    plan, chance = found.plan, found.chance
    word = {True: "holds", False: "does not hold", None: "may hold (the replications leave it open)"}[found.holds]
    if found.holds and chance.high > plan.risk:
        word = "holds (by the size that would do, not by a count)"
    group, percents = found.capacity.group(), plan.storage.extension_percent
    room = None if group is None else layout("", group, percents)
    extended = f", which LVM extends up to {format_bytes(room.last_bytes)}," if room is not None and room.steps else ""
    said = (f"{format_bytes(found.capacity.data_bytes)}{extended} {word}: something is refused, or has to wait, within "
            f"{plan.horizon_days:g} d with probability {percent(chance)}, and {plan.accepted_risk_percent:g} % is "
            f"accepted. ")
    metadata = "" if found.metadata is None else f" and {format_bytes(found.metadata.wanted)} of metadata"
    alone = " without any extension" if extended else ""
    return said + f"{format_bytes(found.data_bytes)} of data{metadata} would do{alone} ({interval(found.data)})."


def notes(found: Answers) -> list[str]:
    """What has to be known before the numbers are believed."""
    told = [_how_sized(found.data)]
    if found.holds is None:
        told.append(f"{found.n} replications are too few to tell whether the risk is kept: --replications "
                    f"{more_replications(found)} tells more.")
    if found.metadata is not None and found.capacity.metadata_bytes < found.metadata.wanted:
        told.append(f"The planned metadata, {format_bytes(found.capacity.metadata_bytes)}, are less than the "
                    f"{format_bytes(found.metadata.wanted)} that would do: extensions add data, not metadata, and "
                    "dm.min_free_space counts both.")
    told += [_autoextend(one.layout, one, found) for one in found.tested if one.layout is not None]
    if found.plan.storage.on_lvm:
        told.append(_group(found))
    if (best := found.best_chunk) is not None and best is not found.chunks[0] and best.difference is not None:
        told.append(f"Data blocks of {format_bytes(best.chunk_bytes)} would need "
                    f"{format_bytes(-best.difference.mean)} less on average. First writes of small pieces are cheaper "
                    "with small blocks, long ones with large blocks: `lab run` measures that.")
    if found.plan.is_pool:
        told.append("Docker 25 has no devicemapper any more; containerd's devmapper snapshotter uses such a pool "
                    "still.")
    return told


def more_replications(found: Answers) -> int:
    """So many may settle what these leave open."""
    return max(2 * found.n, found.data.replications_to_count)


def _how_sized(needed: Needed) -> str:
    if needed.how == "counted":
        return f"Sizes are counted from the peaks of {needed.n} replications, whatever their law."
    return (f"Sizes are carried on from the peaks of {needed.n} replications by Gumbel's law of maxima, and may be too "
            f"small where few containers are huge; --replications {needed.replications_to_count} counts them without "
            "a law.")


def _autoextend(room: Layout, tested: Tested, found: Answers) -> str:
    """What LVM can do in one layout, and what came of it."""
    if not found.plan.storage.extension_percent:
        fits = f"LVM extends nothing, because the threshold is {NEVER_EXTENDED} %"
    elif room.steps:
        fits = f"{room.steps} extensions fit, up to {format_bytes(room.last_bytes)}"
    else:
        fits = (f"no extension fits: it asks for {format_bytes(room.next_step_bytes)}, and "
                f"{format_bytes(room.free_bytes)} are free")
    return (f"Layout {room.name}: {format_bytes(tested.capacity.data_bytes)} of data; {fits}. LVM extended it in "
            f"{tested.extended.hits} of {tested.extended.n} replications; something was refused, or had to wait, in "
            f"{tested.limited.hits}.")


def _group(found: Answers) -> str:
    group, plan = group_for(found), found.plan
    assert group is not None
    has = found.capacity.extents
    tail = "." if has >= group.extents else f"; the plan's has {format_bytes(has * 4 * 1024**2)}."
    step = plan.storage.extension_percent
    room = f", and room for {STEPS_WANTED} extensions by {step} %" if step else ""
    return (f"A volume group of {format_bytes(group.extents * 4 * 1024**2)} holds the size that would do, with its "
            f"metadata and LVM's spare{room}{tail}")


def percent(chance: Chance) -> str:
    """A probability with its interval.

    >>> percent(Chance(3, 50))
    '6 % (2.4 to 14 %; 3 of 50)'
    """
    return (f"{points(chance.value)} % ({points(chance.low)} to {points(chance.high)} %; {chance.hits} of "
            f"{chance.n})")


def interval(needed: Needed) -> str:
    """The quantile with its interval, which too few replications do not have."""
    if not needed.has_interval:
        return f"{format_bytes(needed.estimate)}, of {needed.n} replications: too few for an interval"
    return (f"{format_bytes(needed.estimate)}, {LEVEL:.0%} interval {format_bytes(needed.low)} to "
            f"{format_bytes(needed.high)}")


def when(value: float | None, days: float) -> str:
    """Days, or that they lie beyond the horizon."""
    return f"> {days:g}" if value is None else f"{value:.3g}"


def range_of(one: Days, days: float) -> str:
    """Where 90 % of the replications lie."""
    return f"{when(one.low, days)} to {when(one.high, days)}"


def short(chance: Chance) -> str:
    """A probability with its interval, for a table.

    >>> short(Chance(0, 50))
    '0 % (0 to 5.1)'
    """
    return f"{points(chance.value)} % ({points(chance.low)} to {points(chance.high)})"


def change(one: Difference) -> str:
    """A difference in bytes with its interval; what the interval leaves open is said."""
    if one.low is None or one.high is None:
        return f"{_signed(one.mean)} (n = {one.n})"
    if one.low == one.high == 0:
        return "none"
    tail = "" if one.settled else ", open"
    return f"{_signed(one.mean)} ({_signed(one.low)} to {_signed(one.high)}{tail})"


def _signed(size_bytes: float) -> str:
    return f"{'+' if size_bytes > 0 else ''}{format_bytes(round(size_bytes))}"


def points(share: float) -> str:
    """A share in percent, with two digits.

    >>> points(1.0), points(0.0513)
    ('100', '5.1')
    """
    value = 100 * share
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
