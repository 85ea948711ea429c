"""``docs/gate.md``: what the gate's verdicts are worth, written from the committed A/A run and the throttled ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

from lab.analysis.markdown import code, paragraph, table
from lab.analysis.reference_parts import percent
from lab.analysis.reference_runs import AA, SHOWN, missing_sentence, runs_table
from lab.analysis.words import metric_words, unique
from lab.analysis.written_page import PageFigure, Section, WrittenPage
from lab.errors import InputError
from lab.gate import shown
from lab.gate.aa_runs import aa_sides
from lab.gate.gate import SEED, judge_rows
from lab.gate.proof import Proof, pair_spread, prove
from lab.gate.rows import TIMING
from lab.gate.rules import Rules
from lab.gate.self_test import SelfTest, self_test
from lab.gate.sides import two_arms
from lab.lessons import gating, gating_figures
from lab.store import Run, open_run

PROOFS = "proofs"
"""The folder below results/ of the runs whose candidate was slowed down on purpose."""

LOOKS = tuple(Rules().look_schedule())
DRAWN_PAIRS = LOOKS[0]
"""Of one draw of a proof: those of the gate's first look."""

SHOWN_PAIRS = (8, 10, 12, 15, 20)
POWER_DRAWS = 400

INTRO = ("A gate that cries wolf is switched off, and one that finds nothing is worth nothing. Both are told here from "
         f"runs in [`{SHOWN}/`](../{SHOWN}): one scenario measured against itself, so that every difference is noise, "
         "and the same with a disk that was held back on purpose. How the gate decides stands in [ci.md](ci.md).")


@dataclass(frozen=True)
class GateRuns:
    """The A/A run, and the runs with a slow-down, by name."""

    aa: Run
    slowed: dict[str, Run]

    @cached_property
    def tests(self) -> dict[int, SelfTest]:
        """The self-test by the number of pairs whose power it tells."""
        return {pairs: self_test([self.aa], Rules(), seed=SEED, repetitions=pairs) for pairs in LOOKS}

    @cached_property
    def proofs(self) -> dict[str, Proof]:
        return {name: prove(run, Rules(), pairs=DRAWN_PAIRS, seed=SEED) for name, run in self.slowed.items()}


def gate_page(results: Path) -> str:
    """The page as Markdown.  Raises InputError where the A/A run is missing, or where a run is damaged."""
    return _page(results).text


def write_gate_page(results: Path, out: Path) -> Path:
    """Writes the page, and its figures beside it in ``figures/``; returns the page's path.

    Raises InputError as ``gate_page`` does, and where the page cannot be written.
    """
    return _page(results).write(out)


def _page(results: Path) -> WrittenPage:
    if not (results / AA / "manifest.json").is_file():
        raise InputError("the A/A run is missing", where=str(results / AA), remedy="measure it with `make reference`")
    slowed = {f"{PROOFS}/{file.parent.name}": open_run(file.parent)
              for file in sorted((results / PROOFS).glob("*/manifest.json"))}
    runs = GateRuns(open_run(results / AA), slowed)
    figures = _figures(runs)
    return WrittenPage("What the gate's verdicts are worth", (), INTRO, [
        _measured(runs), _alarms(runs, figures[0]), _power(runs, figures[1]), _slowed(runs)], figures)


def _figures(runs: GateRuns) -> list[PageFigure]:
    tests = gating.tests_of(aa_sides([runs.aa]), Rules())
    noise = gating_figures.noise(tests)
    power = gating_figures.detectable(gating.detectable(tests, Rules(), SHOWN_PAIRS, seed=SEED, draws=POWER_DRAWS))
    return [PageFigure("gate-noise.png", noise.alt, noise.caption, lambda: noise.figure),
            PageFigure("gate-power.png", power.alt, power.caption, lambda: power.figure)]


def _measured(runs: GateRuns) -> Section:
    return Section("What was measured", [
        runs_table({AA: runs.aa, **runs.slowed}),
        "Two arms, which take turns cell by cell in each repetition: a repetition is a pair. `make reference` measures "
        "the A/A run again, `make docs` writes this page again from the committed runs."])


def _alarms(runs: GateRuns, figure: PageFigure) -> Section:
    told = runs.tests[LOOKS[-1]]
    rows = [[code(one.phase), metric_words(one.metric), percent(one.false_alarms.rate, 1),
             f"{one.false_alarms.alarms} of {one.false_alarms.trials:,}"] for one in told.metrics]
    return Section("How often it cries wolf", [
        paragraph(shown.self_test_sentences(told)[:2]),
        f"The level is {told.alpha:g} over {told.looks} looks, {told.alpha / told.looks:g} for each; the brackets hold "
        "the exact binomial interval of 95 %, which covers the number of exchanges and not the choice of the hour.",
        figure.block,
        "Of the single timings:",
        table(["phase", "timing", "false alarms", "exchanges"], rows, words=2)])


def _power(runs: GateRuns, figure: PageFigure) -> Section:
    rows = []
    for place, one in enumerate(runs.tests[LOOKS[-1]].metrics):
        effects = [runs.tests[pairs].metrics[place].smallest_effect for pairs in LOOKS]
        rows.append([code(one.phase), metric_words(one.metric), percent(one.minimum_effect),
                     *("none" if effect is None else percent(effect, 1) for effect in effects)])
    return Section("What it can find", [
        f"The smallest worsening that is found with a power of {runs.tests[LOOKS[-1]].power:.0%}, resampled from the "
        "A/A run's pairs, with so many pairs:",
        table(["phase", "timing", "minimum effect", *(f"{pairs} pairs" for pairs in LOOKS)], rows, words=2),
        figure.block])


def _slowed(runs: GateRuns) -> Section:
    title = "What it found of a disk that was held back"
    if not runs.slowed:
        return Section(title, [missing_sentence(f"{PROOFS}/…")])
    rows = []
    for name, run in runs.slowed.items():
        told = runs.proofs[name]
        rate = told.found
        rows.append([code(f"{SHOWN}/{name}"), _throttle(run), str(told.measured), f"{rate.alarms} of {rate.trials}",
                     f"{percent(rate.low)} to {percent(rate.high)}"])
    head = ["run", "the candidate's disks", "pairs", "found", "interval of 95 %"]
    noise = {AA: _spreads(runs.aa), **{name: _spreads(run) for name, run in runs.slowed.items()}}
    usual = median(noise[AA].values())
    times = [f"{median(spreads.values()) / usual:.2g} in `{name}`" for name, spreads in noise.items() if name != AA]
    return Section(title, [
        "The candidate is the A/A scenario with QEMU's limit on the VM's disks; its scenario says at its head where "
        f"the limit comes from. Each time {DRAWN_PAIRS} of the pairs are drawn, and the whole gate judges them; "
        "*found* counts the draws with a regression in any timing. Draws share pairs, so that the interval is narrower "
        "than that of as many runs.",
        table(head, rows, words=2),
        "What a self-test promises, it promises for the noise that it was made in. On the median timing a pair was off "
        f"by {percent(usual, 1)} in the A/A run (standard deviation of the log-ratio), and by so many times that here: "
        f"{', '.join(times)}. What can be found grows in proportion. And a limit only holds back what would have been "
        "faster: where the disk is as slow by itself, as it is in some hours on a shared machine, the limit changes "
        "nothing.",
        "Timing by timing: how much worse the candidate was over all pairs; what one pair is off by; and in how many "
        "draws it was called a regression:",
        _timings(noise[AA], list(runs.slowed), list(runs.proofs.values()))])


Timing = tuple[str, str, str]
"""Cell, phase, metric."""


def _spreads(run: Run) -> dict[Timing, float]:
    """What a pair is off by, of every timing that is gated."""
    sides, rules = two_arms(run), Rules()
    gated = {row.quantity for row in judge_rows(sides, rules, seed=SEED) if row.kind == TIMING}
    spreads = {(one.quantity.cell, one.quantity.phase, one.quantity.metric): pair_spread(one)
               for one in sides.comparisons if one.quantity in gated}
    return {timing: spread for timing, spread in spreads.items() if spread is not None}


def _timings(usual: dict[Timing, float], names: Sequence[str], proofs: Sequence[Proof]) -> str:
    found = [{(one.cell, one.phase, one.metric): one for one in told.timings} for told in proofs]
    rows = []
    for key in dict.fromkeys(key for told in found for key in told):
        cells = [told.get(key) for told in found]
        rows.append([code(key[1]), metric_words(key[2]), percent(usual[key], 1) if key in usual else "–", *(
            "–" if one is None or one.worse is None or one.spread is None
            else f"{100 * one.worse:+.1f} %, {percent(one.spread, 1)}, {one.found}" for one in cells)])
    return table(["phase", "timing", "a pair of the A/A run", *(name.rpartition("/")[2] for name in names)], rows,
                 words=2)


def _throttle(run: Run) -> str:
    told = unique(str(cell.options["throttle"]) for cell in run.manifest.cells.values() if "throttle" in cell.options)
    return "; ".join(told) or "no limit"
