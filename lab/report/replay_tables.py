"""Replayed cases and tried traces as tables of text."""

from __future__ import annotations

from collections.abc import Sequence

from lab.simulate.replay import ReplayResult
from lab.simulate.replay.block_sizes import TraceResult
from lab.units import METADATA_BLOCK_BYTES, format_bytes


def format_replay(result: ReplayResult) -> str:
    """A case as a table: step, blocks in the model, blocks in the kernel, difference."""
    rows = [("step", "data", "kernel", "diff", "metadata", "kernel", "diff", "")]
    for number, step in enumerate(result.steps):
        expect = step.expect or {}
        rows.append(
            (
                f"{number} {step.title[:56]}",
                _shown(step.used_data_blocks),
                _shown(step.expected_data_blocks),
                _difference(step.used_data_blocks, step.expected_data_blocks),
                _shown(step.used_metadata_blocks),
                _shown(expect.get("used_metadata_blocks")),
                _difference(step.used_metadata_blocks, expect.get("used_metadata_blocks")),
                "" if step.data_blocks_agree else "differs",
            )
        )
    verdict = "agree at every step" if result.data_blocks_agree else "DISAGREE"
    metadata = (
        f"metadata differs by at most {result.metadata_error_max_blocks} blocks" if result.metadata_compared
        else "metadata is not compared: the mappings that the case starts from do not tell how it lay"
    )
    return f"{_table(rows)}\n\n{result.case}: data blocks, mapped blocks and failed writes {verdict}; {metadata}"


def format_trace(result: TraceResult) -> str:
    """A trace as a table, one line a block size."""
    head = "block,allocated,of it never written,zeroed,copied after a snapshot,metadata used,failed writes"
    rows = [tuple(head.split(","))]
    rows += [
        (
            format_bytes(size.chunk_size_bytes),
            format_bytes(size.bytes_allocated),
            format_bytes(size.bytes_wasted),
            format_bytes(size.bytes_zeroed),
            format_bytes(size.bytes_copied_after_snapshot),
            format_bytes(size.used_metadata_blocks * METADATA_BLOCK_BYTES),
            f"{size.failed_writes}"
            + ("" if size.first_failed_write is None else f" (from write {size.first_failed_write} on)"),
        )
        for size in result.chunk_sizes
    ]
    return (
        f"{result.trace}: {result.writes} writes of {format_bytes(result.bytes_written)} to "
        f"{format_bytes(result.bytes_distinct)}, {result.discards} discards, "
        f"pool of {format_bytes(result.pool_size_bytes)}\n\n{_table(rows)}"
    )


def _shown(value: int | None) -> str:
    return "-" if value is None else str(value)


def _difference(ours: int | None, theirs: int | None) -> str:
    return "" if ours is None or theirs is None else f"{ours - theirs:+d}" if ours != theirs else "0"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
