"""The way down from a saddle point to where a relaxation can take over."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.constraints import FixAtoms
from ase.optimize import FIRE

from phonopy_mlp.evaluator import calling
from phonopy_mlp.relax import Cell, make_target, quiet, quietly
from phonopy_mlp.structures import bare

MOST_STEPS = 500
"""Steps after which a descent that has not come below the energy it is to leave is given up."""

_PAST_THE_SLOPE = 0.2
"""Part of the largest force met below the starting energy; from there on the minimum is near."""


def descend(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    below: float,
    fmax: float,
    cell: Cell,
    pressure: float,
    fixed: Sequence[int],
) -> Atoms:
    """Let a displaced structure slide off a saddle point with FIRE.

    Quasi-Newton methods such as L-BFGS go to the nearest stationary point, and where the curvature is negative that is
    the saddle point itself: a crystal rattled by 0.01 A comes back to where it was. FIRE only ever moves along forces.
    It stops when the energy is below that of the saddle point and the force has passed its maximum, or where no force
    is left.

    Parameters
    ----------
    atoms : Atoms
        Displaced structure; not changed.
    calculator : BaseCalculator
        ASE calculator.
    below : float
        Energy in eV that is to be left behind, with the work of the pressure.
    fmax, cell, pressure, fixed
        As of `relax`.

    Raises
    ------
    CalculatorError
        The calculator failed.

    """
    moving = bare(atoms)
    moving.set_constraint(FixAtoms(indices=list(fixed)))
    moving.calc = calculator
    with calling(f"the descent of {moving.get_chemical_formula()}"):
        target = make_target(moving, cell, pressure)
        steepest = 0.0
        for _ in quietly(FIRE(target, logfile=os.devnull).irun(fmax=fmax, steps=MOST_STEPS)):
            if target.get_potential_energy(force_consistent=False) > below:
                continue
            with quiet():
                force = float(np.linalg.norm(target.get_forces(), axis=1).max())
            steepest = max(steepest, force)
            if not force > _PAST_THE_SLOPE * steepest:
                break
    return bare(moving)
