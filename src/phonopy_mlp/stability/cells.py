"""Supercells that hold a mode, and the supercells to check what came of it in."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import lcm
from typing import Any

import numpy as np
import spglib
from ase import Atoms
from ase.build import make_supercell
from ase.geometry import minkowski_reduce

from phonopy_mlp.imaginary import ImaginaryMode
from phonopy_mlp.structures import bare
from phonopy_mlp.symmetry import TIGHT

Array = np.ndarray[Any, Any]

_LARGEST_DENOMINATOR = 1000


def find_order(qpoint: Array) -> int:
    """Return the smallest n with n q a reciprocal vector: a lattice vector multiplies the mode by exp(2 pi i k/n)."""
    return lcm(*(Fraction(float(x)).limit_denominator(_LARGEST_DENOMINATOR).denominator for x in qpoint))


def find_periodic_cell(qpoint: Array, cell: Array) -> Array:
    """Return the smallest cell that a wave repeats in.

    Its vectors are the lattice vectors l with integer q.l, a lattice of index n = `find_order`, found among the
    Hermite normal forms of determinant n (Lloyd-Williams and Monserrat, *Phys. Rev. B* **92**, 184301 (2015)), and
    made short.

    Parameters
    ----------
    qpoint : ndarray
        In units of the cell's reciprocal vectors. shape=(3,)
    cell : ndarray
        Rows, A. shape=(3, 3)

    Returns
    -------
    ndarray
        Rows in units of the cell's vectors, for `ase.build.make_supercell`. shape=(3, 3), dtype=int

    """
    order = find_order(qpoint)
    for rows in _hermite_normal_forms(order):
        phases = rows @ qpoint
        if np.allclose(phases, np.rint(phases), atol=1e-6):
            break
    _, reduction = minkowski_reduce(rows @ cell)
    short: Array = reduction @ rows
    return short if round(float(np.linalg.det(short))) > 0 else -short


def _hermite_normal_forms(determinant: int) -> list[Array]:
    divisors = [n for n in range(1, determinant + 1) if determinant % n == 0]
    return [
        np.array([[a, x, y], [0, b, z], [0, 0, c]])
        for a, b, c in product(divisors, repeat=3)
        if a * b * c == determinant
        for x, y, z in product(range(b), range(c), range(c))
    ]


def make_pattern(atoms: Atoms, mode: ImaginaryMode, rows: Array, phase: float) -> tuple[Atoms, Array]:
    """Return a supercell that a mode repeats in, and the mode's real-space pattern.

    Parameters
    ----------
    atoms : Atoms
        Unit cell.
    mode : ImaginaryMode
        A mode of it.
    rows : ndarray
        Of `find_periodic_cell`.
    phase : float
        Of the complex amplitude, in radians.

    Returns
    -------
    supercell : Atoms
        Copies of the unit cell one after the other, each in its order of atoms.
    pattern : ndarray
        Displacements in A, the largest 1 A long. shape=(atoms in supercell, 3)

    """
    supercell = make_supercell(atoms, rows, wrap=False)
    copies = len(supercell) // len(atoms)
    moved = supercell.positions - np.tile(atoms.positions, (copies, 1))
    cells = np.rint(np.linalg.solve(atoms.cell.array.T, moved.T).T)
    waves = np.exp(1j * (2 * np.pi * cells @ mode.qpoint + phase))
    motion = mode.eigenvector.reshape(-1, 3) / np.sqrt(atoms.get_masses())[:, None]
    pattern = (waves[:, None] * np.tile(motion, (copies, 1))).real
    return supercell, pattern / np.linalg.norm(pattern, axis=1).max()


def carry_supercell(supercell_matrix: Array, rows: Array) -> Array:
    """Return the matrix that makes the same supercell from another cell of the lattice.

    A cell that holds a commensurate mode always divides the supercell, so that a check of it goes on with exactly the
    supercell, in space, of the check before.

    Parameters
    ----------
    supercell_matrix : ndarray
        As phonopy's ``--dim``, for the old cell. shape=(3, 3)
    rows : ndarray
        New cell in units of the old cell's vectors. shape=(3, 3)

    """
    exact = np.linalg.inv(rows).T @ supercell_matrix
    matrix = np.rint(exact).astype(int)
    assert np.allclose(exact, matrix, atol=1e-3)
    return matrix


def reduce_to_primitive(atoms: Atoms) -> tuple[Atoms, Array]:
    """Return the primitive cell found at `TIGHT`, not rotated, and its rows in units of the cell's vectors.

    Where the cell is primitive already it comes back as it was.
    """
    # Isotopes are kinds of their own.
    kinds, kind_of = np.unique(np.column_stack([atoms.numbers, atoms.get_masses()]), axis=0, return_inverse=True)
    cell = (atoms.cell.array, atoms.get_scaled_positions(), (kind_of.ravel() + 1).tolist())
    found = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=TIGHT)
    if found is None or len(found[2]) == len(atoms):
        return bare(atoms), np.eye(3)
    lattice, scaled, labels = found
    numbers, masses = kinds[np.asarray(labels) - 1].T
    reduced = Atoms(numbers=numbers.astype(int), masses=masses, cell=lattice, scaled_positions=scaled, pbc=True)
    return reduced, lattice @ np.linalg.inv(atoms.cell.array)
