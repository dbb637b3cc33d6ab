"""How the energy of a crystal bends with a strain."""

from __future__ import annotations

from collections.abc import Callable

from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.evaluator import calling

_STRAIN = 0.003
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

    return (energy(_STRAIN) + energy(-_STRAIN) - 2 * energy(0.0)) / _STRAIN**2
