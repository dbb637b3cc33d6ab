"""The primitive cell that a whole quasi-harmonic calculation is about, and the ways its lattice may go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import spglib
from ase import Atoms

from phonopy_mlp.force_constants import make_phonopy
from phonopy_mlp.structures import bare, from_phonopy
from phonopy_mlp.symmetry import SpaceGroup, find_space_group

Array = np.ndarray[Any, Any]

_INVARIANT = 0.5


@dataclass(frozen=True, slots=True)
class Crystal:
    """A crystal by its primitive cell, whatever cell it was given in.

    Attributes
    ----------
    atoms : Atoms
        Primitive cell, in the orientation of the input; each access gives a fresh copy. A.
    supercell_matrix : ndarray
        The supercell asked for, counted in the vectors of `atoms`. shape=(3, 3), dtype=int
    symprec : float
        Tolerance (A) at which symmetry is read.
    cells : int
        Number of primitive cells that the cell is made of: more than 1 where an instability made it larger.

    """

    _atoms: Atoms
    supercell_matrix: Array
    symprec: float
    cells: int = 1

    @property
    def atoms(self) -> Atoms:
        """A copy of the cell."""
        return bare(self._atoms)

    def moved_to(self, atoms: Atoms) -> Crystal:
        """Return the same crystal with the cell and positions of another structure."""
        return replace(self, _atoms=bare(atoms))

    def describe(self) -> dict[str, Any]:
        """Return all that belongs to a question about this crystal."""
        return {
            "primitive": [self._atoms.cell.array, self._atoms.positions, self._atoms.numbers],
            "masses": self._atoms.get_masses(),
            "supercell_matrix": self.supercell_matrix,
            "symprec": self.symprec,
        }

    @property
    def space_group(self) -> SpaceGroup:
        """Space group at `symprec`."""
        return find_space_group(self._atoms, self.symprec)


def make_crystal(atoms: Atoms, supercell_matrix: Array, *, symprec: float) -> Crystal:
    """Reduce a structure to its primitive cell.

    Parameters
    ----------
    atoms : Atoms
        Primitive, conventional or any larger cell.
    supercell_matrix : ndarray
        Supercell counted in the vectors of `atoms`, as phonopy's ``--dim``. shape=(3, 3)
    symprec : float
        Tolerance in A at which atoms count as images of each other.

    Raises
    ------
    SettingsError
        The supercell is too large.

    """
    phonon = make_phonopy(atoms, np.eye(3, dtype=int), symprec=symprec)
    matrix = np.rint(np.linalg.inv(phonon.primitive_matrix) @ np.asarray(supercell_matrix)).astype(int)
    return Crystal(bare(from_phonopy(phonon.primitive)), matrix, symprec)


def conventional_lattice(crystal: Crystal) -> Array:
    """Return the vectors of the conventional cell, in the orientation of the crystal (rows, A, shape=(3, 3))."""
    standard = spglib.standardize_cell(_cell(crystal.atoms), no_idealize=True, symprec=crystal.symprec)
    assert standard is not None
    lattice: Array = np.array(standard[0])
    return lattice


def find_invariant_strains(crystal: Crystal) -> Array:
    """Return the strains that leave the crystal its symmetry.

    Sums over all modes, such as a thermal stress, are invariant under the crystal's rotations, so they have components
    along these strains alone: one for a cubic crystal, two for a hexagonal, trigonal or tetragonal one, three for an
    orthorhombic, four for a monoclinic and six for a triclinic one.

    Returns
    -------
    ndarray
        Symmetric matrices, orthonormal by the sum of products of their elements. shape=(count, 3, 3)

    """
    lattice = crystal.atoms.cell.array.T
    dataset = spglib.get_symmetry_dataset(_cell(crystal.atoms), symprec=crystal.symprec)
    assert dataset is not None
    rotations = np.array([lattice @ rotation @ np.linalg.inv(lattice) for rotation in dataset.rotations])
    basis = np.zeros((6, 3, 3))
    for k, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        basis[k, i, j] = basis[k, j, i] = 1 if i == j else np.sqrt(0.5)
    averaged = np.einsum("gai,kij,gbj->kab", rotations, basis, rotations) / len(rotations)
    projection = np.einsum("kab,lab->kl", basis, averaged)
    values, vectors = np.linalg.eigh((projection + projection.T) / 2)
    invariant: Array = np.einsum("kn,kab->nab", vectors[:, values > _INVARIANT], basis)
    return invariant


def _cell(atoms: Atoms) -> Any:
    return atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers
