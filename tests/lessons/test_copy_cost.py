"""The closed forms against counting, and against the exact model; where copy-up and copied blocks cross."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.lessons import copy_cost
from lab.lessons.copy_cost import PAGE_BYTES, exact_copies, expected_bytes, pages_until, thornber, writes_for
from lab.lessons.figures import copying as copy_figures
from lab.runs.store import open_run

RESULTS = Path(__file__).parents[2] / "results"
KIB, MIB = 1024, 1024**2


@pytest.mark.parametrize(("writes", "blocks"), [(0, 4), (1, 4), (3, 4), (5, 3), (4, 2), (3, 1)])
def test_thornbers_form_is_the_mean_over_all_sequences_of_writes(writes: int, blocks: int) -> None:
    found = [len(set(one)) for one in product(range(blocks), repeat=writes)]
    assert thornber(writes, blocks) == pytest.approx(sum(found) / len(found))


def test_thornbers_form_is_the_geometric_sum_that_it_is_written_as() -> None:
    a = 499 / 500
    assert thornber(800, 500) == pytest.approx(sum(a**step for step in range(800)))
    assert thornber(800, 500) == pytest.approx((1 - a**800) / (1 - a))


@pytest.mark.parametrize(("writes", "blocks"), [(-1, 4), (1, 0)])
def test_thornbers_form_refuses_what_makes_no_sense(writes: int, blocks: int) -> None:
    with pytest.raises(ValueError, match=f"{writes} writes to {blocks} blocks"):
        thornber(writes, blocks)


@pytest.mark.parametrize(("pages", "each", "drawn"), [(6, 2, 0), (6, 2, 1), (6, 2, 3), (6, 2, 6), (7, 3, 2), (5, 8, 2)])
def test_expected_bytes_are_the_mean_over_all_choices_of_pages(pages: int, each: int, drawn: int) -> None:
    found = [len({page // each for page in chosen}) for chosen in combinations(range(pages), drawn)]
    wanted = sum(found) / len(found) * each * PAGE_BYTES
    assert expected_bytes(pages * PAGE_BYTES, each * PAGE_BYTES, drawn) == pytest.approx(wanted)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.sampled_from([16, 32, 128]), st.data())
def test_expected_bytes_rise_and_end_at_all_blocks(pages: int, each: int, data: st.DataObject) -> None:
    drawn = data.draw(st.integers(1, pages))
    file, block = pages * PAGE_BYTES, each * PAGE_BYTES
    found = expected_bytes(file, block, drawn)
    assert expected_bytes(file, block, drawn - 1) <= found * (1 + 1e-9)
    assert min(drawn * PAGE_BYTES, file) <= found * (1 + 1e-9) <= drawn * block * (1 + 1e-6)
    assert expected_bytes(file, block, pages) == pytest.approx(-(-file // block) * block)


@pytest.mark.parametrize(("file", "block", "pages"), [(0, 65536, 0), (4096, 1, 1), (4096, 65536, 2), (4096, 65536, -1)])
def test_expected_bytes_refuse_what_makes_no_sense(file: int, block: int, pages: int) -> None:
    with pytest.raises(ValueError, match="at least one page"):
        expected_bytes(file, block, pages)


@pytest.mark.parametrize("repeated", [True, False])
@pytest.mark.parametrize("block", [64 * KIB, 512 * KIB])
def test_the_exact_model_copies_what_the_form_expects(block: int, repeated: bool) -> None:
    file, writes, seeds = 16 * MIB, [16, 128, 1024], range(40)
    found = np.array([exact_copies(file, block, writes, seed, repeated=repeated) for seed in seeds], dtype=float)
    for place, count in enumerate(writes):
        wanted = thornber(count, file // block) if repeated else expected_bytes(file, block, count) / block
        error = found[:, place].std(ddof=1) / len(found) ** 0.5
        assert abs(found[:, place].mean() - wanted) < 5 * error + 0.05, (block, count)


def test_the_exact_model_copies_no_more_than_there_is_and_takes_rising_numbers_only() -> None:
    assert exact_copies(MIB, 64 * KIB, [0, 256], 1, repeated=False) == [0, 16]
    with pytest.raises(ValueError, match="rising"):
        exact_copies(MIB, 64 * KIB, [3, 2], 1)


@pytest.mark.parametrize(("share", "blocks"), [(0.5, 500), (0.99, 64), (0.01, 10)])
def test_writes_for_a_share_are_the_fewest(share: float, blocks: int) -> None:
    writes = writes_for(share, blocks)
    assert thornber(writes, blocks) >= share * blocks > thornber(writes - 1, blocks)


@pytest.mark.parametrize("share", [0.0, 1.0, -1, 2])
def test_no_number_of_writes_is_sure_to_copy_all(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        writes_for(share, 10)


@pytest.mark.parametrize(("file", "block"), [(4 * KIB, 64 * KIB), (MIB, 64 * KIB), (64 * MIB, 512 * KIB)])
def test_pages_until_a_share_are_the_fewest(file: int, block: int) -> None:
    pages = pages_until(file, block, 0.9)
    assert expected_bytes(file, block, pages) >= 0.9 * file
    assert pages == 1 or expected_bytes(file, block, pages - 1) < 0.9 * file


def test_a_file_of_no_more_than_a_block_gains_nothing_by_copying_blocks() -> None:
    assert pages_until(64 * KIB, 64 * KIB, 1.0) == 1
    assert expected_bytes(4 * KIB, 512 * KIB, 1) > 4 * KIB
    table = copy_figures.crossings([4 * KIB, 64 * MIB], [64 * KIB, 512 * KIB], 0.9)
    assert table.loc["4 KiB"].tolist() == ["4 KiB", "4 KiB"]


def test_the_reference_runs_update_took_what_is_expected_of_it() -> None:
    """Log, inodes and headers come on top: up to seven data blocks of 512 KiB in each of its two containers."""
    rows = copy_cost.updated(open_run(RESULTS / "reference" / "reference"))
    assert {"loop-lvm", "direct-lvm", "overlay2-ext4"} <= set(rows.index)
    beyond = (rows["measured_bytes"] - rows["expected_bytes"]) / MIB
    assert beyond.between(-1, 7).all(), beyond
    assert copy_figures.measured(rows).png().startswith(b"\x89PNG")


def test_a_run_without_an_update_says_so() -> None:
    with pytest.raises(ValueError, match="updates no file"):
        copy_cost.updated(open_run(RESULTS / "validation" / "churn"))


def test_the_figures_are_drawn() -> None:
    for drawing in (copy_figures.closed_form(MIB, [64 * KIB, 512 * KIB], range(2)),
                    copy_figures.costs([4 * KIB, MIB], [64 * KIB]),
                    copy_figures.passes(open_run(RESULTS / "reference" / "reference"), "image")):
        assert drawing.png().startswith(b"\x89PNG")
        assert drawing.alt
        assert drawing.caption
    with pytest.raises(ValueError, match="nothing to draw"):
        copy_figures.costs([], [64 * KIB])


def test_deviations_hold_the_closed_form_beside_the_model() -> None:
    table = copy_figures.deviations(MIB, [64 * KIB], [4, 64], range(30))
    assert table["closed form"].tolist() == pytest.approx([thornber(4, 16), thornber(64, 16)])
    assert (abs(table["exact model, mean"] - table["closed form"]) < 5 * table["standard error"] + 0.05).all()
