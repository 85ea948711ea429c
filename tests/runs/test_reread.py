"""Raw output read again gives a run's tables again, and mends those that an older reader wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from lab.errors import InputError, ReaderError
from lab.runs.reread import reread
from lab.runs.store import open_run

QUICKSTART = Path(__file__).parents[2] / "results" / "quickstart"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(QUICKSTART, tmp_path / "quickstart", ignore=shutil.ignore_patterns("figures")))


def damage(folder: Path) -> pd.DataFrame:
    """Takes a metric out of the table, and changes another's values; returns the table as it was."""
    table = open_run(folder).measurements
    rows = table[table.metric != "storage_used"].copy()
    rows.loc[rows.metric == "storage_growth", "value"] += 1
    rows.to_parquet(folder / "measurements.parquet")
    return table


def test_what_an_older_reader_left_out_or_got_wrong_is_mended(copied: Path) -> None:
    before = damage(copied)
    grown = int((before.metric == "storage_growth").sum())
    used = int((before.metric == "storage_used").sum())
    assert reread(open_run(copied)) == used + 2 * grown
    pd.testing.assert_frame_equal(open_run(copied).measurements, before)


def test_reading_again_changes_nothing_where_the_reader_is_the_same(copied: Path) -> None:
    samples = open_run(copied).samples
    assert reread(open_run(copied)) == 0
    pd.testing.assert_frame_equal(open_run(copied).samples, samples)
    assert not list((copied / "raw").rglob("*.parquet"))


def test_damaged_raw_output_leaves_the_tables_as_they_are(copied: Path) -> None:
    before = damage(copied)
    next(copied.glob("raw/*/boundaries.jsonl.gz")).write_bytes(b"no gzip")
    table = (copied / "measurements.parquet").read_bytes()
    with pytest.raises(ReaderError):
        reread(open_run(copied))
    assert (copied / "measurements.parquet").read_bytes() == table
    assert len(before) > 0


def test_a_simulated_run_is_refused(copied: Path) -> None:
    table = open_run(copied).measurements.assign(source="simulated")
    table.to_parquet(copied / "measurements.parquet")
    with pytest.raises(InputError, match="simulated run has no raw output"):
        reread(open_run(copied))
