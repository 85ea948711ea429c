"""The arms of a run: two variants that take turns on one machine, or one alone."""

from __future__ import annotations

from typing import Literal

Arm = Literal["baseline", "candidate"]
BASELINE: Arm = "baseline"
CANDIDATE: Arm = "candidate"
ARM = CANDIDATE
"""The arm of every row where a run has only one."""
