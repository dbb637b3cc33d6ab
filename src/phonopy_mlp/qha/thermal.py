"""Harmonic free energy, entropy and heat capacity, with the memory of a few dynamical matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from phonopy import Phonopy
from phonopy.physical_units import get_physical_units

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.errors import SettingsError

_MATRICES = 2**26
"""Bytes of dynamical matrices to hold at a time."""


@dataclass(frozen=True, slots=True)
class ThermalProperties:
    """Harmonic thermal properties per primitive cell.

    Attributes
    ----------
    free_energy : ndarray
        Vibrational Helmholtz energy in eV. shape=(temperatures,)
    entropy : ndarray
        In eV/K. shape=(temperatures,)
    heat_capacity : ndarray
        At constant volume, in eV/K. shape=(temperatures,)
    left_out : float
        Share of the mesh's modes, besides the three translations, that is imaginary and so is not in the sums.

    """

    free_energy: Array
    entropy: Array
    heat_capacity: Array
    left_out: float

    def per(self, cells: int) -> ThermalProperties:
        """Return the properties of one out of so many cells."""
        return ThermalProperties(
            frozen(self.free_energy / cells),
            frozen(self.entropy / cells),
            frozen(self.heat_capacity / cells),
            self.left_out,
        )


@dataclass(frozen=True, slots=True)
class MeshPoints:
    """Irreducible q-points of a Gamma-centred mesh.

    Attributes
    ----------
    qpoints : ndarray
        In units of the primitive cell's reciprocal vectors. shape=(q-points, 3)
    weights : ndarray
        They add up to 1. shape=(q-points,)

    """

    qpoints: Array
    weights: Array


def check_temperatures(temperatures: Sequence[float] | Array) -> Array:
    """Return temperatures (K) as an array.

    Raises
    ------
    SettingsError
        Fewer than two, not ascending, or not from 0 K on: expansion and heat capacity are known beforehand, to be 0,
        at 0 K alone, and come from differences at all other temperatures.

    """
    found = np.asarray(temperatures, dtype=float)
    if found.ndim != 1 or len(found) < 2 or found[0] != 0 or not (np.diff(found) > 0).all():
        raise SettingsError(
            f"Temperatures {found.tolist() if found.size < 10 else f'{found.flat[0]:g} to {found.flat[-1]:g} K'}",
            "they must ascend from 0 K, at least two of them",
            "Give for example range(0, 510, 10)",
        )
    return found


def with_one_more(temperatures: Array) -> Array:
    """Return temperatures with one more after the last, which phonopy's central differences use up."""
    return np.append(temperatures, 2 * temperatures[-1] - temperatures[-2])


def sample_mesh(phonon: Phonopy, mesh: Sequence[int]) -> MeshPoints:
    """Return the irreducible points of a Gamma-centred mesh.

    Raises
    ------
    SettingsError
        The mesh is not three positive integers.

    """
    numbers = np.asarray(mesh)
    if numbers.shape != (3,) or not np.issubdtype(numbers.dtype, np.integer) or numbers.min() < 1:
        raise SettingsError(f"Mesh {mesh}", "it must be three positive integers", "Give for example 11 11 11")
    phonon.init_mesh(numbers, is_gamma_center=True)
    assert phonon.mesh is not None
    weights = np.asarray(phonon.mesh.weights, dtype=float)
    return MeshPoints(np.array(phonon.mesh.qpoints), weights / weights.sum())


def in_chunks(qpoints: Array, bands: int) -> Iterator[slice]:
    """Cut q-points so that the dynamical matrices of one piece, in complex doubles, take some 64 MB."""
    size = max(1, _MATRICES // (16 * bands**2))
    for start in range(0, len(qpoints), size):
        yield slice(start, start + size)


def without_translations(qpoints: Array, frequencies: Array) -> Array:
    """Return frequencies with the three translations at Gamma, those nearest to 0 there, as NaN."""
    kept = frequencies.copy()
    for k in np.flatnonzero((qpoints == 0).all(axis=1)):
        kept[k, np.argsort(np.abs(kept[k]))[:3]] = np.nan
    return kept


def compute_thermal(phonon: Phonopy, mesh: Sequence[int], temperatures: Array) -> ThermalProperties:
    """Sum the harmonic thermal properties over a mesh.

    The translations at Gamma are left out, and so are imaginary modes, whose share is told.

    Parameters
    ----------
    phonon : Phonopy
        With force constants.
    mesh : sequence of int
        Gamma-centred mesh. shape=(3,)
    temperatures : ndarray
        In K. shape=(temperatures,)

    Raises
    ------
    SettingsError
        The mesh is not three positive integers.

    """
    points = sample_mesh(phonon, mesh)
    free_energy, entropy, heat_capacity = np.zeros((3, len(temperatures)))
    counts = np.zeros(2)
    for piece in in_chunks(points.qpoints, 3 * len(phonon.primitive)):
        phonon.run_qpoints(points.qpoints[piece])
        assert phonon.qpoints is not None
        frequencies = without_translations(points.qpoints[piece], phonon.qpoints.frequencies)
        weights = np.broadcast_to(points.weights[piece, None], frequencies.shape)
        real = frequencies > 0
        counts += count_left_out(frequencies, points.weights[piece])
        for k, temperature in enumerate(temperatures):
            for total, values in zip(
                (free_energy, entropy, heat_capacity), mode_properties(frequencies[real], temperature), strict=True
            ):
                total[k] += weights[real] @ values
    return ThermalProperties(free_energy, entropy, heat_capacity, float(counts[0] / counts[1]))


def count_left_out(frequencies: Array, weights: Array) -> Array:
    """Return the weight of the modes that sums over real ones leave out, and that of all, translations not counted.

    Parameters
    ----------
    frequencies : ndarray
        In THz, imaginary ones negative, translations NaN. shape=(q-points, bands)
    weights : ndarray
        shape=(q-points,)

    Returns
    -------
    ndarray
        shape=(2,)

    """
    known = np.isfinite(frequencies)
    return np.array([weights @ (known & ~(frequencies > 0)).sum(axis=1), weights @ known.sum(axis=1)])


def mode_properties(frequencies: Array, temperature: float) -> tuple[Array, Array, Array]:
    """Return free energy (eV), entropy and heat capacity (eV/K) of harmonic oscillators.

    Parameters
    ----------
    frequencies : ndarray
        Positive, in THz.
    temperature : float
        In K.

    """
    quantum, kt = get_physical_units().THzToEv * frequencies, get_physical_units().KB * temperature
    if temperature == 0:
        return quantum / 2, np.zeros_like(quantum), np.zeros_like(quantum)
    x = quantum / kt
    # exp(-x) cannot overflow; expm1 keeps the digits of slow modes.
    decay, missing = np.exp(-x), -np.expm1(-x)
    free_energy = quantum / 2 + kt * np.log(missing)
    boltzmann = get_physical_units().KB
    entropy = boltzmann * (x * decay / missing - np.log(missing))
    return free_energy, entropy, boltzmann * x**2 * decay / missing**2
