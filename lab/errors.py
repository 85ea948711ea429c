"""One tree of errors; each class owns the exit code that the command line ends with.

Messages are one line: what is wrong, the value, and what would be right.  A
``remedy`` is what the user can type or change next.
"""

from __future__ import annotations

from collections.abc import Sequence


class LabError(Exception):
    """Base of every error that a user can cause or meet.  Exit code 3."""

    exit_code = 3

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class AnswerIsNo(LabError):
    """The work was done, and the answer is no: a failed cell, a regression.  Exit code 1."""

    exit_code = 1


def _one_line(message: str) -> str:
    """The message as a terminal takes it: escapes for lone surrogates, which JSON may hold, and for line ends."""
    plain = message.encode("utf-8", "backslashreplace").decode("utf-8")
    return plain if plain.isprintable() else "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in plain)


class InputError(LabError):
    """Bad input or usage.  Exit code 2.

    ``where`` is ``file`` or ``file:line`` and leads the message.
    """

    exit_code = 2

    def __init__(self, message: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(_one_line(f"{where}: {message}" if where else message), remedy=remedy)
        self.where = where


class ReaderError(InputError):
    """A file that a reader cannot take: malformed, truncated, or of another kind."""


class RigError(LabError):
    """The environment cannot do it, or gave up in mid-run.  Exit code 3."""


class StorageMismatch(RigError):
    """Docker, LVM or a mount does not show the storage that was asked for."""


class ConnectionLost(RigError):
    """The machine no longer answers over ssh."""


class OutputRefused(RigError):
    """What the machine sent is not taken: too much, cut off, or not what was asked for.  It fails the cell."""


class CommandFailed(RigError):
    """A command inside the machine ended with a status other than zero."""

    def __init__(self, argv: Sequence[str], returncode: int | None, stdout: str, stderr: str) -> None:
        tail = (stderr.strip() or stdout.strip())[-2000:]
        how = "hit its time limit" if returncode is None else f"ended with status {returncode}"
        super().__init__(f"{argv[0] if argv else '(nothing)'!s} {how}: {tail or 'no output'}")
        self.argv = tuple(argv)
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr


class Inconclusive(LabError):
    """The evidence does not settle the question.  Exit code 4."""

    exit_code = 4
