"""What the advice chooses from: storages, each with the written data in the container's layer or in a volume."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab.runs.records import CellRecord
from lab.scenario.scenario import StorageSpec, Target
from lab.scenario.steps import KiB

Level = str


def _spec(storage: str, label: str | None = None, *, chunk_size_bytes: int | None = None,
          discard: bool = False) -> StorageSpec:
    given = {"storage": storage, "label": label or storage, "discard": discard, "chunk_size_bytes": chunk_size_bytes}
    return StorageSpec.model_validate(given)


STORAGES = (
    _spec("loop-lvm"),
    _spec("loop-lvm", "loop-discard", discard=True),
    _spec("direct-lvm"),
    _spec("direct-lvm", "direct-64k", chunk_size_bytes=64 * KiB),
    _spec("direct-lvm", "direct-128k", chunk_size_bytes=128 * KiB),
    _spec("direct-lvm", "direct-discard", discard=True),
    _spec("direct-lvm-docker"),
    _spec("overlay2-ext4"),
    _spec("overlay2-xfs"),
)
"""Those of scenarios/reference.yaml, by the same labels."""

TARGETS: tuple[Target, ...] = ("layer", "volume")


@dataclass(frozen=True, order=True)
class Option:
    """A storage by its label, and where the containers' own data go; files of the image stay in the layer."""

    label: str
    target: Target

    @property
    def spec(self) -> StorageSpec:
        """The storage, as a scenario specifies it."""
        return _BY_LABEL[self.label]

    @property
    def level(self) -> Level:
        """Whether the driver works on blocks or on files."""
        return f"{self.spec.kind.granularity} level"

    @property
    def words(self) -> str:
        """The option for a sentence, as in ``loop-lvm, data in a volume``."""
        return f"{self.label}, data in {'the layer' if self.target == 'layer' else 'a volume'}"


_BY_LABEL = {spec.label: spec for spec in STORAGES}

OPTIONS = tuple(Option(spec.label, target) for spec in STORAGES for target in TARGETS)


def names(options: Iterable[Option]) -> str:
    """Labels, each with its target where only one is there.

    >>> names([Option("loop-lvm", "layer"), Option("direct-lvm", "layer"), Option("direct-lvm", "volume")])
    'loop-lvm (layer), direct-lvm'
    """
    by_label: dict[str, list[str]] = {}
    for option in options:
        by_label.setdefault(option.label, []).append(option.target)
    return ", ".join(label if len(targets) > 1 else f"{label} ({targets[0]})" for label, targets in by_label.items())


def label_of(cell: CellRecord) -> str | None:
    """Which of ``STORAGES`` a run's cell is on, whatever its label there; None where its options are others.

    What the record does not say is taken to be as in the first that fits.
    """
    if "throttle" in cell.options:                      # slowed down on purpose: no evidence of the storage
        return None
    for spec in STORAGES:
        told = spec.model_dump(mode="json", exclude={"storage", "label", "force"}, exclude_none=True)
        if spec.storage == cell.storage and all(cell.options.get(name, value) == value for name, value in told.items()):
            return spec.label
    return None
