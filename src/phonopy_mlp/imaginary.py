"""Imaginary modes, looked for at the q-points that a supercell represents exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from phonopy import Phonopy
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.errors import SettingsError

THRESHOLD = 1e-4
"""Modes below minus this (THz) count as imaginary, as in the paper."""

_TIED_DECIMALS = 4
"""Frequencies in THz that agree to so many count as equal where modes are put in order."""


@dataclass(frozen=True, slots=True)
class ImaginaryMode:
    """A mode whose squared frequency is negative.

    Attributes
    ----------
    qpoint : ndarray
        In units of the primitive cell's reciprocal vectors. shape=(3,)
    band : int
        Its place among the modes of this q-point, lowest first, from 0.
    frequency : float
        In THz, negative.
    effective_mass : float
        In u: the inverse of the mean of 1 / m_j over the atoms, weighted with their shares of the eigenvector. A
        force-constant error dPhi along the mode shifts its squared angular frequency by dPhi over this mass.
    eigenvector : ndarray
        Normalised; atom j of cell l moves by Re(e_j exp(2 pi i q.l)) / sqrt(m_j), l in units of the primitive cell's
        vectors, so that it is real wherever 2 q is a reciprocal vector. shape=(3 atoms,), complex, read-only

    """

    qpoint: Array
    band: int
    frequency: float
    effective_mass: float
    eigenvector: Array


@dataclass(frozen=True, slots=True)
class CommensurateModes:
    """Frequencies at all commensurate q-points of a supercell.

    Attributes
    ----------
    qpoints : ndarray
        In units of the primitive cell's reciprocal vectors. shape=(q-points, 3)
    frequencies : ndarray
        In THz, imaginary ones negative, ascending. At Gamma the three translations are projected out and stand as
        NaN at the end. shape=(q-points, bands)
    imaginary : tuple of ImaginaryMode
        Every mode of negative frequency, however small, with its eigenvector; lowest first, equal ones in the order of
        `qpoints`.

    """

    qpoints: Array
    frequencies: Array
    imaginary: tuple[ImaginaryMode, ...]

    @property
    def lowest(self) -> float:
        """Lowest frequency in THz, translations left out."""
        return float(np.nanmin(self.frequencies))

    def count_imaginary(self, threshold: float = THRESHOLD) -> int:
        """Return the number of modes below ``-threshold`` (THz)."""
        return int(np.count_nonzero(self.frequencies < -threshold))


def compute_commensurate_modes(phonon: Phonopy) -> CommensurateModes:
    """Diagonalise the dynamical matrix at the commensurate q-points, translations projected out at Gamma.

    Raises
    ------
    SettingsError
        The supercell is one atom.

    """
    check_size(len(phonon.supercell))
    matrix = np.rint(np.linalg.inv(phonon.primitive_matrix) @ phonon.supercell_matrix).astype(int)
    qpoints = np.asarray(get_commensurate_points(matrix))
    rows, imaginary = [], []
    for q, dynamical in zip(qpoints, dynamical_matrices(phonon, qpoints), strict=True):
        eigenvalues, eigenvectors = _diagonalise(phonon, q, dynamical)
        frequencies = np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * phonon.unit_conversion_factor
        for band in np.flatnonzero(frequencies < 0):
            vector = frozen(eigenvectors[:, band].astype(complex))
            weights = (np.abs(vector.reshape(-1, 3)) ** 2).sum(axis=1)
            mass = 1 / float((weights / phonon.primitive.masses).sum())
            imaginary.append(ImaginaryMode(frozen(q), int(band), float(frequencies[band]), mass, vector))
        rows.append(np.concatenate([frequencies, np.full(len(dynamical) - len(frequencies), np.nan)]))
    # Rounding does not choose among equal modes, so that every machine follows the same one.
    imaginary.sort(key=lambda mode: round(mode.frequency, _TIED_DECIMALS))
    return CommensurateModes(frozen(qpoints), frozen(np.array(rows)), tuple(imaginary))


def check_size(atoms: int) -> None:
    """Raise `SettingsError` for a supercell of so many atoms that represents nothing but translations: of one."""
    if atoms == 1:
        raise SettingsError(
            "A supercell of one atom",
            "all modes that it represents are translations",
            "Give a larger one, for example --dim 2 2 2",
        )


def dynamical_matrices(phonon: Phonopy, qpoints: Array) -> Array:
    """Return phonopy's dynamical matrices in eV/A^2/u, shape=(q-points, 3 atoms, 3 atoms)."""
    phonon.run_qpoints(qpoints, with_dynamical_matrices=True)
    assert phonon.qpoints is not None
    assert phonon.qpoints.dynamical_matrices is not None
    return np.asarray(phonon.qpoints.dynamical_matrices)


def translations_and_rest(masses: Array) -> tuple[Array, Array]:
    """Return orthonormal bases of the three translations and of all other motions, in coordinates sqrt(mass) x shift.

    Returns
    -------
    translations : ndarray
        Along x, y and z. shape=(3 atoms, 3)
    rest : ndarray
        shape=(3 atoms, 3 atoms - 3)

    """
    translations = np.kron(np.sqrt(masses / masses.sum())[:, None], np.eye(3))
    return translations, np.linalg.qr(translations, mode="complete")[0][:, 3:]


def _diagonalise(phonon: Phonopy, q: Array, dynamical: Array) -> tuple[Array, Array]:
    """Return eigenvalues, ascending, and eigenvectors as in `ImaginaryMode`; without translations at Gamma."""
    # phonopy's phases run with the atoms' positions; without them the matrix is real where 2 q is a reciprocal vector.
    phases = np.repeat(np.exp(2j * np.pi * phonon.primitive.scaled_positions @ q), 3)
    periodic = phases[:, None] * dynamical * phases.conj()
    if np.allclose(2 * q, np.rint(2 * q)):
        periodic = periodic.real
    if not np.allclose(q, 0):
        values, vectors = np.linalg.eigh(periodic)
        return values, vectors
    _, rest = translations_and_rest(phonon.primitive.masses)
    values, vectors = np.linalg.eigh(rest.T @ periodic @ rest)
    return values, rest @ vectors
