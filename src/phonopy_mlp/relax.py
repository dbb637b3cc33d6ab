"""Relaxation of cell and positions."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.constraints import FixAtoms, FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE, LBFGS
from ase.units import GPa

from phonopy_mlp.errors import ConvergenceError, SettingsError
from phonopy_mlp.evaluator import calling
from phonopy_mlp.linear_response import offers_linear_response
from phonopy_mlp.newton import make_newton
from phonopy_mlp.structures import bare, structure_digest
from phonopy_mlp.symmetry import SpaceGroup, check_tolerance, find_space_groups
from phonopy_mlp.unfinished import Unfinished

FMAX = 1e-6
"""Default goal in eV/A for forces and for the cell's generalised forces, the paper's."""

MAX_STEPS = 2000
"""Optimiser steps after which a relaxation is given up."""

Cell = Literal["free", "constant-volume", "fixed"]
"""What the cell may do: all, change its shape alone, or nothing."""

_STEPS_PER_ROUND = 250
_NEWTON_STEPS = 60

_STALLED = 0.5
"""A round that leaves more than this part of the force it began with has stalled."""

_RUNAWAY = 3.0
"""Factor of volume from which a cell is not on its way to a minimum any more."""


@dataclass(frozen=True, slots=True)
class RelaxResult:
    """A relaxed structure and how it came about.

    Attributes
    ----------
    atoms : Atoms
        Relaxed structure; each access gives a fresh copy. A.
    converged : bool
        Whether `fmax` was reached.
    energy : float
        Energy of `atoms`, per cell as given, in eV; without the work of the pressure.
    energy_change : float
        Relaxed minus initial energy, per cell as given, in eV.
    volume_change : float
        Relaxed volume over initial volume minus 1.
    residual_force : float
        Largest force on an atom that may move, in eV/A.
    residual_stress : float
        Largest component of the stress and the pressure together in eV/A^3; of the stress without its trace at constant
        volume; 0 in a fixed cell.
    steps : int
        Optimiser steps.
    fmax : float
        Goal in eV/A.
    cell : str
        What the cell was allowed to do.
    pressure : float
        In GPa.
    initial_groups, final_groups : tuple of SpaceGroup
        Space groups at 1e-5 and 1e-2 A, before and after.

    """

    _atoms: Atoms
    converged: bool
    energy: float
    energy_change: float
    volume_change: float
    residual_force: float
    residual_stress: float
    steps: int
    fmax: float
    cell: Cell
    pressure: float
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
    max_steps: int = MAX_STEPS,
    cell: Cell = "free",
    pressure: float = 0.0,
    fix_symmetry: float | None = None,
    fixed: Sequence[int] = (),
    must_converge: bool = True,
    on_step: Callable[[int, float], None] | None = None,
    unfinished: Unfinished | None = None,
) -> RelaxResult:
    """Relax cell and positions with L-BFGS on ASE's `FrechetCellFilter`.

    What 250 steps of L-BFGS do not finish is finished with BFGS that starts from the exact Hessian (`newton`), made
    anew every 60 steps, if the calculator offers linear response. Otherwise L-BFGS is started afresh every 250 steps:
    near 1e-6 eV/A rounding spoils its history, and a fresh start mends it. After a round that stalled all the same,
    FIRE has the next one.

    Parameters
    ----------
    atoms : Atoms
        Structure to start from; not changed.
    calculator : BaseCalculator
        ASE calculator with energy, forces and, unless the cell is fixed, stress.
    fmax : float, optional
        Goal in eV/A for forces and the filter's cell forces.
    max_steps : int, optional
        Give up after so many optimiser steps.
    cell : {'free', 'constant-volume', 'fixed'}, optional
        What the cell may do.
    pressure : float, optional
        In GPa, positive where it compresses; for a free cell alone.
    fix_symmetry : float, optional
        Keep the space group found at this tolerance (A). Default: no constraint, as the paper.
    fixed : sequence of int, optional
        Atoms that keep their place in the cell.
    must_converge : bool, optional
        Whether not reaching `fmax` is an error; otherwise the result says so.
    on_step : callable, optional
        Called with step number and largest generalised force (eV/A) after every step.
    unfinished : Unfinished, optional
        Keeps the finished relaxation, and has it where a run that was killed later had finished it.

    Raises
    ------
    ConvergenceError
        `fmax` was not reached within `max_steps`, the forces are not finite, or the cell runs away.
    CalculatorError
        The calculator failed, or has no stress.
    SettingsError
        `fmax` or the tolerance is not positive, `max_steps` less than 1, there is no such way for the cell or no such
        atom, or a pressure is on a cell that does not give way.

    """
    _check(atoms, fmax, max_steps, cell, pressure, fixed)
    if fix_symmetry is not None:
        check_tolerance(fix_symmetry)
    given: dict[str, Any] = {
        "fmax": fmax,
        "cell": cell,
        "pressure": pressure,
        "initial_groups": find_space_groups(atoms),
    }
    section = None
    if unfinished is not None:
        question = (max_steps, fix_symmetry, list(fixed), structure_digest(atoms), fmax, cell, pressure)
        section = unfinished.section(calculator, relaxation=question)
        kept = section.get("relaxed")
        if kept is not None and (kept["converged"] or not must_converge):
            return _restore(atoms, kept, given)
    moving = bare(atoms)
    constraints: list[Any] = [] if len(fixed) == 0 else [FixAtoms(indices=list(fixed))]
    if fix_symmetry is not None:
        constraints.append(FixSymmetry(moving, symprec=fix_symmetry, verbose=False))
    moving.set_constraint(constraints)
    moving.calc = calculator
    with calling(f"the relaxation of {moving.get_chemical_formula()}"):
        initial_energy, initial_volume = float(moving.get_potential_energy()), float(moving.get_volume())
        steps, largest = _optimise(moving, lambda: make_target(moving, cell, pressure), fmax, max_steps, on_step)
        residual_stress = _residual_stress(moving, cell, pressure)
    converged = bool(largest <= fmax)
    if must_converge and not converged:
        grown = f"; the volume became {moving.get_volume() / initial_volume:.3g} times what it was"
        raise ConvergenceError(
            f"Relaxation stopped at {largest:.2e} eV/A after {steps} steps",
            f"the goal of {fmax:g} eV/A was not reached{grown if cell == 'free' else ''}",
            "Allow more steps (--relax-steps), set a larger goal (--relax-fmax), or check whether the model covers it",
        )
    energy = float(moving.get_potential_energy())
    found: dict[str, Any] = {
        "converged": converged,
        "energy": energy,
        "energy_change": energy - initial_energy,
        "volume_change": float(moving.get_volume()) / initial_volume - 1,
        "residual_force": _largest(moving.get_forces()),
        "residual_stress": residual_stress,
        "steps": steps,
    }
    if section is not None:
        section.keep("relaxed", positions=moving.positions, lattice=moving.cell.array, **found)
    return RelaxResult(_atoms=bare(moving), **found, **given, final_groups=find_space_groups(moving))


def _restore(atoms: Atoms, kept: Mapping[str, Any], given: Mapping[str, Any]) -> RelaxResult:
    """Return a relaxation that had been finished."""
    relaxed = bare(atoms)
    relaxed.set_cell(kept["lattice"])
    relaxed.positions[:] = kept["positions"]
    found = {name: value.item() for name, value in kept.items() if value.ndim == 0}
    return RelaxResult(_atoms=relaxed, **found, **given, final_groups=find_space_groups(relaxed))


def _check(atoms: Atoms, fmax: float, max_steps: int, cell: str, pressure: float, fixed: Sequence[int]) -> None:
    if not (np.isfinite(fmax) and fmax > 0):
        raise SettingsError(f"Relaxation goal {fmax:g} eV/A", "it must be positive", "Give for example 1e-6")
    if max_steps < 1:
        raise SettingsError(f"{max_steps} relaxation steps", "at least one is needed", "Give more")
    if cell not in get_args(Cell):
        raise SettingsError(
            f"Relaxation with cell '{cell}'", "there is no such way", f"Give {', '.join(get_args(Cell))}"
        )
    if not np.isfinite(pressure) or (pressure != 0 and cell != "free"):
        raise SettingsError(
            f"A pressure of {pressure:g} GPa on a cell that is '{cell}'",
            "only a free cell gives way to one, and it must be finite",
            "Leave one of them out",
        )
    if any(not 0 <= k < len(atoms) for k in fixed):
        raise SettingsError(
            f"Fixed atoms {list(fixed)}", f"the structure has atoms 0 to {len(atoms) - 1}", "Give some of these"
        )


def make_target(moving: Atoms, cell: Cell, pressure: float) -> Any:
    """Return what an optimiser moves to relax atoms, and the cell as far as it may change (pressure in GPa)."""
    if cell == "fixed":
        return moving
    return FrechetCellFilter(moving, constant_volume=cell == "constant-volume", scalar_pressure=pressure * GPa)


def _residual_stress(moving: Atoms, cell: Cell, pressure: float) -> float:
    if cell == "fixed":
        return 0.0
    stress = moving.get_stress()
    stress[:3] += pressure * GPa if cell == "free" else -stress[:3].mean()
    return float(np.abs(stress).max())


def _optimise(
    moving: Atoms,
    make: Callable[[], Any],
    fmax: float,
    max_steps: int,
    on_step: Callable[[int, float], None] | None,
) -> tuple[int, float]:
    """Move until the largest force is below `fmax`; return the number of steps and that force."""
    steps, stalled, volume = 0, False, moving.get_volume()
    while True:
        # A cell filter scales forces by the deformation since it was made: those of a new one are the atoms' own.
        target = make()
        with quiet():
            before = largest = _largest(target.get_forces())
        if largest <= fmax or steps >= max_steps:
            return steps, largest
        optimiser: Any
        if steps and offers_linear_response(moving.calc):
            with quiet():
                optimiser = make_newton(target, moving, moving.calc)
        else:
            optimiser = (FIRE if stalled else LBFGS)(target, logfile=os.devnull)
        limit = _NEWTON_STEPS if isinstance(optimiser, BFGS) else _STEPS_PER_ROUND
        for _ in quietly(optimiser.irun(fmax=fmax, steps=min(limit, max_steps - steps))):
            with quiet():
                largest = _largest(target.get_forces())
            _check_motion(moving, largest, steps + optimiser.nsteps, volume)
            if on_step is not None:
                on_step(steps + optimiser.nsteps, largest)
        steps += max(optimiser.nsteps, 1)
        stalled = not stalled and largest > _STALLED * before


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out scipy's warnings of errors below 1e-8 in the logarithm of the cell's deformation."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"logm result may be inaccurate, .* = \S+e-(09|[1-9]\d)$")
        yield


def quietly(steps: Iterator[Any]) -> Iterator[Any]:
    """Take the steps of an optimiser under `quiet`, and nothing of what is done between them."""
    while True:
        with quiet():
            try:
                found = next(steps)
            except StopIteration:
                return
        yield found


def _check_motion(moving: Atoms, largest: float, step: int, volume: float) -> None:
    if not np.isfinite(largest):
        raise ConvergenceError(
            f"Relaxation broke down after {step} steps",
            "the forces are not finite numbers",
            "Check whether the model covers this structure",
        )
    factor = moving.get_volume() / volume
    if not 1 / _RUNAWAY < factor < _RUNAWAY:
        raise ConvergenceError(
            f"Relaxation ran away: the volume became {factor:.2g} times what it was in {step} steps",
            "the model has no minimum near this structure",
            "Check whether the model covers it, or relax with a fixed cell",
        )


def _largest(forces: np.ndarray[Any, Any]) -> float:
    return float(np.linalg.norm(forces, axis=1).max())
