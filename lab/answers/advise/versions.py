"""Versions of kernels and of Docker as numbers in order."""

from __future__ import annotations

import re

_VERSION = re.compile(r"(?:\d+:)?(\d{1,6}(?:\.\d{1,6}){0,8})(?![\d,:]|\.\d)")
"""After an epoch, as Debian's packages have it: what stands before the colon orders packages, not versions."""


def parse_version(text: str) -> tuple[int, ...]:
    """The leading numbers of a version; a hyphen counts as a dot, and what follows the numbers is left out.

    Raises ValueError where it does not start with a number.

    >>> parse_version("3.10.0-514.el7.x86_64"), parse_version("20.10.24+dfsg1"), parse_version("25")
    ((3, 10, 0, 514), (20, 10, 24), (25,))
    >>> parse_version("5:25.0.3-1~debian.12~bookworm")
    (25, 0, 3, 1)
    >>> parse_version("20.10,1")
    Traceback (most recent call last):
    ValueError: '20.10,1' is no version
    """
    match = _VERSION.match(text.strip().removeprefix("v").replace("-", "."))
    if match is None:
        raise ValueError(f"{text!r} is no version")
    return tuple(int(part) for part in match[1].split("."))


def older(version: str, than: str) -> bool:
    """Whether a version comes before another; missing parts count as 0.

    >>> older("3.10.0-327", "3.10.0-514"), older("25", "25.0"), older("17.03", "17.06")
    (True, False, True)
    """
    a, b = parse_version(version), parse_version(than)
    width = max(len(a), len(b))
    return a + (0,) * (width - len(a)) < b + (0,) * (width - len(b))
