"""Where a side was measured: the machine, the host below it, the versions, the lab's own commit.

Two arms of one run share all of it but what their scenarios say of the caches.
Sides that differ in any of it are not compared: what changed may be the
environment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from lab.errors import InputError
from lab.runs.records import Manifest
from lab.scenario.arms import BASELINE, CANDIDATE
from lab.scenario.yaml_text import nearest

UNKNOWN = "unknown"
_CACHES = "drop_caches."


@dataclass(frozen=True)
class Difference:
    """One property in which two environments differ; ``accepted`` where the user said that it does not matter."""

    name: str
    baseline: str
    candidate: str
    accepted: bool

    def __str__(self) -> str:
        return f"{self.name} is {self.baseline!r} in the baseline and {self.candidate!r} in the candidate"


def fingerprint(manifest: Manifest, side: str = CANDIDATE) -> dict[str, str]:
    """Properties by name: ``machine.*``, ``versions.*``, ``lab.*``, ``drop_caches.*``; these of the run's arm."""
    arm = manifest.baseline if side == BASELINE and manifest.baseline is not None else manifest
    told: dict[str, object] = {f"machine.{name}": value for name, value in manifest.machine.model_dump().items()}
    told |= {f"versions.{name}": value for name, value in manifest.versions.items()}
    told |= {f"{_CACHES}{name}": value for name, value in arm.drop_caches.items()}
    told |= {"lab.version": manifest.lab.version, "lab.commit": manifest.lab.commit, "lab.dirty": manifest.lab.dirty}
    return {name: UNKNOWN if value is None else str(value) for name, value in told.items()}


def differences(baseline: Mapping[str, str], candidate: Mapping[str, str],
                accepted: Collection[str]) -> list[Difference]:
    """The properties in which two fingerprints differ.  Caches are compared for the workloads that both have.

    Raises InputError where ``accepted`` names something that neither has.
    """
    names = list(dict.fromkeys([*baseline, *candidate]))
    for name in accepted:
        if name not in names:
            raise InputError(f"the environment has no property {name!r}{nearest(name, names)}", where="--accept",
                             remedy=f"the properties are {', '.join(names)}")
    return [Difference(name, baseline.get(name, UNKNOWN), candidate.get(name, UNKNOWN), name in accepted)
            for name in names if baseline.get(name, UNKNOWN) != candidate.get(name, UNKNOWN)
            and not (name.startswith(_CACHES) and (name not in baseline or name not in candidate))]
