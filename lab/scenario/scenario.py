"""What to do: a scenario file, its cells, and the key that tells whether a cell was measured already.

Frozen; unknown keys are refused; every complaint names ``file:line``, the value
and what would be allowed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    Tag,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from lab.errors import InputError
from lab.scenario.files import BOX_IMAGES as BOX_IMAGES
from lab.scenario.files import find_image, read_jobs
from lab.scenario.key import check_decided, content_of, setup_text
from lab.scenario.own_host import HostSpec as HostSpec
from lab.scenario.own_host import host_files, is_host
from lab.scenario.steps import Delete as Delete
from lab.scenario.steps import GiB, MiB, Part, Seconds, Size, Step, TiB, check_order
from lab.scenario.steps import Log as Log
from lab.scenario.steps import Pause as Pause
from lab.scenario.steps import Remove as Remove
from lab.scenario.steps import RemoveImage as RemoveImage
from lab.scenario.steps import SmallFiles as SmallFiles
from lab.scenario.steps import Start as Start
from lab.scenario.steps import Trim as Trim
from lab.scenario.steps import Update as Update
from lab.scenario.steps import Write as Write
from lab.scenario.storage import LABEL
from lab.scenario.storage import StorageSpec as StorageSpec
from lab.scenario.storage import Throttle as Throttle
from lab.scenario.yaml_text import as_input_error, check_keys, parse, problem, read_text, show
from lab.storages.metadata_size import kernel_rule_bytes
from lab.units import format_bytes

KEY_VERSION = 1
"""Part of every content key: raised when a cell of the same options would be measured in another way."""

Target = Literal["layer", "volume"]


class MachineSpec(Part):
    """The lab's own VM."""

    memory_bytes: Size = Field(default=2 * GiB, alias="memory", ge=512 * MiB, le=TiB)
    cpus: StrictInt = Field(default=2, ge=1, le=64)
    pool_disk_bytes: Size = Field(default=4 * GiB, alias="pool_disk", ge=GiB, le=16 * TiB)
    spare_disk_bytes: Size = Field(default=4 * GiB, alias="spare_disk", ge=GiB, le=16 * TiB)
    disks: Literal["full", "sparse"] = "full"
    """full: written once, the host ignores discards.  sparse: discards reach the host."""
    accelerator: Literal["auto", "kvm", "uml", "tcg"] = Field(default="auto", repr=False)
    """What the guest runs on; auto: the fastest that can do all that the scenario asks for.  No part of a key: a run
    goes on with what it began on."""

    def key_text(self) -> str:
        """What a set-up's key holds of it."""
        return setup_text(self)


class _Workload(Part):
    derived: ClassVar[frozenset[str]] = frozenset({"kind", "image_file", "image_sha256"})
    name: str = Field(pattern=LABEL)
    image: str = "lab/base:1"
    image_file: Path | None = None
    """The user's docker-archive file, absolute; None for an image of the box."""
    image_sha256: str | None = None
    targets: tuple[Target, ...] = Field(min_length=1)
    drop_caches: StrictBool = False


class FioWorkload(_Workload):
    derived = _Workload.derived | {"jobs_text", "sections"}
    kind: Literal["fio"] = "fio"
    jobs: Path = Field(alias="fio")
    jobs_text: str
    sections: tuple[str, ...]
    repeats: StrictInt = Field(default=1, ge=1, le=20)


class StepsWorkload(_Workload):
    """``drop_caches`` here holds for every step, besides each step's own."""

    kind: Literal["steps"] = "steps"
    steps: tuple[Step, ...] = Field(min_length=1)
    containers: StrictInt = Field(default=1, ge=1, le=64)
    rounds: StrictInt = Field(default=1, ge=1, le=1000)
    """How often the steps are done, each time with new containers: containers that come and go."""
    trace: StrictBool = False

    @model_validator(mode="after")
    def _in_order(self) -> StepsWorkload:
        check_order(self.steps, self.image)
        if self.rounds > 1:
            kinds = [step.kind for step in self.steps]
            if "remove" not in kinds or "remove_image" in kinds:
                raise problem("with rounds the steps must remove their containers and keep the image", key="rounds",
                              remedy="add the step remove, and leave out remove_image")
            if self.trace:
                raise problem("a trace is of one round", key="trace", remedy="trace in a workload without rounds")
        return self


class CommandWorkload(_Workload):
    kind: Literal["command"] = "command"
    command: tuple[str, ...] = Field(min_length=1)
    timeout_seconds: Seconds = Field(default=300.0, alias="timeout", gt=0, le=86_400, allow_inf_nan=False)


_WORKLOADS: dict[str, type[FioWorkload | StepsWorkload | CommandWorkload]] = {
    "fio": FioWorkload, "steps": StepsWorkload, "command": CommandWorkload,
}


def _workload(raw: Any, info: ValidationInfo) -> Any:
    """Picks the kind of a workload read from a file, and reads the files that it names."""
    source: _Source | None = info.context
    if source is None:
        return raw
    kinds = [kind for kind in _WORKLOADS if isinstance(raw, dict) and kind in raw]
    if len(kinds) > 1:
        raise problem(f"a workload has one of fio, steps, command; here are {' and '.join(kinds)}", key=kinds[1])
    if not kinds:
        every = dict.fromkeys(key for model in _WORKLOADS.values() for key in model.keys())  # noqa: SIM118 - a model's keys, no dict's
        check_keys(raw, every, "a workload")
        raise problem("a workload needs one of fio, steps, command")
    kind = kinds[0]
    given = {"targets": source.targets, **check_keys(raw, _WORKLOADS[kind].keys(), f"a {kind} workload"), "kind": kind}
    if kind == "fio":
        jobs, text, sections = read_jobs(given["fio"], source.folder, "fio", source.stored_jobs)
        given |= {"fio": jobs, "jobs_text": text, "sections": sections}
    if (image := find_image(given.get("image", BOX_IMAGES[0]), source.folder)) is not None:
        given["image_file"], given["image_sha256"] = image
    return given


def _kind_tag(value: Any) -> str | None:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return f"<{kind}>"      # no key of a file, so that it cannot pass for one in a location


Workload = FioWorkload | StepsWorkload | CommandWorkload
_AnyWorkload = Annotated[
    Annotated[FioWorkload, Tag("<fio>")] | Annotated[StepsWorkload, Tag("<steps>")]
    | Annotated[CommandWorkload, Tag("<command>")],
    Discriminator(_kind_tag),
]


AnyMachine = MachineSpec | HostSpec


@dataclass(frozen=True)
class _Source:
    """What the validators need to know of the file that they validate."""

    folder: Path
    targets: list[str]
    """Those of the scenario, for workloads that name none."""
    stored_jobs: Mapping[str, str] | None = None
    """The texts of job files, by the names that the scenario has for them; None where they lie beside it."""


@dataclass(frozen=True)
class Cell:
    """One storage x target x workload."""

    id: str
    storage: StorageSpec
    target: Target
    workload: Workload

    def content_key(self, machine: AnyMachine, seed: int, repetition: int, box_hash: str) -> str:
        """16 hexadecimal digits that change with everything that decides the cell's result, and with nothing else.

        Raises TypeError for a field of which ``lab.scenario.key`` does not say whether it does.
        """
        check_decided("Cell", [field.name for field in fields(self)])
        content = {
            "version": KEY_VERSION,
            "storage": content_of(self.storage),
            "target": self.target,
            "workload": content_of(self.workload),
            "machine": machine.key_content() if isinstance(machine, HostSpec) else content_of(machine),
            "seed": seed,
            "repetition": repetition,
            "box": box_hash,
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Scenario(Part):
    derived: ClassVar[frozenset[str]] = frozenset({"path", "text", "sha256"})
    name: str = Field(pattern=LABEL)
    question: str = Field(min_length=1, max_length=2000)
    seed: StrictInt = Field(ge=0, le=2**63 - 1)
    repetitions: StrictInt = Field(default=1, ge=1, le=100)
    machine: Annotated[
        Annotated[MachineSpec, Tag("<vm>")] | Annotated[HostSpec, Tag("<host>")],
        Discriminator(lambda value: "<host>" if is_host(value) else "<vm>"),
        BeforeValidator(lambda raw, info: _machine(raw, info)),
    ] = MachineSpec()
    storages: tuple[StorageSpec, ...] = Field(min_length=1)
    targets: tuple[Target, ...] = Field(min_length=1)
    workload: tuple[Annotated[_AnyWorkload, BeforeValidator(_workload)], ...] = Field(min_length=1)
    path: Path
    text: str
    """The file, verbatim."""
    sha256: str

    @model_validator(mode="after")
    def _fits_together(self) -> Scenario:
        _no_twice(("storages",), "label", [spec.label for spec in self.storages])
        _no_twice(("targets",), "target", self.targets)
        _no_twice(("workload",), "name", [item.name for item in self.workload])
        for number, item in enumerate(self.workload):
            if item.name == "setup":
                raise problem("'setup' is the name of the lab's own rows; choose another",
                              key=("workload", number, "name"))
            _no_twice(("workload", number, "targets"), "target", item.targets)
        for number, spec in enumerate(self.storages):
            _metadata_fits(spec, self.machine, ("storages", number))
            if spec.throttle is not None and isinstance(self.machine, HostSpec):
                raise problem("throttle is QEMU's, and a host's own disk has none",
                              key=("storages", number, "throttle"), remedy="delete it, or name no ssh host")
        return self

    def cells(self) -> tuple[Cell, ...]:
        """Storage by storage, in the order of the file."""
        return tuple(
            Cell(f"{spec.label}.{target}.{item.name}", spec, target, item)
            for spec in self.storages for item in self.workload for target in item.targets
        )


def _machine(raw: Any, info: ValidationInfo) -> Any:
    """Refuses unknown keys and those of the other kind of machine, and finds the files that a host's block names."""
    source: _Source | None = info.context
    if source is None:
        return raw
    mine, other, advice = MachineSpec.keys(), HostSpec.keys(), "is for a host of your own, which `ssh: user@host` names"
    if is_host(raw):
        mine, other, advice = other, mine, "is for the lab's own VM; a host is taken as it is"
    for key in raw if isinstance(raw, dict) else ():
        if key in other and key not in mine:
            raise problem(f"{key} {advice}; allowed here: {', '.join(mine)}", key=key)
    given = check_keys({} if raw is None else raw, mine, "a machine")
    return given | host_files(given, source.folder) if is_host(raw) else given


def _no_twice(key: tuple[str | int, ...], what: str, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            remedy = "give one of them a label, as in {storage: direct-lvm, label: direct-64k}"
            raise problem(f"{what} {name!r} stands there twice; allowed once", key=(*key, number, what),
                          remedy=remedy if what == "label" else None)


def _metadata_fits(spec: StorageSpec, machine: AnyMachine, key: tuple[str | int, ...]) -> None:
    if isinstance(machine, HostSpec):
        return      # the size of its disk is not known here
    if spec.data_percent is None or spec.metadata_percent is None or spec.chunk_size_bytes is None:
        return
    data = machine.pool_disk_bytes * spec.data_percent // 100
    metadata = machine.pool_disk_bytes * spec.metadata_percent // 100
    blocks = data // spec.chunk_size_bytes
    if not blocks:
        raise problem(f"{spec.label}: pool data of {format_bytes(data)} holds no chunk of "
                      f"{format_bytes(spec.chunk_size_bytes)}", key=key)
    needed = kernel_rule_bytes(data, spec.chunk_size_bytes)
    if metadata < needed:
        raise problem(f"{spec.label}: metadata_percent {spec.metadata_percent} gives {format_bytes(metadata)}; "
                      f"{blocks} chunks need at least {format_bytes(needed)}", key=key,
                      remedy="raise metadata_percent or chunk_size")


def load_scenario(path: Path) -> Scenario:
    """The scenario in the file.  Raises InputError, and nothing else, for whatever else the file holds."""
    return scenario_from(read_text(path, "scenario"), path)


def scenario_from(text: str, path: Path, stored_jobs: Mapping[str, str] | None = None) -> Scenario:
    """The scenario of that text; ``path`` is where it stands, and what relative names are below.

    ``stored_jobs``: the texts of job files by the names that the scenario has for them, where a run keeps them.
    Raises InputError, and nothing else, for whatever else the text is.
    """
    document = parse(text, path)
    if not isinstance(document.data, dict):
        raise InputError(f"the file is no mapping but {show(document.data)}; it takes {', '.join(Scenario.keys())}",
                         where=document.where())
    raw = document.data
    listed = raw.get("targets")
    targets = [item for item in listed if item in ("layer", "volume")] if isinstance(listed, list) else []
    source = _Source(path.parent, targets or ["layer"], stored_jobs)
    try:
        check_keys(raw, Scenario.keys(), "a scenario")
        derived = {"path": path, "text": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        return Scenario.model_validate({**raw, **derived}, context=source)
    except PydanticCustomError as error:
        raise InputError(str(error), where=document.where((error.context or {})["key"])) from None
    except ValidationError as error:
        raise as_input_error(error, document) from None
