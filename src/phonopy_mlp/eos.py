"""Equation of state: energies at fixed volumes, and the bulk modulus that they give."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.units import GPa
from phonopy.qha.eos import get_eos
from scipy.optimize import OptimizeWarning, curve_fit

from phonopy_mlp.errors import ConvergenceError, SettingsError, StructureError
from phonopy_mlp.evaluator import Progress, silent
from phonopy_mlp.relax import FMAX, relax
from phonopy_mlp.structures import bare
from phonopy_mlp.symmetry import LOOSE, TIGHT, find_space_group, find_symmetry
from phonopy_mlp.unfinished import Unfinished

Array = np.ndarray[Any, Any]

Eos = Literal["birch_murnaghan", "vinet", "murnaghan"]
"""phonopy's names. phonopy itself takes every other name for Vinet's."""

STRAIN = 0.02
POINTS = 7
"""Default, and least, number of volumes."""

_LARGEST_STRAIN = 0.2
_FIT_TOLERANCE = 1e-12
_FIRST_CUBIC = 195


@dataclass(frozen=True, slots=True)
class EosFit:
    """An equation of state fitted to energies at some volumes, all in whatever cell these are of.

    Attributes
    ----------
    eos : str
        Name of the equation.
    volume, volume_error : float
        Volume of least energy and its standard uncertainty in A^3.
    energy, energy_error : float
        Energy there in eV.
    bulk_modulus, bulk_modulus_error : float
        Bulk modulus there in GPa.
    derivative, derivative_error : float
        Its derivative with respect to pressure.
    residuals : ndarray
        Energies minus fit in eV, read-only. shape=(volumes,)

    """

    eos: Eos
    volume: float
    volume_error: float
    energy: float
    energy_error: float
    bulk_modulus: float
    bulk_modulus_error: float
    derivative: float
    derivative_error: float
    residuals: Array

    @property
    def residual_rms(self) -> float:
        """Root mean square of `residuals` in eV."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    def energies(self, volumes: Array) -> Array:
        """Return the equation's energies in eV at some volumes in A^3."""
        parameters = np.array([self.energy, self.bulk_modulus * GPa, self.derivative, self.volume])
        return get_eos(self.eos)(np.asarray(volumes, dtype=float), parameters)


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


def run_eos(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    strain: float = STRAIN,
    points: int = POINTS,
    eos: Eos = "birch_murnaghan",
    fmax: float = FMAX,
    relax_shape: bool | Literal["auto"] = "auto",
    progress: Progress = silent,
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
    fmax : float, optional
        Goal of the relaxations in eV/A.
    relax_shape : bool or "auto", optional
        Whether the shape of the cell is relaxed at constant volume. ``auto``: where the crystal is not cubic.
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
    _check(strain, points, eos)
    shape = find_space_group(atoms, LOOSE).number < _FIRST_CUBIC if relax_shape == "auto" else relax_shape
    section = None
    if unfinished is not None:
        section = unfinished.section(
            calculator,
            eos="volumes",
            numbers=atoms.numbers,
            cell=atoms.cell.array,
            positions=atoms.positions,
            strain=strain,
            points=points,
            fmax=fmax,
            shape=shape,
        )
    strains = np.linspace(-strain, strain, points)
    done: dict[int, tuple[Atoms, float]] = {}
    for k in progress(np.argsort(np.abs(strains), kind="stable"), points, "Energies at fixed volumes"):
        kept = None if section is None else section.get(f"volume-{k}")
        if kept is not None:
            relaxed = bare(atoms)
            relaxed.set_cell(kept["cell"])
            relaxed.positions = kept["positions"]
            done[k] = relaxed, float(kept["energy"])
            continue
        near = min(done, key=lambda other: abs(other - k), default=None)
        start = atoms if near is None else done[near][0]
        result = relax(
            _with_volume(start, atoms.get_volume() * (1 + strains[k]) ** 3),
            calculator,
            cell="constant-volume" if shape else "fixed",
            fmax=fmax,
        )
        done[k] = result.atoms, result.energy
        if section is not None:
            relaxed = result.atoms
            section.keep(f"volume-{k}", energy=result.energy, positions=relaxed.positions, cell=relaxed.cell.array)
    structures, energies = zip(*(done[k] for k in range(points)), strict=True)
    return _make_result(atoms, strains, structures, np.array(energies), eos, shape_relaxed=shape)


def fit_eos(volumes: Array, energies: Array, eos: Eos = "birch_murnaghan") -> EosFit:
    """Fit an equation of state by least squares.

    Standard uncertainties are those of unweighted energies whose scatter is that of the residuals. Such scatter is no
    noise, as a rule, but the equation's own failure, and the true error may be several times as large: soft frameworks
    do not follow any of these equations over 6 % in volume. Fewer per cent tell how much it matters.

    Parameters
    ----------
    volumes : ndarray
        In A^3. shape=(volumes,)
    energies : ndarray
        In eV. shape=(volumes,)
    eos : str, optional
        phonopy's name of the equation.

    Raises
    ------
    StructureError
        The energy has no minimum between the volumes; says which way it lies.
    ConvergenceError
        Energies are not finite, or the fit did not converge.

    """
    if not np.isfinite(energies).all():
        raise ConvergenceError(
            "Energies that are not finite cannot be fitted",
            f"{np.count_nonzero(~np.isfinite(energies))} of {len(energies)} are not",
            "Check whether the model covers this structure",
        )
    function = get_eos(eos)
    # The equations are homogeneous in energy and volume. In these units all parameters but one are of the order of 1.
    scale, shift = float(volumes.mean()), float(energies.min())
    x, y = volumes / scale, (energies - shift) / scale
    curvature, slope, constant = np.polyfit(x - 1, y, 2)
    if curvature <= 0:
        raise _no_minimum(volumes, energies)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error", OptimizeWarning)
            found, covariance = curve_fit(
                lambda v, *parameters: function(v, np.array(parameters)),
                x,
                y,
                p0=[constant, 2 * curvature, 4.0, np.clip(1 - slope / (2 * curvature), x.min(), x.max())],
                xtol=_FIT_TOLERANCE,
                ftol=_FIT_TOLERANCE,
                gtol=_FIT_TOLERANCE,
            )
    except (RuntimeError, OptimizeWarning) as error:
        if np.argmin(energies) in (0, len(energies) - 1):
            raise _no_minimum(volumes, energies) from error
        raise ConvergenceError(
            f"The equation of state '{eos}' was not fitted", str(error), "Look at the energies, and take other volumes"
        ) from error
    energy, modulus, derivative, volume = found
    if not (modulus > 0 and x.min() <= volume <= x.max()):
        raise _no_minimum(volumes, energies)
    energy_error, modulus_error, derivative_error, volume_error = np.sqrt(np.diag(covariance))
    return EosFit(
        eos=eos,
        volume=float(volume) * scale,
        volume_error=float(volume_error) * scale,
        energy=float(energy) * scale + shift,
        energy_error=float(energy_error) * scale,
        bulk_modulus=float(modulus) / GPa,
        bulk_modulus_error=float(modulus_error) / GPa,
        derivative=float(derivative),
        derivative_error=float(derivative_error),
        residuals=_frozen(scale * (y - function(x, found))),
    )


def _no_minimum(volumes: Array, energies: Array) -> StructureError:
    lowest = int(np.argmin(energies))
    smaller = volumes[lowest] < (volumes.min() + volumes.max()) / 2
    return StructureError(
        f"The energy has no minimum between {volumes.min():.6g} and {volumes.max():.6g} A^3",
        f"it falls towards {'smaller' if smaller else 'larger'} volumes",
        f"{'Compress' if smaller else 'Expand'} the cell, or relax it first",
    )


def _with_volume(atoms: Atoms, volume: float) -> Atoms:
    scaled = bare(atoms)
    scaled.set_cell(atoms.cell.array * (volume / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
    return scaled


def _make_result(
    atoms: Atoms, strains: Array, structures: tuple[Atoms, ...], energies: Array, eos: Eos, *, shape_relaxed: bool
) -> EosResult:
    volumes = np.array([structure.get_volume() for structure in structures])
    fit = fit_eos(volumes, energies, eos)
    cells = _count_primitive_cells(atoms)
    return EosResult(
        strains=_frozen(strains),
        volumes=_frozen(volumes),
        energies=_frozen(energies),
        primitive_cells=cells,
        shape_relaxed=shape_relaxed,
        fit=fit,
        primitive_fit=replace(
            fit,
            volume=fit.volume / cells,
            volume_error=fit.volume_error / cells,
            energy=fit.energy / cells,
            energy_error=fit.energy_error / cells,
            residuals=_frozen(fit.residuals / cells),
        ),
        _structures=structures,
    )


def _count_primitive_cells(atoms: Atoms) -> int:
    """Return the number of primitive cells that phonopy finds in a cell."""
    return len(atoms) // (int(max(find_symmetry(atoms, TIGHT).mapping_to_primitive)) + 1)


def _check(strain: float, points: int, eos: str) -> None:
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
    if eos not in get_args(Eos):
        raise SettingsError(
            f"Equation of state '{eos}'", "there is no such equation", f"Give {', '.join(get_args(Eos))}"
        )


def _frozen(array: Array) -> Array:
    frozen = np.array(array)
    frozen.flags.writeable = False
    return frozen
