"""Mathematics of the elastic tensor.

Voigt order is ASE's: xx, yy, zz, yz, xz, xy; a shear strain in it is twice the tensor's component.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
"""Voigt index of a pair of Cartesian ones."""

_ROWS, _COLUMNS = np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1])
"""Cartesian indices of a Voigt one."""

_KELVIN = np.sqrt([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])

_TRACELESS = np.linalg.qr(np.array([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]]).T, mode="complete")[0][:, 1:]
"""Orthonormal strains of constant volume, in columns, Kelvin's factors in their shears. shape=(6, 5)"""

_PAIRS = np.transpose(np.triu_indices(6))

BASIS = np.array([np.maximum(unit := np.outer(*np.eye(6)[pair]), unit.T) for pair in _PAIRS])
"""Unit symmetric matrices, one per constant of a triclinic crystal. shape=(21, 6, 6)"""


def strain_tensor(strain: Array) -> Array:
    """Return the symmetric tensor of a strain in Voigt order, shape=(6,) to (3, 3)."""
    factors = np.where(np.eye(3, dtype=bool), 1.0, 0.5)
    tensor: Array = factors * np.asarray(strain)[_VOIGT]
    return tensor


def to_tensor(stiffness: Array) -> Array:
    """Return the tensor of a stiffness matrix, shape=(..., 6, 6) to (..., 3, 3, 3, 3)."""
    tensor: Array = np.asarray(stiffness)[..., _VOIGT[:, :, None, None], _VOIGT]
    return tensor


def rotate(stiffness: Array, rotations: Array) -> Array:
    """Return a stiffness matrix in the rotated crystal.

    Parameters
    ----------
    stiffness : ndarray
        shape=(..., 6, 6)
    rotations : ndarray
        Orthogonal; they take a vector to its place in the rotated crystal. shape=(..., 3, 3)

    """
    tensor = to_tensor(stiffness)
    for _ in range(4):
        # Takes the last index and makes it the first, so that after four turns all have had theirs.
        tensor = np.einsum("...ai,...bcdi->...abcd", rotations, tensor)
    rotated: Array = tensor[..., _ROWS, _COLUMNS, :, :][..., _ROWS, _COLUMNS]
    return rotated


def project(stiffness: Array, rotations: Array) -> Array:
    """Return the mean of a stiffness matrix over a point group, shape of `rotations`=(operations, 3, 3)."""
    mean: Array = np.mean([rotate(stiffness, rotation) for rotation in rotations], axis=0)
    return mean


def count_independent(rotations: Array) -> int:
    """Return the number of constants that a point group leaves free: the trace of its projection."""
    projected = project(BASIS, rotations)
    return round(float(np.einsum("kij,kij->", projected, BASIS / (BASIS**2).sum(axis=(1, 2), keepdims=True))))


def christoffel(stiffness: Array, directions: Array) -> Array:
    """Return the Christoffel matrices C_agbd n_g n_d of some directions.

    Parameters
    ----------
    stiffness : ndarray
        shape=(..., 6, 6)
    directions : ndarray
        Unit vectors. shape=(directions, 3)

    Returns
    -------
    ndarray
        shape=(..., directions, 3, 3); their eigenvalues are density times squared velocity of sound.

    """
    matrices: Array = np.einsum("...agbd,ng,nd->...nab", to_tensor(stiffness), directions, directions)
    return matrices


def kelvin_eigenvalues(stiffness: Array) -> Array:
    """Return the eigenvalues of the stiffness as a map of tensors (Kelvin's), ascending and the same in every frame."""
    eigenvalues: Array = np.linalg.eigvalsh(stiffness * np.outer(_KELVIN, _KELVIN))
    return eigenvalues


def kelvin_modes(stiffness: Array, *, constant_volume: bool = False) -> tuple[Array, Array]:
    """Return the same eigenvalues, and the strains they belong to.

    Parameters
    ----------
    stiffness : ndarray
        shape=(6, 6)
    constant_volume : bool, optional
        Only of strains without trace, which are five: a hydrostatic stress that they make does not count.

    Returns
    -------
    eigenvalues : ndarray
        Ascending. shape=(6,) or (5,)
    strains : ndarray
        Symmetric tensors, orthonormal by the sum of products of their elements. shape=(6, 3, 3) or (5, 3, 3)

    """
    basis = _TRACELESS if constant_volume else np.eye(6)
    eigenvalues, vectors = np.linalg.eigh(basis.T @ (stiffness * np.outer(_KELVIN, _KELVIN)) @ basis)
    return eigenvalues, ((basis @ vectors).T / _KELVIN)[:, _VOIGT]


def compliance_tensor(compliance: Array) -> Array:
    """Return the tensor of a compliance matrix, whose shear components carry factors of 2 and 4."""
    return to_tensor(compliance / np.outer(_KELVIN**2, _KELVIN**2))


def isotropic_part(tensor: Array) -> tuple[float, float]:
    """Return bulk and shear modulus of the isotropic tensor nearest to a stiffness, shape=(3, 3, 3, 3)."""
    trace, square = float(np.einsum("iijj", tensor)), float(np.einsum("ijij", tensor))
    return trace / 9, (3 * square - trace) / 30
