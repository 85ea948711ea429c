"""A plan: the host that is asked about.  A file like a scenario's, with who comes when instead of repetitions.

Frozen; unknown keys are refused; every complaint names ``file:line``, the value and what would be allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictFloat, StrictInt, ValidationError, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from lab.answers.plan.distribution_keys import Factor, Lifetime
from lab.errors import InputError
from lab.model.filesystems.xfs_geometry import LARGEST_CHUNK_BYTES
from lab.model.fleet.arrivals import HOURS
from lab.scenario.files import BOX_IMAGES, find_image
from lab.scenario.scenario import StepsWorkload, StorageSpec
from lab.scenario.steps import GiB, MiB, Part, Seconds, Size, TiB
from lab.scenario.yaml_text import as_input_error, check_keys, parse, problem, read_text, show
from lab.storages.metadata_size import KERNEL_MIN_BYTES, kernel_rule_bytes
from lab.units import format_bytes

_NAME = r"^[a-z0-9][a-z0-9-]{0,40}$"
_OF_SCENARIOS = {"containers": "starts_per_day says how many", "rounds": "starts_per_day says how often",
                 "trace": "nothing is traced", "drop_caches": "the model of growth has no caches"}

Share = Annotated[StrictFloat, Field(ge=0, le=1)]
Period = Annotated[Seconds, Field(gt=0, le=3650 * 86_400.0, allow_inf_nan=False)]
MetadataSize = Annotated[Size, Field(ge=KERNEL_MIN_BYTES, le=16 * GiB)]       # above, the kernel warns
ImageSize = Annotated[Size, Field(ge=MiB, le=TiB)]


class _Section(Part):
    called: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, raw: Any, info: ValidationInfo) -> Any:
        return raw if info.context is None else check_keys({} if raw is None else raw, cls.keys(), cls.called)


class PoolSizes(_Section):
    """What the storage has.  For overlay2, ``data`` is the file system's size, and there is nothing else."""

    called: ClassVar[str] = "a pool"
    data_bytes: Size = Field(alias="data", ge=256 * MiB, le=16 * TiB)
    metadata_bytes: MetadataSize | None = Field(default=None, alias="metadata")
    """By the kernel's rule if none is given."""
    free_bytes: Size = Field(default=0, alias="free", ge=0, le=16 * TiB)
    """What the volume group has besides pool and spare: all that LVM can extend the pool by."""
    min_free_space_percent: StrictInt = Field(default=10, ge=0, le=99)
    """``dm.min_free_space``: below it the daemon makes no container."""


class ImageTags(_Section):
    """How an image of the workload changes.  With ``size`` and ``layers`` its layers cost as much as equal ones of
    that size, instead of what its own do; what its containers do to its files stays its own."""

    called: ClassVar[str] = "an image"
    image: str
    tags_per_month: StrictFloat = Field(default=0.0, ge=0, le=10_000)
    shared_layers: StrictInt = Field(default=0, ge=0, le=127)
    """Of each new tag, the lowest so many layers are those of the tag before."""
    size_bytes: ImageSize | None = Field(default=None, alias="size")
    layers: Annotated[StrictInt, Field(ge=1, le=127)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> ImageTags:
        if (self.size_bytes is None) != (self.layers is None):
            lacks = "layers" if self.layers is None else "size"
            raise problem(f"image {self.image} lacks {lacks}; size and layers go together", key="image")
        if self.layers is not None and self.shared_layers > self.layers:
            raise problem(f"{self.shared_layers} of {self.layers} layers; at most all are shared", key="shared_layers")
        return self


class Routine(_Section):
    """What is done by schedule; None for never."""

    called: ClassVar[str] = "upkeep"
    prune_every_seconds: Period | None = Field(default=None, alias="prune_every")
    """Stopped containers, then images without a container but for the newest tag."""
    trim_every_seconds: Period | None = Field(default=None, alias="trim_every")
    """fstrim in all running containers."""


class Containers(StepsWorkload):
    """A scenario's workload of steps, and how such containers come and go.

    ``size`` multiplies the steps' amounts, drawn for each container.  ``kept_share``: of the containers, those that
    stay when they stop, until a prune.
    """

    derived: ClassVar[frozenset[str]] = StepsWorkload.derived | frozenset(_OF_SCENARIOS)
    starts_per_day: StrictFloat = Field(ge=0, le=1_000_000)
    arrivals: Literal["poisson", "regular"] = "poisson"
    busy_hours: tuple[Annotated[StrictFloat, Field(ge=0, le=1e6)], ...] = ()
    """24 weights, the first from midnight to one."""
    lifetime: Lifetime
    size: Factor | None = None
    kept_share: Share = 0.0
    log_bytes_per_day: Size = Field(default=0, alias="log_per_day", ge=0, le=TiB)

    @property
    def on_volume(self) -> bool:
        """Whether it writes to a volume."""
        return self.targets == ("volume",)

    @model_validator(mode="before")
    @classmethod
    def _with_files(cls, raw: Any, info: ValidationInfo) -> Any:
        source: _Source | None = info.context
        if source is None:
            return raw
        for key, why in _OF_SCENARIOS.items():
            if isinstance(raw, dict) and key in raw:
                raise problem(f"{key} is for a scenario; in a plan {why}", key=key, remedy="delete the line")
        given = {"targets": ["layer"], **check_keys(raw, cls.keys(), "a plan's workload")}
        if (image := find_image(given.get("image", BOX_IMAGES[0]), source.folder)) is not None:
            given["image_file"], given["image_sha256"] = image
        return given

    @model_validator(mode="after")
    def _can_be_planned(self) -> Containers:
        if len(self.targets) != 1:
            raise problem(f"{len(self.targets)} targets; one of layer, volume: a container writes to one place",
                          key="targets")
        if self.steps[0].kind != "start":
            raise problem(f"the first step is {self.steps[0].kind}; start allowed", key=("steps", 0))
        if self.busy_hours and (len(self.busy_hours) != HOURS or not sum(self.busy_hours)):
            raise problem(f"{len(self.busy_hours)} weights with a sum of {sum(self.busy_hours):g}; {HOURS} allowed, "
                          "one an hour, not all of them 0", key="busy_hours")
        return self


class PlanFile(Part):
    """The plan as it is written.  ``text`` is the file, verbatim."""

    derived: ClassVar[frozenset[str]] = frozenset({"path", "text"})
    name: str = Field(pattern=_NAME)
    question: str = Field(default="", max_length=2000)
    seed: StrictInt = Field(default=1, ge=0, le=2**63 - 1)
    horizon_days: StrictFloat = Field(gt=0, le=3650, allow_inf_nan=False)
    accepted_risk_percent: StrictFloat = Field(default=1.0, gt=0, le=50, allow_inf_nan=False)
    """Of the pool refusing, or letting wait, anything by the horizon."""
    storage: StorageSpec
    pool: PoolSizes
    workload: tuple[Containers, ...]
    images: tuple[ImageTags, ...] = ()
    upkeep: Routine = Routine()
    growth_percent_a_month: StrictFloat = Field(default=0.0, ge=0, le=1000, allow_inf_nan=False)
    """How much more containers start, month by month."""
    alerts_percent: tuple[Annotated[StrictInt, Field(ge=1, le=99)], ...] = (80, 90)
    path: Path
    text: str

    @property
    def is_pool(self) -> bool:
        """Whether the storage is a thin pool."""
        return self.storage.in_pool

    @property
    def risk(self) -> float:
        """The accepted risk, 0 to 1."""
        return self.accepted_risk_percent / 100

    @property
    def min_free_percent(self) -> int:
        """``dm.min_free_space``; 0 for overlay2, which has no such thing."""
        return self.pool.min_free_space_percent if self.is_pool else 0

    @property
    def min_free_share(self) -> float:
        """The same, 0 to 1."""
        return self.min_free_percent / 100

    @property
    def metadata_bytes(self) -> int:
        """The pool's metadata; 0 for overlay2."""
        if not self.is_pool:
            return 0
        return self.pool.metadata_bytes or kernel_rule_bytes(self.pool.data_bytes, self.storage.chunk_size_bytes or 1)

    def where(self, *key: str | int) -> str:
        """``file:line`` of a key, for what only shows when the host is made."""
        return parse(self.text, self.path).where(key)

    @model_validator(mode="before")
    @classmethod
    def _sizes_are_the_pools(cls, raw: Any, info: ValidationInfo) -> Any:
        spec = raw.get("storage") if isinstance(raw, dict) else None
        if info.context is not None and isinstance(spec, dict) and "throttle" in spec:
            raise problem("throttle is for a scenario; nothing in a plan has a speed", key=("storage", "throttle"),
                          remedy="delete it")
        for key in ("data_percent", "metadata_percent"):
            if info.context is not None and isinstance(spec, dict) and key in spec:
                raise problem(f"{key} is for a scenario, whose disk is known; in a plan `pool` has sizes",
                              key=("storage", key), remedy="delete it, and write `pool: {data: 100GiB}`")
        return raw

    @model_validator(mode="after")
    def _fits_together(self) -> PlanFile:
        if not self.workload:
            raise problem("workload is empty; allowed: one entry or more", key="workload")
        _no_twice("workload", "name", [one.name for one in self.workload])
        _no_twice("images", "image", [one.image for one in self.images])
        used = sorted({one.image for one in self.workload})
        for number, one in enumerate(self.images):
            if one.image not in used:
                raise problem(f"no workload uses {show(one.image)}; allowed: {', '.join(used)}",
                              key=("images", number, "image"))
        if list(self.alerts_percent) != sorted(set(self.alerts_percent)):
            raise problem(f"{list(self.alerts_percent)} does not rise", key="alerts_percent")
        self._pool_fits()
        return self

    def _pool_fits(self) -> None:
        pool, spec = self.pool, self.storage
        if not self.is_pool and pool.metadata_bytes is not None:
            raise problem(f"metadata does not apply to {spec.storage}, which is no pool", key=("pool", "metadata"))
        if not self.is_pool and "min_free_space_percent" in pool.model_fields_set:
            raise problem(f"min_free_space_percent does not apply to {spec.storage}: the daemon refuses nothing there",
                          key=("pool", "min_free_space_percent"), remedy="delete the line")
        if spec.chunk_size_bytes is not None and spec.chunk_size_bytes > LARGEST_CHUNK_BYTES:
            raise problem(f"chunk_size {format_bytes(spec.chunk_size_bytes)} cannot be simulated; up to "
                          f"{format_bytes(LARGEST_CHUNK_BYTES)} allowed: what mkfs.xfs makes of larger ones is not "
                          "modelled", key=("storage", "chunk_size"))
        if not self.is_pool and self.upkeep.trim_every_seconds is not None:
            raise problem(f"trim_every does not apply to {spec.storage}: a file system frees what is deleted",
                          key=("upkeep", "trim_every"))
        if not spec.on_lvm and pool.free_bytes:
            raise problem(f"free does not apply to {spec.storage}, which no volume group is behind",
                          key=("pool", "free"))
        if spec.chunk_size_bytes is not None and pool.data_bytes < 16 * spec.chunk_size_bytes:
            raise problem(f"{format_bytes(pool.data_bytes)} are not even 16 chunks of "
                          f"{format_bytes(spec.chunk_size_bytes)}", key=("pool", "data"))


@dataclass(frozen=True)
class _Source:
    """What the validators need to know of the file."""

    folder: Path


def _no_twice(section: str, what: str, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise problem(f"{what} {name!r} stands there twice; allowed once", key=(section, number, what))


def load_plan(path: Path) -> PlanFile:
    """The plan in a file.  Raises InputError, and nothing else, for whatever else the file holds."""
    return read_plan(read_text(path, "plan"), path)


def read_plan(text: str, path: Path) -> PlanFile:
    """The plan in a text; ``path`` is where complaints say that it stands.  Raises InputError."""
    document = parse(text, path)
    if not isinstance(document.data, dict):
        raise InputError(f"the file is no mapping but {show(document.data)}; it takes {', '.join(PlanFile.keys())}",
                         where=document.where())
    try:
        check_keys(document.data, PlanFile.keys(), "a plan")
        return PlanFile.model_validate({**document.data, "path": path, "text": text}, context=_Source(path.parent))
    except PydanticCustomError as error:
        raise InputError(str(error), where=document.where((error.context or {})["key"])) from None
    except ValidationError as error:
        raise as_input_error(error, document) from None
