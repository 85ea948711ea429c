"""A plan's answers as one JSON document.  Sizes in bytes, times in days, probabilities from 0 to 1."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lab.answers.plan.answers import LEVEL, Chance
from lab.answers.plan.ensemble import EVERY
from lab.answers.plan.levers import Difference, Effect
from lab.answers.plan.planning import Answers, ChunkSize, Tested, group_for
from lab.answers.plan.sizing import Layout, MetadataSizes, Needed
from lab.answers.plan.words import notes, verdict

SCHEMA_VERSION = 1


def document(found: Answers) -> dict[str, Any]:
    """All answers."""
    plan, group = found.plan, group_for(found)
    return {
        "schema_version": SCHEMA_VERSION, "plan": plan.name, "question": plan.question,
        "source": "simulated", "parameters_sha256": found.parameters_sha256, "seed": plan.seed,
        "horizon_days": plan.horizon_days,
        "replications": found.n, "replications_of_alternatives": sum(bool(one.others) for one in found.replications),
        "alternatives_in_every": EVERY, "level": LEVEL, "seconds": round(found.seconds, 1),
        "accepted_risk": plan.risk, "holds": found.holds,
        "holds_by_size": found.holds_by_size, "verdict": verdict(found), "notes": notes(found),
        "storage": {**plan.storage.model_dump(mode="json", exclude_none=True),
                    "data_bytes": found.capacity.data_bytes, "metadata_bytes": found.capacity.metadata_bytes,
                    "free_bytes": plan.pool.free_bytes, "min_free_share": plan.min_free_share},
        "risks": [{"what": risk.name, "by": [{"days": day, **_chance(chance)} for day, chance
                                             in zip(risk.days, risk.chances, strict=True)]} for risk in found.risks],
        "days": [asdict(one) for one in found.days],
        "alerts": [{"percent": one.percent, "raised": _chance(one.raised), "followed": one.in_time,
                    "missed": one.missed, "soonest_days": one.soonest, "median_days": one.median}
                   for one in found.alerts],
        "needed": {"data": _needed(found.data), "data_bytes": found.data_bytes,
                   "metadata": None if found.metadata is None else _metadata(found.metadata),
                   "group_bytes_with_room_to_extend": None if group is None else group.extents * 4 * 1024**2},
        "chunk_sizes": [_chunk(one) for one in found.chunks],
        "best_chunk_bytes": None if found.best_chunk is None else found.best_chunk.chunk_bytes,
        "layouts": [_tested(one) for one in found.tested],
        "levers": [_effect(one) for one in found.effects],
    }


def _chance(chance: Chance) -> dict[str, Any]:
    return {"probability": chance.value, "low": chance.low, "high": chance.high, "hits": chance.hits, "n": chance.n}


def _needed(needed: Needed) -> dict[str, Any]:
    ends = {} if needed.has_interval else {"low": None, "high": None}
    return {**asdict(needed), **ends, "replications_to_count": needed.replications_to_count}


def _metadata(sizes: MetadataSizes) -> dict[str, Any]:
    return {"kernel_bytes": sizes.kernel, "thin_metadata_size_bytes": sizes.tool, "thin_devices": sizes.devices,
            "simulated": None if sizes.simulated is None else _needed(sizes.simulated), "wanted_bytes": sizes.wanted}


def _difference(one: Difference | None) -> dict[str, Any] | None:
    return None if one is None else {**asdict(one), "settled": one.settled}


def _chunk(one: ChunkSize) -> dict[str, Any]:
    return {"chunk_bytes": one.chunk_bytes, "data": _needed(one.data), "metadata": _metadata(one.metadata),
            "group_bytes": one.group_bytes, "difference_to_planned": _difference(one.difference)}


def _tested(one: Tested) -> dict[str, Any]:
    return {"layout": one.name, "data_bytes": one.capacity.data_bytes, "metadata_bytes": one.capacity.metadata_bytes,
            "refuses_or_waits": _chance(one.limited), "lvm_extended": _chance(one.extended),
            **({} if one.layout is None else _layout(one.layout))}


def _layout(one: Layout) -> dict[str, Any]:
    return {"free_bytes": one.free_bytes, "next_extension_bytes": one.next_step_bytes, "extensions_that_fit": one.steps,
            "last_data_bytes": one.last_bytes}


def _effect(one: Effect) -> dict[str, Any]:
    return {"lever": one.name, "data": _difference(one.data), "metadata": _difference(one.metadata),
            "volumes_disk": _difference(one.volume), "passed_before": one.passed_before,
            "passed_with": one.passed_with}
