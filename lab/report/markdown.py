"""Tables and text as GitHub's Markdown takes them."""

from __future__ import annotations

from collections.abc import Sequence

from lab.text import clean

_RULES = {"left": "---", "right": "---:"}


def escaped(text: str) -> str:
    """One line of text for a table's cell: no control characters, and no ``|`` that would end the cell.

    >>> escaped("a|b"), escaped("two\\nlines")
    ('a\\\\|b', 'two lines')
    """
    return " ".join(clean(text).split()).replace("\\|", "|").replace("|", "\\|")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """A table; the first ``words`` columns are text and stand left, the others are numbers and stand right.

    Raises ValueError where a row has not as many cells as the head.

    >>> print(table(["storage", "MiB"], [["a|b", "1.5"]]))
    | storage | MiB |
    | --- | ---: |
    | a\\|b | 1.5 |
    """
    if wrong := [row for row in rows if len(row) != len(head)]:
        raise ValueError(f"a row of {len(wrong[0])} cells in a table of {len(head)} columns")
    rules = [_RULES["left" if column < words else "right"] for column in range(len(head))]
    lines = [[escaped(cell) for cell in head], rules, *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def code(text: str) -> str:
    """Text in the font of code.

    >>> code("rand-write-4k#2")
    '`rand-write-4k#2`'
    """
    return f"`{clean(text).replace('`', '')}`"


def paragraph(sentences: Sequence[str]) -> str:
    """Sentences, one after the other; those that are empty are left out."""
    return " ".join(sentence for sentence in sentences if sentence)


def figure(alt: str, path: str, caption: str) -> str:
    """A figure with its caption below.  ``path`` counts from the page's folder.

    >>> print(figure("Space", "figures/a.png", "What each phase took."))
    ![Space](figures/a.png)
    <BLANKLINE>
    *What each phase took.*
    """
    return f"![{clean(alt).replace('[', '(').replace(']', ')')}]({path})\n\n*{clean(caption)}*"
