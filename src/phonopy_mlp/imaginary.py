"""Imaginary modes, looked for at the q-points that a supercell represents exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from phonopy import Phonopy
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

THRESHOLD = 1e-4
"""Modes below minus this (THz) count as imaginary, as in the paper."""


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

    """

    qpoints: np.ndarray[Any, Any]
    frequencies: np.ndarray[Any, Any]

    @property
    def lowest(self) -> float:
        """Lowest frequency in THz, translations left out."""
        return float(np.nanmin(self.frequencies))

    def count_imaginary(self, threshold: float = THRESHOLD) -> int:
        """Return the number of modes below ``-threshold`` (THz)."""
        return int(np.count_nonzero(self.frequencies < -threshold))


def compute_commensurate_modes(phonon: Phonopy) -> CommensurateModes:
    """Diagonalise the dynamical matrix at the commensurate q-points, translations projected out at Gamma."""
    matrix = np.rint(np.linalg.inv(phonon.primitive_matrix) @ phonon.supercell_matrix).astype(int)
    qpoints = get_commensurate_points(matrix)
    rows = []
    phonon.run_qpoints(qpoints, with_dynamical_matrices=True)
    assert phonon.qpoints is not None
    assert phonon.qpoints.dynamical_matrices is not None
    for q, dynamical in zip(qpoints, phonon.qpoints.dynamical_matrices, strict=True):
        if np.allclose(q, 0):
            rest = _without_translations(phonon.primitive.masses)
            eigenvalues = np.concatenate([np.linalg.eigvalsh(rest.T @ dynamical @ rest), np.full(3, np.nan)])
        else:
            eigenvalues = np.linalg.eigvalsh(dynamical)
        rows.append(np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * phonon.unit_conversion_factor)
    frequencies = np.array(rows)
    frequencies.flags.writeable = False
    return CommensurateModes(np.asarray(qpoints), frequencies)


def _without_translations(masses: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an orthonormal basis of the motions without the three translations, shape=(3 atoms, 3 atoms - 3)."""
    translations = np.kron(np.sqrt(masses)[:, None], np.eye(3))
    return np.linalg.qr(translations, mode="complete")[0][:, 3:]
