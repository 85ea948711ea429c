"""``results/<run>/``: an atomic writer, a reader, and the journal that a resumed run starts from.

A run's folder::

    manifest.json          what was asked, on what machine, how it went
    measurements.parquet   one row a number        (records.MEASUREMENT_COLUMNS)
    samples.parquet        one row a second        (records.SAMPLE_COLUMNS)
    scenario.yaml          the scenario, verbatim
    baseline.yaml          the other arm's, where a run has two
    journal.jsonl          one line a finished cell
    raw/<key>/             verbatim output of that cell; its rows, until they are joined into the tables

A cell's folder is written under another name and renamed when it is whole; its
journal line follows.  Whatever has no journal line did not happen.  A cell's rows
leave its folder only when the run's tables and then its manifest, which lists the
cell, are written: a row is always in one place or in both, where the cell's own counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lab.errors import InputError
from lab.files import write_atomically
from lab.records import MEASUREMENT_COLUMNS, SAMPLE_COLUMNS, SCHEMA_VERSION, CellResult, Manifest

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

_TABLES: dict[str, tuple[str, ...]] = {"measurements": MEASUREMENT_COLUMNS, "samples": SAMPLE_COLUMNS}

_OF_A_CELL = ["cell", "repetition", "arm"]
"""What tells one cell's rows from another's in a run's tables."""


@dataclass(frozen=True)
class Run:
    """A run on disk.  Frames are read when they are first asked for."""

    path: Path
    manifest: Manifest

    @cached_property
    def measurements(self) -> pd.DataFrame:
        """One row a number; columns ``records.MEASUREMENT_COLUMNS``."""
        return _read_table(self.path / "measurements.parquet", MEASUREMENT_COLUMNS)

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row a second and metric; columns ``records.SAMPLE_COLUMNS``; ``t_seconds`` from the cell's start."""
        return _read_table(self.path / "samples.parquet", SAMPLE_COLUMNS)


def open_run(path: Path) -> Run:
    """The run in that folder.

    Raises InputError where there is none, where its manifest is damaged, or
    where it was written in another schema version.
    """
    file = path / "manifest.json"
    try:
        document = json.loads(file.read_text())
    except FileNotFoundError:
        raise InputError("no run here: there is no manifest.json", where=str(path),
                         remedy="name a folder that `lab run` printed") from None
    except (ValueError, OSError) as error:
        raise InputError(f"the manifest cannot be read: {error}", where=str(file)) from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(f"the run has schema version {version}, this lab reads {SCHEMA_VERSION}", where=str(file),
                         remedy="read it with the lab version that its manifest names")
    try:
        return Run(path, Manifest.model_validate(document))
    except ValidationError as error:
        first = error.errors()[0]
        spot = ".".join(str(part) for part in first["loc"])
        raise InputError(f"damaged manifest: {spot}: {first['msg']}", where=str(file)) from None


def table_digest(run: Run) -> str:
    """SHA-256 of the run's table of measurements, the file's bytes.  Raises InputError where it cannot be read."""
    file = run.path / "measurements.parquet"
    try:
        with file.open("rb") as table:
            return hashlib.file_digest(table, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"the table cannot be read: {error.strerror}", where=str(file)) from None


def find_runs(path: Path) -> list[Run]:
    """The run in that folder, or all the runs below it, by name.  Raises InputError where there is none."""
    if (path / "manifest.json").exists():
        return [open_run(path)]
    if not path.is_dir():
        raise InputError("no such folder", where=str(path), remedy="name a run's folder, or one above some")
    found = sorted(file.parent for file in path.rglob("manifest.json") if "raw" not in file.parts[-3:])
    if not found:
        raise InputError("no run in this folder or below", where=str(path), remedy="make one with `lab run SCENARIO`")
    return [open_run(folder) for folder in found]


class RunWriter:
    """Writes one run's folder; several processes must not share one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.raw = path / "raw"
        self.raw.mkdir(parents=True, exist_ok=True)
        for leftover in self.raw.glob("*.part"):       # of a runner that was killed
            shutil.rmtree(leftover)
        for scratch in path.glob(".*.[0-9]*"):
            scratch.unlink()
        if self._journal.exists():                      # a line that the kill cut off did not happen
            whole = self._journal.read_bytes()
            if not whole.endswith(b"\n") and whole:
                write_atomically(self._journal, whole[: whole.rfind(b"\n") + 1])

    @property
    def _journal(self) -> Path:
        return self.path / "journal.jsonl"

    def journal(self) -> list[CellResult]:
        """The finished cells, in the order they finished; a later line for a key replaces an earlier one."""
        by_key: dict[str, CellResult] = {}
        for result in _journal_lines(self._journal):
            by_key[result.key] = result
        joined = self._joined_keys()
        return [r for r in by_key.values()
                if (self.raw / r.key).is_dir() and (r.key in joined or self._has_rows(r.key))]

    def _has_rows(self, key: str) -> bool:
        return all((self.raw / key / f"{name}.parquet").exists() for name in _TABLES)

    def _joined_keys(self) -> set[str]:
        """The cells whose rows stand in the run's tables."""
        if not (self.path / "manifest.json").exists():
            return set()
        return {result.key for result in open_run(self.path).manifest.results}

    def begin(self, key: str) -> Path:
        """An empty folder for the cell's raw output."""
        part = self.raw / f"{key}.part"
        if part.exists():
            shutil.rmtree(part)
        part.mkdir()
        return part

    def finish(self, result: CellResult, measurements: Sequence[Row], samples: Sequence[Row]) -> None:
        """Stores the cell's rows beside its raw output, renames the folder, adds the journal line."""
        part, whole = self.raw / f"{result.key}.part", self.raw / result.key
        _write_table(part / "measurements.parquet", measurements, MEASUREMENT_COLUMNS)
        _write_table(part / "samples.parquet", samples, SAMPLE_COLUMNS)
        if whole.exists():
            shutil.rmtree(whole)
        part.rename(whole)
        with self._journal.open("a") as file:
            file.write(result.model_dump_json() + "\n")
            file.flush()
            os.fsync(file.fileno())

    def replace(self, key: str, measurements: Sequence[Row], samples: Sequence[Row]) -> None:
        """Other rows for a finished cell, as its raw output was read again; ``close`` joins them."""
        _write_table(self.raw / key / "measurements.parquet", measurements, MEASUREMENT_COLUMNS)
        _write_table(self.raw / key / "samples.parquet", samples, SAMPLE_COLUMNS)

    def close(self, manifest: Manifest) -> None:
        """Joins the cells' rows into the run's tables, writes the manifest, and takes the cells' own rows away.

        Cells that are done and that the manifest does not name, as those of more repetitions than are asked for now,
        get rows of their own again, and stay done.
        """
        keys = [result.key for result in manifest.results]
        for result in self.journal():
            if result.key not in keys and not self._has_rows(result.key):
                for name in _TABLES:
                    self._rows(name, [result.key]).to_parquet(self.raw / result.key / f"{name}.parquet", index=False,
                                                              compression="zstd")
        for name, table in {name: self._rows(name, keys) for name in _TABLES}.items():
            scratch = self.path / f".{name}.parquet.{os.getpid()}"
            table.to_parquet(scratch, index=False, compression="zstd")
            scratch.replace(self.path / f"{name}.parquet")
        write_atomically(self.path / "manifest.json", manifest.model_dump_json(indent=2) + "\n")
        for key in keys:
            for name in _TABLES:
                (self.raw / key / f"{name}.parquet").unlink(missing_ok=True)

    def measurements(self, keys: Sequence[str]) -> pd.DataFrame:
        """The rows so far of finished cells, while the run goes on; columns ``records.MEASUREMENT_COLUMNS``."""
        return self._rows("measurements", keys)

    def _rows(self, name: str, keys: Sequence[str]) -> pd.DataFrame:
        """The rows of finished cells, in that order: each cell's own, or those that were joined into the table."""
        import pandas as pd

        columns = _TABLES[name]
        results = {result.key: result for result in self.journal()}
        joined: dict[Any, pd.DataFrame] = {}
        if not all(self._has_rows(key) for key in keys):
            joined = dict(iter(_read_table(self.path / f"{name}.parquet", columns).groupby(_OF_A_CELL)))
        frames = []
        for key in keys:
            if self._has_rows(key):
                frames.append(pd.read_parquet(self.raw / key / f"{name}.parquet"))
            elif (rows := joined.get(tuple(getattr(results[key], word) for word in _OF_A_CELL))) is not None:
                frames.append(rows)
        frames = [frame for frame in frames if len(frame)]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(columns))


def _journal_lines(path: Path) -> Iterator[CellResult]:
    if not path.exists():
        return
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            yield CellResult.model_validate_json(line)
        except ValidationError:
            raise InputError("damaged journal line", where=f"{path}:{number}",
                             remedy="delete the line; its cell is measured again") from None


def _write_table(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    import pandas as pd

    pd.DataFrame(list(rows), columns=list(columns)).to_parquet(path, index=False, compression="zstd")


def _read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    try:
        table = pd.read_parquet(path)
    except FileNotFoundError:
        raise InputError("the run's table is missing", where=str(path),
                         remedy="finish the run with `lab run SCENARIO --resume RUN`") from None
    except (OSError, ValueError) as error:
        raise InputError(f"the table cannot be read: {error}", where=str(path)) from None
    if missing := [name for name in columns if name not in table.columns]:
        raise InputError(f"the table lacks {', '.join(missing)}", where=str(path))
    return table
