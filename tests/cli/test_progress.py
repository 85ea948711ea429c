"""How far long work has come: lines in a pipe, a bar on a terminal, both with the time left."""

from __future__ import annotations

import io

import pytest

from lab.cli import base


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its last entry is the time."""
    at = [base._BEGAN]
    monkeypatch.setattr("time.monotonic", lambda: at[-1])
    return at


def test_in_a_pipe_each_step_is_a_line_with_the_time_left(
        clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with base.progress() as steps:
        told = steps("cells")
        for done in range(4):
            told(done, 4, f"cell {done}")
            clock.append(clock[-1] + 60)
    assert capsys.readouterr().err.splitlines() == [
        "[    0 s] 0/4 cells done; now cell 0",
        "[   60 s] 1/4 cells done, about 3 min left; now cell 1",
        "[  120 s] 2/4 cells done, about 2 min left; now cell 2",
        "[  180 s] 3/4 cells done, about 60 s left; now cell 3"]


def test_what_was_done_before_is_not_counted_as_quick(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    told = base.Steps("cells")
    told(8, 10, "a")
    clock.append(clock[-1] + 30)
    told(9, 10, "b")
    assert "9/10 cells done, about 30 s left; now b" in capsys.readouterr().err


def test_steps_within_a_second_share_a_line(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    told = base.Steps("replications")
    for done in range(101):
        told(done, 100)
        clock.append(clock[-1] + 0.1)
    lines = capsys.readouterr().err.splitlines()
    assert 10 <= len(lines) <= 12
    assert lines[-1].endswith("100/100 replications done")


def test_a_deadline_is_told_where_the_number_is_open(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    base.Steps("replications")(16, None, "", 44.0)
    assert capsys.readouterr().err.endswith("16 replications done, about 44 s left\n")


def test_on_a_terminal_a_bar_is_written_over_and_gone_at_the_end(
        clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with base.progress() as steps:
        told = steps("cells")
        told(0, 2)
        clock.append(clock[-1] + 5)
        told(1, 2)
        base.say("a word between")
        told(2, 2)
    text = terminal.getvalue()
    assert f"\r\x1b[K[{'#' * 12}{'.' * 12}] 1/2 cells done, about 5 s left" in text
    assert "\r\x1b[Ka word between\n" in text
    assert text.endswith("2/2 cells done\r\x1b[K")
    assert text.count("\n") == 1
