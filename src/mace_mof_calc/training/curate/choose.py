"""Choice of frameworks that differ in linkers and nodes, with every crystal system that occurs among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...farthest import choose_farthest
from .describe import Description

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Structures in the order in which they were chosen.

    Attributes
    ----------
    order : ndarray of int, shape=(nstructures,)
        All of them, so that every choice is a beginning of it.
    count : int
        How many are chosen.
    gaps : ndarray, shape=(nstructures,)
        After each choice the distance of the structure that is farthest from all chosen ones; without unit.
    """

    order: Array
    count: int
    gaps: Array

    @property
    def chosen(self) -> Array:
        """The chosen ones, in the order of choice."""
        return self.order[: self.count]


def choose(descriptions: Sequence[Description], systems: Sequence[str], count: int) -> Choice:
    """Choose structures by farthest point sampling.

    Distances are Euclidean, in the descriptors of the linkers and of the nodes together, each of the two divided by its
    spread over all structures, so that both count alike. First comes one structure of each crystal system, the rarest
    first, the one of it that is farthest from those taken before; then whatever is farthest.

    Parameters
    ----------
    descriptions : sequence of Description
    systems : sequence of str
        Crystal system of each.
    count : int
        How many to choose; all, where there are fewer.

    Returns
    -------
    Choice
    """
    points = np.hstack([_scale([each.linker for each in descriptions]), _scale([each.node for each in descriptions])])
    order = choose_farthest(points, len(points), _choose_systems(points, systems))
    nearest = np.full(len(points), np.inf)
    gaps = np.zeros(len(points))
    for k, taken in enumerate(order):
        nearest = np.minimum(nearest, np.linalg.norm(points - points[taken], axis=1))
        gaps[k] = nearest.max()
    for array in (order, gaps):
        array.setflags(write=False)
    return Choice(order, min(count, len(points)), gaps)


def _choose_systems(points: Array, systems: Sequence[str]) -> list[int]:
    frequencies = Counter(systems)
    taken: list[int] = []
    for system in sorted(frequencies, key=lambda name: (frequencies[name], name)):
        own = [k for k, each in enumerate(systems) if each == system]
        # choose_farthest without a first takes the one in the middle; with them, the one farthest away.
        candidates = np.array([*taken, *own])
        chosen = choose_farthest(points[candidates], len(taken) + 1, range(len(taken)))
        taken.append(int(candidates[chosen[-1]]))
    return taken


def _scale(vectors: Sequence[Array]) -> Array:
    """Return vectors about their mean, divided by the root of their mean squared length."""
    centred = np.array(vectors) - np.mean(vectors, axis=0)
    spread = np.sqrt((centred**2).sum(axis=1).mean())
    scaled: Array = centred / spread if spread > 0.0 else centred
    return scaled
