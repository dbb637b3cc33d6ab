"""Relaxation of cell and positions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS

from phonopy_mlp.errors import ConvergenceError, SettingsError
from phonopy_mlp.evaluator import calling
from phonopy_mlp.structures import bare
from phonopy_mlp.symmetry import LOOSE, TIGHT, SpaceGroup, find_space_group

FMAX = 1e-6
"""Default goal in eV/A for forces and for the cell's generalised forces, the paper's."""

_STEPS_PER_ROUND = 250


@dataclass(frozen=True, slots=True)
class RelaxResult:
    """A relaxed structure and how it came about.

    Attributes
    ----------
    atoms : Atoms
        Relaxed structure; each access gives a fresh copy. A.
    energy : float
        Energy of `atoms`, per cell as given, in eV.
    energy_change : float
        Relaxed minus initial energy, per cell as given, in eV.
    volume_change : float
        Relaxed volume over initial volume minus 1.
    residual_force : float
        Largest force component norm on an atom in eV/A.
    residual_stress : float
        Largest stress component in eV/A^3.
    steps : int
        Optimiser steps.
    fmax : float
        Goal in eV/A.
    initial_groups, final_groups : tuple of SpaceGroup
        Space groups at 1e-5 and 1e-2 A, before and after.

    """

    _atoms: Atoms
    energy: float
    energy_change: float
    volume_change: float
    residual_force: float
    residual_stress: float
    steps: int
    fmax: float
    initial_groups: tuple[SpaceGroup, ...]
    final_groups: tuple[SpaceGroup, ...]

    @property
    def atoms(self) -> Atoms:
        """A copy of the relaxed structure."""
        return bare(self._atoms)


def relax(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    fmax: float = FMAX,
    max_steps: int = 2000,
    fix_symmetry: float | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> RelaxResult:
    """Relax cell and positions with L-BFGS on ASE's `FrechetCellFilter`.

    L-BFGS is started afresh every 250 steps: near 1e-6 eV/A rounding spoils its history, and a fresh start mends it.

    Parameters
    ----------
    atoms : Atoms
        Structure to start from; not changed.
    calculator : BaseCalculator
        ASE calculator with energy, forces and stress.
    fmax : float, optional
        Goal in eV/A for forces and the filter's cell forces.
    max_steps : int, optional
        Give up after so many optimiser steps.
    fix_symmetry : float, optional
        Keep the space group found at this tolerance (A). Default: no constraint, as the paper.
    on_step : callable, optional
        Called with step number and largest generalised force (eV/A) after every step.

    Raises
    ------
    ConvergenceError
        `fmax` was not reached within `max_steps`.
    CalculatorError
        The calculator failed, or has no stress.
    SettingsError
        `fmax` is not positive, or `max_steps` less than 1.

    """
    if not (np.isfinite(fmax) and fmax > 0):
        raise SettingsError(f"Relaxation goal {fmax:g} eV/A", "it must be positive", "Give for example 1e-6")
    if max_steps < 1:
        raise SettingsError(f"{max_steps} relaxation steps", "at least one is needed", "Give more")
    moving = bare(atoms)
    if fix_symmetry is not None:
        moving.set_constraint(FixSymmetry(moving, symprec=fix_symmetry, verbose=False))
    moving.calc = calculator
    with calling(f"the relaxation of {moving.get_chemical_formula()}"):
        initial_energy, initial_volume = float(moving.get_potential_energy()), float(moving.get_volume())
        steps, largest = _optimise(moving, fmax, max_steps, on_step)
    if not largest <= fmax:
        raise ConvergenceError(
            f"Relaxation stopped at {largest:.2e} eV/A after {steps} steps",
            f"the goal of {fmax:g} eV/A was not reached",
            "Set a larger goal (--relax-fmax), or check whether the model has a minimum here",
        )
    return RelaxResult(
        _atoms=bare(moving),
        energy=float(moving.get_potential_energy()),
        energy_change=float(moving.get_potential_energy()) - initial_energy,
        volume_change=float(moving.get_volume()) / initial_volume - 1,
        residual_force=_largest(moving.get_forces()),
        residual_stress=float(np.abs(moving.get_stress()).max()),
        steps=steps,
        fmax=fmax,
        initial_groups=_groups(atoms),
        final_groups=_groups(moving),
    )


def _optimise(
    moving: Atoms, fmax: float, max_steps: int, on_step: Callable[[int, float], None] | None
) -> tuple[int, float]:
    steps, largest = 0, np.inf
    while steps < max_steps and not largest <= fmax:
        target: Any = FrechetCellFilter(moving)
        optimiser = LBFGS(target, logfile=os.devnull)
        for _ in optimiser.irun(fmax=fmax, steps=min(_STEPS_PER_ROUND, max_steps - steps)):
            largest = _largest(target.get_forces())
            if not np.isfinite(largest):
                raise ConvergenceError(
                    f"Relaxation broke down after {steps + optimiser.nsteps} steps",
                    "the forces are not finite numbers",
                    "Check whether the model covers this structure",
                )
            if on_step is not None:
                on_step(steps + optimiser.nsteps, largest)
        steps += max(optimiser.nsteps, 1)
    return steps, largest


def _largest(forces: np.ndarray[Any, Any]) -> float:
    return float(np.linalg.norm(forces, axis=1).max())


def _groups(atoms: Atoms) -> tuple[SpaceGroup, ...]:
    return tuple(find_space_group(atoms, tolerance) for tolerance in (TIGHT, LOOSE))
