"""What Docker's documentation says of a workload and its host: rules that exclude a storage, and rules that weigh.

The rules stand in ``constraints.yaml``.  A soft rule counts one for or against, because the documentation gives no
weights.  A rule with a ``check`` is about space, which runs count and do not time: where one has it, it decides, and
for every storage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field, StrictBool, StrictInt

from lab.answers.advise.options import Option
from lab.answers.advise.profile import Backing, Distribution, Profile
from lab.answers.advise.versions import older, parse_version
from lab.scenario.scenario import Target
from lab.scenario.steps import Part
from lab.scenario.yaml_text import parse

RULES_FILE = "constraints.yaml"
Effect = Literal["exclude", "for", "against", "note"]
Check = Literal["keeps_deleted", "grows_most", "copies_least"]


class When(Part):
    """Conditions of a rule, all of which must hold; one whose fact the profile leaves out leaves the rule open."""

    purpose: Literal["production", "test"] | None = None
    docker_from: str | None = None
    docker_before: str | None = None
    kernel_before: str | None = None
    distribution: tuple[Distribution, ...] | None = None
    not_distribution: tuple[Distribution, ...] | None = None
    backing: tuple[Backing, ...] | None = None
    ftype: StrictBool | None = None
    block_device: StrictBool | None = None
    containers_from: StrictInt | None = None
    log_driver: str | None = None
    write_heavy: StrictBool | None = None
    rewrites_image: StrictBool | None = None
    small_files: StrictBool | None = None
    logs: StrictBool | None = None
    deletes: StrictBool | None = None

    def holds(self, profile: Profile) -> bool | None:
        """Whether all do; None where none fails, and one hangs on a fact that the profile leaves out."""
        told = [holds for _, holds in self._each(profile)]
        return False if False in told else None if None in told else True

    def missing(self, profile: Profile) -> list[str]:
        """The facts that the profile leaves out, as ``host.docker``."""
        return list(dict.fromkeys(fact for fact, holds in self._each(profile) if holds is None))

    def _each(self, profile: Profile) -> list[tuple[str, bool | None]]:
        """The fact that each condition is about, and whether it holds."""
        host, space = profile.host, profile.space
        every: list[tuple[str, object, bool | None]] = [
            ("purpose", self.purpose, profile.purpose == self.purpose),
            ("host.docker", self.docker_from, _not(_older(host.docker, self.docker_from))),
            ("host.docker", self.docker_before, _older(host.docker, self.docker_before)),
            ("host.kernel", self.kernel_before, _older(host.kernel, self.kernel_before)),
            ("host.distribution", self.distribution, _among(host.distribution, self.distribution)),
            ("host.distribution", self.not_distribution, _not(_among(host.distribution, self.not_distribution))),
            ("host.backing", self.backing, _among(host.backing, self.backing)),
            ("host.ftype", self.ftype, _among(host.ftype, (self.ftype,))),
            ("host.block_device", self.block_device, _among(host.block_device, (self.block_device,))),
            ("host.containers", self.containers_from, host.containers >= (self.containers_from or 0)),
            ("host.log_driver", self.log_driver, host.log_driver == self.log_driver),
            ("writes.share", self.write_heavy, profile.write_heavy is self.write_heavy),
            ("writes.image", self.rewrites_image, (profile.writes.image * profile.writes.share > 0 or (
                space is not None and space.rewritten_bytes > 0)) is self.rewrites_image),
            ("space.small_files", self.small_files, (space is not None and space.small_files > 0) is self.small_files),
            ("space.log_lines", self.logs, (space is not None and space.log_lines > 0) is self.logs),
            ("space.deletes", self.deletes, (space is not None and space.deletes) is self.deletes),
        ]
        return [(fact, holds) for fact, asked, holds in every if asked is not None]


def _older(version: str | None, than: str | None) -> bool | None:
    """None too where the version is the other's beginning: 3.10 may be any 3.10.0-N."""
    if version is None or than is None:
        return None
    told, bound = parse_version(version), parse_version(than)
    if told == bound[:len(told)] and any(bound[len(told):]):
        return None
    return older(version, than)


def _among(value: object, allowed: Sequence[object] | None) -> bool | None:
    return None if value is None or allowed is None else value in allowed


def _not(holds: bool | None) -> bool | None:
    return None if holds is None else not holds


class Rule(Part):
    """One statement of the documentation, in the lab's words."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")
    effect: Effect
    storages: tuple[str, ...] = Field(min_length=1)
    target: Target | None = None
    """Only where the data go there; both by default."""
    when: When = When()
    says: str = Field(min_length=1)
    source: str = Field(min_length=1)
    """The heading where it stands."""
    removed_in: str | None = None
    """The Docker version that removed what the rule is about."""
    check: Check | None = None
    """What in the runs settles it."""
    remedy: str | None = None

    def concerns(self, option: Option) -> bool:
        """Whether the rule is about the option's storage, and about where its data go."""
        return option.spec.storage in self.storages and self.target in (None, option.target)


@dataclass(frozen=True)
class Told:
    """A rule that the profile meets; ``missing``: facts that it leaves out, and on which the rule hangs."""

    rule: Rule
    missing: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether the rule hangs on a fact that the profile leaves out."""
        return bool(self.missing)


@cache
def rules() -> tuple[Rule, ...]:
    """The rules of ``constraints.yaml``, in its order."""
    text = files("lab.answers.advise").joinpath(RULES_FILE).read_text(encoding="utf-8")
    document = parse(text, Path(RULES_FILE))
    return tuple(Rule.model_validate(item) for item in document.data["rules"])


def applicable(profile: Profile) -> list[Told]:
    """The rules that the profile meets, or may meet."""
    return [Told(rule, tuple(rule.when.missing(profile))) for rule in rules() if rule.when.holds(profile) is not False]
