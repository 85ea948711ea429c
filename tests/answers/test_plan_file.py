"""Plan files and flags: what is read, what is refused, and where it is said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.answers.plan.flags import Flags, plan_of_flags
from lab.answers.plan.plan_file import Containers, ImageTags, PlanFile, PoolSizes, Routine, load_plan, read_plan
from lab.errors import InputError
from lab.model.fleet.distributions import Constant, Empirical, Exponential, Gamma, LogNormal
from lab.scenario.scenario import StepsWorkload
from lab.scenario.steps import Part
from lab.storages.metadata_size import kernel_rule_bytes

PLANS = sorted((Path(__file__).parents[2] / "scenarios" / "plans").glob("*.yaml"))
PAGE = Path(__file__).parents[2] / "docs" / "plan.md"
MIB, GIB = 1024**2, 1024**3
GOOD = """\
name: good
horizon_days: 10
storage: {storage: direct-lvm, chunk_size: 64KiB}
pool: {data: 20GiB, free: 4GiB}
workload:
  - name: web
    image: lab/app:1
    steps: [start, write: {amount: 8MiB}, update: {amount: 1MiB}]
    starts_per_day: 100
    lifetime: {exponential: 1h}
    size: {lognormal: {median: 1, sigma: 0.5}}
images:
  - {image: lab/app:1, tags_per_month: 4}
upkeep: {prune_every: 7d}
"""


def read(text: str) -> PlanFile:
    return read_plan(text, Path("plan.yaml"))


def test_a_plan_is_read_with_its_units() -> None:
    plan = read(GOOD)
    assert (plan.pool.data_bytes, plan.pool.free_bytes, plan.upkeep.prune_every_seconds) == (
        20 * GIB, 4 * GIB, 7 * 86_400.0)
    assert plan.workload[0].lifetime == Exponential(3600.0)
    assert plan.workload[0].size == LogNormal(1.0, 0.5)
    assert plan.metadata_bytes == kernel_rule_bytes(20 * GIB, 64 * 1024) == 15 * MIB
    assert (plan.min_free_share, plan.risk, plan.alerts_percent) == (0.1, 0.01, (80, 90))


@pytest.mark.parametrize(("written", "meant"), [
    ("2h", Constant(7200.0)), ("{constant: 2h}", Constant(7200.0)), ("{gamma: {shape: 2, mean: 1h}}", Gamma(2, 3600.0)),
    ("{observed: [1s, 2s]}", Empirical((1.0, 2.0)))])
def test_every_distribution_is_read(written: str, meant: object) -> None:
    assert read(GOOD.replace("{exponential: 1h}", written)).workload[0].lifetime == meant


@pytest.mark.parametrize(("there", "instead", "line", "told"), [
    ("starts_per_day: 100", "starts_per_day: -1", 9, "-1 is too small, at least 0"),
    ("horizon_days: 10", "horizon_days: 0", 2, "0: input should be greater than 0"),
    ("chunk_size: 64KiB", "autoextend_threshold: 101", 3, "101 is too large, at most 100"),
    ("chunk_size: 64KiB", "data_percent: 95", 3, "data_percent is for a scenario"),
    ("upkeep:", "alerts_percent: [80, 101]\nupkeep:", 14, "101 is too large, at most 99"),
    ("upkeep:", "alerts_percent: [90, 80]\nupkeep:", 14, "[90, 80] does not rise"),
    ("free: 4GiB", "min_free_space_percent: 100", 4, "100 is too large, at most 99"),
    ("data: 20GiB", "data: 20", 4, "20 has no unit"),
    ("free: 4GiB", "fre: 4GiB", 4, "unknown key 'fre', did you mean 'free'?"),
    ("starts_per_day", "containers", 9, "containers is for a scenario; in a plan starts_per_day says how many"),
    ("{exponential: 1h}", "{exponental: 1h}", 10, "unknown distribution 'exponental', did you mean 'exponential'?"),
    ("{exponential: 1h}", "{exponential: 1}", 10, "1 has no unit"),
    ("{exponential: 1h}", "{exponential: 0s}", 10, "'0s' is out of range"),
    ("{exponential: 1h}", "{observed: []}", 10, "[] is no list of values"),
    ("sigma: 0.5", "sigma: -0.5", 11, "-0.5 is no number above 0"),
    (", sigma: 0.5", "", 11, "lognormal lacks sigma"),
    ("    lifetime: {exponential: 1h}\n", "", 6, "'lifetime' is missing"),
    ("image: lab/app:1, tags", "image: lab/base:1, tags", 13, "no workload uses 'lab/base:1'; allowed: lab/app:1"),
    ("tags_per_month: 4", "size: 1GiB", 13, "lacks layers; size and layers go together"),
    ("[start, write: {amount: 8MiB}, update: {amount: 1MiB}]", "[pause: 1s, start]", 8, "the first step is pause"),
    ("prune_every: 7d", "prune_every: 0s", 14, "greater than 0"),
    ("    steps:", "    targets: [layer, volume]\n    steps:", 8, "2 targets; one of layer, volume"),
    ("    steps:", "    kept_share: 1.5\n    steps:", 8, "1.5 is too large, at most 1"),
    ("    steps:", "    busy_hours: [1, 2]\n    steps:", 8, "24 allowed"),
    ("storage: {storage: direct-lvm, chunk_size: 64KiB}", "storage: overlay2-ext4", 4, "free does not apply"),
    ("chunk_size: 64KiB", "chunk_size: 128MiB", 3, "128 MiB cannot be simulated; up to 64 MiB allowed"),
    ("chunk_size: 64KiB", "throttle: {iops: 100}", 3, "throttle is for a scenario"),
    ("storage: {storage: direct-lvm, chunk_size: 64KiB}\npool: {data: 20GiB, free: 4GiB",
     "storage: overlay2-ext4\npool: {data: 20GiB, min_free_space_percent: 20", 4, "the daemon refuses nothing there"),
    ("name: good", "name: good\ngrowth_percent_a_month: -1", 2, "-1 is too small"),
])
def test_what_cannot_be_is_refused_with_file_and_line(there: str, instead: str, line: int, told: str) -> None:
    assert there in GOOD
    with pytest.raises(InputError) as caught:
        read(GOOD.replace(there, instead, 1))
    assert str(caught.value).startswith(f"plan.yaml:{line}: ")
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_plan(tmp_path / "none.yaml")


def test_flags_make_the_plan_that_they_say() -> None:
    plan = plan_of_flags(Flags(pool="50GiB", chunk_size="128KiB", starts_per_day=300, writes="64MiB", updates="0B"))
    assert (plan.pool.data_bytes, plan.storage.chunk_size_bytes) == (50 * GIB, 128 * 1024)
    assert [step.kind for step in plan.workload[0].steps] == ["start", "write"]
    assert plan.workload[0].starts_per_day == 300
    assert read(plan.text) == plan.model_copy(update={"path": Path("plan.yaml")})


def test_what_a_flag_cannot_be_is_refused_by_the_flags_name() -> None:
    for flags, flag, told in (
            (Flags(pool="50"), "--pool", "has no unit"), (Flags(pool="0GiB"), "--pool", "too small"),
            (Flags(writes="20 MB"), "--writes", "'20 MB' is not a"), (Flags(lifetime="1"), "--lifetime", "no unit"),
            (Flags(starts_per_day=-5), "--starts-per-day", "-5 is too small"), (Flags(days=0), "--days", "0"),
            (Flags(storage="zfs"), "--storage", "unknown"), (Flags(vg_free="-1GiB"), "--vg-free", "-1GiB"),
            (Flags(updates="1KiB"), "--updates", "less than a page"), (Flags(metadata=""), "--metadata", ""),
            (Flags(chunk_size="65KiB"), "--chunk-size", "65"), (Flags(prune_every=""), "--prune-every", ""),
            (Flags(prune_every="0d"), "--prune-every", "0")):
        with pytest.raises(InputError) as caught:
            plan_of_flags(flags)
        assert str(caught.value).startswith(f"{flag}: "), caught.value
        assert told in str(caught.value)


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_the_shipped_plans_can_be_read(path: Path) -> None:
    plan = load_plan(path)
    assert plan.name == path.stem
    assert plan.question
    assert "assumptions" in plan.text


def test_four_plans_are_shipped() -> None:
    assert [path.stem for path in PLANS] == ["build-farm", "ci-host", "log-host", "web-host"]


# -- the page on plans -------------------------------------------------------------------------------------

def test_the_plan_on_the_page_can_be_read() -> None:
    text = PAGE.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    assert read(text).name == "my-host"


@pytest.mark.parametrize("section", [PlanFile, PoolSizes, ImageTags, Routine, Containers])
def test_every_key_is_on_the_page(section: type[Part]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [key for key in set(section.keys()) - set(StepsWorkload.keys()) if key not in page]
    assert missing == []
