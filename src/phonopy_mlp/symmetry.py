"""Space groups of structures, and projection of a structure onto one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import spglib
from ase import Atoms
from ase.spacegroup.symmetrize import refine_symmetry

from phonopy_mlp.errors import SettingsError, StructureError

TIGHT, LOOSE = 1e-5, 1e-2
"""Tolerances (A) at which symmetry is reported: phonopy's own, and the one that sees past a relaxation's residue."""

_FIRST_CUBIC = 195


@dataclass(frozen=True, slots=True)
class SpaceGroup:
    """Space group found at a tolerance.

    Attributes
    ----------
    symbol : str
        International short symbol, ``P1`` style.
    number : int
        International number.
    tolerance : float
        Distance tolerance of the search in A.

    """

    symbol: str
    number: int
    tolerance: float

    @property
    def is_cubic(self) -> bool:
        """Whether the volume alone fixes the lattice."""
        return self.number >= _FIRST_CUBIC

    def __str__(self) -> str:
        return f"{self.symbol} ({self.number}) at {self.tolerance:g} A"


def find_space_group(atoms: Atoms, tolerance: float) -> SpaceGroup:
    """Return the space group of a structure at a tolerance in A.

    Raises
    ------
    StructureError
        spglib finds no symmetry, not even P1, at this tolerance.
    SettingsError
        The tolerance is not positive.

    """
    dataset = find_symmetry(atoms, tolerance)
    return SpaceGroup(dataset.international, int(dataset.number), tolerance)


def find_space_groups(atoms: Atoms) -> tuple[SpaceGroup, ...]:
    """Return the space groups of a structure at `TIGHT` and `LOOSE`; raises as `find_space_group`."""
    return tuple(find_space_group(atoms, tolerance) for tolerance in (TIGHT, LOOSE))


def check_tolerance(tolerance: float) -> None:
    """Raise `SettingsError` for a tolerance (A) that is not positive."""
    if not (np.isfinite(tolerance) and tolerance > 0):
        raise SettingsError(f"Symmetry tolerance {tolerance:g} A", "it must be positive", "Give for example 1e-2")


def find_symmetry(atoms: Atoms, tolerance: float) -> spglib.SpglibDataset:
    """Return all that spglib finds of a structure's symmetry at a tolerance in A; raises as `find_space_group`."""
    check_tolerance(tolerance)
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    try:
        dataset = spglib.get_symmetry_dataset(cell, symprec=tolerance)
    except spglib.SpglibError as error:
        raise _not_found(tolerance, str(error)) from error
    if dataset is None:
        raise _not_found(tolerance, "spglib found no space group")
    return dataset


def symmetrise(atoms: Atoms, tolerance: float) -> Atoms:
    """Return the structure projected onto the space group found at a tolerance in A; cell setting and order kept."""
    find_space_group(atoms, tolerance)
    projected: Atoms = atoms.copy()
    refine_symmetry(projected, symprec=tolerance)
    return projected


def _not_found(tolerance: float, reason: str) -> StructureError:
    return StructureError(f"No symmetry was found at a tolerance of {tolerance:g} A", reason, "Try a smaller tolerance")
