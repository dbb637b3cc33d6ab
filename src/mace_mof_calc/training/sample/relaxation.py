"""Relaxations, and the frames on their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, CalculatorError
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS

from .physical import describe_failure, find_fault, has_cell_fault
from .settings import Limits


@dataclass(frozen=True, slots=True, eq=False)
class Relaxation:
    """A relaxation.

    Attributes
    ----------
    frames : tuple of Atoms
        Where it was before each step, and after the last.
    faults : tuple of (str or None)
        What is unphysical about each frame.
    failure : str or None
        Why it led nowhere; None where its last frame is physical.
    largest : float
        Largest force on an atom in the last frame, eV/Angstrom.
    converged : bool
        Whether it came to its end.
    """

    frames: tuple[Atoms, ...]
    faults: tuple[str | None, ...]
    failure: str | None
    largest: float
    converged: bool


def relax(
    crystal: Atoms, calculator: BaseCalculator, limits: Limits, *, fmax: float, steps: int, cell: bool = True
) -> Relaxation:
    """Relax a crystal by L-BFGS, its cell by ASE's `FrechetCellFilter`.

    It goes on through frames that are unphysical, as long as their cell is not.

    Parameters
    ----------
    crystal : Atoms
    calculator : BaseCalculator
    limits : Limits
    fmax : float
        Where it ends: the largest force, and of the cell what the filter makes of the stress, eV/Angstrom.
    steps : int
        Largest number of steps.
    cell : bool, optional
        Relax the cell as well.
    """
    atoms = crystal.copy()
    atoms.calc = calculator
    optimizer: Any = LBFGS(FrechetCellFilter(atoms) if cell else atoms, logfile=None)  # type: ignore[arg-type]  # ASE's
    frames: list[Atoms] = []
    faults: list[str | None] = []
    failure, largest, converged = None, np.inf, False
    try:
        for ended in optimizer.irun(fmax=fmax, steps=steps):
            converged, forces = ended, atoms.get_forces()
            largest = float(np.linalg.norm(forces, axis=1).max())
            frames.append(atoms.copy())
            faults.append(find_fault(atoms, crystal, limits, forces))
            failure = faults[-1]
            if has_cell_fault(failure):
                break
    except CalculatorError as error:
        failure = describe_failure(error)
    return Relaxation(tuple(frames), tuple(faults), failure, largest, converged)
