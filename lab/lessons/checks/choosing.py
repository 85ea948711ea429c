"""Checks of lesson 5's exercises, in the form of ``lab.lessons.checks.answers``: each takes the advice's document."""

from __future__ import annotations

import math

from lab.lessons import choosing
from lab.lessons.checks.answers import graded_number, graded_word
from lab.lessons.choosing import Document

NOTHING_BEFORE = "nothing"
"""What sets an option in the first place apart."""


def score_from_jobs(told: Document, answer: object, *, label: str, data: str) -> str:
    """What is the score ÷ the highest, from the jobs' weights and ratios?"""
    try:
        table = choosing.jobs(told, label, data)
    except KeyError:
        return f"The advice does not rank {label}, data {choosing.PLACES.get(data, data)}."
    weights, ratios = table["weight"].tolist(), table["ratio"].tolist()
    if not ratios or any(ratio != ratio for ratio in ratios):
        return f"The run lacks a job on {label}."
    right = math.exp(math.fsum(weight * math.log(ratio) for weight, ratio in zip(weights, ratios, strict=True))
                     / math.fsum(weights))
    return graded_number(answer, right, "Raise each ratio to its weight and multiply; where the weights are not 1 "
                         "together, divide them by their sum first.", unit="×", relative=0.0025)


def set_apart_by(told: Document, answer: object, *, label: str, data: str) -> str:
    """What sets the option behind those in front of it: measurement, documentation, or nothing?"""
    one = next((one for one in told["ranking"] if (one["label"], one["data"]) == (label, data)), None)
    if one is None:
        return f"The advice does not rank {label}, data {choosing.PLACES.get(data, data)}."
    return graded_word(answer, one["decided_by"] or NOTHING_BEFORE, ("measurement", "documentation", NOTHING_BEFORE),
                       "Look at the column that says what sets it apart. In the first place stands what nothing has "
                       "set behind another.")


def options_excluded(told: Document, answer: object) -> str:
    """How many options does the documentation exclude?  An option is a storage and a place for the data."""
    return graded_number(answer, len(told["excluded"]), "Every storage counts twice: with its data in the layer, and "
                         "in a volume.", unit="options")
