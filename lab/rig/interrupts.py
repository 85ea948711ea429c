"""^C and SIGTERM: the first one ends what is going on, those that follow are ignored, and cleaning up is never cut off.

Whoever handles the signals calls `arrived`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class Interrupted(BaseException):
    """^C or SIGTERM.  No LabError, so that nothing takes it for a cell's failure."""


@dataclass
class _State:
    raised: bool = False
    waiting: bool = False
    cleaning: int = 0


_STATE = _State()


def reset() -> None:
    """As if no signal had arrived yet."""
    _STATE.raised = _STATE.waiting = False
    _STATE.cleaning = 0


def arrived() -> None:
    """Raises Interrupted for the first signal.  Does nothing for others, nor while something is cleaned up."""
    if _STATE.raised:
        return
    if _STATE.cleaning:
        _STATE.waiting = True
        return
    _STATE.raised = True
    raise Interrupted


@contextmanager
def cleaning_up() -> Iterator[None]:
    """A signal that arrives meanwhile takes effect at the end: Interrupted is raised, unless another error is."""
    _STATE.cleaning += 1
    try:
        yield
    finally:
        _STATE.cleaning -= 1
    if _STATE.waiting and not _STATE.cleaning:
        _STATE.waiting = False
        arrived()


class Cleaned(AbstractContextManager[T]):
    """Another context manager, whose end is cleaning up."""

    def __init__(self, inner: AbstractContextManager[T]) -> None:
        self._inner = inner

    def __enter__(self) -> T:
        return self._inner.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> bool | None:
        with cleaning_up():
            return self._inner.__exit__(kind, error, traceback)
