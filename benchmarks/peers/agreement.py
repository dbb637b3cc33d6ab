"""Whether force constants of two programs are the same, to what finite differences allow.

Central differences over 0.001 A are off by the third derivative of the forces, which is about 1e-5 of the largest force
constant, for trained and for random weights alike. The square of a frequency is a force constant over a mass, so that
where the lightest atom has small force constants (random weights) it is off by more of the largest square.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import phonopy
from phonopy.file_IO import read_force_constants_hdf5
from phonopy.harmonic.force_constants import compact_fc_to_full_fc
from scipy.spatial import cKDTree

FORCE_CONSTANTS_TOLERANCE = 5e-5
"""Allowed difference of a force constant, relative to the largest one."""

SQUARES_TOLERANCE = 5e-4
"""Allowed difference of the square of a frequency, relative to the largest one."""

SOFT = 0.1
"""Modes below this (THz), imaginary ones included, are left out of the difference of frequencies that is reported."""

Q_POINTS = ((0, 0, 0), (0.5, 0, 0), (0.5, 0.5, 0), (0.1, 0.2, 0.3))

_SYMMETRISATION_LEVEL = 20
_SAME = 1e-6

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Differences between two programs.

    Attributes
    ----------
    force_constants : float
        Largest difference of a force constant, relative to the largest one.
    squares : float
        Largest difference of the square of a frequency at `Q_POINTS`, relative to the largest one.
    frequencies : float
        Largest difference of a frequency above `SOFT`, THz; 0 where there is none.
    largest_force_constant : float
        eV/A^2.
    lowest_frequency : float
        THz, negative for an imaginary one.
    """

    force_constants: float
    squares: float
    frequencies: float
    largest_force_constant: float
    lowest_frequency: float

    @property
    def holds(self) -> bool:
        """Whether the differences are within the tolerances; numbers that are none are not."""
        return self.force_constants <= FORCE_CONSTANTS_TOLERANCE and self.squares <= SQUARES_TOLERANCE


def read_phonon(cells: Path, force_constants: Path) -> phonopy.Phonopy:
    """Read a program's cells and force constants, and impose sum rule and permutation symmetry to rounding."""
    phonon = phonopy.load(cells, produce_fc=False, is_symmetry=False, is_nac=False, log_level=0)
    values = read_force_constants_hdf5(force_constants)
    if values.shape[0] == values.shape[1]:
        values = values[phonon.primitive.p2s_map]
    phonon.force_constants = values
    phonon.symmetrize_force_constants(level=_SYMMETRISATION_LEVEL, show_drift=False)
    return phonon


def compare(reference: phonopy.Phonopy, other: phonopy.Phonopy) -> Agreement:
    """Compare force constants and frequencies.

    Raises
    ------
    ValueError
        The cells are not the same.
    """
    ours, theirs = reference.force_constants, _in_order_of(reference, other)
    largest = np.abs(ours).max()
    frequencies, others = _frequencies(reference), _frequencies(other)
    squares, other_squares = np.sign(frequencies) * frequencies**2, np.sign(others) * others**2
    hard = np.minimum(frequencies, others) > SOFT
    return Agreement(
        force_constants=float(np.abs(ours - theirs).max() / largest),
        squares=float(np.abs(squares - other_squares).max() / np.abs(squares).max()),
        frequencies=float(np.abs(frequencies - others)[hard].max(initial=0.0)),
        largest_force_constant=float(largest),
        lowest_frequency=float(frequencies.min()),
    )


def _in_order_of(reference: phonopy.Phonopy, other: phonopy.Phonopy) -> Array:
    """Return the other's compact force constants for the atoms of the reference.

    Programs wrap atoms into the cell in different ways, and phonopy then numbers their images differently.
    """
    cell, its = reference.supercell, other.supercell
    if len(cell) == len(its) and np.abs(cell.cell - its.cell).max() < _SAME:
        # Twice, since a small negative number modulo 1 is 1.
        fractional, its_fractional = (each.scaled_positions % 1.0 % 1.0 for each in (cell, its))
        distance, order = cKDTree(its_fractional, boxsize=1.0).query(fractional)
        if distance.max() < _SAME and np.array_equal(cell.numbers, its.numbers[order]):
            rows = order[reference.primitive.p2s_map]
            full = compact_fc_to_full_fc(other.primitive, other.force_constants)
            return full[rows][:, order]
    raise ValueError("The programs have different cells: their force constants cannot be compared")


def _frequencies(phonon: phonopy.Phonopy) -> Array:
    """Return frequencies at `Q_POINTS`, THz, imaginary ones negative, shape=(q-points, bands)."""
    phonon.run_qpoints(Q_POINTS)
    assert phonon.qpoints is not None
    frequencies: Array = phonon.qpoints.frequencies
    return frequencies
