"""Lesson 3: a pool on loop files against a pool on a disk, with the block size told apart from the loop device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lab.analysis import stats
from lab.analysis.comparisons import BANDWIDTHS
from lab.analysis.facts import ALL_PHASES, FILES, Facts, difference, job_name, mib_text
from lab.lessons.figures.forest import Mark, forest
from lab.lessons.intervals import drawing, indexed, interval_text, median_text
from lab.report.drawings import Drawing
from lab.runs.store import Run
from lab.text import unique


@dataclass(frozen=True)
class Question:
    """What a ratio of two storages' bandwidths tells, where they differ in nothing else."""

    asks: str
    top: str
    bottom: str

    @property
    def legend(self) -> str:
        """The question with the two storages of its ratio."""
        return f"{self.asks}: {self.top} ÷ {self.bottom}"


LOOP = Question("the loop device", "loop-lvm", "direct-64k")
BLOCK = Question("the block size", "direct-64k", "direct-lvm")
BOTH = Question("both", "loop-lvm", "direct-lvm")
QUESTIONS = (LOOP, BLOCK, BOTH)


def space(facts: Facts, top: str = LOOP.top, bottom: str = LOOP.bottom) -> pd.DataFrame:
    """A row a phase of the container steps, in the layer: what each took, and the paired difference in data blocks.

    ``difference_blocks`` is the median of (top - bottom) in blocks of the larger of the two; NaN where no repetition
    has both.
    """
    block = max(facts.chunk_bytes(label) or 0 for label in (top, bottom)) or 1
    rows = []
    for phase in [*facts.phases("layer"), ALL_PHASES]:
        found = difference(facts, top, bottom, phase)
        rows.append((phase, *(median_text(facts.summary_row(label, "layer", phase, "storage_growth"))
                              for label in (top, bottom)), interval_text(found, block), found.centre / block))
    return indexed(rows, ["phase", f"{top}, MiB", f"{bottom}, MiB", "difference, data blocks", "difference_blocks"])


def space_of(facts: Facts, labels: Sequence[str]) -> pd.DataFrame:
    """A row a phase of the container steps, a column a storage: growth in the layer, MiB."""
    rows = [(phase, *(median_text(facts.summary_row(label, "layer", phase, "storage_growth")) for label in labels))
            for phase in facts.phases("layer")]
    return indexed(rows, ["phase", *(f"{label}, MiB" for label in labels)])


def loop_file(facts: Facts, label: str = "loop-lvm") -> pd.DataFrame:
    """A row a phase: what the pool's data blocks grew by, and what the sparse file below them did on its disk, MiB."""
    rows = [(phase, *(mib_text(facts.summary_row(label, "layer", phase, metric))
                      for metric in ("storage_growth", "loop_growth", "disk_written")))
            for phase in facts.phases("layer")]
    return indexed(rows, ["phase", "pool's data blocks", "sparse file", "written to the disk"])


def ratios(run: Run, questions: Sequence[Question] = QUESTIONS, target: str = "layer") -> pd.DataFrame:
    """Bandwidth ratios of each fio job, paired by repetition, in the repetitions that have every storage asked for.

    Columns: ``job``, ``asks`` (a question's), ``numerator``, ``denominator``, ``n``, ``ratio``, ``low``, ``high``
    (NaN where there is no interval), and the three last ones as text.  In the same repetitions a ratio of geometric
    means is the geometric mean of the ratios: the questions' answers multiply exactly.
    """
    labels = unique(label for question in questions for label in (question.top, question.bottom))
    frame = stats.prepare(run.measurements)
    frame = frame[frame["label"].isin(labels) & (frame["target"] == target) & (frame["value"] > 0)
                  & frame["metric"].isin(BANDWIDTHS) & (frame["workload"] != FILES)]
    rows = []
    for (_, phase, metric), part in frame.groupby(["workload", "phase", "metric"], sort=False):
        there = part.groupby("repetition")["label"].nunique()
        whole = part[part["repetition"].isin(list(there[there == len(labels)].index))]
        for question in questions:
            found = stats.ratio_interval(*stats.paired_values(whole, "label", question.top, question.bottom))
            if found.n:
                rows.append((job_name(str(phase), str(metric)), question.asks, question.top, question.bottom, found.n,
                             found.centre, found.low, found.high, interval_text(found)))
    table = pd.DataFrame(rows, columns=["job", "asks", "numerator", "denominator", "n", "ratio", "low", "high",
                                        "ratio (95 % interval)"])
    return table.astype({"low": float, "high": float})


def side_by_side(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a job, a column a question: the ratios as text."""
    wide = rows.pivot(index="job", columns="asks", values="ratio (95 % interval)")
    return wide.reindex(index=unique(rows["job"]), columns=unique(rows["asks"]))


def ratio_of(rows: pd.DataFrame, job: str, asks: str) -> stats.Estimate | None:
    """One ratio of ``ratios``; None where there is none."""
    own = rows[(rows["job"] == job) & (rows["asks"] == asks)]
    if own.empty:
        return None
    row = own.iloc[0]
    low, high = float(row["low"]), float(row["high"])
    known = low == low and high == high
    return stats.Estimate(float(row["ratio"]), low if known else None, high if known else None, int(row["n"]),
                          stats.LEVEL if known else None)


def drawn(rows: pd.DataFrame, questions: Sequence[Question] = QUESTIONS) -> Drawing:
    """All ratios, a row a job.  Raises ValueError where there is none."""
    words = {question.asks: question.legend for question in questions}
    marks = [Mark(str(job), words[str(asks)], found) for job, asks in zip(rows["job"], rows["asks"], strict=True)
             if str(asks) in words and (found := ratio_of(rows, str(job), str(asks))) is not None]
    return drawing("loop-or-direct", "Ratios of bandwidth: the loop device, the block size, and both",
                   "Left of 1: the first storage is the slower one. #2 is the second pass over the same file.",
                   forest(marks, title="Bandwidth in the layer", xlabel="ratio of bandwidths (log)"))
