"""``results/<run>/``: an atomic writer, a reader, and the journal that a resumed run starts from.

A run's folder::

    manifest.json          what was asked, on what machine, how it went
    measurements.parquet   one row a number        (records.MEASUREMENT_COLUMNS)
    samples.parquet        one row a second        (records.SAMPLE_COLUMNS)
    scenario.yaml          the scenario, verbatim
    baseline.yaml          the other arm's, where a run has two
    journal.jsonl          one line a finished cell
    raw/<key>/             verbatim output of that cell; its rows, until they are joined into the tables

The journal is the first file that a run has: a folder with neither journal nor manifest
is no run, and nothing in it is touched.  Whoever writes holds a lock on the folder.

A cell's folder is written under another name and renamed when it is whole; its
journal line follows.  Whatever has no journal line did not happen.  A cell's rows
leave its folder only when the run's tables and then its manifest, which lists the
cell, are written: a row is always in one place or in both, where the cell's own counts.
Rows that are damaged count as if they were not there.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lab.errors import InputError, RigError
from lab.runs.files import write_all, write_atomically
from lab.runs.records import MEASUREMENT_COLUMNS, SAMPLE_COLUMNS, SCHEMA_VERSION, CellResult, Manifest

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

_TABLES: dict[str, tuple[str, ...]] = {"measurements": MEASUREMENT_COLUMNS, "samples": SAMPLE_COLUMNS}

MANIFEST, JOURNAL = "manifest.json", "journal.jsonl"

_OWN_FILES = (MANIFEST, JOURNAL, "session.json", "scenario.yaml", "baseline.yaml",
              *(f"{name}.parquet" for name in _TABLES))
"""What a run's folder holds beside its cells."""

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
        document = json.loads(file.read_text("utf-8"))
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
    """Writes one run's folder, which is made where it is not there.

    For as long as there is one, no other process gets one for the same folder; in this process there may be several.
    Raises InputError for a folder that is neither empty nor a run, RigError for one that another process writes to;
    nothing was touched then.
    """

    def __init__(self, path: Path) -> None:
        refuse_foreign(path)
        path.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(path)
        refuse_foreign(path)                            # what was there may have changed until it was ours
        self.path = path
        self.raw = path / "raw"
        self._known: dict[Path, tuple[tuple[int, ...], bool]] = {}
        with suppress(FileExistsError):
            os.close(os.open(self._journal, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        self.raw.mkdir(exist_ok=True)
        self._sweep()

    def _sweep(self) -> None:
        """Removes what a runner that was killed left: half cells, scratch files, half journal lines, lone tables."""
        for cell in self.raw.iterdir():
            if not cell.is_dir() or cell.is_symlink():
                continue
            if cell.suffix == ".part":
                shutil.rmtree(cell)
            else:
                self._drop_lone_table(cell)
        for name in _OWN_FILES:
            for scratch in self.path.glob(f".{name}.[0-9]*"):
                scratch.unlink()
        whole = self._journal.read_bytes()
        if not whole.endswith(b"\n") and whole:
            write_atomically(self._journal, _lines(whole))

    def _drop_lone_table(self, cell: Path) -> None:
        """Of a pair of tables, one without the other is of no use, and would make a pair with one of another time."""
        for scratch in cell.glob(".*.parquet.[0-9]*"):
            scratch.unlink()
        there = [file for name in _TABLES if (file := cell / f"{name}.parquet").exists()]
        if len(there) < len(_TABLES):
            for file in there:
                file.unlink()

    @property
    def _journal(self) -> Path:
        return self.path / JOURNAL

    def journal(self) -> list[CellResult]:
        """The finished cells, in the order they finished; a later line for a key replaces an earlier one."""
        by_key: dict[str, CellResult] = {}
        for result in _journal_lines(self._journal):
            by_key[result.key] = result
        joined = self._joined()
        return [r for r in by_key.values()
                if (self.raw / r.key).is_dir() and (joined.get(r.key) == r.started_utc or self._has_rows(r.key))]

    def _has_rows(self, key: str) -> bool:
        """Whether the cell's folder holds its rows, undamaged."""
        return all(self._is_whole(self.raw / key / f"{name}.parquet", columns) for name, columns in _TABLES.items())

    def _is_whole(self, path: Path, columns: Sequence[str]) -> bool:
        """Whether the table can be read.  A file that did not change since it was asked for is not read again."""
        try:
            state = path.stat()
        except OSError:
            return False
        now = (state.st_ino, state.st_size, state.st_mtime_ns)
        before = self._known.get(path)
        if before is None or before[0] != now:
            try:
                _read_table(path, columns)
            except InputError:
                self._known[path] = (now, False)
            else:
                self._known[path] = (now, True)
        return self._known[path][1]

    def _joined(self) -> dict[str, str]:
        """The cells whose rows stand in the run's tables, with when they were started."""
        if not (self.path / MANIFEST).exists():
            return {}
        return {result.key: result.started_utc for result in open_run(self.path).manifest.results}

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
        self._append(result.model_dump_json() + "\n")

    def _append(self, line: str) -> None:
        """Adds a line to the journal, or nothing where that fails."""
        handle = os.open(self._journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        size = os.fstat(handle).st_size
        try:
            write_all(handle, line.encode())
            os.fsync(handle)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(handle, size)
            raise
        finally:
            os.close(handle)

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
                    _write_frame(self.raw / result.key / f"{name}.parquet", self._rows(name, [result.key]))
        for name, table in {name: self._rows(name, keys) for name in _TABLES}.items():
            _write_frame(self.path / f"{name}.parquet", table)
        write_atomically(self.path / MANIFEST, manifest.model_dump_json(indent=2) + "\n")
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
                frames.append(_read_table(self.raw / key / f"{name}.parquet", columns))
            elif (rows := joined.get(tuple(getattr(results[key], word) for word in _OF_A_CELL))) is not None:
                frames.append(rows)
        frames = [frame for frame in frames if len(frame)]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(columns))


def refuse_foreign(path: Path) -> None:
    """Raises InputError where the path is no folder, or a folder that is neither empty nor a run."""
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_dir():
        raise InputError("it is no folder", where=str(path), remedy="name a run's folder")
    if (path / MANIFEST).exists():
        open_run(path)
    elif (path / JOURNAL).exists():
        for _ in _journal_lines(path / JOURNAL):
            pass
    elif any(path.iterdir()):
        raise InputError("this folder is neither empty nor a run", where=str(path),
                         remedy="name the folder that `lab run` printed, or one that is not there yet")


class _FolderLock:
    """A lock on a folder, free again when nobody in this process keeps it any more, or the process is gone."""

    def __init__(self, handle: int) -> None:
        weakref.finalize(self, os.close, handle)


_LOCKS: weakref.WeakValueDictionary[tuple[int, int], _FolderLock] = weakref.WeakValueDictionary()
"""Those of this process, by device and inode."""


def _lock(path: Path) -> _FolderLock:
    """The lock on a folder.  Raises RigError, which names the process that has it, where another one has it."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    state = os.fstat(handle)
    place = (state.st_dev, state.st_ino)
    if (held := _LOCKS.get(place)) is not None:
        os.close(handle)
        return held
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise RigError(f"{path}: {_holder(state)} is writing to this run",
                           remedy="wait until it has ended") from None
        raise RigError(f"{path}: the file system has no locks on folders: {error.strerror}",
                       remedy="keep runs on a local disk") from None
    lock = _LOCKS[place] = _FolderLock(handle)
    return lock


def _holder(state: os.stat_result) -> str:
    """The process that holds the lock on that folder, as the kernel names it."""
    place = f"{os.major(state.st_dev):02x}:{os.minor(state.st_dev):02x}:{state.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text("utf-8").splitlines():
            words = line.split()
            if len(words) > 5 and words[1] == "FLOCK" and words[5] == place:
                command = Path("/proc", words[4], "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                return f"process {words[4]} ({command.strip()[:200]})"
    return "another process"


def _lines(whole: bytes) -> bytes:
    """Of a journal, the lines that are whole: one that a kill cut off did not happen."""
    return whole[: whole.rfind(b"\n") + 1]


def _journal_lines(path: Path) -> Iterator[CellResult]:
    if not path.exists():
        return
    for number, line in enumerate(_lines(path.read_bytes()).split(b"\n")[:-1], 1):
        try:
            yield CellResult.model_validate_json(line)
        except ValidationError:
            raise InputError("damaged journal line", where=f"{path}:{number}",
                             remedy="delete the line; its cell is measured again") from None


def _write_table(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    import pandas as pd

    _write_frame(path, pd.DataFrame(list(rows), columns=list(columns)))


def _write_frame(path: Path, table: pd.DataFrame) -> None:
    write_atomically(path, table.to_parquet(None, index=False, compression="zstd"))


def _read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    try:
        with path.open("rb") as file:       # by its name Arrow opens none that is not UTF-8
            # Without threads of its own: one that still starts while the command ends aborts the whole process.
            table = pd.read_parquet(file, engine="pyarrow", use_threads=False, pre_buffer=False)
    except FileNotFoundError:
        raise InputError("the run's table is missing", where=str(path),
                         remedy="finish the run with `lab run SCENARIO --resume RUN`") from None
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise InputError(f"the table cannot be read: {str(error).splitlines()[0] if str(error) else error!r}",
                         where=str(path)) from None
    if missing := [name for name in columns if name not in table.columns]:
        raise InputError(f"the table lacks {', '.join(missing)}", where=str(path))
    return table
