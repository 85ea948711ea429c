"""QEMU's monitor, played by a thread on a real socket: the limits it is given, and that it never keeps them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.errors import RigError
from lab.rig.vm.throttle import SOCKET, throttled
from lab.scenario.scenario import Throttle

SERIALS = {"device[0]": "root", "device[1]": "pool", "device[2]": "spare"}
LIMIT = Throttle.model_validate({"bandwidth_bytes": 4 * 2**20, "operations": 300})


class Qemu:
    """Answers as QEMU 7.2 does, one client after the other, with an event before each reply."""

    def __init__(self, folder: Path) -> None:
        self.limits: dict[str, tuple[int, int]] = {}
        self.history: list[dict[str, tuple[int, int]]] = []
        self.refuses = ""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(folder / SOCKET))
        self._socket.listen(4)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client, client.makefile("rw") as file:
                print(json.dumps({"QMP": {"version": {}, "capabilities": []}}), file=file, flush=True)
                for line in file:
                    print(json.dumps({"event": "RESUME", "timestamp": {}}), file=file)
                    print(json.dumps(self._reply(json.loads(line))), file=file, flush=True)
                self.history.append(dict(self.limits))

    def _reply(self, asked: dict[str, Any]) -> dict[str, Any]:
        told = asked["arguments"]
        if asked["execute"] == self.refuses:
            return {"error": {"class": "GenericError", "desc": "bps and iops and too large"}}
        if asked["execute"] == "qom-list":
            children = [{"name": name, "type": "child<virtio-blk-pci>"} for name in SERIALS]
            return {"return": [*children, {"name": "device[3]", "type": "child<virtio-rng-pci>"},
                               {"name": "type", "type": "string"}]}
        if asked["execute"] == "qom-get":
            return {"return": SERIALS[told["path"].rsplit("/", 1)[1]]}
        if asked["execute"] == "block_set_io_throttle":
            assert set(told) == {"id", "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"}
            name = told["id"].removesuffix("/virtio-backend").rsplit("/", 1)[1]
            self.limits[SERIALS[name]] = (told["bps"], told["iops"])
        return {"return": {}}


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[Qemu]:
    qemu = Qemu(tmp_path)
    yield qemu
    qemu.stop()


def test_both_disks_and_no_other_are_held_to_the_limit_and_let_go_afterwards(qemu: Qemu, tmp_path: Path) -> None:
    with throttled(tmp_path, ("pool", "spare"), LIMIT):
        assert qemu.limits == {"pool": (4 * 2**20, 300), "spare": (4 * 2**20, 300)}
    assert qemu.limits == {"pool": (0, 0), "spare": (0, 0)}


def test_the_disks_are_let_go_when_a_cell_fails(qemu: Qemu, tmp_path: Path) -> None:
    with pytest.raises(KeyError), throttled(tmp_path, ("pool",), LIMIT):
        raise KeyError
    assert qemu.limits == {"pool": (0, 0)}


def test_without_a_limit_qemu_is_not_even_asked(tmp_path: Path) -> None:
    with throttled(tmp_path, ("pool",), None):
        assert not (tmp_path / SOCKET).exists()


def test_a_limit_on_operations_alone_leaves_the_bandwidth_alone(qemu: Qemu, tmp_path: Path) -> None:
    with throttled(tmp_path, ("pool",), Throttle.model_validate({"operations": 50})):
        assert qemu.limits == {"pool": (0, 50)}


def test_a_disk_that_the_machine_has_not_is_named_with_those_that_it_has(qemu: Qemu, tmp_path: Path) -> None:
    with pytest.raises(RigError, match=r"'data'; it has \['pool', 'root', 'spare'\]"), \
            throttled(tmp_path, ("data",), LIMIT):
        pass


def test_what_qemu_refuses_is_told_in_its_words(qemu: Qemu, tmp_path: Path) -> None:
    qemu.refuses = "block_set_io_throttle"
    with pytest.raises(RigError, match="refuses block_set_io_throttle: bps and iops and too large"), \
            throttled(tmp_path, ("pool",), LIMIT):
        pass


def test_a_machine_that_is_gone_is_an_error_of_the_rig(tmp_path: Path) -> None:
    with pytest.raises(RigError, match=r"does not answer on .*qmp\.sock"), throttled(tmp_path, ("pool",), LIMIT):
        pass
