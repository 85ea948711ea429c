"""Sizes and durations: what is read, what is refused, and that writing and reading agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.units import format_bytes, parse_duration, parse_size, sectors_to_bytes

UNITS = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}


@given(st.integers(0, 10**12), st.sampled_from(sorted(UNITS)))
def test_whole_sizes_are_exact(number: int, unit: str) -> None:
    assert parse_size(f"{number}{unit}") == number * UNITS[unit]
    assert parse_size(f" {number} {unit} ") == number * UNITS[unit]


@given(st.integers(0, 1023), st.sampled_from(["KiB", "MiB", "GiB"]))
def test_a_formatted_size_reads_back_as_itself(number: int, unit: str) -> None:
    size_bytes = number * UNITS[unit]
    assert parse_size(format_bytes(size_bytes)) == size_bytes


@given(st.integers(0, 2**60))
def test_a_formatted_size_is_right_to_four_digits(size_bytes: int) -> None:
    number, unit = format_bytes(size_bytes).split()
    assert float(number) * UNITS[unit] == pytest.approx(size_bytes, rel=1e-3)


@pytest.mark.parametrize("text", ["", "512", "KiB", "512KB", "512kib", "512 K", "-1KiB", "1e3KiB", "1,5GiB", "1KiB x"])
def test_a_size_without_a_known_unit_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="KiB") as caught:
        parse_size(text)
    assert repr(text) in str(caught.value)


def test_a_part_of_a_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="whole number"):
        parse_size("0.3KiB")
    assert parse_size("0.5KiB") == 512


@pytest.mark.parametrize(("text", "seconds"), [
    ("90s", 90), ("1.5min", 90), ("250ms", 0.25), ("2h", 7200), ("1d", 86400),
])
def test_durations_in_every_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "5 sec", "s", "-5s", "5m"])
def test_a_duration_without_a_known_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_a_sector_has_512_bytes() -> None:
    assert sectors_to_bytes(3) == 1536
