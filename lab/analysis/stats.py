"""Medians with intervals, and paired ratios.

Frames in, frames out.  A frame here is a run's ``measurements``
(``records.MEASUREMENT_COLUMNS``); ``prepare`` adds the columns ``place``, the
name that a storage has in its scenario, and ``label``, the same and the arm
where a run has two: what is told by label never mixes arms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from lab.scenario.arms import BASELINE, CANDIDATE
from lab.storages.catalogue import COMMON

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95
"""The level that intervals aim at."""

MIN_N = 3
"""Fewer repetitions than this give no interval and no winner."""

MEDIAN_METHOD = "exact order statistics"
RATIO_METHOD = "geometric mean of paired ratios, Student's t on their logarithms"

SUMMARY_COLUMNS = ("label", "target", "workload", "phase", "metric", "unit",
                   "n", "median", "low", "high", "coverage", "method")
RATIO_COLUMNS = ("target", "workload", "phase", "metric", "label", "numerator", "denominator",
                 "n", "ratio", "low", "high", "level", "method")

VARIATION_COLUMNS = ("label", "target", "workload", "phase", "metric", "unit", "n", "mean", "variation")

ARMS = (BASELINE, CANDIDATE)

_GROUP = ["target", "workload", "phase", "metric"]


@dataclass(frozen=True)
class Estimate:
    """A centre, and its interval where ``n`` allows one.  ``coverage`` is what the interval really covers."""

    centre: float
    low: float | None
    high: float | None
    n: int
    coverage: float | None

    @property
    def settled(self) -> bool:
        """Whether there is an interval, and 1 lies outside it (for ratios)."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def median_interval(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """The median, and its distribution-free interval between two order statistics.

    The interval is [x(j), x(n+1-j)], j the largest with a coverage of at least
    ``level``; the coverage is 1 - 2 sum over i < j of C(n, i) / 2^n.  Where even the smallest
    and the largest value do not reach the level (n < 6 for 0.95), they are the
    interval and ``coverage`` says what they cover: 0.75 for n = 3, 0.9375 for
    n = 5.  No interval below n = 3.

    Source: Hahn & Meeker, Statistical Intervals (1991), 5.2; David & Nagaraja,
    Order Statistics (2003), 7.1.

    >>> median_interval([3.0, 1.0, 2.0])
    Estimate(centre=2.0, low=1.0, high=3.0, n=3, coverage=0.75)
    """
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        return Estimate(math.nan, None, None, 0, None)
    middle = n // 2
    centre = ordered[middle] if n % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    if n < MIN_N:
        return Estimate(centre, None, None, n, None)
    rank, coverage = 1, _coverage(n, 1)
    while rank < n // 2 and _coverage(n, rank + 1) >= level:
        rank += 1
        coverage = _coverage(n, rank)
    return Estimate(centre, ordered[rank - 1], ordered[n - rank], n, coverage)


def ratio_interval(numerators: Sequence[float], denominators: Sequence[float], level: float = LEVEL) -> Estimate:
    """Geometric mean of the ratios of pairs, with Student's t interval on their logarithms.

    exp(m ± t(1 - (1 - level)/2; n - 1) s / sqrt(n)), where m and s are the mean and the
    standard deviation of ln(a/b).  A pair with a value of zero or below has no
    logarithm: then the centre is NaN.  No interval below n = 3.

    Source: Fleming & Wallace, CACM 29 (1986) 218, for the geometric mean;
    Altman, Practical Statistics for Medical Research (1991), 9.4, for the
    paired interval on logarithms.

    >>> ratio_interval([2.0, 4.0], [1.0, 1.0]).centre.__round__(6)
    2.828427
    """
    n = len(numerators)
    if n == 0 or any(not a > 0 or not b > 0 for a, b in zip(numerators, denominators, strict=True)):
        return Estimate(math.nan, None, None, n, None)
    logs = [math.log(a / b) for a, b in zip(numerators, denominators, strict=True)]
    mean = math.fsum(logs) / n
    if n < MIN_N:
        return Estimate(math.exp(mean), None, None, n, None)
    from scipy import stats

    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in logs) / (n - 1))
    half = float(stats.t.ppf(1 - (1 - level) / 2, n - 1)) * deviation / math.sqrt(n)
    return Estimate(math.exp(mean), math.exp(mean - half), math.exp(mean + half), n, level)


def prepare(measurements: pd.DataFrame) -> pd.DataFrame:
    """The rows with a finite value, and ``place`` and ``label`` added.

    The place is the first part of the cell's id; where a run has several arms the
    label carries the arm too.
    """
    import numpy as np
    import pandas as pd

    frame = measurements.copy()
    frame["value"] = pd.to_numeric(frame["value"], errors="coerce").astype("float64")
    frame = pd.DataFrame(frame[np.isfinite(frame["value"])]).reset_index(drop=True)
    for name in ("cell", "storage", "target", "workload", "phase", "arm", "metric", "unit"):
        frame[name] = frame[name].astype("object").where(frame[name].notna(), "").astype(str)
    several = frame["arm"].nunique() > 1
    places = [storage_label(cell, storage) for cell, storage in zip(frame["cell"], frame["storage"], strict=True)]
    labels = [arm_label(place, arm) if several else place for place, arm in zip(places, frame["arm"], strict=True)]
    labelled: pd.DataFrame = frame.assign(place=pd.Series(places, index=frame.index, dtype="object"),
                                          label=pd.Series(labels, index=frame.index, dtype="object"))
    return labelled


def arm_label(place: str, arm: str) -> str:
    """A storage's label in a run with two arms."""
    return f"{place} ({arm})"


def split_label(label: str) -> tuple[str, str | None]:
    """A label's storage, and its arm where it carries one.

    >>> split_label("direct-lvm (baseline)"), split_label("direct-lvm")
    (('direct-lvm', 'baseline'), ('direct-lvm', None))
    """
    for arm in ARMS:
        if label.endswith(f" ({arm})"):
            return label.removesuffix(f" ({arm})"), arm
    return label, None


def rank(label: str) -> tuple[int, str, str]:
    """The place of a storage in every list: the known ones first; of its arms the baseline before the candidate."""
    place, arm = split_label(label)
    return (COMMON.index(place) if place in COMMON else len(COMMON), place, arm or "")


def has_arms(prepared: pd.DataFrame) -> bool:
    """Whether both arms have rows."""
    return prepared["arm"].nunique() > 1


def summarise(measurements: pd.DataFrame) -> pd.DataFrame:
    """One row for each label, target, workload, phase and metric: median, interval, n (``SUMMARY_COLUMNS``)."""
    import pandas as pd

    frame = _one_value_a_repetition(_prepared(measurements))
    rows = []
    for key, group in frame.groupby(["label", *_GROUP, "unit"], sort=False):
        label, target, workload, phase, metric, unit = key
        found = median_interval(group["value"].tolist())
        rows.append((label, target, workload, phase, metric, unit, found.n, found.centre, found.low, found.high,
                     found.coverage, MEDIAN_METHOD if found.low is not None else "none: n < 3"))
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))


def ratios(measurements: pd.DataFrame, metrics: Iterable[str] | None = None, *,
           reference: str | None = None) -> pd.DataFrame:
    """Ratios between every two storages of one arm, paired by repetition (``RATIO_COLUMNS``; ``label``: the numerator).

    With a ``reference`` (a label), only those of the others to it.
    """
    frame = _prepared(measurements)
    names = [str(name) for name in frame["label"].unique()]
    pairs = list(combinations(names, 2)) if reference is None else [(name, reference) for name in names
                                                                    if name != reference]
    pairs = [(top, bottom) for top, bottom in pairs if split_label(top)[1] == split_label(bottom)[1]]
    table = _paired(frame, "label", _GROUP, metrics, pairs)
    return table.assign(label=table["numerator"])


def candidate_against_baseline(measurements: pd.DataFrame, metrics: Iterable[str] | None = None) -> pd.DataFrame:
    """Ratios candidate ÷ baseline on each storage, paired by repetition (``RATIO_COLUMNS``; ``label``: the storage)."""
    frame = _prepared(measurements)
    return _paired(frame.assign(label=frame["place"]), "arm", ["label", *_GROUP], metrics, [(CANDIDATE, BASELINE)])


def layer_against_volume(measurements: pd.DataFrame, metrics: Iterable[str] | None = None) -> pd.DataFrame:
    """Ratios layer ÷ volume of each storage, paired by repetition (``RATIO_COLUMNS``; ``target`` is empty)."""
    return _paired(measurements, "target", ["label", "workload", "phase", "metric"], metrics, [("layer", "volume")])


def rewrite_against_first(measurements: pd.DataFrame, metrics: Iterable[str] | None = None) -> pd.DataFrame:
    """Ratios of the second pass over a file to the first, ``X#2`` ÷ ``X`` (``RATIO_COLUMNS``; ``phase`` is X).

    Only for phases of fio jobs: a repeated container step writes something else.
    """
    frame = _prepared(measurements)
    if metrics is None:
        metrics = ("write_bandwidth",)
    frame = frame[frame["metric"].isin(list(metrics))].copy()
    parts = frame["phase"].str.extract(r"^(?P<base>.*?)(?:#(?P<pass>\d+))?$")
    frame["phase"] = parts["base"].fillna("")
    frame["pass"] = parts["pass"].fillna("1").map({"1": "first write", "2": "rewrite"})
    frame = frame[frame["pass"].notna()]
    return _paired(frame, "pass", ["label", *_GROUP], None, [("rewrite", "first write")])


def estimate(row: dict[str, object] | dict[object, object]) -> Estimate:
    """A row of a ratio frame, as an ``Estimate``."""
    def number(name: str) -> float | None:
        value = row[name]
        return None if value is None or value != value else float(str(value))

    centre = number("ratio")
    return Estimate(math.nan if centre is None else centre, number("low"), number("high"), int(str(row["n"])),
                    number("level"))


def _paired(measurements: pd.DataFrame, between: str, within: list[str], metrics: Iterable[str] | None,
            pairs: list[tuple[str, str]] | None) -> pd.DataFrame:
    import pandas as pd

    frame = _prepared(measurements)
    if metrics is not None:
        frame = frame[frame["metric"].isin(list(metrics))]
    rows = []
    for key, group in frame.groupby(within, sort=False):
        values = _by_repetition(group, between)
        wanted = pairs if pairs is not None else list(combinations(values, 2))
        for top, bottom in wanted:
            if top not in values or bottom not in values:
                continue
            found = ratio_interval(*_shared(values, top, bottom))
            named = dict(zip(within, key, strict=True))
            rows.append({name: named.get(name, "") for name in (*_GROUP, "label")} | {
                "numerator": top, "denominator": bottom, "n": found.n, "ratio": found.centre, "low": found.low,
                "high": found.high, "level": found.coverage,
                "method": RATIO_METHOD if found.low is not None else "none: n < 3"})
    return pd.DataFrame(rows, columns=list(RATIO_COLUMNS))


def paired_values(frame: pd.DataFrame, between: str, top: str, bottom: str) -> tuple[list[float], list[float]]:
    """Both sides' values in the repetitions that both have, in order; of several in one repetition the median.

    ``frame`` is a prepared one of a single metric and phase; ``between`` is the column that tells the sides apart.
    """
    return _shared(_by_repetition(frame, between), top, bottom)


def running_ratio(numerators: Sequence[float], denominators: Sequence[float], level: float = LEVEL) -> list[Estimate]:
    """The ratio as it stood after 1, 2, 3, … pairs."""
    return [ratio_interval(numerators[:n], denominators[:n], level) for n in range(1, len(numerators) + 1)]


def variation(measurements: pd.DataFrame) -> pd.DataFrame:
    """The coefficient of variation over repetitions, where there are two or more (``VARIATION_COLUMNS``).

    It is the sample's standard deviation (n - 1) over the mean's magnitude; NaN where the mean is zero.
    """
    import pandas as pd

    frame = _one_value_a_repetition(_prepared(measurements))
    rows = []
    for key, group in frame.groupby(["label", *_GROUP, "unit"], sort=False):
        if len(group) >= 2:
            mean, deviation = float(group["value"].mean()), float(group["value"].std(ddof=1))
            rows.append((*key, len(group), mean, deviation / abs(mean) if mean else math.nan))
    return pd.DataFrame(rows, columns=list(VARIATION_COLUMNS))


def _by_repetition(frame: pd.DataFrame, between: str) -> dict[str, dict[int, float]]:
    values: dict[str, dict[int, float]] = {}
    for (name, repetition), part in frame.groupby([between, "repetition"], sort=False)["value"]:
        values.setdefault(str(name), {})[int(str(repetition))] = float(part.median())
    return values


def _shared(values: dict[str, dict[int, float]], top: str, bottom: str) -> tuple[list[float], list[float]]:
    above, below = values.get(top, {}), values.get(bottom, {})
    shared = sorted(set(above) & set(below))
    return [above[r] for r in shared], [below[r] for r in shared]


def _prepared(frame: pd.DataFrame) -> pd.DataFrame:
    return frame if "label" in frame.columns else prepare(frame)


def _one_value_a_repetition(frame: pd.DataFrame) -> pd.DataFrame:
    keys = ["label", *_GROUP, "unit", "repetition"]
    return frame.groupby(keys, sort=False)["value"].median().reset_index()


def _coverage(n: int, rank: int) -> float:
    return 1 - sum(math.comb(n, i) for i in range(rank)) / float(1 << (n - 1))


def storage_label(cell: str, storage: str) -> str:
    """A storage's name in a run: the first part of a cell's id, the kind itself where the cell is of the set-up."""
    parts = [part for part in cell.split(".") if part and part != "setup"]
    return parts[0] if parts else storage
