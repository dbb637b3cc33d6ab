"""Whole frames as points, between which distances say how different they are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from ...farthest import choose_farthest

if TYPE_CHECKING:
    from ...models.loading import LoadedModel

Array = np.ndarray[Any, Any]

_REACH, _WIDTH = 6.0, 0.1  # of the distances of pairs, Angstrom


def choose_frames(
    frames: Sequence[Atoms], count: int, model: LoadedModel | None, chosen: Sequence[int] = ()
) -> list[Atoms]:
    """Choose the frames of a crystal that differ most, by farthest point sampling.

    Parameters
    ----------
    frames : sequence of Atoms
        Of the same elements.
    count : int
        How many to choose.
    model : LoadedModel or None
        Whose descriptors are compared; distances of atoms without one.
    chosen : sequence of int
        Frames that are taken in any case.

    Returns
    -------
    list of Atoms
        In the order of `frames`.
    """
    if len(frames) <= count:
        return list(frames)
    points = np.array([describe(atoms, model) for atoms in frames])
    return [frames[k] for k in sorted(choose_farthest(points, count, chosen))]


def describe(atoms: Atoms, model: LoadedModel | None) -> Array:
    """Return a point that does not depend on the order of atoms, the origin, the orientation or the choice of cell.

    Parameters
    ----------
    atoms : Atoms
    model : LoadedModel or None

    Returns
    -------
    ndarray, shape=(features,)
        With a model, mean and standard deviation of its descriptors over the atoms of each element. Without one, the
        number of neighbours per atom at each distance to 6 Angstrom, smeared by 0.1 Angstrom, of each two elements.
    """
    if model is None:
        return _count_distances(atoms)
    from ...domain.descriptors import compute_descriptors

    features = compute_descriptors(model, atoms)
    by_element = [features[atoms.numbers == number] for number in np.unique(atoms.numbers)]
    return np.concatenate([moment for each in by_element for moment in (each.mean(axis=0), each.std(axis=0))])


def _count_distances(atoms: Atoms) -> Array:
    first, second, distances = neighbor_list("ijd", atoms, _REACH + 4 * _WIDTH)
    grid = np.arange(0.5, _REACH, _WIDTH)
    numbers = atoms.numbers
    counts = []
    for one, other in combinations_with_replacement(np.unique(numbers), 2):
        found = distances[(numbers[first] == one) & (numbers[second] == other)]
        counts.append(np.exp(-0.5 * ((grid[:, None] - found) / _WIDTH) ** 2).sum(axis=1) / len(atoms))
    return np.concatenate(counts)
