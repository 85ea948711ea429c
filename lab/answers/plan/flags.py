"""A plan out of a few numbers: one kind of container on one pool, written as the file that it would be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import InputError
from lab.units import format_bytes, parse_size

if TYPE_CHECKING:
    from lab.answers.plan.plan_file import PlanFile

FILE = Path("FLAGS")
"""The plan's name before a complaint about it is turned into one about a flag."""

_EMPTY = '""'
"""An empty text as YAML has it: without quotes it would be no value, and the default be taken."""

FILE_BYTES = 1024**2
"""About the length of one of the files that a container writes."""


@dataclass(frozen=True)
class Flags:
    """Texts as a user types them, with their units.  ``prune_every`` may be ``never``."""

    storage: str = "direct-lvm"
    pool: str = "100GiB"
    metadata: str | None = None
    vg_free: str | None = None
    chunk_size: str | None = None
    starts_per_day: float = 200.0
    lifetime: str = "1h"
    writes: str = "20MiB"
    updates: str = "4MiB"
    kept_share: float = 0.1
    tags_per_month: float = 4.0
    prune_every: str = "7d"
    days: float = 30.0
    risk_percent: float = 1.0
    seed: int = 1


def plan_of_flags(flags: Flags) -> PlanFile:
    """Raises InputError, which names the flag."""
    from lab.answers.plan.plan_file import read_plan

    lines = _lines(flags)
    with told_by_flag(flags):
        return read_plan(_text(lines), FILE)


@contextmanager
def told_by_flag(flags: Flags) -> Iterator[None]:
    """Turns a complaint about a line of the plan that was made of flags into one about the flag."""
    try:
        yield
    except InputError as error:
        lines, where = _lines(flags), error.where or ""
        number = where.removeprefix(f"{FILE}:") if where.startswith(f"{FILE}:") else ""
        flag = lines[int(number) - 1][1] if number.isdecimal() else ""
        if not flag:
            raise
        raise InputError(error.message.removeprefix(f"{error.where}: "), where=flag, remedy=error.remedy) from None


def _text(lines: list[tuple[str, str]]) -> str:
    return "".join(f"{line}\n" for line, _ in lines)


def _lines(flags: Flags) -> list[tuple[str, str]]:
    """The plan's lines, each with the flag that it says."""
    from lab.scenario.steps import UPDATE_STEP_BYTES

    written = _bytes(flags.writes, "--writes")
    updated = _bytes(flags.updates, "--updates")
    if 0 < updated < UPDATE_STEP_BYTES:
        raise InputError(f"{flags.updates} is less than a page; 0B, or {format_bytes(UPDATE_STEP_BYTES)} and more "
                         "allowed", where="--updates")
    updated = updated // UPDATE_STEP_BYTES * UPDATE_STEP_BYTES
    files = max(1, written // FILE_BYTES)
    lines = [
        ("# Made of the flags of `lab plan`.  Replace what you know better, and run it as `lab plan FILE`.", ""),
        ("name: flags", ""),
        (f"seed: {flags.seed}", "--seed"),
        (f"horizon_days: {flags.days:.15g}", "--days"),
        (f"accepted_risk_percent: {flags.risk_percent:.15g}", "--risk"),
        ("storage:", "--storage"),
        (f"  storage: {flags.storage}", "--storage"),
        (f"  chunk_size: {flags.chunk_size or _EMPTY}" if flags.chunk_size is not None else "", "--chunk-size"),
        ("pool:", "--pool"),
        (f"  data: {flags.pool}", "--pool"),
        (f"  metadata: {flags.metadata or _EMPTY}" if flags.metadata is not None else "", "--metadata"),
        (f"  free: {flags.vg_free or _EMPTY}" if flags.vg_free is not None else "", "--vg-free"),
        ("workload:", ""),
        ("  - name: containers", ""),
        ("    image: lab/app:1", ""),
        ("    steps:", "--writes"),
        ("      - start", "--writes"),
        (f"      - write: {{amount: {written}B, files: {files}}}" if written else "", "--writes"),
        (f"      - update: {{file: large.bin, amount: {updated}B}}" if updated else "", "--updates"),
        (f"    starts_per_day: {flags.starts_per_day:.15g}", "--starts-per-day"),
        (f"    lifetime: {{exponential: {flags.lifetime}}}", "--lifetime"),
        (f"    kept_share: {flags.kept_share:.15g}", "--kept-share"),
        ("images:", ""),
        (f"  - {{image: lab/app:1, tags_per_month: {flags.tags_per_month:.15g}}}", "--tags-per-month"),
        (f"upkeep: {{prune_every: {flags.prune_every or _EMPTY}}}" if flags.prune_every != "never" else "",
         "--prune-every"),
    ]
    return [(line, flag) for line, flag in lines if line]


def _bytes(text: str, flag: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise InputError(str(error), where=flag) from None
