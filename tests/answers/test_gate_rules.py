"""The rules' file: what it changes, and how its mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.answers.gate.rules import MINIMUM_EFFECTS, Rules, load_rules
from lab.errors import InputError


def write(folder: Path, text: str) -> Path:
    file = folder / "rules.yaml"
    file.write_text(text)
    return file


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    rules = load_rules(write(tmp_path, "alpha: 0.01\nminimum_effects:\n"
                                       "  write_bandwidth: 3 %\n  write_latency_p50: 8%\n"
                                       "tolerances: {storage_growth: 2MiB}\nignore: [sync_latency_p99]\n"))
    assert (rules.alpha, rules.looks, rules.max_repetitions) == (0.01, 2, 20)
    assert rules.minimum_effect("write_bandwidth") == 0.03
    assert rules.minimum_effect("write_latency_p50") == 0.08
    assert rules.minimum_effect("read_bandwidth") == MINIMUM_EFFECTS["read_bandwidth"]
    assert rules.minimum_effect("sync_latency_p99") is None
    assert rules.minimum_effect("write_iops") is None
    assert rules.tolerances == {"storage_growth": 2 * 1024**2}
    assert rules.is_count("storage_growth")
    assert not rules.is_count("disk_written")


@pytest.mark.parametrize(("text", "line", "says"), [
    ("alpa: 0.05\n", 1, "did you mean 'alpha'?"),
    ("looks: 2\nalpha: 0.9\n", 2, "0.9 is too large, at most 0.5"),
    ("alpha: 0.05\nlooks: 0\n", 2, "0 is too small, at least 1"),
    ("looks: many\n", 1, "'many'"),
    ("minimum_effects:\n  write_bandwidth: 5\n", 2, "5 is no effect; write a percentage, as in 5 %"),
    ("minimum_effects:\n  write_bandwidth: -5 %\n", 2, "'-5 %' is no effect"),
    ("minimum_effects:\n  write_bandwidth: 5000 %\n", 2, "too large"),
    ("minimum_effects:\n  read_bandwidth: 5 %\n  write_bandwith: 5 %\n", 3, "did you mean 'write_bandwidth'?"),
    ("minimum_effects:\n  storage_growth: 5 %\n", 2, "no metric 'storage_growth'"),
    ("tolerances:\n  storage_growth: 5\n", 2, "5 has no unit"),
    ("tolerances:\n  write_bandwidth: 5MiB\n", 2, "no metric 'write_bandwidth'"),
    ("tolerances:\n  application_bytes: 5MiB\n", 2, "different work"),
    ("ignore: [duration, durations]\n", 1, "no metric 'durations', did you mean 'duration'?"),
    ("ignore: [duration]\nminimum_effects:\n  duration: 5 %\n", 3, "given a limit and ignored"),
    ("- alpha\n", 1, "is no mapping"),
    ("alpha: [\n", 2, "not YAML"),
    ("", 1, "is empty"),
])
def test_every_mistake_names_file_line_and_what_would_be_right(tmp_path: Path, text: str, line: int,
                                                               says: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(InputError) as told:
        load_rules(file)
    assert str(told.value).startswith(f"{file}:{line}: ")
    assert says in str(told.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_rules(tmp_path / "none.yaml")


def test_the_looks_share_the_level_and_end_at_the_maximum() -> None:
    for looks in range(1, 21):
        rules = Rules(looks=looks)
        assert rules.alpha_a_look * looks == pytest.approx(rules.alpha)
        assert rules.look_schedule()[-1] == rules.max_repetitions
        assert len(rules.look_schedule()) == looks
