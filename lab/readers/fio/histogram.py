"""Latency histograms of json+: the middle of a bin, in seconds, to its count."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from lab.errors import ReaderError


def percentile_from_bins(bins: Mapping[float, int], fraction: float) -> float:
    """Middle of the first bin, in seconds, up to which at least ``fraction`` of the counts lie (as fio counts).

    Raises ReaderError if the histogram is empty, ValueError if fraction is outside 0 to 1.

    >>> percentile_from_bins({0.001: 98, 0.002: 1, 0.5: 1}, 0.99)
    0.002
    """
    check_fraction(fraction)
    total = sum(bins.values())
    if total <= 0:
        raise ReaderError("the latency histogram is empty: there is no percentile to tell")
    wanted = Fraction(str(fraction)) * total
    counted = 0
    for seconds, count in sorted(bins.items()):
        counted += count
        if count and counted >= wanted:
            return seconds
    raise AssertionError("counts of a histogram do not add up")  # fraction <= 1 is reached by the last bin


def merge_bins(*histograms: Mapping[float, int]) -> dict[float, int]:
    """One histogram (seconds -> count, ascending) of several jobs; fio's bins are the same in each."""
    merged: dict[float, int] = {}
    for bins in histograms:
        for seconds, count in bins.items():
            merged[seconds] = merged.get(seconds, 0) + count
    return dict(sorted(merged.items()))


def check_fraction(fraction: float) -> None:
    """Raises ValueError for a fraction outside 0 to 1."""
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction(={fraction}) must be within 0 and 1, as in 0.99")
