#!/usr/bin/env python3
"""Machines without KVM: chooses the accelerator, and keeps a guest of user-mode Linux with its network.

    uml.py choose WANTED MEMORY_MIB [BEYOND]
        WANTED: auto, kvm, tcg or uml.  BEYOND: what user-mode Linux cannot do of what is wanted, for a person.
        Prints a line of JSON: accelerator, why, kernel
    uml.py start UUID FOLDER
        starts the machine that FOLDER/uml.json describes; returns when it runs

`start` leaves a keeper behind, whose process id is FOLDER/qemu.pid, as QEMU's would be.  The keeper is the parent of
the guest's kernel and of a QEMU that is nothing but user-mode networking.  When one of the two ends it ends the other,
and every process of the guest; when the keeper itself is killed, both end with it.

FOLDER/uml.json: memory_mib, kernel (a folder of get-kernel.py), disks (names, in their order; the first is "root"),
root (the box's raw disk, which stays as it is), port (of ssh on 127.0.0.1; 0: a free one), full (whether the disks were
written full and must stay so).  Exit status: 0, or 3 with the reason on stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from errno import EOPNOTSUPP
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEMORY_FOLDER = Path("/dev/shm")
SPARE_MIB = 64
"""Memory beside the guest's own that must be free where it lies."""
TRIALS = 3

# ---- which accelerator -------------------------------------------------------------------------


def choose(wanted: str, memory_mib: int, beyond: str = "") -> dict[str, str | None]:
    """The accelerator, why it is that one, and the kernel's folder where it is uml.  Raises Failure.

    ``beyond`` is what user-mode Linux cannot do of what is wanted; empty where it can do all.
    """
    lacks_kvm = why_not_kvm()
    if wanted == "kvm" and lacks_kvm:
        raise Failure(f"KVM cannot be used: {lacks_kvm}")
    if wanted == "kvm" or (wanted == "auto" and not lacks_kvm):
        return {"accelerator": "kvm", "why": "the processor runs the guest", "kernel": None}
    if wanted == "tcg":
        return {"accelerator": "tcg", "why": "software emulation was asked for", "kernel": None}
    kernel, lacks_uml = (None, beyond) if beyond else usable_kernel(memory_mib)
    if not lacks_uml:
        return {"accelerator": "uml", "why": "asked for by name" if wanted == "uml" else
                f"user-mode Linux, several times faster than emulation; no KVM: {lacks_kvm}", "kernel": kernel}
    if wanted == "uml":
        raise Failure(f"user-mode Linux cannot be used: {lacks_uml}")
    return {"accelerator": "tcg", "why": f"software emulation; no KVM: {lacks_kvm}; no user-mode Linux: {lacks_uml}",
            "kernel": None}


def why_not_kvm() -> str:
    """Empty where KVM can be used.  A /dev/kvm without vmx or svm is a software scheme that emulation beats."""
    flags = [line.split() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")]
    if not flags or not {"vmx", "svm"} & set(flags[0]):
        return "the processor shows neither vmx nor svm"
    return "" if os.access("/dev/kvm", os.W_OK) else "/dev/kvm is not writable"


def usable_kernel(memory_mib: int) -> tuple[str | None, str]:
    """The kernel's folder, and what stands in the way of a guest of that size; empty where nothing does."""
    asked = subprocess.run([sys.executable, str(HERE / "get-kernel.py"), "--path"], capture_output=True, text=True,
                           check=False)
    if asked.returncode:
        return None, "its kernel is not there; `lab doctor --install` fetches it"
    kernel = asked.stdout.strip()
    if not MEMORY_FOLDER.is_dir():
        return kernel, f"{MEMORY_FOLDER}, where its memory would lie, is missing"
    free = shutil.disk_usage(MEMORY_FOLDER).free >> 20
    if free < memory_mib + SPARE_MIB:
        return kernel, (f"{MEMORY_FOLDER} has {free} MiB free, and a machine of {memory_mib} MiB keeps its memory "
                        f"there; `mount -o remount,size={memory_mib + 512}M {MEMORY_FOLDER}` makes room")
    return kernel, trial(kernel)


def trial(kernel: str) -> str:
    """What keeps the kernel from running, or nothing.

    One start in a hundred ends in an oops before the kernel has said its name, so that it is tried up to ``TRIALS``
    times.
    """
    for _ in range(TRIALS):
        fault = try_once(kernel)
        if not fault:
            break
    return fault


def try_once(kernel: str) -> str:
    """Starts the kernel for the moment until it finds no root disk.  What kept it from running, or nothing."""
    try:
        done = subprocess.run(["./linux", "mem=32M", "seccomp=on", "con=null", "con0=null,fd:1", "ssl=null",
                               "uml_dir=/dev/null", "root=none"], cwd=kernel, env=environment(), timeout=20,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False, preexec_fn=leave_no_core)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"its kernel does not start: {error}"
    said = (done.stdout + done.stderr).decode(errors="replace")
    if "seccomp filters can be installed...OK" in said and "Linux version" in said:
        return ""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return f"its kernel does not start here: {lines[-1] if lines else 'no output'}"


def environment() -> dict[str, str]:
    """The kernel's own C library, and where its memory lies."""
    return {"LD_LIBRARY_PATH": "lib", "TMPDIR": str(MEMORY_FOLDER), "HOME": "/", "PATH": os.environ.get("PATH", "")}


# ---- the keeper --------------------------------------------------------------------------------


class Failure(Exception):
    """What stands in the way, for a person."""


def start(uuid: str, folder: Path) -> None:
    """Starts the keeper and waits until the guest's kernel and its network run.  Raises Failure."""
    reading, writing = os.pipe()
    with (folder / "keeper.log").open("wb") as log:
        subprocess.Popen([sys.executable, str(Path(__file__).resolve()), "keep", uuid, str(folder), str(writing)],
                         cwd=folder, pass_fds=[writing], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                         start_new_session=True)
    os.close(writing)
    with os.fdopen(reading) as answer:
        told = answer.read().strip()
    if told != "running":
        raise Failure(told or f"the keeper of the machine ended: {(folder / 'keeper.log').read_text().strip()[-500:]}")


def keep(uuid: str, folder: Path, answer: int) -> int:
    """The keeper: the parent of both processes until one of them ends.

    Its folder is the working directory of all, and every path is relative: none can be too long for a socket.
    ``answer`` is where the starter listens until the machine runs.
    """
    os.set_inheritable(answer, False)
    leave_no_core()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ended)
    children: list[subprocess.Popen[bytes]] = []
    try:
        wanted = json.loads(Path("uml.json").read_text())
        for link, target in (("lib", "lib"), ("modules", "modules"), ("initrd", "initrd"), ("linux", "linux")):
            relink(Path(link), Path(wanted["kernel"]) / target)
        relink(Path("root.raw"), Path(wanted["root"]))
        Path("qmp.sock").unlink(missing_ok=True)        # of a keeper that was killed: it would pass for a network
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        children.append(start_network(uuid, wanted["port"], ours))
        wait_for_network(children[0])
        children.append(start_kernel(uuid, wanted, theirs))
        ours.close()
        theirs.close()
        Path("qemu.pid").write_text(f"{os.getpid()}\n")
        starter, answer = answer, -1
        os.write(starter, b"running")
        os.close(starter)
        os.wait()
    except (OSError, ValueError, KeyError, Failure) as error:
        if answer < 0:
            print(f"uml.py: {error}", file=sys.stderr)
        else:
            os.write(answer, f"{error}".encode())
        return 3
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for child in children:
            end_session(child)
        shutil.rmtree(uuid, ignore_errors=True)         # the kernel's own folder, with its console's socket
        for left in ("qmp.sock", "qemu.pid"):
            Path(left).unlink(missing_ok=True)
    return 0


def _ended(_number: int, _frame: object) -> None:
    raise Failure("ended by a signal")


def relink(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def start_network(uuid: str, port: int, end: socket.socket) -> subprocess.Popen[bytes]:
    """A QEMU without a processor: its user-mode networking alone, one end of the pair its only wire."""
    command = ["qemu-system-x86_64", "-name", f"network-{uuid}", "-uuid", uuid, "-M", "none", "-nodefaults",
               "-display", "none", "-m", "1", "-qmp", "unix:qmp.sock,server=on,wait=off",
               "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22",
               "-netdev", "hubport,id=h1,hubid=0,netdev=net",
               "-netdev", f"dgram,id=wire,local.type=fd,local.str={end.fileno()}",
               "-netdev", "hubport,id=h2,hubid=0,netdev=wire"]
    keeper = os.getpid()
    with open("network.log", "wb") as log:
        return subprocess.Popen(command, pass_fds=[end.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                start_new_session=True, preexec_fn=lambda: end_with_parent(keeper))


def wait_for_network(network: subprocess.Popen[bytes]) -> None:
    """Until its monitor greets.  Raises Failure with what it said where it ends.

    The monitor's socket is there before the port of ssh is taken, and the greeting comes after.
    """
    deadline = time.monotonic() + 20
    while not greets(Path("qmp.sock"), deadline - time.monotonic()):
        if network.poll() is not None or time.monotonic() > deadline:
            raise Failure(f"the network does not start: {Path('network.log').read_text(errors='replace').strip()}")
        time.sleep(0.02)


def greets(monitor: Path, limit: float) -> bool:
    """Whether a QEMU greets on that socket within so many seconds."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(max(limit, 0.01))
        try:
            client.connect(str(monitor))
            return client.recv(4096).lstrip().startswith(b'{"QMP"')
        except OSError:
            return False


def start_kernel(uuid: str, wanted: dict, end: socket.socket) -> subprocess.Popen[bytes]:
    """The guest's kernel, on one processor: it knows one only, and its processes change places on it all the time."""
    root, *names = wanted["disks"]
    command = ["./linux", f"mem={wanted['memory_mib']}M", "uml_dir=./", f"umid={uuid}", "initrd=initrd", "seccomp=on",
               f"ubd0={root}.cow,{root}.raw", *(f"ubd{number}={name}.raw" for number, name in enumerate(names, 1)),
               f"lab.disks={','.join([root, *names])}", f"vec0:transport=fd,fd={end.fileno()},mac=52:54:00:12:34:56",
               "hostfs=/proc/self/cwd/modules", "con=null", "con0=null,fd:1", "ssl=null", "console=tty0",
               "security=none", "net.ifnames=0"]
    processor = {max(os.sched_getaffinity(0))}
    full: bool = wanted["full"]
    keeper = os.getpid()

    def before() -> None:
        end_with_parent(keeper)
        os.sched_setaffinity(0, processor)
        if full:
            keep_disks_full()

    with open("console.log", "ab") as log:
        return subprocess.Popen(command, pass_fds=[end.fileno()], env=environment(), stdin=subprocess.DEVNULL,
                                stdout=log, stderr=log, start_new_session=True, preexec_fn=before)


def end_session(child: subprocess.Popen[bytes]) -> None:
    """Ends a child and all processes of its session: those of the guest are such, each a process of the host."""
    for _ in range(100):
        left = [pid for pid in processes() if session_of(pid) == child.pid]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if child.poll() is not None and not left:
            return
        time.sleep(0.02)


def processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def session_of(pid: int) -> int | None:
    """The session of a process that is no zombie."""
    try:
        state, _, _, session = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[:4]
    except OSError:
        return None
    return None if state == "Z" else int(session)


# ---- the kernel of the host --------------------------------------------------------------------

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 38, 22
libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, first: int, second: object = 0) -> None:
    if libc.prctl(option, ctypes.c_ulong(first), second, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def end_with_parent(parent: int) -> None:
    """Has the host end this process with its parent, or ends it now where that parent is gone already."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def leave_no_core() -> None:
    """Has this process and all that it starts leave no core file: one would hold the guest's memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Instruction(ctypes.Structure):
    """sock_filter of linux/filter.h."""

    _fields_ = (("code", ctypes.c_ushort), ("true", ctypes.c_ubyte), ("false", ctypes.c_ubyte), ("k", ctypes.c_uint))


class Filter(ctypes.Structure):
    """sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(Instruction)))


def keep_disks_full() -> None:
    """Has the host answer that a hole was punched, and punch none; and that it cannot zero a range without writing.

    That holds for this process from now on.  The guest's kernel turns a discard into
    fallocate(PUNCH_HOLE | KEEP_SIZE).  A disk that was written full must stay so, and the guest must be offered
    discards all the same, as QEMU's discard=ignore does.  Zeroes that the guest asks for are
    fallocate(ZERO_RANGE | KEEP_SIZE).  The host would only note them, and pay at the next write.  To answer 0 would be
    wrong data; after EOPNOTSUPP the guest's disk offers no zeroes any more, and the guest writes them.
    """
    load, jump_if_equal, answer = 0x20, 0x15, 0x06
    fallocate, punch_hole_keep_size, zero_range_keep_size, architecture = 285, 0x03, 0x11, 0xC000003E
    allow, errno = 0x7FFF0000, 0x00050000
    program = [(load, 0, 0, 4), (jump_if_equal, 0, 5, architecture), (load, 0, 0, 0),
               (jump_if_equal, 0, 3, fallocate), (load, 0, 0, 16 + 8),
               (jump_if_equal, 2, 0, punch_hole_keep_size), (jump_if_equal, 2, 0, zero_range_keep_size),
               (answer, 0, 0, allow), (answer, 0, 0, errno), (answer, 0, 0, errno | EOPNOTSUPP)]
    instructions = (Instruction * len(program))(*(Instruction(*words) for words in program))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_SECCOMP, 2, ctypes.byref(Filter(len(program), instructions)))


def main(arguments: list[str]) -> int:
    try:
        if len(arguments) in (3, 4) and arguments[0] == "choose" and arguments[1] in ("auto", "kvm", "tcg", "uml"):
            print(json.dumps(choose(arguments[1], int(arguments[2]), *arguments[3:])))
            return 0
        if len(arguments) == 3 and arguments[0] == "start":
            start(arguments[1], Path(arguments[2]))
            return 0
        if len(arguments) == 4 and arguments[0] == "keep":
            return keep(arguments[1], Path(arguments[2]), int(arguments[3]))
    except (Failure, OSError) as error:
        print(f"uml.py: {error}", file=sys.stderr)
        return 3
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
