"""Neighbour lists, as mace makes them, in the engine's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from .evaluate import Edges
from .response import Crystal
from .tables import FoldedModel

Array = np.ndarray[Any, Any]

SKIN = 0.5
"""A by which neighbour lists reach further than the cutoff, so that they serve until an atom has moved half as far."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of atoms within the cutoff and the skin, sorted by receiver; atoms in the engine's order.

    Attributes
    ----------
    order : ndarray, shape=(atoms,), dtype=int
        Index of each atom in the structure.
    elements : ndarray, shape=(atoms,), dtype=int
    receiver, sender : ndarray, shape=(pairs,), dtype=int
    offsets : ndarray, shape=(pairs, 3), dtype=int
        Cell of the sender relative to the receiver's.
    cell : ndarray, shape=(3, 3)
        That the offsets count, A; along open directions one that nothing crosses.
    """

    order: Array
    elements: Array
    receiver: Array
    sender: Array
    offsets: Array
    cell: Array


def find_pairs(model: FoldedModel, atoms: Atoms, skin: float = 0.0) -> Pairs:
    """Find the pairs of atoms closer than the model's cutoff and a skin (A)."""
    from mace.data.neighborhood import get_neighborhood

    elements = np.searchsorted(model.numbers, atoms.numbers)
    order = np.argsort(elements, kind="stable")
    (first, second), _, shifts, cell = get_neighborhood(
        atoms.positions[order],
        model.r_max + skin,
        (bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2])),
        atoms.cell.array.copy(),
    )
    by_receiver = np.argsort(second, kind="stable")
    return Pairs(
        order=order,
        elements=elements[order],
        receiver=second[by_receiver],
        sender=first[by_receiver],
        offsets=-shifts[by_receiver].astype(int),
        cell=cell,
    )


def make_crystal(model: FoldedModel, pairs: Pairs, positions: Array) -> Crystal:
    """Keep the pairs within the cutoff.

    Parameters
    ----------
    model : FoldedModel
    pairs : Pairs
    positions : ndarray, shape=(atoms, 3)
        In the structure's order, A.
    """
    ordered = positions[pairs.order]
    vectors = ordered[pairs.receiver] - ordered[pairs.sender] - pairs.offsets @ pairs.cell
    near = np.einsum("ek,ek->e", vectors, vectors) < model.r_max**2
    receiver = pairs.receiver[near]
    edges = Edges(
        elements=pairs.elements,
        start=np.searchsorted(receiver, np.arange(len(ordered) + 1)),
        sender=pairs.sender[near],
        vectors=vectors[near],
    )
    return Crystal(edges, pairs.offsets[near])


class NeighbourList:
    """Pairs that are found again only when an atom has moved further than half the skin, or the cell has changed."""

    def __init__(self, skin: float = SKIN) -> None:
        self.skin = skin
        self.builds = 0
        self._model: FoldedModel | None = None
        self._pairs: Pairs | None = None
        self._atoms: Atoms | None = None

    def update(self, model: FoldedModel, atoms: Atoms) -> Crystal:
        """Return the edges of a structure."""
        if self._pairs is None or model is not self._model or self._moved(atoms):
            self._pairs, self._atoms, self._model = find_pairs(model, atoms, self.skin), atoms.copy(), model
            self.builds += 1
        return make_crystal(model, self._pairs, atoms.positions)

    def _moved(self, atoms: Atoms) -> bool:
        known = self._atoms
        if known is None or len(known) != len(atoms) or not np.array_equal(known.numbers, atoms.numbers):
            return True
        if not (np.array_equal(known.pbc, atoms.pbc) and np.array_equal(known.cell.array, atoms.cell.array)):
            return True
        steps = atoms.positions - known.positions
        return bool(np.einsum("ik,ik->i", steps, steps).max() > (0.5 * self.skin) ** 2)
