"""fio's JSON, JSON+ and log files.

Formats: fio(1) 3.33, sections "JSON OUTPUT", "JSON+ OUTPUT" and "LOG FILE FORMATS".
Everything is converted once, here: KiB/s to bytes/s, ms and ns to seconds, percentages of a
distribution to fractions.  What fio prints as zero because it was not measured is ``None``.

>>> run = read_fio('{"fio version": "fio-3.33", "jobs": [{"jobname": "a", "error": 0, "read":'
...                ' {"io_bytes": 4096, "bw_bytes": 2048, "iops": 0.5, "runtime": 2000, "total_ios": 1}}]}')
>>> run.jobs[0].read.bandwidth_bytes_per_second, run.jobs[0].write
(2048.0, None)
"""

from __future__ import annotations

from lab.readers.fio.histogram import merge_bins, percentile_from_bins
from lab.readers.fio.log import LogKind, read_log
from lab.readers.fio.read import read_fio, read_fio_intervals
from lab.readers.fio.run import DIRECTIONS, Direction, DirectionStats, DiskUtil, FioJob, FioRun, Latency, LatencyKind

__all__ = [
    "DIRECTIONS",
    "Direction",
    "DirectionStats",
    "DiskUtil",
    "FioJob",
    "FioRun",
    "Latency",
    "LatencyKind",
    "LogKind",
    "merge_bins",
    "percentile_from_bins",
    "read_fio",
    "read_fio_intervals",
    "read_log",
]
