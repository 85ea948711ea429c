"""What the documentation's rules exclude and weigh, for profiles whose answer the documentation gives."""

from __future__ import annotations

from typing import Any

import pytest

from lab.answers.advise.constraints import applicable, rules
from lab.answers.advise.options import OPTIONS, Option
from lab.answers.advise.profile import Profile
from lab.answers.advise.ranking import Ranking, exclude, rank
from lab.answers.advise.scores import score

DEVICEMAPPER = {"loop-lvm", "loop-discard", "direct-lvm", "direct-64k", "direct-128k", "direct-discard",
                "direct-lvm-docker"}
OVERLAY2 = {"overlay2-ext4", "overlay2-xfs"}


def profile(write: float = 0.2, *, purpose: str = "production", writes: dict[str, Any] | None = None,
            space: dict[str, Any] | None = None, **host: Any) -> Profile:
    return Profile.model_validate({"purpose": purpose, "reads": {"share": 1 - write},
                                   "writes": {"share": write, **(writes or {})}, "space": space, "host": host})


def excluded(told: Profile) -> set[str]:
    _, out = exclude(OPTIONS, applicable(told))
    return {one.option.label for one in out}


def by_documentation(told: Profile) -> Ranking:
    """The ranking without any run."""
    return rank(OPTIONS, applicable(told), score(None, (), ()), None)


def first(ranking: Ranking) -> set[Option]:
    return {one.option for one in ranking.first}


def test_the_rules_load_each_with_a_source_and_its_own_id() -> None:
    found = rules()
    assert len({rule.id for rule in found}) == len(found) > 15
    assert all(len(rule.source) > 5 for rule in found)
    assert [rule.removed_in for rule in found if rule.id == "devicemapper-removed"] == ["25.0"]


@pytest.mark.parametrize(("told", "out"), [
    (profile(), {"loop-lvm", "loop-discard"}),
    (profile(purpose="test"), set()),
    (profile(purpose="test", docker="24.0.7"), set()),
    (profile(purpose="test", docker="25.0.1"), DEVICEMAPPER),
    (profile(purpose="test", docker="22.06"), set()),
    (profile(purpose="test", docker="17.03"), {"direct-lvm-docker"}),
    (profile(purpose="test", distribution="rhel", kernel="3.10.0-1160.el7", backing="xfs", ftype=False), OVERLAY2),
    (profile(purpose="test", distribution="rhel", kernel="3.10.0-1160.el7", backing="xfs", ftype=True),
     {"overlay2-ext4"}),
    (profile(purpose="test", distribution="rhel", kernel="3.10.0-327.el7"), OVERLAY2),
    (profile(purpose="test", distribution="ubuntu", kernel="3.13.0-24"), OVERLAY2),
    (profile(purpose="test", distribution="ubuntu", kernel="4.4"), set()),
    (profile(purpose="test", backing="ext4"), {"overlay2-xfs"}),
    (profile(purpose="test", backing="btrfs"), OVERLAY2),
    (profile(purpose="test", block_device=False), DEVICEMAPPER - {"loop-lvm", "loop-discard"}),
    (profile(docker="25.0", backing="zfs"), DEVICEMAPPER | OVERLAY2),
])
def test_hard_rules_exclude_what_the_documentation_excludes(told: Profile, out: set[str]) -> None:
    assert excluded(told) == out


@pytest.mark.parametrize("write", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("docker", [None, "17.06", "20.10", "25.0"])
def test_production_never_gets_loop_lvm(write: float, docker: str | None) -> None:
    ranking = by_documentation(profile(write, **({} if docker is None else {"docker": docker})))
    assert not {one.option.label for one in ranking.ranked} & {"loop-lvm", "loop-discard"}
    assert ranking.ranked


def test_a_fact_that_is_left_out_leaves_its_rules_open_and_excludes_nothing() -> None:
    told = {one.rule.id: one.missing for one in applicable(profile(purpose="test"))}
    assert told["devicemapper-removed"] == ("host.docker",)
    assert told["overlay2-needs-ftype"] == ("host.backing", "host.ftype")
    assert "loop-lvm-for-testing" not in told
    assert excluded(profile(purpose="test")) == set()


def test_a_write_heavy_database_gets_a_volume() -> None:
    ranking = by_documentation(profile(0.8, docker="20.10", distribution="debian", containers=4))
    assert first(ranking) == {Option(label, "volume") for label in OVERLAY2}
    assert all(one.decided_by is None for one in ranking.first)
    assert ranking.ranked[-1].decided_by == "documentation"


def test_many_small_containers_with_little_writing_get_overlay2() -> None:
    ranking = by_documentation(profile(0.05, docker="20.10", distribution="debian", containers=200,
                                       space={"small_files": 50}))
    assert {option.label for option in first(ranking)} == OVERLAY2


def test_options_that_the_documentation_does_not_tell_apart_share_a_place() -> None:
    ranking = by_documentation(profile(docker="25.0"))
    assert [one.place for one in ranking.ranked] == [1, 1, 1, 1]
    assert all(one.shared for one in ranking.ranked)
    assert not ranking.tells_something


def test_memory_counts_from_two_containers_on() -> None:
    def balance(containers: int) -> int:
        ranking = by_documentation(profile(docker="20.10", distribution="centos", containers=containers))
        return next(one.balance for one in ranking.ranked if one.option == Option("direct-lvm", "layer"))

    assert balance(2) == balance(1) - 1


def test_a_driver_that_is_disabled_by_default_weighs_more_than_one_that_is_deprecated_only() -> None:
    def balance(docker: str) -> int:
        ranking = by_documentation(profile(docker=docker, distribution="centos"))
        return next(one.balance for one in ranking.ranked if one.option == Option("direct-lvm", "layer"))

    assert [balance(docker) for docker in ("18.06", "20.10", "24.0")] == [0, -1, -2]


def test_a_version_that_is_told_too_shortly_leaves_its_rule_open() -> None:
    """CentOS 7.9 has 3.10.0-1160, and its first kernels were older than what overlay2 needs."""
    for kernel, out in (("3.10", set()), ("3.10.0", set()), ("3.10.0-327", OVERLAY2), ("3.10.0-1160", set()),
                        ("2.6", OVERLAY2)):
        assert excluded(profile(purpose="test", kernel=kernel, distribution="centos")) == out, kernel
    open_rules = {one.rule.id for one in applicable(profile(kernel="3.10", distribution="centos")) if one.open}
    assert "overlay2-kernel-of-red-hat" in open_rules
    assert excluded(profile(purpose="test", docker="25")) == DEVICEMAPPER


def test_loop_files_are_spoken_against_in_tests_too() -> None:
    ranking = by_documentation(profile(0.2, purpose="test", docker="17.06", distribution="centos"))
    place = {one.option: one.place for one in ranking.ranked}
    assert place[Option("direct-lvm", "layer")] < place[Option("loop-lvm", "layer")]


def test_devicemapper_on_a_distribution_that_is_not_listed_has_a_word_against_it() -> None:
    def balance(distribution: str) -> int:
        ranking = by_documentation(profile(docker="18.06", distribution=distribution))
        return next(one.balance for one in ranking.ranked if one.option == Option("direct-lvm", "layer"))

    assert balance("sles") == balance("other") == balance("centos") - 1


def test_what_the_documentation_only_notes_counts_nothing() -> None:
    ranking = by_documentation(profile(0.9, writes={"image": 0.5}, space={"small_files": 9, "log_lines": 9},
                                       docker="29.0"))
    notes = {statement.rule.id: statement.counts for one in ranking.ranked for statement in one.statements
             if statement.rule.effect == "note"}
    assert notes == dict.fromkeys(["stability", "many-layers", "inodes", "logs-beside-the-layers",
                                   "containerd-image-store"], 0)
