"""The steps of a container workload, and the order they can stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, ValidationInfo
from pydantic_core import PydanticCustomError

from lab.scenario.files import BOX_IMAGES
from lab.scenario.yaml_text import check_keys, nearest, problem, show
from lab.units import parse_duration, parse_size

KiB, MiB, GiB, TiB = 1024, 1024**2, 1024**3, 1024**4
UPDATE_STEP_BYTES = 4 * KiB
LARGE_FILE = "large.bin"
_WITH_LARGE_FILE = ("lab/app:1", "lab/large:1")
"""Images of the box that have the large file in /data, of 32 MiB and of 100 MiB."""


class Part(BaseModel):
    """Frozen; no unknown keys.  Sizes have the file's key as alias: ``amount`` becomes ``amount_bytes``."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    derived: ClassVar[frozenset[str]] = frozenset({"kind"})
    """Fields that no file can set."""

    @classmethod
    def keys(cls) -> list[str]:
        """The keys that a file can set."""
        return [item.alias or name for name, item in cls.model_fields.items() if name not in cls.derived]


def _size(raw: Any, info: ValidationInfo) -> Any:
    if isinstance(raw, str):
        try:
            return parse_size(raw if len(raw) <= 60 else show(raw, 60))
        except (ValueError, OverflowError) as error:
            raise problem(str(error)) from None
    if info.context is not None and raw is not None:
        raise problem(f"{show(raw)} has no unit; write a number and one of B, KiB, MiB, GiB, TiB, as in 512KiB")
    return raw


def _seconds(raw: Any, info: ValidationInfo) -> Any:
    if isinstance(raw, str):
        try:
            return parse_duration(raw if len(raw) <= 60 else show(raw, 60))
        except (ValueError, OverflowError) as error:
            raise problem(str(error)) from None
    if info.context is not None:
        raise problem(f"{show(raw)} has no unit; write a number and one of ms, s, min, h, d, as in 90s")
    return raw


Size = Annotated[StrictInt, BeforeValidator(_size)]
Seconds = Annotated[float, BeforeValidator(_seconds)]


@dataclass(frozen=True, slots=True)
class FileTask:
    """One piece of file work in each container, as the guest's ``work.py`` and the model's ``FileWork`` both do it.

    ``amount_bytes``: of all files together for ``write`` and ``update``, of each file or line for ``small_files`` and
    ``log``; ``files``: how many files or lines; ``file``: the one that is updated or deleted; ``tag``: what new files'
    names begin with.
    """

    work: Literal["write", "update", "small_files", "log", "delete"]
    amount_bytes: int = 0
    files: int = 1
    file: str = ""
    tag: str = ""
    seed: int = 0


class _Step(Part):
    frees: ClassVar[bool] = False
    """Whether the step gives space back."""

    drop_caches: StrictBool = False
    """Drop the machine's page cache before the step."""

    def task(self, nth: int, seed: int) -> FileTask | None:
        """Its file work, where it is the ``nth`` of its kind, counted from 1; None where it is none."""
        return None

    @property
    def written_bytes(self) -> int:
        """Bytes that each container's program writes, log lines aside."""
        return 0


class Start(_Step):
    """Starts the containers."""

    kind: Literal["start"] = "start"


class Write(_Step):
    """New files, ``amount_bytes`` in all."""

    kind: Literal["write"] = "write"
    amount_bytes: Size = Field(alias="amount", ge=1, le=TiB)
    files: StrictInt = Field(default=1, ge=1, le=100_000)

    def task(self, nth: int, seed: int) -> FileTask:
        """Its file work; ``nth`` counts its kind from 1."""
        return FileTask("write", self.amount_bytes, self.files, tag=f"written{nth}")

    @property
    def written_bytes(self) -> int:
        """Bytes that each container's program writes, log lines aside."""
        return self.amount_bytes // self.files * self.files


class Update(_Step):
    """In place, at random 4 KiB aligned places."""

    kind: Literal["update"] = "update"
    file: str = Field(default=LARGE_FILE, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$")
    amount_bytes: Size = Field(alias="amount", ge=UPDATE_STEP_BYTES, le=TiB)

    def task(self, nth: int, seed: int) -> FileTask:
        """Its file work; ``nth`` counts its kind from 1."""
        return FileTask("update", self.amount_bytes, file=self.file, seed=seed + nth)

    @property
    def written_bytes(self) -> int:
        """Bytes that each container's program writes, log lines aside."""
        return self.amount_bytes


class SmallFiles(_Step):
    """Many files of one length, a hundred a folder."""

    kind: Literal["small_files"] = "small_files"
    count: StrictInt = Field(ge=1, le=1_000_000)
    each_bytes: Size = Field(default=4 * KiB, alias="each", ge=1, le=64 * MiB)

    def task(self, nth: int, seed: int) -> FileTask:
        """Its file work; ``nth`` counts its kind from 1."""
        return FileTask("small_files", self.each_bytes, self.count, tag=f"small{nth}")

    @property
    def written_bytes(self) -> int:
        """Bytes that each container's program writes, log lines aside."""
        return self.count * self.each_bytes


class Log(_Step):
    """Lines to the container's standard output, which the daemon keeps."""

    kind: Literal["log"] = "log"
    lines: StrictInt = Field(ge=1, le=10_000_000)
    width: StrictInt = Field(default=100, ge=2, le=65_536)

    def task(self, nth: int, seed: int) -> FileTask:
        """Its file work; ``nth`` counts its kind from 1."""
        return FileTask("log", self.width, self.lines)


class Delete(_Step):
    """Removes what an earlier step wrote, or the image's large file."""

    frees = True
    kind: Literal["delete"] = "delete"
    what: Literal["written", "small_files", "large.bin"]

    def task(self, nth: int, seed: int) -> FileTask:
        """Its file work; ``nth`` counts its kind from 1."""
        return FileTask("delete", file="small" if self.what == "small_files" else self.what)


class Trim(_Step):
    """fstrim of what the containers write to."""

    frees = True
    kind: Literal["trim"] = "trim"


class Pause(_Step):
    """Nothing, for a while."""

    kind: Literal["pause"] = "pause"
    seconds: Seconds = Field(alias="duration", ge=0, le=86_400, allow_inf_nan=False)


class Remove(_Step):
    """Removes the containers with their volumes."""

    frees = True
    kind: Literal["remove"] = "remove"


class RemoveImage(_Step):
    """Removes the image."""

    frees = True
    kind: Literal["remove_image"] = "remove_image"


AnyStep = Start | Write | Update | SmallFiles | Log | Delete | Trim | Pause | Remove | RemoveImage
STEP_KINDS: dict[str, type[AnyStep]] = {
    "start": Start, "write": Write, "update": Update, "small_files": SmallFiles, "log": Log, "delete": Delete,
    "trim": Trim, "pause": Pause, "remove": Remove, "remove_image": RemoveImage,
}
FREEING = tuple(kind for kind, step in STEP_KINDS.items() if step.frees)
"""Kinds of steps that give space back."""

_SHORT = {"delete": "what", "pause": "duration"}
"""Steps that take one plain value: ``pause: 5s``."""


def _step(raw: Any, info: ValidationInfo) -> Any:
    """``word`` or ``{word: {...}}`` as the mapping that the step's model takes."""
    if info.context is None:
        return raw
    body: Any = {}
    if isinstance(raw, str):
        kind = raw
    elif isinstance(raw, dict) and len(raw) == 1:
        kind, body = next(iter(raw.items()))
    else:
        raise problem(f"{show(raw)} is no step; write a word or a one-key mapping of {', '.join(STEP_KINDS)}")
    if kind not in STEP_KINDS:
        raise problem(f"unknown step {show(kind)}{nearest(kind, STEP_KINDS)}; allowed: {', '.join(STEP_KINDS)}",
                      key=kind)
    if kind in _SHORT and not isinstance(body, dict | None):
        body = {_SHORT[kind]: body}
    try:
        checked = check_keys({} if body is None else body, STEP_KINDS[kind].keys(), kind)
    except PydanticCustomError as error:
        raise problem(str(error), key=(kind, *(error.context or {})["key"])) from None
    return {**checked, "kind": kind}


Step = Annotated[
    Annotated[AnyStep, Field(discriminator="kind")],
    BeforeValidator(_step),
]


def check_order(steps: Sequence[AnyStep], image: str) -> None:
    """Raises a problem at the step that cannot be done after those before it."""
    started = removed = False
    there = set() if image in BOX_IMAGES and image not in _WITH_LARGE_FILE else {LARGE_FILE}
    for number, step in enumerate(steps):
        kind = step.kind

        def refuse(message: str, number: int = number, kind: str = kind) -> Exception:
            return problem(f"step {number + 1}, {kind}: {message}", key=("steps", number))

        if removed and kind not in ("remove_image", "trim", "pause"):
            raise refuse("the containers were removed; after remove only remove_image, trim and pause can follow")
        if isinstance(step, Start):
            if started:
                raise refuse("the containers run already; allowed once")
            started = True
        elif isinstance(step, RemoveImage):
            if started and not removed:
                raise refuse("the containers still use the image; remove must stand before it")
        elif not started and not isinstance(step, Pause):
            raise refuse("no container runs yet; start must stand before it")
        removed = removed or isinstance(step, Remove)
        if isinstance(step, Write):
            if step.amount_bytes < step.files:
                raise refuse(f"{step.amount_bytes} B do not fill {step.files} files; at least 1 B each")
            there.add("written")
        elif isinstance(step, SmallFiles):
            there.add("small_files")
        elif isinstance(step, Update):
            if step.amount_bytes % UPDATE_STEP_BYTES:
                raise refuse(f"amount {step.amount_bytes} B is no multiple of 4KiB")
            if step.file == LARGE_FILE and LARGE_FILE not in there:
                raise refuse(f"{LARGE_FILE} is not there; {' and '.join(_WITH_LARGE_FILE)} have it until it is deleted")
        elif isinstance(step, Delete):
            if step.what not in there:
                raise refuse(f"{step.what!r} was not written before, or is deleted already; "
                             f"there is: {', '.join(sorted(there)) or 'nothing'}")
            there.discard(step.what)
