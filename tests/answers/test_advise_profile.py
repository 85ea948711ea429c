"""A profile: what it takes from its file, what its shares become, and what it refuses."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.answers.advise.jobs import job_shares
from lab.answers.advise.profile import Profile, read_profile
from lab.answers.advise.versions import older, parse_version
from lab.errors import InputError

PROFILES = Path(__file__).parents[2] / "scenarios" / "profiles"
GOOD = """\
name: mine
purpose: test
reads: {share: 0.4, size: 8KiB}
writes: {share: 0.6, image: 0.1, sync: 0.5, random: 0.75, first: 0.2}
space: {written: 64MiB, files: 4}
host:
  distribution: debian
  docker: "20.10"
  backing: xfs
  ftype: false
  containers: 7
"""
SHARES = st.floats(0, 1)


def load(folder: Path, text: str) -> Profile:
    file = folder / "mine.yaml"
    file.write_text(text)
    return read_profile(file)


@pytest.mark.parametrize("file", sorted(PROFILES.glob("*.yaml")), ids=lambda file: file.name)
def test_every_profile_of_the_repository_loads(file: Path) -> None:
    profile = read_profile(file)
    assert profile.space is not None
    assert profile.host.docker is not None


def test_values_units_and_defaults(tmp_path: Path) -> None:
    profile = load(tmp_path, GOOD)
    assert (profile.reads.size_bytes, profile.writes.size_bytes) == (8192, 4096)
    assert (profile.host.containers, profile.host.layers, profile.host.kernel) == (7, 1, None)
    assert profile.space is not None
    assert (profile.space.written_bytes, profile.space.deletes) == (64 * 1024**2, False)
    assert profile.write_heavy


def test_a_heading_with_nothing_below_has_the_defaults(tmp_path: Path) -> None:
    profile = load(tmp_path, "reads: {share: 1}\nwrites: {share: 0}\nhost:\nspace:\n")
    assert profile.host.containers == 1
    assert profile.space is not None
    assert profile.space.written_bytes == 0
    with pytest.raises(InputError, match=r"mine\.yaml:1: reads: 'share' is missing"):
        load(tmp_path, "reads:\nwrites: {share: 1}\n")


def test_a_whole_number_is_a_version(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD.replace('"20.10"', "25")).host.docker == "25"


@pytest.mark.parametrize(("old", "new", "line", "words"), [
    ("share: 0.4", "share: -0.4", 3, ["-0.4", "from 0 to 1"]),
    ("share: 0.4", "share: 1.5", 3, ["1.5", "from 0 to 1"]),
    ("share: 0.4", "share: .nan", 3, [".nan", "from 0 to 1"]),
    ("share: 0.4", "share: true", 3, ["True", "from 0 to 1"]),
    ("share: 0.4", "share: 0.5", 4, ["is 1.1", "writes are 0.5"]),
    ("sync: 0.5", "snyc: 0.5", 4, ["'snyc'", "did you mean 'sync'"]),
    ("purpose: test", "purpose: staging", 2, ["'staging'", "'production'"]),
    ("distribution: debian", "distribution: debain", 7, ["'debain'", "did you mean 'debian'", "'other'"]),
    ('docker: "20.10"', "docker: 20.10", 8, ["20.1", "quote it"]),
    ('docker: "20.10"', "docker: latest", 8, ["'latest'", "no version"]),
    ("backing: xfs", "backing: ext4", 10, ["ftype", "ext4", "leave it out"]),
    ("backing: xfs", "backing: fat", 9, ["'fat'", "'ext4'"]),
    ("containers: 7", "containers: 0", 11, ["0", "at least 1"]),
    ("written: 64MiB", "written: 64", 5, ["no unit"]),
    ("files: 4", "files: 0", 5, ["0", "at least 1"]),
    ("files: 4", "rewritten: 5KiB", 5, ["no multiple of 4KiB"]),
    ("name: mine", "nam: mine", 1, ["'nam'", "did you mean 'name'"]),
    ("reads: {share: 0.4, size: 8KiB}", "reads: 0.4", 3, ["0.4", "no mapping"]),
    ("host:\n", "host: 5\nhots:\n", 7, ["'hots'", "did you mean 'host'"]),
])
def test_a_mistake_is_named_by_line_value_and_what_is_allowed(tmp_path: Path, old: str, new: str, line: int,
                                                              words: list[str]) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(InputError) as refused:
        load(tmp_path, GOOD.replace(old, new))
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / 'mine.yaml'}:{line}: "), message
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["[1, 2]", "just words", "", "a: *b", "name: x\nname: y"])
def test_a_file_that_is_no_profile_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as refused:
        load(tmp_path, text)
    assert str(refused.value).startswith(str(tmp_path / "mine.yaml"))


def test_a_missing_share_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mine\.yaml.*'reads' is missing|mine\.yaml.*'share' is missing"):
        load(tmp_path, "name: mine\nhost: {containers: 2}\n")


@given(write=SHARES, image=SHARES, sync=SHARES, random=SHARES, first=SHARES, random_reads=SHARES)
def test_the_jobs_weights_are_one_together(write: float, image: float, sync: float, random: float, first: float,
                                           random_reads: float) -> None:
    profile = Profile.model_validate({
        "reads": {"share": 1 - write, "random": random_reads},
        "writes": {"share": write, "image": image, "sync": sync, "random": random, "first": first}})
    shares = job_shares(profile)
    assert math.fsum(share.weight for share in shares) == pytest.approx(1)
    assert all(share.weight > 0 for share in shares)
    assert [share.weight for share in shares] == sorted((share.weight for share in shares), reverse=True)


def test_the_shares_stand_for_the_jobs_that_they_name(tmp_path: Path) -> None:
    weights = {share.phase: share.weight for share in job_shares(load(tmp_path, GOOD))}
    assert weights == pytest.approx({
        "rand-read-4k": 0.4, "image-write-4k": 0.06, "rand-write-4k-fdatasync": 0.27,
        "seq-write-1m": 0.27 * 0.25 * 0.2, "seq-write-1m#2": 0.27 * 0.25 * 0.8,
        "rand-write-4k": 0.27 * 0.75 * 0.2, "rand-write-4k#2": 0.27 * 0.75 * 0.8})


def test_another_size_than_the_jobs_is_said(tmp_path: Path) -> None:
    caveats = [share.caveat for share in job_shares(load(tmp_path, GOOD)) if share.phase == "rand-read-4k"]
    assert caveats == ["random reads: the profile's are of 8 KiB, and rand-read-4k has blocks of 4 KiB"]


@given(st.lists(st.integers(0, 999), min_size=1, max_size=4), st.lists(st.integers(0, 999), min_size=1, max_size=4))
def test_versions_are_in_the_order_of_their_numbers(a: list[int], b: list[int]) -> None:
    left, right = ".".join(map(str, a)), ".".join(map(str, b))
    padded = [numbers + [0] * (4 - len(numbers)) for numbers in (a, b)]
    assert older(left, right) == (padded[0] < padded[1])
    assert parse_version(left) == tuple(a)
