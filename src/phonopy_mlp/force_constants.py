"""Force constants by finite displacements, with phonopy's symmetry reduction, from any ASE calculator."""

from __future__ import annotations

import io
import time
import warnings
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from phonopy import Phonopy
from phonopy.harmonic.force_constants import get_drift_force_constants
from phonopy.structure.cells import PrimitiveMatrixAutoDefaultWarning

from phonopy_mlp.arrays import Array, frozen
from phonopy_mlp.errors import SettingsError, StructureError
from phonopy_mlp.evaluator import Evaluator, Progress, silent
from phonopy_mlp.linear_response import linear_forces, offers_linear_response
from phonopy_mlp.registry import describe
from phonopy_mlp.structures import to_phonopy
from phonopy_mlp.symmetry import TIGHT, check_tolerance
from phonopy_mlp.unfinished import Unfinished

DISTANCE = 0.001
"""Displacement in A of the paper, for calculators whose forces are exact to rounding."""

NOISY_DISTANCE = 0.01
"""Displacement in A for calculators that declare a force noise above `NOISE_LIMIT`."""

NOISE_LIMIT = 1e-8
"""Force noise in eV/A from which the paper's displacement makes noise of more than 1e-5 eV/A^2."""

LARGEST_SUPERCELL = 100_000
"""Atoms in a supercell that phonopy can still be asked to make."""

_SYMMETRISATION_LEVEL = 20

PlusMinus = bool | Literal["auto"]
Method = Literal["auto", "linear-response", "finite-displacement"]


@dataclass(frozen=True, slots=True)
class ForceConstantsResult:
    """Force constants and what they were made of.

    Attributes
    ----------
    phonon : Phonopy
        phonopy's object with cells, displacement dataset, forces and force constants, for phonopy's own methods.
    force_constants : ndarray
        Compact force constants in eV/A^2, read-only. shape=(atoms in primitive cell, atoms in supercell, 3, 3)
    residual_force : float or None
        Largest force (eV/A) on an atom of the undisplaced supercell, already subtracted from all forces. None where
        the forces came from a file.
    net_force : float or None
        Length of the sum of these forces over the cell that was evaluated at rest, in eV/A: 0 but for errors.
    drift : float
        Largest violation of the acoustic sum rule (eV/A^2) before symmetrisation.
    change : float
        Largest change of a force constant (eV/A^2) by symmetrisation; 0 where none was done.
    method : str
        ``linear-response``, ``finite-displacement`` or ``forces from a file``.
    evaluations : int
        Number of displacements; 0 where the forces came from a file.
    seconds : float
        Wall-clock time of the evaluations.

    """

    phonon: Phonopy
    force_constants: np.ndarray[Any, Any]
    residual_force: float | None
    net_force: float | None
    drift: float
    change: float
    method: str
    evaluations: int
    seconds: float


def default_distance(calculator: BaseCalculator) -> float:
    """Return the displacement length in A that suits a calculator's declared force noise."""
    return NOISY_DISTANCE if describe(calculator).get("force_noise", 0.0) > NOISE_LIMIT else DISTANCE


def choose_method(calculator: BaseCalculator, method: Method, *, given: bool) -> Method:
    """Return how force constants are computed.

    Parameters
    ----------
    calculator : BaseCalculator
        The calculator.
    method : str
        What was asked for.
    given : bool
        Whether the displacements, or their length, were chosen by somebody.

    Raises
    ------
    SettingsError
        Linear response was asked for, and the calculator has none.

    """
    offered = offers_linear_response(calculator)
    if method == "linear-response" and not offered:
        name = describe(calculator)["name"]
        raise SettingsError(
            f"Linear response of '{name}'",
            "it does not differentiate its forces",
            "Use --fc-method finite-displacement",
        )
    if method == "auto":
        return "linear-response" if offered and not given else "finite-displacement"
    return method


def make_phonopy(
    atoms: Atoms,
    supercell_matrix: np.ndarray[Any, Any],
    *,
    primitive_matrix: Any = "auto",
    symprec: float = TIGHT,
    is_symmetry: bool = True,
) -> Phonopy:
    """Return phonopy's object for a unit cell and a supercell matrix (shape=(3, 3), as phonopy's ``--dim``).

    Raises
    ------
    SettingsError
        The supercell has more than `LARGEST_SUPERCELL` atoms, the primitive matrix does not fit the structure or the
        masses in it, or the tolerance is not positive.
    StructureError
        The unit cell is left-handed.

    """
    check_tolerance(symprec)
    if np.linalg.det(atoms.cell.array) < 0:
        raise StructureError(
            f"The cell of {atoms.get_chemical_formula()} is left-handed",
            "phonopy takes no such cells",
            "Turn its vectors round: atoms.set_cell(-atoms.cell)",
        )
    size = len(atoms) * round(abs(float(np.linalg.det(supercell_matrix))))
    if size > LARGEST_SUPERCELL:
        raise SettingsError(
            f"A supercell of {size} atoms", f"more than {LARGEST_SUPERCELL} would not fit in memory", "Choose a smaller"
        )
    # phonopy prints the cells when it cannot make one of the other.
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", PrimitiveMatrixAutoDefaultWarning)
        # A supercell of lower symmetry than the crystal costs evaluations, and how many there are is told.
        warnings.filterwarnings("ignore", message="Warning: Point group symmetries")
        try:
            phonon = Phonopy(
                to_phonopy(atoms),
                supercell_matrix=supercell_matrix,
                primitive_matrix=primitive_matrix,
                symprec=symprec,
                is_symmetry=is_symmetry,
                log_level=0,
            )
        except (RuntimeError, ValueError, SystemExit) as error:
            raise SettingsError(
                f"Primitive matrix {primitive_matrix!r}",
                f"phonopy cannot make that primitive cell of {atoms.get_chemical_formula()} ({type(error).__name__})",
                "Give --pa auto",
            ) from error
    # phonopy takes the first of them for all.
    images = [phonon.primitive.p2p_map[k] for k in phonon.primitive.s2p_map]
    if not np.allclose(phonon.supercell.masses, phonon.primitive.masses[images]):
        raise SettingsError(
            f"Isotopes in {atoms.get_chemical_formula()}",
            f"its primitive cell of {len(phonon.primitive)} atoms has one mass for each of them",
            "Give --pa P, or one mass to all atoms that are images of each other",
        )
    return phonon


def displace(
    phonon: Phonopy,
    distance: float,
    *,
    is_plusminus: PlusMinus = "auto",
    is_diagonal: bool = True,
    is_trigonal: bool = False,
    number_of_snapshots: int | Literal["auto"] | None = None,
    random_seed: int | None = None,
    max_distance: float | None = None,
    distance_sampling: Literal["supercell", "atom"] = "supercell",
    number_estimation_factor: float | None = None,
) -> None:
    """Give a phonopy object its displacements, of a length in A and otherwise as `Phonopy.generate_displacements`.

    Raises
    ------
    SettingsError
        The length is not positive.

    """
    if not (np.isfinite(distance) and distance > 0):
        raise SettingsError(f"Displacement of {distance:g} A", "it must be positive", "Give for example 0.001")
    phonon.generate_displacements(
        distance=distance,
        is_plusminus=is_plusminus,
        is_diagonal=is_diagonal,
        is_trigonal=is_trigonal,
        number_of_snapshots=number_of_snapshots,
        random_seed=random_seed,
        max_distance=max_distance,
        distance_sampling=distance_sampling,
        number_estimation_factor=number_estimation_factor,
    )


def compute_force_constants(
    phonon: Phonopy,
    calculator: BaseCalculator,
    *,
    distance: float | None = None,
    is_plusminus: PlusMinus = "auto",
    symmetrise: bool = True,
    method: Method = "auto",
    progress: Progress = silent,
    unfinished: Unfinished | None = None,
) -> ForceConstantsResult:
    """Evaluate a displacement dataset with a calculator and make force constants of it.

    A dataset that `phonon` already has (from a ``phonopy_disp.yaml``, or random displacements) is used as it is.

    A calculator that differentiates its own forces gives the force constants of the crystal without end, folded onto
    the supercell; any other one is evaluated on the displaced supercells.

    Parameters
    ----------
    phonon : Phonopy
        Cells, and perhaps a displacement dataset.
    calculator : BaseCalculator
        Any ASE calculator.
    distance : float, optional
        Length of the displacements in A. Default: `default_distance`.
    is_plusminus : bool or "auto", optional
        As in `Phonopy.generate_displacements`.
    symmetrise : bool, optional
        Impose the acoustic sum rule and permutation symmetry, to rounding.
    method : str, optional
        ``linear-response``, ``finite-displacement``, or ``auto``: the first where the calculator offers it, unless
        `phonon` has a dataset already or `distance` is given.
    progress : Progress, optional
        Shows how far the evaluation has come.
    unfinished : Unfinished, optional
        Keeps each finished atom or supercell, and has those that were finished by a run that was killed.

    Raises
    ------
    SettingsError
        The displacement is not positive, or the calculator has no linear response.
    CalculatorError
        The calculator failed.

    """
    chosen = choose_method(calculator, method, given=phonon.dataset is not None or distance is not None)
    if phonon.dataset is None:
        plusminus = False if chosen == "linear-response" else is_plusminus
        displace(phonon, default_distance(calculator) if distance is None else distance, is_plusminus=plusminus)
    started = time.perf_counter()
    cells = [phonon.supercell, *(cell for cell in phonon.supercells_with_displacements or [] if cell is not None)]
    section = None
    if unfinished is not None:
        section = unfinished.section(
            calculator,
            method=chosen,
            unit_cell=phonon.unitcell.totuple(),
            supercell_matrix=phonon.supercell_matrix,
            supercells=[cell.totuple() for cell in cells],
        )
    if chosen == "linear-response":
        phonon.forces, at_rest = linear_forces(phonon, calculator, progress=progress, section=section)
        return _finish(
            phonon,
            symmetrise,
            at_rest=at_rest,
            method=chosen,
            evaluations=len(phonon.forces),
            seconds=time.perf_counter() - started,
        )
    energies, forces, _ = Evaluator(calculator, progress, section).evaluate(cells)
    phonon.forces = forces[1:] - forces[0]
    phonon.supercell_energies = energies[1:]
    return _finish(
        phonon,
        symmetrise,
        at_rest=forces[0],
        method=chosen,
        evaluations=len(cells),
        seconds=time.perf_counter() - started,
    )


def force_constants_from_dataset(phonon: Phonopy, *, symmetrise: bool = True) -> ForceConstantsResult:
    """Make force constants of a dataset that has its forces already."""
    return _finish(phonon, symmetrise, at_rest=None, method="forces from a file", evaluations=0, seconds=0.0)


def _finish(
    phonon: Phonopy, symmetrise: bool, *, at_rest: Array | None, method: str, evaluations: int, seconds: float
) -> ForceConstantsResult:
    # phonopy takes random displacements with symfc alone, which prints.
    random = phonon.dataset is not None and "displacements" in phonon.dataset
    with redirect_stdout(io.StringIO()):
        phonon.produce_force_constants(
            calculate_full_force_constants=False, fc_calculator="symfc" if random else None, show_drift=False
        )
    assert phonon.force_constants is not None
    before = phonon.force_constants.copy()
    drift = get_drift_force_constants(before, primitive=phonon.primitive)
    if symmetrise:
        phonon.symmetrize_force_constants(level=_SYMMETRISATION_LEVEL, show_drift=False)
    after = frozen(phonon.force_constants)
    return ForceConstantsResult(
        phonon=phonon,
        force_constants=after,
        residual_force=None if at_rest is None else float(np.linalg.norm(at_rest, axis=1).max()),
        net_force=None if at_rest is None else float(np.linalg.norm(at_rest.sum(axis=0))),
        drift=max(abs(float(value)) for value in drift[:2]),
        change=float(np.abs(after - before).max()),
        method=method,
        evaluations=evaluations,
        seconds=seconds,
    )
