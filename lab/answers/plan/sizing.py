"""How large a pool must be: from the peaks that an unbounded host asks for.

Until a pool first refuses, or lets a writer wait, what happens on it does not depend on its size.  So with the same
seed a pool has nothing to refuse exactly if the unbounded peak leaves the daemon's ``min_free_space`` free: the
probability of each size is read off the peaks of all replications at once, and no size has to be tried.  (A peak above
that between two starts would harm nobody, so the size errs to the safe side.)

The size wanted is the quantile of the peak at one less the accepted risk.  With enough replications it is counted, and
its interval is that of order statistics, whatever the law.  With fewer it is carried on by Gumbel's law of maxima
(moments; Coles, An Introduction to Statistical Modeling of Extreme Values, 3.1), its interval by resampling; that is
said, and how many replications would do without.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lab.answers.plan.answers import LEVEL, rank_interval
from lab.answers.plan.host import whole_extents
from lab.model.metadata.metadata_space import RESERVE_MAX_BLOCKS
from lab.model.pool.volume_group import EXTENT_BYTES, VolumeGroup
from lab.storages.metadata_size import KERNEL_MIN_BYTES, kernel_rule_bytes, tool_rule_bytes
from lab.units import METADATA_BLOCK_BYTES

LEAST_FOR_A_LAW = 20
"""Replications.  From the moments of fewer peaks a law is hardly known, and no verdict rests on it."""

_EULER = 0.5772156649015329
_RESAMPLES = 400
_RESERVE_SHARE = 0.1

STEPS_WANTED = 2
"""Extensions that a layout should leave room for: one for the surprise, one for the time until somebody acts."""


@dataclass(frozen=True)
class Needed:
    """A quantile of the peaks, in bytes.  ``low`` to ``high``: its interval of 90 %."""

    at_risk: float
    estimate: float
    low: float
    high: float
    n: int
    how: Literal["counted", "extrapolated"]

    @property
    def replications_to_count(self) -> int:
        """From so many on its upper end is counted."""
        return replications_to_count(self.at_risk)

    @property
    def has_interval(self) -> bool:
        """Whether the peaks are enough for one: resampled, a few of them give one that is much too narrow."""
        return self.how == "counted" or self.n >= LEAST_FOR_A_LAW

    def converted(self, size_of: Callable[[float], float]) -> Needed:
        """The same of something that grows with it."""
        return replace(self, estimate=size_of(self.estimate), low=size_of(self.low), high=size_of(self.high))


def replications_to_count(risk: float) -> int:
    """The fewest replications whose largest peak is, in 95 of 100 cases, above the quantile.

    >>> replications_to_count(0.01)
    299
    """
    return math.ceil(math.log((1 - LEVEL) / 2) / math.log1p(-risk))


def needed(peaks: Sequence[float], risk: float) -> Needed:
    """What is exceeded with that probability only.  Raises ValueError for no peak, and a risk outside 0 to 1."""
    if not peaks or not 0 < risk < 1:
        raise ValueError(f"{len(peaks)} peaks at risk {risk}; one or more, and a risk between 0 and 1 allowed")
    ordered = np.sort(np.asarray(peaks, dtype=np.float64))
    n = ordered.size
    first, last = rank_interval(n, 1 - risk)
    if last <= n:
        rank = math.ceil((1 - risk) * n)
        return Needed(risk, float(ordered[rank - 1]), float(ordered[max(first, 1) - 1]), float(ordered[last - 1]), n,
                      "counted")
    draw = np.random.default_rng(np.random.SeedSequence(0))         # always the same: a plan is repeatable
    again = np.sort([_gumbel(draw.choice(ordered, n), risk) for _ in range(_RESAMPLES)])
    low, high = (float(np.quantile(again, share)) for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    estimate = max(_gumbel(ordered, risk), 0.0)
    return Needed(risk, estimate, min(low, estimate), max(high, estimate, float(ordered[-1])), n, "extrapolated")


def _gumbel(peaks: NDArray[np.float64], risk: float) -> float:
    scale = float(peaks.std(ddof=1)) * math.sqrt(6) / math.pi if peaks.size > 1 else 0.0
    return float(peaks.mean()) - _EULER * scale - scale * math.log(-math.log1p(-risk))


@dataclass(frozen=True)
class MetadataSizes:
    """The closed forms and the model's answer, in bytes, for one data size and data block."""

    kernel: int
    """48 B x data blocks, from 2 MiB to what the kernel can use (thin-provisioning.rst)."""
    tool: int
    """(1 + blocks / 126 + thin devices) x 4 KiB (thin_metadata_size)."""
    devices: int
    """Thin devices that the tool's form was given."""
    simulated: Needed | None
    """By the exact model's trees, with the kernel's reserve and what must stay free; None without replications."""

    @property
    def wanted(self) -> int:
        """The largest of all, in whole extents: full metadata end a pool, and cost next to nothing."""
        most = max(self.kernel, self.tool, KERNEL_MIN_BYTES, self.simulated.high if self.simulated else 0)
        return whole_extents(most)


def metadata_sizes(data_bytes: float, chunk_bytes: int, devices: int, simulated: Needed | None) -> MetadataSizes:
    """All that is told about the metadata of a pool."""
    data = math.ceil(data_bytes)
    return MetadataSizes(kernel_rule_bytes(data, chunk_bytes), tool_rule_bytes(data, chunk_bytes, devices),
                         devices, simulated)


def size_with_reserve(used_bytes: float, usable_share: float) -> float:
    """The smallest metadata that hold so much within a share of them, next to the kernel's reserve.  Bytes.

    The reserve is the lesser of 16 MiB and a tenth (``reserve_blocks``), so the size wanted is the lesser of the one
    that a reserve of 16 MiB asks for and the one that a reserve of a tenth does: no size has to be tried.

    >>> mib = 1024**2
    >>> [round(size_with_reserve(used * mib, 0.9) / mib, 2) for used in (40, 400)]
    [50.0, 462.22]
    """
    with_most = (used_bytes + RESERVE_MAX_BLOCKS * METADATA_BLOCK_BYTES) / usable_share
    if usable_share <= _RESERVE_SHARE:          # a tenth of reserve leaves nothing that may be used
        return with_most
    return min(with_most, used_bytes / (usable_share - _RESERVE_SHARE))


# -- LVM's autoextend -------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Layout:
    """A volume group as pool, metadata, spare and rest; ``steps`` extensions fit, and end at ``last_bytes``."""

    name: str
    group: VolumeGroup
    percent: int
    steps: int
    last_bytes: int

    @property
    def free_bytes(self) -> int:
        """What is left for extensions."""
        return self.group.free_extents * EXTENT_BYTES

    @property
    def next_step_bytes(self) -> int:
        """What the first extension asks for."""
        extents = self.group.data_extents
        return (-(-extents * (100 + self.percent) // 100) - extents) * EXTENT_BYTES


MOST_STEPS = 50


def layout(name: str, group: VolumeGroup, percent: int) -> Layout:
    """What LVM can really extend, by asking the group again and again as dmeventd would; nothing at 0 %."""
    trial = VolumeGroup(group.extents, group.data_extents, group.metadata_extents)
    steps = 0
    while percent and steps < MOST_STEPS and trial.extend(percent):
        steps += 1
    return Layout(name, group, percent, steps, trial.data_bytes)


def documented_layout(group: VolumeGroup, percent: int) -> Layout:
    """95 % of the group for data and 1 % for metadata, as Docker's documentation has it; LVM takes the spare too."""
    extents = group.extents
    return layout("documented, 95 %VG + 1 %VG", VolumeGroup(extents, extents * 95 // 100, max(1, extents // 100)),
                  percent)


def working_layout(group: VolumeGroup, percent: int, chunk_bytes: int, metadata_bytes: int) -> Layout | None:
    """The largest pool in the same group that LVM can still extend ``STEPS_WANTED`` times.

    Its metadata are large enough for the size that it ends at.  None where the group is too small for one, and where
    LVM extends nothing.
    """
    if not percent:
        return None
    whole = group.extents * EXTENT_BYTES
    metadata = max(metadata_bytes, whole_extents(kernel_rule_bytes(whole, chunk_bytes))) // EXTENT_BYTES
    data = int((group.extents - 2 * metadata) / (1 + percent / 100) ** STEPS_WANTED)
    while data > 0:
        found = layout("with room to extend", VolumeGroup(group.extents, data, metadata), percent)
        if found.steps >= STEPS_WANTED:
            return found
        data -= 1
    return None


def whole_percents(data_extents: int, metadata_extents: int, percent: int) -> VolumeGroup:
    """A group of which shares in whole percents, rounded down, are as large as that, and hardly larger.

    Docker lays out a disk of its own so.  What stays free is enough for ``STEPS_WANTED`` extensions, if any shares
    leave so much: steps above some 850 % find no whole percent small enough.
    """
    def of(data: int, metadata: int) -> VolumeGroup:
        extents = max(-(-100 * data_extents // data), -(-100 * metadata_extents // metadata))
        return VolumeGroup(extents, extents * data // 100, extents * metadata // 100)

    groups = [of(data, metadata) for data in range(1, 99) for metadata in range(1, (100 - data) // 2 + 1)]
    wanted = STEPS_WANTED if percent else 0
    roomy = [group for group in groups if layout("", group, percent).steps >= wanted]
    return min(roomy or groups, key=lambda group: group.extents)
