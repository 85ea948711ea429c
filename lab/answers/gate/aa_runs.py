"""A/A runs: one scenario measured as both arms, so that every difference is noise."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Mapping, Sequence

from lab.answers.gate.fingerprint import fingerprint
from lab.answers.gate.sides import Comparison, Quantity, Sides, two_arms
from lab.errors import InputError
from lab.runs.store import Run, table_digest
from lab.scenario.arms import BASELINE, CANDIDATE


def aa_sides(runs: Sequence[Run]) -> Sides:
    """The arms of A/A runs; several runs as one, their repetitions numbered on.

    Raises InputError where a run is no A/A run or named twice, and where two differ in environment or scenario.
    """
    digests: dict[str, Run] = {}
    for run in runs:
        if (other := digests.setdefault(table_digest(run), run)) is not run:
            raise InputError(f"this is the same table as that of {other.path}", where=str(run.path),
                             remedy="name each A/A run once")
    return _joined([_of_one(run) for run in runs], runs)


def _of_one(run: Run) -> Sides:
    sides = two_arms(run)
    manifest = run.manifest
    assert manifest.baseline is not None
    if manifest.baseline.sha256 != manifest.scenario.sha256:
        raise InputError(f"the arms are different scenarios, {manifest.baseline.file} and {manifest.scenario.file}: "
                         "their difference need not be noise", where=str(run.path / "manifest.json"),
                         remedy="measure A/A: lab run SCENARIO --against SCENARIO, the same file twice")
    before, after = (_fio_jobs(run, arm) for arm in (BASELINE, CANDIDATE))
    if any(before[cell] != after[cell] for cell in before.keys() & after.keys()):
        raise InputError("the arms ran different fio jobs, though their scenario files are the same: their difference "
                         "need not be noise", where=str(run.path / "raw"),
                         remedy="measure A/A: lab run SCENARIO --against SCENARIO, the same file twice")
    return sides


def _fio_jobs(run: Run, arm: str) -> dict[str, set[bytes]]:
    """Each cell of the arm with the job files that it ran, where the raw output is there.

    Raises InputError for one that is damaged.
    """
    found: dict[str, set[bytes]] = {}
    for result in run.manifest.results:
        file = run.path / "raw" / result.key / "jobs.fio.gz"
        if result.arm == arm and file.is_file():
            try:
                found.setdefault(result.cell, set()).add(gzip.decompress(file.read_bytes()))
            except (OSError, EOFError, zlib.error) as error:
                raise InputError(f"cannot be read: {error}", where=str(file)) from None
    return found


def _joined(every: Sequence[Sides], runs: Sequence[Run]) -> Sides:
    """Several A/A runs as one: repetitions are numbered on."""
    first = every[0]
    for sides, run in zip(every[1:], runs[1:], strict=True):
        here, there = fingerprint(run.manifest), fingerprint(runs[0].manifest)
        if odd := [name for name in {**here, **there} if here.get(name) != there.get(name)]:
            raise InputError(f"the run was measured elsewhere than {runs[0].path}: they differ in {', '.join(odd)}",
                             where=str(run.path / "manifest.json"), remedy="test them one by one")
        if sides.manifests[CANDIDATE].scenario.sha256 != first.manifests[CANDIDATE].scenario.sha256:
            raise InputError(f"the run's scenario is not that of {runs[0].path}",
                             where=str(run.path / "manifest.json"), remedy="test them one by one")
    if len(every) == 1:
        return first
    step = 1 + max((r for sides in every for one in sides.comparisons for r in {*one.baseline, *one.candidate}),
                   default=0)
    parts: dict[Quantity, list[Comparison]] = {}
    for number, sides in enumerate(every):
        for one in sides.comparisons:
            parts.setdefault(one.quantity, []).append(Comparison(
                one.quantity, _shifted(one.baseline, number * step), _shifted(one.candidate, number * step)))
    joined = tuple(Comparison(own[0].quantity, _merged(one.baseline for one in own),
                              _merged(one.candidate for one in own)) for own in parts.values())
    return Sides(True, joined, (), first.cells, first.manifests, first.paths)


def _shifted(values: Mapping[int, float], step: int) -> dict[int, float]:
    return {repetition + step: value for repetition, value in values.items()}


def _merged(parts: Iterable[Mapping[int, float]]) -> dict[int, float]:
    return {repetition: value for part in parts for repetition, value in part.items()}
