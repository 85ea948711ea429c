"""Docker's devices against the kernel's mappings: the blocks of every layer and container, from a measured run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.model.drivers.devicemapper import ROOT, DeviceMapper
from lab.model.drivers.face import build_storage
from lab.model.drivers.storage import MOUNT_POINTS
from lab.model.pool.thinpool import PoolConfig, ThinPool
from lab.readers.image_archive import box_image
from lab.readers.thin_dump import DumpedThin, read_thin_dump
from lab.scenario.scenario import StorageSpec

RAW = Path(__file__).resolve().parents[2] / "results" / "reference" / "reference" / "raw"
MIB, GIB = 1024**2, 1024**3
LAYERS = 5
"""The base device and the four layers of lab/app:1; the init layer and the container follow."""


def measured(label: str) -> list[dict[int, DumpedThin]]:
    """The devices of each repetition's cell in which one container wrote into a file of its image."""
    found = []
    for file in sorted(RAW.glob("*/cell.json")):
        told = json.loads(file.read_text())
        if (told["storage"], told["target"], told["workload"]) == (label, "layer", "image"):
            thins = read_thin_dump(file.parent / "thin_dump.xml.gz").thins
            if max(thins) <= LAYERS + 4:
                found.append(thins)
    return found


def own_blocks(thins: dict[int, set[tuple[int, int]]]) -> list[set[int]]:
    """For each device, in the order of their making, the virtual blocks whose data block none before it has."""
    seen: set[int] = set()
    own = []
    for number in sorted(thins):
        own.append({virtual for virtual, data in thins[number] if data not in seen})
        seen |= {data for _, data in thins[number]}
    return own


def simulated(chunk: int) -> ThinPool:
    """The same with the model: the image loaded, a container started, asked for its size three times."""
    pool = ThinPool(PoolConfig(chunk, 4 * GIB * 95 // 100 // chunk, 10240, skip_block_zeroing=True))
    mapper, image = DeviceMapper(pool), box_image("lab/app:1")
    mapper.load(image)
    container = mapper.create(image)
    mapper.start(container, MOUNT_POINTS)
    for _ in range(3):
        mapper.measure(container)
    container.own.disk.flush()
    return pool


@pytest.mark.parametrize(("label", "chunk_kib"), [("direct-64k", 64), ("direct-128k", 128), ("direct-lvm", 512)])
def test_every_layer_takes_just_the_blocks_that_the_kernel_mapped(label: str, chunk_kib: int) -> None:
    """In every set-up; once in all, the kernel put one block of a folder into another allocation group."""
    pool = simulated(chunk_kib * 1024)
    model = own_blocks({number: {(int(block), int(thin.blocks[block])) for block in thin.mapped()}
                        for number, thin in pool.thins.items()})
    kernels = [own_blocks({number: set(zip(thin.virtual_blocks.tolist(), thin.data_blocks.tolist(), strict=True))
                           for number, thin in thins.items()}) for thins in measured(label)]
    other = [{height: model[height] ^ kernel[height] for height in range(LAYERS + 1)
              if model[height] != kernel[height]} for kernel in kernels]
    same = [kernel for kernel, layers in zip(kernels, other, strict=True) if not layers]
    assert same, other
    assert len(kernels) - len(same) <= 1, other
    assert all(len(blocks) == 2 for layers in other for blocks in layers.values()), other
    data = range(4 * 640 * MIB // (chunk_kib * 1024), 5 * 640 * MIB // (chunk_kib * 1024))
    for kernel in same:
        assert model[LAYERS + 1] == {block for block in kernel[LAYERS + 1] if block not in data}    # without the file


def test_layers_that_two_images_share_are_made_once_and_go_with_the_last() -> None:
    pool = ThinPool(PoolConfig(65536, 100_000))
    mapper = DeviceMapper(pool)
    empty = pool.used_data_blocks
    mapper.load(box_image("lab/base:1"))
    base = pool.used_data_blocks
    mapper.load(box_image("lab/app:1"))
    assert len(pool.thins) == LAYERS
    mapper.unload(box_image("lab/app:1"))
    assert pool.used_data_blocks == base
    mapper.unload(box_image("lab/base:1"))
    assert (pool.used_data_blocks, len(pool.thins)) == (empty, 1)


def test_asking_for_a_containers_size_takes_space() -> None:
    """Each question mounts the init layer, which overwrites 2 MiB of log from where the last mount left it."""
    pool = ThinPool(PoolConfig(65536, 100_000))
    mapper, image = DeviceMapper(pool), box_image("lab/base:1")
    mapper.load(image)
    container = mapper.create(image)
    mapper.start(container, MOUNT_POINTS)
    for _ in range(2):
        mapper.measure(container)
    used = pool.used_data_blocks
    mapper.measure(container)
    assert pool.used_data_blocks - used == 2


def test_a_removed_container_gives_back_all_that_it_took() -> None:
    storage = build_storage(StorageSpec.model_validate({"storage": "direct-lvm", "label": "x"}), 4 * GIB)
    image = box_image("lab/app:1")
    storage.load(image)
    before = storage.levels().storage_used
    running = storage.start("one", image, volume=False)
    storage.work(running).write(30 * MIB, 3, "w")
    storage.flush()
    assert storage.levels().storage_used > before + 30 * MIB
    assert running.layer.exists(f"{ROOT}/data/written/w-0")
    storage.stop("one")
    assert storage.levels().storage_used == before
