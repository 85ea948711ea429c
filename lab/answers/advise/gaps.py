"""Where the evidence is thin, and the exact ``lab run`` that would settle it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from lab.analysis import stats
from lab.answers.advise.jobs import JobShare
from lab.answers.advise.options import Option, names
from lab.answers.advise.ranking import Ranking
from lab.answers.advise.scores import Scores
from lab.text import counted, joined

REFERENCE = "scenarios/reference.yaml"
"""It has every option, and every job but the sequential reads."""

WITH_SEQUENTIAL_READS = "scenarios/reference-reads.yaml"
"""It has every option and every job."""

WANTED_PERCENT = 10
"""The half-width to ask for; ``lab run --repeat-until`` has it in its own example."""


@dataclass(frozen=True)
class Gap:
    """What is not known well enough, and the command that measures it."""

    says: str
    command: str


def gaps(ranking: Ranking, scores: Scores) -> list[Gap]:
    """In the order in which they matter to the ranking."""
    found: list[Gap] = []
    every = [*scores.covered, *scores.uncovered]
    if not ranking.ranked:
        return []               # no storage is left, whatever is measured
    if scores.measured is None:
        return [Gap("No run measured what this workload does on the storages that are left: nothing here rests on "
                    "speed.", _run(_measuring(scores.uncovered)))]
    if scores.n < stats.MIN_N:
        found.append(Gap(f"Speeds rest on {counted(scores.n, 'repetition')} that all options have: below "
                         f"{stats.MIN_N} there is no interval, and no two are told apart.",
                         _run(_measuring(every), "--repetitions", str(stats.MIN_N))))
    found += [gap for gap in (_rival(ranking, scores), _volume(ranking, scores)) if gap is not None]
    return found + _uncovered(scores.uncovered, _measuring(every)) + _unmeasured(ranking.unmeasured, scores)


def _rival(ranking: Ranking, scores: Scores) -> Gap | None:
    """The first-placed option against the best other storage that the measurements do not tell from it."""
    first = _leader(ranking, scores)
    rivals = [one.option for one in ranking.ranked if first is not None and one.option.target == first.target
              and one.option.label != first.label and not _told_apart(first, one.option, scores)]
    job = next((share for share in scores.covered if not share.of_image and not _only_elsewhere(share)), None)
    if first is None or not rivals or job is None:
        return None
    rival = max(rivals, key=lambda option: (scores.mean(option), option))
    ratio = f"{first.label}/{rival.label} {job.metric} {job.phase} {first.target} ±{WANTED_PERCENT} %"
    return Gap(f"{first.label} and {rival.label} (data in {_where(first)}) are not told apart by speed; of what was "
               f"measured, {job.kind} weigh most. {_page(scores)}",
               _run(REFERENCE, *_only([first, rival], "fio"), "--repeat-until", ratio))


def _volume(ranking: Ranking, scores: Scores) -> Gap | None:
    """The first-placed storage with its data in the layer and in a volume, where that is open."""
    first = _leader(ranking, scores)
    if first is None:
        return None
    other = Option(first.label, "layer" if first.target == "volume" else "volume")
    if other not in scores.logs or _told_apart(first, other, scores):
        return None
    repetitions = max(stats.MIN_N, 2 * scores.n)
    return Gap(f"On {first.label}, layer and volume are not told apart by speed. {_page(scores)}",
               _run(REFERENCE, *_only([first, other], "fio"), "--repetitions", str(repetitions)))


def _uncovered(shares: Sequence[JobShare], scenario: str) -> list[Gap]:
    """One gap for all kinds that the run lacks, since one run has to have all."""
    if not shares:
        return []
    return [Gap(f"{joined([f'{share.kind} ({100 * share.weight:.3g} %)' for share in shares])} are not in the run: "
                f"{joined([share.phase for share in shares])} would measure them.", _run(scenario))]


def _measuring(shares: Sequence[JobShare]) -> str:
    """The scenario that has those jobs on every storage."""
    return WITH_SEQUENTIAL_READS if any(map(_only_elsewhere, shares)) else REFERENCE


def _page(scores: Scores) -> str:
    """What a run of few cells is good for."""
    assert scores.measured is not None
    return f"`lab report` of such a run tells that; the ranking goes on resting on {scores.measured.folder}."


def _unmeasured(options: Sequence[Option], scores: Scores) -> list[Gap]:
    """One gap for all options that the run lacks."""
    if not options:
        return []
    return [Gap("Not placed, because the run lacks a part of what this workload does there: "
                f"{names(options)}.", _run(_measuring(scores.covered)))]


def _leader(ranking: Ranking, scores: Scores) -> Option | None:
    """The measured option that is advised first; of several, the fastest."""
    first = [one.option for one in ranking.first if one.option in scores.logs]
    return max(first, key=lambda option: (scores.mean(option), option), default=None)


def _told_apart(a: Option, b: Option, scores: Scores) -> bool:
    return scores.better(a, b) or scores.better(b, a)


def _only_elsewhere(share: JobShare) -> bool:
    """Whether the reference scenario lacks the job."""
    return share.phase.startswith("seq-read")


def _only(options: Sequence[Option], workload: str) -> list[str]:
    return [word for option in sorted(options) for word in ("--only", f"{option.label}.{option.target}.{workload}")]


def _run(scenario: str, *options: str) -> str:
    return shlex.join(["lab", "run", scenario, *options])


def _where(option: Option) -> str:
    return "a volume" if option.target == "volume" else "the layer"
