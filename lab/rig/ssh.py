"""Commands in a machine over OpenSSH, all through one connection (ControlMaster)."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from lab.errors import ConnectionLost, OutputRefused
from lab.rig.archive import unpack
from lab.rig.machine import DEFAULT_TIMEOUT_SECONDS, Completed, checked

_SSH_FAILED = 255
_TIMED_OUT = 124            # of timeout(1)
_KILLED = 137               # of timeout(1), where the command ignored its TERM
_GRACE_SECONDS = 20.0
_GET_SECONDS = 600.0
_CLOSE_SECONDS = 30.0
_TAIL_BYTES = 2**16
OUTPUT_BYTES = 64 * 2**20
"""What is kept of either output of a command; and of what comes after, the last 64 to 128 KiB."""

_SOCKETS = "lab-ssh-"       # in the folder for temporary files: a socket's path must stay short


def sweep_sockets() -> None:
    """Removes the socket folders of this user's `lab` processes that were killed; what others have there stays."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            owner = entry.name.removeprefix(_SOCKETS).partition("-")[0]
            if entry.name.startswith(_SOCKETS) and owner.isascii() and owner.isdigit():
                with suppress(OSError):
                    ours = entry.is_dir(follow_symlinks=False) and (
                        entry.stat(follow_symlinks=False).st_uid == os.getuid())
                    if ours and not Path("/proc", owner).exists():
                        shutil.rmtree(entry.path, ignore_errors=True)


class SshMachine:
    """The machine behind ``host``; commands run as root by sudo.  ``options`` of ssh go before the lab's own and win.

    Close it when done: it holds a connection.
    """

    def __init__(self, options: Sequence[str], host: str) -> None:
        self._sockets = tempfile.TemporaryDirectory(prefix=f"{_SOCKETS}{os.getpid()}-")
        self._boot: str | None = None
        self._ssh = ["ssh", *options, "-o", "ControlMaster=auto", "-o", "ControlPersist=yes",
                     "-o", f"ControlPath={self._sockets.name}/c", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20",
                     "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=6", "-o", "LogLevel=ERROR", host]

    def run(self, argv: Sequence[str], *, timeout: float = DEFAULT_TIMEOUT_SECONDS, check: bool = True,
            stdin: bytes | None = None) -> Completed:
        if self._boot is None:
            self._boot = self._boot_id()
        limited = ["timeout", "-k", "10", f"{timeout:g}", *argv]
        completed = self._call(limited, argv, timeout, stdin)
        failed = completed.returncode not in (0, None)
        if failed and (check or completed.returncode == _SSH_FAILED) and not self._answers():
            raise ConnectionLost(f"the machine no longer answers over ssh: {completed.stderr.strip() or 'no message'}")
        return checked(completed) if check else completed

    def get(self, folder: str, into: Path) -> None:
        into.mkdir(parents=True, exist_ok=True)
        command = [*self._ssh, "--", shlex.join(["sudo", "-n", "tar", "-C", folder, "-cf", "-", "."])]
        refused: OutputRefused | None = None
        late = threading.Event()
        with _ended(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE)) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            said = _Kept(process.stderr)

            def end() -> None:
                late.set()
                process.kill()

            clock = threading.Timer(_GET_SECONDS, end)
            clock.start()
            try:
                try:
                    unpack(process.stdout, into)
                except OutputRefused as error:
                    refused = error
                    with suppress(subprocess.TimeoutExpired):   # it may be the end of ssh that cut the archive off
                        process.wait(1)
                    process.kill()
                status = process.wait()
            finally:
                clock.cancel()
            message = said.text().strip()
        if (status > 0 or late.is_set()) and not self._answers():
            raise ConnectionLost(f"{folder} could not be copied: {message or 'no message'}")
        if late.is_set():
            raise OutputRefused(f"{folder} could not be copied within {_GET_SECONDS:g} s")
        if status > 0:
            raise OutputRefused(f"{folder} could not be copied: {message or f'tar ended with status {status}'}")
        if refused is not None:
            raise OutputRefused(f"{folder} could not be copied: {refused.message}")

    def hold(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Starts a command that lasts until its standard input is closed, or this process is gone."""
        return subprocess.Popen([*self._ssh, "--", shlex.join(["sudo", "-n", *argv])], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)

    def close(self) -> str | None:
        """Ends the connection.  May be called twice.  Returns what is to be said where it does not end."""
        said = None
        try:
            subprocess.run([*self._ssh[:-1], "-O", "exit", self._ssh[-1]], stdin=subprocess.DEVNULL,
                           capture_output=True, check=False, timeout=_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            said = "the ssh connection to the machine does not end when it is told to: left to end by itself"
        except OSError as error:
            said = f"the ssh connection to the machine could not be ended: {error.strerror}"
        with suppress(OSError):
            self._sockets.cleanup()
        return said

    def _call(self, limited: Sequence[str], argv: Sequence[str], timeout: float, stdin: bytes | None) -> Completed:
        began = time.monotonic()
        command = [*self._ssh, "--", shlex.join(["sudo", "-n", *limited])]
        with _ended(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE)) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            out, err = _Kept(process.stdout), _Kept(process.stderr)
            giving = threading.Thread(target=_give, args=(process.stdin, stdin or b""), daemon=True)
            giving.start()
            try:
                status: int | None = process.wait(timeout + _GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                status = None
            giving.join(_GRACE_SECONDS)
            seconds = time.monotonic() - began
            told = out.text(), err.text()
        if status in (_TIMED_OUT, _KILLED) and seconds >= timeout:
            status = None
        return Completed(tuple(argv), status, *told, seconds, cut=bool(out.dropped or err.dropped))

    def _answers(self) -> bool:
        """Whether it answers, and is not booted anew: a quick reboot looks like a command that failed."""
        boot = self._boot_id()
        return boot is not None and self._boot in (None, boot)

    def _boot_id(self) -> str | None:
        """What tells one boot of its kernel from another; None where it does not answer."""
        command = ["cat", "/proc/sys/kernel/random/boot_id"]
        told = self._call(["timeout", "20", *command], command, 20, None)
        return told.stdout if told.returncode == 0 else None


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, killed where the block does not end well, as by ^C; its pipes are closed."""
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


class _Kept:
    """What comes out of a pipe, read at once so that nobody waits: its begin and its end, where it is too much."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.dropped = 0
        self._head, self._tail = bytearray(), bytearray()
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError, ValueError):         # closed meanwhile
            while piece := os.read(self._pipe.fileno(), 2**16):
                room = max(OUTPUT_BYTES - len(self._head), 0)
                self._head += piece[:room]
                self._tail += piece[room:]
                if len(self._tail) > 2 * _TAIL_BYTES:
                    self.dropped += len(self._tail) - _TAIL_BYTES
                    del self._tail[:-_TAIL_BYTES]

    def text(self) -> str:
        """All of it, or begin and end with a line between them that says how much is left out."""
        self._thread.join(_GRACE_SECONDS)
        between = f"\n[{self.dropped} bytes are left out here]\n".encode() if self.dropped else b""
        return bytes(self._head + between + self._tail).decode(errors="replace")


def _give(pipe: IO[bytes], data: bytes) -> None:
    with suppress(OSError, ValueError):             # a command that does not read all of it
        pipe.write(data)
    with suppress(OSError, ValueError):
        pipe.close()
