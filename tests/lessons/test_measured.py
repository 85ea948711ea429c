"""What lessons 1, 3 and 6 say of measured runs, against the runs' own rows, and beside it the model's."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.analysis.facts import facts_of
from lab.analysis.stats import Estimate
from lab.lessons import intervals, layers, loop_or_direct, volume_cost
from lab.lessons.figures import forest
from lab.readers.image_archive import box_image
from lab.runs.store import Run, open_run
from lab.simulate.parameters import read_parameters

RESULTS = Path(__file__).parents[2] / "results"
MIB = 1024**2
PARAMETERS = read_parameters(None)


@pytest.fixture(scope="module")
def reference() -> Run:
    return open_run(RESULTS / "reference" / "reference")


@pytest.fixture(scope="module")
def quickstart() -> Run:
    return open_run(RESULTS / "quickstart")


def value(run: Run, cell: str, phase: str, metric: str) -> float:
    """The median over the repetitions, without any of the lab's own statistics."""
    rows = run.measurements
    own = rows[(rows["cell"] == cell) & (rows["phase"] == phase) & (rows["metric"] == metric)]
    return float(own["value"].median())


# -- numbers told ------------------------------------------------------------------------------------------------


def test_a_number_without_an_interval_says_so() -> None:
    assert intervals.interval_text(None) == intervals.interval_text(Estimate(float("nan"), None, None, 2, None)) == "–"
    assert intervals.interval_text(Estimate(3 * MIB, None, None, 2, None), MIB) == "3.00 (n = 2, no interval)"
    assert intervals.interval_text(Estimate(3.0, 2.0, 4.0, 5, 0.9)) == "3.00 (2.00 to 4.00, n = 5)"


def test_runs_are_told_with_their_seed_and_how_far_they_came(reference: Run, quickstart: Run) -> None:
    table = intervals.run_table(reference, quickstart)
    assert table.loc["quickstart", "seed"] == quickstart.manifest.seed
    assert table.loc["quickstart", "repetitions whole"] == "1 of 1"
    assert "emulated" in table.loc["reference", "machine"]


# -- 1: layers ---------------------------------------------------------------------------------------------------


def test_starts_are_the_runs_own_and_the_model_is_near(quickstart: Run) -> None:
    rows = layers.started([quickstart], PARAMETERS)
    for storage in ("loop-lvm", "direct-lvm", "overlay2-ext4"):
        grew = value(quickstart, f"{storage}.layer.files", "start", "storage_growth")
        row = rows.loc[("quickstart", storage)]
        assert row["measured_bytes"] == grew
        assert row["simulated_bytes"] == pytest.approx(grew, rel=0.15, abs=0.1 * MIB)
        assert layers.each_bytes(rows, "quickstart", storage) == grew / 2
    assert layers.each_bytes(rows, "quickstart", "no-such") is None


def test_containers_share_the_image_and_cost_the_same_after_the_first_ones(reference: Run) -> None:
    specs = layers.storages_of(reference, ["direct-lvm", "overlay2-ext4"])
    image = box_image("lab/app:1")
    for spec in specs:
        grown = layers.grow(spec, image, 6, 4 * 1024**3, PARAMETERS)
        assert grown.own_bytes < grown.image_bytes
        assert len(set(grown.each_bytes[2:])) == 1, grown.each_bytes
        assert grown.each_bytes[-1] < grown.own_bytes / 3, "an image is not copied"
        assert grown.totals[-1] == grown.image_bytes + sum(grown.each_bytes)
        assert layers.sharing([grown]).png().startswith(b"\x89PNG")


def test_the_layers_costs_add_up_to_the_images(reference: Run) -> None:
    (spec,) = layers.storages_of(reference, ["direct-64k"])
    image = box_image("lab/app:1")
    table = layers.layer_costs(spec, image, 4 * 1024**3, PARAMETERS)
    assert len(table) == len(image.layers)
    grown = layers.grow(spec, image, 1, 4 * 1024**3, PARAMETERS)
    assert table["cost on direct-64k, MiB"].sum() * MIB == pytest.approx(grown.image_bytes, rel=0.01)


def test_no_container_is_no_growth(reference: Run) -> None:
    (spec,) = layers.storages_of(reference, ["direct-64k"])
    with pytest.raises(ValueError, match="containers is 0"):
        layers.grow(spec, box_image("lab/base:1"), 0, 4 * 1024**3, PARAMETERS)
    with pytest.raises(KeyError, match="no-such"):
        layers.storages_of(reference, ["no-such"])


# -- 3: loop or direct -------------------------------------------------------------------------------------------


def test_the_two_questions_multiply_to_the_third(reference: Run) -> None:
    rows = loop_or_direct.ratios(reference)
    jobs = list(dict.fromkeys(rows["job"]))
    assert len(jobs) >= 5
    for job in jobs:
        loop, block, both = (loop_or_direct.ratio_of(rows, job, question.asks)
                             for question in loop_or_direct.QUESTIONS)
        assert loop is not None
        assert block is not None
        assert both is not None
        assert loop.n == block.n == both.n
        assert loop.centre * block.centre == pytest.approx(both.centre)


def test_a_ratio_is_that_of_the_runs_rows(quickstart: Run) -> None:
    rows = loop_or_direct.ratios(quickstart, [loop_or_direct.BOTH])
    found = loop_or_direct.ratio_of(rows, "seq-write-1m, write", "both")
    assert found is not None
    wanted = (value(quickstart, "loop-lvm.layer.fio-short", "seq-write-1m", "write_bandwidth")
              / value(quickstart, "direct-lvm.layer.fio-short", "seq-write-1m", "write_bandwidth"))
    assert found.centre == pytest.approx(wanted)
    assert (found.low, found.n) == (None, 1)
    assert loop_or_direct.side_by_side(rows).loc["seq-write-1m, write", "both"].endswith("(n = 1, no interval)")
    assert loop_or_direct.ratio_of(rows, "no-such", "both") is None


def test_pools_that_a_run_lacks_give_no_ratios_and_no_figure(quickstart: Run) -> None:
    rows = loop_or_direct.ratios(quickstart)
    assert rows.empty
    with pytest.raises(ValueError, match="nothing to draw"):
        loop_or_direct.drawn(rows)


def test_space_differs_by_the_paired_growth_in_data_blocks(reference: Run) -> None:
    facts = facts_of(reference)
    table = loop_or_direct.space(facts)
    frame = facts.frame[(facts.frame["phase"] == "write") & (facts.frame["metric"] == "storage_growth")
                        & (facts.frame["target"] == "layer") & (facts.frame["workload"] == "files")]
    by = {label: part.set_index("repetition")["value"] for label, part in frame.groupby("label")}
    wanted = (by["loop-lvm"] - by["direct-64k"]).dropna().median() / 65536
    assert table.loc["write", "difference_blocks"] == pytest.approx(wanted)
    assert {"write", "update", "sum of all phases"} <= set(table.index)
    files = loop_or_direct.loop_file(facts)
    assert list(files.index) == facts.phases("layer")
    assert list(loop_or_direct.space_of(facts, ["loop-lvm"]).columns) == ["loop-lvm, MiB"]


def test_a_forest_marks_what_has_no_interval_and_is_none_where_nothing_is() -> None:
    sure, open_ = Estimate(0.5, 0.4, 0.6, 5, 0.95), Estimate(2.0, None, None, 1, None)
    figure = forest.forest([forest.Mark("a job", "x", sure), forest.Mark("a job", "y", open_)], title="T", xlabel="r")
    assert figure is not None
    assert "n = 1 to 5; hollow: no interval" in figure.get_suptitle()
    faces = [line.get_markerfacecolor() for line in figure.axes[0].lines if line.get_marker() not in (None, "None", "")]
    assert "white" in faces
    assert forest.forest([], title="T", xlabel="r") is None
    assert forest.forest([forest.Mark("j", "x", Estimate(float("nan"), None, None, 0, None))], title="T",
                         xlabel="r") is None


# -- 6: layer or volume ------------------------------------------------------------------------------------------


def test_kept_is_the_sum_of_the_phases_before_the_first_delete(quickstart: Run) -> None:
    rows = volume_cost.kept(quickstart)
    for storage in ("loop-lvm", "direct-lvm", "overlay2-ext4"):
        for column, target, metric in (("layer_bytes", "layer", "storage_growth"),
                                       ("volume_bytes", "volume", "volume_growth"),
                                       ("below_bytes", "volume", "storage_growth")):
            wanted = sum(value(quickstart, f"{storage}.{target}.files", phase, metric)
                         for phase in ("start", "write", "update", "small_files", "log"))
            assert rows.loc[storage, column] == pytest.approx(wanted), (storage, column)
    assert volume_cost.drawn(rows).png().startswith(b"\x89PNG")


def test_the_speeds_are_layer_over_volume(quickstart: Run) -> None:
    found = {(job, label): one for job, label, one in volume_cost.speeds(quickstart)}
    one = found["rand-read-4k, read", "direct-lvm"]
    wanted = (value(quickstart, "direct-lvm.layer.fio-short", "rand-read-4k", "read_bandwidth")
              / value(quickstart, "direct-lvm.volume.fio-short", "rand-read-4k", "read_bandwidth"))
    assert one.centre == pytest.approx(wanted)
    assert volume_cost.speeds_drawn(volume_cost.speeds(quickstart), ["direct-lvm"]).png().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="nothing to draw"):
        volume_cost.speeds_drawn(volume_cost.speeds(quickstart), ["no-such"])


def test_the_model_foretells_what_a_volume_costs_the_pool(quickstart: Run) -> None:
    rows = volume_cost.by_phase(quickstart, "direct-lvm", PARAMETERS)
    early = rows.loc[["start", "write", "update", "small_files", "log"]]
    assert early["measured_bytes"].sum() > 20 * MIB, "a volume is not free"
    assert early["simulated_bytes"].sum() == pytest.approx(early["measured_bytes"].sum(), rel=0.25)


def test_a_container_with_a_volume_costs_the_pool_by_cause(reference: Run) -> None:
    specs = layers.storages_of(reference, ["direct-64k", "direct-lvm"])
    table = volume_cost.causes_table(specs, box_image("lab/app:1"), 4 * 1024**3, PARAMETERS)
    for spec in specs:
        row = table.loc[spec.label]
        assert all(row[f"{cause}, MiB"] * MIB == row[f"{cause}, blocks"] * (spec.chunk_size_bytes or 0)
                   for cause in volume_cost.CAUSES)
        assert row["start, MiB"] >= 4, "two mounts of 2 MiB"
    assert (table.loc["direct-lvm", "XFS writes back, MiB"] >
            2 * table.loc["direct-64k", "XFS writes back, MiB"]), "blocks of eight times the size"
    assert volume_cost.causes_drawn(table).png().startswith(b"\x89PNG")
    (plain,) = layers.storages_of(reference, ["overlay2-ext4"])
    with pytest.raises(ValueError, match="no pool"):
        volume_cost.causes(plain, box_image("lab/base:1"), 1, 4 * 1024**3, PARAMETERS)


def test_intervals_appear_once_there_are_repetitions_enough(quickstart: Run) -> None:
    """The same rows three times over, as repetitions 1, 2 and 3: each comparison gets an interval of no width."""
    import pandas as pd

    rows = pd.concat([quickstart.measurements.assign(repetition=number) for number in (1, 2, 3)], ignore_index=True)
    thrice = Run(quickstart.path, quickstart.manifest)
    thrice.__dict__["measurements"] = rows
    assert volume_cost.kept(thrice)["in the layer, MiB"].str.contains("n = 3").all()
    found = loop_or_direct.ratios(thrice, [loop_or_direct.BOTH])
    assert (found["n"] == 3).all()
    assert not found[["low", "high"]].isna().any(axis=None)
