"""What the methods of removal have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.errors import SettingsError
from phonopy_mlp.evaluator import Progress, silent
from phonopy_mlp.imaginary import ImaginaryMode
from phonopy_mlp.relax import Cell
from phonopy_mlp.stability.cells import find_periodic_cell, make_pattern
from phonopy_mlp.stability.check import StabilityCheck
from phonopy_mlp.stability.long_waves import SoundWave
from phonopy_mlp.stability.strains import EigenStrain
from phonopy_mlp.structures import bare

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """An unstable crystal.

    Attributes
    ----------
    atoms : Atoms
        Unit cell, relaxed.
    check : StabilityCheck
        What is unstable in it.
    calculator : BaseCalculator
        Gives energies and forces.
    fixed : tuple of int
        Atoms of the unit cell that must not move.
    energy_noise : float
        In eV per atom; smaller differences of energy mean nothing.
    pressure : float
        In eV/A^3.
    cell : str
        What the cell may do, as of `relax`.
    seed : int
        Of random numbers.
    progress : Progress
        Shows how far a method has come.

    """

    atoms: Atoms
    check: StabilityCheck
    calculator: BaseCalculator
    fixed: tuple[int, ...]
    energy_noise: float
    pressure: float
    cell: Cell
    seed: int
    progress: Progress = silent


@dataclass(frozen=True, slots=True)
class Proposal:
    """A structure that may relax to something more stable.

    Attributes
    ----------
    atoms : Atoms or None
        None where the method found none.
    rows : ndarray
        Its cell in units of the problem's cell. shape=(3, 3), dtype=int
    mode : ImaginaryMode or None
        The mode it is meant to remove.
    wave : SoundWave or None
        The long wave it is meant to remove.
    strain : EigenStrain or None
        The homogeneous strain it is meant to remove.
    amplitude : float or None
        Largest displacement of an atom in A; for a long wave the strain, which is the displacement per length along its
        direction, and for an eigenstrain its factor.
    seed : int or None
        Of the random numbers in it.
    refusal : str
        Why there are no atoms.

    """

    atoms: Atoms | None
    rows: Array
    mode: ImaginaryMode | None = None
    wave: SoundWave | None = None
    strain: EigenStrain | None = None
    amplitude: float | None = None
    seed: int | None = None
    refusal: str = ""


class Method(Protocol):
    """A way to leave an unstable structure.

    Attributes
    ----------
    name : str
        For the audit trail.

    """

    @property
    def name(self) -> str:
        """Return the name."""

    def propose(self, problem: Problem) -> Iterator[Proposal]:
        """Yield structures to relax, the most promising first; they are taken until one of them is accepted."""


def check_size(what: str, value: float, unit: str, *, most: float, example: str) -> None:
    """Raise `SettingsError` for a setting of a method that is not positive, or larger than makes sense."""
    if not 0 < value <= most:
        raise SettingsError(
            f"{what} of {value:g} {unit}", f"it must be positive and at most {most:g} {unit}", f"Give {example}"
        )


def find_images(fixed: tuple[int, ...], atoms: Atoms, supercell: Atoms) -> Array:
    """Return the atoms of a supercell that are images of some atoms of the unit cell, dtype=int."""
    copies = np.arange(len(supercell) // len(atoms)) * len(atoms)
    images: Array = (copies[:, None] + np.array(fixed, dtype=int)).ravel()
    return images


def cell_of_lowest_mode(problem: Problem) -> tuple[Atoms, Array, ImaginaryMode | None]:
    """Return the smallest supercell in which the lowest unstable mode can grow, its rows, and that mode.

    Where long waves or strains alone are unstable it is the unit cell, and there is no mode.
    """
    if not problem.check.unstable_modes:
        return bare(problem.atoms), np.eye(3, dtype=int), None
    mode = problem.check.unstable_modes[0]
    rows = find_periodic_cell(mode.qpoint, problem.atoms.cell.array)
    return make_pattern(problem.atoms, mode, rows, 0.0)[0], rows, mode
