"""What a log's answers are written as: one JSON document, alerts, and LVM's profile."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.answers.forecast.answers import ObservedAnswers, lvm_spec
from lab.answers.forecast.forecast import Reach
from lab.answers.forecast.words import notes, verdict
from lab.answers.plan.ready_files import ALERTS, PROFILE_FILE, profile, rules_yaml
from lab.answers.plan.words import when

SCHEMA_VERSION = 1


def document(found: ObservedAnswers) -> dict[str, Any]:
    """For JSON.  Sizes in bytes, times in days, probabilities from 0 to 1."""
    extended = found.extended
    return {
        "schema_version": SCHEMA_VERSION, "source": "observed", "verdict": verdict(found), "holds": found.holds,
        "accepted_risk": found.asked.risk, "notes": notes(found),
        "needed": {"data_bytes": found.data_bytes, "data_bytes_with_a_tenth_free": found.data_bytes_with_a_tenth_free,
                   "metadata_bytes": found.metadata_bytes, "kernel_metadata_bytes": found.metadata_by_rule},
        "extended": None if extended is None else {
            "extensions_that_fit": extended.layout.steps, "last_data_bytes": extended.layout.last_bytes,
            "next_extension_bytes": extended.layout.next_step_bytes, "free_bytes": extended.layout.free_bytes,
            "full": [asdict(chance) for chance in extended.full]},
        **found.forecast.document(),
    }


def ready_files_of(found: ObservedAnswers) -> dict[str, str]:
    """File name -> text: alerts; LVM's profile where something is said of the volume group.

    No daemon.json: the host has one, and the log does not tell what else is in it.
    """
    horizon = found.forecast.horizon_days
    alerts = [(round(100 * reach.share), _worth(reach, horizon)) for reach in found.forecast.data.reaches
              if reach.share < 1]
    log = Path(found.forecast.growth.observed.path).name
    pool = found.forecast.growth.observed.pool
    on_host = "dmsetup status --target thin-pool" + (f" {shlex.quote(pool)}" if pool else "")
    files = {ALERTS: rules_yaml(f"a forecast from the log {log!r}", alerts, is_pool=True, on_host=on_host)}
    if found.extended is not None:
        files[PROFILE_FILE] = profile(lvm_spec())
    return files


def _worth(reach: Reach, horizon: float) -> str:
    return (f"{100 * reach.share:.0f} %: data are there in {when(reach.median_days, horizon)} d (median; 90 % interval "
            f"{when(reach.low_days, horizon)} to {when(reach.high_days, horizon)} d).")
