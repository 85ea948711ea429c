"""A pool as a picture: what is kept of it, what is drawn, and what programs of a few steps do."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.errors import InputError
from lab.lessons import block_map, dumps, programs
from lab.lessons.programs import BLOCK_BYTES, run_program, small_pool
from lab.report import plots
from lab.runs.store import open_run

QUICKSTART = Path(__file__).parents[2] / "results" / "quickstart"
CELL = "direct-lvm.layer.fio-short"
SHARED = [("create", 0), ("write", 0, [0, 1, 2, 3]), ("snapshot", 1, 0)]


def test_a_moment_keeps_what_the_pool_was_then() -> None:
    pool = run_program(SHARED)
    moment = block_map.capture(pool, "shared", {0: "origin", 1: "snapshot"})
    run_program([("write", 0, [0]), ("delete", 1)], pool)
    assert moment.owners[:5] == (("origin", "snapshot"),) * 4 + ((),)
    assert (moment.used, moment.shared) == (4, 4)
    assert moment.strips[0].data_blocks == (0, 1, 2, 3, None, None, None, None)
    assert moment.caption == "shared: 4 of 16 data blocks in use, 4 of them shared"


def test_a_write_stays_in_place_only_in_blocks_younger_than_the_last_snapshot() -> None:
    pool = run_program([*SHARED, ("write", 0, [1]), ("delete", 1)])
    origin = block_map.capture(pool, "").strips[0]
    assert origin.data_blocks[:4] == (0, 4, 2, 3)
    assert origin.in_place == (False, True, False, False, False, False, False, False)


def test_blocks_freed_since_the_commit_are_told() -> None:
    pool = run_program([("create", 0), ("write", 0, [0, 1]), ("commit",), ("discard", 0, [1])])
    assert "1 of the free ones only after the next commit" in block_map.capture(pool, "discarded").caption
    pool.commit()
    assert "after the next commit" not in block_map.capture(pool, "discarded").caption


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(
    st.tuples(st.just("write"), st.integers(0, 1), st.lists(st.integers(0, 7), max_size=3)),
    st.tuples(st.just("discard"), st.integers(0, 1), st.lists(st.integers(0, 7), max_size=3)),
    st.just(("commit",))), max_size=8))
def test_the_owners_are_the_mappings_the_other_way_round(steps: list[programs.Step]) -> None:
    pool = run_program([*SHARED, *steps])
    moment = block_map.capture(pool, "")
    assert moment.used == pool.used_data_blocks
    held = {(block, strip.name) for strip in moment.strips for block in strip.data_blocks if block is not None}
    assert held == {(block, name) for block, names in enumerate(moment.owners) for name in names}
    assert moment.shared == sum(pool.sharers[block] > 0 for block in range(pool.data_blocks))


def test_a_picture_has_a_panel_a_moment_and_draws_every_block() -> None:
    pool = run_program(SHARED)
    first = block_map.capture(pool, "first")
    run_program([("write", 0, [0])], pool)
    figure = block_map.block_map([first, block_map.capture(pool, "then")])
    assert [axes.get_title(loc="left").split(":")[0] for axes in figure.axes] == ["first", "then"]
    texts = [text.get_text() for text in figure.axes[1].texts]
    assert texts.count("4") == 2, "once where the origin maps it, once in the pool"
    assert plots.to_png(figure).startswith(b"\x89PNG")


def test_a_device_keeps_its_colour_where_another_one_is_gone() -> None:
    pool = run_program(SHARED)
    before = block_map.capture(pool, "before")
    pool.delete_thin(0)
    colours = block_map.colours_of([before, block_map.capture(pool, "after")])
    assert list(colours) == ["thin 0", "thin 1"]
    assert len(set(colours.values())) == 2


def test_there_is_no_picture_of_nothing() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        block_map.picture()


@pytest.mark.parametrize("step", [("grow", 0), (), "write", ("write", 0), ("write", 7, [0]), ("create", 0),
                                  ("write", 0, [99]), ("snapshot", 1)])
def test_a_step_that_is_none_is_refused_with_its_number(step: programs.Step) -> None:
    with pytest.raises(InputError, match="step 2"):
        run_program([("create", 0), step])


def test_a_write_of_a_whole_block_copies_nothing() -> None:
    copied = run_program([*SHARED, ("write", 0, [0])])
    whole = run_program([*SHARED, ("write_whole", 0, [0])])
    assert (copied.counters.bytes_copied, whole.counters.bytes_copied) == (BLOCK_BYTES, 0)
    assert copied.used_data_blocks == whole.used_data_blocks == 5


def test_the_small_pool_fails_at_once_when_it_is_full() -> None:
    pool = small_pool(2)
    run_program([("create", 0)], pool)
    result = pool.write(0, [block * BLOCK_BYTES for block in range(4)], BLOCK_BYTES)
    assert (result.error, result.failed.tolist()) == ("ENOSPC", [2, 3])


# -- a measured pool ---------------------------------------------------------------------------------------------


def test_a_dumps_counts_are_those_of_its_mappings_one_by_one() -> None:
    dump = dumps.dump_of(open_run(QUICKSTART), CELL)
    owners: dict[int, list[int]] = {}
    for number, thin in dump.thins.items():
        for block in thin.data_blocks.tolist():
            owners.setdefault(block, []).append(number)
    assert dumps.used_blocks(dump) == len(owners)
    assert dumps.mapped_blocks(dump) == sum(map(len, owners.values())) > len(owners), "something is shared"
    table = dumps.devices(dump)
    mib = dumps.block_bytes(dump) / 1024**2
    for number, thin in dump.thins.items():
        own = sum(owners[block] == [number] for block in thin.data_blocks.tolist())
        row = table.loc[f"device {number}"].tolist()
        assert row == pytest.approx([len(thin.data_blocks) * mib, (len(thin.data_blocks) - own) * mib, own * mib])
    codes = dumps.holders(dump)
    numbers = sorted(dump.thins)
    for block in range(codes.size):
        holders = owners.get(block, [])
        wanted = 0 if not holders else numbers.index(holders[0]) + 1 if len(holders) == 1 else -len(holders)
        assert codes[block] == wanted


def test_a_dump_is_drawn_with_its_counts_in_the_caption() -> None:
    dump = dumps.dump_of(open_run(QUICKSTART), CELL)
    drawing = dumps.picture(dump, "a pool")
    assert f"{dumps.used_blocks(dump):,} are in use" in drawing.caption
    assert drawing.png().startswith(b"\x89PNG")
    image = np.asarray(drawing.figure.axes[0].images[0].get_array())
    assert image.shape[1:] == (128, 3)


def test_a_cell_without_a_dump_is_named_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match=re.escape("no thin_dump of cell overlay2-ext4.layer.files")):
        dumps.dump_of(open_run(QUICKSTART), "overlay2-ext4.layer.files")
    with pytest.raises(InputError, match=re.escape(CELL)):
        dumps.dump_of(open_run(QUICKSTART), "no-such.cell")
