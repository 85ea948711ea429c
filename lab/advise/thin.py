"""Where the evidence is thin, and the exact ``lab run`` that would settle it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from lab.advise.jobs import JobShare
from lab.advise.options import Option
from lab.advise.ranking import Ranking
from lab.advise.scores import Scores
from lab.analysis import stats
from lab.analysis.words import counted, joined

REFERENCE = "scenarios/reference.yaml"
WITH_SEQUENTIAL_READS = "scenarios/layer-vs-volume.yaml"
"""The shipped scenario whose jobs read sequentially."""

WANTED_PERCENT = 10
"""The half-width to ask for; ``lab run --repeat-until`` has it in its own example."""


@dataclass(frozen=True)
class Gap:
    """What is not known well enough, and the command that measures it; None where no scenario does."""

    says: str
    command: str | None


def gaps(ranking: Ranking, scores: Scores) -> list[Gap]:
    """In the order in which they matter to the ranking."""
    found = []
    if scores.measured is None:
        found.append(Gap("No run measured any of this workload's reads and writes: nothing here rests on speed.",
                         shlex.join(["lab", "run", REFERENCE])))
    elif scores.n < stats.MIN_N:
        found.append(Gap(f"Speeds rest on {counted(scores.n, 'repetition')}: below {stats.MIN_N} there is no interval, "
                         "and none is told apart.", None))
    found += [gap for gap in (_rival(ranking, scores), _volume(ranking, scores)) if gap is not None]
    if scores.measured is not None:
        found += [_uncovered(share) for share in scores.uncovered]
        found += _unmeasured(ranking.unmeasured, scores)
    return found


def _rival(ranking: Ranking, scores: Scores) -> Gap | None:
    """The first-placed option against the best other storage that the measurements do not tell from it."""
    first = _leader(ranking, scores)
    if first is None:
        return None
    rivals = [one.option for one in ranking.ranked if one.option.target == first.target
              and one.option.label != first.label and not scores.better(first, one.option)]
    job = next((share for share in scores.covered if not share.of_image), None)
    if not rivals or job is None or scores.measured is None:
        return None
    rival = max(rivals, key=lambda option: (scores.mean(option), option))
    ratio = f"{first.label}/{rival.label} {job.metric} {job.phase} {first.target} ±{WANTED_PERCENT} %"
    command = ["lab", "run", REFERENCE, *_only([first, rival], "fio"), "--repeat-until", ratio]
    return Gap(f"{first.label} and {rival.label} ({_where(first)}) are not told apart by speed; "
               f"{job.kind} weigh most.", shlex.join(command))


def _volume(ranking: Ranking, scores: Scores) -> Gap | None:
    """The first-placed storage with its data in the layer and in a volume, where that is open."""
    first = _leader(ranking, scores)
    if first is None:
        return None
    other = Option(first.label, "layer" if first.target == "volume" else "volume")
    if other not in scores.logs or scores.better(first, other) or scores.better(other, first):
        return None
    repetitions = max(stats.MIN_N, 2 * scores.n)
    command = ["lab", "run", REFERENCE, *_only(sorted([first, other]), "fio"), "--repetitions", str(repetitions)]
    return Gap(f"On {first.label}, layer and volume are not told apart by speed.", shlex.join(command))


def _uncovered(share: JobShare) -> Gap:
    scenario = WITH_SEQUENTIAL_READS if share.phase.startswith("seq-read") else REFERENCE
    return Gap(f"{share.kind}, {100 * share.weight:.3g} % of the reads and writes, are not in the run: "
               f"{share.phase} would measure them.", shlex.join(["lab", "run", scenario]))


def _unmeasured(options: Sequence[Option], scores: Scores) -> list[Gap]:
    """One gap for all options that the run lacks."""
    if not options:
        return []
    image = any(share.of_image for share in scores.covered)
    cells = _only(options, "fio") + (_only(sorted({Option(option.label, "layer") for option in options}), "image")
                                     if image else [])
    return [Gap(f"Not placed, because the run lacks what this workload does: "
                f"{joined([option.words for option in options])}.", shlex.join(["lab", "run", REFERENCE, *cells]))]


def _leader(ranking: Ranking, scores: Scores) -> Option | None:
    """The measured option that is advised first; of several, the fastest."""
    first = [one.option for one in ranking.first if one.option in scores.logs]
    return max(first, key=lambda option: (scores.mean(option), option), default=None)


def _only(options: Sequence[Option], workload: str) -> list[str]:
    return [word for option in options for word in ("--only", f"{option.label}.{option.target}.{workload}")]


def _where(option: Option) -> str:
    return "in a volume" if option.target == "volume" else "in the layer"
