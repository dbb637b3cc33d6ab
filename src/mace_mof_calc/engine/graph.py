"""Neighbour lists, as mace makes them, in the engine's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from ..neighbours import find_neighbours
from .tables import FoldedModel

Array = np.ndarray[Any, Any]

SKIN = 0.5
"""A by which neighbour lists reach further than the cutoff, so that they serve until an atom has moved half as far."""


@dataclass(frozen=True, slots=True, eq=False)
class Crystal:
    """Atoms sorted by element, and their edges sorted by receiver.

    Attributes
    ----------
    order : ndarray, shape=(atoms,), dtype=int
        Index of each atom in the structure.
    elements : Tensor, shape=(atoms,), dtype=int64
        As the model counts them, ascending.
    start : Tensor, shape=(atoms + 1,), dtype=int64
        First edge of each receiver.
    sender : Tensor, shape=(edges,), dtype=int64
    offsets : Tensor, shape=(edges, 3), dtype=int64
        Cell of the sender, the receiver being in cell 0.
    vectors : Tensor, shape=(edges, 3), dtype=float64
        Receiver minus sender, A.
    """

    order: Array
    elements: Tensor
    start: Tensor
    sender: Tensor
    offsets: Tensor
    vectors: Tensor

    @property
    def receiver(self) -> Tensor:
        """Receiver of each edge."""
        return repeat_by(self.start)


def repeat_by(start: Tensor) -> Tensor:
    """Return the receiver of each edge, from the first edge of each receiver."""
    return torch.repeat_interleave(torch.arange(len(start) - 1, device=start.device), start.diff())


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
    shifts : ndarray, shape=(pairs, 3)
        The same in A.
    """

    order: Array
    elements: Array
    receiver: Array
    sender: Array
    offsets: Array
    shifts: Array


def find_pairs(model: FoldedModel, atoms: Atoms, skin: float = 0.0) -> Pairs:
    """Find the pairs of atoms closer than the model's cutoff and a skin (A)."""
    elements = np.searchsorted(model.numbers, atoms.numbers)
    order = np.argsort(elements, kind="stable")
    sender, receiver, shifts = find_neighbours(atoms.positions[order], atoms.cell.array, atoms.pbc, model.r_max + skin)
    by_receiver = np.argsort(receiver, kind="stable")
    offsets = -shifts[by_receiver]
    return Pairs(
        order=order,
        elements=elements[order],
        receiver=receiver[by_receiver],
        sender=sender[by_receiver],
        offsets=offsets,
        shifts=offsets @ atoms.cell.array,
    )


def join_pairs(pairs: Sequence[Pairs]) -> Pairs:
    """Put several structures into one, side by side without neighbouring each other."""
    sizes = [len(each.order) for each in pairs]
    begin = np.cumsum([0, *sizes])
    elements = np.concatenate([each.elements for each in pairs])
    order = np.argsort(elements, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    receiver = place[np.concatenate([b + each.receiver for b, each in zip(begin, pairs, strict=False)])]
    by_receiver = np.argsort(receiver, kind="stable")
    sender = place[np.concatenate([b + each.sender for b, each in zip(begin, pairs, strict=False)])]
    return Pairs(
        order=np.concatenate([b + each.order for b, each in zip(begin, pairs, strict=False)])[order],
        elements=elements[order],
        receiver=receiver[by_receiver],
        sender=sender[by_receiver],
        offsets=np.concatenate([each.offsets for each in pairs])[by_receiver],
        shifts=np.concatenate([each.shifts for each in pairs])[by_receiver],
    )


def make_crystal(model: FoldedModel, pairs: Pairs, positions: Array) -> Crystal:
    """Keep the pairs within the cutoff, on the model's device.

    Parameters
    ----------
    model : FoldedModel
    pairs : Pairs
    positions : ndarray, shape=(atoms, 3)
        In the structure's order, A.
    """
    ordered = positions[pairs.order]
    vectors = ordered[pairs.receiver] - ordered[pairs.sender] - pairs.shifts
    near = np.einsum("ek,ek->e", vectors, vectors) < model.r_max**2
    receiver = pairs.receiver[near]
    return Crystal(
        order=pairs.order,
        elements=torch.as_tensor(pairs.elements, device=model.device),
        start=torch.as_tensor(np.searchsorted(receiver, np.arange(len(ordered) + 1)), device=model.device),
        sender=torch.as_tensor(pairs.sender[near].astype(np.int64), device=model.device),
        offsets=torch.as_tensor(pairs.offsets[near], device=model.device),
        vectors=torch.as_tensor(vectors[near], device=model.device),
    )


class NeighbourList:
    """Pairs that are found again only when an atom has moved further than half the skin, or the cell has changed."""

    def __init__(self, skin: float = SKIN) -> None:
        self.skin = skin
        self.builds = 0
        self._model: FoldedModel | None = None
        self._pairs: Pairs | None = None
        self._atoms: Atoms | None = None

    def update(self, model: FoldedModel, atoms: Atoms) -> Crystal:
        """Return the crystal of a structure."""
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
