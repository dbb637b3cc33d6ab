"""Force constants from the forces of randomly displaced supercells, without a basis of the crystal's symmetry.

Without symmetry the normal equations of least squares have an unknown for each pair of the supercell's coordinates. But
for force constants that have the crystal's symmetry the sum of squares stays the same when an operation of the space
group turns displacements and forces. Averaged over all operations the moments of these have the symmetry themselves,
and then so has the solution, although nobody demands it. The equations become one Sylvester equation at each
commensurate q-point, with matrices of the size of the primitive cell's dynamical matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from phonopy import Phonopy
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

Array = np.ndarray[Any, Any]

_UNEXPLORED = 1e-11
"""Part of the largest mean square below which a motion did not occur."""


def fit_force_constants(phonon: Phonopy, displacements: Array, forces: Array) -> Array:
    """Fit force constants with the crystal's symmetry, symmetric in its pairs of atoms and obeying the sum rule.

    They are the same as symfc's. What the displacements do not determine, because there are too few of them, is 0.

    Parameters
    ----------
    phonon : Phonopy
        Cells and symmetry.
    displacements : ndarray
        In A. shape=(snapshots, atoms in supercell, 3)
    forces : ndarray
        In eV/A. shape=(snapshots, atoms in supercell, 3)

    Returns
    -------
    ndarray
        Compact, in eV/A^2. shape=(atoms in primitive cell, atoms in supercell, 3, 3)

    """
    # A uniform shift makes no force and there is no force on the whole: taking both away is the sum rule.
    shifts, pulls = (each - each.mean(axis=1, keepdims=True) for each in (displacements, forces))
    matrix = np.rint(np.linalg.inv(phonon.primitive_matrix) @ phonon.supercell_matrix).astype(int)
    order, phases = _order_by_cells(phonon, get_commensurate_points(matrix))
    size = 3 * len(phonon.primitive)
    squares, products = np.zeros((2, len(phases), size, size), dtype=complex)
    for permutation, rotation in _operations(phonon):
        # An atom i goes to permutation[i], so what is in the place of an atom comes from the inverse.
        origin = np.argsort(permutation)[order]
        waves, pushes = (
            np.tensordot(phases, (each @ rotation.T)[:, origin], (1, 1)).reshape(len(phases), -1, size)
            for each in (shifts, pulls)
        )
        squares += waves.swapaxes(1, 2) @ waves.conj()
        products += pushes.swapaxes(1, 2) @ waves.conj()
    least = _UNEXPLORED * np.abs(squares).max()
    blocks = np.array([_solve(square, product, least) for square, product in zip(squares, products, strict=True)])
    folded = np.einsum("qr,qxy->rxy", phases, blocks).real / len(phases)
    compact = np.empty((len(phonon.primitive), len(phonon.supercell), 3, 3))
    compact[:, order] = folded.reshape(len(order), *(len(phonon.primitive), 3) * 2).transpose(1, 0, 3, 2, 4)
    return compact


def _order_by_cells(phonon: Phonopy, qpoints: Array) -> tuple[Array, Array]:
    """Return the supercell's atoms, shape=(cells, atoms in primitive cell), and phases, shape=(q-points, cells)."""
    primitive, supercell = phonon.primitive, phonon.supercell
    fractional = supercell.positions @ np.linalg.inv(primitive.cell)
    # Atoms of one kind are in the order of the translations that lead to them, the same for each kind.
    origins = np.array(primitive.p2s_map)
    order = np.array(primitive.atomic_permutations)[:, origins]
    cells = np.rint(fractional[order[:, 0]] - fractional[origins[0]])
    return order, np.exp(-2j * np.pi * qpoints @ cells.T)


def _operations(phonon: Phonopy) -> list[tuple[Array, Array]]:
    """Return permutations and Cartesian rotations of one operation from each coset of the translations."""
    lattice = phonon.supercell.cell.T
    origins = phonon.primitive.p2s_map
    return [
        (permutation, lattice @ rotation @ np.linalg.inv(lattice))
        for permutation, rotation in zip(
            phonon.symmetry.atomic_permutations, phonon.symmetry.symmetry_operations["rotations"], strict=True
        )
        if permutation[origins[0]] in origins
    ]


def _solve(square: Array, product: Array, least: float) -> Array:
    """Return the Hermitian D with D square + square D = -(product + its adjoint), where square is above a least."""
    values, vectors = np.linalg.eigh(square)
    right = vectors.conj().T @ (product + product.conj().T) @ vectors
    sums = values[:, None] + values
    solution = np.divide(-right, sums, out=np.zeros_like(right), where=sums > least)
    return np.asarray(vectors @ solution @ vectors.conj().T)
