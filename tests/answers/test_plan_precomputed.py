"""Ensembles that were run before: against `lab plan`'s own runs; what is written is read, what does not fit is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lab.answers.plan.ensemble import seed_of
from lab.answers.plan.host import as_planned, unbounded_host
from lab.answers.plan.plan_file import load_plan, read_plan
from lab.answers.plan.planning import Effort, answer
from lab.answers.plan.precomputed import (
    POINTS,
    Ensemble,
    all_variants,
    highest_so_far,
    make_ensemble,
    read_ensemble,
    read_ensembles,
    write_ensemble,
    write_ensembles,
)
from lab.answers.plan.workers import workers
from lab.errors import InputError
from lab.model.fleet.arrivals import DAY_SECONDS
from lab.model.fleet.fleet import Fleet
from lab.simulate.parameters import read_parameters

ROOT = Path(__file__).parents[2]
PLANS = ROOT / "scenarios" / "plans"
ENSEMBLES = ROOT / "results" / "ensembles"
MOST_FILE_BYTES = 600_000

TEXT = """\
name: tiny
horizon_days: 2
storage: {storage: direct-lvm, chunk_size: 512KiB}
pool: {data: 3GiB, free: 128MiB}
workload:
  - name: web
    image: lab/app:1
    steps: [start, write: {amount: 24MiB}, delete: written]
    starts_per_day: 60
    lifetime: {exponential: 3h}
images: [{image: lab/app:1, tags_per_month: 60}]
"""
N = 3


@pytest.fixture(scope="module")
def made() -> Ensemble:
    with workers(1) as crew:
        return make_ensemble(read_plan(TEXT, Path("tiny.yaml")), read_parameters(None), crew, N)


@pytest.fixture
def files(made: Ensemble, tmp_path: Path) -> tuple[Path, Path]:
    """The plan, and the folder of its ensemble."""
    plan = tmp_path / "plans" / "tiny.yaml"
    plan.parent.mkdir()
    plan.write_text(TEXT)
    write_ensemble(made, tmp_path / "ensembles")
    return plan, tmp_path / "ensembles"


# -- what is in them -----------------------------------------------------------------------------------------

def test_every_variant_ends_at_the_peaks_that_lab_plan_finds(made: Ensemble) -> None:
    with workers(1) as crew:
        found = answer(made.plan, read_parameters(None), crew, Effort(replications=1), lambda unit: lambda *told: None)
    peaks = {"as planned": found.replications[0].demand, **found.replications[0].others}
    assert list(peaks) == list(made.demands)
    for name, peak in peaks.items():
        demand = made.demands[name]
        assert demand.data_bytes[0, -1] == np.float32(peak.data_bytes), name
        assert demand.metadata_bytes[0, -1] == np.float32(peak.metadata_bytes), name


def test_levels_rise_from_the_first_image_on(made: Ensemble) -> None:
    assert made.days.tolist() == pytest.approx([day / 50 for day in range(POINTS)])
    for demand in made.demands.values():
        assert demand.data_bytes.shape == demand.metadata_bytes.shape == (N, POINTS)
        for curves in (demand.data_bytes, demand.metadata_bytes):
            assert (np.diff(curves, axis=1) >= 0).all()
        assert (demand.data_bytes[:, 0] > 0).all()
        assert (demand.data_bytes[:, -1] > demand.data_bytes[:, 0]).all()
    assert not made.demands["overlay2 on ext4"].is_pool
    assert made.demands["as planned"].is_pool


def test_a_point_is_at_least_what_any_sample_up_to_it_shows(made: Ensemble) -> None:
    host = unbounded_host(made.plan, as_planned(made.plan), read_parameters(None))
    seed = seed_of(made.plan.seed, 1)
    run = Fleet(host, seed, sample_seconds=60.0).run(made.plan.horizon_days)
    told = highest_so_far(host, made.plan.horizon_days, (seed,))[0]
    assert told[0].tolist() == made.demands["as planned"].data_bytes[1].tolist()
    places = np.searchsorted(run.seconds, made.days * DAY_SECONDS, side="right") - 1
    for curve, samples in zip(told, (run.data_used, run.metadata_used), strict=True):
        running = np.maximum.accumulate(samples)[places]
        assert (curve >= running * (1 - 1e-6)).all()
        assert (curve <= curve[-1]).all()
        assert len(set(running.tolist())) > 5, "nothing to tell apart"


# -- written and read ----------------------------------------------------------------------------------------

def test_what_was_written_is_read(made: Ensemble, files: tuple[Path, Path]) -> None:
    found = read_ensemble(*files)
    assert list(found.demands) == list(made.demands) == [one.name for one in all_variants(made.plan)]
    for name, demand in made.demands.items():
        assert found.demands[name].variant == demand.variant
        assert np.array_equal(found.demands[name].data_bytes, demand.data_bytes)
        assert np.array_equal(found.demands[name].metadata_bytes, demand.metadata_bytes)
    assert found.made.model_copy(update={"table_sha256": ""}) == made.made
    assert (found.made.seed, found.n, found.made.plan) == (1, N, "tiny")
    assert [one.plan.name for one in read_ensembles(files[0].parent, files[1])] == ["tiny"]


def test_all_plans_of_a_folder_are_written(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEXT.replace("horizon_days: 2", "horizon_days: 0.1"))
    write_ensembles(tmp_path, tmp_path / "out", replications=1, processes=1)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["tiny.json", "tiny.parquet"]


Spoil = Callable[[Path, Path], None]


def edit(key: str, value: object) -> Spoil:
    def spoil(plan: Path, folder: Path) -> None:
        document = json.loads((folder / "tiny.json").read_text())
        (folder / "tiny.json").write_text(json.dumps({**document, key: value}))

    return spoil


@pytest.mark.parametrize(("spoil", "words"), [
    (lambda plan, folder: (folder / "tiny.json").unlink(), "no ensemble can be read here"),
    (lambda plan, folder: (folder / "tiny.parquet").unlink(), "no ensemble can be read here"),
    (lambda plan, folder: plan.write_text(TEXT + "# one more thought\n"), "another text of the plan"),
    (lambda plan, folder: (folder / "tiny.parquet").write_bytes(b"PAR1"), "not the one that the file beside it"),
    (lambda plan, folder: (folder / "tiny.json").write_text("{"), "cannot be read"),
    (lambda plan, folder: (folder / "tiny.json").write_text("[]"), "schema version None"),
    (edit("schema_version", 2), "schema version 2, this lab reads 1"),
    (edit("variants", ["as planned"]), "today's lab tries others"),
    (edit("parameters_sha256", "0" * 64), "other parameters of the model"),
    (edit("replications", 7), "rows"),
    (edit("seed", "one"), "damaged: seed"),
    (edit("surprise", 1), "damaged: surprise"),
])
def test_what_does_not_fit_is_refused_with_the_remedy(files: tuple[Path, Path], spoil: Spoil, words: str) -> None:
    spoil(*files)
    with pytest.raises(InputError, match=words) as caught:
        read_ensemble(*files)
    assert caught.value.remedy == "make ensembles"
    assert str(files[1]) in (caught.value.where or "")


# -- the committed ones --------------------------------------------------------------------------------------

@pytest.mark.parametrize("plan", sorted(PLANS.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_committed_ensembles_are_of_todays_plans_and_parameters_and_small(plan: Path) -> None:
    found = read_ensemble(plan, ENSEMBLES)
    assert found.made.parameters_sha256 == read_parameters(None).growth_digest(), "make ensembles"
    assert found.made.seed == load_plan(plan).seed
    assert (ENSEMBLES / f"{found.plan.name}.parquet").stat().st_size < MOST_FILE_BYTES
