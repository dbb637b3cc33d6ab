"""Primitive cells and crystal systems, from spglib."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from ase import Atoms

from ...errors import StructureError
from ..extras import require

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
        How far atoms may be off their symmetric places, Angstrom.

    Raises
    ------
    StructureError
        spglib finds none.
    MissingExtraError
        spglib is not installed.
    """
    lattice, scaled, numbers = _ask("standardize_cell", atoms, symprec, to_primitive=True, no_idealize=True)
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
    dataset = _ask("get_symmetry_dataset", atoms, SYMPREC)
    return dataset.international, SYSTEMS[int(np.searchsorted(_LAST, dataset.number))]


def _ask(question: str, atoms: Atoms, symprec: float, **options: bool) -> Any:
    """Call a function of spglib, which fails with an error or with nothing and a warning, as the process has it."""
    require("spglib")
    import spglib

    cell, reason = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), "atoms may overlap"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Set OLD_ERROR_HANDLING", category=DeprecationWarning)
        try:
            found = getattr(spglib, question)(cell, symprec=symprec, **options)
        except spglib.SpglibError as error:
            found, reason = None, str(error)
    if found is None:
        raise StructureError("spglib finds no symmetry in it", reason)
    return found
