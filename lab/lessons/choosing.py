"""Lesson 5: the advice for a workload, told from the document that ``lab advise --json`` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lab.analysis.facts import percent
from lab.analysis.stats import LEVEL, Estimate
from lab.lessons.figures.forest import Mark, forest
from lab.lessons.intervals import NOTHING, drawing, indexed, interval_text
from lab.report.drawings import Drawing
from lab.text import MIB, joined, number, unique

Document = Mapping[str, Any]
"""As ``lab.answers.advise.document.document`` makes it."""

PLACES = {"layer": "in the layer", "volume": "in a volume"}

_WIDTH = 110


def estimate(told: Mapping[str, Any] | None) -> Estimate | None:
    """A ratio of the document."""
    if told is None:
        return None
    return Estimate(told["ratio"], told["low"], told["high"], told["n"], None if told["low"] is None else LEVEL)


def shares(*documents: Document) -> pd.DataFrame:
    """A row a kind of reads or writes, a column a profile: its share of them all, and whether the run measured it."""
    kinds = unique(str(job["kind"]) for told in documents for job in told["evidence"]["jobs"])
    columns = {told["profile"]["name"]: {job["kind"]: percent(job["weight"]) + ("" if job["measured"] else
                                                                               ", not measured")
                                         for job in told["evidence"]["jobs"]} for told in documents}
    return pd.DataFrame({name: [found.get(kind, NOTHING) for kind in kinds] for name, found in columns.items()},
                        index=pd.Index(kinds, name="kind"))


def ranking(told: Document, data: str | None = None) -> pd.DataFrame:
    """A row an option, in the order of the advice; ``data``: only those with the data in ``layer`` or ``volume``."""
    rows = [(one["label"], PLACES[one["data"]], f"{one['place']}{'=' if one['shared'] else ''}",
             interval_text(estimate(one["score"])), f"{one['balance']:+d}", one["decided_by"] or NOTHING, _taken(one))
            for one in told["ranking"] if data in (None, one["data"])]
    return pd.DataFrame(rows, columns=["storage", "data", "place", "score ÷ the highest (95 % interval)",
                                       "for - against", "set apart by", "one container takes, MiB"]
                        ).set_index(["storage", "data"])


def _taken(one: Mapping[str, Any]) -> str:
    found = one["forecast"]
    return NOTHING if found is None or found["failed"] is not None else number(found["taken_bytes"] / MIB)


def scores_drawn(*documents: Document) -> Drawing:
    """The scores of every option that is ranked.  Raises ValueError where nothing was measured."""
    marks = [Mark(_name(one), told["profile"]["name"], found) for told in documents for one in told["ranking"]
             if (found := estimate(one["score"])) is not None]
    return drawing("choosing-scores", "Scores of the storages that are left, for each profile",
                   "A score is the weighted geometric mean of bandwidths; 1 is the option that scores highest. What "
                   "the documentation excludes is not there.",
                   forest(marks, title="Scores", xlabel="score ÷ the highest one of the profile (log)"))


def _name(one: Mapping[str, Any]) -> str:
    return f"{one['label']}, {PLACES[one['data']]}"


def jobs(told: Document, label: str, data: str) -> pd.DataFrame:
    """A row a job: its weight, and the option's bandwidth ÷ that of the option that scores highest.

    ``weight`` is a plain share, ``ratio`` NaN where there is none.  Raises KeyError for an option that is not ranked.
    """
    rows = []
    for job in _option(told, label, data)["jobs"]:
        found = estimate(job["to_fastest"])
        rows.append((job["job"], job["weight"], interval_text(found), float("nan") if found is None else found.centre))
    return indexed(rows, ["job", "weight", "÷ the highest-scoring (95 % interval)", "ratio"])


def _option(told: Document, label: str, data: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] | None = next(
        (one for one in told["ranking"] if (one["label"], one["data"]) == (label, data)), None)
    if found is None:
        raise KeyError(f"{label}, data {PLACES.get(data, data)}: it is not ranked")
    return found


def statements(told: Document, label: str, data: str) -> str:
    """What the documentation says of one option, what each counts, and what a run says to it.

    Raises KeyError for an option that is not ranked.
    """
    lines = []
    for one in _option(told, label, data)["statements"]:
        lines += _wrapped(f"{one['counts']:+d}" if one["counts"] else " 0", f"{one['says']} [{one['source']}]")
        if one["measured"] is not None:
            verb = "otherwise" if one["disagree"] else "the same"
            measured = one["measured"]
            lines += _wrapped("  ", f"{measured['run']} (n = {measured['n']}) says {verb}: {measured['says']}")
    return "\n".join(lines)


def excluded(told: Document) -> str:
    """Each rule that excludes, with the storages that it takes out."""
    rules: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    for one in told["excluded"]:
        for rule in one["rules"]:
            rules.setdefault(rule["id"], (rule, []))[1].append(one["label"])
    lines = [line for rule, labels in rules.values()
             for line in _wrapped("-", f"{joined(unique(labels))}: {rule['says']} [{rule['source']}]")]
    return "\n".join(lines) or "Nothing is excluded."


def evidence_gaps(told: Document) -> str:
    """Where the evidence is thin, and the command that would settle it."""
    lines = [line for gap in told["thin"] for line in [*_wrapped("-", gap["says"]), f"    {gap['command']}"]]
    return "\n".join(lines) or "Nothing is left to measure."


def _wrapped(lead: str, text: str) -> list[str]:
    return textwrap.wrap(f"{lead} {text}", _WIDTH, subsequent_indent=" " * (len(lead) + 1), drop_whitespace=True,
                         break_long_words=False, break_on_hyphens=False)


def volume_parts(told: Document) -> pd.DataFrame:
    """A row a kind of reads or writes, on the storage in the first place: what a volume makes of it."""
    rows = [(part["kind"], percent(part["weight"]), interval_text(estimate(part["volume_to_layer"])), part["verdict"])
            for part in told["volume"]["parts"]]
    ratio = f"on {told['volume']['label']}: volume ÷ layer (95 % interval)"
    return indexed(rows, ["kind", "share", ratio, "measured"])


def parts_drawn(documents: Sequence[Document]) -> Drawing:
    """Bandwidth in a volume ÷ in the layer, kind by kind and storage by storage.

    A ratio that several documents have of one run is drawn once.  Raises ValueError where nothing was measured.
    """
    marks = list(dict.fromkeys(Mark(part["kind"], f"on {told['volume']['label']}", found)
                               for told in documents for part in told["volume"]["parts"]
                               if (found := estimate(part["volume_to_layer"])) is not None))
    return drawing("choosing-volume", "Bandwidth in a volume against bandwidth in the layer, kind by kind",
                   "Right of 1 the volume was the faster one; a hollow mark has no interval and tells nothing apart.",
                   forest(marks, title="Volume ÷ layer", xlabel="ratio of bandwidths (log)"))
