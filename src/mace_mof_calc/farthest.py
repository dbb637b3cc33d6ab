"""Choice of points that are as far from each other as they go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def choose_farthest(points: Array, count: int, chosen: Sequence[int] = ()) -> Array:
    """Choose points by repeatedly taking the one that is farthest from all that were taken.

    Parameters
    ----------
    points : ndarray, shape=(npoints, features)
    count : int
        How many to choose, those of `chosen` among them; all points where there are fewer. Points that coincide with
        chosen ones are chosen last.
    chosen : sequence of int, optional
        Points that are taken in any case. Without any, the first is the one nearest to the mean.

    Returns
    -------
    ndarray of int, shape=(min(count, npoints),)
        Indices in the order of choice, so that a smaller choice is the beginning of a larger one.
    """
    if not len(points):
        return np.array([], dtype=np.int64)
    taken = list(chosen) or [int(((points - points.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    distances = np.full(len(points), np.inf)
    for k in taken:
        distances = np.minimum(distances, ((points - points[k]) ** 2).sum(axis=1))
    distances[taken] = -1.0
    while len(taken) < min(count, len(points)):
        taken.append(int(distances.argmax()))
        distances = np.minimum(distances, ((points - points[taken[-1]]) ** 2).sum(axis=1))
        distances[taken[-1]] = -1.0
    return np.array(taken[:count], dtype=np.int64)
