"""How much later the requests of a trace were made than blkparse says.

blkparse (seen on Debian 12) gives the first request the time at which the trace was started, and the others theirs
from there.  A device that is idle at first so has all of them too early, by the seconds until its first request.  The
device's mapped blocks, which the sampler reads each second by the machine's clock, tell by how many.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lab.readers.trace_case import Request

_STEP_SECONDS = 0.05
_LONGEST_SECONDS = 120.0


def trace_delay(requests: Sequence[Request], virtual_blocks: NDArray[np.int64], chunk_bytes: int,
                seen: Sequence[tuple[float, int]]) -> float:
    """Seconds to add to the times of all requests.

    ``virtual_blocks`` are those mapped when the trace began; ``seen``: time, seconds since 1970, and mapped blocks
    then.  It is the delay with which the requests explain most of ``seen``, the middle of the longest such stretch;
    0 where no delay explains more.
    """
    if not requests or not seen:
        return 0.0
    counts = _mapped_after_each(requests, virtual_blocks, chunk_bytes)
    made = np.array([request.at for request in requests])
    times, mapped = np.array([at for at, _ in seen]), np.array([blocks for _, blocks in seen])
    delays = np.arange(0.0, _LONGEST_SECONDS, _STEP_SECONDS)
    wrong = np.array([np.count_nonzero(counts[np.searchsorted(made, times - delay, side="right")] != mapped)
                      for delay in delays])
    if wrong[0] == wrong.min():
        return 0.0
    best = np.flatnonzero(wrong == wrong.min())
    longest = max(np.split(best, np.flatnonzero(np.diff(best) != 1) + 1), key=len)
    return float(delays[longest].mean())


def _mapped_after_each(requests: Sequence[Request], virtual_blocks: NDArray[np.int64],
                       chunk_bytes: int) -> NDArray[np.int64]:
    """Mapped blocks before the first request, and after each."""
    end = max(request.offset_bytes + request.length_bytes for request in requests)
    mapped = np.zeros(max(-(-end // chunk_bytes), int(virtual_blocks.max(initial=-1)) + 1), np.bool_)
    mapped[virtual_blocks] = True
    counts = [int(virtual_blocks.size)]
    for request in requests:
        ends_at = request.offset_bytes + request.length_bytes
        if request.discard:
            touched = mapped[-(-request.offset_bytes // chunk_bytes):ends_at // chunk_bytes]
        else:
            touched = mapped[request.offset_bytes // chunk_bytes:-(-ends_at // chunk_bytes)]
        before = int(np.count_nonzero(touched))
        touched[:] = not request.discard
        counts.append(counts[-1] + int(np.count_nonzero(touched)) - before)
    return np.array(counts)
