"""What a self-consistent harmonic approximation gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from phonopy_mlp.arrays import Array
from phonopy_mlp.imaginary import CommensurateModes


@dataclass(frozen=True, slots=True)
class SschaPoint:
    """Self-consistent phonons at one temperature.

    Attributes
    ----------
    temperature : float
        In K.
    free_energy : float
        In eV per primitive cell, measured from the energy of the undisplaced crystal: mean over the iterations that
        count.
    free_energy_error : float
        Its statistical error in eV: that of the snapshots, or the standard error of the iterations' scatter where it is
        larger, for each iteration's own error does not know of the noise in the force constants that it samples with.
    force_constants : ndarray
        Mean of those that the iterations that count ended with, compact, in eV/A^2.
        shape=(atoms in primitive cell, atoms in supercell, 3, 3)
    modes : CommensurateModes
        Frequencies of `force_constants` at the q-points that the supercell represents exactly.
    history : ndarray
        Free energy of every iteration in eV per primitive cell. shape=(iterations,)
    history_errors : ndarray
        Their statistical errors in eV. shape=(iterations,)
    lowest_frequencies : ndarray
        Lowest commensurate frequency of the force constants that each iteration ended with, in THz. shape=(iterations,)
    mean_frequencies : ndarray
        Mean of the commensurate frequencies of the same, in THz. shape=(iterations,)
    transient : int
        Number of first iterations that do not count.
    snapshots : int
        Supercells in each iteration.

    """

    temperature: float
    free_energy: float
    free_energy_error: float
    force_constants: Array
    modes: CommensurateModes
    history: Array
    history_errors: Array
    lowest_frequencies: Array
    mean_frequencies: Array
    transient: int
    snapshots: int

    def describe(self) -> Mapping[str, Any]:
        """Return the point as plain data, without its force constants."""
        columns = (self.history, self.history_errors, self.lowest_frequencies, self.mean_frequencies)
        names = ("free_energy", "free_energy_error", "lowest_frequency", "mean_frequency")
        return {
            "temperature": self.temperature,
            "free_energy": self.free_energy,
            "free_energy_error": self.free_energy_error,
            "lowest_frequency": self.modes.lowest,
            "imaginary_modes": self.modes.count_imaginary(),
            "snapshots": self.snapshots,
            "transient": self.transient,
            "iterations": [dict(zip(names, map(float, row), strict=True)) for row in zip(*columns, strict=True)],
        }


@dataclass(frozen=True, slots=True)
class SschaResult:
    """Self-consistent phonons against temperature.

    Attributes
    ----------
    points : tuple of SschaPoint
        One for each temperature, in the order given.
    static_energy : float
        Energy of the undisplaced crystal in eV per primitive cell.
    evaluations : int
        Supercells that the whole took: for each iteration the snapshots and the undisplaced one.

    """

    points: tuple[SschaPoint, ...]
    static_energy: float
    evaluations: int

    def describe(self) -> Mapping[str, Any]:
        """Return the result as plain data, without force constants: eV per primitive cell, THz, K."""
        return {
            "static_energy": self.static_energy,
            "evaluations": self.evaluations,
            "temperatures": [point.describe() for point in self.points],
        }
