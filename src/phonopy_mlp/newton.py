"""Quasi-Newton steps that start from the exact Hessian, for relaxations that L-BFGS does not finish.

Linkers turn a thousand times more easily than their bonds stretch, so that the curvatures of a framework differ by six
orders of magnitude; L-BFGS needs thousands of steps to learn them, and linear response tells them at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.constraints import FixAtoms, FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from phonopy_mlp.force_constants import compute_force_constants, make_phonopy
from phonopy_mlp.structures import bare

Array = np.ndarray[Any, Any]

_SOFTEST = 1e-2
"""Least curvature in eV/A^2 that steps are made with: softer modes, and negative ones, do not make them longer."""

_STRAIN = 1e-4
"""Strain of the central differences along the cell's degrees of freedom."""


def make_newton(target: Any, moving: Atoms, calculator: BaseCalculator) -> BFGS:
    """Return an optimiser that starts from the Hessian of where the atoms are.

    Parameters
    ----------
    target : Atoms or FrechetCellFilter
        What is moved: `moving`, or a filter of it.
    moving : Atoms
        The crystal, with constraints.
    calculator : BaseCalculator
        One that offers linear response.

    """
    optimiser = BFGS(target, logfile=None)
    hessian = _hessian(moving, calculator)
    if isinstance(target, FrechetCellFilter):
        hessian = _with_strains(hessian, target, moving)
    values, vectors = np.linalg.eigh(hessian)
    optimiser.H0 = (vectors * np.maximum(np.abs(values), _SOFTEST)) @ vectors.T
    return optimiser


def _with_strains(hessian: Array, target: FrechetCellFilter, moving: Atoms) -> Array:
    """Return a Hessian with the cell's nine degrees of freedom in the filter's units, by differences of forces.

    Of what the cell must not do (turn, leave a symmetry or a volume that is to stay) nothing goes with the rest. It is
    held besides: no curvature is there, and a force of second order in the strain would make a long step.
    """
    positions, step = target.get_positions(), _STRAIN * target.exp_cell_factor
    strains = _free_strains(moving, constant_volume=target.constant_volume)
    columns = []
    for strain in strains:
        forces = []
        for sign in (1, -1):
            moved = positions.copy()
            moved[-3:] += sign * step * strain.reshape(3, 3)
            target.set_positions(moved)
            forces.append(target.get_forces().ravel())
        columns.append((forces[1] - forces[0]) / (2 * step))
    target.set_positions(positions)
    size = len(hessian)
    curvatures = np.reshape(columns, (len(strains), size + 9)).T
    of_strains = strains @ curvatures[size:]
    full = np.zeros((size + 9, size + 9))
    full[:size, :size] = hessian
    full[:size, size:] = curvatures[:size] @ strains
    full[size:, :size] = full[:size, size:].T
    full[size:, size:] = strains.T @ (of_strains + of_strains.T) @ strains / 2
    full[size:, size:] += np.abs(full).max() * (np.eye(9) - strains.T @ strains)
    return full


def _free_strains(moving: Atoms, *, constant_volume: bool) -> Array:
    """Return orthonormal strains that a cell is free to do, shape=(strains, 9)."""
    projection = []
    for unit in np.eye(9).reshape(9, 3, 3):
        strain = full_3x3_to_voigt_6_stress(unit)
        for constraint in moving.constraints:
            if isinstance(constraint, FixSymmetry):
                constraint.adjust_stress(moving, strain)
        if constant_volume:
            strain[:3] -= strain[:3].mean()
        projection.append(voigt_6_to_full_3x3_stress(strain).ravel())
    values, vectors = np.linalg.eigh(projection)
    free: Array = vectors[:, values > 0.5].T
    return free


def _hessian(moving: Atoms, calculator: BaseCalculator) -> Array:
    """Return second derivatives of the energy per unit cell in eV/A^2; fixed atoms have none with the others."""
    phonon = make_phonopy(bare(moving), np.eye(3, dtype=int), primitive_matrix=np.eye(3))
    constants = compute_force_constants(phonon, calculator, method="linear-response").force_constants
    size = 3 * len(moving)
    hessian: Array = constants.transpose(0, 2, 1, 3).reshape(size, size)
    for constraint in moving.constraints:
        if isinstance(constraint, FixAtoms):
            fixed = (3 * constraint.index[:, None] + np.arange(3)).ravel()
            hessian[fixed], hessian[:, fixed] = 0, 0
    return hessian
