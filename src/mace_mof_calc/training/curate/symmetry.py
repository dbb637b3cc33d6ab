"""Primitive cells and crystal systems, from spglib."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ...errors import StructureError
from .extras import require

#: How far atoms may be off their symmetric places, Angstrom.
SYMPREC = 1e-2

SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")
_LAST = (2, 15, 74, 142, 167, 194, 230)  # number of the last space group of each


def reduce_to_primitive(atoms: Atoms, symprec: float = SYMPREC) -> Atoms:
    """Return the primitive cell, or the cell itself where that is one.

    Parameters
    ----------
    atoms : Atoms
    symprec : float, optional
        How far atoms may be off their places, Angstrom.

    Raises
    ------
    StructureError
        spglib finds no symmetry, not even that of the lattice.
    MissingExtraError
        spglib is not installed.
    """
    require("spglib")
    import spglib

    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    found = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=symprec)
    if found is None:
        raise StructureError("spglib finds no primitive cell of it", "Atoms may lie on top of each other")
    lattice, scaled, numbers = found
    if len(numbers) == len(atoms):
        return atoms
    return Atoms(numbers, scaled_positions=scaled, cell=lattice, pbc=True)


def find_crystal_system(atoms: Atoms) -> tuple[str, str]:
    """Return the international symbol of the space group and the crystal system, one of `SYSTEMS`.

    Raises
    ------
    StructureError
        spglib finds no space group.
    MissingExtraError
        spglib is not installed.
    """
    require("spglib")
    import spglib

    dataset = spglib.get_symmetry_dataset((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), SYMPREC)
    if dataset is None:
        raise StructureError("spglib finds no space group of it", "Atoms may lie on top of each other")
    return dataset.international, SYSTEMS[int(np.searchsorted(_LAST, dataset.number))]
