"""A storage's face in the model: how one is built from the model's parts, or why it cannot be."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, runtime_checkable

from lab.model.drivers.storage import Storage
from lab.model.parameters import LogCosts
from lab.scenario.scenario import StorageSpec
from lab.storages.kind import StorageKind


@runtime_checkable
class ModelFace(Protocol):
    """What each module of a storage in the model offers as ``FACE``."""

    def build(self, spec: StorageSpec, pool_disk_bytes: int, costs: LogCosts | None) -> Storage:
        """A storage just set up, without images.  Raises InputError where the model cannot do it, and says why."""
        ...


def model_face(kind: StorageKind) -> ModelFace:
    """The face that the storage names.  Raises TypeError where its module has none."""
    face = import_module(kind.model_face).FACE
    if not isinstance(face, ModelFace):
        raise TypeError(f"{kind.model_face} has no FACE that can build a storage")
    return face


def build_storage(spec: StorageSpec, pool_disk_bytes: int, costs: LogCosts | None = None) -> Storage:
    """A storage just set up on a disk of that size, without images.  Raises InputError as its face does."""
    return model_face(spec.kind).build(spec, pool_disk_bytes, costs)
