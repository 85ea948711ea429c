"""A plan -> its answers: footprints once, replications until the time is over, and the pools that follow from them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lab.answers.plan import answers, levers, sizing
from lab.answers.plan.ensemble import NEVER, Outcome, Replication, Study, run_batch, run_layouts
from lab.answers.plan.host import (
    Variant,
    as_planned,
    empty_storage,
    planned_capacity,
    planned_sizes,
    pool_capacity,
    unbounded_host,
    whole_extents,
)
from lab.answers.plan.plan_file import PlanFile
from lab.answers.plan.workers import BATCH, Progress, Workers, batches_until
from lab.model.fleet.plan import Capacity, Plan
from lab.model.parameters import Parameters
from lab.model.pool.volume_group import EXTENT_BYTES, VolumeGroup
from lab.storages.metadata_size import kernel_rule_bytes

STUDY_SHARE = 0.8
"""Of the time, for the replications; the rest is for the layouts that follow from them."""


Steps = Callable[[str], Progress]
"""Of a kind of steps, what is told of them."""


@dataclass(frozen=True)
class Tested:
    """A layout of the pool, and how the host fares on it.  ``layout`` is None without a volume group."""

    name: str
    capacity: Capacity
    layout: sizing.Layout | None
    limited: answers.Chance
    """Of anything refused or made to wait by the horizon."""
    extended: answers.Chance
    """Of LVM having extended it at least once."""


@dataclass(frozen=True)
class ChunkSize:
    """What a data block asks for: bytes, sized as the pool is."""

    chunk_bytes: int
    data: sizing.Needed
    metadata: sizing.MetadataSizes
    difference: levers.Difference | None
    """Of the pool's data and twice its metadata, on average, to the planned data block; None for that one."""

    @property
    def group_bytes(self) -> int:
        """Data, metadata and spare."""
        return whole_extents(self.data.high) + 2 * self.metadata.wanted


@dataclass(frozen=True)
class Answers:
    """All that is told of a plan.  ``seconds`` is what the replications took."""

    plan: PlanFile
    parameters_sha256: str
    """``Parameters.growth_digest``."""
    capacity: Capacity
    replications: tuple[Replication, ...]
    seconds: float
    risks: tuple[answers.Risk, ...]
    days: tuple[answers.Days, ...]
    alerts: tuple[answers.Alert, ...]
    data: sizing.Needed
    metadata: sizing.MetadataSizes | None
    """None for overlay2."""
    chunks: tuple[ChunkSize, ...]
    """The planned data block first; empty for overlay2, and where nobody chooses."""
    tested: tuple[Tested, ...]
    effects: tuple[levers.Effect, ...]

    @property
    def n(self) -> int:
        """Replications."""
        return len(self.replications)

    @property
    def data_bytes(self) -> int:
        """The smallest data size that is within the accepted risk, in whole extents and whole data blocks."""
        step = math.lcm(EXTENT_BYTES, self.plan.storage.chunk_size_bytes or 1)
        return math.ceil(self.data.high / step) * step

    @property
    def chance(self) -> answers.Chance:
        """Of anything refused, or made to wait, by the horizon."""
        return self.risks[-1].by_horizon

    @property
    def holds(self) -> bool | None:
        """Whether the planned storage is within the accepted risk; None where the replications leave it open."""
        if self.chance.high <= self.plan.risk or self.holds_by_size:
            return True
        return False if self.chance.low > self.plan.risk else None

    @property
    def holds_by_size(self) -> bool:
        """Whether nothing happened in any replication, and the planned storage, never extended, is as large as what is
        told to do: that needs fewer replications than a count of what never happened, if the law of maxima is right."""
        if self.n < sizing.LEAST_FOR_A_LAW or self.chance.hits or self.data.high > self.capacity.data_bytes:
            return False
        simulated = None if self.metadata is None else self.metadata.simulated
        return simulated is None or simulated.high <= self.capacity.metadata_bytes

    @property
    def best_chunk(self) -> ChunkSize | None:
        """The data block that needs the least, if that is settled; else the planned one."""
        if not self.chunks:
            return None
        better = [one for one in self.chunks[1:] if one.difference is not None and one.difference.settled
                  and one.difference.mean < 0]
        return min(better, key=lambda one: one.difference.mean if one.difference else 0.0, default=self.chunks[0])


@dataclass(frozen=True)
class Effort:
    """How much is done: so many replications, or as many as fit into the seconds."""

    seconds: float = 60.0
    replications: int | None = None


def answer(plan: PlanFile, parameters: Parameters, crew: Workers, effort: Effort, steps: Steps) -> Answers:
    """All answers.  Raises InputError where the plan's host cannot be made."""
    began = time.monotonic()
    capacity = planned_capacity(plan, parameters)
    variants = (as_planned(plan), *levers.variants(plan))
    hosts: list[Plan] = crew.each(unbounded_host, [(plan, one, parameters) for one in variants], steps("footprints"))
    study = Study(hosts[0], capacity, tuple((one.name, host) for one, host in
                                            zip(variants[1:], hosts[1:], strict=True)),
                  plan.horizon_days, plan.seed, tuple(percent / 100 for percent in plan.alerts_percent))

    found = batches_until(crew, run_batch, (study,), replications=effort.replications,
                          deadline=began + STUDY_SHARE * effort.seconds, progress=steps("replications"))
    return _answers(plan, parameters, crew, study, found, variants, began, steps)


def _answers(plan: PlanFile, parameters: Parameters, crew: Workers, study: Study, found: list[Replication],
             variants: tuple[Variant, ...], began: float, steps: Steps) -> Answers:
    data, metadata = _sizes(plan, parameters, study, found, as_planned(plan), None)
    first = Answers(
        plan, parameters.growth_digest(), study.capacity, tuple(found), 0.0, answers.risks(found, plan.horizon_days),
        answers.days_to_marks(found), answers.alerts(found, plan.alerts_percent), data, metadata,
        _chunks(plan, parameters, study, found, variants), (),
        levers.effects(found, (1 - plan.min_free_share) * _reach(study.capacity), _reach(study.capacity)))
    tested = _tested(first, parameters, crew, study, steps)
    return replace(first, tested=tested, seconds=time.monotonic() - began)


def _reach(capacity: Capacity) -> float:
    """The data that the pool ends at once LVM has extended it as often as it can."""
    group = capacity.group()
    if group is None:
        return float(capacity.data_bytes)
    return float(sizing.layout("", group, capacity.spec.extension_percent).last_bytes)


def _sizes(plan: PlanFile, parameters: Parameters, study: Study, found: list[Replication], variant: Variant,
           name: str | None) -> tuple[sizing.Needed, sizing.MetadataSizes | None]:
    """What the planned host needs, or that of an alternative."""
    peaks = [one.demand if name is None else one.others[name] for one in found if name is None or one.others]
    left = 1 - plan.min_free_share
    data = sizing.needed([one.data_bytes for one in peaks], plan.risk).converted(lambda used: used / left)
    if not plan.is_pool:
        return data, None
    # the size that is told has bitmaps and a reserve of its own, and not those of the pool that the peaks are of
    data_bytes, metadata_bytes = planned_sizes(plan)
    planned = empty_storage(variant.spec, data_bytes, metadata_bytes, parameters).metadata_bytes
    bare = empty_storage(variant.spec, max(data_bytes, int(data.high)), 0, parameters).metadata_bytes
    simulated = sizing.needed([one.metadata_bytes - planned + bare for one in peaks], plan.risk).converted(
        lambda used: sizing.size_with_reserve(used, left))
    return data, sizing.metadata_sizes(data.high, variant.spec.chunk_size_bytes or 1,
                                       max(one.devices for one in peaks), simulated)


def _chunks(plan: PlanFile, parameters: Parameters, study: Study, found: list[Replication],
            variants: tuple[Variant, ...]) -> tuple[ChunkSize, ...]:
    others = [one for one in variants if one.name.startswith(levers.CHUNK)]
    if not others:
        return ()
    paired, left = [one for one in found if one.others], 1 - plan.min_free_share
    data, planned = _sizes(plan, parameters, study, paired, as_planned(plan), None)     # of as many runs as the others
    assert planned is not None
    told = [ChunkSize(plan.storage.chunk_size_bytes or 1, data, planned, None)]
    for variant in others:
        its_data, its_metadata = _sizes(plan, parameters, study, found, variant, variant.name)
        assert its_metadata is not None
        sides = [[(peaks.data_bytes + 2 * peaks.metadata_bytes) / left for peaks in side]
                 for side in ([one.demand for one in paired], [one.others[variant.name] for one in paired])]
        told.append(ChunkSize(variant.spec.chunk_size_bytes or 1, its_data, its_metadata, levers.difference(*sides)))
    return tuple(told)


def _tested(first: Answers, parameters: Parameters, crew: Workers, study: Study, steps: Steps) -> tuple[Tested, ...]:
    """The planned layout, and the size that is told, in all replications; others in those that have alternatives."""
    plan, spec = first.plan, first.plan.storage
    lone = replace(study, others=())
    sized = (pool_capacity(plan, first.data_bytes, first.metadata.wanted, None, parameters) if first.metadata
             else replace(study.capacity, data_bytes=first.data_bytes))
    near = tuple(one.number for one in first.replications if _may_limit(one, sized, study))
    runs = _runs(crew, lone, (sized,), near, steps("batches in the size that is told"))
    told = [Tested("as sized above, never extended", sized, None,
                   answers.Chance(sum(_limited(one[0]) for one in runs), first.n), answers.Chance(0, first.n))]
    group, percent = study.capacity.group(), spec.extension_percent
    if group is None or first.metadata is None:
        return tuple(told)
    working = sizing.working_layout(group, percent, spec.chunk_size_bytes or 1, first.metadata.wanted)
    layouts = [sizing.documented_layout(group, percent), *([working] if working is not None else [])]
    capacities = tuple(pool_capacity(plan, 0, 0, one.group, parameters) for one in layouts)
    some = tuple(one.number for one in first.replications if one.others)
    runs = _runs(crew, lone, capacities, some, steps("batches in other layouts"))
    planned = sizing.layout(f"as planned in {plan.name}", group, percent)
    told.append(_of_runs(planned, study.capacity, [one.planned for one in first.replications]))
    told += [_of_runs(one, capacities[number], [run[number] for run in runs]) for number, one in enumerate(layouts)]
    return tuple(told)


def _of_runs(layout: sizing.Layout, capacity: Capacity, outcomes: Sequence[Outcome]) -> Tested:
    n = len(outcomes)
    return Tested(layout.name, capacity, layout, answers.Chance(sum(map(_limited, outcomes)), n),
                  answers.Chance(sum(one.extensions > 0 for one in outcomes), n))


def _limited(outcome: Outcome) -> bool:
    return outcome.limited_at < NEVER


def _may_limit(one: Replication, capacity: Capacity, study: Study) -> bool:
    """Whether the demand comes so near to the size that somebody may notice it: else nobody does, and none is run."""
    left, empty, planned = 1 - capacity.min_free_percent / 100, capacity.empty, study.capacity.empty
    data = one.demand.data_bytes - planned.data_bytes + empty.data_bytes
    metadata = one.demand.metadata_bytes - planned.metadata_bytes + empty.metadata_bytes
    return data >= left * capacity.data_bytes or (capacity.is_pool and metadata >= left * capacity.metadata_bytes)


def _runs(crew: Workers, study: Study, capacities: tuple[Capacity, ...], numbers: tuple[int, ...],
          progress: Progress) -> list[list[Outcome]]:
    """For each number, the outcome on each capacity."""
    calls = [(study, capacities, numbers[at:at + BATCH]) for at in range(0, len(numbers), BATCH)]
    return [outcomes for batch in crew.each(run_layouts, calls, progress) for outcomes in batch]


def group_for(found: Answers) -> VolumeGroup | None:
    """A volume group in which the size that is told still has room to be extended, if LVM extends it; None without LVM.

    Where Docker lays it out, data and metadata are whole percents of it, and may be more than what is told.
    """
    spec = found.plan.storage
    if not spec.on_lvm or found.metadata is None:
        return None
    percent = spec.extension_percent
    grown = data = found.data_bytes // EXTENT_BYTES
    for _ in range(sizing.STEPS_WANTED):
        grown = -(-grown * (100 + percent) // 100)
    by_rule = kernel_rule_bytes(grown * EXTENT_BYTES, spec.chunk_size_bytes or 1)
    metadata = max(found.metadata.wanted, whole_extents(by_rule)) // EXTENT_BYTES
    if spec.kind.pool_made_by == "Docker":
        return sizing.whole_percents(data, metadata, percent)
    return VolumeGroup(grown + 2 * metadata, data, metadata)
