"""A plan's host in the model's terms: what an empty pool of its sizes holds, by hand, and who refuses when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lab.answers.plan.host import (
    as_planned,
    empty_storage,
    planned_capacity,
    planned_sizes,
    pool_capacity,
    unbounded_host,
)
from lab.answers.plan.plan_file import PlanFile, read_plan
from lab.answers.plan.sizing import size_with_reserve
from lab.errors import InputError
from lab.model.fleet.level import Level
from lab.model.metadata.metadata_space import reserve_blocks
from lab.simulate.parameters import read_parameters

MIB, GIB, BLOCK = 1024**2, 1024**3, 4096
PARAMETERS = read_parameters(None)
TEXT = """\
name: hundred
horizon_days: 10
storage: {storage: direct-lvm, chunk_size: 64KiB}
pool: {data: 100GiB}
workload:
  - name: web
    image: lab/app:1
    steps: [start]
    starts_per_day: 10
    lifetime: 1h
"""


def plan_of(text: str = TEXT) -> PlanFile:
    return read_plan(text, Path("plan.yaml"))


def test_the_reserve_is_that_of_the_plans_own_metadata() -> None:
    """75 MiB by the kernel's rule, 76 in extents: 19,456 blocks, of which 1,945 are the reserve."""
    capacity = planned_capacity(plan_of(), PARAMETERS)
    bare = empty_storage(capacity.spec, 100 * GIB, 0, PARAMETERS).metadata_bytes // BLOCK
    assert (capacity.data_bytes, capacity.metadata_bytes) == (100 * GIB, 76 * MIB)
    assert capacity.empty.metadata_bytes // BLOCK - bare == 1945
    bitmaps = 101                                       # 1,638,400 data blocks, 16,320 in a bitmap
    assert bitmaps < bare < bitmaps + 60                # the metadata's own bitmaps, trees, and the base device


def test_large_metadata_reserve_sixteen_mebibytes() -> None:
    plan = plan_of(TEXT.replace("data: 100GiB", "data: 100GiB, metadata: 1GiB"))
    small, large = (planned_capacity(one, PARAMETERS).empty.metadata_bytes for one in (plan_of(), plan))
    assert large - small == (4096 - 1945) * BLOCK


def test_the_host_without_bounds_begins_as_the_planned_one() -> None:
    """Else a replication that never met the size could not stand for one without bounds."""
    for text in (TEXT, TEXT.replace("100GiB", "101001MiB"), TEXT.replace("{storage: direct-lvm, chunk_size: 64KiB}",
                                                                         "loop-lvm")):
        plan = plan_of(text)
        host = unbounded_host(plan, as_planned(plan), PARAMETERS)
        assert host.capacity.empty == planned_capacity(plan, PARAMETERS).empty
        assert host.capacity.min_free_percent == 0


def test_a_file_system_has_no_metadata_at_all() -> None:
    plan = plan_of(TEXT.replace("{storage: direct-lvm, chunk_size: 64KiB}", "overlay2-ext4"))
    capacity = planned_capacity(plan, PARAMETERS)
    assert (capacity.metadata_bytes, capacity.empty.metadata_bytes, capacity.min_free_percent) == (0, 0, 0)


def test_the_daemons_share_is_the_plans() -> None:
    plan = plan_of(TEXT.replace("100GiB", "100GiB, min_free_space_percent: 25"))
    assert planned_capacity(plan, PARAMETERS).min_free_percent == 25
    assert pool_capacity(plan, 50 * GIB, 64 * MIB, None, PARAMETERS).min_free_percent == 25


def test_lvm_rounds_sizes_up_to_extents_and_a_loop_does_not() -> None:
    text = TEXT.replace("100GiB", "1025MiB, metadata: 2049KiB")
    assert planned_sizes(plan_of(text)) == (1028 * MIB, 4 * MIB)
    loop = plan_of(text.replace("{storage: direct-lvm, chunk_size: 64KiB}", "loop-lvm"))
    assert planned_sizes(loop) == (1025 * MIB, 2049 * 1024)


def test_metadata_too_small_for_an_empty_pool_are_refused() -> None:
    with pytest.raises(InputError, match=r"plan\.yaml:4: metadata of 4 MiB do not hold an empty pool"):
        planned_capacity(plan_of(TEXT.replace("100GiB", "1TiB, metadata: 4MiB")), PARAMETERS)


def test_tables_of_containers_that_are_kept_are_those_of_others_and_the_stop() -> None:
    """The stop is measured in the run of the others, and leaves their tables as they are."""
    text = TEXT.replace("[start]", "[start, write: {amount: 2MiB}, delete: written]")
    gone, kept = (unbounded_host(plan_of(one), replace(as_planned(plan_of(one)), trim_seconds=86_400.0), PARAMETERS)
                  for one in (text, text + "    kept_share: 0.5\n"))
    (_, alone), = gone.classes[0].footprints
    (_, stopped), = kept.classes[0].footprints
    assert (stopped.schedule, stopped.held, stopped.trimmed, stopped.first) == (
        alone.schedule, alone.held, alone.trimmed, alone.first)
    written = {end.data_bytes - held.data_bytes for end, held in zip(stopped.stopped, stopped.held, strict=True)}
    assert alone.stopped == ()
    assert len(written) == 1
    assert written.pop() >= 0


@pytest.mark.parametrize("left", [1.0, 0.9, 0.5, 0.1, 0.01])
@pytest.mark.parametrize("used_mib", [1, 40, 126, 128, 130, 144, 400, 9000])
def test_the_size_with_its_reserve_is_just_enough(used_mib: int, left: float) -> None:
    """One block more than the size holds what is used and the reserve; a hundredth less does not."""
    blocks = int(size_with_reserve(used_mib * MIB, left) // BLOCK) + 1
    used = used_mib * MIB // BLOCK

    def holds(size: int) -> bool:
        return used + reserve_blocks(size) <= left * size

    assert holds(blocks)
    assert not holds(int(blocks * 0.99))


def test_the_daemon_refuses_from_the_percentage_on_that_has_to_be_free() -> None:
    capacity = planned_capacity(plan_of(TEXT.replace("100GiB", "1GiB")), PARAMETERS)
    for percent in (5, 10, 30):
        level = Level(replace(capacity, min_free_percent=percent))
        blocks = capacity.data_bytes // capacity.chunk_bytes
        level.add(0.0, (blocks - blocks * percent // 100) * capacity.chunk_bytes - level.data, 0.0, 0.0)
        assert not level.refuses, percent
        level.add(0.0, capacity.chunk_bytes, 0.0, 0.0)
        assert level.refuses, percent
