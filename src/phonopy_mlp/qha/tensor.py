"""Thermal expansion of any crystal from elastic compliances and the Grueneisen tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from phonopy import Phonopy
from phonopy.physical_units import get_physical_units

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.errors import ImaginaryModesError, SettingsError
from phonopy_mlp.evaluator import Progress, silent
from phonopy_mlp.force_constants import ForceConstantsResult
from phonopy_mlp.imaginary import CommensurateModes
from phonopy_mlp.phonons import DEGENERATE, MESH
from phonopy_mlp.qha.caveats import warn_of_deformations, warn_of_doubts, warn_of_left_out
from phonopy_mlp.qha.crystal import Crystal, find_invariant_strains, make_crystal
from phonopy_mlp.qha.point import (
    Workshop,
    check_lattice,
    compute_lattice_phonons,
    count_deformations,
    find_doubts,
    relax_lattice,
)
from phonopy_mlp.qha.thermal import count_left_out, in_chunks, mode_properties, sample_mesh, without_translations
from phonopy_mlp.relax import FMAX, MAX_STEPS
from phonopy_mlp.symmetry import TIGHT
from phonopy_mlp.unfinished import Unfinished

STEP = 2e-3
"""Default strain of the central differences."""

_PLACE = "at the lattice given"

_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True, slots=True)
class ExpansionTensorResult:
    """Thermal expansion of a crystal at the lattice it was given with.

    Attributes
    ----------
    temperatures : ndarray
        In K. shape=(temperatures,)
    expansion : ndarray
        Tensor of linear expansion d(strain)/dT in 1/K, in Cartesian axes. shape=(temperatures, 3, 3)
    volumetric_expansion : ndarray
        Its trace, alpha_V, in 1/K. shape=(temperatures,)
    axial_expansion : ndarray
        Linear coefficients in 1/K along the three vectors of the cell that was given. shape=(temperatures, 3)
    gruneisen : ndarray
        Mean of the modes' Grueneisen tensors -d(ln omega)/d(strain), weighted with their heat capacities; NaN where
        these are 0. shape=(temperatures, 3, 3)
    heat_capacity : ndarray
        At constant strain, in eV/K per primitive cell. shape=(temperatures,)
    strains : ndarray
        Strains that leave the crystal its symmetry, orthonormal. shape=(strains, 3, 3)
    qpoints : ndarray
        Irreducible mesh points, in units of the primitive cell's reciprocal vectors. shape=(q-points, 3)
    frequencies : ndarray
        In THz; NaN for the translations at Gamma. shape=(q-points, bands)
    mode_gruneisen : ndarray
        -d(ln omega) with each of `strains`; NaN for the translations. shape=(strains, q-points, bands)
    left_out : float
        Share of the mesh's modes, besides the three translations, that is imaginary and so is not in the sums.
    unstable_waves, unstable_strains : int or None
        As of `LatticePoint`.
    doubts : tuple of mapping
        Of the lattice and of each strained one, as of `LatticePoint`.

    """

    temperatures: Array
    expansion: Array
    volumetric_expansion: Array
    axial_expansion: Array
    gruneisen: Array
    heat_capacity: Array
    strains: Array
    qpoints: Array
    frequencies: Array
    mode_gruneisen: Array
    left_out: float
    unstable_waves: int | None
    unstable_strains: int | None
    doubts: tuple[Mapping[str, Mapping[str, Any]], ...]


def compute_expansion_tensor(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    compliances: Array,
    supercell_matrix: Array,
    temperatures: Sequence[float] | Array,
    mesh: Sequence[int] = MESH,
    step: float = STEP,
    fmax: float = FMAX,
    max_steps: int = MAX_STEPS,
    symprec: float = TIGHT,
    progress: Progress = silent,
    on_step: Callable[[int, float], None] | None = None,
    unfinished: Unfinished | None = None,
) -> ExpansionTensorResult:
    """Compute the expansion tensor alpha = S . sum(C gamma) / V of a crystal of any symmetry.

    The sum runs over all modes with their heat capacities C and Grueneisen tensors gamma = -d(ln omega)/d(strain).
    Being a thermal stress it has the crystal's symmetry, so derivatives along the strains that have it, too, are all it
    takes. They are central differences of the force constants of strained cells with relaxed positions; within each set
    of degenerate modes the derivative of the dynamical matrix is diagonalised, and no bands are matched by their order.

    Modes that are imaginary between the commensurate q-points are not in the sums; they stand in `frequencies` as
    negative, and their share in `left_out`.

    The coefficients are those at the lattice of `atoms`: of the static crystal if it was relaxed, of the warm one if it
    has the lattice of a warm one.

    Parameters
    ----------
    atoms : Atoms
        Primitive, conventional or larger cell, with the lattice at which to expand; not changed.
    calculator : BaseCalculator
        Any ASE calculator.
    compliances : ndarray
        Elastic compliances in 1/GPa, isothermal, with relaxed positions, in the Cartesian axes of `atoms` and Voigt
        order xx, yy, zz, yz, xz, xy (engineering shear). shape=(6, 6)
    supercell_matrix : ndarray
        Supercell of `atoms` for the force constants, as phonopy's ``--dim``. shape=(3, 3)
    temperatures : sequence of float
        In K.
    mesh : sequence of int, optional
        Gamma-centred sampling mesh. shape=(3,)
    step : float, optional
        Strain of the central differences.
    fmax, max_steps, symprec, progress, on_step, unfinished
        As in `run_mlp_qha`.

    Raises
    ------
    ImaginaryModesError
        The crystal has imaginary modes at commensurate q-points.
    ConvergenceError
        A relaxation did not converge.
    SettingsError
        The compliances are not a symmetric, positive definite matrix, or another setting makes no sense.

    Warns
    -----
    StructureWarning
        Modes are imaginary between the commensurate q-points, and left out of the sums, or long acoustic waves or
        homogeneous strains (Born's criteria) are unstable by the force constants, whatever the compliances say; or
        force constants are not sound (`health`).

    References
    ----------
    T. H. K. Barron, J. G. Collins, G. K. White, Adv. Phys. 29, 609 (1980).

    """
    _check(compliances, step, temperatures)
    asked = np.asarray(temperatures, dtype=float)
    crystal = make_crystal(atoms, supercell_matrix, symprec=symprec)
    section = None
    if unfinished is not None:
        section = unfinished.section(calculator, method="strains", step=step, fmax=fmax, **crystal.describe())
    workshop = Workshop(calculator, fmax, mesh, asked, section, max_steps, on_step)
    strains = find_invariant_strains(crystal)
    steps = [np.zeros((3, 3)), *(sign * step * strain for strain in strains for sign in (1, -1))]
    results: list[ForceConstantsResult] = []
    for number, strain in enumerate(progress(steps, len(steps), "Strained cells")):
        moved = _relax_strained(workshop, crystal, strain, str(number))
        # The forces stay in the folder until the whole is finished: force constants would take no less room.
        inner = workshop.inner(f"force_constants-{number}")
        if number == 0:
            check = check_lattice(workshop, moved, inner)
            _check_stable(check.modes)
            waves, soft = count_deformations(check)
            warn_of_deformations(waves, soft, _PLACE)
            results.append(check.force_constants)
        else:
            results.append(compute_lattice_phonons(workshop, moved, inner))
    phonons = [result.phonon for result in results]
    doubts = tuple(find_doubts(workshop, result) for result in results)
    warn_of_doubts(doubts)
    points = sample_mesh(phonons[0], mesh)
    frequencies, gammas = compute_mode_gruneisen(phonons[0], phonons[1::2], phonons[2::2], step, points.qpoints)
    missing, counted = count_left_out(frequencies, points.weights)
    warn_of_left_out(missing / counted, _PLACE)
    heat_capacity, sums = _sum_modes(frequencies, gammas, points.weights, asked)
    thermal = np.einsum("tk,kab->tab", sums, strains)
    expansion = _strain_of(compliances, thermal / phonons[0].primitive.volume)
    axes = atoms.cell.array / np.linalg.norm(atoms.cell.array, axis=1)[:, None]
    with np.errstate(invalid="ignore"):
        mean = thermal / heat_capacity[:, None, None]
    return ExpansionTensorResult(
        temperatures=frozen(asked),
        expansion=frozen(expansion),
        volumetric_expansion=frozen(np.trace(expansion, axis1=1, axis2=2)),
        axial_expansion=frozen(np.einsum("xa,tab,xb->tx", axes, expansion, axes)),
        gruneisen=frozen(mean),
        heat_capacity=frozen(heat_capacity),
        strains=frozen(strains),
        qpoints=frozen(points.qpoints),
        frequencies=frozen(frequencies),
        mode_gruneisen=frozen(gammas),
        left_out=float(missing / counted),
        unstable_waves=waves,
        unstable_strains=soft,
        doubts=doubts,
    )


def compute_mode_gruneisen(
    phonon: Phonopy, stretched: Sequence[Phonopy], pressed: Sequence[Phonopy], step: float, qpoints: Array
) -> tuple[Array, Array]:
    """Return frequencies and their logarithmic derivatives -d(ln omega) with strains, by perturbation.

    Parameters
    ----------
    phonon : Phonopy
        The crystal.
    stretched, pressed : sequence of Phonopy
        The same with each strain, of size `step`, and with its opposite.
    step : float
        Size of the strains.
    qpoints : ndarray
        In units of the reciprocal vectors, which move with the strain. shape=(q-points, 3)

    Returns
    -------
    frequencies : ndarray
        In THz; NaN for the translations at Gamma. shape=(q-points, bands)
    gammas : ndarray
        Dimensionless; NaN for the translations. shape=(strains, q-points, bands)

    """
    bands = 3 * len(phonon.primitive)
    frequencies = np.zeros((len(qpoints), bands))
    gammas = np.zeros((len(stretched), len(qpoints), bands))
    for piece in in_chunks(qpoints, bands):
        values, vectors = np.linalg.eigh(_dynamical_matrices(phonon, qpoints[piece]))
        frequencies[piece] = np.sign(values) * np.sqrt(np.abs(values)) * phonon.unit_conversion_factor
        for k, (plus, minus) in enumerate(zip(stretched, pressed, strict=True)):
            change = _dynamical_matrices(plus, qpoints[piece]) - _dynamical_matrices(minus, qpoints[piece])
            slopes = _slopes(frequencies[piece], vectors, change / (2 * step))
            with np.errstate(divide="ignore", invalid="ignore"):
                gammas[k, piece] = -slopes / (2 * values)
    frequencies = without_translations(qpoints, frequencies)
    gammas[:, np.isnan(frequencies)] = np.nan
    return frequencies, gammas


def _slopes(frequencies: Array, vectors: Array, derivatives: Array) -> Array:
    """Return the derivatives of eigenvalues, shape=(q-points, bands)."""
    within = np.einsum("qai,qab,qbj->qij", vectors.conj(), derivatives, vectors, optimize=True)
    slopes: Array = np.einsum("qii->qi", within).real.copy()
    for k, row in enumerate(frequencies):
        for group in np.split(np.arange(len(row)), np.flatnonzero(np.diff(row) > DEGENERATE) + 1):
            if len(group) > 1:
                slopes[k, group] = np.linalg.eigvalsh(within[k][np.ix_(group, group)])
    return slopes


def _dynamical_matrices(phonon: Phonopy, qpoints: Array) -> Array:
    phonon.run_qpoints(qpoints, with_dynamical_matrices=True)
    assert phonon.qpoints is not None
    assert phonon.qpoints.dynamical_matrices is not None
    return np.array(phonon.qpoints.dynamical_matrices)


def _relax_strained(workshop: Workshop, crystal: Crystal, strain: Array, name: str) -> Crystal:
    start = crystal.atoms
    start.set_cell(start.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    relaxed, _ = relax_lattice(workshop, start, "fixed", name)
    return crystal.moved_to(relaxed)


def _sum_modes(frequencies: Array, gammas: Array, weights: Array, temperatures: Array) -> tuple[Array, Array]:
    """Return heat capacities in eV/K, shape=(temperatures,), and sums with gammas, shape=(temperatures, strains)."""
    real = frequencies > 0
    spread = np.broadcast_to(weights[:, None], frequencies.shape)[real]
    capacities = np.array([spread * mode_properties(frequencies[real], temperature)[2] for temperature in temperatures])
    return capacities.sum(axis=1), capacities @ gammas[:, real].T


def _strain_of(compliances: Array, stress: Array) -> Array:
    """Return the strain tensors, in 1/K, that stresses in eV/A^3/K would make."""
    x, y = np.array(_VOIGT).T
    voigt = stress[:, x, y] * get_physical_units().EVAngstromToGPa @ np.asarray(compliances)
    strain = np.zeros((len(stress), 3, 3))
    for k, (i, j) in enumerate(_VOIGT):
        strain[:, i, j] = strain[:, j, i] = voigt[:, k] if i == j else voigt[:, k] / 2
    return strain


def _check(compliances: Array, step: float, temperatures: Sequence[float] | Array) -> None:
    matrix = np.asarray(compliances, dtype=float)
    if matrix.shape != (6, 6) or not np.allclose(matrix, matrix.T, rtol=1e-3, atol=1e-3 * np.abs(matrix).max()):
        raise SettingsError(
            f"Elastic compliances of shape {matrix.shape}", "they must be a symmetric 6 x 6 matrix", "Give it in 1/GPa"
        )
    lowest = np.linalg.eigvalsh((matrix + matrix.T) / 2).min()
    if not lowest > 0:
        raise SettingsError(
            f"Elastic compliances with an eigenvalue of {lowest:.3g} 1/GPa",
            "they must be positive definite, or the crystal is unstable",
            "Check the elastic tensor",
        )
    if not 0 < step < 0.05:
        raise SettingsError(f"Strain {step:g}", "it must be between 0 and 0.05", f"Give for example {STEP:g}")
    values = np.asarray(temperatures, dtype=float)
    if values.ndim != 1 or len(values) == 0 or not (np.isfinite(values).all() and values.min() >= 0):
        raise SettingsError(f"Temperatures {values.tolist()}", "they must be 0 K or more", "Give for example 0 100 300")


def _check_stable(modes: CommensurateModes) -> None:
    if modes.count_imaginary():
        raise ImaginaryModesError(
            f"{modes.count_imaginary()} modes are imaginary",
            f"the lowest is at {modes.lowest:.4f} THz, so the crystal is not at a minimum",
            "Remove the instability first",
        )
