"""What counts as a regression: minimum effects, tolerances, the rate of false alarms; a YAML file may change them.

::

    alpha: 0.05                  # how often the gate may cry wolf where nothing changed
    looks: 2                     # how often repetitions may be added and the gate asked again
    max_repetitions: 20
    minimum_effects:             # of timings: worse by less is no regression; a metric named here is gated
      write_bandwidth: 3 %
      write_latency_p50: 10 %
    tolerances:                  # of counts: larger by this, beyond the baseline's own spread, is none
      storage_growth: 2MiB
    ignore: [sync_duration]

An effect is a factor, the same for both kinds of metric: 5 % means that the
worse side takes 1.05 times as long, or that the better side moves 1.05 times as
much in the same time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StrictInt, ValidationError, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from lab.errors import InputError
from lab.metrics import BANDWIDTHS, METRICS
from lab.scenario.steps import Part, Size
from lab.scenario.yaml_text import as_input_error, check_keys, nearest, parse, problem, read_text, show

MINIMUM_EFFECTS = {one.name: one.minimum_effect for one in METRICS.values() if one.minimum_effect is not None}
"""The timings that are gated unless a file says otherwise.  Others repeat these (iops, runtime) or are noisier."""

TIMINGS = tuple(one.name for one in METRICS.values() if one.timing)
COUNTS = tuple(one.name for one in METRICS.values() if one.count)
"""The counts that are gated unless a file ignores them."""

WORK = tuple(one.name for one in METRICS.values() if one.same_work)
_MORE_COUNTS = tuple(one.name for one in METRICS.values() if one.may_tolerate)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def _effect(raw: Any, info: ValidationInfo) -> Any:
    if info.context is None and isinstance(raw, float):        # no file, but rules made in code
        return raw
    match = _PERCENT.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if match is None:
        raise problem(f"{show(raw)} is no effect; write a percentage, as in 5 %")
    if float(match[1]) > 1000:
        raise problem(f"{show(raw)} is too large, at most 1000 %")
    return float(match[1]) / 100


class Rules(Part):
    """``minimum_effects`` by metric, 0.05 for 5 %; ``tolerances`` by metric, in bytes."""

    alpha: float = Field(default=0.05, ge=0.0001, le=0.5, allow_inf_nan=False)
    looks: StrictInt = Field(default=2, ge=1, le=20)
    max_repetitions: StrictInt = Field(default=20, ge=2, le=100)
    minimum_effects: dict[str, Annotated[float, BeforeValidator(_effect)]] = Field(default_factory=dict)
    tolerances: dict[str, Annotated[Size, Field(ge=0)]] = Field(default_factory=dict)
    ignore: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Rules:
        limits: tuple[tuple[Iterable[str], str, tuple[str, ...]], ...] = (
            (self.minimum_effects, "minimum_effects", TIMINGS),
            (self.tolerances, "tolerances", (*COUNTS, *_MORE_COUNTS)),
            (self.ignore, "ignore", (*TIMINGS, *COUNTS)))
        for names, key, allowed in limits:
            for place, name in enumerate(names):
                if name not in allowed:
                    spot: str | int = place if key == "ignore" else name
                    raise problem(f"no metric {show(name)}{nearest(name, allowed)}; allowed: {', '.join(allowed)}",
                                  key=(key, spot))
                if key != "ignore" and name in self.ignore:
                    raise problem(f"{name} is given a limit and ignored", key=(key, name))
        for name in self.tolerances:
            if name in WORK:
                raise problem(f"{name} has no tolerance: sides that did different work are not compared",
                              key=("tolerances", name))
        return self

    @property
    def alpha_a_look(self) -> float:
        """What each look may spend of ``alpha``: Bonferroni over the looks, so that all together spend no more."""
        return self.alpha / self.looks

    def minimum_effect(self, metric: str) -> float | None:
        """The smallest factor that counts as worse, less 1; None where the metric is no gated timing."""
        if metric in self.ignore:
            return None
        return self.minimum_effects.get(metric, MINIMUM_EFFECTS.get(metric))

    def is_count(self, metric: str) -> bool:
        """Whether the metric is gated as a count."""
        return metric not in self.ignore and (metric in COUNTS or metric in self.tolerances)

    def look_schedule(self) -> list[int]:
        """The numbers of repetitions at which the gate is meant to be asked.

        >>> Rules(looks=3, max_repetitions=20).look_schedule(), Rules().look_schedule()
        ([7, 14, 20], [10, 20])
        """
        return list(dict.fromkeys(math.ceil(self.max_repetitions * look / self.looks)
                                  for look in range(1, self.looks + 1)))


def covered_by_bandwidth(metrics: set[str], metric: str) -> bool:
    """Whether the metric says of a phase what its bandwidth says better: the time of an fio job with its overhead."""
    return metric == "duration" and bool(metrics & set(BANDWIDTHS))


def load_rules(path: Path) -> Rules:
    """The rules in the file.  Raises InputError with file and line for anything that it should not hold."""
    document = parse(read_text(path, "rules"), path)
    try:
        check_keys(document.data, Rules.keys(), "a file of rules")
        return Rules.model_validate(document.data, context=document)
    except PydanticCustomError as error:
        raise InputError(str(error), where=document.where((error.context or {})["key"])) from None
    except ValidationError as error:
        raise as_input_error(error, document) from None
