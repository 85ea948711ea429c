"""The sections of the validation page, each from ``Material`` alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import validation_tables as tables
from reference_runs import SHOWN
from validation_material import DESIGNED, EASIER, Material, PageRun, PlacedRun
from written_page import Section

from lab.analysis.facts import percent
from lab.calibration import residuals as validate
from lab.calibration.goals import coverage_text, goal_rows, share
from lab.calibration.judge import HALF, MOST
from lab.calibration.ratios import rate_score
from lab.calibration.residual_tables import LARGEST_HEAD, LATE, largest_rows
from lab.model.parameters import Parameters, RunRef
from lab.report import markdown
from lab.report.markdown import table
from lab.runs.records import whole_repetitions
from lab.runs.store import table_digest
from lab.text import clean, counted, joined, metric_words, number, unique

LIMITS = Path(__file__).with_name("limits.md")

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "No run is there to tell."


def judged_section(material: Material) -> Section:
    """Parameters and their provenance; the runs that judge them, with commits and machines."""
    told = material.parameters.provenance
    places = [f"`{SHOWN}/{place.name}`" if place else f"`{clean(ref.run)}`, which is not in `{SHOWN}/`"
              for ref, place in material.fitted_on]
    fitted = f"fitted to {joined(places)}" if places else "fitted to no run"
    blocks = [markdown.paragraph([
        f"The parameters in `{material.file}` were {fitted}, with the lab's commit "
        f"{(told.lab_commit or 'unknown')[:10]}. They were never tuned on the runs below: `lab validate`, whose "
        "numbers these are, refuses a run that the fit has seen, which it knows by the digest of the run's table.",
        HISTORY])]
    rows = [_run_row(place, "fit") if place else _absent_row(ref) for ref, place in material.fitted_on]
    rows += [_run_row(one, "validation" if one.name in DESIGNED else "easier, not designed as a validation run")
             for one in material.runs]
    blocks.append(table(["run", "role", "started (UTC)", "machine", "lab's commit", "repetitions whole",
                         "digest of its table"], rows, words=7))
    asked = [f"- `{SHOWN}/{one.name}`: {clean(one.found.question)}" for one in material.runs]
    blocks += ["\n".join(asked)] if asked else [NOTHING]
    failed = [f"{clean(cell)} of `{SHOWN}/{one.name}`" for one in material.runs for cell in one.found.failed]
    if failed:
        blocks.append(f"Failed in the machine or in the model, but not in both, and absent below: {joined(failed)}.")
    if material.missing:
        blocks.append(f"Not there yet: {joined([f'`{SHOWN}/{name}`' for name in material.missing])}.")
    return Section("What was judged", blocks)


def _run_row(one: PageRun | PlacedRun, role: str) -> list[str]:
    m = one.run.manifest
    machine = (f"{clean(m.machine.provision)}, "
               f"{m.machine.cpus} × {clean(m.machine.cpu_model)}, kernel of its host {clean(m.machine.host_kernel)}")
    changed = ", with uncommitted changes" if m.lab.dirty else ""
    return [f"`{SHOWN}/{one.name}`", role, clean(m.started_utc), machine,
            f"{(m.lab.commit or 'unknown')[:10]}{changed}", f"{whole_repetitions(m)} of {m.repetitions}",
            f"`{table_digest(one.run)[:12]}`"]


def _absent_row(ref: RunRef) -> list[str]:
    return [clean(ref.run), "fit", clean(ref.started_utc), clean(ref.accelerator), "–", "–",
            f"`{ref.measurements_sha256[:12]}`"]


def goals_section(material: Material) -> Section:
    """The goals against what was found, run by run and in all, beside the straight line."""
    designed = material.designed
    if designed:
        told = f"all {len(DESIGNED)} runs" if not material.missing else f"{len(designed)} of {len(DESIGNED)} runs"
        judged = material.judged(designed)
        first = (f"Judged are the {counted(len(designed), 'validation run')} that are there; `{SHOWN}/{EASIER}` has no "
                 "part in the verdicts.")
    else:
        told, judged = f"`{EASIER}`", material.judged(material.runs)
        first = ("None of the validation runs is there yet, so nothing is decided. The verdicts are those of "
                 f"`{SHOWN}/{EASIER}` alone, an easier run that was not designed as a validation run.")
    head = ["goal", "wanted", "judged on", "found", "over", "verdict"]
    blocks = [first, table(head, goal_rows(judged, told), words=3), markdown.paragraph([
        _what_judges(designed or material.runs),
        tables.missed_sentence(judged),
        "The verdict on the intervals goes by the share itself, not by the range in brackets."])]
    every = [_score_row(f"`{SHOWN}/{one.name}`", material, [one]) for one in material.runs]
    if len(designed) > 1:
        every.append(_score_row("all validation runs that are there", material, designed))
    blocks += ["Run by run:", table(_SCORE_HEAD, every)] if every else [NOTHING]
    blocks.append(_straight_text(material.parameters, material.rows(designed or material.runs)))
    return Section("Goals, and what was found", blocks)


def _what_judges(runs: Sequence[PageRun]) -> str:
    """Which runs have phases to judge, and which have ratios."""
    sides = {"Growth and intervals": [one for one in runs if len(one.found.rows)],
             "ratios": [one for one in runs if one.found.rates]}
    told = [f"{what} rest on {joined([f'`{SHOWN}/{one.name}`' for one in having])}" for what, having in sides.items()
            if having]
    return f"{'; '.join(told)}." if told else ""


_SCORE_HEAD = ("run", "phases", "equal to the byte", "increments, MAPE", "by the straight line", "in use, MAPE",
               "occupancy, MAPE", "by the straight line", f"in {percent(validate.LEVEL)} intervals (95 % range)",
               "bandwidth ratios that overlap")


def _score_row(name: str, material: Material, runs: Sequence[PageRun]) -> list[str]:
    rows = material.rows(runs)
    told, rates = validate.score(rows), rate_score([check for one in runs for check in one.found.rates])
    return [name, f"{told.phases:,}", f"{told.exact:,}", share(told.increment_mape),
            share(told.straight_increment_mape), share(told.level_mape), share(told.occupancy_mape),
            share(told.straight_occupancy_mape),
            coverage_text(validate.coverage(rows, material.widths)),
            f"{rates.overlapping:,} of {rates.n:,}" if rates.n else "–"]


def _straight_text(parameters: Parameters, rows: pd.DataFrame) -> str:
    rates = list(parameters.growth_per_byte.values())
    span = f", here {number(min(rates))} to {number(max(rates))} bytes a byte" if rates else ""
    return ("The *straight line* is what a spreadsheet would say: each phase takes what the application wrote times "
            f"the storage's average in the runs of the fit{span}. It knows no block that is written twice, and gives "
            f"nothing back. {tables.silent_sentence(rows)}").rstrip()


HISTORY = (
    "What was decided when: model and fit were finished before the first of them was looked at. How intervals are "
    "made, with an ensemble of clocks, was chosen after `churn` had been looked at, and in it the first way, without "
    "the clocks, had covered 38 of 96 increments; so its coverage is no blind one. `deep` and `large` were looked at "
    "after that, and nothing was changed for them but which figures this page shows. Once a third repetition of the "
    "fit's run was there, times of Docker's commands at the earliest repetition's pace were tried in the place of "
    "medians over all, and given up: on these runs, increments were off by 7.9 % and 72 % of them in their intervals.")
"""The order of events, which no run's table tells."""


def scope_sentence(runs: Sequence[PageRun]) -> str:
    """Which runs a section is of, and that the easier one only stands in."""
    if not runs:
        return NOTHING
    names = joined([f"`{SHOWN}/{one.name}`" for one in runs])
    stand_in = " alone, until a validation run with such data is there" if all(
        one.name not in DESIGNED for one in runs) else ""
    return f"Of {names}{stand_in}."


def kinds_section(material: Material) -> Section:
    blocks = [scope_sentence(material.growth_runs)]
    if len(material.growth):
        blocks.append(table(tables.KIND_HEAD, tables.kind_rows(material.growth)))
    return Section("Phase by phase", blocks)


def largest_section(material: Material) -> Section:
    rows = material.growth
    blocks = [scope_sentence(material.growth_runs)]
    if found := largest_rows(rows):
        blocks += [table(LARGEST_HEAD, found, words=5), markdown.paragraph([
            tables.reason_sentence(rows),
            f"`{LATE}`: on a thin pool, the residual is cancelled, to within one data block, by that of the "
            "phase before or after in the same cell: XFS wrote its inodes back in the one and not in the other."])]
    elif len(rows):
        blocks.append("Every increment is equal to the byte.")
    return Section("The largest residuals", blocks)


def coverage_section(material: Material) -> Section:
    blocks = [scope_sentence(material.growth_runs)]
    if len(material.growth):
        blocks += [table(tables.COVERAGE_HEAD, tables.coverage_rows(material.growth, material.widths)),
                   f"Intervals aim at {percent(validate.LEVEL)}; the allowance is `growth_half_widths` of the "
                   "parameters for that kind of phase, told from the residuals of the fit. In brackets the range of "
                   "the share by Clopper and Pearson, which takes phases as independent; those of one cell are not "
                   "quite, so that it is somewhat narrow."]
    return Section("How often the intervals hold", blocks)


def ratios_section(material: Material) -> Section:
    blocks = [scope_sentence(material.rate_runs)]
    for one in material.rate_runs:
        if len(material.rate_runs) > 1:
            blocks.append(f"**`{SHOWN}/{one.name}`**")
        blocks.append(table(tables.RATE_HEAD, tables.rate_rows(one.found.rates), words=4))
    checks = [check for one in material.rate_runs for check in one.found.rates]
    if checks:
        single = any(check.low is None for check in checks)
        blocks.append(markdown.paragraph([
            tables.rate_sentence(rate_score(checks)),
            "Measured ratios below three repetitions have no interval and count as a point." if single else ""]))
    return Section("Bandwidth ratios", blocks)


def times_section(material: Material) -> Section:
    shares = (HALF, MOST)
    rows = [[f"`{SHOWN}/{one.name}`", *(number(one.found.time_ratios[f"{each:.0%}"]) for each in shares)]
            for one in material.runs]
    head = ["run", *(f"simulated ÷ measured seconds to {percent(each)} of the growth" for each in shares)]
    blocks = [table(head, rows)] if rows else [NOTHING]
    machines = unique(clean(f"{one.run.manifest.machine.cpu_model} ({one.run.manifest.machine.accelerator})")
                      for one in material.runs)
    blocks.append(markdown.paragraph([
        "Medians over cells, from a cell's begin until its space first reached that share of its largest growth.",
        "They depend on how fast the machine was when the fit's runs were measured: on another machine, or on this one "
        "under load, the same work takes other times, and no goal is set for them.",
        f"The runs here were measured on {joined(machines)}." if machines else ""]))
    return Section("Times", blocks)


def lacks_section(material: Material) -> Section:
    lacking = sorted({metric for one in material.runs for metric in one.found.not_simulated})
    blocks = [LIMITS.read_text(encoding="utf-8").strip(), lacking_sentence(lacking)]
    not_told = tables.not_told_rows(material.parameters)
    if not_told:
        blocks += ["Service times that the runs of the fit do not tell, and from which nothing should be read one by "
                   "one:", table(tables.NOT_TOLD_HEAD, not_told, words=3)]
    runs = material.designed or material.runs
    missed = tables.missed_sentence(material.judged(runs)) if runs else ""
    return Section("What the model lacks", [block for block in (*blocks, missed) if block])


def parameters_section(material: Material) -> Section:
    parameters = material.parameters
    return Section("The parameters", [
        "Costs of the log, and times that growth depends on through the clock:",
        table(tables.FITTED_HEAD, tables.fitted_rows(parameters), words=4),
        "Service times of fio's operations. µs are for each operation, ns/B for each byte, *spread* is the standard "
        "deviation of ln(latency); a question mark stands where a value is not identified:",
        table(tables.service_head(), tables.service_rows(parameters))])


def lacking_sentence(metrics: Sequence[str]) -> str:
    """Which of the measured metrics a simulated run does not have; empty where it has all."""
    names = [metric_words(metric) for metric in unique(sorted(metrics))]
    return f"Measured and not simulated at all: {', '.join(names)}." if names else ""
