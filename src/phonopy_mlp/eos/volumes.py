"""Equation of state of a crystal, its atoms and shape relaxed at fixed volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.eos.fit import Eos, EosFit, check_name, fit_eos
from phonopy_mlp.errors import SettingsError
from phonopy_mlp.evaluator import Progress, silent
from phonopy_mlp.relax import FMAX, MAX_STEPS, relax
from phonopy_mlp.structures import bare, with_volume
from phonopy_mlp.symmetry import LOOSE, TIGHT, find_space_group, find_symmetry
from phonopy_mlp.unfinished import Unfinished

STRAIN = 0.02
POINTS = 7
"""Default, and least, number of volumes."""

_LARGEST_STRAIN = 0.2


@dataclass(frozen=True, slots=True)
class EosResult:
    """Energies at fixed volumes and the equation of state through them.

    Attributes
    ----------
    strains : ndarray
        Strains of the cell lengths, ascending. shape=(volumes,)
    volumes : ndarray
        Per cell as given, in A^3. shape=(volumes,)
    energies : ndarray
        Per cell as given, in eV. shape=(volumes,)
    primitive_cells : int
        Number of primitive cells in the cell as given.
    shape_relaxed : bool
        Whether the shape of the cell was relaxed at each volume, besides the positions.
    fit : EosFit
        Per cell as given.
    primitive_fit : EosFit
        Per primitive cell: the same, its volumes and energies divided.
    structures : tuple of Atoms
        Relaxed structures, one per volume; each access gives fresh copies.

    """

    strains: Array
    volumes: Array
    energies: Array
    primitive_cells: int
    shape_relaxed: bool
    fit: EosFit
    primitive_fit: EosFit
    _structures: tuple[Atoms, ...]

    @property
    def primitive_volumes(self) -> Array:
        """Volumes per primitive cell in A^3. shape=(volumes,)."""
        return self.volumes / self.primitive_cells

    @property
    def primitive_energies(self) -> Array:
        """Energies per primitive cell in eV. shape=(volumes,)."""
        return self.energies / self.primitive_cells

    @property
    def structures(self) -> tuple[Atoms, ...]:
        """Copies of the relaxed structures."""
        return tuple(bare(atoms) for atoms in self._structures)

    def describe(self) -> Mapping[str, Any]:
        """Return the result per primitive cell as plain data: A^3, eV, GPa, each value with its uncertainty."""
        fit = self.primitive_fit
        points = zip(self.strains, self.primitive_volumes, self.primitive_energies, fit.residuals, strict=True)
        names = ("strain", "volume", "energy", "energy_minus_fit")
        return {
            "equation": fit.eos,
            "primitive_cells_in_cell": self.primitive_cells,
            "shape_relaxed": self.shape_relaxed,
            "volume": [fit.volume, fit.volume_error],
            "energy": [fit.energy, fit.energy_error],
            "bulk_modulus": [fit.bulk_modulus, fit.bulk_modulus_error],
            "bulk_modulus_derivative": [fit.derivative, fit.derivative_error],
            "residual_rms": fit.residual_rms,
            "points": [dict(zip(names, map(float, point), strict=True)) for point in points],
        }


def run_eos(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    strain: float = STRAIN,
    points: int = POINTS,
    eos: Eos = "birch_murnaghan",
    fmax: float = FMAX,
    max_steps: int = MAX_STEPS,
    relax_shape: bool | Literal["auto"] = "auto",
    fix_symmetry: float | None = None,
    fixed: Sequence[int] = (),
    symprec: float = TIGHT,
    progress: Progress = silent,
    on_step: Callable[[int, float], None] | None = None,
    unfinished: Unfinished | None = None,
) -> EosResult:
    """Relax a crystal at several volumes and fit an equation of state to the energies.

    Volumes are taken from the middle outwards, each relaxation starting from the structure at the next volume inwards.

    Parameters
    ----------
    atoms : Atoms
        Crystal, best a relaxed one; not changed.
    calculator : BaseCalculator
        ASE calculator with energy, forces and, where the shape relaxes, stress.
    strain : float, optional
        The cell lengths go from 1 - strain to 1 + strain times those given, in even steps: 0.02 is 6 % in volume.
    points : int, optional
        Number of volumes.
    eos : str, optional
        ``birch_murnaghan`` (third order), ``vinet`` or ``murnaghan``.
    fmax, max_steps, fix_symmetry, fixed, on_step : optional
        As of `relax`, for all volumes.
    relax_shape : bool or "auto", optional
        Whether the shape of the cell is relaxed at constant volume. ``auto``: where the crystal is not cubic at 1e-2 A.
    symprec : float, optional
        Tolerance in A at which the primitive cell is found, that results are also given per.
    progress : Progress, optional
        Shows how far the work has come.
    unfinished : Unfinished, optional
        Keeps each finished volume, and has those that were finished by a run that was killed.

    Raises
    ------
    StructureError
        The energy has no minimum between the volumes; says which way it lies.
    ConvergenceError
        A relaxation did not reach `fmax`, or the fit did not converge.
    CalculatorError
        The calculator failed.
    SettingsError
        Strain, number of points or equation of state make no sense.

    """
    check_settings(strain, points, eos)
    shape = not find_space_group(atoms, LOOSE).is_cubic if relax_shape == "auto" else relax_shape
    strains = np.linspace(-strain, strain, points)
    done: dict[int, tuple[Atoms, float]] = {}
    for k in progress(np.argsort(np.abs(strains), kind="stable"), points, "Energies at fixed volumes"):
        near = min(done, key=lambda other: abs(other - k), default=None)
        start = atoms if near is None else done[near][0]
        result = relax(
            with_volume(start, atoms.get_volume() * (1 + strains[k]) ** 3),
            calculator,
            cell="constant-volume" if shape else "fixed",
            fmax=fmax,
            max_steps=max_steps,
            fix_symmetry=fix_symmetry,
            fixed=fixed,
            on_step=on_step,
            unfinished=unfinished,
        )
        done[k] = result.atoms, result.energy
    structures, energies = zip(*(done[k] for k in range(points)), strict=True)
    return _make_result(atoms, strains, structures, np.array(energies), eos, symprec, shape_relaxed=shape)


def _make_result(
    atoms: Atoms,
    strains: Array,
    structures: tuple[Atoms, ...],
    energies: Array,
    eos: Eos,
    symprec: float,
    *,
    shape_relaxed: bool,
) -> EosResult:
    volumes = np.array([structure.get_volume() for structure in structures])
    fit = fit_eos(volumes, energies, eos)
    cells = _count_primitive_cells(atoms, symprec)
    return EosResult(
        strains=frozen(strains),
        volumes=frozen(volumes),
        energies=frozen(energies),
        primitive_cells=cells,
        shape_relaxed=shape_relaxed,
        fit=fit,
        primitive_fit=replace(
            fit,
            volume=fit.volume / cells,
            volume_error=fit.volume_error / cells,
            energy=fit.energy / cells,
            energy_error=fit.energy_error / cells,
            residuals=frozen(fit.residuals / cells),
        ),
        _structures=structures,
    )


def _count_primitive_cells(atoms: Atoms, symprec: float) -> int:
    """Return the number of primitive cells that phonopy finds in a cell at a tolerance in A."""
    return len(atoms) // (int(max(find_symmetry(atoms, symprec).mapping_to_primitive)) + 1)


def check_settings(strain: float, points: int, eos: str) -> None:
    """Raise `SettingsError` for settings of `run_eos` that make no sense."""
    if not 0 < strain <= _LARGEST_STRAIN:
        raise SettingsError(
            f"Strain {strain:g} of an equation of state",
            f"it must be positive and at most {_LARGEST_STRAIN:g}",
            f"Give {STRAIN:g}",
        )
    if points < POINTS:
        raise SettingsError(
            f"An equation of state of {points} volumes", f"its fit takes at least {POINTS}", f"Give {POINTS} or more"
        )
    check_name(eos)
