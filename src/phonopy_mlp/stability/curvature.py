"""How the energy of a crystal bends with a strain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.evaluator import calling
from phonopy_mlp.stability.noise import SIGMAS

STRAIN = 0.003
"""Strain at which energies are compared."""


def energy_curvature(strained: Callable[[float], Atoms], calculator: BaseCalculator) -> float:
    """Return the second derivative of the energy by a strain, in eV.

    Parameters
    ----------
    strained : callable
        Structure at an amplitude of the strain. Where its volume is linear in the amplitude, work of a pressure has no
        part in the derivative.
    calculator : BaseCalculator
        Gives energies.

    Raises
    ------
    CalculatorError
        The calculator failed.

    """

    def energy(amplitude: float) -> float:
        atoms = strained(amplitude)
        with calling(f"strained {atoms.get_chemical_formula()}"):
            return float(calculator.get_property("energy", atoms))

    return (energy(STRAIN) + energy(-STRAIN) - 2 * energy(0.0)) / STRAIN**2


def curvature_noise(energy: float) -> float:
    """Return how much of `energy_curvature` may be noise, in eV, for energies of a standard deviation (eV)."""
    return SIGMAS * float(np.sqrt(6)) * energy / STRAIN**2
