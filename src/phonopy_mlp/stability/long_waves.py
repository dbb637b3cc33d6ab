"""Instabilities of long waves: acoustic branches near Gamma, where no commensurate q-point is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from phonopy import Phonopy
from phonopy.physical_units import get_physical_units

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.imaginary import dynamical_matrices, translations_and_rest
from phonopy_mlp.stability.curvature import energy_curvature
from phonopy_mlp.structures import bare
from phonopy_mlp.supercell import shortest_image_distance

WAVE_NUMBER = 1e-4
"""Length of q in 1/A, without 2 pi. At 0.01, C44 of MOF-5 already comes out 17 % low; where bending stiffness adds to
a weak shear modulus, 0.001 can still be 1 % off."""

_KM_PER_S = 0.1
"""THz A in km/s."""

_RMS_SQUARE = 1 / np.sqrt(80)
"""Root mean square of x^2 for x spread evenly over (-1/2, 1/2)."""


@dataclass(frozen=True, slots=True)
class SoundWave:
    """An acoustic branch in the limit of long waves.

    Attributes
    ----------
    indices : tuple of int
        Direction of q in units of the primitive cell's reciprocal vectors.
    direction : ndarray
        The same as a Cartesian unit vector. shape=(3,)
    polarisation : ndarray
        Cartesian unit vector, of either sign. shape=(3,)
    square_velocity : float
        In (km/s)^2; negative for an instability.
    internal : ndarray
        How the atoms follow a strain that the wave is in its limit, beside moving with the cell, in A per unit of
        `strain_along`. shape=(atoms, 3)
    energy_square_velocity : float or None
        In (km/s)^2, from energies of the strained cell. None where nothing called for it.
    energy_noise : float
        How much of it may be noise of the energies, in (km/s)^2.

    """

    indices: tuple[int, int, int]
    direction: Array
    polarisation: Array
    square_velocity: float
    internal: Array
    energy_square_velocity: float | None = None
    energy_noise: float = 0.0

    @property
    def confirmed(self) -> bool:
        """Whether energies, too, call it unstable."""
        return self.energy_square_velocity is not None and self.energy_square_velocity < -self.energy_noise


@dataclass(frozen=True, slots=True)
class LongWaves:
    """Sound waves in symmetry-distinct directions.

    Attributes
    ----------
    waves : tuple of SoundWave
        Three for each direction.
    noise : float
        Squared velocity in (km/s)^2 that the error of the force constants can make.

    """

    waves: tuple[SoundWave, ...]
    noise: float

    @property
    def suspected(self) -> tuple[SoundWave, ...]:
        """Waves whose squared velocity is below minus the noise, lowest first."""
        found = (wave for wave in self.waves if wave.square_velocity < -self.noise)
        return tuple(sorted(found, key=lambda wave: wave.square_velocity))


def compute_long_waves(phonon: Phonopy, error: float) -> LongWaves:
    """Compute squared sound velocities from force constants that keep the acoustic sum rule.

    At small q the dynamical matrix in the space of the translations, less what the other motions give way by
    (D_TT - D_TR D_RR^-1 D_RT), is q^2 times the matrix whose eigenvalues are the squares of 2 pi times the velocities
    (Born and Huang, *Dynamical Theory of Crystal Lattices*, section 26). Unlike the three lowest eigenvalues it is that
    of the acoustic branches also where an optical one lies low. The modes at Gamma have to be stable.

    The directions are the 49 with indices from -2 to 2, one of each symmetry-equivalent set: all of them in a triclinic
    crystal, six in a simple cubic one. Between them an instability in a narrow cone can hide.

    Parameters
    ----------
    phonon : Phonopy
        With force constants.
    error : float
        Their error in eV/A^2, as of `estimate_force_constant_error`. Each element enters the squared velocity with half
        the square of a distance, spread over the supercell.

    """
    masses = phonon.primitive.masses
    translations, rest = translations_and_rest(masses)
    reciprocal = np.linalg.inv(phonon.primitive.cell).T
    indices = distinct_directions(phonon.primitive_symmetry.reciprocal_operations)
    qpoints = np.array([n / np.linalg.norm(n @ reciprocal) * WAVE_NUMBER for n in indices])
    scale = (phonon.unit_conversion_factor / WAVE_NUMBER * _KM_PER_S) ** 2
    waves = []
    for n, q, dynamical in zip(indices, qpoints, dynamical_matrices(phonon, qpoints), strict=True):
        coupling = rest.T @ dynamical @ translations
        relaxed = np.linalg.solve(rest.T @ dynamical @ rest, coupling) if len(masses) > 1 else coupling
        acoustic = translations.T @ dynamical @ translations - coupling.conj().T @ relaxed
        values, vectors = np.linalg.eigh(acoustic.real)
        direction = q @ reciprocal / WAVE_NUMBER
        for value, vector in zip(values, vectors.T, strict=True):
            i, j, k = (int(each) for each in n)
            internal = _internal_strain(rest @ relaxed @ vector, masses)
            waves.append(SoundWave((i, j, k), frozen(direction), frozen(vector), float(value * scale), internal))
    size = shortest_image_distance(phonon.supercell.cell)
    half_square = _RMS_SQUARE * size**2 / 2 * (2 * np.pi * WAVE_NUMBER) ** 2
    return LongWaves(tuple(waves), float(error * half_square / masses.mean() * scale))


def confirm_with_energies(
    waves: LongWaves, atoms: Atoms, calculator: BaseCalculator, *, noise: float = 0.0
) -> LongWaves:
    """Return the waves with the squared velocities that energies of the strained cell give the suspected ones.

    Force constants that reach beyond half the supercell are folded, and their long waves mean little. The energy along
    `strain_along` needs the unit cell alone. `noise` is that of a curvature, in eV.

    Raises
    ------
    CalculatorError
        The calculator failed.

    """
    suspected = {id(wave) for wave in waves.suspected}
    scale = get_physical_units().DefaultToTHz ** 2 * _KM_PER_S**2 * (2 * np.pi) ** 2 / float(atoms.get_masses().sum())
    confirmed = []
    for wave in waves.waves:
        if id(wave) not in suspected:
            confirmed.append(wave)
            continue
        curvature = energy_curvature(partial(strain_along, atoms, wave), calculator)
        confirmed.append(replace(wave, energy_square_velocity=curvature * scale, energy_noise=noise * scale))
    return LongWaves(tuple(confirmed), waves.noise)


def _internal_strain(motion: Array, masses: Array) -> Array:
    """Return the part of a wave that is not a translation as displacements per strain.

    With the translation p and the rest -i q w the crystal moves by p sin(2 pi q x) + q w cos(2 pi q x), in which
    2 pi q is the strain at x = 0. `motion` is i q w in coordinates sqrt(mass) x shift, of a translation of length 1.
    """
    per_wave = motion.imag.reshape(-1, 3) * np.sqrt(masses.sum() / masses)[:, None]
    return frozen(-per_wave / (2 * np.pi * WAVE_NUMBER))


def strain_along(atoms: Atoms, wave: SoundWave, amplitude: float) -> Atoms:
    """Return a crystal strained as a long wave strains it, atoms moved as far as they follow to first order.

    Every place x moves by amplitude (direction.x) polarisation. The volume is linear in the amplitude, so that work of
    a pressure has no part in the curvature of the energy, which is the cell's mass times the squared velocity.
    """
    moved = bare(atoms)
    gradient = np.eye(3) + amplitude * np.outer(wave.polarisation, wave.direction)
    moved.set_cell(moved.cell.array @ gradient.T, scale_atoms=True)
    moved.positions += amplitude * wave.internal
    return moved


def distinct_directions(operations: Array) -> Array:
    """Return small integer directions, one of each set that operations and inversion make of each other.

    Parameters
    ----------
    operations : ndarray
        Rotations of reciprocal coordinates. shape=(operations, 3, 3), dtype=int

    Returns
    -------
    ndarray
        shape=(directions, 3), dtype=int

    """
    found, seen = [], set()
    candidates = sorted(product(range(-2, 3), repeat=3), key=lambda n: (np.abs(n).sum(), tuple(-x for x in n)))
    for n in candidates:
        if np.gcd.reduce(n) != 1 or n in seen:
            continue
        found.append(n)
        for rotated in operations @ np.array(n):
            seen.update({tuple(rotated.tolist()), tuple((-rotated).tolist())})
    return np.array(found)
