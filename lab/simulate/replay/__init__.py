"""A recorded block trace through the exact model.

A *case* is a folder with ``case.json`` and gzipped fio I/O logs: what was done to a pool, step by step,
and what the kernel said after each.  The recorded ground truth starts from an empty pool; a case that a measured run
traced starts from the thin_dump that lies beside it, and its metadata is not compared.  A bare trace is one fio I/O
log or blkparse text.

One document (``lab replay --json``): ``case``, ``steps``, ``data_blocks_agree``, ``metadata_compared``,
``metadata_error_max_blocks`` (null where metadata is not compared).
"""

from __future__ import annotations

from lab.simulate.replay.dump import pool_dump, save_pool_dump
from lab.simulate.replay.result import ReplayResult, StepResult, WriteOutcome
from lab.simulate.replay.steps import StepAt, replay_case, replay_steps

__all__ = [
    "ReplayResult",
    "StepAt",
    "StepResult",
    "WriteOutcome",
    "pool_dump",
    "replay_case",
    "replay_steps",
    "save_pool_dump",
]
