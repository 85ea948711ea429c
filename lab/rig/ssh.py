"""Commands in a machine over OpenSSH, all through one connection (ControlMaster)."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from lab.errors import ConnectionLost
from lab.rig.machine import DEFAULT_TIMEOUT_SECONDS, Completed, checked

_SSH_FAILED = 255
_TIMED_OUT = 124            # of timeout(1)
_KILLED = 137               # of timeout(1), where the command ignored its TERM
_GRACE_SECONDS = 20.0
_SOCKETS = "lab-ssh-"       # in the folder for temporary files: a socket's path must stay short


def sweep_sockets() -> None:
    """Removes the socket folders of this user's `lab` processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_SOCKETS}[0-9]*-*"):
        owner = folder.name.removeprefix(_SOCKETS).partition("-")[0]
        if not Path("/proc", owner).exists() and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)


class SshMachine:
    """The machine behind ``host``; commands run as root by sudo.  ``options`` of ssh go before the lab's own and win.

    Close it when done: it holds a connection.
    """

    def __init__(self, options: Sequence[str], host: str) -> None:
        self._sockets = tempfile.TemporaryDirectory(prefix=f"{_SOCKETS}{os.getpid()}-")
        self._ssh = ["ssh", *options, "-o", "ControlMaster=auto", "-o", "ControlPersist=yes",
                     "-o", f"ControlPath={self._sockets.name}/c", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20",
                     "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=6", "-o", "LogLevel=ERROR", host]

    def run(self, argv: Sequence[str], *, timeout: float = DEFAULT_TIMEOUT_SECONDS, check: bool = True,
            stdin: bytes | None = None) -> Completed:
        limited = ["timeout", "-k", "10", f"{timeout:g}", *argv]
        completed = self._call(limited, argv, timeout, stdin)
        if completed.returncode == _SSH_FAILED and not self._answers():
            raise ConnectionLost(f"the machine no longer answers over ssh: {completed.stderr.strip() or 'no message'}")
        return checked(completed) if check else completed

    def get(self, folder: str, into: Path) -> None:
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile() as archive:
            command = [*self._ssh, "--", shlex.join(["sudo", "-n", "tar", "-C", folder, "-cf", "-", "."])]
            status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=archive, stderr=subprocess.PIPE,
                                    timeout=600, check=False)
            if status.returncode:
                raise ConnectionLost(f"{folder} could not be copied: {status.stderr.decode(errors='replace').strip()}")
            archive.seek(0)
            with tarfile.open(fileobj=archive) as tar:
                tar.extractall(into, filter="data")

    def hold(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Starts a command that lasts until its standard input is closed, or this process is gone."""
        return subprocess.Popen([*self._ssh, "--", shlex.join(["sudo", "-n", *argv])], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)

    def close(self) -> None:
        """Ends the connection.  May be called twice."""
        subprocess.run([*self._ssh[:-1], "-O", "exit", self._ssh[-1]], stdin=subprocess.DEVNULL,
                       capture_output=True, check=False, timeout=30)
        self._sockets.cleanup()

    def _call(self, limited: Sequence[str], argv: Sequence[str], timeout: float, stdin: bytes | None) -> Completed:
        began = time.monotonic()
        try:
            done = subprocess.run([*self._ssh, "--", shlex.join(["sudo", "-n", *limited])],
                                  input=stdin if stdin is not None else b"", capture_output=True, check=False,
                                  timeout=timeout + _GRACE_SECONDS)
        except subprocess.TimeoutExpired as error:
            return Completed(tuple(argv), None, _text(error.stdout), _text(error.stderr), time.monotonic() - began)
        seconds = time.monotonic() - began
        late = done.returncode in (_TIMED_OUT, _KILLED) and seconds >= timeout
        status = None if late else done.returncode
        return Completed(tuple(argv), status, _text(done.stdout), _text(done.stderr), seconds)

    def _answers(self) -> bool:
        return self._call(["timeout", "20", "true"], ["true"], 20, None).returncode == 0


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")
