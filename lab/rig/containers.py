"""The containers of a cell: idle ones on the storage under test, in which its work is done."""

from __future__ import annotations

from collections.abc import Sequence

from lab.readers.docker_json import parse_object
from lab.readers.fio.fields import get_count, get_number
from lab.rig.machine import GUEST_FOLDER, Machine
from lab.rig.storages.daemon import GUEST_TIMED, timed, timed_seconds
from lab.rig.storages.face import refuse_other_mount, rig_face
from lab.scenario.scenario import Cell
from lab.scenario.steps import FileTask

OUTPUT_FOLDER = "/run/lab"
"""In the machine's memory, so that no raw output lands on a disk under test."""

PREFIX = "lab-"
"""What the containers' names begin with."""

RUN_LIMIT_SECONDS = 300.0
"""How long the start or the end of something may take."""

_WORK_LIMIT_SECONDS = 900.0
_IDLE = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"


_OPTIONS = {"write": ("bytes", "files", "tag"), "update": ("bytes", "file", "seed"),
            "small_files": ("bytes", "files", "tag"), "log": ("bytes", "files"), "delete": ("file",)}
"""What work.py takes for each piece of work."""


class Containers:
    """The containers of one cell, of one image that the daemon has.  Times are the machine's own."""

    def __init__(self, machine: Machine, cell: Cell, image: str) -> None:
        self._machine = machine
        self._cell = cell
        self._face = rig_face(cell.storage.kind)
        self.image = image
        self.names: list[str] = []
        """Those that are there, in the order of their start."""

    def start(self, containers: int) -> float:
        """Starts idle containers.  Returns the seconds of all the ``docker run`` together."""
        seconds = 0.0
        for index in range(1, containers + 1):
            name = f"{PREFIX}{index}"
            seconds += timed(self._machine, [
                "docker", "run", "-d", "--name", name, "--network", "none", "--log-driver", "json-file",
                "-v", "/usr:/usr:ro", "-v", f"{GUEST_FOLDER}:{GUEST_FOLDER}:ro",
                "-v", f"{OUTPUT_FOLDER}:{OUTPUT_FOLDER}", *self.mounts(name), self.image,
                "/bin/sh", "-c", _IDLE,
            ], timeout=RUN_LIMIT_SECONDS)
            self.names.append(name)
        if (mount := self._face.container_mount(self._machine, self.names[0])) is not None:
            refuse_other_mount(self._machine, mount, self._cell.storage)
        return seconds

    def mounts(self, container: str) -> list[str]:
        """The arguments of ``docker run`` that give a container its volume, where the cell has volumes."""
        return ["-v", f"{self._volume(container)}:/data"] if self._cell.target == "volume" else []

    @staticmethod
    def _volume(container: str) -> str:
        return f"{container}-data"

    def exec(self, container: str, argv: Sequence[str]) -> str:
        """Runs a command in a container.  Returns what it printed."""
        return self._machine.run(["docker", "exec", container, *argv], timeout=_WORK_LIMIT_SECONDS).stdout

    def work(self, task: FileTask) -> tuple[float, int | None]:
        """Does it in every container, one after the other.  Returns its seconds and its bytes, if any."""
        given = {"bytes": task.amount_bytes, "files": task.files, "file": task.file, "tag": task.tag,
                 "seed": task.seed}
        arguments = [f"--{name}={given[name]}" for name in _OPTIONS[task.work]]
        seconds, written = 0.0, 0
        for container in self.names:
            said = self.exec(container, ["/usr/bin/python3", f"{GUEST_FOLDER}/work.py", task.work, *arguments])
            told = parse_object(said, f"work.py {task.work} in {container}")
            seconds += get_number(told, "seconds", f"work.py {task.work} in {container}")
            if told.get("application_bytes") is not None:
                written += get_count(told, "application_bytes", f"work.py {task.work} in {container}")
        return seconds, written or None

    def trim(self) -> tuple[float, dict[str, str]]:
        """fstrim of what the containers write to: their layers, or the volumes' file system.

        Returns its seconds, and what it said of each place.
        """
        if self._cell.target == "volume":
            places = [self._face.volumes_mount]
        else:
            own = [self._face.container_mount(self._machine, name) for name in self.names]
            places = list(dict.fromkeys(mount or self._face.layers_mount or "" for mount in own))
        seconds = 0.0
        said: dict[str, str] = {}
        for place in places:
            ran = self._machine.run(["bash", GUEST_TIMED, "fstrim", "-v", place], timeout=RUN_LIMIT_SECONDS)
            seconds += timed_seconds(ran.stderr)
            said[place] = ran.stdout.strip()
        return seconds, said

    def remove(self) -> float:
        """Removes the containers, and their volumes.  Returns the seconds."""
        seconds = timed(self._machine, ["docker", "rm", "-f", "-v", *self.names], timeout=RUN_LIMIT_SECONDS)
        if self._cell.target == "volume":
            volumes = [self._volume(name) for name in self.names]
            seconds += timed(self._machine, ["docker", "volume", "rm", *volumes], timeout=RUN_LIMIT_SECONDS)
        self.names.clear()
        return seconds

    def remove_image(self) -> float:
        """Removes the image.  Returns the seconds."""
        return timed(self._machine, ["docker", "rmi", "-f", self.image], timeout=RUN_LIMIT_SECONDS)
