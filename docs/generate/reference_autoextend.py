"""The reference page on autoextend: whether LVM extended a pool that passed its threshold."""

from __future__ import annotations

from dataclasses import dataclass

from lab.analysis.facts import Facts
from lab.report.markdown import paragraph, table
from lab.runs.records import Manifest
from lab.text import joined, mib, number

TITLE = "**Autoextend.**"


@dataclass(frozen=True)
class Filling:
    """A pool that was filled.  Sizes in bytes at the phases' ends; ``fullest`` is a share of the pool of then."""

    label: str
    data_percent: float | None
    metadata_percent: float | None
    threshold_percent: float | None
    first_bytes: float
    largest_bytes: float
    fullest: float
    step_percent: float | None = None

    @property
    def needs(self) -> tuple[float, float] | None:
        """Percent of the volume group that an extension takes, and that is free beside data, metadata and its spare."""
        if self.data_percent is None or self.metadata_percent is None or self.step_percent is None:
            return None
        return self.data_percent * self.step_percent / 100, 100 - self.data_percent - 2 * self.metadata_percent

    @property
    def grew(self) -> bool:
        return self.largest_bytes > self.first_bytes

    @property
    def passed(self) -> bool:
        """Whether it became as full as the threshold from which LVM ought to extend it, or was extended."""
        return self.grew or (self.threshold_percent is not None and 100 * self.fullest >= self.threshold_percent)


def fillings(facts: Facts) -> list[Filling]:
    """Each pool of the run, in the scenario's order."""
    found = []
    for label in facts.labels:
        own = facts.frame[(facts.frame["label"] == label) & (facts.frame["workload"] != "setup")]
        pool, used = (own[own["metric"] == metric]["value"].tolist() for metric in ("pool_data_total", "storage_used"))
        if not pool or len(pool) != len(used):
            continue
        options = facts.storages[label].options
        data, metadata, threshold, step = (
            float(value) if isinstance(value := options.get(name), int | float) else None
            for name in ("data_percent", "metadata_percent", "autoextend_threshold", "autoextend_percent"))
        found.append(Filling(label, data, metadata, threshold, pool[0], max(pool),
                             max(taken / total for taken, total in zip(used, pool, strict=True)), step))
    return found


def autoextend_block(facts: Facts, manifest: Manifest) -> list[str]:
    """Sizes and fullness in a table, and which pools LVM extended."""
    found = fillings(facts)
    failed = [result for result in manifest.results if result.status == "failed"]
    broken = [f"{result.cell} failed: {result.error.output.strip()[:200] if result.error else 'unknown'}."
              for result in failed]
    if not found:
        return [paragraph([f"{TITLE} No pool was measured.", *broken])]
    rows = [[one.label, _percent(one.data_percent), _percent(one.metadata_percent), _percent(one.threshold_percent),
             mib(one.first_bytes), mib(one.largest_bytes), f"{100 * one.fullest:.1f}"] for one in found]
    head = ["storage", "data, % of the group", "metadata, %", "threshold, %", "pool at first", "pool at its largest",
            "fullest, %"]
    said = (f"{TITLE} Docker's documentation gives a pool 95 % of its volume group and its metadata 1 %, and has LVM "
            "extend it by 20 % from 80 % on.")
    return [paragraph([said, *autoextend_sentences(found), *broken]), table(head, rows)]


def autoextend_sentences(found: list[Filling]) -> list[str]:
    """What became of the pools: extended, not extended although past the threshold, or never past it."""
    grew = [f"{one.label} ({_layout(one)}) grew from {mib(one.first_bytes)} to {mib(one.largest_bytes)}"
            for one in found if one.grew]
    stuck = [f"{one.label} ({_layout(one)}) became {100 * one.fullest:.1f} % full" for one in found
             if one.passed and not one.grew]
    never = [one.label for one in found if not one.passed]
    short = {one.needs for one in found if one.passed and not one.grew and one.needs and one.needs[0] > one.needs[1]}
    return [text for text in (
        f"Past the threshold, and yet never extended: {joined(stuck)}." if stuck else "",
        *(f"An extension there takes {number(needed)} % of the group, of which, beside data, metadata and a spare as "
          f"large as the metadata, {number(free)} % is free." for needed, free in sorted(short)),
        f"Extended: {joined(grew)}." if grew else "No pool was ever extended.",
        f"Not filled up to the threshold, so that nothing can be said: {joined(never)}." if never else "") if text]


def _layout(one: Filling) -> str:
    return f"{_percent(one.data_percent)} % data and {_percent(one.metadata_percent)} % metadata"


def _percent(value: float | None) -> str:
    return "–" if value is None else number(value)
