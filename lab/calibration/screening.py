"""Which parameters matter: Morris's elementary effects (Technometrics 33 (1991) 161), by SALib."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

TRAJECTORIES, LEVELS = 8, 4


@dataclass(frozen=True)
class Effect:
    """What a parameter does to a result, over its whole range, in the result's unit.

    ``mean_absolute`` (mu*) is how much on average, ``spread`` (sigma) how much that differs from place to place: by
    interaction with others, or because it does not act in proportion.
    """

    name: str
    mean_absolute: float
    spread: float


def evaluations(parameters: int, trajectories: int = TRAJECTORIES) -> int:
    """How often ``screen`` asks for a result."""
    return trajectories * (parameters + 1)


def screen(ranges: Mapping[str, tuple[float, float]], result: Callable[[Mapping[str, float]], float], *,
           seed: int, trajectories: int = TRAJECTORIES) -> tuple[Effect, ...]:
    """The effects, the largest first; ``result`` is asked ``evaluations`` times.

    Raises ValueError where a range is empty.
    """
    import numpy as np
    from SALib.analyze import morris as analyzer
    from SALib.sample import morris as sampler

    if empty := [name for name, (low, high) in ranges.items() if not low < high]:
        raise ValueError(f"{empty[0]}: {ranges[empty[0]]} is no range; low < high expected")
    problem = {"num_vars": len(ranges), "names": list(ranges), "bounds": [list(bounds) for bounds in ranges.values()]}
    places = sampler.sample(problem, trajectories, num_levels=LEVELS, seed=seed)
    results = np.array([result(dict(zip(ranges, map(float, place), strict=True))) for place in places])
    found = analyzer.analyze(problem, places, results, num_levels=LEVELS, seed=seed)
    effects = [Effect(str(name), float(mu), float(sigma)) for name, mu, sigma in zip(
        found["names"], found["mu_star"], found["sigma"], strict=True)]
    return tuple(sorted(effects, key=lambda effect: -effect.mean_absolute))
