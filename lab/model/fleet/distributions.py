"""Distributions of sizes, lifetimes and intervals, and the random streams that they are drawn from.

Each purpose has a stream of its own, keyed by the seed and the purpose's name: what one process draws does not depend
on which others there are, nor on the storage.  Runs with the same seed and names see the same arrivals (common random
numbers; Law, Simulation Modeling and Analysis, 5th edition, 11.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BATCH = 2048
"""Values that are drawn in one."""


def stream(seed: int, name: str) -> np.random.Generator:
    """The random stream of one purpose.

    A child of the seed's ``SeedSequence`` whose spawn key is the name's SHA-256, instead of the number that ``spawn``
    would count up: so the streams do not depend on how many there are.  Raises ValueError for a negative seed.

    >>> stream(1, "web arrivals").random() == stream(1, "web arrivals").random() != stream(1, "web sizes").random()
    True
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}; 0 or more allowed")
    key = np.frombuffer(sha256(name.encode()).digest(), dtype=np.uint32)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=tuple(key.tolist()))))


def check_positive(name: str, value: float) -> None:
    """Raises ValueError for what is no number above 0, None among it."""
    if not (_is_number(value) and value > 0):
        raise ValueError(f"{name} is {value}; a finite number above 0 allowed")


def check_not_negative(name: str, value: float) -> None:
    """Raises ValueError for what is no number from 0 on, None among it."""
    if not (_is_number(value) and value >= 0):
        raise ValueError(f"{name} is {value}; a finite number from 0 on allowed")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, slots=True)
class Constant:
    """Always ``value``, from 0 on."""

    value: float

    def __post_init__(self) -> None:
        check_not_negative("value", self.value)

    @property
    def mean(self) -> float:
        """Its mean."""
        return self.value

    def sample(self, draw: np.random.Generator, count: int) -> Floats:
        """``count`` values, shape (count,)."""
        return np.full(count, self.value)


@dataclass(frozen=True, slots=True)
class Exponential:
    """With mean ``mean``, above 0."""

    mean: float

    def __post_init__(self) -> None:
        check_positive("mean", self.mean)

    def sample(self, draw: np.random.Generator, count: int) -> Floats:
        """``count`` values, shape (count,)."""
        return draw.exponential(self.mean, count)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """With that median, above 0; ``sigma``, from 0 on, is the standard deviation of the natural logarithm."""

    median: float
    sigma: float

    def __post_init__(self) -> None:
        check_positive("median", self.median)
        check_not_negative("sigma", self.sigma)

    @property
    def mean(self) -> float:
        """median x exp(sigma^2 / 2)."""
        return self.median * math.exp(self.sigma**2 / 2)

    def sample(self, draw: np.random.Generator, count: int) -> Floats:
        """``count`` values, shape (count,)."""
        return draw.lognormal(math.log(self.median), self.sigma, count)


@dataclass(frozen=True, slots=True)
class Gamma:
    """With that shape and mean, both above 0; shape 1 is exponential, a large one nearly constant."""

    shape: float
    mean: float

    def __post_init__(self) -> None:
        check_positive("shape", self.shape)
        check_positive("mean", self.mean)

    def sample(self, draw: np.random.Generator, count: int) -> Floats:
        """``count`` values, shape (count,)."""
        return draw.gamma(self.shape, self.mean / self.shape, count)


@dataclass(frozen=True, slots=True)
class Empirical:
    """One of the values that were seen, each as likely as any other.  At least one, none below 0."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("values is empty; at least one value needed")
        for number, value in enumerate(self.values):
            check_not_negative(f"values[{number}]", value)

    @property
    def mean(self) -> float:
        """Their mean."""
        return math.fsum(self.values) / len(self.values)

    def sample(self, draw: np.random.Generator, count: int) -> Floats:
        """``count`` values, shape (count,)."""
        return draw.choice(np.asarray(self.values, dtype=np.float64), count)


Distribution = Constant | Exponential | LogNormal | Gamma | Empirical
"""Values from 0 on, with a ``mean`` and ``sample(draw, count)``."""


def batches(distribution: Distribution, draw: np.random.Generator) -> Iterator[Floats]:
    """Values without end, ``BATCH`` at a time."""
    while True:
        yield distribution.sample(draw, BATCH)
