"""A guest's clock that drifts is found out, and one that was only read slowly is not blamed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.errors import RigError
from lab.rig.clock import Clocks, compare_clocks, drift
from lab.rig.machine import Completed


class Guest:
    """A machine whose clock runs ``rate`` times as fast as the host's, and that answers after ``delay`` seconds."""

    def __init__(self, rate: float, delay: float = 0.0) -> None:
        self._rate, self._delay = rate, delay

    def run(self, argv: Sequence[str], *, timeout: float = 1, check: bool = True,
            stdin: bytes | None = None) -> Completed:
        time.sleep(self._delay)
        return Completed(tuple(argv), 0, f"{time.monotonic() * self._rate}\n", "", 0.0)

    def get(self, folder: str, into: Path) -> None:
        raise AssertionError(folder)


def began(rate: float, seconds_ago: float) -> Clocks:
    then = time.monotonic() - seconds_ago
    return Clocks(then * rate, then, 0.0)


def test_a_true_clock_passes_and_its_drift_is_recorded() -> None:
    assert abs(compare_clocks(Guest(1.0), began(1.0, 20)).drift) < 0.001


@pytest.mark.parametrize("rate", [0.98, 1.02, 3.2])
def test_a_clock_more_than_a_percent_off_is_refused(rate: float) -> None:
    with pytest.raises(RigError, match="timings are refused"):
        compare_clocks(Guest(rate), began(rate, 20))


def test_a_slow_answer_is_not_taken_for_drift() -> None:
    assert compare_clocks(Guest(1.0, delay=0.2), began(1.0, 16)).drift < 0.02


def test_drift_is_relative_to_the_hosts_seconds() -> None:
    off, doubt = drift(Clocks(0, 0, 0.1), Clocks(101, 100, 0.1))
    assert (off, doubt) == pytest.approx((0.01, 0.002))
