"""What runs in which order, and under which key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lab.errors import InputError
from lab.scenario.arms import BASELINE, CANDIDATE
from lab.scenario.order import Arms, Block, Job, plan
from lab.scenario.scenario import Scenario, load_scenario

PIN = """\
name: pin
question: Do keys stay?
seed: 7
repetitions: 2
storages: [overlay2-ext4, direct-lvm]
targets: [layer]
workload:
  - name: files
    steps: [start, write: {amount: 4MiB, files: 1}, delete: written, remove]
  - name: more
    steps: [start, write: {amount: 8MiB, files: 1}, remove]
"""
BOX = "box-1"


def scenario(folder: Path, text: str = PIN, name: str = "pin.yaml") -> Scenario:
    (folder / name).write_text(text)
    return load_scenario(folder / name)


def against_itself(folder: Path, text: str = PIN) -> Arms:
    return Arms(scenario(folder, text), scenario(folder, text))


def jobs(blocks: list[Block]) -> list[Job]:
    return [job for block in blocks for job in block.jobs]


def test_a_run_of_one_scenario_keeps_the_keys_and_the_order_that_it_had_before_there_were_arms(tmp_path: Path) -> None:
    """The keys were computed by the version before; a run that was begun with it goes on."""
    blocks = plan(Arms(scenario(tmp_path)), BOX)
    assert [(block.setup.key, [(job.key, job.cell_id) for job in block.jobs]) for block in blocks] == [
        ("e013a837435cf649", [("55420308d39ccf52", "overlay2-ext4.layer.files"),
                              ("43c039a9cbbd51e5", "overlay2-ext4.layer.more")]),
        ("d376aeb6b747f032", [("a69304e6095d4cf0", "direct-lvm.layer.more"),
                              ("4277d902192c13af", "direct-lvm.layer.files")]),
        ("efffcece3668045d", [("9373022e6104fa28", "direct-lvm.layer.more"),
                              ("7fd78560b8f1412e", "direct-lvm.layer.files")]),
        ("783f15a5f9a79101", [("43eed66e2447f88f", "overlay2-ext4.layer.more"),
                              ("437d2567ff0fa7ac", "overlay2-ext4.layer.files")]),
    ]
    assert {job.arm for job in jobs(blocks)} == {CANDIDATE}


def test_a_scenario_against_itself_has_every_cell_twice_under_keys_of_its_own(tmp_path: Path) -> None:
    alone, both = jobs(plan(Arms(scenario(tmp_path)), BOX)), jobs(plan(against_itself(tmp_path), BOX))
    assert Counter((job.cell_id, job.repetition, job.arm) for job in both) == Counter(
        (job.cell_id, job.repetition, arm) for job in alone for arm in (BASELINE, CANDIDATE))
    keys = {job.key for job in both}
    assert len(keys) == 2 * len(alone)
    assert not keys & {job.key for job in alone}


def test_arms_with_the_same_storage_share_its_build_and_alternate_cell_by_cell(tmp_path: Path) -> None:
    blocks = plan(against_itself(tmp_path), BOX)
    assert len(blocks) == 2 * 2, "a build for each storage in each repetition, not for each arm"
    for block in blocks:
        pairs = [block.jobs[:2], block.jobs[2:]]
        assert all(one.cell_id == other.cell_id for one, other in pairs)
        first = (BASELINE, CANDIDATE) if block.setup.repetition == 1 else (CANDIDATE, BASELINE)
        assert [job.arm for job in block.jobs] == [*first, *reversed(first)]
        assert block.setup.arm == block.jobs[0].arm


@pytest.mark.parametrize("cells", [1, 2, 3, 5])
def test_over_an_even_number_of_repetitions_each_cell_leads_as_often_as_it_follows(tmp_path: Path, cells: int) -> None:
    text = PIN[: PIN.index("  - name: files")].replace("repetitions: 2", "repetitions: 6") + "".join(
        f"  - name: w{number}\n    steps: [start, remove]\n" for number in range(cells))
    lead: Counter[tuple[str, str]] = Counter()
    orders = set()
    for block in plan(against_itself(tmp_path, text), BOX):
        orders.add(tuple(job.cell_id for job in block.jobs[::2]))
        for first, second in zip(block.jobs[::2], block.jobs[1::2], strict=True):
            assert (first.cell_id, {first.arm, second.arm}) == (second.cell_id, {BASELINE, CANDIDATE})
            lead[first.cell_id, first.arm] += 1
    assert set(lead.values()) == {3}
    assert len(lead) == 2 * 2 * cells
    assert cells < 3 or len(orders) > 2, "still shuffled"


def test_storages_of_the_same_label_and_other_options_run_block_by_block_in_turns(tmp_path: Path) -> None:
    other = PIN.replace("direct-lvm]", "{storage: direct-lvm, chunk_size: 64KiB}]")
    blocks = [block for block in plan(Arms(scenario(tmp_path), scenario(tmp_path, other, "other.yaml")), BOX)
              if block.setup.storage.label == "direct-lvm"]
    assert [(block.setup.repetition, block.setup.arm) for block in blocks] == [
        (1, BASELINE), (1, CANDIDATE), (2, CANDIDATE), (2, BASELINE)]
    for one, two in (blocks[:2], blocks[2:]):
        assert [job.cell_id for job in one.jobs] == [job.cell_id for job in two.jobs]
        assert {job.arm for job in one.jobs} == {one.setup.arm}
    assert {block.setup.storage.chunk_size_bytes for block in blocks if block.setup.arm == BASELINE} == {65536}
    assert len({block.setup.key for block in blocks}) == 4


def test_arms_that_differ_by_a_throttle_alone_share_the_build_and_alternate(tmp_path: Path) -> None:
    slow = PIN.replace("direct-lvm]", "{storage: direct-lvm, throttle: {bandwidth: 4MiB}}]")
    blocks = [block for block in plan(Arms(scenario(tmp_path, slow, "slow.yaml"), scenario(tmp_path)), BOX)
              if block.setup.storage.label == "direct-lvm"]
    assert len(blocks) == 2, "one for each repetition"
    for block in blocks:
        assert {(job.arm, job.storage.throttle is not None) for job in block.jobs} == {
            (BASELINE, False), (CANDIDATE, True)}
        assert [one.arm for one in block.jobs[::2]] != [one.arm for one in block.jobs[1::2]]


def test_what_only_one_arm_has_runs_in_that_arm_alone(tmp_path: Path) -> None:
    fewer = PIN[: PIN.index("  - name: more")].replace("overlay2-ext4, direct-lvm", "overlay2-ext4")
    own = jobs(plan(Arms(scenario(tmp_path), scenario(tmp_path, fewer, "fewer.yaml")), BOX))
    assert {(job.cell_id, job.arm) for job in own if job.arm == BASELINE} == {
        ("overlay2-ext4.layer.files", BASELINE)}
    assert len([job for job in own if job.arm == CANDIDATE]) == 2 * 4


def test_the_order_is_the_seeds(tmp_path: Path) -> None:
    first, again = plan(against_itself(tmp_path), BOX), plan(against_itself(tmp_path), BOX)
    assert first == again
    seeds = {tuple(job.cell_id for job in jobs(plan(against_itself(tmp_path, PIN.replace("seed: 7", f"seed: {seed}")),
                                                    BOX))) for seed in range(8)}
    assert len(seeds) > 1


def test_only_takes_a_cell_of_both_arms_and_refuses_what_neither_has(tmp_path: Path) -> None:
    own = jobs(plan(against_itself(tmp_path), BOX, only=["direct-lvm.layer.more"]))
    assert [(job.cell_id, job.arm) for job in own] == [("direct-lvm.layer.more", arm) for arm in (
        BASELINE, CANDIDATE, CANDIDATE, BASELINE)]
    with pytest.raises(InputError, match=r"no cell is named nothing .*direct-lvm\.layer\.more"):
        plan(against_itself(tmp_path), BOX, only=["nothing"])


def test_arms_on_different_machines_are_refused_with_both_files_and_values(tmp_path: Path) -> None:
    other = PIN + "machine: {memory: 1GiB, cpus: 1}\n"
    with pytest.raises(InputError) as caught:
        Arms(scenario(tmp_path), scenario(tmp_path, other, "other.yaml"))
    for part in ("pin.yaml", "other.yaml", "2147483648", "1073741824", "cpus is 2", "1 in"):
        assert part in str(caught.value)
    assert caught.value.exit_code == 2


def labelled(folder: Path, name: str, slow: str, quick: str) -> Scenario:
    storages = f"[{{storage: direct-lvm, label: a{slow}}}, {{storage: direct-lvm, label: b}}, {quick}]"
    return scenario(folder, PIN.replace("[overlay2-ext4, direct-lvm]", storages), name)


def test_storages_that_differ_by_label_and_throttle_alone_share_one_build(tmp_path: Path) -> None:
    other = "{storage: direct-lvm, label: c, chunk_size: 64KiB}"
    arms = Arms(labelled(tmp_path, "slow.yaml", ", throttle: {iops: 100}", other),
                labelled(tmp_path, "free.yaml", "", other))
    blocks = plan(arms, BOX)
    first = [sorted({job.storage.label for job in block.jobs}) for block in blocks if block.setup.repetition == 1]
    assert sorted(first) == [["a", "b"], ["c"]]
    assert len(blocks) == 2 * 2, "two builds in each repetition, where there are three storages"
    shared = [block for block in blocks if len(block.jobs) == 8]
    assert len(shared) == 2
    for block in shared:
        assert [one.cell_id for one in block.jobs[::2]] == [one.cell_id for one in block.jobs[1::2]], "arms in turns"
    lead = Counter((first.cell_id, first.arm) for block in shared for first in block.jobs[::2])
    assert set(lead.values()) == {1}, "over two repetitions each arm led once"
    held = {(job.storage.label, job.arm): job.storage.throttle is not None for block in shared for job in block.jobs}
    assert held == {("a", BASELINE): False, ("a", CANDIDATE): True, ("b", BASELINE): False, ("b", CANDIDATE): False}


def test_storages_that_one_arm_alone_has_get_builds_of_their_own(tmp_path: Path) -> None:
    arms = Arms(labelled(tmp_path, "more.yaml", "", "{storage: direct-lvm, label: c}"),
                labelled(tmp_path, "less.yaml", "", "overlay2-ext4"))
    first = [block for block in plan(arms, BOX) if block.setup.repetition == 1]
    assert sorted(sorted({job.storage.label for job in block.jobs}) for block in first) == [
        ["a", "b"], ["c"], ["overlay2-ext4"]]
