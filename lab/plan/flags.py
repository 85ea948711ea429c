"""A plan out of a few numbers: one kind of container on one pool, written as the file that it would be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.errors import InputError
from lab.plan.plan_file import PlanFile, read_plan
from lab.scenario_steps import UPDATE_STEP_BYTES
from lab.units import parse_size

FILE_BYTES = 1024**2
"""About the length of one of the files that a container writes."""


@dataclass(frozen=True)
class Flags:
    """Texts as a user types them, with their units."""

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
    prune_every: str | None = "7d"
    days: float = 30.0
    risk_percent: float = 1.0
    seed: int = 1


def plan_of_flags(flags: Flags) -> PlanFile:
    """Raises InputError, which names the line of the plan that the flags make."""
    return read_plan(text_of(flags), Path("FLAGS"))


def text_of(flags: Flags) -> str:
    """The plan's YAML.  Raises InputError for sizes that are none."""
    chunk = f", chunk_size: {flags.chunk_size}" if flags.chunk_size else ""
    sizes = [f"data: {flags.pool}", *([f"metadata: {flags.metadata}"] if flags.metadata else []),
             *([f"free: {flags.vg_free}"] if flags.vg_free else [])]
    steps = ["start"]
    if (written := _bytes(flags.writes, "--writes")):
        steps.append(f"write: {{amount: {written}B, files: {max(1, written // FILE_BYTES)}}}")
    if (updated := _bytes(flags.updates, "--updates") // UPDATE_STEP_BYTES * UPDATE_STEP_BYTES):
        steps.append(f"update: {{file: large.bin, amount: {updated}B}}")
    upkeep = f"upkeep: {{prune_every: {flags.prune_every}}}\n" if flags.prune_every else ""
    return (
        "# Made of the flags of `lab plan`.  Replace what you know better, and run it as `lab plan FILE`.\n"
        "name: flags\n"
        f"seed: {flags.seed}\n"
        f"horizon_days: {flags.days:g}\n"
        f"accepted_risk_percent: {flags.risk_percent:g}\n"
        f"storage: {{storage: {flags.storage}{chunk}}}\n"
        f"pool: {{{', '.join(sizes)}}}\n"
        "workload:\n"
        "  - name: containers\n"
        "    image: lab/app:1\n"
        f"    steps: [{', '.join(_step(step) for step in steps)}]\n"
        f"    starts_per_day: {flags.starts_per_day:g}\n"
        f"    lifetime: {{exponential: {flags.lifetime}}}\n"
        f"    kept_share: {flags.kept_share:g}\n"
        "images:\n"
        f"  - {{image: lab/app:1, tags_per_month: {flags.tags_per_month:g}}}\n"
        f"{upkeep}")


def _step(text: str) -> str:
    return text if ": " not in text else f"{{{text}}}"


def _bytes(text: str, flag: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise InputError(str(error), where=flag) from None
