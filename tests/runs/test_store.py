"""A run on disk: whole or not there; what a killed runner leaves; what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.store_runs import closed_run, finish, manifest, result

from lab.errors import InputError
from lab.runs.files import write_atomically
from lab.runs.records import MEASUREMENT_COLUMNS, SAMPLE_COLUMNS, SCHEMA_VERSION
from lab.runs.store import RunWriter, find_runs, open_run


def test_what_was_written_is_read_back_with_the_declared_columns(tmp_path: Path) -> None:
    run = open_run(closed_run(tmp_path / "r"))
    assert list(run.measurements.columns) == list(MEASUREMENT_COLUMNS)
    assert list(run.measurements["value"]) == [0.0, 1.0]
    assert list(run.samples.columns) == list(SAMPLE_COLUMNS)
    assert run.samples.empty
    assert run.manifest.schema_version == SCHEMA_VERSION
    assert (tmp_path / "r/raw/k1/fio.json").read_text() == "verbatim"


def test_rows_are_kept_once_when_a_run_is_closed_and_goes_on(tmp_path: Path) -> None:
    folder = closed_run(tmp_path / "r")
    assert not list((folder / "raw").rglob("*.parquet"))
    writer = RunWriter(folder)
    earlier = writer.journal()
    assert [item.key for item in earlier] == ["k1", "k2"]
    third = finish(writer, "k3", 7.0)
    assert list(writer.measurements(["k3", "k1"])["value"]) == [7.0, 0.0]
    writer.close(manifest([*earlier, third], folder.name))
    assert list(open_run(folder).measurements["value"]) == [0.0, 1.0, 7.0]


def test_fewer_cells_than_are_done_make_other_tables_and_lose_nothing(tmp_path: Path) -> None:
    """As where a run of 20 repetitions is asked for its first 10: the others stay done, rows and all."""
    folder = closed_run(tmp_path / "r", ("k1", "k2", "k3"))
    writer = RunWriter(folder)
    done = writer.journal()
    writer.close(manifest(done[:1], folder.name))
    assert list(open_run(folder).measurements["value"]) == [0.0]
    again = RunWriter(folder)
    assert [item.key for item in again.journal()] == ["k1", "k2", "k3"]
    again.close(manifest(again.journal(), folder.name))
    assert list(open_run(folder).measurements["value"]) == [0.0, 1.0, 2.0]
    assert not list((folder / "raw").rglob("*.parquet"))


def test_a_cell_measured_again_replaces_its_rows_in_the_tables(tmp_path: Path) -> None:
    folder = closed_run(tmp_path / "r")
    writer = RunWriter(folder)
    again = finish(writer, "k1", 9.0)
    writer.close(manifest([again, *(item for item in writer.journal() if item.key == "k2")], folder.name))
    assert list(open_run(folder).measurements["value"]) == [9.0, 1.0]


def test_a_crash_between_the_tables_and_the_manifest_loses_and_doubles_nothing(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = closed_run(tmp_path / "r")
    writer = RunWriter(folder)
    results = [*writer.journal(), finish(writer, "k3", 7.0)]

    def crash(path: Path, content: str | bytes) -> None:
        if path.name == "manifest.json":
            raise KeyboardInterrupt
        write_atomically(path, content)

    with monkeypatch.context() as patch:
        patch.setattr("lab.runs.store.write_atomically", crash)
        with pytest.raises(KeyboardInterrupt):
            writer.close(manifest(results, folder.name))
    resumed = RunWriter(folder)
    assert [item.key for item in resumed.journal()] == ["k1", "k2", "k3"]
    resumed.close(manifest(resumed.journal(), folder.name))
    assert list(open_run(folder).measurements["value"]) == [0.0, 1.0, 7.0]


def test_a_cell_whose_rows_are_nowhere_is_measured_again(tmp_path: Path) -> None:
    folder = closed_run(tmp_path / "r")
    (folder / "manifest.json").unlink()
    assert RunWriter(folder).journal() == []


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "manifest.json"
    write_atomically(file, "old")

    def no_space(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lab.runs.store.os.fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, "new")
    assert file.read_text() == "old"


def test_a_cell_without_a_journal_line_did_not_happen(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    (writer.begin("k1") / "fio.json").write_text("half")
    assert writer.journal() == []
    assert RunWriter(tmp_path).journal() == []
    assert not list((tmp_path / "raw").iterdir()), "the half cell of a killed runner is cleared away"


def test_a_journal_line_without_its_folder_does_not_count(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    finish(writer, "k1")
    (tmp_path / "journal.jsonl").open("a").write(result("gone").model_dump_json() + "\n")
    assert [item.key for item in writer.journal()] == ["k1"]


def test_a_later_line_for_a_key_replaces_the_earlier(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    writer.begin("k1")
    writer.finish(result("k1", "failed"), [], [])
    finish(writer, "k1")
    assert [(item.key, item.status) for item in writer.journal()] == [("k1", "done")]


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_cut_last_journal_line_is_as_if_it_were_not_there(tmp_path: Path, kept: int) -> None:
    writer = RunWriter(tmp_path)
    finish(writer, "k1")
    whole = (tmp_path / "journal.jsonl").read_bytes()
    finish(writer, "k2")
    both = (tmp_path / "journal.jsonl").read_bytes()
    cut = both[: len(whole) + kept] if kept > 0 else both[: -2]
    (tmp_path / "journal.jsonl").write_bytes(cut)
    assert [item.key for item in RunWriter(tmp_path).journal()] == ["k1"]


def test_a_run_goes_on_after_a_cut_last_journal_line(tmp_path: Path) -> None:
    finish(RunWriter(tmp_path), "k1")
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"cell": "loop-l')
    resumed = RunWriter(tmp_path)
    finish(resumed, "k2")
    assert [item.key for item in RunWriter(tmp_path).journal()] == ["k1", "k2"]


@pytest.mark.parametrize("line", ["{}", "not json", '{"cell": 1}', ""])
def test_a_damaged_journal_line_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    writer = RunWriter(tmp_path)
    finish(writer, "k1")
    file = tmp_path / "journal.jsonl"
    file.write_text(file.read_text() + line + "\n" + result("k2").model_dump_json() + "\n")
    with pytest.raises(InputError, match="damaged journal line") as caught:
        writer.journal()
    assert caught.value.where == f"{file}:2"


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, None, "1"])
def test_another_schema_version_is_refused_with_both_numbers(tmp_path: Path, version: object) -> None:
    file = closed_run(tmp_path / "r") / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema_version": version}))
    with pytest.raises(InputError, match=f"schema version {version}, this lab reads {SCHEMA_VERSION}") as caught:
        open_run(file.parent)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"schema_version": 1}'])
def test_a_damaged_manifest_is_bad_input(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        open_run(tmp_path)
    assert "manifest.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_or_damaged_table_is_bad_input(tmp_path: Path) -> None:
    path = closed_run(tmp_path / "r")
    (path / "measurements.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="cannot be read"):
        _ = open_run(path).measurements
    (path / "measurements.parquet").unlink()
    with pytest.raises(InputError, match="table is missing"):
        _ = open_run(path).measurements


def test_runs_are_found_below_a_folder_by_name_and_raw_output_is_no_run(tmp_path: Path) -> None:
    for name in ("b", "a"):
        closed_run(tmp_path / "results" / name)
    (tmp_path / "results/a/raw/k1/manifest.json").write_text("{}")
    assert [run.path.name for run in find_runs(tmp_path)] == ["a", "b"]
    assert [run.path.name for run in find_runs(tmp_path / "results/b")] == ["b"]


def test_a_folder_without_runs_and_no_folder_at_all_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run in this folder"):
        find_runs(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_runs(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no run here"):
        open_run(tmp_path)
