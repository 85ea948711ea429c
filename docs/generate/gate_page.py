"""``docs/gate.md``: what the gate's verdicts are worth, written from the committed A/A runs and the throttled ones.

Each is told twice: on user-mode Linux and in emulation, whose noise is not the same.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from reference_runs import AA, SHOWN, missing_sentence, runs_table
from written_page import PageFigure, Section, WrittenPage

from lab.analysis.facts import percent
from lab.answers.gate import shown
from lab.answers.gate.aa_runs import aa_sides
from lab.answers.gate.gate import SEED
from lab.answers.gate.proof import Proof, StorageProof, pair_spreads, prove
from lab.answers.gate.rules import Rules
from lab.answers.gate.self_test import SelfTest, self_test
from lab.errors import InputError
from lab.lessons import gating
from lab.lessons.figures import gating as gating_figures
from lab.report.markdown import code, paragraph, table
from lab.runs.store import Run, open_run
from lab.text import joined, metric_words

PROOF = "proof"
"""The run, below results/, whose candidate was slowed down on purpose."""


@dataclass(frozen=True)
class Accelerator:
    """What a VM ran on, and its two runs below results/: an A/A run, and one that was slowed down on purpose."""

    name: str
    short: str
    aa: str
    proof: str
    limit: str


ACCELERATORS = (
    Accelerator("user-mode Linux", "uml", "machines/aa-uml", "machines/proof-uml",
                "the limit of the guest's control group"),
    Accelerator("QEMU's emulation", "tcg", AA, PROOF, "QEMU's limit"),
)

LOOKS = tuple(Rules().look_schedule())
DRAWN_PAIRS = LOOKS[0]
"""Of one draw of a proof: those of the gate's first look."""

SHOWN_PAIRS = (8, 10, 12, 15, 20)
POWER_DRAWS = 400

INTRO = ("A gate that cries wolf is switched off, and one that finds nothing is worth nothing. Both are told here from "
         f"runs in [`{SHOWN}/`](../{SHOWN}): one scenario measured against itself, so that every difference is noise, "
         "and the same with a disk that was held back on purpose. How the gate decides stands in [ci.md](ci.md). What "
         "it can find depends on the machine: each is told on user-mode Linux, where a timing is the processor's own, "
         "and in QEMU's emulation. Compare nothing between the two but what the gate makes of each.")


@dataclass(frozen=True)
class GateRuns:
    """The A/A run, and the one with a slow-down where it is there."""

    machine: Accelerator
    aa: Run
    slowed: Run | None

    @cached_property
    def tests(self) -> dict[int, SelfTest]:
        """The self-test by the number of pairs whose power it tells."""
        return {pairs: self_test([self.aa], Rules(), seed=SEED, repetitions=pairs) for pairs in LOOKS}


def gate_page(results: Path) -> str:
    """The page as Markdown.  Raises InputError where the A/A run is missing, or where a run is damaged."""
    return _page(results).text


def write_gate_page(results: Path, out: Path) -> Path:
    """Writes the page, and its figures beside it in ``figures/``; returns the page's path.

    Raises InputError as ``gate_page`` does, and where the page cannot be written.
    """
    return _page(results).write(out)


def _page(results: Path) -> WrittenPage:
    sections: list[Section] = []
    figures: list[PageFigure] = []
    for machine in ACCELERATORS:
        if not (results / machine.aa / "manifest.json").is_file():
            raise InputError("the A/A run is missing", where=str(results / machine.aa),
                             remedy="measure it with `make reference`")
        slowed = open_run(results / machine.proof) if (results / machine.proof / "manifest.json").is_file() else None
        runs = GateRuns(machine, open_run(results / machine.aa), slowed)
        drawn = _figures(runs)
        figures += drawn
        sections += [_measured(runs), _alarms(runs, drawn[0]), _power(runs, drawn[1]), _slowed(runs)]
    return WrittenPage("What the gate's verdicts are worth", (), INTRO, sections, figures)


def _figures(runs: GateRuns) -> list[PageFigure]:
    tests = gating.tests_of(aa_sides([runs.aa]), Rules())
    noise = gating_figures.noise(tests)
    power = gating_figures.detectable(gating.detectable(tests, Rules(), SHOWN_PAIRS, seed=SEED, draws=POWER_DRAWS))
    short = runs.machine.short
    return [PageFigure(f"gate-noise-{short}.png", noise.alt, noise.caption, lambda: noise.figure),
            PageFigure(f"gate-power-{short}.png", power.alt, power.caption, lambda: power.figure)]


def _measured(runs: GateRuns) -> Section:
    machine = runs.machine
    return Section(f"What was measured on {machine.name}", [
        runs_table({machine.aa: runs.aa} | ({machine.proof: runs.slowed} if runs.slowed else {})),
        "Two arms, which take turns cell by cell in each repetition: a repetition is a pair. `make reference` measures "
        "the A/A run again, `make docs` writes this page again from the committed runs."])


def _alarms(runs: GateRuns, figure: PageFigure) -> Section:
    told = runs.tests[LOOKS[-1]]
    rows = [[code(one.phase), metric_words(one.metric), percent(one.false_alarms.rate, 1),
             f"{one.false_alarms.alarms} of {one.false_alarms.trials:,}"] for one in told.metrics]
    return Section(f"How often it cries wolf on {runs.machine.name}", [
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
    return Section(f"What it can find on {runs.machine.name}", [
        f"The smallest worsening that is found with a power of {runs.tests[LOOKS[-1]].power:.0%}, resampled from the "
        "A/A run's pairs, with so many pairs:",
        table(["phase", "timing", "minimum effect", *(f"{pairs} pairs" for pairs in LOOKS)], rows, words=2),
        figure.block])


def _slowed(runs: GateRuns) -> Section:
    title = f"What it found of a disk that was held back on {runs.machine.name}"
    if runs.slowed is None:
        return Section(title, [missing_sentence(runs.machine.proof)])
    told = prove(runs.slowed, Rules(), pairs=DRAWN_PAIRS, seed=SEED)
    head = ["storage", "the candidate's disks", "found", "interval of 95 %", "left open", "all pairs"]
    rows = [[code(one.storage), _held(one), f"{one.found.alarms} of {one.found.trials}",
             f"{percent(one.found.low)} to {percent(one.found.high)}", str(one.left_open), one.whole.value]
            for one in told.storages]
    alike = ", and so both arms have one here" if all(one.before for one in told.storages) else ""
    free = [code(one.storage) for one in told.storages if one.control]
    without = f" {joined(free)} has none: what is found there is a false alarm." if free else ""
    return Section(title, [
        f"One run, `{SHOWN}/{runs.machine.proof}`, of {told.measured} pairs of each storage. They are one build of "
        f"the same pool, whose cells take turns; arms and storages differ by {runs.machine.limit} on the VM's disks "
        f"while their cells run.{without} The head of the scenario says where the limits come from.",
        f"Each time {told.pairs} of the pairs are drawn, and the gate judges the timings of one storage. *Found* "
        "counts the draws with a regression; *left open* those without one in which a timing is inconclusive: there "
        "the gate does not pass, and asks for its next look. *All pairs*: what it says of them all. Draws share "
        "pairs, so that the interval is narrower than that of as many runs.",
        table(head, rows, words=2),
        "Timing by timing: how much worse the candidate was over all pairs; what one pair is off by (standard "
        "deviation of the log-ratio), here and in the A/A run, whose disks had no limit and whose jobs are "
        f"shorter; the worsening that {told.pairs} pairs find with a power of {told.power:.0%} in the noise of this "
        "very timing, resampled from the same pairs less their mean; and in how many draws it was called a regression:",
        _timings(told, runs.aa),
        "What can be found grows in proportion to what a pair is off by: a self-test speaks for the noise that it was "
        "made in. A limit only holds back what would have been faster: where a disk is as slow by itself, as it is in "
        f"some hours on a shared machine, the limit changes nothing{alike}."])


def _held(one: StorageProof) -> str:
    if one.control or one.held_back is None:
        return "as the baseline's" if one.control else "other options"
    return f"{one.held_back}, the baseline's {one.before}" if one.before else one.held_back


def _timings(told: Proof, aa: Run) -> str:
    usual = {(one.phase, one.metric): spread for one, spread in pair_spreads(aa, Rules()).items()}
    rows = []
    for one in told.storages:
        for timing in one.timings:
            rows.append([code(one.storage), code(timing.phase), metric_words(timing.metric),
                         "–" if timing.worse is None else f"{100 * timing.worse:+.1f} %", _share(timing.spread),
                         _share(usual.get((timing.phase, timing.metric))), _share(timing.smallest_effect, "none"),
                         f"{timing.found} of {one.found.trials}"])
    head = ["storage", "phase", "timing", "worse by", "a pair is off by", "in the A/A run", f"{told.pairs} pairs find",
            "found"]
    return table(head, rows, words=3)


def _share(value: float | None, nothing: str = "–") -> str:
    return nothing if value is None else percent(value, 1)


if __name__ == "__main__":
    write_gate_page(Path(sys.argv[1]), Path(sys.argv[2]))
