"""One job of fio, as far as a model can follow it: a single thread that waits for each operation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class IoMode(Enum):
    """fio's ``rw``."""

    READ = "read"
    WRITE = "write"
    RANDREAD = "randread"
    RANDWRITE = "randwrite"
    RW = "rw"
    RANDRW = "randrw"

    @property
    def random(self) -> bool:
        """Whether the blocks come in a random order, each of them once (fio's random map)."""
        return self in (IoMode.RANDREAD, IoMode.RANDWRITE, IoMode.RANDRW)

    @property
    def mixed(self) -> bool:
        """Whether the job both reads and writes."""
        return self in (IoMode.RW, IoMode.RANDRW)

    @property
    def writes(self) -> bool:
        """Whether any operation is a write."""
        return self not in (IoMode.READ, IoMode.RANDREAD)


@dataclass(frozen=True, slots=True)
class FioJob:
    """A job of a job file, its ``[global]`` defaults filled in.  Sizes in bytes, times in seconds.

    ``file_bytes`` is the part of the file that the job works on, from the file's start; blocks that do not fit
    into it whole are not touched.  ``number_ios`` None: every block of it once.  ``runtime_seconds`` None: no limit.
    ``time_based`` repeats the job until its runtime is over.  ``fdatasync_every`` n is an fdatasync after each n
    writes, 0 for none; ``end_fsync`` one fsync after all.  ``read_share`` is the expected share of reads, 0 to 1.
    """

    name: str
    filename: str
    mode: IoMode
    block_bytes: int
    file_bytes: int
    number_ios: int | None
    runtime_seconds: float | None
    time_based: bool
    direct: bool
    fdatasync_every: int
    end_fsync: bool
    read_share: float

    @property
    def file_blocks(self) -> int:
        """Whole blocks that the job can touch."""
        return self.file_bytes // self.block_bytes

    @property
    def operations(self) -> int:
        """Reads and writes of one pass that no runtime cuts short."""
        return self.file_blocks if self.number_ios is None else min(self.number_ios, self.file_blocks)
