"""Drives one cell's workload, phase by phase, and leaves its raw output in a folder.

A phase is: caches dropped where asked; the work; ``sync``, timed apart; then a
boundary record of pool, file systems and daemon.  All times are the machine's own.
"""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lab.errors import CommandFailed, OutputRefused, RigError
from lab.readers.dmsetup import PoolStatus, parse_first_status
from lab.readers.fio.fields import get_field, get_number
from lab.readers.json_text import parse_json
from lab.readers.trace_case import INITIAL_DUMP
from lab.rig import trace
from lab.rig.containers import OUTPUT_FOLDER, PREFIX, RUN_LIMIT_SECONDS, Containers
from lab.rig.disks import Disks
from lab.rig.machine import GUEST_FOLDER, Machine, put
from lab.rig.storages.daemon import GUEST_TIMED, timed, timed_seconds, timed_span
from lab.rig.storages.face import rig_face
from lab.runs.raw_trace import BLKPARSE_FILE, Traced, write_case
from lab.scenario.phases import COMMAND, REMOVE, phase_name, step_phases
from lab.scenario.scenario import Cell, CommandWorkload, FioWorkload, StepsWorkload, Workload
from lab.scenario.steps import Step

_SAMPLES = f"{OUTPUT_FOLDER}/samples.jsonl"
_DROP_CACHES = "sync; echo 3 > /proc/sys/vm/drop_caches"


@dataclass
class Phase:
    """One phase as the raw folder holds it.  ``began`` and ``ended``: the machine's clock, seconds since 1970."""

    name: str
    kind: str
    began: float
    ended: float = 0.0
    duration_seconds: float | None = None
    sync_seconds: float | None = None
    application_bytes: int | None = None
    fio_file: str | None = None
    dropped_caches: bool = False
    detail: dict[str, Any] = field(default_factory=dict)


class CellDriver:
    """Runs one cell on a storage whose daemon is up, into a raw folder."""

    def __init__(self, machine: Machine, disks: Disks, cell: Cell, raw: Path, seed: int, *,
                 say: Callable[[str], None], host_allocated: Callable[[], int | None]) -> None:
        """``host_allocated`` tells the bytes that the pool disk occupies on the host, or None where they are fixed."""
        self._machine = machine
        self._disks = disks
        self._cell = cell
        self._raw = raw
        self._seed = seed
        self._say = say
        self._host_allocated = host_allocated
        self._phases: list[Phase] = []
        self._boundaries: list[str] = []
        self._boundary_ended = 0.0
        self._tracing = False
        self._traced: Traced | None = None
        self._traced_device = ""

    def run(self) -> None:
        """The whole cell.  Whatever was written until an error stays in the raw folder."""
        workload = self._cell.workload
        clean(self._machine)
        self._containers = Containers(self._machine, self._cell, self._load(workload))
        try:
            with self._sampler():
                if isinstance(workload, FioWorkload):
                    self._fio(workload)
                elif isinstance(workload, StepsWorkload):
                    self._steps(workload)
                else:
                    self._command(workload)
            self._thin_dump()
        finally:
            self._write()
        if self._traced is not None:
            write_case(self._raw)
        clean(self._machine)

    # -- workloads ---------------------------------------------------------------

    def _fio(self, workload: FioWorkload) -> None:
        job_file = f"{OUTPUT_FOLDER}/jobs.fio"
        put(self._machine, job_file, workload.jobs_text)
        self._containers.start(1)
        for repeat in range(1, workload.repeats + 1):
            for section in workload.sections:
                name = phase_name(section, repeat)
                with self._phase(name, "fio", workload.drop_caches) as phase:
                    phase.fio_file = f"fio-{name}.json"
                    output = f"{OUTPUT_FOLDER}/{phase.fio_file}"
                    log = f"{OUTPUT_FOLDER}/fio-{name}"
                    self._containers.exec(self._containers.names[0], [
                        "/usr/bin/fio", f"--section={section}", "--directory=/data", "--output-format=json+",
                        f"--output={output}", f"--randseed={self._seed + repeat}", "--log_avg_msec=1000",
                        f"--write_bw_log={log}", f"--write_iops_log={log}", f"--write_lat_log={log}", job_file,
                    ])

    def _steps(self, workload: StepsWorkload) -> None:
        for done in step_phases(workload.steps, workload.rounds):
            step = done.step
            self._say(f"{self._cell.id}: {done.name}")
            if self._tracing and step.kind in ("remove", "remove_image"):
                self._end_trace()
            with self._phase(done.name, step.kind, workload.drop_caches or step.drop_caches) as phase:
                self._step(workload, step, phase, done.nth)
            if workload.trace and step.kind == "start":
                self._begin_trace()
        if self._tracing:
            self._end_trace()

    def _begin_trace(self) -> None:
        device, thin, offset_bytes = trace.traced_device(
            self._machine, self._cell, self._containers.names[0], self._disks)
        device_id = None if thin is None else trace.thin_device_id(self._machine, thin)
        if thin is not None:
            self._thin_dump(INITIAL_DUMP)
        self._traced = Traced(thin, device_id, offset_bytes, len(self._phases), len(self._phases))
        self._tracing = True
        self._traced_device = device
        trace.start_trace(self._machine, device)

    def _end_trace(self) -> None:
        """Keeps the trace verbatim, and what was traced: the case is made of them when all of the cell is there."""
        assert self._traced is not None
        text = trace.stop_trace(self._machine, self._traced_device)
        self._tracing = False
        self._traced = replace(self._traced, end_phase=len(self._phases))
        folder = self._raw / "trace"
        folder.mkdir()
        _write_gz(folder / BLKPARSE_FILE, text.encode())
        if self._traced.thin is not None:
            (self._raw / INITIAL_DUMP).rename(folder / INITIAL_DUMP)

    def _step(self, workload: StepsWorkload, step: Step, phase: Phase, nth: int) -> None:
        if (task := step.task(nth, self._seed)) is not None:
            phase.duration_seconds, phase.application_bytes = self._containers.work(task)
        elif step.kind == "start":
            phase.duration_seconds = self._containers.start(workload.containers)
        elif step.kind == "trim":
            phase.duration_seconds, phase.detail = self._containers.trim()
        elif step.kind == "pause":
            time.sleep(step.seconds)
            phase.duration_seconds = step.seconds
        elif step.kind == "remove":
            phase.duration_seconds = self._containers.remove()
        else:
            phase.duration_seconds = self._containers.remove_image()

    def _command(self, workload: CommandWorkload) -> None:
        name = f"{PREFIX}1"
        with self._phase(COMMAND, "command", workload.drop_caches) as phase:
            ran = self._machine.run(
                ["bash", GUEST_TIMED, "docker", "run", "--name", name, "--network", "none",
                 *self._containers.mounts(name), self._containers.image, *workload.command],
                timeout=workload.timeout_seconds, check=False)
            self._containers.names.append(name)
            phase.detail = {"returncode": ran.returncode}
            (self._raw / "command-stdout.txt").write_text(ran.stdout, "utf-8")
            (self._raw / "command-stderr.txt").write_text(ran.stderr, "utf-8")
            if ran.returncode != 0:
                raise CommandFailed(workload.command, ran.returncode, ran.stdout, ran.stderr)
            phase.duration_seconds = timed_seconds(ran.stderr)
        with self._phase(REMOVE, "remove", False) as phase:
            phase.duration_seconds = timed(self._machine, ["docker", "rm", "-f", "-v", name],
                                           timeout=RUN_LIMIT_SECONDS)

    def _load(self, workload: Workload) -> str:
        """Loads the image unless the daemon has it: one of the box, or a user's archive.  Returns its name."""
        if workload.image_file is not None:
            archive = f"{OUTPUT_FOLDER}/image.tar"
            put(self._machine, archive, workload.image_file.read_bytes())
            said = self._machine.run(["docker", "load", "-i", archive], timeout=600).stdout
            self._machine.run(["rm", archive])
            names = [line.split(": ", 1)[1] for line in said.splitlines() if line.startswith("Loaded image")]
            if not names:
                raise RigError(f"{workload.image_file} holds no image: docker load said {said.strip()!r}",
                               remedy="make it with `docker save -o FILE IMAGE`")
            return names[0].strip()
        known = self._machine.run(["docker", "image", "inspect", "--format", "ok", workload.image], check=False)
        if known.returncode:
            load_image(self._machine, workload.image)
        return workload.image

    # -- recording ---------------------------------------------------------------

    @contextmanager
    def _phase(self, name: str, kind: str, drop_caches: bool) -> Iterator[Phase]:
        if drop_caches:
            self._machine.run(["sh", "-c", _DROP_CACHES])
        if not self._phases:
            self._boundary("begin")
        phase = Phase(name, kind, self._boundary_ended, dropped_caches=drop_caches)
        yield phase
        synced = self._machine.run(["bash", GUEST_TIMED, "sync"], timeout=RUN_LIMIT_SECONDS)
        began, phase.ended = timed_span(synced.stderr)
        phase.sync_seconds = phase.ended - began
        self._boundary(name)
        self._phases.append(phase)

    def _boundary(self, name: str) -> None:
        """What pool, file systems and daemon say between two phases.

        The daemon is not asked during a trace: to tell sizes it mounts the layer below the container's, and what the
        file system there writes takes data blocks that the trace does not tell of.
        """
        asked = [] if self._tracing else ["--docker"]
        taken = self._machine.run(["python3", f"{GUEST_FOLDER}/sampler.py", "--once", *asked,
                                   *sampler_places(self._cell, self._disks)])
        where = f"sampler.py after {name}"
        told = parse_json(taken.stdout, where)
        if not isinstance(told, dict):
            raise OutputRefused(f"{where}: {told!r:.60} is no object")
        self._boundary_ended = get_number(told, "ended", where)
        self._boundaries.append(json.dumps({"phase": name, "host_allocated": self._host_allocated(), **told}))

    @contextmanager
    def _sampler(self) -> Iterator[None]:
        self._machine.run(["systemd-run", "--quiet", "--unit=lab-sampler", "--collect", "python3",
                           f"{GUEST_FOLDER}/sampler.py", "--out", _SAMPLES, *sampler_places(self._cell, self._disks)])
        try:
            yield
        finally:
            self._machine.run(["systemctl", "stop", "lab-sampler.service"], check=False)

    def _thin_dump(self, file: str = "thin_dump.xml.gz") -> None:
        """The mappings of the whole pool, of a metadata snapshot: the pool goes on."""
        if not self._cell.storage.in_pool:
            return
        status = get_field(parse_json(self._boundaries[-1], "the last boundary"), "dmsetup", str, "the last boundary")
        pool = next((name for name, told in parse_first_status(status).items() if isinstance(told, PoolStatus)), None)
        if pool is None:
            raise OutputRefused("the machine shows no thin pool after the last phase")
        dump = self._machine.run(["bash", f"{GUEST_FOLDER}/thin-dump.sh", pool], timeout=RUN_LIMIT_SECONDS)
        _write_gz(self._raw / file, dump.stdout.encode())

    def _write(self) -> None:
        cell = self._cell
        with tempfile.TemporaryDirectory() as scratch:
            self._machine.get(OUTPUT_FOLDER, Path(scratch))
            for file in Path(scratch).iterdir():
                if file.is_file():
                    with file.open("rb") as content, gzip.GzipFile(self._raw / f"{file.name}.gz", "wb", mtime=0) as out:
                        shutil.copyfileobj(content, out)
        _write_gz(self._raw / "boundaries.jsonl.gz", ("\n".join(self._boundaries) + "\n").encode())
        (self._raw / "cell.json").write_text(json.dumps({
            "cell": cell.id, "storage": cell.storage.label, "kind": cell.storage.storage, "target": cell.target,
            "workload": cell.workload.name, "chunk_size_bytes": cell.storage.chunk_size_bytes,
            "phases": [asdict(phase) for phase in self._phases],
            "trace": None if self._traced is None else asdict(self._traced),
        }, indent=1) + "\n", "utf-8")


def sampler_places(cell: Cell, disks: Disks) -> list[str]:
    """The sampler's arguments: which disks and mount points to read for this storage."""
    face = rig_face(cell.storage.kind)
    places = ["--disk", f"pool={disks.pool}", "--disk", f"spare={disks.spare}",
              "--mount", f"volumes={face.volumes_mount}"]
    if (layers := face.layers_mount) is not None:
        places += ["--mount", f"layers={layers}"]
    if face.loop_folder is not None:
        places += ["--loops", face.loop_folder]
    return places


def clean(machine: Machine) -> None:
    """Removes the cell's containers and volumes, and the last cell's output."""
    machine.run(["bash", f"{GUEST_FOLDER}/clean.sh", PREFIX, OUTPUT_FOLDER], timeout=300)


def load_image(machine: Machine, image: str) -> float:
    """Loads an image of the box into the daemon.  Returns the seconds by the machine's clock."""
    archive = f"{GUEST_FOLDER}/images/{image.removeprefix('lab/').partition(':')[0]}.tar"
    return timed(machine, ["docker", "load", "-q", "-i", archive], timeout=600)


def _write_gz(path: Path, data: bytes) -> None:
    with gzip.GzipFile(path, "wb", mtime=0) as file:
        file.write(data)
