"""The seam to the world: every effect of the lab is a command run in a `Machine`.

`RecordingMachine` writes what it passes through to a transcript; `ReplayMachine`
plays one back, so that provisioning can be tested without a machine.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from lab.errors import CommandFailed, OutputRefused, RigError

DEFAULT_TIMEOUT_SECONDS = 180.0

GUEST_FOLDER = "/opt/lab"
"""Where the lab's own programs (``guest/``) and images lie inside a machine."""


@dataclass(frozen=True)
class Completed:
    """A command that ended.  ``returncode`` is None where its time limit ended it."""

    argv: tuple[str, ...]
    returncode: int | None
    stdout: str
    stderr: str
    seconds: float
    cut: bool = False
    """Whether a part of what it said was left out, for there was too much."""


class Machine(Protocol):
    """A place where commands run as root.  Arguments are never joined into a shell's text unquoted."""

    def run(self, argv: Sequence[str], *, timeout: float = DEFAULT_TIMEOUT_SECONDS, check: bool = True,
            stdin: bytes | None = None) -> Completed:
        """Runs the command and waits for it.

        Raises CommandFailed where ``check`` is set and the status is not 0 (or
        the time limit passed), OutputRefused where it is set and the command
        said too much, ConnectionLost where the machine is gone.
        """
        ...

    def get(self, folder: str, into: Path) -> None:
        """Copies the files of a folder of the machine into a folder of the host.

        Raises OutputRefused for what is no plain file or folder, too much, or cut off.
        """
        ...


def put(machine: Machine, path: str, content: str | bytes) -> None:
    """Writes a file in the machine; its folder is made."""
    data = content.encode() if isinstance(content, str) else content
    machine.run(["install", "-D", "-m", "0755", "/dev/stdin", path], stdin=data)


def checked(completed: Completed) -> Completed:
    """The command again, or CommandFailed; OutputRefused where not all of what it said is there."""
    if completed.returncode != 0:
        raise CommandFailed(completed.argv, completed.returncode, completed.stdout, completed.stderr)
    if completed.cut:
        raise OutputRefused(f"{completed.argv[0]} said more than can be kept")
    return completed


class RecordingMachine:
    """Passes everything on to another machine and writes each command to a transcript, a JSON line each."""

    def __init__(self, inner: Machine, transcript: IO[str]) -> None:
        self._inner = inner
        self._transcript = transcript

    def run(self, argv: Sequence[str], *, timeout: float = DEFAULT_TIMEOUT_SECONDS, check: bool = True,
            stdin: bytes | None = None) -> Completed:
        completed = self._inner.run(argv, timeout=timeout, check=False, stdin=stdin)
        line = {"at": time.time(), "argv": list(argv), "stdin_sha256": _digest(stdin),
                "returncode": completed.returncode, "stdout": completed.stdout, "stderr": completed.stderr,
                "seconds": round(completed.seconds, 3)}
        self._transcript.write(json.dumps(line) + "\n")
        self._transcript.flush()
        return checked(completed) if check else completed

    def get(self, folder: str, into: Path) -> None:
        self._inner.get(folder, into)


class ReplayMachine:
    """Answers as a recorded machine did, and refuses any other command than the recorded one, in its order."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._expected = [json.loads(line) for line in lines if line.strip()]
        self._next = 0

    @property
    def left(self) -> int:
        """Recorded commands that have not been asked for."""
        return len(self._expected) - self._next

    def run(self, argv: Sequence[str], *, timeout: float = DEFAULT_TIMEOUT_SECONDS, check: bool = True,
            stdin: bytes | None = None) -> Completed:
        if not self.left:
            raise RigError(f"the transcript has ended, and {list(argv)!r} was asked for")
        recorded = self._expected[self._next]
        if recorded["argv"] != list(argv):
            raise RigError(f"command {self._next + 1} of the transcript is {recorded['argv']!r}, not {list(argv)!r}")
        self._next += 1
        completed = Completed(tuple(argv), recorded["returncode"], recorded["stdout"], recorded["stderr"],
                              recorded["seconds"])
        return checked(completed) if check else completed

    def get(self, folder: str, into: Path) -> None:
        raise RigError(f"a transcript holds no files: {folder}")


def _digest(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()
