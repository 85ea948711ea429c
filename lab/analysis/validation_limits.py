"""What the model leaves out: in the words of its own modules, and what follows for a reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.analysis.words import metric_words, unique


@dataclass(frozen=True)
class Limit:
    """``quote`` stands in the module's text; ``follows``: what that means for whoever uses a prediction."""

    module: str
    quote: str
    follows: str

    @property
    def bullet(self) -> str:
        path = self.module.replace(".", "/") + ".py"
        return f"- {self.follows} (“{self.quote}”, [`{path}`](../{path}))"


LIMITS = (
    Limit("lab.model.device_time", "no queue, no cache, no other load",
          "Two writers at a time, a page cache under pressure and a busy host are not in it: times are those of one "
          "waiting thread on an idle machine."),
    Limit("lab.model.fio_job", "a single thread that waits for each operation",
          "fio jobs with a queue or several threads are refused, not guessed at."),
    Limit("lab.model.job_counts", "expected counts, from the job and what ran before it",
          "The blocks that a random job touches are expected values, not the ones that it drew."),
    Limit("lab.simulate", "real tails are longer than the model's",
          "p99.9 is not predicted: latencies are one lognormal."),
    Limit("lab.simulate", "where the model cannot express the scenario",
          "A command of the user's own cannot be simulated, only measured."),
    Limit("lab.model.xfs", "It does what decides the blocks below, and nothing else",
          "XFS is modelled as far as it decides which blocks of a pool are touched. In which phase its inodes are "
          "written hangs on the clock, so that a growth can come one phase early or late."),
    Limit("lab.model.ext4", "with the file system and never counted as used",
          "ext4 is counted as statfs counts it; what its journal writes costs no space and no time of its own."),
    Limit("lab.model.restore", "metadata is not modelled in a restored pool",
          "A pool that starts from a dump has no metadata count."),
)


def limit_bullets() -> str:
    """The limits as a list."""
    return "\n".join(one.bullet for one in LIMITS)


def lacking_sentence(metrics: Sequence[str]) -> str:
    """Which of the measured metrics a simulated run does not have; empty where it has all."""
    names = [metric_words(metric) for metric in unique(sorted(metrics))]
    return f"Measured and not simulated at all: {', '.join(names)}." if names else ""
