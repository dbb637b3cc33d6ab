"""Elastic constants from the stresses of strained cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.units import GPa

from phonopy_mlp.elasticity.result import ElasticResult, largest_in_gpa, make_result
from phonopy_mlp.elasticity.tensor import strain_tensor
from phonopy_mlp.errors import SettingsError, StructureError
from phonopy_mlp.evaluator import Progress, calling, silent
from phonopy_mlp.relax import FMAX, MAX_STEPS, relax
from phonopy_mlp.structures import bare
from phonopy_mlp.symmetry import LOOSE
from phonopy_mlp.unfinished import Unfinished

Array = np.ndarray[Any, Any]

STRAIN = 2e-3
"""Default strain: soft frameworks are still linear, and the stress is large beside what a relaxation leaves of it."""

STRESS_LIMIT = 0.01
"""Stress of the unstrained cell (GPa) from which there is no telling what the constants would be those of."""

_LARGEST_STRAIN = 0.05


def run_elasticity(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    strain: float = STRAIN,
    fmax: float = FMAX,
    max_steps: int = MAX_STEPS,
    symprec: float = LOOSE,
    progress: Progress = silent,
    unfinished: Unfinished | None = None,
) -> ElasticResult:
    """Compute the elastic constants of a relaxed crystal from the stresses of strained cells.

    Six strains, each of both signs: positions are relaxed in the strained cell, and differences of the stresses give
    the constants without terms of odd order. The stiffness is made symmetric, then averaged over the point group.

    Parameters
    ----------
    atoms : Atoms
        Crystal with relaxed cell; not changed.
    calculator : BaseCalculator
        ASE calculator with forces and stress.
    strain : float, optional
        Size of the strains; of a shear strain, twice the tensor's component.
    fmax, max_steps : optional
        As of `relax`, for all strains.
    symprec : float, optional
        Tolerance (A) at which the point group is found.
    progress : Progress, optional
        Shows how far the work has come.
    unfinished : Unfinished, optional
        Keeps each finished strain, and has those that were finished by a run that was killed.

    Raises
    ------
    StructureError
        The unstrained cell is under more stress than `STRESS_LIMIT`.
    ConvergenceError
        A relaxation did not reach `fmax`.
    CalculatorError
        The calculator failed, or has no stress.
    SettingsError
        The strain is not positive, or larger than 5 %.

    """
    check_strain(strain)
    rest = relax(atoms, calculator, cell="fixed", fmax=fmax, max_steps=max_steps).atoms
    residual_stress = largest_in_gpa(_stress(rest, calculator))
    if residual_stress > STRESS_LIMIT:
        raise StructureError(
            f"The cell is under a stress of {residual_stress:.3g} GPa",
            f"elastic constants are those of a crystal at rest (at most {STRESS_LIMIT:g} GPa)",
            "Relax the cell first (relax, or --relax)",
        )
    section = None
    if unfinished is not None:
        section = unfinished.section(
            calculator,
            elasticity="stress-strain",
            numbers=atoms.numbers,
            cell=atoms.cell.array,
            positions=atoms.positions,
            strain=strain,
            fmax=fmax,
        )
    slopes = np.empty((6, 6))
    for k in progress(range(6), 6, "Stresses of strained cells"):
        kept = None if section is None else section.get(f"strain-{k}")
        slopes[:, k] = _slope(rest, calculator, k, strain, fmax, max_steps) if kept is None else kept["slope"]
        if section is not None and kept is None:
            section.keep(f"strain-{k}", slope=slopes[:, k])
    return make_result(
        (slopes + slopes.T) / 2,
        rest,
        method="stress-strain",
        fit_residual=float(np.sqrt(np.mean((slopes - slopes.T) ** 2) / 4)),
        residual_stress=residual_stress,
        symprec=symprec,
    )


def check_strain(strain: float) -> None:
    """Raise `SettingsError` for a strain of `run_elasticity` that makes no sense."""
    if not 0 < strain <= _LARGEST_STRAIN:
        raise SettingsError(
            f"Elastic strain {strain:g}", f"it must be positive and at most {_LARGEST_STRAIN:g}", f"Give {STRAIN:g}"
        )


def _slope(
    rest: Atoms, calculator: BaseCalculator, component: int, strain: float, fmax: float, max_steps: int
) -> Array:
    """Return the stress per strain in GPa for one component of the strain, shape=(6,)."""
    stretched, compressed = (_strained(rest, sign * strain * np.eye(6)[component]) for sign in (1, -1))
    relaxed = relax(stretched, calculator, cell="fixed", fmax=fmax, max_steps=max_steps).atoms
    # To first order the atoms go the other way when the strain does.
    compressed.positions -= relaxed.positions - stretched.positions
    opposite = relax(compressed, calculator, cell="fixed", fmax=fmax, max_steps=max_steps).atoms
    slope: Array = (_stress(relaxed, calculator) - _stress(opposite, calculator)) / (2 * strain) / GPa
    return slope


def _strained(rest: Atoms, strain: Array) -> Atoms:
    strained = bare(rest)
    strained.set_cell(rest.cell.array @ (np.eye(3) + strain_tensor(strain)), scale_atoms=True)
    return strained


def _stress(atoms: Atoms, calculator: BaseCalculator) -> Array:
    """Return the stress in eV/A^3, shape=(6,)."""
    atoms.calc = calculator
    with calling(f"the stress of {atoms.get_chemical_formula()}"):
        stress: Array = np.array(atoms.get_stress())
    return stress
