"""Runs -> rows and notices -> one verdict, and what to do where it is open."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from lab.answers.gate.counts import block_bytes_of, comparable, judge_counts, totals_of, with_totals
from lab.answers.gate.effects import PAIRED_METHOD, UNPAIRED_METHOD
from lab.answers.gate.fingerprint import Difference, differences, fingerprint
from lab.answers.gate.looks import next_look
from lab.answers.gate.rows import ENVIRONMENT, Notice, Row, Status, overall
from lab.answers.gate.rules import Rules
from lab.answers.gate.sides import Quantity, Sides, two_arms, two_runs
from lab.answers.gate.timings import judge_timings
from lab.runs.store import Run
from lab.scenario.arms import BASELINE, CANDIDATE
from lab.text import counted, option

SEED = 20261205
"""Of random flips and splits, unless the command line gives another."""


@dataclass(frozen=True)
class Gate:
    """One comparison, judged.  ``commands`` add repetitions where that may settle it."""

    verdict: Status
    rows: tuple[Row, ...]
    notices: tuple[Notice, ...]
    commands: tuple[str, ...]
    rules: Rules
    seed: int
    paired: bool
    runs: tuple[tuple[str, str], ...]
    """Each side's name and folder."""

    environment: dict[str, str]
    """The candidate's fingerprint."""

    scenario: str
    """SHA-256 of the baseline's scenario."""

    def having(self, status: Status) -> list[Row]:
        return [row for row in self.rows if row.status is status]

    @property
    def method(self) -> str:
        """How rows were judged."""
        rules, tests = self.rules, sum(row.p is not None for row in self.rows)
        test = ("sign-flip permutation test on the log-ratios of pairs" if self.paired
                else "permutation test on the logarithms of two samples")
        return (f"Timings: one-sided {test}, exact up to 10,000 {'flips' if self.paired else 'splits'}, else random "
                f"(seed {self.seed}); Holm over {counted(tests, 'timing')} at {rules.alpha_a_look:.3g}, which is "
                f"{rules.alpha:g} over at most {counted(rules.looks, 'look')} (Bonferroni); "
                f"{PAIRED_METHOD if self.paired else UNPAIRED_METHOD}, uncorrected. Counts: tolerances, no statistics.")


def judge(sides: Sides, rules: Rules, *, accept: Collection[str] = (), seed: int = SEED) -> Gate:
    """The gate over everything that both sides have.

    Raises InputError where ``accept`` names a property that no environment has.
    """
    known = {side: fingerprint(manifest, side) for side, manifest in sides.manifests.items()}
    differing = differences(known[BASELINE], known[CANDIDATE], accept)
    rows = judge_rows(sides, rules, seed=seed)
    if any(not one.accepted for one in differing):
        rows = [replace(row, status=Status.INCONCLUSIVE, reason=f"the environments differ; {row.reason}")
                for row in rows]
    notices = list(_notices(sides, rules, rows, differing))
    verdict = overall(rows, notices)
    commands: tuple[str, ...] = ()
    if verdict is Status.INCONCLUSIVE and not any(notice.name == ENVIRONMENT and notice.inconclusive
                                                  for notice in notices):
        look = next_look(sides, rules, rows)
        notices += [Notice("repetitions", look.text)] if look.text else []
        commands = look.commands
    return Gate(verdict, tuple(rows), tuple(notices), commands, rules, seed, sides.paired,
                tuple((side, str(path)) for side, path in sides.paths.items()), known[CANDIDATE],
                _baseline_scenario(sides))


def _baseline_scenario(sides: Sides) -> str:
    manifest = sides.manifests[BASELINE]
    if sides.paired and manifest.baseline is not None:
        return manifest.baseline.sha256
    return manifest.scenario.sha256


def blocks_of(sides: Sides) -> dict[str, int]:
    """Bytes of each cell's data block, the larger of both sides'; 0 where it is on no pool."""
    return {cell: block_bytes_of([sides.cells[side].get(cell) for side in (BASELINE, CANDIDATE)])
            for cell in {**sides.cells[BASELINE], **sides.cells[CANDIDATE]}}


def judge_rows(sides: Sides, rules: Rules, *, seed: int) -> list[Row]:
    """Every gated quantity that both sides have: timings, then counts."""
    counts = judge_counts(with_totals(sides.comparisons), rules, blocks_of(sides))
    timings = judge_timings(sides.comparisons, rules, paired=sides.paired, seed=seed)
    return comparable([*timings, *counts], counts, sides.comparisons)


def open_and_judge(runs: list[Run], rules: Rules, *, accept: Collection[str] = (), seed: int = SEED) -> Gate:
    """The gate of one run's two arms, or of two runs, the baseline first.

    Raises InputError as ``two_arms`` and ``two_runs`` do.
    """
    return judge(two_arms(runs[0]) if len(runs) == 1 else two_runs(*runs), rules, accept=accept, seed=seed)


def _notices(sides: Sides, rules: Rules, rows: list[Row], differing: list[Difference]) -> Iterator[Notice]:
    if refused := [str(one) for one in differing if not one.accepted]:
        yield Notice(ENVIRONMENT, "the sides were measured in different environments: " + "; ".join(refused)
                     + " (measure both in one run, `lab run CANDIDATE --against BASELINE`, or say what does not matter "
                       "with --accept)", inconclusive=True)
    if accepted := [str(one) for one in differing if one.accepted]:
        yield Notice("accepted", "accepted as not mattering: " + "; ".join(accepted))
    if not rows:
        yield Notice("nothing", _nothing(sides), inconclusive=True)
    yield from _one_sided(sides, rules)
    yield from _failed(sides)
    yield from _not_measured(sides)
    repetitions = {n for row in rows if row.p is not None for n in (row.n_baseline, row.n_candidate)}
    if odd := sorted(repetitions - set(rules.look_schedule())):
        schedule = ", ".join(map(str, rules.look_schedule()))
        told = ", ".join(map(str, odd))
        yield Notice("looks", f"judged at {told} repetitions, where the level of {rules.alpha:g} is "
                              f"shared out over looks at {schedule}: it holds if there are no more looks than those")
    for folder, manifest in {sides.paths[side]: sides.manifests[side] for side in sides.paths}.items():
        if manifest.status == "partial":
            yield Notice("partial", f"{folder}: the run is partial, and was judged by what it has")
    if not sides.paired:
        yield Notice("unpaired", "two runs: what changed between them (the host's load, a reboot) counts as the "
                                 "candidate's doing, which no number of repetitions shows; two arms in one run do not "
                                 "have this weakness")
        if all(sides.manifests[side].lab.dirty for side in (BASELINE, CANDIDATE)):
            yield Notice("lab", "the lab itself had changes that were not committed in both runs, and they need not be "
                                "the same ones")
        if sides.manifests[BASELINE].scenario.sha256 != sides.manifests[CANDIDATE].scenario.sha256:
            yield Notice("scenario", "the scenario files differ: " + " and ".join(
                sides.manifests[side].scenario.file for side in (BASELINE, CANDIDATE)))
    if simulated := [str(path) for side, path in sides.paths.items() if sides.manifests[side].simulated]:
        yield Notice("simulated", f"nothing was measured: {' and '.join(dict.fromkeys(simulated))} simulated, and this "
                                  "compares the model with itself")
    if changed := list(_options(sides)):
        yield Notice("options", "options that differ: " + "; ".join(changed))


def _nothing(sides: Sides) -> str:
    cells = {side: sorted(sides.cells[side]) for side in (BASELINE, CANDIDATE)}
    if not set(cells[BASELINE]) & set(cells[CANDIDATE]):
        return ("there is nothing to compare: no cell stands on both sides; the baseline has "
                f"{', '.join(cells[BASELINE]) or 'none'}, the candidate {', '.join(cells[CANDIDATE]) or 'none'}")
    return "there is nothing to compare: no gated metric has values on both sides"


def _one_sided(sides: Sides, rules: Rules) -> Iterator[Notice]:
    def gated(item: tuple[Quantity, str]) -> bool:
        metric = item[0].metric
        return any(map(rules.is_count, [metric, *totals_of(metric)])) or rules.minimum_effect(metric) is not None

    lacking = sorted((side, quantity.cell, quantity) for quantity, side in filter(gated, sides.one_sided))
    for (side, cell), own in groupby(lacking, key=lambda item: item[:2]):
        quantities = [quantity for _, _, quantity in own]
        shown = ", ".join(f"{one.phase} {one.metric}" for one in quantities[:4])
        more = f" and {len(quantities) - 4} more" if len(quantities) > 4 else ""
        yield Notice(f"only in the {side}: {cell}",
                     f"{cell} has values only in the {side}: {shown}{more}", inconclusive=True)


def _failed(sides: Sides) -> Iterator[Notice]:
    seen: set[tuple[str, str, str]] = set()
    for side, path in sides.paths.items():
        for result in sides.manifests[side].results:
            if result.status != "failed" or (sides.paired and result.arm != side):
                continue
            if (key := (side, str(path), result.cell)) not in seen:
                seen.add(key)
                yield Notice(f"failed: {result.cell} ({side})",
                             f"{result.cell} of the {side} failed in repetition {result.repetition}: `lab report "
                             f"{path}` shows why", inconclusive=True)


def _not_measured(sides: Sides) -> Iterator[Notice]:
    """Cells of the scenarios of which neither side has a value, and none failed: a run of --only some, or a partial."""
    told = {one.quantity.cell for one in sides.comparisons} | {quantity.cell for quantity, _ in sides.one_sided}
    told |= {result.cell for manifest in sides.manifests.values() for result in manifest.results
             if result.status == "failed"}
    for cell in dict.fromkeys([*sides.cells[BASELINE], *sides.cells[CANDIDATE]]):
        if cell not in told:
            yield Notice(f"not measured: {cell}", f"{cell} was measured on neither side: go on with the run without "
                                                  "--only, or gate a scenario without it", inconclusive=True)


def _options(sides: Sides) -> Iterator[str]:
    for cell, before in sides.cells[BASELINE].items():
        after = sides.cells[CANDIDATE].get(cell)
        if after is None:
            continue
        if before.storage != after.storage:
            yield f"{cell}: storage {before.storage} → {after.storage}"
        for key in dict.fromkeys([*before.options, *after.options]):
            old, new = before.options.get(key), after.options.get(key)
            if old != new:
                yield f"{cell}: {key} " + " → ".join("none" if value is None else option(key, value)
                                                      for value in (old, new))
