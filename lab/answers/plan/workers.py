"""Processes that share the work: those of this machine, or those of a Dask cluster."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from lab.errors import RigError

BATCH = 4
"""Replications that a process does in one go."""

CONNECT_SECONDS = 15

T = TypeVar("T")
Progress = Callable[[int, int | None, str, float | None], None]
"""Called with steps done, of how many if that is known, what comes next, and the seconds left if they are known."""


@dataclass(frozen=True)
class Workers:
    """``count`` processes behind joblib's interface; ``parallel`` takes delayed calls and yields their results."""

    count: int
    parallel: Any

    def each(self, function: Callable[..., T], calls: Sequence[tuple[Any, ...]],
             progress: Progress | None = None) -> list[T]:
        """The function on each of the argument tuples, in their order.  Raises what the function raises.

        ``progress`` is told of each that is done.
        """
        from joblib import delayed

        told: list[T] = []
        if progress is not None and calls:
            progress(0, len(calls), "", None)
        for one in self.parallel(delayed(function)(*arguments) for arguments in calls):
            told.append(one)
            if progress is not None:
                progress(len(told), len(calls), "", None)
        return told


@contextmanager
def workers(count: int | None = None, cluster: str | None = None) -> Iterator[Workers]:
    """So many processes, all of this machine's cores if none is said, or all that a Dask cluster has.

    Raises RigError where Dask is not installed, or no cluster answers.
    """
    import joblib

    with ExitStack() as stack:
        if cluster is not None:
            stack.enter_context(_client(cluster))
            stack.enter_context(joblib.parallel_config(backend="dask", wait_for_workers_timeout=CONNECT_SECONDS))
        parallel = stack.enter_context(joblib.Parallel(n_jobs=-1 if cluster or count is None else count,
                                                       return_as="generator"))
        yield Workers(max(1, int(joblib.effective_n_jobs(-1 if cluster or count is None else count))), parallel)


def _client(address: str) -> Any:
    try:
        distributed = importlib.import_module("distributed")
        importlib.import_module("dask")
    except ImportError as error:
        raise RigError(f"--cluster {address}: {error.name or error} is not installed",
                       remedy="pip install 'thinpool-lab[cluster]', here and on the cluster's workers") from None
    try:
        return distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        raise RigError(f"--cluster {address}: no Dask scheduler answers: {error}",
                       remedy="start one with `dask scheduler`, and workers with `dask worker ADDRESS`") from None


def batches_until(crew: Workers, function: Callable[..., list[T]], fixed: tuple[Any, ...], *,
                  replications: int | None, deadline: float, progress: Progress) -> list[T]:
    """Replications 0, 1, 2, ... until there are so many, or until the next wave would end after a deadline.

    ``function`` takes what is fixed and the numbers of one batch, and gives a list with an entry for each.  The
    deadline is of ``time.monotonic``; it counts only where no number is given, and at least one wave is done.  A wave
    is one batch a process.
    """
    done: list[T] = []
    while replications is None or len(done) < replications:
        began = time.monotonic()
        progress(len(done), replications, "", None if replications else max(deadline - began, 0.0))
        most = len(done) + BATCH * crew.count
        end = most if replications is None else min(most, replications)
        batches = [tuple(range(first, min(first + BATCH, end))) for first in range(len(done), end, BATCH)]
        for told in crew.each(function, [(*fixed, numbers) for numbers in batches]):
            done += told
        now = time.monotonic()
        if replications is None and not now + (now - began) <= deadline:
            break
    progress(len(done), replications, "", None)
    return done
