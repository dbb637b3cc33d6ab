"""Quasi-harmonic approximation over the lengths of the lattice vectors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from phonopy.qha.anisotropic import AnisotropicQHAResult, run_anisotropic_qha

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.errors import ConvergenceError, ImaginaryModesError, SettingsError
from phonopy_mlp.evaluator import Progress, silent
from phonopy_mlp.phonons import MESH
from phonopy_mlp.qha.caveats import warn_of_deformations, warn_of_doubts, warn_of_left_out
from phonopy_mlp.qha.crystal import Crystal, conventional_lattice, make_crystal
from phonopy_mlp.qha.point import LatticePoint, compute_point, open_workshop, relax_lattice
from phonopy_mlp.qha.thermal import check_temperatures, with_one_more
from phonopy_mlp.relax import FMAX, MAX_STEPS
from phonopy_mlp.symmetry import TIGHT, symmetrise
from phonopy_mlp.unfinished import Unfinished

DEGREE = 3
"""Total degree of the polynomial that phonopy fits to the free energy."""

_UNCONVERGED = "Free energy surface minimization did not converge"
"""How phonopy's warning begins."""

_FREE_LENGTHS = {3: range(16, 75), 2: range(75, 195), 1: range(195, 231)}
"""International numbers of the space groups with so many free lengths and fixed angles."""

_TIED = {1: [[0, 1, 2]], 2: [[0, 1], [2]], 3: [[0], [1], [2]]}
"""Lattice vectors of the conventional cell that go together, for so many free lengths."""


@dataclass(frozen=True, slots=True)
class AxialQhaResult:
    """Lattice of a crystal against temperature at zero pressure.

    Attributes
    ----------
    points : tuple of LatticePoint
        Every lattice that was computed; none has imaginary modes at commensurate q-points.
    sampled_lengths : ndarray
        Of the conventional cell's vectors at `points` in A. shape=(points, 3)
    temperatures : ndarray
        In K. shape=(temperatures,)
    lengths : ndarray
        Of the conventional cell's vectors a, b, c in A. shape=(temperatures, 3)
    axial_expansion : ndarray
        Linear coefficients (da/dT)/a and so on, in 1/K. shape=(temperatures, 3)
    volume : ndarray
        Per primitive cell in A^3. shape=(temperatures,)
    volumetric_expansion : ndarray
        Coefficient (dV/dT)/V in 1/K. shape=(temperatures,)
    unconverged : int
        Number of temperatures, with one after the last, at which phonopy's minimisation did not converge.
    phonopy : AnisotropicQHAResult
        phonopy's result, for its writers and plots.

    """

    points: tuple[LatticePoint, ...]
    sampled_lengths: Array
    temperatures: Array
    lengths: Array
    axial_expansion: Array
    volume: Array
    volumetric_expansion: Array
    unconverged: int
    phonopy: AnisotropicQHAResult


def run_axial_qha(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    supercell_matrix: Array,
    temperatures: Sequence[float] | Array,
    strains: Sequence[float],
    mesh: Sequence[int] = MESH,
    fmax: float = FMAX,
    max_steps: int = MAX_STEPS,
    symprec: float = TIGHT,
    progress: Progress = silent,
    on_step: Callable[[int, float], None] | None = None,
    unfinished: Unfinished | None = None,
) -> AxialQhaResult:
    """Minimise the quasi-harmonic free energy over the one to three free lengths of the lattice.

    A path along which the shape is relaxed at each volume gives the volumetric expansion, not the axes': it has the
    shape that is best without vibrations. Here every combination of strains along the free lengths is computed, with
    positions relaxed, and phonopy's `run_anisotropic_qha` does the rest. Symmetry must fix the angles; monoclinic and
    triclinic crystals need `compute_expansion_tensor`.

    Parameters
    ----------
    atoms : Atoms
        Primitive, conventional or larger cell; not changed.
    calculator : BaseCalculator
        Any ASE calculator with stress.
    supercell_matrix : ndarray
        Supercell of `atoms` for the force constants, as phonopy's ``--dim``. shape=(3, 3)
    temperatures : sequence of float
        Ascending from 0 K.
    strains : sequence of float
        Ascending strains of each free length against the relaxed crystal, at least four of them.
    mesh, fmax, max_steps, symprec, progress, on_step, unfinished
        As in `run_mlp_qha`.

    Raises
    ------
    SettingsError
        The crystal is monoclinic or triclinic, or a setting makes no sense.
    ImaginaryModesError
        A lattice has imaginary modes.
    ConvergenceError
        A relaxation did not converge, or the free energy has no minimum within the strains; says along which length.

    Warns
    -----
    StructureWarning
        Modes of a lattice are imaginary between the commensurate q-points, and left out of its free energy, or long
        acoustic waves or homogeneous strains (Born's criteria) are unstable there; or force constants are not sound
        (`health`).
    RuntimeWarning
        phonopy's minimisation did not converge at some temperatures.

    """
    check_strains(strains)
    every = with_one_more(check_temperatures(temperatures))
    crystal = make_crystal(atoms, supercell_matrix, symprec=symprec)
    workshop = open_workshop(
        crystal,
        calculator,
        temperatures=every,
        mesh=mesh,
        fmax=fmax,
        max_steps=max_steps,
        on_step=on_step,
        unfinished=unfinished,
        method="lengths",
        strains=list(strains),
    )
    # Lengths that symmetry ties must be equal, not nearly so.
    relaxed = crystal.moved_to(symmetrise(relax_lattice(workshop, crystal.atoms, "free", "centre")[0], symprec))
    tied = _tied_vectors(relaxed)
    lattice = conventional_lattice(relaxed)
    combinations = list(product(strains, repeat=len(tied)))
    points, cells = [], []
    for number, combination in enumerate(progress(combinations, len(combinations), "Lattices")):
        stretch = np.ones(3)
        for vectors, strain in zip(tied, combination, strict=True):
            stretch[vectors] += strain
        cells.append(stretch[:, None] * lattice)
        start = relaxed.atoms
        start.set_cell(start.cell.array @ np.linalg.solve(lattice, cells[-1]), scale_atoms=True)
        points.append(compute_point(workshop, relaxed.moved_to(start), "fixed", str(number)))
        place = f"with lattice vectors of {' '.join(f'{x:.4f}' for x in np.linalg.norm(cells[-1], axis=1))} A"
        if not points[-1].is_stable:
            raise _imaginary_modes(points[-1], place)
        warn_of_left_out(points[-1].thermal.left_out, place)
        warn_of_deformations(points[-1].unstable_waves, points[-1].unstable_strains, place)
    warn_of_doubts([point.doubts for point in points])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = _minimise(relaxed, cells, points, every)
    _check_inside(found, cells)
    unconverged = _pass_on(caught)
    return AxialQhaResult(
        points=tuple(points),
        sampled_lengths=frozen(np.linalg.norm(cells, axis=2)),
        temperatures=frozen(found.temperatures),
        lengths=frozen(found.equilibrium_lattice_parameters),
        axial_expansion=frozen(found.axial_thermal_expansions),
        volume=frozen(found.equilibrium_volumes),
        volumetric_expansion=frozen(found.thermal_expansion),
        unconverged=unconverged,
        phonopy=found,
    )


def check_strains(strains: Sequence[float]) -> None:
    """Raise `SettingsError` for strains of `run_axial_qha` that make no sense."""
    if len(strains) < DEGREE + 1 or not (np.diff(strains) > 0).all() or not np.abs(strains).max() < 0.2:
        raise SettingsError(
            f"Strains {list(strains)}",
            f"they must ascend between -0.2 and 0.2, at least {DEGREE + 1} of them",
            "Give for example -0.01 -0.005 0 0.005 0.01",
        )


def _tied_vectors(crystal: Crystal) -> list[list[int]]:
    number = crystal.space_group.number
    for count, numbers in _FREE_LENGTHS.items():
        if number in numbers:
            return _TIED[count]
    raise SettingsError(
        f"Free lengths of a crystal of space group {number}",
        "the angles of monoclinic and triclinic cells expand, too",
        "Use compute_expansion_tensor, or a larger symprec if the relaxed crystal is a little off a higher symmetry",
    )


def _minimise(
    crystal: Crystal, cells: Sequence[Array], points: Sequence[LatticePoint], temperatures: Array
) -> AnisotropicQHAResult:
    stand_ins: Any = [_stand_in(crystal, cell, point) for cell, point in zip(cells, points, strict=True)]
    return run_anisotropic_qha(
        stand_ins,
        temperatures,
        internal_energies=[point.energy for point in points],
        phonon_free_energies=np.array([point.thermal.free_energy for point in points]).T,
        polynomial_degree=DEGREE,
        lattice_smoothing="none",
    )


def _pass_on(caught: Sequence[warnings.WarningMessage]) -> int:
    """Give phonopy's warnings to the caller, and return at how many temperatures its minimisation did not converge."""
    stopped = [each for each in caught if str(each.message).startswith(_UNCONVERGED)]
    for each in caught:
        if each not in stopped:
            warnings.warn(each.message, each.category, stacklevel=3)
    if stopped:
        warnings.warn(
            f"phonopy's minimisation over the lattice did not converge at {len(stopped)} temperatures "
            f"({stopped[0].message}): lengths and expansion there are doubtful. Give other strains or more of them.",
            RuntimeWarning,
            stacklevel=3,
        )
    return len(stopped)


def _stand_in(crystal: Crystal, cell: Array, point: LatticePoint) -> SimpleNamespace:
    """Return what `run_anisotropic_qha` asks of a Phonopy object when the free energies are known."""
    primitive = np.linalg.solve(conventional_lattice(crystal).T, crystal.atoms.cell.array.T)
    return SimpleNamespace(
        unitcell=SimpleNamespace(cell=cell, symbols=point.atoms.get_chemical_symbols()),
        primitive=SimpleNamespace(volume=point.volume),
        primitive_matrix=primitive,
        supercell_matrix=np.eye(3, dtype=int),
    )


def _check_inside(found: AnisotropicQHAResult, cells: Sequence[Array]) -> None:
    sampled = np.linalg.norm(cells, axis=2)
    for axis, name in enumerate("abc"):
        lengths, shortest, longest = (
            found.unsmoothed_lattice_parameters[:, axis],
            sampled[:, axis].min(),
            sampled[:, axis].max(),
        )
        outside = np.flatnonzero(~((lengths > shortest) & (lengths < longest)))
        if len(outside):
            k = outside[0]
            towards = "larger" if lengths[k] >= longest else "more negative"
            raise ConvergenceError(
                f"The free energy has no minimum within the strains at {found.temperatures[k]:g} K",
                f"{name} would be {lengths[k]:.4f} A, and {shortest:.4f} to {longest:.4f} A were computed",
                f"Give {towards} strains, or lower temperatures",
            )


def _imaginary_modes(point: LatticePoint, place: str) -> ImaginaryModesError:
    return ImaginaryModesError(
        f"{point.imaginary_modes} modes are imaginary {place}",
        f"the lowest is at {point.describe_mode()}, so the crystal is not at a minimum there",
        "Choose smaller strains, or remove the instability first",
    )
