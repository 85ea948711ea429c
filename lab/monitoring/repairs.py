"""What a reader of observed logs repaired, counted and with its lines: nothing is mended in silence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

RepairKind = Literal[
    "truncated sample",
    "damaged sample",
    "unreadable sample",
    "sample without a pool",
    "failed pool",
    "text outside samples",
    "no checksum",
    "line ends",
    "time zone",
    "clock not set",
    "duplicate time",
    "clock backwards",
    "gap",
    "counter reset",
    "drop to empty",
    "pool extended",
    "mixed units",
    "block size",
    "sparse file",
]

SHOWN_LINES = 5
"""How many line numbers a repair's text names; ``Repair.lines`` has them all."""


@dataclass(frozen=True)
class Repair:
    """One way in which the log was repaired: what was done, how often, at which lines, and the first case's detail."""

    kind: RepairKind
    what: str
    lines: tuple[int, ...]
    detail: str = ""

    @property
    def count(self) -> int:
        """How many lines were repaired so."""
        return len(self.lines)

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.lines[:SHOWN_LINES])) + (", …" if self.count > SHOWN_LINES else "")
        detail = f"; the first: {self.detail}" if self.detail else ""
        return f"{self.kind}: {self.what} ({self.count}, line{'s' if self.count > 1 else ''} {shown}{detail})"

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, "what": self.what, "count": self.count, "lines": list(self.lines),
                "detail": self.detail}


@dataclass
class Repairs:
    """Collects repairs; those with the same words are counted together."""

    _lines: dict[tuple[RepairKind, str], list[int]] = field(default_factory=dict)
    _details: dict[tuple[RepairKind, str], str] = field(default_factory=dict)

    def add(self, kind: RepairKind, what: str, line: int, detail: str = "") -> None:
        """Notes a line that was repaired; the first detail of its kind and subject is kept."""
        self._lines.setdefault((kind, what), []).append(line)
        self._details.setdefault((kind, what), detail)

    def listed(self) -> tuple[Repair, ...]:
        """In the order in which they were first met."""
        return tuple(Repair(kind, what, tuple(lines), self._details[kind, what])
                     for (kind, what), lines in self._lines.items())
