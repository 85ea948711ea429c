"""Many metrics, one rate of false alarms: Holm's step-down correction.

Source: S. Holm, A simple sequentially rejective multiple test procedure,
Scandinavian Journal of Statistics 6 (1979) 65.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values along the last axis, in its order: reject those of at most alpha.

    The i-th smallest of m (from 0) becomes the largest of (m - j) p(j) over j <= i, at most 1.  Raises ValueError
    for what is no probability.

    >>> holm([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, dtype=float)
    if given.size == 0:
        return given.copy()
    if not np.all((given >= 0) & (given <= 1)):
        raise ValueError("a p-value lies outside 0 to 1")
    order = np.argsort(given, axis=-1, kind="stable")
    steps = np.take_along_axis(given, order, axis=-1) * np.arange(given.shape[-1], 0, -1)
    stepped = np.minimum(np.maximum.accumulate(steps, axis=-1), 1.0)
    adjusted = np.empty_like(given)
    np.put_along_axis(adjusted, order, stepped, axis=-1)
    return adjusted
