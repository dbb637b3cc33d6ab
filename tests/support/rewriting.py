"""The same crystal, written in another way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

BASES = [
    np.eye(3, dtype=int),
    np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]),
    np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]]),
]
"""Unimodular."""

_ANGLE = 0.7
TURN = np.array(
    [[np.cos(_ANGLE), 0, np.sin(_ANGLE)], [0, 1, 0], [-np.sin(_ANGLE), 0, np.cos(_ANGLE)]],
)
"""A rotation; vectors are rows."""


def rewritten(
    atoms: Atoms, *, basis: np.ndarray, order: Sequence[int], origin: Sequence[float], rotation: np.ndarray
) -> tuple[Atoms, list[int]]:
    """Return a crystal in another basis, order, orientation and about another origin, and the order.

    Atoms are put back into the new cell.
    """
    numbers = atoms.numbers[list(order)]
    positions = (atoms.positions[list(order)] + np.array(origin)) @ rotation
    other = Atoms(numbers=numbers, positions=positions, cell=basis @ atoms.cell.array @ rotation, pbc=True)
    other.wrap()
    return other, list(order)
