"""`lab forecast` and `lab collect` as a user meets them: answers known by hand, files, and what is refused."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from lab.answers.forecast import collect_script
from lab.answers.forecast.answers import Asked, answer_from_log, extensions
from lab.answers.forecast.words import repairs
from lab.cli import app
from lab.errors import AnswerIsNo, Inconclusive, InputError
from lab.storages.metadata_size import kernel_rule_bytes

MIB, GIB, CHUNK = 1024**2, 1024**3, 64 * 1024
LOGS = sorted((Path(__file__).parents[1] / "data" / "observed").glob("*.log"))
START = datetime(2026, 9, 1, tzinfo=UTC)
METADATA_BLOCKS = 20_000
"""Used, of 524,288; 4,096 of them are the reserve."""


def line(day: float, data_gib: float, name: str = "docker-pool") -> str:
    """A pool of 100 GiB at 64 KiB with 2 GiB of metadata, as dmsetup shows it."""
    at = (START + timedelta(days=day)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (f"{at} {name}-tpool: 0 209715200 thin-pool 12 {METADATA_BLOCKS}/524288 {round(data_gib * GIB / CHUNK)}"
            "/1638400 - rw discard_passdown queue_if_no_space - 1024\n")


def steady(days: Sequence[int] = range(31), per_day_gib: float = 1.0, name: str = "docker-pool") -> list[str]:
    """Four samples a day, from 10 GiB on."""
    return [line(day + quarter / 4, 10 + per_day_gib * (day + quarter / 4), name)
            for day in days for quarter in range(4 if day != days[-1] else 1)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """30 days at 1 GiB a day: 40 GiB are used, so 80, 90 and 100 % are 40, 50 and 60 days off."""
    path = tmp_path / "pool.log"
    path.write_text("".join(steady()))
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["forecast", *arguments], env={"COLUMNS": "220"})


def told(log: Path, *arguments: str) -> dict[str, Any]:
    result = run(str(log), *arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


# -- what is told --------------------------------------------------------------------------------------------

def test_steady_growth_fills_the_pool_on_the_day_that_a_division_gives(log: Path) -> None:
    found = told(log, "--days", "90")
    assert (found["source"], found["holds"], found["accepted_risk"]) == ("observed", False, 0.01)
    assert [reach["median_days"] for reach in found["data"]["reaches"]] == pytest.approx([40, 50, 60])
    assert {chance["t_days"]: chance["probability"] for chance in found["full"]} == {
        1: 0, 7: 0, 14: 0, 30: 0, 60: 1, 90: 1}
    assert "does not hold" in found["verdict"]
    assert "docker-pool with 100 GiB" in found["verdict"]


def test_the_sizes_that_would_do_are_those_of_the_last_day(log: Path) -> None:
    """40 GiB and 90 more; of metadata 15,904 blocks and a tenth of reserve in 0.9 of them."""
    needed = told(log, "--days", "90", "--chunk-size", "64KiB")["needed"]
    assert needed["data_bytes"] == pytest.approx(130 * GIB, abs=8 * MIB)
    assert needed["data_bytes"] > 130 * GIB
    assert needed["data_bytes_with_a_tenth_free"] == pytest.approx(130 / 0.9 * GIB, abs=8 * MIB)
    assert needed["metadata_bytes"] == 80 * MIB           # 15,904 / 0.8 = 19,880 blocks, in extents of 4 MiB
    assert needed["kernel_metadata_bytes"] == kernel_rule_bytes(needed["data_bytes_with_a_tenth_free"], CHUNK)


def test_another_size_is_asked_about(log: Path) -> None:
    found = told(log, "--days", "90", "--pool", "200GiB", "--metadata", "128MiB")
    assert found["holds"] is True
    assert found["data"]["total_bytes"] == 200 * GIB
    assert found["metadata"]["total_bytes"] == 128 * MIB
    assert found["metadata"]["used_bytes"] == (METADATA_BLOCKS - 4096 + 3276) * 4096    # with the reserve of 128 MiB
    assert told(log, "--days", "90")["needed"] == found["needed"]


def test_room_in_the_volume_group_is_counted_in_extensions(log: Path) -> None:
    """100 GiB, 120 and 144; a third step of 28.8 GiB does not fit into 150."""
    found = told(log, "--days", "90", "--vg-free", "50GiB")
    extended = found["extended"]
    assert (extended["extensions_that_fit"], extended["last_data_bytes"]) == (2, 144 * GIB)
    assert (found["full"][-1]["probability"], extended["full"][-1]["probability"]) == (1, 0)
    assert found["holds"] is True
    assert extensions(100 * GIB, GIB).steps == 0
    none = told(log, "--days", "90", "--vg-free", "1GiB")
    assert none["extended"]["full"] == none["full"]
    assert none["holds"] is False
    assert any("No extension fits" in note for note in none["notes"])


def test_a_small_risk_is_told_from_more_paths(log: Path) -> None:
    found = told(log, "--risk", "0.05")                   # none of 4000 would not yet be fewer than 1 in 2000
    assert found["holds"] is True
    assert found["needed"]["data_bytes"] > 70 * GIB


def test_a_risk_that_no_number_of_paths_can_tell_is_refused(log: Path) -> None:
    refused = run(str(log), "--risk", "0.001").exception
    assert isinstance(refused, InputError)
    assert "--risk: 0.001 % cannot be told from 100,000 paths (at least 0.016 %)" in str(refused)


def test_the_tables_say_all_there_is_to_say(log: Path) -> None:
    result = run(str(log), "--days", "90", "--vg-free", "50GiB", "--chunk-size", "64KiB")
    assert result.exit_code == 0, result.output
    for words in ("which LVM extends up to 144 GiB, holds", "data full", "metadata full", "any of these",
                  "80% of data", "100% of metadata", "with a tenth free", "kernel's rule", "Repairs of the log",
                  "none: nothing had to be mended", "82 to 91 %", "121 samples", "seed 1", "2 extensions fit"):
        assert words in result.stdout, words


def test_the_same_seed_says_the_same(tmp_path: Path) -> None:
    uneven = tmp_path / "uneven.log"
    uneven.write_text("".join(line(day, 10 + day + (day * 7 % 5)) for day in range(40)))
    first, again, other = (told(uneven, "--seed", seed, "--days", "60") for seed in ("5", "5", "6"))
    assert first == again
    assert first["data"]["bands"] != other["data"]["bands"]


def test_repairs_are_counted_and_told(tmp_path: Path) -> None:
    broken = tmp_path / "broken.log"
    lines = steady([*range(10), *range(20, 36)])
    broken.write_text("".join([*lines[:5], lines[4], *lines[5:]]))          # ten days are missing, one sample is twice
    found = told(broken)
    kinds = {repair["kind"]: repair["count"] for repair in found["log"]["repairs"]}
    assert kinds["gap"] == 1
    assert kinds["duplicate time"] == 1
    shown = repairs(answer_from_log(broken, Asked()))
    assert len(shown) == len(found["log"]["repairs"])
    assert any(text.startswith("gap: ") for text in shown)


def test_one_of_several_pools_is_chosen_by_its_name(tmp_path: Path) -> None:
    both = tmp_path / "both.log"
    pairs = zip(steady(), steady(per_day_gib=0.5, name="web-pool"), strict=True)
    both.write_text("".join(one for pair in pairs for one in pair))
    result = run(str(both))
    assert isinstance(result.exception, InputError)
    assert "several pools" in str(result.exception)
    assert "--pool-name" in str(result.exception)
    for name, gib in (("docker-pool", 40), ("web-pool", 25), ("web/pool", 25)):
        assert told(both, "--pool-name", name)["data"]["used_bytes"] == gib * GIB


def test_the_files_can_be_used(log: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    result = run(str(log), "--vg-free", "50GiB", "-o", str(folder))
    assert result.exit_code == 0, result.output
    assert {path.name for path in folder.iterdir()} == {"fan.png", "answers.json", "alerts.yaml",
                                                        "docker-thinpool.profile"}
    assert (folder / "fan.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert json.loads((folder / "answers.json").read_text())["source"] == "observed"
    rules = YAML(typ="safe").load(folder / "alerts.yaml")["groups"][0]["rules"]
    assert [rule["expr"] for rule in rules] == [f"thin_pool_{what}_percent > {level}" for level in (80, 90)
                                                for what in ("data", "metadata")]
    assert "autoextend_percent=20" in (folder / "docker-thinpool.profile").read_text()


def test_check_turns_the_answer_into_an_exit_code(log: Path) -> None:
    assert run(str(log), "--check").exit_code == 0
    assert isinstance(run(str(log), "--days", "90", "--check").exception, AnswerIsNo)
    draw = random.Random(7)
    levels = itertools.accumulate(draw.choice([0.0, 2.0]) for _ in range(40))
    log.write_text("".join(line(day, 10 + level) for day, level in enumerate(levels)))
    chance = told(log, "--days", "105")["full"][-1]["probability"]
    assert 0.05 < chance < 0.95
    open_ = run(str(log), "--days", "105", "--risk", f"{100 * chance}", "--check").exception
    assert isinstance(open_, Inconclusive)


# -- the script --------------------------------------------------------------------------------------------

def test_collect_prints_the_script_and_nothing_else() -> None:
    result = CliRunner().invoke(app, ["collect"])
    assert (result.exit_code, result.stdout) == (0, collect_script())
    assert result.stdout.startswith("#!/bin/sh\n")


# -- what is refused ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments", [
    ["LOG", "--starts-per-day", "5"], ["LOG", "--storage", "loop-lvm"], ["LOG", "--seconds", "9"], ["PLAN", "LOG"], []])
def test_what_describes_a_host_is_no_option_of_a_forecast(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize(("arguments", "named"), [
    (["--observed", "LOG"], "lab forecast RECORDING"), (["--observed=LOG", "--days", "90"], "lab forecast RECORDING"),
    (["--observed"], "lab forecast RECORDING"), (["PLAN", "--pool-name", "docker-pool"], "lab forecast RECORDING"),
    (["--collect"], "lab collect"), (["PLAN", "--collect", "--json"], "lab collect")])
def test_a_flag_that_lab_plan_once_had_names_the_command_in_its_place(arguments: list[str], named: str) -> None:
    refused = CliRunner().invoke(app, ["plan", *arguments]).exception
    assert isinstance(refused, InputError)
    assert named in (refused.remedy or "")


@pytest.mark.parametrize(("arguments", "words"), [
    (["--pool", "10"], "--pool: '10' is not a size"), (["--chunk-size", "96KiB"], "--chunk-size is 98304 B"),
    (["--risk", "0"], "--risk is 0"), (["--risk", "60"], "--risk is 60"),
    (["--days", "0.5"], "a horizon (--days) of 0.5 days"),
    (["--seed", "-1"], "seed -1"), (["--pool-name", "other"], "no sample tells of pool 'other'")])
def test_what_cannot_be_asked_is_refused_and_nothing_is_written(log: Path, arguments: list[str], words: str) -> None:
    result = run(str(log), *arguments, "-o", str(log.parent / "out"))
    assert isinstance(result.exception, InputError)
    assert words in str(result.exception)
    assert not (log.parent / "out").exists()


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_logs_of_a_few_samples_are_too_short_to_say_anything(path: Path) -> None:
    result = run(str(path), "--json")
    assert isinstance(result.exception, InputError)
    assert str(result.exception).startswith(str(path))
    assert result.stdout == ""


def test_metadata_that_the_log_does_not_tell_are_not_asked_about(tmp_path: Path) -> None:
    silent = tmp_path / "lvs.log"
    silent.write_text("".join(
        f"{(START + timedelta(days=day)).strftime('%Y-%m-%dT%H:%M:%SZ')}\n"
        f'{{"report": [{{"lv": [{{"lv_name":"pool", "vg_name":"docker", "lv_attr":"twi-aot---", '
        f'"lv_size":"107374182400B", "data_percent":"{10 + day / 2:.2f}"}}]}}]}}\n' for day in range(20)))
    found = told(silent)
    assert found["metadata"] is None
    assert found["needed"]["metadata_bytes"] is None
    with pytest.raises(InputError, match="does not tell how full the metadata are"):
        answer_from_log(silent, Asked(metadata_bytes=64 * MIB))
