"""How much work a job of fio's makes a storage do: expected counts, from the job and what ran before it.

Blocks of a random job are drawn without replacement, evenly.  Of ``d`` blocks, ``n`` drawn, a data block that holds
``m`` of them stays untouched with probability C(d - m, n) / C(d, n) (hypergeometric; Feller, An Introduction to
Probability Theory (1968), II.6).  Passes have seeds of their own, so that they are independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from lab.model.filesystems.filesystem import BLOCK_BYTES
from lab.model.times.device_time import JobCounts
from lab.model.times.fio_job import FioJob

NO_FILES: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Surface:
    """What the work meets.

    ``chunk_bytes``: the pool's data block, None without a pool.  ``file_system``: of overlay2 ("ext4" or "xfs") or of a
    volume.  ``from_image``: the files of the job's folder are the image's where the image has them.
    """

    chunk_bytes: int | None
    file_system: str
    from_image: bool


@dataclass(frozen=True, slots=True)
class FileState:
    """The expected share of a file, 0 to 1, that no write has touched: of its bytes and of its units of copying.

    ``from_image``: it is the image's, and its units are shared until they are written.
    """

    length_bytes: int
    bytes_untouched: float
    units_untouched: float
    from_image: bool


def counts_of(job: FioJob, state: FileState | None, surface: Surface, operations: float | None = None, *,
              image_files: Mapping[str, int] = NO_FILES) -> tuple[JobCounts, FileState]:
    """The job's counts, and its file after it.

    ``state`` None: the file is new, or the image's.  ``operations``: how many it really did, where that is known.
    ``image_files``: the image's files in the job's folder, with their lengths in bytes.

    First writes of a new file allocate in the file system and, with a pool, provision; first writes of an image's file
    copy: a pool's data block, which takes a new one too; a reflinked file system block (xfs); or, on opening, the
    whole file (ext4).
    """
    before = state if state is not None else _begin(job, surface, image_files)
    before = _grown(before, job)
    done = float(job.operations) if operations is None else operations
    reads = done * job.read_share
    writes = done - reads
    opening = before.length_bytes if job.mode.writes and before.from_image and _whole_file(surface) else 0
    share = min(1.0, writes / job.file_blocks)
    unit_bytes = surface.chunk_bytes or BLOCK_BYTES
    unit_share = _touched(job, writes, unit_bytes)
    units = before.length_bytes / unit_bytes * min(1.0, job.file_bytes / before.length_bytes)
    new_units = units * unit_share * before.units_untouched
    shared = before.from_image and not _whole_file(surface)
    first = 0.0 if before.from_image else writes * before.bytes_untouched
    counts = JobCounts(
        reads=reads, writes=writes, read_bytes=reads * job.block_bytes, written_bytes=writes * job.block_bytes,
        first_writes=first, first_bytes=first * job.block_bytes,
        provisioned_blocks=new_units if surface.chunk_bytes is not None else 0.0,
        copied_blocks=new_units if shared else 0.0, copied_bytes=new_units * unit_bytes if shared else 0.0,
        copied_up_bytes=opening,
        syncs=(writes // job.fdatasync_every if job.fdatasync_every else 0) + (1 if job.end_fsync else 0))
    part = min(1.0, job.file_bytes / before.length_bytes)
    after = replace(before, bytes_untouched=before.bytes_untouched * (1 - share * part),
                    units_untouched=before.units_untouched * (1 - unit_share * part),
                    from_image=before.from_image)
    return counts, _copied(after) if opening else after


def _copied(state: FileState) -> FileState:
    """The file once overlay2 has copied it up: all of it is written, and it is the container's own."""
    return replace(state, bytes_untouched=0.0, units_untouched=0.0, from_image=False)


def _begin(job: FioJob, surface: Surface, image_files: Mapping[str, int]) -> FileState:
    length = image_files.get(job.filename) if surface.from_image else None
    return FileState(length or job.file_bytes, 1.0, 1.0, length is not None)


def _grown(state: FileState, job: FioJob) -> FileState:
    """The file made as long as the job wants it; what is added is untouched."""
    if job.file_bytes <= state.length_bytes:
        return state
    old = state.length_bytes / job.file_bytes
    return replace(state, length_bytes=job.file_bytes, bytes_untouched=1 - old * (1 - state.bytes_untouched),
                   units_untouched=1 - old * (1 - state.units_untouched))


def _whole_file(surface: Surface) -> bool:
    """Whether overlay2 copies the whole file up, for lack of reflinks."""
    return surface.chunk_bytes is None and surface.file_system != "xfs"


def _touched(job: FioJob, writes: float, unit_bytes: int) -> float:
    """The expected share of the units below the job's file that so many writes touch."""
    blocks = job.file_blocks
    if not job.mode.random or unit_bytes <= job.block_bytes or writes >= blocks:
        return min(1.0, writes / blocks)
    return 1 - _untouched(blocks, min(blocks, unit_bytes // job.block_bytes), writes)


def _untouched(blocks: int, unit: int, drawn: float) -> float:
    """C(blocks - unit, drawn) / C(blocks, drawn), for an expected ``drawn`` too."""
    if drawn > blocks - unit:
        return 0.0
    lower = math.lgamma(blocks - unit + 1) - math.lgamma(blocks - unit - drawn + 1)
    return math.exp(lower - math.lgamma(blocks + 1) + math.lgamma(blocks - drawn + 1))
