"""Commands on the host: Vagrant, QEMU's tools and the box builder.  Never a storage command.

Their process ends when the lab's does, even by ``kill -9``.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import RigError


def call(argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None,
         timeout: float = 600, remedy: str | None = None, log: Path | None = None) -> str:
    """Standard output of a host command.

    Raises RigError, with the end of what it said, where it is missing, fails,
    or takes longer than ``timeout`` seconds.  ``log`` gets all it says.
    """
    command = ["setpriv", "--pdeathsig", "TERM", *argv]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   cwd=cwd, env={**os.environ, **(env or {})}, start_new_session=True)
    except FileNotFoundError as error:
        raise RigError(f"{error.filename} is missing", remedy="lab doctor --install") from None
    try:
        output = process.communicate(timeout=timeout)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        _end(process)
        raise RigError(f"{argv[0]} {argv[1] if len(argv) > 1 else ''} took longer than {timeout:.0f} s",
                       remedy=remedy) from None
    except BaseException:       # ^C, SIGTERM: nothing may be left running
        _end(process)
        raise
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(output)
    if process.returncode:
        tail = " | ".join(line.strip() for line in output.splitlines() if line.strip())[-1500:]
        raise RigError(f"{' '.join(argv[:2])} ended with status {process.returncode}: {tail or 'no output'}",
                       remedy=remedy)
    return output


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
