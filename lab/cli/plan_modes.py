"""Which flags of `lab plan` go together: a plan's file, a host in flags, a log, or the script that records one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lab.errors import InputError

HOST = ("--storage", "--pool", "--metadata", "--vg-free", "--chunk-size", "--starts-per-day", "--lifetime", "--writes",
        "--updates", "--kept-share", "--tags-per-month", "--prune-every", "--days", "--risk", "--seed")
"""What describes a host, in the place of a plan."""

WITH_A_LOG = ("--observed", "--pool-name", "--pool", "--metadata", "--vg-free", "--chunk-size", "--days", "--risk",
              "--seed", "--output", "--json", "--check")


def typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of flags with their values, those that a user gave: neither None nor False."""
    return {flag: value for flag, value in values.items() if value is not None and value is not False}


def refuse_mixed(given: Mapping[str, Any]) -> None:
    """Raises InputError, which names the flag, for what does not go together."""
    if "--collect" in given:
        _only(given, ("--collect",), "prints a script and takes nothing else",
              "lab plan --collect > collect.sh")
    elif "--observed" in given:
        _only(given, WITH_A_LOG, "answers from what was recorded: nothing is simulated, and no host described",
              "it takes " + ", ".join(WITH_A_LOG[1:]))
    elif "--pool-name" in given:
        raise InputError("--pool-name chooses one of the pools in a log, and there is no --observed LOG")
    for one, other in (("--seconds", "--replications"), ("--workers", "--cluster")):
        if one in given and other in given:
            raise InputError(f"{one} does not go with {other}", remedy=f"leave out {one}")
    if not math.isfinite(given.get("--seconds", 1.0)):
        raise InputError(f"--seconds {given['--seconds']}; a number of seconds expected", remedy="--seconds 60")
    if "PLAN" in given and (flag := next((flag for flag in HOST if flag in given), None)) is not None:
        raise InputError(f"{flag} describes a host, and so does the plan", where=str(given["PLAN"]),
                         remedy="change the plan, or leave it out")


def _only(given: Mapping[str, Any], allowed: tuple[str, ...], why: str, remedy: str) -> None:
    for flag in given:
        if flag not in allowed:
            raise InputError(f"{flag} does not go with {allowed[0]}, which {why}", remedy=remedy)


def as_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """Of the host's flags and a log's, the values by parameters' names.

    >>> as_names({"--vg-free": "1GiB", "--json": True})
    {'vg_free': '1GiB'}
    """
    return {flag.removeprefix("--").replace("-", "_"): value for flag, value in given.items()
            if flag in (*HOST, "--pool-name")}
