"""What a replay came to, beside what the kernel said: a write op, a step, a case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.model.pool.thinpool import ThinPool
from lab.simulate.replay.case import Op


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """How one ``write`` op ended in the model: indexes of the writes that failed, and their error."""

    failed_indexes: tuple[int, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """The pool after one step, in blocks; ``expect`` is what the kernel said, None where not recorded.

    In a failed pool the kernel shows no numbers: they are None.
    """

    title: str
    used_data_blocks: int | None
    used_metadata_blocks: int | None
    mapped_blocks: dict[str, int | None]
    status: str
    status_before_commit: str
    writes: tuple[WriteOutcome, ...] = ()
    failed_writes: int = 0
    expect: Mapping[str, Any] | None = None
    recorded_ops: tuple[Op, ...] = field(default=(), repr=False)

    @property
    def data_blocks_agree(self) -> bool:
        """Whether used and mapped data blocks are the kernel's, and the writes that failed are those
        that failed there."""
        expect = self.expect
        if expect is None:
            return True
        mapped = {thin: blocks if isinstance(blocks, int) else None for thin, blocks in expect["mapped_blocks"].items()}
        return (
            self.expected_data_blocks == self.used_data_blocks
            and all(self.mapped_blocks.get(thin) == blocks for thin, blocks in mapped.items())
            and self._failures_agree()
        )

    @property
    def expected_data_blocks(self) -> int | None:
        """The kernel's used data blocks; None where it gave no count."""
        return None if self.expect is None else self.expect["used_data_blocks"]

    def _failures_agree(self) -> bool:
        recorded = [op for op in self.recorded_ops if op["op"] == "write"]
        return all(
            tuple(op.get("failed_indexes", ())) == outcome.failed_indexes and op.get("error") == outcome.error
            for op, outcome in zip(recorded, self.writes, strict=True)
        )

    @property
    def metadata_error_blocks(self) -> int | None:
        """Used metadata blocks minus the kernel's; None where either has none."""
        expected = None if self.expect is None else self.expect["used_metadata_blocks"]
        if expected is None or self.used_metadata_blocks is None:
            return None
        return self.used_metadata_blocks - int(expected)

    def document(self) -> dict[str, Any]:
        """As in ``lab replay --json``."""
        document: dict[str, Any] = {
            "title": self.title,
            "used_data_blocks": self.used_data_blocks,
            "used_metadata_blocks": self.used_metadata_blocks,
            "mapped_blocks": self.mapped_blocks,
            "status": self.status,
            "failed_writes": self.failed_writes,
        }
        if self.expect is not None:
            document["expect"] = dict(self.expect)
        return document


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """A case replayed.  ``pool`` is as the last step left it."""

    case: str
    steps: tuple[StepResult, ...]
    pool: ThinPool

    @property
    def data_blocks_agree(self) -> bool:
        """Whether every step agrees."""
        return all(step.data_blocks_agree for step in self.steps)

    @property
    def metadata_compared(self) -> bool:
        """Whether metadata is modelled: in a case that starts from a thin_dump it is not."""
        return self.pool.config.metadata_blocks is not None

    @property
    def metadata_error_max_blocks(self) -> int | None:
        """Largest difference of used metadata blocks at any step, without sign; None where it is not compared."""
        if not self.metadata_compared:
            return None
        return max((abs(error) for step in self.steps if (error := step.metadata_error_blocks) is not None), default=0)

    def document(self) -> dict[str, Any]:
        """The one JSON document."""
        return {
            "case": self.case,
            "steps": [step.document() for step in self.steps],
            "data_blocks_agree": self.data_blocks_agree,
            "metadata_compared": self.metadata_compared,
            "metadata_error_max_blocks": self.metadata_error_max_blocks,
        }
