"""The advice as one JSON document."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lab.analysis import stats
from lab.answers.advise.advice import Advice
from lab.answers.advise.constraints import Rule
from lab.answers.advise.jobs import JobShare
from lab.answers.advise.options import Option
from lab.answers.advise.ranking import Ranked, Statement
from lab.runs.records import whole_repetitions

SCORE = ("weighted geometric mean of the bandwidths, relative to the option with the highest; the weights are the "
         "profile's shares; intervals: " + stats.RATIO_METHOD + f", {100 * stats.LEVEL:.0f} %, not corrected for the "
         "number of comparisons")
ORDER = ("excluded by the documentation; then by measurement: none before one that is faster, the interval of their "
         "scores' ratio excluding 1; then by the documentation's statements for less those against; the rest share a "
         "place")


def document(advice: Advice) -> dict[str, Any]:
    """Plain values, no NaN.  Sizes are in bytes, shares and ratios plain numbers."""
    ranking, scores = advice.ranking, advice.scores
    measured = scores.measured
    return {
        "profile": advice.profile.model_dump(mode="json"),
        "method": {"score": SCORE, "order": ORDER},
        "evidence": {
            "run": measured.folder if measured else None,
            "emulated": measured.run.manifest.machine.emulated if measured else None,
            "repetitions": list(scores.repetitions),
            "coverage": scores.coverage,
            "jobs": [_job(share, share in scores.covered) for share in advice.shares],
            "steps_run": advice.steps.folder if advice.steps else None,
            "partial": {run.folder: whole_repetitions(run.run.manifest) for run in advice.used
                        if run.run.manifest.status == "partial"},
            "repairs": [told for run in advice.used for told in run.repairs_told],
            "not_used": list(advice.found.refused),
        },
        "ranking": [_ranked(one, advice) for one in ranking.ranked],
        "excluded": [{**_option(one.option), "rules": [_rule(rule) for rule in one.rules]} for one in ranking.excluded],
        "not_measured": [_option(option) for option in ranking.unmeasured],
        "volume": {"label": advice.volume_of, "parts": [
            {"kind": part.share.kind, "job": part.share.phase, "weight": part.share.weight,
             "volume_to_layer": _estimate(part.ratio), "verdict": part.verdict} for part in advice.volumes]},
        "forecast_images": list(advice.forecasts.images) if advice.forecasts else None,
        "open": [{"rule": _rule(one.rule), "missing": list(one.missing)} for one in advice.told if one.open],
        "thin": [{"says": gap.says, "command": gap.command} for gap in advice.gaps],
    }


def _estimate(found: stats.Estimate | None) -> dict[str, Any] | None:
    """A ratio; None where there is none.  ``low`` and ``high`` are null below three repetitions."""
    if found is None or not found.n or found.centre != found.centre:
        return None
    return {"ratio": found.centre, "low": found.low, "high": found.high, "n": found.n}


def _option(option: Option) -> dict[str, Any]:
    return {"storage": option.spec.storage, "label": option.label, "data": option.target}


def _job(share: JobShare, covered: bool) -> dict[str, Any]:
    return {"kind": share.kind, "job": share.phase, "weight": share.weight, "measured": covered,
            "caveat": share.caveat}


def _rule(rule: Rule) -> dict[str, Any]:
    return {"id": rule.id, "effect": rule.effect, "says": rule.says, "source": rule.source,
            "removed_in": rule.removed_in, "remedy": rule.remedy}


def _ranked(one: Ranked, advice: Advice) -> dict[str, Any]:
    scores, fastest = advice.scores, advice.ranking.fastest
    jobs = [] if fastest is None else [
        {"job": share.phase, "weight": share.weight,
         "to_fastest": _estimate(scores.job_ratio(share, one.option, fastest))}
        for share in scores.covered]
    found = advice.forecasts.by_option[one.option] if advice.forecasts else None
    return {"place": one.place, "shared": one.shared, **_option(one.option), "decided_by": one.decided_by,
            "score": _estimate(one.to_fastest), "balance": one.balance, "jobs": jobs,
            "statements": [_statement(statement) for statement in one.statements],
            "forecast": asdict(found) if found is not None else None}


def _statement(one: Statement) -> dict[str, Any]:
    measured = None if one.finding is None else {
        "holds": one.finding.holds, "says": one.finding.text, "run": one.finding.folder,
        "n": one.finding.n}
    return {**_rule(one.rule), "documented": one.documented, "counts": one.counts, "measured": measured,
            "disagree": one.disagree, "missing": list(one.missing)}
