"""Lesson 10's figures.  Effects in %, above zero where the candidate is the worse side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from lab.analysis import stats
from lab.answers.gate.effects import Effect, paired_effect
from lab.answers.gate.permutation import Floats, Resampling, paired_p
from lab.answers.gate.timings import LogSample
from lab.lessons import gating
from lab.lessons.figures.forest import COLOURS, MARKERS, Mark, forest, name_rows
from lab.lessons.intervals import drawing, n_text
from lab.report import plots
from lab.report.drawings import Drawing
from lab.text import short

_LEFT, _REACHED, _OBSERVED = "#9DC3E6", "#D55E00", "#000000"
_BINS = 41


def noise(tests: Sequence[LogSample]) -> Drawing:
    """A row a test, a point a pair."""
    return drawing("noise", "What the pairs of an A/A run differ by",
                   "Each point is a pair of the same repetition, both arms the same scenario; the bar is the mean's "
                   f"{stats.LEVEL:.0%} interval. All that is seen here is noise.", _noise(tests))


@plots.styled
def _noise(tests: Sequence[LogSample]) -> Figure | None:
    if not tests:
        return None
    figure = plots.blank_figure(0.38 * len(tests) + 1.4)
    axes = figure.subplots()
    for place, one in enumerate(tests):
        effect = paired_effect(one.differences)
        axes.plot(_percent(one.differences), [place] * len(one.differences), linestyle="none", marker="o",
                  markersize=4, alpha=0.45, color=COLOURS[0], markeredgewidth=0)
        if effect.low is not None and effect.high is not None:
            axes.plot(_percent([effect.low, effect.high]), [place, place], color=_REACHED, linewidth=5, alpha=0.6,
                      solid_capstyle="butt")
        axes.plot(_percent([effect.log]), [place], marker="|", markersize=13, color=_OBSERVED, markeredgewidth=1.6)
    axes.axvline(0, color="#333333", linewidth=1.0)
    name_rows(axes, [gating.name_of(one) for one in tests])
    axes.set_xlabel("candidate worse by, %")
    told = n_text(len(one.differences) for one in tests)
    plots.entitle(figure, f"The same scenario twice   ({told})")
    return figure


def permutation(asked: Sequence[tuple[str, LogSample]], how: Resampling) -> Drawing:
    """A panel a test, with the title that it is given."""
    return drawing("permutation", "The mean difference under flips of the pairs' signs, and the observed one",
                   "If nothing had changed, each pair could as well have the other sign. Black: the observed one. Red: "
                   "flips that are at least as bad; their share is the p-value.", _permutation(asked, how))


@plots.styled
def _permutation(asked: Sequence[tuple[str, LogSample]], how: Resampling) -> Figure | None:
    if not asked:
        return None
    figure = plots.blank_figure(3.2)
    grid = figure.subplots(1, len(asked), sharey=True, squeeze=False)[0]
    for axes, (title, one) in zip(grid, asked, strict=True):
        means = gating.flip_means(one, how)
        told, observed = np.asarray(_percent(means.tolist())), _percent([float(means[0])])[0]
        edges = np.linspace(float(told.min()), float(told.max()), _BINS) if np.ptp(told) else np.array([-1.0, 1.0])
        reached = told >= observed - 1e-9 * max(1.0, abs(observed))
        axes.hist([told[~reached], told[reached]], bins=edges.tolist(), stacked=True, color=[_LEFT, _REACHED])
        axes.axvline(observed, color=_OBSERVED, linewidth=1.6)
        axes.set_title(f"{title}: p = {short(paired_p(one.differences, how), 2)}", loc="left")
        axes.set_xlabel("mean worsening, %")
    grid[0].set_ylabel("flips")
    plots.entitle(figure, f"{gating.name_of(asked[0][1])}   (n = {len(asked[0][1].differences)})")
    return figure


def detectable(table: pd.DataFrame) -> Drawing:
    """``table``: as ``gating.detectable`` gives it."""
    return drawing("detectable", "The smallest worsening that the gate finds against the number of pairs",
                   "Found with a power of 80 %, resampled from the A/A pairs. A line that begins late: fewer find "
                   "nothing, however large, because no p-value can get small enough.", _detectable(table))


@plots.styled
def _detectable(table: pd.DataFrame) -> Figure | None:
    if not table.notna().to_numpy().any():
        return None
    figure = plots.blank_figure(4.2)
    axes = figure.subplots()
    pairs = [int(n) for n in table.columns]
    for number, (name, row) in enumerate(table.iterrows()):
        again = number // len(COLOURS)                  # a colour comes again dashed and with another marker
        axes.plot(pairs, row.tolist(), color=COLOURS[number % len(COLOURS)], linestyle="--" if again else "-",
                  marker=MARKERS[(number + 2 * again) % len(MARKERS)], markersize=5, label=str(name))
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    plots.plain_ticks(axes.yaxis)
    axes.set_xticks(pairs)
    axes.set_xlim(min(pairs) - 0.5, max(pairs) + 0.5)
    axes.set_xlabel("pairs")
    axes.set_ylabel("smallest worsening found, % (log)")
    figure.legend(loc="outside right center", frameon=False)
    plots.entitle(figure, "What the gate can find")
    return figure


def arms_and_runs(found: gating.Both) -> Drawing:
    """Both ways to compare, a row a test."""
    marks = [Mark(name, words, _estimate(effect, n)) for name, n, arms, runs in found
             for words, effect in (("two arms of one run", arms), ("as two runs", runs))]
    return drawing("arms-and-runs", "The same noise by two arms of one run and as two runs",
                   f"Intervals of {stats.LEVEL:.0%}. Right of 1: the candidate seems worse. Two runs hold what changed "
                   "from the first half of the hours to the second.",
                   forest(marks, title="Two arms, or two runs", xlabel="worse by a factor (log)"))


def _estimate(effect: Effect, n: int) -> stats.Estimate:
    low, high = (None if end is None else math.exp(end) for end in (effect.low, effect.high))
    return stats.Estimate(math.exp(effect.log), low, high, n, None if low is None else stats.LEVEL)


def _percent(logs: Sequence[float]) -> list[float]:
    told: Floats = 100 * np.expm1(np.asarray(logs, dtype=np.float64))
    return [float(value) for value in told]
