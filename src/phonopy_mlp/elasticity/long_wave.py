"""Elastic constants from force constants, in the limit of long acoustic waves."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from ase.units import GPa
from phonopy import Phonopy
from phonopy.structure.cells import sparse_to_dense_svecs

from phonopy_mlp.elasticity.result import ElasticResult, largest_in_gpa, make_result
from phonopy_mlp.elasticity.tensor import BASIS, christoffel
from phonopy_mlp.errors import SettingsError, StructureError, StructureWarning
from phonopy_mlp.structures import from_phonopy
from phonopy_mlp.symmetry import LOOSE

Array = np.ndarray[Any, Any]

STRESS_LIMIT = 1e-3
"""Residual stress in GPa from which there is a warning: it enters the Christoffel matrices as it is."""

_DIRECTIONS = np.array(
    [
        *np.eye(3),
        *(np.array([[1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1], [0, 1, 1], [0, 1, -1]]) / np.sqrt(2)),
        *(np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]]) / np.sqrt(3)),
    ]
)
_WEIGHTS = np.repeat([2 / 21, 8 / 105, 9 / 140], [3, 6, 4])
"""Lebedev's rule of 26 points, opposite ones being the same here: exact means over all directions up to degree 7.

Squared differences of Christoffel matrices are of degree 4, so that a fit is the same in every frame."""


def elastic_from_phonons(phonon: Phonopy, *, stress: Array | None = None, symprec: float = LOOSE) -> ElasticResult:
    """Compute elastic constants from the acoustic branches, exactly in the limit of q to 0.

    The dynamical matrix is expanded to second order in q, which moments of the force constants give, and the optical
    modes are eliminated (M. Born and K. Huang, Dynamical Theory of Crystal Lattices, sections 26 and 27). What is left,
    three by three, is q^2 times the Christoffel matrix over the density. All 21 constants are fitted to the Christoffel
    matrices of 13 directions, then averaged over the point group.

    The acoustic sum rule is imposed by the force constants between each atom and itself. A non-analytical term is
    not applied. Force constants that reach farther than half of the supercell spoil the result, and `fit_residual`
    shows it in crystals of low symmetry alone (never in a cubic one): compare a larger supercell.

    Parameters
    ----------
    phonon : Phonopy
        With force constants; not changed.
    stress : ndarray, optional
        Stress of the undisplaced crystal in eV/A^3, as ASE's ``get_stress()`` has it. shape=(6,)
    symprec : float, optional
        Tolerance (A) at which the point group is found.

    Raises
    ------
    StructureError
        A mode at Gamma is imaginary or without force, so that the atoms have no place of rest in a strained cell.
    SettingsError
        There are no force constants.

    Warns
    -----
    StructureWarning
        The stress is larger than `STRESS_LIMIT`.

    """
    if phonon.force_constants is None:
        raise SettingsError(
            "Elastic constants of a phonopy object without force constants",
            "the acoustic branches come from these",
            "Call compute_force_constants first",
        )
    residual_stress = None if stress is None else largest_in_gpa(stress)
    if residual_stress is not None and residual_stress > STRESS_LIMIT:
        warnings.warn(
            f"The crystal is under a stress of {residual_stress:.3g} GPa, which is in its elastic constants from "
            "phonons. Relax the cell further.",
            StructureWarning,
            stacklevel=2,
        )
    matrices = _christoffel_matrices(phonon) / GPa
    design = christoffel(BASIS, _DIRECTIONS)
    root = np.sqrt(_WEIGHTS)[:, None, None]
    constants = np.linalg.lstsq((root * design).reshape(len(BASIS), -1).T, (root * matrices).ravel(), rcond=None)[0]
    residual = root * (np.tensordot(constants, design, 1) - matrices)
    return make_result(
        np.tensordot(constants, BASIS, 1),
        from_phonopy(phonon.primitive),
        method="long waves",
        fit_residual=float(np.sqrt((residual**2).sum() / 9)),
        residual_stress=residual_stress,
        symprec=symprec,
    )


def follow_strains(phonon: Phonopy, strains: Array) -> Array:
    """Return how atoms follow homogeneous strains, beside moving with the cell, to first order.

    Parameters
    ----------
    phonon : Phonopy
        With force constants; not changed.
    strains : ndarray
        Cartesian, symmetric. shape=(strains, 3, 3)

    Returns
    -------
    ndarray
        In A per unit of strain, without drift, for the primitive cell's atoms. shape=(strains, atoms, 3)

    Raises
    ------
    StructureError
        A mode at Gamma is imaginary or without force.

    """
    zeroth, first, _ = _moments(phonon)
    eigenvalues, modes = _optical_modes(zeroth)
    moved_with_cell = np.tile(strains, (1, len(phonon.primitive), 1))
    driven = modes.T @ np.einsum("cij,njc->in", first, moved_with_cell)
    shifts: Array = -modes @ (driven / eigenvalues[:, None])
    return shifts.T.reshape(len(strains), len(phonon.primitive), 3)


def _christoffel_matrices(phonon: Phonopy) -> Array:
    """Return the Christoffel matrices of `_DIRECTIONS` in eV/A^3, shape=(directions, 3, 3)."""
    zeroth, first, second = _moments(phonon)
    eigenvalues, modes = _optical_modes(zeroth)
    translations = np.tile(np.eye(3), (len(phonon.primitive), 1))
    driven = modes.T @ np.einsum("nc,cab->nab", _DIRECTIONS, first) @ translations
    relaxed = np.einsum("k,nka,nkb->nab", 1 / eigenvalues, driven, driven)
    clamped = -0.5 * np.einsum("nc,nd,cdab->nab", _DIRECTIONS, _DIRECTIONS, second)
    matrices: Array = (clamped - relaxed) / phonon.primitive.volume
    return matrices


def _optical_modes(zeroth: Array) -> tuple[Array, Array]:
    """Return eigenvalues (eV/A^2) and displacements (in columns) at Gamma, all masses alike, without translations."""
    translations = np.tile(np.eye(3), (len(zeroth) // 3, 1))
    optical = np.linalg.qr(translations, mode="complete")[0][:, 3:]
    eigenvalues, vectors = np.linalg.eigh(optical.T @ zeroth @ optical)
    if (eigenvalues <= 0).any():
        raise StructureError(
            "Elastic constants of a crystal that is not stable at Gamma",
            f"the lowest eigenvalue of its force constants there is {eigenvalues[0]:.3g} eV/A^2",
            "Stabilise the structure first",
        )
    return eigenvalues, optical @ vectors


def _moments(phonon: Phonopy) -> tuple[Array, Array, Array]:
    """Return sums of force constants, times no, one and two distances, over all images of the atoms of two sublattices.

    As phonopy's dynamical matrix they have means over equidistant images, and permutation symmetry imposed.

    Returns
    -------
    zeroth : ndarray
        In eV/A^2, the acoustic sum rule imposed. shape=(3 atoms, 3 atoms)
    first : ndarray
        In eV/A. shape=(3, 3 atoms, 3 atoms)
    second : ndarray
        In eV, summed over both atoms, for that is all that long waves need. shape=(3, 3, 3, 3)

    """
    primitive = phonon.primitive
    atoms = len(primitive)
    constants = phonon.force_constants
    assert constants is not None
    if len(constants) > atoms:
        constants = constants[primitive.p2s_map]
    vectors, multiplicities = primitive.get_smallest_vectors()
    if not primitive.store_dense_svecs:
        vectors, multiplicities = sparse_to_dense_svecs(vectors, multiplicities)
    vectors = vectors @ primitive.cell
    counts, starts = multiplicities[..., 0], multiplicities[..., 1]
    mean = np.add.reduceat(vectors, starts.ravel()).reshape(*counts.shape, 3) / counts[..., None]
    products = vectors[:, :, None] * vectors[:, None, :]
    mean_product = np.add.reduceat(products, starts.ravel()).reshape(*counts.shape, 3, 3) / counts[..., None, None]
    second = np.einsum("ikab,kicd->cdab", constants, mean_product)
    # Atoms of the supercell, sorted by what they are images of. shape=(atoms, images)
    images = np.argsort([primitive.p2p_map[k] for k in primitive.s2p_map], kind="stable").reshape(atoms, -1)
    by_image = constants[:, images]
    zeroth = by_image.sum(axis=2).transpose(0, 2, 1, 3).reshape(3 * atoms, 3 * atoms)
    first = np.einsum("ijkab,jkic->ciajb", by_image, mean[images]).reshape(3, 3 * atoms, 3 * atoms)
    zeroth, first = (zeroth + zeroth.T) / 2, (first - first.transpose(0, 2, 1)) / 2
    for k in range(0, 3 * atoms, 3):
        excess = zeroth[k : k + 3].reshape(3, atoms, 3).sum(axis=1)
        zeroth[k : k + 3, k : k + 3] -= (excess + excess.T) / 2
    return zeroth, first, (second + second.transpose(0, 1, 3, 2)) / 2
