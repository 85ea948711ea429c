"""Which part of the work gains from a volume, on one storage."""

from __future__ import annotations

from dataclasses import dataclass

from lab.analysis import stats
from lab.analysis.verdicts import verdict
from lab.answers.advise.jobs import JobShare
from lab.answers.advise.options import Option
from lab.answers.advise.scores import Scores

VOLUME, LAYER, OPEN = "into a volume", "may stay in the layer", "not told apart"


@dataclass(frozen=True)
class PartAdvice:
    """One kind of I/O on one storage: bandwidth in a volume ÷ bandwidth in the layer, and what follows."""

    share: JobShare
    ratio: stats.Estimate
    verdict: str


def volume_parts(label: str, scores: Scores) -> list[PartAdvice]:
    """Each kind of I/O of the containers' own data, the heaviest first; files of the image are not the volume's."""
    advice = []
    for share in scores.covered:
        ratio = scores.job_ratio(share, Option(label, "volume"), Option(label, "layer"))
        if share.of_image or not ratio.n:
            continue
        winner = verdict(ratio, "volume", "layer", higher=True).winner
        advice.append(PartAdvice(share, ratio, {"volume": VOLUME, "layer": LAYER}.get(winner or "", OPEN)))
    return advice
