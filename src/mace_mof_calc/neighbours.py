"""Neighbouring atoms, as mace finds them, whichever way the open axes of a structure point."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.geometry import complete_cell

Array = np.ndarray[Any, Any]


def find_neighbours(positions: Array, cell: Array, pbc: Array, cutoff: float) -> tuple[Array, Array, Array]:
    """Find all pairs of atoms, or of an atom and an image, that are closer than a cutoff.

    Parameters
    ----------
    positions : ndarray, shape=(atoms, 3)
        In A.
    cell : ndarray, shape=(3, 3)
        Rows are vectors in A; those of the periodic axes are independent, and others do not matter.
    pbc : ndarray, shape=(3,), dtype=bool
        Which axes are periodic.
    cutoff : float
        In A.

    Returns
    -------
    sender, receiver : ndarray, shape=(pairs,), dtype=int
        Each pair is there both ways.
    offsets : ndarray, shape=(pairs, 3), dtype=int
        Cell of the receiver, the sender being in cell 0; nothing crosses an open axis.
    """
    from mace.data.neighborhood import get_neighborhood

    # mace puts vectors of its own along x, y or z in the place of open axes. Turned like this, none of them lies in the
    # plane, or on the line, of the periodic ones.
    outwards = complete_cell(np.where(pbc[:, None], cell, 0.0))
    frame = complete_cell(np.where(pbc[:, None], 0.0, outwards))
    (sender, receiver), _, offsets, _ = get_neighborhood(
        positions @ frame.T, cutoff, (bool(pbc[0]), bool(pbc[1]), bool(pbc[2])), cell @ frame.T
    )
    return sender, receiver, offsets.astype(int)
