"""The gate as a page of GitHub's Markdown: the verdict first, the rows that matter, all the others folded."""

from __future__ import annotations

from collections.abc import Iterable

from lab.answers.gate.gate import Gate
from lab.answers.gate.rows import Row, Status
from lab.answers.gate.self_test import SelfTest
from lab.answers.gate.shown import (
    COUNT_HEAD,
    HEAD,
    SELF_TEST_HEAD,
    count_lines,
    differs,
    line,
    self_test_lines,
    self_test_sentences,
    sorted_rows,
    title,
)
from lab.report.markdown import code, escaped, paragraph, table

_WORDS = 4

WORTH_UNKNOWN = ("What this verdict is worth is not known: `lab gate --self-test` tells it from a run of one scenario "
                 "against itself, and `--self-test-result` shows it here.")


def markdown(gate: Gate, told: SelfTest | None = None) -> str:
    """The page.  ``told``: a self-test to say what the verdict is worth."""
    runs = dict.fromkeys(path for _, path in gate.runs)
    parts = [f"## {escaped(title(gate))}",
             paragraph(["Candidate against baseline,", "two arms of" if gate.paired else "two runs:",
                        " and ".join(code(path) for path in runs) + "."])]
    parts += [f"- **{escaped(notice.name)}**: {escaped(notice.text)}" for notice in gate.notices]
    if gate.commands:
        parts.append("Add repetitions with\n\n```console\n" + "\n".join(gate.commands) + "\n```")
    rows = sorted_rows(gate.rows)
    shown = [row for row in rows if row.status is not Status.NONE]
    quiet = [row for row in rows if row.status is Status.NONE]
    if shown:
        parts.append(_table(shown))
    if quiet:
        parts.append(f"<details><summary>{len(quiet):,} without a "
                     f"regression</summary>\n\n{_table(quiet)}\n\n</details>")
    parts.append(escaped(gate.method) + " Effects are factors: 5 % worse takes 1.05 times as long, or moves 1/1.05 in "
                 "the same time.")
    parts.append(WORTH_UNKNOWN if told is None else self_test_part(told, differs(gate, told)))
    return "\n\n".join(parts) + "\n"


def self_test_part(told: SelfTest, differing: Iterable[str] = ()) -> str:
    """What a self-test found, and how it differs from what it is shown with."""
    parts = ["### What this verdict is worth", paragraph(self_test_sentences(told))]
    if listed := list(differing):
        parts.append(f"**The self-test does not speak of this very comparison**: {escaped('; '.join(listed))}.")
    inside = table(SELF_TEST_HEAD, self_test_lines(told), words=3)
    if lines := count_lines(told):
        inside += "\n\n" + table(COUNT_HEAD, lines, words=3)
    parts.append(f"<details><summary>By quantity</summary>\n\n{inside}\n\n</details>")
    return "\n\n".join(parts)


def _table(rows: Iterable[Row]) -> str:
    return table(HEAD, [line(row) for row in rows], words=_WORDS)
