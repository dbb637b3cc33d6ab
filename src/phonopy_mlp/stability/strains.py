"""Homogeneous strains that lower the energy: Born's criteria."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.units import GPa
from phonopy import Phonopy

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.elasticity.long_wave import follow_strains
from phonopy_mlp.elasticity.result import ElasticResult
from phonopy_mlp.elasticity.tensor import kelvin_modes
from phonopy_mlp.stability.curvature import energy_curvature
from phonopy_mlp.structures import bare


@dataclass(frozen=True, slots=True)
class EigenStrain:
    """A strain that the elastic tensor answers with a stress along itself; at constant volume, but for a pressure.

    Attributes
    ----------
    strain : ndarray
        Cartesian, symmetric, the squares of its elements adding up to 1. shape=(3, 3), read-only
    modulus : float
        Eigenvalue of the tensor in GPa, as force constants have it; negative for an instability. For a unit strain of
        the volume alone it is 3 B, for a shear 2 G.
    internal : ndarray
        How the atoms follow, beside moving with the cell, in A per unit of strain. shape=(atoms, 3), read-only
    energy_modulus : float or None
        In GPa, from energies of the strained cell. None where nothing called for it.
    energy_noise : float
        How much of it may be noise of the energies, in GPa.

    """

    strain: Array
    modulus: float
    internal: Array
    energy_modulus: float | None = None
    energy_noise: float = 0.0

    @property
    def confirmed(self) -> bool:
        """Whether energies, too, call it unstable."""
        return self.energy_modulus is not None and self.energy_modulus < -self.energy_noise


def find_soft_strains(
    phonon: Phonopy, elastic: ElasticResult, noise: float, *, constant_volume: bool = False
) -> tuple[EigenStrain, ...]:
    """Return the strains whose modulus is below minus the noise (GPa), lowest first.

    Parameters
    ----------
    phonon : Phonopy
        With force constants.
    elastic : ElasticResult
        What they give.
    noise : float
        In GPa.
    constant_volume : bool, optional
        Only strains without trace: what is unstable in a cell of constant volume.

    """
    moduli, strains = kelvin_modes(elastic.stiffness, constant_volume=constant_volume)
    soft = moduli < -noise
    internal = follow_strains(phonon, strains[soft])
    return tuple(
        EigenStrain(frozen(strain), float(modulus), frozen(shifts))
        for strain, modulus, shifts in zip(strains[soft], moduli[soft], internal, strict=True)
    )


def confirm_strains(
    strains: Sequence[EigenStrain], atoms: Atoms, calculator: BaseCalculator, *, noise: float = 0.0
) -> tuple[EigenStrain, ...]:
    """Return strains with the moduli that energies of the strained unit cell give them.

    `noise` is that of a curvature, in eV.

    Raises
    ------
    CalculatorError
        The calculator failed.

    """
    scale = 1 / (atoms.get_volume() * GPa)
    return tuple(
        replace(
            strain,
            energy_modulus=float(energy_curvature(partial(strain_by, atoms, strain), calculator) * scale),
            energy_noise=float(noise * scale),
        )
        for strain in strains
    )


def strain_by(atoms: Atoms, strain: EigenStrain, amplitude: float) -> Atoms:
    """Return a crystal strained by so much, atoms moved as far as they follow to first order.

    The volume is made linear in the amplitude by scaling the cell in second order, so that the curvature of the energy
    is that of the enthalpy under whatever pressure the crystal is at rest: a criterion of stability at this pressure.
    Without pressure second order does not matter.
    """
    gradient = np.eye(3) + amplitude * strain.strain
    gradient *= np.cbrt((1 + amplitude * np.trace(strain.strain)) / np.linalg.det(gradient))
    moved = bare(atoms)
    moved.set_cell(moved.cell.array @ gradient, scale_atoms=True)
    moved.positions += amplitude * strain.internal
    return moved
