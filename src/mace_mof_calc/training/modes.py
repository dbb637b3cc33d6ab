"""Vibrations of a cell at Gamma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import units

Array = np.ndarray[Any, Any]

THZ = 1e12 * 2 * np.pi / units.s
"""Angular frequency of 1 THz in ASE's units."""


@dataclass(frozen=True, slots=True, eq=False)
class Modes:
    """Vibrations of a cell at Gamma, without the translations.

    Attributes
    ----------
    frequencies : ndarray, shape=(3 * natoms - 3,)
        THz, ascending, those of imaginary modes negative.
    vectors : ndarray, shape=(3 * natoms - 3, natoms, 3)
        Orthonormal, in coordinates times the square root of the mass.
    stiffness : ndarray, shape=(3 * natoms, 3 * natoms)
        The Hessian with each frequency replaced by its absolute value, and softer ones than a smallest by that;
        eV/Angstrom^2.
    floor : float
        That smallest one, THz.
    """

    frequencies: Array
    vectors: Array
    stiffness: Array
    floor: float


def make_modes(hessian: Array, masses: Array, floor: float = 0.0) -> Modes:
    """Diagonalise a Hessian, translations projected out.

    Parameters
    ----------
    hessian : ndarray, shape=(3 * natoms, 3 * natoms)
        eV/Angstrom^2.
    masses : ndarray, shape=(natoms,)
        u.
    floor : float, optional
        Smallest frequency that displacements are drawn with, THz.
    """
    roots = np.sqrt(masses).repeat(3)
    translations = np.linalg.qr(np.tile(np.eye(3), (len(masses), 1)) * roots[:, None])[0]
    rest = np.eye(len(roots)) - translations @ translations.T
    dynamical = rest @ ((hessian + hessian.T) / 2 / np.outer(roots, roots)) @ rest
    # Far above every vibration, translations are the last three, whatever is soft or imaginary.
    far = 10.0 * np.abs(dynamical).sum(axis=1).max() + 1.0
    squares, vectors = np.linalg.eigh(dynamical + far * translations @ translations.T)
    squares, vectors = squares[:-3], vectors[:, :-3]
    # Rounding decides which way LAPACK's vectors point; what is drawn along them is to be the same everywhere.
    vectors = vectors * np.where(np.cos(np.arange(len(roots))) @ vectors < 0, -1.0, 1.0)
    frequencies = np.sign(squares) * np.sqrt(np.abs(squares)) / THZ
    bounded = (np.maximum(np.abs(frequencies), floor) * THZ) ** 2
    stiffness = (vectors * bounded) @ vectors.T * np.outer(roots, roots)
    return Modes(frequencies, vectors.T.reshape(-1, len(masses), 3), stiffness, floor)
