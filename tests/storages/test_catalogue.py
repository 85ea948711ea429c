"""Every storage of the catalogue has its faces, and nobody else knows a storage by its name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lab
from lab.errors import InputError
from lab.model.drivers.face import model_face
from lab.rig.storages.face import rig_face
from lab.scenario.scenario import StorageSpec
from lab.storages.catalogue import COMMON, STORAGES, find_storage
from lab.storages.kind import StorageKind

PACKAGE = Path(lab.__file__).parent
FACES = ("storages", "rig/storages", "model/drivers", "lessons")
"""Where a storage may be known by its name."""


@pytest.mark.parametrize("kind", STORAGES.values(), ids=STORAGES)
def test_a_storage_has_a_face_in_a_machine_and_one_in_the_model(kind: StorageKind) -> None:
    rig, model = rig_face(kind), model_face(kind)
    assert (rig.layers_mount is None) == (kind.backing is None), "a pool has the whole disk, or a file system"
    spec = StorageSpec.model_validate({"storage": kind.name})
    built = model.build(spec, 4 * 1024**3, None)
    assert built.spec.kind is kind
    assert (built.levels().pool_data_total is not None) == (kind.pool is not None)


@pytest.mark.parametrize("kind", STORAGES.values(), ids=STORAGES)
def test_a_storage_tells_what_the_documentation_says_of_it_and_where_its_space_is_read(kind: StorageKind) -> None:
    assert kind.documentation
    assert kind.space_from
    assert kind.service_times in STORAGES


def test_the_common_ones_are_in_the_catalogue() -> None:
    assert set(COMMON) <= set(STORAGES)


def test_a_name_that_is_none_is_refused_with_the_names_that_are() -> None:
    with pytest.raises(InputError, match=r"no storage is named 'btrfs' .the storages are loop-lvm, direct-lvm"):
        find_storage("btrfs")


def test_nothing_outside_of_the_faces_compares_the_name_of_a_storage() -> None:
    names = {*STORAGES, "overlay2", "devicemapper"}
    found = []
    for file in PACKAGE.rglob("*.py"):
        place = file.relative_to(PACKAGE).as_posix()
        if place.startswith((*FACES, "rig/guest", "readers/", "monitoring/")):
            continue        # readers know the daemon's own words, which are no storage of the lab's
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Compare):
                operands = [node.left, *node.comparators]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in (
                    "startswith", "endswith"):
                operands = list(node.args)
            else:
                continue
            compared = {value.value for one in operands for value in ast.walk(one) if isinstance(value, ast.Constant)}
            found += [f"{place}:{node.lineno}"] if compared & names else []
    assert not found
