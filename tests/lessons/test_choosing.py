"""What lesson 5 says of an advice, against the document itself; its checks grade right, wrong and absurd answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.answers.advise.advice import advise
from lab.answers.advise.document import document
from lab.answers.advise.profile import read_profile
from lab.lessons import choosing
from lab.lessons.checks import choosing as choosing_checks

ROOT = Path(__file__).parents[2]
ABSURD: list[Any] = [float("nan"), float("inf"), 10**5000, "", [1], {}, object, 1j, b"7", True]


def estimate(ratio: float, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"ratio": ratio, "low": low, "high": high, "n": 1 if low is None else 5}


def option(label: str, data: str, place: int, by: str | None, ratios: tuple[float, float],
           statements: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    score = ratios[0] ** 0.75 * ratios[1] ** 0.25
    jobs = [{"job": job, "weight": weight, "to_fastest": estimate(ratio, ratio / 1.1, ratio * 1.1)}
            for job, weight, ratio in zip(("rand-read-4k", "rand-write-4k"), (0.6, 0.2), ratios, strict=True)]
    forecast = {"taken_bytes": 3 * 1024**2, "delete_bytes": None, "trim_bytes": None, "remove_bytes": 0, "failed": None}
    return {"place": place, "shared": False, "storage": label, "label": label, "data": data, "decided_by": by,
            "score": estimate(score, score / 1.1, score * 1.1), "balance": place - 2, "jobs": jobs,
            "statements": statements or [], "forecast": forecast}


RULE = {"id": "a-rule", "effect": "exclude", "says": "Never.", "source": "A page", "removed_in": None, "remedy": None}
SAID: dict[str, Any] = {**RULE, "effect": "against", "counts": -1, "documented": True, "missing": [], "disagree": True,
        "measured": {"holds": False, "says": "it gave back all", "run": "results/r", "n": 2}}
TOLD: dict[str, Any] = {
    "profile": {"name": "mine"},
    "evidence": {"jobs": [{"kind": "random reads", "job": "rand-read-4k", "weight": 0.6, "measured": True},
                          {"kind": "sequential reads", "job": "seq-read-1m", "weight": 0.2, "measured": False}]},
    "ranking": [option("a", "volume", 1, None, (1.0, 1.0)), option("a", "layer", 2, "measurement", (0.5, 0.1)),
                option("b", "layer", 3, "documentation", (0.4, 0.1), [SAID])],
    "excluded": [{"label": "c", "data": data, "rules": [RULE]} for data in ("layer", "volume")],
    "volume": {"label": "a", "parts": [
        {"kind": "random reads", "job": "rand-read-4k", "weight": 0.6, "volume_to_layer": estimate(2.0, 1.9, 2.1),
         "verdict": "into a volume"}]},
    "thin": [{"says": "Too few.", "command": "lab run scenarios/reference.yaml"}],
}


def test_the_ranking_is_the_documents_with_intervals_and_places() -> None:
    table = choosing.ranking(TOLD)
    assert list(table.index) == [("a", "in a volume"), ("a", "in the layer"), ("b", "in the layer")]
    assert list(table["place"]) == ["1", "2", "3"]
    assert list(table["set apart by"]) == ["–", "measurement", "documentation"]
    assert table.iloc[0]["score ÷ the highest (95 % interval)"] == "1.00 (0.909 to 1.10, n = 5)"
    assert table.iloc[0]["one container takes, MiB"] == "3.00"
    assert list(choosing.ranking(TOLD, "layer").index) == [("a", "in the layer"), ("b", "in the layer")]


def test_what_was_not_measured_is_said_beside_its_share() -> None:
    table = choosing.shares(TOLD)
    assert table["mine"].to_dict() == {"random reads": "60 %", "sequential reads": "20 %, not measured"}


def test_texts_name_rules_sources_runs_and_commands() -> None:
    assert choosing.excluded(TOLD) == "- c: Never. [A page]"
    assert choosing.excluded({**TOLD, "excluded": []}) == "Nothing is excluded."
    assert choosing.statements(TOLD, "b", "layer").splitlines()[0] == "-1 Never. [A page]"
    assert "results/r (n = 2) says otherwise: it gave back all" in choosing.statements(TOLD, "b", "layer")
    assert choosing.evidence_gaps(TOLD) == "- Too few.\n    lab run scenarios/reference.yaml"
    with pytest.raises(KeyError, match="not ranked"):
        choosing.statements(TOLD, "c", "layer")


def test_figures_are_drawn_and_refused_where_nothing_was_measured() -> None:
    assert choosing.scores_drawn(TOLD).png().startswith(b"\x89PNG")
    assert choosing.parts_drawn([TOLD, TOLD]).png().startswith(b"\x89PNG")
    assert list(choosing.volume_parts(TOLD)["measured"]) == ["into a volume"]
    with pytest.raises(ValueError, match="nothing to draw"):
        choosing.parts_drawn([{**TOLD, "volume": {"label": None, "parts": []}}])


def test_the_lesson_reads_the_advices_own_document() -> None:
    told = document(advise(read_profile(ROOT / "scenarios" / "profiles" / "database.yaml"),
                           [ROOT / "results" / "reference" / "reference"], None))
    assert len(choosing.ranking(told)) == len(told["ranking"]) > 4
    assert choosing.scores_drawn(told).alt
    assert choosing.parts_drawn([told]).alt
    assert "loop-lvm" in choosing.excluded(told)
    assert choosing.statements(told, "overlay2-ext4", "layer")
    assert choosing.evidence_gaps(told)
    table = choosing.jobs(told, "direct-lvm", "layer")
    right = math.exp((table["weight"] * np.log(table["ratio"])).sum() / table["weight"].sum())
    assert choosing_checks.score_from_jobs(told, right, label="direct-lvm", data="layer").startswith("Right: ")
    arithmetic = float(np.average(table["ratio"], weights=table["weight"]))
    assert choosing_checks.score_from_jobs(told, arithmetic, label="direct-lvm", data="layer").startswith("Not yet. ")


CHECKS: dict[str, tuple[Callable[[Any], str], Any]] = {
    "score": (lambda a: choosing_checks.score_from_jobs(TOLD, a, label="a", data="layer"), 0.5**0.75 * 0.1**0.25),
    "excluded": (lambda a: choosing_checks.options_excluded(TOLD, a), 2),
    "apart": (lambda a: choosing_checks.set_apart_by(TOLD, a, label="b", data="layer"), "documentation"),
}


@pytest.mark.parametrize("name", CHECKS)
def test_an_exercise_is_graded_and_its_answer_never_told(name: str) -> None:
    check, right = CHECKS[name]
    assert check(right).startswith("Right: "), check(right)
    assert check(None) == "No answer yet."
    wrong = "nothing" if isinstance(right, str) else right + 2
    hint = check(wrong).removeprefix("Not yet. ")
    assert check(wrong).startswith("Not yet. ")
    for absurd in ABSURD:
        assert check(absurd).startswith("Not yet"), (absurd, check(absurd))
        assert check(absurd).endswith(hint)


def test_what_the_advice_lacks_is_said_before_anything_is_graded() -> None:
    assert choosing_checks.score_from_jobs(TOLD, 1.0, label="c", data="layer").startswith("The advice does not rank c")
    assert choosing_checks.set_apart_by(TOLD, "nothing", label="c", data="volume").endswith("data in a volume.")
    assert choosing_checks.set_apart_by(TOLD, "nothing", label="a", data="volume").startswith("Right: nothing")
    unmeasured = {**TOLD, "ranking": [{**TOLD["ranking"][0], "jobs": []}]}
    assert choosing_checks.score_from_jobs(unmeasured, 1.0, label="a", data="volume") == "The run lacks a job on a."
